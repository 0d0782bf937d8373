"""The gate: what was allowed when it was asked for is judged again when it is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import IntegrityError, connection, transaction
from django.test import Client

from invoices import clock, operations, refetch
from invoices.models import ApiToken, Batch, Code, Invoice, Operation
from invoices.operations import approval, decisions, gate, pauses
from invoices.operations import batch as batches
from tests.crash.wire import Wire
from tests.factories import customer_at, invoice_at, stored, user_in_group
from tests.helpers.admin_pages import hidden
from tests.helpers.database import rewrite, without_triggers
from tests.helpers.operations import act, look, lost
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
RECEIVED = {"method": "Cash", "received_on": "2026-11-02"}


def asked(action: str, invoice: str, user: User, **given: Any) -> Operation:
    """Asked for, and not performed yet."""
    return operations.request(action, invoice, actor=user, source="admin", reason="the customer asked", **given)


def opened(sandbox: SandboxProcess, amount: int = 1000, **given: Any) -> str:
    """An open invoice at Stripe and in the mirror; its id."""
    invoice = invoice_at(sandbox, amount, **given)
    refetch.refetch("invoice", invoice.id)
    return str(invoice.id)


def status(sandbox: SandboxProcess, id: str) -> str:
    return str(sandbox.client().v1.invoices.retrieve(id).status)


def writes(sandbox: SandboxProcess, path: str) -> int:
    return int(sandbox.stats()["requests"].get(f"POST /v1/invoices/:id/{path}", 0))


def take_permission(user: User, codename: str) -> None:
    """An administrator takes one permission from the user, who keeps the others of the groups."""
    kept = Permission.objects.filter(group__user=user).exclude(codename=codename)
    user.user_permissions.set(kept)
    user.groups.clear()


class TestAuthority:
    @pytest.mark.parametrize("why", ["deactivated", "permission taken"])
    def test_whoever_may_no_longer_sends_nothing(self, sandbox: SandboxProcess, agent: User, why: str) -> None:
        operation = asked("pay", opened(sandbox), agent)
        if why == "deactivated":
            User.objects.filter(pk=agent.pk).update(is_active=False)
        else:
            take_permission(agent, "pay_invoice")
        done = operations.perform(operation.pk)
        assert (done.state, done.code, done.calls) == (State.FAILED, Code.PERMISSION_DENIED, [])
        assert "agent" in done.message and "Nothing was sent" in done.message
        assert sandbox.stats()["charges"] == {}

    def test_a_revoked_token_sends_nothing(self, sandbox: SandboxProcess, agent: User) -> None:
        _, token = _token(agent)
        operation = asked("pay", opened(sandbox), agent)
        rewrite(operation, token=token)
        ApiToken.objects.filter(pk=token.pk).update(revoked_at=clock.now())
        done = operations.perform(operation.pk)
        assert (done.state, done.code) == (State.FAILED, Code.PERMISSION_DENIED)
        assert sandbox.stats()["charges"] == {}

    def test_an_override_is_not_remembered_longer_than_its_permission(
        self, sandbox: SandboxProcess, manager: User
    ) -> None:
        invoice = opened(sandbox, card="pm_card_chargeCustomerFail")
        assert act("pay", invoice, manager).code == Code.CARD_DECLINED
        operation = asked("pay", invoice, manager, override=True)
        assert operation.cooldown_override
        take_permission(manager, "override_operation")
        assert operations.perform(operation.pk).code == Code.PERMISSION_DENIED
        assert writes(sandbox, "pay") == 1

    def test_a_permission_taken_while_the_invoice_is_read_counts(
        self, wire: Wire, sandbox: SandboxProcess, agent: User
    ) -> None:
        operation = asked("pay", opened(sandbox), agent)
        wire.on_get = lambda path: take_permission(agent, "pay_invoice")
        assert operations.perform(operation.pk).code == Code.PERMISSION_DENIED
        assert sandbox.stats()["charges"] == {}

    def test_what_was_sent_is_not_sent_again_without_authority_and_still_settles(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "timeout_before", "pay", opened(sandbox), agent)
        User.objects.filter(pk=agent.pk).update(is_active=False)
        wire.posts.clear()
        operation = look(operation, later)
        assert operation.state == State.UNKNOWN and "no longer active" in operation.message
        assert wire.posts == []
        User.objects.filter(pk=agent.pk).update(is_active=True)
        assert look(operation, later).state == State.SUCCEEDED
        assert list(sandbox.stats()["charges"].values()) == [1]

    def test_evidence_settles_also_what_may_not_be_sent_again(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "drop", "pay", opened(sandbox), agent)
        User.objects.filter(pk=agent.pk).update(is_active=False)
        wire.posts.clear()
        assert look(operation, later).state == State.SUCCEEDED
        assert wire.posts == []

    def test_authority_between_two_calls(self, wire: Wire, sandbox: SandboxProcess, agent: User) -> None:
        """The payment is reported, then the permission is taken: it is not attached, and the journal says both."""
        invoice = opened(sandbox)
        seen: list[str] = []

        def take_after_the_report(path: str) -> None:
            if any(path.endswith("report_payment") for path, _, _ in wire.posts) and not seen:
                seen.append(path)
                take_permission(agent, "attach_out_of_band_payment_invoice")

        wire.on_get = take_after_the_report
        done = act("attach_out_of_band_payment", invoice, agent, params={**RECEIVED, "amount": 1000})
        assert (done.state, done.code) == (State.FAILED, Code.PERMISSION_DENIED)
        assert "report_payment (" in done.message and "The rest was not sent" in done.message
        assert status(sandbox, invoice) == "open"

    def test_a_process_that_was_stopped_before_it_sent_does_not_send(
        self, sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It slept for two minutes between renewing its claim and sending; by then another one may have taken over."""
        operation = asked("pay", opened(sandbox), agent)
        now, slept = clock.now, [timedelta(0)]
        monkeypatch.setattr(clock, "now", lambda: now() + slept[0])
        check = gate.check_time_left

        def sleep(operation: Operation) -> None:
            slept[0] = timedelta(minutes=2)
            check(operation)

        monkeypatch.setattr(gate, "check_time_left", sleep)
        operations.perform(operation.pk)
        assert sandbox.stats()["charges"] == {}
        monkeypatch.setattr(gate, "check_time_left", check)
        slept[0] = timedelta(minutes=6)
        operations.settle_due()
        assert Operation.objects.get(pk=operation.pk).state == State.SUCCEEDED
        assert list(sandbox.stats()["charges"].values()) == [1]

    def test_a_ready_operation_is_not_sent_after_an_hour(
        self, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = asked("pay", opened(sandbox), agent)
        later(3601)
        assert operations.perform(operation.pk).state == State.EXPIRED
        assert sandbox.stats()["charges"] == {}


class TestApproval:
    def test_the_threshold_is_judged_on_what_stripe_has(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        """The mirror still shows USD 50.00; at Stripe the draft has grown to USD 49,050.00 and was finalized."""
        stripe = sandbox.client()
        invoice = opened(sandbox, 5_000, finalize=False)
        held = Invoice.objects.get(pk=invoice).data
        made = stripe.v1.invoices.retrieve(invoice)
        stripe.v1.invoice_items.create(
            {"customer": made.customer, "invoice": invoice, "amount": 4_900_000, "currency": "usd"}
        )
        stripe.v1.invoices.finalize_invoice(invoice)
        stored({**(held or {}), "status": "open"})
        operation = act("mark_uncollectible", invoice, agent)
        assert (operation.state, operation.approval_amount) == (State.AWAITING_APPROVAL, 4_905_000)
        assert operation.before["amount_remaining"] == 4_905_000 and operation.calls == []
        assert "USD 1,000.00" in operation.message and status(sandbox, invoice) == "open"
        seen = {"status": "open", "amount_remaining": 4_905_000}
        assert decisions.approve(operation.pk, approver=manager, expected=seen).state == State.SUCCEEDED

    def test_an_approver_who_may_no_longer_has_not_approved(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        operation = act("void", invoice := opened(sandbox, 200_000), agent)
        pauses.begin("void", "an audit", None)
        assert decisions.approve(operation.pk, approver=manager).state == State.READY
        User.objects.filter(pk=manager.pk).update(is_active=False)
        pauses.end("void", None)
        done = operations.perform(operation.pk)
        assert (done.state, done.approver, done.decided_at) == (State.AWAITING_APPROVAL, None, None)
        assert status(sandbox, invoice) == "open"

    def test_what_is_asked_anew_has_its_days_anew(
        self, sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None]
    ) -> None:
        operation = act("void", opened(sandbox, 200_000), agent)
        later(7 * 86_400 - 60)
        pauses.begin("void", "an audit", None)
        decisions.approve(operation.pk, approver=manager)
        User.objects.filter(pk=manager.pk).update(is_active=False)
        pauses.end("void", None)
        later(120)
        assert operations.perform(operation.pk).state == State.AWAITING_APPROVAL
        operations.settle_due()
        operation.refresh_from_db()
        assert operation.state == State.AWAITING_APPROVAL
        later(7 * 86_400)
        operations.settle_due()
        operation.refresh_from_db()
        assert operation.state == State.EXPIRED

    def test_more_than_was_agreed_to_needs_a_new_word(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        """A second person agreed to a record of the whole; then the customer paid a part by other means."""
        invoice = opened(sandbox, 300_000)
        operation = act("attach_out_of_band_payment", invoice, agent, params={**RECEIVED, "amount": 300_000})
        pauses.begin("", "an audit", None)
        decisions.approve(operation.pk, approver=manager)
        pauses.end("", None)
        Operation.objects.filter(pk=operation.pk).update(approval_amount=250_000)
        done = operations.perform(operation.pk)
        assert (done.state, done.approval_amount) == (State.AWAITING_APPROVAL, 300_000)
        assert [path for path, _, _ in wire.posts if "payment" in path] == []

    def test_parts_of_one_invoice_add_up(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        """USD 5,000.00 closed by five records of USD 1,000.00, also by two people."""
        invoice = opened(sandbox, 500_000)
        record = {**RECEIVED, "amount": 100_000}
        assert act("attach_out_of_band_payment", invoice, agent, params=record).state == State.SUCCEEDED
        waits = act("attach_out_of_band_payment", invoice, manager, params={**RECEIVED, "amount": 1})
        assert waits.state == State.AWAITING_APPROVAL and "USD 1,000.00" in waits.message
        assert decisions.approve(waits.pk, approver=agent_with_approval()).state == State.SUCCEEDED

    def test_a_persons_day_has_an_allowance(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        invoices = [opened(sandbox, 100_000) for _ in range(7)]
        states = [act("void", invoice, agent).state for invoice in invoices[:6]]
        assert states == [State.SUCCEEDED] * 5 + [State.AWAITING_APPROVAL]
        assert act("void", invoices[6], manager).state == State.SUCCEEDED, "another person has an allowance of her own"

    def test_the_allowance_begins_anew_after_a_day(
        self, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        for _ in range(5):
            assert act("void", opened(sandbox, 100_000), agent).state == State.SUCCEEDED
        later(86_401)
        assert act("void", opened(sandbox, 100_000), agent).state == State.SUCCEEDED

    def test_more_than_remains_always_needs_a_second_person(self, sandbox: SandboxProcess, agent: User) -> None:
        operation = act(
            "attach_out_of_band_payment", opened(sandbox, 950), agent, params={**RECEIVED, "amount": 95_000}
        )
        assert operation.state == State.AWAITING_APPROVAL
        assert "more than remains to pay (USD 9.50)" in operation.message

    def test_the_same_request_waits_once(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        first = act("void", opened(sandbox, 200_000), agent)
        with pytest.raises(operations.Refusal, match="already waits"):
            act("void", first.invoice, manager)
        copy = Operation(action="void", invoice=first.invoice, state=State.AWAITING_APPROVAL, source="admin")
        with pytest.raises(IntegrityError), transaction.atomic():
            copy.save(force_insert=True)


def agent_with_approval() -> User:
    """A second manager."""
    return user_in_group("second-manager", "Billing manager")


class TestAttachedPayments:
    def intent(self, sandbox: SandboxProcess, amount: int, **given: Any) -> str:
        made = sandbox.client().v1.payment_intents.create({"amount": amount, "currency": "usd", **given})
        return str(made.id)

    def test_a_payment_of_nobody_or_of_somebody_else_is_refused(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = opened(sandbox)
        for given, why in (({}, "of no customer"), ({"customer": customer_at(sandbox).id}, "of another customer")):
            with pytest.raises(operations.Invalid, match=why):
                act("attach_payment", invoice, agent, params={"payment_intent": self.intent(sandbox, 1000, **given)})
        assert not Operation.objects.exists() and writes(sandbox, "attach_payment") == 0

    def test_a_large_payment_needs_a_second_person(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        customer = customer_at(sandbox).id
        invoice = opened(sandbox, 200_000, customer=customer)
        intent = self.intent(sandbox, 200_000, customer=customer)
        operation = act("attach_payment", invoice, agent, params={"payment_intent": intent})
        assert (operation.state, operation.approval_amount) == (State.AWAITING_APPROVAL, 200_000)
        assert decisions.approve(operation.pk, approver=manager).state == State.SUCCEEDED

    def test_a_payment_that_is_attached_and_under_way_blocks_a_charge(
        self, sandbox: SandboxProcess, agent: User
    ) -> None:
        customer = customer_at(sandbox).id
        invoice = opened(sandbox, customer=customer)
        intent = self.intent(sandbox, 1000, customer=customer)
        charge = asked("pay", invoice, agent)
        sandbox.client().v1.invoices.attach_payment(invoice, {"payment_intent": intent})
        done = operations.perform(charge.pk)  # the mirror has not heard of it yet
        assert (done.state, done.code) == (State.FAILED, Code.INVOICE_NOT_OPEN)
        with pytest.raises(operations.Refusal, match="attached and under way"):
            act("pay", invoice, agent)
        assert writes(sandbox, "pay") == 0

    def test_a_debit_that_the_mirror_does_not_know_blocks_a_charge(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = opened(sandbox)
        charge = asked("pay", invoice, agent)
        made = sandbox.client().v1.invoices.retrieve(invoice)
        method = sandbox.client().v1.payment_methods.attach("pm_usBankAccount_processing", {"customer": made.customer})
        sandbox.client().v1.invoices.pay(invoice, {"payment_method": method.id})
        done = operations.perform(charge.pk)
        assert done.state == State.FAILED and "processed by the bank" in done.message
        assert writes(sandbox, "pay") == 1


class TestCancelled:
    def test_withdrawn_while_it_is_kept_back(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        pauses_begun = asked("void", invoice := opened(sandbox), agent)
        pauses.begin("void", "an audit", None)
        assert operations.perform(pauses_begun.pk).state == State.READY
        with pytest.raises(operations.Refusal):
            decisions.withdraw(pauses_begun.pk, actor=manager)
        assert decisions.withdraw(pauses_begun.pk, actor=agent).state == State.CANCELLED
        pauses.end("void", None)
        operations.settle_due()
        assert status(sandbox, invoice) == "open"

    def test_rejected_after_it_was_approved(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        operation = act("void", invoice := opened(sandbox, 200_000), agent)
        pauses.begin("void", "an audit", None)
        decisions.approve(operation.pk, approver=manager)
        agreed = Operation.objects.get(pk=operation.pk)
        rejected = decisions.reject(operation.pk, approver=manager, reason="wrong one")
        assert rejected.code == Code.REJECTED and "wrong one" in rejected.message
        assert (rejected.decided_at, rejected.decision_reason) == (agreed.decided_at, agreed.decision_reason)
        pauses.end("void", None)
        assert operations.perform(operation.pk).state == State.CANCELLED
        assert status(sandbox, invoice) == "open"

    def test_on_its_page_the_one_who_asked_withdraws_and_a_manager_stops(
        self, sandbox: SandboxProcess, agent: User, manager: User, client: Client
    ) -> None:
        pauses.begin("void", "an audit", None)
        for person, verdict, code in ((agent, "withdraw", Code.WITHDRAWN), (manager, "reject", Code.REJECTED)):
            operation = asked_while_paused(opened(sandbox), agent)
            client.force_login(person)
            page = f"/admin/invoices/operation/{operation.pk}/"
            shown = client.get(page).content.decode()
            assert "Nothing was sent yet" in shown and f"{page}decide/{verdict}/" in shown
            client.post(f"{page}decide/{verdict}/", {**hidden(shown), "reason": "wrong one"})
            operation.refresh_from_db()
            assert (operation.state, operation.code) == (State.CANCELLED, code)

    def test_a_cancelled_batch_ends_what_is_ready_and_what_waits(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        batch = _batch("void", [opened(sandbox)], agent)
        ready = asked("void", batch.items[0].invoice, agent, batch=batch)
        assert batches.cancel(batch, manager)
        ready.refresh_from_db()
        assert (ready.state, ready.code) == (State.CANCELLED, Code.WITHDRAWN)
        assert "manager" in ready.message

    def test_a_batch_cancelled_while_an_item_is_read_sends_nothing(
        self, wire: Wire, sandbox: SandboxProcess, agent: User
    ) -> None:
        batch = _batch("void", [opened(sandbox)], agent)
        operation = asked("void", batch.items[0].invoice, agent, batch=batch)

        def cancel(path: str) -> None:
            batches.cancel(batch, agent)

        wire.on_get = cancel
        done = operations.perform(operation.pk)
        assert (done.state, done.code) == (State.CANCELLED, Code.WITHDRAWN)
        assert wire.posts == []

    @pytest.mark.parametrize("why", ["the batch is cancelled", "it has outlived its life"])
    def test_while_a_429_is_waited_for(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        agent: User,
        later: Callable[[float], None],
        monkeypatch: pytest.MonkeyPatch,
        why: str,
    ) -> None:
        """Stripe turned the first sending away: it is known that nothing was applied, so it failed."""
        batch = _batch("void", [opened(sandbox)], agent)
        wire.arm("/void", "429_wait")
        wait = {"the batch is cancelled": lambda seconds: batches.cancel(batch, agent)}
        monkeypatch.setattr("time.sleep", wait.get(why, lambda seconds: later(25 * 3600)))
        done = operations.execute(
            "void", batch.items[0].invoice, actor=agent, source="admin", reason="a wrong run", batch=batch
        )
        assert done.state == State.FAILED and done.code in (Code.WITHDRAWN, Code.EXPIRED)
        assert done.message.startswith("Nothing was applied.") and len(wire.posts) == 1

    def test_each_item_reads_its_actor_afresh(self, wire: Wire, sandbox: SandboxProcess, agent: User) -> None:
        ids = [opened(sandbox) for _ in range(6)]
        batch = _batch("void", ids, agent)
        counted: list[str] = []

        def deactivate(path: str) -> None:
            counted.append(path)
            if len(counted) == 5:
                User.objects.filter(pk=agent.pk).update(is_active=False)

        wire.on_get = deactivate
        batches.run_due()
        assert batches.progress(batch).get("succeeded", 0) < 6
        assert {status(sandbox, id) for id in ids} >= {"open"}
        assert Operation.objects.filter(batch=batch, code=Code.PERMISSION_DENIED).exists()


def asked_while_paused(invoice: str, user: User) -> Operation:
    """Ready, and kept back by a pause that began after it was asked for."""
    pauses.end("void", None)
    operation = asked("void", invoice, user)
    pauses.begin("void", "an audit", None)
    return operations.perform(operation.pk)


def _batch(action: str, ids: list[str], user: User, **given: Any) -> Batch:
    invoices = [Invoice.objects.get(pk=id) for id in ids]
    return batches.start(action, invoices, actor=user, reason="a wrong run", batch_id=uuid.uuid4(), **given)


class TestBatches:
    def test_six_of_a_thousand_are_six_thousand(
        self, sandbox: SandboxProcess, agent: User, manager: User, client: Client
    ) -> None:
        batch = _batch("void", [opened(sandbox, 100_000) for _ in range(6)], agent)
        assert batch.awaiting_approval
        batches.run_due()
        assert batches.progress(batch) == {"waiting": 6}
        for person, why in ((agent, "may not"), (batch.actor, "may not")):
            with pytest.raises(operations.Refusal, match=why):
                batches.approve(batch, approver=person)
        client.force_login(manager)
        home = client.get("/admin/").content.decode()
        page = client.get(f"/admin/invoices/batch/{batch.pk}/change/", follow=True).content.decode()
        assert "Batches awaiting approval" in home and f"/{batch.pk}/" in home
        assert "Waits for a second person." in page and "Waits for its turn." not in page
        batches.approve(batch, approver=manager, reason="they are mine")
        assert "Batches awaiting approval" not in client.get("/admin/").content.decode()
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 6, "waiting": 0}
        assert {operation.approver for operation in batch.operations.all()} == {manager}

    def test_the_second_person_may_no_longer(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        """Each alone is small, and they are sent on her word on their sum: without it each waits for another one."""
        batch = _batch("void", ids := [opened(sandbox, 100_000) for _ in range(6)], agent)
        batches.approve(batch, approver=manager)
        User.objects.filter(pk=manager.pk).update(is_active=False)
        batches.run_due()
        assert batches.progress(batch) == {"awaiting_approval": 6, "waiting": 0}
        assert {status(sandbox, id) for id in ids} == {"open"}
        other = user_in_group("other", "Billing manager")
        for operation in batch.operations.all():
            assert "manager agreed to it, and may no longer decide on it." in operation.message
            assert decisions.approve(operation.pk, approver=other).state == State.SUCCEEDED

    def test_cancelled_while_it_waits_it_has_ended(self, sandbox: SandboxProcess, agent: User) -> None:
        """And is not cancelled a second time when its days are over: that would stop every other batch too."""
        batch = _batch("void", [opened(sandbox, 100_000) for _ in range(6)], agent)
        assert batches.cancel(batch, agent)
        batch.refresh_from_db()
        assert batch.finished_at == batch.cancelled_at
        rewrite(batch, created_at=clock.now() - timedelta(days=8), finished_at=None)  # even if it were open
        small = _batch("void", [opened(sandbox)], agent)
        batches.run_due()
        assert batches.progress(small) == {"succeeded": 1, "waiting": 0}

    def test_confirmed_again_it_waits_as_long_as_a_new_one(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        batch = _batch("void", [opened(sandbox, 100_000) for _ in range(6)], agent)
        batches.approve(batch, approver=manager)
        rewrite(batch, created_at=clock.now() - timedelta(days=9), confirmed_at=clock.now() - timedelta(days=8))
        assert batches.confirm_again(batch, agent)
        batches.run_due()
        batch.refresh_from_db()
        assert batch.awaiting_approval and batch.cancelled_at is None
        batches.approve(batch, approver=manager)
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 6, "waiting": 0}

    def test_rejected_after_it_was_confirmed_again_it_ends_what_has_begun_and_sent_nothing(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        batch = _batch("void", [opened(sandbox, 100_000) for _ in range(6)], agent)
        batches.approve(batch, approver=manager)
        ready = asked("void", batch.items[0].invoice, agent, batch=batch)
        rewrite(ready, state=State.READY)
        rewrite(batch, confirmed_at=clock.now() - timedelta(days=8))
        assert batches.confirm_again(batch, agent)
        batches.reject(batch, approver=manager, reason="not these")
        ready.refresh_from_db()
        assert (ready.state, ready.code) == (State.CANCELLED, Code.REJECTED)
        assert ready.message == "The batch was rejected by manager: not these"

    def test_its_own_manager_does_not_count(self, sandbox: SandboxProcess, manager: User) -> None:
        batch = _batch("void", [opened(sandbox, 100_000) for _ in range(2)], manager)
        with pytest.raises(operations.Refusal, match="Somebody else"):
            batches.approve(batch, approver=manager)
        with pytest.raises(IntegrityError), transaction.atomic():
            Batch.objects.filter(pk=batch.pk).update(approver=manager)

    def test_rejected_it_does_nothing(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        batch = _batch("void", ids := [opened(sandbox, 100_000) for _ in range(2)], agent)
        with pytest.raises(operations.Invalid):
            batches.reject(batch, approver=manager, reason=" ")
        batches.reject(batch, approver=manager, reason="they are owed")
        batches.run_due()
        assert {status(sandbox, id) for id in ids} == {"open"}

    def test_a_forged_amount_in_the_form_does_not_avoid_the_second_person(
        self, sandbox: SandboxProcess, agent: User
    ) -> None:
        seen = [Invoice(pk=opened(sandbox, 100_000), status="open", amount_remaining=1) for _ in range(6)]
        batch = batches.start("void", seen, actor=agent, reason="a wrong run", batch_id=uuid.uuid4())
        assert not batch.awaiting_approval
        batches.run_due()
        assert batches.progress(batch) == {"failed": 6, "waiting": 0}

    def test_it_must_be_confirmed_again_after_its_life(
        self, sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None]
    ) -> None:
        batch = _batch("void", ids := [opened(sandbox)], agent)
        pauses.begin("void", "an audit", None)
        batches.run_due()
        later(25 * 3600)
        pauses.end("void", None)
        batches.run_due()
        assert status(sandbox, ids[0]) == "open"
        batch.refresh_from_db()
        with pytest.raises(operations.Refusal):
            batches.confirm_again(batch, manager)
        assert batches.confirm_again(batch, agent)
        batches.run_due()
        assert status(sandbox, ids[0]) == "void"

    def test_an_item_that_waited_alone_needs_only_the_word_on_it(
        self, sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None]
    ) -> None:
        """More was at stake on one of them when it was sent. The others end, and two days later she agrees to it."""
        batch = _batch("void", ids := [opened(sandbox), opened(sandbox)], agent)
        operation = asked("void", ids[0], agent, batch=batch, operation_id=uuid.uuid5(batch.pk, ids[0]))
        rewrite(operation, state=State.AWAITING_APPROVAL)
        batches.run_due()
        later(2 * 86400)
        assert decisions.approve(operation.pk, approver=manager).state == State.SUCCEEDED

    def test_a_second_person_decides_on_its_page(
        self, sandbox: SandboxProcess, agent: User, manager: User, client: Client
    ) -> None:
        batch = _batch("void", [opened(sandbox, 100_000) for _ in range(2)], agent)
        page = f"/admin/invoices/batch/{batch.pk}/"
        client.force_login(agent)
        assert "A second person decides" in client.get(page).content.decode()
        assert client.post(f"{page}decide/approve/").status_code == 403
        batch.refresh_from_db()
        assert batch.awaiting_approval
        client.force_login(manager)
        shown = client.get(page).content.decode()
        assert "Approve all" in shown and "Together they are USD 2,000.00" in shown and "To pay on them" in shown
        assert client.post(f"{page}decide/approve/", hidden(shown)).status_code == 302
        batch.refresh_from_db()
        assert (batch.awaiting_approval, batch.approver) == (False, manager)


def _token(user: User) -> tuple[str, ApiToken]:
    token, key = ApiToken.objects.create(user=user, name="billing")
    return key, token


class TestKeys:
    def pay(self, client: Client, key: str, invoice: str, secret: str) -> Any:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}
        form = "application/x-www-form-urlencoded"
        return client.post(f"/v1/invoices/{invoice}/pay", "", content_type=form, headers=headers)

    def test_a_database_that_lost_its_tail_sends_the_same_key(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, client: Client
    ) -> None:
        secret, _ = _token(agent)
        invoice = opened(sandbox)
        assert self.pay(client, "k1", invoice, secret).status_code == 200
        _forget_operations()
        first = [key for path, key, _ in wire.posts if path.endswith("/pay")]
        stored({**(Invoice.objects.get(pk=invoice).data or {}), "status": "open", "amount_remaining": 1000})
        again_reply = self.pay(client, "k1", invoice, secret)
        assert (again_reply.status_code, json.loads(again_reply.content)["status"]) == (200, "paid")
        again = [key for path, key, _ in wire.posts if path.endswith("/pay")]
        assert again == first * 2
        assert sandbox.stats()["charges"] == {invoice: 1}

    def test_a_restored_database_that_has_heard_of_it_is_replayed_too(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        agent: User,
        client: Client,
        deliver: Callable[[], int],
    ) -> None:
        """The catch-up was faster than the service: the mirror shows it paid, and the operation is not there."""
        secret, _ = _token(agent)
        invoice = opened(sandbox)
        assert self.pay(client, "k1", invoice, secret).status_code == 200
        _forget_operations()
        deliver()
        assert Invoice.objects.get(pk=invoice).status == "paid"
        again = self.pay(client, "k1", invoice, secret)
        assert (again.status_code, json.loads(again.content)["status"]) == (200, "paid")
        assert self.pay(client, "k2", invoice, secret).status_code == 400
        assert sandbox.stats()["charges"] == {invoice: 1}

    def test_a_payment_that_was_recorded_before_the_copy_is_not_recorded_again(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        """A person's request, ready in the older copy; what came after is not on record there. Stripe has forgotten the
        key by now, so only the record itself tells."""
        invoice = opened(sandbox)
        operation = asked("attach_out_of_band_payment", invoice, agent, params={**RECEIVED, "amount": 400})
        params = {
            "amount_requested": {"currency": "usd", "value": 400},
            "initiated_at": 1_790_000_000,
            "outcome": "guaranteed",
            "guaranteed": {"guaranteed_at": 1_790_000_000},
            "payment_method_details": {"type": "custom", "custom": {"display_name": "Cash"}},
            "metadata": {"operation": str(operation.pk)},
        }
        sandbox.client().v1.payment_records.report_payment(params)
        later(600)
        done = operations.perform(operation.pk)
        assert (done.state, done.calls[0].found) == (State.SUCCEEDED, True)
        assert not [path for path, _, _ in wire.posts if path.endswith("report_payment")]

    def test_somebody_elses_payment_is_not_taken_for_ours(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, client: Client
    ) -> None:
        secret, _ = _token(agent)
        invoice = opened(sandbox)
        data = Invoice.objects.get(pk=invoice).data or {}
        sandbox.client().v1.invoices.pay(invoice)
        stored(data)
        refused = self.pay(client, "k1", invoice, secret)
        assert (refused.status_code, json.loads(refused.content)["error"]["code"]) == (400, "invoice_not_open")
        assert sandbox.stats()["charges"] == {invoice: 1}

    def test_a_batch_of_a_restored_database_is_replayed(self, wire: Wire, sandbox: SandboxProcess, agent: User) -> None:
        batch = _batch("void", ids := [opened(sandbox)], agent)
        data = Invoice.objects.get(pk=ids[0]).data or {}
        batches.run_due()
        _forget_operations()
        stored(data)
        rewrite(batch, finished_at=None)
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 1, "waiting": 0}
        keys = [key for path, key, _ in wire.posts if path.endswith(f"{ids[0]}/void")]
        assert len(keys) == 2 and len(set(keys)) == 1

    @pytest.mark.parametrize("how", ["key", "batch", "form"])
    def test_a_restored_database_that_has_caught_up(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, deliver: Callable[[], int], how: str
    ) -> None:
        """Stripe's events have told that it was done, under the keys of the request that is now repeated."""
        invoice = opened(sandbox, 1700)
        batch = _batch("void", [invoice], agent)
        given: dict[str, Any] = {"actor": agent, "source": "api", "reason": "billing"}
        given |= {"idempotency_key": "k1"} if how == "key" else {"operation_id": uuid.uuid4()}

        def ask() -> Operation:
            if how == "batch":
                batches.run_due()
                return batch.operations.get()
            return operations.execute("void", invoice, **given)

        assert ask().state == State.SUCCEEDED
        _forget_operations()
        rewrite(batch, finished_at=None)
        deliver()
        assert Invoice.objects.get(pk=invoice).status == "void"
        assert ask().state == State.SUCCEEDED
        assert len({key for path, key, _ in wire.posts}) == 1 and len(wire.posts) == 2

    def test_a_ready_operation_of_an_older_copy_is_replayed(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        """The copy lags by seconds: the sending is not in it. Settling takes the operation up two minutes later."""
        invoice = opened(sandbox, 1700)
        operation = asked("pay", invoice, agent)
        assert operations.perform(operation.pk).state == State.SUCCEEDED
        nothing: dict[str, Any] = {"calls": [], "last_call_first_sent_at": None, "finished_at": None, "after": {}}
        rewrite(operation, state=State.READY, outcome_by="", message="", stripe_request_id="", **nothing)
        later(121)
        operations.settle_due()
        operation.refresh_from_db()
        assert operation.state == State.SUCCEEDED, operation.message
        assert sandbox.stats()["charges"] == {invoice: 1}

    def test_a_key_under_which_nothing_was_applied_is_free_again(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, client: Client, settings: Any
    ) -> None:
        secret, _ = _token(agent)
        invoice = opened(sandbox)
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        away = self.pay(client, "k1", invoice, secret)
        assert (away.status_code, json.loads(away.content)["error"]["code"]) == (503, "stripe_unavailable")
        settings.STRIPE_API_BASE = wire.url
        assert self.pay(client, "k1", invoice, secret).status_code == 200
        assert self.pay(client, "k1", invoice, secret).headers["Idempotent-Replayed"] == "true"
        keys = {key for path, key, _ in wire.posts if path.endswith("/pay")}
        failed = Operation.objects.get(state=State.FAILED)
        assert keys == {f"{failed.pk}-pay"}, "Stripe's key goes on being made of the first id"
        assert sandbox.stats()["charges"] == {invoice: 1}

    def test_a_refused_key_is_free_again(self, sandbox: SandboxProcess, agent: User, client: Client) -> None:
        secret, _ = _token(agent)
        invoice = opened(sandbox)
        pauses.begin("pay", "an audit", None)
        assert [self.pay(client, "k1", invoice, secret).status_code for _ in range(2)] == [503, 503]
        pauses.end("pay", None)
        assert self.pay(client, "k1", invoice, secret).status_code == 200
        assert sandbox.stats()["charges"] == {invoice: 1}

    def test_two_users_with_one_key_are_two(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        ids = set()
        for user in (agent, manager):
            done = operations.execute(
                "pay", opened(sandbox), actor=user, source="api", reason="billing", idempotency_key="k1"
            )
            ids.add(done.pk)
        assert len(ids) == 2


def _forget_operations() -> None:
    """As a database that was restored to an older state: the operations of its last minutes are not there."""
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM invoices_operation")


class TestSettingsOfAmounts:
    def test_of_a_currency_and_of_every_other(self, settings: Any) -> None:
        settings.APPROVAL_THRESHOLDS = {"default": 1000, "jpy": 150_000, "kwd": 300}
        assert [approval.threshold(code) for code in ("usd", "jpy", "kwd")] == [100_000, 150_000, 300_000]


def test_a_service_user_has_thresholds_and_no_allowance(sandbox: SandboxProcess, agent: User) -> None:
    agent.groups.add(Group.objects.get_or_create(name="Service")[0])
    for _ in range(6):
        assert act("void", opened(sandbox, 100_000), agent).state == State.SUCCEEDED
    assert act("void", opened(sandbox, 100_001), agent).state == State.AWAITING_APPROVAL
