"""The row of a credit: locked, and written with the state that follows from what is left of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from invoices.models import BankDecision, BankMatch, BankTransaction

State = BankTransaction.State


def locked(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, BankTransaction]:
    """In a transaction. In one order everywhere, so that two people wait for each other once, and not both ways.

    Without the key: an upload names known transactions in the order of its file, and need not wait for this.
    """
    found = BankTransaction.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=list(ids))
    return {each.pk: each for each in found.order_by("pk")}


def save(credit: BankTransaction) -> None:
    """Writes what is left of a locked credit, and its state. What was proposed was for what had been left before."""
    if credit.left:
        credit.state = State.OPEN
    else:
        going_on = credit.matches.filter(state=BankMatch.State.CONFIRMED).exists()
        credit.state = State.RECORDING if going_on else State.DONE
    credit.proposals, credit.confidence, credit.proposed_at = None, BankTransaction.Confidence.NONE, None
    credit.save(update_fields=["left", "state", "proposals", "confidence", "proposed_at"])


def said_to_be_another(ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Those of which a person said that they are not the one of another file that they resemble."""
    said = BankDecision.objects.filter(transaction__in=list(ids), what=BankDecision.What.ANOTHER)
    return set(said.values_list("transaction_id", flat=True))
