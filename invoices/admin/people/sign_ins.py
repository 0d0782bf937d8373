"""The journal of people, for auditors and managers: the list with its filters, one record, and the list as CSV."""

import csv
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from invoices import sign_ins
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.filters import Choices, ColumnFilter, DayRangeFilter
from invoices.admin.formatting import DASH, badge, moment
from invoices.keyset import Order
from invoices.models import SignInRecord
from invoices.streaming import Echo, cell, streamed

What = SignInRecord.What
ROWS_AT_ONCE = 500
COLUMNS = ("at", "what", "account", "by", "detail", "reason", "address", "request_id")
TONES = {
    What.SIGNED_IN: "green",
    What.FAILED: "amber",
    What.LOCKED: "red",
    What.REFUSED: "red",
    What.FACTOR_FAILED: "amber",
    What.FACTORS_RESET: "red",
    What.USER_CHANGED: "blue",
    What.GROUP_CHANGED: "blue",
}


class WhatFilter(ColumnFilter):
    title, parameter_name = "what", "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in What.choices]


@admin.register(SignInRecord)
class SignInRecordAdmin(RecordAdmin):
    list_display = ("when", "what_", "account", "by_", "detail_", "address")
    list_filter = (WhatFilter, DayRangeFilter.on("at", "when"))
    list_before_template = "admin/people/above_sign_ins.html"
    ordering = ("-at",)
    search_fields = ("username",)
    search_help_text = "User name, or IP address"
    empty_hint = "Nobody has signed in yet."

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(username=term) | Q(address=term))

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("export.csv", self.csv_view, "csv")]

    def csv_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """What the list shows, with the same filters and search, all of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).queryset
        asked = request.GET.urlencode()
        sign_ins.record(What.EXPORTED, request=request, user=request.user, detail=asked[:1000] or "everything")
        return streamed(_lines(rows, self.order(request)), "text/csv", "sign-ins.csv")

    def facts(self, record: SignInRecord) -> Facts:
        facts: Facts = [
            ("When", moment(record.at)),
            ("What", record.get_what_display()),
            ("Account", record.username),
            ("By", record.by),
            ("Detail", record.detail),
            ("Reason", record.reason),
            ("Address", record.address),
            ("Request", record.request_id),
        ]
        return [(label, value) for label, value in facts if value]

    @admin.display(description="When")
    def when(self, record: SignInRecord) -> SafeString:
        return moment(record.at)

    @admin.display(description="What")
    def what_(self, record: SignInRecord) -> SafeString:
        return badge(record.get_what_display(), TONES.get(What(record.what), "grey"))

    @admin.display(description="Account")
    def account(self, record: SignInRecord) -> SafeString:
        return format_html('<span class="strong">{}</span>', record.username or DASH)

    @admin.display(description="By")
    def by_(self, record: SignInRecord) -> str:
        return record.by if record.by != record.username else DASH

    @admin.display(description="Detail")
    def detail_(self, record: SignInRecord) -> str:
        return Truncator(record.detail).chars(80)


def _lines(rows: QuerySet, order: Order) -> Iterator[str]:
    """The CSV file line by line, read page by page by key."""
    writer = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    after = None
    while True:
        found, more = order.read(rows.order_by(), ROWS_AT_ONCE, after=after)
        for row in found:
            values = (row.what, row.username, row.by, row.detail, row.reason, row.address, row.request_id)
            yield writer.writerow([row.at.isoformat(), *(cell(value) for value in values)])
        if not more:
            return
        after = order.position(found[-1])
