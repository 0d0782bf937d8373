"""The changes feed: gives each change of the mirror its number, and reads them in that order.

A consumer keeps a number. What it asks for are the changes with greater ones. So no change may become visible with a
smaller number than one that somebody has read, and no number may be left out.

On PostgreSQL many write at once, and who writes first may commit last: a number that the writer drew would appear
behind a greater one. So the triggers write a change without its number (`UnnumberedChange`), and whoever reads gives
the numbers, one process at a time, to all changes that are committed by then. No writer waits for a reader, and no
change for a transaction that is still under way: that one's changes get their numbers after its commit. Once a minute a
worker gives them too: where nobody reads, few wait for who comes first.

Changes that get their numbers together are numbered in the order in which they were written. So of two changes of which
one was committed before the other was written, the first one has the smaller number: it is visible wherever the second
one is. That holds for any two changes of one object, because a writer holds the lock of the row until its commit.

After a backup was restored, numbers that were given after it was made are given again, to other changes. So a consumer
may keep a cursor in place of a number: it names the change itself too (`cursor_of`), and who comes back with the cursor
of a change that is not here any more is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from django.db import connection, transaction
from django.db.models import Max, TextField
from django.db.models.functions import Cast

from invoices import prepared
from invoices.models import MIRRORED, Change
from invoices.models.reading import ascii_text_of

NUMBERED_AT_ONCE = 5000  # changes that get their number in one transaction
LOOKED_THROUGH = 10_000  # changes that one page passes over at most, of whatever kind
LOCK = 0x6368616E676573  # "changes": held while numbers are given

WAITING = "SELECT EXISTS (SELECT 1 FROM invoices_unnumberedchange)"
NUMBER = """
    WITH taken AS (
        DELETE FROM invoices_unnumberedchange
        WHERE id IN (SELECT id FROM invoices_unnumberedchange ORDER BY id LIMIT %s)
        RETURNING id, object_type, object_id, what, recorded_at
    )
    INSERT INTO invoices_change (sequence, object_type, object_id, what, recorded_at)
    SELECT (SELECT coalesce(max(sequence), 0) FROM invoices_change) + row_number() OVER (ORDER BY id),
        object_type, object_id, what, recorded_at
    FROM taken
"""


class Restored(Exception):
    """What a consumer has read last is not here: there is no change with this number yet, or it is another one. So a
    backup was restored since."""

    def __init__(self, after: int, newest: int) -> None:
        what = "the newest one is" if after > newest else "another one has this number now; the newest one is"
        super().__init__(f"No such change: '{after}' ({what} {newest}).")


@dataclass(frozen=True)
class Page:
    """Some changes in their order. `next`: up to here nothing was left out, so the next page begins after it."""

    changes: list[Change]
    next: int
    cursor: str  # of `next`
    has_more: bool  # there are more of whatever kind, so the next page may still be empty


def number() -> bool:
    """Gives their numbers to the changes that are committed, or to the first NUMBERED_AT_ONCE of them. Whether these
    were so many that others may be left. Not inside a transaction: until it ended, the numbers would not be visible,
    and nobody else could give any."""
    if connection.vendor != "postgresql" or not prepared.rows(WAITING, [])[0][0]:
        return False
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute(NUMBER, [NUMBERED_AT_ONCE])  # a statement of its own: it sees what was committed meanwhile
        return cursor.rowcount >= NUMBERED_AT_ONCE


def number_all() -> None:
    """Gives their numbers to all changes that are committed."""
    while number():
        pass


def newest() -> int:
    """The greatest number, or 0."""
    return Change.objects.aggregate(found=Max("sequence"))["found"] or 0


def newest_by_kind(after: int) -> dict[str, int]:
    """The greatest number of each kind of object, of the changes after this one."""
    found = Change.objects.filter(sequence__gt=after).values_list("object_type")
    return dict(found.annotate(newest=Max("sequence")))


def page(after: int, kinds: Collection[str], limit: int, *, mark: str = "") -> Page:
    """The next changes of these kinds. `mark` is of the change `after`, from a cursor; without it only the number is
    looked at. Raises Restored.

    What is passed over is bounded: the numbers have no gaps, so this many of them are this many rows.
    """
    number()
    last = newest()
    if after > last or (mark and mark != _mark_at(after)):
        raise Restored(after, last)
    until = min(after + LOOKED_THROUGH, last)
    wanted = Change.objects.filter(sequence__gt=after, sequence__lte=until, object_type__in=kinds)
    found = list(wanted.order_by("sequence")[: limit + 1])
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1].sequence, _cursor(found[limit - 1]), has_more=True)
    is_last = bool(found) and found[-1].sequence == until
    return Page(found, until, _cursor(found[-1]) if is_last else cursor_at(until), has_more=until < last)


def now() -> Page:
    """Nothing, and from where on there will be what is written from now on."""
    number_all()
    last = newest()
    return Page([], last, cursor_at(last), has_more=False)


def cursor_at(sequence: int) -> str:
    """The cursor of the change with this number: `number.mark`. Of 0, before the first one, the number alone."""
    mark = _mark_at(sequence)
    return f"{sequence}.{mark}" if mark else str(sequence)


def _cursor(change: Change) -> str:
    return f"{change.sequence}.{_mark(change)}"


def _mark_at(sequence: int) -> str:
    """Empty where there is none."""
    change = Change.objects.filter(sequence=sequence).first()
    return _mark(change) if change else ""


def _mark(change: Change) -> str:
    """By which one tells it from any other that has its number: `recorded_at` goes on, and a row is never changed."""
    told = [change.object_type, change.object_id, change.what, change.recorded_at.isoformat()]
    return blake2b(" ".join(told).encode(), digest_size=8).hexdigest()


def as_json(changes: Sequence[Change], shown: Callable[[str, str], str]) -> Iterator[str]:
    """Each change as the JSON of an object, with its object as the mirror has it now: at least as new as the change.

    `shown` gets the kind and the stored JSON of an object, and returns the JSON to show.
    """
    texts = _texts(changes)
    for change in changes:
        text = texts.get((change.object_type, change.object_id))
        members = {
            "object": "change",
            "sequence": change.sequence,
            "type": f"{change.object_type}.{change.what}",
            "object_type": change.object_type,
            "object_id": change.object_id,
            "created": int(change.recorded_at.timestamp()),
            "deleted": text is None,
        }
        snapshot = "null" if text is None else shown(change.object_type, text)
        yield f'{ascii_text_of(members)[:-1]},"snapshot":{snapshot}}}'


def _texts(changes: Sequence[Change]) -> dict[tuple[str, str], str]:
    """The stored JSON of those of these changes' objects that are shown."""
    ids = defaultdict(set)
    for change in changes:
        ids[change.object_type].add(change.object_id)
    found = {}
    for kind, of_kind in ids.items():
        if kind not in MIRRORED:
            continue  # written by a version that mirrored more
        rows = MIRRORED[kind].objects.filter(pk__in=of_kind, deleted_at=None, data__isnull=False)
        for id, text in rows.annotate(text=Cast("data", TextField())).values_list("pk", "text"):
            found[kind, id] = text
    return found
