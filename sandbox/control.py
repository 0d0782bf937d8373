"""What the addresses below /_sandbox/ do: faults, clock, counts, webhook receiver, reset, and the bank's decisions.

Each function takes the world, the JSON body and the id in the address ("" where there is none), and returns the reply.
It raises ControlError for a wrong request. control_routes.py has the addresses.
"""

import json
import time
from typing import Any

from sandbox import automatic_collection, cards, charging, disputing, redaction, refunding, seeds, timers
from sandbox import unknowns as unknown
from sandbox.call import Call
from sandbox.faults import ControlError
from sandbox.store import visible
from sandbox.world import World

Body = dict[str, Any]
ROWS_SHOWN = 100  # of deliveries and mandates
LATEST_MOMENT = 4_000_000_000  # Unix seconds, in the year 2096


def get_faults(world: World, given: Body, id: str) -> Body:
    return world.faults.settings


def set_faults(world: World, given: Body, id: str) -> Body:
    world.faults.set(given)
    world.save_setting("faults", world.faults.settings)
    return world.faults.settings


def clear_faults(world: World, given: Body, id: str) -> Body:
    return set_faults(world, {}, id)


def stats(world: World, given: Body, id: str) -> Body:
    with world.store.read() as db:
        charges = dict(db.execute("SELECT invoice, n FROM charged").fetchall())
        counts = dict(db.execute("SELECT name, n FROM counter").fetchall())
        pending = db.execute("SELECT count(*) FROM delivery WHERE state = 'pending'").fetchone()[0]
    deliveries = {name: counts.get(name, 0) for name in ("sent", "acknowledged", "dropped")}
    requests = dict(sorted(world.requests.copy().items()))
    return {"charges": charges, "requests": requests, "deliveries": {**deliveries, "pending": pending}}


def get_clock(world: World, given: Body, id: str) -> Body:
    offset = world.clock.now() - int(time.time())
    return {"now": world.clock.now(), "offset": offset, "frozen": world.clock.frozen_at is not None}


def set_clock(world: World, given: Body, id: str) -> Body:
    """When this returns, every timer that became due has run, and webhooks of it are planned."""
    known = {"now", "advance", "real", "freeze"}
    if set(given) - known or not given:
        raise ControlError(
            'The clock takes {"now": unix}, {"advance": seconds} or {"real": true}; with "freeze": true it stands.'
        )
    if given.get("real"):
        world.clock.reset()
    else:
        moment = given["now"] if "now" in given else world.clock.now() + given.get("advance", 0)
        if not isinstance(moment, int) or not 0 <= moment <= LATEST_MOMENT:
            raise ControlError("A moment is a whole number of seconds since 1970, at most 4000000000.")
        world.clock.set(moment, bool(given.get("freeze", world.clock.frozen_at is not None)))
    world.save_setting("clock", world.clock.state())
    ran = timers.run_due(world)
    return {**get_clock(world, {}, id), "alarms": ran}


def get_webhook(world: World, given: Body, id: str) -> Body:
    return world.webhook


def set_webhook(world: World, given: Body, id: str) -> Body:
    url = given.get("url")
    if set(given) - {"url", "secret"} or not (url is None or isinstance(url, str)):
        raise ControlError('A receiver is {"url": "http://…" or null, "secret": "whsec_…"}.')
    if url and not url.startswith(("http://", "https://")):
        raise ControlError("The url of a receiver starts with http:// or https://.")
    world.set_webhook(url, given.get("secret"))
    return world.webhook


def reset(world: World, given: Body, id: str) -> Body:
    if set(given) - {"invoices", "seed"}:
        raise ControlError('reset takes {"invoices": N, "seed": S}.')
    invoices, seed = given.get("invoices", 0), given.get("seed", 1)
    if not all(isinstance(one, int) and one >= 0 for one in (invoices, seed)):
        raise ControlError("invoices and seed are whole numbers, 0 or more.")
    world.reset()
    if invoices:
        seeds.plant(world, invoices, seed)
    return {"invoices": invoices, "seed": seed}


def deliveries(world: World, given: Body, id: str) -> Body:
    """The last hundred deliveries, newest first."""
    names = ("seq", "event", "type", "endpoint", "state", "attempts", "note")
    with world.store.read() as db:
        rows = db.execute(f"SELECT {', '.join(names)} FROM delivery ORDER BY seq DESC LIMIT {ROWS_SHOWN}").fetchall()
    return {"data": [dict(zip(names, row, strict=True)) for row in rows]}


def redeliver(world: World, given: Body, id: str) -> Body:
    """Deliver the event once more, to all receivers that want its type now."""
    with world.store.write() as db:
        event = db.get("event", id)
        if event is None:
            raise ControlError(f"There is no event {id}.")
        now = time.time()
        for endpoint in world.receivers_of(db, event["type"]):
            db.execute(
                "INSERT INTO delivery (event, type, endpoint, state, since, next_at) VALUES (?, ?, ?, 'pending', ?, ?)",
                (id, event["type"], endpoint, now, now),
            )
    world.wake_deliveries.set()
    return {"event": id}


def settle(world: World, given: Body, id: str) -> Body:
    """End a payment that waits: the bank decides on a debit, or the customer authenticates or fails to."""
    outcome = given.get("outcome")
    if outcome not in ("succeeded", "failed", "canceled", *cards.BANK_FAILURES):
        raise ControlError(
            'settle takes {"outcome": "succeeded"}, "failed", "canceled", or why the bank refuses: '
            f"{', '.join(cards.BANK_FAILURES)}."
        )
    with world.store.write() as db:
        call = Call(db, world, world.clock.now())
        intent = db.get("payment_intent", id)
        if intent is None or intent["status"] not in ("processing", "requires_action"):
            raise ControlError(f"{id} is not a PaymentIntent that waits for a bank or a customer.")
        charging.end_waiting(call, intent, outcome)
        settled = db.get("payment_intent", id) or {}
    world.wake_deliveries.set()
    return visible(settled)


def settle_refund(world: World, given: Body, id: str) -> Body:
    """End a refund: the bank takes the money, or sends it back, or the refund is canceled."""
    outcome = given.get("outcome")
    if outcome not in refunding.OUTCOMES:
        raise ControlError(f'settle takes {{"outcome": …}}, one of {", ".join(refunding.OUTCOMES)}.')
    with world.store.write() as db:
        refund = db.get("refund", id)
        ends = refund is not None and (
            refund["status"] == "pending" or (refund["status"], outcome) == ("succeeded", "failed")
        )
        if refund is None or not ends:
            raise ControlError(f"{id} is not a refund that can end so: pending, or succeeded and now failed.")
        refunding.end(Call(db, world, world.clock.now()), refund, outcome)
    world.wake_deliveries.set()
    return visible(refund)


def dispute(world: World, given: Body, id: str) -> Body:
    """The customer disputes a charge at the bank."""
    with world.store.write() as db:
        charge = db.get("charge", id)
        if charge is None or charge["status"] != "succeeded" or charge["disputed"]:
            raise ControlError(f"{id} is not a charge that succeeded and is not disputed.")
        made = disputing.dispute(Call(db, world, world.clock.now()), charge)
    world.wake_deliveries.set()
    return visible(made)


def charge_automatically(world: World, given: Body, id: str) -> Body:
    """Make Stripe's next automatic charge now instead of at `next_payment_attempt`."""
    with world.store.write() as db:
        invoice = db.get("invoice", id)
        if invoice is None or invoice["status"] != "open":
            raise ControlError(f"{id} is not an open invoice.")
        automatic_collection.attempt_automatic_charge(Call(db, world, world.clock.now()), id)
        invoice = db.get("invoice", id) or {}
    world.wake_deliveries.set()
    return visible(invoice)


def redact_customer(world: World, given: Body, id: str) -> Body:
    """What one of Stripe's redaction jobs does with a customer, at once."""
    with world.store.write() as db:
        if db.get("customer", id, deleted=True) is None:
            raise ControlError(f"There is no customer {id}.")
        return {"customer": id, "redacted": redaction.redact_customer(db, id)}


def mandates(world: World, given: Body, id: str) -> Body:
    """The last hundred mandates. Stripe's API has no list of them, and tests need their ids."""
    with world.store.read() as db:
        rows = db.execute(f"SELECT body FROM mandate WHERE deleted = 0 ORDER BY seq DESC LIMIT {ROWS_SHOWN}").fetchall()
    return {"data": [json.loads(row[0]) for row in rows]}


def unknowns(world: World, given: Body, id: str) -> Body:
    return unknown.UNKNOWNS
