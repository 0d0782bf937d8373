"""What every report consists of: its entries, of which it is made, and the columns in which a file has them.

An entry is what is counted: a payment, an invoice, a write-off. It stands in one group of its report and has one
currency, and a total is all entries of a group and a currency. The entries are read page by page by key, with no more
of each than counting needs; what a file says beside is looked up for a page of rows (`record_tables.shape`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from invoices import money, recorded
from invoices.record_tables.shape import CURRENCY, Field, Seen, Shape
from invoices.reports.asked import KNOWN, NOT_KNOWN, Asked
from invoices.tables import Column, Kind

ROWS_PER_PAGE = 1000  # of what is counted


class Entry(NamedTuple):
    """One thing that a report counts."""

    pk: str
    at: datetime | None  # by which it belongs to the period; None: nobody knows, or of a report as of a day
    currency: str  # in small letters; empty: it has none
    amount: int | None  # minor units; None: it has none, or nobody knows
    group: str
    invoice: str = ""  # its id
    customer: str = ""  # its id; empty: it is the invoice's
    unknown: str = ""  # in English: why the amount or the moment is not known
    raw: Any = None  # what it was read of, with the names of columns


class Report:
    """One report. A subclass reads its entries (`pages`) and says what they are."""

    name: ClassVar[str]  # in addresses and on the command line
    title: ClassVar[str]
    answers: ClassVar[str]  # the question that it answers, in a sentence
    counts: ClassVar[str]  # what its entries are: `Payments`
    sums: ClassVar[str] = ""  # what their amounts are: `Received`; empty: they have none
    groups_are: ClassVar[str]  # what a group is: `How it was paid`
    adds_up: ClassVar[bool] = True  # whether the groups of a currency can be added: no amount stands in two of them
    is_as_of: ClassVar[bool] = False  # of one day, not of a period
    permissions: ClassVar[tuple[str, ...]]  # beside PERMISSION: of what it shows
    limits: ClassVar[tuple[str, ...]] = ()  # what it leaves out, or cannot know, in sentences
    groups: ClassVar[dict[str, str]] = {}  # the groups in their order, and what they are called
    shape: ClassVar[Shape]
    shown: ClassVar[tuple[str, ...]]  # the columns that a page shows

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        """All entries, in an order of its own."""
        raise NotImplementedError

    def label(self, group: str) -> str:
        """What a group is called, in the language of the page."""
        if group in (KNOWN, NOT_KNOWN):
            return _("All") if group == KNOWN else _("Not known")
        return _(self.groups[group]) if group in self.groups else group

    def place(self, group: str) -> tuple[int, str]:
        """Where a group stands among others."""
        order = [*self.groups, NOT_KNOWN]
        return (order.index(group) if group in order else len(self.groups), group)

    def fields(self, asked: Asked) -> list[Field]:
        """The columns of the file: first the day by which an entry counts, in the report's time zone, and the group."""
        group = Field(Column(self.groups_are, Kind.TEXT), lambda seen: self.english(seen.row.group))
        if self.is_as_of:
            return [group, *self.shape.fields, UNKNOWN]
        day = Column(f"Day ({asked.zone.key})", Kind.DAY)
        return [Field(day, lambda seen: asked.day_of(seen.row.at)), group, *self.shape.fields, UNKNOWN]

    def english(self, group: str) -> str:
        """What a group is called in files."""
        with recorded.in_english():
            return self.label(group)

    def values(self, entries: Sequence[Entry], asked: Asked) -> Iterator[list[Any]]:
        """The rows of these entries, with a value for each of `fields`."""
        fields = self.fields(asked)
        return replace(self.shape, fields=fields).values(entries, fields)


# --- fields -----------------------------------------------------------------------------------------------------------


def of_entry(label: str, read: Callable[[Entry], Any], kind: Kind = Kind.TEXT) -> Field:
    return Field(Column(label, kind), lambda seen: read(seen.row) or None)


def raw(label: str, name: str, kind: Kind = Kind.TEXT) -> Field:
    """What the row has from which the entry was read."""
    return of_entry(label, lambda entry: getattr(entry.raw, name), kind)


def raw_moment(label: str, name: str) -> Field:
    return raw(f"{label} (UTC)", name, Kind.MOMENT)


def beside(label: str, read: Callable[[Any], Any], kind: Kind = Kind.TEXT) -> Field:
    """What was looked up for the entry; empty where nothing was found."""
    return Field(Column(label, kind), lambda seen: read(seen.beside) if seen.beside is not None else None)


def amounts(label: str, read: Callable[[Entry], int | None]) -> list[Field]:
    """The amount in major units, and in minor units. The currency stands in a column of its own."""

    def major(seen: Seen) -> Any:
        amount = read(seen.row)
        return money.major(amount, seen.row.currency) if amount is not None and seen.row.currency else None

    return [
        Field(Column(label, Kind.AMOUNT), major),
        Field(Column(f"{label} (minor units)", Kind.MINOR), lambda seen: read(seen.row)),
    ]


def what_counts(label: str) -> list[Field]:
    """The currency and the amount that the totals add up."""
    return [CURRENCY, *amounts(label, lambda entry: entry.amount)]


def of_records(shape: Shape, records: Callable[[], QuerySet[Any]]) -> Shape:
    """The columns that the list of these records has, for entries that have the records' keys."""

    def look_up(entries: Sequence[Entry]) -> dict[str, Seen]:
        found = shape.queryset(records().filter(pk__among=[entry.pk for entry in entries]), "pk").order_by()
        return {str(seen.row.pk): seen for seen in shape.seen(list(found))}

    fields = [beside(field.column.label, field.read, field.column.kind) for field in shape.fields]
    return Shape(shape.name, fields, (), beside=look_up, rows_at_once=shape.rows_at_once)


UNKNOWN = of_entry("Not known", lambda entry: entry.unknown)
