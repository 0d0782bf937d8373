"""The filter of the list of drift by whether the difference was left as it was found."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.admin.filters import ChoiceFilter, Choices

RECENT = timedelta(days=7)  # what is older was compared again by many runs since


def recently_left(now: datetime) -> Q:
    """The differences of the last week that the run that found them did not heal."""
    return Q(healed_at=None, found_at__gte=now - RECENT)


class LeftFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("what became of it"), "left"
    WEEK = "week"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(self.WEEK, _("Found in the last 7 days and not healed by that run"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        return queryset.filter(recently_left(clock.now())) if self.value() == self.WEEK else queryset.none()
