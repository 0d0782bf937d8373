"""Whether the statements of an account follow one another, so that no line between them is missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from invoices.models import BankStatement

LONGEST_WEEKEND = timedelta(days=6)  # without a booking: Christmas


def follows(closings: Collection[int | None], covered: date, opening: int | None, begins_on: date) -> bool:
    """Whether nothing was booked between the statements that end on `covered` and one that begins on `begins_on`.

    Nothing was where that one opens with the balance with which one of them closed (minor units). Where one has no
    balances, nobody knows: a few days are a weekend. A statement that begins before the other ends leaves nothing out.
    """
    if begins_on <= covered:
        return True
    if opening is not None and closings and None not in closings:
        return opening in closings
    return begins_on <= covered + LONGEST_WEEKEND


@dataclass(frozen=True)
class Gap:
    """What lies between a statement and the one before it, of which lines are missing."""

    before: BankStatement
    days: tuple[date, date] | None  # the first and the last day that no statement covers; None: each is covered


def gap_before(statement: BankStatement) -> Gap | None:
    """The gap between this statement and those of its account that end last before it; None: there is none, or it is
    the account's first."""
    begins_on = statement.begins_on
    if begins_on is None:
        return None
    others = BankStatement.objects.filter(account=statement.account, currency=statement.currency)
    others = others.exclude(pk=statement.pk)
    if others.filter(begins_on__lt=begins_on, ends_on__gte=begins_on).exists():
        return None
    before = others.filter(ends_on__lt=begins_on).order_by("-ends_on", "-uploaded_at", "-pk").first()
    if before is None or before.ends_on is None:
        return None
    closings = set(others.filter(ends_on=before.ends_on).values_list("closing", flat=True))
    if follows(closings, before.ends_on, statement.opening, begins_on):
        return None
    day = timedelta(days=1)
    first, last = before.ends_on + day, begins_on - day
    return Gap(before, (first, last) if first <= last else None)
