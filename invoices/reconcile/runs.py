"""The life of a run: one at a time, alive while it writes, taken over when it stays silent, and its exit code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from invoices import clock
from invoices.models import Drift, ReconciliationRun

CLEAN, FAILED, DRIFT_HEALED, DRIFT_LEFT = 0, 1, 3, 4  # exit codes; 2 stays the usage error
SILENT = timedelta(minutes=3)  # after which a running run counts as dead

Kind = ReconciliationRun.Kind
State = ReconciliationRun.State
Progress = Callable[[ReconciliationRun], None]


class AlreadyRunning(Exception):
    """Another run of this kind is at work; the message says since when."""


def begin(
    kind: str, *, dry_run: bool = False, params: dict[str, Any] | None = None, by: User | None = None
) -> ReconciliationRun:
    """A new run, or the silent one of a process that died: that goes on from its last finished window.

    Raises AlreadyRunning.
    """
    run = ReconciliationRun(
        kind=kind, dry_run=dry_run, params=params or {}, started_by=by, started_at=clock.now(), alive_at=clock.now()
    )
    for _ in range(3):
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError:
            other = lane(kind).first()
            if other is None:
                continue
            if other.alive_at > clock.now() - SILENT:
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
    """The running runs that keep one of this kind out: sweep and full share a lane, each other kind has its own."""
    kinds = [Kind.SWEEP, Kind.FULL] if kind in (Kind.SWEEP, Kind.FULL) else [kind]
    return ReconciliationRun.objects.filter(state=State.RUNNING, kind__in=kinds)


def _take_over(dead: ReconciliationRun, wanted: ReconciliationRun) -> ReconciliationRun | None:
    """Goes on with the dead run where it is the same; otherwise closes it as failed, to make room."""
    same = (dead.kind, dead.dry_run, dead.params) == (wanted.kind, wanted.dry_run, wanted.params)
    seen_dead = ReconciliationRun.objects.filter(pk=dead.pk, state=State.RUNNING, alive_at=dead.alive_at)
    if same:
        taken = seen_dead.update(alive_at=clock.now(), progress={**dead.progress, "resumed": True})
        return ReconciliationRun.objects.get(pk=dead.pk) if taken else None
    seen_dead.update(state=State.FAILED, finished_at=clock.now(), exit_code=FAILED, error="Its process died.")
    return None


def alive(run: ReconciliationRun) -> None:
    """It is at work: nobody takes it over."""
    ReconciliationRun.objects.filter(pk=run.pk).update(alive_at=clock.now())


class Tally:
    """What the threads of one run count. A window's counts are written with its being finished, so that a run that is
    taken over counts nothing twice."""

    def __init__(self, run: ReconciliationRun, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.lock = threading.Lock()

    def add(self, window: str, counts: dict[str, int]) -> None:
        """A window is finished. Written at once."""
        with self.lock:
            with transaction.atomic():
                run = ReconciliationRun.objects.select_for_update().get(pk=self.run.pk)
                run.progress.setdefault("finished", []).append(window)
                for name, count in counts.items():
                    setattr(run, name, getattr(run, name) + count)
                run.alive_at = clock.now()
                run.save()
            self.run = run
            self.progress(run)


def finish(run: ReconciliationRun) -> ReconciliationRun:
    """Closes a run that came to its end; its exit code says what it found."""
    drift = Drift.objects.filter(run=run)
    if drift.filter(healed_at=None).exists() or run.failed:
        run.exit_code = DRIFT_LEFT
    else:
        run.exit_code = DRIFT_HEALED if drift.exists() else CLEAN
    run.state, run.finished_at = State.FINISHED, clock.now()
    run.save()
    return run


def fail(run: ReconciliationRun, error: str) -> ReconciliationRun:
    """Closes a run that could not do its work."""
    run.refresh_from_db()
    run.state, run.finished_at, run.exit_code, run.error = State.FAILED, clock.now(), FAILED, error[:5000]
    run.save()
    return run


def count(run: ReconciliationRun, **counts: int) -> None:
    """Adds to the run's counts, whoever else adds to them."""
    ReconciliationRun.objects.filter(pk=run.pk).update(
        alive_at=clock.now(), **{name: F(name) + number for name, number in counts.items()}
    )
