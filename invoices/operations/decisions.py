"""What becomes of a request that waits for a second person: approved, rejected, withdrawn, expired; and the e-mails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _

from invoices import clock, emails, gateway, money
from invoices.models import ApiToken, Batch, Code, Email, Invoice, Operation, OutcomeBy
from invoices.operations import approval, contradictions, eligibility, outcomes, requesters, told
from invoices.operations.actions import ACTIONS, label_of
from invoices.operations.perform import perform
from invoices.operations.refusals import Invalid, Refusal, in_english
from invoices.refetch import refetch
from invoices.thresholds import REQUEST_EXPIRES

log = logging.getLogger(__name__)

State = Operation.State
MAX_EMAILS_AT_ONCE = 100
NOTHING_SENT = (State.AWAITING_APPROVAL, State.READY)


def withdrawn_for_charge(operation: Operation) -> QuerySet[Operation]:
    """What the operation withdraws when it is sent: a charge, all else that waits on its invoice."""
    others = approval.waiting(operation.invoice).exclude(pk=operation.pk)
    return others if ACTIONS[operation.action].charges(operation.params) else others.none()


def withdraw_for_charge(operation: Operation) -> None:
    """Withdraws what waits on this invoice: nobody should approve the voiding of an invoice that is being paid."""
    end_unsent(
        withdrawn_for_charge(operation),
        state=State.CANCELLED,
        code=Code.WITHDRAWN,
        message=_("Withdrawn, because {person} asked for a payment of this invoice.").format(person=operation.actor),
    )


def end_unsent(operations: QuerySet[Operation], **outcome: Any) -> int:
    """Ends those of which no sending is on record; how many.

    In a database that was restored to an older state they may have been sent all the same, and Stripe's events may have
    told so before they ended: what those contradict is recorded.
    """
    with transaction.atomic():
        unsent = operations.filter(state__in=NOTHING_SENT).select_for_update(no_key=True).order_by("pk")
        ids = list(unsent.values_list("pk", flat=True))
        ended = Operation.objects.filter(pk__in=ids, state__in=NOTHING_SENT)
        number = ended.update(outcome_by=OutcomeBy.NOBODY, settle_at=None, finished_at=clock.now(), **outcome)
        for operation in Operation.objects.filter(pk__in=ids):
            contradictions.look_back(operation)
            told.ended_or_waits(operation)
    return number


# --- decisions --------------------------------------------------------------------------------------------------------


@in_english
@told.decision("approve")
def approve(
    id: uuid.UUID | str,
    *,
    approver: User,
    expected: Mapping[str, Any] | None = None,
    amount: int | None = None,
    reason: str = "",
    address: str | None = None,
    request_id: str = "",
    token: ApiToken | None = None,
) -> Operation:
    """Agrees to the amount as Stripe has it now, and performs. `expected` is what the approver saw of the invoice,
    `amount` (minor units) what the page named. Where it is more by now, the gate asks for a new word. `token`: with
    which the API was told.

    Raises Refusal: not allowed, decided already, no longer possible, Stripe away (then it still waits).
    """
    operation = _waiting_for(id, approver, token, State.AWAITING_APPROVAL)
    action = ACTIONS[operation.action]
    payment = action.look_up(operation.params)
    try:
        refetch("invoice", operation.invoice)
    except gateway.GatewayError as error:
        message = _("Stripe cannot be reached to look at the invoice. Nothing was decided; try again.")
        raise outcomes.unavailable(message, error) from error
    if refusal := eligibility.invoice_refusal_in_mirror(action, operation.invoice, operation.params):
        _close(
            operation,
            State.FAILED,
            refusal.code,
            _("When it was to be approved: {sentence}").format(sentence=refusal.message),
        )
        raise refusal
    agreed = action.approval_amount(Invoice.objects.get(pk=operation.invoice), operation.params, payment)
    if amount is None and payment is not None:  # `expected` says nothing of a payment that is to be attached
        amount = operation.approval_amount
    if agreed is not None and amount is not None:
        agreed = min(agreed, amount)
    seen = {"expected": {**operation.expected, **expected}} if expected else {}
    try:
        with transaction.atomic():
            won = Operation.objects.filter(pk=operation.pk, state=State.AWAITING_APPROVAL).update(
                state=State.READY,
                message="",
                approval_amount=agreed,
                approver=approver,
                decided_at=clock.now(),
                decision_reason=reason.strip(),
                decision_address=address,
                decision_request_id=request_id,
                decision_token=token,
                **seen,
            )
            if won:
                withdraw_for_charge(operation)
    except IntegrityError:
        message = _("Another operation on this invoice is under way; decide after it.")
        raise Refusal(Code.OPERATION_IN_PROGRESS, message) from None
    if not won:
        raise Refusal(Code.INVOICE_CHANGED, _("Somebody else has decided on this request meanwhile."))
    return perform(operation.pk)


def _waiting_for(id: uuid.UUID | str, approver: User, token: ApiToken | None, *states: str) -> Operation:
    """The operation on which this person may decide, in one of these states. Raises Refusal."""
    operation = Operation.objects.get(pk=id)
    if refusal := requesters.decision_refusal(operation, approver, token):
        raise refusal
    if operation.state not in states:
        message = _("This request no longer waits: it is {word}.").format(word=operation.get_state_display())
        raise Refusal(Code.INVOICE_CHANGED, message)
    if _asked_too_long_ago().filter(pk=operation.pk).exists():
        expire()
        message = _("This request has waited for more than {days} days, and has expired.")
        raise Refusal(Code.EXPIRED, message.format(days=REQUEST_EXPIRES.days))
    return operation


@in_english
@told.decision("reject")
def reject(
    id: uuid.UUID | str,
    *,
    approver: User,
    reason: str,
    address: str | None = None,
    request_id: str = "",
    token: ApiToken | None = None,
) -> Operation:
    """Declines the request, with a reason for the one who asked; also one that was approved, as long as nothing was
    sent, for example because the action is paused. Raises Invalid, Refusal."""
    if not reason.strip():
        raise Invalid("reason", _("Please say why: the person who asked will read it."))
    operation = _waiting_for(id, approver, token, State.AWAITING_APPROVAL, State.READY)
    return _close(
        operation,
        State.CANCELLED,
        Code.REJECTED,
        _("Rejected by {person}: {reason}").format(person=approver, reason=reason.strip()),
        approver=approver,
        decided_at=clock.now(),
        decision_reason=reason.strip(),
        decision_address=address,
        decision_request_id=request_id,
        decision_token=token,
    )


@in_english
@told.decision("withdraw")
def withdraw(
    id: uuid.UUID | str,
    *,
    actor: User,
    address: str | None = None,
    request_id: str = "",
    token: ApiToken | None = None,
) -> Operation:
    """The one who asked takes the request back, as long as nothing was sent. Raises Refusal."""
    operation = Operation.objects.get(pk=id)
    if operation.actor_id != actor.pk:
        raise Refusal(Code.PERMISSION_DENIED, _("Only the person who asked can withdraw a request."))
    return _close(
        operation,
        State.CANCELLED,
        Code.WITHDRAWN,
        _("Withdrawn by {person}.").format(person=actor),
        decision_address=address,
        decision_request_id=request_id,
        decision_token=token,
    )


def expire() -> int:
    """Closes the requests that nobody decided on within seven days; how many."""
    message = _("Nobody decided within {days} days.").format(days=REQUEST_EXPIRES.days)
    return end_unsent(_asked_too_long_ago(), state=State.EXPIRED, code=Code.EXPIRED, message=message)


def _asked_too_long_ago() -> QuerySet[Operation]:
    """One that the gate sent back to waiting was asked for anew, at its `settle_at`; others wait without one."""
    asked_at = Coalesce("settle_at", "created_at")
    waiting = Operation.objects.filter(state=State.AWAITING_APPROVAL).alias(asked_at=asked_at)
    return waiting.filter(asked_at__lt=clock.now() - REQUEST_EXPIRES)


def _close(operation: Operation, state: str, code: str, message: str, **decision: Any) -> Operation:
    """Ends it if nothing was sent. A performer that has just claimed it has made it `running`, and then it is too late;
    one that claims it afterwards finds it closed. Where a second person has agreed before, her decision stays as it is:
    the message says who ended it, and why."""
    if operation.decided_at is not None:
        decision = {}
    as_read = Operation.objects.filter(pk=operation.pk, decided_at=operation.decided_at)
    if not end_unsent(as_read, state=state, code=code, message=message, **decision):
        raise Refusal(Code.INVOICE_CHANGED, _("It is too late for that: this request was decided, or is being sent."))
    return Operation.objects.get(pk=operation.pk)


# --- telling the approvers --------------------------------------------------------------------------------------------


def announce() -> int:
    """Writes the e-mails to the approvers of each request and batch that they have not heard of; of how many."""
    waiting = Operation.objects.filter(state=State.AWAITING_APPROVAL, announced_at=None)
    batches = Batch.objects.filter(awaiting_approval=True, finished_at=None, announced_at=None)
    told = sum(_announce(each, waiting, Email.Kind.APPROVAL, _email) for each in waiting[:MAX_EMAILS_AT_ONCE])
    return told + sum(
        _announce(each, batches, Email.Kind.BATCH_APPROVAL, _email_of_batch) for each in batches[:MAX_EMAILS_AT_ONCE]
    )


def _announce(record: Any, waiting: QuerySet[Any], kind: str, text: Callable[[Any], tuple[str, str]]) -> bool:
    """In one transaction: that they were told, and what they are told. One that cannot be put into words waits, and
    keeps no other back."""
    try:
        with transaction.atomic():
            if not waiting.filter(pk=record.pk).update(announced_at=clock.now()):
                return False
            emails.write(kind, record.pk, *text(record), _approvers(record))
            return True
    except Exception:
        log.exception("The e-mail about %s could not be written.", record.pk)
        return False


def _approvers(record: Operation | Batch) -> list[str]:
    people = User.objects.with_perm(requesters.PERMISSION, include_superusers=True).exclude(email="")
    return sorted({person.email for person in people if not requesters.decision_refusal(record, person)})


def _email(operation: Operation) -> tuple[str, str]:
    number = operation.before.get("number") or operation.invoice
    amount = money.text(operation.approval_amount, operation.currency or operation.before.get("currency"))
    return _text_of_email(operation, f"{label_of(operation.action)} {number}", amount, "operation")


def _email_of_batch(batch: Batch) -> tuple[str, str]:
    what = f"{label_of(batch.action)} {len(batch.items):,} invoices"
    amounts = ", ".join(money.text(amount, currency) for currency, amount in batch.sums.items())
    return _text_of_email(batch, what, amounts, "batch")


def _text_of_email(record: Operation | Batch, what: str, amount: str, page: str) -> tuple[str, str]:
    link = settings.PUBLIC_URL + reverse(f"admin:invoices_{page}_change", args=[record.pk])
    return (
        f"Approval needed: {what} ({amount})",
        f"{record.actor} asks for: {what}, {amount}.\n"
        f"Reason: {record.reason}\n"
        + (f"Ticket: {record.ticket}\n" if record.ticket else "")
        + f"\nLook at it and decide: {link}\nIt expires after {REQUEST_EXPIRES.days} days.\n",
    )
