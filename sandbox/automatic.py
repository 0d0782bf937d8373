"""What Stripe does with an invoice by itself: finalize it after an hour, charge it, and charge it again."""

from sandbox import payments, receipts, transitions
from sandbox.call import Call
from sandbox.charging import charge, plan_retry
from sandbox.collection import stored_method
from sandbox.events import emit, snapshot
from sandbox.timers import alarm, set_alarm


@alarm("finalize")
def finalize_by_itself(call: Call, id: str) -> None:
    invoice = call.db.get("invoice", id)
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    transitions.finalize(call, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        charge_by_itself(call, id)
    elif invoice["status"] == "open":
        emit(call, "invoice.sent", invoice)


@alarm("charge")
def charge_by_itself(call: Call, id: str) -> None:
    """Stripe's own attempt: it has nobody to answer to, so what goes wrong is told by events alone."""
    invoice = call.db.get("invoice", id)
    if invoice is None or invoice["status"] != "open" or payments.default_of(call, invoice) is None:
        return
    set_alarm(call, "charge", id, None)
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
    receipts.count_attempt(call, invoice)
    plan_retry(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)
    emit(call, "invoice.payment_failed", invoice)
