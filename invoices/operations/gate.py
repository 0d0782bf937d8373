"""The one gate before money moves: every sending to Stripe passes it, the first one and every repeated one.

What was allowed when it was asked for is judged again, immediately before it is sent, with what is true then: with the
invoice as Stripe has it, never as the mirror has it, and by the database's clock.

1. authority    the person is active and permitted, the API token is not revoked          `authority_refusal`
2. the batch    it was not cancelled, and was confirmed within its life                   `batch_refusal`
3. expiry       it is sent soon after it was asked for, or not at all                     `expiry_refusal`
4. the pause    a manager may have paused the action                                      `pauses.check`
5. the invoice  it is as the caller saw it, and the action may start on it                `eligibility.check`
6. approval     a second person has agreed to the amount as it is now, where needed       `approval.need`
7. the claim    it is still ours, with time for one whole request                         `check_time_left`

`perform.send` is the only caller. What becomes of an operation that does not pass is decided there too. Only the
cancellation of what was not charged goes past the gate (`own_intents.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from invoices import clock, gateway, mirror, money, permissions
from invoices.models import CallResult, Code, Invoice, InvoicePayment, Operation, PaymentIntent, RecordedCall
from invoices.models.reading import expandable_id
from invoices.operations import approval, eligibility, pauses
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import LostClaim, as_seen, judged
from invoices.operations.evidence import effect_of, find_created, is_told_of, own_intent
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.payment_method import PaymentMethodFacts
from invoices.operations.refusals import Refusal
from invoices.snapshot import Snapshot
from invoices.thresholds import RESEND_WINDOW, RESTORED_AFTER


class Closed(Exception):
    """It may not be sent. `refusal` says what changed since it was asked for."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class SecondPersonNeeded(Closed):
    """It may be sent once a second person has agreed to the amount as it is now."""

    def __init__(self, need: approval.Need, invoice: Invoice) -> None:
        message = " ".join([need.why, _("A second person must agree first.")])
        super().__init__(Refusal(Code.APPROVAL_REQUIRED, message))
        self.need, self.invoice = need, invoice


class Unreadable(Exception):
    """Stripe cannot be read before the sending, so nothing may be sent."""

    def __init__(self, error: gateway.GatewayError) -> None:
        super().__init__(error.message)
        self.error, self.message = error, error.message


@dataclass(frozen=True)
class View:
    """What Stripe has immediately before a sending."""

    snapshots: list[Snapshot]  # the invoice, then its payments
    invoice: Invoice | None  # None: Stripe has no such invoice
    intents: list[PaymentIntent] = field(default_factory=list)  # of its open payments; only read for a charge
    payment: AttachablePayment | None = None  # the payment that is to be attached
    method: PaymentMethodFacts | None = None  # what would be charged; None: nothing, or it makes no difference
    created: CallResult | None = None  # what a sending that is not on record has created: nothing is to be sent
    is_shown: bool = False  # the call's effect is there already: sending it asks Stripe whether it was ours

    @property
    def payments(self) -> list[InvoicePayment]:
        return [
            InvoicePayment(id=each.id, data=each.data, **InvoicePayment.columns(each.data or {}))
            for each in self.snapshots[1:]
            if each.object == "invoice_payment"
        ]

    @property
    def read_at(self) -> int:
        """A moment of Stripe's clock (seconds since 1970) before the sending that follows."""
        return int(self.snapshots[0].since.timestamp())


def judge(operation: Operation, call: RecordedCall, *, throttled: bool = False) -> View:
    """Reads what Stripe has, stores it in the mirror, and returns it if the call may be sent now, for the first time or
    again.

    `throttled`: the reads wait for slots of the throttle. Raises Closed, SecondPersonNeeded, Unreadable and
    pauses.Paused: then it may not be sent.
    """
    _check_authority(operation)  # before the reads, so that nothing is read for what is not sent anyway
    try:
        view = _look(operation, throttled=throttled)
        if not call.sendings:
            view = replace(view, created=find_created(operation, replace(call, not_before=view.read_at)))
    except gateway.GatewayError as error:
        raise Unreadable(error) from error
    _check_authority(judged(operation.pk))  # again, because the reads may have taken long
    if view.invoice is None:
        raise Closed(Refusal(Code.RESOURCE_MISSING, eligibility.no_such_invoice(operation.invoice)))
    if view.created is not None:
        return view
    if (call.sendings or _may_have_been_sent(operation)) and _is_shown(operation, call, view):
        return replace(view, is_shown=True)
    if call.sendings and view.invoice.status in ("paid", "void"):
        return view  # Stripe refuses everything by now, and repeats what it answered before: this only asks
    if refusal := _changed_refusal(operation, view.invoice) or _eligibility_refusal(operation, view.invoice, view):
        raise Closed(refusal)
    check_approval(operation, view.invoice, view)
    return view


def check_approval(operation: Operation, invoice: Invoice, view: View) -> None:
    """Raises SecondPersonNeeded. Asked once more where the amount in the journal was not the one that Stripe has: until
    it is written there, what is judged at the same moment adds up with the wrong one."""
    action = ACTIONS[operation.action]
    need = approval.need(
        action, invoice, operation.params, actor=operation.actor, payment=view.payment, operation=operation
    )
    if need is not None and not approval.covers(operation, need.amount):
        raise SecondPersonNeeded(need, invoice)


def check_time_left(operation: Operation) -> None:
    """Raises LostClaim where the claim, which was just renewed, would lapse before one whole request has ended: this
    process was stopped in between, and another one may have taken the operation over."""
    deadline = clock.now() + timedelta(seconds=settings.STRIPE_TIMEOUT_SECONDS)
    if operation.claimed_until is None or deadline > operation.claimed_until:
        raise LostClaim(str(operation.pk))


# --- without reading the invoice --------------------------------------------------------------------------------------


def _check_authority(operation: Operation) -> None:
    refusal = authority_refusal(operation) or batch_refusal(operation) or expiry_refusal(operation)
    if refusal is not None:
        raise Closed(refusal)
    pauses.check(operation.action)


def authority_refusal(operation: Operation) -> Refusal | None:
    """Whoever asked may not do so any more. A repeated sending needs the same authority as the first one."""
    action, actor, token = ACTIONS[operation.action], operation.actor, operation.token
    if actor is None or not actor.is_active:
        message = _("The account of {person} is no longer active.").format(person=actor or _("whoever asked"))
        return Refusal(Code.PERMISSION_DENIED, message)
    permissions.know(actor)
    if not actor.has_perm(action.permission):
        message = _("{person} may no longer {action}.").format(person=actor, action=_(action.may))
        return Refusal(Code.PERMISSION_DENIED, message)
    if operation.cooldown_override and not eligibility.may_override(actor):
        message = _("{person} may no longer charge again soon after a decline.").format(person=actor)
        return Refusal(Code.PERMISSION_DENIED, message)
    if token is not None and token.revoked_at is not None:
        return Refusal(Code.PERMISSION_DENIED, _("The API token “{token}” was revoked.").format(token=token.name))
    return None


def batch_refusal(operation: Operation) -> Refusal | None:
    """The batch that it belongs to was cancelled, waits for a second person, or has outlived its confirmation."""
    batch = operation.batch
    if batch is None:
        return None
    if batch.cancelled_at is not None:
        return Refusal(Code.WITHDRAWN, _("The batch was cancelled."))
    if batch.awaiting_approval:
        return Refusal(Code.APPROVAL_REQUIRED, _("The batch waits for a second person."))
    if not _has_a_word_of_its_own(operation) and clock.now() > batch.must_be_confirmed_at:
        return Refusal(Code.EXPIRED, _("The batch must be confirmed again: it was asked for too long ago."))
    return None


def _has_a_word_of_its_own(operation: Operation) -> bool:
    """Whether a second person agreed to it after it was asked for, and not to its batch: nobody needs to confirm the
    batch for it."""
    return operation.decided_at is not None and operation.decided_at > operation.created_at


def expiry_refusal(operation: Operation) -> Refusal | None:
    """A first sending follows within RESEND_WINDOW on the request, or on the second person's word; a later one on the
    first sending of the call before it."""
    begun_at = operation.last_call_first_sent_at or operation.decided_at or operation.created_at
    if clock.now() - begun_at < RESEND_WINDOW:
        return None
    return Refusal(Code.EXPIRED, _("It was not sent within an hour of being asked for, and is not sent any more."))


# --- with what Stripe has ---------------------------------------------------------------------------------------------


def _look(operation: Operation, *, throttled: bool) -> View:
    action = ACTIONS[operation.action]
    snapshots = gateway.retrieve("invoice", operation.invoice, throttled=throttled)
    intents: list[Snapshot] = []
    if action.charges(operation.params):
        for each in snapshots[1:]:
            id = expandable_id(each.data, "payment", "payment_intent")
            if id and (each.data or {}).get("status") == "open":
                intents += gateway.retrieve("payment_intent", id, throttled=throttled)
    try:
        payment = action.look_up(operation.params)
    except Refusal as refusal:
        raise Closed(refusal) from refusal
    invoice, method = as_seen(snapshots, operation.invoice), None
    if invoice and action.charges(operation.params) and not operation.cooldown_override:
        method = eligibility.method_to_charge(invoice, operation.params, throttled=throttled)
    mirror.store([*snapshots, *intents])
    return View(
        snapshots=snapshots,
        invoice=invoice,
        intents=[
            PaymentIntent(id=each.id, data=each.data, **PaymentIntent.columns(each.data))
            for each in intents
            if each.data is not None
        ],
        payment=payment,
        method=method,
    )


def _may_have_been_sent(operation: Operation) -> bool:
    """Whether this may be a database that was restored to an older state, in which the sending is not on record: the id
    of the operation is one that it would have had then too."""
    derived = bool(operation.idempotency_key) or operation.batch_id is not None
    return derived or clock.now() - operation.created_at > RESTORED_AFTER or is_told_of(operation)


def _is_shown(operation: Operation, call: RecordedCall, view: View) -> bool:
    """Whether Stripe shows the effect of this call already. To send it then changes nothing: under a key that it knows
    Stripe repeats its first answer, and under another one it refuses. It needs no more than the authority to send."""
    effect = effect_of(ACTIONS[operation.action], call)
    return effect.is_shown(call, view.snapshots[0].data, [each.data or {} for each in view.snapshots[1:]])


def _changed_refusal(operation: Operation, invoice: Invoice) -> Refusal | None:
    """The status or an amount is not what the caller saw. Once something was sent, our own call may have changed it:
    settling then decides whether a repeat fits what Stripe has."""
    for name, seen in operation.expected.items() if not operation.calls else ():
        if getattr(invoice, name, seen) != seen:
            return Refusal(
                Code.INVOICE_CHANGED,
                _("The invoice has changed since you saw it ({change}). Look at it again, then decide.").format(
                    change=f"{name.replace('_', ' ')}: {_said(name, seen, invoice)} → "
                    f"{_said(name, getattr(invoice, name), invoice)}"
                ),
            )
    return None


def _said(name: str, value: object, invoice: Invoice) -> str:
    """Of the invoice's status, or of an amount in minor units."""
    if name.startswith("amount") and isinstance(value, int):
        return money.text(value, invoice.currency)
    return str(value)


def _eligibility_refusal(operation: Operation, invoice: Invoice, view: View) -> Refusal | None:
    action, params = ACTIONS[operation.action], operation.params
    known = eligibility.circumstances_of(
        [invoice], charges=action.charges(params), except_for=operation, with_payments=False
    )
    ours = own_intent(operation.calls)  # it does not stand in its own way
    known.payments[invoice.pk] = [each for each in view.payments if not ours or each.payment_intent != ours]
    known.open_intents[invoice.pk] = [each for each in view.intents if each.pk != ours]
    return action.payment_refusal(invoice, params, view.payment) or eligibility.check(
        action, invoice, params, known, method=view.method, ignore_cooldown=operation.cooldown_override
    )
