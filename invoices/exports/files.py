"""The file of an export, in pieces of the database: written under its claim, read one after the other."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_noop

from invoices import clock
from invoices.exports.kinds import CannotPrepare
from invoices.exports.wishes import MEGABYTE, is_full
from invoices.models import Export, ExportChunk
from invoices.thresholds import EXPORT_LEASE

CHUNK_BYTES = 1_000_000  # of a piece, before it is compressed
COMPRESSION = {"xlsx": 0}  # an XLSX file is compressed in itself
CHUNKS_BETWEEN_LOOKS = 20  # at how much room all files together take

TOO_LARGE = gettext_noop(
    "The file became larger than {megabytes} MB, and was removed. Narrow the list, and prepare it in parts."
)
NO_ROOM = gettext_noop("All prepared files together take all the room that they have. Remove some, or try it later.")


class LostClaim(Exception):
    """Another worker has it, or it was cancelled or removed: this process writes nothing more of it."""


class Gone(Exception):
    """The file is not here any more, in whole or in part. The connection is cut, so that a part does not look whole."""


@dataclass
class Writer:
    """Writes the pieces of a file, each in a transaction of its own that needs the claim."""

    export: Export
    token: uuid.UUID
    chunks: int = 0
    stored: int = 0

    def write(self, content: bytes, rows: int) -> None:
        """One more piece; `rows`: how many are written with it. Raises LostClaim, CannotPrepare."""
        packed = zlib.compress(content, COMPRESSION.get(self.export.format, 1))
        with transaction.atomic():
            self.hold(
                rows=rows, size=F("size") + len(content), stored=F("stored") + len(packed), chunks=F("chunks") + 1
            )
            ExportChunk.objects.create(export_id=self.export.pk, number=self.chunks, content=packed)
        self.chunks += 1
        self.stored += len(packed)
        if self.stored > settings.EXPORT_MAX_MEGABYTES * MEGABYTE:
            raise CannotPrepare(TOO_LARGE.format(megabytes=settings.EXPORT_MAX_MEGABYTES))
        if self.chunks % CHUNKS_BETWEEN_LOOKS == 0 and is_full():
            raise CannotPrepare(NO_ROOM)

    def hold(self, **changes: object) -> None:
        """Writes and renews the claim. Raises LostClaim."""
        mine = Export.objects.filter(pk=self.export.pk, claim_token=self.token, state=Export.State.RUNNING)
        if not mine.update(claimed_until=clock.now() + EXPORT_LEASE, **changes):
            raise LostClaim(str(self.export.pk))

    def end(self, state: Export.State, **changes: object) -> None:
        """Writes the outcome and gives the claim back. Without a file its pieces go with it. Raises LostClaim."""
        with transaction.atomic():
            self.hold(state=state, finished_at=clock.now(), claim_token=None, **changes)
            if state != Export.State.READY:
                drop(self.export)


def drop(export: Export) -> None:
    """Deletes the pieces. Call it in the transaction that says so of the export."""
    ExportChunk.objects.filter(export_id=export.pk).delete()
    Export.objects.filter(pk=export.pk).update(stored=0, chunks=0)


def pieces(export: Export) -> Iterator[bytes]:
    """The file, one piece in memory at a time. Raises Gone, before the first piece where none of it is left."""
    if export.state != Export.State.READY or not export.expires_at or export.expires_at <= clock.now():
        raise Gone(str(export.pk))
    held = ExportChunk.objects.filter(export_id=export.pk)
    if held.count() != export.chunks:  # a backup may leave the pieces out
        raise Gone(str(export.pk))
    return _read(export)


def _read(export: Export) -> Iterator[bytes]:
    held = ExportChunk.objects.filter(export_id=export.pk)
    for number in range(export.chunks):
        packed = held.filter(number=number).values_list("content", flat=True).first()
        if packed is None:
            raise Gone(str(export.pk))
        yield zlib.decompress(packed)
