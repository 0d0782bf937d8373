"""The command line: actions by the same rules into the same journal, the brake, settling."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from invoices import live
from invoices.models import Invoice, Operation, Pause
from tests.factories import invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


def perform(*words: str) -> tuple[int, str]:
    """(exit status, what it said)."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("perform", *words, stdout=out)
    return int(ended.value.code or 0), out.getvalue()


@pytest.fixture
def open_invoice(sandbox: SandboxProcess) -> Any:
    invoice = invoice_at(sandbox)
    live.read_now("invoice", invoice.id)
    return invoice


class TestPerform:
    def test_it_pays_and_journals(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        code, said = perform("pay", open_invoice.id, "--reason", "asked by mail", "--as", "agent", "--ticket", "T-1")
        assert code == 0 and "has been paid" in said
        operation = Operation.objects.get()
        assert (operation.source, operation.actor, operation.ticket) == ("command", agent, "T-1")
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_amounts_are_typed_in_the_invoice_s_own_units(self, sandbox: SandboxProcess, agent: User) -> None:
        yen = invoice_at(sandbox, 900, currency="jpy")  # not mirrored yet: its currency is asked for first
        words = ("--method", "Cash", "--received-on", "2026-11-02", "--reason", "paid at the desk", "--as", "agent")
        code, _ = perform("attach_out_of_band_payment", yen.id, "--amount", "400", *words)
        assert code == 0
        assert Invoice.objects.get(pk=yen.id).amount_remaining == 500
        with pytest.raises(CommandError, match="JPY has no decimals"):
            call_command("perform", "attach_out_of_band_payment", yen.id, "--amount", "1.50", *words)

    def test_a_decline_is_exit_1_with_advice(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        code, said = perform("pay", invoice.id, "--reason", "asked", "--as", "agent")
        assert code == 1 and "declined" in said and "another card" in said

    def test_an_unknown_outcome_is_exit_3_and_settling_ends_it(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        sandbox.faults(drop_reply=1.0, only=["POST /v1/invoices/*/pay"])
        code, said = perform("pay", open_invoice.id, "--reason", "asked", "--as", "agent")
        assert code == 3 and "being checked with Stripe" in said
        sandbox.clear_faults()
        Operation.objects.update(settle_at=None)
        out = StringIO()
        call_command("settle_operations", stdout=out)
        assert out.getvalue() == "1 operations looked at; 0 are unfinished.\n"
        assert Operation.objects.get().state == "succeeded"

    def test_waiting_for_a_second_person_is_exit_3(self, sandbox: SandboxProcess, agent: User) -> None:
        big = invoice_at(sandbox, 200_000)
        code, _ = perform("void", big.id, "--reason", "a double", "--as", "agent")
        assert code == 3 and Operation.objects.get().state == "awaiting_approval"

    def test_the_same_permissions(self, open_invoice: Any, auditor: User) -> None:
        with pytest.raises(CommandError, match="permission_denied"):
            call_command("perform", "void", open_invoice.id, "--reason", "asked", "--as", "auditor")

    def test_without_a_user_the_only_superuser_acts(self, open_invoice: Any) -> None:
        with pytest.raises(CommandError, match="--as USER"):
            call_command("perform", "void", open_invoice.id, "--reason", "asked")
        root = User.objects.create_superuser("root", "root@example.com", "a long enough password")
        assert perform("void", open_invoice.id, "--reason", "asked")[0] == 0
        assert Operation.objects.get().actor == root

    def test_nobody_of_that_name_and_no_such_invoice(self, sandbox: SandboxProcess, agent: User) -> None:
        with pytest.raises(CommandError, match="no active user"):
            call_command("perform", "pay", "in_1", "--reason", "asked", "--as", "nobody")
        with pytest.raises(CommandError, match="No such invoice"):
            call_command("perform", "pay", "in_nope", "--reason", "asked", "--as", "agent")

    def test_a_reason_is_needed(self, open_invoice: Any, agent: User) -> None:
        with pytest.raises(CommandError, match="--reason"):
            call_command("perform", "pay", open_invoice.id, "--as", "agent")


class TestTheBrake:
    def said(self, *words: str) -> str:
        out = StringIO()
        call_command("actions", *words, stdout=out)
        return out.getvalue()

    def test_on_and_off(self, open_invoice: Any, agent: User, manager: User) -> None:
        assert self.said("status") == "Every action runs.\n"
        said = self.said("pause", "pay", "--reason", "the bank has an outage", "--as", "manager")
        assert "Pay paused: the bank has an outage" in said and "by manager" in said
        with pytest.raises(CommandError, match="actions_paused"):
            call_command("perform", "pay", open_invoice.id, "--reason", "asked", "--as", "agent")
        assert self.said("resume", "pay") == "Every action runs.\n"
        assert Pause.objects.get().paused_by == manager
        assert perform("pay", open_invoice.id, "--reason", "asked", "--as", "agent")[0] == 0

    def test_what_cannot_be_is_said(self, db: None) -> None:
        assert self.said("resume").startswith("Nothing was paused.")
        self.said("pause", "--reason", "an audit")
        with pytest.raises(CommandError, match="paused already"):
            self.said("pause", "--reason", "again")
        with pytest.raises(CommandError, match="invalid choice"):
            self.said("pause", "everything", "--reason", "x")
