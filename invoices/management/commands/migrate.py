"""`manage.py migrate`, as Django's; on PostgreSQL one at a time, and none waits long for a lock that others hold.

A statement that waits for a table's lock makes everyone else who comes after it wait too: web requests and webhooks.
So a migration gives up after a few seconds, and is repeated.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import DatabaseError, connections

LOCK = 7_203_004_213  # of PostgreSQL's advisory locks: who holds it migrates this database
LOCK_NOT_AVAILABLE, QUERY_CANCELED = "55P03", "57014"  # PostgreSQL's codes


class Command(migrate.Command):
    applying = ""  # the name of the migration that is being applied
    whole = True  # it is one transaction

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--lock-timeout", type=float, default=5, metavar="SECONDS", help="for each lock; PostgreSQL only; default 5"
        )
        parser.add_argument(
            "--statement-timeout",
            type=float,
            default=3600,
            metavar="SECONDS",
            help="for each statement; PostgreSQL only; 0: no limit; default 3600",
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=3600,
            metavar="SECONDS",
            help="for the end of another migrate of this database; PostgreSQL only; default 3600",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor != "postgresql":
            super().handle(*args, **options)
            return
        with self._alone(connection, options["wait"]), _limits(connection, options):
            try:
                super().handle(*args, **options)
            except DatabaseError as error:
                what = self.applying or "migrate"
                code = getattr(error.__cause__, "sqlstate", "")
                if code == LOCK_NOT_AVAILABLE:
                    raise CommandError(
                        f"{what} waited {options['lock_timeout']:g} s for a lock that somebody else holds, and gave "
                        f"up: {self._left()}. Repeat migrate, when less is going on, or let it wait longer "
                        "(--lock-timeout); while it waits, others wait behind it."
                    ) from error
                if code == QUERY_CANCELED:
                    raise CommandError(
                        f"{what}: a statement took longer than {options['statement_timeout']:g} s, and was cancelled: "
                        f"{self._left()}. Repeat migrate with a longer --statement-timeout."
                    ) from error
                raise

    @contextmanager
    def _alone(self, connection: Any, seconds: float) -> Iterator[None]:
        """Holds the lock, which the server gives back if this process dies. It is asked for again and again: a
        statement that waits has a snapshot, and an index that is made concurrently waits for the end of all."""
        end, said = time.monotonic() + seconds, False
        while not _ask(connection, "SELECT pg_try_advisory_lock(%s)"):
            if time.monotonic() >= end:
                raise CommandError(
                    f"Another migrate of this database has not ended for {seconds:g} s. Look at it first."
                )
            if not said:
                self.stderr.write("Another migrate of this database is at work: waiting for its end.")
            said = True
            time.sleep(0.5)
        try:
            yield
        finally:
            if connection.connection is not None and not connection.connection.closed:
                _ask(connection, "SELECT pg_advisory_unlock(%s)")

    def _left(self) -> str:
        """What is left of the migration that gave up."""
        return "nothing of it was done" if self.whole else "what of it was done stays, and is done again without harm"

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        if action in ("apply_start", "unapply_start"):
            self.applying, self.whole = str(migration), migration.atomic
        super().migration_progress_callback(action, migration, fake)


def _ask(connection: Any, question: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(question, [LOCK])
        return bool(cursor.fetchone()[0])


@contextmanager
def _limits(connection: Any, options: dict[str, Any]) -> Iterator[None]:
    names = ("lock_timeout", "statement_timeout")
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute("SELECT set_config(%s, %s, false)", [name, f"{int(options[name] * 1000)}ms"])
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                for name in names:
                    cursor.execute(f"RESET {name}")
