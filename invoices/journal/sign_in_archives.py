"""Months of sign-in records leave the database for compressed files, in the order of steps of `archives`.

A month is one file, `sign-ins-2026-01.jsonl.gz`, a record a line. It is read back and compared with the table and the
chain before its row (`SignInArchive`) is written, and the row is chained before the records are removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connection

from invoices import clock
from invoices.journal import archives
from invoices.journal.archives import KEPT, ROWS_AT_ONCE, By, NotArchivable
from invoices.journal.content import content_of_row
from invoices.journal.links import chain
from invoices.models import JournalLink, SignInArchive, SignInRecord, UnchainedRow, partitions, triggers

KIND = "sign_in"


class Step(NamedTuple):
    """What was done for one file, for people who watch."""

    archive: SignInArchive
    removed: int


def archive(before: date, folder: Path, by: By) -> Iterator[Step]:
    """Archives every month before this one of which records are left, the oldest first. Raises NotArchivable, OSError.

    What an earlier run has written and not removed is removed first.
    """
    if before > (clock.now() - KEPT).date():
        raise NotArchivable(f"Only what is older than {KEPT.days} days can be archived.")
    archives.refuse_all_but_the_owner()
    folder.mkdir(parents=True, exist_ok=True)
    chain()
    for unfinished in SignInArchive.objects.filter(month__lt=before).order_by("month", "pk"):
        if removed := _remove(unfinished, folder):
            yield Step(unfinished, removed)
    while month := _oldest_month(before):
        made = _write(month, folder, by)
        chain()
        yield Step(made, _remove(made, folder))


def check(folder: Path) -> Iterator[str]:
    """What of the archives in this folder is not as the journal says; nothing where all is."""
    for each in SignInArchive.objects.order_by("month", "pk"):
        path = folder / each.file
        try:
            if archives.digest_of(path) != each.sha256:
                yield f"{path} is not the file that the journal names: its SHA-256 is another."
            elif archives.in_words(_positions(path)) != each.positions:
                yield f"{path}: it does not hold the records that the journal names."
        except (OSError, ValueError, NotArchivable) as error:
            yield f"{path} cannot be read: {error}"


def _oldest_month(before: date) -> date | None:
    oldest = SignInRecord.objects.filter(at__lt=archives._start(before)).order_by("at").values_list("at", flat=True)
    first = oldest.first()
    return first.date().replace(day=1) if first else None


def _rows_of(month: date) -> Any:
    begin, end = archives._start(month), archives._start(partitions.later(month, 1))
    return SignInRecord.objects.filter(at__gte=begin, at__lt=end)


def _write(month: date, folder: Path, by: By) -> SignInArchive:
    rows = _rows_of(month)
    taken = set(SignInArchive.objects.filter(month=month).values_list("file", flat=True))
    number = 1
    while (name := f"sign-ins-{month:%Y-%m}{f'-{number}' if number > 1 else ''}.jsonl.gz") in taken:
        number += 1
    path = folder / name
    archives._write_lines(path, (archives._line(row) for row in rows.order_by("pk").iterator(ROWS_AT_ONCE)))
    positions = _positions(path, compare=True)
    count = sum(1 for _ in archives.lines(path))
    if rows.count() != count:
        raise NotArchivable(f"{month:%Y-%m}: a record came while it was written. Archive again.")
    return SignInArchive.objects.create(
        month=month,
        file=path.name,
        count=count,
        sha256=archives.digest_of(path),
        positions=archives.in_words(positions),
        reason=by.reason,
        by=by.user,
        shell_user=by.shell_user,
    )


def _positions(path: Path, *, compare: bool = False) -> list[int]:
    """The positions of the links of the file's records. Raises NotArchivable where a line says otherwise than the chain
    or (`compare`) than the table."""
    positions: list[int] = []
    all_lines = archives.lines(path)
    while part := list(islice(all_lines, ROWS_AT_ONCE)):
        rows = [_row_of(line) for line in part]
        keys = [str(row.pk) for row in rows]
        links = {link.row: link for link in JournalLink.objects.filter(kind=KIND, row__in=keys)}
        stored = SignInRecord.objects.in_bulk([row.pk for row in rows]) if compare else {}
        waiting = set(UnchainedRow.objects.filter(kind=KIND, row__in=keys).values_list("row", flat=True))
        for row, key, line in zip(rows, keys, part, strict=True):
            if key not in links or key in waiting:
                raise NotArchivable(f"Record {key} is not chained yet. Archive again in a minute.")
            if links[key].digest != content_of_row(row).digest:
                raise NotArchivable(f"Record {key} is not what was chained: see manage.py journal verify.")
            if compare and (row.pk not in stored or archives._line(stored[row.pk]) != line):
                raise NotArchivable(f"Record {key} changed while it was written. Archive again.")
            positions.append(links[key].position)
    return positions


def _row_of(line: str) -> SignInRecord:
    said = json.loads(line)
    columns = {column.attname: column for column in SignInRecord._meta.concrete_fields}
    try:
        return SignInRecord(**{name: column.to_python(said[name]) for name, column in columns.items() if name in said})
    except (ValidationError, TypeError) as error:
        raise ValueError("A line is no record.") from error


def _remove(row: SignInArchive, folder: Path) -> int:
    """Takes the records of this archive out of the database: the only place that deletes them. How many."""
    path, removed = folder / row.file, 0
    left = JournalLink.objects.filter(kind=KIND, row__in=_some_left(row))
    spans = list(archives.spans_of(row))
    if not any(first <= link.position <= last for link in left for first, last in spans):
        return 0
    try:
        same = archives.digest_of(path) == row.sha256
    except OSError:
        same = False
    if not same:
        raise NotArchivable(
            f"{path} is missing, or is not the file that the journal names, and {row.month:%Y-%m} was not removed yet. "
            f"Put the file back (SHA-256 {row.sha256}), and archive again."
        )
    all_lines = archives.lines(path)
    while part := list(islice(all_lines, ROWS_AT_ONCE)):
        keys = [_row_of(line).pk for line in part]
        with triggers.lifted(SignInRecord), connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(keys))
            cursor.execute(f"DELETE FROM {SignInRecord._meta.db_table} WHERE id IN ({places})", keys)  # noqa: S608
            removed += cursor.rowcount
    return removed


def _some_left(row: SignInArchive) -> list[str]:
    return [str(pk) for pk in _rows_of(row.month).order_by("pk").values_list("pk", flat=True)]
