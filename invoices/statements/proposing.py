"""Keeps with each credit what is proposed for it. A job does so for all of them, and each page for those that it shows:
invoices change, and so does what is left of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db.models import F, Q

from invoices import clock, interruption
from invoices.models import BankTransaction, many_rows
from invoices.statements.credits import said_to_be_another
from invoices.statements.matching.proposal import Confidence, Credit, Part, Proposal
from invoices.statements.matching.propose import propose
from invoices.statements.payers import known_payers

AT_ONCE = 500  # credits that are matched together
OLD_AFTER = timedelta(minutes=10)  # the job looks again at what was proposed before
LOOKED_AT_FOR = timedelta(days=120)  # an older credit is matched anew by its page alone
OTHERS_LOOKED_AT = 1_000  # credits
PROPOSED_AT_ONCE = 5_000  # by one run of the job


def propose_due() -> int:
    """Proposes anew for the credits that have none yet, then for those looked at longest ago; how many."""
    now, number = clock.now(), 0
    while number < PROPOSED_AT_ONCE and not interruption.asked():
        due = BankTransaction.objects.filter(
            Q(proposed_at=None) | Q(proposed_at__lt=now - OLD_AFTER, booked_on__gt=now.date() - LOOKED_AT_FOR),
            state=BankTransaction.State.OPEN,
        )
        found = list(due.order_by(F("proposed_at").asc(nulls_first=True), "pk")[:AT_ONCE])
        renew(found)
        number += len(found)
        if len(found) < AT_ONCE:
            break
    return number


def renew(rows: Iterable[BankTransaction]) -> None:
    """Proposes anew for these, in one go, and writes it to them and to their rows."""
    credits = [row for row in rows if row.state == BankTransaction.State.OPEN]
    for begin in range(0, len(credits), AT_ONCE):
        _renew(credits[begin : begin + AT_ONCE])


def _renew(credits: Sequence[BankTransaction]) -> None:
    asked = [row for row in credits if may_be_a_payment(row)]
    found = propose([_credit(row) for row in asked], known_payers(asked), _taken_by_others(credits))
    now, another = clock.now(), said_to_be_another(row.pk for row in credits if row.resembles_id)
    for row in credits:
        proposals: Sequence[Proposal] = found.get(row.pk, ())
        row.proposals = [each.to_json() for each in proposals]
        row.confidence = int(_confidence(row, proposals, row.pk in another))
        row.proposed_at = now
    # A decision that was made meanwhile has taken the proposals away: it stays so.
    ids = [row.pk for row in credits]
    lefts = dict(BankTransaction.objects.filter(pk__in=ids).values_list("pk", "left"))
    unchanged = sorted((row for row in credits if lefts.get(row.pk) == row.left), key=lambda row: row.pk)
    many_rows.update(BankTransaction, unchanged, ["proposals", "confidence", "proposed_at"])


def _taken_by_others(credits: Sequence[BankTransaction]) -> list[tuple[Credit, tuple[Part, ...]]]:
    """What the surest of the other credits would pay, as it was proposed last: two payments of one invoice need not
    stand on one page of a list. The newest OTHERS_LOOKED_AT."""
    there = {row.pk for row in credits}
    sure = BankTransaction.objects.filter(state=BankTransaction.State.OPEN, confidence=int(Confidence.HIGH))
    others = [row for row in sure.order_by("-booked_on", "-pk")[: OTHERS_LOOKED_AT + len(there)] if row.pk not in there]
    best = ((row, next((each for each in proposals_of(row) if each.parts), None)) for row in others[:OTHERS_LOOKED_AT])
    return [(_credit(row), proposal.parts) for row, proposal in best if proposal]


def may_be_a_payment(row: BankTransaction) -> bool:
    """Not what came back of a transfer of our own, nor what went back to its payer."""
    return not row.is_return and not row.returned_by.exists()


def _confidence(row: BankTransaction, proposals: Sequence[Proposal], is_another: bool) -> Confidence:
    """Of the best proposal. A credit that may be one of another file again is nothing that is confirmed unseen."""
    best = next((each.confidence for each in proposals if each.parts), Confidence.NONE)
    return min(best, Confidence.LOW) if row.resembles_id and not is_another else best


def _credit(row: BankTransaction) -> Credit:
    return Credit(
        row.pk,
        row.left,
        row.currency,
        row.booked_on,
        row.text,
        row.structured_reference,
        row.end_to_end_id,
        row.payer_name,
        row.payer_account,
    )


def proposals_of(row: BankTransaction) -> list[Proposal]:
    """What is kept with it, best first."""
    return [Proposal.from_json(each) for each in row.proposals or ()]


def of_ids(ids: Iterable[uuid.UUID]) -> list[BankTransaction]:
    """These credits with what is proposed for them now, in no order."""
    rows = list(BankTransaction.objects.filter(pk__in=list(ids)))
    renew(rows)
    return rows
