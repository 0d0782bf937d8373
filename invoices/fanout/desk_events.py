"""Events of ours, in the shape of Stripe's: what an operation came to, and the test of an endpoint.

An operation's event is written in the transaction that writes what it came to, under an id that follows from both: so
there is one for each outcome, whatever is killed or tried again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from invoices import account, clock
from invoices.fanout import owed
from invoices.models import Code, DeskEvent, Operation, WebhookEndpoint

log = logging.getLogger(__name__)

State = Operation.State
OF_OPERATIONS = "invoice_desk.operation"
TEST = "invoice_desk.webhook_endpoint.test"
UNTOLD = (State.READY, State.RUNNING)  # nothing has come of it yet
NAMED_BY_CODE = (Code.REJECTED, Code.WITHDRAWN)  # how a cancelled operation ended
TYPES = sorted(
    {f"{OF_OPERATIONS}.{state}" for state in State if state not in UNTOLD}
    | {f"{OF_OPERATIONS}.{code}" for code in NAMED_BY_CODE}
)
_shown: list[Callable[[Operation], dict[str, Any]]] = []


def shown_as(show: Callable[[Operation], dict[str, Any]]) -> None:
    """How the API shows an operation: events have the same. Said once, when the process starts."""
    _shown[:] = [show]


def tell(operation: Operation) -> None:
    """Writes the event of what the operation has just come to, and owes it to the endpoints that take it. Call it in
    the transaction that writes the outcome.

    A fault of ours in it is logged, and keeps no outcome from being written. What the database may do better a second
    time is raised: the outcome is then written again too.
    """
    if operation.state in UNTOLD:
        return
    type = type_of(operation)
    endpoints = [endpoint for endpoint in owed.enabled() if endpoint.takes(type)]
    if not endpoints:
        return
    try:
        with transaction.atomic():
            _write(operation, type, endpoints)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("The event of what operation %s came to could not be written.", operation.pk)


def type_of(operation: Operation) -> str:
    by_code = operation.state == State.CANCELLED and operation.code in NAMED_BY_CODE
    return f"{OF_OPERATIONS}.{operation.code if by_code else operation.state}"


def _write(operation: Operation, type: str, endpoints: list[WebhookEndpoint]) -> None:
    id = owed.DESK_PREFIX + _digest(operation)
    if DeskEvent.objects.filter(pk=id).exists():  # such as an outcome that is unknown at each look
        return
    now = clock.now()
    body = _envelope(id, type, now, _shown[0](operation))
    event = DeskEvent(id=id, type=type, operation=operation.pk, body=body, created_at=now)
    DeskEvent.objects.bulk_create([event], ignore_conflicts=True)
    owed.owe_to(endpoints, [(id, type, None)])


def _digest(operation: Operation) -> str:
    """One that the gate sent back to a second person waits anew, since another moment."""
    anew = operation.settle_at if operation.state == State.AWAITING_APPROVAL else None
    return hashlib.sha256(f"{operation.pk} {operation.state} {anew or ''}".encode()).hexdigest()[:32]


def make_test(endpoint: WebhookEndpoint) -> DeskEvent:
    """A test event, which tells of the endpoint."""
    now = clock.now()
    id = owed.DESK_PREFIX + secrets.token_hex(16)
    return DeskEvent.objects.create(
        id=id, type=TEST, body=_envelope(id, TEST, now, endpoint_object(endpoint)), created_at=now
    )


def _envelope(id: str, type: str, now: datetime, object: dict[str, Any]) -> str:
    event = {
        "id": id,
        "object": "event",
        "api_version": settings.STRIPE_API_VERSION,
        "created": int(now.timestamp()),
        "data": {"object": object},
        "livemode": account.key_is_live(),
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
    }
    return json.dumps(event, separators=(",", ":"))


def endpoint_object(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """The endpoint as the API shows it: Stripe's members, then ours. Never the secret."""
    return {
        "id": endpoint.pk,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": int(endpoint.created_at.timestamp()),
        "description": endpoint.description or None,
        "enabled_events": endpoint.enabled_events,
        "livemode": account.key_is_live(),
        "metadata": {},
        "status": "enabled" if endpoint.is_enabled else "disabled",
        "url": endpoint.url,
        "disabled_because": endpoint.disabled_because or None,
        "failing_since": int(endpoint.failing_since.timestamp()) if endpoint.failing_since else None,
        "owner": endpoint.owner.get_username() if endpoint.owner else None,
    }
