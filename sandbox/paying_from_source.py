"""Paying an invoice from a legacy source, which holds a limited amount.

Too little money is refused, unless `forgive` waives the rest (Stripe docs: Pay an invoice).
"""

from sandbox import payments, received_money, refusals, shapes, unknowns
from sandbox.call import Call
from sandbox.events import emit
from sandbox.refusals import Refusal
from sandbox.store import HIDDEN, StripeObject


def pay(call: Call, invoice: StripeObject, source: StripeObject) -> StripeObject:
    available = source[HIDDEN]["available"]
    wanted = invoice["amount_remaining"]
    forgive = bool(call.params.get("forgive"))
    if source["currency"] and source["currency"] != invoice["currency"]:
        raise refusals.not_allowed(unknowns.ATTACH_CURRENCY.format(source["currency"], invoice["currency"]), "source")
    payment = payments.default_of(call, invoice)
    intent = payments.intent_of(call, payment) if payment else None
    if payment is None or intent is None:
        raise refusals.server_error()
    if available == 0 or (available < wanted and not forgive):
        raise insufficient()
    amount = min(available, wanted)
    source[HIDDEN]["available"] = available - amount
    if "receiver" in source:
        source["receiver"]["amount_charged"] += amount
    call.db.save("source", source)
    charge_source(call, invoice, payment, intent, source, amount)
    return call.db.get("invoice", invoice["id"]) or invoice


def charge_source(
    call: Call, invoice: StripeObject, payment: StripeObject, intent: StripeObject, source: StripeObject, amount: int
) -> None:
    intent.update(amount=amount, source=source["id"])
    made = call.db.add("charge", shapes.charge(call.now, intent, None, "succeeded"))
    payments.count_charge(call, invoice["id"])
    intent.update(status="succeeded", amount_received=amount, latest_charge=made["id"], last_payment_error=None)
    call.db.save("payment_intent", intent)
    emit(call, "charge.succeeded", made)
    emit(call, "payment_intent.succeeded", intent)
    received_money.receive(call, invoice, payment, amount, forgive=True)


def insufficient() -> Refusal:
    return Refusal(
        402,
        "The source does not have enough funds to pay this invoice.",
        type="card_error",
        code="insufficient_funds",
        headers={"Stripe-Should-Retry": "false"},
    )
