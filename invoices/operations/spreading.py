"""Spreads one payment over several invoices of a customer: oldest first, or as somebody typed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from invoices import money
from invoices.models import Invoice
from invoices.operations.action import Action
from invoices.operations.eligibility import Circumstances, check, circumstances_of
from invoices.operations.refusals import Refusal

MOST = 200  # invoices of one customer that are offered


@dataclass(frozen=True)
class Share:
    """What of the payment an invoice gets, in minor units; 0: nothing. `why_not`: why it gets nothing, or less than was
    typed; empty where all is well."""

    invoice: Invoice
    amount: int
    why_not: str = ""

    @property
    def remains(self) -> int:
        """What is to be paid of it afterwards, in minor units."""
        return (self.invoice.amount_remaining or 0) - self.amount


def payable(customer: str, currency: str) -> list[Invoice]:
    """The customer's invoices in this currency of which something is to be paid: those due longest first, those
    without a due date by their creation."""
    found = Invoice.objects.filter(
        customer_id=customer, status__in=("open", "uncollectible"), amount_remaining__gt=0, deleted_at=None
    )
    rows = [each for each in found.defer("data").order_by("created", "pk")[: MOST * 3] if each.currency == currency]
    return sorted(rows, key=lambda each: (each.due_date or each.created, each.pk))[:MOST]


def currencies(customer: str) -> list[str]:
    """Those in which the customer owes something."""
    found = Invoice.objects.filter(
        customer_id=customer, status__in=("open", "uncollectible"), amount_remaining__gt=0, deleted_at=None
    )
    return sorted({code for code in found.values_list("currency", flat=True)[: MOST * 3] if code})


def oldest_first(action: Action, invoices: Sequence[Invoice], amount: int) -> tuple[list[Share], int]:
    """Each invoice with its share of the amount (minor units), and what is left over. An invoice that takes no such
    payment now gets nothing, and says why; so does one that takes no part, where the rest is less than it needs."""
    known = circumstances_of(invoices, charges=False)
    shares = []
    for invoice in invoices:
        share = min(amount, invoice.amount_remaining or 0)
        refusal = _refusal(action, invoice, share, known) if share else None
        share = 0 if refusal else share
        shares.append(Share(invoice, share, refusal.message if refusal else ""))
        amount -= share
    return shares, amount


def as_typed(action: Action, invoices: Sequence[Invoice], amounts: Mapping[str, int]) -> list[Share]:
    """Each invoice with the amount that was typed for it, by its id; `why_not` where it cannot take it."""
    known = circumstances_of(invoices, charges=False)
    shares = []
    for invoice in invoices:
        share = amounts.get(invoice.pk, 0)
        refusal = _refusal(action, invoice, share, known) if share else None
        why_not = refusal.message if refusal else ""
        if share > (invoice.amount_remaining or 0):
            remains = money.text(invoice.amount_remaining, invoice.currency)
            why_not = _("Only {amount} are to be paid of it.").format(amount=remains)
        shares.append(Share(invoice, share, why_not))
    return shares


def _refusal(action: Action, invoice: Invoice, share: int, known: Circumstances) -> Refusal | None:
    return check(action, invoice, {"amount": share}, known)


def total(shares: Iterable[Share]) -> int:
    """What is spread, in minor units."""
    return sum(share.amount for share in shares)
