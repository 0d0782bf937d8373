"""What a proof of equality covered and found, in sentences: for its page, the command and the e-mail to finance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from invoices.models import MIRRORED, ReconciliationRun


def plural(object: str) -> str:
    """What several objects of this kind are called; `object` is Stripe's value."""
    return str(MIRRORED[object]._meta.verbose_name_plural) if object in MIRRORED else object.replace("_", " ")


def covered(object: str, kind: dict[str, Any]) -> Iterator[str]:
    """How one kind was compared, and what was left out of it. `kind`: a ReportKind."""
    found = kind.get("found", {})
    if kind.get("oldest"):
        yield f"created from {kind['oldest'][:10]} to {kind['newest'][:10]}."
    if kind.get("long_invoices"):
        yield (
            f"{_number(kind['long_invoices'], 'has', 'have')} more than ten lines, read whole with "
            f"{_number(kind['line_requests'], 'request', 'requests')}."
        )
    if found.get("in_flight"):
        yield (
            f"{_number(found['in_flight'], 'is', 'are')} in flight: an event or a refetch is under way. They are in "
            "neither side's sums; prove again when the mirror has caught up."
        )
    if found.get("next_sweep"):
        yield (
            f"{_number(found['next_sweep'], 'comes', 'come')} with the next sweep: not paid, newer than the last one, "
            "and Stripe sends no event of it."
        )
    if found.get("not_imported"):
        yield (
            f"{_number(found['not_imported'], 'is', 'are')} at Stripe and not imported yet, because this kind is newer "
            "than the last full run. `reconcile --full` imports them, and so do 28 nights; then prove again."
        )
    if found.get("unlisted"):
        yield f"{_number(found['unlisted'], 'is', 'are')} not in Stripe's list; retrieved singly, equal."
    if kind.get("looked_up"):
        yield f"{_number(kind['looked_up'], 'was', 'were')} retrieved singly, because the sides seemed to differ."
    if kind.get("by_list"):
        yield f"{_number(kind['by_list'], 'was', 'were')} judged by Stripe's list alone, because so many differed."
    if kind.get("unwritten"):
        yield f"{_number(kind['unwritten'], 'differs and is', 'differ and are')} counted, and not written down singly."


def difference_count(run: ReconciliationRun) -> str:
    """`3 objects differ`, and how many could not be compared, because their kind is not imported yet."""
    differ = "1 object differs" if run.failed == 1 else f"{run.failed:,} objects differ"
    awaited = sum(kind.get("found", {}).get("not_imported", 0) for kind in run.report.get("kinds", {}).values())
    return f"{differ}, {awaited:,} not imported yet" if awaited else differ


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
