"""What the bank said stands where a match is approved and where its payment is looked at later, and what was decided on
a credit stays on its page."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices.admin.formatting import moment
from invoices.admin.invoices import wording
from invoices.models import BankMatch, Batch, Operation
from invoices.operations import batch as batches
from invoices.statements import decisions
from invoices.statements.recording import Confirmed
from tests.helpers import bank
from tests.helpers.bank_desk import TRANSACTIONS, confirmed, credit_of, open_invoice, page, run, text, word
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def room(client: Client, finance: User) -> Client:
    client.force_login(finance)
    return client


def batch_page(client: Client, batch: Batch) -> str:
    return text(client.get(f"/admin/invoices/batch/{batch.pk}/"))


def operation_page(client: Client, operation: Operation) -> str:
    return text(client.get(f"/admin/invoices/operation/{operation.pk}/"))


def test_the_approver_sees_what_the_bank_said(
    client: Client, sandbox: SandboxProcess, finance: User, manager: User
) -> None:
    invoice = open_invoice(sandbox)
    credit = credit_of(6000, "rent of May", payer_name="Paul Zimmermann")
    other = credit_of(5000, "second", bank_reference="OTHER-1")
    batch = confirmed(Confirmed(credit.pk, invoice.pk, 5000, 2), word(other, open_invoice(sandbox)), by=finance)
    client.force_login(manager)
    found = batch_page(client, batch)
    table = found.partition('id="bank-evidence"')[2].partition("</section>")[0]
    for words in (
        str(invoice.number),
        "EUR 50.00",
        "of EUR 60.00",
        "Paul Zimmermann",
        "rent of May",
        "Medium",
        "by hand",
        f"The payer Paul Zimmermann is not called like the customer {wording.customer(invoice)}.",
    ):
        assert words in table
    assert f'href="{TRANSACTIONS}{credit.pk}/"' in table


def test_who_may_not_see_the_bank_reads_only_where_it_comes_from(
    desk: Client, sandbox: SandboxProcess, finance: User
) -> None:
    invoice, credit = open_invoice(sandbox), credit_of(5000, "rent of May", payer_name="Paul Zimmermann")
    batch = confirmed(word(credit, invoice), by=finance)
    run()
    found = batch_page(desk, batch) + operation_page(desk, Operation.objects.get())
    assert "From a bank statement" in found and "from a bank statement" in found
    assert "rent of May" not in found and TRANSACTIONS not in found and "Paul Zimmermann" not in found


def test_other_batches_say_nothing_of_a_bank(room: Client, sandbox: SandboxProcess, manager: User) -> None:
    made = batches.start("void", [open_invoice(sandbox)], actor=manager, reason="x", batch_id=uuid.uuid4())
    assert "bank-evidence" not in batch_page(room, made)


def test_a_recorded_payment_leads_to_its_bank_line_and_says_what_to_do(
    room: Client, sandbox: SandboxProcess, finance: User
) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()
    confirmed(word(credit, invoice), by=finance)
    assert "Was it the wrong invoice?" not in text(room.get(page(credit)))  # nothing is recorded yet
    run()
    for found in (operation_page(room, Operation.objects.get()), text(room.get(page(credit)))):
        assert "Was it the wrong invoice?" in found and "report a refund on the payment record" in found
        assert "cannot be matched again" in found
    assert f'href="{TRANSACTIONS}{credit.pk}/"' in operation_page(room, Operation.objects.get())


def test_what_is_said_of_a_recorded_match_is_true(sandbox: SandboxProcess, finance: User) -> None:
    """The page says that it cannot be matched again."""
    credit = credit_of()
    confirmed(word(credit, open_invoice(sandbox)), by=finance)
    run()
    credit.refresh_from_db()
    assert credit.left == 0
    with pytest.raises(decisions.Refusal):
        decisions.take_up_again(credit.pk, by=finance, reason="the wrong invoice")


def test_a_match_says_when_and_how_surely_it_was_confirmed(
    room: Client, sandbox: SandboxProcess, finance: User
) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()
    confirmed(Confirmed(credit.pk, invoice.pk, 5000, 3), by=finance)
    run()
    found = text(room.get(page(credit)))
    assert "confidence then: High" in found
    assert f"{finance}, {moment(BankMatch.objects.get().confirmed_at)}" in found


def test_earlier_decisions_stay_on_the_page(room: Client, finance: User, manager: User) -> None:
    (credit,) = bank.credits_of(bank.line(5000, "interest"))
    decisions.decide(credit.pk, "ignored", by=finance, reason="interest of the bank")
    decisions.take_up_again(credit.pk, by=manager, reason="it is rent")
    found = text(room.get(page(credit))).partition("Decided before")[2].partition("</section>")[0]
    assert "interest of the bank" in found and "it is rent" in found
    assert str(finance) in found and str(manager) in found
