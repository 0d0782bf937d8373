"""Chains what is new in the journal. A job does it, so that no write of the journal waits for another.

The rows to chain stand in the queue `UnchainedRow`, where triggers put them in the transaction that wrote the row. So a
row is in the queue or chained, however late its transaction committed. A batch of links is one transaction with its
part of the queue: a process that dies leaves the queue as it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC

from django.db import connection, transaction

from invoices import clock, interruption
from invoices.journal.content import Content, contents
from invoices.models import CHAINED, JournalLink, UnchainedRow, many_rows

GENESIS = "0" * 64  # the hash before the first link
LINKS_PER_BATCH = 500  # in one transaction
WAIT_SECONDS = 0.1  # until another process has made its batch of links
LOCK = 7_203_004_211  # of PostgreSQL's advisory locks: who holds it makes links


def chain() -> int:
    """Chains what waits in the queue, batch by batch, until it is empty or another process is at it. How many rows.

    Ends early where this process is to end."""
    made = 0
    while not interruption.asked() and (batch := _chain_batch()):
        made += batch
    return made


def _chain_batch() -> int:
    with transaction.atomic():
        if not _alone():
            return 0
        waiting_rows = UnchainedRow.objects.order_by("pk").values_list("pk", "kind", "row")
        queue = list(waiting_rows[:LINKS_PER_BATCH])
        if not queue:
            return 0
        rows: dict[str, dict[str, Content | None]] = defaultdict(dict)
        for _, kind, row in queue:
            rows[kind][row] = None
        for kind in rows.keys() & CHAINED.keys():
            rows[kind].update(contents(kind, rows[kind]))
        said = []
        for _, kind, row in queue:
            content = rows[kind].pop(row, None)
            if content is not None:  # otherwise it stands in the queue twice, or names no row
                said.append((kind, row, content))
        _append(said)
        UnchainedRow.objects.filter(pk__in=[pk for pk, _, _ in queue]).delete()
    return len(queue)


def _append(said: Iterable[tuple[str, str, Content]]) -> None:
    """Makes a link of each (kind, row, content). In a transaction that may make links."""
    last = head()
    position, hash = (last.position, last.hash) if last else (0, GENESIS)
    links = []
    made_at = clock.now()
    for kind, row, content in said:
        position += 1
        link = JournalLink(position=position, kind=kind, row=row, made_at=made_at, **content._asdict())
        hash = link.hash = hash_of(link, hash)
        links.append(link)
    many_rows.insert(JournalLink, links)


def chain_all(kind: str, rows: Iterable[str]) -> None:
    """Chains until none of these rows waits, also where another process is at it."""
    waiting = UnchainedRow.objects.filter(kind=kind, row__in=list(rows))
    while waiting.exists():
        if not chain():
            time.sleep(WAIT_SECONDS)


def chain_again(kind: str, said: Mapping[str, Content]) -> None:
    """One more link of each of these rows, which are in no table any more: a later version hashes more as personal."""
    done = not said
    while not done:
        with transaction.atomic():
            if done := _alone():
                _append((kind, row, content) for row, content in said.items())
        if not done:
            time.sleep(WAIT_SECONDS)


def _alone() -> bool:
    """Whether this transaction may make links. On SQLite there is one writing transaction at a time anyway."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def head() -> JournalLink | None:
    """The last link; None where nothing was chained yet."""
    return JournalLink.objects.order_by("-position").first()


def hash_of(link: JournalLink, previous: str) -> str:
    """The hash that this link must have after a link with the hash `previous`."""
    said = [
        previous,
        link.position,
        link.kind,
        link.row,
        link.fixed,
        link.digest,
        link.sealed,
        link.made_at.astimezone(UTC).isoformat(),
        *([link.kept] if link.kept else []),  # links of before have none
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
