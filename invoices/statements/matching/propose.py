"""Proposals for many credits at once: what may be looked up is looked up first, and no invoice is given away twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from invoices.statements.matching.known import look_up
from invoices.statements.matching.proposal import Credit, Part, Proposal
from invoices.statements.matching.weighing import weigh


def propose(
    credits: Sequence[Credit],
    known_payers: Mapping[Any, Mapping[str, int]],
    taken: Iterable[tuple[Credit, Sequence[Part]]] = (),
) -> dict[Any, tuple[Proposal, ...]]:
    """For each credit its proposals, best first, at most three; none where nothing fits. A proposal without parts says
    why nothing is proposed, such as an invoice that is paid already.

    `known_payers`: of a credit's id, the customers for whom its payer paid before, and how often. Credits are looked at
    together, 500 at best: the surest one takes its invoices first, of equal ones the earliest, and what it takes is
    not proposed to another. `taken`: what other credits were looked at for before, and take.
    """
    if not credits:
        return {}
    known = look_up(credits, known_payers)
    for credit, parts in taken:
        known.take(credit, parts)
    first = {credit.id: _best(weigh(credit, known)) for credit in credits}
    order = sorted(credits, key=lambda credit: (-first[credit.id], credit.booked_on))
    found: dict[Any, tuple[Proposal, ...]] = {}
    for credit in order:
        found[credit.id] = weigh(credit, known)
        if found[credit.id]:
            known.take(credit, found[credit.id][0].parts)
    return {credit.id: found[credit.id] for credit in credits}


def _best(proposals: tuple[Proposal, ...]) -> int:
    return proposals[0].confidence if proposals else -1
