"""The filters of the list of invoices."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from invoices import clock
from invoices.admin.filters import Choices, ColumnFilter, TabFilter
from invoices.models.work import promised


class StatusFilter(TabFilter):
    """Stripe's status, and `overdue`: open, the due date has passed, and no promise to pay stands."""

    title, parameter_name = gettext_noop("status"), "state"
    OVERDUE = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            ("open", _("Open")),
            (self.OVERDUE, _("Overdue")),
            ("draft", _("Draft")),
            ("paid", _("Paid")),
            ("uncollectible", _("Uncollectible")),
            ("void", pgettext("status of an invoice", "Void")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == self.OVERDUE:
            return queryset.filter(~promised(clock.now()), status="open", due_date__lt=timezone.now())
        return queryset.filter(status=self.value()) if self.value() else queryset


class CollectionMethodFilter(ColumnFilter):
    title, parameter_name, field_name = gettext_noop("collection"), "collection", "collection_method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("charge_automatically", _("Charged automatically")), ("send_invoice", _("Paid on receipt"))]
