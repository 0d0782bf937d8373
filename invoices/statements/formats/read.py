"""Reads a file of a bank, whatever format it has: by its content, never by its name."""

from __future__ import annotations

from collections.abc import Callable

from invoices.statements.formats import camt, csv_file, mt940
from invoices.statements.formats.csv_file import CsvLayout, NeedsLayout, Table
from invoices.statements.formats.parsed import ParsedStatement


def read(content: bytes, layout_of: Callable[[Table], CsvLayout | None]) -> list[ParsedStatement]:
    """The statements of a file. `layout_of` finds what a person said about CSV files with these columns.

    Raises BadStatement, and NeedsLayout for CSV files of which nobody has said what their columns are.
    """
    if camt.looks_like(content):
        return camt.read(content)
    if mt940.looks_like(content):
        return mt940.read(content)
    table = csv_file.table_of(content)
    layout = layout_of(table)
    if layout is None:
        raise NeedsLayout(table)
    return csv_file.read_table(table, layout)
