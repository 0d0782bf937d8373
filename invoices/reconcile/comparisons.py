"""When rows of the mirror were last compared with Stripe: a run does not write what it finds unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from invoices.models import Mirrored, ReconciliationRun
from invoices.reconcile.windows import CHANGEABLE_STATUSES
from invoices.thresholds import RECENT

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
RUNS_LOOKED_AT = 20  # of a kind: the newest ones, of which most cover everything of their kind


@dataclass(frozen=True)
class LastComparisons:
    """When the last runs began that came to their end with nothing left undone, by the database's clock."""

    full: datetime | None
    sweep: datetime | None

    def as_of(self, row: Mirrored) -> datetime | None:
        """When the row was known to be as Stripe has it: it was written then, or a run that compared it began then."""
        compared = [row.stored_at]
        if not row.deleted_at:
            compared.append(self.full)
            if self.sweep and _is_in_sweep(row, self.sweep):
                compared.append(self.sweep)
        return max((moment for moment in compared if moment is not None), default=None)


def last_comparisons() -> LastComparisons:
    """Of now: two short queries."""
    return LastComparisons(_last(Kind.FULL), _last(Kind.SWEEP))


def _last(kind: ReconciliationRun.Kind) -> datetime | None:
    """A run that could not store all, or left something as it was, proves nothing here; nor does one of a few days."""
    finished = ReconciliationRun.objects.filter(kind=kind).order_by("-started_at", "-pk")
    rows: Any = finished.values_list("state", "dry_run", "failed", "params", "started_at")[:RUNS_LOOKED_AT]
    for state, dry_run, failed, params, started_at in rows:
        if state == State.FINISHED and not (dry_run or failed or params.get("since")):
            return started_at
    return None


def _is_in_sweep(row: Mirrored, began: datetime) -> bool:
    """A sweep compares what is recent, and of what is older what can still change (`windows.windows_of_sweep`)."""
    if row.OBJECT not in CHANGEABLE_STATUSES or row.created is None:
        return False
    return row.created > began - RECENT or getattr(row, "status", None) in CHANGEABLE_STATUSES[row.OBJECT]
