"""Operations against the sandbox: each action, each refusal, each unknown outcome, and what settling makes of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from invoices import clock, operations, refetch
from invoices.models import Invoice, InvoicePayment, Operation
from tests.factories import invoice_at
from tests.helpers.operations import act
from tests.helpers.stripe_state import without_delivery_time
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State


def same_as_stripe(sandbox: SandboxProcess, id: str) -> bool:
    theirs = sandbox.client().raw_request("get", f"/v1/invoices/{id}").data
    return without_delivery_time(Invoice.objects.get(pk=id).data) == without_delivery_time(theirs)


class TestEachAction:
    def test_pay(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        operation = act("pay", open_invoice.id, agent)
        assert operation.state == State.SUCCEEDED, operation.message
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}
        assert Invoice.objects.get(pk=open_invoice.id).status == "paid"
        assert InvoicePayment.objects.get(invoice_id=open_invoice.id).status == "paid"
        assert same_as_stripe(sandbox, open_invoice.id)
        assert operation.before["status"] == "open" and operation.after["status"] == "paid"
        assert operation.calls[0].request_id == operation.stripe_request_id != ""

    def test_pay_out_of_band(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        operation = act("pay", open_invoice.id, agent, params={"paid_out_of_band": True})
        assert operation.state == State.SUCCEEDED
        assert sandbox.stats()["charges"] == {}
        assert same_as_stripe(sandbox, open_invoice.id)

    @pytest.mark.parametrize(("action", "status"), [("void", "void"), ("mark_uncollectible", "uncollectible")])
    def test_closing(self, sandbox: SandboxProcess, open_invoice: Any, agent: User, action: str, status: str) -> None:
        assert act(action, open_invoice.id, agent).state == State.SUCCEEDED
        assert Invoice.objects.get(pk=open_invoice.id).status == status
        assert same_as_stripe(sandbox, open_invoice.id)

    def test_finalize(self, sandbox: SandboxProcess, agent: User) -> None:
        draft = invoice_at(sandbox, finalize=False)
        assert act("finalize", draft.id, agent, params={"auto_advance": False}).state == State.SUCCEEDED
        assert Invoice.objects.get(pk=draft.id).status == "open"
        assert same_as_stripe(sandbox, draft.id)

    @pytest.mark.parametrize(("amount", "status", "remaining"), [(1000, "paid", 0), (400, "open", 600)])
    def test_out_of_band_payment(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, amount: int, status: str, remaining: int
    ) -> None:
        params = {"amount": amount, "method": "Check", "received_on": "2026-11-02", "reference": "no. 17"}
        operation = act("attach_out_of_band_payment", open_invoice.id, agent, params=params)
        assert operation.state == State.SUCCEEDED, operation.message
        invoice = Invoice.objects.get(pk=open_invoice.id)
        assert (invoice.status, invoice.amount_remaining) == (status, remaining)
        assert same_as_stripe(sandbox, open_invoice.id)
        record = sandbox.client().v1.payment_records.retrieve(operation.calls[0].result.id)
        assert record.metadata["operation"] == str(operation.pk)


class TestRefusals:
    def test_a_decline_is_explained(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        operation = act("pay", invoice.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert operation.message and operation.advice and operation.decline_code
        assert "client_secret" not in str(operation.error)

    def test_the_same_card_waits_an_hour_and_another_does_not(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        act("pay", invoice.id, agent)
        with pytest.raises(operations.Refusal) as refusal:
            act("pay", invoice.id, agent)
        assert refusal.value.code == "attempted_recently"
        paid = act("pay", invoice.id, agent, params={"payment_method": "pm_card_visa"})
        assert paid.state == State.SUCCEEDED, paid.message

    @pytest.mark.parametrize(("currency", "whole", "amount"), [("isk", 90_000, 950), ("kwd", 90_000, 5_124)])
    def test_amounts_that_their_currency_does_not_have(
        self, sandbox: SandboxProcess, agent: User, currency: str, whole: int, amount: int
    ) -> None:
        invoice = invoice_at(sandbox, whole, currency)
        params = {"amount": amount, "method": "Cash", "received_on": "2026-11-02"}
        with pytest.raises(operations.Invalid, match=f"Stripe takes (only whole amounts of )?{currency.upper()}") as no:
            act("attach_out_of_band_payment", invoice.id, agent, params=params)
        assert no.value.param == "amount"
        assert list(sandbox.client().v1.payment_records.list().data) == []
        params["amount"] = amount // 100 * 100
        assert act("attach_out_of_band_payment", invoice.id, agent, params=params).state == State.SUCCEEDED

    def test_authentication_required(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card="pm_card_authenticationRequired")
        assert act("pay", invoice.id, agent).code == "authentication_required"

    def test_without_permission_nothing_happens_but_a_journal_row(
        self, sandbox: SandboxProcess, open_invoice: Any, auditor: User
    ) -> None:
        with pytest.raises(operations.Refusal) as refusal:
            act("void", open_invoice.id, auditor)
        assert refusal.value.code == "permission_denied"
        assert Operation.objects.get().state == State.REFUSED
        assert sandbox.client().v1.invoices.retrieve(open_invoice.id).status == "open"

    def test_people_say_why(self, open_invoice: Any, agent: User) -> None:
        with pytest.raises(operations.Invalid) as refusal:
            operations.execute("pay", open_invoice.id, actor=agent, source="admin")
        assert refusal.value.param == "reason"

    def test_paid_elsewhere_meanwhile(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        sandbox.client().v1.invoices.void_invoice(open_invoice.id)
        operation = act("pay", open_invoice.id, agent, expected={"status": "open", "amount_remaining": 1000})
        assert (operation.state, operation.code) == (State.FAILED, "invoice_changed")
        assert sandbox.stats()["charges"] == {}

    def test_what_changed_is_said_as_money(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        payment = {"method": "Cash", "received_on": f"{clock.now():%Y-%m-%d}"}
        act("attach_out_of_band_payment", open_invoice.id, agent, params={"amount": 400, **payment})
        operation = act("pay", open_invoice.id, agent, expected={"status": "open", "amount_remaining": 1000})
        assert "(amount remaining: USD 10.00 → USD 6.00)" in operation.message

    def test_a_stale_mirror_does_not_forbid(self, sandbox: SandboxProcess, agent: User) -> None:
        draft = invoice_at(sandbox, finalize=False)
        refetch.refetch("invoice", draft.id)
        sandbox.client().v1.invoices.finalize_invoice(draft.id)
        assert act("void", draft.id, agent).state == State.SUCCEEDED

    def test_no_such_invoice(self, sandbox: SandboxProcess, agent: User) -> None:
        with pytest.raises(operations.Refusal) as refusal:
            act("pay", "in_nope", agent)
        assert refusal.value.code == "resource_missing"

    def test_stripe_away_before_anything_is_sent(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        sandbox.faults(error_500=1.0)
        operation = act("pay", open_invoice.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "stripe_unavailable")


class TestOnce:
    def test_sent_twice_it_is_the_same_operation(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        first = act("pay", open_invoice.id, agent, idempotency_key="k1")
        again = act("pay", open_invoice.id, agent, idempotency_key="k1")
        assert first.pk == again.pk
        with pytest.raises(operations.Refusal) as refusal:
            act("pay", open_invoice.id, agent, idempotency_key="k1", params={"forgive": True})
        assert refusal.value.code == "idempotency_key_reused"

    def test_four_at_once_make_one_charge(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        sandbox.faults(latency_ms=[100, 200], only=["POST /v1/invoices/*/pay"])
        states: list[str] = []

        def pay() -> None:
            try:
                states.append(act("pay", open_invoice.id, agent).state)
            except operations.Refusal as refusal:
                states.append(refusal.code)
            finally:
                connection.close()

        threads = [threading.Thread(target=pay) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert states.count(State.SUCCEEDED) == 1, states
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}


def settle_until_final(operation: Operation) -> Operation:
    for _ in range(10):
        Operation.objects.filter(pk=operation.pk, state=State.UNKNOWN).update(settle_at=None)
        operations.settle_due()
        operation.refresh_from_db()
        if operation.state in Operation.FINAL:
            break
    return operation


POSTS = ["POST /v1/*/*/*", "POST /v1/payment_records/*"]
ACTIONS: list[tuple[str, dict[str, Any], str, int]] = [
    ("pay", {}, "paid", 1),
    ("void", {}, "void", 0),
    ("mark_uncollectible", {}, "uncollectible", 0),
    ("attach_out_of_band_payment", {"amount": 1000, "method": "Cash", "received_on": "2026-11-02"}, "paid", 0),
]


class TestUnknownOutcomes:
    @pytest.mark.parametrize("fault", ["drop_reply", "error_500_after"])
    @pytest.mark.parametrize(("action", "params", "status", "charges"), ACTIONS)
    def test_applied_but_never_answered(
        self,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        fault: str,
        action: str,
        params: dict[str, Any],
        status: str,
        charges: int,
    ) -> None:
        sandbox.faults(**{fault: 1.0}, only=POSTS)
        operation = act(action, open_invoice.id, agent, params=params)
        assert operation.state == State.UNKNOWN
        sandbox.clear_faults()
        operation = settle_until_final(operation)
        assert operation.state == State.SUCCEEDED, (operation.message, operation.calls)
        assert sandbox.stats()["charges"].get(open_invoice.id, 0) == charges
        assert Invoice.objects.get(pk=open_invoice.id).status == status
        assert same_as_stripe(sandbox, open_invoice.id)
        records = sandbox.client().v1.payment_records.list().data if action.startswith("attach") else [1]
        assert len(records) == 1

    @pytest.mark.parametrize(("action", "params", "status", "charges"), ACTIONS)
    def test_never_applied(
        self,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        action: str,
        params: dict[str, Any],
        status: str,
        charges: int,
    ) -> None:
        sandbox.faults(error_500=1.0, only=POSTS)
        operation = act(action, open_invoice.id, agent, params=params)
        assert operation.state == State.UNKNOWN
        sandbox.clear_faults()
        operation = settle_until_final(operation)
        assert operation.state in (State.SUCCEEDED, State.FAILED), (operation.message, operation.calls)
        assert sandbox.stats()["charges"].get(open_invoice.id, 0) == (charges if operation.state == "succeeded" else 0)
        assert same_as_stripe(sandbox, open_invoice.id)

    def test_an_unknown_outcome_holds_the_invoice(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        sandbox.faults(drop_reply=1.0, only=POSTS)
        act("pay", open_invoice.id, agent)
        with pytest.raises(operations.Refusal) as refusal:
            act("pay", open_invoice.id, agent)
        assert refusal.value.code == "operation_in_progress"

    def test_someone_else_did_it(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        sandbox.faults(error_500=1.0, only=["POST /v1/invoices/*/pay"])
        operation = act("pay", open_invoice.id, agent)
        sandbox.clear_faults()
        sandbox.client().v1.invoices.pay(open_invoice.id)
        operation = settle_until_final(operation)
        assert (operation.state, operation.outcome_by) == (State.FAILED, "someone_else")
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_a_decline_that_was_never_heard(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        sandbox.faults(drop_reply=1.0, only=POSTS)
        operation = act("pay", invoice.id, agent)
        assert operation.state == State.UNKNOWN
        sandbox.clear_faults()
        operation = settle_until_final(operation)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
