"""Tells whether two statements can have a line in common, by what each says and by the balances between its lines.

A line stands at one place of the account's history, so that whoever tells it tells the same balance before it. That two
lines say the same proves nothing: people pay the same amount twice a day, and into a cash desk without any reference.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

NOTIFICATION = "camt.054"


class Told(NamedTuple):
    """Of a line: what tells whether another statement has it too."""

    day: date
    amount: int
    says: str


@dataclass(frozen=True)
class Telling:
    """A statement, with its lines in its own order. Balances are None where it has none."""

    format: str
    number: str
    opening: int | None
    closing: int | None
    lines: Sequence[Told]

    @property
    def has_balances(self) -> bool:
        return self.opening is not None and self.closing is not None

    @cached_property
    def said(self) -> Counter[str]:
        return Counter(line.says for line in self.lines)

    @cached_property
    def begins_on(self) -> date:
        return min((line.day for line in self.lines), default=date.max)

    def stood_at(self, day: date) -> int:
        """The balance when this day began."""
        return (self.opening or 0) + sum(line.amount for line in self.lines if line.day < day)

    def orders(self) -> Iterator[Sequence[Told]]:
        """As the bank may have booked them: files tell the oldest or the newest first, a day's lines in any order."""
        turned = self.lines[::-1]
        yield from (self.lines, turned)
        yield from (sorted(each, key=lambda line: line.day) for each in (self.lines, turned))

    def is_the_same(self, other: Telling) -> bool:
        """Whether both say the same of the account, line by line and in their balances."""
        mine = (self.format, self.number, self.opening, self.closing)
        return mine == (other.format, other.number, other.opening, other.closing) and self.said == other.said


def share(one: Telling, other: Telling) -> bool | None:
    """Whether lines of these two that say the same are the same line; None where nothing tells it.

    They are where both tell the same balance of the first day that both have, or where one begins within the other and
    from there on tells what the other does. Of an account that is emptied every evening, a statement also follows on
    the other with the balance at which both begin: then the bank's numbers decide, where it gives any. Notifications
    have no balances, and each tells what was booked since the one before.
    """
    if not (one.has_balances and other.has_balances):
        notifications = one.format == other.format == NOTIFICATION
        return False if notifications and numbered_apart(one, other) else None
    follows = one.closing == other.opening or other.closing == one.opening
    if follows and numbered_apart(one, other):
        return False
    day = max(one.begins_on, other.begins_on)
    if not follows and one.stood_at(day) == other.stood_at(day):
        return True
    alike = (one.opening, one.closing) == (other.opening, other.closing) and one.said == other.said
    return alike or _goes_on_in(one, other) or _goes_on_in(other, one)


def may_meet(one: Telling, other: Telling) -> bool:
    """Whether one may begin within the other, whatever their lines say and on which days they say it."""
    if one.format != other.format or not (one.has_balances and other.has_balances):
        return True
    return any(
        later.opening in set(itertools.islice(_balances(earlier.opening or 0, lines), len(lines)))
        for earlier, later in ((one, other), (other, one))
        for lines in earlier.orders()
    )


def numbered_apart(one: Telling, other: Telling) -> bool:
    numbered = one.format == other.format and one.number and other.number
    return bool(numbered and one.number != other.number)


def _balances(opening: int, lines: Sequence[Told]) -> Iterator[int]:
    """Before the first line, and after each."""
    return itertools.accumulate((line.amount for line in lines), initial=opening)


def _goes_on_in(earlier: Telling, later: Telling) -> bool:
    """Whether `later` begins at a place of `earlier`, and what one tells from there on the other tells too."""
    return any(_goes_on_behind(lines, earlier.opening or 0, later) for lines in earlier.orders())


def _goes_on_behind(lines: Sequence[Told], opening: int, later: Telling) -> bool:
    all_told_from = _first_of_rest(lines, later.said)  # from here on, `later` has all of them
    has_all_until = _last_with_all(lines, later.said)  # until here, what follows has all of `later`
    places = enumerate(itertools.islice(_balances(opening, lines), len(lines)))
    return any(
        balance == later.opening and (place >= all_told_from or place <= has_all_until) for place, balance in places
    )


def _first_of_rest(lines: Sequence[Told], said: Counter[str]) -> int:
    left, begin = said.copy(), len(lines)
    while begin and left[lines[begin - 1].says] > 0:
        begin -= 1
        left[lines[begin].says] -= 1
    return begin


def _last_with_all(lines: Sequence[Told], said: Counter[str]) -> int:
    left, missing, begin = said.copy(), said.total(), len(lines)
    while begin and missing:
        begin -= 1
        if left[lines[begin].says] > 0:
            left[lines[begin].says] -= 1
            missing -= 1
    return -1 if missing else begin
