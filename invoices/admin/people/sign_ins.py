"""The journal of people, for auditors and managers: the list with its filters, and one record."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.filters import Choices, ColumnFilter, DayRangeFilter
from invoices.admin.formatting import DASH, badge, moment
from invoices.models import SignInRecord

What = SignInRecord.What
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
    ordering = ("-at",)
    search_fields = ("username",)
    search_help_text = "User name, or IP address"
    empty_hint = "Nobody has signed in yet."

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(username=term) | Q(address=term))

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
