"""The charts of reports: what was collected by day, week or month, what is outstanding by age, and why charges were
declined. Each is made of the totals of the page, and each bar leads to its rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from invoices import money
from invoices.admin.charts import FULL, REASONS_SHOWN, Bar, Chart, Group, cut, width
from invoices.admin.formatting import number
from invoices.admin.reports.form import address
from invoices.reports import KNOWN, NOT_KNOWN, Asked, Report, Totals
from invoices.reports.attempts import SUCCEEDED

CURRENCIES_SHOWN = 6
# The longest periods with a bar for each day, week and month; beyond them for each year.
DAYS_BY_DAY, DAYS_BY_WEEK, DAYS_BY_MONTH = 31, 190, 1100


def charts(report: Report, asked: Asked, totals: Totals) -> list[Chart]:
    """The charts of this report; none where nothing is to be drawn."""
    made = MADE.get(report.name)
    return [made(report, asked, totals)] if made and totals.by_group else []


def collected(report: Report, asked: Asked, totals: Totals) -> Chart:
    step, note = _step(asked)
    by_step: dict[tuple[str, date], list[int]] = defaultdict(lambda: [0, 0])
    steps = list(dict.fromkeys(max(step(day), asked.first) for day in _days(asked)))
    for (day, currency), (count, amount) in totals.by_day.items():
        sums = by_step[currency, max(step(day), asked.first)]
        sums[0] += count
        sums[1] += amount
    chart = Chart(
        _("Collected"),
        note,
        _("Nothing was paid."),
        columns=[_("From"), _("Currency"), _(report.counts), _(report.sums)],
        over_time=True,
    )
    counts: Counter[str] = Counter()
    for (currency, _first), (count, _amount) in by_step.items():
        counts[currency] += count
    for currency in _most_first(counts):
        sums = [by_step[currency, first][1] for first in steps]
        bars = []
        for first, amount in zip(steps, sums, strict=True):
            last = min(_end(first, step), asked.last)
            days = {"from": first.isoformat(), "to": last.isoformat()}
            link = address(report, asked, **days, currency=currency, group=KNOWN)
            bars.append(Bar(_span(first, last), money.text(amount, currency), link, width(amount, sums), "green"))
            count = by_step[currency, first][0]
            chart.rows.append([_span(first, last), currency.upper(), number(count), money.text(amount, currency)])
        in_all = _("{currency} – {sum} in all").format(currency=currency.upper(), sum=money.text(sum(sums), currency))
        chart.groups.append(Group(in_all, bars))
    return cut(chart, CURRENCIES_SHOWN)


def _most_first(counts: Counter[str]) -> list[str]:
    """The currencies, those of the most rows first."""
    return sorted(counts, key=lambda currency: (-counts[currency], currency))


def _step(asked: Asked) -> tuple[Callable[[date], date], str]:
    """The first day of the bar in which a day is, and what the bars are."""
    zone, length = asked.zone.key, (asked.last - asked.first).days + 1
    if length <= DAYS_BY_DAY:
        return lambda day: day, _("By day ({zone}).").format(zone=zone)
    if length <= DAYS_BY_WEEK:
        return lambda day: day - timedelta(days=day.weekday()), _("By week ({zone}).").format(zone=zone)
    if length <= DAYS_BY_MONTH:
        return lambda day: day.replace(day=1), _("By month ({zone}).").format(zone=zone)
    return lambda day: day.replace(month=1, day=1), _("By year ({zone}).").format(zone=zone)


def _days(asked: Asked) -> Iterator[date]:
    for after in range((asked.last - asked.first).days + 1):
        yield asked.first + timedelta(days=after)


def _end(first: date, step: Callable[[date], date]) -> date:
    """The last day of the bar that begins with this day."""
    day = first
    while step(day + timedelta(days=1)) == step(first):
        day += timedelta(days=1)
    return day


def _span(first: date, last: date) -> str:
    if first == last:
        return date_format(first, pgettext("how Django's date filter writes it", "D j M"))
    return _("{first} to {last}").format(
        first=date_format(first, "SHORT_DATE_FORMAT"), last=date_format(last, "SHORT_DATE_FORMAT")
    )


def outstanding(report: Report, asked: Asked, totals: Totals) -> Chart:
    chart = Chart(
        _("Outstanding by age"),
        _("What remained to be paid, by whole days since it was due ({zone}).").format(zone=asked.zone.key),
        _("No invoice was open."),
        columns=[_("Age"), _("Currency"), _("Invoices"), _("Remaining")],
    )
    lines = [total for total in totals.lines(report) if total.amount is not None]
    counts: Counter[str] = Counter()
    for total in lines:
        counts[total.currency] += total.count
    for currency in _most_first(counts):
        mine = [total for total in lines if total.currency == currency]
        sums = [total.amount or 0 for total in mine]
        bars = []
        for total, amount in zip(mine, sums, strict=True):
            label, written = report.label(total.group), money.text(amount, currency)
            link = address(report, asked, group=total.group, currency=currency)
            tone = "amber" if report.place(total.group)[0] > 1 else "blue"
            bars.append(Bar(label, written, link, width(amount, sums), tone))
            chart.rows.append([label, currency.upper(), number(total.count), written])
        chart.groups.append(Group(currency.upper(), bars))
    return cut(chart, CURRENCIES_SHOWN)


def attempts(report: Report, asked: Asked, totals: Totals) -> Chart:
    counts: dict[str, int] = defaultdict(int)
    for total in totals.lines(report):
        if total.group != NOT_KNOWN:
            counts[total.group] += total.count
    tried, succeeded = sum(counts.values()), counts.pop(SUCCEEDED, 0)
    chart = Chart(
        _("Charges by decline reason"),
        _("Attempts of these days."),
        _("No charge was tried in this time."),
        columns=[_("Result"), _("Attempts"), _("Of all attempts")],
    )

    def bar(group: str, count: int, scale: list[int], tone: str) -> Bar:
        share = _("{percent}%").format(percent=f"{count * FULL / tried:.0f}") if tried else "–"
        label = report.label(group)
        chart.rows.append([label, number(count), share])
        said = _("{number}, {share}").format(number=number(count), share=share)
        return Bar(label, said, address(report, asked, group=group, currency=""), width(count, scale), tone)

    reasons = sorted(counts, key=lambda group: (-counts[group], group))
    chart.groups = [Group(_("All attempts"), [bar(SUCCEEDED, succeeded, [tried], "green")])]
    declined = [bar(group, counts[group], list(counts.values()), "red") for group in reasons]
    if declined:
        chart.groups.append(Group(_("Declined"), declined[:REASONS_SHOWN]))
    return chart


MADE: dict[str, Callable[[Report, Asked, Totals], Chart]] = {
    "payments": collected,
    "receivables": outstanding,
    "attempts": attempts,
}
