"""/v1/billing_portal/sessions: links to the customer portal. They look like Stripe's and lead nowhere."""

from sandbox import refusals
from sandbox.call import Call
from sandbox.ids import ids
from sandbox.params import anything, hash_of, not_empty, one_of, text
from sandbox.resources import common
from sandbox.routes import post
from sandbox.store import StripeObject

FLOWS = ("payment_method_update", "subscription_cancel", "subscription_update", "subscription_update_confirm")
AFTER_COMPLETION = {"hosted_confirmation": None, "redirect": None, "type": "portal_homepage"}


def create(call: Call) -> StripeObject:
    customer = common.fetch_named(call, "customer", "customer")
    id = ids.new("billing_portal.session")
    session = {
        "id": id,
        "object": "billing_portal.session",
        "configuration": call.params.get("configuration") or "bpc_1SandboxStandIn",
        "created": call.now,
        "customer": customer["id"],
        "customer_account": None,
        "flow": flow(call.params.get("flow_data")),
        "livemode": False,
        "locale": call.params.get("locale"),
        "on_behalf_of": None,
        "return_url": call.params.get("return_url"),
        "url": f"https://billing.stripe.com/p/session/test_{id.removeprefix('bps_')}",
    }
    return call.db.add("billing_portal.session", session)


def flow(given: StripeObject | None) -> StripeObject | None:
    if given is None:
        return None
    type = given["type"]
    if type != "payment_method_update" and type not in given:
        raise refusals.parameter_missing(f"flow_data[{type}]")
    made: StripeObject = dict.fromkeys(FLOWS[1:])
    made.update(type=type, after_completion={**AFTER_COMPLETION, **given.get("after_completion", {})})
    if type in given:
        made[type] = given[type]
    return made


FLOW = hash_of(
    ("type",),
    type=one_of(*FLOWS),
    after_completion=hash_of(
        ("type",),
        type=one_of("hosted_confirmation", "portal_homepage", "redirect"),
        redirect=hash_of(("return_url",), return_url=text),
        hosted_confirmation=hash_of(custom_message=text),
    ),
    subscription_cancel=anything,
    subscription_update=anything,
    subscription_update_confirm=anything,
)
ROUTES = [
    post(
        "/v1/billing_portal/sessions",
        create,
        ("customer",),
        customer=not_empty,
        configuration=text,
        flow_data=FLOW,
        locale=text,
        on_behalf_of=text,
        return_url=text,
    ),
]
