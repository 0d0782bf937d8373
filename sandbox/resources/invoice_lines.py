"""/v1/invoices/:invoice/lines: looking at a draft's lines one by one, and changing or removing them."""

from sandbox import amounts, lists, params, refusals, transitions
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.params import array_of, filled, hash_of, metadata, one_of
from sandbox.resources import common, invoiceitems
from sandbox.resources.invoiceitems import LINE
from sandbox.routes import listing, post
from sandbox.store import Obj, dumps

LINE_OF_SUBSCRIPTION = "Lines of a subscription can't be changed here."


def list_all(call: Call) -> str:
    invoice = common.fetch(call, "invoice", "invoice")
    found, has_more = lists.slice_of(call, "line_item", amounts.lines_of(invoice))
    return lists.envelope(call, [dumps(line) for line in found], has_more, call.path)


def draft_of(call: Call) -> Obj:
    invoice = common.fetch(call, "invoice", "invoice")
    transitions.permit("add_lines", invoice)
    return invoice


def item_of(call: Call, invoice: Obj, id: str) -> Obj:
    """Behind each line of a draft stands an invoice item; changing the one changes the other."""
    line = next((line for line in amounts.lines_of(invoice) if line["id"] == id), None)
    if line is None:
        raise refusals.missing_param("line_item", id, "line_item_id")
    details = line["parent"]["invoice_item_details"]
    item = call.db.get("invoiceitem", details["invoice_item"]) if details else None
    if item is None:
        raise refusals.refused(LINE_OF_SUBSCRIPTION)
    return item


def change(call: Call, invoice: Obj, id: str, given: Obj) -> None:
    item = item_of(call, invoice, id)
    invoiceitems.change(item, given)
    call.db.save("invoiceitem", item)
    invoiceitems.rewrite_line(call, item, drop=False)


def update_one(call: Call) -> Obj:
    invoice = draft_of(call)
    change(call, invoice, call.second_id, call.params)
    changed = common.fetch(call, "invoice", "invoice")
    return next(line for line in amounts.lines_of(changed) if line["id"] == call.second_id)


def update_many(call: Call) -> Obj:
    invoice = draft_of(call)
    for given in call.params["lines"]:
        change(call, invoice, given["id"], given)
    return with_metadata(call)


def remove_many(call: Call) -> Obj:
    invoice = draft_of(call)
    for given in call.params["lines"]:
        item = item_of(call, invoice, given["id"])
        invoiceitems.rewrite_line(call, item, drop=True)
        if given["behavior"] == "delete":
            call.db.remove("invoiceitem", item["id"], common.stub("invoiceitem", item["id"]))
            emit(call, "invoiceitem.deleted", item)
        else:
            item["invoice"] = None
            call.db.save("invoiceitem", item)
    return with_metadata(call)


def with_metadata(call: Call) -> Obj:
    invoice = common.fetch(call, "invoice", "invoice")
    if "invoice_metadata" in call.params:
        before = snapshot(invoice)
        invoice["metadata"] = params.merged_metadata(invoice["metadata"], call.params["invoice_metadata"])
        call.db.save("invoice", invoice)
        emit(call, "invoice.updated", invoice, before)
    return invoice


REMOVED = hash_of(("id", "behavior"), id=filled, behavior=one_of("delete", "unassign"))
AT = "/v1/invoices/:invoice"
ROUTES = [
    listing(AT + "/lines", list_all),
    post(AT + "/lines/:line_item_id", update_one, **LINE),
    post(
        AT + "/update_lines",
        update_many,
        ("lines",),
        lines=array_of(hash_of(("id",), id=filled, **LINE)),
        invoice_metadata=metadata,
    ),
    post(AT + "/remove_lines", remove_many, ("lines",), lines=array_of(REMOVED), invoice_metadata=metadata),
]
