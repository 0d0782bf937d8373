"""/v1/mandates: a customer's permission to debit a bank account."""

from sandbox.call import Call
from sandbox.ids import ids
from sandbox.resources import common
from sandbox.routes import get
from sandbox.store import StripeObject


def create(call: Call, method: StripeObject) -> StripeObject:
    """Create the mandate of a bank account. Stripe does so at its setup; the sandbox when it is attached."""
    mandate = {
        "id": ids.new("mandate"),
        "object": "mandate",
        "customer_acceptance": {"accepted_at": call.now, "offline": {}, "type": "offline"},
        "livemode": False,
        "multi_use": {},
        "on_behalf_of": None,
        "payment_method": method["id"],
        "payment_method_details": {method["type"]: {}, "type": method["type"]},
        "status": "active",
        "type": "multi_use",
    }
    return call.db.add("mandate", mandate)


ROUTES = [get("/v1/mandates/:mandate", common.retrieving("mandate", "mandate"))]
