"""Many invoices at once: one operation each, however often it is taken up."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices import clock, live, operations
from invoices.models import Batch, Invoice, Operation
from invoices.operations import batch as batches
from tests.factories import customer_at, invoice_at
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


def some(sandbox: SandboxProcess, number: int, **given: Any) -> list[Invoice]:
    customer = customer_at(sandbox).id
    ids = [invoice_at(sandbox, customer=customer, **given).id for _ in range(number)]
    for id in ids:
        live.read_now("invoice", id)
    return list(Invoice.objects.filter(pk__in=ids).order_by("pk"))


def begin(action: str, invoices: list[Invoice], user: User, **given: Any) -> Batch:
    return batches.start(action, invoices, actor=user, reason="a wrong run", batch_id=uuid.uuid4(), **given)


def test_each_gets_its_operation_and_the_unfit_their_reason(sandbox: SandboxProcess, agent: User) -> None:
    invoices = some(sandbox, 3)
    sandbox.client().v1.invoices.pay(invoices[1].pk)
    batch = begin("void", invoices, agent)
    assert batches.progress(batch) == {"waiting": 3}
    assert batches.run_due() == 1
    batch.refresh_from_db()
    assert batch.finished_at is not None
    assert batches.progress(batch) == {"succeeded": 2, "failed": 1, "waiting": 0}
    failed = Operation.objects.get(batch=batch, state="failed")
    assert (failed.invoice, failed.code) == (invoices[1].pk, "invoice_changed")
    assert {operation.reason for operation in batch.operations.all()} == {"a wrong run"}


def test_confirmed_twice_it_is_one_batch(sandbox: SandboxProcess, agent: User) -> None:
    invoices, id = some(sandbox, 1), uuid.uuid4()
    for _ in range(2):
        batches.start("pay", invoices, actor=agent, reason="asked", batch_id=id)
    batches.run_due()
    batches.run_due()
    assert sandbox.stats()["charges"] == {invoices[0].pk: 1}


def test_out_of_band_takes_what_remains_of_each(sandbox: SandboxProcess, agent: User) -> None:
    invoices = some(sandbox, 1, amount=700) + some(sandbox, 1, amount=900)
    batch = begin(
        "attach_out_of_band_payment", invoices, agent, params={"method": "Check", "received_on": "2026-11-02"}
    )
    batches.run_due()
    assert batches.progress(batch)["succeeded"] == 2
    assert sorted(operation.params["amount"] for operation in batch.operations.all()) == [700, 900]


def test_a_batch_whose_process_died_goes_on(sandbox: SandboxProcess, agent: User) -> None:
    invoices = some(sandbox, 3)
    batch = begin("void", invoices, agent)
    batches._one(batch, batch.items[0])
    Batch.objects.filter(pk=batch.pk).update(claim_token=uuid.uuid4(), claimed_until=clock.now() + timedelta(minutes=1))
    assert batches.run_due() == 0  # somebody has it
    Batch.objects.filter(pk=batch.pk).update(claimed_until=clock.now() - timedelta(seconds=1))
    assert batches.run_due() == 1
    assert batches.progress(batch) == {"succeeded": 3, "waiting": 0}
    voids = sandbox.stats()["requests"]["POST /v1/invoices/:id/void"]
    assert voids == 3


def test_cancelled_and_paused(sandbox: SandboxProcess, agent: User) -> None:
    invoices = some(sandbox, 2)
    paused = begin("void", invoices[:1], agent)
    operations.brake.pause("void", "an audit", None)
    batches.run_due()
    assert batches.progress(paused) == {"waiting": 1}
    operations.brake.resume("void", None)
    cancelled = begin("void", invoices[1:], agent)
    assert batches.cancel(cancelled, agent)
    batches.run_due()
    assert batches.progress(paused) == {"succeeded": 1, "waiting": 0}
    assert batches.progress(cancelled) == {"waiting": 1}
    cancelled.refresh_from_db()
    assert cancelled.finished_at is not None


def test_who_may_not_starts_nothing(sandbox: SandboxProcess, auditor: User) -> None:
    with pytest.raises(operations.Refusal):
        begin("void", some(sandbox, 1), auditor)
    assert not Batch.objects.exists()
