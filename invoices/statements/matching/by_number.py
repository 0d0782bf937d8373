"""Proposals for the invoices whose numbers a credit's text names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from invoices.statements.matching.clues import Weighed, is_small, of_invoices, of_payer, open_of, reason, with_amount
from invoices.statements.matching.hits import Hit, is_short
from invoices.statements.matching.known import Known
from invoices.statements.matching.names import Likeness
from invoices.statements.matching.proposal import Confidence, Credit, Part, Proposal, Reason
from invoices.statements.matching.reasons import ReasonCode
from invoices.statements.matching.rows import MOST_OF_AMOUNT, Row
from invoices.statements.matching.sums import only_sum

OTHER_PAYER = (ReasonCode.NAME_OTHER, ReasonCode.NAME_OF_ANOTHER, ReasonCode.PAYER_OF_OTHERS)
BELOW_OWN = 52  # the weight of named invoices where the payer owes this amount; SURE in by_payer.py is above it


def by_numbers(credit: Credit, known: Known, payable: list[Hit], notes: list[Reason]) -> list[Weighed]:
    if not payable:
        return []
    unclear = [*notes, reason(ReasonCode.UNCLEAR_NUMBER)]
    for chosen in _sets(payable):
        if sum(known.left(hit.row) for hit in chosen) == credit.amount:
            return [_exact(credit, known, chosen, notes if len(chosen) == len(payable) else unclear)]
    alone = [hit for hit in payable if known.left(hit.row) == credit.amount]
    plain = [hit for hit in alone if hit.plain]
    if len(plain) != 1 and len(alone) > 1:
        return _several(credit, known, plain or alone, notes)
    if plain:
        return [_exact(credit, known, plain, unclear)]
    written = [hit for hit in payable if not hit.piece.expanded]
    if sum(known.left(hit.row) for hit in written) == credit.amount:
        return [_exact(credit, known, written, unclear)]
    if (some := only_sum([known.left(hit.row) for hit in payable], credit.amount)) is not None:
        return [_exact(credit, known, [payable[place] for place in some], unclear)]
    if alone:
        return [_exact(credit, known, alone, unclear)]
    return _inexact(credit, known, [hit for hit in payable if _counts(credit, known, hit)], notes)


def _several(credit: Credit, known: Known, alone: Sequence[Hit], notes: list[Reason]) -> list[Weighed]:
    """Of each of these exactly this amount remains, and one is paid: nobody can tell which."""
    found: list[Weighed] = []
    for hit in alone:
        other = next(each for each in alone if each is not hit)
        weighed = _exact(credit, known, [hit], [*notes, reason(ReasonCode.NAMED_TOO, other.row)])
        found.append(Weighed(weighed.weight, replace(weighed.proposal, confidence=Confidence.LOW)))
    return found


def _counts(credit: Credit, known: Known, hit: Hit) -> bool:
    """Whether a number counts though its amount does not fit: it is plain, or who paid points to it too."""
    sure = known.times(credit, hit.row.customer) or known.likeness(credit, hit.row) >= Likeness.RELATED
    return hit.piece.expanded != "range" and not hit.joined and (hit.plain or bool(sure))


def _sets(payable: list[Hit]) -> list[list[Hit]]:
    """What the text may mean: all that is written, also the short forms; and what lies between two numbers."""
    listed = [hit for hit in payable if hit.piece.expanded != "range"]
    return [each for each in (listed, payable) if each]


def _exact(credit: Credit, known: Known, chosen: Sequence[Hit], notes: list[Reason]) -> Weighed:
    """The named invoices take exactly this amount. Of high confidence if nothing speaks against it."""
    parts = tuple(Part(hit.row.id, known.left(hit.row)) for hit in chosen)
    reasons, against, grave = _of_numbers(credit, known, chosen)
    reasons.append(reason(ReasonCode.AMOUNT, chosen[0].row) if len(chosen) == 1 else reason(ReasonCode.SUM))
    against += [*of_invoices(credit, known, [hit.row for hit in chosen]), *_twins(credit, known, chosen), *notes]
    confidence = Confidence.HIGH
    if against:
        confidence = Confidence.LOW if grave and len(against) > 1 else Confidence.MEDIUM
    if any(each.code in (ReasonCode.RECORDED_BEFORE, ReasonCode.RECORDED_ELSEWHERE) for each in against):
        confidence = Confidence.LOW  # it may be this very payment, from another file or by hand
    weight = 100 - 5 * len(against)
    if rival := _rival(credit, known, chosen):
        against, confidence = [*against, rival], min(confidence, Confidence.MEDIUM)
    if own := _own(credit, known, chosen):
        against, confidence, weight = [*against, own], Confidence.LOW, BELOW_OWN
    return Weighed(weight, Proposal(parts, confidence, (*reasons, *against)))


def _inexact(credit: Credit, known: Known, chosen: list[Hit], notes: list[Reason]) -> list[Weighed]:
    """The named invoices take more or less than this amount: a part payment, or something is left."""
    chosen = sorted(chosen, key=lambda hit: hit.row.age)
    parts, open_amount = [], credit.amount
    refused: list[Reason] = []
    for hit in chosen:
        left = known.left(hit.row)
        amount = min(left, open_amount)
        if amount and amount < left and not hit.row.takes_parts:
            refused.append(with_amount(ReasonCode.NO_PART_PAYMENTS, left, credit, hit.row))
            continue
        if amount:
            parts.append((hit, amount))
            open_amount -= amount
    if not parts:
        proposal = Proposal((), Confidence.NONE, (*refused, *notes), credit.amount)
        return [Weighed(20, proposal)] if refused else []
    taken = [hit for hit, _amount in parts]
    reasons, against, _grave = _of_numbers(credit, known, taken)
    last, amount = parts[-1]
    short = known.left(last.row) - amount
    if short:
        reasons.append(with_amount(ReasonCode.PART, short, credit, last.row))
        if is_small(short, known.left(last.row)):
            reasons.append(with_amount(ReasonCode.SMALL_DIFFERENCE, short, credit))
    elif open_amount:
        reasons.append(with_amount(ReasonCode.OVERPAID, open_amount, credit))
    against += [*of_invoices(credit, known, [hit.row for hit in taken]), *refused, *notes]
    other_payer = any(reason.code in OTHER_PAYER for reason in against)
    low = other_payer or not all(hit.plain and hit.exact for hit in taken)
    proposal = Proposal(
        tuple(Part(hit.row.id, amount) for hit, amount in parts),
        Confidence.LOW if low else Confidence.MEDIUM,
        (*reasons, *against),
        open_amount,
    )
    found = [Weighed(35 if low else 60, proposal)]
    if open_amount and not low and (filled := _filled_up(credit, known, proposal, taken, open_amount)):
        found.append(filled)
    return found


def _filled_up(
    credit: Credit, known: Known, proposal: Proposal, taken: Sequence[Hit], open_amount: int
) -> Weighed | None:
    """What is left over is exactly what remains of the customer's other invoices."""
    if len({hit.row.customer for hit in taken}) != 1:
        return None
    named = {hit.row.id for hit in taken}
    others = [row for row in open_of(credit, known, taken[0].row.customer) if row.id not in named]
    single = [row for row in others if known.left(row) == open_amount]
    places = only_sum([known.left(row) for row in others], open_amount)
    more = single if len(single) == 1 else [others[place] for place in places or ()]
    if not more or (single and places):
        return None
    parts = (*proposal.parts, *(Part(row.id, known.left(row)) for row in more))
    kept = [reason for reason in proposal.reasons if reason.code != ReasonCode.OVERPAID]
    reasons = (*kept, reason(ReasonCode.SUM), *of_invoices(credit, known, more))
    return Weighed(65, Proposal(parts, Confidence.MEDIUM, reasons))


def _of_numbers(credit: Credit, known: Known, chosen: Sequence[Hit]) -> tuple[list[Reason], list[Reason], bool]:
    """What speaks for and against the named invoices: how their numbers are written, and who paid. And whether the
    number may be something else."""
    reasons: list[Reason] = []
    against: list[Reason] = []
    for hit in chosen:
        if hit.exact:
            reasons.append(reason(ReasonCode.NUMBER, hit.row))
        else:
            against.append(reason(ReasonCode.NUMBER_ALIKE, hit.row, written=hit.piece.written))
    unclear = not all(
        hit.plain and hit.piece.expanded != "range" and (not is_short(hit) or _is_sure(credit, known, hit.row))
        for hit in chosen
    )
    if unclear:
        against.append(reason(ReasonCode.UNCLEAR_NUMBER))
    for_it, against_it = of_payer(credit, known, [hit.row for hit in chosen])
    against += against_it
    if len({hit.row.customer for hit in chosen}) > 1:
        against.append(reason(ReasonCode.SEVERAL_CUSTOMERS))
    return [*reasons, *for_it], against, unclear


def _is_sure(credit: Credit, known: Known, row: Row) -> bool:
    """Whether who paid is known to be its customer."""
    return bool(known.times(credit, row.customer)) or known.likeness(credit, row) == Likeness.SAME


def _rival(credit: Credit, known: Known, chosen: Sequence[Hit]) -> Reason | None:
    """Another customer owes exactly this amount, and the payer's name is as much like theirs: a family's or a group's.
    Then the number alone tells them apart, and it may be the wrong one."""
    customers = {hit.row.customer for hit in chosen}
    if any(known.times(credit, customer) for customer in customers):
        return None
    like = max(known.likeness(credit, hit.row) for hit in chosen)
    if like not in (Likeness.RELATED, Likeness.PARTLY):
        return None
    same_amount = known.amounts.get((credit.currency, credit.amount), [])
    if len(same_amount) > MOST_OF_AMOUNT:  # there may be such a one among those that were not looked at
        return reason(ReasonCode.COMMON_AMOUNT)
    for row in same_amount:
        if row.customer not in customers and known.likeness(credit, row) >= like:
            return reason(ReasonCode.RIVAL, row)
    return None


def _own(credit: Credit, known: Known, chosen: Sequence[Hit]) -> Reason | None:
    """The payer is a customer, to whom none of the named invoices belongs, and owes exactly this amount: a wrong number
    was copied more often than somebody paid for another what is owed by both."""
    payers = known.named.get(credit.id, set())  # by name alone: an account may be one of a service for several
    if not payers or any(hit.row.customer in payers for hit in chosen):
        return None
    if any(known.likeness(credit, hit.row) == Likeness.SAME for hit in chosen):
        return None
    owed = [row for customer in payers for row in open_of(credit, known, customer) if known.left(row) == credit.amount]
    return reason(ReasonCode.OWN_INVOICE, owed[0]) if owed else None


def _twins(credit: Credit, known: Known, chosen: Sequence[Hit]) -> list[Reason]:
    """Another invoice with the same amount whose number is one mistake away: the payer may have meant that one. Where
    the payer's name tells the customers apart, only those of the same customer count."""
    named = {hit.row.id for hit in chosen}
    for hit in chosen:
        sure = _is_sure(credit, known, hit.row)
        for twin in known.twins.get(hit.row.id, ()):
            if twin.id in named or twin.currency != credit.currency or twin.remaining != hit.row.remaining:
                continue
            same_customer = twin.customer == hit.row.customer
            like = known.likeness(credit, twin) >= Likeness.RELATED or known.times(credit, twin.customer)
            if same_customer or not sure or like:
                return [reason(ReasonCode.TWIN, twin)]
    return []
