"""What a credit may pay, weighed: by the numbers that its text names, and by its payer and amount."""

from __future__ import annotations

from invoices.models import Invoice
from invoices.statements.matching import rows
from invoices.statements.matching.by_number import by_numbers
from invoices.statements.matching.by_payer import by_payer
from invoices.statements.matching.clues import Weighed, reason
from invoices.statements.matching.hits import Hit
from invoices.statements.matching.known import Known
from invoices.statements.matching.proposal import Confidence, Credit, Part, Proposal, Reason
from invoices.statements.matching.reasons import ReasonCode

MOST_PROPOSALS = 3


def weigh(credit: Credit, known: Known) -> tuple[Proposal, ...]:
    """Best first, at most MOST_PROPOSALS. One without parts tells why nothing is proposed."""
    notes, payable = _sorted_out(credit, known)
    weighed = [*by_numbers(credit, known, payable, notes), *by_payer(credit, known, payable, notes)]
    best: dict[tuple[Part, ...], Weighed] = {}
    for each in sorted(weighed, key=lambda each: -each.weight):
        best.setdefault(each.proposal.parts, each)
    chosen = tuple(each.proposal for each in list(best.values())[:MOST_PROPOSALS])
    if not chosen and notes:
        return (Proposal((), Confidence.NONE, tuple(notes), credit.amount),)
    return chosen


def _sorted_out(credit: Credit, known: Known) -> tuple[list[Reason], list[Hit]]:
    """Of the named invoices those that can take a payment; of the others, why not."""
    notes: list[Reason] = []
    payable: list[Hit] = []
    for hit in known.hits[credit.id]:
        row, left = hit.row, known.left(hit.row)
        if row.status in (Invoice.Status.PAID, Invoice.Status.VOID):
            code = ReasonCode.ALREADY_PAID if row.status == Invoice.Status.PAID else ReasonCode.VOID
        elif row.currency != credit.currency:
            code = ReasonCode.OTHER_CURRENCY
        elif row.status in rows.PAYABLE and left > 0:
            payable.append(hit)
            continue
        elif known.takers.get(row.id):
            code = ReasonCode.DUPLICATE
        elif row.status in rows.PAYABLE and row.remaining > 0:
            code = ReasonCode.UNDER_WAY
        else:
            code = ReasonCode.NOT_PAYABLE
        if not hit.piece.expanded:
            notes.append(reason(code, row))
    return notes, payable
