"""Catch-up: journals the events whose webhook was lost, from Stripe's own list of events."""

from __future__ import annotations

from datetime import UTC, datetime

from invoices import gateway, intake
from invoices.models import Event, ReconciliationRun
from invoices.models.reconciliation import RunParams
from invoices.reconcile import runs
from invoices.thresholds import CATCH_UP_OVERLAP

EVENT_TYPES = ("invoice.*", "invoice_payment.*", "payment_intent.*", "customer.*")

Kind = ReconciliationRun.Kind


def catch_up() -> ReconciliationRun:
    """Journals every event since the last finished catch-up began, less CATCH_UP_OVERLAP. The finished run.

    The first catch-up takes all events that Stripe still has (30 days). The newest event that we hold is no starting
    point: a lost event may be older than one that came. Raises AlreadyRunning, GatewayError.
    """
    run = runs.begin(Kind.CATCH_UP)
    try:
        began, listed, new = _journal_since(_starting_point())
    except BaseException as error:
        runs.fail(run, f"{type(error).__name__}: {error}")
        raise
    run.params = RunParams(began=began.isoformat())
    run.seen = run.same = listed
    run.events = new
    return runs.finish(run)


def _starting_point() -> datetime | None:
    """Stripe's clock; None for the first catch-up."""
    last = ReconciliationRun.objects.filter(kind=Kind.CATCH_UP, state="finished").order_by("-started_at").first()
    return datetime.fromisoformat(last.params["began"]) - CATCH_UP_OVERLAP if last else None


def _journal_since(since: datetime | None) -> tuple[datetime, int, int]:
    """Stripe's clock at the beginning, how many events Stripe listed, and how many of them were new."""
    began = gateway.read("/v1/events", throttled=True, limit=1).time.date
    listed = new = 0
    for event_type in EVENT_TYPES:
        params: dict[str, object] = {"type": event_type}
        if since is not None:
            params["created"] = {"gte": int(since.astimezone(UTC).timestamp())}
        for page in gateway.pages("/v1/events", throttled=True, **params):
            events = page.data["data"]
            listed += len(events)
            new += len(intake.journal(intake.event_row(event, source=Event.Source.CATCH_UP) for event in events))
    return began, listed, new
