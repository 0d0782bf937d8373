"""What has no outcome after an hour, or is with a bank for too long, goes to a manager, who says what came of it."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from invoices import clock, gateway
from invoices.models import Code, Operation, OutcomeBy
from invoices.operations import money_under_way, told
from invoices.operations.claims import LostClaim, take, unclaimed
from invoices.operations.eligibility import OVERRIDE_PERMISSION
from invoices.operations.refusals import Invalid, Refusal, in_english
from invoices.snapshot import Snapshot
from invoices.thresholds import RESEND_WINDOW

log = logging.getLogger(__name__)

State = Operation.State
PERMISSION = OVERRIDE_PERMISSION


# The moments from which the hour counts: the first of them that is set. An operation that waited for a second person
# counts from that decision, one that was sent from the first sending of its last call.
MOMENTS = ("last_call_first_sent_at", "decided_at", "created_at")


def queue() -> QuerySet[Operation]:
    """The operations that a manager must resolve, the oldest first: without an outcome after RESEND_WINDOW, whether
    ready, running or unknown; or under way at a bank for too long."""
    found = Operation.objects.filter(state__in=[*Operation.UNFINISHED, State.PROCESSING])
    late = Q(state__in=Operation.UNFINISHED, hour_from__lt=clock.now() - RESEND_WINDOW)
    found = found.annotate(hour_from=Coalesce(*MOMENTS)).filter(late | money_under_way.overdue())
    return found.order_by("created_at")


def is_needed(operation: Operation) -> bool:
    """Whether a manager must resolve this one: whether `queue` holds it, without asking for the row again."""
    hour_from = next(moment for name in MOMENTS if (moment := getattr(operation, name)) is not None)
    late = operation.state in Operation.UNFINISHED and bool(hour_from < clock.now() - RESEND_WINDOW)
    return late or money_under_way.is_overdue(operation)


@in_english
@told.decision("resolve")
def resolve(
    id: uuid.UUID | str,
    *,
    by: User,
    took_effect: bool,
    reason: str,
    address: str | None = None,
    request_id: str = "",
) -> Operation:
    """Closes an operation as a manager says. The invoice is read first, so that the mirror shows what Stripe has.

    Raises Invalid without a reason, or where what was never sent is said to have taken effect; Refusal without
    permission, while it can still settle itself, while a process works on it, or while Stripe is away.
    """
    if not reason.strip():
        raise Invalid("reason", _("Please say how you know: the reason stands in the journal."))
    if not by.has_perm(PERMISSION):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not decide what came of an operation."))
    operation = Operation.objects.get(pk=id)
    if not is_needed(operation):
        message = _("It is still being checked with Stripe, and may settle by itself.")
        raise Refusal(Code.OUTCOME_UNKNOWN, message)
    if took_effect and not operation.calls:
        raise Invalid("took_effect", _("Nothing was sent to Stripe, so it cannot have taken effect."))
    snapshots: list[Snapshot] = []
    try:
        snapshots = gateway.retrieve("invoice", operation.invoice)
    except (gateway.OutcomeUnknown, gateway.RateLimited) as error:
        message = _("Stripe cannot be reached to look at the invoice. Try again soon.")
        raise Refusal(Code.STRIPE_UNAVAILABLE, message) from error
    except Exception:  # Stripe shows us this invoice no more, or in a shape that we cannot read: resolved all the same
        log.exception("Invoice %s could not be read for a manual resolution.", operation.invoice)
    claim = take(operation.pk, Q(state__in=[*Operation.UNFINISHED, State.PROCESSING]) & unclaimed())
    if claim is None:
        raise Refusal(Code.OPERATION_IN_PROGRESS, _("It is being looked at in this moment. Try again."))
    # Where a second person agreed before, her decision stays: the message says who resolved it, and how she knows.
    decision: dict[str, Any] = (
        {}
        if operation.decided_at
        else {
            "decision_reason": reason.strip(),
            "decision_address": address,
            "decision_request_id": request_id,
            "decided_at": clock.now(),
        }
    )
    decided = (
        _("{person} decided that it took effect: {reason}")
        if took_effect
        else _("{person} decided that it did not take effect: {reason}")
    )
    try:
        return claim.finish(
            State.SUCCEEDED if took_effect else State.FAILED,
            snapshots,
            code="" if took_effect else Code.NOT_APPLIED,
            message=decided.format(person=by, reason=reason.strip()),
            outcome_by=OutcomeBy.PERSON,
            **decision,
            processing=False,
        )
    except LostClaim:
        raise Refusal(Code.OPERATION_IN_PROGRESS, _("Somebody else has closed it meanwhile.")) from None
