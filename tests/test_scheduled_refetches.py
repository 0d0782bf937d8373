"""The queue of refetches: asking, taking fairly, failing and giving up; and that reading keeps nothing else waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client

from backoffice.celery import app
from invoices import clock, gateway, intake, mirror, refetch, scheduled_refetches, sync, tasks
from invoices.admin import refetches
from invoices.models import MIRRORED, Invoice, InvoicePayment, ScheduledRefetch
from invoices.snapshot import Snapshot
from invoices.thresholds import (
    FIRST_REFETCH_RETRY,
    LAST_REFETCH_RETRY,
    LAST_UNANSWERED_RETRY,
    LONGEST_REST,
    PAYMENTS_DELAY,
    REFETCH_DELAY,
    REFETCH_GIVEN_UP,
    REFETCH_LEASE,
)
from tests.factories import InvoiceObject, invoice_at, stored
from tests.helpers.admin_pages import page_after, text
from tests.helpers.database import url_of_database
from tests.helpers.events import stripe_event
from tests.helpers.stripe_state import make_all_due
from tests.sandbox_process import ROOT, SandboxProcess

SECOND = timedelta(seconds=1)


class Clock:
    """Ours, standing still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def push(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def stopped(db: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock(clock.now())
    monkeypatch.setattr(clock, "now", lambda: stopped.now)
    monkeypatch.setattr(scheduled_refetches.chance, "uniform", lambda low, high: 1.0)
    return stopped


def ask(*ids: str, object: str = "invoice", wanted: bool = False, only_payments: bool = False) -> None:
    objects = [(object, id) for id in ids]
    if only_payments:
        scheduled_refetches.schedule([], payments_of=objects)
    else:
        scheduled_refetches.schedule(objects, wanted=wanted)


def row(id: str = "in_1") -> ScheduledRefetch:
    return ScheduledRefetch.objects.get(object_id=id)


def take(limit: int = 10) -> list[str]:
    return [one.id for one in scheduled_refetches.take(limit)]


class TestAsking:
    def test_many_askings_are_one_row_and_the_earliest_moment_counts(self, stopped: Clock) -> None:
        began = stopped.now
        ask("in_1", "in_1", "in_2")
        stopped.push(SECOND)
        ask("in_1")
        assert (row().due_at, row().asked_at) == (began + REFETCH_DELAY, began + SECOND)
        assert take() == []  # two seconds, so that one covers a burst
        stopped.push(SECOND)
        assert take() == ["in_1", "in_2"]

    def test_asking_replaces_a_lease_and_what_began_before_does_not_meet_it(self, stopped: Clock) -> None:
        ask("in_1")
        stopped.push(REFETCH_DELAY)
        [taken] = scheduled_refetches.take(10)
        assert (row().due_at, row().token) == (stopped.now + REFETCH_LEASE, taken.token)
        assert take() == []
        begun = stopped.now
        stopped.push(SECOND)
        ask("in_1")
        assert (row().due_at, row().token) == (stopped.now + REFETCH_DELAY, None)
        scheduled_refetches.done("invoice", "in_1", begun)
        scheduled_refetches.failed(taken, "of the read before")
        scheduled_refetches.give_back([taken])
        assert (row().due_at, row().attempts) == (stopped.now + REFETCH_DELAY, 0)
        scheduled_refetches.done("invoice", "in_1", stopped.now + SECOND)
        assert not ScheduledRefetch.objects.exists()

    @pytest.mark.parametrize("left", [0.0, 0.5, 1.9, 2.1])
    def test_even_a_lease_about_to_run_out(self, stopped: Clock, left: float) -> None:
        ask("in_1")
        stopped.push(REFETCH_DELAY)
        [taken] = scheduled_refetches.take(10)
        begun = stopped.now
        stopped.push(REFETCH_LEASE - timedelta(seconds=left))
        ask("in_1")
        scheduled_refetches.done("invoice", "in_1", begun)
        scheduled_refetches.failed(taken, "too late")
        assert row().due_at == stopped.now + timedelta(seconds=min(left, 2)) and row().token is None

    def test_a_lease_that_ran_out_comes_due_again(self, stopped: Clock) -> None:
        """Its worker was killed between taking and clearing."""
        ask("in_1")
        stopped.push(REFETCH_DELAY)
        [first] = scheduled_refetches.take(10)
        stopped.push(REFETCH_LEASE)
        [again] = scheduled_refetches.take(10)
        assert again.token != first.token
        scheduled_refetches.failed(first, "it lived after all")
        assert (row().due_at, row().token, row().attempts) == (stopped.now + REFETCH_LEASE, again.token, 0)

    def test_it_is_asked_for_in_the_transaction_of_the_write(self, db: None) -> None:
        data = InvoiceObject(status="open")
        stored(data)

        class Undone(Exception):
            pass

        with pytest.raises(Undone), transaction.atomic():
            [outcome] = mirror.store([_snapshot(data | {"total": 2})])
            assert outcome.needs_refetch and not outcome.refetch_was_scheduled and row(data["id"])
            raise Undone
        assert not ScheduledRefetch.objects.exists()
        outcomes = mirror.store([_snapshot(data | {"total": 2}), _snapshot(data | {"total": 3})])
        assert [outcome.refetch_was_scheduled for outcome in outcomes] == [False, True]
        ScheduledRefetch.objects.update(given_up_at=clock.now())
        [outcome] = mirror.store([_snapshot(data | {"total": 2})])
        assert not outcome.refetch_was_scheduled  # nobody would have read it

    def test_a_refetch_by_a_person_meets_it(self, sandbox: SandboxProcess, transactional_db: None) -> None:
        invoice = invoice_at(sandbox)
        ask(invoice.id, "in_2")
        refetch.refetch("invoice", invoice.id)
        assert row("in_2") and ScheduledRefetch.objects.count() == 1


def _snapshot(data: dict[str, Any]) -> Any:
    """A state of which nothing tells whether it is newer than the one that `stored` left."""
    held = Invoice.rows.get(pk=data["id"])
    assert held.seen_since and held.seen_until
    return Snapshot("invoice", data["id"], data, held.seen_since, held.seen_until)


class TestTaking:
    def test_kinds_take_turns(self, stopped: Clock) -> None:
        for number, object in enumerate(MIRRORED):
            ask(*(f"{object}_{n}" for n in range(20)), object=object)
            stopped.push(number * SECOND)
        stopped.push(REFETCH_DELAY)
        assert Counter(one.object for one in scheduled_refetches.take(2 * len(MIRRORED))) == dict.fromkeys(MIRRORED, 2)

    def test_one_kind_alone_has_all_places(self, stopped: Clock) -> None:
        ask(*(f"in_{n}" for n in range(9)))
        stopped.push(REFETCH_DELAY)
        assert len(take(8)) == 8 and len(take(8)) == 1

    def test_what_people_look_at_comes_first_the_newest_asking_before_the_others(self, stopped: Clock) -> None:
        ask(*(f"in_{n}" for n in range(10)))
        stopped.push(SECOND)
        ask("in_7", wanted=True)
        stopped.push(SECOND)
        assert scheduled_refetches.look("invoice", "in_8")
        assert not scheduled_refetches.look("invoice", "in_99") and not scheduled_refetches.look("customer", "in_8")
        assert take(3) == ["in_8", "in_7", "in_0"]

    def test_they_take_no_more_than_half_of_the_places(self, stopped: Clock) -> None:
        ask(*(f"in_a{n}" for n in range(20)))
        ask(*(f"in_b{n}" for n in range(20)), wanted=True)
        stopped.push(REFETCH_DELAY)
        assert Counter(id[:4] for id in take(16)) == {"in_a": 8, "in_b": 8}

    def test_a_thousand_that_always_fail_do_not_keep_thirty_others_waiting(self, stopped: Clock) -> None:
        """Neither of another kind nor of their own; the thousand were asked for first."""
        ask(*(f"cus_bad{n}" for n in range(1000)), object="customer")
        ScheduledRefetch.objects.update(failing_since=stopped.now, attempts=1)
        stopped.push(SECOND)
        ask(*(f"cus_good{n}" for n in range(15)), object="customer")
        ask(*(f"in_good{n}" for n in range(15)))
        stopped.push(REFETCH_DELAY)
        done: set[str] = set()
        for _ in range(4):
            for taken in scheduled_refetches.take(sync.REFETCHES_PER_ROUND):
                if "bad" in taken.id:
                    scheduled_refetches.failed(taken, "always")
                else:
                    scheduled_refetches.done(taken.object, taken.id, stopped.now)
                    done.add(taken.id)
        assert len(done) == 30

    def test_two_at_the_same_time_take_different_ones(self, transactional_db: None) -> None:
        ask(*(f"in_{n}" for n in range(40)))
        ScheduledRefetch.objects.update(due_at=clock.now())
        taken: list[str] = []
        start = threading.Barrier(4)

        def work() -> None:
            start.wait()
            try:
                taken.extend(take(10))
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == len(set(taken)) > 0
        assert set(taken) | set(take(40)) == {f"in_{n}" for n in range(40)}


class TestFailing:
    def test_each_time_later_and_after_a_day_it_is_given_up(self, stopped: Clock) -> None:
        ask("in_1", wanted=True)
        began, waits = None, []
        stopped.push(REFETCH_DELAY)
        while not row().given_up_at:
            [taken] = scheduled_refetches.take(10)
            stopped.push(SECOND)
            scheduled_refetches.failed(taken, "Stripe: \x00 no")
            began = began or stopped.now
            assert row().failing_since == began and row().wanted_at is None and row().token is None
            due_at = row().due_at
            assert due_at
            waits.append(due_at - stopped.now)
            stopped.push(waits[-1])
        assert waits[:4] == [FIRST_REFETCH_RETRY * 2**n for n in range(4)]
        assert set(waits[10:]) == {LAST_REFETCH_RETRY}
        given_up_at = row().given_up_at
        assert given_up_at and began
        assert given_up_at - began >= REFETCH_GIVEN_UP > given_up_at - began - 2 * LAST_REFETCH_RETRY
        assert row().error.startswith("Stripe: ") and row().attempts == len(waits)
        stopped.push(REFETCH_GIVEN_UP)
        assert take() == [] and not scheduled_refetches.look("invoice", "in_1")
        assert not scheduled_refetches.waiting("invoice", ["in_1"])

    def test_while_stripe_does_not_answer_it_never_waits_for_long(self, stopped: Clock) -> None:
        """An outage of an hour is no fault of the object's: it is read within a minute of the end."""
        ask("in_1")
        stopped.push(REFETCH_DELAY)
        for _ in range(40):
            [taken] = scheduled_refetches.take(10)
            scheduled_refetches.failed(taken, "Stripe: no answer", answered=False)
            due_at = row().due_at
            assert due_at and due_at - stopped.now <= LAST_UNANSWERED_RETRY
            stopped.push(LAST_UNANSWERED_RETRY)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("fault", ["error_500", "error_429", "drop_reply"])
    def test_an_answer_that_says_nothing_of_the_object_counts_as_none(
        self, sandbox: SandboxProcess, fault: str
    ) -> None:
        invoice = invoice_at(sandbox)
        ask(invoice["id"])
        now = clock.now()
        ScheduledRefetch.objects.update(attempts=20, failing_since=now, due_at=now - SECOND)
        sandbox.faults(**{fault: 1}, only=["GET /v1/invoices/*"])
        assert sync.perform_refetches() == 1
        due_at = row(invoice["id"]).due_at
        assert row(invoice["id"]).attempts == 21
        assert due_at and due_at - clock.now() <= 1.25 * LAST_UNANSWERED_RETRY

    def given_up(self, stopped: Clock, *ids: str) -> None:
        ask(*ids)
        since = stopped.now - REFETCH_GIVEN_UP
        ScheduledRefetch.objects.filter(object_id__in=ids).update(
            failing_since=since, given_up_at=stopped.now, attempts=30, due_at=since
        )

    def test_a_person_tries_again_with_a_whole_day_left(self, stopped: Clock) -> None:
        self.given_up(stopped, "in_1", "in_2", "in_3")
        ask("in_4")
        assert scheduled_refetches.try_again(["in_1", "in_4"]) == 1
        assert take() == ["in_1"]
        assert scheduled_refetches.try_again() == 2
        [taken, *_] = scheduled_refetches.take(10)
        scheduled_refetches.failed(taken, "still")
        assert not row(taken.id).given_up_at and row(taken.id).attempts == 1

    def test_a_new_reason_makes_one_attempt(self, stopped: Clock) -> None:
        self.given_up(stopped, "in_1")
        ask("in_1")
        assert row().given_up_at is None and row().due_at == stopped.now + REFETCH_DELAY
        stopped.push(REFETCH_DELAY)
        [taken] = scheduled_refetches.take(10)
        scheduled_refetches.failed(taken, "still")
        assert row().given_up_at

    def test_any_read_ends_it(self, stopped: Clock) -> None:
        self.given_up(stopped, "in_1")
        scheduled_refetches.done("invoice", "in_1", stopped.now + SECOND)
        assert not ScheduledRefetch.objects.exists()


# --- reading ----------------------------------------------------------------------------------------------------------


def reads(sandbox: SandboxProcess) -> int:
    return sum(number for path, number in sandbox.stats()["requests"].items() if path.startswith("GET /v1/"))


@pytest.mark.django_db(transaction=True)
class TestTheLane:
    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
        """Every read of Stripe hangs until it is set."""
        gate = threading.Event()
        self.began = threading.Semaphore(0)

        def hang(object: str, id: str, **given: Any) -> list[Any]:
            self.began.release()
            assert gate.wait(120)
            scheduled_refetches.done(object, id, clock.now())
            return []

        monkeypatch.setattr(refetch, "refetch", hang)
        yield gate
        gate.set()

    def test_events_are_not_behind_three_thousand_that_are_due(self, gate: threading.Event) -> None:
        """A worker of eight threads, to which beat sends ticks: one of its threads refetches, whatever Stripe does."""
        ask(*(f"cus_{n}" for n in range(1500)), object="customer")
        ask(*(f"in_{n}" for n in range(1500)))
        make_all_due()

        def run(task: Callable[[], Any]) -> Any:
            try:
                return task()
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as worker:
            first = worker.submit(run, tasks.perform_refetches)
            for _ in range(sync.REFETCH_THREADS):
                assert self.began.acquire(timeout=120)
            ticks = [worker.submit(run, tasks.perform_refetches) for _ in range(60)]
            for number in range(5):
                intake.journal([intake.event_row(stripe_event(InvoiceObject(), id=f"evt_{number}"))])
                assert worker.submit(run, tasks.process_events).result(120) == 1
            assert [tick.result(120) for tick in ticks] == [0] * 60
            assert not first.done() and not self.began.acquire(blocking=False)  # four reads are under way, no more
            assert Invoice.objects.count() == 5 and ScheduledRefetch.objects.count() == 3000
            gate.set()
            assert first.result(120) == 100
        assert ScheduledRefetch.objects.count() == 2900

    def test_a_thousand_that_fail_at_stripe_and_thirty_that_do_not(self, sandbox: SandboxProcess) -> None:
        good = ["in_nothing_here" + str(number) for number in range(30)]
        ask(*(f"cus_{n}" for n in range(1000)), object="customer")
        make_all_due()
        ask(*good)
        make_all_due()
        sandbox.faults(only=["GET /v1/customers/*"], error_500=1.0)
        for _ in range(6):
            sync.perform_refetches(sync.REFETCHES_PER_ROUND)
        assert not ScheduledRefetch.objects.filter(object_id__in=good).exists()
        assert ScheduledRefetch.objects.filter(failing_since__isnull=False).exists()

    @pytest.mark.parametrize("fault", ["error_500", "error_429", "drop_reply", "proxy_page"])
    def test_where_stripe_does_not_answer_the_rest_waits(
        self, sandbox: SandboxProcess, stopped: Clock, fault: str
    ) -> None:
        ask(*(f"in_{n}" for n in range(50)))
        stopped.push(REFETCH_DELAY)
        sandbox.faults(**{fault: 1.0})
        rests: list[timedelta] = []
        for _ in range(7):
            tried = ScheduledRefetch.objects.filter(failing_since__isnull=False).count()
            assert sync.perform_refetches() > 0
            tried = ScheduledRefetch.objects.filter(failing_since__isnull=False).count() - tried
            assert tried <= 2 * sync.REFETCH_THREADS  # those under way when the round ended are tried too
            assert not ScheduledRefetch.objects.exclude(token=None).exists()  # the rest was given back
            before = reads(sandbox)
            assert sync.perform_refetches() == 0 and reads(sandbox) == before
            assert sync.rest.until is not None
            rests.append(sync.rest.until - stopped.now)
            stopped.now = sync.rest.until
        assert rests[:4] == [timedelta(seconds=2**n) for n in range(4)] and rests[-1] == LONGEST_REST
        sandbox.clear_faults()
        stopped.push(LAST_REFETCH_RETRY)
        assert sync.perform_refetches() == 50  # nothing is at Stripe, and nothing here: settled
        assert not ScheduledRefetch.objects.exists() and sync.rest.until is None

    def test_stripes_own_wait_is_kept(self, stopped: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        def too_often(object: str, id: str, **given: Any) -> None:
            raise gateway.RateLimited("Too many requests.", status=429, retry_after=77)

        monkeypatch.setattr(refetch, "refetch", too_often)
        ask("in_1")
        stopped.push(REFETCH_DELAY)
        sync.perform_refetches()
        assert row().due_at == sync.rest.until == stopped.now + 77 * SECOND

    def test_one_that_always_hangs_alone_is_no_silence_of_stripes(
        self, stopped: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_answer(object: str, id: str, **given: Any) -> None:
            raise gateway.OutcomeUnknown("No answer.")

        monkeypatch.setattr(refetch, "refetch", no_answer)
        ask("in_1")
        stopped.push(REFETCH_DELAY)
        sync.perform_refetches()
        assert row().due_at == stopped.now + FIRST_REFETCH_RETRY and sync.rest.is_over()

    def test_a_worker_killed_after_it_took_some_loses_none(
        self, sandbox: SandboxProcess, later: Callable[[float], None]
    ) -> None:
        code = """
import os, signal
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from invoices import refetch, sync
refetch.refetch = lambda *given, **options: os.kill(os.getpid(), signal.SIGKILL)
sync.perform_refetches()
"""
        invoices = [invoice_at(sandbox) for _ in range(2)]
        ask(*(invoice.id for invoice in invoices))
        make_all_due()
        env = {**os.environ, "DATABASE_URL": url_of_database()}
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=False, timeout=120)
        assert ended.returncode == -signal.SIGKILL
        assert ScheduledRefetch.objects.exclude(token=None).count() == 2
        later(REFETCH_LEASE.total_seconds())
        assert sync.perform_refetches() == 2
        assert Invoice.objects.count() == 2 and not ScheduledRefetch.objects.exists()

    def test_they_have_a_queue_of_their_own_that_every_worker_serves(self) -> None:
        assert set(app.amqp.queues.consume_from) == {"invoices", "refetches"}
        routes = {
            name: app.amqp.router.route({}, f"invoices.tasks.{name}") for name in ("perform_refetches", "catch_up")
        }
        keys = {name: (route["queue"].name, route["queue"].routing_key) for name, route in routes.items()}
        assert keys == {"perform_refetches": ("refetches", "refetches"), "catch_up": ("invoices", "invoices")}


# --- a final invoice's payments ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestPaymentsOfAFinalInvoice:
    def test_after_a_void_the_canceled_payment_is_read(
        self, sandbox: SandboxProcess, open_invoice: Any, deliver: Callable[[], int], later: Callable[[float], None]
    ) -> None:
        deliver()
        make_all_due()
        sync.perform_refetches()
        assert InvoicePayment.objects.get().status == "open" and not ScheduledRefetch.objects.exists()
        sandbox.client().v1.invoices.void_invoice(open_invoice.id)
        deliver()
        assert Invoice.objects.get().status == "void" and InvoicePayment.objects.get().status == "open"
        later(PAYMENTS_DELAY.total_seconds())
        sync.perform_refetches()
        assert InvoicePayment.objects.get().status == "canceled"
        later(PAYMENTS_DELAY.total_seconds())
        assert sync.perform_refetches() == 0

    def test_after_a_payment_its_event_comes_and_nothing_is_read(
        self, sandbox: SandboxProcess, open_invoice: Any, deliver: Callable[[], int], later: Callable[[float], None]
    ) -> None:
        deliver()
        make_all_due()
        sync.perform_refetches()
        held = Invoice.objects.get()
        assert held.seen_until is not None
        paid = {**(held.data or {}), "status": "paid"}
        mirror.store([Snapshot("invoice", held.pk, paid, held.seen_until, held.seen_until)])
        assert row(held.pk).only_payments
        InvoicePayment.rows.update(status="paid")
        later(PAYMENTS_DELAY.total_seconds())
        before = reads(sandbox)
        assert sync.perform_refetches() == 1
        assert reads(sandbox) == before and not ScheduledRefetch.objects.exists()

    def test_a_doubt_that_comes_while_it_is_looked_at_is_kept(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """Taken for its payments, which have ended meanwhile; and then an event of the invoice asks for a read."""
        ask("in_1", only_payments=True)
        make_all_due()
        held = mirror.open_payments

        def ended(ids: list[str]) -> Any:
            ask("in_1")
            return held(ids)

        monkeypatch.setattr(mirror, "open_payments", ended)
        assert sync.perform_refetches() == 1
        assert not row().only_payments and row().token is None

    def test_an_open_payment_that_a_page_brings_after_the_end_of_its_invoice_is_read(
        self, sandbox: SandboxProcess, transactional_db: None
    ) -> None:
        invoice = invoice_at(sandbox)
        page, _ = gateway.list_page("invoice_payment")  # in flight while the invoice is voided
        sandbox.client().v1.invoices.void_invoice(invoice.id)
        voided = sandbox.client().raw_request("get", f"/v1/invoices/{invoice.id}").data
        stored(dict(voided))
        mirror.store(page)
        assert InvoicePayment.objects.get().status == "open"
        make_all_due()
        sync.perform_refetches()
        assert InvoicePayment.objects.get().status == "canceled"
        page, _ = gateway.list_page("invoice_payment")
        mirror.store(page)
        assert not ScheduledRefetch.objects.exists()

    def test_a_doubt_about_the_invoice_itself_is_read_all_the_same(self, stopped: Clock) -> None:
        ask("in_1", only_payments=True)
        assert row().due_at == stopped.now + PAYMENTS_DELAY
        ask("in_1")
        assert row().due_at == stopped.now + REFETCH_DELAY and not row().only_payments
        ask("in_1", only_payments=True)
        assert not row().only_payments


# --- what people see --------------------------------------------------------------------------------------------------

LIST = "/admin/invoices/scheduledrefetch/"


@pytest.mark.django_db(transaction=True)
class TestPeople:
    @pytest.fixture(autouse=True)
    def wakes(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        sent: list[str] = []
        monkeypatch.setattr(refetches.wakeups, "wake", sent.append)
        return sent

    @pytest.fixture(autouse=True)
    def given_up(self) -> None:
        ask("in_1", "in_2", "in_3", "in_fresh")
        long_ago = clock.now() - 2 * REFETCH_GIVEN_UP
        ScheduledRefetch.objects.update(due_at=clock.now() + timedelta(days=1))  # however long a test takes
        failed = ScheduledRefetch.objects.exclude(object_id="in_fresh")
        failed.update(failing_since=long_ago, given_up_at=clock.now(), error="Stripe: no <such> thing", attempts=31)

    def test_home_and_metrics_say_how_many(self, client: Client, manager: User) -> None:
        client.force_login(manager)
        home = text(client.get("/admin/health/"))
        assert "Objects not read" in home and f"{LIST}?state=given_up" in home
        found = client.get("/metrics").content.decode()
        for line in ('{state="scheduled"} 1.0', '{state="due"} 0.0', '{state="failing"} 0.0', '{state="given_up"} 3.0'):
            assert f"invoice_desk_refetches{line}" in found
        assert "invoice_desk_oldest_due_refetch_seconds 0.0" in found
        scheduled_refetches.try_again()
        ScheduledRefetch.objects.update(due_at=clock.now() - timedelta(hours=1))
        found = client.get("/metrics").content.decode()
        assert 'invoice_desk_refetches{state="due"} 4.0' in found
        assert "invoice_desk_oldest_due_refetch_seconds 0.0" not in found

    def test_a_manager_tries_them_again(self, client: Client, manager: User, wakes: list[str]) -> None:
        client.force_login(manager)
        found = text(client.get(f"{LIST}?state=given_up"))
        assert "no &lt;such&gt; thing" in found and "in_1" in found and "in_fresh" not in found
        assert "no &lt;such&gt; thing" in text(client.get(f"{LIST}{row().pk}/"))
        assert "Try all again" in found and "Try all again" not in text(client.get(LIST))
        ticked = {"action": "try_again", "_selected_action": [row().pk, row("in_fresh").pk]}
        assert "1 object will be read" in text(client.post(LIST, ticked, follow=True))
        assert row().given_up_at is None and row("in_2").given_up_at
        assert client.get(f"{LIST}try-again/").status_code == 405
        assert "2 objects will be read" in page_after(client, client.post(f"{LIST}try-again/"))
        assert "nothing to try again" in page_after(client, client.post(f"{LIST}try-again/"))
        assert wakes == ["perform_refetches"] * 2

    def test_who_may_not_replay_events_sees_them_only(self, client: Client, auditor: User) -> None:
        client.force_login(auditor)
        found = text(client.get(f"{LIST}?state=given_up"))
        assert "in_1" in found and "Try" not in found.split('id="changelist"')[1]
        client.post(LIST, {"action": "try_again", "_selected_action": [row().pk]})
        assert client.post(f"{LIST}try-again/").status_code == 403
        assert ScheduledRefetch.objects.filter(given_up_at__isnull=False).count() == 3

    def test_the_command(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refetch, "refetch", lambda object, id, **given: [])
        call_command("retry_refetches", "in_1", "in_9")
        assert capsys.readouterr().out == "1 refetches are due again; 1 tried now.\n"
        assert row("in_2").given_up_at

    def test_what_somebody_looks_at_is_wanted(self, client: Client, agent: User) -> None:
        data = InvoiceObject()
        stored(data)
        ask(data["id"])
        client.force_login(agent)
        assert "a newer state is being read" in text(client.get(f"/admin/invoices/invoice/{data['id']}/"))
        assert row(data["id"]).wanted_at and not row("in_fresh").wanted_at

    def test_a_refresh_that_fails_is_tried_again(self, client: Client, agent: User) -> None:
        client.force_login(agent)  # nothing listens where Stripe should be
        assert "we go on trying" in page_after(client, client.post("/admin/invoices/invoice/in_far/refresh/"))
        assert row("in_far").wanted_at
