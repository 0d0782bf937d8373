"""Pauses: nothing new is sent, nothing is forgotten, and everyone reads why."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices import operations
from invoices.models import Operation
from invoices.operations import pauses
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State


@pytest.mark.parametrize("action", ["", "pay"])
def test_nothing_new_is_taken(sandbox: SandboxProcess, open_invoice: Any, agent: User, action: str) -> None:
    pauses.begin(action, "the bank has an outage", None)
    with pytest.raises(operations.Refusal) as refusal:
        operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert refusal.value.code == "actions_paused" and "the bank has an outage" in refusal.value.message
    assert sandbox.stats()["charges"] == {}
    pauses.end(action, None)
    paid = operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert paid.state == State.SUCCEEDED


def test_other_actions_go_on(open_invoice: Any, agent: User) -> None:
    pauses.begin("pay", "the bank has an outage", None)
    done = operations.execute("void", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert done.state == State.SUCCEEDED


def test_what_was_ready_waits_and_then_goes_on(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    operation = operations.request("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    pauses.begin("", "an audit", None)
    assert operations.perform(operation.pk).state == State.READY
    assert sandbox.stats()["charges"] == {}
    pauses.end("", None)
    assert operations.perform(operation.pk).state == State.SUCCEEDED


def test_settling_looks_but_does_not_send(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    sandbox.faults(error_500=1.0, only=["POST /v1/invoices/*/pay"])
    operation = operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert operation.state == State.UNKNOWN
    sandbox.clear_faults()
    sent = sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"]
    pauses.begin("", "an audit", None)
    Operation.objects.filter(pk=operation.pk).update(settle_at=None)
    operations.settle_due()
    assert Operation.objects.get(pk=operation.pk).state == State.UNKNOWN
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"] == sent
    pauses.end("", None)
    Operation.objects.filter(pk=operation.pk).update(settle_at=None)
    operations.settle_due()
    assert Operation.objects.get(pk=operation.pk).state in Operation.FINAL
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"] == sent + 1


def test_one_pause_of_a_kind_and_a_reason(db: None) -> None:
    pauses.begin("", "an audit", None)
    with pytest.raises(operations.Refusal):
        pauses.begin("", "again", None)
    with pytest.raises(operations.Invalid):
        pauses.begin("void", " ", None)
