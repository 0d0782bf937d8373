"""Automatic collection: Stripe finalizes an invoice after an hour, charges it, and charges it again later."""

from sandbox import payments, received_money, transitions
from sandbox.call import Call
from sandbox.charging import charge, plan_retry
from sandbox.events import emit, snapshot
from sandbox.paying import stored_method
from sandbox.timers import on_timer, set_timer


@on_timer("finalize")
def finalize_automatically(call: Call, id: str) -> None:
    invoice = call.db.get("invoice", id)
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    transitions.finalize(call, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        attempt_automatic_charge(call, id)
    elif invoice["status"] == "open":
        emit(call, "invoice.sent", invoice)


@on_timer("charge")
def attempt_automatic_charge(call: Call, id: str) -> None:
    """One automatic charge. There is no request to answer, so a failure shows in events only."""
    invoice = call.db.get("invoice", id)
    if invoice is None or invoice["status"] != "open" or payments.default_of(call, invoice) is None:
        return
    set_timer(call, "charge", id, None)
    call.scheduled = True
    if any(
        (payments.intent_of(call, one) or {}).get("status") == "processing"
        for one in payments.open_payments(call, invoice)
    ):
        return
    method = stored_method(call, invoice)
    if method:
        charge(call, invoice, method)
        return
    before = snapshot(invoice)
    received_money.count_attempt(call, invoice)
    plan_retry(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)
    emit(call, "invoice.payment_failed", invoice)
