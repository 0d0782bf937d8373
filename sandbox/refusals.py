"""Every error that the API answers with: Stripe's status, type, code, param and message (Stripe docs: Errors).

The messages are those seen at Stripe. Where none has been seen, unknowns.py has the one chosen here.
"""

from typing import Any

Error = dict[str, Any]  # the `error` member of the reply
DOC_URL = "https://stripe.com/docs/error-codes/"

FINALIZED = "This invoice is already finalized, you can't re-finalize a non-draft invoice."
PAID = "Invoice is already paid"
NOT_OPEN = "You can only pass in open invoices. This invoice isn't open."  # called V1 in unknowns.py
HAS_PAYMENTS = "Invoices with `paid` payments cannot be voided."  # called V2 in unknowns.py
UNCOLLECTIBLE = "This invoice has already been marked uncollectible."
NOT_DRAFT = "You can only delete draft invoices."
SUBSCRIPTION_DRAFT = "You can't delete invoices created by subscriptions."
NOT_SENDABLE = (  # called S1 in unknowns.py
    "This invoice cannot be sent right now. Please contact us via https://support.stripe.com/contact with details, "
    "so we can help."
)
NOT_EDITABLE = "Finalized invoices can't be updated in this way"
LINES_CLOSED = "Invalid invoice: This invoice is no longer editable"
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
LABELS = {
    "payment_method": "PaymentMethod",
    "invoiceitem": "Invoice Item",
}  # how messages spell a kind; other kinds as they are


class Refusal(Exception):
    """An error reply, raised anywhere below app.py.

    `keeps_effects`: what was done before it stays done, such as the failed charge of a declined card.
    `saved_under_key`: a repeat under the same idempotency key gets this reply again. Stripe does not save errors of
    validation, authentication and rate limits (Stripe docs: Idempotent requests).
    `has_log_url`: the error has a `request_log_url`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps_effects: bool = False,
        saved_under_key: bool = True,
        has_log_url: bool = True,
        headers: dict[str, str] | None = None,
        **members: Any,
    ):
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.keeps_effects, self.saved_under_key, self.has_log_url = keeps_effects, saved_under_key, has_log_url
        documented = code and not code.endswith("payment_intent_requires_action")  # these have no page in the docs
        doc_url = DOC_URL + code.replace("_", "-") if code and documented else None
        error: Error = {"code": code, "doc_url": doc_url, "message": message, "param": param, "type": type, **members}
        self.error = {name: value for name, value in sorted(error.items()) if value is not None}


def invalid_parameter(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """400: a parameter fails validation. The request was not executed, so no idempotency key saves the reply."""
    return Refusal(400, message, param=param, code=code, saved_under_key=False)


def not_allowed(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """400: the parameters are valid, but the object's present state forbids the request."""
    return Refusal(400, message, param=param, code=code)


def not_divisible_by_hundred(currency: str) -> Refusal:
    """400: an amount with decimals in a currency that has none any more, though its minor unit is a hundredth."""
    return invalid_parameter(
        f"Invalid amount. Currency {currency.upper()} has become effectively zero-decimal and charged amounts must be "
        "evenly divisible by 100. See https://stripe.com/docs/currencies#special-cases for more information.",
        code="invalid_charge_amount_no_decimal_compatible",
    )


def resource_missing(kind: str, id: str, param: str | None = "id", status: int = 404) -> Refusal:
    message = f"No such {LABELS.get(kind, kind)}: '{id}'"
    if kind == "invoiceitem":
        message += "(livemode=false)"
    return Refusal(status, message, code="resource_missing", param=param)


def resource_missing_in_parameter(kind: str, id: str, param: str) -> Refusal:
    """An unknown id in a parameter is a 400; in the address it is a 404."""
    return resource_missing(kind, id, param, status=400)


def parameter_missing(name: str) -> Refusal:
    return invalid_parameter(f"Missing required param: {name}.", name, "parameter_missing")


def parameter_unknown(name: str) -> Refusal:
    return invalid_parameter(f"Received unknown parameter: {name}", name, "parameter_unknown")


def unknown_url(method: str, path: str) -> Refusal:
    return Refusal(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
        saved_under_key=False,
    )


def api_key_missing() -> Refusal:
    return Refusal(
        401, NO_KEY, saved_under_key=False, has_log_url=False, headers={"WWW-Authenticate": 'Basic realm="Stripe"'}
    )


def api_key_unknown(key: str) -> Refusal:
    shown = key[:8] + "*" * max(len(key) - 12, 0) + key[-4:] if len(key) > 12 else "*" * len(key)
    return Refusal(401, f"Invalid API Key provided: {shown}", saved_under_key=False, has_log_url=False)


def idempotency_key_other_parameters(key: str) -> Refusal:
    return Refusal(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a "
        f"key other than '{key}' if you meant to execute a different request.",
        type="idempotency_error",
        saved_under_key=False,
    )


def idempotency_key_other_endpoint(key: str, first: str, now: str) -> Refusal:
    return Refusal(
        400,
        f"Keys for idempotent requests can only be used for the same endpoint they were first used for ('{first}' vs "
        f"'{now}'). Try using a key other than '{key}' if you meant to execute a different request.",
        type="idempotency_error",
        saved_under_key=False,
    )


def idempotency_key_in_use(key: str) -> Refusal:
    return Refusal(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        type="idempotency_error",
        code="idempotency_key_in_use",
        saved_under_key=False,
        headers={"Stripe-Should-Retry": "true"},
    )


def rate_limited() -> Refusal:
    return Refusal(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        saved_under_key=False,
        headers={"Retry-After": "1", "Stripe-Should-Retry": "true", "Stripe-Rate-Limited-Reason": "global-rate"},
    )


def server_error() -> Refusal:
    """500, by a fault or by a bug of the sandbox. Stripe saves it under the idempotency key."""
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
        keeps_effects=True,
        headers={"Stripe-Should-Retry": "false"},
    )


def card_declined(error: Error, **objects: Any) -> Refusal:
    """402: the charge failed. The failed charge and its events are kept."""
    members = {name: value for name, value in error.items() if name not in ("type", "code", "message", "doc_url")}
    return Refusal(
        402,
        error["message"],
        type="card_error",
        code=error["code"],
        keeps_effects=True,
        headers={"Stripe-Should-Retry": "false"},
        **{**members, **objects},
    )
