"""Reading a report: one pass over its entries, in which what is shown and what it adds up to come from the same rows.

A page and a command read in one snapshot of the database. A download goes on for as long as its reader takes, so it
reads page by page; its totals are still those of the rows that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date
from itertools import chain, islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.utils.translation import gettext as _

from invoices import clock, money
from invoices.models.reading import text_of
from invoices.reports.asked import Asked, BadRequest, last_month, today
from invoices.reports.report import Entry, Report
from invoices.reports.totals import Total, Totals, as_dicts
from invoices.tables import Column, Kind, Table

ROWS_PER_PIECE = 200


def asked(
    report: Report,
    zone: ZoneInfo,
    first: date | None = None,
    last: date | None = None,
    *,
    currency: str = "",
    group: str = "",
) -> Asked:
    """The parameters of this report. Without days it is of the last month, or as of its last day; with the first alone,
    until today. Raises BadRequest."""
    if report.is_as_of:
        day = last or first or last_month(zone)[1]
        if day > today(zone):
            message = _("{day} has not begun. A report can be as of today, or of an earlier day.")
            raise BadRequest("as_of", message.format(day=day.isoformat()))
        return Asked(day, day, zone, currency, group)
    if first is None and last is not None:
        raise BadRequest("from", _("Say from which day on."))
    month = last_month(zone)
    return Asked(first or month[0], last or (today(zone) if first else month[1]), zone, currency, group)


class Pass:
    """One reading. `totals` are those of what was read so far."""

    def __init__(self, report: Report, asked: Asked) -> None:
        self.report, self.asked, self.totals = report, asked, Totals()

    def entries(self) -> Iterator[Sequence[Entry]]:
        """What is asked for, page by page; counted before it is given."""
        wants = self.asked.wants
        narrowed = self.asked.group or self.asked.currency
        for page in self.report.pages(self.asked):
            found = [entry for entry in page if wants(entry.group, entry.currency)] if narrowed else page
            self.totals.add(found, self.asked)
            yield found

    def rows(self) -> Iterator[list[Any]]:
        """The rows of a file."""
        entries = chain.from_iterable(self.entries())
        while some := list(islice(entries, self.report.shape.rows_at_once)):
            yield from self.report.values(some, self.asked)

    def table(self) -> Table:
        """The table of a file, of which the rows are not read yet."""
        fields = self.report.fields(self.asked)
        return Table(self.report.title, [each.column for each in fields], self.rows())

    def totals_table(self) -> Table:
        """What was read, as a table of its totals."""
        report = self.report
        columns = [
            Column(report.groups_are, Kind.TEXT),
            Column("Currency", Kind.CURRENCY),
            Column(report.counts, Kind.NUMBER),
            *(
                [Column(report.sums, Kind.AMOUNT), Column(f"{report.sums} (minor units)", Kind.MINOR)]
                if report.sums
                else []
            ),
        ]
        return Table(f"{report.title}: totals", columns, (self._line(each) for each in self.totals.lines(report)))

    def _line(self, total: Total) -> list[Any]:
        line = [self.report.english(total.group), total.currency.upper() or None, total.count]
        if not self.report.sums:
            return line
        return [*line, None if total.amount is None else money.major(total.amount, total.currency), total.amount]


@contextmanager
def snapshot() -> Iterator[None]:
    """Everything that is read inside is of the same moment, and nothing can be written. Inside a transaction of the
    caller it is that of the caller."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        # Not by `atomic`, which takes SQLite's lock of writers at once.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")


# --- written ----------------------------------------------------------------------------------------------------------


def json_pieces(reading: Pass, rows: Iterable[Sequence[Any]] | None = None) -> Iterator[str]:
    """The report as one JSON object, some rows at a time: what was asked, the rows, and after them their totals.
    `rows`: those of `reading`, where somebody watches them."""
    report, asked = reading.report, reading.asked
    columns = [each.column for each in report.fields(asked)]
    names = [key_of(column.label) for column in columns]
    head: dict[str, Any] = {
        "report": report.name,
        "title": report.title,
        "made_at": clock.now().astimezone(UTC).isoformat(timespec="seconds"),
        "time_zone": asked.zone.key,
        **(
            {"as_of": asked.last.isoformat()}
            if report.is_as_of
            else {"from": asked.first.isoformat(), "to": asked.last.isoformat(), "begin": asked.begin.isoformat()}
        ),
        "end": asked.end.isoformat(),
        "currency": asked.currency.upper() or None,
        "group": asked.group or None,
        "limits": list(report.limits),
        "columns": {name: column.label for name, column in zip(names, columns, strict=True)},
    }
    yield text_of(head)[:-1] + ',"rows":['
    lines, before = [], ""
    for row in reading.rows() if rows is None else rows:
        values = [json_value(column.kind, value) for column, value in zip(columns, row, strict=True)]
        lines.append(before + text_of(dict(zip(names, values, strict=True))))
        before = ",\n"
        if len(lines) >= ROWS_PER_PIECE:
            yield "".join(lines)
            lines = []
    tail = {
        "totals": as_dicts(reading.totals.lines(report), report),
        "totals_by_currency": as_dicts(reading.totals.by_currency(report), report) if report.adds_up else [],
        "not_known": reading.totals.unknown,
    }
    yield "".join(lines) + "]," + text_of(tail)[1:] + "\n"


def key_of(label: str) -> str:
    """`Received (minor units)` → `received_minor_units`."""
    return "_".join("".join(each if each.isalnum() else " " for each in label.lower()).split())


def json_value(kind: Kind, value: Any) -> Any:
    """A number as a number, an amount in major units as text, so that no program rounds it, a moment in UTC."""
    if value is None or (kind in (Kind.MINOR, Kind.NUMBER) and isinstance(value, int)):
        return value
    if kind is Kind.AMOUNT:
        return format(value, "f")
    if kind is Kind.MOMENT:
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return value.isoformat() if kind is Kind.DAY else str(value)
