"""The parts of Stripe's lists that a run walks: which ones it plans, their pages at Stripe, and the mirror's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from invoices import clock, gateway
from invoices.models import MIRRORED, Invoice, Mirrored, ReconciliationRun
from invoices.models.run_progress import StoredWindow
from invoices.reconcile import runs
from invoices.reconcile.retry import with_retries
from invoices.snapshot import Snapshot, is_object
from invoices.thresholds import RECENT

DAY_SECONDS = 86_400
FULL_RUN_PARTS = 28  # one is compared every night
OBJECTS_PER_PROOF_WINDOW = 10_000  # a proof remembers which of them Stripe has listed
# A part of a full run has days of at least the last year, even if the mirror holds nothing yet.
DAYS_DIVIDED_AT_LEAST = 360

# The kinds that every sweep compares: which statuses can still change at Stripe, and which are final. Stripe's lists of
# charges, credit notes and refunds take no status: of those that are not recent a part is compared every night.
CHANGEABLE_STATUSES: dict[str, tuple[str, ...]] = {
    "invoice": Invoice.UNPAID,
    "invoice_payment": ("open",),
    "charge": (),
    "credit_note": (),
    "refund": (),
}
FINAL_STATUSES = {object: MIRRORED[object].FINAL for object in CHANGEABLE_STATUSES}


@dataclass(frozen=True)
class Window:
    """A part of one of Stripe's lists."""

    object: str  # Stripe's `object` value
    start: int | None = None  # creation time in Stripe's seconds, included; None: from the beginning
    end: int | None = None  # excluded; None: without an end
    status: str = ""  # empty: every status

    @property
    def name(self) -> str:
        """Under which the run's progress remembers it. The end alone tells the windows of one list apart; the start
        grows when a window is split while it is walked."""
        return f"{self.object}/{self.status or 'all'}/-{self.end or ''}"

    def stored(self) -> StoredWindow:
        """As a run's progress keeps it; `Window(**stored)` reads it."""
        return {"object": self.object, "start": self.start, "end": self.end, "status": self.status}

    def params(self) -> dict[str, Any]:
        """The parameters of Stripe's list."""
        created = {"gte": self.start, "lt": self.end}
        params: dict[str, Any] = {"created": {key: value for key, value in created.items() if value is not None}}
        if self.status:
            params["status"] = self.status
        return {key: value for key, value in params.items() if value}

    def rows(self) -> QuerySet[Any]:
        """The mirror's rows of this window, without deleted ones."""
        rows: QuerySet[Any] = MIRRORED[self.object].objects.filter(deleted_at=None)
        if self.start is not None:
            rows = rows.filter(created__gte=datetime.fromtimestamp(self.start, UTC))
        if self.end is not None:
            rows = rows.filter(created__lt=datetime.fromtimestamp(self.end, UTC))
        return rows.filter(status=self.status) if self.status else rows


def listed(run: ReconciliationRun, window: Window) -> Iterator[tuple[list[Snapshot], list[Any]]]:
    """Stripe's list of this window, page by page: the snapshots, and the members that are no objects of a mirrored
    kind.

    Throttled, and retried while Stripe or the database is away. After each page the run makes sure that it is still
    ours. Raises GatewayError, RunLost, and what else `with_retries` raises.
    """
    params = window.params()
    while True:
        snapshots, reply = with_retries(run, lambda: gateway.list_page(window.object, throttled=True, **params))
        members = reply.data["data"]
        yield snapshots, [each for each in members if not is_object(each)]
        with_retries(run, lambda: runs.show_alive(run))
        if not reply.data["has_more"]:
            return
        params["starting_after"] = members[-1]["id"]


# --- what a run plans -------------------------------------------------------------------------------------------------


def windows_of_sweep(since: datetime | None) -> Iterator[Window]:
    """Everything created since then (None: RECENT), and of what is older everything that can still change at Stripe."""
    first = _midnight(since or clock.now() - RECENT)
    for object, statuses in CHANGEABLE_STATUSES.items():
        yield Window(object, first)
        for status in statuses:
            yield Window(object, end=first, status=status)


def windows_of_full_run() -> Iterator[Window]:
    """Every object of every mirrored kind: a window each, which `walks.Walks` splits where there is much in it."""
    return (Window(object) for object in MIRRORED)


def windows_of_part(part: int) -> Iterator[Window]:
    """A part of a full run: of every kind the days whose number since 1970, modulo FULL_RUN_PARTS, is this one.

    So a day of creation belongs to the same part for ever. What is older than all these days is in part 0. A day that
    has just become so old is in both for four weeks: otherwise its own part would have left it to part 0 while part 0
    was compared shortly before, and it would be compared after eight weeks only.
    """
    last = _midnight(clock.now())
    for object, model in MIRRORED.items():
        first = _first_midnight(model, last)
        if part == 0:
            yield Window(object, None, first)
        for start in range(first - FULL_RUN_PARTS * DAY_SECONDS, last + 1, DAY_SECONDS):
            if start // DAY_SECONDS % FULL_RUN_PARTS == part:
                yield Window(object, start, None if start == last else start + DAY_SECONDS)


def _first_midnight(model: type[Mirrored], last: int) -> int:
    """The beginning of the day from which on a full run divides: that of the oldest row, and at least a year ago."""
    dated = model.objects.exclude(created=None).order_by("created")
    oldest = dated.values_list("created", flat=True).first() or clock.now()
    return min(_midnight(oldest), last - DAYS_DIVIDED_AT_LEAST * DAY_SECONDS)


def windows_of_proof(since: datetime | None) -> Iterator[Window]:
    """Every object of every mirrored kind; with `since`, those created since the beginning of that day.

    Of the mirror's rows a window has at most OBJECTS_PER_PROOF_WINDOW, or those of one second: a proof holds their ids
    in memory.
    """
    for object, model in MIRRORED.items():
        dated = model.objects.exclude(created=None).order_by("created").values_list("created", flat=True)
        start, left = None, dated
        if since:
            start = _midnight(since)
            left = dated.filter(created__gte=datetime.fromtimestamp(start, UTC))
        while beyond := left[OBJECTS_PER_PROOF_WINDOW : OBJECTS_PER_PROOF_WINDOW + 1].first():
            end = int(beyond.timestamp())
            if end == start:
                end += 1  # so many were created in one second
            yield Window(object, start, end)
            start, left = end, dated.filter(created__gte=datetime.fromtimestamp(end, UTC))
        yield Window(object, start)


def _midnight(moment: datetime) -> int:
    """The beginning of that day in UTC, in seconds since 1970."""
    return int(moment.timestamp()) // DAY_SECONDS * DAY_SECONDS
