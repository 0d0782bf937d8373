"""Tells the head of the chain once a day where the database's owner cannot rewrite it: by e-mail, and in a file."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from invoices import clock, emails
from invoices.journal.links import head
from invoices.models import Email, JournalHead

log = logging.getLogger(__name__)


class HeadUnreadable(Exception):
    """A written head, or the file of them, cannot be read."""


class KnownHead(NamedTuple):
    """A head of the chain as it was told outside."""

    position: int
    hash: str
    where: str  # for people: where it was told

    @classmethod
    def read(cls, line: str, where: str) -> KnownHead:
        """From a line of the file or of an e-mail, or its last two words. Raises HeadUnreadable."""
        found = re.fullmatch(r"(?:\S+ )?(\d+)[ :]([0-9a-f]{64})", line.strip())
        if not found:
            raise HeadUnreadable(
                f"{where}: “{line.strip()[:100]}” is not a head: a position and 64 hexadecimal digits."
            )
        return cls(int(found[1]), found[2], where)


def written_heads() -> list[KnownHead]:
    """The heads in JOURNAL_HEAD_FILE; none where it is not set, or nothing was written yet. Raises HeadUnreadable."""
    if not settings.JOURNAL_HEAD_FILE:
        return []
    try:
        lines = Path(settings.JOURNAL_HEAD_FILE).read_text().splitlines()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not JournalHead.objects.exclude(written_at=None).exists():
            return []
        raise HeadUnreadable(f"{settings.JOURNAL_HEAD_FILE} cannot be read: {error}") from error
    where = f"line {{}} of {settings.JOURNAL_HEAD_FILE}"
    heads = [
        KnownHead.read(line, where.format(number))
        for number, line in enumerate(lines, 1)
        # A full disk cuts a line short. It was written again, whole, further on.
        if line.strip() and not any(len(line) < len(later) and later.startswith(line) for later in lines[number:])
    ]
    for written in JournalHead.objects.exclude(written_at=None).order_by("day"):
        if (written.position, written.hash) not in {(head.position, head.hash) for head in heads}:
            raise HeadUnreadable(f"{settings.JOURNAL_HEAD_FILE} no longer has the head of {written.day}.")
    return heads


def publish() -> None:
    """Tells today's head, once, and those of earlier days that could not be told. Where nothing is set, does nothing.

    A process that dies in the middle tells a head twice, and omits none.
    """
    if not (settings.JOURNAL_HEAD_EMAILS or settings.JOURNAL_HEAD_FILE):
        return
    now = clock.now()
    if not JournalHead.objects.filter(day=now.date()).exists() and (last := head()):
        values = {"position": last.position, "hash": last.hash, "made_at": now}
        JournalHead.objects.get_or_create(day=now.date(), defaults=values)
    for is_set, tell in ((settings.JOURNAL_HEAD_FILE, _write), (settings.JOURNAL_HEAD_EMAILS, _mail)):
        try:
            if is_set:
                tell()
        except OSError as error:
            log.warning("The head of the journal's chain could not be told: %s. Again soon.", error)


def _write() -> None:
    untold = list(JournalHead.objects.filter(written_at=None).order_by("day"))
    if not untold:
        return
    path = Path(settings.JOURNAL_HEAD_FILE)
    cut_short = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
    with path.open("a") as file:
        if cut_short:
            file.write("\n")
        file.writelines(f"{each}\n" for each in untold)
        file.flush()
        os.fsync(file.fileno())
    JournalHead.objects.filter(pk__in=[each.pk for each in untold]).update(written_at=clock.now())


def _mail() -> None:
    """Writes one e-mail to each address, with all that were not mailed yet."""
    with transaction.atomic():
        untold = list(JournalHead.objects.select_for_update().filter(mailed_at=None).order_by("day"))
        if not untold:
            return
        lines = "\n".join(str(each) for each in untold)
        emails.write(
            Email.Kind.JOURNAL_HEAD,
            untold[-1].day,
            f"Head of the journal's chain, {untold[-1].day}",
            f"{lines}\n\nKeep this e-mail where those who own the database cannot change it. Whether the journal still "
            f"contains this head:\n\n    manage.py journal verify --from {untold[-1].position}:{untold[-1].hash}\n",
            settings.JOURNAL_HEAD_EMAILS,
        )
        JournalHead.objects.filter(pk__in=[each.pk for each in untold]).update(mailed_at=clock.now())
