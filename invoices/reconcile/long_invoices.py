"""Reads whole the listed invoices and credit notes whose later lines a list does not show, and may differ from ours.

Stripe's lists hold the first ten lines of each. What we hold beyond them is compared only by reading the object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from invoices import clock
from invoices.models import MIRRORED, ReconciliationRun, lines
from invoices.reconcile import runs, unreadable
from invoices.reconcile.retry import with_retries
from invoices.snapshot import Snapshot


def with_all_lines(run: ReconciliationRun, listed: list[Snapshot]) -> tuple[list[Snapshot], Counter[str]]:
    """A page of a list, with whole reads instead of the objects that need one; and the counts of those that cannot be
    read, which are recorded and left out.

    One is needed where the later lines are not certain to be Stripe's, or do not add up with the invoice as it was
    listed, or the rolling sample takes them today. A part of a full run reads all: each of its windows has its turn
    every 28 days, on which the sample would take the same 28th of them each time.

    Where Stripe's own amounts do not add up, this is one read in each run, and nothing is scheduled. Raises
    GatewayError.
    """
    to_read = set(with_retries(run, lambda: list(_to_read(run, listed))))
    snapshots: list[Snapshot] = []
    counts: Counter[str] = Counter()
    for snapshot in listed:
        if snapshot.id not in to_read:
            snapshots.append(snapshot)
            continue
        try:
            [read, *_] = with_retries(run, partial(unreadable.retrieve, snapshot.object, snapshot.id, throttled=True))
        except unreadable.FAULT_OF_AN_OBJECT as error:
            counts += unreadable.record_snapshot(run, snapshot, error)
        else:
            snapshots.append(read)  # without data where it was deleted since it was listed
        with_retries(run, partial(runs.show_alive, run))
    return snapshots, counts


def _to_read(run: ReconciliationRun, listed: list[Snapshot]) -> Iterator[str]:
    cut = {snapshot.id: snapshot.data for snapshot in listed if snapshot.data and lines.are_cut(snapshot.data)}
    if not cut:
        return
    if run.kind == ReconciliationRun.Kind.PART:
        yield from cut
        return
    model = MIRRORED[listed[0].object]  # a page is of one kind
    held = dict(model.objects.filter(pk__in=cut).values_list("pk", "data"))
    today = clock.now()
    for id, data in cut.items():
        merged, certain = lines.with_later(data, held.get(id))
        if not certain or lines.disagreement(merged) or lines.is_in_sample(id, today):
            yield id
