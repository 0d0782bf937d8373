"""Paying an invoice when somebody asks for it: which card or source is taken, and whether it may be."""

from sandbox import cards, payments, prepaid, refusals, transitions, unknowns
from sandbox.call import Call
from sandbox.charging import charge
from sandbox.refusals import Refusal
from sandbox.store import Obj


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
        return prepaid.pay(call, invoice, source)
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
