"""What people said about the columns of a bank's CSV files, by the labels of the columns."""

from __future__ import annotations

from django.contrib.auth.models import User

from invoices import clock
from invoices.models import StatementLayout
from invoices.statements.formats.csv_file import CsvLayout, Table


def layout_of(table: Table) -> CsvLayout | None:
    """None: nobody has said yet what these columns are."""
    known = StatementLayout.objects.filter(key=table.key).first()
    return CsvLayout.from_json(known.layout) if known else None


def remember(table: Table, layout: CsvLayout, *, name: str, by: User) -> None:
    """From now on files with these columns are read so. `name`: of the bank."""
    said = {"name": name, "layout": layout.to_json(), "changed_by": by, "changed_at": clock.now()}
    StatementLayout.objects.update_or_create(key=table.key, defaults=said)
