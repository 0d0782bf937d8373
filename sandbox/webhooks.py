"""Delivery: signed posts to whoever listens, again with growing pauses until they are acknowledged."""

import hashlib
import hmac
import http.client
import json
import queue
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from sandbox.store import Db
from sandbox.world import World

WORKERS = 6
BATCH = 200
TIMEOUT = 20.0
FIRST_PAUSE = 1.0  # live Stripe waits longer, minutes and then hours; tests can't
LONGEST_PAUSE = 300.0
GIVEN_UP_AFTER = 3 * 86400


class Due(NamedTuple):
    seq: int
    event: str
    type: str
    endpoint: str
    attempts: int
    since: float
    body: str
    resets: int


class Outcome(NamedTuple):
    due: Due
    status: int  # 0: nobody answered
    note: str


def signature(secret: str, body: bytes, at: int) -> str:
    signed = hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class Sender:
    """One worker's connections, kept open between deliveries."""

    def __init__(self) -> None:
        self._open: dict[str, http.client.HTTPConnection] = {}

    def post(self, url: str, secret: str, body: bytes) -> tuple[int, str]:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        reused = parts.netloc in self._open
        try:
            return self._try(parts.scheme, parts.netloc, path, secret, body)
        except (OSError, http.client.HTTPException) as problem:
            self._open.pop(parts.netloc).close()
            if not reused or isinstance(problem, TimeoutError):
                return 0, f"{type(problem).__name__}: {problem}"[:200]
        return self.post(url, secret, body)  # the receiver had closed an idle connection: nothing was delivered

    def _try(self, scheme: str, host: str, path: str, secret: str, body: bytes) -> tuple[int, str]:
        if host not in self._open:
            made = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            self._open[host] = made(host, timeout=TIMEOUT)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(secret, body, int(time.time())),
        }
        self._open[host].request("POST", path, body, headers)
        response = self._open[host].getresponse()
        answer = response.read()
        return response.status, answer[:200].decode(errors="replace")


class Deliverer:
    """One thread hands out what is due and writes down what came of it, in batches; workers post."""

    def __init__(self, world: World):
        self._world = world
        self._due: queue.SimpleQueue[Due] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._handed_out: set[int] = set()

    def start(self) -> None:
        for target in [self._hand_out, *[self._work] * WORKERS]:
            threading.Thread(target=target, daemon=True).start()

    def _work(self) -> None:
        sender = Sender()
        while True:
            due = self._due.get()
            receiver = self._world.receiver(due.endpoint) if due.resets == self._world.resets else None
            if receiver is None:
                outcome = Outcome(due, -1, "there is no such receiver any more")
            else:
                try:
                    outcome = Outcome(due, *sender.post(*receiver, due.body.encode()))
                except Exception as problem:  # an address that cannot be used must not end the worker
                    outcome = Outcome(due, 0, f"{type(problem).__name__}: {problem}"[:200])
            self._outcomes.put(outcome)
            self._world.wake_deliveries.set()

    def _hand_out(self) -> None:
        while True:
            self._world.wake_deliveries.wait(self._pause())
            self._world.wake_deliveries.clear()
            self._write_down()
            for due in self._load():
                self._handed_out.add(due.seq)
                self._due.put(due)

    def _pause(self) -> float:
        with self._world.store.read() as db:
            sql = "SELECT next_at FROM delivery WHERE state = 'pending' AND next_at > ? ORDER BY next_at LIMIT 1"
            row = db.execute(sql, (time.time(),)).fetchone()
        return max(row[0] - time.time(), 0.001) if row else 60.0

    def _load(self) -> list[Due]:
        """A batch as long as what is under way plus one: slow receivers must not hide new work."""
        if len(self._handed_out) >= BATCH:
            return []
        sql = (
            "SELECT d.seq, d.event, d.type, d.endpoint, d.attempts, d.since, e.body "
            "FROM delivery d JOIN event e ON e.id = d.event "
            "WHERE d.state = 'pending' AND d.next_at <= ? ORDER BY d.next_at, d.seq LIMIT ?"
        )
        resets = self._world.resets
        with self._world.store.read() as db:
            rows = db.execute(sql, (time.time(), BATCH + len(self._handed_out))).fetchall()
        return [Due._make((*row, resets)) for row in rows if row[0] not in self._handed_out]

    def _write_down(self) -> None:
        outcomes = []
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        if not outcomes:
            return
        with self._world.store.write() as db:
            for outcome in outcomes:
                self._settle(db, outcome)
        for outcome in outcomes:
            self._handed_out.discard(outcome.due.seq)

    def _settle(self, db: Db, outcome: Outcome) -> None:
        """A row that a reset has taken away counts for nothing."""
        due = outcome.due
        state, next_at = self._judge(outcome)
        written = db.execute(
            "UPDATE delivery SET state = ?, attempts = attempts + 1, next_at = ?, note = ? WHERE seq = ?",
            (state, next_at, f"{outcome.status} {outcome.note}"[:200], due.seq),
        )
        if not written.rowcount:
            return
        if outcome.status >= 0:
            db.count("sent")
        if state in ("acknowledged", "dropped"):
            db.count(state)
        if state == "acknowledged":
            acknowledged(db, due, self._world.clock.now())

    def _judge(self, outcome: Outcome) -> tuple[str, float]:
        """What becomes of the delivery, and when it is tried again."""
        if 200 <= outcome.status < 300:
            return "acknowledged", 0.0
        if outcome.status < 0:
            return "dropped", 0.0
        if time.time() - outcome.due.since > GIVEN_UP_AFTER:
            return "failed", 0.0
        return "pending", time.time() + min(FIRST_PAUSE * 2**outcome.due.attempts, LONGEST_PAUSE)


def acknowledged(db: Db, due: Due, now: int) -> None:
    """Two things that change by themselves: the count of receivers still waited for, and an invoice's own stamp."""
    waiting = "SELECT count(DISTINCT endpoint) FROM delivery WHERE event = ? AND state = 'pending' AND seq != ?"
    left = db.execute(waiting, (due.event, due.seq)).fetchone()[0]
    db.execute("UPDATE event SET body = json_set(body, '$.pending_webhooks', ?) WHERE id = ?", (left, due.event))
    if due.type == "invoice.created":
        invoice = db.get("invoice", json.loads(due.body)["data"]["object"]["id"])
        if invoice and invoice["webhooks_delivered_at"] is None:
            invoice["webhooks_delivered_at"] = now
            db.save("invoice", invoice)
