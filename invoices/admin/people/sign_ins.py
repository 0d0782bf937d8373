"""The journal of people, for auditors and managers: the list with its filters, and one record."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import recorded
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
    title, parameter_name = gettext_lazy("what"), "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in What.choices]


@admin.register(SignInRecord)
class SignInRecordAdmin(RecordAdmin):
    list_display = ("when", "what_", "account", "by_", "detail_", "address_")
    list_filter = (WhatFilter, DayRangeFilter.on("at", gettext_noop("when")))
    ordering = ("-at",)
    search_fields = ("username",)
    search_help_text = gettext_lazy("User name, or IP address")
    empty_hint = gettext_noop("Nobody has signed in yet.")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(username=term) | Q(address=term))

    def facts(self, record: SignInRecord) -> Facts:
        facts: Facts = [
            (_("When"), moment(record.at)),
            (_("What"), record.get_what_display()),
            (_("Account"), record.username),
            (_("By"), record.by),
            (_("Detail"), _shown(record.detail)),
            (_("Reason"), recorded.shown(record.reason)),
            (_("Address"), record.address),
            (_("Request"), record.request_id),
        ]
        return [(label, value) for label, value in facts if value]

    @admin.display(description=gettext_lazy("When"))
    def when(self, record: SignInRecord) -> SafeString:
        return moment(record.at)

    @admin.display(description=gettext_lazy("What"))
    def what_(self, record: SignInRecord) -> SafeString:
        return badge(record.get_what_display(), TONES.get(What(record.what), "grey"))

    @admin.display(description=gettext_lazy("Account"))
    def account(self, record: SignInRecord) -> SafeString:
        return format_html('<span class="strong">{}</span>', record.username or DASH)

    @admin.display(description=gettext_lazy("By"))
    def by_(self, record: SignInRecord) -> str:
        return record.by if record.by != record.username else DASH

    @admin.display(description=gettext_lazy("Address"))
    def address_(self, record: SignInRecord) -> str:
        return record.address or DASH

    @admin.display(description=gettext_lazy("Detail"))
    def detail_(self, record: SignInRecord) -> str:
        return Truncator(_shown(record.detail)).chars(80)


def _shown(detail: str) -> str:
    """What is recorded, in the language of the page. It may be several changes."""
    whole = recorded.shown(detail)
    return whole if whole != detail else "; ".join(map(recorded.shown, detail.split("; ")))
