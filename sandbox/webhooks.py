"""Webhook delivery: signed POSTs to the receivers, repeated with growing pauses until they are acknowledged.

A delivery is a row of the state file. The real clock decides here, also while the sandbox's clock is moved.
"""

import hashlib
import hmac
import http.client
import json
import queue
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from sandbox.store import Database
from sandbox.world import World

DELIVERY_THREADS = 6  # posts at the same time
BATCH_SIZE = 200  # deliveries handed to the threads at most at one time
TIMEOUT_SECONDS = 20.0  # of one post
FIRST_RETRY_SECONDS = 1.0  # doubled each time; live Stripe waits minutes and then hours, too long for tests
MAX_RETRY_SECONDS = 300.0
MAX_SLEEP_SECONDS = 60.0  # of the dispatching thread while nothing is due
MAX_NOTE_CHARACTERS = 200  # of the answer or the problem, kept for /_sandbox/deliveries
GIVE_UP_AFTER_SECONDS = 3 * 86400  # as Stripe in live mode (Stripe docs: Receive Stripe events)
NO_ANSWER = 0  # the status of a post that no receiver answered
NO_RECEIVER = -1  # the status of a delivery whose receiver has been removed


class DueDelivery(NamedTuple):
    seq: int
    event: str
    type: str
    endpoint: str  # id of the receiver
    attempts: int
    since: float  # real time at which the delivery was planned, Unix seconds
    body: str  # the event as JSON
    reset_count: int  # World.reset_count when the row was read


class Outcome(NamedTuple):
    due: DueDelivery
    status: int  # HTTP status, NO_ANSWER or NO_RECEIVER
    note: str


def signature(secret: str, body: bytes, at: int) -> str:
    """The Stripe-Signature header, scheme v1 (Stripe docs: Verify webhook signatures manually). `at`: Unix seconds."""
    signed = hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class Sender:
    """The connections of one delivery thread, kept open between posts."""

    def __init__(self) -> None:
        self._open: dict[str, http.client.HTTPConnection] = {}

    def post(self, url: str, secret: str, body: bytes) -> tuple[int, str]:
        """Status and the beginning of the answer, or NO_ANSWER and the problem."""
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        reused = parts.netloc in self._open
        try:
            return self._try(parts.scheme, parts.netloc, path, secret, body)
        except (OSError, http.client.HTTPException) as problem:
            self._open.pop(parts.netloc).close()
            if not reused or isinstance(problem, TimeoutError):
                return NO_ANSWER, f"{type(problem).__name__}: {problem}"[:MAX_NOTE_CHARACTERS]
        return self.post(url, secret, body)  # the receiver closed the idle connection, so nothing was delivered

    def _try(self, scheme: str, host: str, path: str, secret: str, body: bytes) -> tuple[int, str]:
        if host not in self._open:
            made = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            self._open[host] = made(host, timeout=TIMEOUT_SECONDS)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(secret, body, int(time.time())),
        }
        self._open[host].request("POST", path, body, headers)
        response = self._open[host].getresponse()
        answer = response.read()
        return response.status, answer[:MAX_NOTE_CHARACTERS].decode(errors="replace")


class Deliverer:
    """One thread reads due deliveries and writes their outcomes, in batches; DELIVERY_THREADS threads post them."""

    def __init__(self, world: World):
        self._world = world
        self._due: queue.SimpleQueue[DueDelivery] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._handed_out: set[int] = set()
        self._loaded_at = 0.0  # real time at which due deliveries were last read, Unix seconds

    def start(self) -> None:
        for target in [self._dispatch_forever, *[self._post_forever] * DELIVERY_THREADS]:
            threading.Thread(target=target, daemon=True).start()

    def _post_forever(self) -> None:
        sender = Sender()
        while True:
            due = self._due.get()
            current = due.reset_count == self._world.reset_count  # a reset deletes older deliveries
            receiver = self._world.address_and_secret(due.endpoint) if current else None
            if receiver is None:
                outcome = Outcome(due, NO_RECEIVER, "there is no such receiver any more")
            else:
                try:
                    outcome = Outcome(due, *sender.post(*receiver, due.body.encode()))
                except Exception as problem:  # for example an invalid URL: the thread must go on
                    outcome = Outcome(due, NO_ANSWER, f"{type(problem).__name__}: {problem}"[:MAX_NOTE_CHARACTERS])
            self._outcomes.put(outcome)
            self._world.wake_deliveries.set()

    def _dispatch_forever(self) -> None:
        while True:
            self._world.wake_deliveries.wait(self._seconds_until_next())
            self._world.wake_deliveries.clear()
            self._write_outcomes()
            for due in self._load_due():
                self._handed_out.add(due.seq)
                self._due.put(due)

    def _seconds_until_next(self) -> float:
        with self._world.store.read() as db:
            sql = "SELECT next_at FROM delivery WHERE state = 'pending' AND next_at > ? ORDER BY next_at LIMIT 1"
            # A delivery may have become due since the last look: it is next, and must not be slept through.
            row = db.execute(sql, (self._loaded_at,)).fetchone()
        return max(row[0] - time.time(), 0.001) if row else MAX_SLEEP_SECONDS

    def _load_due(self) -> list[DueDelivery]:
        """Due deliveries that no thread has yet.

        Rows under way are due too, so the query reads that many rows more: slow receivers must not hide new deliveries.
        """
        self._loaded_at = time.time()
        if len(self._handed_out) >= BATCH_SIZE:
            return []
        sql = (
            "SELECT d.seq, d.event, d.type, d.endpoint, d.attempts, d.since, e.body "
            "FROM delivery d JOIN event e ON e.id = d.event "
            "WHERE d.state = 'pending' AND d.next_at <= ? ORDER BY d.next_at, d.seq LIMIT ?"
        )
        reset_count = self._world.reset_count
        with self._world.store.read() as db:
            rows = db.execute(sql, (self._loaded_at, BATCH_SIZE + len(self._handed_out))).fetchall()
        return [DueDelivery._make((*row, reset_count)) for row in rows if row[0] not in self._handed_out]

    def _write_outcomes(self) -> None:
        outcomes = []
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        if not outcomes:
            return
        with self._world.store.write() as db:
            for outcome in outcomes:
                self._write_outcome(db, outcome)
        for outcome in outcomes:
            self._handed_out.discard(outcome.due.seq)

    def _write_outcome(self, db: Database, outcome: Outcome) -> None:
        """A row that a reset has deleted meanwhile is not counted."""
        due = outcome.due
        state, next_at = self._next_state(outcome)
        written = db.execute(
            "UPDATE delivery SET state = ?, attempts = attempts + 1, next_at = ?, note = ? WHERE seq = ?",
            (state, next_at, f"{outcome.status} {outcome.note}"[:MAX_NOTE_CHARACTERS], due.seq),
        )
        if not written.rowcount:
            return
        if outcome.status != NO_RECEIVER:
            db.add_to_counter("sent")
        if state in ("acknowledged", "dropped"):
            db.add_to_counter(state)
        if state == "acknowledged":
            note_acknowledgement(db, due, self._world.clock.now())

    def _next_state(self, outcome: Outcome) -> tuple[str, float]:
        """The state of the delivery after this attempt, and when the next attempt is due (0 if never)."""
        if 200 <= outcome.status < 300:
            return "acknowledged", 0.0
        if outcome.status == NO_RECEIVER:
            return "dropped", 0.0
        if time.time() - outcome.due.since > GIVE_UP_AFTER_SECONDS:
            return "failed", 0.0
        return "pending", time.time() + min(FIRST_RETRY_SECONDS * 2**outcome.due.attempts, MAX_RETRY_SECONDS)


def note_acknowledgement(db: Database, due: DueDelivery, now: int) -> None:
    """Update the event's `pending_webhooks` and, after `invoice.created`, the invoice's `webhooks_delivered_at`.

    Stripe changes both without an event.
    """
    waiting = "SELECT count(DISTINCT endpoint) FROM delivery WHERE event = ? AND state = 'pending' AND seq != ?"
    left = db.execute(waiting, (due.event, due.seq)).fetchone()[0]
    db.execute("UPDATE event SET body = json_set(body, '$.pending_webhooks', ?) WHERE id = ?", (left, due.event))
    if due.type == "invoice.created":
        invoice = db.get("invoice", json.loads(due.body)["data"]["object"]["id"])
        if invoice and invoice["webhooks_delivered_at"] is None:
            invoice["webhooks_delivered_at"] = now
            db.save("invoice", invoice)
