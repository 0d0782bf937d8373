"""/v1/invoices/create_preview: the invoice that would be made now. Nothing is kept."""

from sandbox import refusals, shapes
from sandbox.call import Call
from sandbox.currencies import currency
from sandbox.params import array_of, filled, hash_of, text
from sandbox.resources import common, drafts, invoiceitems
from sandbox.resources.invoiceitems import ITEM
from sandbox.routes import post
from sandbox.store import Obj

NOBODY = "You must pass either customer or subscription."


def preview(call: Call) -> Obj:
    subscription = common.named_in(call, "subscription", "subscription") if "subscription" in call.params else None
    if "customer" in call.params:
        customer = common.named_in(call, "customer", "customer")
    elif subscription:
        customer = common.fetch(call, "customer", "customer", subscription["customer"])
    else:
        raise refusals.invalid(NOBODY)
    items = [*given_items(call, customer), *drafts.pending(call, customer)]
    money = call.params.get("currency") or (items[0]["currency"] if items else customer["currency"]) or "usd"
    invoice = shapes.invoice(call.now, customer, money, delivered=True)
    invoice["id"] = "upcoming_" + invoice["id"]
    invoice["_"] = {}
    lines = [shapes.line(invoice["id"], item) for item in items if item["currency"] == money]
    if subscription:
        invoice.update(billing_reason="upcoming", parent=shapes.subscription_parent(subscription))
        lines += drafts.subscription_lines(call, invoice, subscription)
    invoiceitems.set_lines(call, invoice, lines)
    return invoice


def given_items(call: Call, customer: Obj) -> list[Obj]:
    made = []
    for given in call.params.get("invoice_items", []):
        money = given.get("currency") or call.params.get("currency") or customer["currency"] or "usd"
        made.append(invoiceitems.build(call, given, customer["id"], money, None))
    return made


ROUTES = [
    post(
        "/v1/invoices/create_preview",
        preview,
        customer=filled,
        currency=currency,
        subscription=filled,
        invoice_items=array_of(hash_of(invoiceitem=text, currency=currency, **ITEM)),
    )
]
