"""/v1/charges: most are made by PaymentIntents; the old way, without one, is there too."""

from typing import Any

from sandbox import cards, collection, refusals, shapes
from sandbox.call import Call
from sandbox.currencies import currency
from sandbox.events import emit
from sandbox.intents import ABSENT
from sandbox.params import clearable, filled, integer, metadata, moment_or_range, text
from sandbox.refusals import Refusal
from sandbox.resources import common
from sandbox.resources.payment_intents import amount_given
from sandbox.routes import get, listing, post
from sandbox.store import Obj

NO_CARD = "Cannot charge a customer that has no active card"
NOBODY = "Must provide source or customer."


def create(call: Call) -> Obj:
    amount = amount_given(call)
    customer = common.named_in(call, "customer", "customer") if "customer" in call.params else None
    method = card_of(call, customer)
    about = {
        "id": None,
        "amount": amount,
        "currency": call.params["currency"],
        "customer": customer["id"] if customer else None,
        "description": call.params.get("description"),
    }
    card = cards.of(method)
    if card.decline:
        raise decline(call, about, method, card.code, card.decline, card.message)
    if card.authenticate:
        raise decline(call, about, method, "authentication_required", "authentication_required", ABSENT)
    charge = shapes.charge(call.now, about, method, "succeeded")
    common.set_metadata(charge, call)
    call.db.add("charge", charge)
    emit(call, "charge.succeeded", charge)
    return charge


def card_of(call: Call, customer: Obj | None) -> Obj:
    if "source" in call.params:
        owner = customer["id"] if customer else None
        return collection.find_method(call, call.params["source"], "source", owner)
    if customer is None:
        raise refusals.invalid(NOBODY)
    default = customer["invoice_settings"]["default_payment_method"]
    method = call.db.get("payment_method", default) if default else None
    if method is None:
        raise Refusal(402, NO_CARD, type="card_error", code="missing", param="card")
    return method


def decline(call: Call, about: Obj, method: Obj, code: str, why: str, message: str) -> Refusal:
    members: dict[str, Any] = {"failure_code": code, "failure_message": message}
    charge = call.db.add("charge", shapes.charge(call.now, about, method, "failed", **members))
    emit(call, "charge.failed", charge)
    error = {"charge": charge["id"], "code": code, "decline_code": why, "message": message, "type": "card_error"}
    return refusals.declined(error)


ROUTES = [
    post(
        "/v1/charges",
        create,
        ("amount", "currency"),
        amount=integer,
        currency=currency,
        customer=filled,
        source=filled,
        description=clearable(text),
        metadata=metadata,
        receipt_email=text,
    ),
    listing(
        "/v1/charges",
        common.listing("charge"),
        created=moment_or_range,
        customer=text,
        payment_intent=text,
    ),
    get("/v1/charges/:charge", common.retrieving("charge")),
]
