"""What ends a file: its person, its time, or the erasure of a customer, whose data it may hold."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext_noop

from invoices import clock
from invoices.exports.files import drop
from invoices.models import Export
from invoices.thresholds import EXPORT_LISTED
from invoices.wakeups import wake

State = Export.State
OLD = gettext_noop("Its time is over.")
BY_OWNER = gettext_noop("You removed it.")
ERASED = gettext_noop("A customer was erased, of whom every file may hold something.")


def cancel(export: Export) -> bool:
    """Ends what is not ready yet. The worker that prepares it stops at its next piece. False where it had ended."""
    return _end(export, Export.UNFINISHED, State.CANCELLED, "")


def remove(export: Export, why: str = BY_OWNER) -> bool:
    """Deletes a file that is ready. False where there is none."""
    return _end(export, (State.READY,), State.REMOVED, why)


def _end(export: Export, states: tuple[State, ...], state: State, why: str) -> bool:
    with transaction.atomic():
        here = Export.objects.filter(pk=export.pk, state__in=states)
        changes = {"state": state, "error": why, "expires_at": None, "claim_token": None, "claimed_until": None}
        if ended := here.update(**changes):
            Export.objects.filter(pk=export.pk, finished_at=None).update(finished_at=clock.now())
            drop(export)
    return bool(ended)


def tend() -> int:
    """Deletes the files whose time is over, and the rows of old wishes; how many files."""
    old = Export.objects.filter(state=State.READY, expires_at__lte=clock.now())
    removed = sum(remove(export, OLD) for export in old)
    for export in Export.objects.filter(asked_at__lt=clock.now() - EXPORT_LISTED).exclude(state__in=Export.UNFINISHED):
        export.delete()
    return removed


def remove_all() -> int:
    """Deletes every file, and has those begun anew that are being prepared: what was read before this is in none. For
    an erasure, after the last row of the customer; how many files."""
    begun_anew = 0
    for export in Export.objects.filter(state=State.RUNNING):  # first: one that ends meanwhile is ready below
        with transaction.atomic():
            running = Export.objects.filter(pk=export.pk, state=State.RUNNING)
            anew = {"rows": 0, "size": 0, "attempts": 0, "claim_token": None, "claimed_until": None}
            if running.update(state=State.WAITING, **anew):
                drop(export)
                begun_anew += 1
    wake("prepare_exports")
    return begun_anew + sum(remove(export, ERASED) for export in Export.objects.filter(state=State.READY))
