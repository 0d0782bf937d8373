"""A table as a file has it: its name, its columns with their kinds, and its rows; and the same as CSV.

A table is made row by row, so that one of a million rows takes no more memory than one of ten. `spreadsheet.py` writes
the same tables as XLSX.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any, NamedTuple

from invoices.streaming import Echo, cell

# Excel takes a CSV file for one in the old code page of its country, unless it begins with this mark.
BYTE_ORDER_MARK = "\ufeff"
ROWS_PER_PIECE = 200


class Kind(Enum):
    """What the values of a column are. Any value may be None: an empty cell."""

    TEXT = auto()
    CURRENCY = auto()  # Stripe's code, in capitals
    AMOUNT = auto()  # a Decimal in major units, with as many decimals as its currency has
    MINOR = auto()  # an integer in minor units
    NUMBER = auto()  # an integer that counts something
    MOMENT = auto()  # an aware datetime
    DAY = auto()  # a date


class Column(NamedTuple):
    label: str
    kind: Kind


@dataclass(frozen=True)
class Table:
    """`rows` has a value for each column, in their order, and can be read once."""

    name: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]


def csv_pieces(table: Table) -> Iterator[str]:
    """The table as CSV, some lines at a time: UTF-8, with commas."""
    writer = csv.writer(Echo())
    kinds = [column.kind for column in table.columns]
    lines = [BYTE_ORDER_MARK + writer.writerow([column.label for column in table.columns])]
    for row in table.rows:
        lines.append(writer.writerow([_written(kind, value) for kind, value in zip(kinds, row, strict=True)]))
        if len(lines) >= ROWS_PER_PIECE:
            yield "".join(lines)
            lines = []
    yield "".join(lines)


def _written(kind: Kind, value: Any) -> str:
    """A number stays a number, negative ones too. A text cannot become a formula."""
    if value is None:
        return ""
    if kind is Kind.AMOUNT and isinstance(value, Decimal):
        return format(value, "f")
    if kind in (Kind.MINOR, Kind.NUMBER) and isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return value.isoformat() if isinstance(value, date) else cell(value)
