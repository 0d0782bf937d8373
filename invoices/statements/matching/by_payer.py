"""Proposals for invoices that a credit's text does not name: by who paid, by the amount, by what is nearly written."""

from __future__ import annotations

from collections.abc import Iterable

from invoices.models import Invoice
from invoices.statements.matching.clues import Weighed, is_small, of_invoices, of_payer, open_of, reason, with_amount
from invoices.statements.matching.hits import Hit
from invoices.statements.matching.known import Known, ending, near_piece
from invoices.statements.matching.names import Likeness
from invoices.statements.matching.proposal import Confidence, Credit, Part, Proposal, Reason
from invoices.statements.matching.reasons import ReasonCode
from invoices.statements.matching.rows import Row
from invoices.statements.matching.sums import only_sum

SURE = 55  # the weight of an invoice of exactly this amount, of the payer's own


def by_payer(credit: Credit, known: Known, payable: list[Hit], notes: list[Reason]) -> list[Weighed]:
    """Invoices that are not named: of the payer's customers, and those with this amount."""
    named = {hit.row.id for hit in payable}
    plainly_named = any(hit.plain and hit.exact and not hit.piece.expanded for hit in payable)
    of_named = {hit.row.customer for hit in known.hits[credit.id] if hit.row.customer}
    customers = known.customers_of_payer(credit)
    pool = {row.id: row for row in known.near.get(credit.id, ())}
    pool |= {row.id: row for row in known.amounts.get((credit.currency, credit.amount), ())}
    for customer in {*customers, *of_named}:
        pool |= {row.id: row for row in open_of(credit, known, customer)}
    usable = [
        row
        for row in sorted(pool.values(), key=lambda row: row.age)
        if row.id not in named and row.currency == credit.currency and known.left(row) == credit.amount
    ]
    if notes:  # the text names an invoice that takes nothing: it is not about one of somebody else's
        usable = [row for row in usable if row.customer in {*of_named, *customers}]
    clues = [(_clue(credit, known, row, row.customer in of_named), row) for row in usable]
    found: list[Weighed] = []
    best = max((clue[0] for clue, _row in clues), default=0)
    for (weight, reasons), row in clues:
        if not weight:
            continue
        rivals = sum(other[0] == weight for other, _row in clues)
        against = [*of_payer(credit, known, [row])[1], *of_invoices(credit, known, [row]), *notes]
        if rivals > 1:
            against.append(reason(ReasonCode.SAME_AMOUNT))
        medium = weight >= 50 and weight == best and rivals == 1 and not plainly_named and not notes
        medium = medium and not of_invoices(credit, known, [row])
        proposal = Proposal(
            (Part(row.id, credit.amount),),
            Confidence.MEDIUM if medium else Confidence.LOW,
            (*reasons, reason(ReasonCode.AMOUNT, row), *against),
        )
        place = weight - (row.status == Invoice.Status.UNCOLLECTIBLE)  # of equal ones first what is still asked for
        found.append(Weighed(place, proposal))
    if not payable and not notes:
        found += _of_endings(credit, known, customers)
        found += _combined(credit, known, customers) if best < SURE else []
    if not found and not payable and not notes:
        found = [*_short_payment(credit, known, customers), *_near_part(credit, known)]
    return found


def _clue(credit: Credit, known: Known, row: Row, of_named: bool) -> tuple[int, list[Reason]]:
    """How much points to an invoice with exactly this amount, besides the amount; 0: too little."""
    reading = known.readings[credit.id]
    times, likeness = known.times(credit, row.customer), known.likeness(credit, row)
    sure, is_like = bool(times) or likeness == Likeness.SAME, likeness >= Likeness.RELATED
    reasons, _against = of_payer(credit, known, [row])
    named = any(hit.plain and hit.exact for hit in known.hits[credit.id])
    piece, last = near_piece(reading, row, known.hits[credit.id]), "" if named else ending(reading, row)
    if piece is not None:
        reasons.insert(0, reason(ReasonCode.NUMBER_NEAR, row, written=piece.written))
        return (70 if sure else 60 if is_like else 50 if likeness == Likeness.UNKNOWN else 30), reasons
    if last:
        reasons.insert(0, reason(ReasonCode.NUMBER_TAIL, row, written=last))
        return (66 if sure else 52 if is_like else 32 if likeness == Likeness.UNKNOWN else 22), reasons
    if sure:
        return SURE, reasons
    if of_named:
        return 40, reasons
    others = known.amounts.get((row.currency, credit.amount), ())
    if is_like:
        return 42, reasons
    if likeness == Likeness.UNKNOWN and len(others) == 1:
        return 15, [*reasons, reason(ReasonCode.ONLY_AMOUNT)]
    return 0, reasons


def _of_endings(credit: Credit, known: Known, customers: Iterable[str]) -> list[Weighed]:
    """Several of a customer's invoices of which the text has the end of the number, and which add up to the amount."""
    found: list[Weighed] = []
    reading = known.readings[credit.id]
    for customer in customers:
        said = [(row, last) for row in open_of(credit, known, customer) if (last := ending(reading, row))]
        chosen = [row for row, _last in said]
        if len(chosen) < 2 or sum(known.left(row) for row in chosen) != credit.amount:
            continue
        tails = [reason(ReasonCode.NUMBER_TAIL, row, written=last) for row, last in said]
        found.append(Weighed(58, _together(credit, known, chosen, before=tails)))
    return found


def _combined(credit: Credit, known: Known, customers: Iterable[str]) -> list[Weighed]:
    """Several of a customer's invoices that add up to the amount, where only one set does."""
    found: list[Weighed] = []
    for customer in customers:
        open_rows = open_of(credit, known, customer)
        places = only_sum([known.left(row) for row in open_rows], credit.amount)
        if places is None:
            continue
        chosen = [open_rows[place] for place in places]
        found.append(Weighed(50, _together(credit, known, chosen, behind=[reason(ReasonCode.LEAST_SUM)])))
    if len(found) > 1:
        found = [Weighed(45, Proposal(each.proposal.parts, Confidence.LOW, each.proposal.reasons)) for each in found]
    return found


def _together(
    credit: Credit, known: Known, chosen: list[Row], *, before: Iterable[Reason] = (), behind: Iterable[Reason] = ()
) -> Proposal:
    """All that remains of these invoices, which is the credit. `before` and `behind`: what else points to them."""
    for_it, against = of_payer(credit, known, chosen)
    against += of_invoices(credit, known, chosen)
    parts = tuple(Part(row.id, known.left(row)) for row in chosen)
    reasons = (*before, *for_it, reason(ReasonCode.SUM), *behind, *against)
    return Proposal(parts, Confidence.LOW if against else Confidence.MEDIUM, reasons)


def _short_payment(credit: Credit, known: Known, customers: Iterable[str]) -> list[Weighed]:
    """A little less than what remains of the one invoice that fits, or a part of a customer's only invoice."""
    found: list[Weighed] = []
    for customer in customers:
        open_rows = [
            row for row in open_of(credit, known, customer) if known.left(row) > credit.amount and row.takes_parts
        ]
        little = [row for row in open_rows if is_small(known.left(row) - credit.amount, known.left(row))]
        chosen = little if len(little) == 1 else open_rows
        if len(chosen) == 1 and (little or len(open_of(credit, known, customer)) == 1):
            found.append(_part(credit, known, chosen[0], [], 30 if little else 25))
    return found


def _near_part(credit: Credit, known: Known) -> list[Weighed]:
    """A part of an invoice whose number is nearly written, where the payer is the customer."""
    found: list[Weighed] = []
    for row in known.near.get(credit.id, ()):
        left = known.left(row)
        sure = known.times(credit, row.customer) or known.likeness(credit, row) == Likeness.SAME
        if row.currency == credit.currency and left > credit.amount and row.takes_parts and sure:
            piece = near_piece(known.readings[credit.id], row, known.hits[credit.id])
            said = [reason(ReasonCode.NUMBER_NEAR, row, written=piece.written)] if piece else []
            found.append(_part(credit, known, row, said, 33))
    return found


def _part(credit: Credit, known: Known, row: Row, said: list[Reason], weight: int) -> Weighed:
    missing = known.left(row) - credit.amount
    reasons, against = of_payer(credit, known, [row])
    reasons = [*said, *reasons, with_amount(ReasonCode.PART, missing, credit, row)]
    if is_small(missing, known.left(row)):
        reasons.append(with_amount(ReasonCode.SMALL_DIFFERENCE, missing, credit))
    against += of_invoices(credit, known, [row])
    return Weighed(weight, Proposal((Part(row.id, credit.amount),), Confidence.LOW, (*reasons, *against)))
