"""Timers: what Stripe does by itself at a later moment, such as charging or finalizing an invoice.

A timer is a row of the state file: a moment of the sandbox's clock, what to do, and the id of the object. The module
that sets a timer registers its handler here with `on_timer`.
"""

import sqlite3
import threading
import time
import traceback
from collections.abc import Callable

from sandbox import events, idempotency
from sandbox.call import Call
from sandbox.store import Database
from sandbox.world import World

TICK_SECONDS = 0.5
TICKS_PER_CLEANUP = 7200  # one hour
Handler = Callable[[Call, str], None]  # the second argument is the object's id
HANDLERS: dict[str, Handler] = {}


def on_timer(what: str) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of the timers named `what`."""

    def register(function: Handler) -> Handler:
        HANDLERS[what] = function
        return function

    return register


def set_timer(call: Call, what: str, id: str, at: int | None) -> None:
    """An object has at most one timer of a name: this replaces it, and None removes it. `at` is in Unix seconds."""
    call.db.execute("DELETE FROM timer WHERE what = ? AND id = ?", (what, id))
    if at is not None:
        call.db.execute("INSERT INTO timer (at, what, id) VALUES (?, ?, ?)", (at, what, id))


def run_due(world: World) -> int:
    """Run every timer that is due, in order of time, and return how many.

    Each handler sees its own moment as now: if the clock jumps three days ahead, a charge due on day one is made on
    day one.
    """
    count = 0
    while True:
        with world.store.read() as db:
            if not next_due(db, world.clock.now()):
                break
        with world.store.write() as db:
            row = next_due(db, world.clock.now())
            if row is None:
                break
            seq, at, what, id = row
            db.execute("DELETE FROM timer WHERE seq = ?", (seq,))
            run_timer(Call(db, world, at), what, id)
        count += 1
        world.wake_deliveries.set()
    return count


def run_timer(call: Call, what: str, id: str) -> None:
    """If the handler fails, its changes are rolled back and the timer stays deleted, so that later timers still run."""
    call.db.execute("SAVEPOINT timer")
    try:
        HANDLERS[what](call, id)
    except Exception:
        call.db.execute("ROLLBACK TO timer")
        traceback.print_exc()
    call.db.execute("RELEASE timer")


def next_due(db: Database, now: int) -> tuple[int, int, str, str] | None:
    """The columns seq, at, what and id of the earliest timer that is due."""
    sql = "SELECT seq, at, what, id FROM timer WHERE at <= ? ORDER BY at, seq LIMIT 1"
    row: tuple[int, int, str, str] | None = db.execute(sql, (now,)).fetchone()
    return row


def delete_expired(world: World) -> None:
    """Remove what no request can see any more: old idempotency keys, old events and their deliveries."""
    now = world.clock.now()
    with world.store.write() as db:
        idempotency.delete_expired_keys(db, now)
        events.delete_expired_events(db, now)


def start(world: World) -> None:
    threading.Thread(target=_run_forever, args=(world,), daemon=True).start()


def _run_forever(world: World) -> None:
    ticks = 0
    while True:
        try:
            run_due(world)
            if ticks % TICKS_PER_CLEANUP == 0:
                delete_expired(world)
        except sqlite3.Error:  # for example a full disk: the next tick tries again
            traceback.print_exc()
        ticks += 1
        time.sleep(TICK_SECONDS)
