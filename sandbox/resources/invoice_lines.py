"""/v1/invoices/:invoice/lines: list the lines of an invoice; change or remove those of a draft."""

from sandbox import amounts, lists, params, refusals, transitions
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.params import array_of, hash_of, metadata, not_empty, one_of
from sandbox.resources import common, invoiceitems
from sandbox.resources.invoiceitems import LINE
from sandbox.routes import listing, post
from sandbox.store import StripeObject, dumps

SUBSCRIPTION_LINE = "Lines of a subscription can't be changed here."


def list_all(call: Call) -> str:
    invoice = common.fetch(call, "invoice", "invoice")
    found, has_more = lists.page_of_members(call, "line_item", amounts.lines_of(invoice))
    return lists.envelope(call, [dumps(line) for line in found], has_more, call.path)


def draft_of(call: Call) -> StripeObject:
    invoice = common.fetch(call, "invoice", "invoice")
    transitions.check_allowed("add_lines", invoice)
    return invoice


def item_of(call: Call, invoice: StripeObject, id: str) -> StripeObject:
    """The invoice item of a line. Each line of a draft has one, and both change together."""
    line = next((line for line in amounts.lines_of(invoice) if line["id"] == id), None)
    if line is None:
        raise refusals.resource_missing_in_parameter("line_item", id, "line_item_id")
    details = line["parent"]["invoice_item_details"]
    item = call.db.get("invoiceitem", details["invoice_item"]) if details else None
    if item is None:
        raise refusals.not_allowed(SUBSCRIPTION_LINE)
    return item


def change(call: Call, invoice: StripeObject, id: str, given: StripeObject) -> None:
    item = item_of(call, invoice, id)
    invoiceitems.change(item, given)
    call.db.save("invoiceitem", item)
    invoiceitems.rewrite_line(call, item, drop=False)


def update_one(call: Call) -> StripeObject:
    invoice = draft_of(call)
    change(call, invoice, call.second_id, call.params)
    changed = common.fetch(call, "invoice", "invoice")
    return next(line for line in amounts.lines_of(changed) if line["id"] == call.second_id)


def update_many(call: Call) -> StripeObject:
    invoice = draft_of(call)
    for given in call.params["lines"]:
        change(call, invoice, given["id"], given)
    return with_metadata(call)


def remove_many(call: Call) -> StripeObject:
    invoice = draft_of(call)
    for given in call.params["lines"]:
        item = item_of(call, invoice, given["id"])
        invoiceitems.rewrite_line(call, item, drop=True)
        if given["behavior"] == "delete":
            call.db.remove("invoiceitem", item["id"], common.deleted_stub("invoiceitem", item["id"]))
            emit(call, "invoiceitem.deleted", item)
        else:
            item["invoice"] = None
            call.db.save("invoiceitem", item)
    return with_metadata(call)


def with_metadata(call: Call) -> StripeObject:
    """The invoice as it is now, after setting `invoice_metadata` if that was given."""
    invoice = common.fetch(call, "invoice", "invoice")
    if "invoice_metadata" in call.params:
        before = snapshot(invoice)
        invoice["metadata"] = params.merged_metadata(invoice["metadata"], call.params["invoice_metadata"])
        call.db.save("invoice", invoice)
        emit(call, "invoice.updated", invoice, before)
    return invoice


REMOVED = hash_of(("id", "behavior"), id=not_empty, behavior=one_of("delete", "unassign"))
ADDRESS_START = "/v1/invoices/:invoice"
ROUTES = [
    listing(ADDRESS_START + "/lines", list_all),
    post(ADDRESS_START + "/lines/:line_item_id", update_one, **LINE),
    post(
        ADDRESS_START + "/update_lines",
        update_many,
        ("lines",),
        lines=array_of(hash_of(("id",), id=not_empty, **LINE)),
        invoice_metadata=metadata,
    ),
    post(ADDRESS_START + "/remove_lines", remove_many, ("lines",), lines=array_of(REMOVED), invoice_metadata=metadata),
]
