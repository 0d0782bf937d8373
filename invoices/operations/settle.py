"""Finds out what came of operations whose outcome nobody knows: evidence first, and never a fresh key."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from invoices import clock, gateway, mirror
from invoices.models import Action, Event, Operation
from invoices.operations import approval, brake, outcomes
from invoices.operations.catalog import ACTIONS, Spec
from invoices.operations.claims import Claim, LostClaim, take
from invoices.operations.perform import begin, go_on, refused, send
from invoices.snapshot import Snapshot

log = logging.getLogger(__name__)

State = Operation.State
READY_FOR = timedelta(minutes=2)  # a ready operation that nobody took: its process died, or its wake-up was lost
FRESH = timedelta(hours=1)  # in which what was asked for may still be sent, or sent again
PAUSES = (3, 5, 10, 20)  # seconds between looks at an unknown outcome …
MOST_RECORDS = 1000  # payment records looked through, newest first
SLOW_PAUSE = timedelta(minutes=5)  # … and once a person has to decide
EVENT_TYPES_OF_FAILURE = ("invoice.payment_failed", "invoice.payment_action_required")


def settle_due(most: int = 100) -> int:
    """Settles what is unknown, has a lapsed claim, or has been ready for two minutes; how many it looked at."""
    approval.expire()
    approval.announce()
    now = clock.now()
    due = list(Operation.objects.filter(_due(now)).order_by("created_at").values_list("pk", flat=True)[:most])
    for id in due:
        settle(id)
    return len(due)


def _due(now: datetime) -> Q:
    free = Q(claim_token__isnull=True) | Q(claimed_until__lt=now)
    return (
        Q(state=State.READY, created_at__lt=now - READY_FOR) & (Q(decided_at=None) | Q(decided_at__lt=now - READY_FOR))
        | Q(state=State.RUNNING, claimed_until__lt=now)
        | Q(state=State.UNKNOWN) & free & (Q(settle_at=None) | Q(settle_at__lte=now))
    )


def settle(id: uuid.UUID | str) -> None:
    """One look at one operation, under a claim of its own; nothing where another process has it."""
    claim = take(id, _due(clock.now()))
    if claim is None:
        return
    try:
        _settle(claim, Operation.objects.get(pk=id))
    except brake.Paused as paused:
        _later(claim, Operation.objects.get(pk=id), str(paused))
    except LostClaim:
        log.info("Operation %s was taken over.", id)


def _settle(claim: Claim, operation: Operation) -> None:
    asked_at = operation.decided_at or operation.created_at
    if operation.calls:
        _decide(claim, operation)
    elif clock.now() - asked_at < FRESH:
        begin(claim)
    else:
        message = "It was not sent within an hour of being asked for, and is not sent any more."
        claim.finish(State.EXPIRED, [], code="expired", message=message, outcome_by="nobody")


@dataclass(frozen=True)
class Evidence:
    """What a read begun now and Stripe's events say of a call."""

    snapshots: list[Snapshot]
    invoice: dict[str, Any] | None
    applied: bool  # its effect is there, whoever caused it
    by_us: dict[str, Any] | None  # an event that our key caused
    by_others: dict[str, Any] | None  # an event of this effect that our key did not cause
    record: dict[str, Any] | None  # what the first of two calls made, found by the operation's id in its metadata


def _decide(claim: Claim, operation: Operation) -> None:
    spec = ACTIONS[operation.action]
    entry = operation.calls[-1]
    if entry.get("result"):  # it died between two calls
        go_on(claim, not_before=entry["not_before"])
        return
    try:
        evidence = _gather(operation, spec, entry)
    except gateway.GatewayError as error:
        _later(claim, operation, f"Stripe cannot be reached: {error.message}")
        return
    if evidence.record is not None:
        _resume(claim, operation, entry, evidence.record)
    elif evidence.by_us is not None:
        _done_by_us(claim, operation, spec, evidence)
    elif evidence.applied and spec.action == Action.ATTACH_OUT_OF_BAND_PAYMENT:
        _finish(claim, operation, spec, evidence)  # nobody else knows the record that we made
    elif evidence.applied and evidence.by_others is not None:
        _done_by_others(claim, operation, spec, evidence)
    elif _may_send_again(operation, entry, evidence):
        _send_again(claim, operation, spec, entry)
    else:
        mirror.store(evidence.snapshots)
        _later(claim, operation, "")


# --- evidence ---------------------------------------------------------------------------------------------------------


def _gather(operation: Operation, spec: Spec, entry: dict[str, Any]) -> Evidence:
    """Reads the invoice, then who changed it. Raises GatewayError."""
    snapshots = gateway.retrieve("invoice", operation.invoice)
    invoice = snapshots[0].data
    ours, others = _events(operation, spec, entry)
    return Evidence(
        snapshots=snapshots,
        invoice=invoice,
        applied=_applied(operation, entry, invoice, snapshots[1:]),
        by_us=ours,
        by_others=others,
        record=_record(operation, entry) if entry["name"] == "report_payment" else None,
    )


def _applied(
    operation: Operation, entry: dict[str, Any], invoice: dict[str, Any] | None, payments: list[Snapshot]
) -> bool:
    if invoice is None:
        return False
    if entry["name"] == "attach_payment":
        wanted = {entry["params"].get("payment_record"), entry["params"].get("payment_intent")} - {None}
        attached = [(payment.data or {}).get("payment") or {} for payment in payments]
        return any(wanted & {each.get("payment_record"), each.get("payment_intent")} for each in attached)
    status = invoice.get("status")
    goals = {"pay": ("paid",), "void": ("void",), "mark_uncollectible": ("uncollectible",)}
    if entry["name"] == "finalize":
        return status != "draft"
    return status in goals.get(entry["name"], ())


def _events(
    operation: Operation, spec: Spec, entry: dict[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """An event that our key caused, and one of the same effect that it did not. The journal first; a webhook may be
    late, so then Stripe's own list, since before the sending by Stripe's clock."""
    since = datetime.fromtimestamp(entry["not_before"], UTC)
    held = Event.objects.filter(object_id=operation.invoice, created__gte=since) | Event.objects.filter(
        idempotency_key=entry["key"]
    )
    ours, others = _sort([json.loads(event.body) for event in held], operation, spec, entry)
    if ours is None:
        listed = list(gateway.events(sorted({*spec.events, *EVENT_TYPES_OF_FAILURE}), since))
        found, foreign = _sort(listed, operation, spec, entry)
        ours, others = found, foreign or others
    return ours, others


def _sort(
    events: list[dict[str, Any]], operation: Operation, spec: Spec, entry: dict[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    ours = others = None
    for event in events:
        about = event["data"]["object"]
        if about.get("object") != "invoice" or about.get("id") != operation.invoice:
            continue
        if ((event.get("request") or {}).get("idempotency_key")) == entry["key"]:
            # The effect itself, or that it failed; not the updates around them. The effect says more.
            if event["type"] in spec.events or (ours is None and event["type"] in EVENT_TYPES_OF_FAILURE):
                ours = event
        elif event["type"] in spec.events and event["type"] != "invoice.updated":
            others = event
    return ours, others


def _record(operation: Operation, entry: dict[str, Any]) -> dict[str, Any] | None:
    """The payment record that our first call made: it carries the operation's id in its metadata."""
    try:
        for record in gateway.walk("/v1/payment_records", most=MOST_RECORDS):
            if (record.get("metadata") or {}).get("operation") == str(operation.pk):
                return record
            if (record.get("created") or entry["not_before"]) < entry["not_before"]:
                break
    except gateway.RefusedByStripe:  # some accounts cannot list them: then the repeated key tells
        pass
    return None


# --- what it comes to -------------------------------------------------------------------------------------------------


def _resume(claim: Claim, operation: Operation, entry: dict[str, Any], record: dict[str, Any]) -> None:
    """The first of two calls took effect: the second follows, and the first is never sent again."""
    done = {**entry, "result": {"id": record["id"], "object": record["object"]}, "found": True}
    claim.hold(state=State.RUNNING, calls=[*operation.calls[:-1], done])
    go_on(claim, not_before=entry["not_before"])


def _done_by_us(claim: Claim, operation: Operation, spec: Spec, evidence: Evidence) -> None:
    event = evidence.by_us or {}
    if event.get("type") in EVENT_TYPES_OF_FAILURE and not evidence.applied:
        _declined(claim, operation, event, evidence)
    else:
        _finish(claim, operation, spec, evidence)


def _finish(claim: Claim, operation: Operation, spec: Spec, evidence: Evidence) -> None:
    request_id = ((evidence.by_us or {}).get("request") or {}).get("id") or operation.stripe_request_id
    outcome = outcomes.succeeded(spec, operation, evidence.invoice or {})
    claim.finish(State.SUCCEEDED, evidence.snapshots, stripe_request_id=request_id, **outcome)


def _declined(claim: Claim, operation: Operation, event: dict[str, Any], evidence: Evidence) -> None:
    """Our charge was tried and did not go through; its reason stands in the PaymentIntent."""
    error: dict[str, Any] = {}
    for snapshot in evidence.snapshots[1:]:
        intent = ((snapshot.data or {}).get("payment") or {}).get("payment_intent")
        if isinstance(intent, str):
            found = gateway.retrieve("payment_intent", intent)[0].data or {}
            error = found.get("last_payment_error") or error
    message = error.get("message") or "The payment did not go through."
    declined = gateway.Declined(message, status=402, body={"type": "card_error", **error})
    claim.finish(State.FAILED, evidence.snapshots, **outcomes.of_error(declined))


def _done_by_others(claim: Claim, operation: Operation, spec: Spec, evidence: Evidence) -> None:
    number = (evidence.invoice or {}).get("number") or operation.invoice
    claim.finish(
        State.FAILED,
        evidence.snapshots,
        code="invoice_changed",
        message=f"{number} was {spec.done_word} by someone else at the same time; our request changed nothing.",
        outcome_by="someone_else",
    )


def _may_send_again(operation: Operation, entry: dict[str, Any], evidence: Evidence) -> bool:
    """Only within an hour, and while the invoice is as it was confirmed. What we attach is ours alone: sending it again
    under the same key asks whether it was done, even when it is there already."""
    young = clock.now() - datetime.fromisoformat(entry["first_sent_at"]) < FRESH
    if evidence.invoice is None or not young:
        return False
    if entry["name"] in ("attach_payment", "report_payment"):
        return True
    before = operation.before or {}
    return not evidence.applied and all(
        evidence.invoice.get(name) == before.get(name) for name in ("status", "amount_remaining")
    )


def _send_again(claim: Claim, operation: Operation, spec: Spec, entry: dict[str, Any]) -> None:
    """The stored parameters, verbatim, under the same key: Stripe repeats its first answer, or does it now."""
    claim.hold(state=State.RUNNING)
    try:
        if send(claim, operation, entry):
            go_on(claim, not_before=entry["not_before"])
    except (gateway.NotAllowed, gateway.Missing, gateway.KeyConflict) as error:
        # These speak of this sending, and say nothing about the first.
        _later(claim, Operation.objects.get(pk=claim.id), error.message)
    except gateway.GatewayError as error:
        _answered_no(claim, spec, error)
    else:
        _after_sending(claim, spec)


def _answered_no(claim: Claim, spec: Spec, error: gateway.GatewayError) -> None:
    """A decline or a refusal under our key: definite, unless it is the effect of our own first request that forbids."""
    operation = Operation.objects.get(pk=claim.id)
    entry = operation.calls[-1]
    if isinstance(error, gateway.RefusedByStripe) and not error.replayed:
        try:
            evidence = _gather(operation, spec, entry)
        except gateway.GatewayError:
            _later(claim, operation, error.message)
            return
        if evidence.applied or evidence.by_us is not None:
            _later(claim, operation, error.message)
            return
    refused(claim, operation, entry, error)


def _after_sending(claim: Claim, spec: Spec) -> None:
    """A repeated 500 says that the first request has ended: a read begun after it decides."""
    operation = Operation.objects.get(pk=claim.id)
    entry = operation.calls[-1]
    if operation.state != State.UNKNOWN or not entry.get("ended"):
        return
    again = take(claim.id, Q(state=State.UNKNOWN, claim_token__isnull=True))
    if again is None:
        return
    try:
        evidence = _gather(operation, spec, entry)
    except gateway.GatewayError as error:
        _later(again, operation, error.message)
        return
    if evidence.record is not None:
        _resume(again, operation, entry, evidence.record)
    elif evidence.by_us is not None:
        _done_by_us(again, operation, spec, evidence)
    elif not evidence.applied:
        again.finish(
            State.FAILED,
            evidence.snapshots,
            code="not_applied",
            message="Stripe had an internal error, and did not apply it. Nothing has changed; it can be tried again.",
            outcome_by="nobody",
        )
    elif evidence.by_others is not None:
        _done_by_others(again, operation, spec, evidence)
    else:
        _later(again, operation, "")


def _later(claim: Claim, operation: Operation, why: str) -> None:
    """Not decided yet. It holds the invoice, and after an hour it waits for a person, who still sees every new look."""
    attempts = operation.settle_attempts
    pause = timedelta(seconds=PAUSES[min(attempts, len(PAUSES) - 1)])
    if needs_person(operation):
        pause = SLOW_PAUSE
    claim.release(
        state=State.UNKNOWN,
        code="outcome_unknown",
        message="Whether it took effect is being checked with Stripe." + (f" ({why})" if why else ""),
        settle_at=clock.now() + pause,
        settle_attempts=attempts + 1,
    )


def needs_person(operation: Operation) -> bool:
    """Whether it could not be settled within the hour, so that a manager must decide."""
    if operation.state != State.UNKNOWN or not operation.calls:
        return False
    return clock.now() - datetime.fromisoformat(operation.calls[-1]["first_sent_at"]) > FRESH
