"""`manage.py replay_events [evt_…]`: processes failed events once more. Exit 0."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from invoices import sync


class Command(BaseCommand):
    help = "Makes failed events pending again, and processes them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="evt_…", help="these events; none: every failed one")

    def handle(self, *args: Any, **options: Any) -> None:
        count = sync.replay(options["ids"])
        self.stdout.write(f"{count} events are pending again; {sync.process_events()} processed.")
