"""When an operation without an outcome is looked at next, also after an error that nobody expected."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from invoices import clock
from invoices.models import Code, Operation
from invoices.models.reading import storable, without_secrets
from invoices.operations import manual_resolution
from invoices.operations.claims import Claim, LostClaim
from invoices.thresholds import LOOK_INTERVAL_OF_MANUAL, LOOK_INTERVALS

log = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS = 300
KNOWN = (Operation.State.READY, Operation.State.PROCESSING)  # nothing was sent, or a bank decides: that stays so


def interval(operation: Operation) -> timedelta:
    """How long from now an operation without an outcome waits for its next look."""
    if manual_resolution.is_needed(operation):
        return LOOK_INTERVAL_OF_MANUAL
    return LOOK_INTERVALS[min(operation.settle_attempts, len(LOOK_INTERVALS) - 1)]


def later(claim: Claim, message: str, **changes: Any) -> None:
    """Its outcome is unknown, and it is looked at again. It keeps its invoice. Raises LostClaim."""
    operation = Operation.objects.get(pk=claim.id)
    claim.release(
        state=Operation.State.UNKNOWN,
        code=Code.OUTCOME_UNKNOWN,
        message=message,
        settle_at=clock.now() + interval(operation),
        settle_attempts=operation.settle_attempts + 1,
        **changes,
    )


def after_unexpected(claim: Claim, error: Exception) -> None:
    """A bug, or an object of a shape that nobody expected, while it was performed or settled.

    Nobody knows what came of it, so it is unknown, says why, and is looked at again: the error may be gone by then, and
    after an hour it is in the manager's queue.
    """
    log.error("Operation %s met an unexpected error.", claim.id, exc_info=error)
    said = storable(without_secrets(f"{type(error).__name__}: {error}"), MAX_ERROR_CHARACTERS)
    message = _("An unexpected error stopped it, and it is looked at again. ({reason})").format(reason=said)
    try:
        if Operation.objects.get(pk=claim.id).state in KNOWN:
            claim.release(message=message, settle_at=clock.now() + LOOK_INTERVAL_OF_MANUAL)
        else:
            later(claim, message)
    except LostClaim:
        log.info("Operation %s was taken over.", claim.id)
