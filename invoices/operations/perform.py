"""Carries out one operation: claim it, pass the gate, store what will be sent, send it, store the outcome."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from invoices import clock, gateway, money, scheduled_refetches
from invoices.models import CallResult, Code, Operation, OutcomeBy, RecordedCall
from invoices.operations import approval, eligibility, gate, look_again, outcomes, own_intents, pauses, told
from invoices.operations.action import Call
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import Claim, LostClaim, facts, take
from invoices.operations.evidence import own_intent
from invoices.operations.refusals import in_english
from invoices.snapshot import Snapshot
from invoices.thresholds import FIRST_SETTLING_AFTER
from invoices.wakeups import wake

State = Operation.State
MAX_RETRY_AFTER_SECONDS = 5.0  # a longer Retry-After is not waited for, because a person waits for the page


@in_english
def perform(id: uuid.UUID | str, *, throttled: bool = False) -> Operation:
    """Performs a ready operation, unless another process does. Returns the operation with its new state; an error of
    Stripe's is in that state and is not raised. `throttled`: the reads before the sending wait for the throttle."""
    claim = take(id, Q(state=State.READY), state=State.RUNNING)
    if claim is not None:
        start(claim, throttled=throttled)
    operation = Operation.objects.get(pk=id)
    operation.heard = claim.heard if claim is not None else None
    return operation


def start(claim: Claim, *, throttled: bool = False) -> None:
    """Performs an operation of which nothing was sent yet."""
    try:
        send_remaining_calls(claim, throttled=throttled, state=State.RUNNING)
    except pauses.Paused as paused:
        keep_for_later(claim, paused)
    except LostClaim:
        return
    except Exception as error:
        look_again.after_unexpected(claim, error)


def keep_for_later(claim: Claim, paused: pauses.Paused) -> None:
    """The action was paused before this was sent. Settling sends it if the pause ends within RESEND_WINDOW; later it
    expires, or a manager resolves it."""
    sent = bool(Operation.objects.get(pk=claim.id).calls)
    claim.release(
        state=State.UNKNOWN if sent else State.READY,
        message=str(paused),
        settle_at=clock.now() + FIRST_SETTLING_AFTER,
    )


def _not_sent(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "outcome_by": OutcomeBy.NOBODY}


def send_remaining_calls(claim: Claim, *, throttled: bool = False, **changes: Any) -> None:
    """Sends the calls that have no result yet, one after the other, each through the gate. An operation that does not
    pass ends here. `changes` are written first. Raises LostClaim, Paused."""
    operation = claim.hold(**changes)
    with told.work_on(operation, "perform"):
        _send_each(claim, operation, throttled=throttled)


def _send_each(claim: Claim, operation: Operation, *, throttled: bool) -> None:
    for call in ACTIONS[operation.action].calls:
        if call.name in _results(operation):
            continue
        try:
            if not send(claim, call, held=operation, throttled=throttled):
                return
        except gate.Closed as closed:
            _end_unsent(claim, closed)
            return
        except gate.Unreadable as unreadable:
            _end_unread(claim, unreadable)
            return
        operation = claim.hold()


def _end_unsent(claim: Claim, closed: gate.Closed) -> None:
    """The gate was closed for a call that was never sent. What needs a second person waits for one, with the facts as
    they are now; all else has ended."""
    operation, refusal = Operation.objects.get(pk=claim.id), closed.refusal
    if isinstance(closed, gate.SecondPersonNeeded) and not operation.calls:
        try:
            with transaction.atomic():
                claim.release(state=State.AWAITING_APPROVAL, **_asked_anew(operation, closed))
            wake("announce_requests")
            return
        except IntegrityError:
            waiting = approval.waiting(operation.invoice).filter(action=operation.action).first()
            refusal = eligibility.duplicate_refusal(waiting) or refusal
    state = State.FAILED  # what was sent is not taken back, even where Stripe has turned it away
    if not operation.calls:
        state = {Code.EXPIRED: State.EXPIRED, Code.WITHDRAWN: State.CANCELLED}.get(Code(refusal.code), state)
    message = f"{nothing_done(operation)} {refusal.message}"
    if done := done_before(operation):
        rest = _("The rest was not sent: {sentence} Finish it with Link a payment.").format(sentence=refusal.message)
        message = f"{done} {rest}"
    own_intents.end(claim, operation, state, [], **_not_sent(refusal.code, message))


def nothing_done(operation: Operation) -> str:
    """Said where the last sending was not made. An earlier one was turned away with a 429, or charges nothing by
    itself."""
    if own_intent(operation.calls):
        return _("Nothing was charged.")
    return _("Nothing was applied.") if operation.calls else _("Nothing was sent.")


def _asked_anew(operation: Operation, closed: gate.SecondPersonNeeded) -> dict[str, Any]:
    """The columns of an operation that goes back to waiting for a second person."""
    before = ""
    if operation.approver is not None:
        agreed = money.text(operation.approval_amount, operation.currency)
        earlier = _("({person} agreed to {amount} on {time} UTC.)").format(
            person=operation.approver, amount=agreed, time=f"{operation.decided_at:%Y-%m-%d at %H:%M}"
        )
        before = f" {earlier}"
    return {
        "before": facts(closed.invoice),
        "currency": closed.invoice.currency or "",
        "approval_amount": closed.need.amount,
        "code": "",
        "message": f"{approval.waits_because(closed.need)}{before}",
        "approver": None,
        "decided_at": None,
        "decision_reason": "",
        "decision_address": None,
        "decision_request_id": "",
        "decision_token": None,
        "announced_at": None,
        "settle_at": clock.now(),  # from here its days count: see decisions.expire
    }


def _end_unread(claim: Claim, unreadable: gate.Unreadable) -> None:
    """Stripe could not be read before a call that was never sent."""
    operation = Operation.objects.get(pk=claim.id)
    if _results(operation):  # settling sends the rest as soon as Stripe can be read
        rest = _("The rest waits until Stripe can be reached ({sentence}).").format(sentence=unreadable.message)
        claim.release(
            state=State.UNKNOWN,
            code=Code.OUTCOME_UNKNOWN,
            message=f"{done_before(operation) or nothing_done(operation)} {rest}",
            settle_at=clock.now() + FIRST_SETTLING_AFTER,
        )
        return
    unreached = _("Stripe cannot be reached ({sentence}).").format(sentence=unreadable.message)
    message = " ".join([unreached, nothing_done(operation), _("Try again soon.")])
    error = outcomes.of_rate_limit(unreadable.error)
    claim.finish(State.FAILED, [], error=error, **_not_sent(Code.STRIPE_UNAVAILABLE, message))


def _results(operation: Operation) -> dict[str, CallResult]:
    return {call.name: call.result for call in operation.calls if call.result is not None}


def _new_call(operation: Operation, call: Call | RecordedCall, not_before: int) -> RecordedCall:
    """What will be sent, exactly. It is stored before it is sent, and sent again only verbatim, under the same key."""
    assert isinstance(call, Call)  # noqa: S101  a recorded call is never made anew
    results = _results(operation)
    return RecordedCall(
        name=call.name,
        path=call.path.format(invoice=operation.invoice, **{name: result.id for name, result in results.items()}),
        params=call.build(operation, results),
        key=f"{operation.stripe_key_base}-{call.name}",
        not_before=not_before,
    )


def with_call(operation: Operation, call: RecordedCall) -> list[RecordedCall]:
    """The operation's calls, with this one in place of what was recorded of it before."""
    return [other for other in operation.calls if other.name != call.name] + [call]


def send(claim: Claim, call: Call | RecordedCall, *, held: Operation | None = None, throttled: bool = False) -> bool:
    """Passes the gate, stores and commits the call, sends it, stores the answer. Returns whether the next call may
    follow. A recorded call was sent before, and is sent again. `held`: the operation as the caller has just held it.

    The first sending is repeated once after a 429 with a short wait, because Stripe did not apply it. Raises Paused,
    gate.Closed and gate.Unreadable, where this was not sent; LostClaim; and, if the call was sent before, a definite
    answer of Stripe's as a GatewayError: settling decides what it means.
    """
    recorded = call if isinstance(call, RecordedCall) else None
    is_first_sending = recorded is None
    sendings = (recorded.sendings if recorded else 0) + 1  # a sending after a short wait is not one more
    waited = False
    changes: dict[str, Any]  # what is judged, where it has not been written yet
    while True:
        operation, held, changes = held or claim.hold(), None, {}
        view = gate.judge(operation, recorded or _new_call(operation, call, 0), throttled=throttled)
        if recorded is None:
            if not operation.calls:
                changes = _as_it_is_now(operation, view)
                if view.invoice is not None and operation.approval_amount != changes["approval_amount"]:
                    operation, changes = claim.hold(**changes), {}
                    gate.check_approval(operation, view.invoice, view)
                for name, value in changes.items():  # they are written together with the call
                    setattr(operation, name, value)
            recorded = _new_call(operation, call, view.read_at)
            if view.created is not None:
                found = replace(recorded, result=view.created, found=True)
                claim.hold(**changes, calls=with_call(operation, found), last_call_first_sent_at=clock.now())
                return True
        now = clock.now()
        recorded = replace(recorded, sent_at=now, first_sent_at=recorded.first_sent_at or now, sendings=sendings)
        changes |= {"calls": with_call(operation, recorded), "last_call_first_sent_at": recorded.first_sent_at}
        operation = claim.hold(**changes)
        gate.check_time_left(operation)
        told.sending(operation, recorded)
        try:
            reply = gateway.act(recorded.path, recorded.params, idempotency_key=recorded.key)
        except gateway.RateLimited as error:
            if is_first_sending and not waited and _is_short(error.retry_after):
                recorded = _with_error(recorded, error)
                claim.hold(calls=with_call(operation, recorded))
                time.sleep(error.retry_after or 0)
                waited = True
                continue
            if is_first_sending and len(operation.calls) == 1:
                _mark_rate_limited(claim, operation, recorded, error)
            else:
                mark_unknown(claim, operation, recorded, error)
            return False
        except gateway.OutcomeUnknown as error:
            mark_unknown(claim, operation, recorded, error)
            return False
        except gateway.GatewayError as error:
            if not is_first_sending:
                claim.hold(calls=with_call(operation, _with_error(recorded, error)))
                raise
            if view.is_shown and isinstance(error, gateway.RefusedByStripe):  # so it was not our doing
                calls = with_call(operation, _with_error(recorded, error))
                _finish_refused(claim, calls, _not_sent(Code.INVOICE_NOT_OPEN, error.message))
                return False
            mark_refused(claim, operation, recorded, error)
            return False
        return mark_answered(claim, operation, recorded, reply)


def _as_it_is_now(operation: Operation, view: gate.View) -> dict[str, Any]:
    """The columns that are judged, as Stripe has the invoice immediately before the first sending."""
    invoice = view.invoice
    assert invoice is not None  # noqa: S101  the gate has seen to it
    amount = ACTIONS[operation.action].approval_amount(invoice, operation.params, view.payment)
    agreed = operation.approver_id is not None  # then the amount to which the second person agreed stays
    return {
        "before": facts(invoice),
        "customer": invoice.customer_id or "",
        "currency": invoice.currency or "",
        "payment_method": view.method.id if view.method else operation.payment_method,
        "approval_amount": operation.approval_amount if agreed else amount,
    }


def _is_short(retry_after: float | None) -> bool:
    """Whether Stripe names a wait, and a person can wait so long."""
    return retry_after is not None and retry_after <= MAX_RETRY_AFTER_SECONDS


def _with_error(call: RecordedCall, error: gateway.GatewayError) -> RecordedCall:
    return replace(
        call,
        answered_at=clock.now(),
        status=error.status,
        request_id=error.request_id,
        error=outcomes.reduced(error),
        # Stripe repeats an answer only once the first request has ended: a read that begins now shows what it did.
        first_request_ended=error.replayed and (error.status or 0) >= 500,
    )


def _mark_rate_limited(claim: Claim, operation: Operation, call: RecordedCall, error: gateway.GatewayError) -> None:
    message = _("Stripe is receiving too many requests. Nothing was applied; try again soon.")
    claim.finish(
        State.FAILED,
        [],
        calls=with_call(operation, _with_error(call, error)),
        error=outcomes.of_rate_limit(error),
        stripe_request_id=error.request_id,
        **_not_sent(Code.STRIPE_UNAVAILABLE, message),
    )


def mark_unknown(
    claim: Claim, operation: Operation, call: RecordedCall, error: gateway.GatewayError | None = None
) -> None:
    """Nobody knows what came of it. That is not an error: settling asks Stripe until it is known."""
    claim.release(
        state=State.UNKNOWN,
        calls=with_call(operation, _with_error(call, error) if error else call),
        code=Code.OUTCOME_UNKNOWN,
        message=_("Stripe's answer did not arrive. Whether it took effect is being checked with Stripe."),
        settle_at=clock.now() + FIRST_SETTLING_AFTER,
    )


def mark_refused(claim: Claim, operation: Operation, call: RecordedCall, error: gateway.GatewayError) -> None:
    """Stripe refused the call for good. Stores that, then reads what the invoice is afterwards: a refused `pay` of a
    draft, for example, leaves it finalized."""
    claim.heard.error = error.body
    outcome = outcomes.of_error(error)
    is_decline = isinstance(error, gateway.Declined)
    may_be_charged = own_intents.is_charged_by(operation, call) and not is_decline
    if may_be_charged and _conclude_charge(claim, operation, _with_error(call, error)):
        return  # Stripe refuses what it has charged already: the PaymentIntent says so
    done = done_before(operation)
    if own_intent(operation.calls) and not is_decline:
        done = nothing_done(operation)
    if done:
        refused = _("Then Stripe refused: {reason}").format(reason=error.message)
        outcome["message"] = f"{done} {refused}"
    _finish_refused(claim, with_call(operation, _with_error(call, error)), outcome)


def _finish_refused(claim: Claim, calls: list[RecordedCall], outcome: dict[str, Any]) -> None:
    operation = claim.hold(calls=calls)
    if own_intent(calls):
        own_intents.take_back(claim, operation, calls, **outcome)
        return
    try:
        snapshots = gateway.retrieve("invoice", operation.invoice)
    except gateway.GatewayError:
        snapshots = []  # then `after` says that it was not read
    claim.finish(State.FAILED, snapshots, **outcome)


def done_before(operation: Operation) -> str:
    """What an earlier call of this operation did at Stripe, as a sentence; empty where nothing was done before, or
    where it is taken back."""
    if own_intent(operation.calls):
        return ""
    done = [f"{name} ({result.id})" for name, result in _results(operation).items()]
    return _("Done at Stripe: {calls}.").format(calls=", ".join(done)) if done else ""


def mark_answered(claim: Claim, operation: Operation, call: RecordedCall, reply: gateway.Reply) -> bool:
    """Stripe carried out the call. Stores the answer; after the last call, the outcome and the mirror. Returns whether
    another call follows."""
    call = replace(
        call,
        answered_at=clock.now(),
        status=reply.status,
        request_id=reply.request_id,
        replayed=reply.replayed,
        result=CallResult.of(reply.data),
    )
    action = ACTIONS[operation.action]
    if own_intents.is_charged_by(operation, call):
        call = replace(call, result=None)  # known once the money is credited
        operation = claim.hold(calls=with_call(operation, call))
        if not _conclude_charge(claim, operation, call, stripe_request_id=reply.request_id):
            mark_unknown(claim, operation, call)
        return False
    calls = with_call(operation, call)
    if {recorded.name for recorded in calls if recorded.result} < {each.name for each in action.calls}:
        claim.hold(calls=calls)
        return True
    if not reply.replayed:
        claim.heard.invoice = reply.data
    data, snapshots = invoice_afterwards(operation, call, reply)
    if outcomes.is_under_way(action, operation, data):
        outcome = outcomes.under_way(operation, data)
        claim.wait_for_bank(snapshots, calls=calls, stripe_request_id=reply.request_id, **outcome)
        return False
    outcome = outcomes.succeeded(action, operation, data)
    claim.finish(State.SUCCEEDED, snapshots, calls=calls, stripe_request_id=reply.request_id, **outcome)
    return False


def _conclude_charge(claim: Claim, operation: Operation, call: RecordedCall, **more: Any) -> bool:
    """Writes what came of a charge of our own PaymentIntent; False where it does not show, or cannot be read."""
    try:
        found = own_intents.look(operation)
    except gateway.GatewayError:
        return False
    return own_intents.conclude(claim, operation, call, found, **more)


def invoice_afterwards(
    operation: Operation, call: RecordedCall, reply: gateway.Reply
) -> tuple[dict[str, Any], list[Snapshot]]:
    """The invoice after the action, and what of it goes into the mirror.

    The reply to a repeated key shows the invoice as it was at the first answer, so the invoice is read instead.
    """
    if reply.replayed:
        try:
            snapshots = gateway.retrieve("invoice", operation.invoice)
            return snapshots[0].data or reply.data, snapshots
        except gateway.GatewayError:
            scheduled_refetches.schedule([("invoice", operation.invoice)])
            return reply.data, []
    return reply.data, gateway.of_reply(reply, expanded=call.params.get("expand", ()), complete=False)
