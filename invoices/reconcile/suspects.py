"""One window of a proof: Stripe's pages against the rows of their ids, then the rows that no page named.

Nothing relies on the order of a list: Stripe promises none for objects of one second, nor for invoice payments.

A difference between a page of Stripe's list and a row proves nothing yet: the object may have changed between the two
readings, and its event may be on the way. So it is a suspect, and is judged some seconds later: by the events and
refetches under way, and by a read of its own that began after the row was written.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any

from django.db import transaction

from invoices import clock, gateway, interruption, scheduled_refetches
from invoices.models import MIRRORED, Drift, Mirrored, ReconciliationRun
from invoices.models.reading import moment, storable, storable_json, text
from invoices.models.reconciliation import ReportDay
from invoices.reconcile import compare, explaining, runs, unreadable
from invoices.reconcile.retry import with_retries
from invoices.reconcile.rows import ids_newest_first
from invoices.reconcile.sides import Figures, Side, comparable, figures
from invoices.reconcile.windows import Window, listed
from invoices.snapshot import CLOCK_MARGIN, STAMP_RESOLUTION, Snapshot
from invoices.thresholds import EVENT_ARRIVES

UNDATED_DAY = datetime.fromtimestamp(0, UTC)  # for objects that do not say when they were created
SUSPECTS_AT_ONCE = 100  # that are held in memory, with Stripe's object
LOOKED_UP_PER_WINDOW = 200  # suspects that are retrieved singly; what differs beyond them is judged by the list
WRITTEN_PER_DAY = 1000  # objects of one kind and day whose differences are written down; beyond them they are counted

Kind = Drift.Kind
# Of `ReportKind.found`.
DIFFERENT = frozenset({"missing_here", "missing_at_stripe", "differs", "columns", "unreadable"})


class Explanation(Enum):
    """Why a difference is none."""

    IN_FLIGHT = "in_flight"  # an event or a refetch is under way
    NEXT_SWEEP = "next_sweep"  # Stripe sends no event of this state
    NOT_IMPORTED = "not_imported"  # no full run has walked this kind yet


@dataclass
class Day:
    """Both sides of one day."""

    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    found: Counter[str] = field(default_factory=Counter)  # as in ReportKind
    written: int = 0  # objects whose differences were written down

    @property
    def equal(self) -> bool:
        return self.ours == self.theirs and not DIFFERENT & self.found.keys()

    def as_dict(self, object: str, day: str) -> ReportDay:
        """For the report."""
        return {
            "object": object,
            "day": day,
            "equal": self.equal,
            "ours": self.ours.as_dict(),
            "theirs": self.theirs.as_dict(),
            "found": dict(self.found),
        }


@dataclass
class Covered:
    """What a window held, and what comparing it took. Numbers of objects, if nothing else is said."""

    seen: int = 0
    here: int = 0
    at_stripe: int = 0
    same: int = 0
    in_flight: int = 0
    different: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    looked_up: int = 0
    by_list: int = 0
    unwritten: int = 0
    long_invoices: int = 0
    line_requests: int = 0  # requests


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in one of Stripe's lists."""

    id: str
    data: dict[str, Any]
    created: datetime | None  # None: the object does not say
    snapshot: Snapshot  # when the page was true


@dataclass(frozen=True, slots=True)
class Suspect:
    """An object of which the two sides seemed to differ."""

    id: str
    day: str
    ours: Figures | None  # what it added to its day
    theirs: Figures | None
    listed: Listed | None  # None: no page named it
    seen_at: float  # time.monotonic


class WindowProof:
    """Compares one window. Its results are `days` and `covered`; the differences are written down as drift."""

    def __init__(
        self,
        run: ReconciliationRun,
        window: Window,
        *,
        all_lines: bool,
        swept_at: datetime | None,
        awaited: bool = False,
        ended: threading.Event | None = None,
    ) -> None:
        """`swept_at`: the database's clock when the last sweep or full run began that has finished. `awaited`: this
        kind is newer than the import (`importing.is_awaited`). `ended` is set when the run ends early: the walk then
        stops at its next page, and proves nothing."""
        self.run, self.window, self.all_lines, self.swept_at = run, window, all_lines, swept_at
        self.ended = ended or threading.Event()
        self.model = MIRRORED[window.object]
        self.days: dict[str, Day] = defaultdict(Day)
        self.covered = Covered()
        self._suspects: list[Suspect] = []
        # Ids that need not be looked for at Stripe again. At most as many as the mirror has rows in the window, which
        # bounds the memory: `windows_of_proof`.
        self._met: set[str] = set()
        self._began = with_retries(run, clock.now)
        self._is_awaited = awaited

    # --- the walk -----------------------------------------------------------------------------------------------------

    def walk(self) -> WindowProof:
        """Compares Stripe's list with the rows. Raises GatewayError, and what else `with_retries` raises."""
        for snapshots, refused in listed(self.run, self.window):
            if self.ended.is_set():
                return self
            self._count_unreadable(None, unreadable.record_members(self.run, self.window.object, refused)["failed"])
            self._compare_page([one for one in map(self._listed, snapshots) if one])
        self._judge_suspects()  # before the rows are walked: one of theirs may have come here meanwhile
        rows = self.window.rows()
        self._compare_unlisted(id for id in ids_newest_first(self.run, rows) if id not in self._met)
        return self

    def walk_undated(self) -> WindowProof:
        """Compares the rows that do not say when they were created, one by one. Raises as `walk` does."""
        undated = self.model.objects.filter(deleted_at=None, created=None).order_by("pk").values_list("pk", flat=True)
        self._compare_unlisted(with_retries(self.run, lambda: list(undated)))
        return self

    def _listed(self, snapshot: Snapshot) -> Listed | None:
        """None where the object cannot be compared, which is recorded."""
        data = snapshot.data or {}
        try:
            if self.all_lines:
                self._complete_lines(data)
            self._their_figures(data)
        except unreadable.FAULT_OF_AN_OBJECT as error:
            self._record_unreadable(snapshot.id, _created_of(data), error, data)
            return None
        return Listed(snapshot.id, data, _created_of(data), snapshot)

    def _record_unreadable(self, id: str, created: datetime | None, error: Exception, data: Any = None) -> None:
        """Whether the object is the same on both sides nobody can tell: it is on neither side, and fails the proof."""
        self._met.add(id)
        self._count_unreadable(created, unreadable.record(self.run, self.window.object, id, error, data)["failed"])

    def _count_unreadable(self, created: datetime | None, number: int) -> None:
        if number:
            self.covered.seen += number
            self.covered.different += number
            self.days[_day(created)].found["unreadable"] += number

    def _compare_page(self, page: list[Listed]) -> None:
        rows = with_retries(self.run, lambda: self._rows([one.id for one in page]))
        self._forget([one.id for one in page])
        for theirs in page:
            ours = rows.get(theirs.id)
            if ours and _day(ours.created) == _day(theirs.created):
                self._met.add(theirs.id)
                if ours.created is not None:  # otherwise it is compared with the undated rows
                    self._meet(theirs.id, theirs.created, theirs, ours)
            else:
                self._meet(theirs.id, theirs.created, theirs, None)

    def _compare_unlisted(self, ids: Iterable[str]) -> None:
        for some in _portions(ids):
            if self.ended.is_set():
                return
            rows = with_retries(self.run, partial(self._rows, some))
            self._forget(some)
            for row in rows.values():
                self._meet(row.pk, row.created, None, row)
        self._judge_suspects()

    def _forget(self, ids: list[str]) -> None:
        """Takes back what this run wrote down of these objects before it was interrupted in this window: they are
        compared anew, and may be equal by now."""
        if self.run.progress.interruptions:
            written = Drift.objects.filter(run=self.run, object_type=self.window.object, object_id__in=ids)
            with_retries(self.run, lambda: written.filter(found_at__lt=self._began).delete())

    def _complete_lines(self, found: dict[str, Any]) -> None:
        try:
            requests = with_retries(self.run, lambda: gateway.complete_lines(found, throttled=True))
        except gateway.Missing:
            return  # a draft that was deleted since it was listed: it is a suspect, and is retrieved
        self.covered.line_requests += requests
        self.covered.long_invoices += requests > 0

    def _meet(self, id: str, created: datetime | None, theirs: Listed | None, ours: Mirrored | None) -> None:
        """Adds one object to the sides of its day that have it there."""
        day = _day(created)
        if theirs and not ours and self._is_awaited:  # nothing that would have to be looked up, or written down
            self.covered.seen += 1
            self.covered.in_flight += 1
            self.days[day].found[Explanation.NOT_IMPORTED.value] += 1
            return
        our = self._our_figures(ours) if ours else None
        their = self._their_figures(theirs.data) if theirs else None
        covered = self.covered
        covered.seen += 1
        covered.here += our is not None
        covered.at_stripe += their is not None
        if created:
            covered.oldest = min(covered.oldest or created, created)
            covered.newest = max(covered.newest or created, created)
        self.days[day].ours.add(our)
        self.days[day].theirs.add(their)
        if our == their and ours and not ours.wrong_columns():
            covered.same += 1
            return
        self._suspects.append(Suspect(id, day, our, their, theirs, time.monotonic()))
        if len(self._suspects) >= SUSPECTS_AT_ONCE:
            self._judge_suspects()

    def _our_figures(self, row: Mirrored) -> Figures:
        return figures(self.window.object, self._ours(row))

    def _their_figures(self, data: dict[str, Any]) -> Figures:
        return figures(self.window.object, self._theirs(data))

    def _ours(self, row: Mirrored) -> dict[str, Any]:
        return comparable(row.data if isinstance(row.data, dict) else {}, all_lines=self.all_lines, ours=True)

    def _theirs(self, data: dict[str, Any]) -> dict[str, Any]:
        return comparable(data, all_lines=self.all_lines, ours=False)

    # --- the suspects -------------------------------------------------------------------------------------------------

    def _judge_suspects(self) -> None:
        suspects, self._suspects = self._suspects, []
        if not suspects:
            return
        self._wait_for_events(suspects)
        drift: list[Drift] = []
        rows, under_way = with_retries(self.run, lambda: self._look_up(suspects))
        for suspect in suspects:
            drift += self._judge(suspect, rows.get(suspect.id), suspect.id in under_way)
        with_retries(self.run, lambda: self._write(drift))

    def _write(self, drift: list[Drift]) -> None:
        """Done again, after a commit whose answer was lost, it changes nothing. Raises RunLost."""
        with transaction.atomic():
            runs.show_alive(self.run)  # and locks its row: whoever goes on with the run waits
            new = self._not_written_before(drift)
            explaining.carry_over(new)
            Drift.objects.bulk_create(new)

    def _wait_for_events(self, suspects: list[Suspect]) -> None:
        """Until the event of a change that the list showed has arrived; not where so much differs that it is none."""
        age = time.monotonic() - suspects[-1].seen_at
        if self.covered.looked_up < LOOKED_UP_PER_WINDOW:
            interruption.pause(max(EVENT_ARRIVES.total_seconds() - age, 0))

    def _look_up(self, suspects: Sequence[Suspect]) -> tuple[dict[str, Mirrored], set[str]]:
        """The rows as they are now, without deleted ones, and the ids of which an event or a refetch is under way."""
        ids = [suspect.id for suspect in suspects]
        rows = self._rows(ids)
        under_way = compare.pending(ids) | scheduled_refetches.waiting(self.window.object, ids)
        if self.window.object == "invoice_payment":  # a refetch of an invoice reads its payments too
            listed = {suspect.id: text(suspect.listed.data, "invoice") for suspect in suspects if suspect.listed}
            invoices = {id: getattr(row, "invoice_id", None) for id, row in rows.items()} | listed
            read = scheduled_refetches.waiting("invoice", sorted({invoice for invoice in invoices.values() if invoice}))
            under_way |= {id for id, invoice in invoices.items() if invoice in read}
        return rows, under_way

    def _rows(self, ids: list[str]) -> dict[str, Mirrored]:
        return {id: row for id, row in self.model.objects.in_bulk(ids).items() if row.deleted_at is None}

    def _judge(self, suspect: Suspect, row: Mirrored | None, under_way: bool) -> list[Drift]:
        """Takes the suspect out of its day, and puts it back as it is. Its differences, unsaved."""
        day = self.days[suspect.day]
        day.ours.add(suspect.ours, -1)
        day.theirs.add(suspect.theirs, -1)
        data = suspect.listed.data if suspect.listed else None
        begun_at = suspect.listed.snapshot.begun_at if suspect.listed else None
        if not under_way and not self._are_equal(row, data):
            if self.covered.looked_up < LOOKED_UP_PER_WINDOW:
                try:
                    data, begun_at = self._retrieve(suspect.id)
                except unreadable.FAULT_OF_AN_OBJECT as error:
                    self.covered.seen -= 1  # it was counted when the two sides seemed to differ
                    created = _created_of(data or {}) or (row.created if row else None)
                    self._record_unreadable(suspect.id, created, error, data)
                    return []
                rows, now_under_way = with_retries(self.run, lambda: self._look_up([suspect]))
                row, under_way = rows.get(suspect.id), bool(now_under_way)
            else:
                self.covered.by_list += 1
        here = row if row and _day(row.created) == suspect.day else None
        there = data if data and _day(_created_of(data)) == suspect.day else None
        if here:
            self._met.add(suspect.id)  # it may have come only now
        explanation = self._explanation(row, data, begun_at, suspect, under_way)
        if explanation and not (self._are_equal(row, data) and here and there):
            self.covered.in_flight += 1
            day.found[explanation.value] += 1
            return []
        if here:
            day.ours.add(self._our_figures(here))
        if there:
            day.theirs.add(self._their_figures(there))
        drift = self._drift(suspect.id, row, data)
        if not drift:
            self.covered.same += 1
            if row and not suspect.listed and row.created:
                day.found["unlisted"] += 1
            return []
        self.covered.different += 1
        day.found.update({_FOUND[Kind(one.kind)] for one in drift})
        day.written += 1
        if day.written > WRITTEN_PER_DAY:
            self.covered.unwritten += 1
            return []
        return drift

    def _are_equal(self, row: Mirrored | None, data: dict[str, Any] | None) -> bool:
        if row is None or data is None:
            return row is None and data is None
        return not row.wrong_columns() and self._our_figures(row) == self._their_figures(data)

    def _retrieve(self, id: str) -> tuple[dict[str, Any] | None, datetime | None]:
        """The object as it is now, None where it is deleted, and when the read began."""
        self.covered.looked_up += 1
        first = with_retries(self.run, lambda: unreadable.retrieve(self.window.object, id, throttled=True))[0]
        return (None if first.deleted else first.data), first.begun_at

    def _explanation(
        self,
        row: Mirrored | None,
        data: dict[str, Any] | None,
        begun_at: datetime | None,
        suspect: Suspect,
        under_way: bool,
    ) -> Explanation | None:
        if under_way:
            return Explanation.IN_FLIGHT
        if row and row.stored_at and begun_at and begun_at < row.stored_at <= clock.now():
            return Explanation.IN_FLIGHT  # the row was written after that read began, and may be the newer one
        if row is None and data and suspect.listed and self._comes_with_the_next_sweep(suspect.listed, data):
            return Explanation.NEXT_SWEEP
        return None

    def _comes_with_the_next_sweep(self, listed: Listed, data: dict[str, Any]) -> bool:
        """Whether this is an invoice payment of which Stripe has sent no event, because it is not paid yet, and that is
        newer than the last sweep."""
        snapshot = listed.snapshot
        if self.window.object != "invoice_payment" or data.get("status") == "paid":
            return False
        if self.swept_at is None or snapshot.begun_at is None or listed.created is None:
            return False
        # Stripe's clock and ours are not compared: what Stripe's said when this page was read makes the one the other.
        margin = STAMP_RESOLUTION + CLOCK_MARGIN
        stripes_lead = snapshot.until - margin - snapshot.begun_at
        return listed.created > self.swept_at + stripes_lead + margin

    # --- what differs -------------------------------------------------------------------------------------------------

    def _drift(self, id: str, row: Mirrored | None, data: dict[str, Any] | None) -> list[Drift]:
        if row is None and data is None:
            return []
        known = data or (row.data if row else None) or {}
        invoice = id if self.window.object == "invoice" else known.get("invoice")
        common: dict[str, Any] = {
            "run": self.run,
            "object_type": self.window.object,
            "object_id": id,
            "invoice": storable(invoice, 255) if isinstance(invoice, str) else "",
            "ours_seen_until": row.seen_until if row else None,
            "found_at": clock.now(),
        }
        if row is None:
            return [Drift(kind=Kind.MISSING_HERE, theirs=storable_json(compare.short(known)), **common)]
        drift = [
            Drift(kind=Kind.COLUMN, field=name, ours=_as_json(holds), theirs=_as_json(says), **common)
            for name, (holds, says) in row.wrong_columns().items()
        ]
        if data is None:
            return [Drift(kind=Kind.MISSING_AT_STRIPE, ours=storable_json(compare.short(known)), **common), *drift]
        if self._our_figures(row) != self._their_figures(data):
            found = list(compare.differences(self._ours(row), self._theirs(data)))
            # Nothing found: the same to Python, and not the same JSON, such as 1 and 1.0.
            found = found[: compare.MAX_DIFFERENCES_PER_OBJECT] or [("", compare.short(known), compare.short(data))]
            drift += [
                Drift(
                    kind=Kind.DIFFERS,
                    field=storable(path, 255),
                    ours=storable_json(a),
                    theirs=storable_json(b),
                    **common,
                )
                for path, a, b in found
            ]
        return drift

    def _not_written_before(self, drift: list[Drift]) -> list[Drift]:
        """Without the objects of which this run has written down something."""
        ids = {one.object_id for one in drift}
        written = set(
            Drift.objects.filter(run=self.run, object_type=self.window.object, object_id__in=ids).values_list(
                "object_id", flat=True
            )
        )
        return [one for one in drift if one.object_id not in written]


_FOUND = {
    Kind.MISSING_HERE: "missing_here",
    Kind.MISSING_AT_STRIPE: "missing_at_stripe",
    Kind.DIFFERS: "differs",
    Kind.COLUMN: "columns",
}


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while some := list(islice(left, SUSPECTS_AT_ONCE)):
        yield some


def _day(created: datetime | None) -> str:
    return (created or UNDATED_DAY).date().isoformat()


def _created_of(data: dict[str, Any]) -> datetime | None:
    """When Stripe created the object; `date` is the name before API version 2019-03-14."""
    return moment(data, "created") or moment(data, "date")


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
