"""Money that an invoice receives: every payment but paid_out_of_band is recorded here."""

from sandbox import payments
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.store import HIDDEN, StripeObject
from sandbox.transitions import close_as_paid


def count_attempt(call: Call, invoice: StripeObject) -> None:
    """`attempt_count` counts the first attempt and then only automatic ones (Stripe docs: The Invoice object)."""
    invoice["attempted"] = True
    invoice["attempt_count"] = invoice["attempt_count"] + 1 if call.scheduled else max(invoice["attempt_count"], 1)
    if call.scheduled:
        invoice["next_payment_attempt"] = None


def receive(call: Call, invoice: StripeObject, payment: StripeObject, amount: int, forgive: bool = False) -> None:
    """Mark an open payment as paid, add it to the invoice, and set the invoice paid when nothing remains.

    `amount` is in minor units; `forgive` waives what remains.
    """
    before = snapshot(invoice)
    if payment["is_default"]:
        count_attempt(call, invoice)
    payment.update(status="paid", amount_paid=amount)
    payment["status_transitions"]["paid_at"] = call.now
    call.db.save("invoice_payment", payment)
    taken = min(amount, invoice["amount_remaining"])
    invoice["amount_paid"] += taken
    invoice["amount_remaining"] = 0 if forgive else invoice["amount_remaining"] - taken
    invoice["amount_overpaid"] += amount - taken
    if payment["payment"]["type"] == "payment_record":
        hidden = invoice.setdefault(HIDDEN, {})
        hidden["off_stripe"] = hidden.get("off_stripe", 0) + taken
    closes = invoice["amount_remaining"] == 0 and invoice["status"] != "paid"
    if closes:
        payments.cancel_open(call, invoice, "automatic")
        close_as_paid(call, invoice)
    elif invoice["status"] != "paid":
        payments.lower_default(call, invoice)
    call.db.save("invoice", invoice)
    emit(call.without_request(), "invoice_payment.paid", payment)  # at Stripe it names no request
    emit(call, "invoice.updated", invoice, before)
    if closes:
        emit(call, "invoice.paid", invoice)
        emit(call, "invoice.payment_succeeded", invoice)
    if amount > taken:
        credit_customer(call, invoice, amount - taken)


def credit_customer(call: Call, invoice: StripeObject, overpaid: int) -> None:
    """Credit the overpaid amount to the customer's balance, where credit is negative."""
    emit(call, "invoice.overpaid", invoice)
    customer = call.db.get("customer", invoice["customer"])
    if customer:
        payments.change_balance(call, customer, -overpaid)
