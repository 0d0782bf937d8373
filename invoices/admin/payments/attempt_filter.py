"""The filter of the list of charges by what came of them in the last weeks: exactly those that the home page counts."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import tallies
from invoices.admin.code_words import DECLINES as STRIPES_REASONS
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
TITLES = {
    SUCCEEDED: gettext_noop("Succeeded"),
    DECLINED: gettext_noop("Declined"),
    PAID: gettext_noop("Declined, and paid later"),
}
# With a reason behind it.
TITLES_OF_A_REASON = {
    DECLINED: gettext_noop("Declined: {reason}"),
    PAID: gettext_noop("Declined, and paid later: {reason}"),
}


class AttemptFilter(ChoiceFilter):
    """`declined.insufficient_funds`: for this reason."""

    title, parameter_name = format_lazy(gettext_lazy("attempt, last {days} days"), days=ATTEMPT_DAYS), "attempt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        given = request.GET.get(self.parameter_name, "").strip()
        chosen = [(given, _title(given))] if "." in given and _title(given) else []
        return [*((value, _(title)) for value, title in TITLES.items()), *chosen]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        if not _title(self.value() or ""):
            return queryset.none()
        came_to, _dot, reason = (self.value() or "").partition(".")
        since = tallies.today() - timedelta(days=ATTEMPT_DAYS - 1)
        found = tallies.ids_in(Charge.OBJECT, *QUEUES[came_to], reason=reason or None, first=since)
        return queryset.filter(pk__in=found)


def _title(value: str) -> str:
    """Empty where there is no such choice."""
    came_to, _dot, reason = value.partition(".")
    if not reason:
        return _(TITLES[came_to]) if came_to in TITLES else ""
    if came_to not in TITLES_OF_A_REASON or not is_known_reason(reason, *QUEUES[came_to]):
        return ""
    return _(TITLES_OF_A_REASON[came_to]).format(reason=words(reason))


def is_known_reason(reason: str, *queues: str) -> bool:
    """Whether a charge can have been declined for this reason: one of Stripe's, or one that was counted. Any other text
    of an address is none: its words would reach the page, and the journal of downloads."""
    if "\x00" in reason or len(reason) > tallies.MAX_REASON:
        return False
    is_stripes = reason == tallies.UNKNOWN_REASON or reason.replace("_", " ") in STRIPES_REASONS
    return is_stripes or any(tallies.has_reason(queue, reason) for queue in queues)
