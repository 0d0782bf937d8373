"""`manage.py journal verify` walks the chain over the journal: exit 0 it holds, 3 it does not, 1 not walked.

`manage.py journal head` prints the head of the chain.
"""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from invoices import journal
from invoices.journal import sign_in_archives
from invoices.management.exit_codes import CHAIN_BROKEN, DONE, USAGE_ERROR
from invoices.models import JournalLink


class Command(BaseCommand):
    help = "The chain over the journal: `verify` walks it, exit 3 where it is broken; `head` prints its last link."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("verify", "head"))
        parser.add_argument(
            "--from",
            dest="known",
            action="append",
            default=[],
            metavar="POSITION:HASH",
            help="a head that you know, which the chain must contain; may be given several times",
        )

        parser.add_argument(
            "--archive", metavar="DIR", type=Path, help="also read the archived events' files in this folder"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "head":
            self.stdout.write(_head())
            return
        try:
            known = [journal.KnownHead.read(given, "--from") for given in options["known"]]
        except journal.HeadUnreadable as error:
            raise CommandError(str(error), returncode=USAGE_ERROR) from error
        found = self._walk(known)
        if found.missing_triggers:
            names = ", ".join(found.missing_triggers)
            self.stdout.write(f"The database does not refuse every change: these triggers are not as made: {names}.")
        if found.waiting:
            self.stdout.write(f"{found.waiting} entries wait to be chained; the job does so every half minute.")
        if found.finding:
            self.stdout.write(f"BROKEN. {found.finding.message}")
            sys.exit(CHAIN_BROKEN)
        folder = options["archive"]
        if folder and (wrong := [*journal.archives.check(folder), *sign_in_archives.check(folder)]):
            self.stdout.write("BROKEN. " + "\n".join(wrong))
            sys.exit(CHAIN_BROKEN)
        told = f" {found.compared} heads that were told outside are in it." if found.compared else ""
        erased = f" Of {found.erased} rows the personal data was erased, and nothing else." if found.erased else ""
        self.stdout.write(f"The chain holds: {found.links} links, hash {found.hash}.{told}{erased}")
        if not options["archive"] and (files := journal.archives.current().count()):
            self.stdout.write(
                f"The events of {files} archives were not looked at: journal verify --archive DIR reads their files."
            )
        sys.exit(CHAIN_BROKEN if found.missing_triggers else DONE)

    def _walk(self, known: list[journal.KnownHead]) -> journal.Verification:
        links = JournalLink.objects.order_by("-position").values_list("position", flat=True).first()
        with tqdm(total=links or 0, unit=" links", desc="Walking", disable=not sys.stderr.isatty()) as bar:

            def show_progress(position: int) -> None:
                bar.update(position - bar.n)

            try:
                return journal.verify(known, show_progress=show_progress)
            except journal.HeadUnreadable as error:
                raise CommandError(str(error)) from error


def _head() -> str:
    last = journal.head()
    if last is None:
        return "Nothing is chained yet."
    return f"{last.made_at:%Y-%m-%dT%H:%M:%SZ} {last.position} {last.hash}"
