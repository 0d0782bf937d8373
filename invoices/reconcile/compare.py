"""Compares what Stripe has with what the mirror had: which differences are drift, and which are only in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from invoices import clock, scheduled_refetches
from invoices.mirror import VOLATILE, Decision, Outcome, content
from invoices.models import Drift, Event, PendingEvent, ReconciliationRun
from invoices.models.reading import storable, storable_json, text
from invoices.reconcile import explaining

MAX_DIFFERENCES_PER_OBJECT = 25  # drift rows of one object


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every difference of two JSON values: (path such as `lines.data.3.amount`, ours, theirs).

    An absent member counts as None. Lists of different lengths are one difference.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if not path and key in VOLATILE:
                continue
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (left, right) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(left, right, f"{path}.{index}")
    elif ours != theirs:
        yield path, ours, theirs


def pending(ids: list[str]) -> set[str]:
    """Those of these objects for which an event is pending: it explains their difference."""
    if not PendingEvent.objects.exists():
        return set()
    waiting = Event.objects.filter(state=Event.State.PENDING, object_id__in=ids)
    return set(waiting.values_list("object_id", flat=True))


def record(run: ReconciliationRun, outcomes: list[Outcome], *, importing: bool) -> Counter[str]:
    """Writes the differences of these outcomes as drift rows, and counts the objects by what was found.

    seen = same + imported + healed + in_flight + failed. `failed` is no error: it counts the objects whose drift is
    left, which in a dry run are all that drifted. `importing`: what the mirror lacks is imported, not drift. A new
    invoice payment that is not paid counts as imported too (`_comes_without_event`).
    """
    counts: Counter[str] = Counter(seen=len(outcomes))
    differing = {outcome.snapshot.id for outcome in outcomes if not _same(outcome)}
    with_event = pending(sorted(differing)) | _explained_by_invoice(run, outcomes, differing) if differing else set()
    found_before = _found_before(run, [outcome.snapshot.id for outcome in outcomes])
    drift: list[Drift] = []
    for outcome in outcomes:
        id = outcome.snapshot.id
        name = found_before.get(id) or "same"
        if id in differing and name != "failed":
            name = _count_name(outcome, with_event, importing=importing, dry_run=run.dry_run)
            if name in ("healed", "failed"):
                drift += _rows(run, outcome, healed=name == "healed")
        counts[name] += 1
    explaining.carry_over(drift)
    Drift.objects.bulk_create(drift)
    return counts


def _explained_by_invoice(run: ReconciliationRun, outcomes: list[Outcome], differing: set[str]) -> set[str]:
    """The payments that differ and for whose invoice an event is pending or a refetch is scheduled: that one reads the
    invoice's payments too. A refetch of an invoice that this run healed explains nothing: the healing scheduled it."""
    found = [one for one in outcomes if one.snapshot.object == "invoice_payment" and one.snapshot.id in differing]
    invoice_of = {one.snapshot.id: text(one.snapshot.data, "invoice") for one in found if one.ours is not None}
    invoices = sorted({id for id in invoice_of.values() if id})
    if not invoices:
        return set()
    waiting = scheduled_refetches.waiting("invoice", invoices)
    healed = Drift.objects.filter(run=run, object_type="invoice", object_id__in=sorted(waiting)) if waiting else ()
    explained = pending(invoices) | (waiting - {drift.object_id for drift in healed})
    return {payment for payment, invoice in invoice_of.items() if invoice in explained}


def _found_before(run: ReconciliationRun, ids: list[str]) -> dict[str, str]:
    """What this run had already recorded, in a window that it did not finish before it was interrupted, or in a
    transaction whose answer was lost: id → "healed" or "failed".

    A healed object is equal by now. It counts as what was recorded: its drift row and the counts then agree.
    """
    drift = Drift.objects.filter(run=run)
    if not drift.exists():
        return {}
    found = drift.filter(object_id__in=ids).exclude(kind=Drift.Kind.UNREADABLE)
    return {id: "healed" if healed_at else "failed" for id, healed_at in found.values_list("object_id", "healed_at")}


def _same(outcome: Outcome) -> bool:
    """Whether the mirror had what Stripe has."""
    if outcome.decision is Decision.CONFIRM:
        return True
    if outcome.ours is None:
        return False
    if outcome.snapshot.deleted and outcome.was_deleted:
        return True
    if outcome.snapshot.data is None or outcome.snapshot.deleted != outcome.was_deleted:
        return False
    return content(outcome.ours) == content(outcome.snapshot.data)


def _count_name(outcome: Outcome, with_event: set[str], *, importing: bool, dry_run: bool) -> str:
    """The name of the count to which an object that differs belongs."""
    if outcome.snapshot.id in with_event or outcome.was_provisional:
        return "in_flight"  # an event waits, or the row came in another API version and its refetch is scheduled
    if outcome.decision in (Decision.DROP, Decision.REFETCH):
        return "in_flight"  # the row is newer than the page, or a refetch will tell
    if outcome.decision is Decision.KEEP_MISSING:
        return "failed"
    if outcome.refetch_was_scheduled:
        return "in_flight"  # that refetch would have brought the difference
    if outcome.ours is None and importing:
        return "imported"
    if _comes_without_event(outcome):
        return "imported"
    return "failed" if dry_run else "healed"


def _comes_without_event(outcome: Outcome) -> bool:
    """Whether Stripe sends no event of this object: it sends none for an invoice payment before it is paid. The sweep
    brings a new one, so it is no drift. One that the mirror holds and shows otherwise than Stripe is, whyever."""
    data = outcome.snapshot.data or {}
    return outcome.ours is None and data.get("object") == "invoice_payment" and data.get("status") != "paid"


def _rows(run: ReconciliationRun, outcome: Outcome, *, healed: bool) -> list[Drift]:
    """The drift rows of one object, unsaved: one for each field that differs, or one for an object that is missing."""
    snapshot = outcome.snapshot
    now = clock.now()
    data = snapshot.data or outcome.ours or {}
    invoice = snapshot.id if snapshot.object == "invoice" else data.get("invoice")
    common: dict[str, Any] = {
        "run": run,
        "object_type": snapshot.object,
        "object_id": snapshot.id,
        "invoice": storable(invoice, 255) if isinstance(invoice, str) else "",
        "ours_seen_until": outcome.ours_seen_until,
        "found_at": now,
        "healed_at": now if healed else None,
    }
    if outcome.ours is None or (outcome.was_deleted and not snapshot.deleted):
        return [Drift(kind=Drift.Kind.MISSING_HERE, theirs=storable_json(short(data)), **common)]
    if snapshot.data is None or snapshot.deleted:
        return [Drift(kind=Drift.Kind.MISSING_AT_STRIPE, ours=short(outcome.ours), **common)]
    found = list(differences(outcome.ours, snapshot.data))[:MAX_DIFFERENCES_PER_OBJECT]
    return [
        Drift(
            kind=Drift.Kind.DIFFERS,
            field=storable(path, 255),
            ours=storable_json(a),
            theirs=storable_json(b),
            **common,
        )
        for path, a, b in found
    ]


def short(data: dict[str, Any]) -> dict[str, Any]:
    """The members of a missing object that finance needs."""
    names = (
        *("id", "number", "status", "currency", "created"),
        *("total", "amount", "amount_due", "amount_remaining", "amount_paid"),
    )
    return {name: data[name] for name in names if name in data}
