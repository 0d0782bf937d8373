"""Removes rows of the mirror whose objects Stripe does not have, such as what a key of another account brought.

Each object is asked for at Stripe first. Stripe's 404 and the row's removal are one step: a row that was written since
the question began stays. What was removed, by whom and why is in the journal (`Removal`), in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from invoices import account, gateway, mirror
from invoices.models import MIRRORED, Drift, Invoice, Mirrored, Operation, ReconciliationRun, Removal
from invoices.reconcile.compare import short

State = Operation.State
# An operation in one of these is not over: it needs the row, or what becomes of it.
NOT_OVER = (*Operation.UNFINISHED, State.PROCESSING, State.AWAITING_APPROVAL)
IDS_PER_QUERY = 500


@dataclass(frozen=True)
class Judged:
    """A row that was asked for, and why it stays; `left` is empty where it can be removed, or was."""

    object: str  # Stripe's `object` value; empty where the mirror has no such row
    id: str
    held: dict[str, Any]  # what finance needs of the object
    left: str = ""


def rows_of_run(run: ReconciliationRun) -> Iterator[str]:
    """The ids of the rows that this run stored or confirmed last, or found missing at Stripe.

    After a night with a wrong key, the next right run confirms again what Stripe has, so what is left of the wrong
    night is what it imported. Others do no harm here: each row is asked for at Stripe before it is removed.
    """
    found = Drift.objects.filter(run=run, kind=Drift.Kind.MISSING_AT_STRIPE, healed_at=None)
    yield from found.values_list("object_id", flat=True)
    for model in MIRRORED.values():
        stored = model.objects.filter(deleted_at=None, stored_at__gte=run.started_at)
        if run.finished_at:
            stored = stored.filter(stored_at__lte=run.finished_at)
        last = ""
        while ids := list(stored.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:IDS_PER_QUERY]):
            yield from ids
            last = ids[-1]


def remove(ids: Iterable[str], *, reason: str, by: str, really: bool) -> Iterator[Judged]:
    """Judges each of these rows, and removes it where Stripe has no such object; without `really` it only judges.

    Raises GatewayError, also where the key is of another account than the mirror.
    """
    done: set[str] = set()
    for id in ids:
        if id not in done:
            done.add(id)
            yield _remove(id, reason, by, really)


def _remove(id: str, reason: str, by: str, really: bool) -> Judged:
    row = next((found for model in MIRRORED.values() if (found := model.objects.filter(pk=id).first())), None)
    if row is None:
        return Judged("", id, {}, "the mirror has no such row")
    judged = Judged(row.OBJECT, id, short(row.data or {}))
    if _has_unfinished_operation(row):
        return Judged(row.OBJECT, id, judged.held, "an operation on it is not finished")
    snapshot = gateway.retrieve(row.OBJECT, id, throttled=True)[0]
    if snapshot.data is not None:
        return Judged(row.OBJECT, id, judged.held, "Stripe has it")
    of = account.recorded()
    if not really or of is None:
        return judged
    with transaction.atomic():
        if not mirror.remove(snapshot):
            return Judged(row.OBJECT, id, judged.held, "it was written while Stripe was asked")
        Removal.objects.create(
            object_type=row.OBJECT, object_id=id, held=judged.held, account=of.account, reason=reason, removed_by=by
        )
    return judged


def _has_unfinished_operation(row: Mirrored) -> bool:
    """Of the invoice itself, or of the invoice that a payment belongs to."""
    invoice = row.pk if isinstance(row, Invoice) else getattr(row, "invoice_id", None)
    return bool(invoice) and Operation.objects.filter(invoice=invoice, state__in=NOT_OVER).exists()
