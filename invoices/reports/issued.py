"""Invoices issued: by the day of their finalization, and what has become of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext_noop

from invoices.models import Invoice
from invoices.record_tables.shape import NUMBER, Shape, moment, who
from invoices.reports.asked import NOT_KNOWN, Asked
from invoices.reports.report import Entry, Report, amounts, of_entry, raw, raw_moment, what_counts
from invoices.reports.walking import walk

NOT_FINALIZED = gettext_noop("Stripe does not say when it was finalized.")
_COLUMNS = (
    *("currency", "status", "total", "amount_due", "amount_paid", "amount_remaining", "customer_id"),
    *("collection_method", "billing_reason", "subscription", "due_date"),
)


def _remaining(entry: Entry) -> int | None:
    """Of a void invoice Stripe goes on to say what remained; nothing of it is owed."""
    return 0 if entry.raw.status == "void" else entry.raw.amount_remaining


class Issued(Report):
    name = "issued"
    title = gettext_noop("Invoices issued")
    answers = gettext_noop("Which invoices were finalized in these days, over how much, and what became of them?")
    counts = gettext_noop("Invoices")
    sums = gettext_noop("Total")
    groups_are = gettext_noop("Status now")
    permissions = ("invoices.view_invoice", "invoices.view_customer")
    limits = (gettext_noop("The total is that of the invoice. Credit notes that came later are not subtracted."),)
    groups = {
        "open": gettext_noop("Open"),
        "paid": gettext_noop("Paid"),
        "uncollectible": gettext_noop("Uncollectible"),
        "void": gettext_noop("Void"),
    }
    shape = Shape(
        title,
        [
            NUMBER,
            *who(),
            *what_counts("Total"),
            *amounts("Due", lambda entry: entry.raw.amount_due),
            *amounts("Paid", lambda entry: entry.raw.amount_paid),
            *amounts("Remaining", _remaining),
            raw("Collection", "collection_method"),
            raw("Why it was made", "billing_reason"),
            raw("Subscription", "subscription"),
            moment("Finalized", "at"),
            raw_moment("Due date", "due_date"),
            of_entry("Invoice id", lambda entry: entry.invoice),
        ],
        (),
        invoice="invoice",
        customer="customer",
    )
    shown = ("Invoice", "Customer", "Total", "Remaining", "Due date (UTC)")

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        held = Invoice.objects.filter(deleted_at=None)
        issued = held.filter(finalized_at__gte=asked.begin, finalized_at__lt=asked.end)
        for page in walk(issued, "finalized_at", *_COLUMNS):
            yield [_entry(row) for row in page]
        for page in walk(held.filter(Invoice.UNDATED_BEGIN, created__lt=asked.end), "id", "finalized_at", *_COLUMNS):
            yield [_entry(row, NOT_FINALIZED) for row in page]


def _entry(row: Any, unknown: str = "") -> Entry:
    return Entry(
        row.pk,
        row.finalized_at,
        row.currency or "",
        None if unknown else row.total,
        NOT_KNOWN if unknown else row.status or "",
        row.pk,
        row.customer_id or "",
        unknown,
        row,
    )
