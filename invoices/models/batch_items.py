"""What a batch does to each of its invoices, and the invoices as the person saw them when she confirmed it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from invoices.models.fields import ObjectField


class BatchItem(NamedTuple):
    """One operation of a batch. It is performed only while its invoice still has this status and amount."""

    invoice: str  # its id
    status: str | None
    amount_remaining: int | None  # minor units
    currency: str = ""  # lower case; empty in batches of before
    # What this item alone is told; None: what follows from the invoice (`Action.bulk_params`).
    params: Mapping[str, Any] | None = None
    operation: str = ""  # the id of its operation; empty: it follows from the batch and the invoice

    def operation_id(self, batch: uuid.UUID) -> uuid.UUID:
        """The id of its operation: always the same, so that an item begun twice is one operation."""
        return uuid.UUID(self.operation) if self.operation else uuid.uuid5(batch, self.invoice)

    @property
    def amount(self) -> int | None:
        """What it is about, in minor units: its own amount, or else all that remains to pay."""
        return self.amount_remaining if self.params is None else self.params.get("amount")


def sums_of(invoices: Iterable[Any]) -> dict[str, int]:
    """What remains to pay on these invoices: currency → minor units."""
    return _sums((each.currency, each.amount_remaining) for each in invoices)


def sums_of_items(items: Iterable[BatchItem]) -> dict[str, int]:
    """What these items are about: currency → minor units."""
    return _sums((each.currency, each.amount) for each in items)


def _sums(amounts: Iterable[tuple[str | None, int | None]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for currency, amount in amounts:
        found[currency or ""] = found.get(currency or "", 0) + (amount or 0)
    return dict(sorted(found.items()))


class BatchItemsField(ObjectField):
    """A list of `BatchItem`, kept as a JSON list of lists."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return self.to_python(super().from_db_value(value, expression, connection))

    def to_python(self, value: Any) -> Any:
        return [BatchItem(*each) for each in super().to_python(value) or []]

    def get_prep_value(self, value: Any) -> str | None:
        """An item without parameters of its own is written as an earlier version writes it, which may be running still
        beside this one."""
        short = [each[:4] if isinstance(each, BatchItem) and each[4:] == (None, "") else each for each in value or []]
        return super().get_prep_value(short)
