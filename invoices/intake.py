"""Takes in Stripe's events, from webhooks and the catch-up: verifies, writes the journal row, wakes the workers."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from invoices import account, gateway
from invoices.journal import archives
from invoices.models import MIRRORED, Charge, Erasure, Event, erasures, many_rows, personal
from invoices.models.events import UNREADABLE_PREFIX
from invoices.models.reading import expandable_id, flag, is_id, json_of, moment, text, text_of
from invoices.sight import counters, logs, tracing
from invoices.snapshot import disputed_charge, is_object
from invoices.wakeups import wake

log = logging.getLogger(__name__)

TOLD_SINGLY = 50  # new events of a list, at most, that have a line each in the log


class NotSigned(Exception):
    """The body has no valid signature under one of our webhook secrets, or the signature is older than
    WEBHOOK_TOLERANCE_SECONDS, or as far in the future."""


@dataclass(frozen=True)
class Delivery:
    """A webhook delivery whose signature is good: the row that the journal is to have of it, and why its body is no
    event, where it is none."""

    row: Event
    unreadable: Exception | None = None


def check(body: bytes, signature: str) -> Delivery:
    """What this delivery is to the journal; writes nothing, and asks nobody. Raises NotSigned."""
    if not signature.isascii():  # `hmac.compare_digest` raises for other characters
        raise NotSigned("the signature is not readable")
    secrets, tolerance = settings.STRIPE_WEBHOOK_SECRETS, settings.WEBHOOK_TOLERANCE_SECONDS
    if reason := gateway.verify_signature(body, signature, secrets, tolerance):
        raise NotSigned(reason)
    body_text = body.decode()
    try:
        return Delivery(event_row(json_of(body, strict=True), body_text))
    except (ValueError, RecursionError) as error:
        return Delivery(_unreadable(body_text, str(error)), error)


def keep_unreadable(body_text: str, error: str) -> bool:
    """Journals the body as a failed event. Returns whether the journal did not hold it yet."""
    return bool(journal([_unreadable(body_text, error)]))


def _unreadable(body_text: str, error: str) -> Event:
    """The id is the body's digest, so a repeated delivery makes no second row."""
    id = UNREADABLE_PREFIX + hashlib.sha256(body_text.encode()).hexdigest()
    return Event(id=id, body=body_text.replace("\x00", "�"), state=Event.State.FAILED, error=error)


def event_row(event: Any, body_text: str | None = None, source: str = Event.Source.WEBHOOK) -> Event:
    """The unsaved journal row of an event. `body_text` is its body, byte for byte. Raises ValueError without an id."""
    if not isinstance(event, dict):
        raise ValueError("the body is not an object")
    id = event.get("id")
    if not is_id(id):
        raise ValueError("the event has no id that can be a key")
    found = _object_of(event)
    charge = disputed_charge(found)
    request = event.get("request")
    if body_text is None:
        body_text = _spelled(event)
    row = Event(
        id=id,
        type=text(event, "type") or "",
        created=moment(event, "created"),
        api_version=text(event, "api_version", limit=64) or "",
        livemode=flag(event, "livemode"),
        account=text(event, "account") or "",
        object_type=Charge.OBJECT if charge else text(found, "object", limit=64) or "",
        object_id=charge or expandable_id(found, "id") or "",
        request_id=(expandable_id(event, "request") if isinstance(request, dict) else text(event, "request")) or "",
        idempotency_key=text(event, "request", "idempotency_key") or "",
        body=body_text,
        source=source,
    )
    row.customers = frozenset(personal.customers_in(body_text, event))
    if reason := reason_to_ignore(row, event):
        row.state, row.error = Event.State.IGNORED, reason
    return row


def _spelled(event: dict[str, Any]) -> str:
    """An event of a list as text. One with a number that is no JSON is kept as well: what it tells cannot be stored,
    and that is said when it is processed."""
    try:
        return text_of(event)
    except ValueError:
        return json.dumps(event, separators=(",", ":"))


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
    found = _object_of(body)
    if not (is_object(found) or disputed_charge(found)):
        return "its object has no id that can be a key, so nothing can be read"
    return ""


def journal(events: Iterable[Event]) -> list[Event]:
    """Writes the events that the journal does not have yet, tells of them, and wakes the workers after the commit.
    Those that are new, in their order."""
    new = write(events)
    transaction.on_commit(lambda: tell(new), robust=True)
    return new


def write(events: Iterable[Event]) -> list[Event]:
    """As `journal`, without telling of them.

    Where two deliveries of one event meet, the second one waits for the first, and finds it written.
    """
    rows: dict[str, Event] = {}
    for event in events:
        rows.setdefault(event.pk, event)
    # In the order of the ids, so that two writers of the same events never wait for each other.
    ordered = [rows[pk] for pk in sorted(rows)]
    written = _insert([row for row in ordered if not archives.may_hold(row)])
    _wake_for(
        rows[pk] for pk in written
    )  # now: outside a transaction they are committed, whatever becomes of the others
    if left := [row for row in ordered if row.pk not in written]:
        compared = _compare_and_insert(left)
        _wake_for(rows[pk] for pk in compared)
        written |= compared
    return [row for pk, row in rows.items() if pk in written]


def _wake_for(new: Iterable[Event]) -> None:
    if any(row.state == Event.State.PENDING for row in new):
        transaction.on_commit(lambda: wake("process_events"), robust=True)


# What is written of a new row. The other columns have the defaults of the database.
_WRITTEN = [
    field
    for field in Event._meta.concrete_fields
    if field.name not in ("received_at", "next_attempt_at", "processed_at")
]


@cache
def _insertion() -> str:
    """Of one row, where no erasure tells of its customers, which are given as JSON after its columns, and its id is not
    there. On SQLite the id is given once more, because a trigger refuses the second one, whatever is to be done where
    two meet."""
    into = f"INSERT INTO {Event._meta.db_table} ({', '.join(str(field.column) for field in _WRITTEN)})"
    erased = f"SELECT 1 FROM {Erasure._meta.db_table} WHERE customer"  # noqa: S608
    if connection.vendor == "postgresql":
        places = ", ".join(f"${place}::{many_rows.type_of(field)}" for place, field in enumerate(_WRITTEN, 1))
        customers = f"SELECT json_array_elements_text(${len(_WRITTEN) + 1}::text::json)"
        unless = f"WHERE NOT EXISTS ({erased} = ANY(ARRAY({customers})))"
        return f"{into} SELECT {places} {unless} ON CONFLICT DO NOTHING RETURNING id"
    places = ", ".join(["%s"] * len(_WRITTEN))
    known = f"SELECT 1 FROM {Event._meta.db_table} WHERE id = %s"  # noqa: S608
    unless = f"WHERE NOT EXISTS ({erased} IN (SELECT value FROM json_each(%s))) AND NOT EXISTS ({known})"  # noqa: S608
    return f"{into} SELECT {places} {unless}"


def _insert(rows: list[Event]) -> set[str]:
    """Inserts those that the journal does not have, and of whose customers none was erased, in one transaction. Their
    ids. On PostgreSQL it is one round trip."""
    if not rows:
        return set()
    columns = zip(*(many_rows.values_of(field, rows) for field in _WRITTEN), strict=True)
    given = [[*values, json.dumps(sorted(_customers_of(row)))] for row, values in zip(rows, columns, strict=True)]
    if connection.vendor == "postgresql":
        insertions = [(_insertion(), values) for values in given]
        _, *inserted = connection.in_one_round_trip([(erasures.SHARED_LOCK, ()), *insertions])  # type: ignore[attr-defined]
        return {id for ids in inserted for id in ids}
    written = set()
    with transaction.atomic(), connection.cursor() as cursor:
        for row, values in zip(rows, given, strict=True):
            cursor.execute(_insertion(), [*values, row.pk])
            if cursor.rowcount:
                written.add(row.pk)
    return written


def _compare_and_insert(rows: list[Event]) -> set[str]:
    """Inserts those that neither the journal nor an archive has, without the personal data of customers who were
    erased. Their ids."""
    with transaction.atomic():
        _redact_erased(rows)
        known = set(Event.stored(rows).values_list("pk", flat=True))
        known |= archives.known(row for row in rows if row.pk not in known)
        new = [row for row in rows if row.pk not in known]
        # On PostgreSQL another process may insert the same ones meanwhile. This insertion then does nothing, the caller
        # tells of them too, and its wake-up finds no work.
        Event.objects.bulk_create(new, ignore_conflicts=True)
    return {row.pk for row in new}


def tell(new: Sequence[Event]) -> None:
    """Each event begins a trace of its own, linked to that of its webhook: the workers that process it go on there.

    Of many at once, which an import brings, the log has the number, and each one only where DEBUG is wanted.
    """
    many = len(new) > TOLD_SINGLY
    if many:
        logs.tell(log, "events received", events=len(new), source=str(new[0].source))
    for event in new:
        if event.state == Event.State.IGNORED:
            counters.EVENTS.labels("ignored").inc()
        with tracing.span(
            f"received {event.type}", kind="producer", root=f"event {event.pk}", invoice_desk__event=event.pk
        ):
            logs.tell(
                log,
                "event received",
                level=logging.DEBUG if many else logging.INFO,
                event=event.pk,
                type=event.type,
                state=str(event.state),
                source=str(event.source),
                stripe_request_id=event.request_id,
            )


def _redact_erased(events: Iterable[Event]) -> None:
    """Takes personal data out of the bodies that tell of a customer whose personal data was erased.

    Stripe repeats webhooks for days and lists events for 30: some may be older than its own redaction.
    """
    of = [(event, _customers_of(event)) for event in events]
    if begun := erasures.erasures_begun(set().union(*(customers for _, customers in of))):
        for event, customers in of:
            if customers & begun.keys():
                event.body = personal.redacted_text(event.body)


def _customers_of(event: Event) -> frozenset[str]:
    """The customers that a body names; of one that nobody can read, whatever looks like a customer's id."""
    if event.customers is None:
        return frozenset(re.findall(r"cus_\w+", event.body))
    return event.customers
