"""`manage.py resume [ACTION]`: ends the pause that was begun with the same ACTION, or with none. Exit 0."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from invoices.management.pauses import add_action_and_user, pauses_in_words
from invoices.management.people import active_user
from invoices.operations import pauses


class Command(BaseCommand):
    help = "Ends a pause. Without ACTION it ends the pause of every action; a pause of one action stays."

    def add_arguments(self, parser: CommandParser) -> None:
        add_action_and_user(parser)

    def handle(self, *args: Any, action: str, user: str | None, **options: Any) -> None:
        if not pauses.end(action, active_user(user)):
            self.stdout.write("Nothing was paused.")
        self.stdout.write(pauses_in_words())
