"""`manage.py database_roles --runtime NAME`: what web, worker and beat may do. Exit 0 no more, 1 too much."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from invoices.management.exit_codes import USAGE_ERROR
from invoices.models import grants


class Command(BaseCommand):
    help = (
        "Prints the SQL that gives a PostgreSQL role what the desk needs to run and takes all else away, and what the "
        "role may do beyond that. --apply runs it; run it once as the owner of the tables, after the first migrate. "
        "Later ones grant what new tables need by themselves."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--runtime", required=True, metavar="NAME", help="the role; make it with CREATE ROLE first")
        parser.add_argument("--apply", action="store_true", help="run the SQL instead of printing it")

    def handle(self, *args: Any, runtime: str, apply: bool, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("SQLite has no roles: whoever can write to the file may do everything.")
        if not grants.exists(runtime):
            raise CommandError(
                f"There is no role {runtime}. Make it as an administrator: CREATE ROLE {runtime} LOGIN PASSWORD '…';",
                returncode=USAGE_ERROR,
            )
        if grants.runs_as(runtime):
            raise CommandError(
                f"DATABASE_URL names {runtime} itself. Run this as the owner of the tables, who migrates.",
                returncode=USAGE_ERROR,
            )
        if apply:
            try:
                grants.apply(runtime)
            except DatabaseError as error:
                raise CommandError(f"Only the owner of the tables can grant: {str(error).splitlines()[0]}") from error
            self.stdout.write(f"{runtime} has what the desk needs.")
        else:
            for statement in grants.statements(runtime):
                self.stdout.write(f"{statement};")
        if excess := grants.excess(runtime):
            lines = "".join(f"\n- {each}" for each in excess)
            raise CommandError(f"{runtime} may do more than the desk needs:{lines}")
