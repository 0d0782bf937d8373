"""Drafts: making and changing an invoice while it can still be changed."""

from sandbox import amounts, refusals, shapes, transitions
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.resources import common, invoice_fields, invoiceitems
from sandbox.store import Obj
from sandbox.timers import set_alarm

DAY, HOUR = 86400, 3600


def create(call: Call) -> Obj:
    if "customer" not in call.params:
        raise refusals.required("customer")
    customer = common.named_in(call, "customer", "customer")
    items = pending(call, customer) if call.params.get("pending_invoice_items_behavior") == "include" else []
    currency = call.params.get("currency") or (items[0]["currency"] if items else customer["currency"]) or "usd"
    items = [item for item in items if item["currency"] == currency]
    invoice = shapes.invoice(
        call.now, customer, currency, delivered=not call.world.endpoints(call.db, "invoice.created")
    )
    invoice["_"] = {}
    if "subscription" in call.params:
        subscription = common.named_in(call, "subscription", "subscription")
        invoice["parent"] = shapes.subscription_parent(subscription)
    apply(call, invoice)
    for item in items:
        item["invoice"] = invoice["id"]
        call.db.save("invoiceitem", item)
    invoiceitems.set_lines(call, invoice, [shapes.line(invoice["id"], item) for item in items])
    call.db.add("invoice", invoice)
    plan_finalization(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.created", invoice)
    return invoice


def pending(call: Call, customer: Obj) -> list[Obj]:
    """All that wait, newest first."""
    return [item for item in call.db.find("invoiceitem", customer=customer["id"]) if item["invoice"] is None]


def update(call: Call) -> Obj:
    invoice = common.fetch(call, "invoice")
    before = snapshot(invoice)
    if invoice["status"] != "draft":
        for name in call.params:
            if name not in ("metadata", "expand"):
                raise refusals.refused(refusals.NOT_EDITABLE, name)  # unknowns: update_auto_advance
        common.set_metadata(invoice, call)
    else:
        apply(call, invoice)
        customer = call.db.get("customer", invoice["customer"]) or {"balance": invoice["starting_balance"]}
        amounts.total_up(invoice, customer["balance"])
        plan_finalization(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)
    return invoice


def apply(call: Call, invoice: Obj) -> None:
    for name, kind in invoice_fields.ELSEWHERE.items():
        if call.params.get(name):
            raise refusals.missing_param(kind, str(call.params[name])[:50], name)
    common.set_given(invoice, call, *invoice_fields.PLAIN)
    common.set_metadata(invoice, call)
    set_due_date(call, invoice)
    if "default_payment_method" in call.params:
        invoice["default_payment_method"] = own_method(call, invoice)
    for name in ("automatic_tax", "payment_settings"):
        given = call.params.get(name, {})
        invoice[name] = {**invoice[name], **given}
    if "rendering" in call.params:
        invoice["rendering"] = {**(invoice["rendering"] or {}), **call.params["rendering"]}
    if "shipping_details" in call.params:
        invoice["shipping_details"] = common.shipping(call.params["shipping_details"])


def own_method(call: Call, invoice: Obj) -> str | None:
    if call.params["default_payment_method"] is None:
        return None
    method = common.named_in(call, "payment_method", "default_payment_method")
    if method["customer"] != invoice["customer"]:
        raise refusals.refused(
            f"The customer does not have a payment method with the ID {method['id']}. The payment method must be "
            "attached to the customer.",
            "default_payment_method",
            "resource_missing",
        )
    id: str = method["id"]
    return id


def set_due_date(call: Call, invoice: Obj) -> None:
    given = call.params
    if invoice["collection_method"] == "charge_automatically":
        if "due_date" in given or "days_until_due" in given:
            raise refusals.invalid(refusals.NO_DUE_DATE)
        invoice["due_date"] = None
        return
    if "due_date" in given:
        invoice["due_date"] = given["due_date"]
    elif "days_until_due" in given:
        invoice["due_date"] = invoice["created"] + min(given["days_until_due"], 36500) * DAY
    if invoice["due_date"] is None:
        raise refusals.invalid(refusals.NEEDS_DUE_DATE)


def plan_finalization(call: Call, invoice: Obj) -> None:
    """The window is counted from creation: off and on again, it is the same."""
    automatic = invoice["collection_method"] == "charge_automatically"
    finalizes_at = attempt_at = None
    if invoice["auto_advance"]:
        finalizes_at = call.params.get("automatically_finalizes_at") or invoice["created"] + HOUR + 1
        attempt_at = invoice["created"] + HOUR if automatic else None
    invoice.update(automatically_finalizes_at=finalizes_at, next_payment_attempt=attempt_at)
    set_alarm(call, "finalize", invoice["id"], finalizes_at)


def subscription_lines(call: Call, invoice: Obj, subscription: Obj) -> list[Obj]:
    lines = []
    for item in subscription["items"]["data"]:
        product = call.db.get("product", item["price"]["product"]) or {"name": "Subscription"}
        period = (item["current_period_start"], item["current_period_end"])
        lines.append(shapes.subscription_line(invoice["id"], subscription, item, product["name"], period))
    return lines


def add_lines(call: Call) -> Obj:
    invoice = common.fetch(call, "invoice", "invoice")
    transitions.permit("add_lines", invoice)
    items = []
    for given in call.params["lines"]:
        item = waiting(call, invoice, given["invoice_item"]) if "invoice_item" in given else None
        if item is None:
            price_data = given.get("price_data") or {"currency": invoice["currency"]}
            item = invoiceitems.build(call, given, invoice["customer"], price_data["currency"], invoice["id"])
            call.db.add("invoiceitem", item)
        else:
            item["invoice"] = invoice["id"]
            call.db.save("invoiceitem", item)
        items.append(item)
    if "invoice_metadata" in call.params:
        call.params["metadata"] = call.params["invoice_metadata"]
        common.set_metadata(invoice, call)
    invoiceitems.add_to(call, invoice, items)
    return invoice


def waiting(call: Call, invoice: Obj, id: str) -> Obj:
    item = call.db.get("invoiceitem", id)
    if item is None or item["customer"] != invoice["customer"]:
        raise refusals.missing_param("invoiceitem", id, "lines")
    if item["invoice"] is not None:
        raise refusals.refused("This invoice item is already attached to an invoice.", "lines")
    return item
