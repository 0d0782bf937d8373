"""Lists inside a page, page by page: which rows to show, and the addresses of the pages before and after."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True)
class Paging:
    """One page of a list: its number (from 1), its size in rows, the addresses of its neighbours (empty: none)."""

    number: int
    size: int
    before: str
    after: str

    @property
    def begin(self) -> int:
        """The index of the page's first row."""
        return (self.number - 1) * self.size


def paging(request: HttpRequest, size: int, total: int | None = None, *, more: bool = False) -> Paging:
    """The page that the address names in `p`, at most the last one. Without a `total` nothing is counted: `more` says
    whether another page follows."""
    given = request.GET.get("p", "")
    number = max(1, int(given)) if given.isdecimal() and len(given) < 8 else 1
    last = number if total is None else max(1, -(-total // size))
    number = number if total is None else min(number, last)
    before = with_query(request, p=number - 1) if number > 1 else ""
    return Paging(number, size, before, with_query(request, p=number + 1) if more or number < last else "")


def with_query(request: HttpRequest, **changes: Any) -> str:
    """This page's address with some of its query parameters changed; None removes one."""
    query = request.GET.copy()
    for name, value in changes.items():
        if value is None:
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"{request.path}?{query.urlencode()}" if query else request.path
