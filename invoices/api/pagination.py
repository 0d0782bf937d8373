"""Pages as at Stripe: cursors instead of page numbers, newest first, and no total.

Lists are ordered by (time, id), and read by `invoices/keyset.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from invoices.api.envelope import ApiError, invalid, no_such_object
from invoices.api.parameters import integer, refuse_nested
from invoices.keyset import Order, Position

DEFAULT_LIMIT, MAX_LIMIT = 10, 100  # objects on a page; Stripe's numbers
BOTH_CURSORS_MESSAGE = "Received both starting_after and ending_before parameters. Please pass in only one."


@dataclass(frozen=True)
class Page:
    """Which page is wanted: at most `limit` objects, and the id after which, or before which, they stand."""

    limit: int = DEFAULT_LIMIT
    starting_after: str = ""
    ending_before: str = ""

    @classmethod
    def take_from(cls, values: dict[str, Any]) -> Page:
        """Removes the three parameters from the flat ones. A limit out of range is clamped, as at Stripe.

        Raises ApiError.
        """
        for name, word in (("limit", "integer"), ("starting_after", "string"), ("ending_before", "string")):
            refuse_nested(values, name, word)
        limit = integer(values.pop("limit", DEFAULT_LIMIT), "limit")
        starting_after, ending_before = str(values.pop("starting_after", "")), str(values.pop("ending_before", ""))
        if starting_after and ending_before:
            raise invalid(BOTH_CURSORS_MESSAGE)
        return cls(min(max(limit, 1), MAX_LIMIT), starting_after, ending_before)

    @property
    def cursor(self) -> str:
        """The id at which the page begins or ends; empty for the first page."""
        return self.starting_after or self.ending_before

    def unknown_cursor(self, object_type: str) -> ApiError:
        """400: there is no object with the cursor's id."""
        param = "starting_after" if self.starting_after else "ending_before"
        return no_such_object(object_type, self.cursor, param, status=400)

    def of_rows(
        self, rows: QuerySet[Any], all_rows: QuerySet[Any], time_column: str, object_type: str
    ) -> tuple[list[Any], bool]:
        """This page of the rows, newest first, and whether there are more beyond it, away from the cursor.

        The cursor may be any of `all_rows`, deleted objects included. Raises ApiError for an unknown cursor.
        """
        order = Order(time_column)
        if not self.cursor:
            return order.read(rows, self.limit)
        cursor = _position(all_rows, time_column, self.cursor)
        if cursor is None:
            raise self.unknown_cursor(object_type)
        if self.starting_after:
            return order.read(rows, self.limit, after=cursor)
        return order.read(rows, self.limit, before=cursor)

    def of_list(self, items: Sequence[dict[str, Any]], object_type: str) -> tuple[list[dict[str, Any]], bool]:
        """The same for a list inside an object, in the list's own order. Raises ApiError for an unknown cursor."""
        if not self.cursor:
            return list(items[: self.limit]), len(items) > self.limit
        index = next((index for index, item in enumerate(items) if item.get("id") == self.cursor), None)
        if index is None:
            raise self.unknown_cursor(object_type)
        if self.starting_after:
            rest = items[index + 1 :]
            return list(rest[: self.limit]), len(rest) > self.limit
        return list(items[max(index - self.limit, 0) : index]), index > self.limit


def _position(all_rows: QuerySet[Any], time_column: str, id: str) -> Position | None:
    """Where the row with this id stands. None where there is no such row."""
    try:
        key = all_rows.model._meta.pk.to_python(id)
    except (ValidationError, ValueError):
        return None
    time = all_rows.filter(pk=key).values_list(time_column, flat=True).first()
    exists = time is not None or all_rows.filter(pk=key).exists()
    return Position(time, key) if exists else None
