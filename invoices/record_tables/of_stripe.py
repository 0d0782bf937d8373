"""The tables of Stripe's objects: which columns a file of invoices, customers, payments or refunds has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext_noop

from invoices import assignments, promises
from invoices.models import Assignment, Mirrored, Operation, Promise
from invoices.models.reading import member, text
from invoices.reconcile.comparisons import last_comparisons
from invoices.record_tables.shape import CURRENCY, NUMBER, Field, Seen, Shape, column, moment, plain, user_name, who
from invoices.tables import Column, Kind

# What each list of Stripe's objects needs to say as of when a row is known to be as Stripe has it.
SEE_OPERATIONS = "invoices.view_operation"
_OF_COMPARISONS = ["stored_at", "deleted_at", "created"]
_AS_OF = Field(Column("As of (UTC)", Kind.MOMENT), lambda seen: seen.beside)


def _as_of(rows: Sequence[Mirrored]) -> dict[str, datetime | None]:
    comparisons = last_comparisons()
    return {row.pk: comparisons.as_of(row) for row in rows}


class _Work(NamedTuple):
    """Who has an invoice, and what was promised of it."""

    assignment: Assignment | None
    promise: Promise | None


def _work(rows: Sequence[Mirrored]) -> dict[str, _Work]:
    ids = [row.pk for row in rows]
    having = assignments.current_of(ids)
    standing = {row.invoice: row for row in Promise.objects.filter(invoice__in=ids, state=Promise.State.OPEN)}
    return {pk: _Work(having.get(pk), standing.get(pk)) for pk in ids}


class _Recorded(NamedTuple):
    """As of when a payment is known to be as Stripe has it, and what was said of it where the desk recorded it."""

    as_of: datetime | None
    params: dict[str, Any]


def _recorded(rows: Sequence[Any]) -> dict[str, _Recorded]:
    """What was said of the payments outside Stripe: found by their invoices' operations, in one query."""
    as_of = _as_of(rows)
    said: dict[str, dict[str, Any]] = {}
    invoices = {row.invoice_id for row in rows if row.payment_record and row.invoice_id}
    if invoices:
        found = Operation.objects.filter(invoice__among=invoices, action="attach_out_of_band_payment")
        for operation in found.order_by().only("params", "calls"):
            said.update({call.result.id: operation.params for call in operation.calls if call.result})
    return {row.pk: _Recorded(as_of[row.pk], said.get(row.payment_record or "", {})) for row in rows}


def _received_on(seen: Seen) -> date | None:
    try:
        return date.fromisoformat(str(seen.beside.params.get("received_on") or ""))
    except ValueError:
        return None


def _said(label: str, name: str) -> Field:
    return Field(Column(label, Kind.TEXT), lambda seen: seen.beside.params.get(name), SEE_OPERATIONS)


INVOICES = Shape(
    gettext_noop("Invoices"),
    [
        plain("Invoice", "number"),
        plain("Status", "status"),
        *who(permission=""),  # the list of invoices shows them too
        CURRENCY,
        *column("Total", "total"),
        *column("Due", "amount_due"),
        *column("Paid", "amount_paid"),
        *column("Remaining", "amount_remaining"),
        plain("Collection", "collection_method"),
        plain("Attempts", "attempt_count", Kind.NUMBER),
        moment("Created", "created"),
        moment("Due date", "due_date"),
        moment("Next attempt", "next_payment_attempt"),
        moment("Finalized", "finalized_at"),
        moment("Paid at", "paid_at"),
        moment("Voided", "voided_at"),
        moment("Marked uncollectible", "marked_uncollectible_at"),
        plain("Subscription", "subscription"),
        Field(
            Column("Assigned to", Kind.TEXT),
            lambda seen: user_name(seen.beside.assignment and seen.beside.assignment.person),
            assignments.VIEW,
        ),
        Field(
            Column("Promised until", Kind.DAY),
            lambda seen: seen.beside.promise and seen.beside.promise.day,
            promises.VIEW,
        ),
        plain("Invoice id", "pk"),
    ],
    "number status currency total amount_due amount_paid amount_remaining collection_method attempt_count created "
    "due_date next_payment_attempt finalized_at paid_at voided_at marked_uncollectible_at subscription customer_id "
    "customer_name customer_email".split(),
    invoice="pk",
    beside=_work,
)
CUSTOMERS = Shape(
    gettext_noop("Customers"),
    [
        Field(Column("Customer", Kind.TEXT), lambda seen: seen.name),
        Field(Column("Customer e-mail", Kind.TEXT), lambda seen: seen.email),
        plain("Default payment method", "default_payment_method"),
        moment("Created", "created"),
        moment("Deleted", "deleted_at"),
        _AS_OF,
        plain("Customer id", "pk"),
    ],
    ["default_payment_method", *_OF_COMPARISONS],
    customer="pk",
    beside=_as_of,
)
INVOICE_PAYMENTS = Shape(
    gettext_noop("Payments of invoices"),
    [
        NUMBER,
        plain("Status", "status"),
        *who(),
        CURRENCY,
        *column("Requested", "amount_requested"),
        *column("Paid", "amount_paid"),
        plain("Through", "payment_type"),
        moment("Created", "created"),
        moment("Paid at", "paid_at"),
        Field(Column("Received on", Kind.DAY), _received_on, SEE_OPERATIONS),
        _said("Method", "method"),
        _said("Reference", "reference"),
        moment("Canceled", "canceled_at"),
        plain("PaymentIntent id", "payment_intent"),
        plain("Payment record id", "payment_record"),
        plain("Charge id", "charge"),
        plain("Invoice id", "invoice_id"),
        Field(_AS_OF.column, lambda seen: seen.beside.as_of),
        plain("Payment id", "pk"),
    ],
    "status currency amount_requested amount_paid payment_type created paid_at canceled_at payment_intent "
    "payment_record charge invoice_id".split()
    + _OF_COMPARISONS,
    invoice="invoice_id",
    beside=_recorded,
)
PAYMENT_INTENTS = Shape(
    gettext_noop("PaymentIntents"),
    [
        plain("Status", "status"),
        *who(),
        CURRENCY,
        *column("Amount", "amount"),
        *column("Received", "amount_received"),
        plain("Decline code", "decline_code"),
        plain("Error code", "error_code"),
        plain("Stripe said", "error_message"),
        moment("Created", "created"),
        plain("Payment method id", "payment_method"),
        plain("Latest charge id", "latest_charge"),
        _AS_OF,
        plain("PaymentIntent id", "pk"),
    ],
    "status currency amount amount_received decline_code error_code error_message created payment_method "
    "latest_charge customer".split()
    + _OF_COMPARISONS,
    customer="customer",
    beside=_as_of,
)


def _method(seen: Seen) -> Any:
    return member(seen.row.data, "payment_method_details")


def _details(seen: Seen) -> Any:
    return member(_method(seen), text(_method(seen), "type") or "")


def _card_or_bank(seen: Seen) -> str | None:
    return text(_details(seen), "brand") or text(_details(seen), "bank_name")


CHARGES = Shape(
    gettext_noop("Charges"),
    [
        plain("Status", "status"),
        *who(),
        CURRENCY,
        *column("Amount", "amount"),
        *column("Refunded", "amount_refunded"),
        plain("Failure code", "failure_code"),
        Field(Column("Paid with", Kind.TEXT), lambda seen: text(_method(seen), "type")),
        Field(Column("Card or bank", Kind.TEXT), _card_or_bank),
        Field(Column("Last four digits", Kind.TEXT), lambda seen: text(_details(seen), "last4")),
        moment("Created", "created"),
        plain("PaymentIntent id", "payment_intent"),
        _AS_OF,
        plain("Charge id", "pk"),
    ],
    "status currency amount amount_refunded failure_code created payment_intent customer data".split()
    + _OF_COMPARISONS,
    customer="customer",
    beside=_as_of,
)
CREDIT_NOTES = Shape(
    gettext_noop("Credit notes"),
    [
        plain("Credit note", "number"),
        NUMBER,
        plain("Status", "status"),
        *who(),
        CURRENCY,
        *column("Amount", "amount"),
        plain("Type", "type"),
        moment("Created", "created"),
        plain("Invoice id", "invoice_id"),
        _AS_OF,
        plain("Credit note id", "pk"),
    ],
    "number status currency amount type created invoice_id customer".split() + _OF_COMPARISONS,
    invoice="invoice_id",
    customer="customer",
    beside=_as_of,
)
REFUNDS = Shape(
    gettext_noop("Refunds"),
    [
        plain("Status", "status"),
        *who(),
        CURRENCY,
        *column("Amount", "amount"),
        moment("Created", "created"),
        plain("Charge id", "charge"),
        plain("PaymentIntent id", "payment_intent"),
        _AS_OF,
        plain("Refund id", "pk"),
    ],
    "status currency amount created charge payment_intent customer".split() + _OF_COMPARISONS,
    customer="customer",
    beside=_as_of,
)
