"""Walks the windows of a run: page by page from Stripe, a few windows at once, each split where much is left of it.

A window is planned as large as it may be, because each end of a window costs a request. Where a thread has nothing to
do, it takes over the older part of a window that another one is walking. So a short list costs its pages, and a long
one is walked by all threads.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from invoices import gateway
from invoices.models import CreditNote, InvoicePayment, ReconciliationRun
from invoices.models.reading import integer, is_id, member
from invoices.reconcile.long_invoices import with_all_lines
from invoices.reconcile.retry import with_retries
from invoices.reconcile.windows import DAY_SECONDS, Window
from invoices.snapshot import Snapshot, is_object

PAGES_PER_SPLIT = 80  # a split may cost one request more, so there is one for so many pages that were read
SECONDS_BETWEEN_LOOKS = 0.5  # of a thread without a window, at whether there is one, or the run ends
UNORDERED = frozenset({InvoicePayment.OBJECT, CreditNote.OBJECT})  # Stripe promises no order of their lists
FAR_FUTURE = 2**40  # Stripe's seconds


@dataclass(frozen=True)
class Place:
    """How far a list was read: all that was created after `second` (Stripe's seconds), and of that second the objects
    `ids`, in Stripe's order. The last one is Stripe's cursor."""

    second: int
    ids: tuple[str, ...]

    @classmethod
    def read(cls, stored: str | None) -> Place | None:
        """From a run's progress, as `stored` gives it."""
        if not stored:
            return None
        second, *ids = stored.partition("/")[0].split()
        return cls(int(second), tuple(ids))

    def stored(self, unlisted: Iterable[str]) -> str:
        """For a run's progress, with the rows that were not listed so far: `unlisted_before`."""
        return " ".join([str(self.second), *self.ids, "/", *sorted(unlisted)])


def unlisted_before(stored: str | None) -> set[str]:
    """The ids of the mirror's rows that Stripe should have listed before this place, and had not."""
    return set((stored or "").partition("/")[2].split())


@dataclass(frozen=True)
class Page:
    """A page of a window, as it is to be written."""

    snapshots: list[Snapshot]
    refused: list[Any]  # members that are no objects of a mirrored kind
    counts: Counter[str]  # of invoices that had to be read whole, and could not
    ids: set[str]  # of the objects that Stripe lists, without those that were deleted meanwhile
    before: Place | None  # where it begins, and where it ends; None: the beginning, and the end, of the window
    after: Place | None


class Walk:
    """One window that is walked, from the newest object to the oldest, as Stripe lists them."""

    def __init__(self, window: Window, place: Place | None = None) -> None:
        self.window = window  # its start grows when it is split
        self.pages_read = 0
        self._place = place
        self._first_second: int | None = place.second if place else None
        self._read = False  # to its end
        self._lock = threading.Lock()  # between the thread that reads and the one that splits

    def pages(self, run: ReconciliationRun) -> Iterator[Page]:
        """Throttled, and retried while Stripe or the database is away. Raises GatewayError, RunLost, and what else
        `with_retries` raises."""
        while not self._read:
            window, before = self.window, self._place
            listed, reply = _read_page(run, window, before)
            members = reply.data["data"]
            start, after = self._advance(members, has_more=reply.data["has_more"])
            known = set(before.ids if before else ())  # of these some may be listed again: `_read_page`
            listed = [each for each in listed if each.id not in known and _is_since(start, each.data)]
            snapshots, counts = with_all_lines(run, listed)
            deleted = {each.id for each in snapshots if each.deleted}  # since it was listed
            yield Page(
                snapshots=[each for each in snapshots if not each.deleted],
                refused=[each for each in members if not is_object(each) and _is_since(start, each)],
                counts=counts,
                ids={each.id for each in listed} - deleted,
                before=before,
                after=after,
            )

    def _advance(self, members: list[Any], *, has_more: bool) -> tuple[int | None, Place | None]:
        """Notes that a page was read: from which second on its members belong to the window, and where the next page
        begins. The start may have grown while the page was on its way: others walk what is older."""
        with self._lock:
            self.pages_read += 1
            start, before = self.window.start, self._place
            in_order = self.window.object not in UNORDERED and _is_in_order(members)
            rest_is_older = in_order and not _is_since(start, members[-1]) if members else True
            if not has_more or rest_is_older:
                self._read, self._place = True, None
            else:
                self._place = _place_after(before, members, self.window)
                if self._first_second is None:
                    self._first_second = _second(members[0], self._place.second)
            return start, self._place

    @property
    def seconds_left(self) -> float:
        """Of the objects' creation, at most, as far as it is known."""
        start, place = self.window.start, self._place
        if self._read or place is None:
            return 0.0
        return float("inf") if start is None else place.second - start

    def split(self, note: Callable[[Window, Window], None]) -> Walk | None:
        """Leaves the older part of what was not read yet to somebody else: that part. None where nothing is left.

        `note` writes both parts into the run's progress. Nothing is read meanwhile: otherwise the newer part could be
        finished before the older one is in the progress, and a run that is killed then would not go on with it."""
        with self._lock:
            if self._read or self._place is None or self._first_second is None:
                return None
            start, second = self.window.start, self._place.second
            # Where nothing tells how old the oldest object is: as much again as was walked.
            walked = max(self._first_second - second, DAY_SECONDS)
            edge = second - walked if start is None else (start + second) // 2
            if not (start or 0) < edge < second:
                return None
            newer, older = replace(self.window, start=edge), replace(self.window, end=edge)
            note(newer, older)
            self.window = newer
            return Walk(older)


def _read_page(run: ReconciliationRun, window: Window, before: Place | None) -> tuple[list[Snapshot], gateway.Reply]:
    """The page that begins at this place.

    Stripe refuses a cursor that it has no more, such as a deleted draft, or an invoice that has left the list of its
    status. The list then goes on at the place's second: Stripe lists again what we know of it. One without an order
    begins again.
    """
    read = partial(gateway.list_page, window.object, throttled=True)
    if before is None:
        return with_retries(run, partial(read, **window.params()))
    try:
        return with_retries(run, partial(read, **window.params(), starting_after=before.ids[-1]))
    except (gateway.RefusedByStripe, gateway.Missing) as error:
        if member(error.body, "param") != "starting_after":
            raise
    if window.object not in UNORDERED:
        window = replace(window, end=min(before.second + 1, window.end or FAR_FUTURE))
    return with_retries(run, partial(read, **window.params()))


def _is_since(start: int | None, data: Any) -> bool:
    return start is None or _second(data, FAR_FUTURE) >= start


def _is_in_order(members: list[Any]) -> bool:
    seconds = [_second(each, FAR_FUTURE) for each in members]
    return seconds == sorted(seconds, reverse=True)


def _second(data: Any, default: int) -> int:
    second = integer(data, "created")
    return default if second is None else second


def _place_after(before: Place | None, members: list[Any], window: Window) -> Place:
    """Stripe lists the newest first. An object that is out of order, or does not say when it was created, does no harm:
    an older one stays known until its second, and all stay known until an object says when it was created."""
    highest = before.second if before else window.end or FAR_FUTURE
    second = _second(members[-1], highest)
    known = [(id, highest) for id in (before.ids if before else ())]
    known += [(each["id"], _second(each, second)) for each in members if is_id(member(each, "id"))]
    second, last = min(second, highest), members[-1]["id"]
    ids = [id for id, created in known if (created <= second or second == highest) and id != last]
    return Place(second, (*ids, last))


class Walks:
    """Which windows of a run wait, and which are walked now."""

    def __init__(self, windows: Iterable[Walk], split: Callable[[Walk], Walk | None]) -> None:
        """`split` notes in the run's progress that a walk was split; the older part, or None."""
        self._waiting, self._split = deque(windows), split
        self._walked: list[Walk] = []
        self._pages = self._splits = 0
        self._changed = threading.Condition()

    def take(self, ended: threading.Event) -> Walk | None:
        """The next window. Where none waits, a part of one that is walked, as soon as enough of it was read; None where
        all are walked, or the run has ended. Raises what `split` raises."""
        while not ended.is_set():
            with self._changed:
                if self._waiting:
                    walk = self._waiting.popleft()
                    self._walked.append(walk)
                    return walk
                if not self._walked:
                    return None
                candidate = self._candidate()
                if candidate is None:
                    self._changed.wait(SECONDS_BETWEEN_LOOKS)
                    continue
                self._splits += 1
            older = self._split(candidate)
            with self._changed:
                if older is not None:
                    self._walked.append(older)
                    return older
                self._splits -= 1
                self._changed.wait(SECONDS_BETWEEN_LOOKS)
        return None

    def _candidate(self) -> Walk | None:
        pages = self._pages + sum(walk.pages_read for walk in self._walked)
        if pages < PAGES_PER_SPLIT * (self._splits + 1):
            return None
        return max(self._walked, key=lambda walk: walk.seconds_left)

    def leave(self, walk: Walk) -> None:
        """Nobody walks it any more."""
        with self._changed:
            self._walked.remove(walk)
            self._pages += walk.pages_read
            self._changed.notify_all()
