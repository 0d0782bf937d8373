"""Which background process was last seen at work, and when: read by /readyz and by the admin's front page."""

import time

from invoices import clock
from invoices.models import Heartbeat

EVERY = 5.0  # seconds between two writes of one process
_last: dict[str, float] = {}


def beat(name: str) -> None:
    """Says that a process of this kind is at work; cheap enough for every task."""
    if time.monotonic() - _last.get(name, -EVERY) < EVERY:
        return
    _last[name] = time.monotonic()
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=name, seen_at=clock.now())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["seen_at"],
    )
