"""Pages as at Stripe: cursors instead of page numbers, newest first, and no total.

Lists are ordered by (time, id). One row more than the limit is read, to know without a COUNT whether there are more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import CharField, F, Model, Q, QuerySet
from django.db.models.functions import Collate

from invoices.api.envelope import ApiError, invalid, no_such_object
from invoices.api.parameters import integer

DEFAULT_LIMIT, MAX_LIMIT = 10, 100  # objects on a page; Stripe's numbers
BOTH_CURSORS_MESSAGE = "Received both starting_after and ending_before parameters. Please pass in only one."

# Of a row in a list: its time, which is None if Stripe did not send it, and its key.
Position = tuple[datetime | None, Any]


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
        cursor = _position(all_rows, time_column, self.cursor) if self.cursor else None
        if self.cursor and cursor is None:
            raise self.unknown_cursor(object_type)
        to_older = not self.ending_before
        found: list[Any] = []
        for part in _ordered_parts(rows, time_column, cursor, to_older):
            found += part[: self.limit + 1 - len(found)]
            if len(found) > self.limit:
                break
        has_more = len(found) > self.limit
        found = found[: self.limit]
        return (found if to_older else found[::-1]), has_more

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
    return (time, key) if exists else None


def _ordered_parts(
    rows: QuerySet[Any], time_column: str, cursor: Position | None, to_older: bool
) -> list[QuerySet[Any]]:
    """The rows beyond the cursor, in order, as one or two querysets.

    Rows without a time from Stripe count as the oldest. They are a queryset of their own, because databases
    disagree on whether a null sorts first or last.
    """
    key = _key(rows.model)
    rows = rows.alias(_key=key)
    order = [F(time_column).desc(), F("_key").desc()] if to_older else [F(time_column).asc(), F("_key").asc()]
    dated = rows.order_by(*order)
    if not rows.model._meta.get_field(time_column).null:
        return [dated if cursor is None else dated.filter(_beyond(time_column, cursor, to_older))]
    undated = rows.filter(**{f"{time_column}__isnull": True}).order_by(order[1])
    dated = dated.filter(**{f"{time_column}__isnull": False})
    if cursor is None:
        return [dated, undated] if to_older else [undated, dated]
    if cursor[0] is not None:
        dated = dated.filter(_beyond(time_column, cursor, to_older))
        return [dated, undated] if to_older else [dated]
    undated = undated.filter(**{"_key__lt" if to_older else "_key__gt": cursor[1]})
    return [undated] if to_older else [undated, dated]


def _beyond(time_column: str, cursor: Position, to_older: bool) -> Q:
    """Past the cursor by (time, key).

    The first condition follows from the second. It is there so that the database uses the index on the time: it does
    not for an OR alone.
    """
    time, key = cursor
    lookup = "lt" if to_older else "gt"
    return Q(**{f"{time_column}__{lookup}e": time}) & (
        Q(**{f"{time_column}__{lookup}": time}) | Q(**{f"_key__{lookup}": key})
    )


def _key(model: type[Model]) -> Any:
    """The primary key, to order by. Stripe's ids sort by their bytes, whatever the language of the database."""
    if connection.vendor == "postgresql" and isinstance(model._meta.pk, CharField):
        return Collate("pk", "C")
    return F("pk")
