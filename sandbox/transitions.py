"""The statuses of an invoice: which call is allowed in which status, and what it changes.

No other module sets a status. The table REFUSED_IN_STATUS is the rule (Stripe docs: Status transitions).
"""

from sandbox import amounts, payments, refusals, shapes, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.store import HIDDEN, StripeObject
from sandbox.timers import on_timer, set_timer

HOUR_SECONDS = 3600
NOT_OPEN = refusals.NOT_OPEN
# call → status → message of the refusal. In a status that is not named the call is allowed.
REFUSED_IN_STATUS: dict[str, dict[str, str]] = {
    "finalize": dict.fromkeys(("open", "paid", "uncollectible", "void"), refusals.FINALIZED),
    "pay": {"paid": refusals.PAID, "void": unknowns.PAY_VOID},
    "pay_out_of_band": {
        "draft": unknowns.PAY_DRAFT_OUT_OF_BAND,
        "paid": refusals.PAID,
        "void": unknowns.PAY_VOID,
    },
    "send": dict.fromkeys(("paid", "uncollectible", "void"), refusals.NOT_SENDABLE),
    "void": {"draft": NOT_OPEN, "paid": refusals.HAS_PAYMENTS, "uncollectible": NOT_OPEN, "void": NOT_OPEN},
    "mark_uncollectible": {
        "draft": NOT_OPEN,
        "paid": NOT_OPEN,
        "uncollectible": refusals.UNCOLLECTIBLE,
        "void": NOT_OPEN,
    },
    "delete": dict.fromkeys(("open", "paid", "uncollectible", "void"), refusals.NOT_DRAFT),
    "attach_payment": dict.fromkeys(("draft", "paid", "void"), unknowns.ATTACH_NOT_OPEN),
    "add_lines": dict.fromkeys(("open", "paid", "uncollectible", "void"), refusals.LINES_CLOSED),
}
REFUSAL_CODES = {"add_lines": "invoice_not_editable"}


def check_allowed(what: str, invoice: StripeObject) -> None:
    """Raise the refusal of this call in the invoice's present status, if there is one."""
    message = REFUSED_IN_STATUS[what].get(invoice["status"])
    if message:
        raise refusals.not_allowed(message, code=REFUSAL_CODES.get(what))


def finalize(call: Call, invoice: StripeObject) -> None:
    """draft → open, or → paid where nothing is due. Freezes number, customer details and balance; charges nothing."""
    before = snapshot(invoice)
    customer = call.db.get("customer", invoice["customer"], deleted=True) or {}
    if not customer.get("deleted"):
        invoice.update(shapes.of_customer(customer))
        assign_number_and_apply_balance(call, invoice, customer)
    invoice.update(status="open", effective_at=invoice["effective_at"] or call.now, automatically_finalizes_at=None)
    invoice.update(shapes.hosted_urls(invoice))
    if invoice["rendering"] and (invoice["rendering"]["pdf"] or {}).get("page_size") == "auto":
        invoice["rendering"]["pdf"]["page_size"] = "letter"
    invoice["status_transitions"]["finalized_at"] = call.now
    invoice["next_payment_attempt"] = None
    set_timer(call, "finalize", invoice["id"], None)
    if invoice["amount_due"] == 0:
        invoice["attempted"] = True
        close_as_paid(call, invoice)
    else:
        plan_collection(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.finalized", invoice)
    if invoice["status"] == "open":
        payments.open_default(call, invoice)
    emit(call, "invoice.updated", invoice, before)
    if invoice["status"] == "paid":
        emit(call, "invoice.paid", invoice)
        emit(call, "invoice.payment_succeeded", invoice)


def assign_number_and_apply_balance(call: Call, invoice: StripeObject, customer: StripeObject) -> None:
    before = snapshot(customer)
    amounts.apply_balance(invoice, customer["balance"])
    if invoice["number"] is None:
        invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
        customer["next_invoice_sequence"] += 1
    invoice["ending_balance"] = amounts.ending_balance(invoice)
    customer["balance"] = invoice["ending_balance"]
    call.db.save("customer", customer)
    if before["balance"] != customer["balance"]:
        emit(call, "customer.updated", customer, before)


def plan_collection(call: Call, invoice: StripeObject) -> None:
    """Set the timers of an open invoice: the first automatic charge, and invoice.overdue."""
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = call.now + unknowns.HOURS_BEFORE_FIRST_CHARGE * HOUR_SECONDS
        set_timer(call, "charge", invoice["id"], invoice["next_payment_attempt"])
    if invoice["due_date"]:
        set_timer(call, "overdue", invoice["id"], invoice["due_date"])


def close_as_paid(call: Call, invoice: StripeObject) -> None:
    """Set the status paid. The caller has recorded the payment and the amounts already."""
    invoice.update(status="paid", auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"]["paid_at"] = call.now
    clear_timers(call, invoice)


def clear_timers(call: Call, invoice: StripeObject) -> None:
    for what in ("finalize", "charge", "overdue"):
        set_timer(call, what, invoice["id"], None)


def pay_out_of_band(call: Call, invoice: StripeObject) -> None:
    """Stripe takes the whole remaining amount as paid elsewhere, and counts no attempt."""
    before = snapshot(invoice)
    payments.refuse_while_processing(call, invoice, unknowns.PAY_WHILE_PROCESSING)
    payments.cancel_open(call, invoice, "automatic")
    hidden = invoice.setdefault(HIDDEN, {})
    hidden["off_stripe"] = hidden.get("off_stripe", 0) + invoice["amount_remaining"]
    invoice.update(amount_paid=invoice["amount_due"], amount_remaining=0)
    close_as_paid(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.paid", invoice)
    emit(call, "invoice.updated", invoice, before)


def void(call: Call, invoice: StripeObject) -> None:
    """open → void. Cancels the open payments; the amounts stay."""
    payments.refuse_while_processing(call, invoice, NOT_OPEN)
    if call.db.find("invoice_payment", invoice=invoice["id"], status="paid"):
        raise refusals.not_allowed(refusals.HAS_PAYMENTS)  # unknowns: void_partly_paid
    payments.cancel_open(call, invoice, "void_invoice")
    give_balance_back(call, invoice)
    invoice.update(status="void", next_payment_attempt=None)
    invoice["status_transitions"]["voided_at"] = call.now
    clear_timers(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.voided", invoice)


def give_balance_back(call: Call, invoice: StripeObject) -> None:
    """Give the customer back the credit that the invoice used, or the debt that it included."""
    used = invoice["starting_balance"] - (invoice["ending_balance"] or 0)
    customer = call.db.get("customer", invoice["customer"])
    if used and customer:
        payments.change_balance(call, customer, used)


def mark_uncollectible(call: Call, invoice: StripeObject) -> None:
    """open → uncollectible. The open payments and the amounts stay, so it can still be paid."""
    invoice.update(status="uncollectible", next_payment_attempt=None)
    invoice["status_transitions"]["marked_uncollectible_at"] = call.now
    clear_timers(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.marked_uncollectible", invoice)


@on_timer("overdue")
def emit_overdue(call: Call, id: str) -> None:
    invoice = call.db.get("invoice", id)
    if invoice and invoice["status"] == "open":
        emit(call, "invoice.overdue", invoice)
