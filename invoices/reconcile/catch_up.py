"""Brings in the events that were lost on their way: Stripe's own list → intake, as if the webhook had come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from invoices import budget, gateway, intake
from invoices.models import Event, ReconciliationRun
from invoices.reconcile import runs

KINDS = ("invoice.*", "invoice_payment.*", "payment_intent.*", "customer.*")
OVERLAP = timedelta(hours=1)
AT_ONCE = 100

Kind = ReconciliationRun.Kind


def catch_up() -> ReconciliationRun:
    """Journals every event since the last finished catch-up began, less an hour (the first time: 30 days).

    Not since the newest that we hold: one that came may have overtaken one that was lost. Raises AlreadyRunning,
    GatewayError.
    """
    this = runs.begin(Kind.CATCH_UP)
    try:
        with budget.kept():
            began, count = _bring(_since())
    except BaseException as error:
        runs.fail(this, f"{type(error).__name__}: {error}")
        raise
    this.params = {"began": began.isoformat()}
    this.seen = this.same = count[0]
    this.events = count[1]
    return runs.finish(this)


def _since() -> datetime | None:
    last = ReconciliationRun.objects.filter(kind=Kind.CATCH_UP, state="finished").order_by("-started_at").first()
    return datetime.fromisoformat(last.params["began"]) - OVERLAP if last else None


def _bring(since: datetime | None) -> tuple[datetime, tuple[int, int]]:
    """(Stripe's clock at the beginning, (events listed, new ones))."""
    began = gateway.read("/v1/events", limit=1).date
    seen = new = 0
    for kind in KINDS:
        params: dict[str, object] = {"type": kind, "limit": AT_ONCE}
        if since is not None:
            params["created"] = {"gte": int(since.astimezone(UTC).timestamp())}
        while True:
            reply = gateway.read("/v1/events", **params)
            page = reply.data["data"]
            seen += len(page)
            new += len(intake.journal(intake.event_row(event, source=Event.Source.CATCH_UP) for event in page))
            if not reply.data["has_more"] or not page:
                break
            params["starting_after"] = page[-1]["id"]
    return began, (seen, new)
