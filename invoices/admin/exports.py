"""A list as a file: everything that its search and its filters match, on all pages, as CSV or as XLSX.

The file is read page by page by key, and sent while it is read. Each download stands in the journal of people before
its first byte.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from invoices import recorded, search, sign_ins
from invoices.admin.lists import NO_FILTERS, SEARCH, RecordList
from invoices.admin.paging import AFTER, BEFORE
from invoices.keyset import Order
from invoices.models import SignInRecord
from invoices.record_tables import SHAPES, Shape
from invoices.sight import logs
from invoices.spreadsheet import CONTENT_TYPE, xlsx_pieces
from invoices.streaming import streamed
from invoices.tables import Table, csv_pieces

log = logging.getLogger(__name__)

FORMATS: dict[str, tuple[str, Callable[[Table], Iterator[Any]]]] = {
    "csv": ("text/csv", csv_pieces),
    "xlsx": (CONTENT_TYPE, xlsx_pieces),
}
ROWS_AT_ONCE = 500
SECONDS_BETWEEN_CHECKS = 5.0  # of whether the person may still see the list
NOT_IN_NAME = {*NO_FILTERS, "q"}
LONGEST_NAME = 80  # characters of what the filters say in the name of the file
LONGEST_DETAIL = 1000  # characters of what the filters say in the journal


class Stopped(Exception):
    """Who downloads may not see the list any more. The connection is cut, so that the file does not look whole."""


def urls(admin: Any) -> list[URLPattern]:
    """The addresses of the files of a list, if its records have a table."""
    if admin.model not in SHAPES:
        return []
    return [admin.at(f"download.{kind}", partial(download, admin, kind), kind) for kind in FORMATS]


def links(admin: Any, request: HttpRequest) -> list[tuple[str, str]]:
    """Of the files of what this list shows: label and address."""
    if admin.model not in SHAPES:
        return []
    query = _query(request)
    name = f"admin:{admin.opts.app_label}_{admin.opts.model_name}"
    return [(kind.upper(), reverse(f"{name}_{kind}") + (f"?{query}" if query else "")) for kind in FORMATS]


def download(admin: Any, kind: str, request: HttpRequest) -> HttpResponseBase:
    return require_GET(partial(_download, admin, kind))(request)


def _download(admin: Any, kind: str, request: HttpRequest) -> HttpResponseBase:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    query = request.GET.copy()
    for place in (AFTER, BEFORE):
        query.pop(place, None)
    request.GET = query  # type: ignore[assignment]  # all pages, wherever the list stood
    try:
        shown = admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return _refuse(admin, request, [_("The list has no such filter. Choose what the file is to have here.")], "")
    if shown.problems:
        return _refuse(admin, request, shown.problems, _query(request))
    shape, order = SHAPES[admin.model], admin.order(request)
    rows = shape.queryset(shown.queryset, order.column).order_by()
    if shown.query and type(order) is Order:
        order = search.SearchOrder(order.column, order.descending, order.may_be_empty)
    pages = _pages(request, admin, rows, order)
    try:
        first = next(pages, [])  # a search that takes too long is refused before anything is sent
    except search.TakesTooLong as error:
        return _refuse(admin, request, [str(error)], _query(request))
    fields = shape.allowed(request.user.has_perm)
    with recorded.in_english():  # the filters name what can be chosen in the language in which they were made
        detail = _detail(shape, kind, admin.get_changelist_instance(request))
    sign_ins.record(SignInRecord.What.LIST_DOWNLOADED, request=request, user=request.user, detail=detail)
    content_type, pieces_of = FORMATS[kind]
    table = Table(shape.name, [field.column for field in fields], _rows(request, shape, fields, chain([first], pages)))
    answer = streamed(pieces_of(table), content_type, _file_name(shape, kind, query))
    answer.sent_as_made = True  # type: ignore[attr-defined]  # backoffice/serving.py does not wait for its end
    return answer


def _pages(request: HttpRequest, admin: Any, rows: Any, order: Order) -> Iterator[list[Any]]:
    after, checked = None, time.monotonic()
    while True:
        found, more = order.read(rows, ROWS_AT_ONCE, after=after)
        yield found
        if not more:
            return
        after = order.position(found[-1])
        if time.monotonic() - checked > SECONDS_BETWEEN_CHECKS:
            _check(request, admin)
            checked = time.monotonic()


def _check(request: HttpRequest, admin: Any) -> None:
    """Raises Stopped where the person has signed out, was deactivated, or lost the permission."""
    person = get_user_model().objects.filter(username=request.user.get_username(), is_active=True).first()
    permission = f"{admin.opts.app_label}.view_{admin.opts.model_name}"
    signed_in = request.session.exists(request.session.session_key or "")
    if person is None or not signed_in or not person.has_perm(permission):
        raise Stopped(f"The download of user {request.user.pk} was stopped: the list may not be seen any more.")


def _rows(request: HttpRequest, shape: Shape, fields: Any, pages: Iterator[list[Any]]) -> Iterator[list[Any]]:
    number = 0
    for page in pages:
        yield from shape.values(page, fields)
        number += len(page)
    logs.tell(log, "list downloaded", user=request.user.pk, list=shape.name, rows=number)


def _refuse(admin: Any, request: HttpRequest, problems: list[str], query: str) -> HttpResponse:
    """Back to the list, with the sentences."""
    for problem in dict.fromkeys(problems):
        messages.error(request, f"{_('Nothing was downloaded.')} {problem}")
    address = reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_changelist")
    return redirect(f"{address}?{query}" if query else address)


def _query(request: HttpRequest) -> str:
    """The list's address without the place of its page."""
    pairs = [(name, value) for name, values in request.GET.lists() for value in values if name not in (AFTER, BEFORE)]
    return urlencode(pairs)


def _detail(shape: Shape, kind: str, shown: RecordList) -> str:
    """What was downloaded, for the journal. What was searched for is left out: it may be a customer's name, and an
    erasure cannot take it out of the journal of people."""
    words = [*filter(None, (each.in_words() for each in shown.filters)), *(["a search"] if shown.query else [])]
    return f"{shape.name} as {kind.upper()}: {' · '.join(words) or 'everything'}"[:LONGEST_DETAIL]


def _file_name(shape: Shape, kind: str, query: Any) -> str:
    """`invoices-overdue-usd-2026-11-21.csv`: the list, what its filters choose, and the day in the reader's zone."""
    chosen = [slugify(value) for name, value in query.items() if value and name not in NOT_IN_NAME]
    words = "-".join([*filter(None, chosen), *(["search"] if query.get(SEARCH) else [])])[:LONGEST_NAME].strip("-")
    return "-".join(filter(None, [slugify(shape.name), words, f"{timezone.localdate():%Y-%m-%d}"])) + f".{kind}"
