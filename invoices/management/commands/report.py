"""`manage.py report NAME`: one report as CSV, XLSX or JSON on stdout, its totals on stderr.

Exit 0; 2 where the parameters cannot be read.
"""

import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import money, reports
from invoices.management.exit_codes import DONE, USAGE_ERROR
from invoices.reports import Asked, Pass, Report
from invoices.spreadsheet import xlsx_pieces
from invoices.tables import csv_pieces

FORMATS = ("csv", "xlsx", "json")
NAMES = "\n".join(f"  {report.name:12} {report.answers}" for report in reports.REPORTS.values())


class Command(BaseCommand):
    help = (
        f"Prints a report from the mirror and the journal; nothing is asked of Stripe.\n\n{NAMES}\n\n"
        "A day begins at midnight of --tz; --from and --to are both included. Without days it is the last month, and "
        "as of its last day. All is read in one snapshot of the database."
    )

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return super().create_parser(*args, **options, formatter_class=RawDescriptionHelpFormatter)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(reports.REPORTS), metavar="NAME")
        parser.add_argument(
            "--from", dest="first", type=_date, metavar="DATE", help="the first day, such as 2027-01-01"
        )
        parser.add_argument("--to", dest="last", type=_date, metavar="DATE", help="the last day, included")
        parser.add_argument("--as-of", type=_date, metavar="DATE", help="of receivables: as of the end of this day")
        parser.add_argument("--tz", default="", metavar="ZONE", help="such as Europe/Berlin; otherwise TIME_ZONE")
        parser.add_argument("--currency", default="", metavar="CODE", help="only this one")
        parser.add_argument("--group", default="", help="only the rows of this total, as --totals and JSON name it")
        parser.add_argument("--format", choices=FORMATS, default="csv")
        parser.add_argument("--totals", action="store_true", help="the totals instead of the rows")
        parser.add_argument("--output", metavar="FILE", help="a new file, instead of stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        report = reports.REPORTS[options["name"]]
        reading = Pass(report, _asked(report, options))
        if options["format"] == "xlsx" and not options["output"] and sys.stdout.isatty():
            raise CommandError("XLSX is not for a terminal: give --output FILE.", returncode=USAGE_ERROR)
        try:
            with reports.snapshot():
                self._write(_pieces(reading, options["format"], options["totals"]), options["output"])
        except FileExistsError:
            raise CommandError(f"{options['output']} is there already.", returncode=USAGE_ERROR) from None
        except BrokenPipeError:
            # Python would complain of the same once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(DONE)
        self.stderr.write("\n".join(summary(reading)))

    def _write(self, pieces: Iterator[bytes], output: str | None) -> None:
        """Into a new file, which is there under its name only when it is whole; or to stdout."""
        if not output:
            for piece in pieces:
                # A test's stdout takes texts alone.
                target = getattr(self.stdout, "buffer", None)
                target.write(piece) if target else self.stdout.write(piece.decode(), ending="")
            return
        whole, part = Path(output), Path(f"{output}.part")
        if whole.exists():
            raise FileExistsError
        with part.open("wb") as file:
            file.writelines(pieces)
        part.rename(whole)


def _pieces(reading: Pass, format: str, only_totals: bool) -> Iterator[bytes]:
    if only_totals:
        for _page in reading.entries():
            pass
    if format == "json":
        pieces: Iterator[Any] = reports.json_pieces(reading, rows=() if only_totals else None)
    else:
        table = reading.totals_table() if only_totals else reading.table()
        pieces = csv_pieces(table) if format == "csv" else xlsx_pieces(table)
    for piece in pieces:
        yield piece.encode() if isinstance(piece, str) else piece


def _asked(report: Report, options: dict[str, Any]) -> Asked:
    """Raises CommandError."""
    first, last, as_of = options["first"], options["last"], options["as_of"]
    if report.is_as_of and (first or last):
        raise CommandError(f"{report.name} is as of one day: give --as-of.", returncode=USAGE_ERROR)
    if as_of and not report.is_as_of:
        raise CommandError(f"{report.name} is of several days: give --from and --to.", returncode=USAGE_ERROR)
    try:
        zone = reports.zone_of(options["tz"])
        return reports.asked(
            report, zone, first, as_of or last, currency=options["currency"].lower(), group=options["group"]
        )
    except reports.BadRequest as error:
        raise CommandError(str(error), returncode=USAGE_ERROR) from None


def summary(reading: Pass) -> list[str]:
    """What was read and what it adds up to, in lines for people."""
    report, asked = reading.report, reading.asked
    days = f"as of the end of {asked.last}" if report.is_as_of else f"{asked.first} to {asked.last}"
    lines = [f"{report.title}, {days}, {asked.zone.key}: before {asked.end:%Y-%m-%d %H:%M} UTC"]
    for total in reading.totals.lines(report):
        amount = f"  {money.plain(total.amount, total.currency)}" if total.amount is not None else ""
        lines.append(f"  {report.english(total.group)} [{total.group}] {total.currency.upper()}: {total.count}{amount}")
    if not reading.totals.count:
        lines.append("  Nothing.")
    if reading.totals.unknown:
        lines.append(f"Not known, and in no sum: {reading.totals.unknown}. The rows say why.")
    return lines


def _date(text: str) -> date:
    return date.fromisoformat(text)
