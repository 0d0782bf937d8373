"""Draft invoices: create, update, add lines. A finalized invoice takes only `metadata`."""

from sandbox import amounts, refusals, shapes, transitions
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.resources import common, invoice_fields, invoiceitems
from sandbox.store import HIDDEN, StripeObject
from sandbox.timers import set_timer

DAY_SECONDS, HOUR_SECONDS = 86400, 3600
MAX_DAYS_UNTIL_DUE = 36_500


def create(call: Call) -> StripeObject:
    if "customer" not in call.params:
        raise refusals.parameter_missing("customer")
    customer = common.fetch_named(call, "customer", "customer")
    items = pending_items(call, customer) if call.params.get("pending_invoice_items_behavior") == "include" else []
    currency = call.params.get("currency") or (items[0]["currency"] if items else customer["currency"]) or "usd"
    items = [item for item in items if item["currency"] == currency]
    invoice = shapes.invoice(
        call.now, customer, currency, delivered=not call.world.receivers_of(call.db, "invoice.created")
    )
    invoice[HIDDEN] = {}
    if "subscription" in call.params:
        subscription = common.fetch_named(call, "subscription", "subscription")
        invoice["parent"] = shapes.subscription_parent(subscription)
    set_members(call, invoice)
    for item in items:
        item["invoice"] = invoice["id"]
        call.db.save("invoiceitem", item)
    invoiceitems.set_lines(call, invoice, [shapes.line(invoice["id"], item) for item in items])
    call.db.add("invoice", invoice)
    plan_finalization(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.created", invoice)
    return invoice


def pending_items(call: Call, customer: StripeObject) -> list[StripeObject]:
    """The customer's invoice items that are on no invoice yet, newest first."""
    return [item for item in call.db.find("invoiceitem", customer=customer["id"]) if item["invoice"] is None]


def update(call: Call) -> StripeObject:
    """A draft takes every parameter, a finalized invoice only `metadata`.

    Stripe's API reference says so for most members, and of `due_date` and `days_until_due` by name.
    """
    invoice = common.fetch(call, "invoice")
    before = snapshot(invoice)
    if invoice["status"] != "draft":
        for name in call.params:
            if name not in ("metadata", "expand"):
                raise refusals.not_allowed(refusals.NOT_EDITABLE, name)  # unknowns: update_auto_advance
        common.set_metadata(invoice, call)
    else:
        set_members(call, invoice)
        customer = call.db.get("customer", invoice["customer"]) or {"balance": invoice["starting_balance"]}
        amounts.set_totals(invoice, customer["balance"])
        plan_finalization(call, invoice)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)
    return invoice


def set_members(call: Call, invoice: StripeObject) -> None:
    """Set the members that the parameters name, on a draft."""
    for name, kind in invoice_fields.UNSUPPORTED.items():
        if call.params.get(name):
            raise refusals.resource_missing_in_parameter(kind, str(call.params[name])[:50], name)
    common.set_given(invoice, call, *invoice_fields.COPIED)
    common.set_metadata(invoice, call)
    set_due_date(call, invoice)
    if "default_payment_method" in call.params:
        invoice["default_payment_method"] = default_payment_method(call, invoice)
    for name in ("automatic_tax", "payment_settings"):
        given = call.params.get(name, {})
        invoice[name] = {**invoice[name], **given}
    if "rendering" in call.params:
        invoice["rendering"] = {**(invoice["rendering"] or {}), **call.params["rendering"]}
    if "shipping_details" in call.params:
        invoice["shipping_details"] = common.shipping(call.params["shipping_details"])


def default_payment_method(call: Call, invoice: StripeObject) -> str | None:
    if call.params["default_payment_method"] is None:
        return None
    method = common.fetch_named(call, "payment_method", "default_payment_method")
    if method["customer"] != invoice["customer"]:
        raise refusals.not_allowed(
            f"The customer does not have a payment method with the ID {method['id']}. The payment method must be "
            "attached to the customer.",
            "default_payment_method",
            "resource_missing",
        )
    id: str = method["id"]
    return id


def set_due_date(call: Call, invoice: StripeObject) -> None:
    """Only with collection_method=send_invoice is there a due date, and there it is required."""
    given = call.params
    if invoice["collection_method"] == "charge_automatically":
        if "due_date" in given or "days_until_due" in given:
            raise refusals.invalid_parameter(refusals.NO_DUE_DATE)
        invoice["due_date"] = None
        return
    if "due_date" in given:
        invoice["due_date"] = given["due_date"]
    elif "days_until_due" in given:
        invoice["due_date"] = invoice["created"] + min(given["days_until_due"], MAX_DAYS_UNTIL_DUE) * DAY_SECONDS
    if invoice["due_date"] is None:
        raise refusals.invalid_parameter(refusals.NEEDS_DUE_DATE)


def plan_finalization(call: Call, invoice: StripeObject) -> None:
    """With auto_advance, finalize an hour after creation and charge then; without it, never.

    Both times count from `created`, so turning auto_advance off and on again does not move them.
    """
    automatic = invoice["collection_method"] == "charge_automatically"
    finalizes_at = attempt_at = None
    if invoice["auto_advance"]:
        finalizes_at = call.params.get("automatically_finalizes_at") or invoice["created"] + HOUR_SECONDS + 1
        attempt_at = invoice["created"] + HOUR_SECONDS if automatic else None
    invoice.update(automatically_finalizes_at=finalizes_at, next_payment_attempt=attempt_at)
    set_timer(call, "finalize", invoice["id"], finalizes_at)


def subscription_lines(call: Call, invoice: StripeObject, subscription: StripeObject) -> list[StripeObject]:
    lines = []
    for item in subscription["items"]["data"]:
        product = call.db.get("product", item["price"]["product"]) or {"name": "Subscription"}
        period = (item["current_period_start"], item["current_period_end"])
        lines.append(shapes.subscription_line(invoice["id"], subscription, item, product["name"], period))
    return lines


def add_lines(call: Call) -> StripeObject:
    invoice = common.fetch(call, "invoice", "invoice")
    transitions.check_allowed("add_lines", invoice)
    items = []
    for given in call.params["lines"]:
        item = pending_item(call, invoice, given["invoice_item"]) if "invoice_item" in given else None
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


def pending_item(call: Call, invoice: StripeObject, id: str) -> StripeObject:
    item = call.db.get("invoiceitem", id)
    if item is None or item["customer"] != invoice["customer"]:
        raise refusals.resource_missing_in_parameter("invoiceitem", id, "lines")
    if item["invoice"] is not None:
        raise refusals.not_allowed("This invoice item is already attached to an invoice.", "lines")
    return item
