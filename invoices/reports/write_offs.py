"""What was given up: voided, marked as uncollectible or forgiven, by the day, with reason and approver.

The amount is what remained at that moment. An uncollectible invoice that is voided later was given up before, so it
stands in a group of its own. What was done past the desk has no operation, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_noop

from invoices.models import Invoice, Operation
from invoices.record_tables.shape import NUMBER, Shape, moment, who
from invoices.reports import deeds, history
from invoices.reports.asked import NOT_KNOWN, Asked
from invoices.reports.report import Entry, Report, amounts, of_entry, raw, raw_moment, what_counts
from invoices.reports.walking import walk

VOID, UNCOLLECTIBLE, FORGIVEN, VOID_AFTER = "void", "uncollectible", "forgiven", "void-after"
ACTIONS = {VOID: "void", VOID_AFTER: "void", UNCOLLECTIBLE: "mark_uncollectible", FORGIVEN: "pay"}
NO_DAY = gettext_noop("Stripe does not say when it was voided or marked as uncollectible.")
_COLUMNS = ("status", "amount_due", "amount_paid", "currency", "customer_id", "amount_remaining", "finalized_at")
_MOMENTS = ("paid_at", "voided_at", "marked_uncollectible_at")


def _operations(entries: Sequence[Entry]) -> dict[str, Operation]:
    """The operation by which each was done, by the entry's key."""
    known = deeds.succeeded((entry.invoice for entry in entries), *set(ACTIONS.values()))
    found = {}
    for entry in entries:
        what = entry.pk.partition(" ")[2]
        for operation in known.get(entry.invoice, ()):
            if operation.action == ACTIONS.get(what) and (what != FORGIVEN or operation.params.get("forgive")):
                found[entry.pk] = operation
    return found


class WriteOffs(Report):
    name = "write_offs"
    title = gettext_noop("Write-offs and voids")
    answers = gettext_noop("What was voided, written off or forgiven in these days, why, and who agreed?")
    counts = gettext_noop("Invoices")
    sums = gettext_noop("Given up")
    groups_are = gettext_noop("What was done")
    adds_up = False  # what is voided after it was written off would count twice
    permissions = ("invoices.view_invoice", "invoices.view_customer", "invoices.view_operation")
    limits = (
        gettext_noop("The amount is what remained at that moment. It counts also where the invoice was paid later."),
        gettext_noop("Credit notes are not among them: they stand in their list."),
    )
    groups = {
        VOID: gettext_noop("Voided"),
        UNCOLLECTIBLE: gettext_noop("Marked as uncollectible"),
        FORGIVEN: gettext_noop("Forgiven when it was paid"),
        VOID_AFTER: gettext_noop("Voided after it was uncollectible"),
    }
    shape = Shape(
        title,
        [
            NUMBER,
            *who(),
            *what_counts("Given up"),
            *deeds.fields(otherwise=deeds.NOT_BY_DESK),
            raw("Status now", "status"),
            *amounts("Paid now", lambda entry: entry.raw.amount_paid),
            moment("When", "at"),
            raw_moment("Finalized", "finalized_at"),
            raw_moment("Marked uncollectible", "marked_uncollectible_at"),
            raw_moment("Voided", "voided_at"),
            raw_moment("Paid at", "paid_at"),
            of_entry("Invoice id", lambda entry: entry.invoice),
        ],
        (),
        invoice="invoice",
        customer="customer",
        beside=_operations,
    )
    shown = ("Invoice", "Customer", "Given up", "Asked by", "Approved by", "Reason")

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        held = Invoice.objects.filter(deleted_at=None)
        for rows, column, what in _parts(held, asked):
            for page in walk(rows, column, *_COLUMNS, *(each for each in _MOMENTS if each != column)):
                yield _entries(page, column, what)
        undated = held.filter(Invoice.UNDATED_END, created__lt=asked.end).exclude(status="paid")
        for page in walk(undated, "id", *_COLUMNS, *_MOMENTS):
            yield [_entry(row, None, NO_DAY, "") for row in page]


def _parts(held: QuerySet[Any], asked: Asked) -> Iterator[tuple[QuerySet[Any], str, str]]:
    """What is read in the order of which column, and what was done."""

    def within(column: str) -> Q:
        return Q(**{f"{column}__gte": asked.begin, f"{column}__lt": asked.end})

    yield held.filter(within("voided_at"), status="void"), "voided_at", VOID
    yield held.filter(within("marked_uncollectible_at")), "marked_uncollectible_at", UNCOLLECTIBLE
    yield held.filter(within("paid_at"), status="paid", amount_paid__lt=F("amount_due")), "paid_at", FORGIVEN


def _entries(page: Sequence[Any], column: str, what: str) -> list[Entry]:
    if what == FORGIVEN:
        return [_entry(row, row.paid_at, row.amount_due - row.amount_paid, what) for row in page]
    then = history.remaining_at(page, lambda row: getattr(row, column), of_a_change=True)
    return [_entry(row, getattr(row, column), then[row.pk], _kind(row, what)) for row in page]


def _kind(row: Any, what: str) -> str:
    return VOID_AFTER if what == VOID and row.marked_uncollectible_at is not None else what


def _entry(row: Any, at: Any, remaining: int | str, what: str) -> Entry:
    return Entry(
        f"{row.pk} {what}",
        at,
        row.currency or "",
        remaining if isinstance(remaining, int) else None,
        what if isinstance(remaining, int) else NOT_KNOWN,
        row.pk,
        row.customer_id or "",
        remaining if isinstance(remaining, str) else "",
        row,
    )
