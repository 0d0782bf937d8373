"""Finds out what came of operations whose outcome nobody knows: evidence first, and never a fresh key."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from invoices import clock, gateway, mirror
from invoices.models import Action, Operation
from invoices.operations import approval, brake, outcomes
from invoices.operations.catalog import ACTIONS, Spec
from invoices.operations.claims import Claim, LostClaim, take
from invoices.operations.evidence import Evidence, certainly_not, gather
from invoices.operations.perform import begin, done_before, go_on, refused, send

log = logging.getLogger(__name__)

State = Operation.State
READY_FOR = timedelta(minutes=2)  # a ready operation that nobody took: its process died, or its wake-up was lost
FRESH = timedelta(hours=1)  # in which what was asked for may still be sent, or sent again
PAUSES = (3, 5, 10, 20)  # seconds between looks at an unknown outcome …
SLOW_PAUSE = timedelta(minutes=5)  # … and once a person has to decide


def settle_due(most: int = 100) -> int:
    """Settles what is unknown, has a lapsed claim, or has been ready for two minutes; how many it looked at. Ends early
    where Stripe does not answer: the rest would only wait for it, too."""
    now = clock.now()
    longest_ago = F("settle_at").asc(nulls_first=True)  # those that the brake holds must not hide the others
    due = list(
        Operation.objects.filter(_due(now)).order_by(longest_ago, "created_at").values_list("pk", flat=True)[:most]
    )
    looked = 0
    for id in due:
        looked += 1
        try:
            if not settle(id):
                break
        except Exception:  # one operation must not keep the others from being settled; its claim lapses
            log.exception("Operation %s could not be settled.", id)
    approval.expire()
    approval.announce()
    return looked


def _due(now: datetime) -> Q:
    free = Q(claim_token__isnull=True) | Q(claimed_until__lt=now)
    its_turn = Q(settle_at=None) | Q(settle_at__lte=now)
    forgotten = Q(created_at__lt=now - READY_FOR) & (Q(decided_at=None) | Q(decided_at__lt=now - READY_FOR))
    return (
        Q(state=State.READY) & forgotten & its_turn
        | Q(state=State.RUNNING, claimed_until__lt=now)
        | Q(state=State.UNKNOWN) & free & its_turn
    )


def settle(id: uuid.UUID | str) -> bool:
    """One look at one operation, under a claim of its own; nothing where another process has it. False where Stripe did
    not answer."""
    claim = take(id, _due(clock.now()))
    if claim is None:
        return True
    try:
        return _look(claim)
    except LostClaim:
        log.info("Operation %s was taken over.", id)
    return True


def _look(claim: Claim) -> bool:
    try:
        _settle(claim, Operation.objects.get(pk=claim.id))
    except brake.Paused as paused:
        _later(claim, Operation.objects.get(pk=claim.id), str(paused))
    except gateway.GatewayError as error:
        _later(claim, Operation.objects.get(pk=claim.id), f"Stripe cannot be reached: {error.message}")
        return not isinstance(error, gateway.OutcomeUnknown | gateway.RateLimited)
    return True


def _settle(claim: Claim, operation: Operation) -> None:
    asked_at = operation.decided_at or operation.created_at
    if operation.calls:
        _decide(claim, operation)
    elif clock.now() - asked_at < FRESH:
        begin(claim)
    else:
        message = "It was not sent within an hour of being asked for, and is not sent any more."
        claim.finish(State.EXPIRED, [], code="expired", message=message, outcome_by="nobody")


def _decide(claim: Claim, operation: Operation) -> None:
    """Raises GatewayError where there is no evidence to be had."""
    spec = ACTIONS[operation.action]
    entry = operation.calls[-1]
    if entry.get("result"):  # it died between two calls
        _finish_the_rest(claim, operation)
        return
    evidence = gather(operation, spec, entry)
    if _concluded(claim, operation, spec, entry, evidence):
        return
    if not entry.get("ended") and _may_send_again(operation, entry, evidence):
        _send_again(claim, operation, spec, entry)
    else:
        mirror.store(evidence.snapshots)
        _later(claim, operation, "")


# --- what it comes to -------------------------------------------------------------------------------------------------


def _concluded(claim: Claim, operation: Operation, spec: Spec, entry: dict[str, Any], evidence: Evidence) -> bool:
    """Writes what the evidence proves; whether it proves anything."""
    attaching = entry["name"] == "attach_payment"
    if evidence.record is not None:
        _resume(claim, operation, entry, evidence.record)
    elif evidence.effect or evidence.on_its_way:
        _finish(claim, operation, spec, entry, evidence, evidence.effect or evidence.on_its_way)
    elif evidence.failure:
        _declined(claim, operation, evidence, evidence.failure)
    elif attaching and evidence.applied and (entry.get("ended") or spec.action == Action.ATTACH_OUT_OF_BAND_PAYMENT):
        # Nobody else knows the record that we made. A PaymentIntent that is still to succeed is attached without an
        # event; it was not there before we asked, and our request has ended.
        _finish(claim, operation, spec, entry, evidence, None)
    elif not attaching and evidence.applied and evidence.by_others:
        _done_by_others(claim, operation, spec, entry, evidence)
    elif evidence.overtaken and not evidence.applied:
        _overtaken(claim, operation, spec, entry, evidence, evidence.overtaken)
    elif entry.get("ended") and not evidence.applied and certainly_not(operation, spec, entry, evidence):
        _not_applied(claim, operation, evidence)
    else:
        return False
    return True


def _resume(claim: Claim, operation: Operation, entry: dict[str, Any], record: dict[str, Any]) -> None:
    """The first of two calls took effect: the second follows, and the first is never sent again."""
    done = {**entry, "result": {"id": record["id"], "object": record["object"]}, "found": True}
    _finish_the_rest(claim, claim.hold(state=State.RUNNING, calls=[*operation.calls[:-1], done]))


def _finish_the_rest(claim: Claim, operation: Operation) -> None:
    """The calls that were not sent yet, within the hour."""
    entry = operation.calls[-1]
    if _is_young(entry):
        go_on(claim, not_before=entry["not_before"])
    else:
        _later(claim, operation, done_before(operation) + " The rest was not sent within an hour.")


def _finish(
    claim: Claim,
    operation: Operation,
    spec: Spec,
    entry: dict[str, Any],
    evidence: Evidence,
    event: dict[str, Any] | None,
) -> None:
    request_id = ((event or {}).get("request") or {}).get("id") or operation.stripe_request_id
    outcome = outcomes.succeeded(spec, operation, evidence.invoice or {})
    calls = _proved(operation, entry, event)
    claim.finish(State.SUCCEEDED, evidence.snapshots, stripe_request_id=request_id, calls=calls, **outcome)


def _proved(operation: Operation, entry: dict[str, Any], event: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The calls, with the event that says what came of the last one."""
    return [*operation.calls[:-1], {**entry, "evidence": event["id"]}] if event else operation.calls


def _declined(claim: Claim, operation: Operation, evidence: Evidence, event: dict[str, Any]) -> None:
    """Our charge was tried and did not go through; its reason stands in the event, or in the PaymentIntent. Raises
    GatewayError."""
    error: dict[str, Any] = event["data"]["object"].get("last_payment_error") or {}
    for intent in [] if error else evidence.intents:
        error = intent.get("last_payment_error") or error
    if not error and event["type"] in ("invoice.payment_action_required", "payment_intent.requires_action"):
        error = {
            "code": "invoice_payment_intent_requires_action",
            "message": "The customer must authenticate this payment.",
        }
    message = error.get("message") or "The payment did not go through."
    declined = gateway.Declined(message, status=402, body={"type": "card_error", **error})
    calls = _proved(operation, operation.calls[-1], event)
    claim.finish(State.FAILED, evidence.snapshots, calls=calls, **outcomes.of_error(declined))


def _done_by_others(claim: Claim, operation: Operation, spec: Spec, entry: dict[str, Any], evidence: Evidence) -> None:
    number = (evidence.invoice or {}).get("number") or operation.invoice
    claim.finish(
        State.FAILED,
        evidence.snapshots,
        calls=_proved(operation, entry, evidence.by_others),
        code="invoice_changed",
        message=f"{number} was {spec.done_word} by someone else at the same time; our request changed nothing.",
        outcome_by="someone_else",
    )


def _overtaken(
    claim: Claim,
    operation: Operation,
    spec: Spec,
    entry: dict[str, Any],
    evidence: Evidence,
    event: dict[str, Any],
) -> None:
    """What somebody else did rules ours out, now and for good: it was not applied, and cannot be."""
    about = event["data"]["object"]
    what = event["type"].removeprefix("invoice.").replace("payment_succeeded", "paid")
    claim.finish(
        State.FAILED,
        evidence.snapshots,
        calls=_proved(operation, entry, event),
        code="invoice_changed",
        message=f"{about.get('number') or operation.invoice} was {what} by someone else at the same time; "
        f"it was not {spec.done_word}.",
        outcome_by="someone_else",
    )


def _not_applied(claim: Claim, operation: Operation, evidence: Evidence) -> None:
    if done := done_before(operation):
        message = f"{done} The rest was not applied: Stripe had an internal error. Finish it with Attach payment."
    elif evidence.as_confirmed:
        message = "Stripe had an internal error, and did not apply it. Nothing has changed; it can be tried again."
    else:
        message = "Stripe had an internal error, and did not apply it. The invoice has changed meanwhile: look at it."
    claim.finish(State.FAILED, evidence.snapshots, code="not_applied", message=message, outcome_by="nobody")


def _may_send_again(operation: Operation, entry: dict[str, Any], evidence: Evidence) -> bool:
    """Only within an hour, and while the invoice is as it was confirmed. What we attach is ours alone: sending it again
    under the same key asks whether it was done, even when it is there already."""
    if evidence.invoice is None or not _is_young(entry):
        return False
    return entry["name"] == "attach_payment" or (evidence.as_confirmed and not evidence.applied)


def _is_young(entry: dict[str, Any]) -> bool:
    return clock.now() - datetime.fromisoformat(entry["first_sent_at"]) < FRESH


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
        evidence = gather(operation, spec, entry)
        if evidence.applied or evidence.effect or evidence.on_its_way or evidence.failure:
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
        evidence = gather(operation, spec, entry)
        if not _concluded(again, operation, spec, entry, evidence):
            _later(again, operation, "")
    except gateway.GatewayError as error:
        _later(again, operation, error.message)


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
