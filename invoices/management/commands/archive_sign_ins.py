"""`manage.py archive_sign_ins --before YYYY-MM --reason TEXT`: months of sign-in records to files. Exit 0, or 1."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from invoices.journal import sign_in_archives
from invoices.journal.archives import By
from invoices.management.archiving import ArchiveCommand


class Command(ArchiveCommand):
    help = (
        "Moves whole months of sign-in records from the database to compressed files, each read back and compared "
        "first. A run that was stopped is repeated with the same words. Back the files up, or delete them when the law "
        "says so."
    )
    thing = "record"

    def add_moment(self, parser: Any, **options: Any) -> None:
        super().add_moment(parser, required=True)

    def archive(self, first: date, folder: Path, by: By) -> Iterator[sign_in_archives.Step]:
        return sign_in_archives.archive(first, folder, by)
