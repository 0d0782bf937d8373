"""Brings stored events into the mirror and tells the journal's operations of them; performs the scheduled refetches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet

from invoices import clock, gateway, intake, interruption, mirror, refetch, scheduled_refetches
from invoices.fanout import owed
from invoices.models import MIRRORED, Event, PendingEvent, grants
from invoices.models.events import UNREADABLE_PREFIX
from invoices.models.reading import is_id, json_of, storable
from invoices.operations import contradictions, money_under_way
from invoices.sight import context, counters, logs, tracing
from invoices.snapshot import Snapshot, disputed_charge, of_event, span_of_event, stripe_time
from invoices.thresholds import LONGEST_REST
from invoices.wakeups import wake

log = logging.getLogger(__name__)

EVENTS_PER_BATCH = 500  # stored in one transaction
GATHER_SECONDS = 0.25  # between the beginnings of two batches that are not full
HANGING_SECONDS = 2.0  # after which a batch that has not ended is taken to wait for somebody
MAX_EVENT_ATTEMPTS = 5  # after which an event is failed, and waits for a person
REFETCH_THREADS = 4
UNANSWERED = (gateway.OutcomeUnknown, gateway.RateLimited)  # Stripe did not say anything of the object
REFETCHES_PER_ROUND = 16  # so that what a person looks at waits for no more than these
# Columns of an event that nobody reads who processes it.
UNREAD_COLUMNS = ("livemode", "account", "source", "next_attempt_at", "processed_at", "error")
# A deadlock, a lock that was held too long, a database that is down: the same event will succeed later.
TRANSIENT_ERRORS = (OperationalError, InterfaceError)


class _Together:
    """Of this process: one thread processes for all who come, because threads that share the events would make each
    batch smaller."""

    def __init__(self) -> None:
        self.processing = threading.Lock()
        self.wanted = threading.Event()  # somebody came while another thread was processing
        self.began = 0.0  # of the last batch, by `time.monotonic`

    def hangs(self) -> bool:
        """Whether the batch waits for something, such as a row of the mirror that somebody else has locked."""
        return time.monotonic() - self.began > HANGING_SECONDS


_together = _Together()


def process_events_together() -> int:
    """As `process_events`, by one thread of this process at a time. Another that comes meanwhile returns at once: the
    first one also brings what it came for. Unless its batch hangs: then the other one takes what that does not hold."""
    done = 0
    _together.wanted.set()
    while _together.wanted.is_set() and not interruption.asked():
        if not _together.processing.acquire(blocking=False):
            return done + (process_events() if _together.hangs() else 0)
        try:
            _together.wanted.clear()  # before the look: whoever comes after it is asked for once more
            done += process_events()
        finally:
            _together.processing.release()
    return done


def process_events(limit: int = 10_000) -> int:
    """Brings pending events into the mirror, batch by batch, until none is due or `limit` are done. How many.

    The first batch is taken at once. Under load each next one begins GATHER_SECONDS after the last: a batch costs about
    as much as ten of its events, and without the pause it would be of five.
    """
    done = 0
    while done < limit and not interruption.asked():
        _together.began = began = time.monotonic()
        count = _process_batch()
        done += count
        if not count:
            break
        if count < EVENTS_PER_BATCH:
            if not _due().exists():
                break
            time.sleep(max(0.0, began + GATHER_SECONDS - time.monotonic()))
    return done


def _due() -> QuerySet[PendingEvent]:
    return PendingEvent.objects.filter(next_attempt_at__lte=clock.now())


def _process_batch() -> int:
    """Claims a batch, stores it and marks it done, in one transaction. A worker that dies leaves the events pending.

    How many events were taken.
    """
    try:
        with transaction.atomic():
            events = _claim(EVENTS_PER_BATCH)
            unreadable = _store(events)
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:
        log.warning("A batch of events could not be stored (%s); now one at a time.", error)
        return _process_singly()
    _schedule_refetches(unreadable)
    _tell(events, unreadable)
    return len(events)


def _tell(events: list[Event], unreadable: list[Event]) -> None:
    """Of the events that the mirror has now, after the commit: in the counters, in the log, and in each one's trace."""
    now, left = clock.now(), {event.pk for event in unreadable}
    done = [event for event in events if event.pk not in left]
    counters.EVENTS.labels("done").inc(len(done))
    for event in done:
        counters.EVENT_LAG.observe(max((now - event.received_at).total_seconds(), 0))
        with tracing.span(f"processed {event.type}", continues=f"event {event.pk}", invoice_desk__event=event.pk):
            logs.tell(log, "event processed", level=logging.DEBUG, event=event.pk, stripe_request_id=event.request_id)


def _claim(limit: int) -> list[Event]:
    """Locks up to `limit` events that are due, oldest first.

    On PostgreSQL other workers skip the rows that this transaction holds. SQLite has one writing transaction at a time.
    """
    due = _due().order_by("next_attempt_at").only("created")
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True)
    while waiting := list(due[:limit]):
        if events := _events_of(waiting):
            return events
    return []


def _events_of(waiting: list[PendingEvent]) -> list[Event]:
    """The events of these entries of the queue, which the transaction has locked, in the same order.

    An entry without an event (somebody took a partition away) goes: a whole batch of them would be claimed for ever.
    The database is not asked for those that are pending: PostgreSQL would go by the index of the pending ones, which
    has an entry for each event that was pending since the table was last vacuumed.
    """
    stored = Event.stored(waiting).defer(*UNREAD_COLUMNS) if waiting else ()
    found = {event.pk: event for event in stored if event.state == Event.State.PENDING}
    if astray := [each.pk for each in waiting if each.pk not in found]:
        log.error("%d events wait, and are not in the journal, such as %s.", len(astray), astray[0])
        PendingEvent.objects.filter(pk__in=astray).delete()
    return [found[each.pk] for each in waiting if each.pk in found]


def _store(events: list[Event]) -> list[Event]:
    """Stores the events' objects in the mirror, and tells the operations that the events are about. Returns the
    unreadable events: their failure is recorded, and they do not hold up the others."""
    snapshots: list[Snapshot] = []
    changed: list[tuple[str, str]] = []
    readable: list[Event] = []
    unreadable: list[Event] = []
    for event in events:
        try:
            snapshot = snapshot_of(event)
        except Exception as error:
            _record_failure(event, error)
            unreadable.append(event)
        else:
            readable.append(event)
            if snapshot is not None:
                snapshots.append(snapshot)
            else:
                changed.append((event.object_type, event.object_id))
    mirror.store(snapshots, changed=changed)
    if readable:
        Event.stored(readable).update(state=Event.State.DONE, processed_at=clock.now(), error="")
        owed.owe(readable)
    contradictions.look_at(events)
    if money_under_way.look_now(money_under_way.invoices_of(events)):
        transaction.on_commit(lambda: wake("settle_operations"), robust=True)
    return unreadable


def _process_singly() -> int:
    """Each event in a transaction of its own, after a batch that could not be stored: only the bad event then waits.

    How many events were taken.
    """
    with transaction.atomic():
        events = _claim(EVENTS_PER_BATCH)
    for event in events:
        try:
            with transaction.atomic():
                stored = _events_of(_locked(event))
                unreadable = _store(stored)
        except TRANSIENT_ERRORS:
            raise
        except Exception as error:
            _record_failure(event, error)
        else:
            _schedule_refetches(unreadable)
            _tell(stored, unreadable)
    return len(events)


def _locked(event: Event) -> list[PendingEvent]:
    """The event's entry in the queue, locked until the transaction ends. Whoever changes an event holds its entry, so
    that nobody waits for two."""
    return list(PendingEvent.objects.select_for_update().filter(pk=event.pk))


def _record_failure(event: Event, error: Exception) -> None:
    """Records one more failed attempt. The next one is after 1, 4, 16 and 64 seconds; the fifth is the last."""
    log.warning("Event %s could not be processed: %s", event.pk, error)
    attempts = event.attempts + 1
    counters.EVENTS.labels("failed" if attempts >= MAX_EVENT_ATTEMPTS else "tried_again").inc()
    with transaction.atomic():
        _locked(event)
        # Conditional on the attempts: another worker may have recorded this failure already.
        unchanged = Event.stored([event]).filter(state=Event.State.PENDING, attempts=event.attempts)
        unchanged.update(
            state=Event.State.FAILED if attempts >= MAX_EVENT_ATTEMPTS else Event.State.PENDING,
            error=storable(f"{type(error).__name__}: {error}", limit=2000),
            attempts=attempts,
            next_attempt_at=clock.now() + timedelta(seconds=4 ** (attempts - 1)),
        )


def _schedule_refetches(unreadable: list[Event]) -> None:
    """A refetch tells what an unreadable event does not, unless what we have is newer. Called after the batch's
    transaction, because inside it the rows of the queue come after all others."""
    for event in unreadable:
        if event.object_type in MIRRORED and is_id(event.object_id) and not _was_seen_later(event):
            scheduled_refetches.schedule([(event.object_type, event.object_id)])


def _was_seen_later(event: Event) -> bool:
    """Whether what the mirror has was seen wholly later than what the event tells of."""
    if event.created is None:
        return False
    try:
        _, until = span_of_event(event.created)
    except OverflowError:  # in the last seconds that a datetime can hold
        return False
    rows = MIRRORED[event.object_type].objects.filter(pk=event.object_id, provisional=False)
    return rows.filter(seen_since__gte=until).exists()


def snapshot_of(event: Event) -> Snapshot | None:
    """What the event says of its object; None for a dispute, which only says that its charge has changed. Raises
    KeyError, TypeError, ValueError or another exception if the event has an unexpected shape."""
    body = json_of(event.body)
    found = body["data"]["object"]
    if disputed_charge(found):
        return None
    deleted = event.type == f"{found['object']}.deleted"
    # A deletion event is trusted in every API version: the object cannot be read any more, so a refetch adds nothing.
    other_version = event.api_version != settings.STRIPE_API_VERSION and not deleted
    return of_event(found, stripe_time(body["created"]), deleted=deleted, other_version=other_version)


# --- scheduled refetches ----------------------------------------------------------------------------------------------

_lane = threading.Lock()  # of this process: one task performs refetches, and another that is started returns at once


class Rest:
    """How long this process leaves Stripe alone, because it did not answer. Only the one in the lane uses it."""

    def __init__(self) -> None:
        self.until: datetime | None = None
        self.rounds = 0  # in a row that were ended because Stripe did not answer

    def is_over(self) -> bool:
        return self.until is None or clock.now() >= self.until

    def begin(self, retry_after: float | None) -> None:
        wait = min(timedelta(seconds=2 ** min(self.rounds, 10)), LONGEST_REST)
        wait *= scheduled_refetches.chance.uniform(1, 1.25)
        self.rounds += 1
        self.until = clock.now() + max(wait, scheduled_refetches.stripes_wait(retry_after))

    def end(self) -> None:
        self.until, self.rounds = None, 0


rest = Rest()


def perform_refetches(limit: int = 100) -> int:
    """Reads from Stripe up to `limit` objects whose refetch is due; how many were taken.

    One that fails is tried again later, and later each time. While Stripe does not answer, the rest waits.
    """
    if not _lane.acquire(blocking=False):
        return 0
    try:
        count = 0
        with ThreadPoolExecutor(max_workers=REFETCH_THREADS, thread_name_prefix="refetch") as pool:
            while count < limit and rest.is_over() and not interruption.asked():
                taken = scheduled_refetches.take(min(limit - count, REFETCHES_PER_ROUND))
                if not taken:
                    break
                count += len(taken)
                _Round().perform(taken, pool)
        return count
    finally:
        _lane.release()


class _Round:
    """Some refetches, on a few threads. It ends early where Stripe answers none of the first, or says that we ask too
    often, because the rest would only wait for it too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answered, self.unanswered = 0, 0
        self.retry_after: float | None = None
        self.ended = False

    def perform(self, taken: list[scheduled_refetches.Taken], pool: ThreadPoolExecutor) -> None:
        one_alone = len(taken) == 1
        left = [self._one(taken[0])] if one_alone else list(pool.map(context.carried(self._one_in_thread), taken))
        scheduled_refetches.give_back(each for each in left if each is not None)
        if interruption.asked():
            return
        if self.ended:
            log.warning("Stripe does not answer: %s refetches wait for it.", sum(each is not None for each in left))
            rest.begin(self.retry_after)
        elif self.answered:
            rest.end()

    def _one_in_thread(self, taken: scheduled_refetches.Taken) -> scheduled_refetches.Taken | None:
        try:
            return self._one(taken)
        finally:
            connection.close()  # the thread may end with the task, and its connection must not outlive it

    def _one(self, taken: scheduled_refetches.Taken) -> scheduled_refetches.Taken | None:
        """Performs it. Returns it where it was not tried, because the round has ended, or this process is to end."""
        if self.ended or interruption.asked():
            return taken
        try:
            if taken.only_payments and not mirror.open_payments([taken.id]).exists():
                scheduled_refetches.needless(taken)  # their events came meanwhile
                return None
            refetch.refetch(taken.object, taken.id, throttled=True)
        except gateway.GatewayError as error:
            log.warning("%s could not be refetched: %s", taken.id, error)
            answered = not isinstance(error, UNANSWERED)
            scheduled_refetches.failed(taken, f"Stripe: {error}", answered=answered, retry_after=error.retry_after)
            self._note(error)
        except Exception as error:
            # An object that breaks our code must not keep the others from being refetched.
            log.exception("%s could not be refetched.", taken.id)
            scheduled_refetches.failed(taken, f"{type(error).__name__}: {error}")
            self._note(None)
        else:
            self._note(None)
        return None

    def _note(self, error: gateway.GatewayError | None) -> None:
        with self.lock:
            if not isinstance(error, UNANSWERED):
                self.answered += 1
                return
            self.unanswered += 1
            self.retry_after = max(self.retry_after or 0, error.retry_after or 0)
            too_often = isinstance(error, gateway.RateLimited) and error.code != "lock_timeout"
            if too_often or (self.unanswered >= REFETCH_THREADS and not self.answered):
                self.ended = True


def tend_queues() -> None:
    """Removes from the indexes of the queues what was taken from them, on PostgreSQL.

    Autovacuum does it too, but later, and not everywhere. Until then each claim passes over what was taken. The tables
    are as small as what waits, so it takes milliseconds. Where this role may not, autovacuum does it alone.
    """
    if connection.vendor == "postgresql" and not connection.in_atomic_block and grants.may_vacuum_queues():
        with connection.cursor() as cursor:
            for queue in grants.QUEUES:
                cursor.execute(f"VACUUM (SKIP_LOCKED) {queue}")


def replay(ids: Sequence[str] = ()) -> int:
    """Makes events pending again, with all attempts left: these, or all that failed or are ignored. How many.

    Bodies that are no event (UNREADABLE_PREFIX) stay failed: there is nothing to process in them. An ignored event is
    judged again by today's settings, and stays ignored where they give a reason.
    """
    failed = Event.objects.filter(state=Event.State.FAILED).exclude(id__startswith=UNREADABLE_PREFIX)
    if ids:
        failed = failed.filter(pk__in=ids)
    return failed.update(**_pending_again()) + _judge_again(ids)


def _pending_again() -> dict[str, Any]:
    return {"state": Event.State.PENDING, "attempts": 0, "next_attempt_at": clock.now(), "error": ""}


def _judge_again(ids: Sequence[str]) -> int:
    """How many of these ignored events, or of all, are pending again. What no setting decides, which may be millions of
    events, is left out before it is read: kinds that are not mirrored, and previews of invoices."""
    ignored = Event.objects.filter(state=Event.State.IGNORED, object_type__in=list(MIRRORED))
    ignored = ignored.exclude(type="invoice.upcoming")
    if ids:
        ignored = ignored.filter(pk__in=ids)
    count, last = 0, ""
    while batch := list(ignored.filter(pk__gt=last).order_by("pk")[:EVENTS_PER_BATCH]):
        last = batch[-1].pk
        judged = [(event, intake.reason_to_ignore(event, json_of(event.body))) for event in batch]
        for event, reason in judged:
            if reason and reason != event.error:
                Event.objects.filter(pk=event.pk, state=Event.State.IGNORED).update(error=reason)
        welcome = [event.pk for event, reason in judged if not reason]
        count += Event.objects.filter(pk__in=welcome, state=Event.State.IGNORED).update(**_pending_again())
    return count
