"""Whether the import of a kind is over: until then, what the mirror lacks is imported, and not drift."""

from invoices.models import ReconciliationRun
from invoices.reconcile.windows import Window

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State


def is_over(object: str) -> bool:
    """Whether a full run has walked all its windows of this kind, even if it did not come to its end.

    What events or actions brought before counts for nothing: one webhook does not make an import.
    """
    full_runs = ReconciliationRun.objects.filter(kind=Kind.FULL, dry_run=False).defer("report")
    if full_runs.filter(state=State.FINISHED, params={}).exists():
        return True
    return any(_walked(run, object) for run in full_runs.exclude(state=State.FINISHED) if not run.params)


def _walked(run: ReconciliationRun, object: str) -> bool:
    names = {Window(**stored).name for stored in run.progress.windows if stored["object"] == object}
    return bool(names) and names <= set(run.progress.finished)
