"""Reads whole the listed invoices whose later lines a list does not show, and may differ from ours.

Stripe's lists hold an invoice's first ten lines. What we hold beyond them is compared only by reading the invoice.
"""

from __future__ import annotations

from collections.abc import Iterator

from invoices import clock, gateway
from invoices.models import Invoice, ReconciliationRun, lines
from invoices.reconcile import runs
from invoices.reconcile.retry import with_retries
from invoices.snapshot import Snapshot


def with_all_lines(run: ReconciliationRun, listed: list[Snapshot]) -> list[Snapshot]:
    """A page of a list, with whole reads instead of the invoices that need one: their later lines are not certain to
    be Stripe's, or do not add up with the invoice as it was listed, or the rolling sample takes them today.

    Where Stripe's own amounts do not add up, this is one read in each run, and nothing is scheduled. Raises
    GatewayError.
    """
    to_read = set(_to_read(listed))
    return [_read(run, snapshot.id) if snapshot.id in to_read else snapshot for snapshot in listed]


def _to_read(listed: list[Snapshot]) -> Iterator[str]:
    cut = {snapshot.id: snapshot.data for snapshot in listed if snapshot.object == "invoice" and snapshot.data}
    cut = {id: data for id, data in cut.items() if lines.are_cut(data)}
    if not cut:
        return
    held = dict(Invoice.objects.filter(pk__in=cut).values_list("pk", "data"))
    today = clock.now()
    for id, data in cut.items():
        merged, certain = lines.with_later(data, held.get(id))
        if not certain or lines.disagreement(merged) or lines.is_in_sample(id, today):
            yield id


def _read(run: ReconciliationRun, id: str) -> Snapshot:
    """The invoice as it is now; without data where it was deleted since it was listed."""
    [snapshot, *_] = with_retries(run, lambda: gateway.retrieve("invoice", id, throttled=True))
    runs.show_alive(run)
    return snapshot
