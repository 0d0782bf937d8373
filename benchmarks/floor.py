"""The floor: as little as an endpoint for webhooks can do that stores each event and the last state of its invoice.

    granian benchmarks.floor:postgresql --interface asgi --workers 2

Verifies the signature, parses, and in one transaction inserts the event unless it is there and upserts the invoice
unless a newer event came first; commits; answers 200. No Django, no journal, no freshness rule, no queue.
FLOOR_DATABASE is a database of its own: a URL for `postgresql`, a file for `sqlite`. The tables are made by
`benchmarks/systems.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sqlite3
import time
from typing import Any

import psycopg

SECRET = os.environ.get("FLOOR_SECRET", "").encode()
DATABASE = os.environ.get("FLOOR_DATABASE", "")
CONNECTIONS = 4  # of each process; as many as webhooks come at once, with two processes
EVENT = "INSERT INTO event (id, type, created, body) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
INVOICE = (
    "INSERT INTO invoice (id, status, created, data) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
    " SET status = excluded.status, created = excluded.created, data = excluded.data"
    " WHERE invoice.created <= excluded.created"
)
TABLES = (
    "CREATE TABLE event (id text PRIMARY KEY, type text, created bigint, body text)",
    "CREATE TABLE invoice (id text PRIMARY KEY, status text, created bigint, data text)",
)
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728; PRAGMA busy_timeout=20000;"


def rows_of(body: bytes) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The event's row and the invoice's."""
    event = json.loads(body)
    invoice = event["data"]["object"]
    data = json.dumps(invoice, separators=(",", ":"))
    return (
        (event["id"], event["type"], event["created"], body.decode()),
        (invoice["id"], invoice["status"], event["created"], data),
    )


def verified(body: bytes, signature: str) -> bool:
    parts = dict(part.split("=", 1) for part in signature.split(","))
    expected = hmac.new(SECRET, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


async def _body(scope: dict[str, Any], receive: Any) -> bytes | None:
    """The body, if it is signed."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    signature = next((value.decode() for name, value in scope["headers"] if name == b"stripe-signature"), "")
    return body if signature and verified(body, signature) else None


async def _answer(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class _Postgresql:
    def __init__(self) -> None:
        self.free: asyncio.Queue[psycopg.AsyncConnection] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await _body(scope, receive)
        if body is None:
            await _answer(send, 400)
            return
        event, invoice = rows_of(body)
        if self.free is None:
            self.free = asyncio.Queue()
            for _ in range(CONNECTIONS):
                self.free.put_nowait(await psycopg.AsyncConnection.connect(DATABASE))
        connection = await self.free.get()
        try:
            await connection.execute(EVENT, event)
            await connection.execute(INVOICE, invoice)
            await connection.commit()
        finally:
            self.free.put_nowait(connection)
        await _answer(send, 200)


class _Sqlite:
    """SQLite has one writer at a time in any case, so the statements run in the event loop."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await _body(scope, receive)
        if body is None:
            await _answer(send, 400)
            return
        event, invoice = rows_of(body)
        if self.connection is None:
            self.connection = sqlite3.connect(DATABASE, isolation_level=None)
            self.connection.executescript(PRAGMAS)
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(EVENT.replace("%s", "?"), event)
        self.connection.execute(INVOICE.replace("%s", "?"), invoice)
        self.connection.execute("COMMIT")
        await _answer(send, 200)


postgresql, sqlite = _Postgresql(), _Sqlite()
