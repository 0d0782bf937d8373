"""What is stored about one customer: how much of what, and all of it as one JSON document, for who asks for it.

The rows are found as an erasure finds them (`customer_rows`). Not among them: the links of the chain and the records of
erased rows, which hold hashes; the changes feed, which holds ids and times; prepared files, which are copies of a day;
backups, logs and e-mails that were sent, which are not ours to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Count, Max, Min
from django.utils.translation import gettext_noop

from invoices import clock, customer_rows, erasure
from invoices.models import Disclosure, Event
from invoices.models.fields import ObjectField
from invoices.models.reading import printable, without_secrets

EVENTS_AT_ONCE = 5000  # looked through by one statement
ROWS_AT_ONCE = 50  # in memory: the body of one event may have a megabyte
VERSION = 1  # of the document


@dataclass(frozen=True)
class Table:
    """One table that may hold rows about a customer."""

    name: str  # in the document
    label: str  # for people
    rows: Callable[[str], models.QuerySet]
    time: str  # the column of when a row's content came to be, or was stored
    holds: str  # for people: what of the customer stands in it
    erased: str  # for people: what an erasure does with it


def _events(customer: str) -> models.QuerySet:
    return Event._base_manager.filter(object_id__among=customer_rows.object_ids(customer))


READ_ANEW = gettext_noop("read from Stripe again, as redacted there")
REDACTED = gettext_noop("personal members become [redacted]")
TEXTS = gettext_noop("texts become [redacted]")
PEOPLES_TEXT = gettext_noop("texts with the name become [redacted]")
REDACTED_AND_PEOPLES = gettext_noop("personal members become [redacted]; texts with the name become [redacted]")
STAYS = gettext_noop("stays: ids, amounts and dates only")

TABLES = (
    Table(
        *("customers", gettext_noop("The customer, as Stripe has it"), customer_rows.customers, "stored_at"),
        *(gettext_noop("name, e-mail, telephone, address, balance, metadata"), READ_ANEW),
    ),
    Table(
        *("invoices", gettext_noop("Invoices"), customer_rows.invoices, "created"),
        *(gettext_noop("name, e-mail and addresses on the invoice, lines, amounts, descriptions, metadata"), READ_ANEW),
    ),
    Table(
        *("invoice_payments", gettext_noop("Payments of invoices"), customer_rows.payments, "created"),
        *(gettext_noop("amounts and ids"), STAYS),
    ),
    Table(
        *("payment_intents", gettext_noop("PaymentIntents"), customer_rows.intents, "created"),
        *(
            gettext_noop("card or bank (brand, last four digits), decline reasons, receipt e-mail, addresses"),
            READ_ANEW,
        ),
    ),
    Table(
        *("charges", gettext_noop("Charges"), customer_rows.charges, "created"),
        *(
            gettext_noop("card or bank (brand, last four digits), billing details, decline reasons, the receipt"),
            READ_ANEW,
        ),
    ),
    Table(
        *("credit_notes", gettext_noop("Credit notes"), customer_rows.credit_notes, "created"),
        *(gettext_noop("amounts, lines with descriptions, memo, metadata, the address of the PDF"), READ_ANEW),
    ),
    Table(
        *("refunds", gettext_noop("Refunds"), customer_rows.refunds, "created"),
        *(gettext_noop("amounts, the bank's reference, the e-mail for instructions, metadata"), READ_ANEW),
    ),
    Table(
        *("events", gettext_noop("Events from Stripe"), _events, "created"),
        *(gettext_noop("earlier states of all of the above, also of cards and disputes"), REDACTED),
    ),
    Table(
        *("operations", gettext_noop("Operations"), customer_rows.operations, "created_at"),
        *(gettext_noop("what was asked for and why, what was sent to Stripe and answered"), REDACTED_AND_PEOPLES),
    ),
    Table(
        *("batches", gettext_noop("Batches"), customer_rows.batches, "created_at"),
        *(
            gettext_noop("why an action was done to many invoices, and which of the customer's are among them"),
            PEOPLES_TEXT,
        ),
    ),
    Table(
        *("contradictions", gettext_noop("Contradictions"), customer_rows.contradictions, "found_at"),
        *(gettext_noop("what Stripe said otherwise, and what a person wrote about it"), PEOPLES_TEXT),
    ),
    Table(
        *("notes", gettext_noop("Notes on invoices"), customer_rows.notes, "created_at"),
        *(gettext_noop("who wrote on which invoice, and when"), STAYS),
    ),
    Table(
        *(
            "note_versions",
            gettext_noop("What the notes say, and said before"),
            customer_rows.note_versions,
            "written_at",
        ),
        *(gettext_noop("what people and services wrote"), REDACTED),
    ),
    Table(
        *("mentions", gettext_noop("Who is mentioned in the notes"), customer_rows.mentions, "made_at"),
        *(gettext_noop("which colleague, in which note, and when it was read"), STAYS),
    ),
    Table(
        *("promises", gettext_noop("Promises to pay"), customer_rows.promises, "recorded_at"),
        *(gettext_noop("how much until when, what came of it, and what people wrote about it"), TEXTS),
    ),
    Table(
        *("assignments", gettext_noop("Who had the invoices"), customer_rows.assignments, "given_at"),
        *(gettext_noop("which colleague from when to when, and what the one before wrote"), TEXTS),
    ),
    Table(
        *(
            "bank_transactions",
            gettext_noop("Bank transactions that paid the invoices"),
            customer_rows.bank_transactions,
            "statement__uploaded_at",
        ),
        *(gettext_noop("the payer’s name and account, and what the payer wrote"), TEXTS),
    ),
    Table(
        *("bank_matches", gettext_noop("Which of them paid which invoice"), customer_rows.bank_matches, "confirmed_at"),
        *(gettext_noop("amounts, who confirmed it, and why it was not recorded"), PEOPLES_TEXT),
    ),
    Table(
        *(
            "bank_decisions",
            gettext_noop("What was decided on the rest of them"),
            customer_rows.bank_decisions,
            "decided_at",
        ),
        *(gettext_noop("who set how much aside, and why"), PEOPLES_TEXT),
    ),
    Table(
        *("known_payers", gettext_noop("Who pays for the customer"), customer_rows.known_payers, "last_at"),
        *(gettext_noop("the payer’s account or name, and how often"), gettext_noop("deleted")),
    ),
    Table(
        *("drift", gettext_noop("Drift"), customer_rows.drift, "found_at"),
        *(gettext_noop("differences between Stripe and the mirror, with both values"), REDACTED),
    ),
    Table(
        *("drift_explanations", gettext_noop("What was written about drift"), customer_rows.drift_explanations),
        *("written_at", gettext_noop("why a difference is as it is, in a person’s words"), PEOPLES_TEXT),
    ),
    Table(
        *("emails", gettext_noop("E-mails to our people"), customer_rows.emails, "written_at"),
        *(gettext_noop("subject; until it was sent, the text with the reason"), PEOPLES_TEXT),
    ),
    Table(
        *("desk_events", gettext_noop("Events of ours to services"), customer_rows.desk_events, "created_at"),
        *(gettext_noop("what an operation came to, as the API shows it"), PEOPLES_TEXT),
    ),
    Table(
        *("refetches", gettext_noop("Scheduled refetches"), customer_rows.refetches, "asked_at"),
        *(gettext_noop("ids, and the error of the last attempt"), PEOPLES_TEXT),
    ),
    Table(
        *("removals", gettext_noop("Removals from the mirror"), customer_rows.removals, "removed_at"),
        *(gettext_noop("number, status and amounts of what Stripe does not have"), STAYS),
    ),
    Table(
        *("erasures", gettext_noop("Erasures"), customer_rows.erasures, "requested_at"),
        *(gettext_noop("the id, who asked for it and why"), STAYS),
    ),
    Table(
        *("disclosures", gettext_noop("Looks at this page, and downloads"), customer_rows.disclosures, "at"),
        *(gettext_noop("the id, who looked and when, why it was downloaded"), PEOPLES_TEXT),
    ),
)


@dataclass(frozen=True)
class Holding:
    """How much of a customer stands in one table."""

    table: Table
    count: int
    oldest: datetime | None
    newest: datetime | None


def holdings(customer: str) -> list[Holding]:
    """One for each table, also where it has none. Of events, those that an index finds."""
    found = []
    for table in TABLES:
        values = table.rows(customer).aggregate(count=Count("pk"), oldest=Min(table.time), newest=Max(table.time))
        found.append(Holding(table, **values))
    return found


def archives(customer: str, folder: Path) -> list[str]:
    """The files of archived events that may hold the customer: by their months, without reading them."""
    return list(erasure.Archives(customer, folder).rows.values_list("file", flat=True))


# --- recording --------------------------------------------------------------------------------------------------------


def record(customer: str, what: str, *, by: User, reason: str = "", address: str | None, request_id: str) -> Disclosure:
    """Call it before anything is shown: what could not be recorded is not shown."""
    return Disclosure.objects.create(
        customer=customer, what=what, by=by, reason=reason, address=address, request_id=request_id, at=clock.now()
    )


# --- the document -----------------------------------------------------------------------------------------------------


def document(customer: str, folder: Path) -> Iterator[str]:
    """All of it as JSON, piece by piece. What looks like a secret or the number of a card is masked.

    `archived_events` ends with an `error` where a file cannot be read, and `complete` is then false.
    """
    encode = DjangoJSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
    head = {"version": VERSION, "customer": customer, "made_at": clock.now()}
    yield encode(head)[:-1]
    names = _Names(customer)
    for table in TABLES:
        rows = table.rows(customer).order_by("pk").iterator(chunk_size=ROWS_AT_ONCE)
        yield from _list(table.name, (encode(_as_json(row, names)) for row in rows))
    yield from _list(
        "other_events", (None if found is None else encode(found) for found in _other_events(customer, names))
    )
    files = erasure.Archives(customer, folder)
    failures: list[str] = []
    yield from _list("archived_events", map(encode, _archived(files, names, failures)))
    try:
        known = erasure.known_of(customer, files)
    except erasure.CannotErase:  # the archives cannot be read, which is said
        named: list[str] = []
    else:
        named = list(erasure.named_elsewhere(known))
    tail = {"named_elsewhere": named, "complete": not failures, "errors": failures}
    yield f",{encode(tail)[1:]}\n"


def _list(name: str, items: Iterator[str | None]) -> Iterator[str]:
    """`,"name":[` and the items, each on a line of its own, and `]`. None becomes an empty line."""
    yield f',\n"{name}":['
    separator = "\n"
    for item in items:
        yield "\n" if item is None else f"{separator}{item}"
        separator = separator if item is None else ",\n"
    yield "]"


class _Names:
    """Whether a text names the customer or one of its objects: whole ids, because one id may begin as another does."""

    def __init__(self, customer: str) -> None:
        self.customer = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(customer)}(?![A-Za-z0-9_])")
        self.invoices = set(customer_rows.invoices(customer).values_list("pk", flat=True))
        self.objects = customer_rows.object_ids(customer)

    def has(self, event: Any) -> bool:
        return event.object_id in self.objects or bool(self.customer.search(event.body))


def _other_events(customer: str, names: _Names) -> Iterator[dict[str, Any] | None]:
    """Those of objects that are not mirrored, such as cards, and name the customer. No index finds them, so
    all events are walked through; None after each page, so that no proxy takes the silence for the end."""
    every, after = Event._base_manager.order_by("pk"), ""
    while page := list(every.filter(pk__gt=after).values_list("pk", flat=True)[:EVENTS_AT_ONCE]):
        for event in every.filter(pk__gt=after, pk__lte=page[-1], body__contains=customer).iterator(ROWS_AT_ONCE):
            if event.object_id not in names.objects and names.has(event):
                yield _as_json(event, names)
        after = page[-1]
        yield None


def _archived(files: erasure.Archives, names: _Names, failures: list[str]) -> Iterator[dict[str, Any]]:
    try:
        yield from (_as_json(event, names) for event in files.events() if names.has(event))
    except erasure.CannotErase as error:
        failures.append(str(error))


def _as_json(row: models.Model, names: _Names) -> dict[str, Any]:
    """Every column. Of a batch only this customer's invoices: the others are of other customers."""
    values: dict[str, Any] = {}
    for column in row._meta.concrete_fields:
        value = column.value_from_object(row)
        if isinstance(column, ObjectField):
            value = json.loads(column.get_prep_value(value) or "null")
        if row._meta.model_name == "batch" and column.name == "items":
            value = [item for item in value if item[0] in names.invoices]  # a BatchItem as a list
        values[column.name] = _masked(printable(value))
    return values


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {name: _masked(below) for name, below in value.items()}
    return [_masked(below) for below in value] if isinstance(value, list) else value
