"""Takes in Stripe's events, from webhooks and the catch-up: verifies, writes the journal row, wakes the workers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import transaction

from invoices import account, gateway
from invoices.journal import archives
from invoices.models import MIRRORED, Event, personal
from invoices.models.erasures import erasures_begun
from invoices.models.events import UNREADABLE_PREFIX
from invoices.models.reading import expandable_id, flag, moment, refuse_constant, text
from invoices.snapshot import is_id, is_object
from invoices.wakeups import wake


class NotSigned(Exception):
    """The body has no valid signature under one of our webhook secrets, or the signature is older than
    WEBHOOK_TOLERANCE_SECONDS."""


class NotReadable(Exception):
    """The body is signed, but is no event. It was written to the journal as failed, so that nothing is lost."""


def receive(body: bytes, signature: str) -> bool:
    """Writes one webhook delivery to the journal. Raises NotSigned, NotReadable.

    Returns whether the journal did not hold the event yet. Of two deliveries at the same moment both may return True.
    """
    if not signature.isascii():  # `hmac.compare_digest` raises for other characters
        raise NotSigned("the signature is not readable")
    secrets, tolerance = settings.STRIPE_WEBHOOK_SECRETS, settings.WEBHOOK_TOLERANCE_SECONDS
    if reason := gateway.verify_signature(body, signature, secrets, tolerance):
        raise NotSigned(reason)
    body_text = body.decode()
    try:
        event = event_row(json.loads(body_text, parse_constant=refuse_constant), body_text)
    except (ValueError, RecursionError) as error:
        keep_unreadable(body_text, str(error))
        raise NotReadable(str(error)) from error
    return bool(journal([event]))


def keep_unreadable(body_text: str, error: str) -> bool:
    """Journals the body as a failed event. The id is the body's digest, so a repeated delivery makes no second row.

    Returns whether the journal did not hold it yet."""
    id = UNREADABLE_PREFIX + hashlib.sha256(body_text.encode()).hexdigest()
    row = Event(id=id, body=body_text.replace("\x00", "�"), state=Event.State.FAILED, error=error)
    return bool(journal([row]))


def event_row(event: Any, body_text: str | None = None, source: str = Event.Source.WEBHOOK) -> Event:
    """The unsaved journal row of an event. `body_text` is its body, byte for byte. Raises ValueError without an id."""
    if not isinstance(event, dict):
        raise ValueError("the body is not an object")
    id = event.get("id")
    if not is_id(id):
        raise ValueError("the event has no id")
    found = _object_of(event)
    request = event.get("request")
    row = Event(
        id=id,
        type=text(event, "type") or "",
        created=moment(event, "created"),
        api_version=text(event, "api_version", limit=64) or "",
        livemode=flag(event, "livemode"),
        account=text(event, "account") or "",
        object_type=text(found, "object", limit=64) or "",
        object_id=text(found, "id") or "",
        request_id=(expandable_id(event, "request") if isinstance(request, dict) else text(event, "request")) or "",
        idempotency_key=text(event, "request", "idempotency_key") or "",
        body=json.dumps(event, separators=(",", ":")) if body_text is None else body_text,
        source=source,
    )
    if reason := reason_to_ignore(row, event):
        row.state, row.error = Event.State.IGNORED, reason
    return row


def _object_of(body: dict[str, Any]) -> Any:
    data = body.get("data")
    return data.get("object") if isinstance(data, dict) else None


def reason_to_ignore(event: Event, body: dict[str, Any]) -> str:
    """Why this event must not change the mirror, by today's settings; empty where it may. For people. `body` is the
    event as Stripe sent it."""
    live = account.key_is_live()
    if event.livemode is not None and event.livemode != live:
        return f"of {'live' if event.livemode else 'test'} mode, while our key is of {'live' if live else 'test'} mode"
    if event.account and event.account != settings.STRIPE_ACCOUNT:
        return f"of another account, {event.account}"
    if event.type == "invoice.upcoming":
        return "of an invoice that does not exist yet"
    if event.object_type not in MIRRORED:
        return "of a kind of object that is not mirrored"
    if not is_object(_object_of(body)):
        return "its object has no id, so nothing can be read"
    return ""


def journal(events: Iterable[Event]) -> list[Event]:
    """Writes the events that the journal does not have yet. Wakes the workers after the commit.

    Returns the events that were not found before the writing. Where two deliveries of one event meet, both calls return
    it, and one row is written.
    """
    rows = {event.pk: event for event in events}
    with transaction.atomic():
        _redact_erased(rows.values())
        known = set(Event.stored(rows.values()).values_list("pk", flat=True))
        known |= archives.known(row for pk, row in rows.items() if pk not in known)
        new = [row for pk, row in rows.items() if pk not in known]
        # Two deliveries of one event may come here at once. The second insert then does nothing, and its wake-up finds
        # no work.
        Event.objects.bulk_create(new, ignore_conflicts=True)
        if any(row.state == Event.State.PENDING for row in new):
            transaction.on_commit(lambda: wake("process_events"), robust=True)
    return new


def _redact_erased(events: Iterable[Event]) -> None:
    """Takes personal data out of the bodies that tell of a customer whose personal data was erased.

    Stripe repeats webhooks for days and lists events for 30: some may be older than its own redaction.
    """
    of = [(event, set(_customers_named(event.body))) for event in events]
    if begun := erasures_begun(set().union(*(customers for _, customers in of))):
        for event, customers in of:
            if customers & begun.keys():
                event.body = personal.redacted_text(event.body)


def _customers_named(body: str) -> Iterable[str]:
    """The customers that a body names; of one that nobody can read, whatever looks like a customer's id."""
    document = personal.parsed(body)
    return re.findall(r"cus_\w+", body) if document is None else personal.customers_of(document)
