"""The schedule of reconciliation: what is due when, by the rows alone; what was missed is made up for."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoices import clock, gateway, reconcile, tasks
from invoices.models import Email, ReconciliationRun
from invoices.reconcile import runs, schedule, sweep
from invoices.reconcile.schedule import Due
from invoices.reconcile.windows import DAY_SECONDS, FULL_RUN_PARTS, windows_of_part
from tests.factories import InvoiceObject, invoice_at, stored
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

Kind = ReconciliationRun.Kind
MONDAY = datetime(2026, 11, 2, 2, 20, tzinfo=UTC)  # in the night, five minutes after it began
EVERYTHING = set(range(FULL_RUN_PARTS))


def ran(kind: str, at: datetime, state: str = "finished", **params: Any) -> ReconciliationRun:
    finished_at = at + timedelta(minutes=3) if state != "running" else None
    return ReconciliationRun.objects.create(
        kind=kind, state=state, started_at=at, alive_at=at, finished_at=finished_at, exit_code=0, params=params
    )


def do(due: Due, at: datetime, state: str = "finished") -> None:
    ran(due.kind, at, state, **({} if due.part is None else {"part": due.part}))


def night(at: datetime) -> list[Due]:
    """Everything that is due in this night, done."""
    done = []
    while due := schedule.next_due(at):
        do(due, at)
        done.append(due)
        assert len(done) < 50
    return done


def parts(done: list[Due]) -> list[int]:
    return [due.part for due in done if due.part is not None]


class TestWhatIsDue:
    def test_every_night_the_sweep_and_a_part_and_every_week_the_proof(self) -> None:
        ran(Kind.FULL, MONDAY - timedelta(days=1))
        counted: Counter[int] = Counter()
        kinds: Counter[str] = Counter()
        for day in range(2 * FULL_RUN_PARTS):
            done = night(MONDAY + timedelta(days=day))
            assert [due.kind for due in done][:2] == [Kind.SWEEP, Kind.PART] and len(parts(done)) == 1
            kinds.update(due.kind for due in done)
            counted.update(parts(done))
            oldest = schedule.last_successes().everything_since
            assert oldest and MONDAY + timedelta(days=day) - oldest <= timedelta(days=FULL_RUN_PARTS)
        assert set(counted) == EVERYTHING and set(counted.values()) == {2}
        assert kinds[Kind.VERIFY] == 1 + 2 * FULL_RUN_PARTS // 7  # the first at once, then on Sundays
        proofs = ReconciliationRun.objects.filter(kind=Kind.VERIFY).order_by("started_at")
        sundays = {run.started_at.weekday() for run in proofs[1:]}
        assert sundays == {schedule.PROOF_WEEKDAY}

    def test_nights_that_were_missed_are_made_up_for(self) -> None:
        ran(Kind.FULL, MONDAY - timedelta(days=1))
        for day in range(FULL_RUN_PARTS):
            night(MONDAY + timedelta(days=day))
        after = MONDAY + timedelta(days=FULL_RUN_PARTS + 2)  # two nights without any run
        assert len(parts(night(after))) == 3
        assert len(parts(night(after + timedelta(days=1)))) == 1

    def test_a_mirror_that_was_never_compared_whole_gets_some_parts_a_night(self) -> None:
        done = [parts(night(MONDAY + timedelta(days=day))) for day in range(7)]
        assert {len(some) for some in done} == {schedule.MAX_PARTS_PER_NIGHT}
        assert {part for some in done for part in some} == EVERYTHING
        assert len(parts(night(MONDAY + timedelta(days=7)))) == 1

    def test_a_full_run_counts_for_the_sweep_and_for_all_parts(self) -> None:
        for day in range(5):
            night(MONDAY + timedelta(days=day))
        at = MONDAY + timedelta(days=5)
        ran(Kind.FULL, at)
        assert [due.kind for due in night(at + timedelta(hours=1))] == []
        assert schedule.last_successes().everything_since == at

    def test_what_failed_is_due_until_one_finished(self) -> None:
        ran(Kind.FULL, MONDAY - timedelta(days=1))
        for hour in range(5):
            at = MONDAY + timedelta(hours=hour)
            assert schedule.next_due(at) == Due(Kind.SWEEP)
            do(Due(Kind.SWEEP), at, "failed")
        do(Due(Kind.SWEEP), MONDAY + timedelta(hours=5))
        assert schedule.next_due(MONDAY + timedelta(hours=6)) == Due(Kind.PART, 0)
        do(Due(Kind.PART, 0), MONDAY + timedelta(hours=6), "failed")
        assert schedule.next_due(MONDAY + timedelta(hours=7)) == Due(Kind.PART, 0)

    def test_neither_a_dry_run_nor_one_over_a_part_of_the_time_counts(self) -> None:
        dry = ran(Kind.SWEEP, MONDAY)
        ReconciliationRun.objects.filter(pk=dry.pk).update(dry_run=True)
        ran(Kind.SWEEP, MONDAY, since="2026-11-01T00:00:00+00:00")
        assert schedule.next_due(MONDAY) == Due(Kind.SWEEP)

    def test_the_night_begins_at_a_quarter_past_two(self) -> None:
        assert schedule.night_of(MONDAY) == MONDAY.replace(minute=15)
        assert schedule.night_of(MONDAY.replace(minute=14)) == MONDAY.replace(minute=15) - timedelta(days=1)
        assert schedule.week_of(MONDAY) == MONDAY.replace(minute=15) - timedelta(days=1)


class TestTheParts:
    def test_every_moment_is_in_one_part_and_stays_there(self, later: Callable[[float], None]) -> None:
        stored(InvoiceObject(id="in_old", created=int(clock.now().timestamp()) - 700 * DAY_SECONDS))
        now = int(clock.now().timestamp())
        moments = [0, 10**9, now, now + 60, *range(now - 800 * DAY_SECONDS, now, 40_009)]
        before = self.parts_of(moments)
        assert set().union(*before.values()) == EVERYTHING
        # Only what has just become older than all days of its own is in two: its day's part, and part 0.
        assert all(len(parts) == 1 for moment, parts in before.items() if moment > now - 700 * DAY_SECONDS)
        assert all(len(parts | {0}) <= 2 and parts for parts in before.values())
        later(3 * DAY_SECONDS)
        stored(InvoiceObject(id="in_older", created=now - 750 * DAY_SECONDS))  # more windows than before
        after, oldest = self.parts_of(moments), now - 700 * DAY_SECONDS
        assert all(after[moment] == before[moment] for moment in moments if oldest <= moment <= now)

    def test_nothing_waits_longer_than_four_weeks_even_while_it_grows_old(self, later: Callable[[float], None]) -> None:
        """The mirror has no row that is older, so each night another day becomes older than all that are divided."""
        missing = int(clock.now().timestamp()) - 300 * DAY_SECONDS
        compared = []
        for night in range(150):
            windows = [window for window in windows_of_part(night % FULL_RUN_PARTS) if window.object == "invoice"]
            if any((window.start or 0) <= missing < (window.end or 10**12) for window in windows):
                compared.append(night)
            later(DAY_SECONDS)
        assert compared[0] < FULL_RUN_PARTS and compared[-1] >= 150 - FULL_RUN_PARTS
        assert max(after - before for before, after in itertools.pairwise(compared)) <= FULL_RUN_PARTS

    def parts_of(self, moments: list[int]) -> dict[int, set[int]]:
        """Moment of creation → the parts with a window of invoices that holds it."""
        windows = [(window, part) for part in EVERYTHING for window in windows_of_part(part)]
        of_invoices = [
            (window.start or 0, window.end or 10**12, part) for window, part in windows if window.object == "invoice"
        ]
        return {moment: {part for start, end, part in of_invoices if start <= moment < end} for moment in moments}


class TestTheTask:
    def test_does_the_night_and_then_nothing(self, sandbox: SandboxProcess) -> None:
        invoice_at(sandbox)
        reconcile.sweep_lists(Kind.FULL)
        ReconciliationRun.objects.update(started_at=clock.now() - timedelta(days=2))
        assert tasks.reconcile_due() == 3
        made = ReconciliationRun.objects.filter(started_at__gte=clock.now() - timedelta(hours=1))
        assert set(made.values_list("kind", flat=True)) == {Kind.SWEEP, Kind.PART, Kind.VERIFY, Kind.CATCH_UP}
        assert set(made.values_list("state", "exit_code")) == {("finished", 0)}
        assert made.get(kind=Kind.PART).params == {"part": 0}
        assert tasks.reconcile_due() == 0

    def test_a_failure_waits_for_the_next_hour(self, sandbox: SandboxProcess, settings: Any) -> None:
        ran(Kind.FULL, clock.now() - timedelta(days=3))
        settings.FINANCE_EMAILS = ["finance@example.com"]
        sandbox.faults(error_500=1)
        for _ in range(2):
            assert tasks.reconcile_due() == 0
        assert [run.state for run in ReconciliationRun.objects.filter(kind=Kind.SWEEP)] == ["failed", "failed"]
        assert ["the run failed" in told.subject for told in Email.objects.all()] == [True]  # told once
        assert not ReconciliationRun.objects.filter(kind__in=[Kind.PART, Kind.VERIFY]).exists()
        sandbox.clear_faults()
        assert tasks.reconcile_due() == 3
        assert {run.state for run in ReconciliationRun.objects.filter(kind=Kind.SWEEP)} == {"failed", "finished"}

    def test_one_that_fails_again_and_again_keeps_nothing_else_waiting(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
    ) -> None:
        """What is wrong with part 0 is wrong for weeks, and Stripe answers everything else."""
        invoice_at(sandbox)
        reconcile.sweep_lists(Kind.FULL)
        ReconciliationRun.objects.update(started_at=clock.now() - timedelta(days=2))
        plan, wrong = sweep._plan, [gateway.RefusedByStripe("refused"), RuntimeError("odd")]

        def planned(run: ReconciliationRun, since: datetime | None) -> None:
            if run.params.get("part") == 0:
                raise wrong.pop()
            plan(run, since)

        monkeypatch.setattr(sweep, "_plan", planned)
        assert [tasks.reconcile_due(), tasks.reconcile_due()] == [3, 0]
        made = ReconciliationRun.objects.filter(kind__in=[Kind.PART, Kind.VERIFY]).order_by("pk")
        assert list(made.values_list("kind", "params", "state")) == [
            (Kind.PART, {"part": 0}, "failed"),
            (Kind.PART, {"part": 1}, "finished"),
            (Kind.VERIFY, {}, "finished"),
        ]
        later(86400)
        assert tasks.reconcile_due() >= 2 and wrong == []  # it is tried first in the next night
        assert [run.params.get("part") for run in made.filter(kind=Kind.PART)] == [0, 1, 0, 2]

    def test_a_failure_is_told_once_though_the_run_goes_on(
        self, sandbox: SandboxProcess, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.FINANCE_EMAILS = ["finance@example.com"]

        def refused(run: ReconciliationRun) -> None:
            raise gateway.RefusedByStripe("refused")

        monkeypatch.setattr(sweep, "_undated", refused)
        assert [reconcile.sweep_lists().error for _ in range(3)] == ["refused"] * 3
        assert ReconciliationRun.objects.count() == Email.objects.count() == 1

    def test_there_are_never_two_of_a_lane(self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next hour's message comes while the run of this hour is at work."""
        invoice_at(sandbox)
        pages, met = gateway.list_page, list[int]()

        def list_page(object: str, **params: Any) -> Any:
            if not met:
                met.append(-1)
                met.append(tasks.reconcile_due())
            return pages(object, **params)

        monkeypatch.setattr(gateway, "list_page", list_page)
        assert tasks.reconcile_due() > 0 and met == [-1, 0]
        assert ReconciliationRun.objects.filter(kind=Kind.SWEEP).count() == 1
        for running, wanted in ((Kind.PART, Kind.FULL), (Kind.FULL, Kind.PART), (Kind.PART, Kind.SWEEP)):
            ReconciliationRun.objects.filter(state="running").delete()
            runs.begin(running)
            with pytest.raises(runs.AlreadyRunning):
                runs.begin(wanted)
