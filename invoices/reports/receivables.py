"""Receivables by age, as of the end of any day: the invoices that were open then, and what remained of each.

An invoice was open from its finalization until it was paid, voided or marked as uncollectible. So of today's open ones
those are taken that were finalized before, and of the others those that ended later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import clock, tallies
from invoices.models import Invoice
from invoices.models.tallies import NO_DAY
from invoices.record_tables.shape import NUMBER, Shape, who
from invoices.reports import history
from invoices.reports.asked import NOT_KNOWN, Asked
from invoices.reports.report import Entry, Report, amounts, of_entry, raw, raw_moment, what_counts
from invoices.reports.walking import walk

NOT_FINALIZED = gettext_noop("Stripe does not say when it was finalized.")
NOT_ENDED = gettext_noop("Stripe does not say when it was paid, voided or marked as uncollectible.")
_COLUMNS = tuple(
    dict.fromkeys(
        [
            *history.COLUMNS,
            *("currency", "customer_id", "total", "amount_remaining", "due_date", "finalized_at", "created"),
            *("voided_at", "marked_uncollectible_at"),
        ]
    )
)


class Receivables(Report):
    name = "receivables"
    title = gettext_noop("Receivables by age")
    answers = gettext_noop("What was open at the end of a day, and since when was it due?")
    counts = gettext_noop("Invoices")
    sums = gettext_noop("Remaining")
    groups_are = gettext_noop("Age")
    is_as_of = True
    permissions = ("invoices.view_invoice", "invoices.view_customer")
    limits = (
        gettext_noop("What was uncollectible then is not among them: it was written off."),
        gettext_noop(
            "From one day to another it changes by what was issued, received and given up, and by what no report has: "
            "credit notes, the balance of a customer that an invoice took up, payments of what was written off "
            "before, and what was paid too much."
        ),
        gettext_noop(
            "What remained is found from the dates of payments and credit notes; who the customer is, and when an "
            "invoice is due, are as they are today."
        ),
    )
    groups = {
        tallies.NO_DUE_DATE: gettext_noop("No due date"),
        tallies.NOT_DUE: gettext_noop("Not due yet"),
        **{band.name: band.title for band in tallies.OVERDUE_BANDS},
    }
    shape = Shape(
        title,
        [
            NUMBER,
            *who(),
            *what_counts("Remaining"),
            raw_moment("Due date", "due_date"),
            raw_moment("Finalized", "finalized_at"),
            raw("Status now", "status"),
            raw_moment("Paid at", "paid_at"),
            raw_moment("Voided", "voided_at"),
            raw_moment("Marked uncollectible", "marked_uncollectible_at"),
            *amounts("Remaining now", lambda entry: entry.raw.amount_remaining),
            *amounts("Total", lambda entry: entry.raw.total),
            of_entry("Invoice id", lambda entry: entry.invoice),
        ],
        (),
        invoice="invoice",
        customer="customer",
    )
    shown = ("Invoice", "Customer", "Remaining", "Due date (UTC)", "Status now")

    def label(self, group: str) -> str:
        if group in BANDS:
            return _("{age} overdue").format(age=_(BANDS[group].title))
        return super().label(group)

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        is_today = asked.end > clock.now()
        for part, column, unknown in _parts(asked, is_today):
            for page in walk(part, column, *(each for each in _COLUMNS if each != column), may_be_empty=True):
                yield list(_entries(page, asked, is_today, unknown))


BANDS = {band.name: band for band in tallies.OVERDUE_BANDS}


def _parts(asked: Asked, is_today: bool) -> Iterator[tuple[QuerySet[Any], str, str]]:
    """The invoices that were open at the end of the day, or may have been: in which order they are read, and why it is
    not known of all of them."""
    end = asked.end
    begun = Q(finalized_at__lt=end) | Q(finalized_at=None, created__lt=end)
    not_written_off = Q(marked_uncollectible_at=None) | Q(marked_uncollectible_at__gte=end)
    held = Invoice.objects.filter(begun, deleted_at=None)
    yield held.filter(status="open"), "created", ""
    yield held.filter(not_written_off, status="paid", paid_at__gte=end), "paid_at", ""
    yield held.filter(not_written_off, status="void", voided_at__gte=end), "voided_at", ""
    yield held.filter(status="uncollectible", marked_uncollectible_at__gte=end), "marked_uncollectible_at", ""
    if not is_today:
        yield held.filter(not_written_off & Invoice.UNDATED_END), "id", NOT_ENDED


def _entries(page: Sequence[Any], asked: Asked, is_today: bool, unknown: str) -> Iterator[Entry]:
    then = {} if is_today or unknown else history.remaining_at(page, lambda row: asked.end, of_a_change=False)
    for row in page:
        remaining = unknown or (row.amount_remaining if is_today else then[row.pk])
        if row.finalized_at is None and not is_today:
            remaining = NOT_FINALIZED
        elif remaining is None:
            remaining = history.NO_AMOUNT
        yield Entry(
            row.pk,
            None,
            row.currency or "",
            remaining if isinstance(remaining, int) else None,
            _age(row, asked) if isinstance(remaining, int) else NOT_KNOWN,
            row.pk,
            row.customer_id or "",
            remaining if isinstance(remaining, str) else "",
            row,
        )


def _age(row: Any, asked: Asked) -> str:
    """By whole days between the day on which it was due and that of the report, both in its time zone."""
    return tallies.band_of(asked.day_of(row.due_date) or NO_DAY, asked.last)
