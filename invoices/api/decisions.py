"""Deciding on operations by token: `POST /v1/operations/:id/approve`, `/reject`, `/withdraw`; and waiting for one.

Who may decide is not judged here: the same functions decide as in the admin (invoices/operations/decisions.py).
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from invoices import operations, request_origin
from invoices.api import expand, parameters
from invoices.api.actions import REASON_HEADER, desk_code, error_of_rate_limit, error_type, take_wait
from invoices.api.base import require_scope
from invoices.api.envelope import ApiError, invalid
from invoices.api.filters import TEXT
from invoices.api.schema import WAIT, describe, expanding_body_of
from invoices.api.schema_shapes import ref
from invoices.api.views import OperationView
from invoices.models import Code, Operation, Scope
from invoices.operations import decisions, waiting
from invoices.operations.request import MAX_REASON_LENGTH

_REASON = {**TEXT, "maxLength": MAX_REASON_LENGTH}
_AMOUNT = {"type": "integer", "minimum": 0, "description": "Minor units: no more than this is agreed to"}


def _described(summary: str, **properties: Any) -> Any:
    return describe("Operations", summary, ref("operation"), body=expanding_body_of(properties), parameters=[WAIT])


class DecidedOperationView(OperationView):
    """One operation: read, also once it is over, and decided on."""

    may_wait = True

    def retrieve(self, request: Request, id: str) -> Response:
        nested = parameters.of_request(request)
        seconds = take_wait(request, nested, default=0)
        paths = self.take_expand(request, nested)
        parameters.refuse_unknown(parameters.flatten(nested), ())
        operation = self.find(id)
        if seconds:
            waiting.over(operation.pk, seconds)
        return self._shown(request, id, paths)

    @_described("Agree to another's request, which is then carried out", amount=_AMOUNT, reason=_REASON)
    def approve(self, request: Request, id: str) -> Response:
        """Agrees to the request, which is then carried out. `amount` (minor units): no more than this is agreed to."""
        person: Any = request.user

        def decide(operation: Operation, given: dict[str, Any], **who: Any) -> Operation:
            amount = parameters.integer(given["amount"], "amount") if "amount" in given else None
            reason = given_reason(given)
            return decisions.approve(operation.pk, approver=person, amount=amount, reason=reason, **who)

        def is_repeated(operation: Operation) -> bool:
            return operation.approver_id == person.pk and operation.code != Code.REJECTED

        return self._decide(request, id, ("amount", "reason"), Scope.APPROVE, decide, is_repeated)

    @_described("Decline another's request, with a reason", reason=_REASON)
    def reject(self, request: Request, id: str) -> Response:
        """Declines the request. `reason` is required: the one who asked reads it."""
        person: Any = request.user

        def decide(operation: Operation, given: dict[str, Any], **who: Any) -> Operation:
            if "reason" not in given:
                raise invalid("Missing required param: reason.", "reason", "parameter_missing")
            return decisions.reject(operation.pk, approver=person, reason=given_reason(given), **who)

        def is_repeated(operation: Operation) -> bool:
            return operation.approver_id == person.pk and operation.code == Code.REJECTED

        return self._decide(request, id, ("reason",), Scope.APPROVE, decide, is_repeated)

    @_described("Take back your own request")
    def withdraw(self, request: Request, id: str) -> Response:
        """Takes back one's own request, as long as nothing was sent."""
        person: Any = request.user

        def decide(operation: Operation, given: dict[str, Any], **who: Any) -> Operation:
            return decisions.withdraw(operation.pk, actor=person, **who)

        def is_repeated(operation: Operation) -> bool:
            return operation.actor_id == person.pk and operation.code == Code.WITHDRAWN

        return self._decide(request, id, (), "", decide, is_repeated)

    def _decide(
        self, request: Request, id: str, known: tuple[str, ...], scope: str, decide: Any, is_repeated: Any
    ) -> Response:
        """Decides, and answers with the operation as it then is. The same decision of the same user once more changes
        nothing, and has the same answer. Without a `scope` the token must be for the operation's action."""
        nested = parameters.of_request(request)
        seconds = take_wait(request, nested, waiting.DEFAULT_SECONDS)
        paths = self.take_expand(request, nested)
        given = parameters.flatten(nested)
        parameters.refuse_unknown(given, known)
        if "reason" in known and (said := parameters.header_text(request, REASON_HEADER, MAX_REASON_LENGTH)):
            given.setdefault("reason", said)
        operation = self.find(id)
        require_scope(request, scope or operation.action)
        try:
            operation = decide(operation, given, token=request.auth, **request_origin.origin(request))
        except operations.Refusal as refusal:
            operation = Operation.objects.get(pk=operation.pk)
            if operation.state == Operation.State.AWAITING_APPROVAL or not is_repeated(operation):
                raise error_of_refusal(refusal, operation) from refusal
        waiting.settled(operation, seconds)
        return self._shown(request, id, paths)

    def _shown(self, request: Request, id: str, paths: expand.Paths) -> Response:
        row = self.find(id)
        found = self.to_object(row)
        self.expand_all(request, [found], paths)
        return Response(found, headers=self.object_headers(row))


def given_reason(given: dict[str, Any]) -> str:
    """The reason of a decision. Raises ApiError."""
    reason = given.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON_LENGTH:
        raise invalid(f"Invalid string: reason has at most {MAX_REASON_LENGTH} characters.", "reason")
    return reason


def error_of_refusal(
    refusal: operations.Refusal, operation: Operation | None = None, headers: dict[str, str] | None = None
) -> ApiError:
    """The error for a decision, or a batch, that was refused: nothing was decided, and no batch was made."""
    about = str(operation.pk) if operation else None
    if refusal.error:
        return error_of_rate_limit(refusal.error, about, headers or {})
    return ApiError(
        refusal.http_status,
        refusal.message,
        type=error_type(refusal.code, refusal.http_status),
        code=refusal.stripe_code or desk_code(refusal.code),
        param=refusal.param,
        headers=headers,
        desk_code=desk_code(refusal.code),
        operation=about,
    )
