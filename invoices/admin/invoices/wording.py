"""An invoice in words: its name, its status, and what has changed. No HTML."""

from typing import Any

from django.utils import timezone

from invoices import money
from invoices.models import Invoice


def number(invoice: Invoice) -> str:
    """The name that people use: the number, or `Draft` for a draft without one, or the id."""
    return invoice.number or ("Draft" if invoice.status == "draft" else invoice.pk)


def customer(invoice: Invoice) -> str:
    """The name of the customer on the invoice; else the e-mail or the id."""
    return invoice.billed_to or "No customer"


def overdue(invoice: Invoice) -> bool:
    return invoice.status == "open" and invoice.due_date is not None and invoice.due_date < timezone.now()


def status(invoice: Invoice) -> tuple[str, str]:
    """The text and the colour of the status badge. No colour means: the badge takes the colour of its text. An open
    invoice that is overdue or partly paid says so."""
    if invoice.deleted_at:
        return "deleted", "grey"
    if overdue(invoice):
        return "overdue", "red"
    if invoice.status == "open" and invoice.amount_paid:
        return "partly paid", "amber"
    return invoice.status or "unreadable", ""


# What people look for who would reopen an invoice, as other systems let them, by the invoice's status.
WAYS_BACK = {
    "void": (
        "Stripe cannot reopen a void invoice. "
        "To bill it again, duplicate it in Stripe's dashboard, and finalize the copy."
    ),
    "uncollectible": (
        "Stripe cannot reopen an invoice that was written off, but it can still be paid. "
        "To bill it anew, void it, duplicate it in Stripe's dashboard, and finalize the copy."
    ),
}

# The columns of an invoice that the journal keeps before and after an operation, with their labels.
FIELD_LABELS = {"status": "Status", "amount_due": "Due", "amount_paid": "Paid", "amount_remaining": "To pay"}


def field_value(name: str, value: Any, currency: str | None) -> str:
    """The value of one of `FIELD_LABELS`, for reading: amounts (in minor units) with their currency."""
    if name.startswith("amount") and isinstance(value, int):
        return money.text(value, currency)
    return "–" if value is None else str(value)


def changes(before: dict[str, Any], now: Invoice) -> list[str]:
    """One sentence for each of `FIELD_LABELS` whose value in `before` (as the journal keeps it) differs from
    today's."""
    sentences = []
    for name in FIELD_LABELS:
        was, current = before.get(name), getattr(now, name)
        if name not in before or was == current:
            continue
        old, new = field_value(name, was, now.currency), field_value(name, current, now.currency)
        match name:
            case "status":
                sentences.append(f"The invoice was {old}, and is {new} now.")
            case "amount_due":
                sentences.append(f"It was over {old}, and is over {new} now.")
            case "amount_paid":
                sentences.append(f"{old} had been paid, and {new} has been paid now.")
            case _:
                sentences.append(f"{old} was to pay, and {new} is to pay now.")
    return sentences
