"""`manage.py archive_events --before YYYY-MM --reason TEXT`, or `--older-than-months N`: months of events to files.

Exit 0 done, 1 not all."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from invoices.journal import archives
from invoices.management.archiving import ArchiveCommand


class Command(ArchiveCommand):
    help = (
        "Moves whole months of events, by Stripe's stamp, from the database to compressed files, each read back and "
        "compared first. A run that was stopped is repeated with the same words. Back the files up: they are evidence."
    )
    thing = "event"

    def add_moment(self, parser: CommandParser, **options: Any) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        super().add_moment(which)
        which.add_argument("--older-than-months", metavar="N", type=int, help="for cron: so many whole months stay")

    def first_kept(self, before: str | None, **options: Any) -> date:
        if before is not None:
            return super().first_kept(before)
        return archives.month_before(options["older_than_months"])

    def archive(self, first: date, folder: Path, by: archives.By) -> Iterator[archives.Step]:
        return archives.archive(first, folder, by)
