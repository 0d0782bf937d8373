"""The lists of users and groups as files: who has which rights, for whoever reviews them.

Both lists are Django's own, counted and paged by number, and short: what they match is sent at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, ClassVar

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET

from invoices.admin.exports import send
from invoices.exports.kinds import FORMATS
from invoices.record_tables import Field, Shape
from invoices.record_tables.shape import moment, plain
from invoices.tables import Column, Kind, Table


def _yes_or_no(label: str, name: str) -> Field:
    return Field(Column(label, Kind.TEXT), lambda seen: "yes" if getattr(seen.row, name) else "no")


def _names(label: str, relation: str, name: str) -> Field:
    """What belongs to the row, in one cell."""
    return Field(
        Column(label, Kind.TEXT),
        lambda seen: ", ".join(sorted(getattr(each, name) for each in getattr(seen.row, relation).all())),
    )


USERS = Shape(
    gettext_noop("Users"),
    [
        plain("User name", "username"),
        plain("First name", "first_name"),
        plain("Last name", "last_name"),
        plain("E-mail", "email"),
        _yes_or_no("Active", "is_active"),
        _yes_or_no("Staff", "is_staff"),
        _yes_or_no("Superuser", "is_superuser"),
        _names("Groups", "groups", "name"),
        _names("Permissions of their own", "user_permissions", "codename"),
        moment("Second factor since", "first_factor"),
        moment("Last sign-in", "last_login"),
        moment("Joined", "date_joined"),
        plain("User id", "pk", Kind.NUMBER),
    ],
    (),
)

GROUPS = Shape(
    gettext_noop("Groups"),
    [
        plain("Group", "name"),
        _names("Members", "user_set", "username"),
        _names("Permissions", "permissions", "codename"),
        plain("Group id", "pk", Kind.NUMBER),
    ],
    (),
)


class ListAsFile:
    """Of a list that is Django's own: what it matches as CSV and XLSX, under buttons above it."""

    list_before_template = "admin/people/above_list.html"
    shape: ClassVar[Shape]
    relations: ClassVar[tuple[str, ...]]  # which it reads, fetched for a page of rows at once

    def get_urls(self) -> list[URLPattern]:
        admin: Any = self
        view, name = admin.admin_site.admin_view, f"{admin.opts.app_label}_{admin.opts.model_name}_download"
        return [path("download.<slug:format>", view(self.download_view), name=name), *super().get_urls()]  # type: ignore[misc]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        admin: Any = self
        at, query = f"admin:{admin.opts.app_label}_{admin.opts.model_name}_download", request.GET.urlencode()
        downloads = [(format.upper(), f"{reverse(at, args=[format])}?{query}".rstrip("?")) for format in FORMATS]
        context = {**(extra_context or {}), "downloads": downloads}
        return super().changelist_view(request, context)  # type: ignore[misc]

    def download_view(self, request: HttpRequest, format: str) -> HttpResponseBase:
        return require_GET(partial(self._download, format=format))(request)

    def _download(self, request: HttpRequest, format: str) -> HttpResponseBase:
        admin: Any = self
        if format not in FORMATS:
            raise Http404
        if not admin.has_view_permission(request):
            raise PermissionDenied
        try:
            matched = admin.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            raise Http404 from None
        table = Table(self.shape.name, [field.column for field in self.shape.fields], self._rows(matched))
        name = f"{self.shape.name.lower()}-{timezone.localdate():%Y-%m-%d}.{format}"
        narrowed = "a part" if request.GET else "everything"
        needed = [f"{admin.opts.app_label}.view_{admin.opts.model_name}"]
        return send(request, table, FORMATS[format], name, needed, narrowed)

    def _rows(self, matched: Any) -> Iterator[Sequence[Any]]:
        size = self.shape.rows_at_once
        rows = matched.prefetch_related(*self.relations).iterator(chunk_size=size)
        pages = iter(lambda: list(islice(rows, size)), [])
        return chain.from_iterable(self.shape.values(page, self.shape.fields) for page in pages)
