"""Idempotency keys: the first answer again, whatever it was; one request at a time under one key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox import refusals
from sandbox.store import Db, dumps
from sandbox.timers import KEYS_KEPT
from sandbox.world import World

if TYPE_CHECKING:
    from sandbox.app import Reply

LONGEST = 255
REMEMBERED = ("Stripe-Should-Retry",)


@contextmanager
def running(world: World, key: str) -> Iterator[None]:
    """Held in memory alone: a request that a crash cut off has left nothing behind and may start again."""
    if len(key) > LONGEST:
        raise refusals.invalid(f"Idempotency keys can be at most {LONGEST} characters long.")
    if not key:
        yield
        return
    with world.lock:
        if key in world.keys_running:
            raise refusals.key_in_use(key)
        world.keys_running.add(key)
    try:
        yield
    finally:
        with world.lock:
            world.keys_running.discard(key)


def saved(db: Db, key: str | None, path: str, params: str, now: int) -> tuple[int, dict[str, str], str] | None:
    if not key:
        return None
    row = db.execute(
        "SELECT created, path, params, request, status, headers, body FROM idempotency WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    created, first_path, first_params, request, status, headers, body = row
    if created <= now - KEYS_KEPT:
        db.execute("DELETE FROM idempotency WHERE key = ?", (key,))
        return None
    if first_path != path:
        raise refusals.other_endpoint(key, first_path, path)
    if first_params != params:
        raise refusals.other_parameters(key)
    return status, {**json.loads(headers), "Idempotent-Replayed": "true", "Original-Request": request}, body


def save(db: Db, key: str | None, path: str, params: str, now: int, request: str, reply: "Reply") -> None:
    if key:
        headers = {name: value for name, value in reply.headers.items() if name in REMEMBERED}
        db.execute(
            "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, now, path, params, request, reply.status, dumps(headers), reply.body),
        )
