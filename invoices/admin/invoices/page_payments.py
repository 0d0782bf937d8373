"""The payments of an invoice as its page shows them, each with the attempts to charge it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import money
from invoices.admin import days
from invoices.admin.events import wording as event_wording
from invoices.admin.payments import wording as payment_wording
from invoices.models import Charge, Event, InvoicePayment, Operation, PaymentIntent
from invoices.models.reading import integer, member, text

# The events that tell of an attempt to charge a PaymentIntent.
ATTEMPT_EVENTS = (
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.succeeded",
)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Attempt:
    """One attempt to charge, and how it ended. `tone` is the colour of its mark."""

    when: datetime | None
    tone: str
    words: str
    type: str = ""  # of the event that told of it
    amount: str = ""  # what was charged, with its currency; empty where it is not known


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
    def received_on(self) -> str:
        """The day on which money outside Stripe came, as was said when it was recorded; empty if not known."""
        said = str(self.made_by.params.get("received_on") or "") if self.made_by else ""
        try:
            return days.in_words(date.fromisoformat(said))
        except ValueError:
            return ""

    @property
    def _declined(self) -> Attempt | None:
        """The newest attempt, of a payment that was declined."""
        return next((each for each in self.attempts if each.tone == "red"), None) if self.state[1] == "red" else None

    @property
    def amount(self) -> str:
        """Of a declined payment what was charged then: Stripe asks for what remains now, which may be less."""
        if self._declined is not None and self._declined.amount:
            return self._declined.amount
        amount = self.row.amount_requested if self.row.amount_paid is None else self.row.amount_paid
        return money.text(amount, self.row.currency)

    @property
    def when(self) -> datetime | None:
        """Of a declined payment when it was tried: Stripe makes the payment some time before it charges."""
        tried = self._declined.when if self._declined is not None else None
        return self.row.paid_at or self.row.canceled_at or tried or self.row.created

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
        intent = member(json.loads(event.body), "data", "object")
    except ValueError:
        intent = None
    attempt = attempt_from_error(member(intent, "last_payment_error"), event.created)
    attempt.amount = _amount(integer(intent, "amount"), text(intent, "currency", limit=8))
    return attempt


def attempt_from_charge(charge: Charge) -> Attempt:
    """A failed attempt, as its own charge tells it."""
    why, amount = payment_wording.charge_failure(charge.data), _amount(charge.amount, charge.currency)
    return Attempt(charge.created, "red", why, amount=amount)


def with_charges(told: list[Attempt], failed: list[Charge]) -> list[Attempt]:
    """What events told, newest first, with the failures as the failed charges tell them: unless events know of more."""
    failures = [each for each in told if each.tone == "red"]
    if not failed or len(failed) < len(failures):
        return told
    others = [each for each in told if each.tone != "red"]
    found = [*others, *(attempt_from_charge(charge) for charge in failed)]
    return sorted(found, key=lambda each: each.when or BEGINNING, reverse=True)


def _amount(amount: int | None, currency: str | None) -> str:
    return "" if amount is None or not currency else money.text(amount, currency)


def attempt_from_error(error: Any, when: datetime | None = None) -> Attempt:
    """A failed attempt, from the PaymentIntent's `last_payment_error`."""
    return Attempt(when, "red", payment_wording.decline_reason(error))
