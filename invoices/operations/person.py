"""What stayed undecided goes to a person: a manager says what came of it, with a reason."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from invoices import clock, gateway
from invoices.models import Operation
from invoices.operations.claims import LostClaim, take
from invoices.operations.refusals import Invalid, Refusal
from invoices.operations.settle import FRESH, needs_person

State = Operation.State
PERMISSION = "invoices.override_operation"


def queue() -> QuerySet[Operation]:
    """The operations that could not be settled within the hour, oldest first."""
    old = clock.now() - FRESH
    return Operation.objects.filter(state=State.UNKNOWN, created_at__lt=old).order_by("created_at")


def decide(
    id: uuid.UUID | str,
    *,
    by: User,
    took_effect: bool,
    reason: str,
    address: str | None = None,
    request_id: str = "",
) -> Operation:
    """Closes an operation that stayed undecided. The invoice is read first, so that the mirror says what Stripe has.

    Raises Invalid without a reason; Refusal without permission, while it can still settle itself, or Stripe is away.
    """
    if not reason.strip():
        raise Invalid("reason", "Please say how you know: the reason stands in the journal.")
    if not by.has_perm(PERMISSION):
        raise Refusal("permission_denied", "You may not decide what came of an operation.")
    operation = Operation.objects.get(pk=id)
    if not needs_person(operation):
        raise Refusal("outcome_unknown", "It is still being checked with Stripe, and may settle by itself.")
    try:
        snapshots = gateway.retrieve("invoice", operation.invoice)
    except gateway.GatewayError as error:
        raise Refusal(
            "stripe_unavailable", "Stripe cannot be reached to look at the invoice. Try again soon."
        ) from error
    free = Q(claim_token=None) | Q(claimed_until__lt=clock.now())
    claim = take(operation.pk, Q(state=State.UNKNOWN) & free)
    if claim is None:
        raise Refusal("operation_in_progress", "It is being looked at in this moment. Try again.")
    try:
        return claim.finish(
            State.SUCCEEDED if took_effect else State.FAILED,
            snapshots,
            code="" if took_effect else "not_applied",
            message=f"{by} decided that it {'took effect' if took_effect else 'did not take effect'}: {reason.strip()}",
            decision_reason=reason.strip(),
            decision_address=address,
            decision_request_id=request_id,
            decided_at=clock.now(),
            outcome_by="person",
        )
    except LostClaim:
        raise Refusal("operation_in_progress", "Somebody else has closed it meanwhile.") from None
