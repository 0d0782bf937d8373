"""The filter of the list of drift by whether the difference was left as it was found."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.admin.filters import ChoiceFilter, Choices
from invoices.reconcile import explaining


class LeftFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("what became of it"), "left"
    WEEK, EXPLAINED = "week", "explained"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            (self.WEEK, _("Found in the last 7 days, not healed by that run, and not explained")),
            (self.EXPLAINED, _("Found in the last 7 days, not healed, and explained")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        asked = {self.WEEK: explaining.left, self.EXPLAINED: explaining.explained}.get(str(self.value()))
        return queryset.filter(asked(clock.now())) if asked else queryset.none()
