"""The filters of the list of invoices that show the rows of a queue of the home page: exactly those that it counts."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import tallies
from invoices.admin.filters import ChoiceFilter, Choices
from invoices.admin.formatting import words
from invoices.admin.payments.attempt_filter import is_known_reason
from invoices.models import Invoice

BANDS = {band.name: band for band in tallies.OVERDUE_BANDS}
RECOVERED_DAYS = 7  # of the chart on the home page, today included
TITLES = {
    tallies.PAYMENT_FAILED: gettext_noop("Payment failed"),
    tallies.NEEDS_CUSTOMER: gettext_noop("Needs the customer"),
    tallies.DEBIT_UNDER_WAY: gettext_noop("Bank debit under way"),
    tallies.RECOVERED: gettext_noop("Recovered in the last {days} days"),
}


class QueueFilter(ChoiceFilter):
    """By what the invoice waits for. `payment_failed.expired_card`: for this reason; `recovered.2027-03-01`: on this
    day (UTC)."""

    title, parameter_name = gettext_noop("what it waits for"), "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        queue, _dot, detail = request.GET.get(self.parameter_name, "").strip().partition(".")
        chosen = [(f"{queue}.{detail}", _title(queue, detail))] if detail and _title(queue, detail) else []
        return [*((name, _title(name, "")) for name in TITLES), *chosen]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        queue, _dot, detail = (self.value() or "").partition(".")
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
        return _(TITLES[queue]).format(days=RECOVERED_DAYS) if queue in TITLES else ""
    if queue == tallies.RECOVERED and (day := _day(detail)):
        return _("Recovered on {day}").format(day=date_format(day, "SHORT_DATE_FORMAT"))
    if queue == tallies.PAYMENT_FAILED and is_known_reason(detail, queue):
        return _("Payment failed: {reason}").format(reason=words(detail))
    return ""


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None


class AgeFilter(ChoiceFilter):
    """Open invoices by how many whole days (UTC) ago they were due."""

    title, parameter_name, column = gettext_noop("age"), "age", "due_date"
    OVERDUE = "overdue"

    @classmethod
    def has_due_dates(cls, request: HttpRequest) -> bool:
        """Whether the list holds only rows with a due date, so that it can be read in the order of these."""
        return request.GET.get(cls.parameter_name) in {cls.OVERDUE, *BANDS}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        bands = [(band.name, _("Overdue for {time}").format(time=_(band.title))) for band in tallies.OVERDUE_BANDS]
        return [
            (self.OVERDUE, _("Overdue for a day or longer")),
            *bands,
            (tallies.NOT_DUE, _("Open, not due before today")),
            (tallies.NO_DUE_DATE, _("Open, without a due date")),
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
