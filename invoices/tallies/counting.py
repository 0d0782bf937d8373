"""Keeps the tallies: follows the changes of the mirror, and walks through everything once, and again every night.

Each step is one transaction: it reads what the changed objects are now, subtracts what they were counted as, adds what
they are, and moves on. So whatever is killed, each change is counted exactly once. The step holds the lock of the only
row of `TallyProgress`; who does not get it leaves the work to the one who has it.

An object is always counted as it is when the step reads it, which is at least as new as the change. If it changed once
more, that change comes later in the feed and is counted then.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import Count, Q, Sum

from invoices import changes, clock
from invoices.models import (
    Change,
    Charge,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    Tallied,
    Tally,
    TallyProgress,
    UnnumberedChange,
)
from invoices.tallies.buckets import BY_DAY, Counted, affected, of
from invoices.thresholds import TALLIED_DAYS

log = logging.getLogger(__name__)
T = TypeVar("T")

Walk = TallyProgress.Walk
WALKED = (Invoice.OBJECT, Charge.OBJECT)  # the kinds that are counted, in the order of a walk
MODELS = {Invoice.OBJECT: Invoice, Charge.OBJECT: Charge}
KINDS = (*WALKED, InvoicePayment.OBJECT, PaymentIntent.OBJECT)  # whose changes may change what is counted
CHANGES_AT_ONCE = 1000
WALKED_AT_ONCE = 2000  # rows that one step of a walk passes over
COUNTED_AT_ONCE = 500  # objects whose rows are read by one query
LONGEST_RUN = 2.0  # seconds after which a run leaves the rest to the next one
SEEN_EVERY = timedelta(seconds=10)  # how often a run that found nothing new writes that it looked


def run_due(longest: float = LONGEST_RUN) -> int:
    """Counts what changed, and walks on if a walk is under way, for so many seconds; how many steps were made.

    Not inside a transaction, because the changes are given their numbers first.
    """
    ends_at, steps = time.monotonic() + longest, 0
    while True:
        more = _follow()
        walked = not more and _walk_on()
        steps += more or walked
        if not (more or walked) or time.monotonic() >= ends_at:
            return steps


def begin_proof() -> None:
    """Has the next runs re-count everything, and forgets the days that are too old. Does nothing during a walk."""
    with transaction.atomic(durable=True):
        progress = _locked()
        if progress is None or progress.walk:
            return
        progress.counted_from = max(progress.counted_from, _first_day())
        old = Q(queue__in=BY_DAY, day__lt=progress.counted_from)
        Tallied.objects.filter(old).delete()
        Tally.objects.filter(old).delete()
        _begin_walk(progress, Walk.PROOF)
        progress.save()


# --- changes ----------------------------------------------------------------------------------------------------------


def _follow() -> bool:
    """Counts the next changes; whether there may be more."""
    progress = TallyProgress.objects.first()
    if progress is None:
        return _begin()
    try:
        page = changes.page(progress.after, KINDS, CHANGES_AT_ONCE, mark=progress.mark)
    except changes.Restored as error:
        log.warning("The tallies are counted anew, because the database was restored: %s", error)
        return _begin()
    now = clock.now()
    is_fresh = progress.counted_at is not None and abs(now - progress.counted_at) < SEEN_EVERY
    if page.next == progress.after and is_fresh:
        return False
    with transaction.atomic(durable=True):
        locked = _locked()
        if locked is None or (locked.after, locked.mark) != (progress.after, progress.mark):
            return False  # another process counts them
        changed = defaultdict(set)
        for change in page.changes:
            changed[change.object_type].add(change.object_id)
        if page.changes:
            _count(affected(changed), locked.counted_from)
        locked.after, locked.mark = page.next, page.cursor.partition(".")[2]
        if not page.has_more:
            locked.counted_at = now
        locked.save()
    return page.has_more


def _begin() -> bool:
    """From now on changes are followed; a walk counts what is there already. Everything that is counted stays until the
    walk has come to it."""
    page = changes.now()
    with transaction.atomic(durable=True):
        TallyProgress.objects.get_or_create(pk=1, defaults={"counted_from": _first_day()})
        progress = _locked()
        if progress is None:
            return False
        progress.after, progress.mark = page.next, page.cursor.partition(".")[2]
        _begin_walk(progress, Walk.FILL)
        progress.save()
    return True


def _locked() -> TallyProgress | None:
    """The progress with its lock; None if another process has it, or if nothing was counted yet."""
    return TallyProgress.objects.select_for_update(skip_locked=connection.vendor == "postgresql").first()


def _first_day() -> date:
    return clock.now().date() - timedelta(days=TALLIED_DAYS)


# --- walks ------------------------------------------------------------------------------------------------------------


def _begin_walk(progress: TallyProgress, walk: str) -> None:
    progress.walk, progress.walk_type, progress.walk_after, progress.walk_wrong = walk, WALKED[0], "", 0


def _walk_on() -> bool:
    """One step of the walk that is under way; whether one was made."""
    if not TallyProgress.objects.exclude(walk="").exists():
        return False
    with transaction.atomic(durable=True):
        progress = _locked()
        if progress is None or not progress.walk:
            return False
        kind = progress.walk_type
        rows = MODELS[kind].rows.filter(pk__gt=progress.walk_after).order_by("pk")
        ids = list(rows.values_list("pk", flat=True)[:WALKED_AT_ONCE])
        counted = Tallied.objects.filter(object_type=kind, object_id__gt=progress.walk_after)
        is_last = len(ids) < WALKED_AT_ONCE
        if not is_last:
            counted = counted.filter(object_id__lte=ids[-1])
        gone = set(counted.values_list("object_id", flat=True)) - set(ids)  # counted, but no longer here
        wrong = _count({kind: {*ids, *gone}}, progress.counted_from)
        if progress.walk == Walk.PROOF:
            progress.walk_wrong += _not_waiting(kind, wrong, progress.after)
        if not is_last:
            progress.walk_after = ids[-1]
        elif kind != WALKED[-1]:
            progress.walk_type, progress.walk_after = WALKED[WALKED.index(kind) + 1], ""
        else:
            _end_walk(progress)
        progress.save()
    return True


def _not_waiting(kind: str, wrong: set[str], after: int) -> int:
    """How many of these were counted wrong although no change of them, or of what belongs to them, still waits to be
    counted. The unnumbered changes are read first: one that gets its number meanwhile is then seen among the others."""
    if not wrong:
        return 0
    changed: dict[str, set[str]] = defaultdict(set)
    for waiting in (UnnumberedChange.objects.all(), Change.objects.filter(sequence__gt=after)):
        for object_type, object_id in waiting.filter(object_type__in=KINDS).values_list("object_type", "object_id"):
            changed[object_type].add(object_id)
    faults = wrong - affected(changed)[kind]
    if faults:
        log.error("Tallies: %d objects (%s) were counted wrong, such as %s", len(faults), kind, sorted(faults)[:3])
    return len(faults)


def _end_walk(progress: TallyProgress) -> None:
    """At the end of a walk the sums are compared with the rows that they sum up."""
    wrong = _mend_sums()
    now = clock.now()
    if progress.walk == Walk.PROOF:
        progress.proved_at, progress.wrong = now, progress.walk_wrong + wrong
    progress.filled_at = progress.filled_at or now
    progress.walk = progress.walk_type = progress.walk_after = ""


def _mend_sums() -> int:
    """Makes each tally what its rows add up to; how many were not."""
    keys = ("queue", "day", "currency", "reason")
    summed = Tallied.objects.values_list(*keys).annotate(number=Count("pk"), sum=Sum("amount"))
    right = {tuple(row[:4]): tuple(row[4:]) for row in summed}
    held = {row.bucket: row for row in Tally.objects.all()}
    wrong = [key for key in {*right, *held} if key not in held or right.get(key) != (held[key].count, held[key].amount)]
    if wrong:
        log.error("Tallies: %d sums were wrong, such as that of %s", len(wrong), wrong[0])
        Tally.objects.filter(pk__in=[held[key].pk for key in wrong if key in held]).delete()
        Tally.objects.bulk_create(
            [_tally(key, *right[key]) for key in wrong if key in right], batch_size=COUNTED_AT_ONCE
        )
    return len(wrong)


# --- counting ---------------------------------------------------------------------------------------------------------


def _count(objects: dict[str, set[str]], since: date) -> set[str]:
    """Counts these objects (kind → ids) as what they are now; the ids of those that were counted otherwise."""
    moved: Counter[tuple[str, date, str, str]] = Counter()
    amounts: Counter[tuple[str, date, str, str]] = Counter()
    otherwise: set[str] = set()
    for kind, ids in objects.items():
        for some in _chunks(sorted(ids)):
            was = {
                (row.object_id, row.queue): row for row in Tallied.objects.filter(object_type=kind, object_id__in=some)
            }
            now = {(row.object_id, row.queue): row for row in of(kind, some, since)}
            removed = [row for key, row in was.items() if key not in now or _as(row) != now[key]]
            added = [row for key, row in now.items() if key not in was or _as(was[key]) != row]
            for row in removed:
                moved[row.bucket] -= 1
                amounts[row.bucket] -= row.amount
            for each in added:
                moved[_bucket(each)] += 1
                amounts[_bucket(each)] += each.amount
            otherwise.update(row.object_id for row in removed)
            otherwise.update(each.object_id for each in added)
            if removed:
                Tallied.objects.filter(pk__in=[row.pk for row in removed]).delete()
            if added:
                Tallied.objects.bulk_create([Tallied(**each._asdict()) for each in added])
    _move({key: (moved[key], amounts[key]) for key in moved if moved[key] or amounts[key]})
    return otherwise


def _move(differences: dict[tuple[str, date, str, str], tuple[int, int]]) -> None:
    """Adds these numbers and sums to their tallies. Only the holder of the lock writes them, so what is read stands."""
    for some in _chunks(list(differences)):
        queues, days = {key[0] for key in some}, {key[1] for key in some}
        held = {row.bucket: row for row in Tally.objects.filter(queue__in=queues, day__in=days)}
        changed: list[Tally] = []
        made: list[Tally] = []
        emptied: list[Tally] = []
        for key in some:
            row = held.get(key)
            number, amount = differences[key]
            if row is None:
                made.append(_tally(key, number, amount))
                continue
            row.count += number
            row.amount += amount
            (changed if row.count else emptied).append(row)
        Tally.objects.bulk_create(made)
        Tally.objects.bulk_update(changed, ["count", "amount"])
        Tally.objects.filter(pk__in=[row.pk for row in emptied]).delete()


def _as(row: Tallied) -> Counted:
    return Counted(row.object_type, row.object_id, row.queue, row.day, row.currency, row.reason, row.amount)


def _bucket(counted: Counted) -> tuple[str, date, str, str]:
    return counted.queue, counted.day, counted.currency, counted.reason


def _tally(key: tuple[str, date, str, str], number: int, amount: int) -> Tally:
    queue, day, currency, reason = key
    return Tally(queue=queue, day=day, currency=currency, reason=reason, count=number, amount=amount)


def _chunks(items: list[T]) -> Iterable[list[T]]:
    return (items[begin : begin + COUNTED_AT_ONCE] for begin in range(0, len(items), COUNTED_AT_ONCE))
