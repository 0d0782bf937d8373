"""The rules of /readyz: what it reads from the database and the broker, and what makes it answer 503."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypedDict

from celery import Celery, current_app
from django.db.models import Count, Min

from invoices import clock, reconcile
from invoices.models import Heartbeat, PendingEvent, ReconciliationRun, change_triggers
from invoices.thresholds import (
    CATCH_UP_STALE,
    COVERAGE_STALE,
    EVENT_STUCK,
    PROOF_STALE,
    RECONCILIATION_STALE,
    WORKER_SILENT,
)


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


class LastSuccess(TypedDict):
    """When something that is done regularly was done last; None where it never was."""

    at: datetime | None
    seconds_ago: float | None


class LastSuccesses(TypedDict):
    """`everything` is the moment after which every object of every kind was compared with Stripe. `proof` counts also
    where it found the mirror unequal."""

    sweep: LastSuccess
    everything: LastSuccess
    catch_up: LastSuccess
    proof: LastSuccess


class FeedHealth(TypedDict):
    """The triggers without which the changes feed leaves changes out; none where all is well."""

    missing_triggers: list[str]


class DatabaseHealth(TypedDict):
    """What the database knows: workers, events, the feed, reconciliation. These are members of the reply of /readyz."""

    worker: WorkerHealth
    events: EventHealth
    changes: FeedHealth
    last_reconciliation: ReconciliationHealth | None
    last_successes: LastSuccesses
    installed_seconds_ago: float | None  # since the first sweep or full run: before it nothing can be late


class PendingEvents(TypedDict):
    """How many events are pending, and when the oldest of them was received."""

    count: int
    oldest_received_at: datetime | None


# Member of LastSuccesses → how old it may be; what is said where it never was; and where it was too long ago
STALE = {
    "everything": (
        COVERAGE_STALE,
        "not everything was compared with Stripe yet: run `manage.py reconcile --full`",
        "some objects were not compared with Stripe for {}",
    ),
    "catch_up": (CATCH_UP_STALE, "no catch-up has finished yet", "the last catch-up finished {} ago"),
    "proof": (PROOF_STALE, "no proof of equality has finished yet", "the last proof of equality finished {} ago"),
}


def database_health() -> DatabaseHealth:
    """Raises the database's error if it does not answer."""
    now = clock.now()
    seen_at = Heartbeat.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    pending = pending_events()
    found = reconcile.last_successes()
    return {
        "worker": {"seen_at": seen_at, "seconds_ago": seconds_since(seen_at, now)},
        "events": {
            "pending": pending["count"],
            "oldest_pending_seconds": seconds_since(pending["oldest_received_at"], now),
        },
        "changes": {"missing_triggers": change_triggers.missing()},
        "last_reconciliation": _last_reconciliation(found.sweep, now),
        "last_successes": {
            "sweep": _since(finished_at(found.sweep), now),
            "everything": _since(found.everything_since, now),
            "catch_up": _since(finished_at(found.catch_up), now),
            "proof": _since(finished_at(found.proof), now),
        },
        "installed_seconds_ago": seconds_since(found.first, now),
    }


def finished_at(run: ReconciliationRun | None) -> datetime | None:
    return run.finished_at if run else None


def _since(at: datetime | None, now: datetime) -> LastSuccess:
    return {"at": at, "seconds_ago": seconds_since(at, now)}


def _last_reconciliation(run: ReconciliationRun | None, now: datetime) -> ReconciliationHealth | None:
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
    if health["changes"]["missing_triggers"]:
        yield "not every change reaches the feed: `manage.py migrate` makes the triggers that are missing"
    if run is None:
        yield "no reconciliation has finished yet"
    elif run["seconds_ago"] > RECONCILIATION_STALE.total_seconds():
        yield f"the last reconciliation finished {run['seconds_ago'] / 3600:.0f} hours ago"
    for name, (stale, never, late) in STALE.items():
        seconds = health["last_successes"][name]["seconds_ago"]  # type: ignore[literal-required]
        waited = health["installed_seconds_ago"] if seconds is None else seconds
        if waited is not None and waited > stale.total_seconds():
            yield never if seconds is None else late.format(span(seconds))


def span(seconds: float) -> str:
    """In hours, or from two days on in days, rounded down."""
    return f"{seconds // 86_400:.0f} days" if seconds >= 2 * 86_400 else f"{seconds // 3600:.0f} hours"


def reach_broker(app: Celery = current_app, timeout_seconds: float = 2) -> None:
    """Connects to the broker once. Raises the broker's own error if it does not answer in time."""
    with app.connection_for_write(connect_timeout=1) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=timeout_seconds)


MOST_COUNTED = 100_000  # rows: whatever is more is told as so many, because counting millions takes seconds


def pending_events() -> PendingEvents:
    """Of the first MOST_COUNTED in the order of the queue; an event that failed before stands further behind."""
    first = PendingEvent.objects.order_by("next_attempt_at")[:MOST_COUNTED]
    found = first.aggregate(count=Count("pk"), oldest=Min("received_at"))
    return {"count": found["count"], "oldest_received_at": found["oldest"]}


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    """Rounded to a tenth of a second; never negative, if two clocks disagree. None for no moment."""
    return None if moment is None else round(max((now - moment).total_seconds(), 0), 1)
