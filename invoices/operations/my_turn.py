"""The requests that wait for a second person, as one person sees them: those that she may decide on, and her own."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from invoices.models import Batch, Operation
from invoices.operations.requesters import PERMISSION, decision_refusal

MOST_LOOKED_AT = 500  # waiting requests, the oldest first; more are not looked at by a page


def decidable(person: Any) -> list[Operation]:
    """The waiting requests on which this person may decide, the oldest first."""
    if not person.has_perm(PERMISSION):
        return []
    waiting = Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL).order_by("created_at")
    found = waiting.select_related("actor", "token__created_by", "token__user").defer("calls")[:MOST_LOOKED_AT]
    return [operation for operation in found if decision_refusal(operation, person) is None]


def decidable_batches(person: Any) -> list[Batch]:
    """The same of batches, each of which is one request."""
    if not person.has_perm(PERMISSION):
        return []
    waiting = Batch.objects.filter(awaiting_approval=True, finished_at=None).order_by("created_at")
    found = waiting.select_related("actor", "token__created_by", "token__user")[:MOST_LOOKED_AT]
    return [batch for batch in found if decision_refusal(batch, person) is None]


def asked_by(person: Any) -> QuerySet[Operation]:
    """Her own requests that wait for somebody else, the oldest first."""
    return Operation.objects.filter(state=Operation.State.AWAITING_APPROVAL, actor=person.pk).order_by("created_at")
