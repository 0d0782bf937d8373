"""How many reads from Stripe the freshness rule causes, per 1,000 events that reach the mirror.

    python -m benchmarks.reads_per_event [events]

The changes are made at the sandbox, whose clock is set for each of them. Their events come nearly in order: one in ten
comes late, one in fifty comes twice. After each burst the scheduled refetches are performed. Prints one figure for each
way of changing an invoice; asserts nothing.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.setting import database, sandbox

LATE_SHARE = 0.1  # of the events: they come after the two that follow them
TWICE_SHARE = 0.02  # of the events: they are delivered twice
Calls = list[Callable[[], Any]]


class Shop:
    """Makes changes at Stripe and brings their events."""

    def __init__(self, stripe: Any, seed: int = 1) -> None:
        from tests.factories import customer_at

        self.stripe, self.dice = stripe, random.Random(seed)
        self.calls = stripe.client().v1.invoices
        self.items = stripe.client().v1.invoice_items
        self.now = int(time.time()) - 20 * 86400
        stripe.clock(now=self.now, freeze=True)
        self.customer = customer_at(stripe).id
        self.seen: set[str] = set()
        self.new_events()
        self.events = 0

    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.stripe.clock(now=self.now, freeze=True)

    def new_events(self) -> list[dict[str, Any]]:
        page = json.loads(self.stripe.client().raw_request("get", "/v1/events", limit=60).body)["data"]
        new = [event for event in reversed(page) if event["id"] not in self.seen]
        self.seen |= {event["id"] for event in new}
        return new

    def draft(self) -> str:
        """A draft with one line; its id. It makes one event, because the line exists before the invoice."""
        self.items.create({"customer": self.customer, "amount": 1000, "currency": "usd"})
        given = {"customer": self.customer, "currency": "usd", "pending_invoice_items_behavior": "include"}
        return str(self.calls.create(given).id)

    def bring(self) -> None:
        """Journals the new events nearly in order, processes them, and performs the refetches that they schedule."""
        from invoices import clock, intake, sync
        from invoices.models import ScheduledRefetch

        new = self.new_events()
        order = sorted(range(len(new)), key=lambda n: n + (2.5 if self.dice.random() < LATE_SHARE else 0))
        coming = [new[n] for n in order for _ in range(2 if self.dice.random() < TWICE_SHARE else 1)]
        for event in coming:
            rows = intake.journal([intake.event_row(event)])
            self.events += sum(row.state == "pending" for row in rows)
            sync.process_events()
        ScheduledRefetch.objects.update(due_at=clock.now())
        sync.perform_refetches(1000)


def finalized_and_paid(shop: Shop) -> Calls:
    """Created, finalized, paid: every step is progress."""
    id = shop.draft()
    shop.bring()
    shop.pass_time(3600)
    return [lambda: shop.calls.finalize_invoice(id), lambda: shop.calls.pay(id)]


def mixed(shop: Shop) -> Calls:
    """Two edits of a draft, then finalized and paid, all by one script."""
    id = shop.draft()
    shop.bring()
    shop.pass_time(3600)
    edits: Calls = [partial(shop.calls.update, id, {"metadata": {"v": value}}) for value in "ab"]
    return [*edits, lambda: shop.calls.finalize_invoice(id), lambda: shop.calls.pay(id)]


def edits(shop: Shop) -> Calls:
    """Four edits of a draft. Its status stays the same, so progress cannot order them: the worst case."""
    id = shop.draft()
    shop.bring()
    shop.pass_time(3600)
    return [partial(shop.calls.update, id, {"metadata": {"v": value}}) for value in "abcd"]


def measure(name: str, way: Callable[[Shop], Calls], shop: Shop, wanted: int, *, apart: int) -> None:
    shop.events = 0
    before = sum(number for path, number in shop.stripe.stats()["requests"].items() if ":id" in path and "GET" in path)
    while shop.events < wanted:
        shop.pass_time(3600)
        for call in way(shop):
            call()
            if apart:
                shop.bring()
                shop.pass_time(apart)
        shop.bring()
    after = sum(number for path, number in shop.stripe.stats()["requests"].items() if ":id" in path and "GET" in path)
    print(f"{name:58} {1000 * (after - before) / shop.events:6.0f} reads per 1,000 events ({shop.events})")


def main(events: int) -> None:
    with sandbox(invoices=0) as stripe:
        shop = Shop(stripe)
        for name, way in {"finalized and paid": finalized_and_paid, "mixed": mixed, "four edits": edits}.items():
            measure(f"{name}, all within one second", way, shop, events, apart=0)
            measure(f"{name}, minutes apart", way, shop, events, apart=120)


if __name__ == "__main__":
    with database():
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
