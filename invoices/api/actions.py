"""The acting endpoints, one per entry in the catalog: `POST /v1/invoices/:id/<action>`, performed before it answers."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from invoices import operations
from invoices.api import expand, parameters
from invoices.api.base import LONGEST_ID, StripeView, require
from invoices.api.envelope import REQUEST_ID, ApiError, denied, invalid, missing
from invoices.api.serializers import shown
from invoices.models import Invoice, Operation
from invoices.models.reading import address

LONGEST_KEY = 255
CARD = frozenset({"card_declined", "authentication_required"})
RETRY = {"Stripe-Should-Retry": "true"}
NO_RETRY = {"Stripe-Should-Retry": "false"}
# Without a code at Stripe; and where its own code is the one that says something.
WITHOUT_CODE = frozenset({"parameter_invalid", "idempotency_key_reused", "stripe_refused"})


class ActionView(StripeView):
    """Translates one request into one operation, and what came of it into Stripe's answer."""

    spec: operations.Spec
    permission = "invoices.view_invoice"  # the answer shows the invoice; the action's own is checked by operations

    @property
    def param(self) -> str:
        """As which Stripe's 404 names the invoice's id: it differs between its endpoints."""
        return "invoice" if self.spec.name in ("send", "attach_payment", "attach_out_of_band_payment") else "id"

    def create(self, request: Request, id: str) -> Response:
        given = parameters.given(request)
        paths = expand.steps("invoice", parameters.take_array(given, "expand"))
        require(request, *expand.permissions(paths))
        params = self.clean(parameters.flat(given))
        key = idempotency_key(request)
        token: Any = request.auth
        if token.read_only:
            raise denied("this key may only read")
        if len(id) > LONGEST_ID or parameters.UNSTORABLE.search(id) or _deleted(id):
            raise missing("invoice", id[:LONGEST_ID], self.param)
        echo = {"Idempotency-Key": key} if key else {}
        replayed = bool(key) and _known(request.user, key)
        try:
            operation = operations.execute(
                self.spec.name,
                id,
                actor=request.user,
                source=Operation.Source.API,
                params=params,
                reason=token.name,
                idempotency_key=key,
                address=address(request.META.get("REMOTE_ADDR")),
                request_id=request.META[REQUEST_ID],
            )
        except operations.Refusal as refusal:
            raise self.of_refusal(refusal, echo) from refusal
        headers = echo | {"Invoice-Desk-Operation": str(operation.pk)}
        headers |= {"Idempotent-Replayed": "true"} if replayed else {}
        if operation.state != Operation.State.SUCCEEDED:
            raise self.of_operation(operation, headers)
        data = shown(Invoice.objects.get(pk=id)) or {}
        expand.expand([data], paths)
        return Response(data, headers=headers)

    def clean(self, values: dict[str, Any]) -> dict[str, Any]:
        """Refuses, in Stripe's words, what the catalog does not know or cannot do without. Raises ApiError."""
        parameters.refuse_unknown(values, [parameter.name for parameter in self.spec.parameters])
        for parameter in self.spec.parameters:
            if parameter.required and parameter.name not in values:
                name = parameter.name
                raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
            if parameter.kind == "money" and parameter.name in values:
                parameters.integer(values[parameter.name], parameter.name)
        return values

    def of_refusal(self, refusal: operations.Refusal, headers: dict[str, str]) -> ApiError:
        """We did not do it, and nothing was sent."""
        code, param = refusal.code, refusal.param
        if code == "resource_missing":
            param = self.param
        headers = headers | (RETRY if code in ("operation_in_progress", "outcome_unknown") else {})
        return ApiError(
            refusal.status,
            refusal.message,
            type=_type(code, refusal.status),
            code=None if code in WITHOUT_CODE else code,
            param=param,
            headers=headers,
            operation=str(refusal.operation.pk) if refusal.operation else None,
        )

    def of_operation(self, operation: Operation, headers: dict[str, str]) -> ApiError:
        """It was asked for, and it is not done: not yet, or not at all."""
        state, named = operation.state, {"operation": str(operation.pk)}
        if state == Operation.State.AWAITING_APPROVAL:
            message = operation.message or "This needs the approval of a second person. Nothing has been done yet."
            return ApiError(400, message, code="approval_required", headers=headers, **named)
        if state in Operation.UNFINISHED:
            code = "outcome_unknown" if state == Operation.State.UNKNOWN else "operation_in_progress"
            message = operation.message or "This is under way. Ask again with the same idempotency key."
            return ApiError(409, message, type="api_error", code=code, headers=headers | RETRY, **named)
        if operation.error:
            return self.of_stripes_error(operation, operation.error, headers)
        code = operation.code or str(state)
        status = operations.STATUS.get(code, 400)
        return ApiError(
            status,
            operation.message or f"This operation is {operation.get_state_display()}.",
            type=_type(code, status),
            code=None if code in WITHOUT_CODE else code,
            param=self.param if code == "resource_missing" else None,
            headers=headers | NO_RETRY,
            **named,
        )

    def of_stripes_error(self, operation: Operation, error: dict[str, Any], headers: dict[str, str]) -> ApiError:
        """Stripe said no: its own words, under our stable code where we have one."""
        told = {
            name: value for name, value in error.items() if name not in ("status", "type", "code", "message", "param")
        }
        theirs, code, status = error.get("code"), operation.code, error.get("status")
        if code in WITHOUT_CODE or not code:
            code = theirs or ""
        if theirs and theirs != code:
            told["stripe_code"] = theirs
        type_ = error.get("type") or _type(code, 400)
        if status not in (400, 402, 404):  # that our own key may not do this is no fault of the caller's
            status, type_ = 502, "api_error"
        return ApiError(
            status,
            operation.message,
            type=type_,
            code=code or None,
            param=error.get("param"),
            headers=headers | NO_RETRY,
            **told,
            operation=str(operation.pk),
        )


def _type(code: str, status: int) -> str:
    if code in CARD:
        return "card_error"
    if code == "idempotency_key_reused":
        return "idempotency_error"
    return "api_error" if status >= 500 or code == "outcome_unknown" else "invalid_request_error"


def idempotency_key(request: Request) -> str:
    """The caller's key, or nothing. Raises ApiError."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > LONGEST_KEY or parameters.UNSTORABLE.search(key):
        raise invalid(f"Idempotency keys can be up to {LONGEST_KEY} characters long.")
    return key


def _known(actor: Any, key: str) -> bool:
    earlier = Operation.objects.filter(actor=actor, idempotency_key=key)
    return earlier.exclude(state=Operation.State.REFUSED).exists()


def _deleted(id: str) -> bool:
    return Invoice.objects.filter(pk=id, deleted_at__isnull=False).exists()
