"""The filters and the order that all lists of payments have in common."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_noop

from invoices.admin.filters import AmountRangeFilter, Choices, ColumnFilter, CurrencyFilter, DayRangeFilter
from invoices.admin.formatting import words
from invoices.admin.sorting import Sort
from invoices.keyset import CurrencyOrder, Order


class PaymentStatusFilter(ColumnFilter):
    """Stripe's status of this kind of object."""

    title, parameter_name = gettext_noop("status"), "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(status, words(status).capitalize()) for status in model_admin.model.RANKS]


def filters_by(amount: str) -> tuple[Any, ...]:
    """The filters of a list whose amounts stand in this column."""
    return (
        *(PaymentStatusFilter, CurrencyFilter),
        DayRangeFilter.on("created", gettext_noop("created")),
        AmountRangeFilter.on(amount, gettext_noop("amount"), "amount"),
    )


def sorts_by(amount: str) -> dict[str, Sort]:
    """By what such a list can be sorted."""
    return {
        "created": Sort("created_", Order("created")),
        "amount": Sort("amount_", CurrencyOrder(amount)),
    }
