"""What the table of a kind of record consists of: its fields, what they read, and what is looked up for a page of rows.

Each amount stands in two columns, in major and in minor units, beside its currency. Moments are UTC. Rows are read page
by page, and for each page the invoices and customers that belong to it in one query each. What a cell says is English.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from invoices import customer_names, money, recorded
from invoices.models import Customer, Invoice
from invoices.models.reading import text
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
    beside: Any = None  # what the shape looks up for each page of rows


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
    beside: Callable[[Sequence[Any]], Mapping[Any, Any]] | None = None  # of a page of rows: by primary key, for `Seen`
    rows_at_once: int = 500  # in memory

    def queryset(self, rows: QuerySet[Any], order_column: str) -> QuerySet[Any]:
        """These rows, with no more columns than the table needs."""
        return rows.select_related(None).select_related(*self.related).only(*{"pk", order_column, *self.reads})

    def allowed(self, may: Callable[[str], bool]) -> Sequence[Field]:
        """The fields that a person may see who has the permissions for which `may` is true."""
        return [field for field in self.fields if not field.permission or may(field.permission)]

    def values(self, rows: Sequence[Any], fields: Sequence[Field]) -> Iterator[list[Any]]:
        """The values of these fields, for each of these rows."""
        reads = [field.read for field in fields]
        for seen in self.seen(rows):
            yield [read(seen) for read in reads]

    def seen(self, rows: Sequence[Any]) -> Iterator[Seen]:
        """Each of these rows with what its fields read beside it."""
        invoices = self._invoices(rows)
        owners = {row.pk: self._owner(row, invoices) for row in rows}
        customers = _customers({owner for owner in owners.values() if owner})
        nameless = (row for row in rows if not customers.get(owners[row.pk], ("", ""))[0]) if self.invoice else ()
        about = (invoices.get(getattr(row, self.invoice)) for row in nameless)
        written = customer_names.on_invoices(invoice for invoice in about if invoice is not None)
        beside = self.beside(rows) if self.beside and rows else {}
        for row in rows:
            invoice, owner = invoices.get(getattr(row, self.invoice)) if self.invoice else None, owners[row.pk]
            name, email = customers.get(owner, ("", ""))
            if invoice is not None:
                name, email = name or written.get(invoice.pk, ""), email or invoice.customer_email or ""
            yield Seen(row, invoice, owner, name, email, beside.get(row.pk))

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


def plain(label: str, name: str, kind: Kind = Kind.TEXT) -> Field:
    return Field(Column(label, kind), lambda seen: getattr(seen.row, name))


def moment(label: str, name: str) -> Field:
    return plain(f"{label} (UTC)", name, Kind.MOMENT)


def choice(label: str, name: str) -> Field:
    """Of a column with choices: what they are called, in English whatever the reader's language is."""

    def read(seen: Seen) -> str:
        with recorded.in_english():
            return str(getattr(seen.row, f"get_{name}_display")())

    return Field(Column(label, Kind.TEXT), read)


def person(label: str, name: str) -> Field:
    """The user name of whom this column names."""
    return Field(Column(label, Kind.TEXT), lambda seen: user_name(getattr(seen.row, name)))


def user_name(person: Any) -> str:
    return person.get_username() if person else ""


def amount(
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


def column(label: str, name: str) -> list[Field]:
    return amount(label, lambda row: getattr(row, name))


CURRENCY = Field(Column("Currency", Kind.CURRENCY), lambda seen: (seen.row.currency or "").upper() or None)
NUMBER = Field(Column("Invoice", Kind.TEXT), lambda seen: seen.invoice.number if seen.invoice else None, SEE_INVOICES)


def who(permission: str = SEE_CUSTOMERS) -> list[Field]:
    return [
        Field(Column("Customer", Kind.TEXT), lambda seen: seen.name, permission),
        Field(Column("Customer e-mail", Kind.TEXT), lambda seen: seen.email, permission),
        Field(Column("Customer id", Kind.TEXT), lambda seen: seen.customer),
    ]
