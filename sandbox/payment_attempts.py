"""One attempt to pay a PaymentIntent: it succeeds, fails, stays processing or needs the customer.

Here a card or a bank account is charged. paying_from_source.py charges legacy sources.
"""

from sandbox import ACCOUNT, cards, payments, received_money, refusals, shapes, unknowns
from sandbox.call import Call
from sandbox.events import emit
from sandbox.refusals import Refusal
from sandbox.store import HIDDEN, StripeObject, visible
from sandbox.timers import set_timer

DAY_SECONDS = 86400
NEEDS_AUTHENTICATION = "Your card was declined. This transaction requires authentication."


def attempt(call: Call, intent: StripeObject, method: StripeObject, on_session: bool) -> Refusal | None:
    """Charge the payment method; None if that succeeded or is processing.

    A decline is returned, not raised, because the caller still has to record it on the invoice.
    """
    hidden = method.get(HIDDEN, {})
    card = cards.card_of(method)
    intent["payment_method_types"] = sorted({*intent["payment_method_types"], method["type"]})
    if hidden.get("debit"):
        start_processing(call, intent, method)
        return None
    if card.authenticate and on_session:
        require_action(call, intent, method)
        return refusals.action_required()
    if card.authenticate:
        return fail(call, intent, method, "authentication_required", "authentication_required", NEEDS_AUTHENTICATION)
    if card.decline:
        return fail(call, intent, method, card.code, card.decline, card.message, card.advice, card.network)
    succeed(call, intent, method)
    return None


def succeed(call: Call, intent: StripeObject, method: StripeObject | None) -> None:
    charge = save_charge(call, intent, shapes.charge(call.now, intent, method, "succeeded"))
    if intent.get(HIDDEN, {}).get("invoice"):
        payments.count_charge(call, intent[HIDDEN]["invoice"])
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        payment_method=method["id"] if method else None,
        last_payment_error=None,
        next_action=None,
        processing=None,
    )
    call.db.save("payment_intent", intent)
    emit(call, "charge.succeeded", charge)
    emit(call, "payment_intent.succeeded", intent)
    pay_attached_invoices(call, intent)


def save_charge(call: Call, intent: StripeObject, charge: StripeObject) -> StripeObject:
    """Store the charge, in place of the intent's pending charge if there is one."""
    pending = call.db.get("charge", intent["latest_charge"] or "")
    if pending is None or pending["status"] != "pending":
        return call.db.add("charge", charge)
    return call.db.save("charge", {**charge, "id": pending["id"], "created": pending["created"]})


def pay_attached_invoices(call: Call, intent: StripeObject) -> None:
    """Pass the money on to every open invoice payment of this intent."""
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if invoice:
            received_money.receive(call, invoice, payment, intent["amount_received"])


def start_processing(call: Call, intent: StripeObject, method: StripeObject) -> None:
    charge = call.db.add("charge", shapes.charge(call.now, intent, method, "pending"))
    intent.update(status="processing", payment_method=method["id"], latest_charge=charge["id"], last_payment_error=None)
    call.db.save("payment_intent", intent)
    if method[HIDDEN].get("bank_says"):
        set_timer(call, "bank", intent["id"], call.now + unknowns.BANK_DAYS * DAY_SECONDS)
    emit(call, "charge.pending", charge)
    emit(call, "payment_intent.processing", intent)


def require_action(call: Call, intent: StripeObject, method: StripeObject) -> None:
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?merchant={ACCOUNT}&payment_intent={intent['id']}"
    intent.update(
        status="requires_action",
        payment_method=method["id"],
        last_payment_error=None,
        next_action={"redirect_to_url": {"return_url": None, "url": url}, "type": "redirect_to_url"},
    )
    call.db.save("payment_intent", intent)
    emit(call, "payment_intent.requires_action", intent)


def fail(
    call: Call,
    intent: StripeObject,
    method: StripeObject,
    code: str,
    decline: str,
    message: str,
    advice: str | None = None,
    network: str | None = None,
) -> Refusal:
    """Record a failed charge and return the decline.

    `code`, `decline` and `message` are Stripe's error code, decline code and text; `advice` and `network` its advice
    code and network decline code (Stripe docs: Card declines).
    """
    outcome = shapes.declined_outcome(decline, advice, network)
    failed = shapes.charge(
        call.now, intent, method, "failed", failure_code=code, failure_message=message, outcome=outcome
    )
    failed = save_charge(call, intent, failed)
    error = {
        "advice_code": advice,
        "charge": failed["id"],
        "code": code,
        "decline_code": decline,
        "doc_url": refusals.DOC_URL + code.replace("_", "-"),
        "message": message,
        "network_decline_code": network,
        "payment_method": visible(method),
        "type": "card_error",
    }
    error = {name: value for name, value in error.items() if value is not None}
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        latest_charge=failed["id"],
        last_payment_error=error,
        next_action=None,
        processing=None,
    )
    call.db.save("payment_intent", intent)
    emit(call, "charge.failed", failed)
    emit(call, "payment_intent.payment_failed", intent)
    return refusals.card_declined(error, payment_intent=visible(intent))
