"""Proof of equality: counts, sums and digests of all invoices, day by day, from Stripe and from the mirror."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User

from invoices import gateway
from invoices.mirror import content
from invoices.models import ReconciliationRun
from invoices.models.reading import integer, moment
from invoices.models.reconciliation import DaySide, ReportDay, RunParams, RunReport
from invoices.reconcile import interruption, runs
from invoices.reconcile.windows import DAY_SECONDS, Window, pages

LISTED_LINES = 10  # Stripe's lists show an invoice's first ten lines
SUMS = ("total", "amount_paid", "amount_remaining")  # minor units
DIGEST_MODULUS = 2**256  # a digest is as long as a SHA-256 hash
UNDATED_DAY = datetime.fromtimestamp(0, UTC)  # for invoices that do not say when they were created
ROWS_PER_FETCH = 500

Kind = ReconciliationRun.Kind


@dataclass
class Day:
    """What one side has of the invoices created on one day (UTC).

    The digest is the sum of the invoices' hashes, so the order in which they are added makes no difference.
    """

    # "usd open" → [count, and the SUMS in their order]
    groups: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * (1 + len(SUMS))))
    digest: int = 0

    def add(self, data: dict[str, Any]) -> None:
        """Adds one invoice."""
        group = self.groups[f"{data.get('currency')} {data.get('status')}"]
        group[0] += 1
        for index, name in enumerate(SUMS, start=1):
            group[index] += integer(data, name) or 0
        hashed = hashlib.sha256(json.dumps(canonical(data), sort_keys=True).encode()).digest()
        self.digest = (self.digest + int.from_bytes(hashed)) % DIGEST_MODULUS

    def as_dict(self) -> DaySide:
        """For the report."""
        return {"digest": f"{self.digest:064x}", "groups": dict(sorted(self.groups.items()))}


def canonical(data: dict[str, Any]) -> dict[str, Any]:
    """The invoice as both sides can show it: its content, with no more lines than Stripe's lists have."""
    kept = content(data)
    lines = kept.get("lines")
    if isinstance(lines, dict) and isinstance(lines.get("data"), list):
        kept["lines"] = lines["data"][:LISTED_LINES]
    return kept


def verify(
    *, since: datetime | None = None, show_progress: runs.ShowProgress = lambda run: None, by: User | None = None
) -> ReconciliationRun:
    """Compares all invoices (created since then), and heals nothing. The finished run.

    A day that differs is read once more, because a change may have been on its way. `report` is a RunReport;
    `exit_code` is CLEAN if all days are equal, else NOT_EQUAL. Raises AlreadyRunning.
    """
    params = RunParams(since=since.isoformat()) if since else RunParams()
    try:
        with runs.running(Kind.VERIFY, params=params, by=by) as run:
            try:
                return _prove(run, since, show_progress)
            except gateway.GatewayError as error:
                return runs.fail(run, str(error))
    except interruption.Interrupted:
        return run


def _prove(run: ReconciliationRun, since: datetime | None, show_progress: runs.ShowProgress) -> ReconciliationRun:
    everything = Window("invoice", start=int(since.timestamp()) if since else None)
    theirs, seen = _days(_at_stripe(everything, run, show_progress))
    ours, _ = _days(_here(everything))
    for day in sorted(_differing(ours, theirs)):
        start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
        one_day = Window("invoice", start, start + DAY_SECONDS)
        again, _ = _days(_at_stripe(one_day, run, show_progress))
        here, _ = _days(_here(one_day))
        theirs[day], ours[day] = again.get(day, Day()), here.get(day, Day())
    return _close(run, ours, theirs, seen)


def _close(run: ReconciliationRun, ours: dict[str, Day], theirs: dict[str, Day], seen: int) -> ReconciliationRun:
    differing = _differing(ours, theirs)
    report = RunReport(
        equal=not differing,
        sums=list(SUMS),
        days=[
            ReportDay(
                day=day,
                equal=day not in differing,
                ours=ours.get(day, Day()).as_dict(),
                theirs=theirs.get(day, Day()).as_dict(),
            )
            for day in sorted(ours.keys() | theirs.keys())
        ],
        digest={"ours": _total(ours), "theirs": _total(theirs)},
    )
    # A proof counts invoices only to keep the sum right; what differs is in the report.
    exit_code = runs.NOT_EQUAL if differing else runs.CLEAN
    return runs.finish(run, exit_code, seen=seen, same=seen, report=report)


def _differing(ours: dict[str, Day], theirs: dict[str, Day]) -> set[str]:
    """The days on which the two sides differ."""
    days = ours.keys() | theirs.keys()
    return {day for day in days if ours.get(day, Day()).as_dict() != theirs.get(day, Day()).as_dict()}


def _total(days: dict[str, Day]) -> str:
    return f"{sum(day.digest for day in days.values()) % DIGEST_MODULUS:064x}"


def _days(invoices: Iterable[dict[str, Any]]) -> tuple[dict[str, Day], int]:
    """The invoices by their day of creation (ISO 8601), and how many they are."""
    days: dict[str, Day] = defaultdict(Day)
    seen = 0
    for data in invoices:
        created = moment(data, "created") or moment(data, "date") or UNDATED_DAY
        days[created.date().isoformat()].add(data)
        seen += 1
    return dict(days), seen


def _at_stripe(window: Window, run: ReconciliationRun, show_progress: runs.ShowProgress) -> Iterator[dict[str, Any]]:
    for snapshots in pages(run, window):
        for snapshot in snapshots:
            yield snapshot.data or {}
        run.seen += len(snapshots)
        show_progress(run)


def _here(window: Window) -> Iterator[dict[str, Any]]:
    for data in window.rows().values_list("data", flat=True).iterator(chunk_size=ROWS_PER_FETCH):
        yield data or {}
