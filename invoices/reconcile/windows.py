"""A part of one of Stripe's lists, its pages, and our rows of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from invoices import gateway
from invoices.models import MIRRORED, ReconciliationRun
from invoices.reconcile import runs
from invoices.reconcile.patience import patiently
from invoices.snapshot import Snapshot

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Window:
    """A part of one of Stripe's lists: creation time in Stripe's seconds, from (included) to (excluded); a status."""

    object: str
    start: int | None = None
    end: int | None = None
    status: str = ""

    @property
    def name(self) -> str:
        return f"{self.object}/{self.status or 'all'}/{self.start or ''}-{self.end or ''}"

    def params(self) -> dict[str, Any]:
        """As Stripe's list takes it."""
        created = {"gte": self.start, "lt": self.end}
        params: dict[str, Any] = {"created": {key: value for key, value in created.items() if value is not None}}
        if self.status:
            params["status"] = self.status
        return {key: value for key, value in params.items() if value}

    def rows(self) -> QuerySet[Any]:
        """Our rows of this window."""
        rows: QuerySet[Any] = MIRRORED[self.object].objects.filter(deleted_at=None)
        if self.start is not None:
            rows = rows.filter(created__gte=datetime.fromtimestamp(self.start, UTC))
        if self.end is not None:
            rows = rows.filter(created__lt=datetime.fromtimestamp(self.end, UTC))
        return rows.filter(status=self.status) if self.status else rows


def pages(this: ReconciliationRun, window: Window) -> Iterator[list[Snapshot]]:
    """Stripe's list of this window, page by page, with patience; each page shows that the run is alive."""
    params = window.params()
    while True:
        snapshots, reply = patiently(this, lambda: gateway.list_page(window.object, **params))
        yield snapshots
        runs.alive(this)
        if not reply.data["has_more"] or not reply.data["data"]:
            return
        params["starting_after"] = reply.data["data"][-1]["id"]
