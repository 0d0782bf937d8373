"""`manage.py archive_sign_ins --before YYYY-MM --reason TEXT`: months of sign-in records to files. Exit 0, or 1."""

import re
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import journal
from invoices.journal import sign_in_archives
from invoices.journal.archives import By
from invoices.management.exit_codes import USAGE_ERROR
from invoices.management.people import active_user, shell_user


class Command(BaseCommand):
    help = (
        "Moves whole months of sign-in records from the database to compressed files, each read back and compared "
        "first. A run that was stopped is repeated with the same words. Back the files up, or delete them when the law "
        "says so."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--before", required=True, metavar="YYYY-MM", help="this month stays, and all after it")
        parser.add_argument("--to", metavar="DIR", type=Path, help="the folder of the files; default: ARCHIVE_DIR")
        parser.add_argument("--reason", required=True, help="stands in the journal")
        parser.add_argument("--as", dest="user", metavar="USER", help="the user who archives")

    def handle(self, *args: Any, before: str, reason: str, user: str | None, **options: Any) -> None:
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", before):
            raise CommandError(f"--before is a month like 2026-01, not “{before}”.", returncode=USAGE_ERROR)
        if not reason.strip():
            raise CommandError("--reason must say why.", returncode=USAGE_ERROR)
        folder = Path(options["to"] or settings.ARCHIVE_DIR)
        by = By(reason.strip(), active_user(user), shell_user())
        files = 0
        try:
            for step in sign_in_archives.archive(date.fromisoformat(f"{before}-01"), folder, by):
                files += 1
                self.stdout.write(
                    f"{step.archive.month:%Y-%m}: {step.archive.count} records in {folder / step.archive.file}, "
                    f"{step.removed} removed from the database."
                )
        except (journal.NotArchivable, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        if not files:
            self.stdout.write(f"No record is from before {before}.")
