"""/v1/charges: read only; they are made by PaymentIntents."""

from sandbox.params import moment_or_range, text
from sandbox.resources import common
from sandbox.routes import get, listing

ROUTES = [
    listing(
        "/v1/charges",
        common.listing("charge"),
        created=moment_or_range,
        customer=text,
        payment_intent=text,
    ),
    get("/v1/charges/:charge", common.retrieving("charge")),
]
