"""One attempt to charge an open invoice: what it changes on the invoice, and when Stripe tries again."""

from sandbox import cards, payment_attempts, payments, received_money, refusals, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.payment_attempts import DAY_SECONDS
from sandbox.refusals import Refusal
from sandbox.store import HIDDEN, StripeObject
from sandbox.timers import on_timer, set_timer


def charge(call: Call, invoice: StripeObject, method: StripeObject, on_session: bool = False) -> Refusal | None:
    """Charge the default payment of the invoice. Returns the decline, or None if it succeeded or is processing."""
    before = snapshot(invoice)
    payment = payments.default_of(call, invoice)
    intent = payments.intent_of(call, payment) if payment else None
    if payment is None or intent is None:
        raise refusals.server_error()
    problem = payment_attempts.attempt(call, intent, method, on_session)
    if intent["status"] == "succeeded":
        return None
    received_money.count_attempt(call, invoice)
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


@on_timer("bank")
def bank_decides(call: Call, id: str) -> None:
    """The bank decides on a debit by itself."""
    intent = call.db.get("payment_intent", id)
    if intent is None or intent["status"] != "processing":
        return
    method = call.db.get("payment_method", intent["payment_method"]) or {}
    end_waiting(call, intent, method[HIDDEN]["bank_says"])


def end_waiting(call: Call, intent: StripeObject, outcome: str) -> None:
    """End a payment that waits for a bank or for the customer's authentication.

    `outcome`: "succeeded", "failed", one of the BANK_FAILURES, or "canceled".
    """
    set_timer(call, "bank", intent["id"], None)
    method = call.db.get("payment_method", intent["payment_method"]) or {}
    if outcome == "succeeded":
        payment_attempts.succeed(call, intent, method)
    elif outcome == "canceled":
        cancel_late(call, intent, method)
    else:
        fail_late(call, intent, method, outcome)


def cancel_late(call: Call, intent: StripeObject, method: StripeObject) -> None:
    """A payment that waited is canceled: its charge has failed, and no money comes. The invoice, if it is still open,
    gets a new default payment (unknowns: cancel_debit)."""
    pending = call.db.get("charge", intent["latest_charge"] or "")
    if pending:
        pending.update(status="failed", paid=False, failure_message="The payment was canceled.")
        call.db.save("charge", pending)
        emit(call, "charge.failed", pending)
    payments.cancel_intent(call, intent, "requested_by_customer")
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = call.now
        call.db.save("invoice_payment", payment)
        if payment["is_default"] and invoice and invoice["status"] in ("open", "uncollectible"):
            payments.open_default(call, invoice)


def fail_late(call: Call, intent: StripeObject, method: StripeObject, reason: str = "failed") -> None:
    """A payment that waited fails: the bank refuses the debit days later, or the customer does not authenticate."""
    not_authenticated = intent["status"] == "requires_action"
    code = "payment_intent_authentication_failure" if not_authenticated else "payment_intent_payment_attempt_failed"
    decline = reason if reason in cards.BANK_FAILURES else "generic_decline"
    payment_attempts.fail(call, intent, method, code, decline, cards.BANK_FAILURES.get(reason, "The payment failed."))
    for payment in call.db.find("invoice_payment", payment_intent=intent["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if invoice is None:
            continue
        before = snapshot(invoice)
        if invoice["status"] == "paid":  # another payment came meanwhile, so this one is not needed
            payments.cancel_open(call, invoice, "automatic")
        elif payment["is_default"]:
            plan_retry(call, invoice)
            call.db.save("invoice", invoice)
            emit(call, "invoice.updated", invoice, before)
            emit(call, "invoice.payment_failed", invoice)


def plan_retry(call: Call, invoice: StripeObject) -> None:
    """Set the next automatic charge after a failed one; none after the last of RETRY_DAYS."""
    if not invoice["auto_advance"] or invoice["collection_method"] != "charge_automatically":
        return
    if invoice["next_payment_attempt"] and not call.scheduled:
        return
    tried = invoice["attempt_count"] - 1
    days = unknowns.RETRY_DAYS[tried] if tried < len(unknowns.RETRY_DAYS) else None
    invoice["next_payment_attempt"] = call.now + days * DAY_SECONDS if days else None
    set_timer(call, "charge", invoice["id"], invoice["next_payment_attempt"])
