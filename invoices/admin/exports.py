"""A list as a file, as CSV or as XLSX: sent at once while it is read, or prepared in the background.

Each download stands in the journal of people before its first byte.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET, require_http_methods

from invoices import exports, sign_ins
from invoices.admin.formatting import number
from invoices.admin.links import url_of
from invoices.admin.list_files import COLUMNS_OF_FILE, LONG, NOW, SHOWN, ListFile, Unreadable, without_places
from invoices.exports.kinds import FORMATS, CannotPrepare, Format, Made
from invoices.models import SignInRecord
from invoices.record_tables import SHAPES
from invoices.sight import logs
from invoices.streaming import streamed
from invoices.tables import Table

log = logging.getLogger(__name__)

SECONDS_BETWEEN_CHECKS = 5.0  # of whether the person may still see the list
MAY_PREPARE = "invoices.view_export"


class Stopped(Exception):
    """Who downloads may not see the list any more. The connection is cut, so that the file does not look whole."""


def register(admin: Any) -> None:
    """Makes the files of this list known to the workers. They load the lists, but not the addresses."""
    if admin.model in SHAPES:
        exports.register(_kind(admin), partial(_make, admin))


def urls(admin: Any) -> list[URLPattern]:
    """The addresses of the files of a list, if its records have a table."""
    if admin.model not in SHAPES:
        return []
    direct = [admin.at(f"download.{format}", partial(download, admin, format), format) for format in FORMATS]
    return [*direct, admin.at("file/", partial(choose, admin), "file")]


def links(admin: Any, request: HttpRequest) -> list[tuple[str, str]]:
    """Of the files of what this list shows: label and address."""
    if admin.model not in SHAPES:
        return []
    query = without_places(request.GET).urlencode()
    found = [(format.upper(), _address(admin, format, query)) for format in FORMATS]
    return [*found, (_("Columns, or in the background …"), _address(admin, "file", query))]


# --- sent at once -----------------------------------------------------------------------------------------------------


def download(admin: Any, format: str, request: HttpRequest) -> HttpResponseBase:
    return require_GET(partial(_download, admin, format))(request)


def _download(admin: Any, format: str, request: HttpRequest) -> HttpResponseBase:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    asked = request.GET.copy()
    try:
        wanted = ListFile(admin, request)
        if NOW not in asked and request.user.has_perm(MAY_PREPARE) and wanted.is_long():
            asked["format"] = format
            return redirect(_address(admin, "file", asked.urlencode()))
        table = wanted.table()
    except Unreadable as refused:
        return _refuse(admin, request, refused)
    return send(request, table, FORMATS[format], wanted.file_name(format), wanted.permissions, wanted.narrowed())


def send(
    request: HttpRequest, table: Table, format: Format, file_name: str, permissions: Sequence[str], narrowed: str
) -> HttpResponseBase:
    """The file of this table, sent while its rows are read, for as long as the person has these permissions. Recorded
    in the journal of people before its first byte: `narrowed` says there, in English, what is in it."""
    detail = f"{table.name} as {file_name.rpartition('.')[2].upper()}: {narrowed}"
    sign_ins.record(SignInRecord.What.LIST_DOWNLOADED, request=request, user=request.user, detail=detail)
    content_type, pieces_of = format
    table = replace(table, rows=_while_allowed(request, table, permissions))
    answer = streamed(pieces_of(table), content_type, file_name)
    answer.sent_as_made = True  # type: ignore[attr-defined]  # backoffice/serving.py does not wait for its end
    return answer


def _while_allowed(request: HttpRequest, table: Table, permissions: Sequence[str]) -> Iterator[Any]:
    count, checked = 0, time.monotonic()
    for row in table.rows:
        if time.monotonic() - checked > SECONDS_BETWEEN_CHECKS:
            check(request, permissions)
            checked = time.monotonic()
        yield row
        count += 1
    logs.tell(log, "list downloaded", user=request.user.pk, list=table.name, rows=count)


def check(request: HttpRequest, permissions: Sequence[str]) -> None:
    """Raises Stopped where the person has signed out, was deactivated, or lost one of these permissions."""
    person = get_user_model().objects.filter(username=request.user.get_username(), is_active=True).first()
    signed_in = request.session.exists(request.session.session_key or "")
    if person is None or not signed_in or not person.has_perms(permissions):
        raise Stopped(f"The download of user {request.user.pk} was stopped: it may not be seen any more.")


def _refuse(admin: Any, request: HttpRequest, refused: Unreadable) -> HttpResponse:
    """Back to the list, with the sentences."""
    for problem in refused.problems:
        messages.error(request, f"{_('Nothing was downloaded.')} {problem}")
    return redirect(_address(admin, "changelist", refused.query))


# --- prepared in the background ---------------------------------------------------------------------------------------


def choose(admin: Any, request: HttpRequest) -> HttpResponse:
    """GET: what the file is to be; POST: has it prepared, or leads to it."""
    return require_http_methods(["GET", "POST"])(partial(_choose, admin))(request)


def _choose(admin: Any, request: HttpRequest) -> HttpResponse:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    address = request.GET.copy()
    linked = address.pop("format", [""])[-1]
    format = _known(request.POST.get("format", linked), FORMATS, "csv")
    columns = _known(request.POST.get("columns") or address.get(COLUMNS_OF_FILE, ""), ("all", SHOWN), "all")
    query = without_places(address)
    if columns == SHOWN:
        query[COLUMNS_OF_FILE] = SHOWN
    request.GET = query
    try:
        wanted = ListFile(admin, request)
    except Unreadable as refused:
        return _refuse(admin, request, refused)
    may_prepare = request.user.has_perm(MAY_PREPARE)
    if request.method == "POST" and request.POST.get("how") == "now":
        query = wanted.query.copy()
        query[NOW] = "1"
        if wanted.is_as_shown:
            query[COLUMNS_OF_FILE] = SHOWN
        return redirect(_address(admin, format, query.urlencode()))
    if request.method == "POST":
        if not may_prepare:
            raise PermissionDenied
        return _prepare(admin, request, wanted, format)
    return admin.show(
        request,
        "admin/exports/choose.html",
        {
            "title": _("{list} as a file").format(list=admin.opts.verbose_name_plural),
            "narrowed": wanted.shown.filters_in_words(),
            "formats": list(FORMATS),
            "format": format,
            "columns": columns,
            "may_prepare": may_prepare,
            "is_long": wanted.is_long(),
            "long": number(LONG),
            "id": uuid.uuid4(),
            "back": _address(admin, "changelist", wanted.query.urlencode()),
        },
    )


def _prepare(admin: Any, request: HttpRequest, wanted: ListFile, format: str) -> HttpResponse:
    try:
        export = exports.ask(
            request.user,  # type: ignore[arg-type]
            _kind(admin),
            {"query": wanted.query.urlencode(), COLUMNS_OF_FILE: SHOWN if wanted.is_as_shown else "all"},
            format=format,
            title=wanted.shape.name,
            detail=wanted.narrowed(),
            file_name=wanted.file_name(format),
            id=_uuid(request.POST.get("id", "")),
        )
    except exports.TooMany as refused:
        messages.warning(request, str(refused))
        return redirect(reverse("admin:invoices_export_changelist"))
    return redirect(url_of("export", export.pk))


def _make(admin: Any, person: User, parameters: Mapping[str, Any]) -> Made:
    """The table for a worker: of the list as this person would see it now. Raises CannotPrepare."""
    request = HttpRequest()
    request.method, request.user = "GET", person
    # What a search says beside its rows, it has said with the page.
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]
    query: Any = QueryDict(str(parameters.get("query", "")), mutable=True)
    query[COLUMNS_OF_FILE] = parameters.get(COLUMNS_OF_FILE, "all")
    request.GET = query
    if not person.is_active or not admin.has_view_permission(request):
        raise CannotPrepare(gettext_noop("You may not see this list any more."))
    try:
        wanted = ListFile(admin, request)
        return Made(wanted.table(), wanted.permissions)
    except Unreadable as refused:
        raise CannotPrepare(str(refused)) from None


def _kind(admin: Any) -> str:
    return f"list.{admin.opts.model_name}"


def _known(value: str, among: Any, otherwise: str) -> str:
    return value if value in among else otherwise


def _uuid(value: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(value)
    except ValueError:
        return None


def _address(admin: Any, name: str, query: str = "") -> str:
    address = reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_{name}")
    return f"{address}?{query}" if query else address
