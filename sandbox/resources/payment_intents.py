"""/v1/payment_intents: create, confirm, update and cancel. An invoice's own PaymentIntent can only be confirmed."""

from sandbox import payment_attempts, payments, refusals, shapes
from sandbox.call import Call
from sandbox.charging import charge
from sandbox.currencies import check_amount, check_charge, currency
from sandbox.events import emit
from sandbox.params import (
    anything,
    array_of,
    boolean,
    clearable,
    hash_of,
    integer,
    metadata,
    not_empty,
    one_of,
    text,
    time_or_range,
)
from sandbox.paying import find_method
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import HIDDEN, StripeObject

TOO_SMALL = (
    "This value must be greater than or equal to 1. The minimum charge amount depends on the currency; see "
    "https://stripe.com/docs/currencies#minimum-and-maximum-charge-amounts."
)
METHOD_MISSING = (
    "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
    "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method "
    "or ConfirmationToken."
)
OWNED_BY_INVOICE = "This PaymentIntent was created by an invoice and cannot be changed directly."
WRONG_STATUS = "You cannot {} this PaymentIntent because it has a status of {}."


def amount_given(call: Call, currency: str) -> int:
    amount: int = call.params["amount"]
    if amount < 1:
        raise refusals.invalid_parameter(TOO_SMALL, "amount", "parameter_invalid_integer")
    check_amount(amount, currency, "amount")
    return amount


def charged_amount_given(call: Call, currency: str) -> int:
    """As `amount_given`, and not below the least that Stripe charges; a refund may be smaller."""
    amount = amount_given(call, currency)
    check_charge(amount, currency, "amount")
    return amount


def create(call: Call) -> StripeObject:
    amount = charged_amount_given(call, call.params["currency"])
    customer = common.fetch_named(call, "customer", "customer")["id"] if "customer" in call.params else None
    intent = shapes.payment_intent(call.now, amount, call.params["currency"], customer)
    set_members(call, intent)
    if "payment_method" in call.params:
        intent["payment_method"] = find_method(call, call.params["payment_method"], "payment_method", customer)["id"]
        intent["status"] = "requires_confirmation"
    intent[HIDDEN] = {}
    call.db.add("payment_intent", intent)
    emit(call, "payment_intent.created", intent)
    return confirm_intent(call, intent) if call.params.get("confirm") else intent


def set_members(call: Call, intent: StripeObject) -> None:
    """Set the members that the parameters name."""
    names = ("description", "receipt_email", "setup_future_usage", "statement_descriptor", "transfer_group")
    common.set_given(intent, call, *names, "capture_method", "confirmation_method", "payment_method_types")
    common.set_metadata(intent, call)
    if "shipping" in call.params:
        intent["shipping"] = common.shipping(call.params["shipping"])
    if "payment_method_types" not in call.params and intent["automatic_payment_methods"] is None:
        intent["automatic_payment_methods"] = {"allow_redirects": "always", "enabled": True}
    if "automatic_payment_methods" in call.params:
        intent["automatic_payment_methods"] = {"allow_redirects": "always", **call.params["automatic_payment_methods"]}
    if "payment_details" in call.params:
        intent["payment_details"] = {
            "customer_reference": None,
            "order_reference": None,
            **call.params["payment_details"],
        }


def confirm(call: Call) -> StripeObject:
    intent = common.fetch(call, "payment_intent", "intent")
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", intent["customer"])
        intent["payment_method"] = method["id"]
    return confirm_intent(call, intent)


def confirm_intent(call: Call, intent: StripeObject) -> StripeObject:
    """Try the payment method now. A decline is raised; an intent that needs the customer is returned."""
    if intent["status"] in ("succeeded", "canceled", "processing"):
        raise wrong_status("confirm", intent)
    method = call.db.get("payment_method", intent["payment_method"] or "")
    if method is None:
        raise refusals.not_allowed(METHOD_MISSING, code="payment_intent_unexpected_state")
    problem = charge_own_invoice(call, intent, method)
    if problem is None:
        problem = payment_attempts.attempt(call, intent, method, on_session=not call.params.get("off_session"))
    elif problem is True:
        problem = None
    if problem and problem.error["code"] != "invoice_payment_intent_requires_action":
        raise problem
    return call.db.get("payment_intent", intent["id"]) or intent


def charge_own_invoice(call: Call, intent: StripeObject, method: StripeObject) -> "refusals.Refusal | bool | None":
    """If this is an invoice's own intent (the hosted page confirms it), charge the invoice, which counts the attempt.

    Returns the decline, True if there was none, or None if the intent belongs to no invoice.
    """
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if payment["is_default"] and invoice:
            return charge(call, invoice, method, on_session=not call.params.get("off_session")) or True
    return None


def wrong_status(what: str, intent: StripeObject) -> refusals.Refusal:
    return refusals.not_allowed(WRONG_STATUS.format(what, intent["status"]), code="payment_intent_unexpected_state")


def fetch_changeable(call: Call, what: str) -> StripeObject:
    """The intent, if it may be changed directly: one that an invoice made may not."""
    intent = common.fetch(call, "payment_intent", "intent")
    if any(one["is_default"] for one in call.db.find("invoice_payment", payment_intent=intent["id"])):
        raise refusals.not_allowed(OWNED_BY_INVOICE)
    if intent["status"] in ("succeeded", "canceled", "processing") and what != "update":
        raise wrong_status(what, intent)
    return intent


def update(call: Call) -> StripeObject:
    intent = fetch_changeable(call, "update")
    if set(call.params) - {"metadata", "description", "expand"} and intent["status"] in (
        "succeeded",
        "canceled",
        "processing",
    ):
        raise wrong_status("update", intent)
    if "amount" in call.params:
        intent["amount"] = charged_amount_given(call, call.params.get("currency") or intent["currency"])
    common.set_given(intent, call, "currency")
    set_members(call, intent)
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", intent["customer"])
        intent.update(payment_method=method["id"], status="requires_confirmation")
    return call.db.save("payment_intent", intent)


def cancel(call: Call) -> StripeObject:
    intent = fetch_changeable(call, "cancel")
    payments.cancel_intent(call, intent, call.params.get("cancellation_reason"))
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = call.now
        call.db.save("invoice_payment", payment)
    return intent


COMMON = {
    "automatic_payment_methods": hash_of(("enabled",), enabled=boolean, allow_redirects=one_of("always", "never")),
    "capture_method": one_of("automatic", "automatic_async"),
    "confirmation_method": one_of("automatic", "manual"),
    "description": clearable(text),
    "metadata": metadata,
    "payment_details": hash_of(customer_reference=clearable(text), order_reference=clearable(text)),
    "payment_method": not_empty,
    "payment_method_options": anything,
    "payment_method_types": array_of(text),
    "receipt_email": clearable(text),
    "setup_future_usage": clearable(one_of("off_session", "on_session")),
    "shipping": clearable(hash_of(("address", "name"), address=anything, name=text, phone=text)),
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    "transfer_group": text,
}
CONFIRM = {
    "error_on_requires_action": boolean,
    "mandate": text,
    "mandate_data": anything,
    "off_session": lambda value, path: True if value in ("one_off", "recurring") else boolean(value, path),
    "return_url": text,
    "use_stripe_sdk": boolean,
}
ROUTES = [
    post(
        "/v1/payment_intents",
        create,
        ("amount", "currency"),
        amount=integer,
        currency=currency,
        customer=text,
        confirm=boolean,
        **COMMON,
        **CONFIRM,
    ),
    listing("/v1/payment_intents", common.listing("payment_intent"), created=time_or_range, customer=text),
    get("/v1/payment_intents/:intent", common.retrieving("payment_intent", "intent"), client_secret=text),
    post("/v1/payment_intents/:intent", update, amount=integer, currency=currency, **COMMON),
    post("/v1/payment_intents/:intent/confirm", confirm, payment_method=not_empty, receipt_email=text, **CONFIRM),
    post(
        "/v1/payment_intents/:intent/cancel",
        cancel,
        cancellation_reason=one_of("duplicate", "fraudulent", "requested_by_customer", "abandoned"),
    ),
]
