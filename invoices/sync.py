"""Stored events, and reads that are due → mirror."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from invoices import budget, clock, gateway, mirror
from invoices.live import read_now
from invoices.models import MIRRORED, Event
from invoices.models.reading import text
from invoices.snapshot import Snapshot, is_id, of_event, stripe_time

log = logging.getLogger(__name__)

BATCH = 200
MOST_ATTEMPTS = 5
READERS = 4
PASSING = (OperationalError, InterfaceError)  # a deadlock, a lock held too long, a database away: no event's fault


def process_events(most: int = 10_000) -> int:
    """Brings pending events into the mirror, batch by batch, until none is due or `most` are done; how many were."""
    done = 0
    while done < most:
        count = _process_batch()
        done += count
        if not count:
            break
    return done


def _process_batch() -> int:
    """One transaction: claim, fold, write, mark done. A worker that dies in it leaves the events pending."""
    try:
        with transaction.atomic():
            events = _claim(BATCH)
            unread = _apply(events)
    except PASSING:
        raise
    except Exception as error:
        log.warning("A batch of events could not be stored (%s); one at a time, then.", error)
        return _process_singly()
    _ask_for(unread)
    return len(events)


def _claim(most: int) -> list[Event]:
    """Events that are due, oldest first. On PostgreSQL other workers pass over those that we hold; on SQLite a
    transaction that may write is alone."""
    due = Event.objects.filter(state=Event.State.PENDING, next_attempt_at__lte=clock.now()).order_by("next_attempt_at")
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True)
    return list(due[:most])


def _apply(events: list[Event]) -> list[Event]:
    """Folds the events' objects into the mirror. Those that cannot be read mark themselves, do not hold up the rest,
    and are returned."""
    snapshots: list[Snapshot] = []
    read: list[str] = []
    unread: list[Event] = []
    for event in events:
        try:
            snapshots.append(snapshot_of(event))
        except Exception as error:
            _missed(event, error)
            unread.append(event)
        else:
            read.append(event.pk)
    mirror.store(snapshots)
    if read:
        Event.objects.filter(pk__in=read).update(state=Event.State.DONE, processed_at=clock.now(), error="")
    return unread


def _process_singly() -> int:
    """After a batch that the database or the mirror refused: each event in a transaction of its own; only the bad one
    waits."""
    with transaction.atomic():
        events = _claim(BATCH)
    for event in events:
        try:
            with transaction.atomic():
                unread = _apply(list(Event.objects.select_for_update().filter(pk=event.pk, state=Event.State.PENDING)))
        except PASSING:
            raise
        except Exception as error:
            _missed(event, error)
        else:
            _ask_for(unread)
    return len(events)


def _missed(event: Event, error: Exception) -> None:
    """One more attempt that failed: again after 1, 4, 16 and 64 seconds, then it waits for a person."""
    log.warning("Event %s could not be processed: %s", event.pk, error)
    attempts = event.attempts + 1
    waiting = Event.objects.filter(pk=event.pk, state=Event.State.PENDING, attempts=event.attempts)
    waiting.update(
        state=Event.State.FAILED if attempts >= MOST_ATTEMPTS else Event.State.PENDING,
        error=text({"error": f"{type(error).__name__}: {error}"}, "error", limit=2000),
        attempts=attempts,
        next_attempt_at=clock.now() + timedelta(seconds=4 ** (attempts - 1)),
    )


def _ask_for(unread: list[Event]) -> None:
    """What an event does not tell, a read will: outside the batch's transaction, which locks rows in another order."""
    for event in unread:
        if event.object_type in MIRRORED and is_id(event.object_id):
            mirror.ask(event.object_type, [event.object_id])


def snapshot_of(event: Event) -> Snapshot:
    """What the event says of its object. Raises whatever it likes where it does not say it."""
    body = json.loads(event.body)
    found = body["data"]["object"]
    deleted = event.type == f"{found['object']}.deleted"
    # That it is gone, every version says alike, and no read would say more.
    hint = event.api_version != settings.STRIPE_API_VERSION and not deleted
    return of_event(found, stripe_time(body["created"]), deleted=deleted, hint=hint)


def perform_reads(most: int = 100) -> int:
    """Reads from Stripe what was asked for and is due; how many. A read that fails comes due again after its lease."""
    taken = mirror.take_due_reads(most)
    if len(taken) > 1:
        with ThreadPoolExecutor(max_workers=min(READERS, len(taken)), thread_name_prefix="read") as pool:
            list(pool.map(_perform_read_in_thread, taken))
    elif taken:
        _perform_read(taken[0])
    return len(taken)


def _perform_read_in_thread(read: mirror.DueRead) -> None:
    try:
        _perform_read(read)
    finally:
        connection.close()  # the thread ends, and its connection must not outlive it


def _perform_read(read: mirror.DueRead) -> None:
    try:
        with budget.kept():
            read_now(read.object, read.id)
        mirror.clear_due_read(read)
    except gateway.GatewayError as error:
        log.warning("%s could not be read: %s. Again in a minute.", read.id, error)
    except Exception:
        log.exception("%s could not be read. Again in a minute.", read.id)  # and the others go on


def replay(ids: Sequence[str] = ()) -> int:
    """Failed events back into the queue, with all their attempts before them: these, or all. How many. An unreadable
    body stays where it is: there is nothing to process."""
    failed = Event.objects.filter(state=Event.State.FAILED).exclude(id__startswith="unreadable_")
    if ids:
        failed = failed.filter(pk__in=ids)
    return failed.update(state=Event.State.PENDING, attempts=0, next_attempt_at=clock.now(), error="")
