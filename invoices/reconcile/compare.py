"""Holds what Stripe has against what we had: which differences are drift, and which are only on their way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from invoices import clock
from invoices.mirror import VOLATILE, Outcome, Verdict, content
from invoices.models import Drift, Event, ReconciliationRun

MOST_FIELDS = 25  # recorded of one object


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two objects differ: `lines.data.3.amount`, ours, theirs. An absent member counts as None."""
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
    """Those of these objects of which an event waits in the journal: it explains a difference."""
    waiting = Event.objects.filter(state=Event.State.PENDING, object_id__in=ids)
    return set(waiting.values_list("object_id", flat=True))


def record(run: ReconciliationRun, outcomes: list[Outcome], *, importing: bool) -> Counter[str]:
    """Writes a page's differences as drift, and counts: seen = same + imported + healed + in_flight + failed."""
    counts: Counter[str] = Counter(seen=len(outcomes))
    differing = {outcome.snapshot.id for outcome in outcomes if not _same(outcome)}
    waiting = pending(sorted(differing)) if differing else set()
    before = _found_before(run, [outcome.snapshot.id for outcome in outcomes])
    drift: list[Drift] = []
    for outcome in outcomes:
        id = outcome.snapshot.id
        kind = before.get(id) or "same"
        if id not in before and id in differing:
            kind = _kind(outcome, waiting, importing=importing, dry_run=run.dry_run)
            if kind in ("healed", "failed"):
                drift += _rows(run, outcome, healed=kind == "healed")
        counts[kind] += 1
    Drift.objects.bulk_create(drift)
    return counts


def _found_before(run: ReconciliationRun, ids: list[str]) -> dict[str, str]:
    """What a run that is taken up again found in a window that it did not finish: it counts as that, once."""
    if not run.progress.get("resumed"):
        return {}
    found = Drift.objects.filter(run=run, object_id__in=ids).values_list("object_id", "healed_at")
    return {id: "healed" if healed_at else "failed" for id, healed_at in found}


def _same(outcome: Outcome) -> bool:
    if outcome.verdict is Verdict.SAME:
        return True
    if outcome.ours is None:
        return False
    if outcome.snapshot.deleted and outcome.was_deleted:
        return True
    if outcome.snapshot.data is None or outcome.snapshot.deleted != outcome.was_deleted:
        return False
    return content(outcome.ours) == content(outcome.snapshot.data)


def _kind(outcome: Outcome, waiting: set[str], *, importing: bool, dry_run: bool) -> str:
    if outcome.snapshot.id in waiting or outcome.was_hint:
        return "in_flight"  # an event waits; or a read that was asked for when another version's shape was stored
    if outcome.verdict in (Verdict.DROPPED, Verdict.ASKED):
        return "in_flight"  # what we have is newer than the page, or a read will tell
    if outcome.verdict is Verdict.MISSING:
        return "failed"
    if outcome.was_due:
        return "in_flight"  # a read would have told in a moment
    if outcome.ours is None and importing:
        return "imported"
    if _never_told(outcome):
        return "imported"
    return "failed" if dry_run else "healed"


def _never_told(outcome: Outcome) -> bool:
    """Stripe sends no event of a payment that is not paid: to bring it is the sweep's work, and no drift."""
    data = outcome.snapshot.data or {}
    return data.get("object") == "invoice_payment" and data.get("status") != "paid"


def _rows(run: ReconciliationRun, outcome: Outcome, *, healed: bool) -> list[Drift]:
    snapshot = outcome.snapshot
    now = clock.now()
    data = snapshot.data or outcome.ours or {}
    invoice = snapshot.id if snapshot.object == "invoice" else data.get("invoice")
    common: dict[str, Any] = {
        "run": run,
        "object_type": snapshot.object,
        "object_id": snapshot.id,
        "invoice": invoice if isinstance(invoice, str) else "",
        "ours_seen_until": outcome.ours_seen_until,
        "found_at": now,
        "healed_at": now if healed else None,
    }
    if outcome.ours is None:
        return [Drift(kind=Drift.Kind.MISSING_HERE, theirs=_short(data), **common)]
    if snapshot.data is None or snapshot.deleted:
        return [Drift(kind=Drift.Kind.MISSING_AT_STRIPE, ours=_short(outcome.ours), **common)]
    found = list(differences(outcome.ours, snapshot.data))[:MOST_FIELDS]
    return [Drift(kind=Drift.Kind.DIFFERS, field=path[:255], ours=a, theirs=b, **common) for path, a, b in found]


def _short(data: dict[str, Any]) -> dict[str, Any]:
    """What finance needs to know of an object that one side lacks."""
    names = ("id", "number", "status", "currency", "total", "amount_due", "amount_remaining", "amount_paid", "created")
    return {name: data[name] for name in names if name in data}
