"""Our lists of records: read page by page by key, filtered, sorted and shown in columns by what the address says.

An address that cannot be read selects nothing, and the list says why (`RecordList.problems`).
"""

from copy import copy
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field
from django.core.exceptions import ImproperlyConfigured
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from unfold.views import ChangeList

from invoices import search, thresholds
from invoices.admin.filters import Filter, Input, TabFilter
from invoices.admin.links import page_url
from invoices.admin.paging import AFTER, BEFORE, KeyPages, NoSuchPlace
from invoices.admin.sorting import SORT, Chosen, Header, chosen, header, problem
from invoices.models.reading import is_id

SEARCH_PROBLEM = "search_problem"  # of a request: why what was searched for cannot be answered
LIST_PROBLEMS = "list_problems"  # of a request: what in the address of the list cannot be read
SEARCH, COLUMNS = "q", "columns"  # in the address
TOO_LONG = gettext_noop(
    "This takes too long in this order with these filters. Take one away, or sort by another column."
)
# In the address beside filters and search; they select no rows. `p`, `o`, `e` and `all` are Django's.
NO_FILTERS = (AFTER, BEFORE, COLUMNS, "p", "o", "e", "all")


@dataclass(frozen=True)
class Chip:
    """One thing that narrows the list: in words, and the address of the list without it."""

    words: str
    clear_url: str


@dataclass(frozen=True)
class Column:
    """One column that can be shown."""

    name: str
    label: str
    is_shown: bool


class OnePage(Paginator):
    """What Django's templates ask of a paginator. The page was read by key already."""

    template_name = "admin/shared/parts/list_pages.html"


class RecordList(ChangeList):
    """Django's list, read by key, with links to our own pages. Only what an index serves can be asked of it: the
    filters that the list offers, and the order that its admin class names. `queryset` is all that it matches, without
    the limits of a page."""

    pages: KeyPages
    queryset: QuerySet
    sorted_by: Chosen | None = None
    search_problem = ""  # why what was searched for cannot be answered
    sort_problem = ""  # why the list cannot be read in this order

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.title = capfirst(str(self.opts.verbose_name_plural))  # Django's is `Select invoice to view`

    @property
    def empty_words(self) -> str:
        """What the list says where it has no rows."""
        words: str = self.model_admin.empty_words({each.parameter_name: each.value() for each in self._choices()})
        return words

    def _choices(self) -> list[Any]:
        return [spec for spec in self.filter_specs if hasattr(spec, "parameter_name")]

    # --- what the address asks for ------------------------------------------------------------------------------------

    @property
    def filters(self) -> list[Filter]:
        return [spec for spec in self.filter_specs if isinstance(spec, Filter)]

    @property
    def problems(self) -> list[str]:
        """What in the address cannot be read or answered, a sentence each. Where there is one, nothing is selected, and
        nothing may be done to all that the list matches."""
        return [*self.filter_problems(), *filter(None, [self.search_problem])]

    def filter_problems(self) -> list[str]:
        """Those of the filters and of the order. That of the search is shown above them."""
        found = [f"{each.label}: {problem}" for each in self.filters for problem in each.problems.values()]
        return [*found, *filter(None, [self.sort_problem])]

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter or a search selects some of the rows."""
        return bool(self.query) or any(each.is_active for each in self.filters)

    def filters_in_words(self) -> list[str]:
        """What narrows the list: `Status: Overdue`, `Created: 1 to 21 Nov 2026`."""
        return [each.words for each in self.chips()]

    def chips(self) -> list[Chip]:
        """What narrows the list, each with the address of the list without it."""
        found = [
            Chip(words, self.get_query_string(dict.fromkeys(each.parameters)))
            for each in self.filters
            if (words := each.in_words())
        ]
        if self.sorted_by and self.sorted_by.asked and self.sorted_by.sort.only:
            found.append(Chip(_(self.sorted_by.sort.only), self.get_query_string({SORT: None})))
        if self.query:
            found.append(Chip(_("Search: “{query}”").format(query=self.query), self.get_query_string({SEARCH: None})))
        return found

    def shortcuts(self) -> list[tuple[str, str]]:
        """Filters that are often wanted: label and address."""
        return [(label, self.get_query_string(query)) for label, query in self.model_admin.shortcuts()]

    def inputs(self) -> list[Input]:
        """The visible fields of the panel of filters."""
        return [each for spec in self.filters if not isinstance(spec, TabFilter) for each in spec.inputs()]

    def kept(self) -> list[tuple[str, str]]:
        """The parameters that applying the filters keeps: the tab, the search, the columns."""
        shown = {SORT, *(each.name for each in self.inputs())}
        return [
            (name, value)
            for name, values in self.filter_params.items()
            if name not in shown
            for value in (values if isinstance(values, list) else [values])
        ]

    def orders(self) -> list[tuple[str, str, bool]]:
        """By what the list can be sorted, both ways, for phones, which show no headers: value, label, whether it is."""
        written = self.request.GET.get(SORT, "")
        found = [("", _("As usual"), not written)] if self.model_admin.sorts else []
        for name, sort in self.model_admin.sorts.items():
            label = str(label_for_field(sort.column, self.model, self.model_admin))
            for value, descending in ((name, sort.order.descending), (f"-{name}", not sort.order.descending)):
                found.append((value, f"{label} {'↓' if descending else '↑'}", value == written))
        return found

    def header(self, index: int) -> Header | None:
        """The link that sorts by this column, by its place in `list_display`."""
        return header(self, self.list_display[index], self.request)

    @property
    def sought_id(self) -> str:
        """What was searched for, if it can be an id; else empty."""
        return self.query if is_id(self.query) else ""

    # --- columns ------------------------------------------------------------------------------------------------------

    @property
    def chosen_columns(self) -> list[str]:
        """The columns that are shown, by their names in `list_display`."""
        return [name for name in self.list_display if name != "action_checkbox"]

    def columns(self) -> list[Column]:
        """All columns that can be shown; none where the list offers no choice. The first one is always shown."""
        if not self.model_admin.more_columns:
            return []
        shown = self.chosen_columns
        return [
            Column(name, str(label_for_field(name, self.model, self.model_admin)), name in shown)
            for name in self._permitted_columns()[1:]
        ]

    def _permitted_columns(self) -> list[str]:
        """All columns that this person may choose: what would be shown if she chose every one."""
        asked, everything = copy(self.request), self.request.GET.copy()
        everything.setlist(COLUMNS, self.model_admin.all_columns())
        asked.GET = everything  # type: ignore[assignment]
        return [name for name in self.model_admin.get_list_display(asked) if name != "action_checkbox"]

    def kept_beside_columns(self) -> list[tuple[str, str]]:
        """The parameters that choosing columns keeps."""
        return [
            (name, value)
            for name, values in self.filter_params.items()
            if name != COLUMNS
            for value in (values if isinstance(values, list) else [values])
        ]

    # --- what Django asks of a list -----------------------------------------------------------------------------------

    def url_for_result(self, result: Model) -> str:
        return page_url(result)

    def get_filters_params(self, params: Any = None) -> Any:
        """Without the place of the page, which the links of filters and search must not carry on, and without the
        columns, which filter nothing."""
        for given in (self.params, self.filter_params):
            given.pop(AFTER, None)
            given.pop(BEFORE, None)
        found = super().get_filters_params(params)
        for name in (COLUMNS, SORT):
            found.pop(name, None)
        return found

    def get_filters(self, request: HttpRequest) -> Any:
        """Django would filter by any column that the address names. It would show the theme's panel of filters, where
        shared/parts/filters.html is ours."""
        specs, _has_panel, others, duplicates, _active = super().get_filters(request)
        if strangers := [type(each).__name__ for each in specs if not isinstance(each, Filter)]:
            raise ImproperlyConfigured(f"{strangers} are not of invoices.admin.filters: no panel and no chip has them.")
        if others:  # what no filter of the list has taken
            raise IncorrectLookupParameters
        active = any(each.is_active for each in specs if isinstance(each, Filter))
        return specs, False, others, duplicates, active

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet:
        self.request = request
        self.sorted_by = chosen(self.model_admin, request)
        self.sort_problem = problem(self.model_admin, request)
        found = super().get_queryset(request, exclude_parameters)
        if self.sorted_by:
            found = self.sorted_by.order.with_value(found)
        self.search_problem = getattr(request, SEARCH_PROBLEM, "")
        if "\x00" in request.GET.get(SEARCH, ""):  # which Django leaves out, so that everything would be found
            self.search_problem = _(
                "What you searched for has a character in it that no text has. Please write it anew."
            )
        setattr(request, LIST_PROBLEMS, self.problems)
        return found.none() if self.problems else found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> Any:
        """Django would order by what the address names in `o`."""
        return self.model_admin.order(request).names

    def get_results(self, request: HttpRequest) -> None:
        try:
            self.pages = self._read(request)
        except NoSuchPlace as error:
            raise IncorrectLookupParameters from error
        self.result_list = self.pages.rows
        self.model_admin.prepare(self.result_list)
        self.result_count = self.full_result_count = len(self.result_list)
        self.paginator = self.model_admin.get_paginator(request, self.result_list, self.list_per_page)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True

    def _read(self, request: HttpRequest) -> KeyPages:
        """The page that is asked for. An address may ask for what nobody finds in time: then none, with a sentence."""
        order = self.model_admin.order(request)
        try:
            if self.sorted_by and not self.problems:
                with search.time_limit(thresholds.SEARCH_PAGE):
                    return KeyPages.read(request, self.queryset, order, self.list_per_page)
            if self.query and not self.problems:
                in_time = search.SearchOrder(order.column, order.descending, order.may_be_empty)
                return KeyPages.read(request, self.queryset, in_time, self.list_per_page)
        except search.TakesTooLong as error:
            if self.sorted_by:
                self.sort_problem = _(TOO_LONG)
            else:
                self.search_problem = str(error)
            self.queryset = self.queryset.none()
        return KeyPages.read(request, self.queryset, order, self.list_per_page)
