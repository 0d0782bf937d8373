"""`manage.py account [adopt --reason TEXT]`: of which Stripe account the mirror is. Exit 0 done, 1 refused."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import account, gateway
from invoices.management.people import shell_user


class Command(BaseCommand):
    help = (
        "Shows of which Stripe account and mode this mirror is, and whose STRIPE_SECRET_KEY is. `adopt` says that the "
        "installation is of the key's account from now on: only while the mirror is empty, or of no account yet."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", nargs="?", choices=("show", "adopt"), default="show")
        parser.add_argument("--reason", default="", help="why, for the journal; `adopt` needs it")

    def handle(self, *args: Any, what: str, reason: str, **options: Any) -> None:
        if what == "show":
            self._show()
            return
        if not reason.strip():
            raise CommandError("Say why, for the journal: --reason TEXT.")
        try:
            made = account.adopt(gateway.account_of_key(), reason=reason.strip(), by=shell_user())
        except (account.AccountRefused, gateway.GatewayError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"From now on this mirror is of account {made}.")

    def _show(self) -> None:
        record = account.recorded()
        self.stdout.write(f"This mirror is of account {record}." if record else "This mirror is of no account yet.")
        try:
            self.stdout.write(f"STRIPE_SECRET_KEY is a key of account {gateway.account_of_key()}.")
        except gateway.GatewayError as error:
            self.stdout.write(f"Whose STRIPE_SECRET_KEY is could not be asked: {error}")
