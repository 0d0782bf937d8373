"""`manage.py changes [--follow]`: the mirror's changes, a line of JSON each. Exit 0; 1 where some are not recorded.

With `--follow` it goes on until SIGTERM, Ctrl-C, or until whoever reads its output has gone.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, close_old_connections

from invoices import changes
from invoices.management.exit_codes import DONE, USAGE_ERROR
from invoices.models import MIRRORED, change_triggers

CHANGES_PER_PAGE = 500
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_WITHOUT_DATABASE = 5


class Command(BaseCommand):
    help = "Prints what changed in the mirror, oldest first, each with its object as the mirror has it now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on, and print each change as it comes")
        parser.add_argument(
            "--after",
            default="0",
            metavar="SEQUENCE",
            help="begin after this change; `now`: after the newest one; otherwise at the beginning",
        )
        parser.add_argument("--types", nargs="+", choices=sorted(MIRRORED), default=sorted(MIRRORED), metavar="TYPE")

    def handle(self, *args: Any, **options: Any) -> None:
        if missing := change_triggers.missing():
            raise CommandError(
                f"Not every change is recorded: these triggers are not as made: {', '.join(missing)}. "
                "`manage.py migrate` makes them. Consumers of the feed then have to list all objects anew."
            )
        with _ended_by_sigterm():
            try:
                self._print(_start(options["after"]), options["types"], options["follow"])
            except BrokenPipeError:
                # Python would complain of the same once more when it flushes at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)

    def _print(self, after: int, kinds: list[str], follow: bool) -> None:
        while True:
            try:
                page = changes.page(after, kinds, CHANGES_PER_PAGE)
                lines = list(changes.as_json(page.changes, _whole))
            except changes.Restored as error:
                raise CommandError(str(error), returncode=USAGE_ERROR) from error
            except OperationalError as error:
                if not follow:
                    raise
                self.stderr.write(f"The database does not answer: {str(error).strip()}")
                close_old_connections()
                time.sleep(SECONDS_WITHOUT_DATABASE)
                continue
            for line in lines:
                self.stdout.write(line)
            self.stdout.flush()
            after = page.next
            if not page.has_more:
                if not follow:
                    return
                time.sleep(SECONDS_BETWEEN_LOOKS)


def _start(after: str) -> int:
    """Raises CommandError."""
    if after == "now":
        return changes.now().next
    if not (after.isascii() and after.isdecimal()):
        raise CommandError(f"--after takes a number or `now`, not “{after}”.", returncode=USAGE_ERROR)
    return int(after)


def _whole(kind: str, stored: str) -> str:
    """As it is stored: an invoice with all its lines. JSON without spaces has no line break."""
    return stored


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM is how a supervisor ends what would go on for ever, so it is no failure."""
    if threading.current_thread() is not threading.main_thread():  # Python sets signal handlers only there
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(DONE))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
