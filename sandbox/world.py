"""Everything that one running sandbox shares between its requests: state, clock, faults, receivers of webhooks."""

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.store import Db, Store

MAIN = "main"  # the receiver named on the command line, beside the endpoints made through the API
WEBHOOK_SECRET = "whsec_sandbox"


class World:
    def __init__(self, path: Path, key: str | None = None):
        self.store = Store(path)
        self.key = key
        self.address = ""
        self.clock = Clock()
        self.faults = Faults()
        self.requests: Counter[str] = Counter()
        self.keys_running: set[str] = set()
        self.lock = threading.Lock()
        self.resets = 0  # what was handed out before a reset must not arrive after it
        self.wake_deliveries = threading.Event()
        self._restore()

    def _restore(self) -> None:
        with self.store.read() as db:
            self.clock.restore(db.meta("clock"))
            self.faults.set(db.meta("faults") or {})
            self.webhook: dict[str, Any] = db.meta("webhook") or {"url": None, "secret": WEBHOOK_SECRET}
            self.load_endpoints(db)

    def load_endpoints(self, db: Db) -> None:
        """Read again inside the transaction that changes them."""
        enabled = []
        for row in db.execute("SELECT id, body, hidden FROM webhook_endpoint WHERE deleted = 0 AND status = 'enabled'"):
            hidden = json.loads(row[2])
            enabled.append((row[0], json.loads(row[1])["enabled_events"], json.loads(row[1])["url"], hidden["secret"]))
        self._endpoints = enabled

    def count_request(self, name: str) -> None:
        with self.lock:
            self.requests[name] += 1

    def endpoints(self, db: Db, type: str) -> list[str]:
        """Ids of those who want this event."""
        wanted = [MAIN] if self.webhook["url"] else []
        return wanted + [id for id, events, _, _ in self._endpoints if "*" in events or type in events]

    def receiver(self, endpoint: str) -> tuple[str, str] | None:
        """Address and secret as they are now: a delivery goes where its receiver has moved to."""
        if endpoint == MAIN:
            return (self.webhook["url"], self.webhook["secret"]) if self.webhook["url"] else None
        return next(((url, secret) for id, _, url, secret in self._endpoints if id == endpoint), None)

    def set_webhook(self, url: str | None, secret: str | None) -> None:
        self.webhook = {"url": url or None, "secret": secret or self.webhook["secret"]}
        self.keep("webhook", self.webhook)
        self.wake_deliveries.set()

    def keep(self, name: str, value: Any) -> None:
        with self.store.write() as db:
            db.set_meta(name, value)

    def reset(self) -> None:
        """Everything goes but the receiver of webhooks and the files."""
        self.resets += 1
        self.store.wipe()
        self.clock.reset()
        self.faults.set({})
        self.requests.clear()
        self._endpoints = []
        self.keep("webhook", self.webhook)
