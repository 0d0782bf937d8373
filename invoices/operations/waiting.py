"""Holds a caller of the API until an operation has an outcome, so that a program need not ask again and again.

What came of it is found out by settling, under its own claim and by its own rules; here it is only asked to look at
once. Whoever waits holds no connection to the database, and only so many wait at the same time in one process, because
each of them holds one of its threads.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.conf import settings

from invoices import clock, interruption, turns
from invoices.models import Operation
from invoices.operations.settle import settle

Found = TypeVar("Found")

State = Operation.State
DEFAULT_SECONDS = 8  # for which an action's answer is held
MAX_SECONDS = 30
INTERVAL_SECONDS = 0.2  # between two looks at the journal
BEING_DONE = (State.RUNNING, State.UNKNOWN)
NOT_OVER = (*Operation.UNFINISHED, State.AWAITING_APPROVAL)


class _Places:
    """How many wait at the moment, in this process."""

    def __init__(self) -> None:
        self._lock, self._taken = threading.Lock(), 0

    @contextmanager
    def one(self, places: int) -> Iterator[bool]:
        """A place to wait in; False where so many are taken."""
        with self._lock:
            free = self._taken < places
            self._taken += free
        try:
            yield free
        finally:
            with self._lock:
                self._taken -= free


_places = _Places()


def settled(operation: Operation, seconds: float) -> Operation:
    """The operation once it has an outcome: it is looked at on the spot, then whenever its turn comes. As it is, where
    that takes longer than so many seconds, or too many wait already."""
    if operation.state not in BEING_DONE or seconds <= 0:
        return operation
    looked = False

    def look() -> Operation | None:
        nonlocal looked
        found = Operation.objects.get(pk=operation.pk)
        at_once = found.state == State.UNKNOWN and not looked
        if at_once or _is_due(found):
            looked = looked or at_once
            settle(found.pk, at_once=at_once)
            found = Operation.objects.get(pk=operation.pk)
        return found if found.state not in BEING_DONE else None

    return until(look, seconds, settings.OUTCOME_WAITERS) or Operation.objects.get(pk=operation.pk)


def over(id: uuid.UUID, seconds: float) -> None:
    """Returns once the operation is over, or money is under way: what waits for a second person is waited for too.
    Nothing is looked at: that is for the workers."""
    until(lambda: Operation.objects.filter(pk=id).exclude(state__in=NOT_OVER).first(), seconds)


def until(look: Callable[[], Found | None], seconds: float, places: int | None = None) -> Found | None:
    """What `look` brings, as soon as it is something. None after so many seconds, or where so many wait already: half
    of the places unless it is said, because whoever may read can watch what nobody decides on."""
    deadline, found = time.monotonic() + seconds, look()
    with _places.one((settings.OUTCOME_WAITERS + 1) // 2 if places is None else places) as may_wait:
        while may_wait and found is None and time.monotonic() < deadline and not interruption.asked():
            turns.give_up()
            time.sleep(max(0.0, min(INTERVAL_SECONDS, deadline - time.monotonic())))
            found = look()
    return found


def _is_due(operation: Operation) -> bool:
    """Whether its turn to be settled has come. Asked before `settle` claims it, because that is a write."""
    if operation.claimed_until is not None:
        return operation.claimed_until < clock.now()
    return operation.state == State.UNKNOWN and (operation.settle_at is None or operation.settle_at <= clock.now())
