"""/v1/mandates: a customer's word that a bank account may be debited, bound to its payment method."""

from sandbox.call import Call
from sandbox.ids import ids
from sandbox.resources import common
from sandbox.routes import get
from sandbox.store import Obj


def give(call: Call, method: Obj) -> Obj:
    """Stripe asks for it when the account is set up; here attaching is the setup."""
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
