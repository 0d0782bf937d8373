"""The mirror converges: whatever happens to the events, and whatever reads and pages come in between.

A hypothesis machine steers everything, one step after the other, with Stripe's clock standing still between them; and
a storm lets real deliveries, workers, pages and a reconciliation loose on each other. Longer, with other dice:

    CONVERGENCE_SECONDS=600 CONVERGENCE_SEED=7 python -m pytest tests/journeys/test_convergence.py -s
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from hypothesis import HealthCheck, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from invoices import clock, gateway, mirror, operations, reconcile, refetch, scheduled_refetches, sync
from invoices.models import MIRRORED, Drift, Event, Invoice, InvoicePayment
from tests.factories import customer_at
from tests.helpers.events import sign
from tests.helpers.stripe_state import at_stripe, drain, make_all_due, unequal
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(7200)]
LONG = "CONVERGENCE_SECONDS" in os.environ
SECONDS = float(os.environ.get("CONVERGENCE_SECONDS", "16"))
SEED = int(os.environ.get("CONVERGENCE_SEED", "1"))
OLD_VERSION = "2020-08-27"


def is_paid(payment: dict[str, Any]) -> bool:
    return payment["status"] == "paid"


def wipe() -> None:
    """Another world begins. The journal of the ones before stays, as journals do: nobody's ids come twice."""
    for model in MIRRORED.values():
        model.rows.all().delete()


class Convergence(RuleBasedStateMachine):
    """Stripe's clock stands, and moves when a rule says so; nothing is delivered, read or stored but by a rule."""

    sandbox: SandboxProcess
    actor: User
    counts: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        wipe()
        self.sandbox.reset()
        self.sandbox.faults(stamp_lag=10, seed=1)
        self.sandbox.clock(now=int(time.time()) - 3600, freeze=True)
        self.stripe = self.sandbox.client()
        self.webhook_client = Client()
        self.customer = customer_at(self.sandbox).id
        self.invoices: list[str] = []
        self.known: set[str] = set()
        self.coming: list[dict[str, Any]] = []  # events that were not delivered yet
        self.came: list[dict[str, Any]] = []
        self.held: list[Callable[[], object]] = []  # replies in flight
        self.lost = False
        self.create(1)
        self.create(2)

    # --- at Stripe

    def notice(self) -> None:
        """What Stripe tells of what has just happened."""
        page = json.loads(self.stripe.raw_request("get", "/v1/events", limit=100).body)["data"]
        new = [event for event in reversed(page) if event["id"] not in self.known]
        assert len(new) < 100
        self.known |= {event["id"] for event in new}
        self.coming += new

    def at_stripe(self, *calls: Callable[[], Any]) -> None:
        for call in calls:
            with contextlib.suppress(stripe.InvalidRequestError, stripe.CardError):  # as good a thing to happen as any
                call()
        self.notice()

    def one(self, number: int) -> str:
        return self.invoices[number % len(self.invoices)]

    @rule(lines=st.sampled_from([0, 1, 2, 11]))
    def create(self, lines: int) -> None:
        if len(self.invoices) < 3:
            made = self.stripe.v1.invoices.create({"customer": self.customer, "currency": "usd"})
            self.invoices.append(made.id)
            self.add_lines(made.id, lines)
            self.notice()

    def add_lines(self, id: str, lines: int) -> None:
        for line in range(lines):
            given = {"customer": self.customer, "invoice": id, "amount": 100 + line, "currency": "usd"}
            self.stripe.v1.invoice_items.create(given)

    has_some = precondition(lambda self: self.invoices)
    numbers = st.integers(0, 2)

    @has_some
    @rule(number=numbers)
    def add_a_line(self, number: int) -> None:
        self.at_stripe(lambda: self.add_lines(self.one(number), 1))

    @has_some
    @rule(number=numbers, values=st.lists(st.sampled_from("ab"), min_size=1, max_size=3))
    def edit(self, number: int, values: list[str]) -> None:
        """And back, and again, within a second."""
        for value in values:
            self.at_stripe(partial(self.stripe.v1.invoices.update, self.one(number), {"metadata": {"v": value}}))

    @has_some
    @rule(number=numbers, what=st.sampled_from(["finalize_invoice", "void_invoice", "mark_uncollectible", "delete"]))
    def move(self, number: int, what: str) -> None:
        self.at_stripe(lambda: getattr(self.stripe.v1.invoices, what)(self.one(number)))

    @has_some
    @rule(
        number=numbers,
        with_=st.sampled_from([{}, {"payment_method": "pm_card_chargeCustomerFail"}, {"paid_out_of_band": True}]),
    )
    def pay(self, number: int, with_: dict[str, Any]) -> None:
        self.at_stripe(lambda: self.stripe.v1.invoices.pay(self.one(number), with_))

    @has_some
    @rule(number=numbers, paid=st.booleans())
    def credit(self, number: int, paid: bool) -> None:
        """What was paid, with a refund; or what was not, which lowers the open payment without an event."""
        given: Any = {"invoice": self.one(number), "amount": 50, **({"refund_amount": 50} if paid else {})}
        self.at_stripe(lambda: self.stripe.v1.credit_notes.create(given))
        self.lost = self.lost or not paid

    @has_some
    @rule(values=st.lists(st.sampled_from("ab"), min_size=1, max_size=3), what=st.sampled_from(["edit", "end"]))
    def change_credits(self, values: list[str], what: str) -> None:
        """The newest credit note and refund: edited there and back within a second, or voided and failed."""
        for note in self.stripe.v1.credit_notes.list({"limit": 1}).data:
            for value in values if what == "edit" else ():
                self.at_stripe(partial(self.stripe.v1.credit_notes.update, note.id, {"memo": value}))
            if what == "end":
                self.at_stripe(partial(self.stripe.v1.credit_notes.void_credit_note, note.id))
        for refund in self.stripe.v1.refunds.list({"limit": 1}).data:
            for value in values if what == "edit" else ():
                self.at_stripe(partial(self.stripe.v1.refunds.update, refund.id, {"metadata": {"v": value}}))
            if what == "end" and refund.status == "succeeded":
                self.at_stripe(partial(self.sandbox.post, f"refunds/{refund.id}/settle", outcome="failed"))

    @rule(seconds=st.sampled_from([1, 2, 4, 6, 30]))
    def time_passes(self, seconds: int) -> None:
        self.sandbox.clock(advance=seconds, freeze=True)
        self.notice()

    # --- on the way

    def post(self, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        headers = {"Stripe-Signature": sign(body)}
        answer = self.webhook_client.post("/webhooks/stripe", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200
        self.counts["deliveries"] += 1

    has_coming = precondition(lambda self: self.coming)

    @has_coming
    @rule(number=st.integers(0, 30), process=st.booleans())
    def deliver(self, number: int, process: bool) -> None:
        event = self.coming.pop(number % len(self.coming))
        self.came.append(event)
        self.post(event)
        if process:
            sync.process_events()

    @has_coming
    @rule()
    def deliver_all_backwards(self) -> None:
        while self.coming:
            self.deliver(len(self.coming) - 1, True)

    @precondition(lambda self: self.came)
    @rule(number=st.integers(0, 30))
    def deliver_again(self, number: int) -> None:
        """As another event with the same content: Stripe may tell of one change twice."""
        event = self.came[number % len(self.came)]
        self.post({**event, "id": f"{event['id']}_{len(self.came)}"})
        sync.process_events()

    @has_coming
    @rule(number=st.integers(0, 30))
    def deliver_in_another_version(self, number: int) -> None:
        event = self.coming.pop(number % len(self.coming))
        found = {name: value for name, value in event["data"]["object"].items() if name not in ("lines", "parent")}
        self.post({**event, "api_version": OLD_VERSION, "data": {"object": {**found, "paid": "perhaps"}}})
        sync.process_events()

    @has_coming
    @rule(number=st.integers(0, 30))
    def lose(self, number: int) -> None:
        self.coming.pop(number % len(self.coming))
        self.lost = True
        self.counts["lost"] += 1

    @rule()
    def process(self) -> None:
        sync.process_events()

    # --- reads, pages and actions of ours

    @has_some
    @rule(number=numbers)
    def read(self, number: int) -> None:
        refetch.refetch("invoice", self.one(number))
        self.counts["reads"] += 1

    @has_some
    @rule(number=numbers)
    def begin_a_read(self, number: int) -> None:
        snapshots = gateway.retrieve("invoice", self.one(number))
        self.held.append(partial(mirror.store, snapshots))

    @rule(object=st.sampled_from(["invoice", "invoice_payment", "charge", "credit_note", "refund"]))
    def fetch_a_page(self, object: str) -> None:
        snapshots, _ = gateway.list_page(object)
        self.held.append(partial(mirror.store, snapshots))

    @rule()
    def begin_refetches(self) -> None:
        make_all_due()
        for read in scheduled_refetches.take(3):
            begun_at = clock.now()
            snapshots = gateway.retrieve(read.object, read.id)
            self.held.append(partial(self.end_refetch, snapshots, read, begun_at))

    def end_refetch(self, snapshots: Any, read: scheduled_refetches.Taken, begun_at: datetime) -> None:
        mirror.store(snapshots)
        scheduled_refetches.done(read.object, read.id, begun_at)
        self.counts["refetches"] += 1

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 5))
    def a_reply_arrives(self, number: int) -> None:
        self.held.pop(number % len(self.held))()

    @rule()
    def refetches(self) -> None:
        make_all_due()
        self.counts["refetches"] += sync.perform_refetches()

    @has_some
    @rule(number=numbers, action=st.sampled_from(["pay", "void", "mark_uncollectible", "finalize"]))
    def act(self, number: int, action: str) -> None:
        with contextlib.suppress(operations.Refusal):
            operations.execute(action, self.one(number), actor=self.actor, source="admin", reason="a test")
        self.notice()

    # --- the end

    def teardown(self) -> None:
        try:
            while self.held:
                self.held.pop()()
            while self.coming:
                self.deliver(len(self.coming) // 2, False)
            drain()
            if self.lost:
                assert reconcile.sweep_lists().exit_code in (reconcile.CLEAN, reconcile.DRIFT_HEALED)
                drain()
            else:
                assert unequal(self.sandbox, "invoice_payment", only=is_paid) == []
                assert not any(
                    unequal(self.sandbox, object) for object in ("invoice", "charge", "credit_note", "refund")
                )
                run = reconcile.sweep_lists()
                assert run.exit_code == reconcile.CLEAN, list(Drift.objects.filter(run=run).values())
                drain()
            for object in ("invoice", "invoice_payment", "charge", "credit_note", "refund"):
                assert unequal(self.sandbox, object) == []
            gone = Invoice.objects.exclude(deleted_at=None)
            assert not {row.pk for row in gone} & set(at_stripe(self.sandbox, "invoice"))
            self.counts["worlds"] += 1
            self.counts["invoices"] += len(self.invoices)
        finally:
            self.sandbox.clear_faults()
            self.sandbox.clock(real=True)


def test_every_world_that_hypothesis_thinks_of_converges(sandbox: SandboxProcess, manager: User) -> None:
    Convergence.sandbox, Convergence.actor, Convergence.counts = sandbox, manager, Counter()
    profile = settings(
        max_examples=12,
        stateful_step_count=30,
        deadline=None,
        derandomize=not LONG,
        database=None,
        print_blob=True,
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
    )
    end = time.monotonic() + SECONDS / 2
    while True:
        run_state_machine_as_test(Convergence, settings=profile)
        if not LONG or time.monotonic() > end:
            break
    print(dict(Convergence.counts))
    assert Convergence.counts["worlds"] >= 12


# --- the storm --------------------------------------------------------------------------------------------------------


class Storm:
    """Everything at once and in real time: deliveries over HTTP, workers, pages in flight, a reconciliation."""

    def __init__(self, sandbox: SandboxProcess, seed: int) -> None:
        self.sandbox, self.dice, self.seed = sandbox, random.Random(seed), seed
        self.stripe = sandbox.client()
        self.customers = [customer_at(sandbox).id, customer_at(sandbox, card="pm_card_chargeCustomerFail").id]
        self.invoices: list[str] = []
        self.ended = threading.Event()
        self.failures: list[BaseException] = []
        self.done: Counter[str] = Counter()

    def thread(self, work: Callable[[random.Random], None], number: int) -> threading.Thread:
        def run() -> None:
            dice = random.Random(f"{self.seed} {work.__name__} {number}")
            try:
                while not self.ended.is_set():
                    work(dice)
            except BaseException as failure:
                self.failures.append(failure)
                self.ended.set()
            finally:
                connections.close_all()

        return threading.Thread(target=run, name=f"{work.__name__} {number}")

    def everything_happened(self) -> bool:
        return bool(self.done["changes"] > 10 and self.done["pages"] and self.done["reconciliations"])

    def change(self, dice: random.Random) -> None:
        """Somebody at Stripe's dashboard, quickly."""
        calls = self.stripe.v1.invoices
        while len(self.invoices) < 4 or dice.random() < 0.15:
            made = calls.create({"customer": dice.choice(self.customers), "currency": "usd"})
            for line in range(dice.choice([1, 2, 12])):
                given = {"customer": made.customer, "invoice": made.id, "amount": 100 + line, "currency": "usd"}
                self.stripe.v1.invoice_items.create(given)
            self.invoices.append(made.id)  # from here on the other one may finalize it
        id = dice.choice(self.invoices[-8:])
        value = dice.choice("ab")
        what: list[Callable[[], Any]] = [
            lambda: [calls.update(id, {"metadata": {"v": one}}) for one in (value, "c", value)],
            lambda: calls.update(id, {"metadata": {"v": value}}),
            lambda: calls.finalize_invoice(id),
            lambda: calls.pay(id),
            lambda: calls.void_invoice(id),
            lambda: calls.mark_uncollectible(id),
            lambda: calls.delete(id),
        ]
        weights = [3, 6, 4, 3, 1, 1, 1]
        with contextlib.suppress(stripe.InvalidRequestError, stripe.CardError):
            dice.choices(what, weights)[0]()
        self.done["changes"] += 1
        self.ended.wait(dice.choice([0, 0, 0.02, 0.1]))

    def work(self, dice: random.Random) -> None:
        done = sync.process_events()
        self.done["events"] += done
        if not done:
            self.ended.wait(0.05)

    def refetches(self, dice: random.Random) -> None:
        self.done["refetches"] += sync.perform_refetches(20)
        self.ended.wait(0.1)

    def pages(self, dice: random.Random) -> None:
        snapshots, _ = gateway.list_page(dice.choice(["invoice", "invoice_payment"]))
        self.ended.wait(dice.uniform(0, 1.5))
        mirror.store(snapshots)
        self.done["pages"] += 1

    def reads(self, dice: random.Random) -> None:
        if self.invoices:
            refetch.refetch("invoice", dice.choice(self.invoices[-8:]))
        self.ended.wait(dice.uniform(0, 0.3))

    def reconcile(self, dice: random.Random) -> None:
        run = reconcile.sweep_lists()
        assert run.seen == run.same + run.imported + run.healed + run.in_flight + run.failed
        self.done["reconciliations"] += 1
        self.ended.wait(dice.uniform(0.5, 2))


@contextlib.contextmanager
def running(storm: Storm, workers: int) -> Iterator[None]:
    threads = [storm.thread(storm.work, number) for number in range(workers)]
    works = [storm.change, storm.change, storm.refetches, storm.pages, storm.reads, storm.reconcile]
    threads += [storm.thread(work, number) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        storm.ended.set()
        for thread in threads:
            thread.join()
    if storm.failures:
        raise storm.failures[0]


def once(sandbox: SandboxProcess, url: str, seed: int, seconds: float, *, drop: float) -> Counter[str]:
    wipe()
    sandbox.reset()
    sandbox.webhook(url)
    storm = Storm(sandbox, seed)
    sandbox.faults(drop=drop, duplicate=0.2, reorder=0.3, delay_ms=[0, 1200], stamp_lag=10, seed=seed)
    try:
        with running(storm, workers=4 if connection.vendor == "postgresql" else 2):
            storm.ended.wait(seconds)
            patience = time.monotonic() + 180  # on a busy machine little has happened by then
            while not (storm.ended.is_set() or storm.everything_happened() or time.monotonic() > patience):
                storm.ended.wait(0.2)
        sandbox.clear_faults()
        sandbox.settled(120)
    finally:
        sandbox.webhook(None)
    drain()
    if drop:
        assert reconcile.sweep_lists().exit_code in (reconcile.CLEAN, reconcile.DRIFT_HEALED)
        drain()
    else:
        assert unequal(sandbox, "invoice") == []
        assert unequal(sandbox, "invoice_payment", only=is_paid) == []
        run = reconcile.sweep_lists()
        assert run.exit_code == reconcile.CLEAN, list(Drift.objects.filter(run=run).values())
        drain()
    for object in ("invoice", "invoice_payment"):
        assert unequal(sandbox, object) == []
    assert not Event.objects.filter(state__in=["pending", "failed"]).exists()
    storm.done["invoices"] = Invoice.objects.count()
    storm.done["payments"] = InvoicePayment.objects.count()
    return storm.done


@pytest.mark.parametrize("drop", [0.0, 0.3], ids=["all events come", "a third is dropped"])
def test_a_storm_of_deliveries_workers_pages_and_reconciliations_converges(
    sandbox: SandboxProcess, live_server: Any, drop: float
) -> None:
    url, seed = f"{live_server.url}/webhooks/stripe", SEED
    end = time.monotonic() + SECONDS / 4
    while True:
        done = once(sandbox, url, seed, 30.0 if LONG else SECONDS / 5, drop=drop)
        print(f"drop {drop}, seed {seed}: {dict(done)}")
        assert done["changes"] > 10 and done["pages"] and done["reconciliations"]  # `everything_happened`
        seed += 1
        if time.monotonic() > end:
            break
