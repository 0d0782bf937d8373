"""MT940 as banks really write it: each shape is read to the minor unit, or refused with its line."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from invoices.statements.formats import mt940
from invoices.statements.formats.parsed import BadStatement, Line, ParsedStatement, difference
from invoices.statements.formats.read import read

OURS, THEIRS = "DE02120300000000202051", "DE89370400440532013000"


def statement(
    *booked: str, opening: str = "C261101EUR1000,00", closing: str, account: str = OURS, number: str = "211/1"
) -> bytes:
    """One statement with these lines between its balances."""
    head = [":20:STARTUMS", f":25:{account}", f":28C:{number}", f":60F:{opening}"]
    return "\r\n".join([*head, *booked, f":62F:{closing}", "-", ""]).encode("cp1252")


def only(content: bytes) -> ParsedStatement:
    (found,) = read(content, lambda table: None)
    assert difference(found) == 0
    return found


def line_of(*booked: str, closing: str = "C261102EUR1100,00", **more: Any) -> Line:
    (found,) = only(statement(*booked, closing=closing, **more)).lines
    return found


def refused(content: bytes) -> BadStatement:
    with pytest.raises(BadStatement) as error:
        read(content, lambda table: None)
    return error.value


BOOKED = ":61:2611021102CR100,00NTRFNONREF//2026110212345"
READ: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "Sparkasse": (
        (
            BOOKED,
            ":86:166?00GUTSCHR. UEBERWEISUNG?109249?20EREF+RE-2026-0012?21SVWZ+Rechnung RE-2026-0012 ",
            "?22vom 01.10.2026 Danke?30COBADEFFXXX?31DE89370400440532013000?32Muster und Soehne Gesellsch",
            "?33aft mbH",
        ),
        {
            "text": "Rechnung RE-2026-0012 vom 01.10.2026 Danke",
            "payer_name": "Muster und Soehne Gesellschaft mbH",
            "payer_account": THEIRS,
            "end_to_end_id": "RE-2026-0012",
            "bank_reference": "2026110212345",
            "code": "NTRF/166",
        },
    ),
    "a text before the first keyword": (
        (BOOKED, ":86:166?00GUTSCHRIFT?20Rechnung 4711?21EREF+ABC-1?22KREF+X?32Acme"),
        {"text": "Rechnung 4711", "end_to_end_id": "ABC-1", "payer_name": "Acme"},
    ),
    "a text before its keyword": (
        (BOOKED, ":86:166?00GUTSCHRIFT?20RE-4711?21EREF+ABC-1?22SVWZ+RE-4712?32Acme"),
        {"text": "RE-4711 RE-4712"},
    ),
    "two references in fields of their own": (
        (BOOKED, ":86:166?00GUTSCHRIFT?20SVWZ+RE-2026-1001?21RE-2026-1002?32Acme"),
        {"text": "RE-2026-1001 RE-2026-1002"},
    ),
    "a reference over two full fields": (
        (BOOKED, ":86:166?00GUTSCHRIFT?20SVWZ+Zahlung fuer RE-2026-1?21001?32Acme"),
        {"text": "Zahlung fuer RE-2026-1001"},
    ),
    "cooperative banks": (
        (
            BOOKED,
            ":86:166?00Ueberweisungsgutschr.?20Rechnung A1B2-0012?21EREF: E2E-77 IBAN: DE893704?220044053201300"
            "0 BIC: COBADEFF?23XXX?32Acme GmbH",
        ),
        {"text": "Rechnung A1B2-0012", "end_to_end_id": "E2E-77"},
    ),
    "a question mark in the text": (
        (BOOKED, ":86:166?00GUTSCHRIFT?20SVWZ+Was? RE-1001?32Acme"),
        {"text": "Was? RE-1001", "payer_name": "Acme"},
    ),
    "mBank and others with a sign of their own": (
        (BOOKED, ":86:020~00PRZELEW~20FV 12/2026~21za pazdziernik~32Acme Sp. z o.o.~38PL61109010140000071219812874"),
        {"text": "FV 12/2026 za pazdziernik"},
    ),
    "pointed brackets": (
        (BOOKED, ":86:166<00PRZELEW<20FV 12/2026<32Acme<31DE89370400440532013000"),
        {"text": "FV 12/2026", "payer_account": THEIRS},
    ),
    "ABN AMRO": (
        (
            ":61:2611021102C100,00N944NONREF",
            ":86:/TRTP/SEPA OVERBOEKING/IBAN/NL91ABNA0417164300/BIC/ABNANL2A/NAME",
            "/ACME BV/REMI/FACTUUR A1B2-0012/EREF/NOTPROVIDED",
        ),
        {
            "text": "FACTUUR A1B2-0012",
            "payer_name": "ACME BV",
            "end_to_end_id": "",
            "payer_account": "NL91ABNA0417164300",
        },
    ),
    "ING": (
        (
            ":61:2611021102C100,00NTRFEREF//00000000001005",
            "/TRCD/00100/",
            ":86:/EREF/E2E-77//CNTP/NL91ABNA0417164300/ABNANL2A/ACME BV///REMI/USTD//FACTUUR A1B2-0012/",
        ),
        {
            "payer_name": "ACME BV",
            "payer_account": "NL91ABNA0417164300",
            "end_to_end_id": "E2E-77",
            "bank_reference": "00000000001005",
        },
    ),
    "a structured reference": (
        (BOOKED, ":86:/CNTP/NL91ABNA0417164300/ABNANL2A/ACME BV///REMI/STRD/CUR/9001200020320016/"),
        {"structured_reference": "9001200020320016"},
    ),
    "Rabobank": (
        (
            ":61:261102C000000000100,00N541EREF//0000000123",
            "NL91ABNA0417164300",
            ":86:/EREF/E2E-77/ORDP//NAME/Acme B.V./REMI/Factuur A1B2-0012",
        ),
        {"payer_name": "Acme B.V.", "end_to_end_id": "E2E-77"},
    ),
    "free text": (
        (":61:261102C100,NMSCNONREF", ":86:OVERSCHRIJVING VAN ACME", "FACTUUR 0012"),
        {"text": "OVERSCHRIJVING VAN ACME FACTUUR 0012", "booked_on": date(2026, 11, 2)},
    ),
    "a slash in a free text": (
        (BOOKED, ":86:Rechnung RE/ABC/2026/XYZ/17"),
        {"text": "Rechnung RE/ABC/2026/XYZ/17", "payer_account": ""},
    ),
    "a long reference of the payer": (
        (
            ":61:2611021102CR100,00NTRFBIPI-dvT1FzfMqvzF5HaU4oetlH7SGRkonU//2022070616391534000",
            ":86:166?00GUTSCHRIFT?20SVWZ+A?32Acme",
        ),
        {"bank_reference": "2022070616391534000", "end_to_end_id": "BIPI-dvT1FzfMqvzF5HaU4oetlH7SGRkonU", "text": "A"},
    ),
    "a long reference of the bank": (
        (":61:2611021102CR100,00NTRFNONREF//TRANSFER-1234567890-1234567890-12", ":86:A"),
        {"bank_reference": "TRANSFER-1234567890-1234567890-12"},
    ),
    "two lines behind": ((BOOKED, "FIRST", "SECOND", ":86:A"), {"text": "A FIRST SECOND"}),
    "spaces for the day": ((":61:261102    C100,00NTRFNONREF", ":86:A"), {"booked_on": date(2026, 11, 2)}),
    "no decimals": ((":61:2611021102C100,NTRFNONREF", ":86:A"), {"amount": 10_000}),
    "a point for decimals": ((":61:2611021102C100.00NTRFNONREF", ":86:A"), {"amount": 10_000}),
    "reversal of a debit": ((":61:2611021102RD100,00NTRFNONREF", ":86:A"), {"amount": 10_000, "returns": ()}),
    "reversal of a debit in euros": ((":61:2611021102RDR100,00NTRFNONREF", ":86:A"), {"amount": 10_000}),
    "two texts": ((BOOKED, ":86:FIRST", ":86:SECOND"), {"text": "FIRST SECOND"}),
    "no text": ((BOOKED,), {"text": ""}),
    "the new year before": (
        (":61:2701021231C100,00NTRFNONREF", ":86:A"),
        {"booked_on": date(2026, 12, 31), "valued_on": date(2027, 1, 2)},
    ),
    "the 30th of February": ((":61:280230C100,00NTRFNONREF", ":86:A"), {"booked_on": date(2028, 2, 29)}),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_bank_wrote_is_read(name: str) -> None:
    booked, wanted = READ[name]
    found = line_of(*booked)
    assert found.amount == 10_000 and found.number == 5
    assert {each: getattr(found, each) for each in wanted} == wanted


def test_a_reversal_of_a_credit_takes_money_away() -> None:
    found = line_of(":61:2611021102RC100,00NTRFE2E-77", ":86:A", closing="C261102EUR900,00")
    assert (found.amount, found.returns) == (-10_000, ("E2E-77",))


def test_what_is_said_of_the_whole_statement_is_no_text_of_the_last_line() -> None:
    content = statement(BOOKED, ":86:Invoice 1", closing="C261102EUR1100,00")
    content = content.replace(
        b"\r\n-\r\n", b"\r\n:64:C261102EUR1100,00\r\n:86:Your advisor wishes a good week\r\n-\r\n"
    )
    assert only(content).lines[0].text == "Invoice 1"


@pytest.mark.parametrize(
    ("written", "account"),
    [
        ("NL69INGB0123456789EUR", "NL69INGB0123456789"),
        ("NL69 INGB 0123 4567 89 EUR", "NL69INGB0123456789"),
        ("BYLADEM1001/DE02120300000000202051", OURS),
        ("BYLADEM1001XXX/DE02120300000000202051EUR", OURS),
        ("/DE02120300000000202051", OURS),
        ("12030000/0000202051", "12030000/0000202051"),
        ("12030000/202051EUR", "12030000/202051EUR"),
        ("518001001", "518001001"),
    ],
)
def test_the_account_is_the_same_as_in_other_formats(written: str, account: str) -> None:
    assert only(statement(closing="C261102EUR1000,00", account=written)).account == account


@pytest.mark.parametrize("number", ["00001/001", "1", "2026211/1", "0", "20261102/1/2", ""])
def test_every_number_of_a_statement(number: str) -> None:
    assert only(statement(closing="C261102EUR1000,00", number=number)).number == number


def test_headers_of_every_kind() -> None:
    body = statement(BOOKED, ":86:A", closing="C261102EUR1100,00")
    for before, behind in (
        (b"{1:F01BANKDEFFXXXX0000000000}{2:I940BANKDEFFXXXXN}{4:\r\n", b"-}{5:{CHK:0}}\r\n"),
        (b"{1:F01BANKDEFFXXXX0000000000}{2:I940BANKDEFFXXXXN}{3:{108:X}}{4:\r\n", b""),
        (b"{4:", b"-}"),
        (b"\x01{1:F01BANKDEFFXXXX0000000000}{2:I940X}{4:\r\n", b"-}\x03"),
        (b"ABNANL2A\r\n940\r\nABNANL2A\r\n", b""),
        (b"\xef\xbb\xbf", b""),
        (b"\r\n\r\n", b""),
    ):
        twice = before + body.replace(b"-\r\n", behind or b"-\r\n") + (before if before[0] != 0xEF else b"") + body
        assert [len(each.lines) for each in read(twice, lambda table: None)] == [1, 1], before


def test_utf_16() -> None:
    content = statement(BOOKED, ":86:Grüße", closing="C261102EUR1100,00").decode("cp1252")
    assert only(content.encode("utf-16")).lines[0].text == "Grüße"


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (":61:2611021102C1.190,00NTRFNONREF", 5),
        (":61:2611021102C1190.505NTRFNONREF", 5),
        (":61:2611021102C1,190,00NTRFNONREF", 5),
        (":61:2611021102C-100,00NTRFNONREF", 5),
        (":61:2611021102X100,00NTRFNONREF", 5),
        (":61:2611321102C100,00NTRFNONREF", 5),
        (":61:2611021102C100,00", 5),
        (":61:", 5),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(wrong: str, place: int) -> None:
    assert refused(statement(wrong, ":86:A", BOOKED, closing="C261102EUR1100,00")).line == place
    assert refused(statement(BOOKED, ":86:A", wrong, closing="C261102EUR1100,00")).line == place + 2


@pytest.mark.parametrize("closing", ["C261102EUR1.100,00", "C261102EUR1100.005", "C261102EUR", "C261102EU1100,00", ""])
def test_a_balance_that_cannot_be_read_is_refused_with_its_line(closing: str) -> None:
    assert refused(statement(BOOKED, closing=closing)).line == 6


@pytest.mark.parametrize("tag", [b":60F:", b":62F:"])
def test_a_statement_without_one_of_its_balances_proves_nothing(tag: bytes) -> None:
    content = statement(BOOKED, closing="C261102EUR1100,00")
    kept = b"".join(each for each in content.splitlines(keepends=True) if not each.startswith(tag))
    assert "balance" in refused(kept).sentence


def test_a_point_is_never_cut_off() -> None:
    """`1.99` was read as 1, in the line and in the balance alike, and so it tied."""
    found = only(statement(":61:2611021102C1.99NTRFNONREF", opening="C261101EUR0.00", closing="C261102EUR1.99"))
    assert (found.lines[0].amount, found.closing) == (199, 199)


@pytest.mark.parametrize(("currency", "written", "minor"), [("JPY", "1500,", 1500), ("BHD", "1,234", 1234)])
def test_currencies_of_other_decimals(currency: str, written: str, minor: int) -> None:
    found = only(
        statement(
            f":61:2611021102C{written}NTRFNONREF", opening=f"C261101{currency}0,", closing=f"C261102{currency}{written}"
        )
    )
    assert found.lines[0].amount == minor


def test_too_many_lines_are_refused_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invoices.statements.formats.parsed.MAX_LINES", 3)
    assert "more than 3 lines" in refused(statement(*[BOOKED] * 4, closing="C261102EUR1400,00")).sentence


def test_an_account_of_a_german_bank_is_known_in_both_writings() -> None:
    from invoices.statements.formats.references import writings

    assert OURS in writings("12030000/202051") and "12030000/202051" in writings(OURS)
    assert mt940.looks_like(statement(closing="C261102EUR1000,00"))


def page(number: str, opening: str, booked: str, closing: str, *, further: bool, goes_on: bool) -> bytes:
    """A page of a statement: its balances are those of a page (M) where others stand before or behind it."""
    content = statement(booked, opening=opening, closing=closing, number=number)
    content = content.replace(b":60F:", b":60M:") if further else content
    return content.replace(b":62F:", b":62M:") if goes_on else content


FIRST = page("200/1", "C261101EUR1000,00", BOOKED, "C261102EUR1100,00", further=False, goes_on=True)


@pytest.mark.parametrize(
    "second",
    [
        page("200/3", "C261102EUR1500,00", BOOKED, "C261102EUR1600,00", further=True, goes_on=False),
        page("200/2", "C261102EUR1500,00", BOOKED, "C261102EUR1600,00", further=True, goes_on=False),
        page("201/1", "C261102EUR1500,00", BOOKED, "C261102EUR1600,00", further=False, goes_on=False),
        # the page that is missing adds up to nothing
        page("200/3", "C261102EUR1100,00", BOOKED, "C261102EUR1200,00", further=True, goes_on=False),
    ],
)
def test_a_page_that_is_missing_is_named_with_its_amounts(second: bytes) -> None:
    """Each page ties to its own balances, so that nothing else tells that lines are missing between them."""
    error = refused(FIRST + second)
    assert "page 200/1" in error.sentence and "EUR 1,100.00" in error.sentence and error.line == 8


def test_pages_and_statements_of_several_accounts_in_any_order() -> None:
    second = page("200/00002", "C261102EUR1100,00", BOOKED, "C261102EUR1200,00", further=True, goes_on=False)
    other = statement(BOOKED, closing="C261102EUR1100,00", account="12030000/999999")
    newer = statement(BOOKED, opening="C261102EUR1200,00", closing="C261103EUR1300,00", number="201/1")
    for content in (FIRST + second + other + newer, newer + other + FIRST + second, other + FIRST + second):
        assert sum(len(each.lines) for each in read(content, lambda table: None)) in (3, 4)
