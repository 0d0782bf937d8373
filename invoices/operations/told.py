"""Tells of operations in log, counters, traces and events: asked for, refused, decided on, sent, and what came of them.

A line tells of what is committed. It names the operation, the person by the id, and our own codes; never a reason, a
message or a parameter, which may hold personal data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import transaction

from invoices.fanout import desk_events
from invoices.models import Operation, RecordedCall
from invoices.operations.refusals import Invalid, Refusal
from invoices.sight import context, counters, logs, tracing

log = logging.getLogger("invoices.operations")

P = ParamSpec("P")
R = TypeVar("R")
REFUSED = Operation.State.REFUSED


def _facts(operation: Operation) -> dict[str, Any]:
    return {
        "operation": operation.pk,
        "action": operation.action,
        "invoice": operation.invoice,
        "user": operation.actor_id,
        "source": operation.source,
        "batch": operation.batch_id,
        "asked_by_request": operation.request_id,
    }


def asked(operation: Operation) -> None:
    """It stands in the journal, and is ready or waits for a second person. Called in the transaction that writes it."""
    _became("operation asked for", operation)


def ended_or_waits(operation: Operation) -> None:
    """It came to another state: an outcome, money under way, unknown, waiting again. Called in the transaction that
    writes it."""
    _became("operation came to", operation)


def _became(message: str, operation: Operation) -> None:
    facts = _facts(operation) | {
        "state": str(operation.state),
        "code": str(operation.code),
        "decline_code": operation.decline_code,
        "outcome_by": str(operation.outcome_by),
        "stripe_request_id": operation.stripe_request_id
        or next((call.request_id for call in reversed(operation.calls) if call.request_id), ""),
    }
    labels = (operation.action, str(operation.state), str(operation.code))

    def tell() -> None:
        counters.OPERATIONS.labels(*labels).inc()
        logs.tell(log, message, **facts)

    transaction.on_commit(tell, robust=True)
    desk_events.tell(operation)


def refused(action: str, invoice: str, user: int | None, source: str, refusal: Refusal) -> None:
    """It was asked for, and we said no; whether or not that stands in the journal."""
    counters.OPERATIONS.labels(action, str(REFUSED), str(refusal.code)).inc()
    logs.tell(
        log,
        "operation refused",
        operation=refusal.operation.pk if refusal.operation else None,
        action=action,
        invoice=invoice,
        user=user,
        source=source,
        code=str(refusal.code),
        parameter=refusal.param,
    )


def sending(operation: Operation, call: RecordedCall) -> None:
    """It is about to be sent: what is sent stands in the journal by now."""
    counters.SENDINGS.labels(operation.action, "yes" if call.sendings > 1 else "no").inc()
    logs.tell(log, "operation sent", **_facts(operation), call=call.name, sending=call.sendings)


@contextmanager
def work_on(operation: Operation, what: str) -> Iterator[None]:
    """For the time of the block every line names this operation; and a span, in the trace of the request that asked for
    it, whichever process does the work."""
    trace = f"request {operation.request_id}" if operation.request_id else ""
    with (
        context.bound(operation=operation.pk, invoice=operation.invoice),
        tracing.span(f"{what} {operation.action}", continues=trace),
    ):
        yield


def requests(function: Callable[P, R]) -> Callable[P, R]:
    """Tells of each refusal of `request`."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Refusal as refusal:
            action, invoice = args[:2]
            actor: Any = kwargs["actor"]
            refused(str(action), str(invoice)[:100], actor.pk, str(kwargs["source"]), refusal)
            raise

    return call


def decision(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Tells of each call of a function in which a person decides on an operation, and whether it was refused."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            by: Any = kwargs.get("approver") or kwargs.get("by") or kwargs.get("actor")
            facts = {"decision": what, "operation": args[0] if args else kwargs.get("id"), "user": by and by.pk}
            try:
                result = function(*args, **kwargs)
            except (Refusal, Invalid) as refusal:
                logs.tell(log, "decision refused", **facts, code=str(refusal.code))
                raise
            logs.tell(log, "decision made", **facts)
            return result

        return call

    return around
