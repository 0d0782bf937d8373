"""Bank transactions, matches and proposals in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from invoices import money
from invoices.admin.invoices import wording as invoice_wording
from invoices.models import BankDecision, BankMatch, BankTransaction, Invoice
from invoices.statements import proposing
from invoices.statements.matching.proposal import Confidence, Proposal
from invoices.statements.matching.reasons import sentence

TONES = {
    BankTransaction.State.OPEN: "amber",
    BankTransaction.State.RECORDING: "blue",
    BankTransaction.State.DONE: "green",
    BankTransaction.State.RETURNED: "red",
    BankTransaction.State.DEBIT: "grey",
}
CONFIDENCE_TONES = {
    Confidence.HIGH: "green",
    Confidence.MEDIUM: "amber",
    Confidence.LOW: "grey",
    Confidence.NONE: "grey",
}
MATCH_TONES = {
    BankMatch.State.CONFIRMED: "blue",
    BankMatch.State.RECORDED: "green",
    BankMatch.State.RELEASED: "amber",
}


@dataclass(frozen=True)
class ShownPart:
    """One invoice of a proposal, as it is now."""

    invoice: Invoice
    amount: int

    @property
    def number(self) -> str:
        return invoice_wording.number(self.invoice)

    @property
    def customer(self) -> str:
        return invoice_wording.customer(self.invoice)

    @property
    def amount_in_words(self) -> str:
        return money.text(self.amount, self.invoice.currency)

    @property
    def remaining(self) -> str:
        return money.text(self.invoice.amount_remaining, self.invoice.currency)

    @property
    def status(self) -> tuple[str, str]:
        return invoice_wording.status(self.invoice)


@dataclass(frozen=True)
class ShownProposal:
    """A proposal for a credit, with its invoices as they are now."""

    index: int
    proposal: Proposal
    parts: Sequence[ShownPart]
    currency: str

    @property
    def confidence(self) -> tuple[str, str]:
        """Label and tone."""
        return str(self.proposal.confidence.label), CONFIDENCE_TONES[self.proposal.confidence]

    @property
    def reasons(self) -> list[str]:
        return [sentence(reason) for reason in self.proposal.reasons]

    @property
    def leftover(self) -> str:
        """What would be left of the credit; empty: nothing."""
        return money.text(self.proposal.leftover, self.currency) if self.proposal.leftover else ""

    @property
    def as_field(self) -> str:
        """`in_1 11900;in_2 500`: what a form that confirms it sends."""
        return ";".join(f"{part.invoice.pk} {part.amount}" for part in self.parts)


def shown(credits: Iterable[BankTransaction]) -> dict[Any, list[ShownProposal]]:
    """What is proposed for each of these credits, with two queries for all."""
    kept = {credit.pk: proposing.proposals_of(credit) for credit in credits}
    ids = {part.invoice for found in kept.values() for each in found for part in each.parts}
    invoices = Invoice.objects.defer("data").in_bulk(ids)
    currencies = {credit.pk: credit.currency for credit in credits}
    return {
        pk: [
            ShownProposal(
                index,
                each,
                [ShownPart(invoices[part.invoice], part.amount) for part in each.parts if part.invoice in invoices],
                currencies[pk],
            )
            for index, each in enumerate(found)
        ]
        for pk, found in kept.items()
    }


def payer(credit: BankTransaction) -> str:
    return credit.payer_name or credit.payer_account or _("payer not named")


def confidence_of(match: BankMatch) -> str:
    """Of the proposal that was confirmed, in words."""
    return _("by hand") if match.confidence is None else str(match.get_confidence_display())


def what_is_decided(decision: BankDecision) -> str:
    """`Set aside EUR 5.00: interest of the bank`."""
    amount = money.text(decision.amount, decision.transaction.currency)
    return f"{decision.get_what_display()} {amount}: {decision.reason}"


def kept_in_words(new: int, known: int) -> str:
    """What came of an upload."""
    said = ngettext("{number} new transaction was taken.", "{number} new transactions were taken.", new)
    sentences = [said.format(number=new)]
    if known:
        already = ngettext(
            "{number} line was known from an earlier file.", "{number} lines were known from earlier files.", known
        )
        sentences.append(already.format(number=known))
    return " ".join(sentences)
