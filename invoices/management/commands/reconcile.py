"""`manage.py reconcile`: compares the mirror with Stripe, and heals it.

Exit 0 nothing differed, 3 drift was found and healed, 4 drift is left, 1 the run failed. With --verify: 0 equal, 3 not.
"""

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from invoices import money, reconcile, recorded
from invoices.management.exit_codes import USAGE_ERROR
from invoices.models import Drift, ReconciliationRun
from invoices.reconcile import explaining, grand_total, proof_in_words
from invoices.reconcile.proof_in_words import plural

# Said on stderr while an import goes on, so that --json has nothing else on stdout.
INVOICES_COMPLETE = "All invoices are here: the desk can be used. Payments, customers and events follow."
MAX_DRIFT_LINES = 50  # of the report for people; --json has every difference


class Command(BaseCommand):
    # They load every page and every address of the API, which a walk through Stripe's lists has no use for.
    requires_system_checks = ()
    help = (
        "Walks Stripe's invoices and payments, compares them with the mirror, records every difference and heals it. "
        "Exit status: 0 nothing differed, 3 drift was found and healed, 4 drift is left, 1 the run failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="everything, customers and payment intents too")
        parser.add_argument("--since", type=_date, metavar="DATE", help="created since then, instead of 30 days")
        parser.add_argument("--invoice", metavar="ID", help="this invoice only, with its payments and customer")
        parser.add_argument(
            "--verify",
            action="store_true",
            help="prove equality: every customer, invoice with all lines, payment and intent; exit 3 if one differs",
        )
        parser.add_argument(
            "--lines",
            choices=[reconcile.ALL_LINES, reconcile.LISTED_LINES],
            help="of --verify: all lines (a request for each invoice with more than ten), or the ten that lists show",
        )
        parser.add_argument("--dry-run", action="store_true", help="compare and record, heal nothing")
        parser.add_argument("--json", action="store_true", help="the result as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["full"] and options["since"]:
            raise CommandError("--full already takes everything: leave out --since.", returncode=USAGE_ERROR)
        if options["lines"] and not options["verify"]:
            raise CommandError("--lines says how --verify compares: add --verify.", returncode=USAGE_ERROR)
        try:
            with _ended_by_sigterm():
                run = self._run(options)
        except (reconcile.AlreadyRunning, reconcile.RunLost) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(as_dict(run), indent=2) if options["json"] else in_words(run))
        sys.exit(run.exit_code)

    def _run(self, options: dict[str, Any]) -> ReconciliationRun:
        if options["invoice"]:
            return reconcile.compare_invoice(options["invoice"], dry_run=options["dry_run"])
        if options["verify"]:
            return self._verify(options)
        kind = ReconciliationRun.Kind.FULL if options["full"] else ReconciliationRun.Kind.SWEEP
        said: list[str] = []
        with tqdm(unit=" objects", desc="Reconciling", disable=not sys.stderr.isatty()) as bar:

            def show_progress(run: ReconciliationRun) -> None:
                if run.progress.invoices_complete_at and not said:
                    said.append(INVOICES_COMPLETE)
                    tqdm.write(INVOICES_COMPLETE, file=sys.stderr)
                finished, windows = len(run.progress.finished), len(run.progress.windows)
                bar.set_postfix_str(f"{finished}/{windows} windows, {run.imported} imported, {run.healed} healed")
                bar.update(run.seen - bar.n)

            return reconcile.sweep_lists(
                kind, since=options["since"], dry_run=options["dry_run"], show_progress=show_progress
            )

    def _verify(self, options: dict[str, Any]) -> ReconciliationRun:
        with tqdm(unit=" objects", desc="Comparing", disable=not sys.stderr.isatty()) as bar:

            def show_progress(run: ReconciliationRun) -> None:
                finished, windows = len(run.progress.finished), len(run.progress.windows)
                bar.set_postfix_str(f"{finished}/{windows} windows, {run.failed} differ")
                bar.update(run.seen - bar.n)

            lines = options["lines"] or reconcile.ALL_LINES
            return reconcile.verify(since=options["since"], lines=lines, show_progress=show_progress)


# --- a proof in words -------------------------------------------------------------------------------------------------

COLUMNS = {  # of the table of kinds: heading → member of `ReportKind`, or of its `found`
    "here": "here",
    "at Stripe": "at_stripe",
    "missing here": "missing_here",
    "missing at Stripe": "missing_at_stripe",
    "differ": "differs",
    "columns wrong": "columns",
    "unreadable": "unreadable",
    "in flight": "in_flight",
    "next sweep": "next_sweep",
    "not imported": "not_imported",
}


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: its row says so, and the next run need not wait until it counts as dead."""
    if threading.current_thread() is not threading.main_thread():  # Python sets signal handlers only there
        yield
        return

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)  # as a shell expects

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _proof(run: ReconciliationRun) -> list[str]:
    """What was covered, the days that differ with both sides, the differences, what is not shown, and the result."""
    report = run.report
    lines = [f"{'':18}" + "".join(f"{heading:>18}" for heading in COLUMNS)]
    for object, kind in report.get("kinds", {}).items():
        numbers = (kind.get(name, kind["found"].get(name, 0)) for name in COLUMNS.values())
        lines.append(f"{plural(object):18}" + "".join(f"{number:18,}" for number in numbers))
    for object, kind in report.get("kinds", {}).items():
        lines += [f"{plural(object).capitalize()}: {sentence}" for sentence in proof_in_words.covered(object, kind)]
    for day in report.get("days", []):
        if not day["equal"]:
            lines += _day(day, report["kinds"][day["object"]]["sums"])
    lines += _differences(run)
    digest = report.get("digest", {})
    lines += [f"Digest of the mirror: {digest.get('ours')}", f"Digest of Stripe:     {digest.get('theirs')}"]
    lines += ["Not shown by this proof:", *(f"  - {sentence}" for sentence in report.get("not_shown", []))]
    lines += _grand_total(report)
    found = proof_in_words.difference_count(run)
    lines.append("Equal." if report.get("equal") else f"Not equal: {found}. `reconcile --full` heals them.")
    return lines


def _grand_total(report: Any) -> list[str]:
    """Number and sums of all that was compared, kind by kind and currency by currency; Stripe's where they differ."""
    totals = grand_total.grand_total(report)
    lines = ["Grand total:"]
    for total in totals:
        lines.append(f"  {plural(total.object)} {total.currency.upper()}".rstrip())
        for name, ours, theirs, over in total.rows():
            lines.append(
                f"    {name:20} {ours:>22}" + (f"   Stripe: {theirs:>22}   here too much: {over}" if over else "")
            )
    return [*lines, f"  {grand_total.result(totals, bool(report.get('equal')))}"]


def _day(day: dict[str, Any], sums: list[str]) -> list[str]:
    """A day that differs: what was found; for each currency and status the count, then these sums in major units, and
    Stripe's where they are not ours."""
    found = ", ".join(
        f"{number:,} {heading}" for heading, name in COLUMNS.items() if (number := day["found"].get(name))
    )
    lines = [f"{day['day']}  {plural(day['object'])}  DIFFERS: {found}  (number, {', '.join(sums)})"]
    for group in sorted(day["ours"]["groups"].keys() | day["theirs"]["groups"].keys()):
        ours, theirs = day["ours"]["groups"].get(group), day["theirs"]["groups"].get(group)
        stripes = "" if ours == theirs else f"   Stripe: {_sums(group, theirs)}"
        lines.append(f"    {group:22} {_sums(group, ours)}{stripes}")
    return lines


def _sums(group: str, figures: list[int] | None) -> str:
    """A group is `usd open`; its figures are the count, then sums in minor units."""
    if figures is None:
        return "none"
    count, *amounts = figures
    return f"{count:6} " + " ".join(f"{money.text(amount, group.partition(' ')[0]):>18}" for amount in amounts)


def _date(iso_date: str) -> datetime:
    """The beginning of a day, UTC: `2026-11-02`. Raises ValueError, which argparse shows as a usage error."""
    return datetime.combine(date.fromisoformat(iso_date), time(), tzinfo=UTC)


def as_dict(run: ReconciliationRun) -> dict[str, Any]:
    """A run for programs, as --json prints it; `drift` has every difference."""
    return {
        "id": run.pk,
        "kind": run.kind,
        "state": run.state,
        "dry_run": run.dry_run,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "seen": run.seen,
        "same": run.same,
        "imported": run.imported,
        "healed": run.healed,
        "in_flight": run.in_flight,
        "failed": run.failed,
        "error": run.error,
        "exit_code": run.exit_code,
        "report": run.report or None,
        "drift": [
            {
                "kind": drift.kind,
                "object": drift.object_type,
                "id": drift.object_id,
                "invoice": drift.invoice or None,
                "field": drift.field or None,
                "ours": drift.ours,
                "theirs": drift.theirs,
                "reason": drift.reason or None,
                "healed": drift.healed_at is not None,
                "explanation": recorded.shown(drift.explanation.text) if drift.explanation else None,
            }
            for drift in Drift.objects.filter(run=run).select_related("explanation").order_by("pk").iterator()
        ],
    }


def in_words(run: ReconciliationRun) -> str:
    """A run for people."""
    lines = [
        f"{run.get_kind_display().capitalize()}: {run.seen} seen = {run.same} same + {run.imported} imported + "
        f"{run.healed} healed + {run.in_flight} in flight + {run.failed} failed."
    ]
    if run.error:
        lines.append(f"It failed: {run.error}")
    if run.kind == ReconciliationRun.Kind.VERIFY:
        lines = [
            f"Proof of equality: {run.seen:,} objects = {run.same:,} the same + {run.in_flight:,} in flight + "
            f"{run.failed:,} that differ.",
            *lines[1:],
        ]
        return "\n".join([*lines, *([] if run.error else _proof(run))])
    return "\n".join([*lines, *_differences(run)])


def _differences(run: ReconciliationRun) -> list[str]:
    """The first differences, one in a line."""
    lines = []
    for drift in Drift.objects.filter(run=run).order_by("pk")[:MAX_DRIFT_LINES]:
        said = drift.get_kind_display() if drift.kind == Drift.Kind.COLUMN or not drift.field else ""
        values = f"{drift.field}: {drift.ours!r} here, {drift.theirs!r} at Stripe" if drift.field else ""
        if drift.kind == Drift.Kind.COLUMN:
            values = f"{drift.field}: {drift.ours!r} in the column, {drift.theirs!r} in the object"
        said += f": {drift.reason}" if drift.reason else ""
        words = ", ".join(part for part in (said, values) if part)
        lines.append(f"  {drift.object_id or drift.object_type} {words} ({explaining.fate(drift)})")
    rest = Drift.objects.filter(run=run).count() - MAX_DRIFT_LINES
    if rest > 0:
        lines.append(f"  … and {rest} more; all of them stand in the admin and in --json.")
    return lines
