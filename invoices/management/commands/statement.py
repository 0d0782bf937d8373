"""Takes files of a bank: what their statements say is kept, and proposed for invoices. Nothing is recorded by it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from invoices import recorded, request_origin
from invoices.statements import keeping
from invoices.statements.formats.csv_file import NeedsLayout
from invoices.statements.formats.parsed import MAX_BYTES, BadStatement
from invoices.statements.formats.read import read
from invoices.statements.layouts import layout_of


class Command(BaseCommand):
    help = (
        "Takes bank statements: camt.053, camt.054, MT940, or CSV whose columns were named in the admin. A file that "
        "was taken before changes nothing. Exit status: 0 all were taken; 1 at least one was refused, and is as if it "
        "had not come."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--account", default="", help="ours, for CSV that does not say it: else as remembered")
        parser.add_argument("--dry-run", action="store_true", help="read and check, and keep nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object for each file")

    def handle(self, **options: Any) -> None:
        refused = 0
        with recorded.in_english():
            for name in options["files"]:
                came_to = self._take(Path(name), options["account"], dry_run=options["dry_run"])
                refused += "refused" in came_to
                self._tell(came_to, as_json=options["json"])
        if refused:
            raise CommandError(f"{refused} of {len(options['files'])} files were refused.", returncode=1)

    def _take(self, path: Path, account: str, *, dry_run: bool) -> dict[str, Any]:
        said: dict[str, Any] = {"file": path.name}
        try:
            keeping.check_size_of(path.stat().st_size)
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            keeping.check_size(content)
            if keeping.taken(keeping.hash_of(content)):
                return {**said, "again": True}
            statements = read(content, lambda table: layout_of(table, account))
            if dry_run:
                keeping.check(statements)
                lines = sum(len(each.lines) for each in statements)
                return {**said, "dry_run": True, "statements": len(statements), "lines": lines}
            kept = keeping.keep(
                content, statements, file_name=path.name, by=None, shell_user=request_origin.shell_user()
            )
        except OSError as error:
            return {**said, "refused": error.strerror or str(error)}
        except NeedsLayout as needs:
            labels = ", ".join(needs.table.labels)
            sentence = f"Nobody has said yet what the columns of such files are ({labels}). Upload one in the admin."
            return {**said, "refused": sentence}
        except BadStatement as bad:
            where = {"line": bad.line} if bad.line else {}
            return {**said, "refused": bad.sentence, **where}
        counts = {"statements": len(kept.statements), "new": kept.new, "known": kept.known, "credits": kept.credits}
        return {**said, "again": kept.again, **counts}

    def _tell(self, said: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(said, ensure_ascii=False))
        elif "refused" in said:
            where = f"line {said['line']}: " if said.get("line") else ""
            self.stderr.write(f"{said['file']}: refused, and nothing of it kept. {where}{said['refused']}")
        elif said.get("again"):
            self.stdout.write(f"{said['file']}: was taken before, nothing was changed")
        elif said.get("dry_run"):
            self.stdout.write(f"{said['file']}: could be taken, {said['statements']} statements, {said['lines']} lines")
        else:
            self.stdout.write(
                f"{said['file']}: {said['statements']} statements, {said['new']} new transactions "
                f"({said['credits']} credits to match), {said['known']} known"
            )
