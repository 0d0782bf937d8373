"""How the effect of a call is recognised at Stripe when its answer never came. Each call of an action has an Effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invoices.models import RecordedCall
from invoices.models.reading import expandable_id

StripeObject = Mapping[str, Any]
# Whether a fresh read of the invoice and of its invoice payments shows the effect of the call, whoever caused it.
Shows = Callable[[RecordedCall, StripeObject, Sequence[StripeObject]], bool]


@dataclass(frozen=True)
class RuledOutBy:
    """What somebody else may do that makes this effect impossible for ever: a final status, and the events of it."""

    status: str
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What settling must know of a call's effect. Made by the six functions below, so that none is left incomplete."""

    events: tuple[str, ...]  # the types of Stripe's events that tell of it, the most telling one first
    shows: Shows | None = None  # None: no read of the invoice shows it
    ruled_out_by: RuledOutBy | None = None
    # False where the effect is one named payment attached to the invoice: it would be an accident if another request
    # attached the same payment. The call may then be sent again although the effect is shown, because the repeated key
    # only brings Stripe's first answer.
    only_events_tell_who: bool = True
    # True where what `shows` finds proves by itself that our request took effect, even before that request has ended.
    shown_means_ours: bool = False
    # The path of Stripe's list that holds the object which the call creates. The call puts the operation's
    # `stripe_key_base` into that object's metadata, as `operation`.
    creates_in: str = ""
    # Whether that list can be asked for the objects of the invoice's customer alone.
    lists_by_customer: bool = False
    # True where the call charges a PaymentIntent that the operation itself made: `own_intents` reads what came of it.
    charges_own_intent: bool = False

    def is_shown(self, call: RecordedCall, invoice: StripeObject | None, payments: Sequence[StripeObject]) -> bool:
        """Whether this read shows the effect, whoever caused it."""
        return self.shows is not None and invoice is not None and self.shows(call, invoice, payments)


def invoice_shows(
    test: Callable[[RecordedCall, StripeObject], bool],
    *,
    events: tuple[str, ...],
    ruled_out_by: RuledOutBy | None = None,
) -> Effect:
    """The invoice itself shows it. Others can cause the same, so an event has to say whose doing it was."""
    return Effect(events=events, shows=lambda call, invoice, payments: test(call, invoice), ruled_out_by=ruled_out_by)


def status_reached(status: str, *, events: tuple[str, ...], ruled_out_by: RuledOutBy | None = None) -> Effect:
    """The invoice has this status."""
    return invoice_shows(
        lambda call, invoice: invoice.get("status") == status, events=events, ruled_out_by=ruled_out_by
    )


def only_told_by_events(*events: str) -> Effect:
    """Nothing of it can be read, such as of an e-mail that Stripe sent."""
    return Effect(events=events)


def payment_attached(*, events: tuple[str, ...], payment_is_ours: bool) -> Effect:
    """The payment that the call names is attached to the invoice.

    `payment_is_ours`: the operation itself made the payment, so nobody else can have attached it.
    """
    return Effect(events=events, shows=_is_attached, only_events_tell_who=False, shown_means_ours=payment_is_ours)


def object_created(path: str, *, lists_by_customer: bool = False) -> Effect:
    """Stripe's list at `path` holds an object with this operation's `stripe_key_base` in its metadata.

    `only_events_tell_who` stays True, although only our request makes such an object: the call is then sent again only
    while the invoice is as it was confirmed, and it makes the object for that invoice.
    """
    return Effect(events=(), creates_in=path, lists_by_customer=lists_by_customer)


def own_intent_charged() -> Effect:
    """The PaymentIntent that the call names in its path, which the operation itself made and attached,
    was charged, and its money is credited to the invoice. Nobody but the operation confirms that PaymentIntent."""
    return Effect(
        events=("payment_intent.succeeded",),
        shows=lambda call, invoice, payments: is_credited(call.path.split("/")[-2], payments),
        only_events_tell_who=False,
        shown_means_ours=True,
        charges_own_intent=True,
    )


def is_credited(intent: str, payments: Sequence[StripeObject]) -> bool:
    """Whether the money of this PaymentIntent is credited to the invoice that has these payments."""
    return any(
        payment.get("status") == "paid" and expandable_id(payment, "payment", "payment_intent") == intent
        for payment in payments
    )


def _is_attached(call: RecordedCall, invoice: StripeObject, payments: Sequence[StripeObject]) -> bool:
    wanted = {call.params.get("payment_record"), call.params.get("payment_intent")} - {None}
    names = ("payment_record", "payment_intent")
    return any(expandable_id(payment, "payment", name) in wanted for payment in payments for name in names)
