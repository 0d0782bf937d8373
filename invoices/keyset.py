"""Pages of a list by key: each page begins where a row stands, by (column, primary key), and is one short range of an
index.

So page 20,000 costs what the first one costs, and a row that comes or goes meanwhile shifts no other. Nothing is
counted, and no row is read to be skipped; one row more than the page has is read, to know whether there are more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from django.db import connection
from django.db.models import CharField, F, Func, Model, Q, QuerySet, Value
from django.db.models.functions import Collate, Greatest
from django.db.models.lookups import GreaterThan, LessThan


class Position(NamedTuple):
    """Where a row stands in its list: the value of the column by which the list is ordered, and the primary key."""

    value: Any  # None where the column has no value
    key: Any


@dataclass(frozen=True)
class Order:
    """By this column, then by the primary key. Rows without a value are the last when it descends, else the first."""

    column: str
    descending: bool = True
    may_be_empty: bool = True  # False: the list holds only rows with a value, though the column could have none

    def position(self, row: Model) -> Position:
        """Where this row stands."""
        return Position(getattr(row, self.column), row.pk)

    @property
    def names(self) -> list[str]:
        """What a queryset is told to be ordered by."""
        sign = "-" if self.descending else ""
        return [f"{sign}{self.column}", f"{sign}pk"]

    def reversed(self) -> Self:
        """The same order the other way round."""
        return replace(self, descending=not self.descending)

    def with_value(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of these rows that have a place in this order: where it is not for empty values, those with one."""
        if self.may_be_empty or not rows.model._meta.get_field(self.column).null:
            return rows
        return rows.filter(**{f"{self.column}__isnull": False})

    def read(
        self,
        rows: QuerySet[Any],
        limit: int,
        *,
        after: Position | None = None,
        before: Position | None = None,
        from_end: bool = False,
    ) -> tuple[list[Any], bool]:
        """At most `limit` rows in this order, and whether there are more in the direction of reading.

        Without a position the first ones; else those next after it, or next before it; `from_end`: the last ones.
        """
        forwards = before is None and not from_end
        found: list[Any] = []
        for part in self._parts(rows, after or before, forwards):
            found += part[: limit + 1 - len(found)]
            if len(found) > limit:
                break
        more, found = len(found) > limit, found[:limit]
        return (found if forwards else found[::-1]), more

    def end_of_stretch(self, rows: QuerySet[Any], length: int, after: Position | None) -> Position | None:
        """Where the row stands that is so many rows after a position; None where fewer rows with a value are left. Only
        for an order that descends."""
        if after is not None and after.value is None:
            return None
        with_value, *_ = self._parts(rows, after, forwards=True)
        end = with_value.values_list(self.column, "pk")[length - 1 : length]
        return next((Position(*each) for each in end), None)

    def until(self, rows: QuerySet[Any], end: Position) -> QuerySet[Any]:
        """Those of these rows that do not stand behind this position, which has a value, where the order descends."""
        column = self.column
        same_or_before = Q(**{f"{column}__gt": end.value}) | Q(_key__gte=end.key)
        return rows.alias(_key=_key(rows.model)).filter(Q(**{f"{column}__gte": end.value}) & same_or_before)

    def _parts(self, rows: QuerySet[Any], position: Position | None, forwards: bool) -> list[QuerySet[Any]]:
        """The rows beyond the position, in the direction of reading, as one or two querysets: those without a value are
        a queryset of their own, because databases disagree on whether a null sorts first or last."""
        rows = rows.alias(_key=_key(rows.model))
        falling = self.descending == forwards
        order = [F(name).desc() if falling else F(name).asc() for name in (self.column, "_key")]
        with_value = rows.order_by(*order)
        if not (self.may_be_empty and rows.model._meta.get_field(self.column).null):
            return [with_value if position is None else with_value.filter(self._beyond(position, falling))]
        without = rows.filter(**{f"{self.column}__isnull": True}).order_by(order[1])
        with_value = with_value.filter(**{f"{self.column}__isnull": False})
        if position is None:
            return [with_value, without] if falling else [without, with_value]
        if position.value is not None:
            with_value = with_value.filter(self._beyond(position, falling))
            return [with_value, without] if falling else [with_value]
        without = without.filter(**{"_key__lt" if falling else "_key__gt": position.key})
        return [without] if falling else [without, with_value]

    def _beyond(self, position: Position, falling: bool) -> Q:
        """Past the position by (column, key).

        The first condition follows from the second. It is there so that the database uses the index on the column: it
        does not for an OR alone.
        """
        lookup = "lt" if falling else "gt"
        return Q(**{f"{self.column}__{lookup}e": position.value}) & (
            Q(**{f"{self.column}__{lookup}": position.value}) | Q(**{f"_key__{lookup}": position.key})
        )


@dataclass(frozen=True)
class CurrencyOrder(Order):
    """By currency, then by this amount, then by the primary key, all in the same direction: minor units of different
    currencies do not compare. Rows without a currency or an amount have no place in it. An index of these three columns
    serves it, whatever is equal in how many rows."""

    may_be_empty: bool = False
    currency_column: str = "currency"

    @property
    def names(self) -> list[str]:
        sign = "-" if self.descending else ""
        return [f"{sign}{self.currency_column}", *super().names]

    def with_value(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(**{f"{self.currency_column}__isnull": False, f"{self.column}__isnull": False})

    def position(self, row: Model) -> Position:
        """Its value is the pair of currency and amount."""
        return Position((getattr(row, self.currency_column), getattr(row, self.column)), row.pk)

    def _parts(self, rows: QuerySet[Any], position: Position | None, forwards: bool) -> list[QuerySet[Any]]:
        falling = self.descending == forwards
        columns = (self.currency_column, self.column, "pk")
        rows = self.with_value(rows).order_by(*(F(name).desc() if falling else F(name).asc() for name in columns))
        if position is None:
            return [rows]
        here = _Row(*(F(name) for name in columns), output_field=CharField())
        there = _Row(*(Value(value) for value in (*position.value, position.key)), output_field=CharField())
        return [rows.filter(LessThan(here, there) if falling else GreaterThan(here, there))]


def newest_of_few(rows: QuerySet[Any], column: str = "created") -> QuerySet[Any]:
    """Rows that were found by their ids, or by those of what they belong to, newest first.

    Not in the words of an index: to show the newest six of some hundred ids, PostgreSQL would look for them among all
    rows, newest first, as if they were spread evenly. If they are old, it reads the whole table. So it sorts them."""
    return rows.order_by(Greatest(column, column).desc(), "-pk")


class _Row(Func):
    """Several values that the database compares one after the other, by one range of an index."""

    template = "(%(expressions)s)"


def _key(model: type[Model]) -> Any:
    """The primary key, to order by. Stripe's ids sort by their bytes, whatever the language of the database."""
    if connection.vendor == "postgresql" and isinstance(model._meta.pk, CharField):
        return Collate("pk", "C")
    return F("pk")
