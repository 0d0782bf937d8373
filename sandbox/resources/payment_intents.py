"""/v1/payment_intents: payments of their own, and those that an invoice made."""

from sandbox import intents, payments, refusals, shapes
from sandbox.call import Call
from sandbox.charging import charge
from sandbox.collection import find_method
from sandbox.currencies import currency
from sandbox.events import emit
from sandbox.params import (
    anything,
    array_of,
    boolean,
    clearable,
    filled,
    hash_of,
    integer,
    metadata,
    moment_or_range,
    one_of,
    text,
)
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import HIDDEN, Obj

TOO_SMALL = (
    "This value must be greater than or equal to 1. The minimum charge amount depends on the currency; see "
    "https://stripe.com/docs/currencies#minimum-and-maximum-charge-amounts."
)
NEEDS_METHOD = (
    "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
    "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method "
    "or ConfirmationToken."
)
OF_INVOICE = "This PaymentIntent was created by an invoice and cannot be changed directly."
STATE = "You cannot {} this PaymentIntent because it has a status of {}."


def amount_given(call: Call) -> int:
    amount: int = call.params["amount"]
    if amount < 1:
        raise refusals.invalid(TOO_SMALL, "amount", "parameter_invalid_integer")
    return amount


def create(call: Call) -> Obj:
    amount = amount_given(call)
    customer = common.named_in(call, "customer", "customer")["id"] if "customer" in call.params else None
    intent = shapes.payment_intent(call.now, amount, call.params["currency"], customer)
    apply(call, intent)
    if "payment_method" in call.params:
        intent["payment_method"] = find_method(call, call.params["payment_method"], "payment_method", customer)["id"]
        intent["status"] = "requires_confirmation"
    intent[HIDDEN] = {}
    call.db.add("payment_intent", intent)
    emit(call, "payment_intent.created", intent)
    return confirmed(call, intent) if call.params.get("confirm") else intent


def apply(call: Call, intent: Obj) -> None:
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


def confirm(call: Call) -> Obj:
    intent = common.fetch(call, "payment_intent", "intent")
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", intent["customer"])
        intent["payment_method"] = method["id"]
    return confirmed(call, intent)


def confirmed(call: Call, intent: Obj) -> Obj:
    if intent["status"] in ("succeeded", "canceled", "processing"):
        raise unexpected("confirm", intent)
    method = call.db.get("payment_method", intent["payment_method"] or "")
    if method is None:
        raise refusals.refused(NEEDS_METHOD, code="payment_intent_unexpected_state")
    problem = through_invoice(call, intent, method)
    if problem is None:
        problem = intents.attempt(call, intent, method, on_session=not call.params.get("off_session"))
    elif problem is True:
        problem = None
    if problem and problem.error["code"] != "invoice_payment_intent_requires_action":
        raise problem
    return call.db.get("payment_intent", intent["id"]) or intent


def through_invoice(call: Call, intent: Obj, method: Obj) -> "refusals.Refusal | bool | None":
    """The customer pays on the hosted page: the attempt is the invoice's, and is counted there."""
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if payment["is_default"] and invoice:
            return charge(call, invoice, method, on_session=not call.params.get("off_session")) or True
    return None


def unexpected(what: str, intent: Obj) -> refusals.Refusal:
    return refusals.refused(STATE.format(what, intent["status"]), code="payment_intent_unexpected_state")


def own(call: Call, what: str) -> Obj:
    """An invoice's intent follows the invoice alone."""
    intent = common.fetch(call, "payment_intent", "intent")
    if any(one["is_default"] for one in call.db.find("invoice_payment", payment_intent=intent["id"])):
        raise refusals.refused(OF_INVOICE)
    if intent["status"] in ("succeeded", "canceled", "processing") and what != "update":
        raise unexpected(what, intent)
    return intent


def update(call: Call) -> Obj:
    intent = own(call, "update")
    if set(call.params) - {"metadata", "description", "expand"} and intent["status"] in (
        "succeeded",
        "canceled",
        "processing",
    ):
        raise unexpected("update", intent)
    if "amount" in call.params:
        intent["amount"] = amount_given(call)
    common.set_given(intent, call, "currency")
    apply(call, intent)
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", intent["customer"])
        intent.update(payment_method=method["id"], status="requires_confirmation")
    return call.db.save("payment_intent", intent)


def cancel(call: Call) -> Obj:
    intent = own(call, "cancel")
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
    "payment_method": filled,
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
    listing("/v1/payment_intents", common.listing("payment_intent"), created=moment_or_range, customer=text),
    get("/v1/payment_intents/:intent", common.retrieving("payment_intent", "intent"), client_secret=text),
    post("/v1/payment_intents/:intent", update, amount=integer, currency=currency, **COMMON),
    post("/v1/payment_intents/:intent/confirm", confirm, payment_method=filled, receipt_email=text, **CONFIRM),
    post(
        "/v1/payment_intents/:intent/cancel",
        cancel,
        cancellation_reason=one_of("duplicate", "fraudulent", "requested_by_customer", "abandoned"),
    ),
]
