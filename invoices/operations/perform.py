"""Carries out one operation: claim, read, write what will be sent, send it outside any transaction, write what came."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

from django.db.models import Q

from invoices import clock, gateway, mirror
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.operations import brake, outcomes
from invoices.operations.catalog import ACTIONS, Call
from invoices.operations.claims import Claim, LostClaim, as_seen, facts, take
from invoices.operations.refusals import Refusal
from invoices.snapshot import Snapshot

State = Operation.State
LONGEST_WAIT = 5.0  # seconds that Stripe may ask us to wait after a 429, while a person waits
FIRST_LOOK = timedelta(seconds=3)  # after an unknown outcome


def perform(id: uuid.UUID | str) -> Operation:
    """Performs a ready operation, unless another process does; returns it as it then stands. Raises nothing of
    Stripe's: what came of it stands in its state."""
    claim = take(id, Q(state=State.READY), state=State.RUNNING)
    if claim is not None:
        begin(claim)
    return Operation.objects.get(pk=id)


def begin(claim: Claim) -> None:
    """From nothing sent: a fresh read first, and no sending where the invoice is not as the caller saw it."""
    try:
        operation = claim.hold(state=State.RUNNING)
        brake.check(operation.action)
        try:
            snapshots = gateway.retrieve("invoice", operation.invoice)
        except gateway.GatewayError as error:
            claim.finish(State.FAILED, [], **_not_sent(error))
            return
        mirror.store(snapshots)
        invoice = as_seen(snapshots, operation.invoice)
        refusal = _changed(operation, invoice, snapshots)
        if refusal is not None or invoice is None:
            refusal = refusal or _gone(operation)
            claim.finish(State.FAILED, [], code=refusal.code, message=refusal.message, outcome_by="nobody")
            return
        claim.hold(before=facts(invoice))
        go_on(claim, not_before=int(snapshots[0].since.timestamp()))
    except brake.Paused as paused:
        wait(claim, paused)
    except LostClaim:
        return


def wait(claim: Claim, paused: brake.Paused) -> None:
    """The brake was put on before this was sent: it stays where it is, and goes on when the brake is off."""
    sent = bool(Operation.objects.get(pk=claim.id).calls)
    claim.release(state=State.UNKNOWN if sent else State.READY, message=str(paused), settle_at=clock.now() + FIRST_LOOK)


def _gone(operation: Operation) -> Refusal:
    return Refusal("resource_missing", f"No such invoice: '{operation.invoice}'")


def _not_sent(error: gateway.GatewayError) -> dict[str, Any]:
    return {
        "code": "stripe_unavailable",
        "message": f"Stripe cannot be reached ({error.message}). Nothing was sent; try again soon.",
        "outcome_by": "nobody",
    }


def _changed(operation: Operation, invoice: Invoice | None, snapshots: list[Snapshot]) -> Refusal | None:
    """Why it is not sent: what the caller saw is no longer so, or the action is not legal from what Stripe says now."""
    if invoice is None:
        return _gone(operation)
    for name, seen in operation.expected.items():
        if getattr(invoice, name, seen) != seen:
            return Refusal(
                "invoice_changed",
                f"The invoice has changed since you saw it ({name.replace('_', ' ')}: {seen} → "
                f"{getattr(invoice, name)}). Nothing was sent. Look at it again, then decide.",
            )
    payments = [
        InvoicePayment(id=each.id, data=each.data, **InvoicePayment.columns(each.data or {})) for each in snapshots[1:]
    ]
    return ACTIONS[operation.action].refusal(invoice, payments, operation.params)


def go_on(claim: Claim, *, not_before: int) -> None:
    """Sends the calls that have no answer yet, one after the other. `not_before`: Stripe's clock, before the sending.

    Raises LostClaim.
    """
    operation = claim.hold()
    for call in ACTIONS[operation.action].calls:
        if _answered(operation, call.name) is None:
            if not send(claim, operation, new_entry(operation, call, not_before)):
                return
            operation = claim.hold()


def _answered(operation: Operation, name: str) -> dict[str, Any] | None:
    return next((entry["result"] for entry in operation.calls if entry["name"] == name and entry.get("result")), None)


def new_entry(operation: Operation, call: Call, not_before: int) -> dict[str, Any]:
    """What will be sent, exactly: it is stored before, and sent again only verbatim, under the same key."""
    results = {entry["name"]: entry["result"] for entry in operation.calls if entry.get("result")}
    return {
        "name": call.name,
        "path": call.path.format(invoice=operation.invoice),
        "params": call.build(operation, results),
        "key": f"{operation.pk}-{call.name}",
        "not_before": not_before,
        "sendings": 0,
    }


def _with(operation: Operation, entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [other for other in operation.calls if other["name"] != entry["name"]] + [entry]


def send(claim: Claim, operation: Operation, entry: dict[str, Any], *, waited: bool = False) -> bool:
    """Stores and commits what is sent, sends it once, writes what came. Whether the next call may follow.

    Raises Paused before anything is sent; LostClaim; and, when this was sent before, any definite answer of Stripe's
    (a GatewayError): what that means is for settling to say.
    """
    brake.check(operation.action)
    now = clock.now().isoformat()
    first = entry["sendings"] == 0
    entry = {
        **entry,
        "sent_at": now,
        "first_sent_at": entry.get("first_sent_at", now),
        "sendings": entry["sendings"] + 1,
    }
    operation = claim.hold(calls=_with(operation, entry))
    try:
        reply = gateway.act(entry["path"], entry["params"], key=entry["key"])
    except gateway.RateLimited as error:
        pause = error.retry_after
        if first and not waited and pause is not None and pause <= LONGEST_WAIT:
            time.sleep(pause)
            # The first one was not applied, so this is still the first sending.
            return send(claim, operation, {**entry, "sendings": 0}, waited=True)
        if first and len(operation.calls) == 1:
            claim.finish(State.FAILED, [], calls=_with(operation, _answer(entry, error)), **_rate_limited(error))
        else:
            unknown(claim, operation, entry, error)
        return False
    except gateway.OutcomeUnknown as error:
        unknown(claim, operation, entry, error)
        return False
    except gateway.GatewayError as error:
        if not first:
            claim.hold(calls=_with(operation, _answer(entry, error)))
            raise
        refused(claim, operation, entry, error)
        return False
    return answered(claim, operation, entry, reply)


def _answer(entry: dict[str, Any], error: gateway.GatewayError) -> dict[str, Any]:
    return {
        **entry,
        "answered_at": clock.now().isoformat(),
        "status": error.status,
        "request_id": error.request_id,
        "error": outcomes.reduced(error),
        # A repeated 500 says that the first request has ended: a read that begins now sees what it did.
        "ended": error.replayed and (error.status or 0) >= 500,
    }


def _rate_limited(error: gateway.GatewayError) -> dict[str, Any]:
    return {
        "code": "stripe_unavailable",
        "message": "Stripe is receiving too many requests. Nothing was applied; try again soon.",
        "stripe_request_id": error.request_id,
        "outcome_by": "nobody",
    }


def unknown(claim: Claim, operation: Operation, entry: dict[str, Any], error: gateway.GatewayError) -> None:
    """Nobody knows what came of it. That is not an error: settling asks Stripe until it is known."""
    claim.release(
        state=State.UNKNOWN,
        calls=_with(operation, _answer(entry, error)),
        code="outcome_unknown",
        message="Stripe's answer did not arrive. Whether it took effect is being checked with Stripe.",
        settle_at=clock.now() + FIRST_LOOK,
    )


def refused(claim: Claim, operation: Operation, entry: dict[str, Any], error: gateway.GatewayError) -> None:
    """Stripe said no, and nothing more will come of this call. The invoice may still have changed: it is read again."""
    outcome = outcomes.of_error(error)
    if done := done_before(operation):
        outcome["message"] = f"{done} Then Stripe refused: {error.message}"
    claim.finish(State.FAILED, [], read_again=True, calls=_with(operation, _answer(entry, error)), **outcome)


def done_before(operation: Operation) -> str:
    """What an earlier call of this operation did at Stripe, as a sentence; empty where nothing was done before."""
    done = [f"{entry['name']} ({entry['result']['id']})" for entry in operation.calls if entry.get("result")]
    return f"Done at Stripe: {', '.join(done)}." if done else ""


def answered(claim: Claim, operation: Operation, entry: dict[str, Any], reply: gateway.Reply) -> bool:
    """Stripe did it. Writes the answer, after the last call the outcome with the mirror. Whether more may follow."""
    entry = {
        **entry,
        "answered_at": clock.now().isoformat(),
        "status": reply.status,
        "request_id": reply.request_id,
        "replayed": reply.replayed,
        "result": {key: reply.data.get(key) for key in ("id", "object", "status")},
    }
    calls = _with(operation, entry)
    spec = ACTIONS[operation.action]
    if {call["name"] for call in calls if call.get("result")} < {call.name for call in spec.calls}:
        claim.hold(calls=calls)
        return True
    data, snapshots = fresh(operation, reply)
    outcome = outcomes.succeeded(spec, operation, data)
    claim.finish(State.SUCCEEDED, snapshots, calls=calls, stripe_request_id=reply.request_id, **outcome)
    return False


def fresh(operation: Operation, reply: gateway.Reply) -> tuple[dict[str, Any], list[Snapshot]]:
    """The invoice after the action. The reply to a repeated key is an old object under a new date, so it is read."""
    if reply.replayed:
        try:
            snapshots = gateway.retrieve("invoice", operation.invoice)
            return snapshots[0].data or reply.data, snapshots
        except gateway.GatewayError:
            mirror.ask("invoice", [operation.invoice])
            return reply.data, []
    return reply.data, gateway.of_reply(reply, whole=False)
