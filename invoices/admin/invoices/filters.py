"""The filters of the list of invoices."""

from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import TextFilter

from invoices.admin.filters import TabFilter


class StatusFilter(TabFilter):
    """Stripe's status, and `overdue`: open, and the due date has passed."""

    title, parameter_name = "status", "state"
    OVERDUE = "overdue"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [
            ("open", "Open"),
            (self.OVERDUE, "Overdue"),
            ("draft", "Draft"),
            ("paid", "Paid"),
            ("uncollectible", "Uncollectible"),
            ("void", "Void"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == self.OVERDUE:
            return queryset.filter(status="open", due_date__lt=timezone.now())
        return queryset.filter(status=self.value()) if self.value() else queryset


class CurrencyFilter(TextFilter):
    title, parameter_name = "currency (usd, jpy …)", "currency"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = (self.value() or "").strip().lower()
        return queryset.filter(currency=value) if value else queryset


class CollectionMethodFilter(admin.SimpleListFilter):
    title, parameter_name = "collection", "collection"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("charge_automatically", "Charged automatically"), ("send_invoice", "Paid on receipt")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(collection_method=self.value()) if self.value() else queryset
