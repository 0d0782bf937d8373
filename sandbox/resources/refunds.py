"""/v1/refunds: refund a charge or a PaymentIntent, list, retrieve, and change the metadata."""

from sandbox import refunding, refusals, unknowns
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.params import integer, metadata, not_empty, one_of, text, time_or_range
from sandbox.resources import common
from sandbox.resources.payment_intents import amount_given
from sandbox.routes import get, listing, post
from sandbox.store import StripeObject


def create(call: Call) -> StripeObject:
    if "payment_intent" in call.params:
        charge = refunding.charge_of(call, common.fetch_named(call, "payment_intent", "payment_intent"))
    elif "charge" in call.params:
        charge = common.fetch_named(call, "charge", "charge")
    else:
        raise refusals.invalid_parameter(unknowns.REFUND_OF_NOTHING)
    amount = amount_given(call, charge["currency"]) if "amount" in call.params else None
    return refunding.refund(call, charge, amount, **call.given("reason", "metadata"))


def update(call: Call) -> StripeObject:
    made = common.fetch(call, "refund", "refund")
    before = snapshot(made)
    common.set_metadata(made, call)
    call.db.save("refund", made)
    emit(call, "refund.updated", made, before)
    return made


ROUTES = [
    post(
        "/v1/refunds",
        create,
        amount=integer,
        charge=not_empty,
        payment_intent=not_empty,
        metadata=metadata,
        reason=one_of("duplicate", "fraudulent", "requested_by_customer"),
    ),
    listing("/v1/refunds", common.listing("refund"), created=time_or_range, charge=text, payment_intent=text),
    get("/v1/refunds/:refund", common.retrieving("refund", "refund")),
    post("/v1/refunds/:refund", update, metadata=metadata),
]
