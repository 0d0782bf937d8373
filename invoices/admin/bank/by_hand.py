"""Invoices that are typed by hand for a credit: shown with whose they are before anything is recorded, and which
invoices may be meant where a text is no number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db import OperationalError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from invoices import money, thresholds
from invoices import search as language
from invoices.admin import search
from invoices.admin.bank.wording import ShownPart
from invoices.admin.days import in_words as day_in_words
from invoices.admin.invoices import wording as invoice_wording
from invoices.keyset import newest_of_few
from invoices.models import BankTransaction, Invoice, Operation
from invoices.operations import ACTIONS, repeats
from invoices.search.time_limit import TakesTooLong, time_limit
from invoices.statements import recording
from invoices.statements.matching.names import Likeness, likeness
from invoices.statements.recording import Confirmed

OFFERED = 5  # invoices that may be meant
SHORTEST = 2  # characters: one alone begins too much
LOOKED_THROUGH = 50  # payments that were recorded on one invoice


def payable(credit: BankTransaction | None = None) -> QuerySet[Invoice]:
    """The invoices that take a payment; with a credit, those in its currency."""
    found = Invoice.objects.filter(status__in=("open", "uncollectible"), deleted_at=None)
    return found.filter(currency=credit.currency) if credit else found


@dataclass(frozen=True)
class Row(ShownPart):
    """One invoice that was typed, and what would be recorded on it."""

    remarks: Sequence[str]

    @property
    def stays(self) -> str:
        """What would remain to pay of the invoice; empty: nothing."""
        left = (self.invoice.amount_remaining or 0) - self.amount
        return money.text(left, self.invoice.currency) if left else ""


@dataclass(frozen=True)
class Preview:
    """What the typed numbers come to. `seen`: follows from all that is shown, so a form that sends it was shown just
    this."""

    credit: BankTransaction
    rows: Sequence[Row]

    @property
    def left(self) -> str:
        """What would be left of the credit; empty: nothing."""
        left = self.credit.left - sum(row.amount for row in self.rows)
        return money.text(left, self.credit.currency) if left else ""

    @property
    def seen(self) -> str:
        told = [
            [row.invoice.pk, row.number, row.customer, row.invoice.amount_remaining, row.amount, *row.remarks]
            for row in self.rows
        ]
        return hashlib.sha256(json.dumps([str(self.credit.pk), self.credit.left, told]).encode()).hexdigest()


def preview(credit: BankTransaction, words: Sequence[Confirmed]) -> Preview:
    """What these would record. Raises Invalid and Refusal where it could not be recorded."""
    recording.check(words)
    invoices = Invoice.objects.in_bulk([word.invoice for word in words])
    return Preview(
        credit,
        [
            Row(invoices[word.invoice], word.amount, _remarks(credit, invoices[word.invoice], word.amount))
            for word in words
        ],
    )


def _remarks(credit: BankTransaction, invoice: Invoice, amount: int) -> list[str]:
    """What speaks against it. Nothing is refused: people pay for others, and twice the same."""
    found = [remark] if (remark := of_payer(credit, invoice)) else []
    made = Operation.objects.filter(
        invoice=invoice.pk, action=recording.ACTION, state=Operation.State.SUCCEEDED, currency=credit.currency
    )
    before = (each for each in made.order_by("-created_at")[:LOOKED_THROUGH] if each.params.get("amount") == amount)
    if earlier := next(before, None):
        said = _("A payment of {amount} was recorded on this invoice before, on {day}.")
        day = day_in_words(earlier.created_at.date())
        found.append(said.format(amount=money.text(amount, credit.currency), day=day))
    params = {**recording.params_of(credit), "amount": amount}
    look = repeats.look(ACTIONS[recording.ACTION], [(invoice, params)])
    if elsewhere := next((each for each in look.found if invoice.pk not in dict(each.parts)), None):
        said = _("What looks like this payment was recorded for this customer, on {day}: {amount} on {invoices}.")
        rows = Invoice.objects.filter(pk__in=dict(elsewhere.parts)).order_by("pk")
        shown = {
            "day": day_in_words(elsewhere.at.date()),
            "amount": money.text(elsewhere.params.get("amount"), elsewhere.currency),
            "invoices": ", ".join(map(invoice_wording.number, rows)),
        }
        found.append(said.format(**shown))
    return found


def of_payer(credit: BankTransaction, invoice: Invoice) -> str:
    """That the payer is called otherwise than the customer; empty where nothing says so."""
    like = likeness(credit.payer_name, invoice.customer_name or "", invoice.customer_email or "")
    if like not in (Likeness.OTHER, Likeness.RELATED):
        return ""
    said = _("The payer {payer} is not called like the customer {customer}.")
    return said.format(payer=credit.payer_name, customer=invoice_wording.customer(invoice))


def may_be_meant(typed: str, credit: BankTransaction) -> list[Row]:
    """Open invoices of customers whose name begins so, of this amount, or whose number begins so: what the search of
    the desk finds. `amount`: what would be recorded."""
    if len(typed.strip()) < SHORTEST:
        return []
    found: list[Invoice] = []
    with suppress(TakesTooLong, OperationalError, language.QueryError), time_limit(thresholds.FIND_LOOK_UP):
        found = list(newest_of_few(search.invoices(typed, payable(credit)))[:OFFERED])
    return [Row(each, min(credit.left, each.amount_remaining or 0), ()) for each in found if each.number]
