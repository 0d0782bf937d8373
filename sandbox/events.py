"""Events: what happened, with a copy of the object as it was then, and the webhook deliveries of the event."""

import copy
import time
from typing import Any

from sandbox import API_VERSION
from sandbox.call import Call
from sandbox.ids import ids
from sandbox.store import HIDDEN, Database, StripeObject, visible

EVENT_LIFETIME_SECONDS = 30 * 86400  # how far back GET /v1/events reaches (Stripe docs: List all events)
CLEANUP_MARGIN_SECONDS = 86400  # rows stay one more day in the file than in lists


def emit(
    call: Call,
    type: str,
    obj: StripeObject,
    before: StripeObject | None = None,
    previous: StripeObject | None = None,
) -> None:
    """Store an event of this type and plan its deliveries.

    `before` is a snapshot from before the change: what differs becomes `previous_attributes`, and if nothing differs
    there is no event. `previous` gives `previous_attributes` directly.
    """
    data: dict[str, Any] = {"object": visible(obj)}
    if before is not None:
        previous = previous_attributes(before, obj)
        if not previous:
            return
    if previous is not None:
        data["previous_attributes"] = previous
    receivers = call.world.receivers_of(call.db, type)
    event = {
        "id": ids.new("event"),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now - call.world.faults.stamp_lag(type),
        "data": data,
        "livemode": False,
        "pending_webhooks": len(receivers),
        "request": {"id": call.request_id, "idempotency_key": call.key},
        "type": type,
    }
    call.db.add("event", event)
    for receiver in receivers:
        plan_delivery(call, event, receiver)


def plan_delivery(call: Call, event: StripeObject, receiver: str) -> None:
    """Write the rows of the deliveries to one receiver, with the faults drawn for them.

    Faults are drawn here and only once, so that a dropped delivery stays dropped after a restart. Pauses between
    deliveries go by the real clock, because the receiver runs in real time.
    """
    plan = call.world.faults.plan_delivery(event["type"])
    now = time.time()
    if plan.dropped:
        call.db.add_to_counter("dropped")
    for delay in plan.delay_seconds:
        call.db.execute(
            "INSERT INTO delivery (event, type, endpoint, state, since, next_at) VALUES (?, ?, ?, ?, ?, ?)",
            (event["id"], event["type"], receiver, "dropped" if plan.dropped else "pending", now, now + delay),
        )


def snapshot(obj: StripeObject) -> StripeObject:
    """A deep copy without the hidden member, to be passed to `emit` as `before`."""
    return copy.deepcopy({name: value for name, value in obj.items() if name != HIDDEN})


def previous_attributes(before: StripeObject, after: StripeObject) -> StripeObject:
    """The old values of the changed members; of a nested object only its changed members."""
    found: StripeObject = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if name == HIDDEN or old == new:
            continue
        found[name] = previous_attributes(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return found


def delete_expired_events(db: Database, now: int) -> None:
    """An event with a pending delivery stays until that delivery has ended."""
    db.execute(
        "DELETE FROM event WHERE created < ? AND id NOT IN (SELECT event FROM delivery WHERE state = 'pending')",
        (now - EVENT_LIFETIME_SECONDS - CLEANUP_MARGIN_SECONDS,),
    )
    db.execute("DELETE FROM delivery WHERE state != 'pending' AND event NOT IN (SELECT id FROM event)")
