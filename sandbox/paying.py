"""POST /v1/invoices/:id/pay: which payment method or source is charged, and whether it may be."""

from sandbox import cards, paying_from_source, payments, refusals, transitions, unknowns
from sandbox.call import Call
from sandbox.charging import charge
from sandbox.refusals import Refusal
from sandbox.store import StripeObject


def pay(call: Call, invoice: StripeObject) -> StripeObject:
    """Finalize a draft first, then charge. A declined charge leaves the invoice open."""
    transitions.check_allowed("pay", invoice)
    payments.refuse_while_processing(call, invoice, unknowns.PAY_WHILE_PROCESSING)
    method, source = method_and_source_given(call, invoice)
    if invoice["status"] == "draft":
        transitions.finalize(call, invoice)
        if invoice["status"] == "paid":
            return invoice
    if source is not None and method is None:
        return paying_from_source.pay(call, invoice, source)
    method = method or stored_method(call, invoice)
    if method is None:
        raise Refusal(400, refusals.NO_PAYMENT_SOURCE, code="resource_missing")  # unknowns: pay_without_card
    check_mandate(call, method)
    problem = charge(call, invoice, method, on_session=call.params.get("off_session") is False)
    if problem:
        raise problem
    return call.db.get("invoice", invoice["id"]) or invoice


def method_and_source_given(call: Call, invoice: StripeObject) -> tuple[StripeObject | None, StripeObject | None]:
    """What the request names. A `source` may also be the id of a payment method, as at Stripe."""
    method = source = None
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", invoice["customer"])
    elif "source" in call.params:
        id = call.params["source"]
        source = call.db.get("source", id)
        if source is None:
            method = find_method(call, id, "source", invoice["customer"])
        elif source["customer"] != invoice["customer"]:
            raise refusals.not_allowed(unknowns.PAY_FOREIGN_SOURCE, "source")
    return method, source


def find_method(call: Call, id: str, param: str, customer: str | None) -> StripeObject:
    """The payment method of this id. A test id such as `pm_card_visa` creates a new one each time.

    Any other must belong to `customer`, if that is given. `param` is the parameter that an error names.
    """
    name = cards.card_name(id)
    if name:
        return call.db.add("payment_method", cards.payment_method(name, call.now))
    if id in cards.BANK_DEBITS:
        return call.db.add("payment_method", cards.bank_debit(call.now, id))
    method = call.db.get("payment_method", id)
    if method is None:
        raise refusals.resource_missing_in_parameter("source" if param == "source" else "payment_method", id, param)
    if customer and method["customer"] != customer:
        raise refusals.not_allowed(unknowns.PAY_FOREIGN_METHOD, param)
    return method


def stored_method(call: Call, invoice: StripeObject) -> StripeObject | None:
    """The default payment method of the invoice, else of its subscription, else of the customer.

    One that no longer belongs to the customer is passed over.
    """
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


def check_mandate(call: Call, method: StripeObject) -> None:
    id = call.params.get("mandate")
    if id is None:
        return
    mandate = call.db.get("mandate", id)
    if mandate is None:
        raise refusals.resource_missing_in_parameter("mandate", id, "mandate")
    if mandate["payment_method"] != method["id"]:
        raise refusals.not_allowed(unknowns.PAY_FOREIGN_MANDATE, "mandate")
