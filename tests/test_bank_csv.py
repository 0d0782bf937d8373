"""CSV as banks really write it: each shape is read to the minor unit, or refused with its line."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from invoices.statements.formats.csv_file import (
    CsvLayout,
    NeedsLayout,
    amount_of,
    sign_of_debits,
    suggested,
    table_of,
)
from invoices.statements.formats.parsed import BadStatement, ParsedStatement, difference
from invoices.statements.formats.read import read

OURS = "DE02120300000000202051"
UK = CsvLayout(
    date_format="%d/%m/%Y", decimal_mark=".", booked_on="Date", credit="Paid in", debit="Paid out", balance="Balance",
    text=("Description",), account="GB33BUKB20201555555555", currency="gbp",
)  # fmt: skip
SIGNED = CsvLayout(
    date_format="%Y-%m-%d", decimal_mark=".", booked_on="Date", amount="Amount", text=("Text",), account="1",
    currency="usd",
)  # fmt: skip


def only(content: str, layout: CsvLayout) -> ParsedStatement:
    (found,) = read(content.encode(), lambda table: layout)
    assert not difference(found)
    return found


def refused(content: str, layout: CsvLayout) -> BadStatement:
    with pytest.raises(BadStatement) as error:
        read(content.encode(), lambda table: layout)
    return error.value


def amounts(content: str, layout: CsvLayout) -> list[int]:
    return [each.amount for each in only(content, layout).lines]


def test_a_british_bank_newest_first_with_a_balance_brought_forward() -> None:
    content = (
        "Date,Description,Paid in,Paid out,Balance\n"
        "03/11/2026,RENT,,99.00,1135.56\n"
        '02/11/2026,"ACME, INVOICE 1","1,234.56",,"1,234.56"\n'
        "01/11/2026,BALANCE BROUGHT FORWARD,,,0.00\n"
    )
    found = only(content, UK)
    assert [(each.amount, each.number) for each in found.lines] == [(-9_900, 2), (123_456, 3)]
    assert (found.opening, found.closing) == (0, 113_556)


@pytest.mark.parametrize(
    ("credit", "debit", "wanted"),
    [
        ("5.00", "", [500]),
        ("-5.00", "", [-500]),  # a credit that was taken back
        ("", "5.00", [-500]),
        ("", "-5.00", [-500]),  # the bank writes a minus before its debits
        ("0.00", "5.00", [-500]),
        ("5.00", "0.00", [500]),
    ],
)
def test_signs_in_columns_of_their_own(credit: str, debit: str, wanted: list[int]) -> None:
    layout = replace(UK, balance="")
    assert amounts(f"Date,Description,Paid in,Paid out\n01/11/2026,A,{credit},{debit}\n", layout) == wanted


@pytest.mark.parametrize("debits", [("5.00", "-5.00"), ("-5.00", "5.00"), ("(5.00)", "5.00"), ("5.00", "5.00 DR")])
def test_a_column_of_debits_with_both_signs_is_refused(debits: tuple[str, str]) -> None:
    """One was taken back, and which one followed from the other lines of the file."""
    rows = "".join(f"0{number}/11/2026,A,,{debit}\n" for number, debit in enumerate(debits, 1))
    assert refused(f"Date,Description,Paid in,Paid out\n{rows}", replace(UK, balance="")).line == 3


@pytest.mark.parametrize(("debit", "debits"), [("5.00", "minus"), ("-5.00", "plus")])
def test_debits_are_written_as_in_the_file_by_which_the_columns_were_said(debit: str, debits: str) -> None:
    """A file whose only debit was taken back has the sign of the others turned."""
    content = f"Date,Description,Paid in,Paid out\n01/11/2026,A,,{debit}\n"
    assert "another sign" in refused(content, replace(UK, balance="", debits=debits)).sentence
    layout = replace(UK, balance="", debits=sign_of_debits(table_of(content.encode()), UK))
    assert amounts(content, layout) == [-500]


VOLKSBANK = (
    "Buchungstag;Empfänger;IBAN;Vorgang/Verwendungszweck;Währung;Umsatz;Soll/Haben\n"
    "20.11.2026;Mill Ltd;DE89370400440532013000;RE-2026-1001;EUR;119,00;H\n"
    "20.11.2026;Strom AG;DE89370400440532013000;Strom;EUR;50,00;S\n"
)
GERMAN = CsvLayout(
    date_format="%d.%m.%Y", decimal_mark=",", booked_on="Buchungstag", amount="Umsatz", sign="Soll/Haben",
    sign_of_debit="S", currency_column="Währung", payer_name="Empfänger", payer_account="IBAN",
    text=("Vorgang/Verwendungszweck",), account=OURS,
)  # fmt: skip


@pytest.mark.parametrize("day", ["20.11.2026", ""])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("Anfangssaldo", "Endsaldo"),
        ("Saldovortrag", "Neuer Kontostand"),
        ("Opening balance", "CLOSING BALANCE"),
        ("Saldo inicial", "Saldo final"),
        ("Ancien solde", "Nouveau solde au 20.11.2026"),
    ],
)
def test_lines_that_are_balances_are_no_credits_and_prove_the_others(day: str, opening: str, closing: str) -> None:
    before, behind = f"{day};;;{opening};EUR;1.000,00;S\n", f"{day};;;{closing};EUR;931,00;S\n"
    head, lines = VOLKSBANK.split("\n", 1)
    for content in (f"{VOLKSBANK}{before}{behind}", f"{head}\n{before}{lines}{behind}"):
        found = only(content, GERMAN)
        assert [each.amount for each in found.lines] == [11_900, -5_000]
        assert (found.opening, found.closing) == (-100_000, -93_100)


@pytest.mark.parametrize(
    "row",
    [
        "20.11.2026;;;Anfangssaldo;EUR;1.000,00;H",  # alone it proves nothing
        "20.11.2026;;;Endsaldo;EUR;1.069,00;H",
        "20.11.2026;;;Kontostand am 20.11.2026;EUR;1.069,00;H",
        "20.11.2026;;;Anfangssaldo;EUR;1.000,00;H\n20.11.2026;;;Endsaldo;EUR;1.068,00;H",
        "20.11.2026;;;Summe;EUR;69,00;H",
        "20.11.2026;;;Total Gutschriften;EUR;119,00;H",
    ],
)
def test_a_balance_that_does_not_tie_and_a_total_with_a_day_are_refused(row: str) -> None:
    assert refused(f"{VOLKSBANK}{row}\n", GERMAN).line == 4


@pytest.mark.parametrize("text", ["Saldo", "Total", "Endsaldo"])
def test_what_somebody_paid_is_no_balance_whatever_they_call_it(text: str) -> None:
    content = f"{VOLKSBANK}20.11.2026;Mill Ltd;;{text};EUR;5,00;H\n20.11.2026;;;{text} RE-1;EUR;6,00;H\n"
    assert amounts(content, GERMAN) == [11_900, -5_000, 500, 600]


@pytest.mark.parametrize(
    ("balances", "said"),
    [
        (("105.00", "", "118.00"), (10_000, 11_800)),
        (("", "112.00", "118.00"), (10_000, 11_800)),
        (("105.00", "", ""), None),  # the lines behind it may have come before
        (("105.00", "", "119.00"), 4),
        (("105.00", "113.00", ""), 3),
    ],
)
def test_balances_beside_some_lines_prove_those_between_them(balances: tuple[str, ...], said: Any) -> None:
    rows = zip(("5.00", "7.00", "6.00"), balances, strict=True)
    content = "Date,Description,Paid in,Paid out,Balance\n" + "".join(
        f"0{number}/11/2026,A,{amount},,{balance}\n" for number, (amount, balance) in enumerate(rows, 1)
    )
    if isinstance(said, int):
        assert refused(content, UK).line == said
    else:
        found = only(content, UK)
        assert (found.opening, found.closing) == (said or (None, None))


@pytest.mark.parametrize(
    "rows",
    [
        '20.11.2026;"Zwei;50,00;EUR\n20.11.2026;Drei";1,00;EUR\n',
        '20.11.2026;"Zwei;50,00;EUR\n21.12.2026;Drei;2,00;EUR\n20.11.2026;"";1,00;EUR\n',
        '20.11.2026;"Zwei;50,00;EUR\n;Drei";1,00;EUR\n',
    ],
)
def test_a_stray_quotation_mark_takes_no_line_for_a_text(rows: str) -> None:
    content = f'Datum;Text;Betrag;Währung\n20.11.2026;Mill 5" Rohr;119,00;EUR\n{rows}'
    layout = replace(
        GERMAN, booked_on="Datum", amount="Betrag", text=("Text",), sign="", payer_name="", payer_account=""
    )
    assert refused(content, layout).line == 3


def test_a_text_of_several_lines() -> None:
    content = (
        "Buchungstag;Umsatz;Währung;Vorgang\n"
        '20.11.2026;119,00;EUR;"Rechnung RE-2026-10\n01 und ""mehr""; danke;\nvom 20.11.2026"\n20.11.2026;-1,00;EUR;x\n'
    )
    layout = replace(GERMAN, text=("Vorgang",), sign="", payer_name="", payer_account="")
    found = only(content, layout)
    assert [(each.amount, each.number) for each in found.lines] == [(11_900, 2), (-100, 5)]
    assert found.lines[0].text == 'Rechnung RE-2026-10 01 und "mehr"; danke; vom 20.11.2026'


@pytest.mark.parametrize("lines", [1, 40])
def test_one_comma_in_each_amount_is_no_mark_between_columns(lines: int) -> None:
    """comdirect: each line has one comma, and the lines above and below the table have fewer semicolons."""
    content = (
        ';\n"Umsätze Girokonto";"Zeitraum: 30 Tage";\n"Neuer Kontostand";"1.069,00 EUR";\n\n'
        '"Buchungstag";"Wertstellung (Valuta)";"Vorgang";"Buchungstext";"Umsatz in EUR";\n'
        + '"20.11.2026";"20.11.2026";"Übertrag";" Auftraggeber: Mill Ltd Buchungstext: RE-1 Ref. 8K1234/1";"119,00";\n'
        * lines
        + '\n"Alter Kontostand";"1.000,00 EUR";\n'
    )
    layout = replace(
        GERMAN, amount="Umsatz in EUR", currency_column="", currency="eur", text=("Buchungstext",), sign="",
        payer_name="", payer_account="",
    )  # fmt: skip
    assert amounts(content, layout) == [11_900] * lines


def test_a_name_in_place_of_an_amount_below_the_lines_is_no_amount() -> None:
    content = "Date,Text,Amount,Saldo\n2026-11-02,A,5.00,15.00\n,,#Saldo końcowe,15.00\n"
    assert amounts(content, replace(SIGNED, balance="Saldo")) == [500]


@pytest.mark.parametrize(("word", "line"), [("H", 0), ("", 3), ("X", 3)])
def test_a_word_that_says_neither_credit_nor_debit(word: str, line: int) -> None:
    """Each word but that of a debit was a credit."""
    layout = replace(SIGNED, sign="S/H", sign_of_debit="S")
    content = f"Date,Text,Amount,S/H\n2026-11-01,A,5.00,H\n2026-11-02,B,6.00,{word}\n2026-11-03,C,7.00,S\n"
    if line:
        assert refused(content, layout).line == line
    else:
        assert amounts(content, layout) == [500, 600, -700]


def test_a_credit_below_zero_is_no_credit() -> None:
    layout = replace(SIGNED, sign="S/H", sign_of_debit="S")
    assert refused("Date,Text,Amount,S/H\n2026-11-01,A,-5.00,H\n", layout).line == 2


@pytest.mark.parametrize(
    ("written", "format"),
    [
        ("2026-11-02 10:22:33", "%Y-%m-%d"),
        ("2026-11-02T10:22:33Z", "%Y-%m-%d"),
        ("02.11.2026 10:22", "%d.%m.%Y"),
        ("2 Nov 2026", "%d %b %Y"),
        ("02-Nov-2026", "%d-%b-%Y"),
        ("11/02/26", "%m/%d/%y"),
        ("2026/11/02", "%Y/%m/%d"),
        ("11-02-2026", "%m-%d-%Y"),
        ('"Nov 2, 2026"', "%b %d, %Y"),
    ],
)
def test_days_as_banks_write_them(written: str, format: str) -> None:
    found = only(f"Date,Text,Amount\n{written},A,5.00\n", replace(SIGNED, date_format=format))
    assert found.lines[0].booked_on == date(2026, 11, 2)


@pytest.mark.parametrize(
    ("days", "format"),
    [
        (("02/11/2026", "03/11/2026"), ""),  # of which month
        (("02/11/2026", "13/11/2026"), "%d/%m/%Y"),
        (("11/02/2026", "11/13/2026"), "%m/%d/%Y"),
        (("2 May 2026", "3 May 2026"), "%d %b %Y"),
        (("02.11.26",), "%d.%m.%y"),
    ],
)
def test_only_a_way_that_leaves_no_doubt_is_suggested(days: tuple[str, ...], format: str) -> None:
    table = table_of(("Date,Text,Amount\n" + "".join(f"{day},A,5.00\n" for day in days)).encode())
    assert suggested(table).date_format == format


def test_a_label_that_comes_twice() -> None:
    content = (
        "Umsatzanzeige;Datei erstellt am: 03.11.2026 08:00\r\n\r\nIBAN;DE02 1203 0000 0000 2020 51\r\n\r\n"
        "Buchung;Wertstellungsdatum;Auftraggeber/Empfänger;Buchungstext;Verwendungszweck;Saldo;Währung;Betrag;Währung\r\n"
        "02.11.2026;02.11.2026;Acme GmbH;Gutschrift;RE-1;1.234,50;EUR;1.190,00;EUR\r\n"
    )
    with pytest.raises(NeedsLayout) as needs:
        read(content.encode("cp1252"), lambda table: None)
    assert needs.value.table.labels[-1] == "Währung (2)" and needs.value.table.account == OURS
    found = only(content, replace(needs.value.suggested, balance="Saldo", payer_name="Auftraggeber/Empfänger"))
    assert (found.account, found.opening, found.lines[0].amount) == (OURS, 4_450, 119_000)


@pytest.mark.parametrize(
    "content",
    [
        "Date;Text;Amount\n2026-11-02;A;5.00;\n2026-11-03;B;6.00;\n",  # separators behind the lines
        "Date;Text;Amount;;;\n2026-11-02;A;5.00;;;\n2026-11-03;B;6.00;;;\n",
        "sep=;\nDate;Text;Amount\n2026-11-02;A;5.00\n2026-11-03;B;6.00\n",
        "Date\tText\tAmount\n2026-11-02\tA\t5.00\n2026-11-03\tB\t6.00\n",
        "Date|Text|Amount\n2026-11-02|A|5.00\n2026-11-03|B|6.00\n",
        "Date;Text;Amount\n2026-11-02;A;5.00\n2026-11-03;B;6.00\n\nDisclaimer:\nThis is not a document of the bank\n",
        "Date;Text;Amount\n2026-11-02;A;5.00\n2026-11-03;B;6.00\n;Total;11.00\n",
        "Date;Text;Amount\n2026-11-02;A;5.00\n2026-11-03;B;6.00\nTotal of 2 lines;;\n",
        'Date;Text;Amount\n2026-11-02;"A\nand more";5.00\n2026-11-03;B;6.00\n',
    ],
)
def test_frames_of_every_kind(content: str) -> None:
    assert amounts(content, SIGNED) == [500, 600]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("Date;Text;Amount\n2026-11-02;A;5.00\n;B;6.00\n", 3),  # no total: it would be lost
        ("Date;Text;Amount\n2026-11-02;A;5.00\n2026-11-03;B;\n", 3),
        ("Date;Text;Amount\n2026-11-02;A;5.00\n2026-11-03;B\n", 3),
        ("Date;Text;Amount\n2026-11-02;A;5.00\npending;B;6.00\n", 3),
        ('Date;Text;Amount\n2026-11-02;"A;5.00\n2026-11-03;"B";6.00\n', 2),  # the mark takes the next line with it
        ('Date;Text;Amount\n2026-11-02;"A";5.00\n2026-11-03;"B;6.00\n', 3),
        ('Date;Text;Amount\n2026-11-02;"A\nA";5.00\n2026-11-03;B;x\n', 4),
    ],
)
def test_what_could_lose_a_line_is_refused_with_it(content: str, line: int) -> None:
    assert refused(content, SIGNED).line == line


def test_lines_within_a_day_in_the_other_order() -> None:
    content = (
        "Date,Description,Paid in,Paid out,Balance\n"
        "03/11/2026,C,1.00,,8.00\n03/11/2026,D,,2.00,6.00\n02/11/2026,A,5.00,,5.00\n02/11/2026,B,2.00,,7.00\n"
    )
    assert (only(content, UK).opening, only(content, UK).closing) == (0, 600)


REVOLUT = (
    "Type,Product,Started Date,Completed Date,Description,Amount,Fee,Currency,State,Balance\n"
    "TOPUP,Current,2026-11-01 10:00:00,2026-11-01 10:00:05,Acme,100.00,0.00,EUR,COMPLETED,100.00\n"
    "TRANSFER,Current,2026-11-02 10:00:00,2026-11-02 10:00:05,To B,-10.00,0.50,EUR,COMPLETED,89.50\n"
    "TOPUP,Current,2026-11-02 11:00:00,,Acme,70.00,0.00,EUR,PENDING,\n"
    "TOPUP,Current,2026-11-02 12:00:00,2026-11-02 12:00:05,Acme,30.00,0.00,USD,COMPLETED,30.00\n"
    "TOPUP,Current,2026-11-02 13:00:00,2026-11-02 13:00:05,Acme,80.00,0.00,EUR,REVERTED,\n"
)


def test_fees_currencies_and_what_is_pending() -> None:
    with pytest.raises(NeedsLayout) as needs:
        read(REVOLUT.encode(), lambda table: None)
    layout = replace(needs.value.suggested, account="R1")
    assert (layout.status, layout.status_of_booked, layout.fee) == ("State", "COMPLETED", "Fee")
    found = {each.currency: each for each in read(REVOLUT.encode(), lambda table: layout)}
    assert [each.amount for each in found["eur"].lines] == [10_000, -1_000, -50]
    assert [each.amount for each in found["usd"].lines] == [3_000]
    assert all(difference(each) == 0 for each in found.values())


def test_a_file_without_labels() -> None:
    for content in ("2026-11-02,A,5.00\n2026-11-03,B,6.00\n", "2 Nov 2026,Acme,GBP 5.00\n3 Nov 2026,Acme,GBP 6.00\n"):
        assert "neither" in refused(content, SIGNED).sentence


@pytest.mark.parametrize(
    ("written", "mark", "currency", "minor"),
    [
        ("1,23,456.78", ".", "inr", 12_345_678),
        ("12,34,567", ".", "inr", 123_456_700),
        ("1,234.56 CR", ".", "gbp", 123_456),
        ("1,234.56Dr", ".", "gbp", -123_456),
        (".50", ".", "usd", 50),
        ("-.50", ".", "usd", -50),
        ("-£12.00", ".", "gbp", -1_200),
        ("£-12.00", ".", "gbp", -1_200),
        ("($12.00)", ".", "usd", -1_200),
        ("$(12.00)", ".", "usd", -1_200),
        ("US$1,200.00", ".", "usd", 120_000),
        ("-EUR 9,50", ",", "eur", -950),
        ("9,50 EUR-", ",", "eur", -950),
        ("1’234.50", ".", "chf", 123_450),
        ("1 500", ",", "jpy", 1_500),
        ("1.234", ".", "bhd", 1_234),
        ("1.234", ",", "bhd", 1_234_000),
        ("12,00 -", ",", "eur", -1_200),
        ("100,00 zł", ",", "pln", 10_000),
    ],
)
def test_amounts_of_many_countries(written: str, mark: str, currency: str, minor: int) -> None:
    assert amount_of(written, mark, currency, 1) == minor


@pytest.mark.parametrize(
    ("written", "mark"),
    [("1,23,45.00", "."), ("1.23.456,00", ","), ("12,3456", "."), (".", "."), ("-", "."), ("-5.00 DR", "."),
     ("5 CR DR", ".")],
)  # fmt: skip
def test_amounts_that_are_none(written: str, mark: str) -> None:
    with pytest.raises(BadStatement):
        amount_of(written, mark, "inr", 7)


def test_yen_have_no_decimals() -> None:
    layout: Any = replace(SIGNED, currency="jpy")
    assert amounts("Date;Text;Amount\n2026-11-02;A;1,500\n", layout) == [1_500]
    assert refused("Date;Text;Amount\n2026-11-02;A;1500.50\n", layout).line == 2
