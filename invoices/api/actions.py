"""The acting endpoints, one for each action: `POST /v1/invoices/:id/<action>`.

The response is sent when the action has been performed: it shows the invoice, or says why nothing was done.
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from invoices import operations, request_origin
from invoices.api import expand, parameters
from invoices.api.base import MAX_ID_LENGTH, StripeView, require_permissions, require_scope
from invoices.api.envelope import ApiError, invalid, no_such_object
from invoices.api.serializers import stripe_object
from invoices.models import DECLINES, Code, Invoice, Operation, Scope
from invoices.operations.request import MAX_KEY_LENGTH, made_by_key

RETRY = {"Stripe-Should-Retry": "true"}
NO_RETRY = {"Stripe-Should-Retry": "false"}
# Our codes that are not told to callers: Stripe has no code for these errors, or its own code says more.
WITHOUT_CODE = frozenset({Code.PARAMETER_INVALID, Code.IDEMPOTENCY_KEY_REUSED, Code.STRIPE_REFUSED})


class ActionView(StripeView):
    """Translates one request into one operation, and its outcome into a response of Stripe's shape."""

    entry: operations.Action  # what it does; `action` is a name that the REST framework uses
    permission = "invoices.view_invoice"  # the response shows the invoice; `operations` checks the action's permission

    @property
    def scope(self) -> str:  # type: ignore[override]
        return self.entry.name

    @property
    def param(self) -> str:
        """The `param` of the 404 for an unknown invoice: Stripe's endpoints differ in it."""
        return self.entry.id_parameter

    def create(self, request: Request, id: str) -> Response:
        nested = parameters.of_request(request)
        paths = expand.parse_paths("invoice", parameters.take_array(nested, "expand"))
        if paths:
            require_scope(request, Scope.READ)  # the reply shows the invoice to every key; the rest is read
        require_permissions(request, *expand.required_permissions(paths))
        params = self.clean(parameters.flatten(nested))
        key = idempotency_key(request)
        token: Any = request.auth
        if len(id) > MAX_ID_LENGTH or parameters.UNSTORABLE_CHARACTER.search(id) or _deleted(id):
            raise no_such_object("invoice", id[:MAX_ID_LENGTH], self.param)
        headers = {"Idempotency-Key": key} if key else {}
        replayed = bool(key) and made_by_key(request.user, key) is not None
        try:
            operation = operations.execute(
                self.entry.name,
                id,
                actor=request.user,
                source=Operation.Source.API,
                params=params,
                reason=token.name,
                token=token,
                idempotency_key=key,
                **request_origin.origin(request),
            )
        except operations.Refusal as refusal:
            raise self.error_of_refusal(refusal, headers) from refusal
        headers["Invoice-Desk-Operation"] = str(operation.pk)
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        # Money under way is answered as Stripe answers it: 200 with the invoice, which is still open.
        if operation.state not in (Operation.State.SUCCEEDED, Operation.State.PROCESSING):
            raise self.error_of_operation(operation, headers)
        invoice = stripe_object(Invoice.objects.get(pk=id)) or {}
        expand.expand([invoice], paths)
        return Response(invoice, headers=headers)

    def clean(self, values: dict[str, Any]) -> dict[str, Any]:
        """Refuses unknown and missing parameters in Stripe's words. Raises ApiError."""
        parameters.refuse_unknown(values, [parameter.name for parameter in self.entry.parameters])
        for parameter in self.entry.parameters:
            if parameter.required and parameter.name not in values:
                name = parameter.name
                raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
            if parameter.kind == "money" and parameter.name in values:
                parameters.integer(values[parameter.name], parameter.name)
        return values

    def error_of_refusal(self, refusal: operations.Refusal, headers: dict[str, str]) -> ApiError:
        """The error for a request that was refused: nothing was sent to Stripe."""
        code, param = refusal.code, refusal.param
        if code == "resource_missing":
            param = self.param
        headers = headers | (RETRY if code in ("operation_in_progress", "outcome_unknown") else {})
        return ApiError(
            refusal.http_status,
            refusal.message,
            type=_error_type(code, refusal.http_status),
            code=None if code in WITHOUT_CODE else code,
            param=param,
            headers=headers,
            operation=str(refusal.operation.pk) if refusal.operation else None,
        )

    def error_of_operation(self, operation: Operation, headers: dict[str, str]) -> ApiError:
        """The error for an operation that has not succeeded: it waits, is under way, or ended otherwise."""
        state, operation_id = operation.state, str(operation.pk)
        if state == Operation.State.AWAITING_APPROVAL:
            message = operation.message or "This needs the approval of a second person. Nothing has been done yet."
            return ApiError(400, message, code="approval_required", headers=headers, operation=operation_id)
        if state in Operation.UNFINISHED:
            code = "outcome_unknown" if state == Operation.State.UNKNOWN else "operation_in_progress"
            message = operation.message or "This is under way. Ask again with the same idempotency key."
            return ApiError(409, message, type="api_error", code=code, headers=headers | RETRY, operation=operation_id)
        if operation.error:
            return self.error_of_stripe(operation, operation.error, headers)
        code = operation.code or str(state)
        status = operations.HTTP_STATUS.get(code, 400)
        return ApiError(
            status,
            operation.message or f"This operation is {operation.get_state_display()}.",
            type=_error_type(code, status),
            code=None if code in WITHOUT_CODE else code,
            param=self.param if code == "resource_missing" else None,
            headers=headers | NO_RETRY,
            operation=operation_id,
        )

    def error_of_stripe(self, operation: Operation, error: dict[str, Any], headers: dict[str, str]) -> ApiError:
        """The error for an operation that Stripe refused: Stripe's words, under our stable code where we have one."""
        members = {
            name: value for name, value in error.items() if name not in ("status", "type", "code", "message", "param")
        }
        stripe_code, code, status = error.get("code"), operation.code, error.get("status")
        if code in WITHOUT_CODE or not code:
            code = stripe_code or ""
        if stripe_code and stripe_code != code:
            members["stripe_code"] = stripe_code
        type_ = error.get("type") or _error_type(code, 400)
        if status not in (400, 402, 404):  # such as a 403 for our own key at Stripe, which is no fault of the caller's
            status, type_ = 502, "api_error"
        return ApiError(
            status,
            operation.message,
            type=type_,
            code=code or None,
            param=error.get("param"),
            headers=headers | NO_RETRY,
            **members,
            operation=str(operation.pk),
        )


def _error_type(code: str, status: int) -> str:
    """The `type` that Stripe would give an error with our code and this HTTP status."""
    if code in DECLINES:
        return "card_error"
    if code == "idempotency_key_reused":
        return "idempotency_error"
    return "api_error" if status >= 500 or code == "outcome_unknown" else "invalid_request_error"


def idempotency_key(request: Request) -> str:
    """The caller's idempotency key; empty if none was sent. Raises ApiError."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > MAX_KEY_LENGTH:
        raise invalid(f"Idempotency keys can be up to {MAX_KEY_LENGTH} characters long.")
    if not key.isprintable():  # it stands in a header of the answer
        raise invalid("Idempotency keys must be printable characters.")
    return key


def _deleted(id: str) -> bool:
    """Whether it is a draft that was deleted: to callers, an invoice that does not exist."""
    return Invoice.objects.filter(pk=id, deleted_at__isnull=False).exists()
