"""Reports: each total is what Stripe's API says, is the sum of the rows behind it, and says what it does not know."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from invoices import month_end, reconcile, reports
from invoices.month_end import Month
from invoices.reports import REPORTS, Asked, Pass
from tests.helpers.month import Autumn, Sums, at, day
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

OCTOBER, OCTOBER_IN_BERLIN = (at(10, 1, 0), at(11, 1, 0)), (at(9, 30, 22), at(10, 31, 23))
# The ends of days, as UTC and as Berlin count them, which moves its clocks on 25 October.
ENDS = {
    at(10, 1, 0): ("2026-09-30", "UTC"),
    at(10, 9, 0): ("2026-10-08", "UTC"),
    at(10, 10, 0): ("2026-10-09", "UTC"),
    at(10, 20, 22): ("2026-10-20", "Europe/Berlin"),
    at(11, 1, 0): ("2026-10-31", "UTC"),
    at(10, 31, 23): ("2026-10-31", "Europe/Berlin"),
    at(11, 4, 0): ("2026-11-03", "UTC"),
    at(11, 8, 0): ("2026-11-07", "UTC"),
    at(11, 20, 0): ("2026-11-19", "UTC"),
}


def asked(first: str, last: str = "", zone: str = "UTC", **more: str) -> Asked:
    return Asked(day(first), day(last or first), reports.zone_of(zone), **more)


def read(name: str, of: Asked) -> tuple[Pass, list[Any]]:
    """The pass, and its entries."""
    reading = Pass(REPORTS[name], of)
    return reading, [entry for page in reading.entries() for entry in page]


def sums(reading: Pass) -> Sums:
    """By currency, without what is not known."""
    found: Sums = defaultdict(int)
    for total in reading.totals.lines(reading.report):
        found[total.currency] += total.amount or 0
    return dict(found)


@pytest.fixture
def autumn(sandbox: SandboxProcess) -> Autumn:
    story = Autumn(sandbox, list(ENDS))
    sandbox.clock(now=at(11, 21))
    reconcile.sweep_lists("full")
    return story


def test_totals_are_what_the_api_says(autumn: Autumn) -> None:
    for zone, bounds in (("UTC", OCTOBER), ("Europe/Berlin", OCTOBER_IN_BERLIN)):
        of = asked("2026-10-01", "2026-10-31", zone)
        assert sums(read("payments", of)[0]) == autumn.received(*bounds), zone
        assert sums(read("issued", of)[0]) == autumn.issued(*bounds), zone
        month = month_end.totals(Month.read("2026-10", zone))  # the month's end says the same
        assert (month["collected"], month["issued"]) == (autumn.received(*bounds), autumn.issued(*bounds))
        assert (month["voided"], month["written_off"]) == ({"usd": 700}, {"kwd": 12340})
    whole = asked("2026-09-01", "2026-11-30")
    assert sums(read("payments", whole)[0]) == autumn.received(at(9, 1), at(11, 30)) != {}
    for moment, (last, zone) in ENDS.items():
        reading, entries = read("receivables", asked(last, zone=zone))
        assert sums(reading) == autumn.remaining_at(moment), last
        assert {entry.pk: (entry.currency, entry.amount) for entry in entries} == autumn.open_at[moment], last


# --- each total and its rows ------------------------------------------------------------------------------------------


def test_each_total_is_the_sum_of_the_rows_that_it_asks_for(autumn: Autumn) -> None:
    for report in REPORTS.values():
        of = asked("2026-11-07") if report.is_as_of else asked("2026-09-01", "2026-11-30")
        whole, entries = read(report.name, of)
        assert len(entries) == whole.totals.count, report.name
        for total in whole.totals.lines(report):
            mine, rows = read(report.name, of.chosen(total.group, total.currency))
            assert rows == [each for each in entries if (each.group, each.currency) == (total.group, total.currency)]
            assert mine.totals.lines(report) == [total]
            assert sum(each.amount or 0 for each in rows) == (total.amount or 0)
        assert len({entry.pk for entry in entries}) == len(entries), report.name


def test_days_are_those_of_the_time_zone(autumn: Autumn) -> None:
    """A payment at 23:30 UTC of the last day is one of the next month in Berlin."""
    late = autumn.ids["Late"]
    for zone, month in (("UTC", "2026-10"), ("Europe/Berlin", "2026-11")):
        for first, last in (("2026-10-01", "2026-10-31"), ("2026-11-01", "2026-11-30")):
            _reading, entries = read("payments", asked(first, last, zone))
            assert (late in {entry.invoice for entry in entries}) == first.startswith(month), (zone, first)
    of = asked("2026-10-25", zone="Europe/Berlin")  # on which the clocks are moved
    assert (of.end - of.begin).total_seconds() == 25 * 3600


def test_payments_say_how_they_were_made(autumn: Autumn) -> None:
    _reading, entries = read("payments", asked("2026-09-01", "2026-11-30"))
    found = {
        (name, entry.group, entry.amount) for entry in entries for name, id in autumn.ids.items() if id == entry.invoice
    }
    assert found == {
        ("Card", "card", 1000),
        ("Late", "card", 500),
        ("Debit", "bank-debit", 600),
        ("Part", "outside", 2000),
        ("Part", "outside", 3000),
        ("Much", "outside", 1500),
        ("Marked", "marked", 400),
        ("Back", "marked", 12340),
    }


def test_what_was_given_up_says_what_remained_then(autumn: Autumn) -> None:
    reading, entries = read("write_offs", asked("2026-10-01", "2026-11-30"))
    found = {(entry.group, entry.currency, entry.amount) for entry in entries}
    # "Back" was paid later, and was given up all the same.
    assert found == {("void", "usd", 700), ("uncollectible", "kwd", 12340), ("uncollectible", "usd", 250)}
    table = reading.report.values(entries, reading.asked)
    labels = [field.column.label for field in reading.report.fields(reading.asked)]
    assert {dict(zip(labels, row, strict=True))["Asked by"] for row in table} == {"not by the desk"}


def test_attempts_are_counted_by_their_reason(autumn: Autumn) -> None:
    reading, _entries = read("attempts", asked("2026-10-01", "2026-10-31"))
    counts = {(total.group, total.currency): total.count for total in reading.totals.lines(reading.report)}
    assert counts == {
        ("succeeded", "usd"): 2,
        ("succeeded", "jpy"): 1,
        ("declined.generic_decline", "usd"): 1,
    }
