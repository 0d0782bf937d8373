"""Runs a check in a thread of its own, because it may hang: the caller has a result within the time limit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import connections

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0


class Probe(threading.Thread):
    """One run of a check. While it hangs, no second run of the same check is begun: all callers share the first."""

    latest: ClassVar[dict[Callable[[], Any], Probe]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()  # held while `latest` is read and changed

    def __init__(self, check: Callable[[], Any]) -> None:
        super().__init__(daemon=True, name=f"health check {check.__name__}")
        self.check = check
        self.result: Any = None
        self.error: Exception | None = None

    @classmethod
    def begin(cls, check: Callable[[], Any]) -> Probe:
        """Starts the check, or joins the run of it that is still under way."""
        with cls.lock:
            probe = cls.latest.get(check)
            if probe is None or not probe.is_alive():
                probe = cls.latest[check] = cls(check)
                probe.start()
            return probe

    def run(self) -> None:
        try:
            self.result = self.check()
        except Exception as error:
            log.warning("%s: %s", self.name, error)
            self.error = error
        finally:
            connections.close_all()

    def failure(self) -> str:
        """Waits for the end, at most TIMEOUT_SECONDS. Empty if the check succeeded.

        Otherwise the error's class alone: its message may hold an address or a password, and anybody may read /readyz.
        """
        self.join(TIMEOUT_SECONDS)
        if self.is_alive():
            return f"not within {TIMEOUT_SECONDS:g} s"
        return type(self.error).__name__ if self.error else ""
