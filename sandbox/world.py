"""World: what all requests of one running sandbox share, namely the state file, clock, faults and webhook receivers."""

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.store import Database, Store

COMMAND_LINE_RECEIVER = "main"  # its id in deliveries; the other receivers are webhook endpoints made through the API
DEFAULT_WEBHOOK_SECRET = "whsec_sandbox"


class World:
    def __init__(self, path: Path, key: str | None = None):
        """`key` is the only API key that is accepted; None accepts every test key."""
        self.store = Store(path)
        self.key = key
        self.address = ""  # "http://127.0.0.1:<port>", set by the server
        self.clock = Clock()
        self.faults = Faults()
        self.requests: Counter[str] = Counter()  # route name → requests since the start
        self.keys_in_use: set[str] = set()  # idempotency keys of requests that are running
        self.lock = threading.Lock()  # guards `requests` and `keys_in_use`
        self.reset_count = 0  # a delivery taken from the queue before a reset must not be sent after it
        self.wake_deliveries = threading.Event()
        self._restore()

    def _restore(self) -> None:
        with self.store.read() as db:
            self.clock.restore(db.setting("clock"))
            self.faults.set(db.setting("faults") or {})
            self.webhook: dict[str, Any] = db.setting("webhook") or {"url": None, "secret": DEFAULT_WEBHOOK_SECRET}
            self.load_endpoints(db)

    def load_endpoints(self, db: Database) -> None:
        """Read the webhook endpoints that are enabled. The transaction that changes them calls this again."""
        enabled = []
        for row in db.execute("SELECT id, body, hidden FROM webhook_endpoint WHERE deleted = 0 AND status = 'enabled'"):
            hidden = json.loads(row[2])
            enabled.append((row[0], json.loads(row[1])["enabled_events"], json.loads(row[1])["url"], hidden["secret"]))
        self._endpoints = enabled

    def count_request(self, name: str) -> None:
        with self.lock:
            self.requests[name] += 1

    def receivers_of(self, db: Database, event_type: str) -> list[str]:
        """Ids of the receivers that want an event of this type."""
        wanted = [COMMAND_LINE_RECEIVER] if self.webhook["url"] else []
        return wanted + [id for id, events, _, _ in self._endpoints if "*" in events or event_type in events]

    def address_and_secret(self, endpoint: str) -> tuple[str, str] | None:
        """URL and secret of a receiver as they are now, also for deliveries planned earlier; None if it is gone."""
        if endpoint == COMMAND_LINE_RECEIVER:
            return (self.webhook["url"], self.webhook["secret"]) if self.webhook["url"] else None
        return next(((url, secret) for id, _, url, secret in self._endpoints if id == endpoint), None)

    def set_webhook(self, url: str | None, secret: str | None) -> None:
        self.webhook = {"url": url or None, "secret": secret or self.webhook["secret"]}
        self.save_setting("webhook", self.webhook)
        self.wake_deliveries.set()

    def save_setting(self, name: str, value: Any) -> None:
        """Keep a JSON value over restarts."""
        with self.store.write() as db:
            db.save_setting(name, value)

    def reset(self) -> None:
        """Delete all objects and settings. Only the webhook receiver of the command line stays."""
        self.reset_count += 1
        self.store.wipe()
        self.clock.reset()
        self.faults.set({})
        self.requests.clear()
        self._endpoints = []
        self.save_setting("webhook", self.webhook)
