"""Catch-up: journals the events whose webhook was lost, from Stripe's own list of events."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import transaction

from invoices import gateway, intake, interruption
from invoices.models import Event, ReconciliationRun
from invoices.models.reading import member
from invoices.models.reconciliation import RunParams
from invoices.reconcile import runs, unreadable
from invoices.reconcile.ahead import read_ahead
from invoices.reconcile.retry import with_retries
from invoices.thresholds import CATCH_UP_OVERLAP

log = logging.getLogger(__name__)

EVENT_TYPES = (
    "invoice.*",
    "invoice_payment.*",
    "payment_intent.*",
    "charge.*",
    "customer.*",
    "credit_note.*",
    "refund.*",
)

Kind = ReconciliationRun.Kind


def catch_up() -> ReconciliationRun:
    """Journals every event since the last finished catch-up began, less CATCH_UP_OVERLAP. The finished run.

    The first catch-up takes all events that Stripe still has (30 days). The newest event that we hold is no starting
    point: a lost event may be older than one that came. Raises AlreadyRunning, GatewayError, RunLost.

    It began, by Stripe's clock, when the first page of its first list was answered. Stripe lists events newest first.
    One that goes on continues below the last page of the one that was cut short. What happened since that one began is
    left to the next catch-up, which goes on from that moment.
    """
    try:
        with runs.running(Kind.CATCH_UP) as run:
            since = with_retries(run, _starting_point)
            for event_type in EVENT_TYPES:
                if event_type not in run.progress.finished:
                    _read_list(run, event_type, since)
            return with_retries(run, lambda: runs.finish(run))
    except interruption.Interrupted:
        return run


def _starting_point() -> datetime | None:
    """Stripe's clock; None for the first catch-up."""
    last = ReconciliationRun.objects.filter(kind=Kind.CATCH_UP, state="finished").order_by("-started_at").first()
    return datetime.fromisoformat(last.params["began"]) - CATCH_UP_OVERLAP if last else None


def _read_list(run: ReconciliationRun, event_type: str, since: datetime | None) -> None:
    """Journals one of Stripe's lists, some pages at a time, from the last event that this run has read."""
    with closing(read_ahead(_pages(run, event_type, since))) as gathered:
        for pages in gathered:
            if "began" not in run.params:
                params = RunParams(began=pages[0].time.date.isoformat())
                with_retries(run, partial(runs.write, run, params=params))
            with_retries(run, partial(_journal_pages, run, event_type, pages))


def _pages(run: ReconciliationRun, event_type: str, since: datetime | None) -> Iterator[gateway.Reply]:
    params: dict[str, Any] = {"type": event_type}
    if since is not None:
        params["created"] = {"gte": int(since.astimezone(UTC).timestamp())}
    if cursor := run.progress.cursors.get(event_type):
        params["starting_after"] = cursor
    while True:
        page = with_retries(run, partial(gateway.read_page, "/v1/events", throttled=True, **params))
        yield page
        if not page.data["has_more"]:
            return
        params["starting_after"] = page.data["data"][-1]["id"]


def _journal_pages(run: ReconciliationRun, event_type: str, pages: list[gateway.Reply]) -> None:
    """Writes the pages' events and how far the run has come, in one transaction. Raises RunLost."""
    members, has_more = [each for page in pages for each in page.data["data"]], pages[-1].data["has_more"]
    try:
        with transaction.atomic():
            counts = _journal([_row(event) for event in members])
            _advance(run, event_type, members, has_more, counts)
        return
    except unreadable.FAULT_OF_AN_OBJECT as error:
        log.warning("Some events could not be stored (%s); now one at a time.", type(error).__name__)
    counts = Counter()
    for event in members:
        counts += _journal_one(run, event)
    _advance(run, event_type, members, has_more, counts)


def _row(event: Any) -> Event:
    return intake.event_row(event, source=Event.Source.CATCH_UP)


def _journal(rows: list[Event]) -> Counter[str]:
    return Counter(seen=len(rows), same=len(rows), events=len(intake.journal(rows)))


def _journal_one(run: ReconciliationRun, event: Any) -> Counter[str]:
    """An event that is none, or that the database refuses, is kept as a failed event, and recorded the first time."""
    try:
        with transaction.atomic():
            return _journal([_row(event)])
    except unreadable.FAULT_OF_AN_OBJECT as error:
        if intake.keep_unreadable(json.dumps(event, separators=(",", ":")), f"{type(error).__name__}: {error}"):
            return unreadable.record(run, "event", str(member(event, "id") or ""), error, event)
        return Counter(seen=1, same=1)


def _advance(run: ReconciliationRun, event_type: str, members: list[Any], has_more: bool, counts: Counter[str]) -> None:
    if has_more:
        runs.advance(run, counts, cursor=(event_type, members[-1]["id"]))
    else:
        runs.advance(run, counts, finished=event_type)
