"""What a report adds up to: by group and currency, and by day, counted while its entries go by.

Amounts of two currencies are never added. What is not known is counted, and adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from invoices import money
from invoices.reports.asked import KNOWN, NOT_KNOWN, Asked
from invoices.reports.report import Entry, Report


@dataclass(frozen=True)
class Total:
    """All entries of one group and currency; of all groups but of what is not known where `group` is KNOWN."""

    group: str
    currency: str  # in small letters; empty: of what has none
    count: int
    amount: int | None  # minor units; None: the entries have no amounts, or nobody knows them


@dataclass
class Totals:
    """Counted so far: entries and minor units."""

    by_group: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    by_day: dict[tuple[date, str], list[int]] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry], asked: Asked) -> None:
        by_group, by_day = self.by_group, self.by_day
        for entry in entries:
            sums = by_group.setdefault((entry.group, entry.currency), [0, 0])
            sums[0] += 1
            if entry.amount is not None:
                sums[1] += entry.amount
            if entry.at is not None and entry.group != NOT_KNOWN:
                day = by_day.setdefault((entry.at.astimezone(asked.zone).date(), entry.currency), [0, 0])
                day[0] += 1
                day[1] += entry.amount or 0

    @property
    def count(self) -> int:
        return sum(count for count, _amount in self.by_group.values())

    @property
    def unknown(self) -> int:
        """How many entries are not known."""
        return sum(count for (group, _currency), (count, _amount) in self.by_group.items() if group == NOT_KNOWN)

    def lines(self, report: Report) -> list[Total]:
        """Each total, in the order of the report's groups, then by currency."""
        order = sorted(self.by_group, key=lambda each: (report.place(each[0]), each[1]))
        return [self._total(report, group, currency, *self.by_group[group, currency]) for group, currency in order]

    def by_currency(self, report: Report) -> list[Total]:
        """All groups together, without what is not known."""
        found: dict[str, list[int]] = {}
        for (group, currency), (count, amount) in self.by_group.items():
            if group != NOT_KNOWN:
                sums = found.setdefault(currency, [0, 0])
                sums[0] += count
                sums[1] += amount
        return [self._total(report, KNOWN, currency, *found[currency]) for currency in sorted(found)]

    @staticmethod
    def _total(report: Report, group: str, currency: str, count: int, amount: int) -> Total:
        has_amount = report.sums and currency and group != NOT_KNOWN
        return Total(group, currency, count, amount if has_amount else None)


def as_dicts(totals: Sequence[Total], report: Report) -> list[dict[str, Any]]:
    """For JSON: amounts as text in major units, and in minor units."""
    return [
        {
            "group": each.group or None,
            "label": report.english(each.group),
            "currency": each.currency.upper() or None,
            "count": each.count,
            "amount": format(money.major(each.amount, each.currency), "f") if each.amount is not None else None,
            "amount_minor_units": each.amount,
        }
        for each in totals
    ]
