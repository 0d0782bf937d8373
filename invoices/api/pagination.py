"""Stripe's cursors: newest first, by (moment, id), one row more than asked for instead of a COUNT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import CharField, F, Model, Q, QuerySet
from django.db.models.functions import Collate

from invoices.api.envelope import invalid, missing
from invoices.api.parameters import integer

NAMES = ("limit", "starting_after", "ending_before")
DEFAULT, LARGEST = 10, 100
BOTH = "Received both starting_after and ending_before parameters. Please pass in only one."


@dataclass(frozen=True)
class Page:
    """Which page is wanted: at most `limit` objects, older than `after`, or just newer than `before`."""

    limit: int = DEFAULT
    after: str = ""
    before: str = ""

    @classmethod
    def take(cls, values: dict[str, Any]) -> Page:
        """Takes the three parameters out of the flat ones. A limit out of range is clamped in silence, as Stripe does.

        Raises ApiError.
        """
        limit = integer(values.pop("limit", DEFAULT), "limit")
        after, before = str(values.pop("starting_after", "")), str(values.pop("ending_before", ""))
        if after and before:
            raise invalid(BOTH)
        return cls(min(max(limit, 1), LARGEST), after, before)

    @property
    def cursor(self) -> str:
        return self.after or self.before

    def unknown(self, noun: str) -> Exception:
        """400: the cursor names nothing."""
        return missing(noun, self.cursor, "starting_after" if self.after else "ending_before", status=400)

    def of_rows(self, rows: QuerySet[Any], everything: QuerySet[Any], by: str, noun: str) -> tuple[list[Any], bool]:
        """This page of the rows, newest first, and whether there are more in the direction of the walk.

        `everything` is where a cursor may point, deleted objects included. Raises ApiError for an unknown cursor.
        """
        anchor = _anchor(everything, by, self.cursor) if self.cursor else None
        if self.cursor and anchor is None:
            raise self.unknown(noun)
        down = not self.before
        found: list[Any] = []
        for segment in _segments(rows, by, anchor, down):
            found += segment[: self.limit + 1 - len(found)]
            if len(found) > self.limit:
                break
        more = len(found) > self.limit
        found = found[: self.limit]
        return (found if down else found[::-1]), more

    def of_list(self, items: Sequence[dict[str, Any]], noun: str) -> tuple[list[dict[str, Any]], bool]:
        """The same walk over a list that an object holds inside, in its own order. Raises ApiError."""
        if not self.cursor:
            return list(items[: self.limit]), len(items) > self.limit
        place = next((index for index, item in enumerate(items) if item.get("id") == self.cursor), None)
        if place is None:
            raise self.unknown(noun)
        if self.after:
            rest = items[place + 1 :]
            return list(rest[: self.limit]), len(rest) > self.limit
        return list(items[max(place - self.limit, 0) : place]), place > self.limit


def _anchor(everything: QuerySet[Any], by: str, cursor: str) -> tuple[Any, Any] | None:
    try:
        key = everything.model._meta.pk.to_python(cursor)
    except (ValidationError, ValueError):
        return None
    moment = everything.filter(pk=key).values_list(by, flat=True).first()
    known = moment is not None or everything.filter(pk=key).exists()
    return (moment, key) if known else None


def _segments(rows: QuerySet[Any], by: str, anchor: tuple[Any, Any] | None, down: bool) -> list[QuerySet[Any]]:
    """The rows in the order of the walk: those with a moment, and, after them, those whose moment Stripe did not say
    (databases disagree on where a null stands)."""
    key = _key(rows.model)
    rows = rows.alias(_key=key)
    dated = rows.order_by(F(by).desc(), F("_key").desc()) if down else rows.order_by(F(by).asc(), F("_key").asc())
    if not rows.model._meta.get_field(by).null:
        return [dated if anchor is None else dated.filter(_beyond(by, anchor, down))]
    undated = rows.filter(**{f"{by}__isnull": True}).order_by(F("_key").desc() if down else F("_key").asc())
    dated = dated.filter(**{f"{by}__isnull": False})
    if anchor is None:
        return [dated, undated] if down else [undated, dated]
    if anchor[0] is not None:
        dated = dated.filter(_beyond(by, anchor, down))
        return [dated, undated] if down else [dated]
    undated = undated.filter(**{"_key__lt" if down else "_key__gt": anchor[1]})
    return [undated] if down else [undated, dated]


def _beyond(by: str, anchor: tuple[Any, Any], down: bool) -> Q:
    """Past the anchor in (moment, id). Written so that the index on the moment serves it: a bare OR would not."""
    moment, key = anchor
    than = "lt" if down else "gt"
    return Q(**{f"{by}__{than}e": moment}) & (Q(**{f"{by}__{than}": moment}) | Q(**{f"_key__{than}": key}))


def _key(model: type[Model]) -> Any:
    """Stripe's ids of one second sort by their bytes, whatever the language of the database."""
    if connection.vendor == "postgresql" and isinstance(model._meta.pk, CharField):
        return Collate("pk", "C")
    return F("pk")
