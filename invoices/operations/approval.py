"""Four eyes: what cannot be undone, above a threshold, waits for a second person, who is never the one that asked."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.urls import reverse

from invoices import clock, gateway, money
from invoices.live import read_now
from invoices.models import Invoice, Operation
from invoices.operations.catalog import ACTIONS, Spec
from invoices.operations.perform import perform
from invoices.operations.refusals import Invalid, Refusal

log = logging.getLogger(__name__)

State = Operation.State
OPEN_FOR = timedelta(days=7)
PERMISSION = "invoices.approve_operation"


def threshold(currency: str | None) -> int:
    """Minor units above which a second person decides."""
    code = (currency or "usd").lower()
    major = settings.APPROVAL_THRESHOLDS.get(code, settings.APPROVAL_THRESHOLDS["default"])
    return int(Decimal(str(major)).scaleb(money.exponent(code)))


def needed(spec: Spec, invoice: Invoice, params: Mapping[str, Any]) -> bool:
    """Whether this waits for a second person."""
    amount = spec.at_stake(invoice, params)
    return amount is not None and amount > threshold(invoice.currency)


def waiting(invoice: str, action: str | None = None) -> Any:
    """The requests on this invoice that wait for a decision."""
    rows = Operation.objects.filter(invoice=invoice, state=State.AWAITING_APPROVAL)
    return rows.filter(action=action) if action else rows


def withdraw_for_charge(operation: Operation) -> None:
    """A charge overtakes what waits: nobody should approve a void of what is being paid."""
    waiting(operation.invoice).exclude(pk=operation.pk).update(
        state=State.CANCELLED,
        code="withdrawn",
        message=f"Withdrawn, because {operation.actor} asked for a payment of this invoice afterwards.",
        finished_at=clock.now(),
    )


# --- decisions --------------------------------------------------------------------------------------------------------


def approve(
    id: uuid.UUID | str,
    *,
    approver: User,
    expected: Mapping[str, Any] | None = None,
    reason: str = "",
    address: str | None = None,
    request_id: str = "",
) -> Operation:
    """Agrees, and performs. The invoice is read again first; `expected` is what the approver saw of it.

    Raises Refusal: not allowed, decided already, no longer possible, Stripe away (then it still waits).
    """
    operation = _waiting_for(id, approver)
    spec = ACTIONS[operation.action]
    try:
        read_now("invoice", operation.invoice)
    except gateway.GatewayError as error:
        raise Refusal(
            "stripe_unavailable", "Stripe cannot be reached to look at the invoice. Nothing was decided; try again."
        ) from error
    if refusal := spec.judge(operation.invoice, operation.params):
        _close(operation, State.FAILED, refusal.code, f"When it was to be approved: {refusal.message}")
        raise refusal
    seen = {"expected": {**operation.expected, **expected}} if expected else {}
    try:
        with transaction.atomic():
            won = Operation.objects.filter(pk=operation.pk, state=State.AWAITING_APPROVAL).update(
                state=State.READY,
                approver=approver,
                decided_at=clock.now(),
                decision_reason=reason.strip(),
                decision_address=address,
                decision_request_id=request_id,
                **seen,
            )
            if won and spec.charges(operation.params):
                withdraw_for_charge(operation)
    except IntegrityError:
        raise Refusal(
            "operation_in_progress", "Another operation on this invoice is under way; decide after it."
        ) from None
    if not won:
        raise Refusal("invoice_changed", "Somebody else has decided on this request meanwhile.")
    return perform(operation.pk)


def _waiting_for(id: uuid.UUID | str, approver: User) -> Operation:
    operation = Operation.objects.get(pk=id)
    if not approver.is_active or not approver.has_perm(PERMISSION):
        raise Refusal("permission_denied", "You may not decide on requests.")
    if operation.actor_id == approver.pk:
        raise Refusal("permission_denied", "Four eyes: somebody else must decide on your own request.")
    if operation.state != State.AWAITING_APPROVAL:
        raise Refusal("invoice_changed", f"This request no longer waits: it is {operation.get_state_display()}.")
    if operation.created_at < clock.now() - OPEN_FOR:
        expire()
        raise Refusal("expired", "This request has waited for more than seven days, and has expired.")
    return operation


def reject(
    id: uuid.UUID | str, *, approver: User, reason: str, address: str | None = None, request_id: str = ""
) -> Operation:
    """Declines the request, with a reason for the one who asked. Raises Invalid, Refusal."""
    if not reason.strip():
        raise Invalid("reason", "Please say why: the person who asked will read it.")
    operation = _waiting_for(id, approver)
    return _close(
        operation,
        State.CANCELLED,
        "rejected",
        f"Rejected by {approver}: {reason.strip()}",
        approver=approver,
        decided_at=clock.now(),
        decision_reason=reason.strip(),
        decision_address=address,
        decision_request_id=request_id,
    )


def withdraw(id: uuid.UUID | str, *, actor: User, address: str | None = None, request_id: str = "") -> Operation:
    """The one who asked takes the request back. Raises Refusal."""
    operation = Operation.objects.get(pk=id)
    if operation.actor_id != actor.pk:
        raise Refusal("permission_denied", "Only the person who asked can withdraw a request.")
    return _close(
        operation,
        State.CANCELLED,
        "withdrawn",
        f"Withdrawn by {actor}.",
        decision_address=address,
        decision_request_id=request_id,
    )


def expire() -> int:
    """Closes the requests that nobody decided on within seven days; how many."""
    old = Operation.objects.filter(state=State.AWAITING_APPROVAL, created_at__lt=clock.now() - OPEN_FOR)
    return old.update(
        state=State.EXPIRED,
        code="expired",
        message="Nobody decided within seven days.",
        finished_at=clock.now(),
    )


def _close(operation: Operation, state: str, code: str, message: str, **more: Any) -> Operation:
    won = Operation.objects.filter(pk=operation.pk, state=State.AWAITING_APPROVAL).update(
        state=state, code=code, message=message, finished_at=clock.now(), outcome_by="nobody", **more
    )
    if not won:
        raise Refusal("invoice_changed", "This request no longer waits for a decision.")
    return Operation.objects.get(pk=operation.pk)


# --- telling the approvers --------------------------------------------------------------------------------------------


def announce() -> int:
    """Mails the approvers of each request that they have not heard of; how many requests. The row is the queue: a mail
    server that is away only delays it."""
    told = 0
    for operation in Operation.objects.filter(state=State.AWAITING_APPROVAL, announced_at=None)[:100]:
        if not Operation.objects.filter(pk=operation.pk, announced_at=None).update(announced_at=clock.now()):
            continue
        try:
            send_mail(*_letter(operation), settings.DEFAULT_FROM_EMAIL, _approvers(operation))
            told += 1
        except OSError as error:  # smtplib's errors are OSErrors
            log.warning("The approvers of %s could not be told: %s. Again soon.", operation.pk, error)
            Operation.objects.filter(pk=operation.pk).update(announced_at=None)
    return told


def _approvers(operation: Operation) -> list[str]:
    people = User.objects.with_perm(PERMISSION, include_superusers=True).exclude(pk=operation.actor_id or 0)
    return sorted({email for email in people.values_list("email", flat=True) if email})


def _letter(operation: Operation) -> tuple[str, str]:
    before = operation.before
    amount = operation.params.get("amount", before.get("amount_remaining"))
    what = f"{operation.get_action_display()} {before.get('number') or operation.invoice}"
    link = settings.PUBLIC_URL + reverse("admin:invoices_operation_change", args=[operation.pk])
    return (
        f"Approval needed: {what} ({money.text(amount, before.get('currency'))})",
        f"{operation.actor} asks for: {what}, {money.text(amount, before.get('currency'))}.\n"
        f"Reason: {operation.reason}\n"
        + (f"Ticket: {operation.ticket}\n" if operation.ticket else "")
        + f"\nLook at it and decide: {link}\nIt expires after seven days.\n",
    )
