"""The tables of bank statements and their transactions, with the invoices that each credit pays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop

from invoices.models import BankMatch, BankTransaction, Invoice
from invoices.record_tables.shape import CURRENCY, Field, Seen, Shape, choice, column, moment, person, plain
from invoices.tables import Column, Kind

STATEMENTS = Shape(
    gettext_noop("Bank statements"),
    [
        plain("Account", "account"),
        plain("Number", "number"),
        CURRENCY,
        plain("From", "begins_on", Kind.DAY),
        plain("To", "ends_on", Kind.DAY),
        *column("Opening balance", "opening"),
        *column("Closing balance", "closing"),
        plain("Lines", "line_count", Kind.NUMBER),
        plain("Known before", "known_count", Kind.NUMBER),
        plain("Format", "format"),
        plain("File", "file_name"),
        plain("SHA-256", "file_hash"),
        person("Uploaded by", "uploaded_by"),
        moment("Uploaded", "uploaded_at"),
        Field(Column("Statement id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    "account number currency begins_on ends_on opening closing line_count known_count format file_name file_hash "
    "uploaded_at uploaded_by__username".split(),
    related=("uploaded_by",),
)


def _pays(rows: Sequence[BankTransaction]) -> dict[Any, list[str]]:
    """Of each credit the numbers of the invoices that it pays."""
    matches = BankMatch.objects.filter(transaction__in=[row.pk for row in rows], state__in=BankMatch.LIVE)
    found = list(matches.order_by("confirmed_at", "pk").values_list("transaction_id", "invoice"))
    numbers = dict(Invoice.objects.filter(pk__in={invoice for _pk, invoice in found}).values_list("pk", "number"))
    pays: dict[Any, list[str]] = defaultdict(list)
    for pk, invoice in found:
        pays[pk].append(numbers.get(invoice) or invoice)
    return pays


def _best(seen: Seen) -> str:
    """The invoices of the best proposal, by their ids: numbers stand in the text."""
    proposals = [each for each in seen.row.proposals or () if each["parts"]]
    return ", ".join(invoice for invoice, _amount in proposals[0]["parts"]) if proposals else ""


TRANSACTIONS = Shape(
    gettext_noop("Bank transactions"),
    [
        plain("Payer", "payer_name"),
        plain("Payer's account", "payer_account"),
        plain("Text", "text"),
        CURRENCY,
        *column("Amount", "amount"),
        *column("Left to match", "left"),
        choice("State", "state"),
        choice("Confidence", "confidence"),
        Field(Column("Proposed invoices", Kind.TEXT), _best),
        Field(Column("Pays", Kind.TEXT), lambda seen: ", ".join(seen.beside or ())),
        plain("Booked", "booked_on", Kind.DAY),
        plain("Value date", "valued_on", Kind.DAY),
        plain("Account", "account"),
        plain("Reference", "structured_reference"),
        plain("End-to-end reference", "end_to_end_id"),
        plain("Bank's reference", "bank_reference"),
        Field(Column("Transaction id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    "payer_name payer_account text currency amount left state confidence proposals booked_on valued_on account "
    "structured_reference end_to_end_id bank_reference".split(),
    beside=_pays,
)
