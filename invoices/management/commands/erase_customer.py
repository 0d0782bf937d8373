"""`manage.py erase_customer cus_… --reason TEXT`: erases a customer's personal data here, after Stripe has.

Exit 0 erased (or, without --yes and an answer, shown), 1 refused or interrupted. `--list` prints the erasures that were
made, and `--again FILE` makes those of such a list again, in a database that was restored from a backup.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from invoices import erasure, gateway
from invoices.management.exit_codes import USAGE_ERROR
from invoices.management.people import active_user, shell_user
from invoices.models import Erasure

LABELS = {
    "customers": "customers",
    "invoices": "invoices",
    "payment_intents": "payment intents",
    "charges": "charges",
    "credit_notes": "credit notes",
    "refunds": "refunds",
    "events": "events of these objects, and the others whose bodies name the customer",
    "operations": "operations",
    "batches": "batches",
    "contradictions": "contradictions",
    "notes": "notes",
    "drift": "rows of drift",
}


class Command(BaseCommand):
    help = (
        "Erases the name, the addresses and whatever else is personal of a customer that Stripe has redacted. Amounts, "
        "ids, states and dates stay, and the journal's chain still holds. It cannot be undone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("customer", nargs="?", metavar="CUSTOMER", help="cus_…")
        parser.add_argument("--reason", default="", help="stands in the journal; without the customer's name")
        parser.add_argument("--ticket", default="", help="stands in the journal")
        parser.add_argument("--as", dest="user", metavar="USER", help="who decided it; stands in the journal")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--list", action="store_true", help="print the erasures that were made, one a line")
        parser.add_argument(
            "--again",
            nargs="?",
            const="",
            metavar="FILE",
            help="after restoring a backup: make the erasures of this database, and of FILE (from --list), again",
        )
        parser.add_argument(
            "--archive", metavar="DIR", type=Path, help="the folder of the archived events; default: ARCHIVE_DIR"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            for made in Erasure.objects.order_by("pk").iterator():
                self.stdout.write(json.dumps(_as_line(made)))
            return
        user = active_user(options["user"])
        folder = Path(options["archive"] or settings.ARCHIVE_DIR)
        if options["again"] is not None:
            self._again(options["again"], user, folder)
            return
        if not options["customer"] or not options["reason"].strip():
            raise CommandError("Say which customer, and why: CUSTOMER --reason TEXT.", returncode=USAGE_ERROR)
        self._erase(
            options["customer"],
            options["reason"].strip(),
            options["ticket"].strip(),
            user,
            folder,
            ask=not options["yes"],
        )

    def _again(self, file: str, user: User | None, folder: Path) -> None:
        recorded = {made.customer: made.reason for made in Erasure.objects.order_by("pk").iterator()}
        if file:
            recorded |= dict(_listed(Path(file)))
        for customer, reason in recorded.items():
            again = reason if reason.startswith("Again: ") else f"Again: {reason}"
            self._erase(customer, again, "", user, folder, ask=False)
        self.stdout.write(f"{len(recorded)} erasures were made again.")

    def _erase(self, customer: str, reason: str, ticket: str, user: User | None, folder: Path, *, ask: bool) -> None:
        self._show(customer)
        try:
            erasure.check(customer, folder, reason, ticket)
            if ask and not self._is_confirmed(customer):
                self.stdout.write("Nothing was erased.")
                return
            begun = erasure.begin(customer, reason=reason, ticket=ticket, actor=user, shell_user=shell_user())
            done = self._perform(begun, folder)
        except erasure.CannotErase as error:
            raise CommandError(str(error)) from error
        except gateway.GatewayError as error:
            raise CommandError(
                f"Stripe could not be asked: {error.message} What was done stays done; run this again to go on."
            ) from error
        if not erasure.clean_file():
            self.stdout.write(
                "The database was busy. Its file still has what was overwritten: run VACUUM when it is idle."
            )
        said = (
            ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in done.rows.items() if count)
            or "nothing left"
        )
        self.stdout.write(f"Erased {customer} (erasure {begun.pk}): {said}.")
        if done.left:
            self.stdout.write(
                "The journal keeps these as they were written, and they name the customer: "
                + ", ".join(done.left)
                + "."
            )

    def _perform(self, begun: Erasure, folder: Path) -> erasure.Done:
        with tqdm(unit=" rows", desc="Erasing", disable=not sys.stderr.isatty()) as bar:

            def show_progress(what: str, rows: int) -> None:
                bar.update(rows)

            return erasure.perform(begun, folder, show_progress)

    def _show(self, customer: str) -> None:
        self.stdout.write(f"Of {customer} there are:")
        for name, count in asdict(erasure.preview(customer)).items():
            self.stdout.write(f"  {count:>8} {LABELS[name]}")

    def _is_confirmed(self, customer: str) -> bool:
        self.stdout.write("Their personal data is erased here. It cannot be undone.")
        try:
            return input(f"Type {customer} to go on: ").strip() == customer
        except EOFError:
            return False


def _as_line(made: Erasure) -> dict[str, Any]:
    return {
        "erasure": made.pk,
        "customer": made.customer,
        "reason": made.reason,
        "ticket": made.ticket,
        "requested_at": made.requested_at.isoformat(),
        "finished_at": made.finished_at.isoformat() if made.finished_at else None,
        "shell_user": made.shell_user,
    }


def _listed(file: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            made = json.loads(line)
            yield made["customer"], made["reason"]
        except (ValueError, KeyError, TypeError) as error:
            raise CommandError(f"Line {number} of {file} is not one that --list prints.") from error
