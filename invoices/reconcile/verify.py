"""Proof of equality: counts, sums and digests of every invoice, day by day, from Stripe and from the mirror."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User

from invoices import budget, clock, gateway
from invoices.mirror import content
from invoices.models import ReconciliationRun
from invoices.models.reading import integer, moment
from invoices.reconcile import runs
from invoices.reconcile.windows import DAY, Window, pages

FIRST_LINES = 10  # as many as Stripe's lists show
SUMS = ("total", "amount_paid", "amount_remaining")
MODULUS = 2**256
NEVER = datetime.fromtimestamp(0, UTC)  # the day of what does not say when it was made

Kind = ReconciliationRun.Kind


@dataclass
class Day:
    """What one side has of one day of creation (UTC). The digest is a sum of hashes: order and page do not matter."""

    groups: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * (1 + len(SUMS))))
    digest: int = 0

    def add(self, data: dict[str, Any]) -> None:
        """One invoice more."""
        group = self.groups[f"{data.get('currency')} {data.get('status')}"]
        group[0] += 1
        for index, name in enumerate(SUMS, start=1):
            group[index] += integer(data, name) or 0
        hashed = hashlib.sha256(json.dumps(canonical(data), sort_keys=True).encode()).digest()
        self.digest = (self.digest + int.from_bytes(hashed)) % MODULUS

    def as_dict(self) -> dict[str, Any]:
        """For the report: `groups` is `usd open` → [count, total, paid, remaining] in minor units."""
        return {"digest": f"{self.digest:064x}", "groups": dict(sorted(self.groups.items()))}


def canonical(data: dict[str, Any]) -> dict[str, Any]:
    """The invoice as both sides can show it: without what changes by itself, and with the lines that a list shows."""
    kept = content(data)
    lines = kept.get("lines")
    if isinstance(lines, dict) and isinstance(lines.get("data"), list):
        kept["lines"] = lines["data"][:FIRST_LINES]
    return kept


def verify(
    *, since: datetime | None = None, progress: runs.Progress = lambda run: None, by: User | None = None
) -> ReconciliationRun:
    """Compares all invoices (created since then), and looks twice at a day that differs, since a change may be on its
    way. The finished run: `report` holds both sides of each day, `exit_code` is 0 where all are equal, else 3.

    Raises AlreadyRunning. Heals nothing.
    """
    this = runs.begin(Kind.VERIFY, params={"since": since.isoformat()} if since else {}, by=by)
    try:
        with budget.kept():
            everything = Window("invoice", start=int(since.timestamp()) if since else None)
            theirs, seen = _days(_at_stripe(everything, this, progress))
            ours, _ = _days(_here(everything))
            for day in sorted(_differing(ours, theirs)):
                start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
                one_day = Window("invoice", start, start + DAY)
                again, _ = _days(_at_stripe(one_day, this, progress))
                here, _ = _days(_here(one_day))
                theirs[day], ours[day] = again.get(day, Day()), here.get(day, Day())
    except gateway.GatewayError as error:
        return runs.fail(this, str(error))
    except BaseException as error:
        runs.fail(this, f"{type(error).__name__}: {error}")
        raise
    return _close(this, ours, theirs, seen)


def _close(this: ReconciliationRun, ours: dict[str, Day], theirs: dict[str, Day], seen: int) -> ReconciliationRun:
    differing = _differing(ours, theirs)
    this.refresh_from_db()
    this.seen, this.same = seen, seen
    this.report = {
        "equal": not differing,
        "sums": list(SUMS),
        "days": [
            {
                "day": day,
                "equal": day not in differing,
                "ours": ours.get(day, Day()).as_dict(),
                "theirs": theirs.get(day, Day()).as_dict(),
            }
            for day in sorted(ours.keys() | theirs.keys())
        ],
        "digest": {"ours": _total(ours), "theirs": _total(theirs)},
    }
    this.state, this.finished_at = ReconciliationRun.State.FINISHED, clock.now()
    this.exit_code = runs.DRIFT_HEALED if differing else runs.CLEAN
    this.save()
    return this


def _differing(ours: dict[str, Day], theirs: dict[str, Day]) -> set[str]:
    days = ours.keys() | theirs.keys()
    return {day for day in days if ours.get(day, Day()).as_dict() != theirs.get(day, Day()).as_dict()}


def _total(days: dict[str, Day]) -> str:
    return f"{sum(day.digest for day in days.values()) % MODULUS:064x}"


def _days(invoices: Iterable[dict[str, Any]]) -> tuple[dict[str, Day], int]:
    days: dict[str, Day] = defaultdict(Day)
    seen = 0
    for data in invoices:
        created = moment(data, "created") or moment(data, "date") or NEVER
        days[created.date().isoformat()].add(data)
        seen += 1
    return dict(days), seen


def _at_stripe(window: Window, this: ReconciliationRun, progress: runs.Progress) -> Iterator[dict[str, Any]]:
    for snapshots in pages(this, window):
        for snapshot in snapshots:
            yield snapshot.data or {}
        this.seen += len(snapshots)
        progress(this)


def _here(window: Window) -> Iterator[dict[str, Any]]:
    for data in window.rows().values_list("data", flat=True).iterator(chunk_size=500):
        yield data or {}
