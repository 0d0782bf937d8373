"""Charging a part: once or not at all, credited or told of, and nothing left behind that could charge later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from invoices import operations, refetch
from invoices.models import InvoicePayment, Operation
from invoices.operations import Refusal, own_intents, pauses
from tests.crash.wire import Answer, Wire
from tests.factories import customer_at, invoice_at
from tests.helpers.operations import act, look, lost
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
VISA = {"amount": 400, "payment_method": "pm_card_visa"}
DECLINING = VISA | {"payment_method": "pm_card_chargeCustomerFail"}
DEBIT = VISA | {"payment_method": "pm_usBankAccount_processing"}
CREATE, ATTACH, CONFIRM, CANCEL = "/v1/payment_intents", "/attach_payment", "/confirm", "/cancel"


def charge(invoice: Any, user: User, **params: Any) -> Operation:
    return act("charge_part", invoice.id, user, params=VISA | params)


def intent_of(sandbox: SandboxProcess, invoice: Any) -> Any:
    """The one PaymentIntent that was made for a part of this invoice."""
    made = [each for each in sandbox.client().v1.payment_intents.list({"limit": 100}).data if each.metadata.to_dict()]
    (found,) = [each for each in made if each.metadata.to_dict().get("invoice") == invoice.id]
    return found


def attached(sandbox: SandboxProcess, invoice: Any) -> list[tuple[str, int | None]]:
    """Status and amount of the payments that were attached."""
    payments = sandbox.client().v1.invoice_payments.list({"invoice": invoice.id, "limit": 100}).data
    return [(each.status, each.amount_paid) for each in payments if not each.is_default]


def remaining(sandbox: SandboxProcess, invoice: Any) -> int:
    return sandbox.client().v1.invoices.retrieve(invoice.id).amount_remaining


class TestAPart:
    def test_is_charged_and_credited(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.SUCCEEDED, "")
        assert operation.message == f"{open_invoice.number} has been charged in part."
        assert [call.name for call in operation.calls] == [
            "create_payment_intent",
            "attach_payment",
            "confirm_payment_intent",
        ]
        assert attached(sandbox, open_invoice) == [("paid", 400)]
        assert remaining(sandbox, open_invoice) == 600
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}
        mirrored = InvoicePayment.objects.get(invoice_id=open_invoice.id, is_default=False)
        assert (mirrored.status, mirrored.amount_paid) == ("paid", 400)

    def test_after_a_part_the_rest_is_paid(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        charge(open_invoice, agent)
        charge(open_invoice, agent, amount=100)
        assert act("pay", open_invoice.id, agent).state == State.SUCCEEDED
        paid = sandbox.client().v1.invoices.retrieve(open_invoice.id)
        assert (paid.status, paid.amount_paid, paid.amount_overpaid) == ("paid", 1000, 0)
        assert sandbox.stats()["charges"] == {open_invoice.id: 3}

    def test_is_charged_once_when_two_ask_at_the_same_time(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        start, came = threading.Barrier(3), []

        def ask() -> None:
            try:
                start.wait()
                came.append(charge(open_invoice, agent).state)
            except Refusal as refusal:
                came.append(refusal.code)
            finally:
                connection.close()

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done = came.count(State.SUCCEEDED)
        assert done >= 1 and done + came.count("operation_in_progress") == 3, came
        assert sandbox.stats()["charges"] == {open_invoice.id: done}
        assert attached(sandbox, open_invoice) == [("paid", 400)] * done


class TestADecline:
    def test_leaves_nothing_behind(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        operation = act("charge_part", open_invoice.id, agent, params=DECLINING)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert (operation.decline_code, operation.message) == ("generic_decline", "Your card was declined.")
        assert operation.advice
        assert intent_of(sandbox, open_invoice).status == "canceled"
        assert attached(sandbox, open_invoice) == [("canceled", None)]
        assert act("pay", open_invoice.id, agent).state == State.SUCCEEDED  # with another card, and nothing in its way

    def test_holds_the_card_for_an_hour(self, open_invoice: Any, agent: User, later: Callable[[float], None]) -> None:
        act("charge_part", open_invoice.id, agent, params=DECLINING)
        for action, params in (("charge_part", DECLINING), ("pay", {"payment_method": "pm_card_chargeCustomerFail"})):
            with pytest.raises(Refusal) as refused:
                act(action, open_invoice.id, agent, params=params)
            assert refused.value.code == "attempted_recently"

    @pytest.mark.parametrize("fault", ["drop", "500_after", "timeout_after"])
    def test_is_found_out_when_its_answer_is_lost(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        later: Callable[[float], None],
        fault: str,
        settings: Any,
    ) -> None:
        if fault == "timeout_after":
            settings.STRIPE_TIMEOUT_SECONDS = 0.4
        wire.arm(CONFIRM, fault)
        operation = act("charge_part", open_invoice.id, agent, params=DECLINING)
        operation = look(operation, later) if operation.state == State.UNKNOWN else operation
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert operation.card_fingerprint
        assert intent_of(sandbox, open_invoice).status == "canceled"

    def test_ends_when_the_payment_is_canceled_although_that_answer_is_lost(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        wire.arm(CANCEL, "drop")
        operation = act("charge_part", open_invoice.id, agent, params=DECLINING)
        assert operation.state == State.UNKNOWN
        operation = look(operation, later)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert operation.message == "Your card was declined."
        assert attached(sandbox, open_invoice) == [("canceled", None)]

    def test_stays_one_when_somebody_pays_through_it_before_it_is_canceled(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        """In Stripe's dashboard, with another card."""

        def confirm() -> None:
            intent = intent_of(sandbox, open_invoice)
            sandbox.client().v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

        wire.before_forward = confirm
        wire.arm(CANCEL, "overtaken")
        operation = act("charge_part", open_invoice.id, agent, params=DECLINING)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert "could not be canceled" in operation.message
        assert attached(sandbox, open_invoice) == [("paid", 400)]

    def test_where_the_bank_wants_the_customer(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        operation = charge(open_invoice, agent, payment_method="pm_card_authenticationRequired")
        assert (operation.state, operation.code) == (State.FAILED, "authentication_required")
        assert intent_of(sandbox, open_invoice).status == "canceled"


class TestABankDebit:
    def test_is_under_way_until_the_bank_has_decided(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = act("charge_part", open_invoice.id, agent, params=DEBIT)
        assert (operation.state, operation.processing) == (State.PROCESSING, True)
        with pytest.raises(Refusal) as refused:
            act("pay", open_invoice.id, agent, params={"payment_method": "pm_card_visa"})
        assert refused.value.code in ("operation_in_progress", "invoice_not_open")
        intent = intent_of(sandbox, open_invoice)
        sandbox.post(f"payment_intents/{intent.id}/settle", outcome="succeeded")
        operation = look(operation, later, 30)
        assert (operation.state, operation.processing) == (State.SUCCEEDED, False)
        assert attached(sandbox, open_invoice) == [("paid", 400)]

    def test_that_fails_days_later_leaves_nothing_behind(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = act("charge_part", open_invoice.id, agent, params=DEBIT)
        intent = intent_of(sandbox, open_invoice)
        sandbox.post(f"payment_intents/{intent.id}/settle", outcome="insufficient_funds")
        operation = look(operation, later, 30)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert (operation.decline_code, operation.processing) == ("insufficient_funds", False)
        assert attached(sandbox, open_invoice) == [("canceled", None)]

    def test_that_fails_while_the_cancellation_is_lost_stays_under_way_until_it_is_made(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        """Money under way does not hold its invoice: another operation may have begun meanwhile."""
        operation = act("charge_part", open_invoice.id, agent, params=DEBIT)
        intent = intent_of(sandbox, open_invoice)
        sandbox.post(f"payment_intents/{intent.id}/settle", outcome="insufficient_funds")
        received = {"amount": 100, "method": "Cash", "received_on": "2026-11-02"}
        other = lost(
            wire, "409", "attach_out_of_band_payment", open_invoice.id, agent, path="report_payment", **received
        )
        Operation.objects.filter(pk=other.pk).update(settle_at="2099-01-01T00:00:00Z")
        wire.arm(CANCEL, "drop")
        assert look(operation, later, 30).state == State.PROCESSING
        operation = look(operation, later, 400)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")


class TestWhatIsLost:
    @pytest.mark.parametrize("path", [CREATE, ATTACH, CONFIRM])
    @pytest.mark.parametrize("fault", ["drop", "500_before", "500_after", "409", "409_in_use"])
    def test_is_found_out_and_charged_at_most_once(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        later: Callable[[float], None],
        path: str,
        fault: str,
    ) -> None:
        operation = lost(wire, fault, "charge_part", open_invoice.id, agent, path=path.strip("/"), **VISA)
        for _ in range(3):
            operation = look(operation, later, 25)
        charges = sandbox.stats()["charges"].get(open_invoice.id, 0)
        credited = [status for status, _ in attached(sandbox, open_invoice) if status == "paid"]
        assert len(credited) == charges == (operation.state == State.SUCCEEDED)
        assert operation.state == (State.FAILED if fault == "500_before" else State.SUCCEEDED)
        if fault == "500_before":
            assert operation.code == "not_applied"
            assert path == CREATE or intent_of(sandbox, open_invoice).status == "canceled"

    def test_confirmation_is_taken_back_after_the_hour(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "409", "charge_part", open_invoice.id, agent, path="confirm", **VISA)
        operation = look(operation, later, 3700)
        assert (operation.state, operation.code) == (State.FAILED, "expired")
        assert operation.message.startswith("Nothing was charged.")
        assert intent_of(sandbox, open_invoice).status == "canceled"
        assert sandbox.stats()["charges"] == {}

    def test_confirmation_that_arrives_before_the_cancellation_counts(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        """The first request was only slow: it is applied after we looked, and before we cancel."""
        operation = lost(wire, "409", "charge_part", open_invoice.id, agent, path="confirm", **VISA)
        intent, key = intent_of(sandbox, open_invoice), operation.calls[-1].key
        wire.before_forward = lambda: sandbox.client().v1.payment_intents.confirm(
            intent.id, {"off_session": True}, {"idempotency_key": key}
        )
        wire.arm(CANCEL, "overtaken")
        operation = look(operation, later, 3700)
        assert (operation.state, operation.code) == (State.SUCCEEDED, "")
        assert attached(sandbox, open_invoice) == [("paid", 400)]

    def test_bank_debit_that_arrives_before_the_cancellation_is_under_way_and_may_fail(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "409", "charge_part", open_invoice.id, agent, path="confirm", **DEBIT)
        intent, key = intent_of(sandbox, open_invoice), operation.calls[-1].key
        wire.before_forward = lambda: sandbox.client().v1.payment_intents.confirm(
            intent.id, {"off_session": True}, {"idempotency_key": key}
        )
        wire.arm(CANCEL, "overtaken")
        assert look(operation, later, 3700).state == State.PROCESSING
        sandbox.post(f"payment_intents/{intent.id}/settle", outcome="insufficient_funds")
        operation = look(operation, later, 400)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert attached(sandbox, open_invoice) == [("canceled", None)]

    def test_that_stripe_cannot_be_read_after_the_charge_is_no_failure(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        down = Answer.error(500, type="api_error", message="An error on Stripe's side.")
        wire.before_reply = lambda: wire.replies_to_get.update({f"/v1/invoices/{open_invoice.id}": down})
        wire.arm(CONFIRM, "webhook_first")
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.UNKNOWN, "outcome_unknown")
        wire.replies_to_get.clear()
        assert look(operation, later).state == State.SUCCEEDED
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}


class TestTheInvoiceMeanwhile:
    @pytest.mark.parametrize("path", [ATTACH, CONFIRM])
    def test_is_paid_by_somebody_else_while_it_is_looked_at(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, path: str
    ) -> None:
        """Between two calls: the gate reads the invoice before each."""
        before = CREATE if path == ATTACH else ATTACH
        wire.before_reply = lambda: sandbox.client().v1.invoices.pay(open_invoice.id)
        wire.arm(before, "webhook_first")
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.FAILED, "invoice_not_open")
        assert operation.message == "Nothing was charged. Invoice is already paid"
        assert intent_of(sandbox, open_invoice).status == "canceled"
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_is_partly_paid_so_that_the_part_is_none_any_more(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        def part() -> None:
            client = sandbox.client()
            intent = client.v1.payment_intents.create(
                {"amount": 700, "currency": "usd", "customer": open_invoice.customer, "payment_method": "pm_card_visa"}
                | {"confirm": True}
            )
            client.v1.invoices.attach_payment(open_invoice.id, {"payment_intent": intent.id})

        wire.before_reply = part
        wire.arm(CREATE, "webhook_first")
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.FAILED, "parameter_invalid")
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}
        assert intent_of(sandbox, open_invoice).status == "canceled"

    def test_refuses_the_payment_and_nobody_pays(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        """After the gate, at the last moment."""
        wire.before_forward = lambda: sandbox.client().v1.invoices.pay(open_invoice.id)
        wire.arm(ATTACH, "overtaken")
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.FAILED, "stripe_refused")
        assert operation.message.startswith("Nothing was charged. Then Stripe refused:")
        assert intent_of(sandbox, open_invoice).status == "canceled"
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_is_closed_at_the_last_moment_so_a_person_is_told_of_money_that_is_not_credited(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        manager: User,
        later: Callable[[float], None],
    ) -> None:
        wire.before_forward = lambda: sandbox.client().v1.invoices.pay(open_invoice.id, {"paid_out_of_band": True})
        wire.arm(CONFIRM, "overtaken")
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.UNKNOWN, "outcome_unknown")
        assert "USD 4.00 was charged (pi_" in operation.message
        look(operation, later, 3700)
        assert operation in operations.manual_resolution.queue()
        resolved = operations.manual_resolution.resolve(operation.pk, by=manager, took_effect=True, reason="refunded")
        assert resolved.state == State.SUCCEEDED


class TestAuthority:
    def test_that_is_gone_before_the_charge_takes_it_back(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        def deactivate() -> None:
            User.objects.filter(pk=agent.pk).update(is_active=False)
            connection.close()

        wire.before_reply = deactivate
        wire.arm(ATTACH, "webhook_first")
        operation = charge(open_invoice, agent)
        assert (operation.state, operation.code) == (State.FAILED, "permission_denied")
        assert intent_of(sandbox, open_invoice).status == "canceled"

    def test_a_pause_keeps_the_charge_back_and_after_the_hour_it_is_taken_back(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        def pause() -> None:
            pauses.begin("charge_part", "an audit", None)
            connection.close()

        wire.before_reply = pause
        wire.arm(ATTACH, "webhook_first")
        operation = charge(open_invoice, agent)
        assert operation.state == State.UNKNOWN
        assert look(operation, later, 60).state == State.UNKNOWN
        operation = look(operation, later, 3700)
        assert (operation.state, operation.code) == (State.FAILED, "expired")
        assert sandbox.stats()["charges"] == {}
        assert intent_of(sandbox, open_invoice).status == "canceled"


class TestARefusal:
    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({"amount": 1000}, "A part is less than what remains (USD 10.00). To charge all of it, use Pay."),
            ({"amount": 1001}, "A part is less than what remains (USD 10.00). To charge all of it, use Pay."),
            ({"amount": 49}, "Stripe charges no less than USD 0.50."),
            ({"payment_method": ""}, "Payment method is missing."),
        ],
    )
    def test_of_what_is_no_part(
        self, wire: Wire, open_invoice: Any, agent: User, params: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(Refusal) as refused:
            charge(open_invoice, agent, **params)
        assert (refused.value.code, refused.value.message) == ("parameter_invalid", said)
        assert wire.posts == []

    def test_of_an_invoice_that_another_payment_is_attached_to(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        client = sandbox.client()
        intent = client.v1.payment_intents.create({"amount": 300, "currency": "usd", "customer": open_invoice.customer})
        client.v1.invoices.attach_payment(open_invoice.id, {"payment_intent": intent.id})
        refetch.refetch("invoice", open_invoice.id)
        with pytest.raises(Refusal) as refused:
            charge(open_invoice, agent)
        assert refused.value.code == "invoice_not_open"

    def test_of_another_customers_card(self, sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
        other = customer_at(sandbox).invoice_settings.default_payment_method
        operation = charge(open_invoice, agent, payment_method=other)
        assert (operation.state, operation.code) == (State.FAILED, "stripe_refused")
        assert attached(sandbox, open_invoice) == []

    def test_of_the_least_that_stripe_charges_is_stripes_own_too(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations.ACTIONS["charge_part"], "refusal", lambda *given: None)
        operation = charge(open_invoice, agent, amount=49)
        assert (operation.state, operation.message) == (State.FAILED, "Amount must be at least $0.50 usd")

    def test_where_what_remains_cannot_be_parted(self, sandbox: SandboxProcess, agent: User) -> None:
        with pytest.raises(Refusal) as refused:
            charge(invoice_at(sandbox, amount=50), agent, amount=20)
        assert refused.value.code == "invoice_not_open"


def test_the_cancellation_is_in_the_journal_before_it_is_sent(
    wire: Wire, open_invoice: Any, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    act_at_stripe = own_intents.gateway.act

    def watching(path: str, params: Any, *, idempotency_key: str) -> Any:
        (operation,) = Operation.objects.all()
        seen.append(f"{path.rsplit('/', 1)[-1]} {operation.calls[-1].name} {operation.code}".strip())
        assert operation.calls[-1].key == idempotency_key
        return act_at_stripe(path, params, idempotency_key=idempotency_key)

    monkeypatch.setattr(own_intents.gateway, "act", watching)
    act("charge_part", open_invoice.id, agent, params=DECLINING)
    assert seen == [
        "payment_intents create_payment_intent",
        "attach_payment attach_payment",
        "confirm confirm_payment_intent",
        "cancel cancel_payment_intent card_declined",
    ]
