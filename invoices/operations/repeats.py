"""Whether what a form asks for looks like what was done a short while ago: the same money once more.

One form is one operation, however often it is sent. A second form is another operation, and nothing but a person knows
whether EUR 100.00 that are recorded twice came twice. So the forms ask her where this module finds something; a program
says the same with its idempotency key, and is not asked. What looks the same, and for how long, each action says
(`Action.is_repeat`, `Action.repeated_within`).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from invoices import clock
from invoices.models import Batch, Invoice, InvoicePayment, Operation
from invoices.operations.action import Action, Params

State = Operation.State
AT_ONCE = gettext_noop(
    "In this very moment somebody asked for what looks the same. Nothing was sent. Look at that first, and send this "
    "form again if it is about something else."
)
LOCK = 720_300_416  # of PostgreSQL's advisory locks of two numbers: the other one is of the customer
# In these nothing was applied, and nothing will be.
_WITHOUT_EFFECT = (State.REFUSED, State.FAILED, State.CANCELLED, State.EXPIRED)
MOST_OPERATIONS = 500  # of a customer, the newest, that are looked at
MOST_BATCHES = 50  # that are not done, of all customers
MOST_INVOICES = 1000  # of a customer, of which a batch may be about to record something
MOST_PAYMENTS = 100  # of the invoices, recorded by somebody else at Stripe
MOST_SHOWN = 5


@dataclass(frozen=True)
class Earlier:
    """Something that was done, or was asked for: an operation, several of one batch that were one payment, or a payment
    that somebody recorded at Stripe."""

    key: str  # tells it apart from others
    at: datetime
    params: Params  # of the whole; `amount` is in minor units
    currency: str
    parts: tuple[tuple[str, int | None], ...]  # each invoice's id with its amount
    actor: AbstractBaseUser | None = None  # None: somebody at Stripe
    operation: Operation | None = None  # the newest of its operations
    batch: uuid.UUID | None = None
    is_done: bool = True  # False: it waits, or is under way


@dataclass
class Look:
    """What a form found that looks the same, and whether its sender said that it is not."""

    found: list[Earlier] = field(default_factory=list)

    @property
    def seen(self) -> str:
        """Says what was found; the form sends it back, so that a tick holds only for what was shown. Empty: nothing."""
        if not self.found:
            return ""
        return hashlib.sha256(" ".join(sorted(each.key for each in self.found)).encode()).hexdigest()[:32]

    def said(self, reason: str) -> str:
        """The reason for the journal, with what the person was shown and said to be something else."""
        if not self.found:
            return reason
        return f"{reason} (Said not to be the same again as {', '.join(each.key for each in self.found)}.)"


@contextmanager
def alone(invoice: Invoice) -> Iterator[None]:
    """Of those who look for repeats before they write, or after they have written, one at a time for each customer,
    in a transaction. Two forms that are sent at once do not see each other without it."""
    with transaction.atomic():
        if connection.vendor == "postgresql":  # SQLite has one writer
            with connection.cursor() as cursor:
                key = invoice.customer_id or invoice.pk
                cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, key])
        yield


def look(
    action: Action,
    asked: Sequence[tuple[Invoice, Params]],
    *,
    except_for: uuid.UUID | None = None,
) -> Look:
    """What looks like this, newest first: the invoices of one customer, each with the parameters of its operation.

    `except_for` is the id that the form's own operation or batch has: sent twice, a form is no repeat of itself.
    """
    if not action.repeated_within or not asked:
        return Look()
    now, whole = clock.now(), _whole(asked)
    found = []
    for each in _earlier(action, asked, now - action.repeated_within, except_for):
        ago = now - each.at
        invoices = {invoice for invoice, _amount in each.parts}
        on_these = bool(invoices & {invoice.pk for invoice, _params in asked})
        is_same = each.currency == asked[0][0].currency and (
            action.is_repeat(asked[0][0], whole, each.params, on_same_invoice=on_these, ago=ago)
            or any(
                action.is_repeat(invoice, params, {**each.params, "amount": amount}, on_same_invoice=True, ago=ago)
                for invoice, params in asked
                for part, amount in each.parts
                if part == invoice.pk
            )
        )
        if is_same:
            found.append(each)
    return Look(sorted(found, key=lambda each: each.at, reverse=True)[:MOST_SHOWN])


def _whole(asked: Sequence[tuple[Invoice, Params]]) -> Params:
    """One payment over several invoices as one, with the sum."""
    amounts = [params.get("amount") for _invoice, params in asked]
    if len(asked) == 1:
        return asked[0][1]
    return {**asked[0][1], "amount": sum(amount or 0 for amount in amounts)}


def _earlier(
    action: Action, asked: Sequence[tuple[Invoice, Params]], since: datetime, except_for: uuid.UUID | None
) -> Iterator[Earlier]:
    """What was done and asked for on these invoices, and on others of their customer."""
    invoices = [invoice.pk for invoice, _params in asked]
    customer = asked[0][0].customer_id or ""
    made = Operation.objects.filter(action=action.name, created_at__gt=since).exclude(state__in=_WITHOUT_EFFECT)
    made = made.select_related("actor").defer("message", "advice", "error").order_by("-created_at", "-pk")
    rows: dict[uuid.UUID, Operation] = {}
    if customer:
        rows = {each.pk: each for each in made.filter(customer=customer).defer("calls")[:MOST_OPERATIONS]}
    on_these = {each.pk: each for each in made.filter(invoice__in=invoices)[:MOST_OPERATIONS]}
    rows |= on_these
    waiting = [each for each in _not_begun(action, customer, invoices, set(rows), except_for) if each.at > since]
    others = [each for each in rows.values() if except_for is None or except_for not in (each.pk, each.batch_id)]
    yield from _joined([*map(_of_operation, others), *waiting])
    yield from _at_stripe(action, invoices, since, on_these.values())


def _of_operation(operation: Operation) -> Earlier:
    return Earlier(
        str(operation.pk),
        operation.created_at,
        operation.params,
        operation.currency,
        ((operation.invoice, operation.params.get("amount")),),
        operation.actor,
        operation,
        operation.batch_id,
        operation.state == State.SUCCEEDED,
    )


def _not_begun(
    action: Action, customer: str, invoices: list[str], begun: set[uuid.UUID], except_for: uuid.UUID | None
) -> Iterator[Earlier]:
    """What batches are about to do, or wait for a second person to do: it has no operations yet."""
    unfinished = Batch.objects.filter(finished_at=None, cancelled_at=None, action=action.name)
    others = list(unfinished.select_related("actor").order_by("-created_at")[:MOST_BATCHES])
    ours = set(invoices)
    if others and customer:
        owed = Invoice.objects.filter(customer_id=customer, status__in=action.statuses)
        ours |= set(owed.order_by("-created").values_list("pk", flat=True)[:MOST_INVOICES])
    for batch in others:
        if batch.pk == except_for:
            continue
        for item in batch.items:
            if item.invoice in ours and (id := item.operation_id(batch.pk)) not in begun:
                params = {**batch.params, **(item.params or action.bulk_params(item.amount_remaining))}
                part = ((item.invoice, params.get("amount")),)
                yield Earlier(
                    str(id), batch.created_at, params, item.currency, part, batch.actor, batch=batch.pk, is_done=False
                )


def _joined(parts: Iterable[Earlier]) -> list[Earlier]:
    """Those of one batch that were one payment (of one day, with one reference) as one, with their sum."""
    found: dict[Any, Earlier] = {}
    for part in parts:
        said = {name: value for name, value in part.params.items() if name != "amount"}
        of = (part.batch, str(sorted(said.items()))) if part.batch else part.key
        if (one := found.get(of)) is None:
            found[of] = part
            continue
        amount = (one.params.get("amount") or 0) + (part.params.get("amount") or 0)
        found[of] = replace(
            one,
            params={**one.params, "amount": amount},
            parts=(*one.parts, *part.parts),
            operation=one.operation or part.operation,
            is_done=one.is_done and part.is_done,
        )
    return list(found.values())


def _at_stripe(action: Action, invoices: list[str], since: datetime, ours: Iterable[Operation]) -> Iterator[Earlier]:
    """Payments of the same kind that came to these invoices without us, such as through Stripe's dashboard."""
    made_by_us = {call.result.id for operation in ours for call in operation.calls if call.result}
    paid = InvoicePayment.objects.filter(
        invoice__in=invoices, payment_type=action.payment_type, is_default=False, status="paid", paid_at__gt=since
    )
    for payment in paid.defer("data").order_by("-paid_at")[:MOST_PAYMENTS]:
        is_ours = (payment.payment_record or payment.payment_intent) in made_by_us
        if not is_ours and payment.paid_at:
            params = {"amount": payment.amount_paid}
            parts = ((str(payment.invoice_id), payment.amount_paid),)
            yield Earlier(payment.pk, payment.paid_at, params, payment.currency or "", parts)
