"""`manage.py month_end 2026-10`: whether a month can be closed, closing it, and what changed in it since.

Exit 0: it can be closed, or was closed now; 3: something is not as it should be; 1: it was not closed.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from invoices import month_end, recorded
from invoices.management import exit_codes
from invoices.management.people import active_user, only_superuser, shell_user
from invoices.models import MonthClose
from invoices.month_end import BadMonth, Month
from invoices.operations import Refusal


class Command(BaseCommand):
    help = (
        "Says whether a month can be closed, and closes it. Exit status: 0 it can be closed, or was closed; 3 "
        "something is not as it should be; 1 it was not closed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", metavar="YYYY-MM")
        parser.add_argument("--tz", default=settings.REPORTS_TIME_ZONE, help="whose days count; default: %(default)s")
        parser.add_argument("--close", action="store_true", help="close it")
        parser.add_argument("--changes", action="store_true", help="list what changed since it was closed")
        parser.add_argument("--reason", default="", help="needed where something is not as it should be")
        parser.add_argument("--as", dest="user", metavar="USER", help="who closes it; default: the only superuser")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, **options: Any) -> None:
        with recorded.in_english():
            try:
                month = Month.read(options["month"], options["tz"])
            except BadMonth as error:
                raise CommandError(str(error)) from error
            if options["close"]:
                self._close(month, options)
            elif options["changes"]:
                self._changes(month, as_json=options["json"])
            else:
                self._check(month, as_json=options["json"])

    def _check(self, month: Month, *, as_json: bool) -> None:
        checks, before = month_end.checks(month), month_end.standing(month)
        left = [check for check in checks if check.blocks and not check.met]
        if as_json:
            said = {
                "month": str(month),
                "time_zone": str(month.zone),
                "can_be_closed": not left,
                "closed": before.number if before else 0,
                "checks": [check.to_json() for check in checks],
                "totals": month_end.totals(month),
            }
            self.stdout.write(json.dumps(said, ensure_ascii=False))
        else:
            for check in checks:
                mark = "ok  " if check.met else "open" if check.blocks else "note"
                count = f" ({check.count})" if check.count else ""
                self.stdout.write(" ".join(filter(None, (f"{mark} {check.title}{count}", check.in_words()))))
            if before:
                self.stdout.write(f"Closed by {before.closed_by} at {before.closed_at:%Y-%m-%d %H:%M} UTC.")
        if left:
            sys.exit(exit_codes.OUTCOME_PENDING)

    def _close(self, month: Month, options: dict[str, Any]) -> None:
        before = month_end.standing(month)
        try:
            made = month_end.close(
                month,
                by=active_user(options["user"]) or only_superuser(),
                seen=before.number if before else 0,
                reason=options["reason"],
                shell_user=shell_user(),
            )
        except Refusal as refusal:
            raise CommandError(f"{month} was not closed. {refusal.message}") from refusal
        self._tell(made, as_json=options["json"])

    def _tell(self, made: MonthClose, *, as_json: bool) -> None:
        head = f"{made.head_position or 0} {made.head_hash}".strip()
        if as_json:
            self.stdout.write(json.dumps({"month": str(made), "number": made.number, "head": head}))
        else:
            self.stdout.write(f"{made} is closed. The journal's head: {head}")

    def _changes(self, month: Month, *, as_json: bool) -> None:
        made = month_end.standing(month)
        if made is None:
            raise CommandError(f"{month} was not closed yet.")
        later = month_end.later_changes(made)
        for each in later.changes:
            said = {
                "object": each.object_type,
                "id": each.object_id,
                "what": each.what,
                "seen": each.at.isoformat() if each.at else None,
                "day": each.belongs.isoformat() if each.belongs else None,
                "amount_then": each.before,
                "amount": each.amount,
                "currency": each.currency,
            }
            self.stdout.write(json.dumps(said) if as_json else " ".join(str(value) for value in said.values()))
        if not later.is_known:
            self.stderr.write("When it was closed its rows were not kept yet: what changed since is not known.")
