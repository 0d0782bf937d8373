"""/v1/events: the events of the last thirty days."""

from sandbox import lists, refusals
from sandbox.call import Call
from sandbox.events import EVENT_LIFETIME_SECONDS
from sandbox.params import array_of, boolean, text, time_or_range
from sandbox.resources import common
from sandbox.routes import get, listing
from sandbox.store import StripeObject

TYPE_AND_TYPES = "You may only specify one of these parameters: type, types."
MAX_TYPES = 20
TOO_MANY = f"You can pass up to {MAX_TYPES} types."


def list_all(call: Call) -> str:
    type, types = call.params.pop("type", None), call.params.pop("types", None)
    if type and types:
        raise refusals.invalid_parameter(TYPE_AND_TYPES, code="parameters_exclusive")
    if types and len(types) > MAX_TYPES:
        raise refusals.invalid_parameter(TOO_MANY, "types")
    where: lists.Where = lists.filters(call, "event")
    where.append(("created > ?", call.now - EVENT_LIFETIME_SECONDS))
    if type and "*" in type:
        where.append(("type GLOB ?", type.replace("[", "[[]").replace("?", "[?]")))
    elif type or types:
        names = types or [type]
        where.append((f"type IN ({', '.join('?' * len(names))})", *names))
    if "delivery_success" in call.params:
        where.append((DELIVERED, int(call.params["delivery_success"])))
    return lists.page(call, "event", where)


DELIVERED = "(NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = event.id AND state != 'acknowledged')) = ?"


def retrieve(call: Call) -> StripeObject:
    event = common.fetch(call, "event")
    if event["created"] <= call.now - EVENT_LIFETIME_SECONDS:
        raise refusals.resource_missing("event", call.id)
    return event


ROUTES = [
    listing(
        "/v1/events",
        list_all,
        created=time_or_range,
        delivery_success=boolean,
        type=text,
        types=array_of(text),
    ),
    get("/v1/events/:event", retrieve),
]
