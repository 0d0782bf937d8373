"""Asks for an action: permission and eligibility first, then the journal row, before anything is sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from invoices import clock, gateway
from invoices.fanout import desk_events
from invoices.models import ApiToken, Batch, Code, Invoice, Operation
from invoices.operations import approval, eligibility, money_under_way, outcomes, repeats, told
from invoices.operations.action import Action
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import facts
from invoices.operations.decisions import withdraw, withdraw_for_charge
from invoices.operations.evidence import is_told_of
from invoices.operations.payment_lookups import AttachablePayment
from invoices.operations.payment_method import PaymentMethodFacts
from invoices.operations.perform import perform
from invoices.operations.refusals import Invalid, Refusal, in_english
from invoices.refetch import bring, refetch
from invoices.wakeups import wake

State = Operation.State
KEY_NAMESPACE = uuid.UUID("6f1c1a52-6a2e-4d0c-9f59-0d6f3a4f6f5e")  # of the ids that follow from idempotency keys
# The version of a UUID that follows from nothing. A form must bring such an id: those that follow from somebody's key
# or from a batch could be worked out and taken before their time, and Stripe's keys with them.
RANDOM = 4
MAX_KEY_LENGTH = 255  # characters of an idempotency key, as at Stripe
MAX_REASON_LENGTH = 5000  # characters
MAX_TICKET_LENGTH = 255  # characters

Actor = AbstractBaseUser | AnonymousUser


@in_english
def execute(
    action: str, invoice: str, *, throttled: bool = False, unless_repeated: str | None = None, **asked: Any
) -> Operation:
    """Journals the operation and performs it before returning. Arguments and refusals: see `request`.

    `unless_repeated`: what the person was shown that looks the same (`repeats.Look.seen`). Where there is something
    else by now, the operation is withdrawn before anything is sent, and Refusal says so. None: a program asks.
    """
    operation = request(action, invoice, throttled=throttled, **asked)
    if unless_repeated is not None and operation.state in (State.READY, State.AWAITING_APPROVAL):
        _withdraw_repeat(operation, unless_repeated)
    return perform(operation.pk, throttled=throttled) if operation.state == Operation.State.READY else operation


def _withdraw_repeat(operation: Operation, seen: str) -> None:
    """Two forms that are sent at once were both shown nothing. Each looks once more when its row is written, and the
    later one, at least, finds the other. Raises Refusal."""
    invoice = Invoice.objects.get(pk=operation.invoice)
    with repeats.alone(invoice):
        asked = [(invoice, operation.params)]
        is_as_seen = repeats.look(ACTIONS[operation.action], asked, except_for=operation.pk).seen == seen
    if not is_as_seen:
        withdraw(operation.pk, actor=operation.actor)  # type: ignore[arg-type]
        raise Refusal(Code.INVOICE_CHANGED, _(repeats.AT_ONCE), operation=operation)


@in_english
@told.requests
def request(
    action: str,
    invoice: str,
    *,
    actor: Actor,
    source: str,
    params: Mapping[str, Any] | None = None,
    expand: Sequence[str] = (),
    reason: str = "",
    ticket: str = "",
    expected: Mapping[str, Any] | None = None,
    operation_id: uuid.UUID | str | None = None,
    idempotency_key: str = "",
    address: str | None = None,
    request_id: str = "",
    override: bool = False,
    batch: Batch | None = None,
    token: ApiToken | None = None,
    shell_user: str = "",
    throttled: bool = False,
) -> Operation:
    """Journals an operation that is ready to be performed. Sent twice, it is the same operation.

    `expand`: what Stripe is to show whole in its answer, for the caller; part of what is asked for, as at Stripe.
    `expected` are the status and amounts (minor units) that the caller saw; where they have changed, nothing is sent.
    `operation_id` comes from a form, `idempotency_key` from an API client. `override` lifts the decline cooldown for
    those who may. `token`: with which the API was asked; `shell_user`: who ran the command, `name@host` of the
    operating system. `throttled`: its reads wait for slots of the throttle, because nobody waits for it.

    Raises Invalid or Refusal. A refusal because of the permission, a pause or the eligibility is journalled. Not
    journalled are a missing reason, a reused key, and, except in a batch, whose rows must add up, a malformed
    parameter, an invoice that does not exist, and Stripe out of reach.
    """
    entry = ACTIONS[action]
    if source != Operation.Source.API and not reason.strip():
        raise Invalid("reason", _("Please say why: the reason stands in the journal."))
    if len(idempotency_key) > MAX_KEY_LENGTH or "\x00" in idempotency_key:
        raise Invalid(
            "idempotency_key", _("An idempotency key has at most {number} characters.").format(number=MAX_KEY_LENGTH)
        )
    if operation_id and batch is None and uuid.UUID(str(operation_id)).version != RANDOM:
        raise Invalid("operation", _("This page was not made by the desk. Open it again."))
    operation = Operation(
        id=uuid.UUID(str(operation_id)) if operation_id else uuid.uuid4(),
        action=action,
        invoice=invoice,
        actor=actor,  # type: ignore[misc]
        source=source,
        params=dict(params or {}),
        expand=list(expand),
        reason=reason.strip()[:MAX_REASON_LENGTH].replace("\x00", ""),
        ticket=ticket.strip()[:MAX_TICKET_LENGTH].replace("\x00", ""),
        expected=dict(expected or {}),
        idempotency_key=idempotency_key,
        address=address,
        request_id=request_id[:255],
        batch=batch,
        token=token,
        shell_user=shell_user[:255],
        created_at=clock.now(),
    )
    try:
        operation.params = entry.clean(operation.params)
    except Invalid as invalid:
        raise (_refuse(operation, invalid) if batch else invalid) from None
    operation.fingerprint = _fingerprint(operation)
    if idempotency_key and operation_id is None:
        operation.id = _id_of_key(operation)
    if earlier := _same_request(operation):
        return earlier
    if not actor.has_perm(entry.permission):  # type: ignore[union-attr]
        raise _refuse(
            operation, Refusal(Code.PERMISSION_DENIED, _("You may not {action}.").format(action=_(entry.may)))
        )
    if refusal := eligibility.pause_refusal(action):
        raise _refuse(operation, refusal)
    operation.cooldown_override = override and eligibility.may_override(actor)
    found, payment = _check_invoice(entry, operation, throttled=throttled)
    method = _method_to_charge(entry, operation, found, throttled=throttled)
    return _create(entry, operation, found, payment, method)


def _id_of_key(operation: Operation) -> uuid.UUID:
    """The id of the operation for a user's idempotency key: always the same. A database that has lost its last minutes
    gives a repeated request the same id again, so that Stripe gets the same key and repeats its first answer."""
    return uuid.uuid5(KEY_NAMESPACE, f"{operation.actor_id} {operation.idempotency_key}")


def _fingerprint(operation: Operation) -> str:
    said = json.dumps([operation.action, operation.invoice, operation.params], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def made_by_key(actor: Actor, idempotency_key: str) -> Operation | None:
    """The operation that holds this key of this user; None where the key is free.

    It is free again where nothing was applied: we refused, or Stripe was away or too busy. The same condition as the
    constraint `operation_one_per_key`.
    """
    made = Operation.objects.filter(actor_id=actor.pk, idempotency_key=idempotency_key).exclude(state=State.REFUSED)
    return made.exclude(state=State.FAILED, code=Code.STRIPE_UNAVAILABLE).first()


def batch_id_of_key(actor: Actor, idempotency_key: str) -> uuid.UUID:
    """The id of the batch for a user's idempotency key: always the same, for the same reason as an operation's."""
    return uuid.uuid5(KEY_NAMESPACE, f"batch {actor.pk} {idempotency_key}")


def batch_of_key(actor: Actor, idempotency_key: str) -> Batch | None:
    """The batch that was made with this key of this user. One key is for one request, so no operation may have it."""
    return Batch.objects.filter(pk=batch_id_of_key(actor, idempotency_key)).first()


def key_reused(idempotency_key: str) -> Refusal:
    """Why a key, or the id in a form, cannot be used for this request: it was used for another one. Stripe's words."""
    return Refusal(
        Code.IDEMPOTENCY_KEY_REUSED,
        _(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            "Try using a key other than '{key}' if you meant to execute a different request."
        ).format(key=idempotency_key),
    )


def _same_request(operation: Operation) -> Operation | None:
    """The operation that this request made when it was sent before. Raises Refusal where its parameters differ.

    Where an operation that Stripe did not apply has the id of the key, this one gets an id of its own. Stripe's keys go
    on being made of the first id.
    """
    earlier = Operation.objects.filter(pk=operation.pk).first()
    if operation.idempotency_key:
        if earlier is not None:
            operation.id, operation.key_base = uuid.uuid4(), operation.pk
        earlier = made_by_key(operation.actor, operation.idempotency_key)  # type: ignore[arg-type]
        if earlier is None and batch_of_key(operation.actor, operation.idempotency_key):  # type: ignore[arg-type]
            raise key_reused(operation.idempotency_key)
    if earlier is None:
        return None
    # An earlier version of this program did not write what was to be expanded.
    same = earlier.fingerprint == operation.fingerprint and earlier.expand in (None, operation.expand)
    if not same or earlier.actor_id != operation.actor_id:
        raise key_reused(operation.idempotency_key or str(operation.pk))
    return earlier


def _check_invoice(
    action: Action, operation: Operation, *, throttled: bool
) -> tuple[Invoice, AttachablePayment | None]:
    """Checks the invoice in the mirror, and the payment that is to be attached at Stripe. Returns both. Raises Refusal.

    If the mirror forbids the action or lacks the invoice, or a payment may be with a bank, the invoice is read from
    Stripe and checked again.
    """
    payment = action.look_up(operation.params)
    refusal = eligibility.invoice_refusal_in_mirror(action, operation.invoice, operation.params)
    charges = action.charges(operation.params)
    if refusal is not None or (charges and _payment_may_be_under_way(operation.invoice)):
        try:
            read = bring if refusal is not None and refusal.code == Code.RESOURCE_MISSING else refetch
            read("invoice", operation.invoice, throttled=throttled)
            for intent in _open_intents(operation.invoice) if charges else ():
                refetch("payment_intent", intent, throttled=throttled)
        except gateway.GatewayError as error:
            if refusal is not None and refusal.code != Code.RESOURCE_MISSING:
                raise _refuse(operation, refusal) from error
            message = _("Stripe cannot be reached to check this invoice. Nothing was sent; try again soon.")
            raise _refuse(operation, outcomes.unavailable(message, error)) from error
        refusal = eligibility.invoice_refusal_in_mirror(action, operation.invoice, operation.params)
        if refusal is None and charges:
            ours = Operation.objects.filter(money_under_way.of_invoices([operation.invoice])).first()
            refusal = eligibility.bank_refusal(eligibility.is_with_a_bank(operation.invoice), ours)
            money_under_way.look_now([operation.invoice])  # it may have ended, and its event been lost
    invoice = None
    if refusal is None:
        invoice = Invoice.objects.get(pk=operation.invoice)
        refusal = action.payment_refusal(invoice, operation.params, payment)
        if isinstance(refusal, Invalid):
            raise refusal
    if refusal is not None and not _was_our_doing(operation, refusal):
        raise _refuse(operation, refusal)
    return invoice or Invoice.objects.get(pk=operation.invoice), payment


def _was_our_doing(operation: Operation, refusal: Refusal) -> bool:
    """Whether this very request brought the invoice into the state that forbids it, and only this database, which was
    restored to an older state, does not know. Then the gate decides, and Stripe repeats its first answer."""
    return refusal.code == Code.INVOICE_NOT_OPEN and is_told_of(operation)


def _open_intents(invoice: str) -> list[str]:
    return [str(payment.payment_intent) for payment in eligibility.open_payments(invoice)]


def _payment_may_be_under_way(invoice: str) -> bool:
    """Whether a payment was, or may still be, with a bank: then it is read before another charge."""
    return Operation.objects.filter(invoice=invoice, processing=True).exists() or eligibility.is_with_a_bank(invoice)


def _method_to_charge(
    action: Action, operation: Operation, invoice: Invoice, *, throttled: bool
) -> PaymentMethodFacts | None:
    """What Stripe would charge; None where the action charges nothing. Raises Refusal where Stripe must be asked, and
    does not answer."""
    if not action.charges(operation.params):
        return None
    if operation.cooldown_override:  # then it makes no difference
        return eligibility.method_in_mirror(invoice, operation.params)
    try:
        return eligibility.method_to_charge(invoice, operation.params, throttled=throttled)
    except gateway.GatewayError as error:
        message = _(
            "A charge of this customer was declined within the hour, and Stripe does not say which card would be "
            "charged now ({sentence}). Nothing was sent; try again soon."
        ).format(sentence=error.message)
        raise _refuse(operation, outcomes.unavailable(message, error)) from error


def _create(
    action: Action,
    operation: Operation,
    invoice: Invoice,
    payment: AttachablePayment | None,
    method: PaymentMethodFacts | None,
) -> Operation:
    """Writes the row. It takes the invoice's only place for an unfinished operation; then everything is checked once
    more, because only now is it visible what other operations did before this one got the place."""
    try:
        with transaction.atomic():
            _fill_what_is_at_stake(action, operation, invoice, payment)
            operation.payment_method = method.id if method else ""
            operation.save(force_insert=True)
            invoice.refresh_from_db()
            charges, waits = action.charges(operation.params), operation.state == State.AWAITING_APPROVAL
            known = eligibility.circumstances_of([invoice], charges=charges, except_for=operation)
            refusal = eligibility.check(
                action,
                invoice,
                operation.params,
                known,
                method=method,
                ignore_cooldown=operation.cooldown_override,
                would_wait=waits,
            )
            if refusal is not None and not _was_our_doing(operation, refusal):
                raise refusal
            told.asked(operation)
            if not waits:
                withdraw_for_charge(operation)
            else:
                transaction.on_commit(lambda: wake("announce_requests"), robust=True)
    except IntegrityError:
        if earlier := _same_request(operation):
            return earlier
        raise _refuse(operation, _refusal_of_the_place(operation)) from None
    except Refusal as refusal:
        raise _refuse(operation, refusal) from None
    return operation


def _fill_what_is_at_stake(
    action: Action, operation: Operation, invoice: Invoice, payment: AttachablePayment | None
) -> None:
    """What is judged, as far as the mirror knows it. The gate fills it anew from what Stripe has."""
    operation.before = facts(invoice)
    operation.customer, operation.currency = invoice.customer_id or "", invoice.currency or ""
    operation.approval_amount = action.approval_amount(invoice, operation.params, payment)
    if operation.approval_amount is None:
        return
    batch = operation.batch
    if batch is not None and batch.approver_id is not None:  # agreed to as a whole
        operation.approver, operation.decided_at = batch.approver, operation.created_at
    elif need := approval.need(action, invoice, operation.params, actor=operation.actor, payment=payment):
        operation.state = State.AWAITING_APPROVAL
        operation.message = approval.waits_because(need)


def _refusal_of_the_place(operation: Operation) -> Refusal:
    """Why the row could not be written: another one was faster, to act on this invoice or to ask for the same."""
    other = Operation.objects.filter(invoice=operation.invoice, state__in=Operation.UNFINISHED).first()
    waiting = approval.waiting(operation.invoice).filter(action=operation.action).first()
    if other is None and waiting is not None and operation.state == State.AWAITING_APPROVAL:
        return eligibility.duplicate_refusal(waiting) or Refusal(Code.APPROVAL_REQUIRED, _("It waits for approval."))
    # The other one may have ended since: then it is named no more, and the caller tries again.
    return eligibility.unfinished_refusal(other) or Refusal(Code.OPERATION_IN_PROGRESS, _(eligibility.UNDER_WAY))


def _refuse(operation: Operation, refusal: Refusal) -> Refusal:
    """Journals what was asked for and why not. Returns the refusal, to be raised. A wrong invoice id, and Stripe out of
    reach, are journalled only in a batch, whose rows must add up. An item of a batch that meets a pause is not: it has
    not begun, and begins when the pause has ended."""
    if operation.batch is None and refusal.code in (Code.RESOURCE_MISSING, Code.STRIPE_UNAVAILABLE):
        return refusal
    if operation.batch is not None and refusal.code == Code.ACTIONS_PAUSED:
        return refusal
    if operation.idempotency_key:
        operation.id, operation.key_base = uuid.uuid4(), None  # the key's own id is for the request that is carried out
    operation.state, operation.code, operation.message = State.REFUSED, refusal.code, refusal.message
    operation.finished_at = clock.now()
    operation.approver = operation.decided_at = None
    try:
        with transaction.atomic():
            operation.save(force_insert=True)
            desk_events.tell(operation)
    except IntegrityError:  # the same form was sent twice at once
        return refusal
    refusal.operation = refusal.operation or operation
    return refusal
