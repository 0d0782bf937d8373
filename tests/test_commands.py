"""The command line: actions by the same rules into the same journal, pauses, settling."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from invoices.models import Invoice, Operation, Pause
from tests.factories import invoice_at
from tests.helpers.commands import run_command
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


class TestPerform:
    def test_it_pays_and_journals(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        code, said = run_command(
            "perform", "pay", open_invoice.id, "--reason", "asked by mail", "--as", "agent", "--ticket", "T-1"
        )
        assert code == 0 and "has been paid" in said
        operation = Operation.objects.get()
        assert (operation.source, operation.actor, operation.ticket) == ("command", agent, "T-1")
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_amounts_are_typed_in_the_invoice_s_own_units(self, sandbox: SandboxProcess, agent: User) -> None:
        yen = invoice_at(sandbox, 900, currency="jpy")  # not mirrored yet: its currency is asked for first
        words = ("--method", "Cash", "--received-on", "2026-11-02", "--reason", "paid at the desk", "--as", "agent")
        code, _ = run_command("perform", "attach_out_of_band_payment", yen.id, "--amount", "400", *words)
        assert code == 0
        assert Invoice.objects.get(pk=yen.id).amount_remaining == 500
        with pytest.raises(CommandError, match="JPY has no decimals"):
            call_command("perform", "attach_out_of_band_payment", yen.id, "--amount", "1.50", *words)

    def test_an_amount_is_read_back_or_refused_with_both_readings(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, 100_000)
        words = ("--method", "Cash", "--received-on", "2026-11-02", "--reason", "paid at the desk", "--as", "agent")
        with pytest.raises(CommandError, match=r"could mean USD 9\.50 or USD 950\.00\. Write 9\.50 or 950\.00\."):
            call_command("perform", "attach_out_of_band_payment", invoice.id, "--amount", "9,50", *words)
        assert not Operation.objects.exists()
        code, said = run_command("perform", "attach_out_of_band_payment", invoice.id, "--amount", "9.50", *words)
        assert code == 0 and said.startswith("Amount: 9.50 US dollars\n")
        assert Invoice.objects.get(pk=invoice.id).amount_remaining == 99_050

    def test_the_amount_is_read_back_before_anything_is_sent(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox)
        words = ("--method", "Cash", "--received-on", "2999-11-02", "--reason", "paid at the desk", "--as", "agent")
        output = StringIO()
        with pytest.raises(CommandError, match="in the future"):
            call_command("perform", "attach_out_of_band_payment", invoice.id, "--amount", "950", *words, stdout=output)
        assert output.getvalue() == "Amount: 950.00 US dollars\n"

    def test_a_decline_is_exit_1_with_advice(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        code, said = run_command("perform", "pay", invoice.id, "--reason", "asked", "--as", "agent")
        assert code == 1 and "declined" in said and "another card" in said

    def test_an_unknown_outcome_is_exit_3_and_settling_ends_it(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        sandbox.faults(drop_reply=1.0, only=["POST /v1/invoices/*/pay"])
        code, said = run_command("perform", "pay", open_invoice.id, "--reason", "asked", "--as", "agent")
        assert code == 3 and "being checked with Stripe" in said
        sandbox.clear_faults()
        Operation.objects.update(settle_at=None)
        out = StringIO()
        call_command("settle_operations", stdout=out)
        assert out.getvalue() == "1 operations looked at; 0 are unfinished.\n"
        assert Operation.objects.get().state == "succeeded"

    def test_waiting_for_a_second_person_is_exit_3(self, sandbox: SandboxProcess, agent: User) -> None:
        big = invoice_at(sandbox, 200_000)
        code, _ = run_command("perform", "void", big.id, "--reason", "a double", "--as", "agent")
        assert code == 3 and Operation.objects.get().state == "awaiting_approval"

    def test_the_same_permissions(self, open_invoice: Any, auditor: User) -> None:
        with pytest.raises(CommandError, match="permission_denied"):
            call_command("perform", "void", open_invoice.id, "--reason", "asked", "--as", "auditor")

    def test_without_a_user_the_only_superuser_acts(self, open_invoice: Any) -> None:
        with pytest.raises(CommandError, match="--as USER"):
            call_command("perform", "void", open_invoice.id, "--reason", "asked")
        root = User.objects.create_superuser("root", "root@example.com", "a long enough password")
        assert run_command("perform", "void", open_invoice.id, "--reason", "asked")[0] == 0
        assert Operation.objects.get().actor == root

    def test_nobody_of_that_name_and_no_such_invoice(self, sandbox: SandboxProcess, agent: User) -> None:
        with pytest.raises(CommandError, match="no active user"):
            call_command("perform", "pay", "in_1", "--reason", "asked", "--as", "nobody")
        with pytest.raises(CommandError, match="No such invoice"):
            call_command("perform", "pay", "in_nope", "--reason", "asked", "--as", "agent")

    def test_a_reason_is_needed(self, open_invoice: Any, agent: User) -> None:
        with pytest.raises(CommandError, match="--reason"):
            call_command("perform", "pay", open_invoice.id, "--as", "agent")


class TestPauses:
    def said(self, *words: str) -> str:
        out = StringIO()
        call_command(*words, stdout=out)
        return out.getvalue()

    def test_on_and_off(self, open_invoice: Any, agent: User, manager: User) -> None:
        assert self.said("pauses") == "Every action runs.\n"
        said = self.said("pause", "pay", "--reason", "the bank has an outage", "--as", "manager")
        assert "Pay (and Charge a part) is paused, by manager: the bank has an outage" in said and "by manager" in said
        with pytest.raises(CommandError, match="actions_paused"):
            call_command("perform", "pay", open_invoice.id, "--reason", "asked", "--as", "agent")
        assert self.said("resume", "pay") == "Every action runs.\n"
        assert Pause.objects.get().paused_by == manager
        assert run_command("perform", "pay", open_invoice.id, "--reason", "asked", "--as", "agent")[0] == 0

    def test_resuming_all_leaves_the_pause_of_one_action(self, db: None) -> None:
        self.said("pause", "--reason", "an audit")
        self.said("pause", "void", "--reason", "the books are being closed")
        assert len(self.said("pauses").splitlines()) == 2
        assert "an audit" not in self.said("resume") and "Void" in self.said("pauses")

    def test_what_cannot_be_is_said(self, db: None) -> None:
        assert self.said("resume").startswith("Nothing was paused.")
        self.said("pause", "--reason", "an audit")
        with pytest.raises(CommandError, match="paused already"):
            self.said("pause", "--reason", "again")
        with pytest.raises(CommandError, match="invalid choice"):
            self.said("pause", "everything", "--reason", "x")
