"""`expand[]`: replace ids by their objects, also inside lists (Stripe docs: Expanding responses)."""

from collections.abc import Callable
from typing import Any

from sandbox import refusals
from sandbox.call import Call
from sandbox.store import HIDDEN, StripeObject, visible

MAX_DEPTH = 10  # parts of a path, such as three in `data.customer.default_source`
# object.path.of.member → the kind of object whose id is there
EXPANDABLE = {
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
    "refund.charge": "charge",
    "refund.customer": "customer",
    "refund.payment_intent": "payment_intent",
    "refund.payment_method": "payment_method",
    "credit_note.customer": "customer",
    "credit_note.invoice": "invoice",
    "credit_note.refunds.refund": "refund",
    "subscription.customer": "customer",
    "subscription.default_payment_method": "payment_method",
    "subscription.latest_invoice": "invoice",
    "price.product": "product",
    "product.default_price": "price",
}
ALWAYS_NULL = {  # expandable at Stripe; always null in the sandbox
    "application", "latest_revision", "on_behalf_of", "test_clock", "balance_transaction", "review", "discounts",
    "account_tax_ids", "application_fee", "source_transfer", "transfer", "failure_balance_transaction", "transfer_data",
    "pending_setup_intent", "schedule", "transfer_reversal", "source_transfer_reversal", "customer_balance_transaction",
}  # fmt: skip


def payments_of(call: Call, invoice: StripeObject) -> StripeObject:
    found = [visible(one) for one in call.db.find("invoice_payment", invoice=invoice["id"])]
    url = f"/v1/invoice_payments?invoice={invoice['id']}"
    return {"object": "list", "data": found[:10], "has_more": len(found) > 10, "url": url}


def paid_off_stripe(call: Call, invoice: StripeObject) -> int:
    stored = call.db.get("invoice", invoice["id"]) or {}
    return int(stored.get(HIDDEN, {}).get("off_stripe", 0))


def confirmation_secret(call: Call, invoice: StripeObject) -> StripeObject | None:
    for payment in call.db.find("invoice_payment", invoice=invoice["id"]):
        intent = call.db.get("payment_intent", payment["payment"].get("payment_intent", ""))
        if payment["is_default"] and intent:
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


COMPUTED: dict[str, Callable[[Call, StripeObject], Any]] = {
    "invoice.payments": payments_of,
    "invoice.amount_paid_off_stripe": paid_off_stripe,
    "invoice.confirmation_secret": confirmation_secret,
}


def expand_all(call: Call, obj: StripeObject, wanted: list[str]) -> StripeObject:
    for path in wanted:
        parts = path.split(".")
        if len(parts) > MAX_DEPTH:
            raise refusals.invalid_parameter("You cannot expand more than 4 levels of a property.", "expand")
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
        raise not_expandable(path)
    if isinstance(node.get("object"), str):
        key = node["object"]
    part, rest = parts[0], parts[1:]
    inner = f"{key}.{part}"
    if inner in COMPUTED and part not in node:
        node[part] = COMPUTED[inner](call, node)
    elif isinstance(node.get(part), str) and inner in EXPANDABLE:
        node[part] = object_or_id(call, EXPANDABLE[inner], node[part])
    elif part not in ALWAYS_NULL and not (leads_on(inner) or (rest and part in node)):
        raise not_expandable(path)
    expand(call, node.get(part), rest, inner, path)


def leads_on(path: str) -> bool:
    """Whether this path can be expanded or is the beginning of one that can."""
    return path in COMPUTED or any(name == path or name.startswith(path + ".") for name in EXPANDABLE)


def object_or_id(call: Call, kind: str, id: str) -> Any:
    """The object, or the id itself where the sandbox keeps no such object."""
    obj = call.db.get(kind, id, deleted=True)
    return visible(obj) if obj else id


def not_expandable(path: str) -> refusals.Refusal:
    return refusals.invalid_parameter(f"This property cannot be expanded ({path[:100]}).")
