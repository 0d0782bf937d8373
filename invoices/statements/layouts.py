"""What people said about the columns of a bank's CSV files, by the labels of the columns."""

from __future__ import annotations

from dataclasses import replace

from django.contrib.auth.models import User

from invoices import clock
from invoices.models import StatementLayout
from invoices.statements.formats.csv_file import CsvLayout, Table, sign_of_debits
from invoices.statements.formats.references import our_account


def layout_of(table: Table, account: str = "") -> CsvLayout | None:
    """None: nobody has said yet what these columns are. `account`: where the file does not say it, and it
    is another one of the bank's than the first time."""
    known = StatementLayout.objects.filter(key=table.key).first()
    if known is None:
        return None
    layout = CsvLayout.from_json(known.layout)
    return replace(layout, account=our_account(account)) if account else layout


def remember(table: Table, layout: CsvLayout, *, name: str, by: User) -> None:
    """From now on files with these columns are read so. `name`: of the bank."""
    said = {
        "name": name,
        "layout": replace(layout, debits=sign_of_debits(table, layout)).to_json(),
        "changed_by": by,
        "changed_at": clock.now(),
    }
    StatementLayout.objects.update_or_create(key=table.key, defaults=said)
