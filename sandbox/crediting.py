"""Credit notes: what they change on their invoice, where the money goes, and voiding one.

A credit note first reduces what remains to be paid. What exceeds it was paid already: it is refunded, credited to the
customer's balance, or given back outside Stripe (Stripe docs: Create a credit note).
"""

from typing import Any

from sandbox import params, payments, refunding, refusals, shapes, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.ids import ids
from sandbox.shapes.credits import LINES_SHOWN
from sandbox.store import HIDDEN, StripeObject
from sandbox.transitions import close_as_paid

WAYS = ("refund_amount", "credit_amount", "out_of_band_amount")  # of what was paid already, in minor units


def issue(call: Call, invoice: StripeObject, lines: list[StripeObject], given: dict[str, Any]) -> StripeObject:
    """Issues a credit note over these lines. `given`: its memo, reason and the like, and the amounts of WAYS."""
    if invoice["status"] not in ("open", "paid"):
        raise refusals.not_allowed(unknowns.CREDIT_NOT_OPEN_OR_PAID, "invoice")
    before = snapshot(invoice)
    total = sum(line["amount"] for line in lines)
    if not 0 < total <= creditable(invoice):
        raise refusals.not_allowed(unknowns.CREDIT_TOO_LARGE.format(total, creditable(invoice)), "amount")
    pre = min(total, invoice["amount_remaining"])
    check_ways(given, total - pre)
    number = len(call.db.find("credit_note", invoice=invoice["id"])) + 1
    note = shapes.credit_note(call.now, invoice, lines, pre, number)
    note.update({name: given[name] for name in ("memo", "reason", "effective_at") if name in given})
    note["metadata"] = params.merged_metadata({}, given.get("metadata"))
    if len(lines) > LINES_SHOWN:
        note[HIDDEN] = {"lines": lines}
    give_back(call, invoice, note, given)
    call.db.add("credit_note", note)
    invoice["post_payment_credit_notes_amount"] += total - pre
    closes = reduce(call, invoice, pre)
    emit(call, "credit_note.created", note)
    emit(call, "invoice.updated", invoice, before)
    if closes:
        emit(call, "invoice.paid", invoice)
    return note


def creditable(invoice: StripeObject) -> int:
    """What of the invoice was not credited yet, in minor units. `amount_due` is without what was credited unpaid."""
    return int(invoice["amount_due"] - invoice["post_payment_credit_notes_amount"])


def check_ways(given: dict[str, Any], post: int) -> None:
    if sum(given.get(name, 0) for name in WAYS) != post:
        raise refusals.not_allowed(unknowns.CREDIT_WAYS.format(post))


def give_back(call: Call, invoice: StripeObject, note: StripeObject, given: dict[str, Any]) -> None:
    """Gives back what was paid, by the ways that were asked for."""
    if amount := given.get("refund_amount"):
        made = refunding.refund(call, charge_to_refund(call, invoice, amount), amount)
        note["refunds"] = [shapes.refund_of_credit_note(made)]
    customer = call.db.get("customer", invoice["customer"])
    if (amount := given.get("credit_amount")) and customer:
        payments.change_balance(call, customer, -amount)
        note["customer_balance_transaction"] = ids.new("customer_balance_transaction")
    note["out_of_band_amount"] = given.get("out_of_band_amount") or None


def charge_to_refund(call: Call, invoice: StripeObject, amount: int) -> StripeObject:
    """A charge that paid the invoice, and of which so much is left."""
    for payment in call.db.find("invoice_payment", invoice=invoice["id"], status="paid"):
        intent = payments.intent_of(call, payment)
        charge = call.db.get("charge", intent["latest_charge"] or "") if intent else None
        if charge and charge["paid"] and refunding.unrefunded(charge) >= amount:
            return charge
    raise refusals.not_allowed(unknowns.CREDIT_WITHOUT_CHARGE, "refund_amount")


def reduce(call: Call, invoice: StripeObject, by: int) -> bool:
    """Lowers what is due and remains by so many minor units; a negative number raises it again. Whether that closes the
    invoice."""
    invoice["pre_payment_credit_notes_amount"] += by
    invoice["amount_due"] -= by
    invoice["amount_remaining"] -= by
    closes = invoice["status"] == "open" and invoice["amount_remaining"] == 0
    if closes:
        payments.cancel_open(call, invoice, "automatic")
        close_as_paid(call, invoice)
    elif by:
        payments.lower_default(call, invoice)
    call.db.save("invoice", invoice)
    return closes


def void(call: Call, note: StripeObject) -> None:
    """Takes the credit note back. Only one that credits nothing that was paid, and while its invoice is open."""
    invoice = call.db.get("invoice", note["invoice"])
    if note["status"] != "issued" or note["post_payment_amount"] or invoice is None or invoice["status"] != "open":
        raise refusals.not_allowed(unknowns.CREDIT_NOT_VOIDABLE)
    before = snapshot(invoice)
    note.update(status="void", voided_at=call.now)
    call.db.save("credit_note", note)
    reduce(call, invoice, -note["pre_payment_amount"])
    emit(call, "credit_note.voided", note)
    emit(call, "invoice.updated", invoice, before)
