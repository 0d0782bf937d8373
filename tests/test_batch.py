"""Many invoices at once: one operation each, however often it is taken up."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices import clock, operations, refetch, throttle
from invoices.models import Batch, BatchItem, Code, Email, Invoice, Operation
from invoices.operations import batch as batches
from invoices.operations import decisions
from tests.factories import customer_at, invoice_at
from tests.helpers.database import rewrite
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


def some(sandbox: SandboxProcess, number: int, **given: Any) -> list[Invoice]:
    customer = customer_at(sandbox).id
    ids = [invoice_at(sandbox, customer=customer, **given).id for _ in range(number)]
    for id in ids:
        refetch.refetch("invoice", id)
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
    batches._perform_item(batch, batch.items[0])
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
    operations.pauses.begin("void", "an audit", None)
    batches.run_due()
    assert batches.progress(paused) == {"waiting": 1}
    operations.pauses.end("void", None)
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


def test_each_item_waits_for_its_read_and_its_action_and_a_single_action_for_nothing(
    sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[None] = []
    monkeypatch.setattr(throttle, "wait", lambda: waits.append(None))
    *invoices, single = some(sandbox, 4)
    before = sum(sandbox.stats()["requests"].values())
    begin("void", invoices, agent)
    batches.run_due()
    assert len(waits) == 2 * 3
    assert sum(sandbox.stats()["requests"].values()) - before == len(waits)
    operations.execute("void", single.pk, actor=agent, source="admin", reason="a wrong run")
    assert len(waits) == 2 * 3


def test_cancelled_while_it_waits_for_a_second_person(
    sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None]
) -> None:
    """Nobody is asked about it any more, and it does not stand in the way of other batches a week later."""
    User.objects.filter(pk=manager.pk).update(email="manager@example.com")
    batch = begin("void", some(sandbox, 2, amount=700_000), agent)
    assert batch.awaiting_approval and batches.cancel(batch, agent)
    decisions.announce()
    assert not Email.objects.exists()
    later(8 * 86400)
    other = begin("void", some(sandbox, 1, amount=700), agent)
    batches.run_due()
    assert batches.progress(other)["succeeded"] == 1
    batch.refresh_from_db()
    assert batch.finished_at and batch.cancelled_by == agent


def test_an_item_that_cannot_be_judged_is_journalled(sandbox: SandboxProcess, agent: User, settings: Any) -> None:
    """A bank has the payment of one, so Stripe must be asked, and is away: its row says so."""
    invoices = some(sandbox, 2)
    act("pay", invoices[0].pk, agent, params={"payment_method": "pm_usBankAccount_processing"})
    batch = begin("pay", invoices, agent)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    batches.run_due()
    batch.refresh_from_db()
    assert batch.finished_at and batches.progress(batch)["waiting"] == 0
    assert set(batch.operations.values_list("code", flat=True)) == {Code.STRIPE_UNAVAILABLE}


def test_an_item_of_which_nothing_remains_is_journalled(sandbox: SandboxProcess, agent: User) -> None:
    params = {"method": "Cash", "received_on": "2026-11-02"}
    batch = begin("attach_out_of_band_payment", some(sandbox, 2), agent, params=params)
    rewrite(batch, items=[batch.items[0]._replace(amount_remaining=0), batch.items[1]])
    batches.run_due()
    assert batches.progress(batch) == {"refused": 1, "succeeded": 1, "waiting": 0}
    assert batch.operations.get(invoice=batch.items[0].invoice).code == Code.PARAMETER_INVALID


def test_an_error_that_nobody_expected_holds_up_no_other_item(
    sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine invoices are more than two rounds of threads. The batch stays open, and the item is tried again."""
    batch = begin("void", some(sandbox, 9), agent)
    execute = batches.execute

    def broken(action: str, invoice: str, **given: Any) -> Operation:
        if invoice == batch.items[0].invoice:
            raise KeyError("a bug")
        return execute(action, invoice, **given)

    monkeypatch.setattr(batches, "execute", broken)
    batches.run_due()
    batch.refresh_from_db()
    assert batch.finished_at is None and batches.progress(batch) == {"succeeded": 8, "waiting": 1}
    assert batches.run_due() == 0  # not before its claim has lapsed
    monkeypatch.setattr(batches, "execute", execute)
    rewrite(batch, claimed_until=clock.now())
    batches.run_due()
    batch.refresh_from_db()
    assert batch.finished_at and batches.progress(batch) == {"succeeded": 9, "waiting": 0}


class TestItemsWithParametersOfTheirOwn:
    """A batch of payments, each with its own amount, of which one invoice may take several."""

    def payment(self, invoice: Invoice, amount: int, before: int = 0, **more: Any) -> BatchItem:
        params = {"amount": amount, "method": "Bank transfer", "received_on": "2026-11-02", **more}
        remaining = (invoice.amount_remaining or 0) - before
        return BatchItem(
            invoice.pk, invoice.status, remaining, invoice.currency or "", params, str(uuid.uuid5(uuid.uuid4(), "x"))
        )

    def begin(self, items: list[BatchItem], actor: User, id: uuid.UUID | None = None) -> Batch:
        return batches.start_items(
            "attach_out_of_band_payment", items, actor=actor, reason="the statement", batch_id=id or uuid.uuid4()
        )

    def test_one_invoice_takes_two_payments_one_after_the_other(self, sandbox: SandboxProcess, agent: User) -> None:
        first, second = some(sandbox, 1, amount=700) + some(sandbox, 1, amount=900)
        items = [self.payment(first, 300), self.payment(second, 900), self.payment(first, 400, before=300)]
        batch = self.begin(items, agent)
        assert batch.sums == {"usd": 1600}
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 3, "waiting": 0}
        assert {str(each.pk) for each in batch.operations.all()} == {item.operation for item in items}
        invoices = sandbox.client().v1.invoices
        assert [invoices.retrieve(each.pk).status for each in (first, second)] == ["paid", "paid"]
        assert sandbox.stats()["requests"]["POST /v1/payment_records/report_payment"] == 3

    def test_a_second_person_agrees_to_their_sum(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        invoices = some(sandbox, 2, amount=90_000)
        batch = self.begin([self.payment(each, 60_000) for each in invoices], agent)
        need = batches.why_it_waits(batch)
        assert batch.awaiting_approval and need is not None and need.amount == 120_000
        batches.approve(batch, approver=manager)
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 2, "waiting": 0}
        assert {each.approver for each in batch.operations.all()} == {manager}

    def test_a_wrong_parameter_of_one_makes_no_batch(self, sandbox: SandboxProcess, agent: User) -> None:
        (invoice,) = some(sandbox, 1)
        with pytest.raises(operations.Invalid) as refused:
            self.begin([self.payment(invoice, 300, method="Barter")], agent)
        assert refused.value.param == "method" and not Batch.objects.exists()

    def test_one_operation_is_not_asked_for_twice(self, sandbox: SandboxProcess, agent: User) -> None:
        (invoice,) = some(sandbox, 1)
        item = self.payment(invoice, 300)
        with pytest.raises(operations.Invalid):
            self.begin([item, item], agent)

    def test_sent_twice_it_is_one_batch_and_with_another_amount_none(
        self, sandbox: SandboxProcess, agent: User
    ) -> None:
        (invoice,) = some(sandbox, 1)
        item, id = self.payment(invoice, 300), uuid.uuid4()
        assert self.begin([item], agent, id) == self.begin([item], agent, id)
        with pytest.raises(operations.Refusal) as refused:
            self.begin([self.payment(invoice, 400)], agent, id)
        assert refused.value.code == Code.IDEMPOTENCY_KEY_REUSED
