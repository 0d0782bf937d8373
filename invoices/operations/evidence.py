"""What a read begun now and Stripe's events say of a call whose answer never came.

Objects and events are read leniently: a member of an unexpected shape is absent, and an event that cannot be read is no
evidence. Settling must never fail on what somebody else wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from invoices import clock, gateway
from invoices.models import CallResult, Event, Operation, RecordedCall
from invoices.models.reading import expandable_id, integer, member, text
from invoices.operations.action import Action
from invoices.operations.actions import ACTIONS
from invoices.operations.effects import Effect
from invoices.snapshot import Snapshot
from invoices.thresholds import EFFECT_MARGIN, EVENTS_LISTED_AFTER, RESEND_WINDOW, RESTORED_AFTER, STAMP_LAG

# As Stripe sends it, but every member that is read here is there, and of its type: `readable_event` sees to that.
StripeEvent = dict[str, Any]

MAX_OBJECTS_SEARCHED = 5000  # looked through for the one that a call created, newest first: fifty requests
# Events of a charge that did not go through; the one that brings the reason stands first.
CHARGE_FAILED = (
    "payment_intent.payment_failed",
    "invoice.payment_failed",
    "payment_intent.requires_action",
    "invoice.payment_action_required",
)
CHARGE_PROCESSING = "payment_intent.processing"  # a bank has the payment in its hands
INVOICE_DELETED = "invoice.deleted"


@dataclass
class Evidence:
    """Everything that settling decides from. `our` events carry the call's idempotency key, the others do not."""

    snapshots: list[Snapshot]  # the invoice, then its payments, as a read begun now shows them
    invoice: dict[str, Any] | None  # None: deleted at Stripe
    shown: bool  # the read shows the effect, whoever caused it
    as_confirmed: bool  # status and remaining amount are still those from which the call was sent
    our_effect: StripeEvent | None
    our_processing: StripeEvent | None  # our charge is with a bank
    our_failure: StripeEvent | None  # our charge did not go through
    others_effect: StripeEvent | None  # somebody else did the same
    others_ruling_out: StripeEvent | None  # somebody else did what makes our effect impossible
    others_failure: StripeEvent | None  # somebody else's charge did not go through, since our call was sent
    created: dict[str, Any] | None  # the object that our call created
    surely_not_created: bool  # Stripe listed everything since the sending, and no object of ours is among it
    events_cut: bool  # Stripe has more events than were read: that one of ours was not found proves nothing

    @cached_property
    def intents(self) -> list[dict[str, Any]]:
        """The PaymentIntents of the invoice, each with its latest charge. Raises GatewayError."""
        ids = [expandable_id(snapshot.data, "payment", "payment_intent") for snapshot in self.snapshots[1:]]
        return [gateway.read(f"/v1/payment_intents/{id}", expand=["latest_charge"]).data for id in ids if id]


def effect_of(action: Action, call: RecordedCall) -> Effect:
    """How this call's effect is recognised."""
    return next(each.effect for each in action.calls if each.name == call.name)


def own_intent(calls: Iterable[RecordedCall]) -> str:
    """The id of the PaymentIntent that these calls of an operation have made; empty where they have made none."""
    results = (call.result for call in calls)
    return next((result.id for result in results if result and result.object == "payment_intent"), "")


def gather(operation: Operation, action: Action, call: RecordedCall) -> Evidence:
    """Reads the invoice, then who changed it. Raises GatewayError."""
    effect = effect_of(action, call)
    snapshots = gateway.retrieve("invoice", operation.invoice)
    invoice = None if snapshots[0].deleted else snapshots[0].data
    events, events_cut = _events(operation, action, call, effect)
    ours = [event for event in events if _key(event) == call.key]
    others = [event for event in events if _key(event) != call.key and _is_about(event, operation.invoice)]
    since_sending = [event for event in others if event["created"] >= call.not_before]
    created, surely_not_created = _look_for_created(operation, call, effect)
    return Evidence(
        snapshots=snapshots,
        invoice=invoice,
        shown=effect.is_shown(call, invoice, [snapshot.data or {} for snapshot in snapshots[1:]]),
        as_confirmed=_is_as_confirmed(operation, invoice),
        our_effect=_first(ours, effect.events),
        our_processing=_first(ours, (CHARGE_PROCESSING,)),
        our_failure=_first(ours, CHARGE_FAILED),
        # `invoice.updated` does not say what was changed, so it is no proof of somebody else's action.
        others_effect=_first(others, (type for type in effect.events if type != "invoice.updated")),
        others_ruling_out=_first(others, _ruling_out(effect, invoice)),
        others_failure=_first(since_sending, CHARGE_FAILED),
        created=created,
        surely_not_created=surely_not_created,
        events_cut=events_cut,
    )


def readable_event(found: Any) -> StripeEvent | None:
    """An event with every member that settling reads, each of its type; None where its id or type cannot be read.

    Old API versions give the id of the request as `request`, and no idempotency key. Where `created` cannot be read it
    is 0: then nobody takes the event for one that came after the sending.
    """
    id, type = text(found, "id"), text(found, "type")
    if not id or not type:
        return None
    about = member(found, "data", "object")
    request = {"id": expandable_id(found, "request"), "idempotency_key": text(found, "request", "idempotency_key")}
    data = {"object": about if isinstance(about, dict) else {}}
    return {"id": id, "type": type, "created": integer(found, "created") or 0, "data": data, "request": request}


def _key(event: StripeEvent) -> str | None:
    key: str | None = event["request"]["idempotency_key"]
    return key


def _is_about(event: StripeEvent, invoice: str) -> bool:
    about = event["data"]["object"]
    return bool(about.get("object") == "invoice" and about.get("id") == invoice)


def _first(events: list[StripeEvent], types: Iterable[str]) -> StripeEvent | None:
    """The first event of these types; an earlier type goes before a later one."""
    return next((event for type in types for event in events if event["type"] == type), None)


def _ruling_out(effect: Effect, invoice: dict[str, Any] | None) -> tuple[str, ...]:
    """The events that would say who made the effect impossible, where the invoice shows that it is."""
    if invoice is None:
        return (INVOICE_DELETED,)
    if effect.ruled_out_by is not None and invoice.get("status") == effect.ruled_out_by.status:
        return effect.ruled_out_by.events
    return ()


def _is_as_confirmed(operation: Operation, invoice: dict[str, Any] | None) -> bool:
    before = operation.before or {}
    return invoice is not None and all(invoice.get(name) == before.get(name) for name in ("status", "amount_remaining"))


def _events(operation: Operation, action: Action, call: RecordedCall, effect: Effect) -> tuple[list[StripeEvent], bool]:
    """What happened to the invoice since before the sending, by Stripe's clock; and whether there may be more of it.

    From the journal, and from Stripe's own list too unless the journal has an event of ours, because a webhook may be
    late. Raises GatewayError.
    """
    since = datetime.fromtimestamp(call.not_before, UTC) - STAMP_LAG
    held = Event.objects.filter(object_id=operation.invoice, created__gte=since) | Event.objects.filter(
        idempotency_key=call.key
    )
    events = _readable(_parsed(event.body) for event in held)
    telling = {*effect.events}
    if action.charges(operation.params):
        telling |= {*CHARGE_FAILED, CHARGE_PROCESSING}
    if any(event["type"] in telling and _key(event) == call.key for event in events):
        return events, False
    ruling_out = effect.ruled_out_by.events if effect.ruled_out_by else ()
    types = sorted({*telling, *ruling_out, INVOICE_DELETED})
    listed = gateway.events(types, since)
    events += _readable(listed.objects)
    if listed.cut:  # by the newest ones: then the few minutes around the sending are read by themselves
        listed = gateway.events(types, since, _last_moment_of_effect(call))
        events += _readable(listed.objects)
    return events, listed.cut


def _readable(found: Iterable[Any]) -> list[StripeEvent]:
    return [event for each in found if (event := readable_event(each)) is not None]


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _last_moment_of_effect(call: RecordedCall) -> datetime:
    """Stripe's clock: by when a request that has ended took effect, if it did. The database's times are only subtracted
    from each other, because the two clocks may differ."""
    last = call.answered_at or clock.now()
    waited = last - call.first_sent_at if call.first_sent_at is not None else RESEND_WINDOW
    return datetime.fromtimestamp(call.not_before, UTC) + waited + EFFECT_MARGIN


def find_created(operation: Operation, call: RecordedCall) -> CallResult | None:
    """The object that this call created in an earlier life of the operation; None where there is none.

    For a call that this database has not sent yet, of a request that is older than RESTORED_AFTER: if the
    database is an older copy, the call may have been sent after the copy was made, and Stripe forgets idempotency keys
    after a day. Where the account cannot list such objects, the key alone has to protect: None. Raises GatewayError,
    also where Stripe lists too many to tell.
    """
    effect = effect_of(ACTIONS[operation.action], call)
    age = clock.now() - operation.created_at
    if not effect.creates_in or age < RESTORED_AFTER:
        return None
    try:
        found, surely_not = _search_created(operation, effect, call.not_before - int(age.total_seconds()))
    except (gateway.RefusedByStripe, gateway.NotAllowed, gateway.Missing):
        return None
    if found is None and not surely_not:
        raise gateway.OutcomeUnknown(_("Stripe lists too many payments to tell whether this one was reported before."))
    return CallResult.of(found) if found is not None else None


def is_told_of(operation: Operation) -> bool:
    """Whether an event of Stripe's carries a key of this operation.

    Where this database has no sending of it on record, it was restored to an older state.
    """
    keys = [f"{operation.stripe_key_base}-{call.name}" for call in ACTIONS[operation.action].calls]
    return Event.objects.filter(idempotency_key__in=keys).exists()


def _look_for_created(operation: Operation, call: RecordedCall, effect: Effect) -> tuple[dict[str, Any] | None, bool]:
    """The object that our call created, and whether there is none for certain. Raises GatewayError."""
    if not effect.creates_in:
        return None, False
    try:
        return _search_created(operation, effect, call.not_before)
    except (gateway.RefusedByStripe, gateway.NotAllowed, gateway.Missing):
        return None, False  # some accounts cannot list them; sending again under the same key then tells


def _is_of(operation: Operation, created: dict[str, Any]) -> bool:
    """Whether this object was created for this operation. In a database that lost its last minutes an API client's key
    may have been used for another invoice before."""
    of, invoice = member(created, "metadata", "operation"), member(created, "metadata", "invoice")
    return of == str(operation.stripe_key_base) and invoice in (None, operation.invoice)


def _search_created(operation: Operation, effect: Effect, not_before: int) -> tuple[dict[str, Any] | None, bool]:
    """The object with our key's base in its metadata, created since `not_before` (Stripe's clock), and whether there is
    none for certain. The list cannot be asked for a time, so its newest are looked through. Raises GatewayError."""
    since = not_before - int(STAMP_LAG.total_seconds())
    listed, customer = 0, operation.before.get("customer")
    narrowed = {"customer": customer} if effect.lists_by_customer and customer else {}
    for found in gateway.walk(effect.creates_in, stop_after=MAX_OBJECTS_SEARCHED, **narrowed):
        listed += 1
        if _is_of(operation, found):
            return found, False
        created = integer(found, "created")
        if created is not None and created < since:
            return None, True
    return None, listed < MAX_OBJECTS_SEARCHED


def surely_not_applied(operation: Operation, action: Action, call: RecordedCall, evidence: Evidence) -> bool:
    """Whether our request, which has ended, left no trace.

    A read tells where it shows the effect. Where only an event would tell, Stripe's list of events must have had the
    time to show it. Raises GatewayError.
    """
    effect = effect_of(action, call)
    if effect.creates_in:
        return evidence.surely_not_created
    if not effect.only_events_tell_who:
        return True
    if evidence.events_cut:
        return False
    charges = action.charges(operation.params)
    if charges and _charged_since(call.not_before, evidence):
        return evidence.others_failure is not None and _events_are_listed(call)
    waits = charges and any(intent.get("status") == "requires_action" for intent in evidence.intents)
    if waits or effect.shows is None or not evidence.as_confirmed:
        return _events_are_listed(call)
    return True


def _charged_since(moment: int, evidence: Evidence) -> bool:
    """Whether any charge of this invoice was tried since that moment of Stripe's clock, or is with a bank."""
    for intent in evidence.intents:
        charge, made = intent.get("latest_charge"), integer(intent, "latest_charge", "created")
        if intent.get("status") == "processing" or (charge and (made is None or made >= moment)):
            return True
    return False


def _events_are_listed(call: RecordedCall) -> bool:
    """Whether Stripe's list of events has had the time to show what we did. An empty list proves nothing, at any time.
    Raises GatewayError."""
    if call.first_sent_at is None or clock.now() - call.first_sent_at < EVENTS_LISTED_AFTER:
        return False
    return next(gateway.walk("/v1/events", stop_after=1), None) is not None
