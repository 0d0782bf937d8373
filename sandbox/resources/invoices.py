"""/v1/invoices: the calls; what they change stands in transitions, collection and receipts."""

from sandbox import collection, lists, params, refusals, transitions
from sandbox.call import Call
from sandbox.events import emit
from sandbox.params import array_of, boolean, clearable, filled, moment_or_range, one_of, text
from sandbox.resources import attaching, common, drafts, invoice_fields
from sandbox.resources.invoiceitems import LINE
from sandbox.routes import delete, get, listing, post
from sandbox.store import Obj
from sandbox.timers import set_alarm

STATUS = one_of("draft", "open", "void", "paid", "uncollectible")
METHOD = one_of("charge_automatically", "send_invoice")


def fetch(call: Call, param: str = "id") -> Obj:
    return common.fetch(call, "invoice", param)


def remove(call: Call) -> Obj:
    invoice = fetch(call, "invoice")
    transitions.permit("delete", invoice)
    if (invoice["parent"] or {}).get("type") == "subscription_details":
        raise refusals.refused(refusals.SUBSCRIPTION_DRAFT)
    gone = common.stub("invoice", invoice["id"])
    call.db.remove("invoice", invoice["id"], gone)
    set_alarm(call, "finalize", invoice["id"], None)
    call.key = None  # a DELETE has no idempotency key, whatever was sent
    emit(call, "invoice.deleted", invoice)
    return gone


def finalize(call: Call) -> Obj:
    invoice = fetch(call)
    transitions.permit("finalize", invoice)
    if "auto_advance" in call.params:
        invoice["auto_advance"] = call.params["auto_advance"]
    transitions.finalize(call, invoice)
    return invoice


def pay(call: Call) -> Obj:
    invoice = fetch(call)
    if call.params.get("paid_out_of_band"):
        transitions.permit("pay_out_of_band", invoice)
        transitions.pay_out_of_band(call, invoice)
        return invoice
    return collection.pay(call, invoice)


def send(call: Call) -> Obj:
    invoice = fetch(call, "invoice")
    transitions.permit("send", invoice)
    if invoice["status"] == "draft":
        transitions.finalize(call, invoice)
    elif invoice["collection_method"] != "send_invoice":
        raise refusals.refused(refusals.NOT_SENDABLE)  # unknowns: send_automatic
    emit(call, "invoice.sent", invoice)
    return invoice


def void(call: Call) -> Obj:
    invoice = fetch(call)
    transitions.permit("void", invoice)
    transitions.void(call, invoice)
    return invoice


def mark_uncollectible(call: Call) -> Obj:
    invoice = fetch(call)
    transitions.permit("mark_uncollectible", invoice)
    transitions.mark_uncollectible(call, invoice)
    return invoice


def attach_payment(call: Call) -> Obj:
    invoice = fetch(call, "invoice")
    transitions.permit("attach_payment", invoice)
    return attaching.attach(call, invoice)


def list_all(call: Call) -> str:
    return lists.page(call, "invoice")


ROUTES = [
    post("/v1/invoices", drafts.create, **invoice_fields.CREATE),
    listing(
        "/v1/invoices",
        list_all,
        collection_method=METHOD,
        created=moment_or_range,
        customer=text,
        customer_account=text,
        due_date=moment_or_range,
        status=STATUS,
        subscription=text,
    ),
    get("/v1/invoices/:invoice", common.retrieving("invoice", "invoice")),
    post("/v1/invoices/:invoice", drafts.update, **invoice_fields.UPDATE),
    delete("/v1/invoices/:invoice", remove),
    post(
        "/v1/invoices/:invoice/add_lines",
        drafts.add_lines,
        ("lines",),
        lines=array_of(params.hash_of(invoice_item=text, **LINE)),
        invoice_metadata=params.metadata,
    ),
    post("/v1/invoices/:invoice/finalize", finalize, auto_advance=boolean),
    post(
        "/v1/invoices/:invoice/pay",
        pay,
        forgive=boolean,
        mandate=clearable(text),
        off_session=boolean,
        paid_out_of_band=boolean,
        payment_method=filled,
        source=filled,
    ),
    post("/v1/invoices/:invoice/send", send),
    post("/v1/invoices/:invoice/void", void),
    post("/v1/invoices/:invoice/mark_uncollectible", mark_uncollectible),
    post("/v1/invoices/:invoice/attach_payment", attach_payment, payment_intent=filled, payment_record=filled),
]
