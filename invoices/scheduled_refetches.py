"""The queue of refetches: asking for one, taking some fairly, and what became of each.

A refetch is asked for where the mirror cannot tell which of two states is the newer one. Any read that began after the
asking, and was stored, meets it (`done`). What a worker takes is postponed by a lease: if the worker dies, it comes due
again.

The table comes last in the order of locks, after those of the mirror. Several of its rows are locked in the order of
(object_type, object_id). Whoever does otherwise locks a single row in a transaction of its own, or waits for no lock.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, zip_longest

from django.db import connection, transaction
from django.db.models import QuerySet

from invoices import clock
from invoices.models import MIRRORED, ScheduledRefetch
from invoices.models.reading import storable
from invoices.thresholds import (
    FIRST_REFETCH_RETRY,
    LAST_REFETCH_RETRY,
    LAST_UNANSWERED_RETRY,
    PAYMENTS_DELAY,
    REFETCH_DELAY,
    REFETCH_GIVEN_UP,
    REFETCH_LEASE,
)

IDS_PER_QUERY = 500
chance = random.Random()

# Django's own upsert cannot keep the earlier of two moments. Both databases understand this.
ASK = """
INSERT INTO invoices_scheduledrefetch AS held
    (object_type, object_id, asked_at, due_at, wanted_at, only_payments, attempts, error)
VALUES (%s, %s, %s, %s, %s, %s, 0, '')
ON CONFLICT (object_type, object_id) DO UPDATE SET
    asked_at = CASE WHEN held.asked_at > excluded.asked_at THEN held.asked_at ELSE excluded.asked_at END,
    due_at = CASE WHEN held.given_up_at IS NULL AND held.due_at < excluded.due_at
        THEN held.due_at ELSE excluded.due_at END,
    wanted_at = COALESCE(excluded.wanted_at, held.wanted_at),
    only_payments = held.only_payments AND excluded.only_payments,
    token = NULL,
    given_up_at = NULL
"""


# --- asking -----------------------------------------------------------------------------------------------------------


def schedule(
    objects: Iterable[tuple[str, str]], *, wanted: bool = False, payments_of: Iterable[tuple[str, str]] = ()
) -> None:
    """Asks for a refetch of each of these objects, named by kind and id, whether the mirror holds it or not.

    It is due at the earlier of its present moment and soon. A worker may be reading the object now, and may have looked
    at it before the reason for this asking: it loses its token, and its read does not meet this asking. `wanted`: a
    person waits for it. `payments_of`: invoices that are certain, but of which a payment ought to have ended.
    """
    asked = dict.fromkeys(payments_of, True) | dict.fromkeys(objects, False)  # → whether only for its payments
    if not asked:
        return
    now = clock.now()
    rows = []
    for (object, id), only_payments in sorted(asked.items()):
        moments = (now, now + (PAYMENTS_DELAY if only_payments else REFETCH_DELAY), now if wanted else None)
        stored = [moment and connection.ops.adapt_datetimefield_value(moment) for moment in moments]
        rows.append((object, id, *stored, only_payments))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(ASK, rows)


def waiting(object: str, ids: list[str]) -> set[str]:
    """Those of these objects that are about to be read. Not those that were given up: nobody will read them."""
    found: set[str] = set()
    rows = ScheduledRefetch.objects.filter(object_type=object, given_up_at=None)
    if len(ids) > 1 and not rows.exists():  # to ask for one id costs no more than this
        return found
    for start in range(0, len(ids), IDS_PER_QUERY):
        those = rows.filter(object_id__in=ids[start : start + IDS_PER_QUERY])
        found.update(those.values_list("object_id", flat=True))
    return found


def look(object: str, id: str) -> bool:
    """Whether the object is about to be read. Somebody is looking at it: it then comes before those nobody looks at."""
    row = ScheduledRefetch.objects.filter(object_type=object, object_id=id, given_up_at=None).first()
    if row is not None and row.wanted_at is None:
        ScheduledRefetch.objects.filter(pk=row.pk).update(wanted_at=clock.now())
    return row is not None


# --- taking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """A refetch that this process took. It may postpone it only while `token` stands in the row."""

    pk: int
    object: str
    id: str
    token: uuid.UUID
    only_payments: bool


def take(limit: int) -> list[Taken]:
    """Takes up to `limit` refetches that are due: postpones each by a lease, and marks it with a token.

    First, in at most half of the places, what people look at, the newest asking first. Then in turns, of each kind of
    object, one that has not failed yet and one that has: neither many of one kind nor many that always fail keep the
    others waiting. If this process dies, they come due again when the lease has run out.
    """
    due = ScheduledRefetch.objects.filter(due_at__lte=clock.now(), given_up_at=None)
    if not due.exists():
        return []
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True)  # on SQLite the transaction below is the only one that writes
    with transaction.atomic():
        wanted = due.filter(wanted_at__isnull=False).order_by("-wanted_at")[: (limit + 1) // 2]
        chosen = {row.pk: row for row in wanted}
        for row in islice(_in_turns(due, chosen, limit), limit - len(chosen)):
            chosen[row.pk] = row
        token = uuid.uuid4()
        ScheduledRefetch.objects.filter(pk__in=chosen).update(due_at=clock.now() + REFETCH_LEASE, token=token)
    return [Taken(row.pk, row.object_type, row.object_id, token, row.only_payments) for row in chosen.values()]


def _in_turns(
    due: QuerySet[ScheduledRefetch], besides: dict[int, ScheduledRefetch], limit: int
) -> Iterator[ScheduledRefetch]:
    """Of each lane the one that is due for longest, then of each the next, without those that were chosen before."""
    lanes = [
        due.filter(object_type=object, failing_since__isnull=not fails)
        .exclude(pk__in=list(besides))
        .order_by("due_at", "pk")
        for fails in (False, True)
        for object in MIRRORED
    ]
    for turn in zip_longest(*(lane[:limit] for lane in lanes)):
        yield from (row for row in turn if row is not None)


# --- what became of it ------------------------------------------------------------------------------------------------


def done(object: str, id: str, begun_at: datetime) -> None:
    """A read of the object that began at this moment was stored. What was asked for after that stays scheduled."""
    ScheduledRefetch.objects.filter(object_type=object, object_id=id, asked_at__lt=begun_at).delete()


def needless(taken: Taken) -> None:
    """What it was to bring came without it. What was asked for meanwhile stays scheduled."""
    ScheduledRefetch.objects.filter(pk=taken.pk, token=taken.token).delete()


def failed(taken: Taken, error: str, *, answered: bool = True, retry_after: float | None = None) -> None:
    """The read failed. The next attempt is after twice the wait, give or take a quarter, but not before `retry_after`
    seconds; after REFETCH_GIVEN_UP of failing there is none. `answered`: whether Stripe said that it failed.

    Does nothing if it was asked for again, or taken by another worker, meanwhile.
    """
    mine = ScheduledRefetch.objects.filter(pk=taken.pk, token=taken.token)
    row = mine.first()
    if row is None:
        return
    now = clock.now()
    since = row.failing_since or now
    longest = LAST_REFETCH_RETRY if answered else LAST_UNANSWERED_RETRY
    wait = min(FIRST_REFETCH_RETRY * 2 ** min(row.attempts, 30), longest) * chance.uniform(0.75, 1.25)
    mine.update(
        attempts=row.attempts + 1,
        failing_since=since,
        error=storable(error, limit=2000),
        due_at=now + max(wait, stripes_wait(retry_after)),
        given_up_at=now if now - since >= REFETCH_GIVEN_UP else None,
        token=None,
        wanted_at=None,  # it had its turn: what people look at must not wait for what fails
    )


def stripes_wait(retry_after: float | None) -> timedelta:
    """The wait in seconds that an answer names, at most LAST_REFETCH_RETRY: the answer may be a proxy's."""
    return timedelta(seconds=min(retry_after or 0, LAST_REFETCH_RETRY.total_seconds()))


def give_back(taken: Iterable[Taken]) -> None:
    """These were not tried: they are due again at once."""
    for one in taken:  # one at a time, because of the order of locks
        ScheduledRefetch.objects.filter(pk=one.pk, token=one.token).update(due_at=clock.now(), token=None)


def try_again(ids: Iterable[str] = ()) -> int:
    """Makes those that were given up due at once, with a whole REFETCH_GIVEN_UP left: of these objects, or all where
    none is named. How many."""
    given_up = ScheduledRefetch.objects.filter(given_up_at__isnull=False)
    if wanted := list(ids):
        given_up = given_up.filter(object_id__in=wanted)
    with transaction.atomic():
        locked = given_up.select_for_update().order_by("object_type", "object_id").values_list("pk", flat=True)
        now = clock.now()
        return ScheduledRefetch.objects.filter(pk__in=list(locked)).update(
            given_up_at=None, failing_since=None, attempts=0, due_at=now
        )
