"""The lines of an invoice and the totals below them. `data` is the invoice as Stripe sent it, of any API version."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from invoices import money
from invoices.admin.formatting import number
from invoices.models import Invoice
from invoices.models.reading import integer, member, moment, text

TOTAL = gettext_noop("Total")


def lines(data: Any) -> list[dict[str, Any]]:
    found = member(data, "lines", "data")
    return [_line(line) for line in found if isinstance(line, dict)] if isinstance(found, list) else []


def more_lines(data: Any) -> str:
    """A sentence for the case that Stripe has more lines than we hold; else empty."""
    held, total = len(lines(data)), integer(data, "lines", "total_count")
    if total is not None and total > held:
        more = total - held
        return ngettext("{count} more line is at Stripe.", "{count} more lines are at Stripe.", more).format(
            count=number(more)
        )
    return _("More lines are at Stripe.") if member(data, "lines", "has_more") is True else ""


def totals(invoice: Invoice, data: Any) -> list[tuple[str, str, bool]]:
    """Label and amount of the sums below the lines, and whether it is the total. Sums of zero are left out, except the
    total."""
    sums = [(gettext_noop("Subtotal"), integer(data, "subtotal"))]
    discounts = member(data, "total_discount_amounts")
    taxes = member(data, "total_taxes") or member(data, "total_tax_amounts")
    sums += [(gettext_noop("Discounts"), -_sum(discounts)), (gettext_noop("Tax"), _sum(taxes))]
    balance = integer(data, "starting_balance")
    sums += [(TOTAL, invoice.total), (gettext_noop("From the customer's balance"), balance)]
    return [
        (_(label), money.text(value, invoice.currency), label == TOTAL)
        for label, value in sums
        if value or (label == TOTAL and value is not None)
    ]


def _line(line: dict[str, Any]) -> dict[str, Any]:
    """One line, ready to be shown. `period` is None where it has no length."""
    currency = text(line, "currency")
    start, end = moment(line, "period", "start"), moment(line, "period", "end")
    return {
        "description": text(line, "description", limit=1000) or _("No description"),
        "period": (start, end) if start and end and start != end else None,
        "quantity": member(line, "quantity"),
        "amount": money.text(integer(line, "amount"), currency),
        "id": text(line, "id"),
    }


def _sum(parts: Any) -> int:
    """The sum of the `amount` of each part: Stripe's lists of discounts and of taxes have this shape."""
    return sum(integer(part, "amount") or 0 for part in parts) if isinstance(parts, list) else 0
