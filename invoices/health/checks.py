"""The rules of /readyz: what it reads from the database and the broker, and what makes it answer 503."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypedDict

from celery import Celery, current_app
from django.db.models import Count, Min

from invoices import clock
from invoices.models import Event, Heartbeat, ReconciliationRun
from invoices.thresholds import EVENT_STUCK, RECONCILIATION_STALE, WORKER_SILENT


class WorkerHealth(TypedDict):
    """When a worker last wrote its heartbeat; None if none ever did."""

    seen_at: datetime | None
    seconds_ago: float | None


class EventHealth(TypedDict):
    """How many events are pending, and for how long the oldest of them has been; None if there are none."""

    pending: int
    oldest_pending_seconds: float | None


class ReconciliationHealth(TypedDict):
    """The last sweep or full run that finished and was no dry run. It counts even if drift was left."""

    kind: str
    finished_at: datetime | None
    seconds_ago: float
    exit_code: int | None


class DatabaseHealth(TypedDict):
    """What the database knows: workers, events, reconciliation. These are members of the reply of /readyz."""

    worker: WorkerHealth
    events: EventHealth
    last_reconciliation: ReconciliationHealth | None


class PendingEvents(TypedDict):
    """How many events are pending, and when the oldest of them was received."""

    count: int
    oldest_received_at: datetime | None


def database_health() -> DatabaseHealth:
    """Raises the database's error if it does not answer."""
    now = clock.now()
    seen_at = Heartbeat.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    pending = pending_events()
    return {
        "worker": {"seen_at": seen_at, "seconds_ago": seconds_since(seen_at, now)},
        "events": {
            "pending": pending["count"],
            "oldest_pending_seconds": seconds_since(pending["oldest_received_at"], now),
        },
        "last_reconciliation": _last_reconciliation(now),
    }


def _last_reconciliation(now: datetime) -> ReconciliationHealth | None:
    run = (
        ReconciliationRun.objects.filter(
            state=ReconciliationRun.State.FINISHED,
            kind__in=[ReconciliationRun.Kind.SWEEP, ReconciliationRun.Kind.FULL],
            dry_run=False,
            finished_at__isnull=False,
        )
        .order_by("-finished_at")
        .first()
    )
    if run is None:
        return None
    return {
        "kind": run.kind,
        "finished_at": run.finished_at,
        "seconds_ago": seconds_since(run.finished_at, now) or 0,
        "exit_code": run.exit_code,
    }


def reasons_not_ready(health: DatabaseHealth) -> Iterator[str]:
    """Why we are not ready, by what the database knows. Nothing when we are."""
    worker_seconds, event_seconds = health["worker"]["seconds_ago"], health["events"]["oldest_pending_seconds"]
    run = health["last_reconciliation"]
    if worker_seconds is None:
        yield "no worker was ever seen"
    elif worker_seconds > WORKER_SILENT.total_seconds():
        yield f"no worker seen for {worker_seconds:.0f} s"
    if event_seconds is not None and event_seconds > EVENT_STUCK.total_seconds():
        yield f"an event has been waiting for {event_seconds:.0f} s"
    if run is None:
        yield "no reconciliation has finished yet"
    elif run["seconds_ago"] > RECONCILIATION_STALE.total_seconds():
        yield f"the last reconciliation finished {run['seconds_ago'] / 3600:.0f} hours ago"


def reach_broker(app: Celery = current_app, timeout_seconds: float = 2) -> None:
    """Connects to the broker once. Raises the broker's own error if it does not answer in time."""
    with app.connection_for_write(connect_timeout=1) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=timeout_seconds)


def pending_events() -> PendingEvents:
    found = Event.objects.filter(state=Event.State.PENDING).aggregate(count=Count("id"), oldest=Min("received_at"))
    return {"count": found["count"], "oldest_received_at": found["oldest"]}


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    """Rounded to a tenth of a second; never negative, if two clocks disagree. None for no moment."""
    return None if moment is None else round(max((now - moment).total_seconds(), 0), 1)
