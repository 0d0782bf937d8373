"""Files of one account that overlap: each payment is one transaction, and what may be one is marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from invoices.models import BankStatement, BankTransaction
from invoices.statements import keeping
from invoices.statements.formats.parsed import BadStatement, ParsedStatement
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


def told(lines: list[tuple[int, int, str]], opening: int, **more: Any) -> ParsedStatement:
    """A CSV statement of lines that have no references: days before today, amount and text."""
    made = [
        bank.line(amount, text, **{**NO_REFERENCE, "booked_on": bank.DAY - timedelta(days=days)})
        for days, amount, text in lines
    ]
    return bank.statement(*made, opening=opening, **{"format": "CSV", "number": "", **more})


def amounts() -> list[int]:
    return sorted(BankTransaction.objects.values_list("amount", flat=True))


def numbered(number: int, opening: int, amount: int, **more: Any) -> ParsedStatement:
    """One of several MT940 statements of a day, into which a cash desk pays without a reference."""
    return told([(0, amount, "Cash desk")], opening, format="MT940", number=str(number), **more)


CASH_DESK = [numbered(1, 0, 5_000), numbered(2, 5_000, 2_000), numbered(3, 7_000, 5_000)]
IN_THREE_FILES = [[each] for each in CASH_DESK]


@pytest.mark.parametrize("files", [[CASH_DESK], IN_THREE_FILES, IN_THREE_FILES[::-1]])
def test_statements_of_a_day_share_no_line_also_where_another_stands_between_them(
    files: list[list[ParsedStatement]],
) -> None:
    for each in files:
        bank.keep(*each)
    assert amounts() == [2_000, 5_000, 5_000]
    for number, again in enumerate(CASH_DESK):  # and each of the statements again, in another file
        assert bank.keep(again, content=f"again {number}".encode()).new == 0
    whole = told([(0, 5_000, "Cash desk"), (0, 2_000, "Cash desk"), (0, 5_000, "Cash desk")], 0, format="MT940")
    assert (bank.keep(whole).new, amounts()) == (0, [2_000, 5_000, 5_000])


def test_a_whole_day_and_then_its_parts() -> None:
    bank.keep(told([(0, 5_000, "Cash desk"), (0, 2_000, "Cash desk"), (0, 5_000, "Cash desk")], 0, format="MT940"))
    assert [bank.keep(each).new for each in CASH_DESK] == [0, 0, 0]


@pytest.mark.parametrize("one_file", [True, False])
def test_statements_of_a_day_after_which_the_account_is_empty_again(one_file: bool) -> None:
    """Each begins with the balance with which the other ends; the bank's numbers tell that these are two."""
    two = [
        told([(0, 5_000, "Cash desk"), (0, -5_000, "Cash pool")], 0, format="MT940", number=each) for each in ("1", "2")
    ]
    for some in [two] if one_file else [[each] for each in two]:
        bank.keep(*some)
    assert amounts() == [-5_000, -5_000, 5_000, 5_000]


@pytest.mark.parametrize("references", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_exports_that_overlap_where_the_account_is_emptied_every_evening(references: bool, turned: bool) -> None:
    """The second begins with the balance with which the first ends, and does not follow on it."""
    lines = [(3, 5_000, "A"), (3, -5_000, "Pool"), (2, 11_900, "B"), (2, -11_900, "Pool"), (1, 7_000, "C")]
    whole = told(lines, 0, number="")
    if references:
        told_all = [replace(each, bank_reference=f"REF-{place}00") for place, each in enumerate(whole.lines)]
        whole = replace(whole, lines=tuple(told_all))
    first = replace(whole, lines=whole.lines[:4], closing=0, number="1" if references else "")
    second = replace(whole, lines=whole.lines[2:], number="2" if references else "")
    for each in (second, first) if turned else (first, second):
        bank.keep(each)
    assert amounts() == [-11_900, -5_000, 5_000, 7_000, 11_900]
    assert bank.keep(whole).new == 0


def test_exports_that_overlap_in_lines_that_add_up_to_nothing() -> None:
    """A credit, and its return on the same day: the day's balance is that of the day before."""
    lines = [(3, 50_000, "A"), (2, 11_900, "B"), (2, -11_900, "Return"), (1, 7_000, "C")]
    bank.keep(told(lines[:3], 0))
    assert bank.keep(told(lines[1:], 50_000)).new == 1


def test_an_export_that_begins_in_the_middle_of_a_day() -> None:
    lines = [(1, 100, "Cash desk"), (1, 200, "Cash desk"), (1, 300, "Cash desk"), (0, 100, "Cash desk")]
    bank.keep(told(lines[:3], 0))
    assert bank.keep(told(lines[1:], 100)).new == 1


def test_a_short_reference_is_a_counter_of_its_statement() -> None:
    """`POS 1` is the first of each statement: the balances prove that these are two payments."""
    first = bank.line(5_000, "A", bank_reference="POS 1")
    bank.keep(bank.statement(first, opening=0, number="1"))
    bank.keep(bank.statement(replace(first, text="B"), opening=5_000, number="2"))
    assert amounts() == [5_000, 5_000]


def test_the_banks_own_reference_in_two_files_is_one_line_whatever_the_balances_say() -> None:
    line = bank.line(5_000, "A")
    bank.keep(bank.statement(line, opening=0, number="1"))
    assert bank.keep(bank.statement(line, opening=70_000, number="2")).new == 0


def test_two_notifications_of_one_file_that_say_the_same() -> None:
    """They have no balances that would prove anything: both are kept, and where they are one, it is marked."""
    one = notification(entry("50.00", detail("<RmtInf><Ustrd>Cash desk</Ustrd></RmtInf>"))).decode()
    body = one[one.index("<Ntfctn>") : one.index("</Ntfctn>") + len("</Ntfctn>")]
    take(one.replace(body, body + body.replace("S-1", "S-2")).encode())
    assert [each.resembles for each in credits()] == [None, None]
    take(one.replace(body, body.replace("50.00", "60.00") * 2).encode())
    assert amounts() == [5_000, 5_000, 6_000, 6_000]
    assert BankTransaction.objects.filter(amount=6_000, resembles__amount=6_000).count() == 1


def test_two_notifications_of_one_file_with_the_banks_reference_are_one_line() -> None:
    one = notification(entry("50.00", "<AcctSvcrRef>2026110212345</AcctSvcrRef>")).decode()
    body = one[one.index("<Ntfctn>") : one.index("</Ntfctn>") + len("</Ntfctn>")]
    assert take(one.replace(body, body + body.replace("S-1", "S-2")).encode()).new == 1


def test_a_debit_that_another_format_has_is_marked_as_a_credit_is() -> None:
    line = bank.line(-11_900, "Rent", bank_reference="2026110212345678901234", payer_account=PAYER)
    take(bank_files.camt053(bank.ACCOUNT, "eur", 20_000, [line]))
    take(bank_files.mt940(bank.ACCOUNT, "eur", 20_000, [replace(line, bank_reference="PRIMANOTA1")]))
    assert BankTransaction.objects.filter(resembles__amount=-11_900).count() == 1


@pytest.mark.parametrize(
    ("days", "end_to_end_id", "text", "marked"),
    [(1, "E2E-77", "Other words", True), (-3, "E2E-77", "", True), (9, "E2E-77", "", False), (1, "E2E-78", "A", False)],
)
def test_the_same_payment_on_another_day_is_marked(days: int, end_to_end_id: str, text: str, marked: bool) -> None:
    """A notification has the day of value, and the statement the day of booking."""
    line = bank.line(10_000, "Invoice 1", **{**NO_REFERENCE, "end_to_end_id": "E2E-77"})
    bank.keep(replace(bank.statement(line), format="camt.054", opening=None, closing=None))
    day = bank.DAY + timedelta(days=days)
    bank.keep(bank.statement(replace(line, booked_on=day, end_to_end_id=end_to_end_id, text=text), opening=0))
    assert BankTransaction.objects.filter(resembles__isnull=False).exists() is marked


@pytest.mark.parametrize(("opening", "marked"), [(0, True), (2_900, False)])
def test_the_same_words_on_another_day_are_marked_unless_the_balances_tell_that_somebody_paid_twice(
    opening: int, marked: bool
) -> None:
    bank.keep(told([(1, 2_900, "RE-2026-1001")], 0))
    bank.keep(told([(0, 2_900, "RE-2026-1001")], opening))
    assert amounts() == [2_900, 2_900]
    assert BankTransaction.objects.filter(resembles__isnull=False).exists() is marked


@pytest.mark.parametrize("one_file", [True, False])
def test_statements_that_lead_back_to_a_balance_share_no_line(one_file: bool) -> None:
    """The account is emptied between two equal payments of a day: the third statement says what the first does."""
    three = [numbered(1, 0, 5_000), numbered(2, 5_000, -5_000), numbered(3, 0, 5_000)]
    for some in [three] if one_file else [[each] for each in three]:
        bank.keep(*some)
    assert amounts() == [-5_000, 5_000, 5_000]
    assert [bank.keep(each, content=each.number.encode()).new for each in three] == [0, 0, 0]


def test_statements_of_one_file_that_overlap_are_kept_and_marked() -> None:
    """A bank tells each line once; who put two files together does not."""
    lines = [(2, 5_000, "A"), (1, 2_000, "B"), (0, 7_000, "C")]
    bank.keep(told(lines[:2], 0), told(lines[1:], 5_000))
    assert amounts() == [2_000, 2_000, 5_000, 7_000]
    assert BankTransaction.objects.filter(amount=2_000, resembles__amount=2_000).count() == 1


def test_two_notifications_that_say_the_same_are_kept_and_marked() -> None:
    """Each has what was booked since the one before. The statement with both brings nothing new."""
    content = notification(entry("50.00", detail("<RmtInf><Ustrd>Cash desk</Ustrd></RmtInf>")))
    take(content)
    take(content.replace(b"S-1", b"S-2"))
    assert amounts() == [5_000, 5_000]
    assert BankTransaction.objects.filter(resembles__isnull=False).count() == 1
    one = entry("50.00", detail("<RmtInf><Ustrd>Cash desk</Ustrd></RmtInf>"))
    assert take(document(one, one)).new == 0
    assert take(content.replace(b"<Document", b"<Document ")).new == 0
