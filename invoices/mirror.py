"""The only writer of mirror tables, and the freshness rule: which of two states of an object is the newer one.

A snapshot is held against the row in six steps (`judge`). Time decides where it can; where the spans overlap, progress
decides, because it does not go back; and where nobody can tell, we ask for a read, which begins after this was written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db import transaction

from invoices import clock
from invoices.models import MIRRORED, Mirrored
from invoices.snapshot import EVENT_SPAN, Snapshot

READ_DELAY = timedelta(seconds=2)  # so that one read covers a burst
LEASE = timedelta(seconds=60)  # for which a worker that reads holds the row's reading off
TICK = timedelta(microseconds=1)  # the least by which two moments in the database differ
AT_ONCE = 500  # rows locked, or ids in a statement, at once

# Members that change by themselves, or that carry a signature made anew for every reply.
VOLATILE = frozenset({"webhooks_delivered_at", "hosted_invoice_url", "invoice_pdf"})


class Verdict(Enum):
    """What became of a snapshot."""

    STORED = "stored"
    STORED_AND_ASKED = "stored, and a read was asked for"
    DROPPED = "older than what we have"
    SAME = "what we have"
    ASKED = "nobody can tell: a read was asked for"
    MISSING = "gone at Stripe, and no draft: not deleted here"


@dataclass(slots=True)
class Outcome:
    """A snapshot, what became of it, and what the row held before."""

    snapshot: Snapshot  # with the later lines that we held, where it came without them
    verdict: Verdict
    ours: dict[str, Any] | None  # None: we had no such row
    ours_seen_until: datetime | None
    was_deleted: bool
    was_hint: bool  # ours was what a hint said, in the shape of another API version
    was_due: bool  # a read was asked for, that would have told


def content(data: dict[str, Any]) -> dict[str, Any]:
    """The object without what changes by itself. A hosted page's address counts only as being there."""
    kept = {key: value for key, value in data.items() if key not in VOLATILE}
    kept["hosted_invoice_url"] = bool(data.get("hosted_invoice_url"))
    return kept


def judge(row: Mirrored, snapshot: Snapshot) -> Verdict:
    """The freshness rule. Says what to do; changes nothing."""
    if row.stored_at is None or row.seen_since is None or row.seen_until is None:
        return Verdict.STORED  # 1. no row
    if snapshot.begun_at is not None and snapshot.begun_at > row.stored_at:
        return Verdict.STORED  # 1. a read begun after the last write cannot be older than it
    if snapshot.deleted and row.deleted_at:
        return Verdict.SAME  # 5. that it is gone is all there is to say
    ours, theirs = _rank(type(row), row.data, bool(row.deleted_at)), _rank(type(row), snapshot.data, snapshot.deleted)
    if snapshot.since >= row.seen_until:  # 2. wholly later
        back = ours is not None and theirs is not None and theirs < ours
        return Verdict.STORED_AND_ASKED if back else Verdict.STORED
    if snapshot.until <= row.seen_since:
        return Verdict.DROPPED  # 3. wholly earlier
    if snapshot.data is None:
        return Verdict.ASKED  # a 404 that began before the last write: it may have come too early to see the object
    if ours is not None and theirs is not None and ours != theirs:  # 4. time cannot tell, progress can
        return Verdict.STORED if theirs > ours else Verdict.DROPPED
    if content(snapshot.data) == content(row.data or {}) and snapshot.deleted == bool(row.deleted_at):
        return Verdict.SAME  # 5.
    return Verdict.ASKED  # 6. nobody can tell


def _rank(model: type[Mirrored], data: dict[str, Any] | None, deleted: bool) -> int | None:
    if deleted:
        return model.DELETED_RANK
    return model.rank(data) if data and isinstance(data.get("status", ""), str) else None


def fold(row: Mirrored, snapshot: Snapshot, now: datetime) -> Outcome:
    """Holds one snapshot against its locked row and changes the row in memory. `now` is taken after the lock."""
    was = (
        row.data if row.stored_at else None,
        row.seen_until,
        bool(row.deleted_at),
        _of_hint(row),
        row.read_due_at is not None,
    )
    if snapshot.hint and row.stored_at is not None:
        ask_on(row, now)
        return Outcome(snapshot, Verdict.ASKED, *was)
    snapshot, unsure = _with_later_lines(row, snapshot)
    verdict = judge(row, snapshot)
    if verdict is Verdict.STORED and snapshot.data is None and not _may_vanish(row):
        if _of_hint(row) and row.seen_until is not None:
            row.seen_since = row.seen_until - EVENT_SPAN  # from now on it is as sure as any event
        return Outcome(snapshot, Verdict.MISSING, *was)
    if verdict in (Verdict.STORED, Verdict.STORED_AND_ASKED):
        _write(row, snapshot, now)
    elif verdict is Verdict.SAME:
        # It may have changed and changed back meanwhile: no read that is under way may settle it.
        row.seen_since = max(row.seen_since, snapshot.since)  # type: ignore[type-var]
        row.seen_until = max(row.seen_until, snapshot.until)  # type: ignore[type-var]
        row.stored_at = now
    elif verdict is Verdict.ASKED:
        row.stored_at = now
    settled = verdict in (Verdict.STORED, Verdict.SAME) and not unsure and not snapshot.hint
    if not settled and verdict is not Verdict.DROPPED:
        ask_on(row, now)
    return Outcome(snapshot, verdict, *was)


def _of_hint(row: Mirrored) -> bool:
    """Whether a hint is all that has told of it: shown, and for the rule no row."""
    return row.stored_at is not None and row.seen_since is None


def _may_vanish(row: Mirrored) -> bool:
    """Whether a 404 means that it was deleted: only drafts can be. (Or it is known to be deleted already.)

    Where a hint is all that ever told of it, one 404, two seconds later, is too little to take away what Stripe has
    signed: it stays, and the next 404, of the sweep, counts.
    """
    if _of_hint(row):
        return False
    return bool(row.deleted_at) or getattr(row, "status", None) in row.VANISHING


def _with_later_lines(row: Mirrored, snapshot: Snapshot) -> tuple[Snapshot, bool]:
    """An invoice that came with its first lines only keeps the later ones that we have; and whether a read is due.

    No read is due where ours were read whole, the count is still theirs, the first ones are the same, and the invoice
    is no draft: then its lines cannot change any more.
    """
    data = snapshot.data or {}
    lines = data.get("lines")
    if not isinstance(lines, dict) or lines.get("has_more") is not True or not isinstance(lines.get("data"), list):
        return snapshot, False
    came, later, whole = lines["data"], [], False
    held = (row.data or {}).get("lines")
    ours = held.get("data") if isinstance(held, dict) else None
    if isinstance(held, dict) and isinstance(ours, list):
        ids = [_id(line) for line in came]
        later = [line for line in ours[len(came) :] if _id(line) not in ids]
        whole = not held.get("has_more") and len(came) + len(later) == lines.get("total_count")
    sure = whole and ours is not None and ours[: len(came)] == came and data.get("status") != "draft"
    merged = {**lines, "data": came + later, "has_more": not whole}
    return replace(snapshot, data={**data, "lines": merged}), not sure


def _id(line: Any) -> Any:
    return line.get("id") if isinstance(line, dict) else line


def _write(row: Mirrored, snapshot: Snapshot, now: datetime) -> None:
    if snapshot.data is not None and not (snapshot.data.get("deleted") is True and row.data):
        row.data = snapshot.data  # a stub `{id, deleted: true}` says less than what we hold
        for column, value in row.columns(snapshot.data).items():
            setattr(row, column, value)
    row.deleted_at = (row.deleted_at or now) if snapshot.deleted else None
    row.seen_since, row.seen_until, row.stored_at = snapshot.since, snapshot.until, now
    if snapshot.hint:
        row.seen_since = None  # shown until it is read; for the rule there is no row yet


def ask_on(row: Mirrored, now: datetime) -> None:
    """Asks for a read: the earlier of what is asked already and soon. Always another value than the one before, so that
    a lease is replaced even when it is about to run out, and whoever holds it does not clear this asking."""
    due = now + READ_DELAY
    row.read_due_at = min(row.read_due_at - TICK, due) if row.read_due_at else due


# --- the tables -------------------------------------------------------------------------------------------------------


def store(snapshots: Sequence[Snapshot], *, dry_run: bool = False) -> list[Outcome]:
    """Folds the snapshots into the mirror, in one transaction, one after the other; outcomes in the same order.

    A dry run judges and writes nothing. Inside the caller's transaction the rows stay locked until that ends.
    """
    outcomes: list[Outcome | None] = [None] * len(snapshots)
    by_object: dict[str, list[int]] = defaultdict(list)
    for index, snapshot in enumerate(snapshots):
        by_object[snapshot.object].append(index)
    with transaction.atomic():
        for object, model in MIRRORED.items():
            indexes = by_object.get(object)
            if not indexes:
                continue
            ids = sorted({snapshots[i].id for i in indexes})
            rows = _look(model, ids) if dry_run else lock(model, ids)
            now = clock.now()  # after the locks: a read begun before this may have been overtaken
            changed: dict[str, Mirrored] = {}
            for i in indexes:
                row = rows[snapshots[i].id]
                outcomes[i] = outcome = fold(row, snapshots[i], now)
                if outcome.verdict is not Verdict.DROPPED:
                    changed[row.pk] = row
            if changed and not dry_run:
                _save(model, list(changed.values()))
    return [outcome for outcome in outcomes if outcome is not None]


def lock(model: type[Mirrored], ids: Sequence[str]) -> dict[str, Mirrored]:
    """The rows of these ids, locked in id order; absent ones are made empty first, also in id order, so that two
    writers of the same object meet at its row even when neither has seen it before. Call inside a transaction."""
    known = set(_ids(model, ids))
    absent = [id for id in ids if id not in known]
    if absent:
        model.rows.bulk_create([model(id=id) for id in sorted(absent)], ignore_conflicts=True)
    return {
        row.pk: row
        for start in range(0, len(ids), AT_ONCE)
        for row in model.rows.select_for_update().filter(id__in=ids[start : start + AT_ONCE]).order_by("id")
    }


def _ids(model: type[Mirrored], ids: Sequence[str]) -> Iterable[str]:
    for start in range(0, len(ids), AT_ONCE):
        yield from model.rows.filter(id__in=ids[start : start + AT_ONCE]).values_list("id", flat=True)


def _look(model: type[Mirrored], ids: Sequence[str]) -> dict[str, Mirrored]:
    found = {
        row.pk: row
        for start in range(0, len(ids), AT_ONCE)
        for row in model.rows.filter(id__in=ids[start : start + AT_ONCE])
    }
    return {id: found.get(id) or model(id=id) for id in ids}


def _save(model: type[Mirrored], rows: list[Mirrored]) -> None:
    """One statement for many rows: an upsert, because Django's bulk_update builds a CASE for every column."""
    fields = [field.name for field in model._meta.concrete_fields if not field.primary_key]
    for start in range(0, len(rows), AT_ONCE):
        model.rows.bulk_create(
            rows[start : start + AT_ONCE], update_conflicts=True, unique_fields=["id"], update_fields=fields
        )


# --- reads that are due -----------------------------------------------------------------------------------------------


def ask(object: str, ids: Iterable[str]) -> None:
    """Asks for a read of each of these objects, whether we hold it or not."""
    wanted = sorted(set(ids))
    if not wanted:
        return
    with transaction.atomic():
        rows = lock(MIRRORED[object], wanted)
        now = clock.now()
        for row in rows.values():
            ask_on(row, now)
        _save(MIRRORED[object], list(rows.values()))


@dataclass(frozen=True)
class DueRead:
    """A read that this process took on; `lease` is what it set, and the only value that it may clear."""

    object: str
    id: str
    lease: datetime


def take_due_reads(most: int) -> list[DueRead]:
    """Takes on reads that are due, by postponing each by a lease: if this process dies, they come due again."""
    taken: list[DueRead] = []
    for object, model in MIRRORED.items():
        now = clock.now()
        due = model.rows.filter(read_due_at__lte=now).order_by("read_due_at").values_list("id", "read_due_at")
        for id, was in due[: most - len(taken)]:
            lease = clock.now() + LEASE
            if model.rows.filter(id=id, read_due_at=was).update(read_due_at=lease):
                taken.append(DueRead(object, id, lease))
        if len(taken) >= most:
            break
    return taken


def clear_due_read(read: DueRead) -> None:
    """The read was stored. If somebody asked again meanwhile, that asking stays."""
    MIRRORED[read.object].rows.filter(id=read.id, read_due_at=read.lease).update(read_due_at=None)
