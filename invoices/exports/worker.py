"""Prepares the files that wait: one at a time in each process, claimed with a lease that a thread renews.

A worker that dies leaves a claim that lapses. Whoever takes the file up then deletes the pieces that are there, in the
transaction that takes the claim, and begins at the beginning: the rows may have changed since.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_noop

from invoices import clock, emails, interruption, recorded, search
from invoices.exports import kinds
from invoices.exports.files import CHUNK_BYTES, LostClaim, Writer, drop
from invoices.exports.kinds import CannotPrepare
from invoices.models import Email, Export
from invoices.sight import context, logs
from invoices.thresholds import EXPORT_KEPT, EXPORT_LEASE, EXPORT_RETRY

log = logging.getLogger(__name__)

State = Export.State
MAX_ATTEMPTS = 3  # that ended without a word, such as by a process that was killed
SECONDS_BETWEEN_PIECES = 2.0  # at the latest, so that the page shows that it goes on
SECONDS_BETWEEN_CHECKS = 5.0  # of whether the person may still have it
CANDIDATES = 10  # looked at for each that is taken: other workers may be faster
NO_SPACE = ("disk is full", "No space left", "disk full")  # as SQLite and PostgreSQL say it

GAVE_UP = gettext_noop("It was begun {number} times, and ended each time before the file was ready.")
NOT_ALLOWED = gettext_noop("You may not see this any more.")
DISK_FULL = gettext_noop("The database has no space left for it.")

_lane = threading.Lock()  # of this process: a long file holds one thread, and not each that beat starts


def run_due() -> int:
    """Prepares what waits, the longest waiting first; how many ended. Returns at once where another thread of this
    process prepares."""
    if not _lane.acquire(blocking=False):
        return 0
    try:
        ended = 0
        while not interruption.asked() and (writer := _take()) is not None:
            ended += _prepare(writer)
        return ended
    finally:
        _lane.release()


def _take() -> Writer | None:
    """Claims the next one, and clears what an earlier attempt has left of it."""
    now = clock.now()
    due = Q(state=State.WAITING, claimed_until=None) | Q(state__in=Export.UNFINISHED, claimed_until__lt=now)
    for pk in Export.objects.filter(due).order_by("asked_at").values_list("pk", flat=True)[:CANDIDATES]:
        token = uuid.uuid4()
        claimed = {"claim_token": token, "claimed_until": now + EXPORT_LEASE, "attempts": F("attempts") + 1}
        with transaction.atomic():
            row = Export.objects.filter(due, pk=pk)
            if not row.update(state=State.RUNNING, started_at=now, rows=0, size=0, **claimed):
                continue
            export = Export.objects.select_related("owner").get(pk=pk)
            drop(export)
        return Writer(export, token)
    return None


def _prepare(writer: Writer) -> bool:
    """Whether it has ended, well or not. What nobody expected is tried again, EXPORT_RETRY later."""
    export = writer.export
    try:
        with _kept_alive(writer), timezone.override(export.time_zone or "UTC"), recorded.in_english():
            if export.attempts > MAX_ATTEMPTS:
                raise CannotPrepare(GAVE_UP.format(number=MAX_ATTEMPTS))
            _write(writer)
            _finish(writer)
    except LostClaim:
        log.info("Export %s goes on elsewhere, or was cancelled.", export.pk)
    except interruption.Interrupted:
        _give_back(writer, attempts=F("attempts") - 1, claimed_until=None)
    except (CannotPrepare, search.TakesTooLong) as refusal:
        _fail(writer, str(refusal))
        return True
    except Exception as error:
        if isinstance(error, DatabaseError) and any(said in str(error) for said in NO_SPACE):
            log.exception("Export %s: the database has no space left.", export.pk)
            _fail(writer, DISK_FULL)
            return True
        log.exception("Export %s could not be prepared; attempt %s.", export.pk, export.attempts)
        _give_back(writer, claimed_until=clock.now() + EXPORT_RETRY)
    else:
        return True
    return False


def _write(writer: Writer) -> None:
    """Reads the table and stores the file, in memory of a few pieces."""
    export = writer.export
    made = kinds.make(export.kind, export.owner, export.parameters)
    writer.hold(permissions=sorted(made.permissions))
    counted = _Counted(made.table.rows, export, made.permissions)
    _content_type, pieces_of = kinds.FORMATS[export.format]
    gathered, size, written_at = [], 0, time.monotonic()
    for piece in pieces_of(replace(made.table, rows=counted)):
        gathered.append(piece.encode() if isinstance(piece, str) else piece)
        size += len(gathered[-1])
        if size >= CHUNK_BYTES or time.monotonic() - written_at > SECONDS_BETWEEN_PIECES:
            writer.write(b"".join(gathered), counted.number)
            gathered, size, written_at = [], 0, time.monotonic()
    writer.write(b"".join(gathered), counted.number)


class _Counted:
    """The rows of a table, counted while they are read; from time to time it asks whether the person may have them."""

    def __init__(self, rows: Iterable[Sequence[Any]], export: Export, permissions: Sequence[str]) -> None:
        self.number, self._rows, self._export, self._permissions = 0, rows, export, permissions

    def __iter__(self) -> Iterator[Sequence[Any]]:
        checked = time.monotonic()
        for row in self._rows:
            interruption.check()
            self.number += 1
            yield row
            if time.monotonic() - checked > SECONDS_BETWEEN_CHECKS:
                if not may_have(self._export.owner_id, self._permissions):
                    raise CannotPrepare(NOT_ALLOWED)
                checked = time.monotonic()


def may_have(person: int, permissions: Sequence[str]) -> bool:
    """Whether this user is active and has these permissions now, by a fresh look."""
    user = User.objects.filter(pk=person, is_active=True, is_staff=True).first()
    return user is not None and user.has_perms(permissions)


def _finish(writer: Writer) -> None:
    """Ready, and the e-mail that says so, in one transaction."""
    export, now = writer.export, clock.now()
    if not may_have(export.owner_id, Export.objects.values_list("permissions", flat=True).get(pk=export.pk)):
        raise CannotPrepare(NOT_ALLOWED)
    with transaction.atomic():
        writer.end(State.READY, expires_at=now + EXPORT_KEPT)
        _tell(export, f"Ready: {export.title}", f"Your file is ready: {export.title}, {export.format.upper()}.")
    logs.tell(log, "export ready", export=str(export.pk), kind=export.kind, attempts=export.attempts)


def _fail(writer: Writer, why: str) -> None:
    export = writer.export
    try:
        with transaction.atomic():
            writer.end(State.FAILED, error=why)
            _tell(export, f"Not prepared: {export.title}", f"Your file was not prepared: {export.title}.\n{why}")
    except (LostClaim, DatabaseError) as error:  # the lease lapses, and another attempt says it
        log.warning("Export %s: its end could not be written: %s", export.pk, type(error).__name__)


def _tell(export: Export, subject: str, text: str) -> None:
    link = settings.PUBLIC_URL + reverse("admin:invoices_export_page", args=[export.pk])
    hours = int(EXPORT_KEPT / timedelta(hours=1))
    body = f"{text}\n\n{link}\nIt can be downloaded for {hours} hours, by you alone, when you are signed in.\n"
    emails.write(Email.Kind.EXPORT, export.pk, subject, body, [export.owner.email])


def _give_back(writer: Writer, **changes: Any) -> None:
    """So that this or another worker begins anew."""
    try:
        mine = Export.objects.filter(pk=writer.export.pk, claim_token=writer.token)
        mine.update(state=State.WAITING, claim_token=None, **changes)
    except DatabaseError:  # it is the database that is away: the claim lapses
        log.warning("Export %s: its claim could not be given back.", writer.export.pk)


@contextmanager
def _kept_alive(writer: Writer) -> Iterator[None]:
    """While the block runs, a thread renews the claim: the first row of a table may take longer than a lease. Where the
    claim is lost, the next piece finds out."""
    ended = threading.Event()

    def renew() -> None:
        try:
            while not ended.wait((EXPORT_LEASE / 4).total_seconds()):
                try:
                    writer.hold()
                except OperationalError:
                    log.warning("The claim of export %s could not be renewed.", writer.export.pk)
        except LostClaim:
            pass
        finally:
            connection.close()  # the thread ends, and its connection must not outlive it

    thread = threading.Thread(target=context.carried(renew), name="export-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
