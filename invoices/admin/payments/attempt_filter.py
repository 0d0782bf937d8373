"""The filter of the list of charges by what came of them in the last weeks: exactly those that the home page counts."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from invoices import tallies
from invoices.admin.filters import ChoiceFilter, Choices
from invoices.admin.formatting import words
from invoices.models import Charge

ATTEMPT_DAYS = 30  # of the chart on the home page, today included
SUCCEEDED, DECLINED, PAID = "succeeded", "declined", "paid_later"
QUEUES = {
    SUCCEEDED: (tallies.CHARGED,),
    DECLINED: (tallies.DECLINED, tallies.DECLINED_THEN_PAID),
    PAID: (tallies.DECLINED_THEN_PAID,),
}
TITLES = {SUCCEEDED: "Succeeded", DECLINED: "Declined", PAID: "Declined, and paid later"}


class AttemptFilter(ChoiceFilter):
    """`declined.insufficient_funds`: for this reason."""

    title, parameter_name = f"attempt, last {ATTEMPT_DAYS} days", "attempt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        given = request.GET.get(self.parameter_name, "").strip()
        chosen = [(given, _title(given))] if "." in given and _title(given) else []
        return [*TITLES.items(), *chosen]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        if not _title(self.value() or ""):
            return queryset.none()
        came_to, _, reason = (self.value() or "").partition(".")
        since = tallies.today() - timedelta(days=ATTEMPT_DAYS - 1)
        found = tallies.ids_in(Charge.OBJECT, *QUEUES[came_to], reason=reason or None, first=since)
        return queryset.filter(pk__in=found)


def _title(value: str) -> str:
    """Empty where there is no such choice."""
    came_to, _, reason = value.partition(".")
    if not reason:
        return TITLES.get(came_to, "")
    if came_to not in (DECLINED, PAID) or "\x00" in reason or len(reason) > tallies.MAX_REASON:
        return ""
    return f"{TITLES[came_to]}: {words(reason)}"
