"""Pages of what a query finds, newest first, in bounded time.

First the database answers as it plans it, which takes milliseconds where an index holds what is asked for. What a
negation leaves, or where two common clauses meet, no index holds. Where the plan takes too long, the table is walked in
the order of the answer, a stretch of it at a time, until the page is full. A walk that takes long gives a shorter page,
and the next page goes on where it stood. No page but the last is empty: Stripe's SDKs take an empty page for the end.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import QuerySet

from invoices import thresholds
from invoices.keyset import Order, Position
from invoices.search.time_limit import Limit, TakesTooLong, time_limit

STRETCH = 20_000  # rows of the table that one statement of a walk looks at: some hundredths of a second
NEVER = timedelta(days=1)


class Page(NamedTuple):
    """Some of the rows that match, in their order."""

    rows: list[Any]
    end: Position | None  # after which the next page begins; None: there is none
    walked: bool = False  # the next page is better not asked of the plan


def read(order: Order, rows: QuerySet[Any], limit: int, after: Position | None = None, *, walk: bool = False) -> Page:
    """A page of at most so many of these rows: of models, or of values that begin with the order's column and the key.
    `walk`: the page before this one was found by a walk. Raises TakesTooLong."""
    if not walk:
        with suppress(TakesTooLong), time_limit(thresholds.SEARCH_PLANNED):
            found, more = order.read(rows, limit, after=after)
            return Page(found, _position(order, found[-1]) if more else None)
    return _walk(order, rows, limit, after, thresholds.SEARCH_PAGE)


def count(order: Order, rows: QuerySet[Any], most: int) -> int:
    """How many rows these are, at most so many. Raises TakesTooLong."""
    with suppress(TakesTooLong), time_limit(thresholds.SEARCH_PLANNED):
        return rows.order_by()[:most].count()
    return len(_walk(order, rows.values_list(order.column, "pk"), most, None, NEVER).rows)


def _walk(order: Order, rows: QuerySet[Any], limit: int, after: Position | None, long_enough: timedelta) -> Page:
    """After `long_enough` a page with some rows is a page."""
    found: list[Any] = []
    given_up, enough = Limit(thresholds.SEARCH_GIVEN_UP), Limit(long_enough)
    while True:
        with time_limit(thresholds.SEARCH_GIVEN_UP):
            end = order.end_of_stretch(rows.model._base_manager.all(), STRETCH, after)
            stretch = rows if end is None else order.until(rows, end)
            part, more = order.read(stretch, limit - len(found), after=after)
        found += part
        if more:
            return Page(found, _position(order, found[-1]), walked=True)
        if end is None or (found and enough.is_over):
            return Page(found, end, walked=True)
        given_up.check()
        after = end


def _position(order: Order, row: Any) -> Position:
    return Position(*row[:2]) if isinstance(row, tuple) else order.position(row)


class SearchOrder(Order):
    """The same order, in bounded time: for lists that page by themselves."""

    def read(self, rows: QuerySet[Any], limit: int, **place: Any) -> tuple[list[Any], bool]:
        """As `Order.read`. Raises TakesTooLong."""
        if place.get("before") is None and not place.get("from_end"):
            page = read(Order(self.column, self.descending, self.may_be_empty), rows, limit, place.get("after"))
            return page.rows, page.end is not None
        with time_limit(thresholds.SEARCH_PAGE):
            return super().read(rows, limit, **place)
