"""What the bank said of a payment that was made from a statement: for who approves it, and who looks at it later."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _

from invoices import money
from invoices.admin.bank import by_hand, wording
from invoices.admin.days import in_words as day_in_words
from invoices.admin.invoices import wording as invoice_wording
from invoices.admin.links import url_of
from invoices.models import BankMatch, Batch, Invoice, Operation

SEE = "invoices.view_banktransaction"


@dataclass(frozen=True)
class Evidence:
    """A match with what the bank said, as the approver reads it."""

    match: BankMatch
    invoice: Invoice | None

    @property
    def number(self) -> str:
        return invoice_wording.number(self.invoice) if self.invoice else self.match.invoice

    @property
    def customer(self) -> str:
        return invoice_wording.customer(self.invoice) if self.invoice else ""

    @property
    def amount(self) -> str:
        return money.text(self.match.amount, self.match.currency)

    @property
    def of_credit(self) -> str:
        """The whole credit, where it is more than this."""
        credit = self.match.transaction
        return money.text(credit.amount, credit.currency) if credit.amount != self.match.amount else ""

    @property
    def payer(self) -> str:
        return wording.payer(self.match.transaction)

    @property
    def remark(self) -> str:
        """What speaks against it, as who confirmed it was told."""
        return by_hand.of_payer(self.match.transaction, self.invoice) if self.invoice else ""

    @property
    def text(self) -> str:
        return self.match.transaction.text or self.match.transaction.structured_reference

    @property
    def day(self) -> str:
        return day_in_words(self.match.transaction.booked_on)

    @property
    def confidence(self) -> str:
        return wording.confidence_of(self.match)


def of_batch(request: HttpRequest, batch: Batch, operations: Iterable[uuid.UUID]) -> dict[str, object]:
    """For a batch's page: whether it comes from a statement and, for who may see bank transactions, what the bank said
    of these operations."""
    if not BankMatch.objects.filter(batch=batch).exists():
        return {}
    rows: list[Evidence] = []
    if request.user.has_perm(SEE):
        found = BankMatch.objects.select_related("transaction").in_bulk(list(operations))
        invoices = Invoice.objects.in_bulk([match.invoice for match in found.values()])
        rows = [Evidence(found[pk], invoices.get(found[pk].invoice)) for pk in operations if pk in found]
    return {"from_statement": True, "evidence": rows}


def of_operation(request: HttpRequest, operation: Operation) -> object:
    """The bank transaction that it records, as a link for who may see it; empty: it was recorded by hand."""
    match = BankMatch.objects.filter(pk=operation.pk).select_related("transaction").first()
    if match is None:
        return ""
    if not request.user.has_perm(SEE):
        return _("from a bank statement")
    credit = match.transaction
    return format_html(
        '<a href="{}">{}</a>', url_of("banktransaction", str(credit.pk)), f"{wording.payer(credit)}, {credit.booked_on}"
    )
