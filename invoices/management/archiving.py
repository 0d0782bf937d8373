"""What the commands that move whole months to files have in common: their options, and what they say."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import journal
from invoices.journal.archives import By
from invoices.management.exit_codes import USAGE_ERROR
from invoices.management.people import active_user, shell_user


class ArchiveCommand(BaseCommand):
    """Exit 0 done, 1 not all."""

    thing: str  # what is moved, as in “event”

    def archive(self, first: date, folder: Path, by: By) -> Iterator[Any]:
        """A step for each file, with its `archive` and how many were `removed`. Raises NotArchivable, OSError,
        ValueError."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_moment(parser)
        parser.add_argument("--to", metavar="DIR", type=Path, help="the folder of the files; default: ARCHIVE_DIR")
        parser.add_argument("--reason", required=True, help="stands in the journal")
        parser.add_argument("--as", dest="user", metavar="USER", help="the user who archives")

    def add_moment(self, parser: Any, **options: Any) -> None:
        parser.add_argument("--before", metavar="YYYY-MM", help="this month stays, and all after it", **options)

    def first_kept(self, before: str, **options: Any) -> date:
        """The month that stays, and all after it. Raises NotArchivable."""
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", before):
            raise CommandError(f"--before is a month like 2026-01, not “{before}”.", returncode=USAGE_ERROR)
        return date.fromisoformat(f"{before}-01")

    def handle(self, *args: Any, reason: str, user: str | None, to: Path | None, **options: Any) -> None:
        if not reason.strip():
            raise CommandError("--reason must say why.", returncode=USAGE_ERROR)
        folder, files = Path(to or settings.ARCHIVE_DIR), 0
        try:
            first = self.first_kept(**options)
            for step in self.archive(first, folder, By(reason.strip(), active_user(user), shell_user())):
                files += 1
                self.stdout.write(
                    f"{step.archive.month:%Y-%m}: {step.archive.count} {self.thing}s in {folder / step.archive.file}, "
                    f"{step.removed} removed from the database."
                )
        except (journal.NotArchivable, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        if not files:
            self.stdout.write(f"No {self.thing} is from before {first:%Y-%m}.")
