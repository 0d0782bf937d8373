"""The life of a run: only one of its lane at a time, signs of life, and an end with an exit code.

Where a run did not finish (it failed, was interrupted, or its process died), the next one that is to do the same goes
on with it. It stays one row: its counts, its drift and its exit code are those of one pass over everything that it
planned, however many processes that took.

A run that stays silent for RUN_SILENT counts as dead. No process watches for that: the next run of its lane closes it.
Whoever begins or goes on with a run draws an `owner`. Every write of a run is conditional on it, so that a process that
was silent and wakes up again finds out, and counts nothing twice.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from invoices import clock
from invoices.interruption import Interrupted
from invoices.models import Drift, ReconciliationRun
from invoices.models.reading import storable
from invoices.models.reconciliation import RunParams
from invoices.models.run_progress import StoredWindow
from invoices.sight import context, counters, logs, tracing
from invoices.thresholds import CATCH_UP_GOES_ON, FULL_GOES_ON, RUN_SILENT, SWEEP_GOES_ON

log = logging.getLogger(__name__)

PERMISSION = "invoices.run_reconciliation"  # to start one by hand
# Exit codes of `manage.py reconcile`. 2 is the usage error of every command.
CLEAN = 0
FAILED = 1
DRIFT_HEALED = 3
NOT_EQUAL = 3  # of a proof of equality, which heals nothing
DRIFT_LEFT = 4

Kind = ReconciliationRun.Kind
STARTABLE = (Kind.SWEEP, Kind.FULL, Kind.VERIFY, Kind.INVOICE)  # by hand, in the admin and by token
State = ReconciliationRun.State
LISTING = (Kind.SWEEP, Kind.PART, Kind.FULL)  # the kinds that walk Stripe's lists and heal: one of them at a time
ShowProgress = Callable[[ReconciliationRun], None]  # is called whenever the counts of the run have grown

SECONDS_BETWEEN_LIFE_SIGNS = 20.0  # so that several may be lost within RUN_SILENT
# The kinds whose progress is kept, and how long ago a run may have begun for another one to go on with it.
GOES_ON: dict[str, timedelta] = {
    Kind.SWEEP: SWEEP_GOES_ON,
    Kind.PART: SWEEP_GOES_ON,
    Kind.FULL: FULL_GOES_ON,
    Kind.VERIFY: FULL_GOES_ON,
    Kind.CATCH_UP: CATCH_UP_GOES_ON,
}
_of_this_process: set[ReconciliationRun] = set()
# The database is down, or the connection was cut: the same will succeed later.
DATABASE_AWAY = (OperationalError, InterfaceError)


def show_nothing(run: ReconciliationRun) -> None:
    """The ShowProgress of a run that nobody watches."""


class AlreadyRunning(Exception):
    """Another run of the same lane is at work; the message says since when."""


class RunLost(Exception):
    """This process was silent for so long that another one closed its run, or went on with it: it must stop."""


# --- beginning --------------------------------------------------------------------------------------------------------


@contextmanager
def running(
    kind: str, *, dry_run: bool = False, params: RunParams | None = None, by: User | None = None
) -> Iterator[ReconciliationRun]:
    """A run for the time of the block: shown alive meanwhile, and closed if the block ends with an exception.

    A block that did its work ends with `finish`. Ctrl-C, SIGTERM and Interrupted leave the run to the next one. Raises
    AlreadyRunning.
    """
    run = begin(kind, dry_run=dry_run, params=params, by=by)
    with context.bound(run=run.pk), tracing.span(f"reconciliation {kind}"), shown_alive(run):
        goes_on = bool(run.progress.interruptions)
        logs.tell(log, "reconciliation begins", kind=kind, dry_run=dry_run, goes_on=goes_on, user=by.pk if by else None)
        _of_this_process.add(run)
        try:
            yield run
        except RunLost:
            raise
        except (KeyboardInterrupt, SystemExit, Interrupted) as error:
            _close(
                run,
                State.INTERRUPTED,
                str(error) if isinstance(error, Interrupted) else gettext_noop("It was stopped."),
            )
            raise
        except BaseException as error:
            fail(run, f"{type(error).__name__}: {error}")
            raise
        finally:
            _of_this_process.discard(run)


def give_back() -> None:
    """Leaves every run of this process to the next one, although its thread does not end: the process ends now."""
    for run in list(_of_this_process):
        _close(copy(run), State.INTERRUPTED, "The worker was stopped, and ended before its work did.")


def begin(
    kind: str, *, dry_run: bool = False, params: RunParams | None = None, by: User | None = None
) -> ReconciliationRun:
    """A new run; or the last one that is to do the same and did not finish, which goes on with what is left.

    The row of a running run is the lock: a partial unique constraint allows one in a lane. Raises AlreadyRunning.
    """
    wanted = ReconciliationRun(kind=kind, dry_run=dry_run, params=params or {}, started_by=by, owner=uuid.uuid4())
    for _ in range(3):  # the other run may end, or go on after all, between two statements
        _close_silent(kind)
        wanted.started_at = wanted.alive_at = clock.now()
        try:
            with transaction.atomic():
                earlier = _unfinished(wanted)
                if earlier is None:
                    wanted.save(force_insert=True)
                    return wanted
                if _go_on(earlier, wanted):
                    return ReconciliationRun.objects.get(pk=earlier.pk)
        except IntegrityError:
            if other := lane(kind).first():
                raise AlreadyRunning(
                    f"A {other.get_kind_display()} is running since {other.started_at:%Y-%m-%d %H:%M} UTC "
                    f"({other.seen} objects seen). Wait for it, or look at it in the admin."
                ) from None
    raise AlreadyRunning("Another run has just begun.")


def lane(kind: str) -> QuerySet[ReconciliationRun]:
    """The running runs that exclude one of this kind. LISTING share a lane; each other kind has its own.

    Runs of Kind.INVOICE exclude nothing: no constraint forbids two of them.
    """
    kinds = LISTING if kind in LISTING else (kind,)
    return ReconciliationRun.objects.filter(state=State.RUNNING, kind__in=kinds)


def under_way(kind: str) -> ReconciliationRun | None:
    """The run that a new one of this kind would have to wait for. Runs over one invoice wait for none."""
    if kind == Kind.INVOICE:
        return None
    return lane(kind).filter(alive_at__gt=clock.now() - RUN_SILENT).defer("report").first()


def begun_since(moment: datetime, kind: str, invoice: str = "") -> ReconciliationRun | None:
    """The newest run of this kind, over this invoice, that was begun since this moment, or was at work then. It does
    what somebody asked for at this moment."""
    if kind == Kind.INVOICE:  # one that had begun before may have read the invoice already
        found = ReconciliationRun.objects.filter(started_at__gte=moment, params__invoice=invoice)
    else:
        found = ReconciliationRun.objects.filter(alive_at__gte=moment)
    return found.filter(kind=kind, dry_run=False).defer("report").order_by("-started_at", "-pk").first()


def _close_silent(kind: str) -> None:
    """Closes what died in this lane. In one statement, so that a sign of life that comes first is not overlooked."""
    now = clock.now()
    lane(kind).filter(alive_at__lte=now - RUN_SILENT).update(
        state=State.FAILED, owner=None, finished_at=now, exit_code=FAILED, error=gettext_noop("Its process died.")
    )


def _unfinished(wanted: ReconciliationRun) -> ReconciliationRun | None:
    """The last run that was to do the same, if it has not finished, and did not begin too long ago to go on with."""
    if wanted.kind not in GOES_ON:
        return None
    since = wanted.started_at - GOES_ON[wanted.kind]
    earlier = ReconciliationRun.objects.filter(kind=wanted.kind, dry_run=wanted.dry_run, started_at__gt=since)
    for run in earlier.order_by("-started_at").defer("report")[:100]:
        if _options(run) != _options(wanted):
            continue
        if run.state in (State.FINISHED, State.RUNNING):
            return None
        if run.progress.begun:
            return run
    return None


def _options(run: ReconciliationRun) -> dict[str, Any]:
    """What was asked for. When a catch-up began by Stripe's clock is a result of it."""
    return {name: value for name, value in run.params.items() if name != "began"}


def _go_on(earlier: ReconciliationRun, wanted: ReconciliationRun) -> bool:
    """Makes the earlier run go on as the wanted one; False if another process was first."""
    stopped = f"{earlier.finished_at or earlier.alive_at:%Y-%m-%d %H:%M} UTC: {earlier.error}"
    unchanged = ReconciliationRun.objects.filter(pk=earlier.pk, state=earlier.state, owner=earlier.owner)
    return bool(
        unchanged.update(
            state=State.RUNNING,
            owner=wanted.owner,
            alive_at=wanted.alive_at,
            finished_at=None,
            exit_code=None,
            error="",
            progress=replace(earlier.progress, interruptions=[*earlier.progress.interruptions, stopped]),
            started_by=wanted.started_by or earlier.started_by,
        )
    )


# --- while it runs ----------------------------------------------------------------------------------------------------


def mine(run: ReconciliationRun) -> QuerySet[ReconciliationRun]:
    """The row, as long as this process owns the run. `run` must be the object that `begin` gave, or a copy of it."""
    return ReconciliationRun.objects.filter(pk=run.pk, state=State.RUNNING, owner=run.owner)


def write(run: ReconciliationRun, **columns: Any) -> None:
    """Writes these columns, in the database and in `run`. Raises RunLost."""
    if not mine(run).update(**columns):
        raise RunLost(f"Another process has gone on with run {run.pk}, or has closed it.")
    for name, value in columns.items():
        setattr(run, name, value)


def read_again(run: ReconciliationRun) -> None:
    """Reads the row into `run`, but not another owner, in whose name this process would go on. Raises RunLost."""
    try:
        run.refresh_from_db(from_queryset=mine(run))
    except ReconciliationRun.DoesNotExist:
        raise RunLost(f"Another process has gone on with run {run.pk}, or has closed it.") from None


def show_alive(run: ReconciliationRun) -> None:
    """Writes a sign of life. Raises RunLost."""
    write(run, alive_at=clock.now())


@contextmanager
def shown_alive(run: ReconciliationRun) -> Iterator[None]:
    """Gives signs of life in a thread of its own, for the time of the block: whatever the run waits for, such as a slow
    answer of Stripe's or of the database, it is not taken for dead."""
    ended = threading.Event()
    thread = threading.Thread(target=_give_signs, args=(run, ended), name=f"run-{run.pk}-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _give_signs(run: ReconciliationRun, ended: threading.Event) -> None:
    while not ended.wait(SECONDS_BETWEEN_LIFE_SIGNS):
        try:
            show_alive(run)
        except RunLost:
            return  # the thread that works finds out at its next write
        except DATABASE_AWAY as error:
            log.warning("No sign of life of run %s (%s); the next one in a moment.", run.pk, error)
        finally:
            connection.close()  # a connection that was cut, and one that is not needed for a while


def advance(
    run: ReconciliationRun, counts: dict[str, int], *, finished: str = "", cursor: tuple[str, str] | None = None
) -> None:
    """Notes in one transaction that a part of the run's work is done, and what was counted in it.

    `finished` names a window or a list; `cursor` is a list's name and the last id that was read of it. Done again,
    after a commit whose answer was lost, it changes nothing. Raises RunLost.
    """
    with transaction.atomic():
        row = mine(run).select_for_update().first()
        if row is None:
            raise RunLost(f"Another process has gone on with run {run.pk}, or has closed it.")
        progress = row.progress
        done_before = finished in progress.finished if finished else cursor is None
        if cursor is not None:
            name, last = cursor
            done_before = done_before or (not finished and progress.cursors.get(name) == last)
        columns: dict[str, Any] = {"alive_at": clock.now()}
        if not done_before:
            columns |= {name: getattr(row, name) + number for name, number in counts.items()}
            columns["progress"] = replace(
                progress,
                finished=[*progress.finished, finished] if finished else progress.finished,
                cursors={**progress.cursors, cursor[0]: cursor[1]} if cursor else progress.cursors,
            )
        else:
            columns |= {name: getattr(row, name) for name in counts} | {"progress": progress}
        write(run, **columns)


def note_split(run: ReconciliationRun, newer: StoredWindow, older: StoredWindow) -> None:
    """A window of the run's progress is two from now on. The newer one keeps its name, and what was noted under it.
    Done again, it changes nothing. Raises RunLost."""
    with transaction.atomic():
        row = mine(run).select_for_update().first()
        if row is None:
            raise RunLost(f"Another process has gone on with run {run.pk}, or has closed it.")
        list_of = (newer["object"], newer["status"])
        others = [
            window
            for window in row.progress.windows
            if (window["object"], window["status"]) != list_of or window["end"] not in (newer["end"], older["end"])
        ]
        write(run, progress=replace(row.progress, windows=[*others, newer, older]))


def add_counts(run: ReconciliationRun, **counts: int) -> None:
    """Adds to the run's counts. Raises RunLost."""
    with transaction.atomic():
        row = mine(run).select_for_update().first() or run
        write(run, alive_at=clock.now(), **{name: getattr(row, name) + number for name, number in counts.items()})


# --- its end ----------------------------------------------------------------------------------------------------------


def finish(run: ReconciliationRun, exit_code: int | None = None, **columns: Any) -> ReconciliationRun:
    """Closes a run that did all its work. Without an exit code, its drift and its counts say what it is. `columns` are
    written with it. Done again, after a commit whose answer was lost, it changes nothing. Raises RunLost."""
    if ReconciliationRun.objects.filter(pk=run.pk, owner=run.owner, state=State.FINISHED).exists():
        run.refresh_from_db()
        return run
    if exit_code is None:
        drift = Drift.objects.filter(run=run)
        if drift.filter(healed_at=None).exists() or run.failed or columns.get("failed"):
            exit_code = DRIFT_LEFT
        else:
            exit_code = DRIFT_HEALED if drift.exists() else CLEAN
    write(run, **columns, exit_code=exit_code, state=State.FINISHED, finished_at=clock.now())
    _tell(run)
    return run


def _tell(run: ReconciliationRun) -> None:
    counters.RUNS.labels(str(run.kind), str(run.state)).inc()
    counts = {
        name: getattr(run, name) for name in ("seen", "same", "imported", "healed", "in_flight", "failed", "events")
    }
    level = logging.INFO if run.state != State.FAILED else logging.WARNING
    seconds = round((run.finished_at - run.started_at).total_seconds(), 1) if run.finished_at else None
    logs.tell(
        log,
        "reconciliation ended",
        level=level,
        run=run.pk,
        kind=str(run.kind),
        state=str(run.state),
        exit_code=run.exit_code,
        seconds=seconds,
        **counts,
    )


def fail(run: ReconciliationRun, error: str) -> ReconciliationRun:
    """Closes a run that could not do its work; `error` is for people. Where another process has it, nothing happens."""
    _close(run, State.FAILED, error)
    return run


def _close(run: ReconciliationRun, state: str, error: str) -> None:
    """It may be the database that is away: then the row stays as it is, silent, until the next run closes it."""
    try:
        write(run, state=state, finished_at=clock.now(), exit_code=FAILED, error=storable(error, 5000))
        _tell(run)
    except RunLost as lost:
        log.warning("%s", lost)
    except DATABASE_AWAY as away:
        log.warning("Run %s could not be closed (%s); the next one of its kind does that.", run.pk, away)
        connection.close()
