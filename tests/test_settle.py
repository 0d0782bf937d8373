"""What settling makes of an unknown outcome: who did it, from which evidence, and what it must not conclude."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User
from django.db import connection

from invoices import gateway, mirror, operations, sync
from invoices.models import CallResult, Invoice, Operation, RecordedCall
from invoices.operations import manual_resolution, pauses
from invoices.snapshot import of_event
from tests.crash.wire import Answer, Wire, empty_list
from tests.factories import customer_at, invoice_at
from tests.helpers.database import rewrite
from tests.helpers.operations import act, look, lost
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
HELD = {"amount": 1000, "method": "Cash", "received_on": "2026-11-02"}


def posts(wire: Wire, path: str) -> list[tuple[str, bytes]]:
    return [(key, body) for at, key, body in wire.posts if at.endswith(path)]


class TestOneAtATime:
    def test_two_settlers_send_once(self, wire: Wire, open_invoice: Any, agent: User) -> None:
        operation = lost(wire, "409", "pay", open_invoice.id, agent)
        Operation.objects.filter(pk=operation.pk).update(settle_at=None)
        wire.posts.clear()
        start = threading.Barrier(4)

        def settle_too() -> None:
            try:
                start.wait()
                operations.settle_due()
            finally:
                connection.close()

        threads = [threading.Thread(target=settle_too) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        operation.refresh_from_db()
        assert operation.state == State.SUCCEEDED
        assert len(posts(wire, "/pay")) == 1

    @pytest.mark.parametrize("where", ["its reply", "its request"])
    def test_who_comes_back_after_its_claim_has_lapsed_writes_nothing(
        self, sandbox: SandboxProcess, wire: Wire, open_invoice: Any, agent: User, where: str
    ) -> None:
        """Its reply, or its request, was held up on the way for longer than that."""
        held_up, go_on = threading.Event(), threading.Event()

        def hang() -> None:
            held_up.set()
            go_on.wait(20)

        if where == "its reply":
            wire.before_reply = hang
            wire.arm("/pay", "webhook_first")
        else:
            wire.before_forward = hang
            wire.arm("/pay", "overtaken")
        came_back: list[Operation] = []

        def slow() -> None:
            try:
                came_back.append(act("pay", open_invoice.id, agent))
            finally:
                connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert held_up.wait(20)
        lapsed = datetime.now(UTC) - timedelta(seconds=1)
        Operation.objects.filter(invoice=open_invoice.id).update(claimed_until=lapsed)
        operations.settle_due()
        settled = Operation.objects.values().get(invoice=open_invoice.id)
        assert settled["state"] == State.SUCCEEDED
        go_on.set()
        thread.join()
        assert came_back[0].state == State.SUCCEEDED
        assert Operation.objects.values().get(invoice=open_invoice.id) == settled
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_one_that_cannot_be_settled_does_not_hold_up_the_others(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        broken = lost(wire, "drop", "void", invoice_at(sandbox).id, agent)
        fine = lost(wire, "drop", "void", invoice_at(sandbox).id, agent)
        rewrite(broken, calls=[RecordedCall("unknown", "", {}, "", 0)])
        assert look(fine, later, 10).state == State.SUCCEEDED

    def test_what_a_pause_keeps_back_does_not_hide_the_others(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        waiting = [
            operations.request("void", invoice_at(sandbox).id, actor=agent, source="admin", reason="a batch")
            for _ in range(3)
        ]
        unsettled = lost(wire, "drop", "pay", invoice_at(sandbox).id, agent)
        pauses.begin("void", "we look into something", None)
        later(130)
        wire.posts.clear()
        for _ in range(2):
            later(10)
            operations.settle_due(limit=3)
        unsettled.refresh_from_db()
        assert unsettled.state == State.SUCCEEDED
        pauses.end("void", None)
        later(10)
        operations.settle_due()
        assert [Operation.objects.get(pk=one.pk).state for one in waiting] == [State.SUCCEEDED] * 3

    def test_while_stripe_is_away_only_one_waits_for_it(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        first, second = (lost(wire, "drop", "void", invoice_at(sandbox).id, agent) for _ in range(2))
        sandbox.faults(error_500=1.0)
        later(10)
        assert operations.settle_due() == 1
        first.refresh_from_db()
        assert first.state == State.UNKNOWN and "Stripe cannot be reached" in first.message
        sandbox.clear_faults()
        assert look(second, later, 10).state == State.SUCCEEDED
        assert look(first, later, 10).state == State.SUCCEEDED

    def test_a_read_that_hangs_is_not_tried_again(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, settings: Any, monkeypatch: Any
    ) -> None:
        settings.STRIPE_TIMEOUT_SECONDS = 0.3
        monkeypatch.setattr(gateway, "MAX_RETRY_WAIT_SECONDS", 0.25)
        sandbox.faults(latency_ms=[1000, 1000], only=["GET /v1/invoices/*"])
        before = sandbox.stats()["requests"]["GET /v1/invoices/:id"]
        assert act("void", open_invoice.id, agent).code == "stripe_unavailable"
        assert sandbox.stats()["requests"]["GET /v1/invoices/:id"] == before + 1


class TestWhoDidIt:
    def test_sent_again_verbatim_under_the_same_key(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "409", "pay", open_invoice.id, agent, off_session=False, payment_method="pm_card_visa")
        assert look(operation, later).state == State.SUCCEEDED
        first, second = posts(wire, "/pay")
        assert first == second and first[0] == f"{operation.pk}-pay"

    def test_the_event_that_proves_it_is_named(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = look(lost(wire, "drop", "void", open_invoice.id, agent), later)
        assert (operation.state, operation.outcome_by) == (State.SUCCEEDED, "us")
        assert operation.calls[-1].evidence.startswith("evt_") and operation.stripe_request_id.startswith("req_")

    def test_a_decline_stays_ours_when_the_customer_pays_afterwards(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "500_after", "pay", open_invoice.id, agent, payment_method="pm_card_chargeCustomerFail")
        sandbox.client().v1.invoices.pay(open_invoice.id)
        operation = look(operation, later)
        assert (operation.state, operation.code) == (State.FAILED, "card_declined")
        assert operation.decline_code == "generic_decline"
        assert Invoice.objects.get(pk=open_invoice.id).status == "paid"
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_a_charge_that_others_tried_is_not_ours(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "500_before", "pay", open_invoice.id, agent)
        with pytest.raises(stripe.CardError):
            sandbox.client().v1.invoices.pay(open_invoice.id, {"payment_method": "pm_card_chargeCustomerFail"})
        assert look(operation, later).state == State.UNKNOWN
        assert look(operation, later, 20).code == "not_applied"

    @pytest.mark.parametrize(("ours", "theirs", "status"), [("void", "pay", "paid"), ("pay", "void_invoice", "void")])
    def test_what_somebody_else_did_can_rule_it_out(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        later: Callable[[float], None],
        ours: str,
        theirs: str,
        status: str,
    ) -> None:
        operation = lost(wire, "409", ours, open_invoice.id, agent)
        getattr(sandbox.client().v1.invoices, theirs)(open_invoice.id)
        wire.posts.clear()
        operation = look(operation, later)
        assert (operation.state, operation.code, operation.outcome_by) == (
            State.FAILED,
            "invoice_changed",
            "someone_else",
        )
        assert Invoice.objects.get(pk=open_invoice.id).status == status
        assert wire.posts == []

    def test_a_draft_that_was_deleted_meanwhile(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        draft = invoice_at(sandbox, finalize=False)
        operation = lost(wire, "409", "finalize", draft.id, agent)
        sandbox.client().v1.invoices.delete(draft.id)
        operation = look(operation, later)
        assert (operation.state, operation.outcome_by) == (State.FAILED, "someone_else")
        assert Invoice.objects.get(pk=draft.id).deleted_at

    def test_on_a_changed_invoice_nothing_is_sent_again(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "409", "attach_out_of_band_payment", open_invoice.id, agent, "report_payment", **HELD)
        stripe = sandbox.client()
        paid = stripe.v1.payment_intents.create(
            {"amount": 300, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
        )
        stripe.v1.invoices.attach_payment(open_invoice.id, {"payment_intent": paid.id})
        wire.posts.clear()
        assert look(operation, later).state == State.UNKNOWN
        assert wire.posts == [] and not stripe.v1.payment_records.list().data

    def test_an_attached_payment_that_succeeds_later_was_attached_by_us(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        customer = customer_at(sandbox).id
        invoice = invoice_at(sandbox, customer=customer)
        stripe = sandbox.client()
        intent = stripe.v1.payment_intents.create({"amount": 1000, "currency": "usd", "customer": customer})
        operation = lost(wire, "500_after", "attach_payment", invoice.id, agent, payment_intent=intent.id)
        stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
        operation = look(operation, later)
        assert (operation.state, operation.outcome_by) == (State.SUCCEEDED, "us"), operation.message


class TestBankDebits:
    @pytest.mark.parametrize("fault", ["drop", "500_after"])
    @pytest.mark.parametrize(
        ("then", "state", "outcome_by"),
        [
            ("", State.PROCESSING, "us"),
            ("succeeded", State.SUCCEEDED, "us"),
            ("insufficient_funds", State.FAILED, "nobody"),
            ("canceled", State.FAILED, "someone_else"),
        ],
    )
    def test_a_debit_whose_reply_is_lost_ends_as_the_bank_says(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        later: Callable[[float], None],
        fault: str,
        then: str,
        state: str,
        outcome_by: str,
    ) -> None:
        operation = lost(wire, fault, "pay", open_invoice.id, agent, payment_method="pm_usBankAccount_processing")
        if then:
            [intent] = [one.id for one in sandbox.client().v1.payment_intents.list().data if one.status == "processing"]
            sandbox.post(f"payment_intents/{intent}/settle", outcome=then)
        operation = look(operation, later)
        assert (operation.state, operation.outcome_by) == (state, outcome_by), operation.message
        assert operation.processing == (state == State.PROCESSING)
        assert operation.decline_code == (then if then == "insufficient_funds" else "")
        assert sandbox.stats()["charges"].get(open_invoice.id, 0) == (then == "succeeded")

    def test_a_debit_of_an_earlier_version_becomes_overdue(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        """It did not write when the call was first sent into a column of its own."""
        operation = lost(wire, "drop", "pay", open_invoice.id, agent, payment_method="pm_usBankAccount_processing")
        rewrite(operation, last_call_first_sent_at=None)
        operation = look(operation, later)
        assert operation.state == State.PROCESSING and not manual_resolution.is_needed(operation)
        later(15 * 86400)
        assert list(manual_resolution.queue()) == [operation]


class TestSilence:
    """Stripe's list of events shows nothing for a while."""

    @pytest.fixture(autouse=True)
    def silent(self, wire: Wire) -> None:
        wire.replies_to_get["/v1/events"] = empty_list("/v1/events")

    def test_a_payment_that_is_there_waits_for_its_event(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "500_after", "pay", open_invoice.id, agent)
        for _ in range(4):
            assert look(operation, later, 30).state == State.UNKNOWN
        wire.replies_to_get.clear()
        assert look(operation, later).state == State.SUCCEEDED

    def test_a_webhook_speaks_as_well(
        self,
        wire: Wire,
        open_invoice: Any,
        agent: User,
        later: Callable[[float], None],
        deliver: Callable[[], int],
    ) -> None:
        operation = lost(wire, "500_after", "pay", open_invoice.id, agent)
        wire.replies_to_get.clear()
        assert deliver()
        wire.replies_to_get["/v1/events"] = empty_list("/v1/events")
        assert look(operation, later).state == State.SUCCEEDED

    @pytest.mark.parametrize("method", ["pm_card_chargeCustomerFail", "pm_card_authenticationRequired"])
    def test_a_decline_is_not_taken_for_nothing(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None], method: str
    ) -> None:
        operation = lost(wire, "500_after", "pay", open_invoice.id, agent, payment_method=method)
        for _ in range(3):
            assert look(operation, later, 30).state == State.UNKNOWN
        wire.replies_to_get.clear()
        code = look(operation, later).code
        assert code == ("card_declined" if "Fail" in method else "authentication_required")

    def test_an_email_is_not_taken_for_nothing(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        invoice = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
        operation = lost(wire, "500_after", "send", invoice.id, agent)
        assert look(operation, later).state == State.UNKNOWN
        wire.replies_to_get.clear()
        assert look(operation, later).state == State.SUCCEEDED

    def test_an_email_that_was_not_sent(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        invoice = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
        operation = lost(wire, "500_before", "send", invoice.id, agent)
        for _ in range(3):
            assert look(operation, later, 30).state == State.UNKNOWN
        wire.replies_to_get.clear()
        assert look(operation, later).code == "not_applied"

    def test_a_debit_is_not_taken_for_nothing(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "500_after", "pay", open_invoice.id, agent, payment_method="pm_usBankAccount_processing")
        for _ in range(3):
            assert look(operation, later, 30).state == State.UNKNOWN
        wire.replies_to_get.clear()
        operation = look(operation, later)
        assert operation.state == State.PROCESSING and operation.processing

    def test_where_a_read_tells_nobody_waits(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "500_before", "pay", open_invoice.id, agent)
        operation = look(operation, later)
        assert (operation.state, operation.code) == (State.FAILED, "not_applied")


class TestWhatSaysNothing:
    @pytest.mark.parametrize("answer", ["401", "403", "404", "key"])
    @pytest.mark.parametrize("first", ["409", "drop"])
    def test_answers_that_speak_of_the_second_sending(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        agent: User,
        later: Callable[[float], None],
        answer: str,
        first: str,
    ) -> None:
        invoice = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
        wire.replies_to_get["/v1/events"] = empty_list("/v1/events")
        operation = lost(wire, first, "send", invoice.id, agent)
        wire.arm("/send", answer)
        assert look(operation, later).state == State.UNKNOWN
        assert look(operation, later).state == State.SUCCEEDED
        sent = [event for event in sandbox.client().v1.events.list().data if event.type == "invoice.sent"]
        assert len(sent) == 1

    @pytest.mark.parametrize("status", [400, 403, 404])
    @pytest.mark.parametrize(("fault", "state"), [("drop", State.SUCCEEDED), ("500_after", State.UNKNOWN)])
    def test_records_that_cannot_be_listed_are_not_taken_for_absent(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        open_invoice: Any,
        agent: User,
        later: Callable[[float], None],
        status: int,
        fault: str,
        state: str,
    ) -> None:
        wire.replies_to_get["/v1/payment_records"] = Answer.error(status, type="invalid_request_error", message="No.")
        operation = lost(wire, fault, "attach_out_of_band_payment", open_invoice.id, agent, "report_payment", **HELD)
        for _ in range(3):
            look(operation, later, 30)
        assert operation.state == state
        assert len(sandbox.client().v1.payment_records.list().data) == 1

    def test_a_second_429_is_not_applied(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        sandbox.faults(error_429=1.0, only=["POST /v1/invoices/*/void"])
        operation = act("void", open_invoice.id, agent)
        assert (operation.state, operation.code) == (State.FAILED, "stripe_unavailable")
        assert len(posts(wire, "/void")) == 2

    def test_a_429_of_the_second_call_leaves_it_half_done_and_it_is_finished(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "429", "attach_out_of_band_payment", open_invoice.id, agent, "attach_payment", **HELD)
        wire.arm("/attach_payment", "429")
        assert look(operation, later).state == State.UNKNOWN
        assert look(operation, later).state == State.SUCCEEDED
        assert len(posts(wire, "/report_payment")) == 1

    def test_what_is_half_done_says_so(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(
            wire, "500_before", "attach_out_of_band_payment", open_invoice.id, agent, "attach_payment", **HELD
        )
        operation = look(operation, later)
        [record] = sandbox.client().v1.payment_records.list().data
        assert operation.code == "not_applied" and record.id in operation.message
        finished = act("attach_payment", open_invoice.id, agent, params={"payment_record": record.id})
        assert finished.state == State.SUCCEEDED


class TestTime:
    @pytest.mark.parametrize("difference", [-7200, 7200])
    @pytest.mark.parametrize(("fault", "state"), [("drop", State.SUCCEEDED), ("500_before", State.FAILED)])
    def test_stripes_clock_and_ours_never_meet(
        self,
        wire: Wire,
        sandbox: SandboxProcess,
        agent: User,
        later: Callable[[float], None],
        difference: int,
        fault: str,
        state: str,
    ) -> None:
        sandbox.clock(advance=difference)
        invoice = invoice_at(sandbox)
        assert look(lost(wire, fault, "pay", invoice.id, agent), later).state == state

    def test_stamps_that_lag(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        sandbox.faults(stamp_lag=30, seed=3)
        operation = lost(wire, "drop", "void", open_invoice.id, agent)
        assert look(operation, later).state == State.SUCCEEDED

    def test_after_an_hour_nothing_is_sent_again_and_a_person_decides(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "409", "pay", open_invoice.id, agent)
        wire.posts.clear()
        operation = look(operation, later, 3601)
        assert operation.state == State.UNKNOWN and manual_resolution.is_needed(operation)
        assert wire.posts == []

    def test_after_an_hour_a_repeated_500_still_decides(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "500_before", "pay", open_invoice.id, agent)
        path = f"/v1/payment_intents/{intent_of(sandbox, open_invoice.id)}"

        def break_after_the_gate(asked: str) -> None:
            if asked == path:
                wire.replies_to_get[path] = Answer.error(500, type="api_error")

        wire.on_get = break_after_the_gate
        assert look(operation, later).state == State.UNKNOWN
        wire.on_get = lambda path: None
        wire.replies_to_get.clear()
        wire.posts.clear()
        assert look(operation, later, 3601).code == "not_applied"
        assert wire.posts == []

    def test_a_record_found_after_an_hour_is_not_attached_by_itself(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "drop", "attach_out_of_band_payment", open_invoice.id, agent, "report_payment", **HELD)
        operation = look(operation, later, 3601)
        assert operation.state == State.UNKNOWN and "Done at Stripe: report_payment" in operation.message
        assert not posts(wire, "/attach_payment")

    def test_half_done_for_an_hour_is_not_finished_by_itself(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None]
    ) -> None:
        operation = lost(wire, "drop", "attach_out_of_band_payment", open_invoice.id, agent, "report_payment", **HELD)
        done = replace(operation.calls[0], result=CallResult("pr_1", "payment_record"))
        Operation.objects.filter(pk=operation.pk).update(
            calls=[done], state=State.RUNNING, claim_token=uuid.uuid4(), claimed_until=datetime.now(UTC)
        )
        operation = look(operation, later, 3601)
        assert operation.state == State.UNKNOWN and "pr_1" in operation.message
        assert not posts(wire, "/attach_payment")


def intent_of(sandbox: SandboxProcess, invoice: str) -> str:
    payments: Any = sandbox.client().v1.invoice_payments.list({"invoice": invoice}).data
    return payments[0].payment.payment_intent


def test_what_the_caller_saw_is_compared_with_stripe_and_not_with_the_mirror(
    wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
) -> None:
    """An event of the same second keeps the row as it was until the next read: nothing is charged on its word."""
    before = Invoice.objects.get(pk=open_invoice.id).data
    stripe = sandbox.client()
    paid = stripe.v1.payment_intents.create(
        {"amount": 300, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
    )
    stripe.v1.invoices.attach_payment(open_invoice.id, {"payment_intent": paid.id})
    operation = operations.request(
        "pay",
        open_invoice.id,
        actor=agent,
        source="admin",
        reason="the customer asked",
        expected={"amount_remaining": 1000},
    )

    def store(path: str) -> None:
        if path == f"/v1/invoices/{open_invoice.id}":
            mirror.store(
                [of_event(before, datetime.now(UTC).replace(microsecond=0), deleted=False, other_version=False)]
            )
            connection.close()

    wire.on_get = store
    operation = operations.perform(operation.pk)
    assert Invoice.objects.get(pk=open_invoice.id).amount_remaining == 1000  # the row could not tell
    assert (operation.state, operation.code) == (State.FAILED, "invoice_changed")
    assert posts(wire, "/pay") == []
    sync.perform_refetches()
