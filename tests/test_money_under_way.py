"""Money under way: a bank debit is a state of its own until the bank has decided, days later if need be."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import clock, operations, refetch, tallies
from invoices.models import ApiToken, Invoice, Operation, PaymentIntent
from invoices.operations import eligibility, manual_resolution, money_under_way
from invoices.operations.refusals import Refusal
from tests.factories import invoice_at
from tests.helpers.database import rewrite
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
DEBIT = {"payment_method": "pm_usBankAccount_processing"}
DAYS = 86400


def debit(invoice: Any, user: User, **given: Any) -> Operation:
    return act("pay", invoice.id, user, params=DEBIT | given)


def look(operation: Operation) -> Operation:
    """Settling looks at it now."""
    Operation.objects.filter(pk=operation.pk).exclude(state__in=Operation.FINAL).update(settle_at=None)
    operations.settle_due()
    operation.refresh_from_db()
    return operation


def bank_says(sandbox: SandboxProcess, invoice: Any, outcome: str) -> None:
    expand = ["payments.data.payment.payment_intent"]
    payments = sandbox.client().v1.invoices.retrieve(invoice.id, {"expand": expand}).payments.data
    [intent] = [each.payment.payment_intent for each in payments if each.payment.payment_intent.status == "processing"]
    sandbox.post(f"payment_intents/{intent.id}/settle", outcome=outcome)


def test_it_is_neither_done_nor_in_the_way(open_invoice: Any, agent: User) -> None:
    operation = debit(open_invoice, agent)
    assert (operation.state, operation.processing, operation.finished_at) == (State.PROCESSING, True, None)
    assert operation.after["status"] == "open"
    act("mark_uncollectible", open_invoice.id, agent)  # it holds back charges alone


def test_which_charge_it_is_comes_from_the_event_under_our_key(
    sandbox: SandboxProcess, open_invoice: Any, agent: User
) -> None:
    operation = look(debit(open_invoice, agent))
    [charge] = sandbox.client().v1.charges.list().data
    [call] = operation.calls
    assert (call.charge, call.payment_intent) == (charge.id, charge.payment_intent)
    assert operation.state == State.PROCESSING
    assert operation.settle_at is not None and operation.settle_at > clock.now()
    operation.refresh_from_db()
    assert operation.calls[0] == call  # as it was stored


@pytest.mark.parametrize("looked_at_before", [True, False])
@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [
        ("succeeded", State.SUCCEEDED, ""),
        ("insufficient_funds", State.FAILED, "card_declined"),
        ("failed", State.FAILED, "card_declined"),
        ("canceled", State.FAILED, "invoice_changed"),
    ],
)
def test_it_ends_as_the_bank_says(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, looked_at_before: bool, outcome: str, state: str, code: str
) -> None:
    operation = debit(open_invoice, agent)
    if looked_at_before:
        operation = look(operation)
    bank_says(sandbox, open_invoice, outcome)
    operation = look(operation)
    assert (operation.state, operation.code) == (state, code), operation.message
    assert not operation.processing and operation.finished_at
    assert Invoice.objects.get(pk=open_invoice.id).status == ("paid" if state == State.SUCCEEDED else "open")
    assert PaymentIntent.objects.get(pk=operation.calls[0].payment_intent).status != "processing"
    if outcome == "insufficient_funds":
        assert operation.decline_code == "insufficient_funds" and "insufficient funds" in operation.message
        assert operation.advice.startswith("Not enough money") and operation.error and operation.error["charge"]


def test_an_event_makes_it_looked_at_at_once(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, deliver: Callable[[], int]
) -> None:
    operation = look(debit(open_invoice, agent))
    deliver()
    bank_says(sandbox, open_invoice, "succeeded")
    assert operations.settle_due() == 0  # the next look is minutes away
    deliver()
    operations.settle_due()
    operation.refresh_from_db()
    assert operation.state == State.SUCCEEDED


def test_an_event_that_comes_while_it_is_looked_at_is_not_forgotten(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = look(debit(open_invoice, agent))
    ask = money_under_way.ask

    def ask_and_be_overtaken(call: Any) -> money_under_way.BankAnswer:
        answer = ask(call)
        bank_says(sandbox, open_invoice, "succeeded")
        money_under_way.look_now([open_invoice.id])
        return answer

    monkeypatch.setattr(money_under_way, "ask", ask_and_be_overtaken)
    assert look(operation).state == State.PROCESSING
    monkeypatch.undo()
    operations.settle_due()
    operation.refresh_from_db()
    assert operation.state == State.SUCCEEDED


@pytest.mark.parametrize("by", ["another operation", "the customer"])
@pytest.mark.parametrize("told", [True, False])
def test_it_failed_although_a_later_charge_went_through(
    sandbox: SandboxProcess, agent: User, manager: User, deliver: Callable[[], int], by: str, told: bool
) -> None:
    """Stripe reuses the PaymentIntent: it has succeeded, but with another charge than ours."""
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    operation = look(debit(invoice, agent))
    bank_says(sandbox, invoice, "no_account")
    if told:
        deliver()
    if by == "the customer":
        sandbox.client().v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
    else:
        with pytest.raises(Refusal) as refused:
            act("pay", invoice.id, agent)
        assert refused.value.operation == operation  # until we know how the first one ended
        look(operation)
        assert act("pay", invoice.id, agent).state == State.SUCCEEDED
    operation = look(operation)
    assert (operation.state, operation.code) == (State.FAILED, "card_declined")
    assert operation.decline_code == ("" if by == "the customer" and not told else "no_account")
    assert sandbox.stats()["charges"] == {invoice.id: 1}


def test_a_second_charge_is_refused_until_it_has_ended(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    operation = debit(open_invoice, agent)
    assert not PaymentIntent.objects.filter(status="processing").exists()  # the journal is enough
    with pytest.raises(Refusal) as refused:
        act("pay", open_invoice.id, agent)
    assert refused.value.code == "operation_in_progress"
    known = eligibility.circumstances_of([Invoice.objects.get(pk=open_invoice.id)])
    assert known.is_with_a_bank(Invoice.objects.get(pk=open_invoice.id))
    bank_says(sandbox, open_invoice, "failed")
    assert look(operation).state == State.FAILED
    assert act("pay", open_invoice.id, agent).state == State.SUCCEEDED


def test_it_is_never_sent_again_and_outlives_a_stripe_that_is_away(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, settings: Any
) -> None:
    operation = look(debit(open_invoice, agent))
    before = sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"]
    sent = operation.last_call_first_sent_at
    assert sent
    Operation.objects.filter(pk=operation.pk).update(last_call_first_sent_at=sent - timedelta(days=5))
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert look(operation).state == State.PROCESSING
    settings.STRIPE_API_BASE = sandbox.url
    assert look(operation).state == State.PROCESSING
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"] == before


def test_a_bank_that_takes_days(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    operation = look(act("pay", open_invoice.id, agent, params={"payment_method": "pm_usBankAccount_success"}))
    assert operation.state == State.PROCESSING
    sandbox.clock(advance=5 * DAYS)
    assert look(operation).state == State.SUCCEEDED


class TestOverdue:
    @pytest.fixture
    def operation(self, open_invoice: Any, agent: User) -> Operation:
        operation = look(debit(open_invoice, agent))
        old = clock.now() - timedelta(days=15)
        Operation.objects.filter(pk=operation.pk).update(last_call_first_sent_at=old)
        operation.refresh_from_db()
        return operation

    def test_a_manager_may_say_what_came_of_it(self, operation: Operation, manager: User) -> None:
        assert manual_resolution.is_needed(operation) and operation in manual_resolution.queue()
        ended = manual_resolution.resolve(operation.pk, by=manager, took_effect=False, reason="The bank told us")
        assert (ended.state, ended.outcome_by, ended.processing) == (State.FAILED, "person", False)

    def test_before_that_nobody_may(self, operation: Operation, manager: User) -> None:
        Operation.objects.filter(pk=operation.pk).update(last_call_first_sent_at=clock.now() - timedelta(days=13))
        operation.refresh_from_db()
        assert not manual_resolution.is_needed(operation) and operation not in manual_resolution.queue()
        with pytest.raises(Refusal):
            manual_resolution.resolve(operation.pk, by=manager, took_effect=True, reason="It will come")

    def test_where_no_event_names_the_charge_it_waits(self, operation: Operation, sandbox: SandboxProcess) -> None:
        """Nothing is certain then: a later charge on the same PaymentIntent would look the same."""
        call = replace(operation.calls[0], charge="", payment_intent="", key="of-nobody")
        rewrite(operation, calls=[call])
        assert look(operation).state == State.PROCESSING


def test_the_api_answers_as_stripe_does(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, client: Client
) -> None:
    _, token = ApiToken.objects.create(agent, name="billing")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    address = f"/v1/invoices/{open_invoice.id}/pay"
    for _ in range(2):
        answer = client.post(address, DEBIT, "application/json", headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (200, "open")
    shown = client.get(f"/v1/operations/{answer['Invoice-Desk-Operation']}", headers=headers).json()
    assert (shown["state"], shown["processing"], shown["finished"]) == ("processing", True, None)
    other = client.post(address, {}, "application/json", headers=headers | {"Idempotency-Key": "twice"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "operation_in_progress")
    assert other.json()["error"]["operation"] == shown["id"]
    [listed] = client.get("/v1/operations?state=processing", headers=headers).json()["data"]
    assert listed["id"] == shown["id"]
    bank_says(sandbox, open_invoice, "insufficient_funds")
    look(Operation.objects.get(pk=shown["id"]))
    answer = client.post(address, DEBIT, "application/json", headers=headers)
    assert (answer.status_code, answer.json()["error"]["decline_code"]) == (402, "insufficient_funds")


class TestPages:
    @pytest.fixture
    def operation(self, open_invoice: Any, agent: User) -> Operation:
        return look(debit(open_invoice, agent))

    def shown(self, client: Client, address: str) -> str:
        response = client.get(address)
        assert response.status_code == 200
        return html.unescape(response.content.decode())

    def test_while_it_is_under_way(self, desk: Client, operation: Operation) -> None:
        page = self.shown(desk, f"/admin/invoices/invoice/{operation.invoice}/")
        assert "USD 10.00 is on its way from the customer's bank, since" in page and "Do not charge again." in page
        assert "A payment of USD 10.00 is on its way; your bank is processing it." in page
        page = self.shown(desk, f"/admin/invoices/operation/{operation.pk}/")
        assert "Pay: money under way" in page and "result violet" in page
        assert "A payment of USD 10.00 is on its way; your bank is processing it." in page
        assert "What came of it?" not in page and "hx-trigger" not in page.split('id="result"')[1].split(">")[0]
        listed = self.shown(desk, "/admin/invoices/operation/?state=processing")
        assert str(operation.pk) in listed and "money under way" in listed
        tallies.run_due()
        home = self.shown(desk, "/admin/")
        assert "Bank debits under way" in home and "Do not charge again: banks take days." in home
        assert "USD 10.00" in home.partition("Bank debits under way")[2][:400]
        assert "Banks are processing it, for up to 14 days." in self.shown(desk, "/admin/health/")

    def test_when_it_is_overdue(self, client: Client, manager: User, operation: Operation, open_invoice: Any) -> None:
        client.force_login(manager)
        Operation.objects.filter(pk=operation.pk).update(last_call_first_sent_at=clock.now() - timedelta(days=15))
        assert "1 for longer than 14 days" in self.shown(client, "/admin/health/")
        assert "decide what came of it" in self.shown(client, f"/admin/invoices/invoice/{operation.invoice}/")
        assert str(operation.pk) in self.shown(client, "/admin/invoices/operation/?state=undecided")
        page = self.shown(client, f"/admin/invoices/operation/{operation.pk}/")
        assert "overdue at the bank" in self.shown(client, "/admin/invoices/operation/?state=processing")
        assert "The bank has not decided" in page and "took_effect" in page
        given = {"took_effect": "no", "reason": "The bank lost it"}
        assert client.post(f"/admin/invoices/operation/{operation.pk}/close/", given).status_code == 302
        operation.refresh_from_db()
        assert (operation.state, operation.outcome_by) == (State.FAILED, "person")

    def test_when_it_has_failed(self, desk: Client, sandbox: SandboxProcess, operation: Operation) -> None:
        bank_says(sandbox, Invoice.objects.get(pk=operation.invoice), "debit_not_authorized")
        look(operation)
        page = self.shown(desk, f"/admin/invoices/invoice/{operation.invoice}/")
        assert "on its way" not in page
        assert "talk to the customer before you charge again" in page and "you did not allow this payment" in page
        page = self.shown(desk, f"/admin/invoices/operation/{operation.pk}/")
        assert "Pay: declined" in page and "you did not allow this payment" in page

    def test_when_it_has_succeeded(self, desk: Client, sandbox: SandboxProcess, operation: Operation) -> None:
        bank_says(sandbox, Invoice.objects.get(pk=operation.invoice), "succeeded")
        look(operation)
        page = self.shown(desk, f"/admin/invoices/invoice/{operation.invoice}/")
        assert "on its way" not in page and "was paid on" in page and "nothing is left to pay" in page

    def test_money_that_we_did_not_charge(self, desk: Client, sandbox: SandboxProcess, open_invoice: Any) -> None:
        sandbox.client().v1.invoices.pay(open_invoice.id, DEBIT)
        refetch.refetch("invoice", open_invoice.id)
        for intent in sandbox.client().v1.payment_intents.list().data:
            refetch.refetch("payment_intent", intent.id)
        page = self.shown(desk, f"/admin/invoices/invoice/{open_invoice.id}/")
        assert "USD 10.00 is on its way from the customer's bank; banks take" in page
