"""The filters of each list: Stripe's own parameters, and more. Their names are the parameters' names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, StrIndex
from django.db.models.lookups import GreaterThan
from django_filters import FilterSet
from django_filters.filters import Filter

from invoices import clock, prepared
from invoices.api.envelope import ApiError, invalid
from invoices.api.parameters import integer, one_of, refuse_unknown
from invoices.models import Delivery, Drift, Operation, ReconciliationRun
from invoices.models.reading import BIGINT_LIMIT
from invoices.operations import ACTIONS
from invoices.operations.parameters import boolean

SECOND = timedelta(seconds=1)
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # a datetime has the years 1 to 9999
# In the description: an empty value is refused, because Stripe would take it for an attempt to unset the parameter.
TEXT = {"type": "string", "minLength": 1}

# Filters of invoices that no index serves. They look through what another filter leaves, so there must be one that
# leaves few: one of these, or a range of `created` that is no longer than this.
UNINDEXED = ("billing_reason", "total", "amount_due", "amount_paid", "amount_remaining", "status_transitions")
NARROW = ("customer", "subscription", "number", "customer_email")
MAX_SPAN = timedelta(days=31)

MAX_TYPES = 20  # of events, in one list; Stripe's number
# Each type of event once, by the next one after the last in the index, so that not every event is read.
HELD_TYPES = """
    WITH RECURSIVE held (type) AS (
        SELECT min(type) FROM invoices_event
        UNION ALL SELECT (SELECT min(event.type) FROM invoices_event AS event WHERE event.type > held.type) FROM held
        WHERE held.type IS NOT NULL)
    SELECT type FROM held WHERE type IS NOT NULL
"""


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
        flag = boolean(value)
        if value is not None and flag is None:
            raise ValidationError(f"Invalid boolean: {str(value)[:50]}")
        return flag


class TextFilter(Filter):
    """Exactly this text, spaces included: a value that was stripped empty would drop the filter and show every row."""

    field_class = forms.Field
    schema = TEXT


class LowerFilter(TextFilter):
    """A column that is stored in lower case."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return super().filter(qs, value.lower() if value else value)


class ExactEmailFilter(LowerFilter):
    """A customer's e-mail, letter by letter as Stripe compares it: the column finds it in small letters, by its index,
    and of those few the object tells the spelling."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        text, place = Cast("data", TextField()), Q()
        for spelled in (json.dumps(value, ensure_ascii=False), json.dumps(value)):
            place |= Q(GreaterThan(StrIndex(text, Value(f'"email":{spelled}')), 0))
        return super().filter(qs, value).filter(place)


class EventTypeFilter(TextFilter):
    """A type of event, or several of them: `*` stands for any text. Only types that the journal holds are looked for,
    because no index serves the beginning of a text."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value or "*" not in value:
            return super().filter(qs, value)
        wanted = re.compile(".*".join(map(re.escape, value.split("*"))))
        found = [type for (type,) in prepared.rows(HELD_TYPES, []) if wanted.fullmatch(type)]
        return qs.filter(type__in=found)


class ChoiceFilter(Filter):
    """One of the choices. Any other value is refused."""

    field_class = _Choice

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.extra["choices"])}


class FlagFilter(Filter):
    """`true` when the column has a value, `false` when it has none."""

    field_class = _Flag
    schema = {"type": "boolean"}


class UuidFilter(Filter):
    """The id of a row of ours. Text that is no UUID finds nothing, and is no error."""

    field_class = forms.Field
    schema = TEXT

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        try:
            return super().filter(qs, value and UUID(value))
        except ValueError:
            return qs.none()


class UserFilter(TextFilter):
    """A user by name, who is looked up first: the index of a person's rows, newest first, does not serve a join."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        ids = list(get_user_model().objects.filter(username=value).values_list("pk", flat=True))
        return qs.filter(**{self.field_name: ids[0]}) if ids else qs.none()


class IntegerFilter(Filter):
    """A whole number: minor units, or a count."""

    field_class = _Integer
    schema = {"type": "integer", "minimum": -BIGINT_LIMIT, "maximum": BIGINT_LIMIT - 1}


class MomentFilter(Filter):
    """A time in seconds since 1970. Columns are compared by whole seconds, because the API shows whole seconds."""

    field_class = _Moment
    schema = {"type": "integer", "minimum": FIRST_SECOND, "maximum": LAST_SECOND}

    def filter(self, qs: QuerySet[Any], value: datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        next_second = value + SECOND if value.year < 9999 else value  # a datetime ends with the year 9999
        conditions = {
            "exact": Q(**{f"{self.field_name}__gte": value, f"{self.field_name}__lt": next_second}),
            "gt": Q(**{f"{self.field_name}__gte": next_second}),
            "gte": Q(**{f"{self.field_name}__gte": value}),
            "lt": Q(**{f"{self.field_name}__lt": value}),
            "lte": Q(**{f"{self.field_name}__lt": next_second}),
        }
        return qs.filter(conditions[self.lookup_expr])


class UnfinishedFilter(ChoiceFilter):
    """A state, or `unfinished` for any state in which the outcome is still open."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if value == "unfinished":
            return qs.filter(state__in=Operation.UNFINISHED)
        return super().filter(qs, value)


def _range_filters(filter_class: type[Filter], name: str, column: str = "", label: str = "") -> dict[str, Filter]:
    """`name`, `name[gt]`, `name[gte]`, `name[lt]`, `name[lte]`."""
    lookups = {name: "exact"} | {f"{name}[{lookup}]": lookup for lookup in ("gt", "gte", "lt", "lte")}
    return {parameter: filter_class(column or name, lookup, label=label) for parameter, lookup in lookups.items()}


def _filterset_class(name: str, filters: dict[str, Filter]) -> type[FilterSet]:
    """Names such as `created[gte]` are no Python identifiers, so the class is made from a table."""
    return type(name, (FilterSet,), filters)


COLLECTION_METHODS = ("charge_automatically", "send_invoice")
INVOICE_STATUSES = ("draft", "open", "void", "paid", "uncollectible")  # in the order of Stripe's message

InvoiceFilter = _filterset_class(
    "InvoiceFilter",
    {
        "customer": TextFilter("customer_id", label="Customer id"),
        "status": ChoiceFilter("status", choices=INVOICE_STATUSES, label="Status"),
        "subscription": TextFilter("subscription", label="Subscription id"),
        "collection_method": ChoiceFilter("collection_method", choices=COLLECTION_METHODS, label="How it is collected"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
        **_range_filters(MomentFilter, "due_date", label="When it is due"),
        "number": TextFilter("number", label="Invoice number (beyond Stripe's filters)"),
        "customer_email": LowerFilter("customer_email", label="The invoice's e-mail (beyond Stripe's filters)"),
        "currency": LowerFilter("currency", label="Three letters (beyond Stripe's filters)"),
        "billing_reason": TextFilter("billing_reason", label="Why it was made (beyond Stripe's filters)"),
        **{
            parameter: range_filter
            for name in ("total", "amount_due", "amount_paid", "amount_remaining")
            for parameter, range_filter in _range_filters(
                IntegerFilter, name, label="Minor units (beyond Stripe's filters)"
            ).items()
        },
        **{
            parameter: range_filter
            for name in ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
            for parameter, range_filter in _range_filters(
                MomentFilter, f"status_transitions[{name}]", name, "Beyond Stripe's filters"
            ).items()
        },
    },
)
InvoicePaymentFilter = _filterset_class(
    "InvoicePaymentFilter",
    {
        "invoice": TextFilter("invoice_id", label="Invoice id"),
        "status": ChoiceFilter("status", choices=("canceled", "open", "paid"), label="Status"),
        "payment[type]": ChoiceFilter("payment_type", choices=("payment_intent", "payment_record"), label="Kind"),
        "payment[payment_intent]": TextFilter("payment_intent", label="PaymentIntent id; needs payment[type]"),
        "payment[payment_record]": TextFilter("payment_record", label="Payment record id; needs payment[type]"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
CustomerFilter = _filterset_class(
    "CustomerFilter",
    {
        "email": ExactEmailFilter("email", label="E-mail, letter by letter"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
PaymentIntentFilter = _filterset_class(
    "PaymentIntentFilter",
    {
        "customer": TextFilter("customer", label="Customer id"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
ChargeFilter = _filterset_class(
    "ChargeFilter",
    {
        "customer": TextFilter("customer", label="Customer id"),
        "payment_intent": TextFilter("payment_intent", label="PaymentIntent id"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
EventFilter = _filterset_class(
    "EventFilter",
    {
        "type": EventTypeFilter("type", label="Type; `*` stands for any text, as in `invoice.*`"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
CreditNoteFilter = _filterset_class(
    "CreditNoteFilter",
    {
        "invoice": TextFilter("invoice_id", label="Invoice id"),
        "customer": TextFilter("customer", label="Customer id"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
RefundFilter = _filterset_class(
    "RefundFilter",
    {
        "charge": TextFilter("charge", label="Charge id"),
        "payment_intent": TextFilter("payment_intent", label="PaymentIntent id"),
        **_range_filters(MomentFilter, "created", label="When Stripe made it"),
    },
)
OperationFilter = _filterset_class(
    "OperationFilter",
    {
        "state": UnfinishedFilter("state", choices=(*Operation.State.values, "unfinished"), label="State"),
        "invoice": TextFilter("invoice", label="Invoice id"),
        "action": ChoiceFilter("action", choices=list(ACTIONS), label="Action"),
        "source": ChoiceFilter("source", choices=Operation.Source.values, label="Where it was asked for"),
        "actor": UserFilter("actor", label="Who asked: a user name"),
        "code": TextFilter("code", label="Refusal code"),
        "batch": UuidFilter("batch_id", label="The batch that it is part of"),
        "request_id": TextFilter("request_id", label="The Request-Id of the reply"),
        **_range_filters(MomentFilter, "created", "created_at", "When it was asked for"),
    },
)
BatchFilter = _filterset_class(
    "BatchFilter", _range_filters(MomentFilter, "created", "created_at", "When it was asked for")
)
NoteFilter = _filterset_class(
    "NoteFilter",
    {
        "invoice": TextFilter("invoice", label="Invoice id"),
        **_range_filters(MomentFilter, "created", "created_at", "When it was written"),
    },
)
RunFilter = _filterset_class(
    "RunFilter",
    {
        "kind": ChoiceFilter("kind", choices=ReconciliationRun.Kind.values, label="Kind"),
        "state": ChoiceFilter("state", choices=ReconciliationRun.State.values, label="State"),
        **_range_filters(MomentFilter, "created", "started_at", "When it began"),
    },
)
DriftFilter = _filterset_class(
    "DriftFilter",
    {
        "run": IntegerFilter("run_id", label="Reconciliation run"),
        "kind": ChoiceFilter("kind", choices=Drift.Kind.values, label="Kind"),
        "object_type": TextFilter("object_type", label="Kind of object"),
        "object_id": TextFilter("object_id", label="Object id"),
        "invoice": TextFilter("invoice", label="Invoice id"),
        "field": TextFilter("field", label="Which member differs"),
        "healed": FlagFilter("healed_at", "isnull", exclude=True, label="Whether it was mended"),
        **_range_filters(MomentFilter, "created", "found_at", "When it was found"),
    },
)

WebhookEndpointFilter = _filterset_class("WebhookEndpointFilter", {})
DeliveryFilter = _filterset_class(
    "DeliveryFilter",
    {
        "state": ChoiceFilter("state", choices=Delivery.State.values, label="State"),
        "event": TextFilter("event", label="The event's id"),
    },
)


def apply_filters(rows: QuerySet[Any], filterset_class: type[FilterSet], values: dict[str, Any]) -> QuerySet[Any]:
    """The rows that match all values. Raises ApiError for an unknown parameter or a wrong value.

    Only the filters that are asked for are looked at. A FilterSet would copy all of them, and make a form with a field
    for each, for every request.
    """
    filters = filterset_class.base_filters
    refuse_unknown(values, filters, [name for name, each in filters.items() if issubclass(each.field_class, _Integer)])
    if "payment[type]" not in values and any(name.startswith("payment[") for name in values):
        raise invalid("Missing required param: payment[type].", "payment[type]", "parameter_missing")
    cleaned: dict[str, Any] = {}
    for name, found in filters.items():  # in their order, so that the first error is the same one
        if name not in values:
            continue
        try:
            cleaned[name] = found.field.clean(values[name])
        except ValidationError as error:
            first = error.error_list[0]
            raise invalid(first.message.replace("%(name)s", name), name, first.code) from None
    for name, value in cleaned.items():
        rows = filters[name].filter(rows, value)
    if filterset_class is InvoiceFilter:
        _refuse_wide(cleaned, values)
    return rows


def of_types(rows: QuerySet[Any], types: list[str], type: str | None) -> QuerySet[Any]:
    """The events of these types; all where none is named. Raises ApiError."""
    if types and type is not None:
        message = "You may only specify one of these parameters: type, types."
        raise ApiError(400, message, code="parameters_exclusive")
    if len(types) > MAX_TYPES:
        raise invalid(f"You can pass up to {MAX_TYPES} types.", "types")
    return rows.filter(type__in=types) if types else rows


def _refuse_wide(cleaned: dict[str, Any], given: Iterable[str]) -> None:
    """Refuses a filter without an index where nothing else limits how many invoices it would look through."""
    wide = next((name for name in given if name.partition("[")[0] in UNINDEXED), None)
    if wide is None or any(cleaned.get(name) for name in NARROW) or cleaned.get("created"):
        return
    begin = max(filter(None, (cleaned.get("created[gte]"), cleaned.get("created[gt]"))), default=None)
    end = min(filter(None, (cleaned.get("created[lte]"), cleaned.get("created[lt]"))), default=clock.now())
    if begin is None or end - begin > MAX_SPAN:
        raise invalid(
            f"{wide} looks through many invoices. Please add one of {one_of(NARROW)}, or a range of created of at most "
            f"{MAX_SPAN.days} days: created[gte], and created[lt] unless it ends now.",
            wide,
            "parameter_missing",
        )
