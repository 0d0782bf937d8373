"""The proof of equality: equal when equal, and the day and the sums named where not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core import mail

from invoices import reconcile, sync
from invoices.models import ReconciliationRun
from tests.factories import invoice_at
from tests.helpers.commands import run_command
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


def test_equal_after_an_import_over_every_status_and_currency(sandbox: SandboxProcess) -> None:
    sandbox.reset(invoices=120, seed=3)
    assert reconcile.sweep_lists("full").exit_code == 0
    code, said = run_command("reconcile", "--verify")
    assert (code, said.splitlines()[-1]) == (0, "Equal.")
    run = ReconciliationRun.objects.get(kind="verify")
    assert run.report["equal"] and run.seen == 120
    assert run.report["digest"]["ours"] == run.report["digest"]["theirs"]
    assert len({group.split()[0] for day in run.report["days"] for group in day["ours"]["groups"]}) > 2


def test_a_difference_is_named_with_its_sums(sandbox: SandboxProcess) -> None:
    invoice = invoice_at(sandbox, 1234)
    reconcile.sweep_lists("full")
    sync.process_events()  # what the catch-up brought would explain the difference
    sandbox.client().v1.invoices.void_invoice(invoice.id)
    code, said = run_command("reconcile", "--verify", "--json")
    assert code == 3
    (day,) = json.loads(said)["report"]["days"]
    assert day["ours"]["groups"] == {"usd open": [1, 1234, 0, 1234]}
    assert day["theirs"]["groups"] == {"usd void": [1, 1234, 0, 1234]}
    assert run_command("reconcile", "--full")[0] == 3
    assert run_command("reconcile", "--verify")[0] == 0


def test_a_difference_in_a_member_that_no_sum_shows(sandbox: SandboxProcess) -> None:
    invoice = invoice_at(sandbox)
    reconcile.sweep_lists("full")
    sync.process_events()  # what the catch-up brought would explain the difference
    sandbox.client().v1.invoices.update(invoice.id, {"metadata": {"order": "17"}})
    code, said = run_command("reconcile", "--verify")
    assert code == 3 and "DIFFERS" in said


def test_finance_hears_of_drift_and_not_of_its_absence(sandbox: SandboxProcess, settings: Any) -> None:
    settings.FINANCE_EMAILS = ["finance@example.com"]
    invoice = invoice_at(sandbox)
    reconcile.sweep_lists()
    sync.process_events()
    assert mail.outbox == []
    sandbox.client().v1.invoices.void_invoice(invoice.id)
    reconcile.sweep_lists()
    (sent,) = mail.outbox
    assert sent.to == ["finance@example.com"]
    assert f"{invoice.id} status: 'open' here, 'void' at Stripe (healed)" in sent.body
