"""Months of events leave the database for compressed files, and the journal keeps the proof of what they hold.

A month is one file of JSON lines, `events-2025-03.jsonl.gz`: an event a line, every column, in the order of the ids.
The manifest beside it, `events-2025-03.json`, says what the journal's row (`EventArchive`) says of it too. The order of
steps makes a kill at any point harmless: the file is whole and read back before the row is written, the row is chained
before the events are removed, and a second run goes on where the first one ended.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from invoices import clock
from invoices.journal.content import content_of_event
from invoices.journal.links import chain
from invoices.models import Event, EventArchive, JournalLink, UnchainedRow, partitions, triggers

KEPT = timedelta(days=35)  # for which no event is archived: Stripe lists its events for thirty days
ROWS_AT_ONCE = 500
WORKING = sorted(Event.rules.working)
NOT_ENDED = Q(state__in=[Event.State.PENDING, Event.State.FAILED])


class NotArchivable(Exception):
    """The month cannot be archived, or the file is not what the journal says. For people: what to do."""


class Step(NamedTuple):
    """What was done for one file, for people who watch."""

    archive: EventArchive
    removed: int  # events that left the database


@dataclass(frozen=True)
class By:
    """Who archives, and why: it stands in the journal."""

    reason: str
    user: User | None = None
    shell_user: str = ""


def archive(before: date, folder: Path, by: By) -> Iterator[Step]:
    """Archives every month before this one of which events are left, the oldest first. Raises NotArchivable, OSError.

    What an earlier run has written and not removed is removed first.
    """
    if before > (clock.now() - KEPT).date():
        raise NotArchivable(
            f"Only what is older than {KEPT.days} days can be archived: until then Stripe may list it again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    chain()
    for unfinished in current().filter(month__lt=before).order_by("month", "pk"):
        if removed := _remove(unfinished, folder):
            yield Step(unfinished, removed)
    while month := _oldest_month(before):
        made = _write(month, folder, by)
        chain()
        yield Step(made, _remove(made, folder))


def current() -> Any:
    """The archives that are in force: those that no later one replaces."""
    return EventArchive.objects.filter(replacements=None)


def _oldest_month(before: date) -> date | None:
    oldest = Event.objects.filter(created__lt=_start(before)).order_by("created").values_list("created", flat=True)
    first = oldest.first()
    return first.astimezone(UTC).date().replace(day=1) if first else None


def _start(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def _rows_of(month: date) -> Any:
    return Event.objects.filter(created__gte=_start(month), created__lt=_start(partitions.later(month, 1)))


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(month: date, folder: Path, by: By) -> EventArchive:
    """The file of this month, read back and compared with the table and the chain, and then its row."""
    rows = _rows_of(month)
    waiting = rows.filter(NOT_ENDED)
    if first := waiting.order_by("created").first():
        raise NotArchivable(
            f"{month:%Y-%m}: {waiting.count()} events are not done, such as {first.pk} ({first.state}). Replay those "
            "that failed (manage.py replay_events), and archive again."
        )
    path = _free_name(folder, month)
    _write_lines(path, (_line(event) for event in rows.order_by("pk").iterator(chunk_size=ROWS_AT_ONCE)))
    positions: list[int] = []
    count = 0
    for events in _in_parts(read(path)):
        count += len(events)
        positions += _compare(events)
    if rows.count() != count:
        raise NotArchivable(f"{month:%Y-%m}: an event came while it was written. Archive again.")
    row = EventArchive(
        month=month,
        file=path.name,
        count=count,
        sha256=digest_of(path),
        positions=in_words(positions),
        reason=by.reason,
        by=by.user,
        shell_user=by.shell_user,
    )
    _write_manifest(folder, row)
    row.save(force_insert=True)
    return row


def _free_name(folder: Path, month: date) -> Path:
    """A month has a second file where events came after the first one was written. Without a row, a file is what an
    earlier run left unfinished."""
    taken = set(EventArchive.objects.filter(month=month).values_list("file", flat=True))
    number = 1
    while (name := f"events-{month:%Y-%m}{f'-{number}' if number > 1 else ''}.jsonl.gz") in taken:
        number += 1
    return folder / name


def _line(event: Event) -> str:
    values = {column.attname: column.value_to_string(event) for column in Event._meta.concrete_fields}
    nulls = {column.attname: None for column in Event._meta.concrete_fields if getattr(event, column.attname) is None}
    return json.dumps({**values, **nulls}, ensure_ascii=True, separators=(",", ":"))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """All of it or nothing stands under this name. The same lines make the same bytes; a file of others is kept beside,
    because a database that was restored from a backup may know less than the file."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
            for line in lines:
                file.write(line.encode() + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    if path.exists() and (digest := digest_of(path)) != digest_of(part):
        path.replace(path.with_name(f"{path.name}.{digest[:12]}"))
    part.replace(path)
    _sync(path.parent)


def _write_manifest(folder: Path, row: EventArchive) -> None:
    said = {
        "month": f"{row.month:%Y-%m}",
        "file": row.file,
        "count": row.count,
        "sha256": row.sha256,
        "positions": row.positions,
        "changed": row.changed.split(),
    }
    path = folder / row.file.replace(".jsonl.gz", ".json")
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(said, indent=1) + "\n")
    part.replace(path)
    _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _compare(events: list[Event]) -> list[int]:
    """The positions of the links of these events, as they were read from the file. Raises NotArchivable where the file
    says otherwise than the table or the chain."""
    ids = [event.pk for event in events]
    stored = {event.pk: event for event in Event.stored(events)}
    links: dict[str, list[JournalLink]] = {}
    for link in JournalLink.objects.filter(kind="event", row__in=ids).order_by("position"):
        links.setdefault(link.row, []).append(link)
    waiting = set(UnchainedRow.objects.filter(kind="event", row__in=ids).values_list("row", flat=True))
    for event in events:
        if event.pk not in links or event.pk in waiting:
            raise NotArchivable(f"{event.pk} is not chained yet. Archive again in a minute.")
        if links[event.pk][-1].digest != content_of_event(event).digest:
            raise NotArchivable(f"{event.pk} is not what was chained: see manage.py journal verify.")
        if _line(event) != _line(stored[event.pk]):
            raise NotArchivable(f"{event.pk} changed while it was written. Archive again.")
    return [link.position for id in ids for link in links[id]]


# --- reading ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[Event]:
    """The events of a file, unsaved, one after the other. Raises OSError, ValueError."""
    columns = {column.attname: column for column in Event._meta.concrete_fields}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            said = json.loads(line)
            values = {name: columns[name].to_python(value) for name, value in said.items() if name in columns}
            yield Event(**values)


def digest_of(path: Path) -> str:
    """SHA-256 of the file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_of(row: EventArchive, folder: Path) -> Path:
    """The file of this row. A process that died between the row of a rewritten file and its last step left the new file
    beside the old one. Raises OSError."""
    path = folder / row.file
    anew = path.with_name(f"{row.file}.new")
    if anew.exists() and digest_of(anew) == row.sha256:
        anew.replace(path)
        _write_manifest(folder, row)
    return path


def _in_parts(events: Iterator[Event]) -> Iterator[list[Event]]:
    while part := list(islice(events, ROWS_AT_ONCE)):
        yield part


def in_words(positions: Iterable[int]) -> str:
    """1-500,503: the form of `EventArchive.positions`."""
    spans: list[list[int]] = []
    for position in sorted(set(positions)):
        if spans and spans[-1][1] == position - 1:
            spans[-1][1] = position
        else:
            spans.append([position, position])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans)


class Archived:
    """Which positions of the chain are of archived events, and in which archive. Memory: a pair for each gap."""

    def __init__(self) -> None:
        spans = []
        for each in current().order_by("pk"):
            for span in each.positions.split(","):
                first, _, last = span.partition("-")
                spans.append((int(first), int(last or first), each))
        self._spans = sorted(spans, key=lambda span: span[0])
        self._firsts = [span[0] for span in self._spans]

    def of(self, position: int) -> EventArchive | None:
        """The archive that has the event of this link."""
        at = bisect_right(self._firsts, position) - 1
        if at >= 0 and self._spans[at][1] >= position:
            return self._spans[at][2]
        return None


def of_event(id: str) -> EventArchive | None:
    """The archive that has this event; None where none has it."""
    if not EventArchive.objects.exists():
        return None
    link = JournalLink.objects.filter(kind="event", row=id).order_by("position").first()
    return Archived().of(link.position) if link else None


def known(events: Iterable[Event]) -> set[str]:
    """Those of these events that were in the journal and left it for an archive. Their links in the chain say so.

    Asks the database only about events that are old enough to be archived.
    """
    # This machine's clock is good enough here: nothing younger than KEPT is archived, and five days are left.
    limit = timezone.now() - KEPT + timedelta(days=5)
    old = [event.pk for event in events if event.created is not None and event.created < limit]
    if not old or not EventArchive.objects.exists():
        return set()
    return set(JournalLink.objects.filter(kind="event", row__in=old).values_list("row", flat=True))


def check(folder: Path) -> Iterator[str]:
    """What of the archives in this folder is not as the journal says; nothing where all is."""
    for each in current().order_by("month", "pk"):
        try:
            path = _file_of(each, folder)
            if digest_of(path) != each.sha256:
                yield f"{folder / each.file} is not the file that the journal names: its SHA-256 is another."
                continue
            yield from _check_lines(each, path)
        except (OSError, ValueError) as error:
            yield f"{folder / each.file} cannot be read: {error}"


def _check_lines(row: EventArchive, path: Path) -> Iterator[str]:
    changed = set(row.changed.split())
    positions: list[int] = []
    count = 0
    for events in _in_parts(read(path)):
        count += len(events)
        digests: dict[str, str] = {}
        for link in JournalLink.objects.filter(kind="event", row__in=[each.pk for each in events]).order_by("position"):
            digests[link.row] = link.digest
            positions.append(link.position)
        for event in events:
            if event.pk not in changed and digests.get(event.pk) != content_of_event(event).digest:
                yield f"{path}: event {event.pk} is not what was chained."
    if count != row.count or in_words(positions) != row.positions:
        yield f"{path}: it does not hold the events that the journal names."


# --- removing ---------------------------------------------------------------------------------------------------------


def _remove(row: EventArchive, folder: Path) -> int:
    """Takes the events of this archive out of the database, where they still are. How many.

    A partition that holds them and no others is dropped. Elsewhere, and on SQLite, they are deleted: the only place
    that deletes events. Raises NotArchivable.
    """
    if not _are_left(row):
        return 0
    path = folder / row.file
    try:
        same = digest_of(_file_of(row, folder)) == row.sha256
    except OSError:
        same = False
    if not same and row.replaces is None and _rows_of(row.month).count() == row.count:  # nothing is removed yet
        _write_lines(path, (_line(each) for each in _rows_of(row.month).order_by("pk").iterator(ROWS_AT_ONCE)))
        _write_manifest(folder, row)
        same = digest_of(path) == row.sha256
    if not same:
        raise NotArchivable(
            f"{path} is missing, or is not the file that the journal names, and {row.month:%Y-%m} was not removed yet. "
            "Put the file back (SHA-256 " + row.sha256 + "), and archive again."
        )
    return _drop_partition(row) or _delete(row, path)


def _are_left(row: EventArchive) -> bool:
    """Whether events of this archive are still in the database. Later ones of its month may be there without it."""
    archived = Archived()
    ids = _rows_of(row.month).exclude(NOT_ENDED).values_list("pk", flat=True).iterator(chunk_size=ROWS_AT_ONCE)
    while part := list(islice(ids, ROWS_AT_ONCE)):
        positions = JournalLink.objects.filter(kind="event", row__in=part).values_list("position", flat=True)
        if any(archived.of(position) == row for position in positions):
            return True
    return False


def _drop_partition(row: EventArchive) -> int:
    name = partitions.name_of(row.month)
    if name not in partitions.of(connection, partitions.EVENTS):
        return 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute(f"LOCK TABLE {partitions.EVENTS} IN ACCESS EXCLUSIVE MODE")
        rows = _rows_of(row.month)
        cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608  a name of our own
        if cursor.fetchone()[0] != row.count or rows.filter(NOT_ENDED).exists():
            return 0
        cursor.execute(f"ALTER TABLE {partitions.EVENTS} DETACH PARTITION {name}")
        cursor.execute(f"DROP TABLE {name}")
    return row.count


def _delete(row: EventArchive, path: Path) -> int:
    """Those that are done, some at a time, so that who writes events waits shortly."""
    removed = 0
    for events in _in_parts(read(path)):
        ids = list(Event.stored(events).exclude(NOT_ENDED).values_list("pk", flat=True))
        if not ids:
            continue
        within = min(each.created for each in events), max(each.created for each in events)  # type: ignore[type-var]
        with triggers.lifted(Event), connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(ids))
            stamp = Event._meta.get_field("created")
            cursor.execute(
                f"DELETE FROM {partitions.EVENTS} WHERE id IN ({places}) "  # noqa: S608  a name of our own
                "AND created >= %s AND created <= %s AND state NOT IN ('pending', 'failed')",
                [*ids, *(stamp.get_db_prep_value(each, connection) for each in within)],
            )
            removed += cursor.rowcount
    return removed


# --- changing ---------------------------------------------------------------------------------------------------------


def rewrite(row: EventArchive, folder: Path, change: Callable[[Event], bool], by: By) -> EventArchive:
    """Writes the file anew with the events as `change` leaves them, and a row of the journal that replaces the old one.

    `change` says whether it changed the event. The row names those, because the chain still has the digest of what they
    said; nothing else of the file may differ. Raises NotArchivable, OSError.
    """
    path = _file_of(row, folder)
    if digest_of(path) != row.sha256:
        raise NotArchivable(f"{path} is not the file that the journal names.")
    changed = set(row.changed.split())

    def lines() -> Iterator[str]:
        for event in read(path):
            id = event.pk
            if change(event):
                changed.add(id)
            yield _line(event)

    anew = path.with_name(f"{path.name}.new")
    _write_lines(anew, lines())
    made = EventArchive(
        month=row.month,
        file=row.file,
        count=row.count,
        sha256=digest_of(anew),
        positions=row.positions,
        changed="\n".join(sorted(changed)),
        replaces=row,
        reason=by.reason,
        by=by.user,
        shell_user=by.shell_user,
    )
    made.save(force_insert=True)
    chain()
    anew.replace(path)
    _write_manifest(folder, made)
    return made
