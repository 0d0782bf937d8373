"""Below a list: how many rows it shows and what they add up to, per currency; and the same for all that match.

What is on the page is added up with the page. All that match are counted by a request of their own, when the page is
there, and never beyond MOST_COUNTED rows: more are estimated, and are said to be. The tabs get their counts with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import EmptyResultSet, PermissionDenied
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET

from invoices import money, search
from invoices.admin.filters import TabFilter
from invoices.admin.formatting import number
from invoices.admin.lists import RecordList
from invoices.admin.paging import AFTER, BEFORE
from invoices.models import Charge, CreditNote, Customer, Invoice, InvoicePayment, Operation, PaymentIntent, Refund
from invoices.search.time_limit import time_limit

MOST_COUNTED = 10_000  # rows that are counted and added up
MOST_OF_A_TAB = 1_000  # rows that are counted for a tab, of which there are several: of more it shows an estimate
# For one statement. Where the filters leave little of a large table, the database may look through all of it.
LONGEST = timedelta(seconds=1)
LONGEST_OF_TABS = timedelta(milliseconds=250)  # for the counts of all tabs together
EXACT_DIGITS = 3  # of an estimate


# Of each kind of record: the columns that are added up, with their labels.
AMOUNTS: dict[Any, Sequence[tuple[str, str]]] = {
    Invoice: [("amount_remaining", gettext_noop("Remaining")), ("total", gettext_noop("Total"))],
    InvoicePayment: [("amount_requested", gettext_noop("Requested")), ("amount_paid", gettext_noop("Paid"))],
    PaymentIntent: [("amount", gettext_noop("Amount")), ("amount_received", gettext_noop("Received"))],
    Charge: [("amount", gettext_noop("Amount")), ("amount_refunded", gettext_noop("Refunded"))],
    CreditNote: [("amount", gettext_noop("Amount"))],
    Refund: [("amount", gettext_noop("Amount"))],
    Customer: [],
    Operation: [],
}


@dataclass
class Sums:
    """So many rows, and per currency their number and sums. `count` is None where nobody knows; `is_more`: there are
    more than could be counted, and then no sums."""

    count: int | None = 0
    is_more: bool = False
    rows: list[tuple[str, int, list[str]]] = field(default_factory=list)  # currency, count, sums with their currency
    most: int = MOST_COUNTED  # that were counted, where there are more

    @property
    def in_words(self) -> str:
        """`1,240`, `about 1,240,000`, `more than 10,000`."""
        if self.count is None:
            return _("not counted: it would take too long")
        if not self.is_more:
            return number(self.count)
        if self.count > self.most:
            return _("about {count}").format(count=number(self.count))
        return _("more than {count}").format(count=number(self.most))

    @property
    def short(self) -> str:
        """For a tab; empty where nobody knows."""
        if self.count is None:
            return ""
        if not self.is_more:
            return number(self.count)
        return f"~{number(self.count)}" if self.count > self.most else f"{number(self.most)}+"


def urls(admin: Any) -> list[URLPattern]:
    """The address of the sums of all that match, for the lists that have a footer."""
    return [admin.at("sums/", partial(_view, admin), "sums")] if admin.model in AMOUNTS else []


def of_page(shown: RecordList) -> Sums:
    """What is on the page that is shown."""
    names = [name for name, _label in AMOUNTS[shown.model]]
    found: dict[str, list[int]] = {}
    for record in shown.result_list if names else ():
        if record.currency:
            row = found.setdefault(record.currency, [0] * (len(names) + 1))
            row[0] += 1
            for number, name in enumerate(names, 1):
                row[number] += getattr(record, name) or 0
    return Sums(len(shown.result_list), rows=[_row(code, *row) for code, row in sorted(found.items())])


def of_all(rows: QuerySet[Any], most: int | None = None, longest: timedelta = LONGEST) -> Sums:
    """All of these rows, of which at most `most` are looked at (MOST_COUNTED, where nothing else is said), and no
    `longest` is exceeded."""
    most = MOST_COUNTED if most is None else most
    names = [name for name, _label in AMOUNTS[rows.model]]
    rows = rows.select_related(None).order_by()
    columns = ["currency", *names] if names else ["pk"]
    some = rows.values(*columns)[: most + 1]
    try:
        with time_limit(longest):
            if not names:
                count = some.count()
                return Sums(count) if count <= most else Sums(_estimate(rows, most), is_more=True, most=most)
            model: Any = rows.model
            counted = _grouped(model, some, names)
    except search.TakesTooLong:
        return Sums(None)
    count = sum(each[1] for each in counted)
    if count > most:
        return Sums(_estimate(rows, most), is_more=True, most=most)
    return Sums(count, rows=[_row(*each) for each in sorted(counted, key=lambda each: each[0] or "") if each[0]])


def _grouped(model: Any, some: QuerySet[Any], names: list[str]) -> list[tuple[Any, ...]]:
    """Currency, count and sums of the rows of a limited queryset, in one statement."""
    try:
        inner, params = some.query.sql_with_params()
    except EmptyResultSet:  # such as of a search that finds nothing
        return []
    quoted = connection.ops.quote_name
    sums = "".join(f", COALESCE(SUM({quoted(name)}), 0)" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT currency, COUNT(*){sums} FROM ({inner}) AS counted GROUP BY currency", params)  # noqa: S608  our own names
        return [(code, *map(int, numbers)) for code, *numbers in cursor.fetchall()]


def _estimate(rows: QuerySet[Any], most: int) -> int:
    """How many rows the database thinks that these are, in a few digits; `most` where it thinks that they are fewer
    than were counted. Only PostgreSQL says."""
    number = planned(rows)
    if number is None:
        return most
    return round(number, EXACT_DIGITS - len(str(number))) if number > most else most


def planned(rows: QuerySet[Any]) -> int | None:
    """How many rows the database thinks that these are, without reading them; None where it does not say, as SQLite."""
    if connection.vendor != "postgresql":
        return None
    plan = rows.explain(format="json")
    return int(json.loads(plan)[0]["Plan"]["Plan Rows"]) if plan else 0  # none of what can match nothing


def _row(currency: str, count: int, *sums: int) -> tuple[str, int, list[str]]:
    return currency.upper(), count, [money.text(amount, currency) for amount in sums]


def context_of(admin: Any, request: HttpRequest) -> dict[str, Any] | None:
    """What the footer's template needs; None for a list without a footer."""
    if admin.model not in AMOUNTS:
        return None
    query = request.GET.copy()
    for name in (AFTER, BEFORE):
        query.pop(name, None)
    address = reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_sums")
    return {"address": f"{address}?{query.urlencode()}", "labels": [_(label) for _name, label in AMOUNTS[admin.model]]}


def _view(admin: Any, request: HttpRequest) -> HttpResponse:
    return require_GET(partial(_sums, admin))(request)


def _sums(admin: Any, request: HttpRequest) -> HttpResponse:
    """All that match, and the counts of the tabs: the part of the page that is requested when the page is there."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    # What the list says to the person, it has said with the page.
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]
    query = request.GET.copy()
    for name in (AFTER, BEFORE):
        query.pop(name, None)
    request.GET = query  # type: ignore[assignment]
    try:
        shown = admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return HttpResponse(status=400)
    if shown.problems:
        return HttpResponse("")
    sums = of_all(shown.queryset)
    context = {
        "sums": sums,
        "labels": [_(label) for _name, label in AMOUNTS[admin.model]],
        "opts": admin.opts,
        "tabs": _tabs(shown, request, sums),
        "most": number(MOST_COUNTED),
    }
    return TemplateResponse(request, "admin/shared/parts/all_sums.html", context)


def _tabs(shown: RecordList, request: HttpRequest, of_list: Sums) -> list[tuple[str, Sums]]:
    """Each tab of the list, by its value, with what it would show beside the other filters: the open one shows what the
    list has. Those that come after one that takes too long are not counted: they would take as long."""
    tab = next((each for each in shown.filters if isinstance(each, TabFilter)), None)
    if tab is None:
        return []
    rows = shown.root_queryset
    for each in shown.filters:
        if each is not tab:
            rows = each.queryset(request, rows)
    if shown.query:
        rows, _distinct = shown.model_admin.get_search_results(request, rows, shown.query)
    found: list[tuple[str, Sums]] = []
    end = time.monotonic() + LONGEST_OF_TABS.total_seconds()
    for value in ["", *dict(tab.lookup_choices)]:
        if value == (tab.value() or ""):
            sums = of_list
        elif (left := end - time.monotonic()) > 0:
            chosen = type(tab)(request, {tab.parameter_name: [value]}, shown.model, shown.model_admin)
            most = min(MOST_OF_A_TAB, MOST_COUNTED)
            sums = of_all(chosen.queryset(request, rows), most, timedelta(seconds=left))
        else:
            return found
        if sums.count is None:
            return found
        found.append((value or "all", sums))
    return found
