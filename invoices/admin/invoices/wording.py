"""An invoice in words: its name, its status, the sentence for the customer, and what has changed. No HTML."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format

from invoices import money
from invoices.models import Invoice
from invoices.models.reading import text


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


def number_and_amount(invoice: Invoice) -> str:
    """`Invoice DEMO-0001 over USD 10.00`."""
    name = f"Invoice {invoice.number}" if invoice.number else "The invoice"
    return f"{name} over {money.text(_total(invoice), invoice.currency)}"


def _total(invoice: Invoice) -> int | None:
    return invoice.total if invoice.amount_due is None else invoice.amount_due


def for_customer(invoice: Invoice, failure: str = "", processing: str = "", *, checking: bool = False) -> str:
    """A sentence about the invoice that can be pasted into an e-mail to the customer.

    `failure`: the bank's message about the last charge, if it failed. `processing`: the amount, with its currency, of a
    payment that the bank is still processing. `checking`: an operation on this invoice has not ended; the sentence then
    asks nobody to pay, because the invoice may already be paid.
    """
    about = number_and_amount(invoice)
    remaining, paid = (money.text(value, invoice.currency) for value in (invoice.amount_remaining, invoice.amount_paid))
    if invoice.deleted_at:
        return "There is no invoice to pay; the draft was withdrawn."
    if checking:
        return f"{about} is being worked on in this moment. Please do not pay it yet; we tell you how it ended."
    match invoice.status:
        case "draft":
            return f"{about} is still being prepared. There is nothing to pay yet."
        case "paid":
            return f"{about} was paid{_on_day(invoice.paid_at)}. Thank you; nothing is left to pay."
        case "void":
            return f"{about} was cancelled{_on_day(invoice.voided_at)}. You do not need to pay it."
        case "uncollectible":
            return f"{about} has not been paid; {remaining} is still open.{_payment_link(invoice)}"
        case "open":
            due = f"{'was' if overdue(invoice) else 'is'} due on {_day(invoice.due_date)}" if invoice.due_date else ""
            if invoice.amount_paid:
                state = f": {paid} has been received, and {remaining} is left to pay{'; it ' + due if due else ''}."
            else:
                state = f" is open{' and ' + due if due else ''}."
            if processing:
                return f"{about}{state} A payment of {processing} is on its way; your bank is processing it."
            return f"{about}{state}{_failed_attempt(failure)}{_payment_link(invoice)}"
    return f"{about}: please give us a moment to look into it."


def _on_day(when: datetime | None) -> str:
    return f" on {_day(when)}" if when else ""


def _day(when: datetime) -> str:
    return date_format(timezone.localtime(when), "j F Y")


def _failed_attempt(failure: str) -> str:
    return f" The last attempt to charge it did not go through: “{failure}”" if failure else ""


def _payment_link(invoice: Invoice) -> str:
    link = text(invoice.data, "hosted_invoice_url", limit=2000)
    return f" You can pay it here: {link}" if link and invoice.status in {"open", "uncollectible"} else ""


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
