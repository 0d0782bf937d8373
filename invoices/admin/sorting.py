"""The order of a list as a person chooses it by the header of a column: `?sort=due`, or `?sort=-due` the other way.

Only what an index serves is offered. A filter of a range puts its own column first: an index finds those rows in that
order.
"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from invoices.admin.filters import RangeFilter
from invoices.keyset import Order

SORT = "sort"  # in the address


@dataclass(frozen=True)
class Sort:
    """One way to sort a list. `only`: in words, which rows have a place in it, where others have none."""

    column: str  # of `list_display`, whose header chooses it
    order: Order  # at the first click
    only: str = ""


@dataclass(frozen=True)
class Chosen:
    """By what a list is sorted."""

    name: str  # in the address
    sort: Sort
    order: Order
    asked: bool  # whether the address says it; else it follows from a filter


def chosen(admin: Any, request: HttpRequest) -> Chosen | None:
    """By what the address sorts this list; None: as the list is sorted by itself."""
    written = request.GET.get(SORT, "")
    name = written.removeprefix("-")
    if name in admin.sorts:
        sort = admin.sorts[name]
        return Chosen(name, sort, sort.order.reversed() if written.startswith("-") else sort.order, asked=True)
    for each in admin.list_filter:
        if issubclass(each, RangeFilter) and any(request.GET.get(name, "").strip() for name in each.parameters):
            for name, sort in admin.sorts.items():
                if sort.order.column == each.column != admin.ordering[0].removeprefix("-"):
                    return Chosen(name, sort, sort.order, asked=False)
    return None


def problem(admin: Any, request: HttpRequest) -> str:
    """Why the list cannot be sorted as the address says; empty: it can."""
    written = request.GET.get(SORT, "")
    if not written or written.removeprefix("-") in admin.sorts:
        return ""
    shown = written.replace("\x00", "")[:40]
    return _("This list cannot be sorted by “{name}”. Choose the header of a column.").format(name=shown)


@dataclass(frozen=True)
class Header:
    """The link in the header of a column. `direction` as in `aria-sort`; empty: the list is not sorted by it."""

    url: str
    direction: str = ""


def header(changelist: Any, column: str, request: HttpRequest) -> Header | None:
    """The link that sorts by this column, or the other way round where the list is sorted by it. None: it cannot."""
    admin = changelist.model_admin
    name = next((name for name, sort in admin.sorts.items() if sort.column == column), "")
    if not name:
        return None
    sort, now = admin.sorts[name], chosen(admin, request)
    order = now.order if now else admin.order(request)
    is_sorted = now.name == name if now else order.column == sort.order.column and name == _first(admin, order)
    if not is_sorted:
        return Header(changelist.get_query_string({SORT: name}))
    turned = f"-{name}" if order.descending == sort.order.descending else name
    return Header(changelist.get_query_string({SORT: turned}), "descending" if order.descending else "ascending")


def _first(admin: Any, order: Order) -> str:
    """The first name under which the list can be sorted by this column."""
    return next((name for name, sort in admin.sorts.items() if sort.order.column == order.column), "")
