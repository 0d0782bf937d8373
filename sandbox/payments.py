"""InvoicePayments: the payments that an invoice waits for or has had, and the PaymentIntents behind them."""

from sandbox import refusals, shapes
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.store import HIDDEN, StripeObject


def open_default(call: Call, invoice: StripeObject) -> None:
    """At finalization Stripe creates a PaymentIntent over the whole amount, and the default payment with it."""
    intent = shapes.payment_intent(
        call.now,
        invoice["amount_remaining"],
        invoice["currency"],
        invoice["customer"],
        capture_method="automatic",
        description="Payment for Invoice",
        payment_details={"customer_reference": None, "order_reference": invoice["id"]},
    )
    intent[HIDDEN] = {"invoice": invoice["id"]}
    call.db.add("payment_intent", intent)
    payment = {"payment_intent": intent["id"], "type": "payment_intent"}
    call.db.add(
        "invoice_payment", shapes.invoice_payment(call.now, invoice, payment, invoice["amount_remaining"], True)
    )
    emit(call, "payment_intent.created", intent)


def open_payments(call: Call, invoice: StripeObject) -> list[StripeObject]:
    return call.db.find("invoice_payment", invoice=invoice["id"], status="open")


def default_of(call: Call, invoice: StripeObject) -> StripeObject | None:
    """The open payment that carries the invoice's own PaymentIntent, and that `pay` charges."""
    return next((one for one in open_payments(call, invoice) if one["is_default"]), None)


def intent_of(call: Call, payment: StripeObject) -> StripeObject | None:
    id = payment["payment"].get("payment_intent")
    return call.db.get("payment_intent", id) if id else None


def refuse_while_processing(call: Call, invoice: StripeObject, message: str) -> None:
    for payment in open_payments(call, invoice):
        intent = intent_of(call, payment)
        if intent and intent["status"] == "processing":
            raise refusals.not_allowed(message)


def cancel_open(call: Call, invoice: StripeObject, reason: str) -> None:
    """Cancel the open payments. The invoice's own PaymentIntent is canceled too; an attached one is only released.

    A payment that is processing cannot be stopped: it stays open, and its money is recorded as overpaid.
    """
    for payment in open_payments(call, invoice):
        intent = intent_of(call, payment)
        if intent and intent["status"] == "processing":
            continue
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = call.now
        call.db.save("invoice_payment", payment)
        if payment["is_default"] and intent and intent["status"] != "canceled":
            cancel_intent(call, intent, reason)
        elif intent:
            intent[HIDDEN].pop("invoice", None)
            call.db.save("payment_intent", intent)


def cancel_intent(call: Call, intent: StripeObject, reason: str | None) -> None:
    intent.update(status="canceled", canceled_at=call.now, cancellation_reason=reason, next_action=None)
    call.db.save("payment_intent", intent)
    emit(call, "payment_intent.canceled", intent)


def change_balance(call: Call, customer: StripeObject, by: int) -> None:
    """Add `by` minor units to the customer's balance; a negative balance is credit."""
    before = snapshot(customer)
    customer["balance"] += by
    call.db.save("customer", customer)
    emit(call, "customer.updated", customer, before)


def lower_default(call: Call, invoice: StripeObject) -> None:
    """Lower the default payment and its PaymentIntent to what remains after a partial payment."""
    default = default_of(call, invoice)
    if default is None:
        return
    default["amount_requested"] = invoice["amount_remaining"]
    call.db.save("invoice_payment", default)
    intent = intent_of(call, default)
    if intent and intent["status"] not in ("succeeded", "canceled", "processing"):
        intent["amount"] = invoice["amount_remaining"]
        call.db.save("payment_intent", intent)


def count_charge(call: Call, invoice: str) -> None:
    """Count a successful charge of this invoice id, for `charges` of /_sandbox/stats."""
    call.db.execute(
        "INSERT INTO charged VALUES (?, 1) ON CONFLICT (invoice) DO UPDATE SET n = n + 1",
        (invoice,),
    )
