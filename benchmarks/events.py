"""How fast events reach the mirror: batches against one event at a time, and against a read from Stripe for each.

    python -m benchmarks.events [events]

Makes its own SQLite database in a temporary folder, or uses DATABASE_URL's server (a database of its own there is
Django's test database). Prints events a second, and the ratios of one run; nothing is asserted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.setting import database, sandbox

BURST = 4  # events of one invoice: created, finalized, updated, paid


def events(number: int, start: int = 0) -> Iterator[dict[str, Any]]:
    """Bursts of four events an invoice, two seconds apart from each other, as the webhook endpoint gets them."""
    from django.conf import settings

    from tests.factories import InvoiceObject

    now = int(time.time()) - number
    for n in range(number):
        burst, step = divmod(n, BURST)
        invoice = InvoiceObject(id=f"in_bench{start + burst:08d}", created=now + burst * 2)
        invoice["status"] = ("draft", "open", "open", "paid")[step]
        invoice["lines"]["data"] = [{"id": f"il_{burst}_{i}", "amount": 100, "description": "A line"} for i in range(5)]
        yield {
            "id": f"evt_bench{start * BURST + n:010d}",
            "object": "event",
            "type": ("invoice.created", "invoice.finalized", "invoice.updated", "invoice.paid")[step],
            "api_version": settings.STRIPE_API_VERSION,
            "created": now + burst * 2,
            "livemode": False,
            "data": {"object": invoice},
            "request": {"id": None, "idempotency_key": None},
        }


@contextmanager
def timed(name: str, number: int, into: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    into[name] = number / (time.perf_counter() - began)
    print(f"{name:48} {into[name]:10,.0f} events/s")


def main(number: int) -> None:
    from invoices import intake, refetch, sync
    from invoices.models import Event

    speeds: dict[str, float] = {}
    bodies = [(event, json.dumps(event)) for event in events(number)]
    with timed("journal, one delivery at a time", number, speeds):
        for event, body_text in bodies:
            intake.journal([intake.event_row(event, body_text)])
    with timed("process, in batches", number, speeds):
        assert sync.process_events(number + 1) == number
    Event.objects.filter(state="done").update(state="pending")
    sync.EVENTS_PER_BATCH, few = 1, min(number, 1000)
    with timed("process, one at a time", few, speeds):
        for _ in range(few):
            sync.process_events(1)
    with sandbox() as stripe:
        ids = [invoice.id for invoice in stripe.client().v1.invoices.list({"limit": 100}).data]
        reads = 400
        with timed("a read from Stripe for each event", reads, speeds):
            for n in range(reads):
                refetch.refetch("invoice", ids[n % len(ids)])
    batches = speeds["process, in batches"]
    print(f"batches : one at a time = {batches / speeds['process, one at a time']:.1f} : 1")
    print(f"batches : a read for each = {batches / speeds['a read from Stripe for each event']:.1f} : 1")


if __name__ == "__main__":
    with database():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
