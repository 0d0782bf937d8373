"""/v1/webhook_endpoints: more webhook receivers, each with its own secret and event types."""

from sandbox import params, refusals
from sandbox.call import Call
from sandbox.ids import ids
from sandbox.params import array_of, boolean, clearable, metadata, text
from sandbox.resources import common
from sandbox.routes import delete, get, listing, post
from sandbox.store import HIDDEN, StripeObject

INVALID_URL = "Invalid URL: An explicit scheme (such as https) must be provided."


def url(value: object, path: str) -> str:
    address = params.not_empty(value, path)
    if not address.startswith(("http://", "https://")):
        raise refusals.invalid_parameter(INVALID_URL, path, "url_invalid")
    return address


def create(call: Call) -> StripeObject:
    secret = ids.with_prefix("whsec_")
    endpoint = {
        "id": ids.new("webhook_endpoint"),
        "object": "webhook_endpoint",
        "api_version": call.params.get("api_version"),
        "application": None,
        "created": call.now,
        "description": call.params.get("description"),
        "enabled_events": call.params["enabled_events"],
        "livemode": False,
        "metadata": params.merged_metadata({}, call.params.get("metadata") or {}),
        "status": "enabled",
        "url": call.params["url"],
        HIDDEN: {"secret": secret},
    }
    call.db.add("webhook_endpoint", endpoint)
    call.world.load_endpoints(call.db)
    return {**endpoint, "secret": secret}  # Stripe shows the secret only at creation


def update(call: Call) -> StripeObject:
    endpoint = common.fetch(call, "webhook_endpoint", "webhook_endpoint")
    common.set_given(endpoint, call, "description", "enabled_events", "url")
    common.set_metadata(endpoint, call)
    if "disabled" in call.params:
        endpoint["status"] = "disabled" if call.params["disabled"] else "enabled"
    call.db.save("webhook_endpoint", endpoint)
    call.world.load_endpoints(call.db)
    return endpoint


def remove(call: Call) -> StripeObject:
    endpoint = common.fetch(call, "webhook_endpoint", "webhook_endpoint")
    gone = common.deleted_stub("webhook_endpoint", endpoint["id"])
    call.db.remove("webhook_endpoint", endpoint["id"], gone)
    call.world.load_endpoints(call.db)
    return gone


COMMON = {"description": clearable(text), "enabled_events": array_of(text), "metadata": metadata, "url": url}
ENDPOINT_ADDRESS = "/v1/webhook_endpoints/:webhook_endpoint"
ROUTES = [
    post(
        "/v1/webhook_endpoints",
        create,
        ("enabled_events", "url"),
        api_version=text,
        connect=boolean,
        **COMMON,
    ),
    listing("/v1/webhook_endpoints", common.listing("webhook_endpoint")),
    get(ENDPOINT_ADDRESS, common.retrieving("webhook_endpoint", "webhook_endpoint")),
    post(ENDPOINT_ADDRESS, update, disabled=boolean, **COMMON),
    delete(ENDPOINT_ADDRESS, remove),
]
