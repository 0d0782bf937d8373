"""Heartbeats: when each kind of background process was last at work, for /readyz and the admin's home page."""

import time

from invoices import clock
from invoices.models import Heartbeat

SECONDS_BETWEEN_WRITES = 5.0  # of one process
_last_written: dict[str, float] = {}  # name → `time.monotonic()`


def beat(name: str) -> None:
    """Records that a process of this kind is at work. Cheap enough to be called by every task."""
    now = time.monotonic()
    if now - _last_written.get(name, -SECONDS_BETWEEN_WRITES) < SECONDS_BETWEEN_WRITES:
        return
    _last_written[name] = now
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=name, seen_at=clock.now())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["seen_at"],
    )
