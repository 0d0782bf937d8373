"""The tables of our records: which columns a file of invoices, customers, payments, operations or sign-ins has.

Each amount stands in two columns, in major and in minor units, beside its currency. Moments are UTC. Rows are read page
by page, and for each page the invoices and customers that belong to it in one query each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from invoices import money
from invoices.models import (
    Charge,
    CreditNote,
    Customer,
    Invoice,
    InvoicePayment,
    Operation,
    PaymentIntent,
    Refund,
    SignInRecord,
)
from invoices.models.reading import text
from invoices.operations import label_of
from invoices.tables import Column, Kind

SEE_INVOICES, SEE_CUSTOMERS = "invoices.view_invoice", "invoices.view_customer"


@dataclass(frozen=True)
class Seen:
    """A record with its invoice and with its customer as both are now."""

    row: Any
    invoice: Invoice | None = None
    customer: str = ""
    name: str = ""
    email: str = ""


@dataclass(frozen=True)
class Field:
    column: Column
    read: Callable[[Seen], Any]
    permission: str = ""  # without which the column is left out; empty: whoever sees the list sees it


@dataclass(frozen=True)
class Shape:
    """The table of one kind of record. `reads`: the columns of the database that its fields need."""

    name: str
    fields: Sequence[Field]
    reads: Sequence[str]
    invoice: str = ""  # the column that has the invoice's id
    customer: str = ""  # the column that has the customer's id; empty: it is the invoice's
    related: Sequence[str] = ()

    def queryset(self, rows: QuerySet[Any], order_column: str) -> QuerySet[Any]:
        """These rows, with no more columns than the table needs."""
        return rows.select_related(None).select_related(*self.related).only(*{"pk", order_column, *self.reads})

    def allowed(self, may: Callable[[str], bool]) -> Sequence[Field]:
        """The fields that a person may see who has the permissions for which `may` is true."""
        return [field for field in self.fields if not field.permission or may(field.permission)]

    def values(self, rows: Sequence[Any], fields: Sequence[Field]) -> Iterator[list[Any]]:
        """The values of these fields, for each of these rows."""
        reads = [field.read for field in fields]
        for seen in self._seen(rows):
            yield [read(seen) for read in reads]

    def _seen(self, rows: Sequence[Any]) -> Iterator[Seen]:
        invoices = self._invoices(rows)
        owners = {row.pk: self._owner(row, invoices) for row in rows}
        customers = _customers({owner for owner in owners.values() if owner})
        for row in rows:
            invoice, owner = invoices.get(getattr(row, self.invoice)) if self.invoice else None, owners[row.pk]
            name, email = customers.get(owner, ("", ""))
            if invoice is not None:
                name, email = name or (invoice.customer_name or "").title(), email or invoice.customer_email or ""
            yield Seen(row, invoice, owner, name, email)

    def _invoices(self, rows: Sequence[Any]) -> dict[str, Invoice]:
        if not self.invoice:
            return {}
        if self.invoice == "pk":
            return {row.pk: row for row in rows}
        ids = {getattr(row, self.invoice) for row in rows}
        wanted = Invoice.objects.only("number", "customer_id", "customer_name", "customer_email")
        return wanted.in_bulk([pk for pk in ids if pk])

    def _owner(self, row: Any, invoices: dict[str, Invoice]) -> str:
        own = getattr(row, self.customer) if self.customer else ""
        if own or not self.invoice:
            return own or ""
        invoice = invoices.get(getattr(row, self.invoice))
        return (invoice.customer_id if invoice else "") or ""


def _customers(ids: set[str]) -> dict[str, tuple[str, str]]:
    """Name and e-mail as the customers have them today."""
    found = Customer.objects.filter(pk__in=ids).order_by().values_list("pk", "data")
    return {pk: (text(data, "name") or "", text(data, "email") or "") for pk, data in found}


# --- fields -----------------------------------------------------------------------------------------------------------


def _plain(label: str, name: str, kind: Kind = Kind.TEXT) -> Field:
    return Field(Column(label, kind), lambda seen: getattr(seen.row, name))


def _moment(label: str, name: str) -> Field:
    return _plain(f"{label} (UTC)", name, Kind.MOMENT)


def _amount(
    label: str, read: Callable[[Any], int | None], currency: Callable[[Any], str | None] = lambda row: row.currency
) -> list[Field]:
    """The amount in major units, and in minor units."""

    def major(seen: Seen) -> Any:
        amount, code = read(seen.row), currency(seen.row)
        return None if amount is None or not code else money.major(amount, code)

    return [
        Field(Column(label, Kind.AMOUNT), major),
        Field(Column(f"{label} (minor units)", Kind.MINOR), lambda seen: read(seen.row)),
    ]


def _column(label: str, name: str) -> list[Field]:
    return _amount(label, lambda row: getattr(row, name))


_CURRENCY = Field(Column("Currency", Kind.CURRENCY), lambda seen: (seen.row.currency or "").upper() or None)
_NUMBER = Field(Column("Invoice", Kind.TEXT), lambda seen: seen.invoice.number if seen.invoice else None, SEE_INVOICES)


def _who(permission: str = SEE_CUSTOMERS) -> list[Field]:
    return [
        Field(Column("Customer", Kind.TEXT), lambda seen: seen.name, permission),
        Field(Column("Customer e-mail", Kind.TEXT), lambda seen: seen.email, permission),
        Field(Column("Customer id", Kind.TEXT), lambda seen: seen.customer),
    ]


# --- the tables -------------------------------------------------------------------------------------------------------

INVOICES = Shape(
    "Invoices",
    [
        _plain("Invoice", "number"),
        _plain("Status", "status"),
        *_who(permission=""),  # the list of invoices shows them too
        _CURRENCY,
        *_column("Total", "total"),
        *_column("Due", "amount_due"),
        *_column("Paid", "amount_paid"),
        *_column("Remaining", "amount_remaining"),
        _plain("Collection", "collection_method"),
        _plain("Attempts", "attempt_count", Kind.NUMBER),
        _moment("Created", "created"),
        _moment("Due date", "due_date"),
        _moment("Next attempt", "next_payment_attempt"),
        _moment("Finalized", "finalized_at"),
        _moment("Paid at", "paid_at"),
        _moment("Voided", "voided_at"),
        _moment("Marked uncollectible", "marked_uncollectible_at"),
        _plain("Subscription", "subscription"),
        _plain("Invoice id", "pk"),
    ],
    "number status currency total amount_due amount_paid amount_remaining collection_method attempt_count created "
    "due_date next_payment_attempt finalized_at paid_at voided_at marked_uncollectible_at subscription customer_id "
    "customer_name customer_email".split(),
    invoice="pk",
)
CUSTOMERS = Shape(
    "Customers",
    [
        Field(Column("Customer", Kind.TEXT), lambda seen: seen.name),
        Field(Column("Customer e-mail", Kind.TEXT), lambda seen: seen.email),
        _plain("Default payment method", "default_payment_method"),
        _moment("Created", "created"),
        _moment("Deleted", "deleted_at"),
        _plain("Customer id", "pk"),
    ],
    ["default_payment_method", "created", "deleted_at"],
    customer="pk",
)
INVOICE_PAYMENTS = Shape(
    "Payments of invoices",
    [
        _NUMBER,
        _plain("Status", "status"),
        *_who(),
        _CURRENCY,
        *_column("Requested", "amount_requested"),
        *_column("Paid", "amount_paid"),
        _plain("Through", "payment_type"),
        _moment("Created", "created"),
        _moment("Paid at", "paid_at"),
        _moment("Canceled", "canceled_at"),
        _plain("PaymentIntent id", "payment_intent"),
        _plain("Payment record id", "payment_record"),
        _plain("Charge id", "charge"),
        _plain("Invoice id", "invoice_id"),
        _plain("Payment id", "pk"),
    ],
    "status currency amount_requested amount_paid payment_type created paid_at canceled_at payment_intent "
    "payment_record charge invoice_id".split(),
    invoice="invoice_id",
)
PAYMENT_INTENTS = Shape(
    "PaymentIntents",
    [
        _plain("Status", "status"),
        *_who(),
        _CURRENCY,
        *_column("Amount", "amount"),
        *_column("Received", "amount_received"),
        _plain("Decline code", "decline_code"),
        _plain("Error code", "error_code"),
        _plain("Stripe said", "error_message"),
        _moment("Created", "created"),
        _plain("Payment method id", "payment_method"),
        _plain("Latest charge id", "latest_charge"),
        _plain("PaymentIntent id", "pk"),
    ],
    "status currency amount amount_received decline_code error_code error_message created payment_method "
    "latest_charge customer".split(),
    customer="customer",
)
CHARGES = Shape(
    "Charges",
    [
        _plain("Status", "status"),
        *_who(),
        _CURRENCY,
        *_column("Amount", "amount"),
        *_column("Refunded", "amount_refunded"),
        _plain("Failure code", "failure_code"),
        _moment("Created", "created"),
        _plain("PaymentIntent id", "payment_intent"),
        _plain("Charge id", "pk"),
    ],
    "status currency amount amount_refunded failure_code created payment_intent customer".split(),
    customer="customer",
)
CREDIT_NOTES = Shape(
    "Credit notes",
    [
        _plain("Credit note", "number"),
        _NUMBER,
        _plain("Status", "status"),
        *_who(),
        _CURRENCY,
        *_column("Amount", "amount"),
        _plain("Type", "type"),
        _moment("Created", "created"),
        _plain("Invoice id", "invoice_id"),
        _plain("Credit note id", "pk"),
    ],
    "number status currency amount type created invoice_id customer".split(),
    invoice="invoice_id",
    customer="customer",
)
REFUNDS = Shape(
    "Refunds",
    [
        _plain("Status", "status"),
        *_who(),
        _CURRENCY,
        *_column("Amount", "amount"),
        _moment("Created", "created"),
        _plain("Charge id", "charge"),
        _plain("PaymentIntent id", "payment_intent"),
        _plain("Refund id", "pk"),
    ],
    "status currency amount created charge payment_intent customer".split(),
    customer="customer",
)


def at_stake(operation: Operation) -> int | None:
    """Minor units: what a second person would agree to; else what was left to pay when it was asked for."""
    if operation.approval_amount is not None:
        return operation.approval_amount
    remaining = operation.expected.get("amount_remaining") if isinstance(operation.expected, dict) else None
    return remaining if isinstance(remaining, int) and not isinstance(remaining, bool) else None


def _person(person: Any) -> str:
    return person.get_username() if person else ""


OPERATIONS = Shape(
    "Operations",
    [
        Field(Column("Action", Kind.TEXT), lambda seen: label_of(seen.row.action)),
        _NUMBER,
        _plain("State", "state"),
        _plain("Code", "code"),
        _plain("Decline code", "decline_code"),
        _plain("Message", "message"),
        *_who(),
        _CURRENCY,
        *_amount("Amount", at_stake),
        Field(Column("Asked by", Kind.TEXT), lambda seen: _person(seen.row.actor)),
        Field(Column("Decided by", Kind.TEXT), lambda seen: _person(seen.row.approver)),
        _plain("Reason", "reason"),
        _plain("Ticket", "ticket"),
        _plain("Way in", "source"),
        _moment("Asked", "created_at"),
        _moment("Decided", "decided_at"),
        _moment("Ended", "finished_at"),
        _plain("Invoice id", "invoice"),
        Field(Column("Operation id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    "action state code decline_code message currency approval_amount expected reason ticket source created_at "
    "decided_at finished_at invoice customer actor__username approver__username".split(),
    invoice="invoice",
    customer="customer",
    related=("actor", "approver"),
)

SIGN_INS = Shape(
    "Sign-ins",
    [
        _moment("When", "at"),
        Field(Column("What", Kind.TEXT), lambda seen: seen.row.get_what_display()),
        _plain("Account", "username"),
        _plain("By", "by"),
        _plain("Detail", "detail"),
        _plain("Reason", "reason"),
        _plain("Address", "address"),
        _plain("Request", "request_id"),
    ],
    ["at", "what", "username", "by", "detail", "reason", "address", "request_id"],
)

SHAPES: dict[type[Model], Shape] = {
    Invoice: INVOICES,
    Customer: CUSTOMERS,
    InvoicePayment: INVOICE_PAYMENTS,
    PaymentIntent: PAYMENT_INTENTS,
    Charge: CHARGES,
    CreditNote: CREDIT_NOTES,
    Refund: REFUNDS,
    Operation: OPERATIONS,
    SignInRecord: SIGN_INS,
}
