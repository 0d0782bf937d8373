"""/v1/invoices/create_preview: the invoice that would be created now. Nothing is stored."""

from sandbox import refusals, shapes
from sandbox.call import Call
from sandbox.currencies import currency
from sandbox.params import array_of, hash_of, not_empty, text
from sandbox.resources import common, drafts, invoiceitems
from sandbox.resources.invoiceitems import ITEM
from sandbox.routes import post
from sandbox.store import HIDDEN, StripeObject

NEEDS_CUSTOMER = "You must pass either customer or subscription."


def preview(call: Call) -> StripeObject:
    subscription = common.fetch_named(call, "subscription", "subscription") if "subscription" in call.params else None
    if "customer" in call.params:
        customer = common.fetch_named(call, "customer", "customer")
    elif subscription:
        customer = common.fetch(call, "customer", "customer", subscription["customer"])
    else:
        raise refusals.invalid_parameter(NEEDS_CUSTOMER)
    items = [*given_items(call, customer), *drafts.pending_items(call, customer)]
    currency_code = call.params.get("currency") or (items[0]["currency"] if items else customer["currency"]) or "usd"
    invoice = shapes.invoice(call.now, customer, currency_code, delivered=True)
    invoice["id"] = "upcoming_" + invoice["id"]
    invoice[HIDDEN] = {}
    lines = [shapes.line(invoice["id"], item) for item in items if item["currency"] == currency_code]
    if subscription:
        invoice.update(billing_reason="upcoming", parent=shapes.subscription_parent(subscription))
        lines += drafts.subscription_lines(call, invoice, subscription)
    invoiceitems.set_lines(call, invoice, lines)
    return invoice


def given_items(call: Call, customer: StripeObject) -> list[StripeObject]:
    made = []
    for given in call.params.get("invoice_items", []):
        currency_code = given.get("currency") or call.params.get("currency") or customer["currency"] or "usd"
        made.append(invoiceitems.build(call, given, customer["id"], currency_code, None))
    return made


ROUTES = [
    post(
        "/v1/invoices/create_preview",
        preview,
        customer=not_empty,
        currency=currency,
        subscription=not_empty,
        invoice_items=array_of(hash_of(invoiceitem=text, currency=currency, **ITEM)),
    )
]
