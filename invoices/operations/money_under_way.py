"""Money under way: a charge on which a bank decides days later, and how its end is recognised.

Which charge is ours is certain from one thing alone: Stripe's event `payment_intent.processing` under our idempotency
key, which names the PaymentIntent and its charge. The PaymentIntent is not enough, because every later attempt at the
invoice (by Stripe's own schedule, by the customer, by another operation) reuses it and makes another charge.

What follows from a read of that PaymentIntent, with our charge as `latest_charge`:
- `processing`: the bank has not decided.
- `succeeded`: the money came. This is final.
- `canceled` without an error of our charge: somebody stopped it.
- any other status: our charge failed; `last_payment_error` says why, if it names our charge.
With another charge as `latest_charge` ours failed, whatever became of the other one: a new attempt begins only after
the one before has failed. Why it failed then stands in the event of that failure, if it reached us.

Where no event names our charge, nothing is certain. The operation stays as it is, and a manager may end it after
BANK_OVERDUE. A debit that the customer disputes after it succeeded is a dispute, and no outcome of the operation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from invoices import clock, gateway
from invoices.models import Event, InvoicePayment, Operation, RecordedCall
from invoices.models.reading import expandable_id, member, text
from invoices.operations.evidence import readable_event
from invoices.snapshot import Snapshot
from invoices.thresholds import BANK_OVERDUE, EFFECT_MARGIN, STAMP_LAG

State = Operation.State
PROCESSING = "payment_intent.processing"
SUCCEEDED = "payment_intent.succeeded"
FAILED = "payment_intent.payment_failed"
ENDINGS = (SUCCEEDED, FAILED, "payment_intent.canceled")


@dataclass(frozen=True)
class BankAnswer:
    """What a read of the PaymentIntent says of our charge."""

    status: str  # "pending", "succeeded", "failed" or "canceled"
    error: dict[str, Any]  # Stripe's `last_payment_error`; empty where it is not known, or there is none
    snapshot: Snapshot  # of the PaymentIntent


def with_charge(call: RecordedCall, event: dict[str, Any]) -> RecordedCall:
    """The call with the charge that this `payment_intent.processing` under its key names."""
    intent = member(event, "data", "object")
    id, charge = text(intent, "id") or "", expandable_id(intent, "latest_charge") or ""
    return replace(call, payment_intent=id, charge=charge if id else "", evidence=text(event, "id") or "")


def find_event(call: RecordedCall) -> dict[str, Any] | None:
    """The event that names the call's charge: from the journal, else from Stripe's list. Raises GatewayError."""
    for held in Event.objects.filter(idempotency_key=call.key, type=PROCESSING):
        if event := readable_event(json.loads(held.body)):
            return event
    sent_at = datetime.fromtimestamp(call.not_before, UTC)
    last = call.sent_at - call.first_sent_at if call.sent_at and call.first_sent_at else timedelta(0)
    listed = gateway.events([PROCESSING], sent_at - STAMP_LAG, sent_at + last + EFFECT_MARGIN).objects
    events = (event for each in listed if (event := readable_event(each)) is not None)
    return next((event for event in events if event["request"]["idempotency_key"] == call.key), None)


def ask(call: RecordedCall) -> BankAnswer:
    """Reads the PaymentIntent of the call's charge. Raises GatewayError."""
    reply = gateway.read(f"/v1/payment_intents/{call.payment_intent}")
    intent = reply.data
    if expandable_id(intent, "latest_charge") is None:  # it names no charge, so nothing is certain
        return BankAnswer("pending", {}, reply.snapshot())
    if expandable_id(intent, "latest_charge") != call.charge:
        return BankAnswer("failed", _error_in_events(call), reply.snapshot())
    if intent.get("status") in ("processing", "succeeded"):
        status = "pending" if intent["status"] == "processing" else "succeeded"
        return BankAnswer(status, {}, reply.snapshot())
    error = _error_of(intent, call) or _error_in_events(call)
    status = "canceled" if intent.get("status") == "canceled" and not error else "failed"
    return BankAnswer(status, error, reply.snapshot())


def _error_of(intent: Any, call: RecordedCall) -> dict[str, Any]:
    """Why our charge failed, as this state of the PaymentIntent says; empty where it speaks of another charge."""
    error = member(intent, "last_payment_error")
    return error if isinstance(error, dict) and expandable_id(error, "charge") == call.charge else {}


def _error_in_events(call: RecordedCall) -> dict[str, Any]:
    for event in Event.objects.filter(object_id=call.payment_intent, type=FAILED):
        if error := _error_of(member(json.loads(event.body), "data", "object"), call):
            return error
    return {}


def part_of(operation: Operation) -> int | None:
    """The amount that the operation was asked for, in minor units; None where it is about all that remains."""
    amount = operation.params.get("amount") if isinstance(operation.params, dict) else None
    return amount if isinstance(amount, int) else None


def amount_of(operation: Operation) -> int | None:
    """What a charge took, in minor units: the part that was asked for, else what remained before it."""
    part = part_of(operation)
    return operation.before.get("amount_remaining") if part is None else part


# --- waiting for it ---------------------------------------------------------------------------------------------------


def of_invoices(invoices: Iterable[str]) -> Q:
    """The operations whose money is under way for these invoices."""
    return Q(state=State.PROCESSING, invoice__in=list(invoices))


def look_now(invoices: Iterable[str]) -> int:
    """Has settling look at these invoices' money under way at its next run; how many operations."""
    invoices = list(invoices)
    return Operation.objects.filter(of_invoices(invoices)).update(settle_at=clock.now()) if invoices else 0


def invoices_of(events: Iterable[Event]) -> set[str]:
    """The invoices whose payment has ended, as these events say."""
    intents = {event.object_id for event in events if event.type in ENDINGS}
    found = InvoicePayment.objects.filter(payment_intent__in=intents).values_list("invoice_id", flat=True)
    return {invoice for invoice in found if invoice} if intents else set()


def overdue() -> Q:
    """The operations whose bank takes longer than BANK_OVERDUE. The same condition as `is_overdue`."""
    return Q(state=State.PROCESSING, last_call_first_sent_at__lt=clock.now() - BANK_OVERDUE)


def is_overdue(operation: Operation) -> bool:
    since = operation.last_call_first_sent_at
    return operation.state == State.PROCESSING and since is not None and clock.now() - since > BANK_OVERDUE
