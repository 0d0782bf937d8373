"""The invoices of a batch, as the person saw them when she confirmed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from invoices.models.fields import ObjectField


class BatchItem(NamedTuple):
    """One invoice of a batch. The action is performed only while the invoice still has this status and amount."""

    invoice: str  # its id
    status: str | None
    amount_remaining: int | None  # minor units
    currency: str = ""  # lower case; empty in batches of before


def sums_of(invoices: Iterable[Any]) -> dict[str, int]:
    """What remains to pay on these, invoices or items of a batch: currency → minor units."""
    found: dict[str, int] = {}
    for each in invoices:
        found[each.currency or ""] = found.get(each.currency or "", 0) + (each.amount_remaining or 0)
    return dict(sorted(found.items()))


class BatchItemsField(ObjectField):
    """A list of `BatchItem`, kept as a JSON list of lists."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return self.to_python(super().from_db_value(value, expression, connection))

    def to_python(self, value: Any) -> Any:
        return [BatchItem(*each) for each in super().to_python(value) or []]
