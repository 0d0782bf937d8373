"""`manage.py pauses`: lists what is paused, since when, by whom and why. Exit 0."""

from typing import Any

from django.core.management.base import BaseCommand

from invoices.management.pauses import pauses_in_words


class Command(BaseCommand):
    help = "Lists the actions that are paused, since when, by whom and why."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(pauses_in_words())
