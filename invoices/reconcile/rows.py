"""The ids of the mirror's rows, newest first, as Stripe lists its objects.

They are read by key, page by page, along the index of (created, id): no query sorts a table, and no cursor stays open
while Stripe is asked (a request gives the database connection back).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from invoices.models import ReconciliationRun
from invoices.reconcile.retry import with_retries

IDS_PER_PAGE = 2000


def ids_newest_first(run: ReconciliationRun, rows: QuerySet[Any]) -> Iterator[str]:
    """The ids of these rows of the mirror. Rows without a creation time are left out. Raises as `with_retries` does."""
    ordered = rows.exclude(created=None).order_by("-created", "-id").values_list("created", "id")
    page = _page(run, ordered)
    while page:
        for _, id in page:
            yield id
        created, last = page[-1]
        # The first condition follows from the second, and lets the index begin at this row.
        after = Q(created__lte=created) & (Q(created__lt=created) | Q(id__lt=last))
        page = _page(run, ordered.filter(after))


def _page(run: ReconciliationRun, ordered: QuerySet[Any]) -> list[tuple[datetime, str]]:
    return with_retries(run, lambda: list(ordered[:IDS_PER_PAGE]))
