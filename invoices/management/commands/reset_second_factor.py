"""`manage.py reset_second_factor USER --reason TEXT`: the last administrator's way back. Exit 0 done, 1 refused."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import second_factor
from invoices.management.exit_codes import USAGE_ERROR
from invoices.management.people import shell_user


class Command(BaseCommand):
    help = (
        "Takes all second factors and recovery codes of a user away, who adds new ones at the next sign-in. In the "
        "admin a manager does the same for others; this is for whoever nobody else can help."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="the user name")
        parser.add_argument("--reason", required=True, help="stands in the journal")

    def handle(self, *args: Any, user: str, reason: str, **options: Any) -> None:
        if not reason.strip():
            raise CommandError("--reason must say why.", returncode=USAGE_ERROR)
        found = User.objects.filter(username=user).first()
        if found is None:
            raise CommandError(f"There is no user “{user}”.")
        taken = second_factor.reset(found, by=shell_user(), reason=reason)
        self.stdout.write(f"{user}: {taken} second factor{'' if taken == 1 else 's'} taken away.")
