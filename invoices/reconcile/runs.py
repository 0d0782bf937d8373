"""The life of a run: only one of its lane at a time, and closed with an exit code.

A run that stays silent for RUN_SILENT counts as dead. No process watches for that: it stays as it is until the next run
of its lane begins. That one takes it over if it is to do the same, and otherwise closes it as failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from invoices import clock
from invoices.models import Drift, ReconciliationRun
from invoices.models.reconciliation import RunParams
from invoices.thresholds import RUN_SILENT

# Exit codes of `manage.py reconcile`. 2 is the usage error of every command.
CLEAN = 0
FAILED = 1
DRIFT_HEALED = 3
NOT_EQUAL = 3  # of a proof of equality, which heals nothing
DRIFT_LEFT = 4

Kind = ReconciliationRun.Kind
State = ReconciliationRun.State
LISTING = (Kind.SWEEP, Kind.PART, Kind.FULL)  # the kinds that walk Stripe's lists and heal: one of them at a time
ShowProgress = Callable[[ReconciliationRun], None]  # is called whenever the counts of the run have grown


class AlreadyRunning(Exception):
    """Another run of the same lane is at work; the message says since when."""


def begin(
    kind: str, *, dry_run: bool = False, params: RunParams | None = None, by: User | None = None
) -> ReconciliationRun:
    """A new run; or the same run of a process that died, which goes on with the windows that are not finished.

    The row of a running run is the lock: a partial unique constraint allows one in a lane. Raises AlreadyRunning.
    """
    run = ReconciliationRun(
        kind=kind, dry_run=dry_run, params=params or {}, started_by=by, started_at=clock.now(), alive_at=clock.now()
    )
    for _ in range(3):  # the other run may end, or be taken over, between two statements
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError:
            other = lane(kind).first()
            if other is None:
                continue
            if other.alive_at > clock.now() - RUN_SILENT:
                raise AlreadyRunning(
                    f"A {other.get_kind_display()} is running since {other.started_at:%Y-%m-%d %H:%M} UTC "
                    f"({other.seen} objects seen). Wait for it, or look at it in the admin."
                ) from None
            if taken := _take_over(other, run):
                return taken
        else:
            return run
    raise AlreadyRunning("Another run has just begun.")


def lane(kind: str) -> QuerySet[ReconciliationRun]:
    """The running runs that exclude one of this kind. LISTING share a lane; each other kind has its own.

    Runs of Kind.INVOICE exclude nothing: no constraint forbids two of them.
    """
    kinds = LISTING if kind in LISTING else (kind,)
    return ReconciliationRun.objects.filter(state=State.RUNNING, kind__in=kinds)


def _take_over(dead: ReconciliationRun, wanted: ReconciliationRun) -> ReconciliationRun | None:
    """Takes over the dead run if the wanted one is the same; otherwise closes it as failed, to make room."""
    same = (dead.kind, dead.dry_run, dead.params) == (wanted.kind, wanted.dry_run, wanted.params)
    # Conditional on `alive_at`: another process may have taken it over, or it may be alive after all.
    still_dead = ReconciliationRun.objects.filter(pk=dead.pk, state=State.RUNNING, alive_at=dead.alive_at)
    if same:
        taken = still_dead.update(alive_at=clock.now(), progress=replace(dead.progress, resumed=True))
        return ReconciliationRun.objects.get(pk=dead.pk) if taken else None
    still_dead.update(state=State.FAILED, finished_at=clock.now(), exit_code=FAILED, error="Its process died.")
    return None


def show_alive(run: ReconciliationRun) -> None:
    """Writes a sign of life, so that no other process takes the run over."""
    ReconciliationRun.objects.filter(pk=run.pk).update(alive_at=clock.now())


class Tally:
    """Adds up what the threads of one run count.

    A window's counts and its being finished are written in one transaction, so a run that is taken over counts no
    window twice.
    """

    def __init__(self, run: ReconciliationRun, show_progress: ShowProgress) -> None:
        self.run, self.show_progress = run, show_progress
        self.lock = threading.Lock()

    def add(self, window: str, counts: dict[str, int]) -> None:
        """The window of this name is finished, with these counts (column name → number)."""
        with self.lock:
            with transaction.atomic():
                run = ReconciliationRun.objects.select_for_update().get(pk=self.run.pk)
                run.progress = replace(run.progress, finished=[*run.progress.finished, window])
                for name, count in counts.items():
                    setattr(run, name, getattr(run, name) + count)
                run.alive_at = clock.now()
                run.save()
            self.run = run
            self.show_progress(run)


def finish(run: ReconciliationRun) -> ReconciliationRun:
    """Closes a run that did all its work; its exit code says what it found."""
    drift = Drift.objects.filter(run=run)
    if drift.filter(healed_at=None).exists() or run.failed:
        run.exit_code = DRIFT_LEFT
    else:
        run.exit_code = DRIFT_HEALED if drift.exists() else CLEAN
    run.state, run.finished_at = State.FINISHED, clock.now()
    run.save()
    return run


def fail(run: ReconciliationRun, error: str) -> ReconciliationRun:
    """Closes a run that could not do its work; `error` is for people."""
    run.refresh_from_db()
    run.state, run.finished_at, run.exit_code, run.error = State.FAILED, clock.now(), FAILED, error[:5000]
    run.save()
    return run


def add_counts(run: ReconciliationRun, **counts: int) -> None:
    """Adds to the run's counts in the database, so that no other writer's addition is lost."""
    ReconciliationRun.objects.filter(pk=run.pk).update(
        alive_at=clock.now(), **{name: F(name) + number for name, number in counts.items()}
    )
