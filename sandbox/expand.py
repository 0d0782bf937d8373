"""`expand[]`: ids become the objects that they name, at any depth, in lists too."""

from collections.abc import Callable
from typing import Any

from sandbox import refusals
from sandbox.call import Call
from sandbox.store import Obj, visible

DEEPEST = 10
# object.path.of.field → the kind of object whose id stands there
FIELDS = {
    "customer.default_source": "source",
    "customer.invoice_settings.default_payment_method": "payment_method",
    "payment_method.customer": "customer",
    "mandate.payment_method": "payment_method",
    "invoiceitem.customer": "customer",
    "invoiceitem.invoice": "invoice",
    "invoice.customer": "customer",
    "invoice.default_payment_method": "payment_method",
    "invoice.default_source": "source",
    "invoice.parent.subscription_details.subscription": "subscription",
    "line_item.subscription": "subscription",
    "line_item.pricing.price_details.price": "price",
    "invoiceitem.pricing.price_details.price": "price",
    "invoice_payment.invoice": "invoice",
    "invoice_payment.payment.payment_intent": "payment_intent",
    "invoice_payment.payment.payment_record": "payment_record",
    "invoice_payment.payment.charge": "charge",
    "payment_intent.customer": "customer",
    "payment_intent.payment_method": "payment_method",
    "payment_intent.latest_charge": "charge",
    "payment_intent.source": "source",
    "charge.customer": "customer",
    "charge.payment_intent": "payment_intent",
    "subscription.customer": "customer",
    "subscription.default_payment_method": "payment_method",
    "subscription.latest_invoice": "invoice",
    "price.product": "product",
    "product.default_price": "price",
}
NEVER = {  # expandable at Stripe, and always null here
    "application", "latest_revision", "on_behalf_of", "test_clock", "balance_transaction", "review", "discounts",
    "account_tax_ids", "application_fee", "source_transfer", "transfer", "failure_balance_transaction", "transfer_data",
    "pending_setup_intent", "schedule",
}  # fmt: skip


def payments_of(call: Call, invoice: Obj) -> Obj:
    found = [visible(one) for one in call.db.find("invoice_payment", invoice=invoice["id"])]
    url = f"/v1/invoice_payments?invoice={invoice['id']}"
    return {"object": "list", "data": found[:10], "has_more": len(found) > 10, "url": url}


def paid_off_stripe(call: Call, invoice: Obj) -> int:
    stored = call.db.get("invoice", invoice["id"]) or {}
    return int(stored.get("_", {}).get("off_stripe", 0))


def confirmation_secret(call: Call, invoice: Obj) -> Obj | None:
    for payment in call.db.find("invoice_payment", invoice=invoice["id"]):
        intent = call.db.get("payment_intent", payment["payment"].get("payment_intent", ""))
        if payment["is_default"] and intent:
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


COMPUTED: dict[str, Callable[[Call, Obj], Any]] = {
    "invoice.payments": payments_of,
    "invoice.amount_paid_off_stripe": paid_off_stripe,
    "invoice.confirmation_secret": confirmation_secret,
}


def expand_all(call: Call, obj: Obj, wanted: list[str]) -> Obj:
    for path in wanted:
        parts = path.split(".")
        if len(parts) > DEEPEST:
            raise refusals.invalid("You cannot expand more than 4 levels of a property.", "expand")
        expand(call, obj, parts, obj.get("object", ""), path)
    return obj


def expand(call: Call, node: Any, parts: list[str], key: str, path: str) -> None:
    if not parts or node is None:
        return
    if isinstance(node, list):
        for one in node:
            expand(call, one, parts, key, path)
        return
    if not isinstance(node, dict):
        raise cannot(path)
    if isinstance(node.get("object"), str):
        key = node["object"]
    part, rest = parts[0], parts[1:]
    inner = f"{key}.{part}"
    if inner in COMPUTED and part not in node:
        node[part] = COMPUTED[inner](call, node)
    elif isinstance(node.get(part), str) and inner in FIELDS:
        node[part] = fetched(call, FIELDS[inner], node[part])
    elif part not in NEVER and not (leads_on(inner) or (rest and part in node)):
        raise cannot(path)
    expand(call, node.get(part), rest, inner, path)


def leads_on(path: str) -> bool:
    """What can be expanded, and what lies on the way to it."""
    return path in COMPUTED or any(name == path or name.startswith(path + ".") for name in FIELDS)


def fetched(call: Call, kind: str, id: str) -> Any:
    """What cannot be found stays an id: an object of a kind that the sandbox does not keep."""
    obj = call.db.get(kind, id, deleted=True)
    return visible(obj) if obj else id


def cannot(path: str) -> refusals.Refusal:
    return refusals.invalid(f"This property cannot be expanded ({path[:100]}).", "expand")
