"""An invoice in words: its name, its status, and what has changed. No HTML."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.admin.formatting import words
from invoices.models import Invoice


def number(invoice: Invoice) -> str:
    """The name that people use: the number, or `Draft` for a draft without one, or the id."""
    return invoice.number or (_("Draft") if invoice.status == "draft" else invoice.pk)


def customer(invoice: Invoice) -> str:
    """The name of the customer on the invoice; else the e-mail or the id."""
    return invoice.billed_to or _("No customer")


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
    "void": gettext_noop(
        "Stripe cannot reopen a void invoice. "
        "To bill it again, duplicate it in Stripe's dashboard, and finalize the copy."
    ),
    "uncollectible": gettext_noop(
        "Stripe cannot reopen an invoice that was written off, but it can still be paid. "
        "To bill it anew, void it, duplicate it in Stripe's dashboard, and finalize the copy."
    ),
}
# The same of one that was written off after a part of it was paid: Stripe does not void it.
NO_WAY_TO_VOID = gettext_noop(
    "Stripe cannot reopen an invoice that was written off, but the rest can still be paid. "
    "It cannot be voided, because a part of it was paid: "
    "bill anew by a new invoice over the rest in Stripe's dashboard."
)

# The columns of an invoice that the journal keeps before and after an operation, with their labels.
FIELD_LABELS = {
    "status": gettext_noop("Status"),
    "amount_due": gettext_noop("Due"),
    "amount_paid": gettext_noop("Paid"),
    "amount_remaining": gettext_noop("To pay"),
}


def field_value(name: str, value: Any, currency: str | None) -> str:
    """The value of one of `FIELD_LABELS`, for reading: amounts (in minor units) with their currency."""
    if name.startswith("amount") and isinstance(value, int):
        return money.text(value, currency)
    return "–" if value is None else words(str(value)) if name == "status" else str(value)


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
                sentences.append(_("The invoice was {old}, and is {new} now.").format(old=old, new=new))
            case "amount_due":
                sentences.append(_("It was over {old}, and is over {new} now.").format(old=old, new=new))
            case "amount_paid":
                sentences.append(_("{old} had been paid, and {new} has been paid now.").format(old=old, new=new))
            case _:
                sentences.append(_("{old} was to pay, and {new} is to pay now.").format(old=old, new=new))
    return sentences
