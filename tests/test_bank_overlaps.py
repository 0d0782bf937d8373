"""Files of one account that overlap: each payment is one transaction, and what may be one is marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from invoices.models import BankStatement, BankTransaction
from invoices.statements import keeping
from invoices.statements.formats.parsed import BadStatement
from invoices.statements.formats.read import read
from tests.helpers import bank, bank_files
from tests.helpers.camt import batch, detail, document, entry, notification, part

pytestmark = pytest.mark.django_db
PAYER = "DE89370400440532013000"
NO_REFERENCE = {"bank_reference": "", "payer_account": PAYER, "payer_name": "Acme"}


def take(content: bytes) -> keeping.Kept:
    return keeping.keep(content, read(content, lambda table: None), file_name="f", by=None)


def credits() -> list[BankTransaction]:
    return list(BankTransaction.objects.filter(amount__gt=0).order_by("statement__uploaded_at", "amount", "pk"))


@pytest.mark.parametrize("cut", [16, 0])
def test_the_same_credit_in_camt_and_in_mt940_is_marked(cut: int) -> None:
    """MT940 has sixteen characters for a reference, or another one: that it differs proves nothing."""
    line = bank.line(11_900, "Invoice 1", bank_reference="2026110212345678901234", payer_account=PAYER)
    take(bank_files.camt053(bank.ACCOUNT, "eur", 0, [line]))
    other = replace(line, bank_reference=line.bank_reference[:16] if cut else "PRIMANOTA1")
    take(bank_files.mt940(bank.ACCOUNT, "eur", 0, [other]))
    first, again = credits()
    assert again.resembles == first


@pytest.mark.parametrize("account", ["12030000/202051", "12030000/0000202051"])
def test_the_account_in_the_writing_of_mt940(account: str) -> None:
    line = bank.line(11_900, "Invoice 1", **NO_REFERENCE)
    take(bank_files.camt053(bank.ACCOUNT, "eur", 0, [line]))
    take(bank_files.mt940(account, "eur", 0, [line]))
    first, again = credits()
    assert again.resembles == first


def test_the_account_behind_the_banks_code_is_the_same() -> None:
    line = bank.line(11_900, "Invoice 1", **NO_REFERENCE)
    take(bank_files.camt053(bank.ACCOUNT, "eur", 0, [line]))
    assert take(bank_files.mt940(f"BYLADEM1001/{bank.ACCOUNT}", "eur", 0, [line])).known == 1


@pytest.mark.parametrize("whole_first", [True, False])
def test_a_batch_as_one_and_by_its_transactions_is_marked(whole_first: bool) -> None:
    """Swiss banks tell the batch in camt.053 and its transactions in camt.054: both are the same money."""
    files = [
        document(entry(inner="<AcctSvcrRef>B-1</AcctSvcrRef>")),
        notification(batch(part("60.00", "A"), part("40.00", "B"), total="100.00")),
    ]
    for content in files if whole_first else files[::-1]:
        take(content)
    of_amount = {each.amount: each for each in credits()}
    whole, parts = of_amount[10_000], [of_amount[6_000], of_amount[4_000]]
    if whole_first:
        assert [each.resembles for each in parts] == [whole, whole]
    else:
        assert whole.resembles in parts


def test_references_of_a_transaction_and_of_its_entry() -> None:
    take(document(entry(inner="<AcctSvcrRef>E-1</AcctSvcrRef>")))
    take(notification(entry(inner="<AcctSvcrRef>E-1</AcctSvcrRef>"
                                  + detail("<Refs><AcctSvcrRef>T-1</AcctSvcrRef></Refs>"))))  # fmt: skip
    first, again = credits()
    assert again.resembles == first


def test_two_references_of_one_format_are_two_transactions() -> None:
    take(bank_files.camt053(bank.ACCOUNT, "eur", 0, [bank.line(700, "A", bank_reference="R1")]))
    take(bank_files.camt053(bank.ACCOUNT, "eur", 700, [bank.line(700, "A", bank_reference="R2")]))
    assert [each.resembles for each in credits()] == [None, None]


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_two_payments_that_say_the_same_in_two_statements_of_a_day(one_file: bool, turned: bool) -> None:
    """Statements that follow on each other share no line: the second payment was taken for the first one again."""
    line = bank.line(1_999, "Subscription", **NO_REFERENCE)
    statements = [bank.statement(line, opening=0, number="1"), bank.statement(line, opening=1_999, number="2")]
    statements = statements[::-1] if turned else statements
    for some in [statements] if one_file else [[each] for each in statements]:
        bank.keep(*some)
    assert [each.amount for each in credits()] == [1_999, 1_999]
    for number, each in enumerate(statements):  # and each of the statements again, in another file
        assert bank.keep(each, content=f"again {number}".encode()).new == 0


def test_a_statement_that_overlaps_brings_a_payment_once() -> None:
    old, new = bank.line(1_999, "Subscription", **NO_REFERENCE), bank.line(700, "Other", **NO_REFERENCE)
    day_before = replace(old, booked_on=bank.DAY - timedelta(days=1))
    bank.keep(bank.statement(day_before, old, opening=0))
    kept = bank.keep(bank.statement(old, new, opening=1_999))
    assert (kept.new, kept.known) == (1, 1)


def test_the_same_statement_twice_in_one_file() -> None:
    line = bank.line(1_999, "Subscription", **NO_REFERENCE)
    assert bank.keep(bank.statement(line), bank.statement(line)).new == 1


def test_a_refused_file_leaves_nothing() -> None:
    good = bank_files.camt053(bank.ACCOUNT, "eur", 0, [bank.line(700)]).decode()
    statement = good[good.index("<Stmt>") : good.index("</Stmt>") + len("</Stmt>")]
    broken = statement.replace(">7.00<", ">7.01<", 1)
    with pytest.raises(BadStatement, match="does not tie"):
        take(good.replace(statement, statement + broken).encode())
    assert not BankStatement.objects.exists() and not BankTransaction.objects.exists()
