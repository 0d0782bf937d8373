"""What Stripe does by itself when its clock comes to a moment: alarms in the state file, and who hears them."""

import sqlite3
import threading
import time
import traceback
from collections.abc import Callable

from sandbox.call import Call
from sandbox.events import KEPT
from sandbox.store import Db
from sandbox.world import World

KEYS_KEPT = 24 * 3600
TICK = 0.5
HOUR_OF_BEATS = 7200
Alarm = Callable[[Call, str], None]
ALARMS: dict[str, Alarm] = {}  # filled by the modules that set them


def alarm(what: str) -> Callable[[Alarm], Alarm]:
    def register(function: Alarm) -> Alarm:
        ALARMS[what] = function
        return function

    return register


def set_alarm(call: Call, what: str, id: str, at: int | None) -> None:
    """One alarm of a kind per object; None takes it away."""
    call.db.execute("DELETE FROM timer WHERE what = ? AND id = ?", (what, id))
    if at is not None:
        call.db.execute("INSERT INTO timer (at, what, id) VALUES (?, ?, ?)", (at, what, id))


def run_due(world: World) -> int:
    """In the order of their moments, each at its own: a clock that jumps three days still charges on day one."""
    ran = 0
    while True:
        with world.store.read() as db:
            if not due(db, world.clock.now()):
                break
        with world.store.write() as db:
            row = due(db, world.clock.now())
            if row is None:
                break
            seq, at, what, id = row
            db.execute("DELETE FROM timer WHERE seq = ?", (seq,))
            ring(Call(db, world, at), what, id)
        ran += 1
        world.wake_deliveries.set()
    return ran


def ring(call: Call, what: str, id: str) -> None:
    """One that fails is gone all the same: it must not silence those behind it."""
    call.db.execute("SAVEPOINT alarm")
    try:
        ALARMS[what](call, id)
    except Exception:
        call.db.execute("ROLLBACK TO alarm")
        traceback.print_exc()
    call.db.execute("RELEASE alarm")


def due(db: Db, now: int) -> tuple[int, int, str, str] | None:
    sql = "SELECT seq, at, what, id FROM timer WHERE at <= ? ORDER BY at, seq LIMIT 1"
    row: tuple[int, int, str, str] | None = db.execute(sql, (now,)).fetchone()
    return row


def forget(world: World) -> None:
    """What has left every list may leave the file: events after 30 days, keys after 24 hours."""
    now = world.clock.now()
    with world.store.write() as db:
        db.execute("DELETE FROM idempotency WHERE created < ?", (now - KEYS_KEPT,))
        db.execute(
            "DELETE FROM event WHERE created < ? AND id NOT IN (SELECT event FROM delivery WHERE state = 'pending')",
            (now - KEPT - 86400,),
        )
        db.execute("DELETE FROM delivery WHERE state != 'pending' AND event NOT IN (SELECT id FROM event)")


def start(world: World) -> None:
    threading.Thread(target=_tick, args=(world,), daemon=True).start()


def _tick(world: World) -> None:
    beats = 0
    while True:
        try:
            run_due(world)
            if beats % HOUR_OF_BEATS == 0:
                forget(world)
        except sqlite3.Error:  # a full disk passes; the next beat tries again
            traceback.print_exc()
        beats += 1
        time.sleep(TICK)
