"""`manage.py pause [ACTION] --reason TEXT [--until TIME]`: nothing new is sent to Stripe. Exit 0 paused, 1 refused."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import operations
from invoices.management.pauses import add_action_and_user, moment, pauses_in_words
from invoices.management.people import active_user
from invoices.operations import pauses


class Command(BaseCommand):
    help = "Pauses one action, or all: nothing new is sent to Stripe, reading goes on, and everyone sees why."

    def add_arguments(self, parser: CommandParser) -> None:
        add_action_and_user(parser)
        parser.add_argument("--reason", required=True, help="everyone who wants to act will read it")
        parser.add_argument(
            "--until",
            type=moment,
            metavar="TIME",
            help="when it ends by itself: 4h, 2d or 2027-03-01T14:00 (UTC); default: when somebody resumes it",
        )

    def handle(
        self, *args: Any, action: str, reason: str, user: str | None, until: datetime | None, **options: Any
    ) -> None:
        try:
            pauses.begin(action, reason, active_user(user), until)
        except operations.Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write(pauses_in_words())
