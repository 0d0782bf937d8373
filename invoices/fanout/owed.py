"""What is owed to the endpoints: written, taken by one worker at a time, recorded, and asked for again.

A delivery is written in the transaction that brings the event's object into the mirror, so none is missed, whatever is
killed. One that is taken is postponed by a lease: if the worker dies between the sending and the recording, it is sent
once more. So an event is sent at least once, and a service knows a repeated one by its id.

Order of locks: an endpoint's row before the rows of its deliveries.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from invoices import clock
from invoices.models import Delivery, DeliveryAttempt, DeskEvent, Event, ScheduledRefetch, WebhookEndpoint
from invoices.thresholds import (
    DELIVERY_GIVEN_UP,
    DELIVERY_KEPT,
    DELIVERY_LEASE,
    DESK_EVENT_KEPT,
    FIRST_DELIVERY_RETRY,
    LAST_DELIVERY_RETRY,
    REFETCH_AWAITED,
)
from invoices.wakeups import wake

State = Delivery.State
CANDIDATES = 10  # looked at for each that is taken: other workers may be faster
EVENTS_AT_ONCE = 500  # that a redelivery looks through in one transaction
ROWS_AT_ONCE = 1000  # of deliveries that are removed in one transaction, and of our events that are owed again
REFETCH_LOOK = timedelta(seconds=1)  # between two looks whether an awaited refetch was performed
DESK_PREFIX = "evt_desk_"  # of the ids of our own events
chance = random.Random()


class NotYet(Exception):
    """A read of the event's object is to come first."""


# --- writing ----------------------------------------------------------------------------------------------------------


def enabled() -> list[WebhookEndpoint]:
    """The endpoints to which new events go."""
    found = WebhookEndpoint.objects.filter(disabled_at=None, deleted_at=None)
    return list(found.only("pk", "enabled_events").order_by("pk"))


def owe(events: Iterable[Event]) -> None:
    """The mirror has these events, in the transaction that calls this. Without an endpoint it costs one small query."""
    if endpoints := enabled():
        owe_to(endpoints, [(event.pk, event.type, event.created) for event in events])


def owe_to(endpoints: Iterable[WebhookEndpoint], events: Iterable[tuple[str, str, datetime | None]]) -> None:
    """Writes what these endpoints take of these events, each an id, a type and a stamp, by one statement. What is owed
    or was delivered already stays as it is."""
    taken = sorted(
        (endpoint.pk, id, type, created)
        for id, type, created in events
        for endpoint in endpoints
        if endpoint.takes(type)
    )
    if not taken:
        return
    now = clock.now()
    moments = {"written_at": now, "due_since": now, "next_attempt_at": now}
    Delivery.objects.bulk_create(
        [
            Delivery(endpoint_id=endpoint, event=id, type=type, event_created=created, **moments)
            for endpoint, id, type, created in taken
        ],
        ignore_conflicts=True,
    )
    transaction.on_commit(lambda: wake("deliver_events"), robust=True)


# --- taking -----------------------------------------------------------------------------------------------------------


def endpoints_with_work() -> QuerySet[WebhookEndpoint]:
    """Those to which something can be sent now, or for which a redelivery is to be queued."""
    now = clock.now()
    due = Delivery.objects.filter(endpoint=OuterRef("pk"), state=State.PENDING, next_attempt_at__lte=now)
    return WebhookEndpoint.objects.filter(
        Q(rests_until=None) | Q(rests_until__lte=now), Exists(due), disabled_at=None, deleted_at=None
    )


def take(endpoint: str) -> Delivery | None:
    """Claims the endpoint's next delivery that is due, for DELIVERY_LEASE."""
    now = clock.now()
    due = Delivery.objects.filter(endpoint=endpoint, state=State.PENDING, next_attempt_at__lte=now)
    for pk, next_attempt_at in due.order_by("next_attempt_at").values_list("pk", "next_attempt_at")[:CANDIDATES]:
        # Conditional on the moment: another worker that was faster has postponed it.
        mine = Delivery.objects.filter(pk=pk, state=State.PENDING, next_attempt_at=next_attempt_at)
        if mine.update(token=uuid.uuid4(), next_attempt_at=now + DELIVERY_LEASE):
            return Delivery.objects.get(pk=pk)
    return None


def body_of(delivery: Delivery) -> str | None:
    """What is sent, to the letter: Stripe's body as it came, or ours as it was made. None where it is not here any
    more. Raises NotYet."""
    if delivery.event.startswith(DESK_PREFIX):
        return DeskEvent.objects.filter(pk=delivery.event).values_list("body", flat=True).first()
    stored = Event.stored([Event(id=delivery.event, created=delivery.event_created)])
    event = stored.only("body", "object_type", "object_id").first()
    if event is None:
        return None
    if _awaits_refetch(delivery, event):
        raise NotYet
    return event.body


def _awaits_refetch(delivery: Delivery, event: Event) -> bool:
    """Whether the mirror may still hold an older state of the event's object, because a read of it is to come: a
    service that asks for the object at once is to see what the event tells."""
    if clock.now() - delivery.written_at > REFETCH_AWAITED:
        return False
    return ScheduledRefetch.objects.filter(
        object_type=event.object_type, object_id=event.object_id, only_payments=False, given_up_at=None
    ).exists()


def give_back(delivery: Delivery, wait: timedelta = timedelta(0)) -> None:
    """It was not sent, and is due again after this wait."""
    mine = Delivery.objects.filter(pk=delivery.pk, token=delivery.token)
    mine.update(next_attempt_at=clock.now() + wait, token=None)


# --- what became of it ------------------------------------------------------------------------------------------------


def delivered(delivery: Delivery, at: datetime, seconds: float, status: int) -> None:
    """The service took it. Where somebody asked for it once more meanwhile, that stays."""
    with transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk, token=delivery.token).update(
            state=State.DELIVERED,
            attempts=F("attempts") + 1,
            token=None,
            last_status=status,
            last_error="",
            ended_at=clock.now(),
        )
        DeliveryAttempt.objects.create(delivery=delivery, at=at, seconds=seconds, status=status)


def not_taken(delivery: Delivery, at: datetime, seconds: float, status: int | None, error: str) -> None:
    """The service did not take it. The next attempt is after twice the wait, give or take a quarter; after
    DELIVERY_GIVEN_UP there is none."""
    now = clock.now()
    given_up = now - delivery.due_since >= DELIVERY_GIVEN_UP
    wait = min(FIRST_DELIVERY_RETRY * 2 ** min(delivery.retries, 20), LAST_DELIVERY_RETRY) * chance.uniform(0.75, 1.25)
    with transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk, token=delivery.token, state=State.PENDING).update(
            state=State.FAILED if given_up else State.PENDING,
            attempts=F("attempts") + 1,
            retries=F("retries") + 1,
            next_attempt_at=now + wait,
            token=None,
            last_status=status,
            last_error=error,
            ended_at=now if given_up else None,
        )
        DeliveryAttempt.objects.create(delivery=delivery, at=at, seconds=seconds, status=status, error=error)


def gone(delivery: Delivery) -> None:
    """The event left the database before it was sent."""
    Delivery.objects.filter(pk=delivery.pk, token=delivery.token).update(
        state=State.ABANDONED,
        token=None,
        last_error="The event is not in the database any more: it was archived or removed.",
        ended_at=clock.now(),
    )


def abandon(endpoint: str, why: str) -> int:
    """Nothing more of what is owed to this endpoint is sent; how many. Whoever calls it holds the endpoint's row."""
    waiting = Delivery.objects.filter(endpoint=endpoint, state=State.PENDING)
    return waiting.update(state=State.ABANDONED, last_error=why, ended_at=clock.now())


# --- once more --------------------------------------------------------------------------------------------------------


def again(deliveries: QuerySet[Delivery]) -> int:
    """These are due at once, with a whole DELIVERY_GIVEN_UP left; how many. What a worker is sending just now is sent
    once more after it."""
    now = clock.now()
    fresh = {"state": State.PENDING, "due_since": now, "next_attempt_at": now, "token": None, "ended_at": None}
    asked = deliveries.update(retries=0, **fresh)
    transaction.on_commit(lambda: wake("deliver_events"), robust=True)
    return asked


def _owe_again(endpoint: WebhookEndpoint, events: Sequence[tuple[str, str, datetime | None]]) -> None:
    """These events go to the endpoint once more, also those that were not owed to it."""
    again(Delivery.objects.filter(endpoint=endpoint, event__in=[id for id, _, _ in events]))
    owe_to([endpoint], events)


def owe_again_of_ours(endpoint: WebhookEndpoint, since: datetime) -> None:
    """What operations have come to since this moment goes to the endpoint once more; no tests, which are of one
    endpoint."""
    ours = DeskEvent.objects.filter(created_at__gte=since).exclude(operation=None).order_by("pk")
    taken = ((id, type) for id, type in ours.values_list("pk", "type").iterator(ROWS_AT_ONCE) if endpoint.takes(type))
    while some := list(islice(taken, ROWS_AT_ONCE)):
        _owe_again(endpoint, [(id, type, None) for id, type in some])


def queue_redeliveries() -> int:
    """Goes on with the redeliveries that people asked for, by some hundred events of each in a transaction; how many
    were looked at. A worker that dies loses none: how far it has come stands in the endpoint's row."""
    asked = WebhookEndpoint.objects.filter(redeliver_from__isnull=False, disabled_at=None, deleted_at=None)
    return sum(_queue_some(pk) for pk in asked.values_list("pk", flat=True))


def _queue_some(id: str) -> int:
    with transaction.atomic():
        endpoint = (
            WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=id, redeliver_from__isnull=False).first()
        )
        if endpoint is None or not endpoint.is_enabled:
            return 0
        since, after, until = endpoint.redeliver_from, endpoint.redeliver_after, endpoint.redeliver_until
        following = Event.objects.filter(Q(received_at__gt=since) | Q(received_at=since, pk__gt=after))
        found = list(
            following.filter(received_at__gte=since, received_at__lte=until)
            .order_by("received_at", "pk")
            .only("type", "created", "received_at", "state")[:EVENTS_AT_ONCE]
        )
        # Who processes one just now may have seen the endpoint switched off, and owes nothing: it is looked at again.
        ready = list(takewhile(lambda each: each.state != Event.State.PENDING or not endpoint.takes(each.type), found))
        if found and not ready:
            return 0
        wanted = [event for event in ready if event.state == Event.State.DONE and endpoint.takes(event.type)]
        _owe_again(endpoint, [(event.pk, event.type, event.created) for event in wanted])
        is_all = len(ready) == len(found) < EVENTS_AT_ONCE
        last = None if is_all else ready[-1]
        endpoint.redeliver_from = last.received_at if last else None
        endpoint.redeliver_after = last.pk if last else ""
        endpoint.save(update_fields=["redeliver_from", "redeliver_after"])
        return len(ready)


# --- afterwards -------------------------------------------------------------------------------------------------------


def remove_old() -> int:
    """Removes what ended longer ago than DELIVERY_KEPT, and our events that are older than DESK_EVENT_KEPT; how many
    deliveries."""
    now, removed = clock.now(), 0
    switched_off = WebhookEndpoint.objects.exclude(disabled_at=None, deleted_at=None).order_by("pk")
    for id in switched_off.values_list("pk", flat=True):
        with transaction.atomic():  # what was written while it was switched off; not where it is on again by now
            if switched_off.select_for_update(no_key=True).filter(pk=id).exists():
                abandon(id, "The endpoint was disabled.")
    DeskEvent.objects.filter(created_at__lt=now - DESK_EVENT_KEPT).delete()
    while count := _remove_some(now - DELIVERY_KEPT):
        removed += count
    return removed


def _remove_some(before: datetime) -> int:
    """Locks what it removes: somebody may ask for an old one once more at this moment, and either has it, or is told
    that it is gone."""
    with transaction.atomic():
        ended = Delivery.objects.select_for_update(skip_locked=True).filter(ended_at__lt=before)
        old = list(ended.values_list("pk", flat=True)[:ROWS_AT_ONCE])
        Delivery.objects.filter(pk__in=old).delete()
    return len(old)
