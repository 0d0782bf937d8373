"""The levers behind /_sandbox/: faults, clock, counts, receivers, a clean slate, and what only a bank can do."""

import json
import time
from typing import Any

from sandbox import automatic, charging, intents, seeds, timers
from sandbox import unknowns as unknown
from sandbox.call import Call
from sandbox.faults import Mistake
from sandbox.store import visible
from sandbox.world import World

Given = dict[str, Any]
FARTHEST = 4_000_000_000


def get_faults(world: World, given: Given, id: str) -> Given:
    return world.faults.settings


def set_faults(world: World, given: Given, id: str) -> Given:
    world.faults.set(given)
    world.keep("faults", world.faults.settings)
    return world.faults.settings


def clear_faults(world: World, given: Given, id: str) -> Given:
    return set_faults(world, {}, id)


def stats(world: World, given: Given, id: str) -> Given:
    with world.store.read() as db:
        charges = dict(db.execute("SELECT invoice, n FROM charged").fetchall())
        counts = dict(db.execute("SELECT name, n FROM counter").fetchall())
        pending = db.execute("SELECT count(*) FROM delivery WHERE state = 'pending'").fetchone()[0]
    deliveries = {name: counts.get(name, 0) for name in ("sent", "acknowledged", "dropped")}
    requests = dict(sorted(world.requests.copy().items()))
    return {"charges": charges, "requests": requests, "deliveries": {**deliveries, "pending": pending}}


def get_clock(world: World, given: Given, id: str) -> Given:
    offset = world.clock.now() - int(time.time())
    return {"now": world.clock.now(), "offset": offset, "frozen": world.clock.frozen_at is not None}


def set_clock(world: World, given: Given, id: str) -> Given:
    """What falls due on the way has happened when this returns."""
    known = {"now", "advance", "real", "freeze"}
    if set(given) - known or not given:
        raise Mistake(
            'The clock takes {"now": unix}, {"advance": seconds} or {"real": true}; with "freeze": true it stands.'
        )
    if given.get("real"):
        world.clock.reset()
    else:
        moment = given["now"] if "now" in given else world.clock.now() + given.get("advance", 0)
        if not isinstance(moment, int) or not 0 <= moment <= FARTHEST:
            raise Mistake("A moment is a whole number of seconds since 1970, at most 4000000000.")
        world.clock.set(moment, bool(given.get("freeze", world.clock.frozen_at is not None)))
    world.keep("clock", world.clock.state())
    ran = timers.run_due(world)
    return {**get_clock(world, {}, id), "alarms": ran}


def get_webhook(world: World, given: Given, id: str) -> Given:
    return world.webhook


def set_webhook(world: World, given: Given, id: str) -> Given:
    url = given.get("url")
    if set(given) - {"url", "secret"} or not (url is None or isinstance(url, str)):
        raise Mistake('A receiver is {"url": "http://…" or null, "secret": "whsec_…"}.')
    if url and not url.startswith(("http://", "https://")):
        raise Mistake("The url of a receiver starts with http:// or https://.")
    world.set_webhook(url, given.get("secret"))
    return world.webhook


def reset(world: World, given: Given, id: str) -> Given:
    if set(given) - {"invoices", "seed"}:
        raise Mistake('reset takes {"invoices": N, "seed": S}.')
    invoices, seed = given.get("invoices", 0), given.get("seed", 1)
    if not all(isinstance(one, int) and one >= 0 for one in (invoices, seed)):
        raise Mistake("invoices and seed are whole numbers, 0 or more.")
    world.reset()
    if invoices:
        seeds.plant(world, invoices, seed)
    return {"invoices": invoices, "seed": seed}


def deliveries(world: World, given: Given, id: str) -> Given:
    """The last hundred, newest first."""
    names = ("seq", "event", "type", "endpoint", "state", "attempts", "note")
    with world.store.read() as db:
        rows = db.execute(f"SELECT {', '.join(names)} FROM delivery ORDER BY seq DESC LIMIT 100").fetchall()
    return {"data": [dict(zip(names, row, strict=True)) for row in rows]}


def redeliver(world: World, given: Given, id: str) -> Given:
    """The same event once more, to everybody who wants it now."""
    with world.store.write() as db:
        event = db.get("event", id)
        if event is None:
            raise Mistake(f"There is no event {id}.")
        now = time.time()
        for endpoint in world.endpoints(db, event["type"]):
            db.execute(
                "INSERT INTO delivery (event, type, endpoint, state, since, next_at) VALUES (?, ?, ?, 'pending', ?, ?)",
                (id, event["type"], endpoint, now, now),
            )
    world.wake_deliveries.set()
    return {"event": id}


def settle(world: World, given: Given, id: str) -> Given:
    """What the bank says in the end, or the customer on the page that asked for authentication."""
    outcome = given.get("outcome")
    if outcome not in ("succeeded", "failed"):
        raise Mistake('settle takes {"outcome": "succeeded"} or {"outcome": "failed"}.')
    with world.store.write() as db:
        call = Call(db, world, world.clock.now())
        intent = db.get("payment_intent", id)
        if intent is None or intent["status"] not in ("processing", "requires_action"):
            raise Mistake(f"{id} is not a PaymentIntent that waits for a bank or a customer.")
        method = db.get("payment_method", intent["payment_method"]) or {}
        if outcome == "succeeded":
            intents.succeed(call, intent, method)
        else:
            charging.fail_late(call, intent, method)
        settled = db.get("payment_intent", id) or {}
    world.wake_deliveries.set()
    return visible(settled)


def charge_automatically(world: World, given: Given, id: str) -> Given:
    """Stripe's own next attempt, now instead of at next_payment_attempt."""
    with world.store.write() as db:
        invoice = db.get("invoice", id)
        if invoice is None or invoice["status"] != "open":
            raise Mistake(f"{id} is not an open invoice.")
        automatic.charge_by_itself(Call(db, world, world.clock.now()), id)
        invoice = db.get("invoice", id) or {}
    world.wake_deliveries.set()
    return visible(invoice)


def mandates(world: World, given: Given, id: str) -> Given:
    """Stripe has no list of mandates; a test has to find them somehow."""
    with world.store.read() as db:
        rows = db.execute("SELECT body FROM mandate WHERE deleted = 0 ORDER BY seq DESC LIMIT 100").fetchall()
    return {"data": [json.loads(row[0]) for row in rows]}


def unknowns(world: World, given: Given, id: str) -> Given:
    return unknown.UNKNOWNS
