"""Kinds of list filters that several lists use. No filter counts rows, and none reads a column's distinct values."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import RangeDateFilter


class TabFilter(admin.SimpleListFilter):
    """A filter that is shown as a row of tabs above the list (shared/above_list.html). In the filters' own panel its
    template renders nothing."""

    template = "admin/shared/tab_filter.html"


class DayRangeFilter(RangeDateFilter):
    """From one day to another, both included, in the reader's time zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        first, last = (self._day(end) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": first})
        if last:
            queryset = queryset.filter(**{f"{self.field_path}__lt": last + timedelta(days=1)})
        return queryset

    def _day(self, end: str) -> datetime | None:
        """The midnight with which a day given in the address begins; None if it is no date."""
        value: Any = self.used_parameters.get(f"{self.field_path}_{end}")
        try:
            return timezone.make_aware(datetime.fromisoformat(str(value))) if value else None
        except ValueError:
            return None
