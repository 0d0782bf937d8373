"""A list as a table for a file: all that its search and its filters match, on all pages, in the list's order.

The same for who downloads it at once and for the worker that prepares it later: both ask the list itself what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from invoices import recorded, search, thresholds
from invoices.admin import footers
from invoices.admin.file_columns import as_shown
from invoices.admin.lists import NO_FILTERS, SEARCH, RecordList
from invoices.admin.paging import AFTER, BEFORE
from invoices.keyset import Order
from invoices.record_tables import SHAPES, Field, Shape
from invoices.search.time_limit import time_limit
from invoices.tables import Table

COLUMNS_OF_FILE, SHOWN = "table", "shown"  # in the address of a file: the columns as the list shows them, not all
NOW = "now"  # in the address of a file: also where it is long
NO_PART_OF_LIST = (AFTER, BEFORE, COLUMNS_OF_FILE, NOW)
NOT_IN_NAME = {*NO_FILTERS, "q"}
LONG = 100_000  # rows: more of them are better prepared in the background
LONGEST_NAME = 80  # characters of what the filters say in the name of the file
LONGEST_DETAIL = 1000  # characters of what the filters say in the journal


class Unreadable(Exception):
    """The list cannot show what the address asks for: `problems`, a sentence each; `query` leads to the list that says
    it, and is empty where the list would refuse it too."""

    def __init__(self, problems: Sequence[str], query: str = "") -> None:
        super().__init__(" ".join(dict.fromkeys(problems)))
        self.problems, self.query = list(dict.fromkeys(problems)), query


class ListFile:
    """What a person wants of a list. `request` has the person and the list's address; the places of pages in it, and
    what it says of the file, are taken out of it."""

    def __init__(self, admin: Any, request: HttpRequest) -> None:
        """Raises Unreadable."""
        self.admin, self.request = admin, request
        self.is_as_shown = request.GET.get(COLUMNS_OF_FILE) == SHOWN
        self.query = without_places(request.GET)
        request.GET = self.query  # all pages, wherever the list stood
        self.shown = self._list()
        if self.shown.problems:
            raise Unreadable(self.shown.problems, self.query.urlencode())
        self.shape: Shape = SHAPES[admin.model]
        self.order = admin.order(request)
        self.rows = self.shape.queryset(self.shown.queryset, self.order.column).order_by()
        if self.shown.query and type(self.order) is Order:
            column, descending = self.order.column, self.order.descending
            self.order = search.SearchOrder(column, descending, self.order.may_be_empty)
        self.fields: Sequence[Field] = self.shape.allowed(request.user.has_perm)
        if self.is_as_shown:
            self.fields = as_shown(admin.model, self.fields, self.shown.chosen_columns)

    def _list(self) -> RecordList:
        try:
            return self.admin.get_changelist_instance(self.request)
        except IncorrectLookupParameters:
            raise Unreadable([_("The list has no such filter. Choose what the file is to have here.")]) from None

    @property
    def permissions(self) -> list[str]:
        """Without which nobody may have this file."""
        of_list = f"{self.admin.opts.app_label}.view_{self.admin.opts.model_name}"
        return sorted({of_list, *(field.permission for field in self.fields if field.permission)})

    def is_long(self) -> bool:
        """Whether it has more than LONG rows, or so many have to be looked through that nobody can tell. PostgreSQL
        estimates it: a file that is a little longer can be downloaded at once as well."""
        estimated = footers.planned(self.rows)
        if estimated is not None:
            return estimated > LONG
        try:
            with time_limit(thresholds.LONG_LIST_LOOK):
                return self.rows.values("pk")[LONG : LONG + 1].exists()
        except search.TakesTooLong:
            return True

    def table(self) -> Table:
        """The table, with its first rows read. Raises Unreadable where a search takes too long."""
        pages = self.pages()
        try:
            first = next(pages, [])
        except search.TakesTooLong as error:
            raise Unreadable([str(error)], self.query.urlencode()) from None
        return Table(self.shape.name, [field.column for field in self.fields], self._values(chain([first], pages)))

    def pages(self) -> Iterator[list[Any]]:
        """The rows, page by page by key. Raises search.TakesTooLong."""
        after = None
        while True:
            found, more = self.order.read(self.rows, self.shape.rows_at_once, after=after)
            yield found
            if not more:
                return
            after = self.order.position(found[-1])

    def _values(self, pages: Iterable[list[Any]]) -> Iterator[list[Any]]:
        for page in pages:
            yield from self.shape.values(page, self.fields)

    def narrowed(self) -> str:
        """What narrows it, in English, for what is kept. What was searched for is left out: it may be a customer's
        name, and an erasure cannot take it out of the journal of people."""
        with recorded.in_english():  # the filters name what can be chosen in the language in which they were made
            shown = self._list()
            words = [*filter(None, (each.in_words() for each in shown.filters)), *(["a search"] if shown.query else [])]
        return (" · ".join(words) or "everything")[:LONGEST_DETAIL]

    def file_name(self, format: str) -> str:
        """`invoices-overdue-usd-2026-11-21.csv`: the list, what its filters choose, and the reader's day."""
        chosen = [slugify(value) for name, value in self.query.items() if value and name not in NOT_IN_NAME]
        words = "-".join([*filter(None, chosen), *(["search"] if self.query.get(SEARCH) else [])])[:LONGEST_NAME]
        parts = [slugify(self.shape.name), words.strip("-"), f"{timezone.localdate():%Y-%m-%d}"]
        return f"{'-'.join(filter(None, parts))}.{format}"


def without_places(query: QueryDict) -> Any:
    """The list's address, to be changed, without the place of its page, and without what it says of a file."""
    kept = query.copy()
    for name in NO_PART_OF_LIST:
        kept.pop(name, None)
    return kept
