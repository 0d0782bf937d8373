"""The only writer of the mirror's tables, and the freshness rule: which of two states of an object is the newer one.

`decide` compares a snapshot with the row in six steps. Progress comes first, because an object's status does not go
back. Then comes time, of which events tell only roughly. Where the two contradict each other, or neither tells, a
refetch is scheduled: it begins after the row was last written, so its answer is newer than the row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from invoices import clock, scheduled_refetches
from invoices.models import (
    MIRRORED,
    Charge,
    Invoice,
    InvoicePayment,
    Mirrored,
    PaymentIntent,
    Refund,
    Sighting,
    lines,
    many_rows,
    personal,
)
from invoices.models.erasures import any_begun, erasures_begun
from invoices.models.reading import expandable_id, integer, is_id, member
from invoices.snapshot import Snapshot

MIN_ROWS_OF_A_SIGHTING = 10  # that were read again, and are as they were: fewer are written one by one
SIGHTINGS_KEPT = timedelta(days=60)  # twice as long as a full run takes by its nightly parts
SETTLED_OR_WITH_A_BANK = ("succeeded", "canceled", "processing")  # a PaymentIntent that no invoice lowers any more
ROWS_PER_STATEMENT = 500  # rows locked or written, and ids listed, by one SQL statement

# Members that Stripe changes without an event, or signs anew for every reply: they make no difference.
SIGNED_ANEW = frozenset({"webhooks_delivered_at", "hosted_invoice_url", "invoice_pdf", "pdf", "receipt_url"})
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
    rewritten: bool = False  # the row's object or columns are others now; False: at most its moments are


def content(data: dict[str, Any], without: frozenset[str] = VOLATILE) -> dict[str, Any]:
    """The object without these members. Of a hosted page's address only its presence counts."""
    kept = {key: value for key, value in data.items() if key not in without}
    kept["hosted_invoice_url"] = bool(data.get("hosted_invoice_url"))
    return kept


# --- the freshness rule -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenAgain:
    """When a row may have been seen again, as it was, without being written."""

    until: datetime  # Stripe's clock
    noted_at: datetime  # the database's clock


def decide(row: Mirrored, snapshot: Snapshot, again: SeenAgain | None = None) -> Decision:
    """The freshness rule. It changes nothing. Spans are of Stripe's clock; `stored_at` and `begun_at` of ours.

    `again` can only make doubtful what would be stored otherwise: the object may have changed and changed back before
    it was seen again, so that the snapshot is older than the row although it is later than the row's span.
    """
    # 1. There is no row, or a provisional one, or this is a read that began after the row was written.
    if row.stored_at is None or row.provisional or row.seen_since is None or row.seen_until is None:
        return Decision.STORE
    # Not by `stored_at`: an older snapshot that only confirms the row, or asks for a refetch, moves it as well, and the
    # row's span still ends before the sighting.
    doubtful = again is not None and again.until > row.seen_until and snapshot.since < again.until
    written_at = max(again.noted_at, row.stored_at) if doubtful and again is not None else row.stored_at
    if snapshot.begun_at is not None and snapshot.begun_at > written_at:
        return Decision.STORE
    wholly_later, wholly_earlier = snapshot.since >= row.seen_until, snapshot.until <= row.seen_since
    # 2. One of the two is further along: it is the newer one. Where time says the contrary, a refetch tells. A 404 that
    # began before the row was written has no status, and may be older than the object: it only asks for a refetch.
    if snapshot.data is None and not row.deleted_at:
        return Decision.DROP if wholly_earlier else Decision.REFETCH
    further = _further(row, snapshot)
    if further > 0:
        return Decision.STORE_AND_REFETCH if wholly_earlier or doubtful else Decision.STORE
    if further < 0:
        return Decision.REFETCH if wholly_later else Decision.DROP
    # 3. The snapshot is wholly later than the row.
    if wholly_later and not doubtful:
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


def apply(row: Mirrored, snapshot: Snapshot, now: datetime, again: SeenAgain | None = None) -> Outcome:
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
    decision, rewritten = decide(row, snapshot, again), False
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
    """Writes the snapshot into the row, in memory. Whether its object or columns are others now, and not only
    the moments of its sighting."""
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


def store(
    snapshots: Sequence[Snapshot], *, changed: Iterable[tuple[str, str]] = (), dry_run: bool = False
) -> list[Outcome]:
    """Applies the snapshots to their rows one after the other, in one transaction. The outcomes, in the same order.
    `changed`: objects, by kind and id, of which nothing is told but that they changed. They are read.

    A dry run decides and writes nothing. Inside a caller's transaction the rows stay locked until it ends.
    """
    outcomes: list[Outcome | None] = [None] * len(snapshots)
    by_object: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, snapshot in enumerate(snapshots):
        by_object[snapshot.object][snapshot.id].append(index)
    unsure: set[tuple[str, str]] = set(changed)
    with transaction.atomic():
        snapshots = _without_erased(snapshots)
        for object, model in MIRRORED.items():
            if object not in by_object:
                continue
            told = {id: [snapshots[i] for i in by_object[object][id]] for id in sorted(by_object[object])}
            applied = _applied(model, told) if dry_run else _stored(model, told)
            scheduled = scheduled_refetches.waiting(object, list(told))
            for id, indexes in by_object[object].items():
                for i, outcome in zip(indexes, applied[id], strict=True):
                    outcomes[i] = outcome
                    outcome.refetch_was_scheduled = id in scheduled
                    if outcome.needs_refetch:
                        scheduled.add(id)
                        unsure.add((object, id))
        if not dry_run:
            with_payments = [*_with_open_payments(outcomes), *_of_final_invoices(outcomes)]
            lowered_payments, lowered_intents = _lowered_with_their_invoices(outcomes)
            with_payments += lowered_payments
            unsure |= _charges_of_failed_refunds(outcomes) | lowered_intents | _attached_intents(outcomes)
            scheduled_refetches.schedule(unsure, payments_of=with_payments)
    return [outcome for outcome in outcomes if outcome is not None]


Told = Mapping[str, Sequence[Snapshot]]  # id → what is told of the object, in the order in which it came


def _applied(model: type[Mirrored], told: Told) -> dict[str, list[Outcome]]:
    """What storing would do to the rows, without locks and without writing anything: for a dry run."""
    rows, now = _read_rows(model, list(told)), clock.now()
    again = _seen_again(model, rows, told)
    return {id: [apply(rows[id], snapshot, now, again.get(id)) for snapshot in told[id]] for id in told}


def _stored(model: type[Mirrored], told: Told) -> dict[str, list[Outcome]]:
    """Applies the snapshots to the rows of one kind, whose ids are in order, and writes what is new of them.

    Absent rows are inserted first, as they are then, and the others locked after them, both in id order, so that two
    writers never wait for each other. Two writers of an object that neither has seen before meet at the insertion: the
    later one finds it done, and takes the row for one that was there.
    """
    known = set(_known_ids(model, list(told)))
    outcomes = _inserted(model, {id: told[id] for id in told if id not in known})
    rows = _locked(model, [id for id in told if id not in outcomes])
    before = {id: dict(row.__dict__) for id, row in rows.items()}
    now = clock.now()  # after the locks: a read that begins from here on sees Stripe as it is after this write
    again = _seen_again(model, rows, told)
    for id, row in rows.items():
        outcomes[id] = [apply(row, snapshot, now, again.get(id)) for snapshot in told[id]]
    rewritten = {id for id in rows if any(outcome.rewritten for outcome in outcomes[id])}
    _save_changes(model, [row for id, row in rows.items() if id in rewritten], before)
    noted = _note_sighting(model, rows, outcomes, before, now)
    _save_changes(model, [row for id, row in rows.items() if id not in rewritten | noted], before)
    return outcomes


def _note_sighting(
    model: type[Mirrored],
    rows: Mapping[str, Mirrored],
    outcomes: Mapping[str, Sequence[Outcome]],
    before: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> set[str]:
    """Notes once for all of these locked rows that were read again and are as they were: their ids. They need not be
    written. None where they are few."""
    seen = [row for id, row in rows.items() if _is_as_it_was(before[id], outcomes[id])]
    if len(seen) < MIN_ROWS_OF_A_SIGHTING:
        return set()
    created = [row.created for row in seen if row.created is not None]
    until = max(outcome.snapshot.until for row in seen for outcome in outcomes[row.pk])
    Sighting.objects.create(
        object_type=model.OBJECT,
        first_created=min(created),
        last_created=max(created),
        seen_until=until,
        noted_at=now,
    )
    return {row.pk for row in seen}


def _is_as_it_was(before: Mapping[str, Any], outcomes: Sequence[Outcome]) -> bool:
    """Whether nothing but reads told of this row, and each that it is as it was. `before`: what the row held."""
    if before["stored_at"] is None or before["provisional"] or before["deleted_at"] or before["created"] is None:
        return False
    return all(
        outcome.decision in (Decision.STORE, Decision.CONFIRM)
        and outcome.snapshot.begun_at is not None
        and not (outcome.rewritten or outcome.needs_refetch)
        for outcome in outcomes
    )


def _seen_again(model: type[Mirrored], rows: Mapping[str, Mirrored], told: Told) -> dict[str, SeenAgain]:
    """Of these rows, after they were locked: the last time that each may have been seen again, where that matters for
    what is told. A row without a creation time is in no sighting: `_is_as_it_was`."""
    since = min((snapshot.since for id in rows for snapshot in told[id]), default=None)
    if since is None:
        return {}
    sightings = list(
        Sighting.objects.filter(object_type=model.OBJECT, seen_until__gt=since).values_list(
            "first_created", "last_created", "seen_until", "noted_at"
        )
    )
    found: dict[str, SeenAgain] = {}
    for id, row in rows.items():
        covering = [each for each in sightings if row.created is not None and each[0] <= row.created <= each[1]]
        if covering:
            found[id] = SeenAgain(max(each[2] for each in covering), max(each[3] for each in covering))
    return found


def forget_sightings() -> None:
    """Deletes the sightings that newer ones have replaced."""
    Sighting.objects.filter(noted_at__lt=clock.now() - SIGHTINGS_KEPT).delete()


def _inserted(model: type[Mirrored], told: Told) -> dict[str, list[Outcome]]:
    """Inserts the rows of these absent objects as their snapshots leave them; the outcomes of those that were inserted.

    Their `stored_at` may be earlier than the insertion. Nothing was stored before it, and a read that begins after it
    also begins after the snapshots were made.
    """
    if not told:
        return {}
    rows, now = [model(id=id) for id in told], clock.now()
    outcomes = {row.pk: [apply(row, snapshot, now) for snapshot in told[row.pk]] for row in rows}
    inserted: set[str] = set()
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        inserted |= many_rows.insert(model, rows[start : start + ROWS_PER_STATEMENT], absent=True)
    return {id: outcomes[id] for id in told if id in inserted}


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


def _charges_of_failed_refunds(outcomes: Iterable[Outcome | None]) -> set[tuple[str, str]]:
    """The charges of the refunds that failed, or were canceled, in these outcomes: how much of each is refunded is then
    less than before, and no event tells of it. Not where a list brought such a refund for the first time: it brings the
    charge too, as it is by now."""
    found: set[tuple[str, str]] = set()
    for outcome in outcomes:
        if outcome is None or outcome.snapshot.object != Refund.OBJECT or not outcome.rewritten:
            continue
        data, ours = outcome.snapshot.data or {}, outcome.ours
        is_imported = ours is None and outcome.snapshot.begun_at is not None
        if data.get("status") in Refund.FINAL and (ours or {}).get("status") not in Refund.FINAL and not is_imported:
            charge = expandable_id(data, "charge")
            found |= {(Charge.OBJECT, charge)} if is_id(charge) else set()
    return found


Objects = tuple[str, str]  # kind and id


def _lowered_with_their_invoices(outcomes: Iterable[Outcome | None]) -> tuple[list[Objects], set[Objects]]:
    """What these outcomes lower without an event: where less remains of an invoice than before, because a part was paid
    or credited, Stripe lowers its open default payment and that one's PaymentIntent too. The invoices whose payment
    still asks for more, and the PaymentIntents that do: they are read."""
    remaining: dict[str, int] = {}
    for outcome in outcomes:
        if outcome is None or outcome.snapshot.object != Invoice.OBJECT or not outcome.rewritten:
            continue
        before, now = (integer(data or {}, "amount_remaining") for data in (outcome.ours, outcome.snapshot.data))
        if before is not None and now is not None and now < before and not _is_final(outcome.snapshot.data):
            remaining[outcome.snapshot.id] = now
    if not remaining:
        return [], set()
    asked = open_payments(remaining).filter(is_default=True)
    payments = list(asked.values_list("invoice_id", "amount_requested", "payment_intent"))
    invoices = [(Invoice.OBJECT, id) for id, amount, _ in payments if id and (amount or 0) > remaining[id]]
    remains_of = {intent: remaining[id] for id, _, intent in payments if id and intent}
    # A bank that is processing a payment goes on with the whole of it.
    changeable = PaymentIntent.objects.filter(pk__in=remains_of).exclude(status__in=SETTLED_OR_WITH_A_BANK)
    intents = {
        (PaymentIntent.OBJECT, intent)
        for intent, amount in changeable.values_list("pk", "amount")
        if (amount or 0) > remains_of[intent]
    }
    return invoices, intents


def _attached_intents(outcomes: Iterable[Outcome | None]) -> set[Objects]:
    """The PaymentIntents that were attached to an invoice in these outcomes: Stripe then writes the invoice into them,
    and sends no event of it. An import brings them after the payments, and needs no further read."""
    attached: dict[str, str] = {}  # PaymentIntent → invoice
    for outcome in outcomes:
        if outcome is None or outcome.snapshot.object != InvoicePayment.OBJECT or outcome.ours is not None:
            continue
        data = outcome.snapshot.data or {}
        intent, invoice = expandable_id(data, "payment", "payment_intent"), expandable_id(data, "invoice")
        if outcome.rewritten and data.get("is_default") is False and is_id(intent) and invoice:
            attached[intent] = invoice
    if not attached:
        return set()
    held = PaymentIntent.objects.filter(pk__in=attached).values_list("pk", "data")
    return {
        (PaymentIntent.OBJECT, id)
        for id, data in held
        if member(data, "payment_details", "order_reference") != attached[id]
    }


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
    if not any_begun():
        return snapshots
    of = [personal.customers_of(snapshot.data) for snapshot in snapshots]
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
        for row in _locked(model, [id]).values():
            if row.data is None:
                continue
            before = {id: dict(row.__dict__)}
            row.data = personal.redacted(row.data, known)
            for column, value in row.columns(row.data).items():
                setattr(row, column, value)
            row.stored_at = clock.now()
            _save_changes(model, [row], before)


def _locked(model: type[Mirrored], ids: Sequence[str]) -> dict[str, Mirrored]:
    """Those of these rows that are there, locked in id order."""
    return {
        row.pk: row
        for start in range(0, len(ids), ROWS_PER_STATEMENT)
        for row in many_rows.locked(model, ids[start : start + ROWS_PER_STATEMENT])
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
        yield from many_rows.known(model, ids[start : start + ROWS_PER_STATEMENT])


def _read_rows(model: type[Mirrored], ids: Sequence[str]) -> dict[str, Mirrored]:
    """The rows without locks, for a dry run; an empty one in memory for an id that has none."""
    found = {
        row.pk: row
        for start in range(0, len(ids), ROWS_PER_STATEMENT)
        for row in model.rows.filter(id__in=ids[start : start + ROWS_PER_STATEMENT])
    }
    return {id: found.get(id) or model(id=id) for id in ids}


def _save_changes(model: type[Mirrored], rows: Sequence[Mirrored], before: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the columns that are other ones now in any of these locked rows. `before`: what the rows held, by id."""
    names = [field.attname for field in model._meta.concrete_fields]
    changed_rows, changed_columns = [], set()
    for row in rows:
        held, holds = before[row.pk], row.__dict__
        # `data` is another one where it is another object in memory: to Python `1`, `1.0` and `true` are equal.
        changed = [
            name for name in names if holds[name] is not held[name] and (name == "data" or holds[name] != held[name])
        ]
        if changed:
            changed_rows.append(row)
            changed_columns.update(changed)
    for start in range(0, len(changed_rows), ROWS_PER_STATEMENT):
        many_rows.update(model, changed_rows[start : start + ROWS_PER_STATEMENT], sorted(changed_columns))
