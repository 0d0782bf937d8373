"""Asks for an action: permission, legality, one at a time; then the journal row, before anything is sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import IntegrityError, transaction

from invoices import clock, gateway
from invoices.intake import wake
from invoices.live import read_now
from invoices.models import Action, Batch, Customer, Event, Invoice, InvoicePayment, Operation, PaymentIntent
from invoices.models.reading import ident
from invoices.operations import approval, brake
from invoices.operations.catalog import ACTIONS, Spec
from invoices.operations.choices import attachable
from invoices.operations.claims import facts
from invoices.operations.perform import perform
from invoices.operations.refusals import Invalid, Refusal

BETWEEN_CHARGES = timedelta(hours=1)
MAX_KEY = 255

Actor = User | AbstractBaseUser | AnonymousUser


def execute(action: str, invoice: str, **asked: Any) -> Operation:
    """Requests and performs, in this request. Arguments and refusals: see `request`. The operation, in any state."""
    operation = request(action, invoice, **asked)
    return perform(operation.pk) if operation.state == Operation.State.READY else operation


def request(
    action: str,
    invoice: str,
    *,
    actor: Actor,
    source: str,
    params: Mapping[str, Any] | None = None,
    reason: str = "",
    ticket: str = "",
    expected: Mapping[str, Any] | None = None,
    operation_id: uuid.UUID | str | None = None,
    idempotency_key: str = "",
    address: str | None = None,
    request_id: str = "",
    override: bool = False,
    batch: Batch | None = None,
) -> Operation:
    """Journals an operation that is ready to be performed. Sent twice, it is the same operation.

    `expected` are the status and amounts (minor units) that the caller saw; where they have changed, nothing is sent.
    `operation_id` comes from a form, `idempotency_key` from an API client. `override` lifts the hour between two
    charges for those who may. Raises Invalid for a wrong parameter, Refusal otherwise (journalled, unless there is no
    such invoice).
    """
    spec = ACTIONS[action]
    if source != Operation.Source.API and not reason.strip():
        raise Invalid("reason", "Please say why: the reason stands in the journal.")
    if len(idempotency_key) > MAX_KEY or "\x00" in idempotency_key:
        raise Invalid("idempotency_key", f"An idempotency key has at most {MAX_KEY} characters.")
    operation = Operation(
        id=uuid.UUID(str(operation_id)) if operation_id else uuid.uuid4(),
        action=action,
        invoice=invoice,
        actor=actor,  # type: ignore[misc]
        source=source,
        params=spec.clean(params or {}),
        reason=reason.strip()[:5000].replace("\x00", ""),
        ticket=ticket.strip()[:255].replace("\x00", ""),
        expected=dict(expected or {}),
        idempotency_key=idempotency_key,
        address=address,
        request_id=request_id[:255],
        batch=batch,
    )
    operation.fingerprint = _fingerprint(operation)
    if earlier := _the_same(operation):
        return earlier
    if not actor.has_perm(spec.permission):  # type: ignore[union-attr]
        raise _refuse(operation, Refusal("permission_denied", f"You may not {spec.label.lower()} invoices."))
    if paused := brake.refusal(action):
        raise _refuse(operation, paused)
    _check_live(spec, operation)
    return _create(spec, operation, override=override)


def _fingerprint(operation: Operation) -> str:
    said = json.dumps([operation.action, operation.invoice, operation.params], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _the_same(operation: Operation) -> Operation | None:
    """The operation that this request made when it was sent before. Raises Refusal where its parameters differ."""
    earlier = Operation.objects.filter(pk=operation.pk).first()
    if earlier is None and operation.idempotency_key:
        earlier = (
            Operation.objects.filter(actor=operation.actor, idempotency_key=operation.idempotency_key)
            .exclude(state=Operation.State.REFUSED)
            .first()
        )
    if earlier is None:
        return None
    if earlier.fingerprint != operation.fingerprint or earlier.actor_id != operation.actor_id:
        raise Refusal(
            "idempotency_key_reused",
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{operation.idempotency_key or operation.pk}' if you meant to execute a "
            "different request.",
        )
    return earlier


def _check_live(spec: Spec, operation: Operation) -> None:
    """Legal from the mirrored invoice; where that forbids, or no row exists, from a fresh read. Raises Refusal."""
    if operation.action == Action.ATTACH_PAYMENT:
        _check_attachable(operation)
    refusal = spec.judge(operation.invoice, operation.params)
    if refusal is None and not (spec.charges(operation.params) and _may_be_processing(operation.invoice)):
        return
    try:
        read_now("invoice", operation.invoice)
        for intent in _intents(operation.invoice) if spec.charges(operation.params) else ():
            read_now("payment_intent", intent)
    except gateway.GatewayError as error:
        if refusal is not None and refusal.code != "resource_missing":
            raise _refuse(operation, refusal) from error
        raise Refusal(
            "stripe_unavailable", "Stripe cannot be reached to check this invoice. Nothing was sent; try again soon."
        ) from error
    refusal = spec.judge(operation.invoice, operation.params)
    if refusal is None and spec.charges(operation.params) and _is_processing(operation.invoice):
        refusal = Refusal("operation_in_progress", "A payment of this invoice is still being processed by the bank.")
    if refusal is not None:
        raise _refuse(operation, refusal)


def _check_attachable(operation: Operation) -> None:
    """The payment is of the same customer and currency; more than remains is Stripe's to credit. Raises Invalid."""
    given = operation.params
    name = "payment_intent" if given.get("payment_intent") else "payment_record"
    if not given.get(name):
        return  # said by the catalog
    try:
        payment = attachable(given)
    except (gateway.Missing, gateway.RefusedByStripe) as error:
        raise Invalid(name, error.message) from error
    except gateway.GatewayError as error:
        raise Refusal("stripe_unavailable", "Stripe cannot be reached to look at the payment.") from error
    invoice = Invoice.objects.filter(pk=operation.invoice).first()
    if invoice is None:
        return
    if payment["currency"] and payment["currency"] != invoice.currency:
        raise Invalid(
            name,
            f"It is a payment in {payment['currency'].upper()}, and the invoice is in {str(invoice.currency).upper()}.",
        )
    if payment["customer"] and payment["customer"] != invoice.customer_id:
        raise Invalid(name, "It is a payment of another customer than the invoice's.")


def _intents(invoice: str) -> list[str]:
    open_payments = InvoicePayment.objects.filter(invoice_id=invoice, status="open", payment_intent__isnull=False)
    return [id for id in open_payments.values_list("payment_intent", flat=True) if id]


def _may_be_processing(invoice: str) -> bool:
    """Whether Stripe took an earlier payment that was still on its way: worth a look before another charge."""
    taken = Operation.objects.filter(invoice=invoice, state=Operation.State.SUCCEEDED, processing=True)
    return taken.exists() or _is_processing(invoice)


def _is_processing(invoice: str) -> bool:
    return PaymentIntent.objects.filter(id__in=_intents(invoice), status="processing").exists()


def _create(spec: Spec, operation: Operation, *, override: bool) -> Operation:
    """The row, and with it the invoice's only place for an unfinished operation; then what must be checked in it."""
    try:
        with transaction.atomic():
            invoice = Invoice.objects.get(pk=operation.invoice)
            operation.before = facts(invoice)
            operation.payment_method = (
                _payment_method(invoice, operation.params) if spec.charges(operation.params) else ""
            )
            if approval.needed(spec, invoice, operation.params):
                operation.state = Operation.State.AWAITING_APPROVAL
            operation.save(force_insert=True)
            # Only now: what another operation did while we waited for its place is visible from here on.
            refusal = (
                spec.judge(operation.invoice, operation.params)
                or _too_soon(spec, operation, override=override)
                or _asked(operation)
            )
            if refusal is not None:
                raise refusal
            if spec.charges(operation.params) and operation.state == Operation.State.READY:
                approval.withdraw_for_charge(operation)
            if operation.state == Operation.State.AWAITING_APPROVAL:
                transaction.on_commit(lambda: wake("announce_requests"), robust=True)
    except IntegrityError:
        if earlier := _the_same(operation):
            return earlier
        other = Operation.objects.filter(invoice=operation.invoice, state__in=Operation.UNFINISHED).first()
        unknown = other is not None and other.state == Operation.State.UNKNOWN
        raise _refuse(
            operation,
            Refusal(
                "operation_in_progress",
                "The outcome of an earlier operation on this invoice is not known yet; it is being checked with Stripe."
                if unknown
                else "Another operation on this invoice is under way. Look at what it came to, then try again.",
                operation=other,
            ),
        ) from None
    except Refusal as refusal:
        raise _refuse(operation, refusal) from None
    return operation


def _payment_method(invoice: Invoice, params: Mapping[str, Any]) -> str:
    """What Stripe would charge (docs: the call's, else the invoice's, else the customer's default), as we know it."""
    data = invoice.data or {}
    chosen = params.get("payment_method") or params.get("source")
    chosen = chosen or data.get("default_payment_method") or data.get("default_source")
    if not chosen:
        customer = Customer.objects.filter(pk=invoice.customer_id).first()
        chosen = customer.default_payment_method if customer else ""
    return str(chosen or "")[:255]


def _too_soon(spec: Spec, operation: Operation, *, override: bool) -> Refusal | None:
    """A charge that was declined is not tried again within the hour with the same payment method: the answer would be
    the same, and card networks count such attempts against us."""
    if not spec.charges(operation.params):
        return None
    if override and operation.actor is not None and operation.actor.has_perm("invoices.override_operation"):
        return None
    last = (
        Operation.objects.filter(
            invoice=operation.invoice,
            action=operation.action,
            state=Operation.State.FAILED,
            payment_method=operation.payment_method,
            code__in=("card_declined", "authentication_required"),
            finished_at__gt=clock.now() - BETWEEN_CHARGES,
        )
        .order_by("-finished_at")
        .first()
    )
    if last is not None and last.finished_at is not None:
        return _wait_until(last.finished_at, last.message, last)
    return _charged_by_stripe(operation)


def _charged_by_stripe(operation: Operation) -> Refusal | None:
    """Stripe's own scheduled attempts count too, where the journal and the mirror know of them."""
    since = clock.now() - BETWEEN_CHARGES
    failed = Event.objects.filter(
        object_id=operation.invoice, type="invoice.payment_failed", created__gt=since, idempotency_key=""
    )
    last = failed.order_by("-created").first()
    if last is None or last.created is None or not operation.payment_method:
        return None
    for intent in PaymentIntent.objects.filter(id__in=_intents(operation.invoice)):
        if ident(intent.data, "last_payment_error", "payment_method") == operation.payment_method:
            return _wait_until(last.created, intent.error_message or "The payment did not go through.", None)
    return None


def _wait_until(tried_at: datetime, message: str, last: Operation | None) -> Refusal:
    again = tried_at + BETWEEN_CHARGES
    return Refusal(
        "attempted_recently",
        f"This payment method was declined at {tried_at:%H:%M} UTC: {message} "
        f"It can be tried again from {again:%H:%M} UTC; another payment method can be charged now.",
        operation=last,
    )


def _asked(operation: Operation) -> Refusal | None:
    """The same request waits for a second person already: one is enough."""
    if operation.state != Operation.State.AWAITING_APPROVAL:
        return None
    other = approval.waiting(operation.invoice, operation.action).exclude(pk=operation.pk).first()
    if other is None:
        return None
    return Refusal("approval_required", "The same request already waits for approval.", operation=other)


def _refuse(operation: Operation, refusal: Refusal) -> Refusal:
    """Journals what was asked for and why not. Returns the refusal, to be raised. A wrong id is journalled only in a
    batch, whose rows must add up."""
    if refusal.code == "resource_missing" and operation.batch is None:
        return refusal
    operation.state, operation.code, operation.message = Operation.State.REFUSED, refusal.code, refusal.message
    operation.finished_at = clock.now()
    try:
        with transaction.atomic():
            operation.save(force_insert=True)
    except IntegrityError:  # the same form, sent twice at once
        return refusal
    refusal.operation = refusal.operation or operation
    return refusal
