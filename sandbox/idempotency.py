"""Idempotency keys: a repeated POST gets the first reply again (Stripe docs: Idempotent requests).

The reply is saved in the transaction of the effect. Two requests under one key never run at the same time.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import refusals
from sandbox.http_messages import Reply
from sandbox.store import Database, dumps
from sandbox.world import World

MAX_KEY_CHARACTERS = 255
KEY_LIFETIME_SECONDS = 24 * 3600
SAVED_HEADERS = ("Stripe-Should-Retry",)  # the other headers of a replayed reply are made anew


@contextmanager
def hold_key(world: World, key: str) -> Iterator[None]:
    """Refuse a second request under `key` with 409 while the first one runs.

    Keys in use are kept in memory only: a request that was cut off by a crash has changed nothing and may start again.
    """
    if len(key) > MAX_KEY_CHARACTERS:
        raise refusals.invalid_parameter(f"Idempotency keys can be at most {MAX_KEY_CHARACTERS} characters long.")
    if not key:
        yield
        return
    with world.lock:
        if key in world.keys_in_use:
            raise refusals.idempotency_key_in_use(key)
        world.keys_in_use.add(key)
    try:
        yield
    finally:
        with world.lock:
            world.keys_in_use.discard(key)


def find_saved_reply(db: Database, key: str | None, path: str, params: str, now: int) -> Reply | None:
    """The first reply under `key`; a Refusal if that request had another address or other parameters."""
    if not key:
        return None
    row = db.execute(
        "SELECT created, path, params, request, status, headers, body FROM idempotency WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    created, first_path, first_params, request_id, status, headers, body = row
    if created <= now - KEY_LIFETIME_SECONDS:
        db.execute("DELETE FROM idempotency WHERE key = ?", (key,))
        return None
    if first_path != path:
        raise refusals.idempotency_key_other_endpoint(key, first_path, path)
    if first_params != params:
        raise refusals.idempotency_key_other_parameters(key)
    return Reply(status, body, {**json.loads(headers), "Idempotent-Replayed": "true", "Original-Request": request_id})


def save_reply(db: Database, key: str | None, path: str, params: str, now: int, request_id: str, reply: Reply) -> None:
    if key:
        headers = {name: value for name, value in reply.headers.items() if name in SAVED_HEADERS}
        db.execute(
            "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, now, path, params, request_id, reply.status, dumps(headers), reply.body),
        )


def delete_expired_keys(db: Database, now: int) -> None:
    db.execute("DELETE FROM idempotency WHERE created < ?", (now - KEY_LIFETIME_SECONDS,))
