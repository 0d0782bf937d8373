"""What a file of a bank says, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

MAX_BYTES = 20 * 1024 * 1024  # of a file
MAX_LINES = 50_000  # in all statements of a file


@dataclass(frozen=True)
class Line:
    """One transaction that the bank has booked."""

    number: int  # the line of the file: of the entry, where it is longer
    booked_on: date
    valued_on: date | None
    amount: int  # minor units; a credit is above zero, a debit below
    currency: str  # lower case, as at Stripe
    bank_reference: str = ""  # the bank's own and unique; empty where it gave none ("NONREF", "NOTPROVIDED")
    end_to_end_id: str = ""  # that the payer gave
    payer_name: str = ""  # of the other side, also of a debit
    payer_account: str = ""  # the other side's IBAN or number, upper case and without spaces
    text: str = ""  # what the payer wrote, as one text
    structured_reference: str = ""  # a reference in a field of its own, such as ISO 11649 (RF…)
    code: str = ""  # the bank's code of the kind of transaction
    is_return: bool = False  # a debit undoes an earlier credit, or a credit came back of a transfer of our own
    returns: tuple[str, ...] = ()  # references of the earlier transaction that a debit undoes, where it names any
    return_reason: str = ""
    entry: tuple[str, int] | None = (
        None  # of which it is a part: the bank's reference and its amount; None: it is whole
    )


@dataclass(frozen=True)
class ParsedStatement:
    """One statement of a file. Balances are minor units, and None where the format has none (camt.054)."""

    format: str  # camt.053, camt.054, MT940 or CSV
    account: str  # IBAN, or bank and account number: upper case and without spaces
    currency: str
    number: str  # the bank's own, of the statement
    begins_on: date | None
    ends_on: date | None
    opening: int | None
    closing: int | None
    lines: tuple[Line, ...]


class BadStatement(Exception):
    """The file cannot be taken. `sentence` says why and what to do, in the language of the page; `line` is the place in
    the file, where there is one."""

    def __init__(self, sentence: str, line: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line


def check_count(lines: int) -> None:
    """While a file is read: raises BadStatement once it has too many lines."""
    if lines > MAX_LINES:
        message = _("The file has more than {limit} lines. Ask the bank for a shorter period.")
        raise BadStatement(message.format(limit=f"{MAX_LINES:,}"))


def difference(statement: ParsedStatement) -> int | None:
    """What the opening balance and the lines add up to, less the closing balance, in minor units: 0 where they tie.
    None where the statement has no balances."""
    if statement.opening is None or statement.closing is None:
        return None
    return statement.opening + sum(line.amount for line in statement.lines) - statement.closing
