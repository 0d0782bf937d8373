"""`manage.py archive_events --before YYYY-MM --reason TEXT`, or `--older-than-months N`: months of events to files.

Exit 0 done, 1 not all."""

import re
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import journal
from invoices.journal import archives
from invoices.management.exit_codes import USAGE_ERROR
from invoices.management.people import active_user, shell_user


class Command(BaseCommand):
    help = (
        "Moves whole months of events, by Stripe's stamp, from the database to compressed files, each read back and "
        "compared first. A run that was stopped is repeated with the same words. Back the files up: they are evidence."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--before", metavar="YYYY-MM", help="this month stays, and all after it")
        which.add_argument("--older-than-months", metavar="N", type=int, help="for cron: so many whole months stay")
        parser.add_argument("--to", metavar="DIR", type=Path, help="the folder of the files; default: ARCHIVE_DIR")
        parser.add_argument("--reason", required=True, help="stands in the journal")
        parser.add_argument("--as", dest="user", metavar="USER", help="the user who archives")

    def handle(self, *args: Any, before: str | None, reason: str, user: str | None, **options: Any) -> None:
        if before is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", before):
            raise CommandError(f"--before is a month like 2026-01, not “{before}”.", returncode=USAGE_ERROR)
        if not reason.strip():
            raise CommandError("--reason must say why.", returncode=USAGE_ERROR)
        folder = Path(options["to"] or settings.ARCHIVE_DIR)
        by = archives.By(reason.strip(), active_user(user), shell_user())
        files = 0
        try:
            months = options["older_than_months"]
            first = date.fromisoformat(f"{before}-01") if before else archives.month_before(months)
            for step in archives.archive(first, folder, by):
                files += 1
                self.stdout.write(
                    f"{step.archive.month:%Y-%m}: {step.archive.count} events in {folder / step.archive.file}, "
                    f"{step.removed} removed from the database."
                )
        except (journal.NotArchivable, OSError, ValueError) as error:
            raise CommandError(str(error)) from error
        if not files:
            self.stdout.write(f"No event is from before {first:%Y-%m}.")
