"""Lists page by page: which rows to show, and the addresses of the pages before and after.

Rows of a table are paged by key (`KeyPages`): `?after=…` and `?before=…` name the place of a row. Only what is in
memory anyway, such as one row's JSON, is paged by number (`Paging`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, Model, QuerySet
from django.http import HttpRequest

from invoices.keyset import CurrencyOrder, Order, Position

MAX_BIGINT = 2**63  # a column of amounts holds less
AFTER, BEFORE = "after", "before"  # in the address: the place of a row; `before=` alone: the end of the list


class NoSuchPlace(ValueError):
    """The address names a place that cannot be one in this list."""


@dataclass(frozen=True)
class KeyPages:
    """One page of a list, and the addresses of the others (empty: there are none)."""

    rows: list[Any]
    first: str
    before: str
    after: str
    last: str

    @classmethod
    def read(cls, request: HttpRequest, rows: QuerySet[Any], order: Order, size: int) -> Self:
        """The page that the address names. Raises NoSuchPlace."""
        after, before = request.GET.get(AFTER), request.GET.get(BEFORE)
        from_end = before == "" and not after
        named = after or before
        place = _parse(rows.model, order, named) if named else None
        backwards = from_end or bool(before and not after)
        found, more = order.read(
            rows, size, after=place if after else None, before=None if after else place, from_end=from_end
        )
        if backwards and not more:  # the first page, and perhaps not a whole one: with what came meanwhile it is
            found, more = order.read(rows, size)
            after, before, backwards = None, None, False
        # The rows on the other side, where the link to this page was, are not looked for.
        earlier = bool(found) and (more if backwards else bool(after))
        later = bool(found) and (bool(before) if backwards else more)
        return cls(
            found,
            with_query(request, after=None, before=None) if earlier or (after and not found) else "",
            with_query(request, after=None, before=_text(order.position(found[0]))) if earlier else "",
            with_query(request, after=_text(order.position(found[-1])), before=None) if later else "",
            with_query(request, after=None, before="") if later else "",
        )


def _text(place: Position) -> str:
    """`2024-05-01T12:00:00.000000~in_1`, or `usd:1000~in_1` by currency and amount"""
    value = place.value
    if isinstance(value, tuple):  # currency and amount
        return f"{value[0]}:{value[1]}~{place.key}"
    if isinstance(value, datetime):
        value = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{'' if value is None else value}~{place.key}"


def _parse(model: type[Model], order: Order, text: str) -> Position:
    value, separator, key = text.rpartition("~")
    column: Any = model._meta.get_field(order.column)
    try:
        if not separator or "\x00" in text:
            raise ValueError(text)
        parsed: Any
        if isinstance(order, CurrencyOrder):
            currency, colon, amount = value.rpartition(":")
            parsed = (currency, int(amount))
            if not colon or not -MAX_BIGINT <= parsed[1] < MAX_BIGINT:
                raise ValueError(text)
        elif isinstance(column, DateTimeField):
            parsed = datetime.fromisoformat(value).replace(tzinfo=UTC) if value else None
        else:
            parsed = column.to_python(value) if value or not order.may_be_empty else None
        return Position(parsed, model._meta.pk.to_python(key))
    except (ValueError, OverflowError, ValidationError):
        raise NoSuchPlace(text) from None


@dataclass(frozen=True)
class Paging:
    """One page of a list in memory: its number (from 1), its size in rows, the addresses of its neighbours (empty:
    none)."""

    number: int
    size: int
    before: str
    after: str

    @property
    def begin(self) -> int:
        """The index of the page's first row."""
        return (self.number - 1) * self.size


def paging(request: HttpRequest, size: int, total: int, *, name: str = "p") -> Paging:
    """The page that the address names in `p` (or another name), at most the last one."""
    given = request.GET.get(name, "")
    number = max(1, int(given)) if given.isdecimal() and len(given) < 8 else 1
    last = max(1, -(-total // size))
    number = min(number, last)
    before = with_query(request, **{name: number - 1}) if number > 1 else ""
    return Paging(number, size, before, with_query(request, **{name: number + 1}) if number < last else "")


def with_query(request: HttpRequest, **changes: Any) -> str:
    """This page's address with some of its query parameters changed; None removes one."""
    query = request.GET.copy()
    for name, value in changes.items():
        if value is None:
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"{request.path}?{query.urlencode()}" if query else request.path
