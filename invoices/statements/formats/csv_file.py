"""CSV statements: a person says once which columns a bank's files have, and how they write days and amounts.

Nothing is guessed when a file is read: `9,50` is 9.50 where the layout says that the comma is for decimals, and refused
where it says that it is not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from invoices import money
from invoices.statements.formats.balance_words import CLOSING, OPENING, TOTAL, kind_of
from invoices.statements.formats.parsed import MAX_LINES, BadStatement, Line, ParsedStatement
from invoices.statements.formats.references import account_number, is_iban, joined, our_account, reference

DELIMITERS = (";", ",", "\t", "|")
DECIMAL_MARKS = (",", ".")
DATE_FORMATS = (
    *("%d.%m.%Y", "%d.%m.%y", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%d/%m/%y"),
    *("%m/%d/%y", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y"),
)
TIME = re.compile(r"[ T,]+[0-9]{1,2}:[0-9]{2}.*$")  # behind a day
DAY_LIKE = re.compile(r"[0-9]{1,4}[-./ ]([0-9]{1,2}|[A-Za-z]{3,9})[-./ ][0-9]{2,4}")
SIGNS_OF_MONEY = r"US\$|AU\$|A\$|CA\$|C\$|R\$|[€$£¥₹₺₩]|kr\.?|zł|Fr\."
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
LONGEST_PREAMBLE = 30  # lines before the labels of the columns
SAMPLE_ROWS = 5
MINUS, PLUS = "minus", "plus"
DEBIT_SIGN = re.compile(r"[-−(]|DR", re.IGNORECASE)
GROUPING = " \u00a0\u202f'’"  # besides the other one of point and comma


@dataclass(frozen=True)
class CsvLayout:
    """How a bank writes its CSV files. Columns are named by their labels; empty: there is none."""

    date_format: str
    decimal_mark: str
    booked_on: str
    amount: str = ""  # signed, or with `sign`
    credit: str = ""  # instead of `amount`: two columns
    debit: str = ""
    sign: str = ""  # a column that tells credits from debits
    sign_of_debit: str = ""  # what it says of a debit
    valued_on: str = ""
    currency_column: str = ""
    currency: str = ""  # where no column has it
    payer_name: str = ""
    payer_account: str = ""
    text: tuple[str, ...] = ()
    structured_reference: str = ""
    end_to_end_id: str = ""
    bank_reference: str = ""
    balance: str = ""  # after the line
    account_column: str = ""
    account: str = ""  # where no column has it, nor what stands above the labels
    fee: str = ""  # what the bank kept besides the amount
    status: str = ""  # a column that tells what is booked from what is not
    status_of_booked: str = ""  # what it says of what is booked; several with commas
    debits: str = ""  # how the first file wrote those of a column of their own: MINUS or PLUS

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> CsvLayout:
        known = {each.name for each in fields(cls)}
        given = {name: value for name, value in said.items() if name in known}
        return cls(**{**given, "text": tuple(given.get("text", ()))})

    def columns(self) -> set[str]:
        """The labels that it names."""
        single = (
            *(self.booked_on, self.amount, self.credit, self.debit, self.sign, self.valued_on, self.currency_column),
            *(self.payer_name, self.payer_account, self.structured_reference, self.end_to_end_id),
            *(self.bank_reference, self.balance, self.account_column, self.fee, self.status),
        )
        return {*filter(None, single), *self.text}


@dataclass(frozen=True)
class Table:
    """A CSV file as rows of texts, below the labels of its columns. Rows carry the number of their line."""

    labels: tuple[str, ...]
    rows: list[tuple[int, list[str]]]
    account: str = ""  # the IBAN that stands above the labels

    @property
    def key(self) -> str:
        """By which the files of a bank are known again: the labels of its columns."""
        return hashlib.sha256("\n".join(label.lower() for label in self.labels).encode()).hexdigest()


class NeedsLayout(Exception):
    """Nobody has said yet what the columns of these files are."""

    def __init__(self, table: Table) -> None:
        super().__init__("the columns are not known")
        self.table = table
        self.suggested = suggested(table)
        self.sample = [row for _number, row in table.rows[:SAMPLE_ROWS]]


def table_of(content: bytes) -> Table:
    """The rows of a file and the labels above them. Raises BadStatement."""
    text = _decoded(content)
    if "\x00" in text:
        raise BadStatement(_("This is neither camt.053, camt.054, MT940 nor CSV. Ask the bank for one of these."))
    delimiter = _delimiter(text)
    rows: list[tuple[int, list[str]]] = []
    lines = list(io.StringIO(text, newline=""))
    several: list[tuple[int, int]] = []  # rows of several lines: the first of them, and the last
    # Strictly: a quotation mark that is never closed would take the lines behind it for one text.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begin = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((begin, [cell.strip() for cell in row]))
            if reader.line_num > begin:
                several.append((begin, reader.line_num))
            begin = reader.line_num + 1
            if len(rows) > MAX_LINES + LONGEST_PREAMBLE:
                message = _("The file has more than {limit} lines. Ask the bank for a shorter period.")
                raise BadStatement(message.format(limit=f"{MAX_LINES:,}"))
    except csv.Error as error:
        raise BadStatement(_("This line cannot be read as CSV."), begin) from error
    place = _place_of_labels(rows)
    if place is None:
        raise BadStatement(_("This is neither camt.053, camt.054, MT940 nor CSV. Ask the bank for one of these."))
    for begin, end in several:
        if begin != rows[place][0] and _swallows(lines[begin - 1 : end], delimiter, len(rows[place][1])):
            message = _(
                "A quotation mark in this line takes the next line for its text. Ask the bank for another format."
            )
            raise BadStatement(message, begin)
    return Table(_labels(rows[place][1]), rows[place + 1 :], _account_above(rows[:place]))


def _swallows(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether lines that quotation marks make one row are rows of their own: a later one begins as the first does, with
    a day of the same writing, or each has as many cells as there are labels."""
    cells = [[cell.strip(' "\r\n') for cell in line.split(delimiter)] for line in lines]
    shapes = [re.sub("[0-9]", "9", row[0]) for row in cells]
    begins_alike = "9" in shapes[0] and any(
        len(row) > 1 and shape == shapes[0] for row, shape in zip(cells[1:], shapes[1:], strict=True)
    )
    return begins_alike or all(len(row) == width for row in cells)


def _labels(row: Sequence[str]) -> tuple[str, ...]:
    """The labels, each once: where a bank has one twice, the second is called `Currency (2)`."""
    seen: Counter[str] = Counter()
    labels = []
    for label in row[: _width(row)]:
        seen[label] += 1
        labels.append(f"{label} ({seen[label]})" if label and seen[label] > 1 else label)
    return tuple(labels)


def _account_above(rows: Sequence[tuple[int, list[str]]]) -> str:
    """The only IBAN that stands above the labels: then it is that of the account."""
    found = set()
    for _number, row in rows:
        for cell in row:
            for part in re.findall(r"[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,40}", cell):
                found.add(next((each for each in (account_number(part),) if is_iban(each)), ""))
    found.discard("")
    return found.pop() if len(found) == 1 else ""


def _decoded(content: bytes) -> str:
    for encoding in ENCODINGS:
        if encoding == "utf-16" and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _delimiter(text: str) -> str:
    """The mark that makes labels of one line, and as many cells of the lines below it. Each amount of a file may have
    one comma too, which is no mark between columns: no label has it."""
    lines = [line for line in text.splitlines() if line.strip()][: LONGEST_PREAMBLE * 4]

    def agreement(mark: str) -> tuple[bool, int, int]:
        rows = [
            (number, [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])])
            for number, line in enumerate(lines)
        ]
        place = _place_of_labels(rows)
        if place is None:  # such as labels of several lines
            widths = Counter(len(row) for _number, row in rows if len(row) > 1)
            return False, *max(((number, width) for width, number in widths.items()), default=(0, 0))
        width = len(rows[place][1])
        return True, sum(len(row) == width for _number, row in rows[place + 1 :]), width

    return max(DELIMITERS, key=agreement)


def _place_of_labels(rows: Sequence[tuple[int, list[str]]]) -> int | None:
    """The first row as wide as most rows, whose cells are all labels: none is a number or a day, none comes twice."""
    widths = Counter(_width(row) for _number, row in rows)
    usual = max((width for width in widths if width >= 3), key=lambda width: widths[width], default=0)
    for place, (_number, row) in enumerate(rows[: LONGEST_PREAMBLE + 1]):
        named = [cell for cell in row if cell]
        is_label = len(named) >= 3 and not any(_looks_like_value(cell) for cell in named)
        if _width(row) >= usual > 0 and is_label:
            return place
    return None


def _width(row: Sequence[str]) -> int:
    """The cells of a row, without empty ones at its end."""
    return max((place for place, cell in enumerate(row, 1) if cell), default=0)


def _looks_like_value(cell: str) -> bool:
    letters, digits = any(each.isalpha() for each in cell), any(each.isdigit() for each in cell)
    return (digits and not letters) or bool(DAY_LIKE.search(cell))


def read(content: bytes, layout: CsvLayout) -> list[ParsedStatement]:
    """The statement of a file with this layout. Raises BadStatement."""
    return read_table(table_of(content), layout)


def read_table(table: Table, layout: CsvLayout) -> list[ParsedStatement]:
    """The statements of a table: one for each account. Raises BadStatement."""
    if missing := sorted(layout.columns() - set(table.labels)):
        raise BadStatement(_("The file has no column “{label}”.").format(label=missing[0]))
    place = {label: number for number, label in enumerate(table.labels)}
    of_account: dict[tuple[str, str], list[_Row]] = {}
    undated: list[tuple[_Cells, tuple[str, str]]] = []
    balances: list[tuple[_Cells, tuple[str, str]]] = []
    width = max(place[label] for label in layout.columns() if label != layout.balance) + 1
    signs = _Signs(layout, ((number, _Cells(number, row, place, layout)("debit")) for number, row in table.rows))
    booked = {each.strip().casefold() for each in layout.status_of_booked.split(",")}
    key = ("", "")
    for number, row in table.rows:
        cells = _Cells(number, row, place, layout)
        if layout.status and cells("status").casefold() not in booked and cells("status"):
            continue
        has_amount = any(cells(name) for name in ("amount", "credit", "debit"))
        if not has_amount and not (cells.has_day("booked_on")):
            continue  # a line of notes
        account = our_account(cells("account_column")) or table.account or layout.account
        key = (account, (cells("currency_column") or layout.currency).lower()) if cells("booked_on") else key
        if has_amount and cells.is_balance():
            balances.append((cells, key))
            continue
        if not cells("booked_on"):
            undated.append((cells, key))
            continue
        if has_amount and len(row) < width and not cells.has_day("booked_on"):
            raise BadStatement(_("This line has fewer columns than the labels."), number)
        account, currency = key
        if not account or not re.fullmatch("[a-z]{3}", currency):
            raise BadStatement(_("This line has no account or no currency."), number)
        balance = cells.amount("balance", currency) if cells("balance") else None
        if not has_amount and balance is None:
            raise BadStatement(_("This line has a date and no amount."), number)
        lines = [cells.line(currency, signs)] if has_amount else []  # otherwise a balance that is brought forward
        if has_amount and cells("fee") and (fee := abs(cells.amount("fee", currency))):
            first = lines[0]
            lines.append(replace(first, amount=-fee, text=f"{layout.fee} {first.text}", bank_reference="", code="FEE"))
        of_account.setdefault(key, []).append(_Row(number, cells.day("booked_on"), tuple(lines), balance))
        if len(of_account) > MAX_STATEMENTS:
            raise BadStatement(_("This file has too many accounts. Choose the right column for the account."), number)
    found = [_statement(*each, rows) for each, rows in of_account.items()]
    found = [each for each in found if each.lines]
    if not found:
        raise BadStatement(_("There is no statement in this file."))
    of_statement = {(one.account, one.currency): one for one in found[::-1]}
    elsewhere = (found[0].account, found[0].currency)  # of what stands before the first line
    for each, statement in of_statement.items():
        own = [cells for cells, told in balances if (told if told in of_statement else elsewhere) == each]
        of_statement[each] = _with_balances(statement, own, signs)
    for cells, each in undated:
        _check_total(cells, of_statement.get(each, of_statement[elsewhere]))
    return [of_statement[one.account, one.currency] for one in found]


MAX_STATEMENTS = 100


@dataclass(frozen=True)
class _Row:
    """One row of an account: its line, also that of a fee; none where it only brings a balance forward."""

    number: int
    day: date
    lines: tuple[Line, ...]
    balance: int | None

    @property
    def amount(self) -> int:
        return sum(line.amount for line in self.lines)


def _with_balances(statement: ParsedStatement, balances: list[_Cells], signs: _Signs) -> ParsedStatement:
    """The statement with the balances that stand in lines of their own. Raises BadStatement where they do not tie."""
    said = [(cells.balance_or_total(), cells.signed(statement.currency, signs), cells.number) for cells in balances]
    amounts = {kind: amount for kind, amount, _number in said}
    booked = sum(line.amount for line in statement.lines)
    if statement.opening is None and OPENING in amounts and amounts.get(CLOSING) == amounts[OPENING] + booked:
        statement = replace(statement, opening=amounts[OPENING], closing=amounts[CLOSING])
    known = {OPENING: {statement.opening}, CLOSING: {statement.closing}}
    for kind, amount, number in said:
        if amount not in known.get(kind, {statement.opening, statement.closing}):
            message = _(
                "This line reads like a balance, and does not tie with the lines. Ask the bank for the whole file, or "
                "for camt.053 or MT940."
            )
            raise BadStatement(message, number)
    return statement


def _check_total(cells: _Cells, statement: ParsedStatement) -> None:
    """A row with an amount and without a day is a total or a balance. Raises BadStatement where it is none of them."""
    amounts = [line.amount for line in statement.lines]
    sums = {
        *(sum(amounts), sum(each for each in amounts if each > 0), sum(each for each in amounts if each < 0)),
        *(each for each in (statement.opening, statement.closing) if each is not None),
    }
    for name in ("amount", "credit", "debit"):
        # Where a name of the amount stands in its place, the amount is not that of a payment.
        if any(each.isdigit() for each in cells(name)) and abs(cells.amount(name, statement.currency)) not in set(
            map(abs, sums)
        ):
            raise BadStatement(_("This line has an amount and no date, and is no total of the file."), cells.number)


def _statement(account: str, currency: str, rows: list[_Row]) -> ParsedStatement:
    """Balances follow from those beside the lines; each must follow from the one before and the lines between them.
    Lines come oldest or newest first, and within a day in the same or in the other order."""
    opening = closing = None
    if any(row.balance is not None for row in rows):
        by_day = sorted(rows, key=lambda row: row.day)
        turned = rows[::-1]
        orders = (rows, turned, by_day, sorted(turned, key=lambda row: row.day))
        tied = [each for each in orders if _first_break(each) is None]
        if not tied:
            newest_first = rows[0].day > rows[-1].day
            message = _(
                "The balance of this line does not follow from the one before. Ask the bank for the whole file."
            )
            raise BadStatement(message, _first_break(rows[::-1] if newest_first else rows))
        openings = [_opening_of(each) for each in tied]
        # Where only some lines have a balance, the lines before them may have come before or after it.
        if all(row.balance is not None for row in rows) or len(set(openings)) == 1:
            opening, closing = openings[0], openings[0] + sum(row.amount for row in rows)
    days = [row.day for row in rows]
    return ParsedStatement(
        format="CSV",
        account=account,
        currency=currency,
        number="",
        begins_on=min(days),
        ends_on=max(days),
        opening=opening,
        closing=closing,
        lines=tuple(line for row in rows for line in row.lines),
    )


def _first_break(rows: Sequence[_Row]) -> int | None:
    """The line whose balance does not follow from the one before; None where all do."""
    balance: int | None = None
    for row in rows:
        balance = None if balance is None else balance + row.amount
        if row.balance is not None and balance not in (None, row.balance):
            return row.number
        balance = row.balance if row.balance is not None else balance
    return None


def _opening_of(rows: Sequence[_Row]) -> int:
    """The balance before the first line, from the first that has one."""
    lines = 0
    for row in rows:
        lines += row.amount
        if row.balance is not None:
            return row.balance - lines
    raise AssertionError("one of them has a balance")


def sign_of_debits(table: Table, layout: CsvLayout) -> str:
    """How this file writes the debits of their own column, as other files of the bank will: MINUS, PLUS, or nothing
    where it has none."""
    place = table.labels.index(layout.debit) if layout.debit in table.labels else -1
    written = [row[place] for _number, row in table.rows if layout.debit and 0 <= place < len(row)]
    signs = {MINUS if DEBIT_SIGN.search(each) else PLUS for each in written if re.search("[1-9]", each)}
    return signs.pop() if len(signs) == 1 else ""


class _Signs:
    """How this file marks debits: in a column of their own with a minus or without, or by one of two words."""

    def __init__(self, layout: CsvLayout, debits: Iterable[tuple[int, str]]) -> None:
        self.layout = layout
        self.word_of_credit = ""
        self.debits_have_minus = self._have_minus(debits)

    def _have_minus(self, debits: Iterable[tuple[int, str]]) -> bool:
        """Whether this bank writes debits with a minus. Where a file has both, one of them was taken back, or is
        something else: nobody can tell, and the sign of a line must not follow from the others."""
        first: bool | None = None
        for number, written in debits:
            if not re.search("[1-9]", written):
                continue
            has_minus = bool(DEBIT_SIGN.search(written))
            if first is None:
                first = has_minus
            elif first is not has_minus:
                message = _(
                    "The debit of this line has another sign than those before, so that nobody can tell whether money "
                    "came or went. Ask the bank for camt.053 or MT940."
                )
                raise BadStatement(message, number)
        said = self.layout.debits
        if first is not None and said and first is not (said == MINUS):
            message = _(
                "The debits of this file have another sign than those of the file by which the columns were said. Say "
                "again what the columns are, and compare the signs."
            )
            raise BadStatement(message)
        return bool(first)

    def is_debit(self, word: str, line: int) -> bool:
        word = word.casefold()
        if word == self.layout.sign_of_debit.casefold().strip():
            return True
        self.word_of_credit = self.word_of_credit or word
        if not word or word != self.word_of_credit:
            message = _("“{word}” says neither credit nor debit.")
            raise BadStatement(message.format(word=word[:40]), line)
        return False


@dataclass
class _Cells:
    """One row, by what the layout calls its columns."""

    number: int
    row: list[str]
    place: Mapping[str, int]
    layout: CsvLayout
    _cache: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        return self._cell(getattr(self.layout, name))

    def _cell(self, label: str) -> str:
        place = self.place.get(label, -1) if label else -1
        return self.row[place].strip() if 0 <= place < len(self.row) else ""

    def has_day(self, name: str) -> bool:
        return _day_of(self(name), self.layout.date_format) is not None

    def line(self, currency: str, signs: _Signs) -> Line:
        booked = self.day("booked_on")
        return Line(
            number=self.number,
            booked_on=booked,
            valued_on=self.day("valued_on") if self("valued_on") else None,
            amount=self.signed(currency, signs),
            currency=currency,
            bank_reference=reference(self("bank_reference")),
            end_to_end_id=reference(self("end_to_end_id")),
            payer_name=joined([self("payer_name")]),
            payer_account=account_number(self("payer_account")),
            text=joined(self._cell(label) for label in self.layout.text),
            structured_reference=reference(self("structured_reference")),
        )

    def balance_or_total(self) -> str:
        """Which one this row is by its text, where nobody paid it; else nothing."""
        if any(self(name) for name in ("payer_name", "payer_account", "end_to_end_id", "bank_reference")):
            return ""
        layout = self.layout
        others = layout.columns() - set(layout.text)
        for label, place in self.place.items():
            cell = self.row[place] if label not in others and place < len(self.row) else ""
            if kind := kind_of(cell):
                return kind
        return ""

    def is_balance(self) -> bool:
        """Raises BadStatement for a total with a day: nobody can tell it from a payment that somebody called so."""
        kind = self.balance_or_total()
        if kind == TOTAL and self("booked_on"):
            message = _(
                "This line reads like a total, and has a day as a payment has. If it is a total, take it out of the "
                "file."
            )
            raise BadStatement(message, self.number)
        return kind not in ("", TOTAL)

    def signed(self, currency: str, signs: _Signs) -> int:
        layout = self.layout
        if not layout.amount:
            credit = self.amount("credit", currency) if self("credit") else 0
            debit = self.amount("debit", currency) if self("debit") else 0
            if credit and debit:
                raise BadStatement(_("This line has both a credit and a debit."), self.number)
            return credit + debit if signs.debits_have_minus else credit - debit
        amount = self.amount("amount", currency)
        if not layout.sign:
            return amount
        if signs.is_debit(self("sign"), self.number):
            return -abs(amount)
        if amount < 0:
            raise BadStatement(_("This line says that it is a credit, and its amount is below zero."), self.number)
        return amount

    def amount(self, name: str, currency: str) -> int:
        """Minor units. Raises BadStatement for anything that the layout does not say how to read."""
        return amount_of(self(name), self.layout.decimal_mark, currency, self.number)

    def day(self, name: str) -> date:
        found = _day_of(self(name), self.layout.date_format)
        if found is None:
            message = _("“{day}” is no date of the kind that was chosen.")
            raise BadStatement(message.format(day=self(name)[:40]), self.number)
        return found


@lru_cache(maxsize=5000)
def _day_of(written: str, format: str) -> date | None:
    """The day, also of a moment. None: it is not written so."""
    try:
        return datetime.strptime(TIME.sub("", written).strip(), format).date()
    except ValueError:
        return None


def amount_of(written: str, decimal_mark: str, currency: str, line: int) -> int:
    """Minor units of an amount as a bank writes it: `-1.234,56`, `1 234,56 EUR`, `(12.00)`, `12,00-`, `+9,50`. Raises
    BadStatement."""
    wrong = BadStatement(
        _("“{amount}” is no amount with “{mark}” for decimals.").format(amount=written[:40], mark=decimal_mark), line
    )
    plain = written.strip().replace("\u2212", "-")
    negative = False
    if word := re.fullmatch(r"([^-+(]+?)\s*(CR|DR)\.?", plain, re.IGNORECASE):
        negative, plain = word[2].upper() == "DR", word[1]
    money_sign = rf"(?:{re.escape(currency)}|{SIGNS_OF_MONEY})"
    plain = re.sub(rf"^([-+(]?)\s*{money_sign}\s*|\s*{money_sign}\s*([-+)]?)$", r"\1\2", plain, flags=re.IGNORECASE)
    if plain.startswith("(") and plain.endswith(")"):
        negative, plain = True, plain[1:-1]
    if plain[-1:] in "+-" and plain[:1] not in "+-":
        plain = plain[-1:] + plain[:-1]
    if plain[:1] in ("-", "+"):
        negative, plain = negative != (plain[0] == "-"), plain[1:].strip()
    other = "." if decimal_mark == "," else ","
    whole, mark, decimals = plain.partition(decimal_mark)
    # Digits stand together, in threes, or as in India: 12,34,567.
    grouped = re.fullmatch(rf"[0-9]+|[0-9]{{1,3}}([{re.escape(other + GROUPING)}][0-9]{{3}})+", whole)
    grouped = grouped or (re.fullmatch("[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}", whole) if other == "," else None)
    grouped = grouped or (re.fullmatch("", whole) if decimals else None)
    if not grouped or (mark and not re.fullmatch("[0-9]+", decimals)):
        raise wrong
    if len({each for each in whole if not each.isdigit()}) > 1:
        raise wrong
    digits = "".join(each for each in whole if each.isdigit())
    minor = Decimal(f"{digits or 0}.{decimals or 0}").scaleb(money.exponent(currency))
    if minor != minor.to_integral_value():
        message = _("{amount} has more decimals than {currency} has.")
        raise BadStatement(message.format(amount=written[:40], currency=currency.upper()), line)
    if minor >= money.MAX_MINOR_UNITS * 1000:
        raise wrong
    return -int(minor) if negative else int(minor)


# --- a suggestion -----------------------------------------------------------------------------------------------------

# Labels of columns as banks write them, in small letters. The first that a file has is suggested.
_LABELS: dict[str, tuple[str, ...]] = {
    "booked_on": (
        *("buchungstag", "buchungsdatum", "buchung", "booking date", "date started", "transaction date", "boekdatum"),
        *("datum", "date completed (utc)", "completed date", "date", "posting date"),
    ),
    "valued_on": ("valutadatum", "valuta", "wertstellung", "wertstellungstag", "value date", "valuedate", "rentedatum"),
    "amount": (
        *("betrag", "betrag (eur)", "betrag (€)", "umsatz", "betrag in eur", "amount", "bedrag", "bedrag (eur)"),
        *("transaction amount", "montant", "total amount", "gutschrift/belastung"),
    ),
    "credit": ("gutschrift", "haben", "credit", "bij", "paid in", "money in", "credit amount", "habenbetrag"),
    "debit": ("belastung", "lastschrift", "soll", "debit", "af", "paid out", "money out", "debit amount", "sollbetrag"),
    "sign": ("soll/haben", "s/h", "af bij", "debit/credit", "cr/dr", "soll-/haben-kennzeichen", "credit/debit"),
    "currency_column": ("währung", "waehrung", "currency", "munt", "valuta code", "devise"),
    "payer_name": (
        *("beguenstigter/zahlungspflichtiger", "begünstigter / auftraggeber", "auftraggeber/begünstigter"),
        *("name zahlungsbeteiligter", "zahlungspflichtige*r", "zahlungspflichtiger", "auftraggeber", "payer name"),
        *("auftraggeber / begünstigter", "beguenstigter", "empfänger", "counterparty", "counterparty name", "name"),
        *("naam / omschrijving", "naam tegenpartij", "payer", "from", "merchant"),
    ),
    "payer_account": (
        *("kontonummer/iban", "iban zahlungsbeteiligter", "iban", "kontonummer", "counterparty account"),
        *("tegenrekening", "tegenrekening iban/bban", "account number", "payer account", "iban des auftraggebers"),
    ),
    "text": (
        *("verwendungszweck", "vorgang/verwendungszweck", "buchungstext / verwendungszweck", "remittance information"),
        *("payment reference", "reference", "mededelingen", "omschrijving", "omschrijving-1", "description"),
        *("details", "libellé", "purpose", "narrative"),
    ),
    "end_to_end_id": (
        *("kundenreferenz (end-to-end)", "kundenreferenz", "end-to-end-referenz", "end-to-end reference"),
        *("end to end id", "ende-zu-ende-referenz"),
    ),
    "bank_reference": (
        *("transaction id", "transferwise id", "id", "transactiereferentie", "bankreferenz", "transaktionsnummer"),
    ),
    "balance": ("saldo", "saldo nach buchung", "balance", "running balance", "saldo na trn", "saldo in eur"),
    "fee": ("fee", "fees", "total fees"),
    "status": ("state", "status", "info"),
    "account_column": ("auftragskonto", "iban auftragskonto", "rekening", "iban/bban", "account"),
}  # fmt: skip
_BOOKED = frozenset({"completed", "gebucht", "umsatz gebucht", "booked", "posted", "cleared", "settled"})
_DEBIT_SIGNS = ("s", "soll", "d", "dr", "debit", "af", "dbit")


def suggested(table: Table) -> CsvLayout:
    """What the labels and the first rows let one expect. A person confirms it."""
    labels = {label.casefold(): label for label in table.labels if label}
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for name, known in _LABELS.items():
        label = next((labels[each] for each in known if each in labels and labels[each] not in taken), "")
        if label:
            found[name] = (label,) if name == "text" else label
            taken.add(label)
    if found.get("amount"):
        found.pop("credit", None)
        found.pop("debit", None)
    place = {label: number for number, label in enumerate(table.labels)}

    def values(label: str) -> Iterator[str]:
        number = place.get(label, -1)
        for _line, row in table.rows[:200]:
            if 0 <= number < len(row) and row[number]:
                yield row[number]

    days = list(values(found.get("booked_on", "")))
    amounts = [each for name in ("amount", "credit", "debit") for each in values(found.get(name, ""))]
    if found.get("sign"):
        signs = {each for each in values(found["sign"]) if each.casefold() in _DEBIT_SIGNS}
        found["sign_of_debit"] = next(iter(sorted(signs)), "")
    if found.get("status"):
        booked = {each for each in values(found["status"]) if each.casefold() in _BOOKED}
        if booked:
            found["status_of_booked"] = next(iter(sorted(booked)))
        else:
            found.pop("status")
    # Where two ways fit all days (03/04/2026), a person says which one it is.
    ways = [each for each in DATE_FORMATS if days and all(_day_of(day, each) for day in days)]
    ways = [each for each in ways if each.replace("%B", "%b") not in ways or each == each.replace("%B", "%b")]
    return CsvLayout(
        date_format=ways[0] if len(ways) == 1 else "",
        decimal_mark=_decimal_mark(amounts),
        **{"booked_on": "", **found},
    )


def _decimal_mark(amounts: Sequence[str]) -> str:
    """The mark before the last digits of these amounts, where they leave no doubt; else nothing, and a person says."""
    marks = Counter(found[1] for each in amounts if (found := re.search(r"([.,])[0-9]{1,2}\D*$", each)))
    return next(iter(marks)) if len(marks) == 1 else ""
