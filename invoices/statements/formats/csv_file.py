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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from invoices import money
from invoices.statements.formats.parsed import MAX_LINES, BadStatement, Line, ParsedStatement
from invoices.statements.formats.references import account_number, joined, reference

DELIMITERS = (";", ",", "\t", "|")
DECIMAL_MARKS = (",", ".")
DATE_FORMATS = ("%d.%m.%Y", "%d.%m.%y", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y%m%d", "%d/%m/%y")
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
LONGEST_PREAMBLE = 30  # lines before the labels of the columns
SAMPLE_ROWS = 5
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
    account: str = ""  # where no column has it

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
            *(self.bank_reference, self.balance, self.account_column),
        )
        return {*filter(None, single), *self.text}


@dataclass(frozen=True)
class Table:
    """A CSV file as rows of texts, below the labels of its columns. Rows carry the number of their line."""

    labels: tuple[str, ...]
    rows: list[tuple[int, list[str]]]

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
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num, [cell.strip() for cell in row]))
            if len(rows) > MAX_LINES + LONGEST_PREAMBLE:
                message = _("The file has more than {limit} lines. Ask the bank for a shorter period.")
                raise BadStatement(message.format(limit=f"{MAX_LINES:,}"))
    except csv.Error as error:
        raise BadStatement(_("This line cannot be read as CSV."), reader.line_num) from error
    place = _place_of_labels(rows)
    if place is None:
        raise BadStatement(_("This is neither camt.053, camt.054, MT940 nor CSV. Ask the bank for one of these."))
    return Table(tuple(rows[place][1]), rows[place + 1 :])


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
    """The mark that stands equally often in most lines."""
    lines = [line for line in text.splitlines() if line.strip()][: LONGEST_PREAMBLE * 4]

    def agreement(mark: str) -> tuple[int, int]:
        counts = Counter(len(next(csv.reader([line], delimiter=mark), [])) for line in lines)
        columns, number = max(
            ((each, counts[each]) for each in counts if each > 1), key=lambda it: it[1], default=(1, 0)
        )
        return number, columns

    return max(DELIMITERS, key=agreement)


def _place_of_labels(rows: Sequence[tuple[int, list[str]]]) -> int | None:
    """The first row as wide as most rows, whose cells are all labels: none is a number or a day, none comes twice."""
    widths = Counter(len(row) for _number, row in rows)
    usual = max((width for width in widths if width >= 3), key=lambda width: widths[width], default=0)
    for place, (_number, row) in enumerate(rows[: LONGEST_PREAMBLE + 1]):
        named = [cell for cell in row if cell]
        is_label = len(named) >= 3 and not any(_looks_like_value(cell) for cell in named)
        if len(row) >= usual > 0 and is_label and len(set(named)) == len(named):
            return place
    return None


def _looks_like_value(cell: str) -> bool:
    return not any(letter.isalpha() for letter in cell)


def read(content: bytes, layout: CsvLayout) -> list[ParsedStatement]:
    """The statement of a file with this layout. Raises BadStatement."""
    return read_table(table_of(content), layout)


def read_table(table: Table, layout: CsvLayout) -> list[ParsedStatement]:
    """The statements of a table: one for each account. Raises BadStatement."""
    if missing := sorted(layout.columns() - set(table.labels)):
        raise BadStatement(_("The file has no column “{label}”.").format(label=missing[0]))
    place = {label: number for number, label in enumerate(table.labels)}
    of_account: dict[tuple[str, str], list[tuple[Line, int | None]]] = {}
    width = max(place[label] for label in layout.columns()) + 1
    for number, row in table.rows:
        cells = _Cells(number, row, place, layout)
        if not cells("booked_on") and not any(cells(name) for name in ("amount", "credit", "debit")):
            continue  # a line of totals or of notes
        if len(row) < width:
            raise BadStatement(_("This line has fewer columns than the labels."), number)
        account = account_number(cells("account_column") or layout.account)
        currency = (cells("currency_column") or layout.currency).lower()
        if not account or len(currency) != 3 or not currency.isalpha() or not currency.isascii():
            raise BadStatement(_("This line has no account or no currency."), number)
        line = cells.line(currency)
        balance = cells.amount("balance", currency) if cells("balance") else None
        of_account.setdefault((account, currency), []).append((line, balance))
    if not of_account:
        raise BadStatement(_("There is no statement in this file."))
    return [_statement(account, currency, rows) for (account, currency), rows in of_account.items()]


def _statement(account: str, currency: str, rows: list[tuple[Line, int | None]]) -> ParsedStatement:
    """Balances follow from those beside the lines; each must follow from the one before. Lines come oldest or newest
    first."""
    lines = [line for line, _balance in rows]
    opening = closing = None
    if all(balance is not None for _line, balance in rows):
        balances: list[int] = [balance for _line, balance in rows if balance is not None]
        forwards, backwards = _first_break(lines, balances), _first_break(lines[::-1], balances[::-1])
        if forwards is None:
            opening, closing = balances[0] - lines[0].amount, balances[-1]
        elif backwards is None:
            opening, closing = balances[-1] - lines[-1].amount, balances[0]
        else:
            message = _(
                "The balance of this line does not follow from the one before. Ask the bank for the whole file."
            )
            raise BadStatement(message, forwards)
    days = [line.booked_on for line in lines]
    return ParsedStatement(
        format="CSV",
        account=account,
        currency=currency,
        number="",
        begins_on=min(days),
        ends_on=max(days),
        opening=opening,
        closing=closing,
        lines=tuple(lines),
    )


def _first_break(lines: Sequence[Line], balances: Sequence[int]) -> int | None:
    """The line whose balance does not follow from the one before; None where all do."""
    for place in range(1, len(lines)):
        if balances[place - 1] + lines[place].amount != balances[place]:
            return lines[place].number
    return None


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

    def line(self, currency: str) -> Line:
        booked = self.day("booked_on")
        return Line(
            number=self.number,
            booked_on=booked,
            valued_on=self.day("valued_on") if self("valued_on") else None,
            amount=self._signed(currency),
            currency=currency,
            bank_reference=reference(self("bank_reference")),
            end_to_end_id=reference(self("end_to_end_id")),
            payer_name=joined([self("payer_name")]),
            payer_account=account_number(self("payer_account")),
            text=joined(self._cell(label) for label in self.layout.text),
            structured_reference=reference(self("structured_reference")),
        )

    def _signed(self, currency: str) -> int:
        layout = self.layout
        if not layout.amount:
            credit = self.amount("credit", currency) if self("credit") else 0
            debit = self.amount("debit", currency) if self("debit") else 0
            if credit and debit:
                raise BadStatement(_("This line has both a credit and a debit."), self.number)
            return abs(credit) - abs(debit)
        amount = self.amount("amount", currency)
        if not layout.sign:
            return amount
        is_debit = self("sign").casefold() == layout.sign_of_debit.casefold()
        return -abs(amount) if is_debit else abs(amount)

    def amount(self, name: str, currency: str) -> int:
        """Minor units. Raises BadStatement for anything that the layout does not say how to read."""
        return amount_of(self(name), self.layout.decimal_mark, currency, self.number)

    def day(self, name: str) -> date:
        written = self(name)
        try:
            return datetime.strptime(written, self.layout.date_format).date()
        except ValueError:
            message = _("“{day}” is no date of the kind that was chosen.")
            raise BadStatement(message.format(day=written[:40]), self.number) from None


def amount_of(written: str, decimal_mark: str, currency: str, line: int) -> int:
    """Minor units of an amount as a bank writes it: `-1.234,56`, `1 234,56 EUR`, `(12.00)`, `12,00-`, `+9,50`. Raises
    BadStatement."""
    wrong = BadStatement(
        _("“{amount}” is no amount with “{mark}” for decimals.").format(amount=written[:40], mark=decimal_mark), line
    )
    plain = written.strip().replace("\u2212", "-")
    plain = re.sub(
        rf"^{re.escape(currency)}\s*|\s*{re.escape(currency)}$|[€$£]", "", plain, flags=re.IGNORECASE
    ).strip()
    negative = False
    if plain.startswith("(") and plain.endswith(")"):
        negative, plain = True, plain[1:-1]
    if plain[-1:] in "+-" and plain[:1] not in "+-":
        plain = plain[-1:] + plain[:-1]
    if plain[:1] in ("-", "+"):
        negative, plain = negative != (plain[0] == "-"), plain[1:].strip()
    other = "." if decimal_mark == "," else ","
    whole, mark, decimals = plain.partition(decimal_mark)
    # Digits stand together, or in threes.
    grouped = re.fullmatch(rf"[0-9]+|[0-9]{{1,3}}([{re.escape(other + GROUPING)}][0-9]{{3}})+", whole)
    if not grouped or (mark and not re.fullmatch("[0-9]+", decimals)):
        raise wrong
    if len({each for each in whole if not each.isdigit()}) > 1:
        raise wrong
    digits = "".join(each for each in whole if each.isdigit())
    minor = Decimal(f"{digits}.{decimals or 0}").scaleb(money.exponent(currency))
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
    "account_column": ("auftragskonto", "iban auftragskonto", "rekening", "iban/bban", "account"),
}  # fmt: skip
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
    return CsvLayout(
        date_format=next((each for each in DATE_FORMATS if days and all(_is_day(day, each) for day in days)), ""),
        decimal_mark=_decimal_mark(amounts),
        **{"booked_on": "", **found},
    )


def _is_day(written: str, format: str) -> bool:
    try:
        datetime.strptime(written, format)
    except ValueError:
        return False
    return True


def _decimal_mark(amounts: Sequence[str]) -> str:
    """The mark before the last digits of these amounts, where they leave no doubt; else nothing, and a person says."""
    marks = Counter(found[1] for each in amounts if (found := re.search(r"([.,])[0-9]{1,2}\D*$", each)))
    return next(iter(marks)) if len(marks) == 1 else ""
