"""A charge through a PaymentIntent of our own: what came of it, and how it is taken back.

An operation makes such a PaymentIntent, attaches it to the invoice, and then confirms it. So nothing is charged before
the invoice waits for the money. What came of the confirmation is read from the PaymentIntent and from the invoice,
which is why no answer and no event is needed for it.

Where the charge did not go through, or is not to be sent any more, the PaymentIntent is canceled before the operation
ends: nothing can charge it later, and no payment stays attached that never comes. Stripe cancels or charges it, never
both, so a cancellation also decides about a confirmation whose answer was lost. It is sent even without the authority
to charge and during a pause, because it only takes back what charged nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from invoices import clock, gateway, money
from invoices.models import DECLINES, CallResult, Code, Operation, OutcomeBy, RecordedCall
from invoices.models.reading import expandable_id, integer, member, text
from invoices.operations import gate, look_again, outcomes, told
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import Claim
from invoices.operations.effects import is_credited
from invoices.operations.evidence import effect_of, own_intent
from invoices.snapshot import Snapshot

State = Operation.State
CANCEL = "cancel_payment_intent"  # how the name of the call that takes it back begins


def is_charged_by(operation: Operation, call: RecordedCall) -> bool:
    """Whether this call of the operation charges a PaymentIntent of its own."""
    return not call.name.startswith(CANCEL) and effect_of(ACTIONS[operation.action], call).charges_own_intent


def is_being_taken_back(operation: Operation) -> bool:
    """Whether the cancellation was sent, and its answer is not known. What the operation comes to stands in its columns
    already."""
    last = operation.calls[-1] if operation.calls else None
    return last is not None and last.name.startswith(CANCEL) and last.result is None


# --- what came of it --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """The PaymentIntent, and the invoice with its payments, as reads begun now show them."""

    intent: dict[str, Any]
    snapshots: list[Snapshot]  # the invoice, its payments, the PaymentIntent

    @property
    def status(self) -> str:
        """Stripe's status of the PaymentIntent."""
        return text(self.intent, "status") or ""

    @property
    def is_credited(self) -> bool:
        return is_credited(self.intent["id"], [each.data or {} for each in self.snapshots])


def look(operation: Operation) -> Look:
    """Reads the PaymentIntent, and after it the invoice. Raises GatewayError."""
    reply = gateway.read(f"/v1/payment_intents/{own_intent(operation.calls)}")
    snapshots = [*gateway.retrieve("invoice", operation.invoice), reply.snapshot()]
    return Look(reply.data, snapshots)


def conclude(claim: Claim, operation: Operation, call: RecordedCall, found: Look, **more: Any) -> bool:
    """Writes what came of the confirmation `call`; whether the PaymentIntent shows it. `more` are columns that are
    written besides. Raises LostClaim."""
    invoice, calls = found.snapshots[0].data or {}, with_last(operation.calls, call)
    match found.status:
        case "succeeded" if found.is_credited:
            done = replace(call, result=CallResult.of(found.intent))
            outcome = outcomes.succeeded(ACTIONS[operation.action], operation, invoice)
            claim.finish(State.SUCCEEDED, found.snapshots, **more, **outcome, calls=with_last(operation.calls, done))
        case "succeeded":
            claim.hold(**more, calls=calls)
            look_again.later(claim, _charged_and_not_credited(operation, found))
        case "processing":
            charge = expandable_id(found.intent, "latest_charge") or ""
            with_bank = with_last(operation.calls, replace(call, payment_intent=found.intent["id"], charge=charge))
            claim.wait_for_bank(found.snapshots, **more, **outcomes.under_way(operation, invoice), calls=with_bank)
        case "requires_action":
            error = {"code": "authentication_required", "message": _("The customer must authenticate this payment.")}
            take_back(claim, operation, calls, **more, **outcomes.of_failed_charge(error))
        case "requires_payment_method" if isinstance(error := member(found.intent, "last_payment_error"), dict):
            failed = outcomes.of_failed_charge({"payment_intent": found.intent, **error})
            take_back(claim, operation, calls, **more, **failed)
        case "canceled":
            message = _("The payment {payment} was canceled at Stripe. Nothing was charged.")
            outcome = {"code": Code.INVOICE_CHANGED, "message": message.format(payment=found.intent["id"])}
            outcome |= {"outcome_by": OutcomeBy.SOMEONE_ELSE, "processing": False, "advice": ""}
            claim.finish(State.FAILED, found.snapshots, **more, **outcome, calls=calls)
        case _:
            return False
    return True


def _charged_and_not_credited(operation: Operation, found: Look) -> str:
    amount = money.text(integer(found.intent, "amount_received"), text(found.intent, "currency"))
    message = _(
        "{amount} was charged ({payment}), and the invoice does not show it yet. It is looked at again. If Stripe does "
        "not credit it, refund it, or link it to an invoice."
    )
    return message.format(amount=amount, payment=found.intent["id"])


def with_last(calls: list[RecordedCall], call: RecordedCall) -> list[RecordedCall]:
    """These calls, this one as the last, in place of what was recorded of it before."""
    return [other for other in calls if other.name != call.name] + [call]


# --- taking it back ---------------------------------------------------------------------------------------------------


def end(claim: Claim, operation: Operation, state: str, snapshots: list[Snapshot], **outcome: Any) -> None:
    """Ends an operation that did not take effect: at once, or once its PaymentIntent is canceled. Raises LostClaim."""
    calls = outcome.pop("calls", operation.calls)
    if own_intent(calls):
        take_back(claim, operation, calls, **outcome)
    else:
        claim.finish(state, snapshots, calls=calls, **outcome)


def take_back(claim: Claim, operation: Operation, calls: list[RecordedCall], **outcome: Any) -> None:
    """Writes what the operation comes to, cancels its PaymentIntent, and ends it as failed. Raises LostClaim."""
    # Where Stripe refused it before, under the same key it would only repeat that answer.
    before = sum(call.name.startswith(CANCEL) for call in calls)
    name = f"{CANCEL}_{before + 1}" if before else CANCEL
    call = RecordedCall(
        name=name,
        path=f"/v1/payment_intents/{own_intent(calls)}/cancel",
        params={},
        key=f"{operation.stripe_key_base}-{name}",
        not_before=calls[-1].not_before,
    )
    cancel(claim, claim.hold(**outcome, calls=with_last(calls, call)))


def cancel(claim: Claim, operation: Operation) -> None:
    """Sends the cancellation that is the operation's last call, for the first time or again, and ends the operation.
    Where Stripe does not answer, settling sends it again. Raises LostClaim."""
    last = operation.calls[-1]
    now = clock.now()
    call = replace(last, sent_at=now, first_sent_at=last.first_sent_at or now, sendings=last.sendings + 1)
    operation = claim.hold(calls=with_last(operation.calls, call))
    gate.check_time_left(operation)
    told.sending(operation, call)
    try:
        reply = gateway.act(call.path, call.params, idempotency_key=call.key)
    except (gateway.RefusedByStripe, gateway.Missing) as error:
        _refused(claim, operation, call, error)
        return
    except gateway.GatewayError:
        _later(claim, operation)
        return
    call = replace(
        call,
        answered_at=clock.now(),
        status=reply.status,
        request_id=reply.request_id,
        replayed=reply.replayed,
        result=CallResult.of(reply.data),
    )
    try:
        snapshots = gateway.retrieve("invoice", operation.invoice)
    except gateway.GatewayError:
        snapshots = []  # then `after` says that it was not read
    if not reply.replayed:
        snapshots = [*snapshots, reply.snapshot()]
    claim.finish(State.FAILED, snapshots, calls=with_last(operation.calls, call))


def _later(claim: Claim, operation: Operation) -> None:
    """The columns keep what the operation comes to. Money under way stays so, because it does not hold its invoice."""
    claim.release(
        state=State.PROCESSING if operation.state == State.PROCESSING else State.UNKNOWN,
        settle_at=clock.now() + look_again.interval(operation),
        settle_attempts=operation.settle_attempts + 1,
    )


def _refused(claim: Claim, operation: Operation, call: RecordedCall, error: gateway.GatewayError) -> None:
    """It cannot be canceled: it is canceled already, or was charged."""
    try:
        found = look(operation)
    except gateway.GatewayError:
        _later(claim, operation)
        return
    refused = replace(
        call, answered_at=clock.now(), status=error.status, request_id=error.request_id, error=outcomes.reduced(error)
    )
    operation = claim.hold(calls=with_last(operation.calls, refused))
    confirmed = next((each for each in operation.calls if is_charged_by(operation, each)), None)
    if confirmed and operation.code not in DECLINES and found.status in ("succeeded", "processing"):
        conclude(claim, operation, confirmed, found, error=None)  # our confirmation was applied, after all
        return
    outcome: dict[str, Any] = {}
    if found.status != "canceled":
        stays = _("{sentence} The payment {payment} could not be canceled ({reason}). Look at it at Stripe.")
        outcome["message"] = stays.format(sentence=operation.message, payment=found.intent["id"], reason=error.message)
    claim.finish(State.FAILED, found.snapshots, **outcome, calls=operation.calls)
