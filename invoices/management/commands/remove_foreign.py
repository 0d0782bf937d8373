"""`manage.py remove_foreign ID… --reason TEXT`: removes rows that Stripe does not have. Exit 0, or 1 if one is left.

Without --really it removes nothing: it asks Stripe and says what it would do.
"""

import sys
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import gateway
from invoices.management.exit_codes import DONE, FAILED, USAGE_ERROR
from invoices.management.people import shell_user
from invoices.models import ReconciliationRun
from invoices.reconcile import removal


class Command(BaseCommand):
    help = (
        "Removes rows of the mirror whose objects Stripe does not have, such as those that a key of another account "
        "brought. Each is asked for at Stripe first. Without --really nothing is removed. The journal keeps what was "
        "removed, who did it and why. Exit status: 0 done, 1 a named row is left."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="ID", help="these rows: in_…, inpay_…, pi_…, cus_…")
        parser.add_argument(
            "--run", type=int, metavar="NUMBER", help="what this reconciliation imported, or found missing at Stripe"
        )
        parser.add_argument("--reason", default="", help="why, for the journal")
        parser.add_argument("--really", action="store_true", help="remove them; without it this is a preview")

    def handle(self, *args: Any, ids: list[str], run: int | None, reason: str, really: bool, **options: Any) -> None:
        if not ids and run is None:
            raise CommandError("Name rows, or a run: remove_foreign in_… or --run NUMBER.", returncode=USAGE_ERROR)
        if not reason.strip():
            raise CommandError("Say why, for the journal: --reason TEXT.", returncode=USAGE_ERROR)
        of_run = ReconciliationRun.objects.filter(pk=run).first() if run is not None else None
        if run is not None and of_run is None:
            raise CommandError(f"There is no reconciliation {run}.")
        wanted = chain(ids, removal.rows_of_run(of_run) if of_run else ())
        gone = left = 0
        try:
            for judged in removal.remove(wanted, reason=reason.strip(), by=shell_user(), really=really):
                if judged.left:
                    left += judged.id in ids
                else:
                    gone += 1
                if not judged.left or judged.id in ids:  # of a run, only what Stripe does not have is of interest
                    self.stdout.write(self._line(judged, really))
        except gateway.GatewayError as error:
            raise CommandError(f"{gone} rows were removed, then: {error}" if really else str(error)) from error
        if really:
            self.stdout.write(f"{gone} rows removed, {left} of those that you named left.")
        else:
            self.stdout.write(f"{gone} rows can be removed. Nothing was removed: with --really they are.")
        sys.exit(FAILED if left else DONE)

    def _line(self, judged: removal.Judged, really: bool) -> str:
        facts = " ".join(
            str(judged.held[name]) for name in ("number", "status", "currency", "total") if name in judged.held
        )
        if judged.left:
            return f"{judged.id}  left: {judged.left}"
        return f"{judged.id}  {'removed' if really else 'not at Stripe'}: {judged.object} {facts}".rstrip()
