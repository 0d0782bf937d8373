"""Whether the import of a kind is over: until then, what the mirror lacks is imported, and not drift."""

from __future__ import annotations

from invoices.models import Invoice, ReconciliationRun
from invoices.reconcile.windows import FULL_RUN_PARTS, Window

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
# Which kinds a full run has walked whose row does not say it: those that every version mirrors.
OF_EVERY_VERSION = frozenset({"customer", "invoice", "invoice_payment", "payment_intent"})
PARTS_LOOKED_AT = 4 * FULL_RUN_PARTS


def is_over(object: str) -> bool:
    """Whether a full run has walked all its windows of this kind, even if it did not come to its end, or the nightly
    parts of one have, together.

    What events or actions brought before counts for nothing: one webhook does not make an import. Nor does a full run
    of a version that did not mirror the kind yet.
    """
    full_runs = ReconciliationRun.objects.filter(kind=Kind.FULL, dry_run=False).defer("report")
    return any(_walked(run, object) for run in full_runs if not run.params) or _parts_are_walked(object)


def is_awaited(object: str) -> bool:
    """Whether this kind is newer than the import: the rest was imported, and this kind was not."""
    return not is_over(object) and is_over(Invoice.OBJECT)


def _walked(run: ReconciliationRun, object: str) -> bool:
    names = {Window(**stored).name for stored in run.progress.windows if stored["object"] == object}
    if not run.progress.windows:
        return run.state == State.FINISHED and object in OF_EVERY_VERSION
    return bool(names) and names <= set(run.progress.finished)


def _parts_are_walked(object: str) -> bool:
    finished = ReconciliationRun.objects.filter(kind=Kind.PART, state=State.FINISHED, dry_run=False)
    newest = finished.defer("report").order_by("-started_at")[:PARTS_LOOKED_AT]
    walked = {run.params.get("part") for run in newest if run.progress.windows and _walked(run, object)}
    return walked >= set(range(FULL_RUN_PARTS))
