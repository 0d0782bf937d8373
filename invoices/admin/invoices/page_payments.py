"""The payments of an invoice as its page shows them, each with the attempts to charge it."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.admin.events import wording as event_wording
from invoices.admin.payments import wording as payment_wording
from invoices.models import Event, InvoicePayment, Operation, PaymentIntent
from invoices.models.reading import member

# The events that tell of an attempt to charge a PaymentIntent.
ATTEMPT_EVENTS = (
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.succeeded",
)


@dataclass
class Attempt:
    """One attempt to charge, and how it ended. `tone` is the colour of its mark."""

    when: datetime | None
    tone: str
    words: str
    type: str = ""  # of the event that told of it


@dataclass
class Payment:
    """One payment of the invoice in words, with the attempts to charge it. `made_by` is our operation that recorded it,
    if one did."""

    row: InvoicePayment
    intent: PaymentIntent | None
    made_by: Operation | None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def state(self) -> tuple[str, str]:
        """Text and colour of the badge."""
        if self.row.status == "open" and self.processing:
            return "processing", "violet"
        if self.row.status == "open" and self.attached:
            return gettext_noop("attached, not credited yet"), "violet"
        if self.row.status != "open" or self.intent is None:
            return self.row.status or "unreadable", ""
        if self.intent.status == "requires_payment_method":
            was_declined = self.intent.error_message or any(attempt.tone == "red" for attempt in self.attempts)
            return (gettext_noop("declined"), "red") if was_declined else (gettext_noop("not tried"), "grey")
        return payment_wording.PAYMENT_INTENT_STATUS.get(
            self.intent.status or "", self.intent.status or "open"
        ), "violet"

    @property
    def processing(self) -> bool:
        """Whether a bank is still processing it. A bank debit takes days."""
        return self.row.status == "open" and self.intent is not None and self.intent.status == "processing"

    @property
    def attached(self) -> bool:
        """Whether somebody attached it. Stripe itself makes one payment for every invoice, the default one."""
        return self.row.is_default is False

    @property
    def paid_through(self) -> str:
        """How the money came: through Stripe, or outside Stripe with method, reference and note."""
        if self.row.payment_type == "payment_record":
            if self.made_by is None:
                return _("Outside Stripe")
            params = self.made_by.params
            details = [params.get("method"), params.get("reference"), params.get("note")]
            return _("Outside Stripe: {details}").format(details=", ".join(part for part in details if part))
        return _("Charged through Stripe") if self.row.status == "paid" else _("Through Stripe")

    @property
    def amount(self) -> str:
        amount = self.row.amount_requested if self.row.amount_paid is None else self.row.amount_paid
        return money.text(amount, self.row.currency)

    @property
    def when(self) -> datetime | None:
        return self.row.paid_at or self.row.canceled_at or self.row.created

    @property
    def ids(self) -> list[str]:
        """Stripe's ids of what is behind it: PaymentIntent, charge, payment record, the latest charge."""
        found = (self.row.payment_intent, self.row.charge, self.row.payment_record)
        latest = self.intent.latest_charge if self.intent else None
        return [part for part in (*found, latest if latest != self.row.charge else None) if part]


def attempt_from_event(event: Event) -> Attempt:
    """The attempt that one of `ATTEMPT_EVENTS` tells of. A failure has its reason in the event's body."""
    if event.type != "payment_intent.payment_failed":
        tone = "green" if event.type.endswith("succeeded") else "violet"
        return Attempt(event.created, tone, event_wording.title(event.type), event.type)
    try:
        error = member(json.loads(event.body), "data", "object", "last_payment_error")
    except ValueError:
        error = None
    return attempt_from_error(error, event.created)


def attempt_from_error(error: Any, when: datetime | None = None) -> Attempt:
    """A failed attempt, from the PaymentIntent's `last_payment_error`."""
    return Attempt(when, "red", payment_wording.decline_reason(error))
