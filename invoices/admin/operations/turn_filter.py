"""The filters of the lists of operations and batches by whose turn it is: mine to decide, or others' on what I asked
for."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from invoices.admin.filters import ChoiceFilter, Choices
from invoices.operations import my_turn


class TurnFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("approval"), "turn"
    MINE, ASKED = "mine", "asked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(self.MINE, _("Waits for my decision")), (self.ASKED, _("I asked, and it waits for somebody else"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        match self.value():
            case self.MINE:
                return queryset.filter(pk__in=[operation.pk for operation in my_turn.decidable(request.user)])
            case self.ASKED:
                return queryset.filter(pk__in=my_turn.asked_by(request.user).order_by().values("pk"))
            case None:
                return queryset
        return queryset.none()


class BatchTurnFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("approval"), "turn"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(TurnFilter.MINE, _("Waits for my decision"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        return queryset.filter(pk__in=[batch.pk for batch in my_turn.decidable_batches(request.user)])
