"""`manage.py replay_events [evt_…]`: processes failed events once more, and judges ignored ones again. Exit 0."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from invoices import sync
from invoices.journal import archives


class Command(BaseCommand):
    help = (
        "Makes failed events pending again, and ignored ones that the settings of today would not ignore. Then "
        "processes them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "ids", nargs="*", metavar="evt_…", help="these events; none: all that failed or are ignored"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        count = sync.replay(options["ids"])
        for id in options["ids"]:
            if archive := archives.of_event(id):
                self.stdout.write(f"{id} was archived, so it is done and cannot be replayed: it is in {archive.file}.")
        self.stdout.write(f"{count} events are pending again; {sync.process_events()} processed.")
