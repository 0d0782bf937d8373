"""The lists' filters; none of them counts, and none lists a table's values."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import RangeDateFilter, TextFilter


class InvoiceState(admin.SimpleListFilter):
    """The status, and the two questions that people ask of it. Shown as the row of tabs above the list."""

    title, parameter_name, template = "status", "state", "admin/invoices/hidden_filter.html"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [
            ("open", "Open"),
            ("overdue", "Overdue"),
            ("draft", "Draft"),
            ("paid", "Paid"),
            ("uncollectible", "Uncollectible"),
            ("void", "Void"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "overdue":
            return queryset.filter(status="open", due_date__lt=timezone.now())
        return queryset.filter(status=self.value()) if self.value() else queryset


class Currency(TextFilter):
    title, parameter_name = "currency (usd, jpy …)", "currency"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = (self.value() or "").strip().lower()
        return queryset.filter(currency=value) if value else queryset


class Collection(admin.SimpleListFilter):
    title, parameter_name = "collection", "collection"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("charge_automatically", "Charged automatically"), ("send_invoice", "Paid on receipt")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(collection_method=self.value()) if self.value() else queryset


class Days(RangeDateFilter):
    """From one day to another, both included, in the reader's zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        first, last = (self._day(end) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": first})
        if last:
            queryset = queryset.filter(**{f"{self.field_path}__lt": last + timedelta(days=1)})
        return queryset

    def _day(self, end: str) -> datetime | None:
        value: Any = self.used_parameters.get(f"{self.field_path}_{end}")
        try:
            return timezone.make_aware(datetime.fromisoformat(str(value))) if value else None
        except ValueError:
            return None
