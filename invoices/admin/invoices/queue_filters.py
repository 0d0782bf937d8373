"""The filters of the list of invoices that show the rows of a queue of the home page: exactly those that it counts."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from invoices import tallies
from invoices.admin.filters import ChoiceFilter, Choices
from invoices.admin.formatting import words
from invoices.models import Invoice

BANDS = {band.name: band for band in tallies.OVERDUE_BANDS}
RECOVERED_DAYS = 7  # of the chart on the home page, today included
TITLES = {
    tallies.PAYMENT_FAILED: "Payment failed",
    tallies.NEEDS_CUSTOMER: "Needs the customer",
    tallies.DEBIT_UNDER_WAY: "Bank debit under way",
    tallies.RECOVERED: f"Recovered in the last {RECOVERED_DAYS} days",
}


class QueueFilter(ChoiceFilter):
    """By what the invoice waits for. `payment_failed.expired_card`: for this reason; `recovered.2027-03-01`: on this
    day (UTC)."""

    title, parameter_name = "what it waits for", "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        queue, _, detail = request.GET.get(self.parameter_name, "").strip().partition(".")
        chosen = [(f"{queue}.{detail}", _title(queue, detail))] if detail and _title(queue, detail) else []
        return [*TITLES.items(), *chosen]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        queue, _, detail = (self.value() or "").partition(".")
        if not _title(queue, detail):
            return queryset.none()
        if queue != tallies.RECOVERED:
            return queryset.filter(pk__in=tallies.ids_in(Invoice.OBJECT, queue, reason=detail or None))
        last = _day(detail) or tallies.today()
        first = last if detail else last - timedelta(days=RECOVERED_DAYS - 1)
        return queryset.filter(pk__in=tallies.ids_in(Invoice.OBJECT, queue, first=first, last=last))


def _title(queue: str, detail: str) -> str:
    """Empty where there is no such choice."""
    if not detail:
        return TITLES.get(queue, "")
    if queue == tallies.RECOVERED and _day(detail):
        return f"Recovered on {_day(detail):%d %b %Y}"
    if queue == tallies.PAYMENT_FAILED and "\x00" not in detail and len(detail) <= tallies.MAX_REASON:
        return f"Payment failed: {words(detail)}"
    return ""


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None


class AgeFilter(ChoiceFilter):
    """Open invoices by how many whole days (UTC) ago they were due."""

    title, parameter_name, column = "age", "age", "due_date"
    OVERDUE = "overdue"

    @classmethod
    def has_due_dates(cls, request: HttpRequest) -> bool:
        """Whether the list holds only rows with a due date, so that it can be read in the order of these."""
        return request.GET.get(cls.parameter_name) in {cls.OVERDUE, *BANDS}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        bands = [(band.name, f"Overdue for {band.title}") for band in tallies.OVERDUE_BANDS]
        return [
            (self.OVERDUE, "Overdue for a day or longer"),
            *bands,
            (tallies.NOT_DUE, "Open, not due before today"),
            (tallies.NO_DUE_DATE, "Open, without a due date"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return of_age(queryset, self.value() or "") if self.value() else queryset


def of_age(queryset: QuerySet, age: str) -> QuerySet:
    """The open invoices of this age: a value of AgeFilter."""
    today, is_open = tallies.today(), queryset.filter(status="open", deleted_at=None)
    match age:
        case AgeFilter.OVERDUE:
            return is_open.filter(due_date__lt=_midnight(today))
        case tallies.NOT_DUE:
            return is_open.filter(due_date__gte=_midnight(today))
        case tallies.NO_DUE_DATE:
            return is_open.filter(due_date=None)
    if age not in BANDS:
        return queryset.none()
    first, last = BANDS[age].days(today)
    found = is_open.filter(due_date__lt=_midnight(last + timedelta(days=1)))
    return found.filter(due_date__gte=_midnight(first)) if first else found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
