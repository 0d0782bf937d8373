"""One attempt to charge an invoice: what it leaves behind on the invoice, and when Stripe tries again."""

from sandbox import intents, payments, receipts, refusals, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.refusals import Refusal
from sandbox.store import Obj
from sandbox.timers import set_alarm

DAY = 86400


def charge(call: Call, invoice: Obj, method: Obj, on_session: bool = False) -> Refusal | None:
    before = snapshot(invoice)
    payment = payments.default_of(call, invoice)
    intent = payments.intent_of(call, payment) if payment else None
    if payment is None or intent is None:
        raise refusals.broken()
    problem = intents.attempt(call, intent, method, on_session)
    if intent["status"] == "succeeded":
        return None
    receipts.count_attempt(call, invoice)
    if problem:
        plan_retry(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)
    if problem and problem.error["code"] == "invoice_payment_intent_requires_action":
        emit(call, "invoice.payment_action_required", invoice)
    elif problem:
        emit(call, "invoice.payment_failed", invoice)
        if problem.error.get("decline_code") == "authentication_required":
            emit(call, "invoice.payment_action_required", invoice)
    return problem


def fail_late(call: Call, intent: Obj, method: Obj) -> None:
    """The bank says no days after it was asked, or the customer does not authenticate."""
    absent = intent["status"] == "requires_action"
    code = "payment_intent_authentication_failure" if absent else "payment_intent_payment_attempt_failed"
    intents.fail(call, intent, method, code, "generic_decline", "The payment failed.")
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if invoice is None:
            continue
        before = snapshot(invoice)
        if invoice["status"] == "paid":  # by other money in the meantime: nothing waits for this one any more
            payments.cancel_open(call, invoice, "automatic")
        elif payment["is_default"]:
            plan_retry(call, invoice)
            call.db.save("invoice", invoice)
            emit(call, "invoice.updated", invoice, before)
            emit(call, "invoice.payment_failed", invoice)


def plan_retry(call: Call, invoice: Obj) -> None:
    if not invoice["auto_advance"] or invoice["collection_method"] != "charge_automatically":
        return
    if invoice["next_payment_attempt"] and not call.scheduled:
        return
    tried = invoice["attempt_count"] - 1
    days = unknowns.RETRY_DAYS[tried] if tried < len(unknowns.RETRY_DAYS) else None
    invoice["next_payment_attempt"] = call.now + days * DAY if days else None
    set_alarm(call, "charge", invoice["id"], invoice["next_payment_attempt"])
