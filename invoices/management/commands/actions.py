"""`manage.py actions pause | resume | status`: the brake."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import operations
from invoices.management.people import person
from invoices.models import Action
from invoices.operations import brake


class Command(BaseCommand):
    help = "Pauses actions: nothing new is sent to Stripe, reading goes on, and everyone sees why. Or resumes them."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        for name, about in (("pause", "put the brake on"), ("resume", "take it off")):
            command = commands.add_parser(name, help=about)
            command.add_argument("action", nargs="?", default="", choices=["", *Action.values], metavar="ACTION")
            command.add_argument("--as", dest="user", metavar="USER", help="who does it; stands in the journal")
            if name == "pause":
                command.add_argument("--reason", required=True, help="everyone who wants to act will read it")
        commands.add_parser("status", help="what is paused, since when, why")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        try:
            if command == "pause":
                brake.pause(options["action"], options["reason"], person(options["user"]))
            elif command == "resume":
                count = brake.resume(options["action"], person(options["user"]))
                if not count:
                    self.stdout.write("Nothing was paused.")
        except operations.Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        self._status()

    def _status(self) -> None:
        pauses = list(brake.standing())
        if not pauses:
            self.stdout.write("Every action runs.")
        for pause in pauses:
            by = f" by {pause.paused_by}" if pause.paused_by else ""
            self.stdout.write(f"{pause}, since {pause.paused_at:%Y-%m-%d %H:%M} UTC{by}.")
