"""/v1/subscriptions, as far as their invoices go: one at creation, and one at each renewal."""

from sandbox import amounts, params, paying, refusals, shapes, transitions
from sandbox.call import Call
from sandbox.charging import charge
from sandbox.currencies import currency
from sandbox.events import emit, snapshot
from sandbox.params import array_of, boolean, clearable, hash_of, metadata, not_empty, not_negative, one_of, text
from sandbox.paying import find_method
from sandbox.refusals import Refusal
from sandbox.resources import common, drafts, products
from sandbox.routes import delete, get, listing, post
from sandbox.store import HIDDEN, StripeObject
from sandbox.timers import on_timer, set_timer

DAY_SECONDS = 86400
ACTION_REQUIRED = refusals.ACTION_REQUIRED.replace("This payment", "Payment for this subscription").replace(
    "with the invoice", "with `subscription.latest_invoice`"
)
NEEDS_DAYS_UNTIL_DUE = "If subscription collection method is 'send_invoice', you must specify 'days_until_due'."


def create(call: Call) -> StripeObject:
    id = params.not_empty(call.params["customer"], "customer")
    customer = call.db.get("customer", id)
    if customer is None:
        raise refusals.resource_missing("customer", id, "customer")  # 404 at Stripe; creating an invoice answers 400
    priced = [price_of(call, item, index) for index, item in enumerate(call.params["items"])]
    subscription = shapes.subscription(call.now, customer["id"], priced)
    common.set_given(subscription, call, "collection_method", "days_until_due", "description")
    common.set_metadata(subscription, call)
    sent_by_hand = subscription["collection_method"] == "send_invoice"
    if sent_by_hand and subscription["days_until_due"] is None:
        raise refusals.invalid_parameter(NEEDS_DAYS_UNTIL_DUE, "days_until_due")
    if "default_payment_method" in call.params:
        method = find_method(call, call.params["default_payment_method"], "default_payment_method", customer["id"])
        subscription["default_payment_method"] = method["id"]
    call.db.add("subscription", subscription)
    invoice = create_invoice(call, subscription, customer, "subscription_create")
    emit(call, "customer.subscription.created", subscription)
    if not sent_by_hand:
        first_payment(call, subscription, invoice)
    set_timer(call, "renew", subscription["id"], subscription["items"]["data"][0]["current_period_end"])
    return call.db.get("subscription", subscription["id"]) or subscription


def price_of(call: Call, item: StripeObject, index: int) -> tuple[StripeObject, int]:
    quantity = item.get("quantity", 1)
    if "price" in item:
        price = call.db.get("price", item["price"])
        if price is None:
            raise refusals.resource_missing_in_parameter("price", item["price"], f"items[{index}][price]")
        if not price["recurring"]:
            raise refusals.not_allowed("The price specified is set to `type=one_time`.", f"items[{index}][price]")
        return price, quantity
    if "price_data" not in item:
        raise refusals.parameter_missing(f"items[{index}][price]")
    price = products.price_from(call, item["price_data"], item["price_data"]["product"])
    return call.db.add("price", price), quantity


def create_invoice(call: Call, subscription: StripeObject, customer: StripeObject, reason: str) -> StripeObject:
    """Create the invoice of a period. The first one is finalized at once; a renewal's stays a draft for an hour."""
    delivered = not call.world.receivers_of(call.db, "invoice.created")
    invoice = shapes.invoice(call.now, customer, subscription["currency"], delivered)
    invoice[HIDDEN] = {}
    invoice.update(
        billing_reason=reason,
        collection_method=subscription["collection_method"],
        parent=shapes.subscription_parent(subscription),
        rendering=None,
        auto_advance=True,
    )
    if subscription["collection_method"] == "send_invoice":
        invoice["due_date"] = call.now + subscription["days_until_due"] * DAY_SECONDS
    amounts.set_lines(invoice, drafts.subscription_lines(call, invoice, subscription))
    amounts.set_totals(invoice, customer["balance"])
    call.db.add("invoice", invoice)
    subscription["latest_invoice"] = invoice["id"]
    call.db.save("subscription", subscription)
    if reason == "subscription_create":
        emit(call, "invoice.created", invoice)
        transitions.finalize(call, invoice)
    else:
        drafts.plan_finalization(call, invoice)
        call.db.save("invoice", invoice)
        emit(call, "invoice.created", invoice)
    return invoice


def first_payment(call: Call, subscription: StripeObject, invoice: StripeObject) -> None:
    """Charge the first invoice. A failure leaves the subscription incomplete; with error_if_incomplete it is undone."""
    behaviour = call.params.get("payment_behavior", "allow_incomplete")
    invoice = call.db.get("invoice", invoice["id"]) or invoice
    if invoice["status"] == "paid":
        return
    method = paying.stored_method(call, invoice)
    if method is None and behaviour != "default_incomplete":
        raise Refusal(400, refusals.NO_PAYMENT_SOURCE, code="resource_missing")
    problem = None
    if method and behaviour != "default_incomplete":
        problem = charge(call, invoice, method, on_session=True)
    if problem and behaviour == "error_if_incomplete":
        raise as_error(problem)
    if problem or behaviour == "default_incomplete":
        subscription["status"] = "incomplete"
        call.db.save("subscription", subscription)


def as_error(problem: Refusal) -> Refusal:
    """The error of an undone subscription. It names none of the objects, because they are undone too."""
    needs_action = problem.error["code"] == "invoice_payment_intent_requires_action"
    code = "subscription_payment_intent_requires_action" if needs_action else problem.error["code"]
    message = ACTION_REQUIRED if needs_action else problem.error["message"]
    members = {} if needs_action else {"decline_code": problem.error["decline_code"]}
    return Refusal(402, message, type="card_error", code=code, **members)


@on_timer("renew")
def renew(call: Call, id: str) -> None:
    subscription = call.db.get("subscription", id)
    customer = call.db.get("customer", subscription["customer"]) if subscription else None
    if subscription is None or customer is None or subscription["status"] not in ("active", "past_due"):
        return
    before = snapshot(subscription)
    for item in subscription["items"]["data"]:
        start, end = shapes.period_of(item["price"], item["current_period_end"])
        item.update(current_period_start=start, current_period_end=end)
    create_invoice(call, subscription, customer, "subscription_cycle")
    emit(call, "customer.subscription.updated", subscription, before)
    set_timer(call, "renew", id, subscription["items"]["data"][0]["current_period_end"])


def cancel(call: Call) -> StripeObject:
    subscription = common.fetch(call, "subscription")
    if subscription["status"] == "canceled":
        raise refusals.resource_missing("subscription", call.id)
    subscription.update(status="canceled", canceled_at=call.now, ended_at=call.now)
    call.db.save("subscription", subscription)
    set_timer(call, "renew", subscription["id"], None)
    emit(call, "customer.subscription.deleted", subscription)
    return subscription


def update(call: Call) -> StripeObject:
    subscription = common.fetch(call, "subscription")
    before = snapshot(subscription)
    common.set_given(subscription, call, "description", "cancel_at_period_end", "days_until_due")
    common.set_metadata(subscription, call)
    if "default_payment_method" in call.params:
        id = call.params["default_payment_method"]
        method = find_method(call, id, "default_payment_method", subscription["customer"])
        subscription["default_payment_method"] = method["id"]
    call.db.save("subscription", subscription)
    emit(call, "customer.subscription.updated", subscription, before)
    return subscription


PRICE_DATA = hash_of(("currency", "product", "recurring"), **products.PRICE, product=not_empty)
ITEM = hash_of(price=not_empty, price_data=PRICE_DATA, quantity=not_negative, metadata=metadata)
COMMON = {
    "days_until_due": not_negative,
    "default_payment_method": not_empty,
    "description": clearable(text),
    "metadata": metadata,
}
ROUTES = [
    post(
        "/v1/subscriptions",
        create,
        ("customer", "items"),
        customer=text,
        items=array_of(ITEM),
        collection_method=one_of("charge_automatically", "send_invoice"),
        payment_behavior=one_of("allow_incomplete", "default_incomplete", "error_if_incomplete"),
        off_session=boolean,
        currency=currency,
        **COMMON,
    ),
    listing(
        "/v1/subscriptions",
        common.listing("subscription"),
        created=params.time_or_range,
        customer=text,
        status=text,
    ),
    get("/v1/subscriptions/:id", common.retrieving("subscription")),
    post("/v1/subscriptions/:id", update, cancel_at_period_end=boolean, **COMMON),
    delete("/v1/subscriptions/:id", cancel),
]
