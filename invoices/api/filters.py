"""The filters of each list: Stripe's own parameters, and more that people ask for. Names are as in the address."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django_filters import FilterSet
from django_filters.filters import Filter

from invoices.api.envelope import ApiError, invalid
from invoices.api.parameters import integer, one_of, refuse_unknown
from invoices.models import Action, Drift, Operation, ReconciliationRun

SECOND = timedelta(seconds=1)


class _Integer(forms.Field):
    def clean(self, value: Any) -> int | None:
        if value is None:
            return None
        try:
            return integer(value, "")
        except ApiError as error:
            raise ValidationError(error.message, code="parameter_invalid_integer") from None


class _Moment(_Integer):
    def clean(self, value: Any) -> datetime | None:  # type: ignore[override]
        seconds = super().clean(value)
        if seconds is None:
            return None
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError):
            raise ValidationError(f"Invalid timestamp: {seconds}", code="parameter_invalid_integer") from None


class _Choice(forms.Field):
    def __init__(self, *, choices: Iterable[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = list(choices)

    def clean(self, value: Any) -> str | None:
        if value is not None and value not in self.choices:
            raise ValidationError(f"Invalid %(name)s: must be one of {one_of(self.choices)}")
        return value


class _Flag(forms.Field):
    def clean(self, value: Any) -> bool | None:
        if value not in (None, "true", "false"):
            raise ValidationError(f"Invalid boolean: {str(value)[:50]}")
        return None if value is None else value == "true"


class TextFilter(Filter):
    """Exactly this text, spaces and all: a filter that is quietly dropped would show everything."""

    field_class = forms.Field
    schema = {"type": "string"}


class LowerFilter(TextFilter):
    """A column that is kept in small letters."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return super().filter(qs, value.lower() if value else value)


class ChoiceFilter(Filter):
    """One of the choices; any other is refused by name."""

    field_class = _Choice

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.extra["choices"])}


class FlagFilter(Filter):
    """`true` when the column has a value, `false` when it has none."""

    field_class = _Flag
    schema = {"type": "boolean"}


class UuidFilter(Filter):
    """The id of a row of ours; what is no such id names nothing."""

    field_class = forms.Field
    schema = {"type": "string", "format": "uuid"}

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        try:
            return super().filter(qs, value and UUID(value))
        except ValueError:
            return qs.none()


class IntegerFilter(Filter):
    """A whole number: minor units, or a count."""

    field_class = _Integer
    schema = {"type": "integer"}


class MomentFilter(Filter):
    """Seconds since 1970, compared by whole seconds, as they are shown."""

    field_class = _Moment
    schema = {"type": "integer"}

    def filter(self, qs: QuerySet[Any], value: datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        after = value + SECOND if value.year < 9999 else value
        conditions = {
            "exact": Q(**{f"{self.field_name}__gte": value, f"{self.field_name}__lt": after}),
            "gt": Q(**{f"{self.field_name}__gte": after}),
            "gte": Q(**{f"{self.field_name}__gte": value}),
            "lt": Q(**{f"{self.field_name}__lt": value}),
            "lte": Q(**{f"{self.field_name}__lt": after}),
        }
        return qs.filter(conditions[self.lookup_expr])


class UnfinishedFilter(ChoiceFilter):
    """A state, or `unfinished` for the three of them in which Stripe's answer is still to come."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if value == "unfinished":
            return qs.filter(state__in=Operation.UNFINISHED)
        return super().filter(qs, value)


def _ranges(kind: type[Filter], name: str, column: str = "", says: str = "") -> dict[str, Filter]:
    """`name`, `name[gt]`, `name[gte]`, `name[lt]`, `name[lte]`."""
    lookups = {name: "exact"} | {f"{name}[{how}]": how for how in ("gt", "gte", "lt", "lte")}
    return {spelled: kind(column or name, how, label=says) for spelled, how in lookups.items()}


def _filterset(name: str, filters: dict[str, Filter]) -> type[FilterSet]:
    """Bracketed names are no Python identifiers, so the class is made from a table."""
    return type(name, (FilterSet,), filters)


METHODS = ("charge_automatically", "send_invoice")
STATUSES = ("draft", "open", "void", "paid", "uncollectible")  # in the order of Stripe's message

InvoiceFilter = _filterset(
    "InvoiceFilter",
    {
        "customer": TextFilter("customer_id", label="Customer id"),
        "status": ChoiceFilter("status", choices=STATUSES, label="Status"),
        "subscription": TextFilter("subscription", label="Subscription id"),
        "collection_method": ChoiceFilter("collection_method", choices=METHODS, label="How it is collected"),
        **_ranges(MomentFilter, "created", says="When Stripe made it"),
        **_ranges(MomentFilter, "due_date", says="When it is due"),
        "number": TextFilter("number", label="Invoice number (beyond Stripe's filters)"),
        "customer_email": LowerFilter("customer_email", label="The invoice's e-mail (beyond Stripe's filters)"),
        "currency": LowerFilter("currency", label="Three letters (beyond Stripe's filters)"),
        "billing_reason": TextFilter("billing_reason", label="Why it was made (beyond Stripe's filters)"),
        **{
            spelled: found
            for name in ("total", "amount_due", "amount_paid", "amount_remaining")
            for spelled, found in _ranges(IntegerFilter, name, says="Minor units (beyond Stripe's filters)").items()
        },
        **{
            spelled: found
            for name in ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
            for spelled, found in _ranges(
                MomentFilter, f"status_transitions[{name}]", name, "Beyond Stripe's filters"
            ).items()
        },
    },
)
InvoicePaymentFilter = _filterset(
    "InvoicePaymentFilter",
    {
        "invoice": TextFilter("invoice_id", label="Invoice id"),
        "status": ChoiceFilter("status", choices=("canceled", "open", "paid"), label="Status"),
        "payment[type]": ChoiceFilter("payment_type", choices=("payment_intent", "payment_record"), label="Kind"),
        "payment[payment_intent]": TextFilter("payment_intent", label="PaymentIntent id; needs payment[type]"),
        "payment[payment_record]": TextFilter("payment_record", label="Payment record id; needs payment[type]"),
        **_ranges(MomentFilter, "created", says="When Stripe made it"),
    },
)
OperationFilter = _filterset(
    "OperationFilter",
    {
        "state": UnfinishedFilter("state", choices=(*Operation.State.values, "unfinished"), label="State"),
        "invoice": TextFilter("invoice", label="Invoice id"),
        "action": ChoiceFilter("action", choices=Action.values, label="Action"),
        "source": ChoiceFilter("source", choices=Operation.Source.values, label="Where it was asked for"),
        "actor": TextFilter("actor__username", label="Who asked: a user name"),
        "code": TextFilter("code", label="Refusal code"),
        "batch": UuidFilter("batch_id", label="The batch that it is part of"),
        "request_id": TextFilter("request_id", label="The Request-Id of the reply"),
        **_ranges(MomentFilter, "created", "created_at", "When it was asked for"),
    },
)
RunFilter = _filterset(
    "RunFilter",
    {
        "kind": ChoiceFilter("kind", choices=ReconciliationRun.Kind.values, label="Kind"),
        "state": ChoiceFilter("state", choices=ReconciliationRun.State.values, label="State"),
        **_ranges(MomentFilter, "created", "started_at", "When it began"),
    },
)
DriftFilter = _filterset(
    "DriftFilter",
    {
        "run": IntegerFilter("run_id", label="Reconciliation run"),
        "kind": ChoiceFilter("kind", choices=Drift.Kind.values, label="Kind"),
        "object_type": TextFilter("object_type", label="Kind of object"),
        "object_id": TextFilter("object_id", label="Object id"),
        "invoice": TextFilter("invoice", label="Invoice id"),
        "field": TextFilter("field", label="Which member differs"),
        "healed": FlagFilter("healed_at", "isnull", exclude=True, label="Whether it was mended"),
        **_ranges(MomentFilter, "created", "found_at", "When it was found"),
    },
)


def narrow(rows: QuerySet[Any], kind: type[FilterSet], values: dict[str, Any]) -> QuerySet[Any]:
    """The rows that pass. Raises ApiError for an unknown name or a value that cannot be."""
    refuse_unknown(values, kind.base_filters)
    if "payment[type]" not in values and any(name.startswith("payment[") for name in values):
        raise invalid("Missing required param: payment[type].", "payment[type]", "parameter_missing")
    filters = kind(data=values, queryset=rows)
    for name, errors in filters.form.errors.as_data().items():
        raise invalid(errors[0].message.replace("%(name)s", name), name, errors[0].code)
    return filters.qs
