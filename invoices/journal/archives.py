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
import logging
import os
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Model, Q
from django.utils import timezone

from invoices import clock
from invoices.journal.content import Content, content_of_event, contents
from invoices.journal.links import chain, chain_again, chain_all
from invoices.models import (
    Erasure,
    Event,
    EventArchive,
    JournalLink,
    SignInArchive,
    UnchainedRow,
    erasures,
    grants,
    partitions,
    personal,
    triggers,
)

log = logging.getLogger(__name__)

Each = TypeVar("Each")
KEPT = timedelta(days=35)  # for which no event is archived: Stripe lists its events for thirty days
ROWS_AT_ONCE = 500
WORKING = sorted(Event.rules.working)
ARCHIVED_KINDS = ("event", "sign_in")  # of rows that may leave the database for a file
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


def refuse_all_but_the_owner() -> None:
    """Raises NotArchivable for the runtime role, which can take nothing out of the journal."""
    if not grants.is_owner():
        raise NotArchivable(
            "This takes rows of the journal out of the database, which only the owner of the tables may: run it with "
            "the DATABASE_URL of the role that migrates."
        )


def archive(before: date, folder: Path, by: By) -> Iterator[Step]:
    """Archives every month before this one of which events are left, the oldest first. Raises NotArchivable, OSError.

    What an earlier run has written and not removed is removed first.
    """
    if before > (clock.now() - KEPT).date():
        raise NotArchivable(
            f"Only what is older than {KEPT.days} days can be archived: until then Stripe may list it again."
        )
    refuse_all_but_the_owner()
    _refuse_while_erasing(None)
    folder.mkdir(parents=True, exist_ok=True)
    chain()
    for unfinished in current().filter(month__lt=before).order_by("month", "pk"):
        if removed := _remove(unfinished, folder):
            yield Step(unfinished, removed)
    while month := _oldest_month(before):
        made = _write(month, folder, by)
        chain()
        yield Step(made, _remove(made, folder))


def month_before(months: int) -> date:
    """The first month that stays where events are kept for so many months, at least two: this month is the first of
    them that is not counted."""
    if months < 2:
        raise NotArchivable(
            f"Events are kept for two months or more, because Stripe lists them for thirty days: {months}."
        )
    return partitions.later(clock.now().astimezone(UTC).date().replace(day=1), -months)


def archive_old() -> int:
    """Archives what is older than EVENTS_KEPT_MONTHS; how many files were written. Nothing where that is not set. For
    the schedule: what cannot be archived is logged, and tried again the next day."""
    if not settings.EVENTS_KEPT_MONTHS:
        return 0
    by = By(
        f"Older than {settings.EVENTS_KEPT_MONTHS} months (EVENTS_KEPT_MONTHS).", shell_user=f"worker@{gethostname()}"
    )
    files = 0
    try:
        for _ in archive(month_before(settings.EVENTS_KEPT_MONTHS), Path(settings.ARCHIVE_DIR), by):
            files += 1
    except (NotArchivable, OSError, ValueError) as error:
        log.error("Events were not archived: %s", error)
    return files


def current() -> Any:
    """The archives that are in force: those that no later one replaces."""
    return EventArchive.objects.filter(replacements=None)


def _refuse_while_erasing(since: datetime | None) -> None:
    """Raises NotArchivable while an erasure is under way, or where one began `since`: what was read from the table may
    be without what it erased, and a file that it does not know of would keep it."""
    begun = Q(finished_at=None) if since is None else Q(finished_at=None) | Q(requested_at__gte=since)
    if erasure := Erasure.objects.filter(begun).order_by("pk").first():
        raise NotArchivable(
            f"{erasure.customer} is being erased. Wait for its end (or, if it was interrupted, repeat manage.py "
            f"erase_customer {erasure.customer}), and archive again."
        )


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
    began = clock.now()
    path = _free_name(folder, month)
    _chain_what_is_kept(rows)
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
    with transaction.atomic():
        erasures.wait_for_beginnings()
        _refuse_while_erasing(began)
        row.save(force_insert=True)
    return row


def _chain_what_is_kept(rows: Any) -> None:
    """Chains again those of these events whose links have another hash of what is kept, or none: they were made by an
    earlier version. Once the events are in a file, that hash alone proves what an erasure left."""
    ids = rows.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=ROWS_AT_ONCE)
    while part := list(islice(ids, ROWS_AT_ONCE)):
        last = {link.row: link for link in JournalLink.objects.filter(kind="event", row__in=part).order_by("position")}
        now = contents("event", part)
        other = [id for id, content in now if id in last and last[id].kept != content.kept]
        if other:
            UnchainedRow.objects.bulk_create(UnchainedRow(kind="event", row=id) for id in other)
            chain()


def _free_name(folder: Path, month: date) -> Path:
    """A month has a second file where events came after the first one was written. Without a row, a file is what an
    earlier run left unfinished."""
    taken = set(EventArchive.objects.filter(month=month).values_list("file", flat=True))
    number = 1
    while (name := f"events-{month:%Y-%m}{f'-{number}' if number > 1 else ''}.jsonl.gz") in taken:
        number += 1
    return folder / name


def _line(row: Model) -> str:
    values = {column.attname: column.value_to_string(row) for column in row._meta.concrete_fields}
    nulls = {column.attname: None for column in row._meta.concrete_fields if getattr(row, column.attname) is None}
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
    links = _links_of(events)
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
    for line in lines(path):
        yield event_of(line)


def lines(path: Path) -> Iterator[str]:
    """Its lines as they stand there. Raises OSError, ValueError."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield line.removesuffix("\n")
    except (EOFError, zlib.error) as error:  # cut off, or no compressed file
        raise ValueError(str(error)) from error


def event_of(line: str) -> Event:
    """The event that a line spells, unsaved. Raises ValueError."""
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("A line is no event.")
    try:
        return Event(**{name: column.to_python(said[name]) for name, column in _columns().items() if name in said})
    except ValidationError as error:
        raise ValueError(f"A line is no event: {error.messages[0]}") from error


def _columns() -> dict[str, Any]:
    return {column.attname: column for column in Event._meta.concrete_fields}


def digest_of(path: Path) -> str:
    """SHA-256 of the file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_of(row: EventArchive, folder: Path) -> Path:
    """The file of this row. A process that died between the row of a rewritten file and its last step left the new file
    beside the old one. Raises OSError."""
    path = folder / row.file
    anew = path.with_name(f"{row.file}.new")
    if anew.exists() and digest_of(anew) == row.sha256:
        _take_place(anew, path, row)
    return path


def _take_place(anew: Path, path: Path, row: EventArchive) -> None:
    """The last steps of a rewritten file. While `anew` is there, both can be repeated."""
    _write_manifest(path.parent, row)
    anew.replace(path)
    _sync(path.parent)


def _in_parts(all: Iterator[Each]) -> Iterator[list[Each]]:
    while part := list(islice(all, ROWS_AT_ONCE)):
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


def spans_of(row: EventArchive | SignInArchive) -> Iterator[tuple[int, int]]:
    """The first and the last of each span of the archive's positions."""
    for span in row.positions.split(","):
        first, _, last = span.partition("-")
        yield int(first), int(last or first)


class Archived:
    """Which positions of the chain are of archived rows, and in which archive. Memory: a pair for each gap."""

    def __init__(self) -> None:
        spans = []
        for each in (*current().order_by("pk"), *SignInArchive.objects.order_by("pk")):
            spans += [(first, last, each) for first, last in spans_of(each)]
        self._spans = sorted(spans, key=lambda span: span[0])
        self._firsts = [span[0] for span in self._spans]

    def of(self, position: int) -> Any:
        """The archive (EventArchive or SignInArchive) that has the row of this link; None where none has it."""
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


def may_hold(event: Event) -> bool:
    """Whether the event is old enough to be in an archive."""
    # This machine's clock is good enough here: nothing younger than KEPT is archived, and five days are left.
    return event.created is not None and event.created < timezone.now() - KEPT + timedelta(days=5)


def known(events: Iterable[Event]) -> set[str]:
    """Those of these events that were in the journal and left it for an archive. Their links in the chain say so.

    Asks the database only about events that are old enough to be archived.
    """
    old = [event.pk for event in events if may_hold(event)]
    if not old or not EventArchive.objects.exists():
        return set()
    return set(JournalLink.objects.filter(kind="event", row__in=old).values_list("row", flat=True))


def check(folder: Path) -> Iterator[str]:
    """What of the archives in this folder is not as the journal says; nothing where all is."""
    for each in current().order_by("month", "pk"):
        try:
            path = file_of(each, folder)
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
        links = _links_of(events)
        for event in events:
            of_event, content = links.get(event.pk, []), content_of_event(event)
            positions += [link.position for link in of_event]
            if not of_event or (event.pk not in changed and of_event[-1].digest != content.digest):
                yield f"{path}: event {event.pk} is not what was chained."
            elif event.pk in changed and not _is_kept(content, of_event):
                yield f"{path}: event {event.pk} was changed, and not only in personal data."
    if count != row.count or in_words(positions) != row.positions:
        yield f"{path}: it does not hold the events that the journal names."


def _links_of(events: Iterable[Event]) -> dict[str, list[JournalLink]]:
    """All links of these events, in the chain's order."""
    links: dict[str, list[JournalLink]] = {}
    for link in JournalLink.objects.filter(kind="event", row__in=[each.pk for each in events]).order_by("position"):
        links.setdefault(link.row, []).append(link)
    return links


def _is_kept(content: Content, links: list[JournalLink]) -> bool:
    """Whether everything but personal data is as one of the event's links has it."""
    return any(link.kept == content.kept for link in links)


# --- removing ---------------------------------------------------------------------------------------------------------


def _remove(row: EventArchive, folder: Path) -> int:
    """Takes the events of this archive out of the database, where they still are. How many.

    A partition that holds them and no others is dropped. Elsewhere, and on SQLite, they are deleted: the only place
    that deletes events. Raises NotArchivable.
    """
    row = current().get(file=row.file)  # an erasure may have rewritten the file since
    if not _are_left(row):
        return 0
    path = folder / row.file
    try:
        same = digest_of(file_of(row, folder)) == row.sha256
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


def rewrite(
    row: EventArchive,
    folder: Path,
    change: Callable[[Event], bool],
    by: By,
    concerns: Callable[[str], bool] = lambda line: True,
) -> int:
    """Writes the file anew with the events as `change` leaves them, and a row of the journal that replaces the old one.
    How many events were changed; nothing is written where none was.

    `change` says whether it changed the event, only lines that it `concerns` are parsed. Only personal data may change,
    so that the hash of what is kept still proves the rest. Where the database was restored from a backup, the file may
    be a later one than its row: a line that is not as chained is then taken if it has no personal data any more, and
    all else is as chained. Raises NotArchivable, OSError, ValueError.
    """
    path = file_of(row, folder)
    as_named = digest_of(path) == row.sha256
    changed, done, count = set(row.changed.split()), 0, 0
    named = {position for first, last in spans_of(row) for position in range(first, last + 1)}
    positions, found = set(named), set[int]()

    def rewritten() -> Iterator[str]:
        nonlocal done, count
        for part in _in_parts(lines(path)):
            count += len(part)
            events = {at: event_of(line) for at, line in enumerate(part) if not as_named or concerns(line)}
            olds = {event.pk: content_of_event(event) for event in events.values()}
            chain_all("event", olds)
            links = _links_of(events.values())
            if not as_named:
                changed.update(_without_personal_data(path, events.values(), olds, links))
                found.update(link.position for of_event in links.values() for link in of_event)
            now = {at: event for at, event in events.items() if concerns(part[at]) and change(event)}
            for event in now.values():
                if content_of_event(event).kept != olds[event.pk].kept:
                    raise NotArchivable(f"{event.pk}: more than personal data would be changed.")
            # An earlier version may have had another list of what is personal.
            chain_again("event", {
                event.pk: olds[event.pk] for event in now.values() if not _is_kept(olds[event.pk], links[event.pk])
            })  # fmt: skip
            positions.update(link.position for of_event in _links_of(now.values()).values() for link in of_event)
            changed.update(event.pk for event in now.values())
            done += len(now)
            yield from (_line(now[at]) if at in now else line for at, line in enumerate(part))

    anew = path.with_name(f"{path.name}.new")
    anew.unlink(missing_ok=True)  # of a process that died before it was on record
    _write_lines(anew, rewritten())
    if not as_named and (count != row.count or not named <= found):
        raise NotArchivable(f"{path} does not hold the events that the journal names. Put the file back.")
    if not done and as_named:
        anew.unlink()
        return 0
    made = EventArchive(
        month=row.month,
        file=row.file,
        count=row.count,
        sha256=digest_of(anew),
        positions=in_words(positions | found),
        changed="\n".join(sorted(changed)),
        replaces=row,
        reason=by.reason,
        by=by.user,
        shell_user=by.shell_user,
    )
    made.save(force_insert=True)
    chain()
    _take_place(anew, path, made)
    return done


def _without_personal_data(
    path: Path, events: Iterable[Event], contents: dict[str, Content], links: dict[str, list[JournalLink]]
) -> Iterator[str]:
    """The ids of those that are not as chained, because nothing personal is in them any more. Raises NotArchivable."""
    for event in events:
        of_event, content = links.get(event.pk, []), contents[event.pk]
        if of_event and of_event[-1].digest == content.digest:
            continue
        if not _is_kept(content, of_event) or personal.redacted_text(event.body) != event.body:
            raise NotArchivable(f"{path}: event {event.pk} is not what was chained. Put the file back.")
        yield event.pk


def leftovers(folder: Path) -> list[Path]:
    """Files of events in this folder that no row of the journal names: what a killed run left, or what an earlier
    database had archived. Those that never were whole are removed."""
    named = set(current().values_list("file", flat=True))
    found = []
    for path in sorted(folder.glob("events-*.jsonl.gz*")) if folder.is_dir() else []:
        if path.name.endswith(".part"):
            path.unlink(missing_ok=True)
        elif path.name not in named and path.name.removesuffix(".new") not in named:
            found.append(path)
    return found


def rewrite_leftover(path: Path, change: Callable[[Event], bool], concerns: Callable[[str], bool]) -> int:
    """The same for a file that no row of the journal names. How many events. Raises OSError, ValueError."""
    done = 0

    def rewritten() -> Iterator[str]:
        nonlocal done
        for line in lines(path):
            event = event_of(line) if concerns(line) else None
            is_changed = event is not None and change(event)
            done += is_changed
            yield _line(event) if event is not None and is_changed else line

    anew = path.with_name(f"{path.name}.part")
    _write_lines(anew, rewritten())
    if done:
        anew.replace(path)
        _sync(path.parent)
    else:
        anew.unlink()
    return done
