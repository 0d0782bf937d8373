"""The queue of refetches: asking, taking fairly, failing and giving up; and that reading keeps nothing else waiting."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from invoices import clock, mirror, refetch, scheduled_refetches, sync
from invoices.models import MIRRORED, Invoice, ScheduledRefetch
from invoices.thresholds import (
    FIRST_REFETCH_RETRY,
    LAST_REFETCH_RETRY,
    REFETCH_DELAY,
    REFETCH_GIVEN_UP,
    REFETCH_LEASE,
)
from tests.factories import InvoiceObject, invoice_at, stored
from tests.sandbox_process import SandboxProcess

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


def ask(*ids: str, object: str = "invoice", **given: bool) -> None:
    scheduled_refetches.schedule([(object, id) for id in ids], **given)


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
    from invoices.snapshot import Snapshot

    return Snapshot("invoice", data["id"], data, held.seen_since, held.seen_until)


class TestTaking:
    def test_kinds_take_turns(self, stopped: Clock) -> None:
        for number, object in enumerate(MIRRORED):
            ask(*(f"{object}_{n}" for n in range(20)), object=object)
            stopped.push(number * SECOND)
        stopped.push(REFETCH_DELAY)
        assert Counter(one.object for one in scheduled_refetches.take(8)) == dict.fromkeys(MIRRORED, 2)

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
            waits.append(row().due_at - stopped.now)
            stopped.push(waits[-1])
        assert waits[:4] == [FIRST_REFETCH_RETRY * 2**n for n in range(4)]
        assert set(waits[10:]) == {LAST_REFETCH_RETRY}
        assert row().given_up_at - began >= REFETCH_GIVEN_UP > row().given_up_at - began - 2 * LAST_REFETCH_RETRY
        assert row().error.startswith("Stripe: ") and row().attempts == len(waits)
        stopped.push(REFETCH_GIVEN_UP)
        assert take() == [] and not scheduled_refetches.look("invoice", "in_1")
        assert not scheduled_refetches.waiting("invoice", ["in_1"])

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
