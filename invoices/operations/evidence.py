"""What a read begun now and Stripe's events say of a call whose answer never came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from invoices import clock, gateway
from invoices.models import Event, Operation
from invoices.operations.catalog import Spec
from invoices.snapshot import Snapshot

MOST_RECORDS = 1000  # payment records looked through, newest first
EVENTS_LATE = timedelta(seconds=20)  # by which Stripe's list of events may lag, before its silence means something
STAMPS_LAG = timedelta(minutes=1)  # by which an event's stamp may lie before what it tells of
FAILURES = (  # the one that brings the reason first
    "payment_intent.payment_failed",
    "invoice.payment_failed",
    "payment_intent.requires_action",
    "invoice.payment_action_required",
)
ON_ITS_WAY = "payment_intent.processing"
# A final status that rules the effect out for good, and the events that say whose doing that was.
RULED_OUT_BY = {
    "void": ("paid", ("invoice.paid", "invoice.payment_succeeded")),
    "pay": ("void", ("invoice.voided",)),
}


@dataclass
class Evidence:
    """What a read begun now and Stripe's events say of a call."""

    snapshots: list[Snapshot]
    invoice: dict[str, Any] | None
    applied: bool  # its effect is there, whoever caused it
    as_confirmed: bool  # status and amount are those from which it was sent
    effect: dict[str, Any] | None  # the event by which Stripe says that our key caused it,
    on_its_way: dict[str, Any] | None  # … that our key caused a payment which a bank is processing,
    failure: dict[str, Any] | None  # … that our key caused a charge which did not go through
    by_others: dict[str, Any] | None  # an event of this effect that our key did not cause
    overtaken: dict[str, Any] | None  # an event of what rules this effect out, that our key did not cause
    tried_by_others: dict[str, Any] | None  # an event of a charge that did not go through, and not by our key
    record: dict[str, Any] | None  # what the first of two calls made, found by the operation's id in its metadata
    no_record: bool  # Stripe has shown all records since the sending, and ours is not among them

    @cached_property
    def intents(self) -> list[dict[str, Any]]:
        """The PaymentIntents of the invoice, each with its latest charge. Raises GatewayError."""
        ids = [((snapshot.data or {}).get("payment") or {}).get("payment_intent") for snapshot in self.snapshots[1:]]
        return [
            gateway.read(f"/v1/payment_intents/{id}", expand=["latest_charge"]).data
            for id in ids
            if isinstance(id, str)
        ]


def gather(operation: Operation, spec: Spec, entry: dict[str, Any]) -> Evidence:
    """Reads the invoice, then who changed it. Raises GatewayError."""
    snapshots = gateway.retrieve("invoice", operation.invoice)
    invoice = None if snapshots[0].deleted else snapshots[0].data
    events = _events(operation, spec, entry)
    ours = [event for event in events if _key(event) == entry["key"]]
    others = [event for event in events if _key(event) != entry["key"] and _is_of(event, operation.invoice)]
    status, ruling_out = RULED_OUT_BY.get(entry["name"], ("", ()))
    if snapshots[0].deleted:
        ruling_out = ("invoice.deleted",)
    elif (invoice or {}).get("status") != status:
        ruling_out = ()
    record, no_record = _record(operation, entry) if entry["name"] == "report_payment" else (None, False)
    return Evidence(
        snapshots=snapshots,
        invoice=invoice,
        applied=_applied(entry, invoice, snapshots[1:]),
        as_confirmed=_as_confirmed(operation, invoice),
        effect=_first(ours, spec.events),
        on_its_way=_first(ours, (ON_ITS_WAY,)),
        failure=_first(ours, FAILURES),
        by_others=_first(others, tuple(type for type in spec.events if type != "invoice.updated")),
        overtaken=_first(others, ruling_out),
        tried_by_others=_first([event for event in others if event["created"] >= entry["not_before"]], FAILURES),
        record=record,
        no_record=no_record,
    )


def _key(event: dict[str, Any]) -> str | None:
    return (event.get("request") or {}).get("idempotency_key")


def _is_of(event: dict[str, Any], invoice: str) -> bool:
    about = event["data"]["object"]
    return about.get("object") == "invoice" and about.get("id") == invoice


def _first(events: list[dict[str, Any]], types: tuple[str, ...]) -> dict[str, Any] | None:
    """The first event of these types, those that stand first in `types` before the others."""
    return next((event for type in types for event in events if event["type"] == type), None)


def _as_confirmed(operation: Operation, invoice: dict[str, Any] | None) -> bool:
    before = operation.before or {}
    return invoice is not None and all(invoice.get(name) == before.get(name) for name in ("status", "amount_remaining"))


def _applied(entry: dict[str, Any], invoice: dict[str, Any] | None, payments: list[Snapshot]) -> bool:
    if invoice is None:
        return False
    if entry["name"] == "attach_payment":
        wanted = {entry["params"].get("payment_record"), entry["params"].get("payment_intent")} - {None}
        attached = [(payment.data or {}).get("payment") or {} for payment in payments]
        return any(wanted & {each.get("payment_record"), each.get("payment_intent")} for each in attached)
    status = invoice.get("status")
    goals = {"pay": ("paid",), "void": ("void",), "mark_uncollectible": ("uncollectible",)}
    if entry["name"] == "finalize":
        return status != "draft"
    return status in goals.get(entry["name"], ())


def _events(operation: Operation, spec: Spec, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What happened to the invoice since before the sending, by Stripe's clock. The journal first; a webhook may be
    late, so Stripe's own list too, unless the journal has our own. Raises GatewayError."""
    since = datetime.fromtimestamp(entry["not_before"], UTC) - STAMPS_LAG
    held = Event.objects.filter(object_id=operation.invoice, created__gte=since) | Event.objects.filter(
        idempotency_key=entry["key"]
    )
    events = [json.loads(event.body) for event in held]
    telling = {*spec.events, *((*FAILURES, ON_ITS_WAY) if spec.charges(operation.params) else ())}
    if any(event["type"] in telling and _key(event) == entry["key"] for event in events):
        return events
    foreign = {*RULED_OUT_BY.get(entry["name"], ("", ()))[1], "invoice.deleted"}
    return events + list(gateway.events(sorted(telling | foreign), since))


def _record(operation: Operation, entry: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """The payment record that our first call made: it carries the operation's id in its metadata. And whether there is
    none for certain. Raises GatewayError."""
    seen = 0
    try:
        for record in gateway.walk("/v1/payment_records", most=MOST_RECORDS):
            seen += 1
            if (record.get("metadata") or {}).get("operation") == str(operation.pk):
                return record, False
            if (record.get("created") or entry["not_before"]) < entry["not_before"]:
                return None, True
    except (gateway.RefusedByStripe, gateway.NotAllowed, gateway.Missing):
        return None, False  # some accounts cannot list them: then the repeated key tells
    return None, seen < MOST_RECORDS


def certainly_not(operation: Operation, spec: Spec, entry: dict[str, Any], evidence: Evidence) -> bool:
    """Whether our request, which has ended, left no trace: a read tells where its effect can be read; where only an
    event would tell, Stripe's list has had the time, and speaks. Raises GatewayError."""
    if entry["name"] == "report_payment":
        return evidence.no_record
    if entry["name"] == "attach_payment":
        return True
    if spec.charges(operation.params) and _charged_since(entry["not_before"], evidence):
        return evidence.tried_by_others is not None and _events_are_there(entry)
    waits = spec.charges(operation.params) and any(one.get("status") == "requires_action" for one in evidence.intents)
    if waits or entry["name"] == "send" or not evidence.as_confirmed:
        return _events_are_there(entry)
    return True


def _charged_since(moment: int, evidence: Evidence) -> bool:
    """Whether any charge of this invoice was tried since then, or is with a bank."""
    for intent in evidence.intents:
        charge = intent.get("latest_charge")
        made = charge.get("created") if isinstance(charge, dict) else None
        if intent.get("status") == "processing" or (charge and (made is None or made >= moment)):
            return True
    return False


def _events_are_there(entry: dict[str, Any]) -> bool:
    """Whether Stripe's list of events has had the time to show what we did; an empty one shows nothing, ever. Raises
    GatewayError."""
    waited = clock.now() - datetime.fromisoformat(entry["first_sent_at"]) >= EVENTS_LATE
    return waited and next(gateway.walk("/v1/events", most=1), None) is not None
