"""Promises to pay: recorded on an invoice, judged by what was paid of it since, and by the day.

While a promise stands, its invoice is in no queue of overdue ones (`models.work.promised`). It comes back when the day
has passed. A task writes down what came of each; until then every reader judges it by `state_of`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import clock, money, thresholds, written
from invoices.models import Code, Invoice, Promise
from invoices.models.work import MAX_NOTE_LENGTH
from invoices.operations import Invalid, Refusal
from invoices.operations.request import RANDOM

VIEW, ADD, CHANGE = "invoices.view_promise", "invoices.add_promise", "invoices.change_promise"
LONGEST_DAYS = 90
SETTLED_AT_ONCE = 500  # by one look of the task
State = Promise.State


def last_day() -> date:
    """The last day that can be promised today, in the current time zone."""
    return timezone.localdate(clock.now()) + timedelta(days=LONGEST_DAYS)


def record(
    invoice_id: str,
    *,
    amount: str,
    day: str,
    note: str = "",
    by: User,
    locale: str = money.PLAIN,
    promise_id: uuid.UUID | None = None,
    address: str | None = None,
    request_id: str = "",
) -> Promise:
    """Records a promise; what is sent twice with one `promise_id` is one. `amount` is typed in major units, `day` is
    `2027-03-01`, which ends in the current time zone.

    Raises Invalid beside its parameter, and Refusal: without permission, no open invoice, a promise that stands.
    """
    if not by.has_perm(ADD):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not record promises."))
    invoice = Invoice.objects.filter(pk=invoice_id).first()
    if invoice is None:
        raise Refusal(Code.RESOURCE_MISSING, _("No such invoice: '{id}'").format(id=invoice_id[:255]), param="invoice")
    id = promise_id if promise_id is not None and promise_id.version == RANDOM else uuid.uuid4()
    if known := Promise.objects.filter(pk=id).first():
        if (known.invoice, known.recorded_by_id) == (invoice.pk, by.pk):
            return known  # sent twice
        id = uuid.uuid4()
    remaining, currency = invoice.amount_remaining or 0, invoice.currency or ""
    if invoice.status != "open" or invoice.deleted_at is not None or remaining <= 0:
        raise Refusal(Code.INVOICE_NOT_OPEN, _("Nothing is to be paid of this invoice, so nothing can be promised."))
    if standing := open_promise(invoice.pk):
        _judge(standing, invoice)
        if standing := open_promise(invoice.pk):
            raise _stands(standing)
    given = {
        "amount": _amount(amount, remaining, currency, locale),
        "day": (promised_day := _day(day)),
        "note": written.clean(note, "note", most=MAX_NOTE_LENGTH),
    }
    try:
        with transaction.atomic():
            return Promise.objects.create(
                id=id,
                invoice=invoice.pk,
                currency=currency,
                paid_before=invoice.amount_paid or 0,
                ends_at=timezone.make_aware(datetime.combine(promised_day + timedelta(days=1), time())),
                recorded_by=by,
                recorded_at=clock.now(),
                address=address,
                request_id=request_id,
                **given,
            )
    except IntegrityError:  # another one was recorded at the same moment
        if (standing := open_promise(invoice.pk)) is None:
            raise
        if standing.pk == id:
            return standing
        raise _stands(standing) from None


def _stands(promise: Promise) -> Refusal:
    return Refusal(
        Code.INVOICE_CHANGED,
        _(
            "{person} has recorded a promise already: {amount} by {day}. Withdraw that one first, if this one is right."
        ).format(
            person=promise.recorded_by,
            amount=money.text(promise.amount, promise.currency),
            day=promise.day.isoformat(),
        ),
    )


def _amount(typed: str, remaining: int, currency: str, locale: str) -> int:
    if not typed.strip():
        raise Invalid("amount", _("Please say how much was promised."), "parameter_missing")
    try:
        amount = money.parse(typed, currency, locale)
    except money.BadAmount as error:
        raise Invalid("amount", str(error)) from error
    if amount <= 0:
        raise Invalid("amount", _("The amount must be more than nothing."))
    if amount > remaining:
        raise Invalid(
            "amount", _("{amount} remain to be paid: it cannot be more.").format(amount=money.text(remaining, currency))
        )
    return amount


def _day(typed: str) -> date:
    try:
        day = date.fromisoformat(typed.strip())
    except ValueError as error:
        missing = not typed.strip()
        sentence = (
            _("Please say by which day.") if missing else _("Write the day as year-month-day, such as 2027-03-01.")
        )
        raise Invalid("day", sentence) from error
    if day < timezone.localdate(clock.now()):
        raise Invalid("day", _("That day has passed. Choose today or a later day."))
    if day > last_day():
        raise Invalid(
            "day",
            _("Choose a day until {day}: {days} days are the most.").format(
                day=last_day().isoformat(), days=LONGEST_DAYS
            ),
        )
    return day


def withdraw(
    promise: Promise, *, by: User, because: str = "", address: str | None = None, request_id: str = ""
) -> Promise:
    """It was recorded by mistake, or the customer took it back. Raises Invalid, and Refusal: without permission, or
    where it has ended otherwise meanwhile."""
    if not by.has_perm(CHANGE):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not withdraw promises."))
    because = written.clean(because, "because", most=MAX_NOTE_LENGTH, called=_("The reason"))
    _end(promise, State.WITHDRAWN, because, by)
    promise.refresh_from_db()
    if promise.state != State.WITHDRAWN or promise.ended_by_id != by.pk:
        raise Refusal(
            Code.INVOICE_CHANGED, _("This promise has ended meanwhile: it was {state}.").format(state=_(promise.state))
        )
    return promise


# --- what came of it --------------------------------------------------------------------------------------------------


def open_promise(invoice: str) -> Promise | None:
    """The one that no one has ended, of this invoice."""
    return Promise.objects.filter(invoice=invoice, state=State.OPEN).select_related("recorded_by").first()


def history(invoice: str, most: int) -> list[Promise]:
    """All of an invoice, newest first."""
    found = Promise.objects.filter(invoice=invoice).select_related("recorded_by", "ended_by")
    return list(found.order_by("-recorded_at")[:most])


def state_of(promise: Promise, invoice: Any, now: datetime) -> tuple[str, str]:
    """What has become of it by now, and why: from the invoice as the mirror has it. An invoice that is missing changes
    nothing. The reason is English, because it is stored; pages show it in their language."""
    if promise.state != State.OPEN:
        return promise.state, promise.ended_because
    if invoice is not None:
        if invoice.status == "paid":
            return State.KEPT, gettext_noop("The invoice is paid.")
        if (invoice.amount_paid or 0) - promise.paid_before >= promise.amount:
            return State.KEPT, gettext_noop("The amount was paid.")
        if invoice.status in ("void", "uncollectible") or invoice.deleted_at is not None:
            return State.WITHDRAWN, WITHDRAWN["deleted" if invoice.deleted_at is not None else invoice.status]
    if promise.ends_at <= now:
        return State.BROKEN, gettext_noop("The day has passed.")
    return State.OPEN, ""


WITHDRAWN = {
    "deleted": gettext_noop("The invoice was deleted."),
    "void": gettext_noop("The invoice was voided."),
    "uncollectible": gettext_noop("The invoice was written off."),
}


def settle_due() -> int:
    """Writes down what came of those that were kept, broken or made pointless; how many."""
    ended = 0
    for promise in _to_judge():
        invoice = Invoice.objects.filter(pk=promise.invoice).first()
        ended += _judge(promise, invoice)
    return ended


def _judge(promise: Promise, invoice: Invoice | None) -> int:
    state, because = state_of(promise, invoice, clock.now() - thresholds.PROMISE_GRACE)
    return _end(promise, state, because, None) if state != State.OPEN else 0


def _to_judge() -> Iterator[Promise]:
    """Open ones whose day has passed, and those whose invoice says that they have ended."""
    standing = Promise.objects.filter(state=State.OPEN)
    passed = standing.filter(ends_at__lte=clock.now() - thresholds.PROMISE_GRACE)
    yield from passed.order_by("ends_at")[:SETTLED_AT_ONCE]
    enough = Q(amount_paid__gte=OuterRef("paid_before") + OuterRef("amount"))
    over = Q(status__in=("paid", "void", "uncollectible")) | Q(deleted_at__isnull=False) | enough
    has_ended = Exists(Invoice.objects.filter(over, pk=OuterRef("invoice")))
    yield from standing.filter(has_ended).order_by("ends_at")[:SETTLED_AT_ONCE]


def _end(promise: Promise, state: str, because: str, by: User | None) -> int:
    standing = Promise.objects.filter(pk=promise.pk, state=State.OPEN)
    return standing.update(state=state, ended_at=clock.now(), ended_because=because, ended_by=by)
