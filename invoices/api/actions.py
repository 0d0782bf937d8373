"""The acting endpoints, one for each action: `POST /v1/invoices/:id/<action>`.

The response is sent when the action has been performed: it shows the invoice, or says why nothing was done. Where the
outcome is not known yet it is held, until settling has found it out or the caller's wait is over.
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from invoices import gateway, operations, request_origin
from invoices.api import expand, live, parameters
from invoices.api.base import MAX_ID_LENGTH, StripeView, require_permissions, require_scope
from invoices.api.envelope import ApiError, invalid, no_such_object
from invoices.api.parameters import MAX_PATH_LENGTH, MAX_PATHS
from invoices.api.serializers import stripe_object
from invoices.models import DECLINES, Code, Invoice, Operation, Scope
from invoices.operations import answers, outcomes, waiting
from invoices.operations.request import MAX_KEY_LENGTH, MAX_REASON_LENGTH, MAX_TICKET_LENGTH, made_by_key

RETRY = {"Stripe-Should-Retry": "true"}
NO_RETRY = {"Stripe-Should-Retry": "false"}
# Our codes that are not told to callers: Stripe has no code for these errors, or its own code says more.
WITHOUT_CODE = frozenset({Code.PARAMETER_INVALID, Code.IDEMPOTENCY_KEY_REUSED, Code.STRIPE_REFUSED})
WAIT_HEADER, REASON_HEADER, TICKET_HEADER = "Invoice-Desk-Wait", "Invoice-Desk-Reason", "Invoice-Desk-Ticket"
# A member of a path → what its caller must be allowed to see. Whatever else Stripe expands, such as a subscription, the
# desk has no permission for: it belongs to the action.
SHOWS = {
    "customer": "invoices.view_customer",
    "payments": "invoices.view_invoicepayment",
    "payment_intent": "invoices.view_paymentintent",
    "charge": "invoices.view_charge",
    "latest_charge": "invoices.view_charge",
    "refunds": "invoices.view_refund",
    "invoice": "invoices.view_invoice",
    "latest_invoice": "invoices.view_invoice",
}
# Members of Stripe's error that are shown whole to those who may see PaymentIntents.
PAYMENT_OBJECTS = ("payment_intent", "payment_method", "setup_intent", "source")


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
        wait = take_wait(request, nested, waiting.DEFAULT_SECONDS)
        paths = take_paths(request, nested)
        if paths:
            require_scope(request, Scope.READ)  # the reply shows the invoice to every key; the rest is read
        params = self.clean(parameters.flatten(nested))
        reason = parameters.header_text(request, REASON_HEADER, MAX_REASON_LENGTH)
        ticket = parameters.header_text(request, TICKET_HEADER, MAX_TICKET_LENGTH)
        key = idempotency_key(request)
        token: Any = request.auth
        if not live.may_be_id("invoice", id) or _deleted(id):
            raise no_such_object("invoice", id[:MAX_ID_LENGTH], self.param)
        headers = {"Idempotency-Key": key} if key else {}
        first = made_by_key(request.user, key) if key else None
        if first is None and request.user.has_perm(self.entry.permission):
            check_paths(id, paths)
        try:
            operation = operations.execute(
                self.entry.name,
                id,
                actor=request.user,
                source=Operation.Source.API,
                params=params,
                expand=paths,
                reason=reason or token.name,
                ticket=ticket,
                token=token,
                idempotency_key=key,
                **request_origin.origin(request),
            )
        except operations.Refusal as refusal:
            raise self.error_of_refusal(refusal, headers) from refusal
        operation = waiting.settled(operation, wait)
        headers["Invoice-Desk-Operation"] = str(operation.pk)
        if first is not None:
            headers |= {"Idempotent-Replayed": "true", "Original-Request": operation.request_id}
        # Money under way is answered as Stripe answers it: 200 with the invoice, which is still open.
        if operation.state not in (Operation.State.SUCCEEDED, Operation.State.PROCESSING):
            raise self.error_of_operation(request, operation, headers)
        invoice = answers.invoice(operation) if paths else None
        if invoice is None:
            invoice = stripe_object(Invoice.objects.get(pk=id)) or {}
            # Its payments were written with the outcome; what they name may be older in the mirror, and stays an id.
            if any(path.split(".")[0] == "payments" for path in paths):
                expand.expand([invoice], expand.parse_paths("invoice", ["payments"]))
            if missing := [path for path in paths if path != "payments"]:
                headers[NOT_EXPANDED_HEADER] = ",".join(missing)
        return Response(invoice, headers=headers)

    def clean(self, values: dict[str, Any]) -> dict[str, Any]:
        """Refuses unknown and missing parameters in Stripe's words. Raises ApiError."""
        known = {parameter.name: parameter.kind for parameter in self.entry.parameters}
        parameters.refuse_unknown(values, known, [name for name, kind in known.items() if kind == "money"])
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
        operation = str(refusal.operation.pk) if refusal.operation else None
        if refusal.error:
            return error_of_rate_limit(refusal.error, operation, headers)
        if code == "resource_missing":
            param = self.param
        headers = headers | (RETRY if code in ("operation_in_progress", "outcome_unknown") else {})
        return ApiError(
            refusal.http_status,
            refusal.message,
            type=error_type(code, refusal.http_status),
            code=refusal.stripe_code or (None if code in WITHOUT_CODE else code),
            param=param,
            headers=headers,
            desk_code=desk_code(code),
            operation=operation,
        )

    def error_of_operation(self, request: Request, operation: Operation, headers: dict[str, str]) -> ApiError:
        """The error for an operation that has not succeeded: it waits, is under way, or ended otherwise."""
        state, operation_id = operation.state, str(operation.pk)
        if state == Operation.State.AWAITING_APPROVAL:
            message = operation.message or "This needs the approval of a second person. Nothing has been done yet."
            code = str(Code.APPROVAL_REQUIRED)
            return ApiError(400, message, code=code, headers=headers, desk_code=code, operation=operation_id)
        if state in Operation.UNFINISHED:
            code = "outcome_unknown" if state == Operation.State.UNKNOWN else "operation_in_progress"
            message = operation.message or "This is under way. Ask again with the same idempotency key."
            headers = headers | RETRY
            return ApiError(
                409, message, type="api_error", code=code, headers=headers, desk_code=code, operation=operation_id
            )
        if operation.error and operation.code == Code.STRIPE_UNAVAILABLE:
            return error_of_rate_limit(operation.error, operation_id, headers)
        if operation.error:
            return self.error_of_stripe(request, operation, headers)
        code = operation.code or str(state)
        status = operations.HTTP_STATUS.get(code, 400)
        return ApiError(
            status,
            operation.message or f"This operation is {operation.get_state_display()}.",
            type=error_type(code, status),
            code=None if code in WITHOUT_CODE else code,
            param=self.param if code == "resource_missing" else None,
            # Where Stripe was away nothing was applied, and the same key begins anew.
            headers=headers | (RETRY if code == Code.STRIPE_UNAVAILABLE else NO_RETRY),
            desk_code=desk_code(code),
            operation=operation_id,
        )

    def error_of_stripe(self, request: Request, operation: Operation, headers: dict[str, str]) -> ApiError:
        """The error for an operation that Stripe refused: Stripe's own, whole, and our stable code beside Stripe's."""
        may_see = request.user.has_perm(SHOWS["payment_intent"])
        error = answers.error(operation) if may_see else operation.error or {}
        members = {name: value for name, value in error.items() if name not in OWN_MEMBERS}
        status, type_ = error.get("status"), error.get("type") or error_type(operation.code, 400)
        if status not in (400, 402, 404):  # such as a 403 for our own key at Stripe, which is no fault of the caller's
            status, type_ = 502, "api_error"
        return ApiError(
            status,
            operation.message,
            type=type_,
            code=error.get("code") or desk_code(operation.code),
            param=error.get("param"),
            headers=headers | NO_RETRY,
            **members | {"desk_code": desk_code(operation.code), "operation": str(operation.pk)},
        )


OWN_MEMBERS = ("status", "type", "code", "message", "param")  # of an error: those that ApiError has of its own
NOT_EXPANDED_HEADER = "Invoice-Desk-Not-Expanded"


def desk_code(code: str) -> str | None:
    """Our code as callers are told it, beside Stripe's; None where it says nothing."""
    return None if not code or code in WITHOUT_CODE else str(code)


def error_of_rate_limit(error: dict[str, Any], operation: str | None, headers: dict[str, str]) -> ApiError:
    """Stripe's 429, with its advice. Nothing was applied, and the same key begins anew."""
    headers = dict(headers)
    if "retry_after" in error:
        headers["Retry-After"] = f"{error['retry_after']:g}"
    if "should_retry" in error:
        headers["Stripe-Should-Retry"] = str(error["should_retry"]).lower()
    left_out = (*OWN_MEMBERS, "retry_after", "should_retry")
    members = {name: value for name, value in error.items() if name not in left_out}
    return ApiError(
        429,
        error.get("message") or "Request rate limit exceeded.",
        type=error.get("type") or "invalid_request_error",
        code=error.get("code") or "rate_limit",
        headers=headers,
        **members | {"desk_code": str(Code.STRIPE_UNAVAILABLE), "operation": operation},
    )


def take_wait(request: Request, nested: parameters.Nested, default: int) -> int:
    """For how many seconds the caller waits for an outcome. Raises ApiError."""
    return parameters.take_seconds(request, nested, "wait", WAIT_HEADER, default=default, most=waiting.MAX_SECONDS)


def take_paths(request: Request, nested: parameters.Nested) -> list[str]:
    """What Stripe is to show whole in its answer. Raises ApiError (400, 403)."""
    paths = list(dict.fromkeys(parameters.take_array(nested, "expand")))
    if len(paths) > MAX_PATHS or any(len(path) > MAX_PATH_LENGTH or not path.isprintable() for path in paths):
        raise invalid(
            f"Invalid expand: at most {MAX_PATHS} paths of {MAX_PATH_LENGTH} printable characters.",
            "expand",
        )
    members = {name for path in paths for name in path.split(".")}
    require_permissions(request, *sorted({SHOWS[name] for name in members & SHOWS.keys()}))
    expand.parse_paths("invoice", paths)
    return paths


def check_paths(invoice: str, paths: list[str]) -> None:
    """Asks Stripe with a read whether it expands the paths of which only Stripe can say so, before anything is begun:
    so a path that it refuses leaves the key free, and no first call of two is done. Raises ApiError (400)."""
    if not any(path.rest for path in expand.parse_paths("invoice", paths)):
        return
    try:
        answers.read(invoice, paths)
    except gateway.RefusedByStripe as error:
        members = {name: value for name, value in outcomes.reduced(error).items() if name not in OWN_MEMBERS}
        raise ApiError(400, error.message, code=error.code or None, param=error.body.get("param"), **members) from error
    except gateway.GatewayError:
        return  # of the invoice, or of Stripe: said where the action asks for it


def error_type(code: str, status: int) -> str:
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
