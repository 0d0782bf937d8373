"""The charts of the home page: bars that the server draws, each a link into its list, and the same as a table.

A chart reads tallies only. Amounts of two currencies never stand on one scale: each currency has bars of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from invoices import money, tallies
from invoices.admin.formatting import number
from invoices.admin.invoices.queue_filters import RECOVERED_DAYS
from invoices.admin.payments import attempt_filter
from invoices.admin.queues import Reading, list_of, reason_in_words
from invoices.tallies import Amounts

CURRENCIES_SHOWN = 3  # of one chart, those of the most objects; its table has all
REASONS_SHOWN = 8  # likewise
FULL = 100  # the width of the longest bar


@dataclass
class Bar:
    """`width` (or height) and `part`: of FULL; `part` is drawn darker, inside the bar."""

    label: str
    value: str
    link: str
    width: int
    tone: str = "blue"
    part: int = 0

    @property
    def above(self) -> int:
        """Of FULL: the room above a standing bar."""
        return FULL - self.width


@dataclass
class Group:
    """The bars of one currency, or of all where they are numbers."""

    title: str
    bars: list[Bar]


@dataclass
class Chart:
    """`empty`: what is said where there is nothing to draw. `over_time`: its bars stand side by side, as days do."""

    title: str
    note: str
    empty: str
    groups: list[Group] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    over_time: bool = False


def charts(reading: Reading) -> list[Chart]:
    """The charts that this person may see."""
    found = []
    if reading.may("invoices.view_invoice"):
        found += [_outstanding(reading), _recovered(reading)]
    if reading.may("invoices.view_charge"):
        found.append(_attempts(reading))
    return found


# --- outstanding by age -----------------------------------------------------------------------------------------------

AGES = (  # and the colour of their bars
    (tallies.NO_DUE_DATE, "blue"),
    (tallies.NOT_DUE, "blue"),
    *zip((band.name for band in tallies.OVERDUE_BANDS), ("amber", "amber", "red", "red"), strict=True),
)


def _ages() -> dict[str, str]:
    """What each age is called."""
    late = {band.name: _("{age} overdue").format(age=_(band.title)) for band in tallies.OVERDUE_BANDS}
    return {tallies.NO_DUE_DATE: _("No due date"), tallies.NOT_DUE: _("Not due yet"), **late}


def _outstanding(reading: Reading) -> Chart:
    ages = _ages()
    chart = Chart(
        _("Outstanding by age"),
        _("What remains to be paid on open invoices, by whole days since they were due (UTC)."),
        _("No invoice is open."),
        columns=[_("Age"), _("Currency"), _("Invoices"), _("Remaining")],
    )
    for currency in _currencies(reading.by_band.values()):
        sums = [reading.by_band[name].sums.get(currency, 0) for name in ages]
        bars = [
            Bar(
                ages[name],
                _money(sum, currency),
                list_of("invoice", age=name, currency=currency),
                width(sum, sums),
                tone,
            )
            for (name, tone), sum in zip(AGES, sums, strict=True)
            if sum
        ]
        chart.groups.append(Group(currency.upper(), bars))
        for name, label in ages.items():
            count = reading.by_band[name].counts.get(currency, 0)
            chart.rows.append(
                [label, currency.upper(), number(count), _money(reading.by_band[name].sums.get(currency, 0), currency)]
            )
    return cut(chart)


# --- recovered this week ----------------------------------------------------------------------------------------------


def _recovered(reading: Reading) -> Chart:
    days = [reading.today - timedelta(days=back) for back in range(RECOVERED_DAYS - 1, -1, -1)]
    by_day = tallies.recovered(days[0])
    total = Amounts.together(by_day.values())
    chart = Chart(
        _("Recovered this week"),
        _("Paid after it was overdue or after an attempt had failed, by the day of the payment (UTC)."),
        _("Nothing that had failed or was overdue was paid in the last 7 days."),
        columns=[_("Day"), _("Currency"), _("Invoices"), pgettext("amount", "Paid")],
    )
    day_and_weekday = pgettext("how Django's date filter writes it", "D j M")
    for currency in _currencies([total]):
        sums = [_of(by_day, day).sums.get(currency, 0) for day in days]
        bars = [
            Bar(
                date_format(day, day_and_weekday),
                _money(sum, currency),
                list_of("invoice", queue=f"{tallies.RECOVERED}.{day.isoformat()}", currency=currency),
                width(sum, sums),
                "green",
            )
            for day, sum in zip(days, sums, strict=True)
        ]
        title = _("{currency} – {sum} in all").format(
            currency=currency.upper(), sum=_money(total.sums[currency], currency)
        )
        chart.groups.append(Group(title, bars))
        for day, sum in zip(days, sums, strict=True):
            count = _of(by_day, day).counts.get(currency, 0)
            chart.rows.append(
                [date_format(day, "SHORT_DATE_FORMAT"), currency.upper(), number(count), _money(sum, currency)]
            )
    return cut(chart)


def _of(by_day: Mapping[date, Amounts], day: date) -> Amounts:
    return by_day.get(day) or Amounts()


# --- success of charges by decline reason -----------------------------------------------------------------------------


def _attempts(reading: Reading) -> Chart:
    found = reading.by_reason
    charged = sum(amounts.count for amounts in found.get(tallies.CHARGED, {}).values())
    paid = {reason: amounts.count for reason, amounts in found.get(tallies.DECLINED_THEN_PAID, {}).items()}
    unpaid = {reason: amounts.count for reason, amounts in found.get(tallies.DECLINED, {}).items()}
    declined = {reason: paid.get(reason, 0) + unpaid.get(reason, 0) for reason in {*paid, *unpaid}}
    chart = Chart(
        _("Charges by decline reason"),
        _("Attempts of the last {days} days. The darker part of a bar was paid later.").format(
            days=attempt_filter.ATTEMPT_DAYS
        ),
        _("No charge was tried in this time."),
        columns=[_("Reason"), _("Declined"), _("Paid later"), _("Paid later, of the declined")],
    )
    tried = charged + sum(declined.values())
    if not tried:
        return chart
    reasons = sorted(declined, key=lambda reason: (-declined[reason], reason))
    most = max(declined.values(), default=0)
    bars = [
        Bar(
            reason_in_words(reason),
            _("{declined}, {paid} paid later").format(
                declined=number(declined[reason]), paid=number(paid.get(reason, 0))
            ),
            list_of("charge", attempt=f"{attempt_filter.DECLINED}.{reason}"),
            width(declined[reason], [most]),
            "red",
            width(paid.get(reason, 0), [most]),
        )
        for reason in reasons[:REASONS_SHOWN]
    ]
    succeeded = Bar(
        _("Succeeded"),
        _("{charged} of {tried}, {share}").format(
            charged=number(charged), tried=number(tried), share=_share(charged, tried)
        ),
        list_of("charge", attempt=attempt_filter.SUCCEEDED),
        width(charged, [tried]),
        "green",
    )
    chart.groups = [Group(_("All attempts"), [succeeded]), *([Group(_("Declined"), bars)] if bars else [])]
    chart.rows = [
        [
            reason_in_words(reason),
            number(declined[reason]),
            number(paid.get(reason, 0)),
            _share(paid.get(reason, 0), declined[reason]),
        ]
        for reason in reasons
    ]
    of_all = _("{share} of all attempts").format(share=_share(charged, tried))
    chart.rows.append([_("Succeeded at once or later"), number(charged), "–", of_all])
    return chart


# --- what the charts share --------------------------------------------------------------------------------------------


def _currencies(found: Iterable[Amounts]) -> list[str]:
    """The currencies, those of the most objects first."""
    counts: dict[str, int] = {}
    for amounts in found:
        for currency, count in amounts.counts.items():
            counts[currency] = counts.get(currency, 0) + count
    return sorted((currency for currency in counts if currency), key=lambda currency: (-counts[currency], currency))


def cut(chart: Chart, most: int = CURRENCIES_SHOWN) -> Chart:
    """Of a chart with bars for each currency: the bars of the first ones. Its table has all."""
    chart.groups = chart.groups[:most]
    return chart


def width(value: int, scale: list[int]) -> int:
    """Of FULL; what is not zero can be seen."""
    longest = max(scale, default=0)
    return max(1, value * FULL // longest) if value > 0 and longest > 0 else 0


def _share(part: int, of: int) -> str:
    return _("{percent}%").format(percent=f"{part * 100 / of:.0f}") if of else "–"


def _money(amount: int, currency: Any) -> str:
    return money.text(amount, currency)
