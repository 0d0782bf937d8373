"""Attacks on the recording of credits: two people, two formats, returns that come at a bad moment, pages sent again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, connections, transaction
from django.test import Client

from invoices import operations
from invoices.models import BankDecision, BankMatch, BankTransaction, Batch, Invoice, Operation, StatementLine
from invoices.operations import batch as batches
from invoices.statements import credits, decisions, proposing, recording
from tests.helpers import bank
from tests.helpers.admin_pages import hidden
from tests.helpers.bank_desk import (
    TRANSACTIONS,
    confirmed,
    credit_of,
    open_invoice,
    page,
    recorded_at,
    run,
    text,
    word,
)
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
ONE_WRITER = "SQLite has one writer at a time"


@pytest.fixture
def room(client: Client, finance: User) -> Client:
    """The admin, with somebody of finance signed in."""
    client.force_login(finance)
    return client


def at_once(*tasks: Callable[[], Any]) -> list[Exception]:
    """What these raise, begun at the same moment, each in a thread."""
    barrier, raised = threading.Barrier(len(tasks)), []

    def play(task: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            task()
        except Exception as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=play, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


class TestUploads:
    def test_two_formats_of_one_day_at_once_know_each_other(self) -> None:
        """Neither transaction saw the other's lines, so that both credits could be recorded without a warning."""
        camt = [bank.line(5000 + number, f"Invoice {number}") for number in range(40)]
        mt940 = [bank.line(5000 + number, f"INV {number}", bank_reference="") for number in range(40)]
        raised = at_once(
            lambda: bank.keep(bank.statement(*camt), content=b"camt"),
            lambda: bank.keep(bank.statement(*mt940, format="MT940"), content=b"mt940"),
        )
        assert not raised and BankTransaction.objects.filter(resembles__isnull=False).count() == 40

    def test_the_same_file_five_times_at_once(self) -> None:
        said = bank.statement(*(bank.line(5000 + number) for number in range(40)))
        raised = at_once(*[lambda: bank.keep(said, content=b"one") for _ in range(5)])
        assert not raised and BankTransaction.objects.count() == 40

    @pytest.mark.skipif(connection.vendor != "postgresql", reason=ONE_WRITER)
    def test_an_upload_does_not_wait_for_a_confirmation(self) -> None:
        """It names known transactions in the order of its file, and a confirmation locks them in another: both waited
        for each other, and one of two people met an error."""
        lines = [bank.line(5000 + number) for number in range(3)]
        rows = bank.credits_of(*lines)
        with transaction.atomic():
            credits.locked([row.pk for row in rows])
            assert not at_once(lambda: bank.keep(bank.statement(*lines, bank.line(700)), content=b"overlaps"))
        assert BankTransaction.objects.count() == 4

    def test_a_return_whose_statement_came_first(self, sandbox: SandboxProcess, finance: User) -> None:
        """People upload the newer statement first: the credit that comes later was returned already."""
        invoice = open_invoice(sandbox)
        debit = bank.line(-5000, returns=("E2E-0815-4711",), booked_on=bank.DAY)
        credit = bank.line(
            5000, f"Invoice {invoice.number}", end_to_end_id="E2E-0815-4711", booked_on=bank.DAY - timedelta(days=2)
        )
        (taken_back,) = bank.credits_of(debit, number="2")
        (row,) = bank.credits_of(credit, number="1")
        taken_back.refresh_from_db()
        assert taken_back.undoes == row
        proposing.propose_due()
        row.refresh_from_db()
        assert row.confidence == 0


class TestReturned:
    def test_a_credit_that_was_returned_after_the_page_was_opened(self, room: Client, sandbox: SandboxProcess) -> None:
        invoice = open_invoice(sandbox)
        (credit,) = bank.credits_of(bank.line(5000, f"Invoice {invoice.number}", end_to_end_id="E2E-0815-4711"))
        proposing.propose_due()
        one, many = text(room.get(page(credit))), text(room.get(f"{TRANSACTIONS}confirm/"))
        bank.credits_of(bank.line(-5000, returns=("E2E-0815-4711",)), number="2")
        given = {**hidden(one), "choice": "0", "reason": "it is there"}
        assert "took the transfer" in text(room.post(f"{page(credit)}match/", given), status=400)
        given = {**hidden(many), "sum_eur": "50", "reason": "x"}
        assert "took the transfer" in text(room.post(f"{TRANSACTIONS}confirm/", given), status=400)
        run()
        assert recorded_at(sandbox) == 0 and not Batch.objects.exists()

    def test_a_return_while_it_is_under_way_is_shown_beside_it(self, room: Client, sandbox: SandboxProcess) -> None:
        invoice, credit = open_invoice(sandbox), credit_of(end_to_end_id="E2E-0815-4711")
        confirmed(word(credit, invoice), by=User.objects.get(username="finance"))
        (debit,) = bank.credits_of(bank.line(-5000, returns=("E2E-0815-4711",)), number="2")
        run()
        assert "report a refund" in text(room.get(page(credit))) and "report a refund" in text(room.get(page(debit)))

    def test_a_return_of_a_credit_over_three_invoices_names_all(self, room: Client, sandbox: SandboxProcess) -> None:
        invoices = [open_invoice(sandbox, 1000 + number) for number in range(3)]
        credit = credit_of(3003, end_to_end_id="E2E-0815-4711")
        words = [word(credit, each, each.amount_remaining) for each in invoices]
        confirmed(*words, by=User.objects.get(username="finance"))
        run()
        (debit,) = bank.credits_of(bank.line(-3003, returns=("E2E-0815-4711",)), number="2")
        found = text(room.get(page(debit)))
        assert [each.number for each in invoices if str(each.number) not in found] == []


class TestTwoPeople:
    def test_parts_of_one_credit_are_never_more_than_it(
        self, sandbox: SandboxProcess, finance: User, manager: User
    ) -> None:
        one, two, credit = open_invoice(sandbox), open_invoice(sandbox), credit_of(6000)
        raised = at_once(
            lambda: confirmed(word(credit, one, 4000), by=finance),
            lambda: confirmed(word(credit, two, 4000), by=manager),
        )
        assert [type(each) for each in raised] == [operations.Refusal]
        run()
        credit.refresh_from_db()
        assert credit.left == 2000 and recorded_at(sandbox) == 1

    def test_one_confirms_what_the_other_ignores(self, sandbox: SandboxProcess, finance: User, manager: User) -> None:
        for _ in range(4):
            invoice, credit = open_invoice(sandbox), credit_of()
            raised = at_once(
                partial(confirmed, word(credit, invoice), by=finance),
                partial(decisions.decide, credit.pk, "ignored", by=manager, reason="interest"),
            )
            assert [type(each) for each in raised] == [operations.Refusal]
            assert credit.matches.count() + credit.decisions.count() == 1

    def test_two_credits_do_not_stand_for_one_payment(
        self, sandbox: SandboxProcess, finance: User, manager: User
    ) -> None:
        invoice = open_invoice(sandbox)
        params = {"amount": 5000, "method": "Bank transfer", "received_on": "2026-11-02"}
        made = operations.execute(
            "attach_out_of_band_payment", invoice.pk, actor=finance, source="admin", reason="x", params=params
        )
        rows: Sequence[BankTransaction] = bank.credits_of(bank.line(5000), bank.line(5000))
        raised = at_once(
            *[
                lambda row=row, by=by: decisions.decide(
                    row.pk, "already_recorded", by=by, reason="by hand", operation=made.pk
                )
                for row, by in zip(rows, (finance, manager), strict=True)
            ]
        )
        assert [type(each) for each in raised] == [operations.Invalid] and BankDecision.objects.count() == 1


class TestSentAgain:
    def test_by_hand_after_it_was_recorded(self, room: Client, sandbox: SandboxProcess) -> None:
        """The invoice is paid by then, and nothing is left: the second click read that there is no such invoice."""
        invoice, credit = open_invoice(sandbox), credit_of()
        sent = {"batch": str(uuid.uuid4()), "choice": "hand", "number_0": str(invoice.number), "reason": "x"}
        sent |= hidden(text(room.post(f"{page(credit)}match/", sent)))  # what is typed by hand is shown first
        for _ in range(3):
            answer = room.post(f"{page(credit)}match/", sent)
            assert answer.status_code == 302 and answer["Location"] == page(credit)
            run()
        assert recorded_at(sandbox) == 1

    def test_a_voided_invoice_of_a_page_of_before(self, room: Client, sandbox: SandboxProcess) -> None:
        invoice = open_invoice(sandbox)
        (credit,) = bank.credits_of(bank.line(5000, f"Invoice {invoice.number}"))
        found = text(room.get(page(credit)))
        sandbox.client().v1.invoices.void_invoice(invoice.pk)
        room.post(f"{page(credit)}match/", {**hidden(found), "choice": "0", "reason": "x"})
        run()
        credit.refresh_from_db()
        assert credit.left == 5000 and recorded_at(sandbox) == 0


def test_unknown_outcomes_do_not_keep_others_waiting(
    wire: Any, sandbox: SandboxProcess, finance: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch of an operation that goes on can be over: such matches filled the look, and no other ever ended."""
    monkeypatch.setattr(recording, "SETTLED_AT_ONCE", 1)
    wire.arm("/attach_payment", "cut_after")
    batch = confirmed(word(credit_of(), open_invoice(sandbox)), by=finance)
    batches.run_due()
    assert Operation.objects.get().state == Operation.State.UNKNOWN
    assert Batch.objects.get(pk=batch.pk).finished_at
    later = credit_of()
    confirmed(word(later, open_invoice(sandbox)), by=finance)
    batches.run_due()
    recording.settle_due()
    assert later.matches.get().state == BankMatch.State.RECORDED


def test_a_credit_that_may_be_of_another_file_is_never_confirmed_unseen(room: Client, sandbox: SandboxProcess) -> None:
    """It was medium, and so among those that can be confirmed at once."""
    invoice = open_invoice(sandbox)
    bank.keep(bank.statement(bank.line(5000, "no idea", bank_reference=""), number="1"))
    bank.keep(bank.statement(bank.line(5000, f"INV {invoice.number}", bank_reference=""), number="2"))
    proposing.propose_due()
    again = BankTransaction.objects.get(resembles__isnull=False)
    assert again.confidence == 1 and str(again.pk.hex) not in text(room.get(f"{TRANSACTIONS}confirm/?least=2"))


class TestAnotherPayment:
    @staticmethod
    def known_again() -> tuple[BankTransaction, StatementLine]:
        """Two customers' transfers say the same, in two files of one day."""
        said = {"bank_reference": "", "payer_name": "Ada"}
        (credit,) = bank.credits_of(bank.line(5000, "thank you", **said), number="1")
        bank.keep(bank.statement(bank.line(5000, "thank you", **said), number="2"))
        return credit, credit.lines.exclude(statement=credit.statement_id).get()

    def test_a_line_that_was_known_again_becomes_a_credit(self, room: Client, sandbox: SandboxProcess) -> None:
        credit, line = self.known_again()
        assert "Known again" in text(room.get(page(credit)))
        answer = room.post(f"{page(credit)}another/", {"line": line.pk, "reason": "two customers"})
        made = BankTransaction.objects.exclude(pk=credit.pk).get()
        assert answer["Location"] == page(made) and "two customers" in text(room.get(page(made)))
        assert (made.left, made.state, made.identity != credit.identity) == (5000, "open", True)
        finance = User.objects.get(username="finance")
        confirmed(word(credit, open_invoice(sandbox)), word(made, open_invoice(sandbox)), by=finance)
        run()
        assert recorded_at(sandbox) == 2

    def test_a_file_with_both_knows_both(self, finance: User) -> None:
        credit, line = self.known_again()
        decisions.say_it_is_another(credit.pk, by=finance, reason="two customers", line=line.pk)
        said = {"bank_reference": "", "payer_name": "Ada"}
        kept = bank.keep(bank.statement(*(bank.line(5000, "thank you", **said) for _ in range(2)), number="3"))
        assert (kept.new, kept.known) == (0, 2) and BankTransaction.objects.count() == 2

    def test_two_people_say_so_at_once(self, finance: User, manager: User) -> None:
        credit, line = self.known_again()
        raised = at_once(
            *[
                lambda by=by: decisions.say_it_is_another(credit.pk, by=by, reason="two customers", line=line.pk)
                for by in (finance, manager)
            ]
        )
        assert [type(each) for each in raised] == [operations.Refusal]
        assert BankTransaction.objects.count() == 2 and BankDecision.objects.count() == 1

    def test_one_that_resembles_is_proposed_as_any_other(self, room: Client, sandbox: SandboxProcess) -> None:
        invoice = open_invoice(sandbox)
        bank.keep(bank.statement(bank.line(5000, "no idea", bank_reference=""), number="1"))
        bank.keep(bank.statement(bank.line(5000, f"Invoice {invoice.number}", bank_reference=""), number="2"))
        again = BankTransaction.objects.get(resembles__isnull=False)
        assert "This is another payment" in text(room.get(page(again)))
        room.post(f"{page(again)}another/", {"reason": "another customer's"})
        proposing.propose_due()
        again.refresh_from_db()
        assert (again.confidence, again.left, decisions.decided(again)) == (3, 5000, 0)
        room.post(f"{page(again)}another/", {"reason": "twice"})
        assert BankDecision.objects.count() == 1

    def test_what_is_recorded_is_never_the_same_again(self, sandbox: SandboxProcess, finance: User) -> None:
        credit, line = self.known_again()
        made = decisions.say_it_is_another(credit.pk, by=finance, reason="x", line=line.pk).transaction
        confirmed(word(made, open_invoice(sandbox)), by=finance)
        run()
        with pytest.raises(operations.Refusal):
            decisions.decide(made.pk, "ignored", by=finance, reason="it was the same")

    def test_it_needs_a_reason_and_the_permission(self, finance: User, auditor: User) -> None:
        credit, line = self.known_again()
        for by, reason in ((finance, " "), (auditor, "x")):
            with pytest.raises(operations.Refusal):
                decisions.say_it_is_another(credit.pk, by=by, reason=reason, line=line.pk)
        assert BankTransaction.objects.count() == 1


class TestWhatChangesBeforeItIsRecorded:
    """Between a person's word and the moment at which Stripe is told."""

    @pytest.fixture
    def waiting(self, sandbox: SandboxProcess, finance: User) -> tuple[Batch, Invoice, BankTransaction]:
        """A match that a second person has to agree to."""
        invoice, credit = open_invoice(sandbox, 200_000), credit_of(200_000)
        return confirmed(word(credit, invoice), by=finance), invoice, credit

    def free_again(self, credit: BankTransaction, sandbox: SandboxProcess) -> str:
        """That nothing was recorded, and what the credit's page says."""
        credit.refresh_from_db()
        match = credit.matches.get()
        assert (match.state, credit.left, credit.state) == ("released", credit.amount, "open")
        assert recorded_at(sandbox) == 0
        return match.message

    @pytest.mark.parametrize("how", ["paid", "void", "credited"])
    def test_an_invoice_that_changed_while_it_waited(
        self, sandbox: SandboxProcess, manager: User, waiting: tuple[Batch, Invoice, BankTransaction], how: str
    ) -> None:
        batch, invoice, credit = waiting
        stripe = sandbox.client().v1
        if how == "paid":
            stripe.invoices.pay(invoice.pk)
        elif how == "void":
            stripe.invoices.void_invoice(invoice.pk)
        else:
            stripe.credit_notes.create({"invoice": invoice.pk, "amount": 150_000})
        batches.approve(batch, approver=manager)  # the mirror knows nothing of it yet
        run()
        assert self.free_again(credit, sandbox)

    def test_the_person_who_asked_does_not_approve(
        self, sandbox: SandboxProcess, finance: User, waiting: tuple[Batch, Invoice, BankTransaction]
    ) -> None:
        finance.user_permissions.add(Permission.objects.get(codename="approve_operation"))
        batch, _invoice, _credit = waiting
        with pytest.raises(operations.Refusal):
            batches.approve(batch, approver=User.objects.get(pk=finance.pk))
        run()
        assert recorded_at(sandbox) == 0

    def test_a_right_that_was_taken_away_meanwhile(self, sandbox: SandboxProcess, finance: User) -> None:
        invoice, credit = open_invoice(sandbox), credit_of()
        confirmed(word(credit, invoice), by=finance)
        finance.groups.clear()
        run()
        assert self.free_again(credit, sandbox)

    def test_a_request_that_nobody_decides_on_expires(
        self,
        sandbox: SandboxProcess,
        manager: User,
        waiting: tuple[Batch, Invoice, BankTransaction],
        later: Callable[[float], None],
    ) -> None:
        batch, _invoice, credit = waiting
        later(40 * 86400)
        run()
        with pytest.raises(operations.Refusal):
            batches.approve(Batch.objects.get(pk=batch.pk), approver=manager)
        run()
        assert self.free_again(credit, sandbox)

    @pytest.mark.parametrize("fault", ["error_500", "error_500_after", "error_429", "drop_reply"])
    @pytest.mark.parametrize("call", ["POST /v1/payment_records/*", "POST /v1/invoices/*/attach_payment"])
    def test_stripe_fails_in_the_middle(
        self, sandbox: SandboxProcess, finance: User, later: Callable[[float], None], fault: str, call: str
    ) -> None:
        """It is recorded once at most, and ends as recorded or as free again: never as both, never as neither."""
        invoice, credit = open_invoice(sandbox), credit_of()
        sandbox.faults(**{fault: 1}, only=[call])
        confirmed(word(credit, invoice), by=finance)
        run()
        sandbox.clear_faults()
        for _ in range(4):
            later(600)
            Operation.objects.filter(state="unknown").update(settle_at=None)
            operations.settle_due()
            run()
        credit.refresh_from_db()
        match, paid = credit.matches.get(), sandbox.client().v1.invoices.retrieve(invoice.pk).amount_paid
        assert (match.state, paid, credit.left) in (("recorded", 5000, 0), ("released", 0, 5000))
        if match.state == "released":
            confirmed(word(credit, invoice), by=finance)
            run()
            credit.refresh_from_db()
            assert credit.state == "done"
        payments = sandbox.client().v1.invoice_payments.list({"invoice": invoice.pk, "status": "paid"}).data
        assert [each.amount_paid for each in payments] == [5000]
