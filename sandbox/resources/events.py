"""/v1/events: what happened in the last thirty days."""

from sandbox import lists, refusals
from sandbox.call import Call
from sandbox.events import KEPT
from sandbox.params import array_of, boolean, moment_or_range, text
from sandbox.resources import common
from sandbox.routes import get, listing
from sandbox.store import Obj

BOTH = "You may only specify one of these parameters: type, types."
TOO_MANY = "You can pass up to 20 types."


def list_all(call: Call) -> str:
    type, types = call.params.pop("type", None), call.params.pop("types", None)
    if type and types:
        raise refusals.invalid(BOTH, code="parameters_exclusive")
    if types and len(types) > 20:
        raise refusals.invalid(TOO_MANY, "types")
    where: lists.Where = lists.filters(call, "event")
    where.append(("created > ?", call.now - KEPT))
    if type and "*" in type:
        where.append(("type GLOB ?", type.replace("[", "[[]").replace("?", "[?]")))
    elif type or types:
        names = types or [type]
        where.append((f"type IN ({', '.join('?' * len(names))})", *names))
    if "delivery_success" in call.params:
        where.append((DELIVERED, int(call.params["delivery_success"])))
    return lists.page(call, "event", where)


DELIVERED = "(NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = event.id AND state != 'acknowledged')) = ?"


def retrieve(call: Call) -> Obj:
    event = common.fetch(call, "event")
    if event["created"] <= call.now - KEPT:
        raise refusals.missing("event", call.id)
    return event


ROUTES = [
    listing(
        "/v1/events",
        list_all,
        created=moment_or_range,
        delivery_success=boolean,
        type=text,
        types=array_of(text),
    ),
    get("/v1/events/:event", retrieve),
]
