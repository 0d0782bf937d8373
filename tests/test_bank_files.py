"""Files of banks: what they say is what is read, and what cannot be read is refused with its line."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invoices.statements.formats import camt, csv_file, mt940
from invoices.statements.formats.csv_file import CsvLayout, NeedsLayout, amount_of
from invoices.statements.formats.parsed import BadStatement, Line, ParsedStatement, difference
from invoices.statements.formats.read import read as read_with
from tests.helpers import bank_files

ACCOUNT = "DE02120300000000202051"
PAYER = "DE89370400440532013000"
DAY = date(2026, 11, 2)


def line(amount: int = 119_000, text: str = "Invoice A1B2C3D4-0012", **more: Any) -> Line:
    given: dict[str, Any] = {
        "valued_on": DAY,
        "bank_reference": "2026110212345",
        "end_to_end_id": "E2E-77",
        "payer_name": "Acme GmbH",
    }
    given |= {"payer_account": PAYER, **more}
    return Line(number=1, booked_on=DAY, amount=amount, currency="eur", text=text, **given)


def read(content: bytes, layout: CsvLayout | None = None) -> list[ParsedStatement]:
    return read_with(content, lambda table: layout)


def only(content: bytes, layout: CsvLayout | None = None) -> ParsedStatement:
    (found,) = read(content, layout)
    return found


def refused(content: bytes, layout: CsvLayout | None = None) -> BadStatement:
    with pytest.raises(BadStatement) as error:
        read(content, layout)
    return error.value


def same(one: Line, other: Line, *names: str) -> bool:
    names = names or (
        *("booked_on", "valued_on", "amount", "currency", "bank_reference", "end_to_end_id", "payer_name"),
        *("payer_account", "text"),
    )
    return all(getattr(one, name) == getattr(other, name) for name in names)


class TestCamt:
    def test_what_a_bank_wrote_is_read(self) -> None:
        wanted = line(structured_reference="RF18539007547034")
        found = only(bank_files.camt053(ACCOUNT, "eur", 100_000, [wanted, line(-5_000, "Rent")]))
        assert (found.format, found.account, found.currency) == ("camt.053", ACCOUNT, "eur")
        assert (found.opening, found.closing, found.number) == (100_000, 214_000, "2026-211")
        assert difference(found) == 0 and (found.begins_on, found.ends_on) == (DAY, DAY)
        assert same(found.lines[0], wanted) and found.lines[0].structured_reference == "RF18539007547034"
        assert found.lines[1].amount == -5_000

    def test_a_notification_has_no_balances(self) -> None:
        found = only(bank_files.camt054(ACCOUNT, "eur", [line()]))
        assert (found.format, found.opening, found.closing) == ("camt.054", None, None)
        assert difference(found) is None

    def test_a_negative_opening_balance(self) -> None:
        found = only(bank_files.camt053(ACCOUNT, "eur", -50_000, [line()]))
        assert (found.opening, found.closing) == (-50_000, 69_000)

    @pytest.mark.parametrize("version", ["001.02", "001.04", "001.06", "001.13"])
    def test_every_version(self, version: str) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line()]).replace(b"001.08", version.encode())
        content = content.replace(b"<Sts><Cd>BOOK</Cd></Sts>", b"<Sts>BOOK</Sts>")
        assert only(content).lines[0].amount == 119_000

    def test_what_is_pending_is_no_money(self) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line()]).replace(b"BOOK", b"PDNG")
        assert only(content).lines == ()

    def test_no_reference_is_none(self) -> None:
        found = only(bank_files.camt053(ACCOUNT, "eur", 0, [line(end_to_end_id="", bank_reference="NONREF")]))
        assert (found.lines[0].end_to_end_id, found.lines[0].bank_reference) == ("", "")

    def test_a_return_names_what_it_undoes(self) -> None:
        found = only(bank_files.camt053(ACCOUNT, "eur", 500_000, [line(-119_000, returns=("E2E-77",))]))
        assert "E2E-77" in found.lines[0].returns and found.lines[0].return_reason == "AC04"

    def test_a_batch_is_one_line_for_each_of_its_transactions(self) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line(30_000)]).decode()
        detail = (
            '<TxDtls><Refs><EndToEndId>E{0}</EndToEndId></Refs><Amt Ccy="EUR">{1}</Amt>'
            "<RmtInf><Ustrd>Invoice {0}</Ustrd></RmtInf></TxDtls>"
        )
        before, _tag, rest = content.partition("<NtryDtls>")
        after = rest.partition("</NtryDtls>")[2]
        both = f"{before}<NtryDtls>{detail.format(1, '100.00')}{detail.format(2, '200.00')}</NtryDtls>{after}"
        found = only(both.encode())
        assert [(each.amount, each.text, each.end_to_end_id) for each in found.lines] == [
            (10_000, "Invoice 1", "E1"),
            (20_000, "Invoice 2", "E2"),
        ]
        assert {each.bank_reference for each in found.lines} == {""}  # the entry's is not that of one of them
        short = both.replace("200.00", "150.00")  # parts that do not add up are no parts
        assert [each.amount for each in only(short.encode()).lines] == [30_000]

    def test_several_statements_in_one_file(self) -> None:
        one = bank_files.camt053(ACCOUNT, "eur", 0, [line()]).decode()
        statement = one[one.index("<Stmt>") : one.index("</Stmt>") + len("</Stmt>")]
        both = one.replace(statement, statement + statement.replace("2026-211", "2026-212"))
        assert [each.number for each in read(both.encode())] == ["2026-211", "2026-212"]

    @pytest.mark.parametrize(
        ("wrong", "right", "said"),
        [
            (b"1190.005", b"1190.00", "more decimals"),
            (b"1.190,00", b"1190.00", "no amount"),
            (b"-1190.00", b"1190.00", "no amount"),
            (b"NaN", b"1190.00", "no amount"),
            (b"1e9", b"1190.00", "no amount"),
            (b"2026-13-02", b"2026-11-02", "no date"),
            (b"BOTH", b"CRDT", "neither a credit nor a debit"),
            (b"<Id></Id><Ccy>", b"<Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>", "names no account"),
        ],
    )
    def test_what_is_wrong_is_refused_with_its_line(self, wrong: bytes, right: bytes, said: str) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line()])
        entry = (
            content.index(b"<Ntry>")
            if right not in (b"<Id>",) and content.find(right, content.index(b"<Ntry>")) > 0
            else 0
        )
        broken = content[:entry] + content[entry:].replace(right, wrong, 1)
        error = refused(broken)
        assert said in error.sentence and error.line

    def test_another_currency_than_the_accounts(self) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line()])
        place = content.index(b"<Ntry>")
        broken = content[:place] + content[place:].replace(b'Ccy="EUR"', b'Ccy="USD"')
        assert "more than one currency" in refused(broken).sentence

    @pytest.mark.parametrize(
        "head",
        [
            '<!DOCTYPE a [<!ENTITY x "y">]>',
            '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
        ],
    )
    def test_entities_are_refused(self, head: str) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line(text="XXXX")]).decode()
        content = content.replace("?>\n", f"?>\n{head}\n", 1).replace("XXXX", "&x;" if "x " in head else "XXXX")
        assert "document type" in refused(content.encode()).sentence

    @pytest.mark.parametrize("cut", [200, 900, -20])
    def test_a_file_that_breaks_off(self, cut: int) -> None:
        error = refused(bank_files.camt053(ACCOUNT, "eur", 0, [line()])[:cut])
        assert "no complete XML" in error.sentence and error.line

    def test_other_xml(self) -> None:
        assert "neither camt.053 nor camt.054" in refused(b"<html><body>Sign in</body></html>").sentence

    def test_deep_nesting(self) -> None:
        assert refused(b"<a>" * 100_000)

    def test_utf_16(self) -> None:
        content = bank_files.camt053(ACCOUNT, "eur", 0, [line(text="Müller")]).decode()
        assert only(content.replace("UTF-8", "UTF-16").encode("utf-16")).lines[0].text == "Müller"


class TestMt940:
    def test_what_a_bank_wrote_is_read(self) -> None:
        wanted = line(text="Rechnung A1B2C3D4-0012 vom 02.10.2026 Danke")
        found = only(bank_files.mt940(ACCOUNT, "eur", 100_000, [wanted, line(-5_000, "Miete")]))
        assert (found.format, found.account, found.currency) == ("MT940", ACCOUNT, "eur")
        assert (found.opening, found.closing) == (100_000, 214_000) and difference(found) == 0
        assert same(found.lines[0], wanted) and found.lines[0].number == 5
        assert found.lines[1].amount == -5_000

    def test_a_return(self) -> None:
        found = only(bank_files.mt940(ACCOUNT, "eur", 500_000, [line(-119_000, returns=("E2E-77",))]))
        assert found.lines[0].amount == -119_000 and "E2E-77" in found.lines[0].returns

    def test_swift_headers_and_code_page(self) -> None:
        content = bank_files.mt940(ACCOUNT, "eur", 0, [line(text="Grüße")]).decode()
        wrapped = "{1:F01BANKDEFFXXXX0000000000}{2:I940BANKDEFFXXXXN}{4:\r\n" + content + "}"
        assert only(wrapped.encode("cp1252")).lines[0].text == "Grüße"

    def test_pages_of_one_statement_are_one(self) -> None:
        first = bank_files.mt940(ACCOUNT, "eur", 100_000, [line()], number="211/1").replace(b":62F:", b":62M:")
        second = bank_files.mt940(ACCOUNT, "eur", 219_000, [line(bank_reference="B2")], number="211/2")
        found = only(first + b"\r\n" + second.replace(b":60F:", b":60M:"))
        assert (found.opening, found.closing, len(found.lines)) == (100_000, 338_000, 2) and difference(found) == 0

    def test_the_year_of_a_booking_across_new_year(self) -> None:
        content = bank_files.mt940(ACCOUNT, "eur", 0, [line(valued_on=date(2026, 12, 31))])
        content = content.replace(b"2612311102", b"2612310102")
        assert only(content).lines[0].booked_on == date(2027, 1, 2)

    def test_the_dutch_way(self) -> None:
        content = (
            b":20:940S260502\r\n:25:NL12RABO0123456789 EUR\r\n:28C:26122\r\n:60F:C260501EUR1000,00\r\n"
            b":61:260502C119,00N541EREF//0000000123\r\n:86:/EREF/E2E-77/ORDP//NAME/Acme B.V./REMI/Factuur A1B2-0012\r\n"
            b"/IBAN/NL91ABNA0417164300/BIC/ABNANL2A\r\n:62F:C260502EUR1119,00\r\n"
        )
        (found,) = only(content).lines
        assert (found.payer_name, found.payer_account) == ("Acme B.V.", "NL91ABNA0417164300")
        assert (found.text, found.end_to_end_id) == ("Factuur A1B2-0012", "E2E-77")

    def test_a_line_that_cannot_be_read_is_named(self) -> None:
        content = bank_files.mt940(ACCOUNT, "eur", 0, [line(), line()]).replace(b":61:261102", b":61:2611XX", 1)
        error = refused(content)
        assert error.line == 5 and "MT940" in error.sentence

    def test_more_decimals_than_the_currency_has(self) -> None:
        content = bank_files.mt940(ACCOUNT, "eur", 0, [line()]).replace(b"C1190,00NTRF", b"C1190,005NTRF")
        assert "more decimals" in refused(content).sentence

    def test_without_a_balance(self) -> None:
        content = b"".join(
            each
            for each in bank_files.mt940(ACCOUNT, "eur", 0, [line()]).splitlines(keepends=True)
            if not each.startswith((b":60F:", b":62F:"))
        )
        assert "no balance" in refused(content).sentence


LAYOUT = CsvLayout(
    date_format="%d.%m.%Y",
    decimal_mark=",",
    booked_on="Buchungstag",
    valued_on="Valutadatum",
    amount="Betrag",
    currency_column="Währung",
    payer_name="Name Zahlungsbeteiligter",
    payer_account="IBAN Zahlungsbeteiligter",
    text=("Verwendungszweck",),
    balance="Saldo nach Buchung",
    account_column="Auftragskonto",
)


class TestCsv:
    def test_what_a_bank_wrote_is_read_once_somebody_said_how(self) -> None:
        wanted = line(bank_reference="", end_to_end_id="")
        content = bank_files.csv_bytes(ACCOUNT, [wanted, line(-5_000, "Miete")], opening=100_000)
        with pytest.raises(NeedsLayout) as needs:
            read(content)
        assert needs.value.suggested == LAYOUT
        found = only(content, LAYOUT)
        assert (found.account, found.opening, found.closing) == (ACCOUNT, 100_000, 214_000) and difference(found) == 0
        assert same(found.lines[0], wanted) and found.lines[0].number == 2

    def test_newest_first(self) -> None:
        lines = bank_files.csv_bytes(ACCOUNT, [line(), line(5_000), line(-700)], opening=100).decode().splitlines()
        found = only("\r\n".join([lines[0], *lines[:0:-1]]).encode(), LAYOUT)
        assert (found.opening, found.closing) == (100, 123_400)

    def test_a_line_that_is_missing_is_found_by_the_balance(self) -> None:
        lines = bank_files.csv_bytes(ACCOUNT, [line(), line(5_000), line(-700)], opening=100).decode().splitlines()
        error = refused("\r\n".join([*lines[:2], lines[3]]).encode(), LAYOUT)
        assert "does not follow" in error.sentence and error.line == 3

    def test_a_decimal_comma_is_no_thousands_mark(self) -> None:
        content = bank_files.csv_bytes(ACCOUNT, [line(950)])
        assert only(content, replace(LAYOUT, balance="")).lines[0].amount == 950
        assert "no amount with “.”" in refused(content, replace(LAYOUT, decimal_mark=".", balance="")).sentence

    def test_a_preamble_a_total_and_empty_lines(self) -> None:
        content = bank_files.csv_bytes(ACCOUNT, [line()], opening=0).decode()
        framed = f"Umsätze\r\n\r\nKonto;{ACCOUNT}\r\n\r\n{content}\r\n;;;Summe;;;;;\r\n"
        assert len(only(framed.encode("cp1252"), LAYOUT).lines) == 1

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_every_encoding(self, encoding: str) -> None:
        content = bank_files.csv_bytes(ACCOUNT, [line(text="Größe")], encoding=encoding)
        assert only(content, LAYOUT).lines[0].text == "Größe"

    def test_credits_and_debits_in_columns_of_their_own(self) -> None:
        content = b'Date,Reference,Paid in,Paid out\r\n02/11/2026,Invoice 1,"1,234.56",\r\n03/11/2026,Rent,,99.00\r\n'
        with pytest.raises(NeedsLayout) as needs:
            read(content)
        assert needs.value.suggested.date_format == ""  # 02/11 may be the second month
        layout = replace(needs.value.suggested, date_format="%d/%m/%Y", account="GB00", currency="gbp")
        assert [each.amount for each in only(content, layout).lines] == [123_456, -9_900]

    def test_a_column_tells_debits(self) -> None:
        content = "Datum;Naam / Omschrijving;Af Bij;Bedrag (EUR)\r\n20261102;Acme;Bij;9,50\r\n20261103;Rent;Af;8,00\r\n"
        with pytest.raises(NeedsLayout) as needs:
            read(content.encode())
        layout = replace(needs.value.suggested, account="NL00", currency="eur")
        assert [each.amount for each in only(content.encode(), layout).lines] == [950, -800]

    def test_a_day_of_another_kind_is_refused_with_its_line(self) -> None:
        error = refused(bank_files.csv_bytes(ACCOUNT, [line()], date_format="%m/%d/%Y"), LAYOUT)
        assert "no date of the kind" in error.sentence and error.line == 2

    def test_a_column_that_is_gone(self) -> None:
        content = bank_files.csv_bytes(ACCOUNT, [line()]).replace("Währung".encode(), b"Waehrung")
        assert "no column “Währung”" in refused(content, LAYOUT).sentence

    @pytest.mark.parametrize(
        "content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"hello", b"PK\x03\x04\x00\x00", b"1;2;3\n4;5;6\n"]
    )
    def test_what_is_no_statement(self, content: bytes) -> None:
        assert "neither" in refused(content).sentence

    def test_a_layout_is_kept_as_json(self) -> None:
        assert CsvLayout.from_json(LAYOUT.to_json()) == LAYOUT


@pytest.mark.parametrize(
    ("written", "mark", "amount"),
    [
        ("9,50", ",", 950),
        ("1.234,56", ",", 123_456),
        ("1 234,56", ",", 123_456),
        ("1\u202f234,56", ",", 123_456),
        ("1'234.50", ".", 123_450),
        ("-1.234,56", ",", -123_456),
        ("1.234,56-", ",", -123_456),
        ("\u22129,50", ",", -950),
        ("(12.00)", ".", -1_200),
        ("+9,5", ",", 950),
        ("9", ",", 900),
        ("EUR 9,50", ",", 950),
        ("9,50 €", ",", 950),
        ("1.234", ",", 123_400),
        ("0,00", ",", 0),
    ],
)
def test_amounts_as_banks_write_them(written: str, mark: str, amount: int) -> None:
    assert amount_of(written, mark, "eur", 1) == amount


@pytest.mark.parametrize(
    ("written", "mark"),
    [
        ("9,50", "."),
        ("9.50", ","),
        ("1.23,4", ","),
        ("1,234.56", ","),
        ("1.2345,6", ","),
        ("9,505", ","),
        ("", ","),
        ("-", ","),
        ("9,", ","),
        ("--9,50", ","),
        ("9,5,0", ","),
        ("٩,50", ","),
        ("1e5", ","),
        ("0x10", ","),
        ("1 2", ","),
        ("1.234 567,00", ","),
    ],
)
def test_amounts_that_could_be_read_in_two_ways_are_refused(written: str, mark: str) -> None:
    with pytest.raises(BadStatement):
        amount_of(written, mark, "eur", 7)


TEXTS = st.text(
    st.characters(codec="latin-1", categories=["L", "N", "P", "Zs"], exclude_characters='?+;"\u00a0/:'), max_size=60
)
LINES = st.builds(
    lambda amount, text, name: line(amount, " ".join(text.split()), payer_name=" ".join(name.split())[:54]),
    st.integers(-(10**9), 10**9).filter(bool),
    TEXTS,
    TEXTS,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=5), st.integers(-(10**9), 10**9))
def test_camt_gives_back_what_was_written(lines: list[Line], opening: int) -> None:
    found = only(bank_files.camt053(ACCOUNT, "eur", opening, lines))
    assert difference(found) == 0 and found.opening == opening
    assert [(each.amount, each.text, each.payer_name) for each in found.lines] == [
        (each.amount, each.text, each.payer_name) for each in lines
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=5), st.integers(-(10**9), 10**9))
def test_mt940_gives_back_the_amounts(lines: list[Line], opening: int) -> None:
    found = only(bank_files.mt940(ACCOUNT, "eur", opening, lines))
    assert difference(found) == 0 and found.opening == opening
    assert [each.amount for each in found.lines] == [each.amount for each in lines]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_are_an_error_of_ours(content: bytes) -> None:
    for reader in (camt.read, mt940.read, csv_file.table_of):
        with contextlib.suppress(BadStatement):
            reader(content)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_with_wrong_bytes_is_refused_or_read(data: Any) -> None:
    makers: list[Any] = [bank_files.camt053, bank_files.mt940]
    content = bytearray(data.draw(st.sampled_from(makers))(ACCOUNT, "eur", 0, [line()]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadStatement, NeedsLayout):
        read(bytes(content))
