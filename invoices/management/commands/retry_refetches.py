"""`manage.py retry_refetches [in_…]`: tries the refetches that were given up once more. Exit 0."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from invoices import scheduled_refetches, sync


class Command(BaseCommand):
    help = "Makes refetches that were given up due again, and performs what is due."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="in_…", help="of these objects; none: every one given up")

    def handle(self, *args: Any, **options: Any) -> None:
        count = scheduled_refetches.try_again(options["ids"])
        self.stdout.write(f"{count} refetches are due again; {sync.perform_refetches()} tried now.")
