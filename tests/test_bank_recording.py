"""Credits of bank statements become payments at Stripe: each once, whatever is sent twice, killed or done by two."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from invoices import erasure, operations, refetch
from invoices.models import BankMatch, BankTransaction, Batch, Code, Invoice, KnownPayer, Operation, personal
from invoices.operations import batch as batches
from invoices.statements import decisions, recording
from invoices.statements.recording import Confirmed
from tests.helpers import bank
from tests.helpers.bank_desk import confirmed, credit_of, open_invoice, recorded_at, run, word
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = BankTransaction.State


def test_a_credit_is_recorded_with_the_banks_day_and_reference(sandbox: SandboxProcess, finance: User) -> None:
    invoice, credit = open_invoice(sandbox), credit_of(text="Invoice 1", payer_account="DE89370400440532013000")
    confirmed(word(credit, invoice), by=finance)
    credit.refresh_from_db()
    assert (credit.left, credit.state) == (0, State.RECORDING)
    run()
    credit.refresh_from_db()
    match = credit.matches.get()
    operation = Operation.objects.get(pk=match.pk)
    assert (match.state, credit.state) == (BankMatch.State.RECORDED, State.DONE)
    assert (operation.params["received_on"], operation.params["reference"]) == (
        bank.DAY.isoformat(),
        credit.bank_reference,
    )
    assert sandbox.client().v1.invoices.retrieve(invoice.pk).status == "paid"
    assert KnownPayer.objects.get().customer == invoice.customer_id


def test_one_credit_pays_several_invoices_and_what_is_over_stays(sandbox: SandboxProcess, finance: User) -> None:
    first, second = open_invoice(sandbox, 3000), open_invoice(sandbox, 4000)
    credit = credit_of(10_000)
    confirmed(word(credit, first, 3000), word(credit, second, 4000), by=finance)
    run()
    credit.refresh_from_db()
    assert (credit.left, credit.state) == (3000, State.OPEN)
    statuses = [sandbox.client().v1.invoices.retrieve(each.pk).status for each in (first, second)]
    assert statuses == ["paid", "paid"]


def test_one_invoice_takes_several_credits(sandbox: SandboxProcess, finance: User) -> None:
    invoice = open_invoice(sandbox, 5000)
    one, two = bank.credits_of(bank.line(2000), bank.line(3000))
    confirmed(word(one, invoice), word(two, invoice), by=finance)
    run()
    assert set(BankMatch.objects.values_list("state", flat=True)) == {"recorded"}
    assert sandbox.client().v1.invoices.retrieve(invoice.pk).status == "paid"


def test_an_uncollectible_invoice_is_paid_after_all(sandbox: SandboxProcess, finance: User) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()
    sandbox.client().v1.invoices.mark_uncollectible(invoice.pk)
    refetch.refetch("invoice", invoice.pk)
    confirmed(word(credit, invoice), by=finance)
    run()
    assert sandbox.client().v1.invoices.retrieve(invoice.pk).status == "paid"


def test_above_the_threshold_a_second_person_agrees(sandbox: SandboxProcess, finance: User, manager: User) -> None:
    invoice, credit = open_invoice(sandbox, 200_000), credit_of(200_000)
    batch = confirmed(word(credit, invoice), by=finance)
    run()
    assert batch.awaiting_approval and recorded_at(sandbox) == 0
    batches.approve(batch, approver=manager)
    run()
    assert sandbox.client().v1.invoices.retrieve(invoice.pk).status == "paid"


def test_what_a_second_person_rejects_is_to_be_matched_again(
    sandbox: SandboxProcess, finance: User, manager: User
) -> None:
    invoice, credit = open_invoice(sandbox, 200_000), credit_of(200_000)
    batches.reject(confirmed(word(credit, invoice), by=finance), approver=manager, reason="another customer's")
    run()
    credit.refresh_from_db()
    assert (credit.left, credit.state) == (200_000, State.OPEN)
    assert "another customer's" in credit.matches.get().message
    confirmed(word(credit, invoice), by=finance)
    assert sorted(credit.matches.values_list("attempt", flat=True)) == [1, 2]


def test_what_stripe_refuses_is_to_be_matched_again(sandbox: SandboxProcess, finance: User) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()
    confirmed(word(credit, invoice), by=finance)
    sandbox.client().v1.invoices.void_invoice(invoice.pk)
    run()
    credit.refresh_from_db()
    match = credit.matches.get()
    assert (match.state, credit.left, credit.state) == ("released", 5000, State.OPEN) and match.message


def test_the_same_form_twice_is_one_batch(sandbox: SandboxProcess, finance: User) -> None:
    invoice, credit, id = open_invoice(sandbox), credit_of(), uuid.uuid4()
    assert confirmed(word(credit, invoice), by=finance, id=id) == confirmed(word(credit, invoice), by=finance, id=id)
    run()
    assert recorded_at(sandbox) == 1


def test_a_credit_is_assigned_once(sandbox: SandboxProcess, finance: User, manager: User) -> None:
    one, two, credit = open_invoice(sandbox), open_invoice(sandbox), credit_of()
    confirmed(word(credit, one), by=finance)
    for invoice in (one, two):
        with pytest.raises(operations.Refusal) as refused:
            confirmed(word(credit, invoice, 5000), by=manager)
        assert refused.value.code == Code.INVOICE_CHANGED
    run()
    assert recorded_at(sandbox) == 1


def test_two_people_at_once_record_it_once(sandbox: SandboxProcess, finance: User, manager: User) -> None:
    invoices, credit = [open_invoice(sandbox), open_invoice(sandbox)], credit_of()
    refused: list[Exception] = []
    barrier = threading.Barrier(2)

    def person(user: User, invoice: Invoice) -> None:
        try:
            barrier.wait(10)
            confirmed(word(credit, invoice), by=user)
        except operations.Refusal as refusal:
            refused.append(refusal)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=person, args=each) for each in zip((finance, manager), invoices, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run()
    assert len(refused) == 1 and recorded_at(sandbox) == 1 and Batch.objects.count() == 1


def test_looked_at_again_and_again_it_is_recorded_once(sandbox: SandboxProcess, finance: User) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()
    confirmed(word(credit, invoice), by=finance)
    for _ in range(3):
        run()
    assert recorded_at(sandbox) == 1 and credit.matches.get().state == "recorded"


def test_nothing_is_half_written(sandbox: SandboxProcess, finance: User, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()

    def dies(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("invoices.statements.credits.save", dies)
    with pytest.raises(KeyboardInterrupt):
        confirmed(word(credit, invoice), by=finance)
    credit.refresh_from_db()
    assert credit.left == 5000 and not Batch.objects.exists() and not BankMatch.objects.exists()


def test_a_lost_answer_leaves_it_being_recorded_until_it_is_settled(
    wire: Any, sandbox: SandboxProcess, finance: User, later: Callable[[float], None]
) -> None:
    invoice, credit = open_invoice(sandbox), credit_of()
    wire.arm("/attach_payment", "cut_after")
    confirmed(word(credit, invoice), by=finance)
    run()
    credit.refresh_from_db()
    operation = Operation.objects.get()
    assert operation.state == Operation.State.UNKNOWN and credit.state == State.RECORDING
    later(5)
    Operation.objects.update(settle_at=None)
    operations.settle_due()
    recording.settle_due()
    credit.refresh_from_db()
    assert credit.state == State.DONE and recorded_at(sandbox) == 1


@pytest.mark.parametrize("who", ["agent", "auditor"])
def test_only_those_who_may_match(sandbox: SandboxProcess, who: str, request: pytest.FixtureRequest) -> None:
    user, invoice, credit = request.getfixturevalue(who), open_invoice(sandbox), credit_of()
    with pytest.raises(operations.Refusal) as refused:
        confirmed(word(credit, invoice), by=user)
    assert refused.value.code == Code.PERMISSION_DENIED


class TestWhatIsRefused:
    @pytest.fixture
    def invoice(self, sandbox: SandboxProcess) -> Invoice:
        return open_invoice(sandbox)

    def refused(self, finance: User, *words: Confirmed) -> str:
        with pytest.raises(operations.Refusal) as refused:
            confirmed(*words, by=finance)
        assert not Batch.objects.exists() and not BankMatch.objects.exists()
        return refused.value.message

    def test_more_than_remains(self, finance: User, invoice: Invoice) -> None:
        assert "EUR 50.00 remain" in self.refused(finance, word(credit_of(6000), invoice))

    def test_more_than_is_left(self, finance: User, invoice: Invoice) -> None:
        assert "EUR 40.00 are left" in self.refused(finance, word(credit_of(4000), invoice, 5000))

    def test_two_credits_that_are_more_than_remains(self, finance: User, invoice: Invoice) -> None:
        one, two = bank.credits_of(bank.line(3000), bank.line(3000))
        assert "more than remains" in self.refused(finance, word(one, invoice), word(two, invoice))

    def test_another_currency(self, finance: User, invoice: Invoice) -> None:
        credit = bank.credits_of(bank.line(5000, currency="usd"), currency="usd")[0]
        assert "in EUR" in self.refused(finance, word(credit, invoice))

    def test_a_debit(self, finance: User, invoice: Invoice) -> None:
        assert "no such credit" in self.refused(finance, word(credit_of(-5000), invoice, 5000))

    def test_an_amount_below_zero(self, finance: User, invoice: Invoice) -> None:
        assert "more than nothing" in self.refused(finance, word(credit_of(), invoice, -100))

    def test_an_invoice_that_is_not_there(self, finance: User) -> None:
        assert "No such invoice" in self.refused(finance, Confirmed(credit_of().pk, "in_unknown", 5000))

    def test_an_id_that_no_form_has(self, sandbox: SandboxProcess, finance: User, invoice: Invoice) -> None:
        with pytest.raises(operations.Invalid):
            confirmed(word(credit_of(), invoice), by=finance, id=uuid.uuid5(uuid.uuid4(), "x"))


class TestDecisions:
    def test_what_is_ignored_is_done_and_can_be_taken_up_again(self, finance: User) -> None:
        credit = credit_of()
        decisions.decide(credit.pk, "ignored", by=finance, reason="interest of the bank")
        credit.refresh_from_db()
        assert (credit.left, credit.state) == (0, State.DONE)
        decisions.take_up_again(credit.pk, by=finance, reason="it was a customer's after all")
        credit.refresh_from_db()
        assert (credit.left, credit.state, decisions.decided(credit)) == (5000, State.OPEN, 0)

    def test_it_needs_a_reason(self, finance: User) -> None:
        with pytest.raises(operations.Invalid) as refused:
            decisions.decide(credit_of().pk, "not_ours", by=finance, reason="  ")
        assert refused.value.param == "reason"

    def test_what_is_recorded_is_not_set_aside(self, sandbox: SandboxProcess, finance: User) -> None:
        invoice, credit = open_invoice(sandbox), credit_of()
        confirmed(word(credit, invoice), by=finance)
        with pytest.raises(operations.Refusal):
            decisions.decide(credit.pk, "ignored", by=finance, reason="x")

    def test_a_payment_that_somebody_recorded_by_hand(self, sandbox: SandboxProcess, finance: User) -> None:
        """An agent was faster than the statement: the credit stands for the payment that is there."""
        invoice = open_invoice(sandbox)
        params = {"amount": 5000, "method": "Bank transfer", "received_on": "2026-11-02"}
        by_hand = operations.execute(
            "attach_out_of_band_payment", invoice.pk, actor=finance, source="admin", reason="x", params=params
        )
        one, two = bank.credits_of(bank.line(5000), bank.line(5000))
        assert decisions.recorded_by_hand(one, [invoice.pk]) == [by_hand]
        decisions.decide(one.pk, "already_recorded", by=finance, reason="by hand", operation=by_hand.pk)
        assert decisions.recorded_by_hand(two, [invoice.pk]) == []
        with pytest.raises(operations.Invalid):
            decisions.decide(two.pk, "already_recorded", by=finance, reason="by hand", operation=by_hand.pk)
        assert recorded_at(sandbox) == 1

    def test_a_payment_of_another_amount_is_not_it(self, sandbox: SandboxProcess, finance: User) -> None:
        invoice = open_invoice(sandbox)
        params = {"amount": 4000, "method": "Bank transfer", "received_on": "2026-11-02"}
        made = operations.execute(
            "attach_out_of_band_payment", invoice.pk, actor=finance, source="admin", reason="x", params=params
        )
        with pytest.raises(operations.Invalid):
            decisions.decide(credit_of().pk, "already_recorded", by=finance, reason="x", operation=made.pk)


def test_the_id_of_an_operation_follows_from_what_it_records(sandbox: SandboxProcess) -> None:
    """A database that lost its last hour sends the same key again, and Stripe repeats its first answer."""
    one, two = bank.credits_of(bank.line(5000), bank.line(5000))
    ids = [
        recording.operation_id(credit, name, attempt) for credit in (one, two) for name in "ab" for attempt in (1, 2)
    ]
    assert len(set(ids)) == 8 and recording.operation_id(one, "a", 1) == ids[0]


def test_an_erasure_takes_the_payer_and_keeps_what_the_bank_needs(sandbox: SandboxProcess, finance: User) -> None:
    invoice = open_invoice(sandbox)
    credit = credit_of(text="Invoice of Ada", payer_name="Ada Byron", payer_account="DE89370400440532013000")
    confirmed(word(credit, invoice), by=finance)
    run()
    assert KnownPayer.objects.filter(customer=invoice.customer_id).exists()
    erasure._erase_bank(str(invoice.customer_id), personal.Known())
    credit.refresh_from_db()
    assert (credit.payer_name, credit.payer_account, credit.text) == ("[redacted]",) * 3
    assert credit.bank_reference and credit.amount == 5000 and not KnownPayer.objects.exists()
