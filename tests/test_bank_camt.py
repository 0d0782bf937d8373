"""camt.053 and camt.054 as banks really write them: each shape is read to the minor unit, or refused with its line."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from invoices.statements.formats.parsed import BadStatement, ParsedStatement, difference
from invoices.statements.formats.read import read
from tests.helpers.camt import balance, batch, detail, document, entry, notification, part

OURS, THEIRS = "DE02120300000000202051", "DE89370400440532013000"


def only(content: bytes) -> ParsedStatement:
    (found,) = read(content, lambda table: None)
    assert not difference(found)
    return found


def refused(content: bytes) -> BadStatement:
    with pytest.raises(BadStatement) as error:
        read(content, lambda table: None)
    return error.value


PARTY = f"<Dbtr><Nm>Acme GmbH</Nm></Dbtr><DbtrAcct><Id><IBAN>{THEIRS}</IBAN></Id></DbtrAcct>"
US = f"<Cdtr><Nm>Our Company</Nm></Cdtr><CdtrAcct><Id><IBAN>{OURS}</IBAN></Id></CdtrAcct>"
READ: dict[str, tuple[str, dict[str, Any]]] = {
    "Swiss QR reference": (
        detail("<RmtInf><Strd><CdtrRefInf><Ref>210000000003139471430009017</Ref></CdtrRefInf></Strd></RmtInf>"),
        {"structured_reference": "210000000003139471430009017"},
    ),
    "several references": (
        detail(
            "<RmtInf><Strd><CdtrRefInf><Ref>RF18539007547034</Ref></CdtrRefInf></Strd>"
            "<Strd><CdtrRefInf><Ref>RF712348231</Ref></CdtrRefInf></Strd></RmtInf>"
        ),
        {"structured_reference": "RF18539007547034", "text": "RF712348231"},
    ),
    "numbers of invoices": (
        detail("<RmtInf><Strd><RfrdDocInf><Tp/><Nb>RE-1001</Nb></RfrdDocInf></Strd></RmtInf>"),
        {"text": "RE-1001"},
    ),
    "a text in several pieces": (
        detail("<RmtInf><Ustrd>RE-1001</Ustrd><Ustrd>RE-1002</Ustrd></RmtInf>"),
        {"text": "RE-1001 RE-1002"},
    ),
    "the parties of 2019 and later": (
        detail("<RltdPties><Dbtr><Pty><Nm>Acme</Nm></Pty></Dbtr></RltdPties>"),
        {"payer_name": "Acme"},
    ),
    "only an ultimate debtor": (
        detail("<RltdPties><UltmtDbtr><Pty><Nm>Acme</Nm></Pty></UltmtDbtr></RltdPties>"),
        {"payer_name": "Acme"},
    ),
    "an account that is no IBAN": (
        detail("<RltdPties><DbtrAcct><Id><Othr><Id>12 34-5</Id></Othr></Id></DbtrAcct></RltdPties>"),
        {"payer_account": "1234-5"},
    ),
    "no details": ("<AddtlNtryInf>Deposit</AddtlNtryInf>", {"text": "Deposit", "payer_name": ""}),
    "an amount in another currency": (
        detail(
            "<AmtDtls><InstdAmt><Amt Ccy='USD'>110.00</Amt></InstdAmt><TxAmt><Amt Ccy='USD'>110.00</Amt></TxAmt>"
            "<CntrValAmt><Amt Ccy='EUR'>100.00</Amt></CntrValAmt></AmtDtls>"
        ),
        {"amount": 10_000, "currency": "eur"},
    ),
    "less its charges": (detail("<AmtDtls><TxAmt><Amt Ccy='EUR'>102.00</Amt></TxAmt></AmtDtls>"), {"amount": 10_000}),
    "a reference for nothing": (
        detail("<Refs><AcctSvcrRef>NONREF</AcctSvcrRef><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"),
        {"bank_reference": "", "end_to_end_id": ""},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_bank_wrote_is_read(name: str) -> None:
    inner, wanted = READ[name]
    (found,) = only(document(entry(inner=inner))).lines
    assert found.amount == 10_000
    assert {each: getattr(found, each) for each in wanted} == wanted


@pytest.mark.parametrize(
    "path",
    [
        "<Amt Ccy='EUR'>{0}</Amt>",
        "<AmtDtls><TxAmt><Amt Ccy='EUR'>{0}</Amt></TxAmt></AmtDtls>",
        "<AmtDtls><InstdAmt><Amt Ccy='EUR'>{0}</Amt></InstdAmt></AmtDtls>",
        "<AmtDtls><TxAmt><Amt Ccy='CHF'>1.00</Amt></TxAmt><CntrValAmt><Amt Ccy='EUR'>{0}</Amt></CntrValAmt></AmtDtls>",
    ],
)
def test_the_transactions_of_a_batch(path: str) -> None:
    found = only(document(batch(part("60.00", "A", path=path), part("40.00", "B", path=path), total="100.00")))
    assert [(each.amount, each.text, each.entry) for each in found.lines] == [
        (6_000, "A", ("B-1", 10_000)),
        (4_000, "B", ("B-1", 10_000)),
    ]


def test_charges_that_the_bank_kept_of_a_batch_are_a_line_of_their_own() -> None:
    charged = "<Chrgs><TtlChrgsAndTaxAmt Ccy='EUR'>1.50</TtlChrgsAndTaxAmt></Chrgs>"
    content = document(batch(part("60.00", "A"), part("40.00", "B"), total="98.50", more=charged), closing="98.50")
    assert [each.amount for each in only(content).lines] == [6_000, 4_000, -150]


def test_charges_of_each_transaction_of_a_batch() -> None:
    charged = "<Chrgs><Rcrd><Amt Ccy='EUR'>0.75</Amt><CdtDbtInd>DBIT</CdtDbtInd></Rcrd></Chrgs>"
    parts = [part("60.00", "A", charged), part("40.00", "B", charged)]
    assert [each.amount for each in only(document(batch(*parts, total="98.50"), closing="98.50")).lines] == [5925, 3925]


def test_a_batch_that_does_not_add_up_is_one_line_with_all_texts() -> None:
    (found,) = only(document(batch(part("60.00", "RE-1"), part("30.00", "RE-2"), total="100.00"))).lines
    assert (found.amount, found.text, found.bank_reference) == (10_000, "RE-1 RE-2", "B-1")


def test_a_batch_of_debits_with_a_credit_in_it() -> None:
    back = "<CdtDbtInd>CRDT</CdtDbtInd>"
    content = batch(part("60.00", "A"), part("10.00", "B", back), total="50.00", mark="DBIT")
    balances = balance("OPBD", "100.00") + balance("CLBD", "50.00")
    assert [each.amount for each in only(document(content, balances=balances)).lines] == [-6_000, 1_000]


BALANCES = {
    "previous closing": balance("PRCD", "0.00", "2026-11-01") + balance("CLBD", "100.00"),
    "with available ones": balance("OPAV", "7.00") + balance("OPBD", "0.00") + balance("CLBD", "100.00")
    + balance("CLAV", "70.00") + balance("FWAV", "7.00"),
    "closing first": balance("CLBD", "100.00") + balance("OPBD", "0.00"),
    "of several days, newest first": balance("CLBD", "100.00", "2026-11-03") + balance("OPBD", "40.00", "2026-11-03")
    + balance("CLBD", "40.00") + balance("OPBD", "0.00"),
    "a page that ends": balance("OPBD", "0.00") + balance("ITBD", "100.00"),
    "a page in the middle": balance("ITBD", "0.00") + balance("ITBD", "100.00"),
    "a last page": balance("ITBD", "0.00") + balance("CLBD", "100.00"),
    "both openings": balance("PRCD", "9.00", "2026-10-30") + balance("OPBD", "0.00") + balance("CLBD", "100.00"),
    "below zero": balance("OPBD", "150.00", mark="DBIT") + balance("CLBD", "50.00", mark="DBIT"),
    "a sub-type": balance("OPBD", "0.00", more="<SubTp><Cd>INTM</Cd></SubTp>") + balance("CLBD", "100.00"),
}  # fmt: skip


@pytest.mark.parametrize("name", BALANCES)
def test_the_balances_of_a_statement(name: str) -> None:
    found = only(document(entry(), balances=BALANCES[name]))
    assert found.opening is not None and found.closing == found.opening + 10_000


@pytest.mark.parametrize(
    "balances", [balance("CLBD", "100.00"), balance("OPBD", "0.00"), balance("CLAV", "100.00"), " "]
)
def test_a_statement_without_one_of_its_balances_proves_nothing(balances: str) -> None:
    error = refused(document(entry(), balances=balances))
    assert "nothing proves it" in error.sentence and error.line == 3


@pytest.mark.parametrize("status", ["<Sts><Cd>PDNG</Cd></Sts>", "<Sts>PDNG</Sts>", "<Sts><Cd>INFO</Cd></Sts>"])
def test_what_is_not_booked_is_no_line(status: str) -> None:
    assert len(only(document(entry(), entry("7.00", status=status))).lines) == 1


def test_a_returned_debit_names_the_customer_and_not_us() -> None:
    """A return keeps the sides of what it returns: of a direct debit the creditor is us."""
    inner = detail(f"<Refs><EndToEndId>E-1</EndToEndId></Refs><RltdPties>{PARTY}{US}</RltdPties>"
                   "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>")  # fmt: skip
    balances = balance("OPBD", "100.00") + balance("CLBD", "0.00")
    (found,) = only(document(entry(inner=inner, mark="DBIT"), balances=balances)).lines
    assert (found.payer_name, found.payer_account) == ("Acme GmbH", THEIRS)
    assert (found.returns, found.return_reason) == (("E-1",), "AC04")


def test_a_credit_that_comes_back_is_no_return_of_a_credit() -> None:
    inner = "<RvslInd>true</RvslInd>" + detail("<Refs><EndToEndId>E-1</EndToEndId></Refs>")
    (found,) = only(document(entry(inner=inner))).lines
    assert (found.amount, found.returns) == (10_000, ())


def test_a_return_that_only_its_code_tells() -> None:
    code = "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>IDDT</Cd><SubFmlyCd>UPDD</SubFmlyCd></Fmly></Domn></BkTxCd>"
    inner = code + detail("<Refs><EndToEndId>E-1</EndToEndId></Refs>")
    balances = balance("OPBD", "100.00") + balance("CLBD", "0.00")
    (found,) = only(document(entry(inner=inner, mark="DBIT"), balances=balances)).lines
    assert (found.returns, found.code) == (("E-1",), "PMNT/IDDT/UPDD")


@pytest.mark.parametrize(
    ("written", "account"),
    [
        ("<Id><Othr><Id>1234-5678</Id></Othr></Id><Ccy>EUR</Ccy>", "1234-5678"),
        ("<Id><IBAN>DE02 1203 0000 0000 2020 51</IBAN></Id>", OURS),
    ],
)
def test_the_account(written: str, account: str) -> None:
    assert only(document(entry(), account=written)).account == account


@pytest.mark.parametrize("written", ["2026-11-02T23:59:59.999+01:00", "2026-11-02T24:00:00", "2026-11-02T10:00:00Z"])
def test_moments_are_the_banks_own_day(written: str) -> None:
    content = document(entry()).replace(b"<BookgDt><Dt>2026-11-02</Dt>", f"<BookgDt><DtTm>{written}</DtTm>".encode())
    assert only(content).lines[0].booked_on == date(2026, 11, 2)


@pytest.mark.parametrize("prefix", ["ns2", "camt"])
def test_prefixes_of_namespaces(prefix: str) -> None:
    content = document(entry(inner=detail("<RmtInf><Ustrd>A</Ustrd></RmtInf>"))).decode()
    content = content.replace("</", f"</{prefix}:").replace("xmlns=", f"xmlns:{prefix}=")
    head, body = content.split("\n", 1)
    for name in ("Document", "Bk", "St", "Id", "IB", "Ac", "Cc", "Ba", "Tp", "Cd", "Am", "Dt", "Nt", "Bo", "Va", "Tx",
                 "Rm", "Us"):  # fmt: skip
        body = body.replace(f"<{name}", f"<{prefix}:{name}")
    assert only(f"{head}\n{body}".encode()).lines[0].text == "A"


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "windows-1252", "UTF-16"])
def test_encodings(encoding: str) -> None:
    inner = detail("<RmtInf><Ustrd>Größe</Ustrd></RmtInf>")
    content = document(entry(inner=inner), head=f'<?xml version="1.0" encoding="{encoding}"?>').decode()
    assert only(content.encode(encoding)).lines[0].text == "Größe"
    assert only(b"\xef\xbb\xbf" + document(entry())).lines  # a mark at the beginning


def test_an_included_file_is_not_read() -> None:
    inner = detail(
        "<RmtInf><Ustrd><xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='/etc/passwd' parse='text'/>"
        "</Ustrd></RmtInf>"
    )
    assert only(document(entry(inner=inner))).lines[0].text == ""


def test_two_hundred_elements_within_each_other() -> None:
    inner = detail("<A>" * 200 + "</A>" * 200)
    assert refused(document(entry(inner=inner))).line


def test_a_report_of_what_is_not_final() -> None:
    content = document(entry()).replace(b"Stmt>", b"Rpt>").replace(b"camt.053", b"camt.052")
    assert "neither camt.053 nor camt.054" in refused(content).sentence


def test_a_notification() -> None:
    assert [each.amount for each in only(notification(entry(), entry("7.00"))).lines] == [10_000, 700]


@pytest.mark.parametrize(
    "written", ["1_000.00", "1,00", "1 000.00", "-1.00", "1e3", "0x1", "", "1.005", "٣.00", "9" * 21]
)
def test_what_is_no_amount_is_refused_with_its_line(written: str) -> None:
    assert refused(document(entry(), entry(written))).line == 7


def test_the_line_of_an_entry_behind_many() -> None:
    """The XML library counts lines in 16 bits by itself."""
    many = "".join(entry(inner="\n" * 20) for _ in range(4_000))
    error = refused(document(many, entry("wrong")))
    assert error.line == document(many, entry("wrong")).decode().split("wrong")[0].count("\n") + 1 > 65_535


def test_too_many_lines_are_refused_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invoices.statements.formats.parsed.MAX_LINES", 3)
    assert "more than 3 lines" in refused(document(*[entry()] * 4)).sentence
