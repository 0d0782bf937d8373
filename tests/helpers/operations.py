"""Operations as people ask for them in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User

from invoices import operations
from invoices.models import Operation
from tests.crash.wire import Wire


def act(action: str, invoice: str, user: User, **given: Any) -> Operation:
    """Asks for an action on an invoice and performs it; a refusal is raised. The operation as it then is."""
    return operations.execute(action, invoice, actor=user, source="admin", reason="the customer asked", **given)


def lost(wire: Wire, fault: str, action: str, invoice: str, user: User, path: str = "", **params: Any) -> Operation:
    """An operation whose call met this fault, so that its outcome is unknown."""
    wire.arm(f"/{path or action}", fault)
    operation = act(action, invoice, user, params=params)
    assert operation.state == Operation.State.UNKNOWN, operation.message
    return operation


def look(operation: Operation, later: Callable[[float], None], seconds: float = 5) -> Operation:
    """One more look at it, a little later."""
    later(seconds)
    Operation.objects.filter(pk=operation.pk, state=Operation.State.UNKNOWN).update(settle_at=None)
    operations.settle_due()
    operation.refresh_from_db()
    return operation
