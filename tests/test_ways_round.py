"""Ways round the second person and the gate: forged forms, words that no longer count, keys taken too early."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from invoices import operations, refetch
from invoices.models import ApiToken, Batch, Code, Invoice, Operation
from invoices.models.access import Scope
from invoices.operations import batch as batches
from invoices.operations import decisions, gate, pauses
from invoices.operations.request import KEY_NAMESPACE
from tests.crash.wire import Wire
from tests.factories import customer_at, invoice_at, stored, user_in_group
from tests.helpers.admin_pages import hidden
from tests.helpers.database import without_triggers
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
RECEIVED = {"method": "Cash", "received_on": "2026-11-02"}


def opened(sandbox: SandboxProcess, amount: int = 1000, **given: Any) -> str:
    """An open invoice at Stripe and in the mirror; its id."""
    invoice = invoice_at(sandbox, amount, **given)
    refetch.refetch("invoice", invoice.id)
    return str(invoice.id)


def status(sandbox: SandboxProcess, id: str) -> str:
    return str(sandbox.client().v1.invoices.retrieve(id).status)


def begun(action: str, ids: list[str], user: User, **given: Any) -> Batch:
    invoices = [Invoice.objects.get(pk=id) for id in ids]
    given = {"reason": "a wrong run", "batch_id": uuid.uuid4(), **given}
    return batches.start(action, invoices, actor=user, **given)


class TestTheSecondPersonsWord:
    def test_for_a_batch_it_ends_with_her_permission(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        """Each of the seven is small enough for one person; together they are not."""
        batch = begun("void", ids := [opened(sandbox, 100_000) for _ in range(7)], agent)
        batches.approve(batch, approver=manager)
        User.objects.filter(pk=manager.pk).update(is_active=False)
        batches.run_due()
        assert batches.progress(batch) == {"awaiting_approval": 7, "waiting": 0}
        assert {status(sandbox, id) for id in ids} == {"open"}
        item = Operation.objects.filter(batch=batch).first()
        assert item is not None and item.approver is None and "may no longer decide" in item.message
        second = user_in_group("second-manager", "Billing manager")
        assert decisions.approve(item.pk, approver=second).state == State.SUCCEEDED

    def test_is_for_the_amount_of_the_payment_that_the_page_named(
        self, sandbox: SandboxProcess, agent: User, manager: User, client: Client
    ) -> None:
        """USD 1,500.00 were to be attached; while she looked at the page, it became USD 150,000.00 at Stripe."""
        customer, stripe = customer_at(sandbox).id, sandbox.client()
        invoice = opened(sandbox, 20_000_000, customer=customer)
        intent = stripe.v1.payment_intents.create({"amount": 150_000, "currency": "usd", "customer": customer}).id
        operation = act("attach_payment", invoice, agent, params={"payment_intent": intent})
        client.force_login(manager)
        page = f"/admin/invoices/operation/{operation.pk}/"
        shown = client.get(page).content.decode()
        assert "If it is approved: USD 1,500.00" in shown
        stripe.v1.payment_intents.update(intent, {"amount": 15_000_000})
        client.post(f"{page}decide/approve/", hidden(shown))
        operation.refresh_from_db()
        assert (operation.state, operation.approval_amount) == (State.AWAITING_APPROVAL, 15_000_000)
        assert operation.calls == [] and "manager agreed to USD 1,500.00" in operation.message
        client.post(f"{page}decide/approve/", hidden(client.get(page).content.decode()))
        operation.refresh_from_db()
        assert operation.state == State.SUCCEEDED

    def test_for_one_item_outlives_the_life_of_its_batch(
        self, sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None]
    ) -> None:
        """The batch has ended, so nobody could confirm it again."""
        batch = begun("void", ids := [opened(sandbox, 4_000)], agent)
        for amount in (*[99_000] * 5, 4_000):
            act("void", opened(sandbox, amount), agent)
        batches.run_due()
        item = Operation.objects.get(batch=batch)
        assert item.state == State.AWAITING_APPROVAL
        later(2 * 86_400)
        assert decisions.approve(item.pk, approver=manager).state == State.SUCCEEDED
        assert status(sandbox, ids[0]) == "void"


class TestAddingUp:
    def test_eight_at_once_whose_amounts_the_mirror_does_not_know(
        self, sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mirror shows USD 0.01 on each; all pass the gate before any of them has written what Stripe has."""
        ids = [opened(sandbox, 100_000) for _ in range(8)]
        for id in ids:
            stored({**(Invoice.objects.get(pk=id).data or {}), "amount_remaining": 1, "amount_due": 1})
        judge, all_judged = gate.judge, threading.Barrier(len(ids))

        def judge_and_wait(*given: Any, **more: Any) -> gate.View:
            view = judge(*given, **more)
            all_judged.wait(30)
            return view

        def act_in_thread(id: str) -> None:
            try:
                act("void", id, agent)
            finally:
                connection.close()

        monkeypatch.setattr(gate, "judge", judge_and_wait)
        with ThreadPoolExecutor(len(ids)) as pool:
            list(pool.map(act_in_thread, ids))
        voided = [id for id in ids if status(sandbox, id) == "void"]
        assert len(voided) <= 5, "the allowance is USD 5,000.00"
        assert Operation.objects.filter(state=State.AWAITING_APPROVAL).count() == len(ids) - len(voided)


class TestBatches:
    def test_forged_amounts_do_not_make_the_sum_small(
        self, sandbox: SandboxProcess, agent: User, client: Client
    ) -> None:
        ids = [opened(sandbox, 100_000) for _ in range(5)]
        client.force_login(agent)
        for forged in (f"{ids[0]} open -490000", "in_unknown open -490000", f"{ids[0]} open 5", f"{ids[0]} open --5"):
            form = {"batch": str(uuid.uuid4()), "chosen": ",".join(ids), "number": "6", "reason": "a wrong run"}
            form["seen"] = ";".join([*(f"{id} open 100000" for id in ids), forged])
            assert client.post("/admin/invoices/invoice/bulk/void/", form).status_code in (302, 400)
        assert all(batch.awaiting_approval for batch in Batch.objects.all())
        seen = [Invoice(pk=ids[0], status="open", amount_remaining=amount) for amount in (100_000, -100_000)]
        for invoices, why in ((seen, "twice"), (seen[1:], "below zero")):
            with pytest.raises(operations.Invalid, match=why):
                batches.start("void", invoices, actor=agent, reason="a wrong run", batch_id=uuid.uuid4())

    def test_an_invoice_without_an_amount_is_not_taken(self, sandbox: SandboxProcess, agent: User) -> None:
        seen = [Invoice(pk=opened(sandbox), status="open", amount_remaining=None)]
        with pytest.raises(operations.Invalid, match="Amount is missing"):
            batches.start(
                "attach_out_of_band_payment", seen, actor=agent, reason="a", batch_id=uuid.uuid4(), params=RECEIVED
            )

    def test_one_page_sent_twice_with_other_input_is_refused(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        one, two, id = opened(sandbox), opened(sandbox), uuid.uuid4()
        first = begun("void", [one], agent, batch_id=id)
        assert begun("void", [one], agent, batch_id=id) == first
        for action, invoice, user in (("void", two, agent), ("pay", one, agent), ("void", one, manager)):
            with pytest.raises(operations.Refusal, match="sent before") as refused:
                begun(action, [invoice], user, batch_id=id)
            assert refused.value.code == Code.IDEMPOTENCY_KEY_REUSED

    def test_confirmed_again_after_eight_days_it_waits_for_its_second_person(
        self, sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None]
    ) -> None:
        batch = begun("void", [opened(sandbox, 100_000) for _ in range(2)], agent)
        batches.approve(batch, approver=manager)
        later(8 * 86_400)
        batch.refresh_from_db()
        assert batches.confirm_again(batch, agent)
        batches.run_due()
        batch.refresh_from_db()
        assert batch.awaiting_approval and batch.finished_at is None
        batches.approve(batch, approver=manager)
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 2, "waiting": 0}

    @pytest.mark.parametrize("how", ["rejected", "expired"])
    def test_its_second_time_ends_what_was_ready(
        self, sandbox: SandboxProcess, agent: User, manager: User, later: Callable[[float], None], how: str
    ) -> None:
        batch = begun("void", ids := [opened(sandbox, 100_000) for _ in range(2)], agent)
        batches.approve(batch, approver=manager)
        later(86_300)
        batch.refresh_from_db()
        ready = operations.request("void", ids[0], actor=agent, source="admin", reason="a wrong run", batch=batch)
        later(200)
        assert batches.confirm_again(batch, agent)
        if how == "rejected":
            batches.reject(batch, approver=manager, reason="they are owed")
        else:
            later(8 * 86_400)
            assert batches.expire() == 1
        ready.refresh_from_db()
        code = {"rejected": Code.REJECTED, "expired": Code.EXPIRED}[how]
        assert (ready.code, ready.finished_at is not None, ready.calls) == (code, True, [])

    def test_an_item_that_meets_a_pause_begins_when_it_has_ended(
        self, sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pause begins after the batch has looked for one, and before its last items ask."""
        batch, goes_on = begun("void", ids := [opened(sandbox) for _ in range(2)], agent), batches._goes_on

        def look_then_pause(*given: Any) -> bool:
            answer = goes_on(*given)
            pauses.begin("void", "an audit", None)
            return answer

        monkeypatch.setattr(batches, "_goes_on", look_then_pause)
        batches.run_due()
        monkeypatch.undo()
        batch.refresh_from_db()
        assert batches.progress(batch) == {"waiting": 2} and batch.finished_at is None
        pauses.end("void", None)
        batches.run_due()
        assert {status(sandbox, id) for id in ids} == {"void"}

    def test_while_stripe_is_away_each_item_is_journalled(
        self, sandbox: SandboxProcess, agent: User, settings: Any
    ) -> None:
        ids = [opened(sandbox)]
        batch = begun("void", ids, agent)
        Invoice.objects.filter(pk=ids[0]).delete()  # so that it is read before it is asked for
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        batches.run_due()
        assert batches.progress(batch) == {"refused": 1, "waiting": 0}
        assert Operation.objects.get(batch=batch).code == Code.STRIPE_UNAVAILABLE


class TestIdsTakenBeforeTheirTime:
    """Ids follow from keys and batches by a rule that stands in the code, so anybody can work them out."""

    def test_a_form_cannot_take_the_id_of_a_services_key(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, client: Client
    ) -> None:
        service = user_in_group("service", "Service")
        token, secret = ApiToken.objects.create(user=service, name="billing")
        invoice, other = opened(sandbox), opened(sandbox)
        forged = uuid.uuid5(KEY_NAMESPACE, f"{service.pk} order-4711")
        with pytest.raises(operations.Invalid):
            act("pay", other, agent, operation_id=forged)
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "order-4711"}
        form = "application/x-www-form-urlencoded"
        assert client.post(f"/v1/invoices/{invoice}/pay", "", form, headers=headers).status_code == 200
        assert Operation.objects.get(token=token).pk == forged

    def test_a_form_cannot_take_the_id_of_an_item(self, sandbox: SandboxProcess, agent: User, manager: User) -> None:
        batch = begun("void", [id := opened(sandbox)], manager)
        with pytest.raises(operations.Invalid):
            act("pay", opened(sandbox), agent, operation_id=uuid.uuid5(batch.pk, id))
        batches.run_due()
        assert status(sandbox, id) == "void"

    def test_a_key_of_the_lost_minutes_brings_no_payment_of_another_invoice(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        """The key was used for USD 10.00 on one invoice, then the database was restored, and it is used for USD 900.00
        on another one."""
        given: dict[str, Any] = {"actor": agent, "source": "api", "idempotency_key": "k1"}
        small, large = opened(sandbox, 1000), opened(sandbox, 90_000)
        action, params = "attach_out_of_band_payment", {**RECEIVED, "amount": 1000}
        assert operations.execute(action, small, params=params, **given).state == State.SUCCEEDED
        with without_triggers():
            Operation._base_manager.all()._raw_delete("default")
        operation = operations.request(action, large, params={**RECEIVED, "amount": 90_000}, **given)
        later(600)
        done = operations.perform(operation.pk)
        assert done.state == State.FAILED and not done.calls[0].found
        assert status(sandbox, large) == "open"


def test_an_id_names_one_object_and_no_other_address(wire: Wire, sandbox: SandboxProcess, agent: User) -> None:
    """What the desk looks at must be what Stripe is asked to attach: an id with marks of an address is nobody's."""
    customer = customer_at(sandbox).id
    invoice = opened(sandbox, customer=customer)
    made = sandbox.client().v1.payment_intents.create({"amount": 1000, "currency": "usd", "customer": customer})
    for forged in (f"{made.id}#", f"pi_other/../{made.id}", f"../payment_intents/{made.id}", f"{made.id}?x=1"):
        with pytest.raises(operations.Invalid, match="No such payment_intent"):
            act("attach_payment", invoice, agent, params={"payment_intent": forged})
    for forged in (f"{invoice}#", f"../invoices/{invoice}", f"{invoice}/void?"):
        with pytest.raises(operations.Refusal, match="No such invoice"):
            act("send", forged, agent)
    assert wire.posts == []


CHARGING: dict[str, dict[str, Any]] = {  # what an agent may ask for and takes money by card, or leads Stripe to do so
    "pay": {},
    "charge_part": {"amount": 400, "payment_method": "pm_card_visa"},
    "finalize": {"auto_advance": True},
    "send": {},
    "attach_payment": {"payment_intent": "pi_1"},
}


class TestFinanceChargesNoCard:
    def test_by_whatever_road(self, sandbox: SandboxProcess, client: Client, finance: User, agent: User) -> None:
        """The admin, many at once, a token for everything, the command."""
        id = opened(sandbox)
        client.force_login(finance)
        token = ApiToken.objects.create(finance, name="books", created_by=finance, scopes=" ".join(Scope.values))[1]
        headers = {"Authorization": f"Bearer {token}"}
        answers = {}
        for action, params in CHARGING.items():
            with pytest.raises(operations.Refusal):
                act(action, id, finance, params=params)
            with pytest.raises(operations.Refusal):
                begun(action, [id], finance)
            with pytest.raises((SystemExit, CommandError)):
                given = [part for name, value in params.items() for part in (f"--{name.replace('_', '-')}", str(value))]
                flags = [each for each in given if each != "True"]
                call_command("perform", action, id, "--reason", "x", "--as", "finance", *flags)
            answers[action] = {
                client.post(f"/admin/invoices/invoice/{id}/do/{action}/", {"reason": "x"}).status_code,
                client.post("/v1/batches", {"action": action, "invoices[0]": id}, headers=headers).status_code,
                client.post(f"/v1/invoices/{id}/{action}", params, headers=headers).status_code,
            }
        assert all(codes <= {400, 403} and 403 in codes for codes in answers.values()), answers
        assert sandbox.stats()["charges"] == {} and status(sandbox, id) == "open"

    def test_nor_with_an_agents_request_that_waits(self, sandbox: SandboxProcess, finance: User, agent: User) -> None:
        """Its author was an agent and became somebody of finance: the gate asks what may be done now."""
        id = opened(sandbox)
        operation = operations.request("pay", id, actor=agent, source="admin", reason="the customer asked")
        agent.groups.set(finance.groups.all())
        done = operations.perform(operation.pk)
        assert done.state == State.FAILED and done.code == Code.PERMISSION_DENIED
        assert sandbox.stats()["charges"] == {}

    def test_nor_what_it_records_is_paid_by_card(self, sandbox: SandboxProcess, finance: User) -> None:
        """Parameters of paying by card that are sent with a payment from outside."""
        id = opened(sandbox)
        for name in ("payment_method", "source", "paid_out_of_band", "payment_intent", "off_session"):
            with pytest.raises(operations.Invalid):
                act(
                    "attach_out_of_band_payment", id, finance, params={"amount": 1000, **RECEIVED, name: "pm_card_visa"}
                )
        act("attach_out_of_band_payment", id, finance, params={"amount": 1000, **RECEIVED})
        assert sandbox.stats()["charges"] == {} and status(sandbox, id) == "paid"
