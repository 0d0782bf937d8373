"""Collecting an invoice: which card or source is asked, what an attempt leaves behind, and Stripe's own attempts."""

from sandbox import cards, intents, payments, receipts, refusals, shapes, transitions, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.refusals import Refusal
from sandbox.store import HIDDEN, Obj
from sandbox.timers import alarm, set_alarm

DAY = 86400


def pay(call: Call, invoice: Obj) -> Obj:
    """A draft is finalized first; a declined charge leaves it open."""
    transitions.permit("pay", invoice)
    payments.refuse_while_processing(call, invoice, unknowns.PAY_WHILE_PROCESSING)
    method, source = asked_for(call, invoice)
    if invoice["status"] == "draft":
        transitions.finalize(call, invoice)
        if invoice["status"] == "paid":
            return invoice
    if source is not None and method is None:
        return pay_from_source(call, invoice, source)
    method = method or stored_method(call, invoice)
    if method is None:
        raise Refusal(400, refusals.NO_PAYMENT_SOURCE, code="resource_missing")  # unknowns: pay_without_card
    check_mandate(call, method)
    problem = charge(call, invoice, method, on_session=call.params.get("off_session") is False)
    if problem:
        raise problem
    return call.db.get("invoice", invoice["id"]) or invoice


def asked_for(call: Call, invoice: Obj) -> tuple[Obj | None, Obj | None]:
    method = source = None
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", invoice["customer"])
    elif "source" in call.params:
        id = call.params["source"]
        source = call.db.get("source", id)
        if source is None:
            method = find_method(call, id, "source", invoice["customer"])
        elif source["customer"] != invoice["customer"]:
            raise refusals.refused(unknowns.PAY_FOREIGN_SOURCE, "source")
    return method, source


def find_method(call: Call, id: str, param: str, customer: str | None) -> Obj:
    """A ready-made one stands for a new card each time; any other must be the customer's own."""
    name = cards.named(id)
    if name:
        return call.db.add("payment_method", cards.payment_method(name, call.now))
    if id in cards.BANK_DEBITS:
        return call.db.add("payment_method", cards.bank_debit(call.now))
    method = call.db.get("payment_method", id)
    if method is None:
        raise refusals.missing_param("source" if param == "source" else "payment_method", id, param)
    if customer and method["customer"] != customer:
        raise refusals.refused(unknowns.PAY_FOREIGN_METHOD, param)
    return method


def stored_method(call: Call, invoice: Obj) -> Obj | None:
    """The invoice's own, its subscription's, the customer's default: the first that is still theirs."""
    customer = call.db.get("customer", invoice["customer"]) or {}
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    subscription = call.db.get("subscription", details.get("subscription") or "") or {}
    settings = customer.get("invoice_settings") or {}
    for id in (
        invoice["default_payment_method"],
        subscription.get("default_payment_method"),
        settings.get("default_payment_method"),
    ):
        method = call.db.get("payment_method", id) if id else None
        if method and method["customer"] == invoice["customer"]:
            return method
    return None


def check_mandate(call: Call, method: Obj) -> None:
    id = call.params.get("mandate")
    if id is None:
        return
    mandate = call.db.get("mandate", id)
    if mandate is None:
        raise refusals.missing_param("mandate", id, "mandate")
    if mandate["payment_method"] != method["id"]:
        raise refusals.refused(unknowns.PAY_FOREIGN_MANDATE, "mandate")


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


def pay_from_source(call: Call, invoice: Obj, source: Obj) -> Obj:
    """A source holds so much money: enough, or forgiven, or refused."""
    available = source[HIDDEN]["available"]
    wanted = invoice["amount_remaining"]
    forgive = bool(call.params.get("forgive"))
    if source["currency"] and source["currency"] != invoice["currency"]:
        raise refusals.refused(unknowns.ATTACH_CURRENCY.format(source["currency"], invoice["currency"]), "source")
    payment = payments.default_of(call, invoice)
    intent = payments.intent_of(call, payment) if payment else None
    if payment is None or intent is None:
        raise refusals.broken()
    if available == 0 or (available < wanted and not forgive):
        raise insufficient()
    amount = min(available, wanted)
    source[HIDDEN]["available"] = available - amount
    if "receiver" in source:
        source["receiver"]["amount_charged"] += amount
    call.db.save("source", source)
    charge_source(call, invoice, payment, intent, source, amount)
    return call.db.get("invoice", invoice["id"]) or invoice


def charge_source(call: Call, invoice: Obj, payment: Obj, intent: Obj, source: Obj, amount: int) -> None:
    intent.update(amount=amount, source=source["id"])
    made = call.db.add("charge", shapes.charge(call.now, intent, None, "succeeded"))
    payments.count_charge(call, invoice["id"])
    intent.update(status="succeeded", amount_received=amount, latest_charge=made["id"], last_payment_error=None)
    call.db.save("payment_intent", intent)
    emit(call, "charge.succeeded", made)
    emit(call, "payment_intent.succeeded", intent)
    receipts.receive(call, invoice, payment, amount, forgive=True)


def insufficient() -> Refusal:
    return Refusal(
        402,
        "The source does not have enough funds to pay this invoice.",
        type="card_error",
        code="insufficient_funds",
        headers={"Stripe-Should-Retry": "false"},
    )


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
