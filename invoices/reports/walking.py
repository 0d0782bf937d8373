"""Reads rows page by page by key, with some columns only, as named tuples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from invoices.keyset import Order
from invoices.reports.report import ROWS_PER_PAGE


def walk(rows: QuerySet[Any], column: str, *columns: str, may_be_empty: bool = False) -> Iterator[list[Any]]:
    """These rows in the order of `column`, the smallest first: `pk`, `column` and `columns` of each. `may_be_empty`:
    also rows without a value in `column`, which come first."""
    order = Order(column, descending=False, may_be_empty=may_be_empty)
    read = rows.values_list("pk", column, *columns, named=True)
    after = None
    while True:
        found, more = order.read(read, ROWS_PER_PAGE, after=after)
        if found:
            yield found
        if not more:
            return
        after = order.position(found[-1])
