"""The only writer of the mirror's tables, and the freshness rule: which of two states of an object is the newer one.

`decide` compares a snapshot with the row in six steps. Progress comes first, because an object's status does not go
back. Then comes time, of which events tell only roughly. Where the two contradict each other, or neither tells, a
refetch is scheduled: it begins after the row was last written, so its answer is newer than the row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from invoices import clock, scheduled_refetches
from invoices.models import MIRRORED, Invoice, InvoicePayment, Mirrored, lines, personal
from invoices.models.erasures import erasures_begun
from invoices.snapshot import Snapshot

ROWS_PER_STATEMENT = 500  # rows locked or written, and ids listed, by one SQL statement
# What is written of a row whose content stays as it is: not its object, nor the columns that follow from it.
MOMENTS = ("seen_since", "seen_until", "stored_at", "provisional")

# Members that Stripe changes without an event, or signs anew for every reply: they make no difference.
SIGNED_ANEW = frozenset({"webhooks_delivered_at", "hosted_invoice_url", "invoice_pdf"})  # in replies, every time
VOLATILE = SIGNED_ANEW | {"next_invoice_sequence"}


class Decision(Enum):
    """What the freshness rule does with a snapshot."""

    STORE = "store it"
    STORE_AND_REFETCH = "store it, and schedule a refetch: by time it is older than the row"
    DROP = "drop it: it is older than the row"
    CONFIRM = "the content is the same: the row was still true then"
    REFETCH = "keep the row, and schedule a refetch: nothing tells which is newer"
    KEEP_MISSING = "keep the row: Stripe answered 404 for an object that cannot be deleted"


@dataclass(slots=True)
class Outcome:
    """A snapshot, what was decided about it, and what the row held before."""

    snapshot: Snapshot  # as it was stored: with the later lines that the row held, where it came without them
    decision: Decision
    ours: dict[str, Any] | None  # the object that the row held; None where there was no such row
    ours_seen_until: datetime | None  # Stripe's clock
    was_deleted: bool
    was_provisional: bool  # the row held the shape of another API version
    needs_refetch: bool = False  # because of this snapshot: only a read tells how the object is at Stripe
    refetch_was_scheduled: bool = False  # before this snapshot; `store` says it. One that was given up does not count
    rewritten: bool = False  # the row's object or columns are others now; False: at most its MOMENTS are


def content(data: dict[str, Any], without: frozenset[str] = VOLATILE) -> dict[str, Any]:
    """The object without these members. Of a hosted page's address only its presence counts."""
    kept = {key: value for key, value in data.items() if key not in without}
    kept["hosted_invoice_url"] = bool(data.get("hosted_invoice_url"))
    return kept


# --- the freshness rule -----------------------------------------------------------------------------------------------


def decide(row: Mirrored, snapshot: Snapshot) -> Decision:
    """The freshness rule. It changes nothing. Spans are of Stripe's clock; `stored_at` and `begun_at` of ours."""
    # 1. There is no row, or a provisional one, or this is a read that began after the row was written.
    if row.stored_at is None or row.provisional or row.seen_since is None or row.seen_until is None:
        return Decision.STORE
    if snapshot.begun_at is not None and snapshot.begun_at > row.stored_at:
        return Decision.STORE
    wholly_later, wholly_earlier = snapshot.since >= row.seen_until, snapshot.until <= row.seen_since
    # 2. One of the two is further along: it is the newer one. Where time says the contrary, a refetch tells. A 404 that
    # began before the row was written has no status, and may be older than the object: it only asks for a refetch.
    if snapshot.data is None and not row.deleted_at:
        return Decision.DROP if wholly_earlier else Decision.REFETCH
    further = _further(row, snapshot)
    if further > 0:
        return Decision.STORE_AND_REFETCH if wholly_earlier else Decision.STORE
    if further < 0:
        return Decision.REFETCH if wholly_later else Decision.DROP
    # 3. The snapshot is wholly later than the row.
    if wholly_later:
        return Decision.STORE
    # 4. It is wholly earlier.
    if wholly_earlier:
        return Decision.DROP
    # 5. The content is the same, or both are deletions.
    if snapshot.deleted or content(snapshot.data or {}) == content(row.data or {}):
        return Decision.CONFIRM
    # 6. Nothing tells which is newer.
    return Decision.REFETCH


def _further(row: Mirrored, snapshot: Snapshot) -> int:
    """Above zero where the snapshot is further along than the row, below zero where the row is; zero where they are
    equally far, or a status does not tell. A deletion is the furthest: nothing comes after it."""
    if snapshot.deleted or row.deleted_at:
        return snapshot.deleted - bool(row.deleted_at)
    ours, theirs = _rank(type(row), row.data), _rank(type(row), snapshot.data)
    return 0 if ours is None or theirs is None else theirs - ours


def _rank(model: type[Mirrored], data: dict[str, Any] | None) -> int | None:
    return model.rank(data) if data and isinstance(data.get("status", ""), str) else None


def apply(row: Mirrored, snapshot: Snapshot, now: datetime) -> Outcome:
    """Applies one snapshot to its locked row, in memory. `now` is the database's clock, read after the lock."""
    outcome = Outcome(
        snapshot,
        Decision.DROP,
        ours=row.data if row.stored_at else None,
        ours_seen_until=row.seen_until,
        was_deleted=bool(row.deleted_at),
        was_provisional=row.provisional,
    )
    if snapshot.other_version and row.stored_at is not None:
        if row.seen_since is not None and snapshot.until <= row.seen_since and not row.provisional:
            return outcome  # what we have was seen wholly later, so a refetch would tell nothing new
        return replace(outcome, decision=Decision.REFETCH, needs_refetch=True)
    snapshot, lines_are_certain = _with_later_lines(row, snapshot)
    decision, rewritten = decide(row, snapshot), False
    if decision is Decision.STORE and snapshot.data is None and not _can_have_been_deleted(row):
        # This 404 is the answer to the refetch for which the row was provisional. From the next snapshot on, `decide`
        # compares with the span that the event gave the row, as for any other row.
        row.provisional = False
        return replace(outcome, snapshot=snapshot, decision=Decision.KEEP_MISSING)
    if decision in (Decision.STORE, Decision.STORE_AND_REFETCH):
        rewritten = _write(row, snapshot, now)
    elif decision is Decision.CONFIRM:
        # Both ends move to the later sighting: in between, the object may have changed and changed back. The new
        # `stored_at` keeps a read that is already under way from being stored by step 1.
        row.seen_since = max(row.seen_since, snapshot.since)  # type: ignore[type-var]
        row.seen_until = max(row.seen_until, snapshot.until)  # type: ignore[type-var]
        row.stored_at = now
        rewritten = _set_columns(row, row.data) if row.data is not None else False
    elif decision is Decision.REFETCH:
        row.stored_at = now
    if decision is Decision.DROP:
        needed = not lines_are_certain and _may_tell_of_later_lines(row, snapshot)
    else:
        certain = decision in (Decision.STORE, Decision.CONFIRM) and lines_are_certain and not snapshot.other_version
        needed = not certain
    return replace(outcome, snapshot=snapshot, decision=decision, needs_refetch=needed, rewritten=rewritten)


def _can_have_been_deleted(row: Mirrored) -> bool:
    """Whether a 404 means that the object was deleted. Stripe deletes only drafts.

    Not where the row is provisional: an event told of the object two seconds ago, and nothing was read yet. The first
    404 only ends the provisional state; the next one, of a later read or of the sweep, deletes a draft.
    """
    if row.provisional:
        return False
    return bool(row.deleted_at) or getattr(row, "status", None) in row.DELETABLE_STATUSES


def _with_later_lines(row: Mirrored, snapshot: Snapshot) -> tuple[Snapshot, bool]:
    """The snapshot with the lines that only the row has, and whether all its lines are certain. Where they are not, a
    refetch is needed."""
    if snapshot.data is None or not lines.are_cut(snapshot.data):
        return snapshot, True
    data, certain = lines.with_later(snapshot.data, row.data)
    return replace(snapshot, data=data), certain


def _may_tell_of_later_lines(row: Mirrored, snapshot: Snapshot) -> bool:
    """Whether a dropped draft with more lines may tell of a change in those that it does not show, which the row has
    missed: it is dropped for its status, and the row's later lines may be older. Not where the row was seen wholly
    later, with lines that are all there and add up."""
    if row.deleted_at or (snapshot.data or {}).get("status") != "draft":
        return False
    seen_later = row.seen_since is not None and snapshot.until <= row.seen_since
    return not seen_later or bool(lines.disagreement(row.data))


def _write(row: Mirrored, snapshot: Snapshot, now: datetime) -> bool:
    """Writes the snapshot into the row, in memory. Whether anything but MOMENTS is another now."""
    before = row.data, row.deleted_at
    row.deleted_at = (row.deleted_at or now) if snapshot.deleted else None
    row.seen_since, row.seen_until, row.stored_at = snapshot.since, snapshot.until, now
    row.provisional = snapshot.other_version
    columns_changed = False
    # A deleted customer comes as `{id, deleted: true}`: what the row holds says more, and stays.
    if snapshot.data is not None and not (snapshot.data.get("deleted") is True and row.data):
        # What a read shows is written, unless only members differ that no two replies have in common.
        if row.data is None or content(row.data, SIGNED_ANEW) != content(snapshot.data, SIGNED_ANEW):
            row.data = snapshot.data
        columns_changed = _set_columns(row, snapshot.data)
    return columns_changed or before[0] is not row.data or before[1] != row.deleted_at


def _set_columns(row: Mirrored, data: dict[str, Any]) -> bool:
    """Makes the typed columns say what the object says. Whether any said something else."""
    values = row.columns(data)
    if all(getattr(row, column) == value for column, value in values.items()):
        return False
    for column, value in values.items():
        setattr(row, column, value)
    return True


# --- the tables -------------------------------------------------------------------------------------------------------


def store(snapshots: Sequence[Snapshot], *, dry_run: bool = False) -> list[Outcome]:
    """Applies the snapshots to their rows one after the other, in one transaction. The outcomes, in the same order.

    A dry run decides and writes nothing. Inside a caller's transaction the rows stay locked until it ends.
    """
    outcomes: list[Outcome | None] = [None] * len(snapshots)
    by_object: dict[str, list[int]] = defaultdict(list)
    for index, snapshot in enumerate(snapshots):
        by_object[snapshot.object].append(index)
    unsure: set[tuple[str, str]] = set()
    with transaction.atomic():
        snapshots = _without_erased(snapshots)
        for object, model in MIRRORED.items():
            indexes = by_object.get(object)
            if not indexes:
                continue
            ids = sorted({snapshots[i].id for i in indexes})
            rows = _read_rows(model, ids) if dry_run else lock_rows(model, ids)
            moments = {id: _moments(row) for id, row in rows.items()}
            now = clock.now()  # after the locks: a read that begins from here on sees Stripe as it is after this write
            scheduled = scheduled_refetches.waiting(object, ids)
            rewritten: set[str] = set()
            for i in indexes:
                row = rows[snapshots[i].id]
                outcomes[i] = outcome = apply(row, snapshots[i], now)
                outcome.refetch_was_scheduled = row.pk in scheduled
                if outcome.rewritten:
                    rewritten.add(row.pk)
                if outcome.needs_refetch:
                    scheduled.add(row.pk)
                    unsure.add((object, row.pk))
            if not dry_run:
                _save(model, [rows[id] for id in ids if id in rewritten])
                _save_moments(model, [rows[id] for id in ids if id not in rewritten], moments)
        if not dry_run:
            with_payments = [*_with_open_payments(outcomes), *_of_final_invoices(outcomes)]
            scheduled_refetches.schedule(unsure, payments_of=with_payments)
    return [outcome for outcome in outcomes if outcome is not None]


def _with_open_payments(outcomes: Iterable[Outcome | None]) -> list[tuple[str, str]]:
    """The invoices that were final for the first time in these outcomes while we hold a payment of theirs that is not.

    Stripe sends an event of a payment that is paid, and none of one that is canceled. A payment that was read together
    with its invoice is as Stripe has it.
    """
    ended: set[str] = set()
    read: set[str] = set()
    for outcome in outcomes:
        if outcome is None:
            continue
        snapshot = outcome.snapshot
        if snapshot.object == InvoicePayment.OBJECT and snapshot.begun_at is not None:
            read.add(snapshot.id)
        stored = outcome.decision in (Decision.STORE, Decision.STORE_AND_REFETCH)
        if snapshot.object == Invoice.OBJECT and stored and _is_final(snapshot.data) and not _is_final(outcome.ours):
            ended.add(snapshot.id)
    if not ended:
        return []
    return [
        (Invoice.OBJECT, id) for id in open_payments(ended).exclude(pk__in=read).values_list("invoice_id", flat=True)
    ]


def _of_final_invoices(outcomes: Iterable[Outcome | None]) -> list[tuple[str, str]]:
    """The invoices that were final before a payment of theirs was stored that is not, and may be older: an event's, or
    from a page that was read before the invoice was written."""
    told = {
        outcome.snapshot.id: outcome.snapshot.begun_at
        for outcome in outcomes
        if outcome is not None
        and outcome.snapshot.object == InvoicePayment.OBJECT
        and outcome.rewritten
        and (outcome.snapshot.data or {}).get("status") not in InvoicePayment.FINAL
    }
    if not told:
        return []
    invoice_of = dict(InvoicePayment.objects.filter(pk__in=told).values_list("pk", "invoice_id"))
    final = dict(
        Invoice.objects.filter(pk__in=set(invoice_of.values()), status__in=Invoice.FINAL).values_list("pk", "stored_at")
    )
    found = []
    for payment, invoice in invoice_of.items():
        begun_at, stored_at = told[payment], final.get(invoice or "")
        if invoice and stored_at and (begun_at is None or begun_at <= stored_at):
            found.append((Invoice.OBJECT, invoice))
    return found


def open_payments(invoices: Iterable[str]) -> QuerySet[InvoicePayment]:
    """The payments of these invoices that we hold and that have not ended."""
    held = InvoicePayment.objects.filter(invoice_id__in=invoices, deleted_at=None)
    return held.exclude(status__in=InvoicePayment.FINAL)


def _is_final(invoice: dict[str, Any] | None) -> bool:
    return (invoice or {}).get("status") in Invoice.FINAL


def _without_erased(snapshots: Sequence[Snapshot]) -> Sequence[Snapshot]:
    """The same, but what tells of a customer whose personal data was erased has none of it.

    An event may be older than Stripe's own redaction. So it only says that something happened, as one of another API
    version does, and the object is read. A read that began after the erasure is stored as Stripe has it: the erasure
    has made sure that Stripe holds nothing personal.
    """
    of = [set(personal.customers_of(snapshot.data)) for snapshot in snapshots]
    begun = erasures_begun(set().union(*of))
    if not begun:
        return snapshots

    def is_later(snapshot: Snapshot, customers: set[str]) -> bool:
        return snapshot.begun_at is not None and all(snapshot.begun_at > begun[id] for id in customers & begun.keys())

    return [
        snapshot
        if not customers & begun.keys() or is_later(snapshot, customers)
        else replace(snapshot, data=personal.redacted(snapshot.data), other_version=True)
        for snapshot, customers in zip(snapshots, of, strict=True)
    ]


def erase(object: str, id: str, known: personal.Known) -> None:
    """Takes the personal data out of an object that Stripe has no more, so that no read brings it without."""
    model = MIRRORED[object]
    with transaction.atomic():
        for row in lock_rows(model, [id]).values():
            if row.data is None:
                continue
            row.data = personal.redacted(row.data, known)
            for column, value in row.columns(row.data).items():
                setattr(row, column, value)
            row.stored_at = clock.now()
            _save(model, [row])


def lock_rows(model: type[Mirrored], ids: Sequence[str]) -> dict[str, Mirrored]:
    """The rows of these ids, locked in id order, so that two writers cannot wait for each other. Needs a transaction.

    Absent rows are inserted empty first, also in id order: two writers of an object that neither has seen before then
    wait at its row.
    """
    known = set(_known_ids(model, ids))
    absent = [id for id in ids if id not in known]
    if absent:
        model.rows.bulk_create([model(id=id) for id in sorted(absent)], ignore_conflicts=True)
    return {
        row.pk: row
        for start in range(0, len(ids), ROWS_PER_STATEMENT)
        for row in model.rows.select_for_update().filter(id__in=ids[start : start + ROWS_PER_STATEMENT]).order_by("id")
    }


def remove(missing: Snapshot) -> bool:
    """Removes the row of an object that this read found missing at Stripe; whether it did. A row that was written after
    the read began stays. Needs a transaction: the caller journals the removal in it."""
    row = MIRRORED[missing.object].rows.select_for_update().filter(pk=missing.id).first()
    if row is None or missing.begun_at is None or (row.stored_at and row.stored_at >= missing.begun_at):
        return False
    row.delete()
    return True


def _known_ids(model: type[Mirrored], ids: Sequence[str]) -> Iterable[str]:
    for start in range(0, len(ids), ROWS_PER_STATEMENT):
        yield from model.rows.filter(id__in=ids[start : start + ROWS_PER_STATEMENT]).values_list("id", flat=True)


def _read_rows(model: type[Mirrored], ids: Sequence[str]) -> dict[str, Mirrored]:
    """The rows without locks, for a dry run; an empty one in memory for an id that has none."""
    found = {
        row.pk: row
        for start in range(0, len(ids), ROWS_PER_STATEMENT)
        for row in model.rows.filter(id__in=ids[start : start + ROWS_PER_STATEMENT])
    }
    return {id: found.get(id) or model(id=id) for id in ids}


def _save(model: type[Mirrored], rows: list[Mirrored]) -> None:
    """One upsert for many rows. Django's bulk_update would build a CASE for every column, which is far slower."""
    fields = [field.name for field in model._meta.concrete_fields if not field.primary_key]
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        model.rows.bulk_create(
            rows[start : start + ROWS_PER_STATEMENT], update_conflicts=True, unique_fields=["id"], update_fields=fields
        )


def _moments(row: Mirrored) -> dict[str, Any]:
    return {name: getattr(row, name) for name in MOMENTS}


def _save_moments(model: type[Mirrored], rows: list[Mirrored], before: dict[str, dict[str, Any]]) -> None:
    """Updates what is new of the MOMENTS of these rows. Rows that are given the same moments, such as a page of a list
    in which nothing has changed, share one statement."""
    alike: dict[tuple[tuple[str, Any], ...], list[str]] = defaultdict(list)
    for row in rows:
        new = tuple((name, value) for name, value in _moments(row).items() if value != before[row.pk][name])
        if new:
            alike[new].append(row.pk)
    for values, ids in alike.items():
        for start in range(0, len(ids), ROWS_PER_STATEMENT):
            model.rows.filter(id__in=ids[start : start + ROWS_PER_STATEMENT]).update(**dict(values))
