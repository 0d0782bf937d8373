"""/v1/invoices: the addresses. What the calls change is in drafts, transitions, paying and attaching."""

from sandbox import lists, params, paying, refusals, transitions
from sandbox.call import Call
from sandbox.events import emit
from sandbox.params import array_of, boolean, clearable, not_empty, one_of, text, time_or_range
from sandbox.resources import attaching, common, drafts, invoice_fields
from sandbox.resources.invoiceitems import LINE
from sandbox.routes import delete, get, listing, post
from sandbox.store import StripeObject
from sandbox.timers import set_timer

STATUS = one_of("draft", "open", "void", "paid", "uncollectible")
METHOD = one_of("charge_automatically", "send_invoice")


def fetch(call: Call, param: str = "id") -> StripeObject:
    return common.fetch(call, "invoice", param)


def remove(call: Call) -> StripeObject:
    invoice = fetch(call, "invoice")
    transitions.check_allowed("delete", invoice)
    if (invoice["parent"] or {}).get("type") == "subscription_details":
        raise refusals.not_allowed(refusals.SUBSCRIPTION_DRAFT)
    gone = common.deleted_stub("invoice", invoice["id"])
    call.db.remove("invoice", invoice["id"], gone)
    set_timer(call, "finalize", invoice["id"], None)
    call.key = None  # Stripe takes idempotency keys with POST only
    emit(call, "invoice.deleted", invoice)
    return gone


def finalize(call: Call) -> StripeObject:
    invoice = fetch(call)
    transitions.check_allowed("finalize", invoice)
    if "auto_advance" in call.params:
        invoice["auto_advance"] = call.params["auto_advance"]
    transitions.finalize(call, invoice)
    return invoice


def pay(call: Call) -> StripeObject:
    invoice = fetch(call)
    if call.params.get("paid_out_of_band"):
        transitions.check_allowed("pay_out_of_band", invoice)
        transitions.pay_out_of_band(call, invoice)
        return invoice
    return paying.pay(call, invoice)


def send(call: Call) -> StripeObject:
    invoice = fetch(call, "invoice")
    transitions.check_allowed("send", invoice)
    if invoice["status"] == "draft":
        transitions.finalize(call, invoice)
    elif invoice["collection_method"] != "send_invoice":
        raise refusals.not_allowed(refusals.NOT_SENDABLE)  # unknowns: send_automatic
    emit(call, "invoice.sent", invoice)
    return invoice


def void(call: Call) -> StripeObject:
    invoice = fetch(call)
    transitions.check_allowed("void", invoice)
    transitions.void(call, invoice)
    return invoice


def mark_uncollectible(call: Call) -> StripeObject:
    invoice = fetch(call)
    transitions.check_allowed("mark_uncollectible", invoice)
    transitions.mark_uncollectible(call, invoice)
    return invoice


def attach_payment(call: Call) -> StripeObject:
    invoice = fetch(call, "invoice")
    transitions.check_allowed("attach_payment", invoice)
    return attaching.attach(call, invoice)


def list_all(call: Call) -> str:
    return lists.page(call, "invoice")


ROUTES = [
    post("/v1/invoices", drafts.create, **invoice_fields.CREATE),
    listing(
        "/v1/invoices",
        list_all,
        collection_method=METHOD,
        created=time_or_range,
        customer=text,
        customer_account=text,
        due_date=time_or_range,
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
        payment_method=not_empty,
        source=not_empty,
    ),
    post("/v1/invoices/:invoice/send", send),
    post("/v1/invoices/:invoice/void", void),
    post("/v1/invoices/:invoice/mark_uncollectible", mark_uncollectible),
    post("/v1/invoices/:invoice/attach_payment", attach_payment, payment_intent=not_empty, payment_record=not_empty),
]
