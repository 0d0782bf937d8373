"""Events: what happened, with the whole object as it was then, and the deliveries that follow from it."""

import copy
import time
from typing import Any

from sandbox import API_VERSION
from sandbox.call import Call
from sandbox.ids import ids
from sandbox.store import HIDDEN, Obj, visible

KEPT = 30 * 86400  # seconds for which /v1/events reaches back


def emit(call: Call, type: str, obj: Obj, before: Obj | None = None, previous: Obj | None = None) -> None:
    """`before`: the object as it was; its changed members become `previous_attributes`."""
    data: dict[str, Any] = {"object": visible(obj)}
    if before is not None:
        previous = changes(before, obj)
        if not previous:
            return
    if previous is not None:
        data["previous_attributes"] = previous
    endpoints = call.world.endpoints(call.db, type)
    event = {
        "id": ids.new("event"),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now - call.world.faults.lag(type),
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": {"id": call.request_id, "idempotency_key": call.key},
        "type": type,
    }
    call.db.add("event", event)
    for endpoint in endpoints:
        plan_delivery(call, event, endpoint)


def plan_delivery(call: Call, event: Obj, endpoint: str) -> None:
    """The dice fall here, once: a delivery that is to be lost stays lost over any restart."""
    plan = call.world.faults.delivery(event["type"])
    now = time.time()
    if plan.dropped:
        call.db.count("dropped")
    for delay in plan.delays:
        call.db.execute(
            "INSERT INTO delivery (event, type, endpoint, state, since, next_at) VALUES (?, ?, ?, ?, ?, ?)",
            (event["id"], event["type"], endpoint, "dropped" if plan.dropped else "pending", now, now + delay),
        )


def snapshot(obj: Obj) -> Obj:
    return copy.deepcopy({name: value for name, value in obj.items() if name != HIDDEN})


def changes(before: Obj, after: Obj) -> Obj:
    """Old values of changed members only, and of nested objects only theirs."""
    found: Obj = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if name == HIDDEN or old == new:
            continue
        found[name] = changes(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return found
