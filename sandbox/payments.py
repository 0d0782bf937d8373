"""InvoicePayments: what an invoice is waiting for, and the intents behind it."""

from sandbox import refusals, shapes
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.store import HIDDEN, Obj


def open_default(call: Call, invoice: Obj) -> None:
    """At finalization Stripe makes an intent for the whole amount, and the payment that will carry it."""
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


def open_payments(call: Call, invoice: Obj) -> list[Obj]:
    return call.db.find("invoice_payment", invoice=invoice["id"], status="open")


def default_of(call: Call, invoice: Obj) -> Obj | None:
    return next((one for one in open_payments(call, invoice) if one["is_default"]), None)


def intent_of(call: Call, payment: Obj) -> Obj | None:
    id = payment["payment"].get("payment_intent")
    return call.db.get("payment_intent", id) if id else None


def refuse_while_processing(call: Call, invoice: Obj, message: str) -> None:
    for payment in open_payments(call, invoice):
        intent = intent_of(call, payment)
        if intent and intent["status"] == "processing":
            raise refusals.refused(message)


def cancel_open(call: Call, invoice: Obj, reason: str) -> None:
    """An intent made for the invoice dies with its payment; one that was attached lives on by itself.

    Money that is on its way cannot be called back: its payment stays open, and what arrives is too much.
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


def cancel_intent(call: Call, intent: Obj, reason: str | None) -> None:
    intent.update(status="canceled", canceled_at=call.now, cancellation_reason=reason, next_action=None)
    call.db.save("payment_intent", intent)
    emit(call, "payment_intent.canceled", intent)


def change_balance(call: Call, customer: Obj, by: int) -> None:
    before = snapshot(customer)
    customer["balance"] += by
    call.db.save("customer", customer)
    emit(call, "customer.updated", customer, before)


def lower_default(call: Call, invoice: Obj) -> None:
    """The default payment always asks for what remains."""
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
    call.db.execute(
        "INSERT INTO charged VALUES (?, 1) ON CONFLICT (invoice) DO UPDATE SET n = n + 1",
        (invoice,),
    )
