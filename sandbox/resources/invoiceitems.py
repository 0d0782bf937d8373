"""/v1/invoiceitems: items that wait for an invoice or are on one already."""

from sandbox import amounts, lists, params, refusals, shapes
from sandbox.call import Call
from sandbox.currencies import check_amount, currency
from sandbox.events import emit, snapshot
from sandbox.params import boolean, clearable, hash_of, integer, metadata, not_negative, text, time_or_range
from sandbox.resources import common
from sandbox.routes import delete, get, listing, post
from sandbox.store import StripeObject

PERIOD = hash_of(("end", "start"), end=integer, start=integer)
BOTH_AMOUNTS = "You may only specify one of these parameters: amount, unit_amount_decimal."
MAX_LINES = 250
TOO_MANY = f"Invoices can have at most {MAX_LINES} line items."


def create(call: Call) -> StripeObject:
    customer = common.fetch_named(call, "customer", "customer")
    invoice = draft_named(call, customer) if "invoice" in call.params else None
    currency = call.params.get("currency") or (invoice or customer).get("currency") or "usd"
    item = build(call, call.params, customer["id"], currency, id_or_none(invoice))
    remember_currency(call, customer, currency)
    call.db.add("invoiceitem", item)
    emit(call, "invoiceitem.created", item)
    if invoice:
        add_to(call, invoice, [item])
    return item


def id_or_none(invoice: StripeObject | None) -> str | None:
    return invoice["id"] if invoice else None


def build(call: Call, given: StripeObject, customer: str, currency: str, invoice: str | None) -> StripeObject:
    quantity = given.get("quantity", 1)
    unit, amount = priced(given, quantity, currency)
    item = shapes.invoiceitem(
        call.now,
        customer,
        currency,
        amount,
        quantity=quantity,
        quantity_decimal=str(quantity),
        invoice=invoice,
        pricing=shapes.price_details(unit),
        **{name: given[name] for name in ("description", "discountable", "period") if name in given},
    )
    item["metadata"] = params.merged_metadata({}, given.get("metadata") or {})
    item["net_amount"] = None if item["discountable"] else amount
    return item


def priced(given: StripeObject, quantity: int, currency: str) -> tuple[int | str, int]:
    """The unit amount and the amount, in minor units. A decimal unit amount is rounded after multiplication."""
    if "amount" in given and "unit_amount_decimal" in given:
        raise refusals.invalid_parameter(BOTH_AMOUNTS, code="parameters_exclusive")
    price_data = given.get("price_data") or {}
    unit = given.get("unit_amount_decimal") or price_data.get("unit_amount_decimal") or price_data.get("unit_amount")
    if unit is not None:
        return unit, acceptable(round(float(unit) * quantity), currency)
    amount = given.get("amount", 0)
    return (amount if quantity == 1 else f"{amount / (quantity or 1):.12g}"), acceptable(amount, currency)


def acceptable(amount: int, currency: str) -> int:
    if abs(amount) > params.MAX_INTEGER:
        raise refusals.invalid_parameter("Amount is too large.", "amount", "amount_too_large")
    check_amount(amount, currency, "amount")
    return amount


def remember_currency(call: Call, customer: StripeObject, currency: str) -> None:
    """Stripe sets a customer's currency by the first invoice item."""
    if customer["currency"] is None:
        before = snapshot(customer)
        customer["currency"] = currency
        call.db.save("customer", customer)
        emit(call, "customer.updated", customer, before)


def draft_named(call: Call, customer: StripeObject) -> StripeObject:
    invoice = common.fetch_named(call, "invoice", "invoice")
    if invoice["customer"] != customer["id"]:
        raise refusals.not_allowed(
            f"The customer of the invoice ({invoice['customer']}) does not match the provided customer "
            f"({customer['id']}).",
            "invoice",
        )
    if invoice["status"] != "draft":
        raise refusals.not_allowed(refusals.LINES_CLOSED, code="invoice_not_editable")
    return invoice


def add_to(call: Call, invoice: StripeObject, items: list[StripeObject]) -> None:
    """Add the items as lines at the end of a draft."""
    for item in items:
        if item["currency"] != invoice["currency"]:
            raise refusals.not_allowed(
                f"The currency of the invoice item ({item['currency']}) must match the currency of the invoice "
                f"({invoice['currency']}).",
                "currency",
            )
    before = snapshot(invoice)
    lines = amounts.lines_of(invoice) + [shapes.line(invoice["id"], item) for item in items]
    set_lines(call, invoice, lines)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)


def set_lines(call: Call, invoice: StripeObject, lines: list[StripeObject]) -> None:
    if len(lines) > MAX_LINES:
        raise refusals.not_allowed(TOO_MANY, code="invoice_too_many_lines")
    amounts.set_lines(invoice, lines)
    customer = call.db.get("customer", invoice["customer"]) or {"balance": 0}
    amounts.set_totals(invoice, customer["balance"])


def update(call: Call) -> StripeObject:
    item = editable(call)
    change(item, call.params)
    call.db.save("invoiceitem", item)
    rewrite_line(call, item, drop=False)
    return item


def change(item: StripeObject, given: StripeObject) -> None:
    names = ("description", "discountable", "period", "quantity")
    item.update({name: given[name] for name in names if name in given})
    if {"amount", "price_data", "quantity", "unit_amount_decimal"} & given.keys():
        if not {"amount", "price_data", "unit_amount_decimal"} & given.keys():
            given = {**given, "unit_amount_decimal": item["pricing"]["unit_amount_decimal"]}
        unit, amount = priced(given, item["quantity"], item["currency"])
        item["pricing"]["unit_amount_decimal"] = str(unit)
        item.update(amount=amount, quantity_decimal=str(item["quantity"]))
    item["net_amount"] = None if item["discountable"] else item["amount"]
    if "metadata" in given:
        item["metadata"] = params.merged_metadata(item["metadata"], given["metadata"])


def editable(call: Call) -> StripeObject:
    item = call.db.get("invoiceitem", call.id, deleted=True)
    if item is None or item.get("deleted"):
        raise refusals.resource_missing("invoiceitem", call.id)
    if item["invoice"] is None:
        return item
    invoice = call.db.get("invoice", item["invoice"])
    if invoice is None:  # its draft has been deleted, and the item with it
        raise refusals.not_allowed(refusals.ITEM_DELETED)
    if invoice["status"] != "draft":
        raise refusals.not_allowed(refusals.LINES_CLOSED, code="invoice_not_editable")
    return item


def rewrite_line(call: Call, item: StripeObject, drop: bool) -> None:
    """Update the item's line on its draft, or remove it with `drop`."""
    invoice = call.db.get("invoice", item["invoice"]) if item["invoice"] else None
    if invoice is None:
        return
    before = snapshot(invoice)
    lines = []
    for line in amounts.lines_of(invoice):
        mine = line["parent"]["invoice_item_details"] or {}
        if mine.get("invoice_item") != item["id"]:
            lines.append(line)
        elif not drop:
            lines.append({**shapes.line(invoice["id"], item), "id": line["id"]})
    set_lines(call, invoice, lines)
    call.db.save("invoice", invoice)
    emit(call, "invoice.updated", invoice, before)


def remove(call: Call) -> StripeObject:
    item = common.fetch(call, "invoiceitem")
    invoice = call.db.get("invoice", item["invoice"], deleted=True) if item["invoice"] else None
    if invoice and (invoice.get("deleted") or invoice["status"] != "draft"):
        raise refusals.not_allowed(refusals.ITEM_CLOSED)
    gone = common.deleted_stub("invoiceitem", item["id"])
    call.db.remove("invoiceitem", item["id"], gone)
    rewrite_line(call, item, drop=True)
    emit(call, "invoiceitem.deleted", item)
    return gone


def list_all(call: Call) -> str:
    where = lists.filters(call, "invoiceitem")
    if "pending" in call.params:
        where.append(("(invoice IS NULL) = ?", int(call.params["pending"])))
    return lists.page(call, "invoiceitem", where)


PRICE_DATA = hash_of(
    ("currency", "product"),
    currency=currency,
    product=text,
    unit_amount=integer,
    unit_amount_decimal=params.decimal,
    tax_behavior=text,
)
ITEM = {
    "amount": integer,
    "description": clearable(text),
    "discountable": boolean,
    "metadata": metadata,
    "period": PERIOD,
    "price_data": PRICE_DATA,
    "quantity": not_negative,
    "unit_amount_decimal": params.decimal,
}
LINE = {  # the parameters of a line: those of an item, and product_data
    **{name: check for name, check in ITEM.items() if name != "unit_amount_decimal"},
    "price_data": hash_of(
        ("currency",),
        currency=currency,
        product=text,
        product_data=params.anything,
        unit_amount=integer,
        unit_amount_decimal=params.decimal,
        tax_behavior=text,
    ),
}
ROUTES = [
    post(
        "/v1/invoiceitems",
        create,
        ("customer",),
        customer=params.not_empty,
        currency=currency,
        invoice=params.not_empty,
        **ITEM,
    ),
    listing(
        "/v1/invoiceitems",
        list_all,
        created=time_or_range,
        customer=text,
        invoice=text,
        pending=boolean,
    ),
    get("/v1/invoiceitems/:invoiceitem", common.retrieving("invoiceitem")),
    post("/v1/invoiceitems/:invoiceitem", update, **ITEM),
    delete("/v1/invoiceitems/:invoiceitem", remove),
]
