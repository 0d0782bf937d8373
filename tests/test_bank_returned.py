"""Transfers that the bank took back after they were recorded: the invoice warns until somebody has put it right."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import month_end, operations, refetch
from invoices.models import BankDecision, BankTransaction, Invoice
from invoices.operations import Invalid, Refusal
from invoices.statements import decisions, returned
from tests.helpers import bank
from tests.helpers.bank_desk import TRANSACTIONS, confirmed, credit_of, open_invoice, page, run, text, word
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
LINE = "Returned transfers that are still recorded"
TAKEN = "The bank took this transfer back on"


@pytest.fixture
def room(client: Client, finance: User) -> Client:
    client.force_login(finance)
    return client


def taken_back(sandbox: SandboxProcess, by: User) -> tuple[Invoice, BankTransaction, BankTransaction]:
    """An invoice that a transfer has paid, the credit, and the debit with which the bank took it back."""
    invoice, credit = open_invoice(sandbox), credit_of(end_to_end_id="E2E-0815-4711")
    confirmed(word(credit, invoice), by=by)
    run()
    refetch.refetch("invoice", invoice.pk)
    (debit,) = bank.credits_of(bank.line(-5000, returns=("E2E-0815-4711",)), number="2")
    assert debit.undoes == credit
    return Invoice.objects.get(pk=invoice.pk), credit, debit


def invoice_page(client: Client, invoice: Invoice) -> str:
    return text(client.get(f"/admin/invoices/invoice/{invoice.pk}/"))


def month_check(debit: BankTransaction) -> Any:
    month = month_end.Month.read(f"{debit.booked_on:%Y-%m}", "UTC")
    return next(each for each in month_end.checks(month) if each.name == "returned")


def test_the_invoice_warns_and_thanks_nobody_until_it_is_settled(
    room: Client, sandbox: SandboxProcess, finance: User
) -> None:
    invoice, _credit, debit = taken_back(sandbox, finance)
    assert invoice.status == "paid"
    found = invoice_page(room, invoice)
    assert TAKEN in found and "EUR 50.00 are still recorded" in found and "report a refund" in found
    assert f"{TRANSACTIONS}{debit.pk}/" in found
    assert "nothing is left to pay" not in found and "Nothing is owed" not in found
    assert "Settled at Stripe" in text(room.get(page(debit)))
    room.post(f"{page(debit)}decide/", {"reason": "refund reported, INV-2 sent"})
    after = text(room.get(page(debit)))
    assert "that it is settled at Stripe" in after and "refund reported, INV-2 sent" in after
    assert "Take up again" not in after
    found = invoice_page(room, invoice)
    assert TAKEN not in found and "nothing is left to pay" in found
    assert BankDecision.objects.get().decided_by == finance


def test_home_and_the_months_check_lead_to_exactly_these(room: Client, sandbox: SandboxProcess, finance: User) -> None:
    _invoice, _credit, debit = taken_back(sandbox, finance)
    bank.credits_of(bank.line(700, "Other"), bank.line(-700, "A purchase"), number="3")
    home = text(room.get("/admin/"))
    assert LINE in home
    assert f"{TRANSACTIONS}?returned=recorded" in home
    check = month_check(debit)
    assert not check.met and check.count == 1 and check.rows["returned"] == "recorded"
    listed = text(room.get(f"{TRANSACTIONS}?returned=recorded&booked_on_to={check.rows['booked_on_to']}"))
    assert re.findall(rf'href="{TRANSACTIONS}([0-9a-f-]{{36}})/', listed) == [str(debit.pk)]
    room.post(f"{page(debit)}decide/", {"reason": "refund reported"})
    assert LINE not in text(room.get("/admin/")) and month_check(debit).met
    assert not returned.still_recorded().exists()


def test_who_may_not_see_the_bank_is_warned_all_the_same(
    desk: Client, sandbox: SandboxProcess, finance: User, agent: User
) -> None:
    invoice, _credit, debit = taken_back(sandbox, finance)
    found = invoice_page(desk, invoice)
    assert TAKEN in found and "nothing is left to pay" not in found
    assert f"{TRANSACTIONS}{debit.pk}/" not in found
    assert LINE not in text(desk.get("/admin/"))
    with pytest.raises(Refusal):
        returned.settle(debit.pk, by=agent, reason="x")


def test_settling_needs_a_reason_and_something_to_settle(sandbox: SandboxProcess, finance: User) -> None:
    _invoice, credit, debit = taken_back(sandbox, finance)
    with pytest.raises(Invalid):
        returned.settle(debit.pk, by=finance, reason=" ")
    returned.settle(debit.pk, by=finance, reason="refund reported")
    for row in (debit, credit):
        with pytest.raises(Refusal):
            returned.settle(row.pk, by=finance, reason="again")
    debit.refresh_from_db()
    assert debit.left == 0 and debit.state == BankTransaction.State.RETURNED
    assert BankDecision.objects.count() == 1


def test_what_was_recorded_by_hand_and_returned_warns_too(room: Client, sandbox: SandboxProcess, finance: User) -> None:
    invoice = open_invoice(sandbox)
    params = {"amount": 5000, "method": "Bank transfer", "received_on": "2026-11-02"}
    made = operations.execute(
        "attach_out_of_band_payment", invoice.pk, actor=finance, source="admin", reason="x", params=params
    )
    credit = credit_of(end_to_end_id="E2E-0815-4711")
    decisions.decide(credit.pk, "already_recorded", by=finance, reason="by hand", operation=made.pk)
    (debit,) = bank.credits_of(bank.line(-5000, returns=("E2E-0815-4711",)), number="2")
    found = invoice_page(room, invoice)
    assert TAKEN in found and "EUR 50.00 are still recorded" in found
    assert "Somebody had recorded it by hand" in text(room.get(page(debit)))
    decisions.take_up_again(credit.pk, by=finance, reason="it was another one")
    assert TAKEN not in invoice_page(room, invoice) and not returned.still_recorded().exists()


def test_what_was_not_recorded_in_the_end_warns_of_nothing(
    room: Client, sandbox: SandboxProcess, finance: User
) -> None:
    invoice, credit = open_invoice(sandbox), credit_of(end_to_end_id="E2E-0815-4711")
    confirmed(word(credit, invoice), by=finance)
    sandbox.client().v1.invoices.void_invoice(invoice.pk)
    run()
    (debit,) = bank.credits_of(bank.line(-5000, returns=("E2E-0815-4711",)), number="2")
    assert "Nothing was recorded of it" in text(room.get(page(debit)))
    assert "Do not record it" in text(room.get(page(credit))) and TAKEN not in invoice_page(room, invoice)


def test_a_return_of_what_was_never_recorded_warns_of_nothing(room: Client) -> None:
    _credit, debit = bank.credits_of(bank.line(5000), bank.line(-5000, returns=("UNKNOWN-1",)))
    assert debit.undoes_id and not returned.still_recorded().exists() and LINE not in text(room.get("/admin/"))
