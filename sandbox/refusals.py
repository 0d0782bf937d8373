"""Every refusal, in Stripe's words: status, type, code, param and message."""

from typing import Any

Error = dict[str, Any]
DOC_URL = "https://stripe.com/docs/error-codes/"

FINALIZED = "This invoice is already finalized, you can't re-finalize a non-draft invoice."  # F1
PAID = "Invoice is already paid"  # P1
NOT_OPEN = "You can only pass in open invoices. This invoice isn't open."  # V1
HAS_PAYMENTS = "Invoices with `paid` payments cannot be voided."  # V2
UNCOLLECTIBLE = "This invoice has already been marked uncollectible."  # U1
NOT_DRAFT = "You can only delete draft invoices."  # D1
SUBSCRIPTION_DRAFT = "You can't delete invoices created by subscriptions."
NOT_SENDABLE = (  # S1
    "This invoice cannot be sent right now. Please contact us via https://support.stripe.com/contact with details, "
    "so we can help."
)
NOT_EDITABLE = "Finalized invoices can't be updated in this way"  # E1
LINES_CLOSED = "Invalid invoice: This invoice is no longer editable"  # L1
ITEM_DELETED = "This invoice item has been deleted."
ITEM_CLOSED = "Can't delete an invoice item that is attached to an invoice that is no longer editable"
NEEDS_DUE_DATE = "If invoice collection method is 'send_invoice', you must specify 'due_date' or 'days_until_due'."
NO_DUE_DATE = "You can only specify 'due_date' or 'days_until_due' if invoice collection method is 'send_invoice'."
NO_PAYMENT_SOURCE = (
    "This customer has no attached payment source or default payment method. Please consider adding a default payment "
    "method. For more information, visit "
    "https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority."
)
ACTION_REQUIRED = (
    "This payment requires additional user action before it can be completed successfully. Payment can be completed "
    "using the PaymentIntent associated with the invoice. For more details see: "
    "https://stripe.com/docs/billing/subscriptions/overview#requires-action"
)
NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
LABELS = {"payment_method": "PaymentMethod", "invoiceitem": "Invoice Item"}  # how 404s spell what they miss


class Refusal(Exception):
    """`keeps`: what was done before stays done (a decline). `saved`: an idempotency key remembers this answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps: bool = False,
        saved: bool = True,
        logged: bool = True,
        headers: dict[str, str] | None = None,
        **members: Any,
    ):
        super().__init__(message)
        self.status, self.keeps, self.saved, self.logged = status, keeps, saved, logged
        self.headers = headers or {}
        documented = code and not code.endswith("payment_intent_requires_action")  # the codes without a page
        doc_url = DOC_URL + code.replace("_", "-") if code and documented else None
        error: Error = {"code": code, "doc_url": doc_url, "message": message, "param": param, "type": type, **members}
        self.error = {name: value for name, value in sorted(error.items()) if value is not None}


def invalid(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """A parameter that fails validation: the request never began, so no key remembers it."""
    return Refusal(400, message, param=param, code=code, saved=False)


def refused(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """The request was understood, and the state of things forbids it."""
    return Refusal(400, message, param=param, code=code)


def missing(kind: str, id: str, param: str | None = "id", status: int = 404) -> Refusal:
    message = f"No such {LABELS.get(kind, kind)}: '{id}'"
    if kind == "invoiceitem":
        message += "(livemode=false)"
    return Refusal(status, message, code="resource_missing", param=param)


def missing_param(kind: str, id: str, param: str) -> Refusal:
    """An id inside the parameters is a 400, where the same id in the address is a 404."""
    return missing(kind, id, param, status=400)


def required(name: str) -> Refusal:
    return invalid(f"Missing required param: {name}.", name, "parameter_missing")


def unknown_parameter(name: str) -> Refusal:
    return invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def unknown_url(method: str, path: str) -> Refusal:
    return Refusal(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
        saved=False,
    )


def no_key() -> Refusal:
    return Refusal(401, NO_KEY, saved=False, logged=False, headers={"WWW-Authenticate": 'Basic realm="Stripe"'})


def wrong_key(key: str) -> Refusal:
    shown = key[:8] + "*" * max(len(key) - 12, 0) + key[-4:] if len(key) > 12 else "*" * len(key)
    return Refusal(401, f"Invalid API Key provided: {shown}", saved=False, logged=False)


def other_parameters(key: str) -> Refusal:
    return Refusal(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a "
        f"key other than '{key}' if you meant to execute a different request.",
        type="idempotency_error",
        saved=False,
    )


def other_endpoint(key: str, first: str, now: str) -> Refusal:
    return Refusal(
        400,
        f"Keys for idempotent requests can only be used for the same endpoint they were first used for ('{first}' vs "
        f"'{now}'). Try using a key other than '{key}' if you meant to execute a different request.",
        type="idempotency_error",
        saved=False,
    )


def key_in_use(key: str) -> Refusal:
    return Refusal(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        type="idempotency_error",
        code="idempotency_key_in_use",
        saved=False,
        headers={"Stripe-Should-Retry": "true"},
    )


def rate_limited() -> Refusal:
    return Refusal(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        saved=False,
        headers={"Retry-After": "1", "Stripe-Should-Retry": "true", "Stripe-Rate-Limited-Reason": "global-rate"},
    )


def broken() -> Refusal:
    return Refusal(
        500,
        "An unknown error occurred. Stripe has been notified; please try again, or contact "
        "https://support.stripe.com/ with the request id.",
        type="api_error",
    )


def action_required() -> Refusal:
    return Refusal(
        402,
        ACTION_REQUIRED,
        type="card_error",
        code="invoice_payment_intent_requires_action",
        keeps=True,
        headers={"Stripe-Should-Retry": "false"},
    )


def declined(error: Error, **objects: Any) -> Refusal:
    """A declined charge has happened: what it left behind is kept."""
    members = {name: value for name, value in error.items() if name not in ("type", "code", "message", "doc_url")}
    return Refusal(
        402,
        error["message"],
        type="card_error",
        code=error["code"],
        keeps=True,
        headers={"Stripe-Should-Retry": "false"},
        **{**members, **objects},
    )
