"""Which bank transactions took back what is recorded at Stripe: a filter of their list, to which home and the month's
check lead."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from invoices.admin.filters import ChoiceFilter, Choices
from invoices.statements import returned


class ReturnedFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("returned transfer"), "returned"
    STILL_RECORDED = "recorded"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(self.STILL_RECORDED, _("Still recorded"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(pk__in=returned.still_recorded().values("pk")) if self.value() else queryset
