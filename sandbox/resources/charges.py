"""/v1/charges: list, retrieve and change charges, and create one without a PaymentIntent, as older integrations do."""

from typing import Any

from sandbox import cards, paying, refusals, shapes
from sandbox.call import Call
from sandbox.currencies import currency
from sandbox.events import emit, snapshot
from sandbox.params import clearable, integer, metadata, not_empty, text, time_or_range
from sandbox.payment_attempts import NEEDS_AUTHENTICATION
from sandbox.refusals import Refusal
from sandbox.resources import common
from sandbox.resources.payment_intents import charged_amount_given
from sandbox.routes import get, listing, post
from sandbox.store import StripeObject

NO_CARD = "Cannot charge a customer that has no active card"
NEEDS_SOURCE_OR_CUSTOMER = "Must provide source or customer."


def create(call: Call) -> StripeObject:
    amount = charged_amount_given(call, call.params["currency"])
    customer = common.fetch_named(call, "customer", "customer") if "customer" in call.params else None
    method = card_of(call, customer)
    intent_members = {  # in place of a PaymentIntent
        "id": None,
        "amount": amount,
        "currency": call.params["currency"],
        "customer": customer["id"] if customer else None,
        "description": call.params.get("description"),
    }
    card = cards.card_of(method)
    if card.decline:
        raise decline(call, intent_members, method, card.code, card.decline, card.message)
    if card.authenticate:
        raise decline(
            call, intent_members, method, "authentication_required", "authentication_required", NEEDS_AUTHENTICATION
        )
    charge = shapes.charge(call.now, intent_members, method, "succeeded")
    common.set_metadata(charge, call)
    call.db.add("charge", charge)
    emit(call, "charge.succeeded", charge)
    return charge


def card_of(call: Call, customer: StripeObject | None) -> StripeObject:
    if "source" in call.params:
        owner = customer["id"] if customer else None
        return paying.find_method(call, call.params["source"], "source", owner)
    if customer is None:
        raise refusals.invalid_parameter(NEEDS_SOURCE_OR_CUSTOMER)
    default = customer["invoice_settings"]["default_payment_method"]
    method = call.db.get("payment_method", default) if default else None
    if method is None:
        raise Refusal(402, NO_CARD, type="card_error", code="missing", param="card")
    return method


def decline(
    call: Call, intent_members: StripeObject, method: StripeObject, code: str, decline_code: str, message: str
) -> Refusal:
    members: dict[str, Any] = {"failure_code": code, "failure_message": message}
    charge = call.db.add("charge", shapes.charge(call.now, intent_members, method, "failed", **members))
    emit(call, "charge.failed", charge)
    error = {
        "charge": charge["id"],
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "type": "card_error",
    }
    return refusals.card_declined(error)


def update(call: Call) -> StripeObject:
    charge = common.fetch(call, "charge")
    before = snapshot(charge)
    common.set_given(charge, call, "description", "receipt_email")
    common.set_metadata(charge, call)
    call.db.save("charge", charge)
    emit(call, "charge.updated", charge, before)
    return charge


ROUTES = [
    post(
        "/v1/charges",
        create,
        ("amount", "currency"),
        amount=integer,
        currency=currency,
        customer=not_empty,
        source=not_empty,
        description=clearable(text),
        metadata=metadata,
        receipt_email=text,
    ),
    post(
        "/v1/charges/:charge",
        update,
        description=clearable(text),
        metadata=metadata,
        receipt_email=text,
    ),
    listing(
        "/v1/charges",
        common.listing("charge"),
        created=time_or_range,
        customer=text,
        payment_intent=text,
    ),
    get("/v1/charges/:charge", common.retrieving("charge")),
]
