"""Finds out what came of operations whose outcome is unknown, and how money under way ended.

It looks for evidence first. If it sends again, then under the same idempotency key. What has reached a bank is never
sent again.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import Case, F, Q, Value, When
from django.utils.translation import gettext as _

from invoices import clock, gateway, interruption, mirror
from invoices.models import CallResult, Code, Operation, OutcomeBy, RecordedCall
from invoices.models.reading import member, text
from invoices.operations import (
    contradictions,
    decisions,
    gate,
    look_again,
    money_under_way,
    outcomes,
    own_intents,
    pauses,
    told,
)
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import Claim, LostClaim, take, unclaimed
from invoices.operations.evidence import Evidence, StripeEvent, effect_of, gather, own_intent, surely_not_applied
from invoices.operations.perform import done_before, mark_refused, nothing_done, send, send_remaining_calls, start
from invoices.operations.refusals import in_english
from invoices.snapshot import Snapshot
from invoices.thresholds import BANK_LOOK_INTERVALS, READY_FORGOTTEN, RESEND_WINDOW

log = logging.getLogger(__name__)

State = Operation.State
MAX_OPERATIONS_AT_ONCE = 100


def settle_due(limit: int = MAX_OPERATIONS_AT_ONCE) -> int:
    """Settles what is unknown, has a lapsed claim, was left ready, or waits for a bank; how many it looked at. Ends
    early where Stripe does not answer, because the rest would only wait for it too."""
    now = clock.now()
    # Longest ago first, so that operations which a pause keeps back do not hide the others.
    longest_ago = F("settle_at").asc(nulls_first=True)
    due = list(
        Operation.objects.filter(_due(now)).order_by(longest_ago, "created_at").values_list("pk", flat=True)[:limit]
    )
    looked = 0
    for id in due:
        if interruption.asked():
            break
        looked += 1
        try:
            if not settle(id):
                break
        except Exception:  # the database refuses even to say so; its claim lapses, and the others are settled
            log.exception("Operation %s could not be settled.", id)
    decisions.expire()
    decisions.announce()
    contradictions.announce()
    return looked


def _due(now: datetime) -> Q:
    its_turn = Q(settle_at=None) | Q(settle_at__lte=now)
    asked_before = now - READY_FORGOTTEN
    forgotten = Q(created_at__lt=asked_before) & (Q(decided_at=None) | Q(decided_at__lt=asked_before))
    return (
        Q(state=State.READY) & forgotten & its_turn
        | Q(state=State.RUNNING, claimed_until__lt=now)
        | Q(state__in=[State.UNKNOWN, State.PROCESSING]) & unclaimed() & its_turn
    )


@in_english
def settle(id: uuid.UUID | str, *, at_once: bool = False) -> bool:
    """Claims the operation and looks at it once. Does nothing if another process has it, or before its turn. `at_once`:
    an unknown outcome is looked at before its turn, because somebody waits for it.

    Returns False if Stripe did not answer.
    """
    unknown = Q(state=State.UNKNOWN) & unclaimed()
    claim = take(id, _due(clock.now()) | unknown if at_once else _due(clock.now()))
    if claim is None:
        return True
    try:
        return _look(claim)
    except LostClaim:
        log.info("Operation %s was taken over.", id)
    except Exception as error:
        look_again.after_unexpected(claim, error)
    return True


def _look(claim: Claim) -> bool:
    settlement = Settlement(claim)
    try:
        with told.work_on(settlement.operation, "settle"):
            settlement.settle()
    except pauses.Paused as paused:
        settlement.look_again_later(str(paused))
    except gateway.GatewayError as error:
        settlement.look_again_later(_("Stripe cannot be reached: {sentence}").format(sentence=error.message))
        return not isinstance(error, gateway.OutcomeUnknown | gateway.RateLimited)
    return True


def _payment_error(intent: dict[str, Any]) -> dict[str, Any]:
    """Why this PaymentIntent's charge did not go through, with the PaymentIntent, as Stripe's own error has it."""
    error = member(intent, "last_payment_error")
    return {"payment_intent": intent, **error} if error and isinstance(error, dict) else {}


class Settlement:
    """One look at one operation whose outcome nobody knows, under one claim. Every method may raise LostClaim."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.operation = Operation.objects.get(pk=claim.id)
        self.settle_at = self.operation.settle_at  # when this look was due
        self.action = ACTIONS[self.operation.action]

    @property
    def call(self) -> RecordedCall:
        """The last call, whose outcome is to be found out."""
        return self.operation.calls[-1]

    def settle(self) -> None:
        """Raises GatewayError where there is no evidence to be had, Paused where the rest may not be sent now."""
        if own_intents.is_being_taken_back(self.operation):
            own_intents.cancel(self.claim, self.operation)
        elif self.operation.state == State.PROCESSING:
            self.ask_bank()
        elif self.operation.calls:
            self.settle_last_call()
        else:
            start(self.claim)

    def settle_last_call(self) -> None:
        if self.call.result:  # the process ended between two calls
            self.send_the_rest()
            return
        if own_intents.is_charged_by(self.operation, self.call):
            self.settle_own_intent()
            return
        evidence = gather(self.operation, self.action, self.call)
        if self.conclude(evidence):
            return
        if not self.call.first_request_ended and self.may_send_again(evidence):
            self.send_again()
        elif own_intent(self.operation.calls) and not self.is_within_resend_window():
            self.take_back_too_late()
        else:
            mirror.store(evidence.snapshots)
            too_late = not self.call.first_request_ended and not self.is_within_resend_window()
            self.look_again_later(_("The hour in which it may be sent again is over.") if too_late else "")

    # --- what the evidence proves -----------------------------------------------------------------------------------

    def conclude(self, evidence: Evidence) -> bool:
        """Writes what the evidence proves; whether it proves anything. Raises GatewayError."""
        call, effect = self.call, effect_of(self.action, self.call)
        if evidence.created is not None:
            self.go_on(CallResult.of(evidence.created))
        elif evidence.our_effect:
            self.took_effect(evidence, evidence.our_effect)
        elif evidence.our_processing:
            self.wait_for_bank(evidence, evidence.our_processing)
        elif evidence.our_failure:
            self.finish_declined(evidence, evidence.our_failure)
        elif (
            not effect.only_events_tell_who and evidence.shown and (call.first_request_ended or effect.shown_means_ours)
        ):
            # Stripe sends no event when a payment that has not succeeded yet is attached. So the read decides: our
            # request has ended and the payment is attached, or we made the payment and nobody else can attach it.
            self.took_effect(evidence, None)
        elif effect.only_events_tell_who and evidence.shown and evidence.others_effect:
            self.finish_done_by_others(evidence, evidence.others_effect)
        elif evidence.others_ruling_out and not evidence.shown:
            self.finish_ruled_out(evidence, evidence.others_ruling_out)
        elif (
            call.first_request_ended
            and not evidence.shown
            and surely_not_applied(self.operation, self.action, call, evidence)
        ):
            self.finish_not_applied(evidence)
        else:
            return False
        return True

    def took_effect(self, evidence: Evidence, event: StripeEvent | None) -> None:
        """By our request. `event` says so, where there is one."""
        if self.call.name == self.action.calls[-1].name:
            self.finish_succeeded(evidence, event)
        else:
            self.go_on(CallResult.of(evidence.invoice or {}))

    def go_on(self, result: CallResult) -> None:
        """A call took effect that is not the last one: the next follows, and this one is never sent again."""
        done = replace(self.call, result=result, found=True)
        self.operation = self.claim.hold(state=State.RUNNING, calls=[*self.operation.calls[:-1], done])
        self.send_the_rest()

    def finish_succeeded(self, evidence: Evidence, event: StripeEvent | None) -> None:
        """By our request. `event` says so, where there is one."""
        request_id = text(event, "request", "id") or self.operation.stripe_request_id
        outcome = outcomes.succeeded(self.action, self.operation, evidence.invoice or {})
        self.finish(State.SUCCEEDED, evidence, event, stripe_request_id=request_id, **outcome)

    def finish_declined(self, evidence: Evidence, event: StripeEvent) -> None:
        """Our charge was tried and did not go through. The reason stands in the event or in the PaymentIntent. Raises
        GatewayError."""
        error = _payment_error(event["data"]["object"])
        for intent in [] if error else evidence.intents:
            error = _payment_error(intent) or error
        if not error and event["type"] in ("invoice.payment_action_required", "payment_intent.requires_action"):
            error = {
                "code": "invoice_payment_intent_requires_action",
                "message": _("The customer must authenticate this payment."),
                "payment_intent": next(iter(evidence.intents), None),
            }
        self.finish(State.FAILED, evidence, event, **outcomes.of_failed_charge(error))

    def finish_done_by_others(self, evidence: Evidence, event: StripeEvent) -> None:
        number = (evidence.invoice or {}).get("number") or self.operation.invoice
        message = _("{number} was {word} by someone else at the same time; our request changed nothing.").format(
            number=number, word=_(self.action.done_word)
        )
        outcome_by = OutcomeBy.SOMEONE_ELSE
        self.finish(State.FAILED, evidence, event, code=Code.INVOICE_CHANGED, message=message, outcome_by=outcome_by)

    def finish_ruled_out(self, evidence: Evidence, event: StripeEvent) -> None:
        """Somebody else's request makes our effect impossible: Stripe refuses to pay a void invoice, for example. So
        ours was not applied, and cannot be."""
        number = event["data"]["object"].get("number") or self.operation.invoice
        what = event["type"].removeprefix("invoice.").replace("payment_succeeded", "paid")
        message = _("{number} was {word} by someone else at the same time; it was not {sentence}.").format(
            number=number, word=_(what), sentence=_(self.action.done_word)
        )
        outcome_by = OutcomeBy.SOMEONE_ELSE
        self.finish(State.FAILED, evidence, event, code=Code.INVOICE_CHANGED, message=message, outcome_by=outcome_by)

    def finish_not_applied(self, evidence: Evidence) -> None:
        if done := done_before(self.operation):
            rest = _("The rest was not applied: Stripe had an internal error. Finish it with Link a payment.")
            message = f"{done} {rest}"
        elif evidence.as_confirmed:
            message = _(
                "Stripe had an internal error, and did not apply it. Nothing has changed; it can be tried again."
            )
        else:
            message = _(
                "Stripe had an internal error, and did not apply it. The invoice has changed meanwhile: look at it."
            )
        self.finish(State.FAILED, evidence, code=Code.NOT_APPLIED, message=message, outcome_by=OutcomeBy.NOBODY)

    def finish(
        self, state: str, evidence: Evidence | None = None, event: StripeEvent | None = None, **outcome: Any
    ) -> None:
        """Writes the outcome with the mirror, and the event that proves it into the last call."""
        if event is not None:
            outcome["calls"] = [*self.operation.calls[:-1], replace(self.call, evidence=event["id"])]
        snapshots = evidence.snapshots if evidence else []
        if state == State.FAILED:
            own_intents.end(self.claim, self.operation, state, snapshots, **outcome)
        else:
            self.claim.finish(state, snapshots, **outcome)

    # --- a PaymentIntent of our own -----------------------------------------------------------------------------------

    def settle_own_intent(self) -> None:
        """The charge of a PaymentIntent of our own. Where it was not applied yet, it is sent again within the hour, and
        taken back after it. Raises GatewayError, Paused."""
        found = own_intents.look(self.operation)
        if own_intents.conclude(self.claim, self.operation, self.call, found):
            return
        if self.call.first_request_ended:
            message = " ".join([_("Stripe had an internal error, and did not apply it."), _("Nothing was charged.")])
            self.take_back(Code.NOT_APPLIED, message)
        elif self.is_within_resend_window():
            self.send_again()
        else:
            self.take_back_too_late()

    def take_back_too_late(self) -> None:
        """The hour is over in which it may be sent: a cancellation decides it."""
        over = _("It was not sent within an hour of being asked for, and is not sent any more.")
        self.take_back(Code.EXPIRED, " ".join([_("Nothing was charged."), over]))

    def take_back(self, code: str, message: str) -> None:
        outcome = {"code": code, "message": message, "outcome_by": OutcomeBy.NOBODY}
        own_intents.take_back(self.claim, self.operation, self.operation.calls, **outcome)

    # --- money under way ----------------------------------------------------------------------------------------------

    def wait_for_bank(self, evidence: Evidence, event: StripeEvent) -> None:
        """Our charge was given to a bank, as this event says. Writes what came of it since: the bank may have decided
        before we learnt of it. Raises GatewayError."""
        call = money_under_way.with_charge(self.call, event)
        request_id = (event.get("request") or {}).get("id") or self.operation.stripe_request_id
        answer = money_under_way.ask(call) if call.charge else None
        if answer is None or answer.status == "pending":
            self.claim.wait_for_bank(
                [*evidence.snapshots, *([answer.snapshot] if answer else [])],
                calls=[*self.operation.calls[:-1], call],
                stripe_request_id=request_id,
                last_call_first_sent_at=self.first_sent_at,  # by which it becomes overdue
                **outcomes.under_way(self.operation, evidence.invoice or {}),
            )
        else:
            self.finish_as_bank_says(call, answer, evidence.snapshots, stripe_request_id=request_id)

    def ask_bank(self) -> None:
        """One look at money under way. Raises GatewayError."""
        call = self.call
        if own_intents.is_charged_by(self.operation, call):
            found = own_intents.look(self.operation)
            if found.status == "processing" or not own_intents.conclude(self.claim, self.operation, call, found):
                mirror.store(found.snapshots)
                self.look_again_later()
            return
        if not call.charge and (event := money_under_way.find_event(call)):
            call = money_under_way.with_charge(call, event)
            self.operation = self.claim.hold(calls=[*self.operation.calls[:-1], call])
        answer = money_under_way.ask(call) if call.charge else None
        if answer is None or answer.status == "pending":
            mirror.store([answer.snapshot] if answer else [])
            self.look_again_later()
        else:
            self.finish_as_bank_says(call, answer, gateway.retrieve("invoice", self.operation.invoice))

    def finish_as_bank_says(
        self, call: RecordedCall, answer: money_under_way.BankAnswer, snapshots: list[Snapshot], **more: Any
    ) -> None:
        """Our charge has ended: the money came, or it did not."""
        invoice = snapshots[0].data or {}
        state, outcome = State.FAILED, outcomes.of_failed_charge(answer.error)
        if answer.status == "succeeded":
            state, outcome = State.SUCCEEDED, outcomes.succeeded(self.action, self.operation, invoice)
        elif answer.status == "canceled":
            number = invoice.get("number") or self.operation.invoice
            message = _(
                "The payment of {number} was canceled at Stripe before the bank had decided. No money came."
            ).format(number=number)
            outcome = {"code": Code.INVOICE_CHANGED, "message": message, "outcome_by": OutcomeBy.SOMEONE_ELSE}
            outcome |= {"processing": False, "advice": ""}
        calls = [*self.operation.calls[:-1], call]
        self.claim.finish(state, [*snapshots, answer.snapshot], **{**more, **outcome, "calls": calls})

    # --- sending ------------------------------------------------------------------------------------------------------

    @property
    def first_sent_at(self) -> datetime | None:
        """When the last call was first sent. An earlier version of this program did not write the column."""
        recorded = self.call.first_sent_at if self.operation.calls else None
        return self.operation.last_call_first_sent_at or recorded

    def is_within_resend_window(self) -> bool:
        return self.first_sent_at is not None and clock.now() - self.first_sent_at < RESEND_WINDOW

    def may_send_again(self, evidence: Evidence) -> bool:
        """Only within the window, and while the invoice is as it was confirmed. Where nobody else can cause the effect,
        sending again under the same key only asks Stripe whether it was done, so it may be there already."""
        if evidence.invoice is None or not self.is_within_resend_window():
            return False
        if not effect_of(self.action, self.call).only_events_tell_who:
            return True
        return evidence.as_confirmed and not evidence.shown

    def send_the_rest(self) -> None:
        """The calls that were not sent yet, within the window. Raises Paused."""
        if self.is_within_resend_window():
            send_remaining_calls(self.claim)
        elif own_intent(self.operation.calls):
            self.take_back_too_late()
        else:
            self.look_again_later(" ".join([done_before(self.operation), _("The rest was not sent within an hour.")]))

    def send_again(self) -> None:
        """The stored parameters, verbatim, under the same key: Stripe repeats its first answer, or does it now. Raises
        Paused."""
        self.claim.hold(state=State.RUNNING)
        call = self.call
        try:
            if send(self.claim, call):
                send_remaining_calls(self.claim)
        except gate.Closed as closed:
            if own_intent(self.operation.calls):
                self.take_back(closed.refusal.code, f"{nothing_done(self.operation)} {closed.refusal.message}")
                return
            self.look_again_later(_("It is not sent again: {sentence}").format(sentence=closed.refusal.message))
        except gate.Unreadable as unreadable:
            self.look_again_later(unreadable.message)
        except (gateway.NotAllowed, gateway.Missing, gateway.IdempotencyKeyConflict) as error:
            # These answers speak of this sending, and say nothing about the first one.
            self.look_again_later(error.message)
        except gateway.GatewayError as error:
            self.refused_when_sent_again(error)
        else:
            self.conclude_after_sending()

    def refused_when_sent_again(self, error: gateway.GatewayError) -> None:
        """A decline or a refusal under our key is definite, unless Stripe refuses because our own first request has
        changed the invoice. Raises GatewayError."""
        self.operation.refresh_from_db()
        charges_own_intent = own_intents.is_charged_by(self.operation, self.call)
        if isinstance(error, gateway.RefusedByStripe) and not error.replayed and not charges_own_intent:
            evidence = gather(self.operation, self.action, self.call)
            if evidence.shown or evidence.our_effect or evidence.our_processing or evidence.our_failure:
                self.look_again_later(error.message)
                return
        mark_refused(self.claim, self.operation, self.call, error)

    def conclude_after_sending(self) -> None:
        """Where Stripe repeated a 5xx, the first request has ended: a read begun after that decides."""
        self.operation.refresh_from_db()
        if self.operation.state != State.UNKNOWN or not self.call.first_request_ended:
            return
        again = take(self.claim.id, Q(state=State.UNKNOWN, claim_token__isnull=True))
        if again is None:
            return
        self.claim = again
        try:
            if own_intents.is_charged_by(self.operation, self.call):
                self.settle_own_intent()
            elif not self.conclude(gather(self.operation, self.action, self.call)):
                self.look_again_later()
        except gateway.GatewayError as error:
            self.look_again_later(error.message)

    def look_again_later(self, why: str = "") -> None:
        """Not decided yet. The operation keeps its invoice; a manager who is to resolve it sees every new look."""
        self.operation.refresh_from_db()
        if self.operation.state == State.PROCESSING:
            attempts = self.operation.settle_attempts
            next_look = clock.now() + BANK_LOOK_INTERVALS[min(attempts, len(BANK_LOOK_INTERVALS) - 1)]
            # If an event asked for a look while this one was going on, there is another one at once.
            unchanged = When(settle_at=self.settle_at, then=Value(next_look))
            self.claim.release(settle_at=Case(unchanged, default=F("settle_at")), settle_attempts=attempts + 1)
            return
        message = (
            _("Whether it took effect is being checked with Stripe. ({sentence})").format(sentence=why)
            if why
            else _("Whether it took effect is being checked with Stripe.")
        )
        look_again.later(self.claim, message, last_call_first_sent_at=self.first_sent_at)
