"""/v1/sources: legacy sources. A source holds an amount of money that the customer has sent ahead."""

from sandbox import cards, lists, params, refusals
from sandbox.call import Call
from sandbox.currencies import check_amount, currency
from sandbox.events import emit
from sandbox.ids import ids
from sandbox.params import anything, clearable, hash_of, metadata, not_empty, not_negative, one_of, text
from sandbox.resources import common
from sandbox.routes import delete, get, listing, post
from sandbox.store import HIDDEN, StripeObject

ATTACHED = "The source you provided has already been attached to a customer."


def create(call: Call) -> StripeObject:
    """The customer counts as having sent `amount` at once."""
    amount = call.params.get("amount", 0)
    check_amount(amount, call.params.get("currency", "usd"), "amount")
    id = ids.new("source")
    source = {
        "id": id,
        "object": "source",
        "ach_credit_transfer": {"account_number": "test_" + id[-12:], "routing_number": "110000000"},
        "allow_redisplay": "unspecified",
        "amount": amount or None,
        "client_secret": f"src_client_secret_{id[-14:]}",
        "created": call.now,
        "currency": call.params.get("currency", "usd"),
        "customer": None,
        "flow": "receiver",
        "livemode": False,
        "metadata": params.merged_metadata({}, call.params.get("metadata") or {}),
        "owner": {**owner(), **(call.params.get("owner") or {})},
        "receiver": {
            "address": f"110000000-test_{id[-12:]}",
            "amount_charged": 0,
            "amount_received": amount,
            "amount_returned": 0,
            "refund_attributes_method": "email",
            "refund_attributes_status": "missing",
        },
        "statement_descriptor": None,
        "status": "chargeable" if amount else "pending",
        "type": call.params["type"],
        "usage": "reusable",
        HIDDEN: {"available": amount},
    }
    return call.db.add("source", source)


def owner() -> StripeObject:
    names = ("address", "email", "name", "phone")
    return dict.fromkeys([*names, *(f"verified_{name}" for name in names)])


def attach(call: Call) -> StripeObject:
    customer = common.fetch(call, "customer", "customer")
    id: str = call.params["source"]
    if cards.card_name(id):
        raise refusals.resource_missing_in_parameter("source", id, "source")
    source = common.fetch_named(call, "source", "source")
    if source["customer"] and source["customer"] != customer["id"]:
        raise refusals.not_allowed(ATTACHED, "source")
    source["customer"] = customer["id"]
    call.db.save("source", source)
    if customer["default_source"] is None:
        customer["default_source"] = source["id"]
        call.db.save("customer", customer)
    emit(call, "customer.source.created", source)
    return source


def of_customer(call: Call) -> StripeObject:
    customer = common.fetch(call, "customer", "customer")
    source = common.fetch(call, "source", "id", call.second_id)
    if source["customer"] != customer["id"]:
        raise refusals.resource_missing("source", call.second_id)
    return source


def detach(call: Call) -> StripeObject:
    source = of_customer(call)
    customer = common.fetch(call, "customer", "customer")
    source.update(customer=None, status="consumed")
    source[HIDDEN]["available"] = 0
    call.db.save("source", source)
    if customer["default_source"] == source["id"]:
        customer["default_source"] = None
        call.db.save("customer", customer)
    emit(call, "customer.source.deleted", source)
    return source


def list_of_customer(call: Call) -> str:
    customer = common.fetch(call, "customer", "customer")
    return lists.page(call, "source", [("customer = ?", customer["id"])])


ROUTES = [
    post(
        "/v1/sources",
        create,
        ("type",),
        type=one_of("ach_credit_transfer", "sepa_credit_transfer", "multibanco"),
        amount=not_negative,
        currency=currency,
        owner=hash_of(email=text, name=text, phone=text, address=anything),
        metadata=metadata,
        usage=text,
        flow=text,
        statement_descriptor=clearable(text),
    ),
    get("/v1/sources/:source", common.retrieving("source", "source")),
    post("/v1/customers/:customer/sources", attach, ("source",), source=not_empty, metadata=metadata),
    listing("/v1/customers/:customer/sources", list_of_customer, object=text),
    get("/v1/customers/:customer/sources/:id", of_customer),
    delete("/v1/customers/:customer/sources/:id", detach),
]
