"""Bank statements for tests: what a parser would read, kept as if a file had brought it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User

from invoices.models import BankTransaction
from invoices.statements import keeping
from invoices.statements.formats.parsed import Line, ParsedStatement
from invoices.statements.formats.read import read

ACCOUNT = "DE02120300000000202051"
DAY = datetime.now(UTC).date()  # money comes after the invoice, which the sandbox makes now
_numbers = itertools.count(1)


def line(amount: int, text: str = "", **more: Any) -> Line:
    """A credit or debit of the account, in euro unless said, with a reference of the bank's own."""
    number = next(_numbers)
    given = {"booked_on": DAY, "valued_on": DAY, "currency": "eur", "bank_reference": f"REF-{number:06}", **more}
    given.setdefault("is_return", bool(given.get("returns")))
    return Line(number=number, amount=amount, text=text, **given)


def statement(*lines: Line, **more: Any) -> ParsedStatement:
    """A statement that ties."""
    opening = more.pop("opening", 100_000)
    given: dict[str, Any] = {
        "format": "camt.053",
        "account": ACCOUNT,
        "currency": lines[0].currency if lines else "eur",
        "number": "2026-211",
        "begins_on": DAY,
        "ends_on": DAY,
        "opening": opening,
        "closing": opening + sum(each.amount for each in lines),
        **more,
    }
    return ParsedStatement(lines=tuple(lines), **given)


def keep(*statements: ParsedStatement, by: User | None = None, content: bytes | None = None) -> keeping.Kept:
    """As an upload keeps them. `content` stands for the file; it follows from the statements, unless said."""
    return keeping.keep(content or repr(statements).encode(), statements, file_name="statement.xml", by=by)


def credits_of(*lines: Line, **more: Any) -> list[BankTransaction]:
    """These lines as transactions, in their order."""
    kept = keep(statement(*lines, **more))
    return [each.transaction for each in kept.statements[0].lines.order_by("place").select_related("transaction")]


def take(content: bytes) -> keeping.Kept:
    """A file, read and kept as an upload does."""
    return keeping.keep(content, read(content, lambda table: None), file_name="statement", by=None)
