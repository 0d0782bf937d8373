"""What settling takes for evidence, what an error that nobody expected leaves, and what the manager's queue holds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from invoices import clock, gateway, operations
from invoices.models import CallResult, Event, Operation, RecordedCall
from invoices.operations import evidence, look_again, manual_resolution
from invoices.operations.actions import ACTIONS
from invoices.operations.claims import take
from invoices.operations.perform import _new_call as new_call
from tests.crash.wire import STRIPES, Answer, Wire
from tests.factories import invoice_at
from tests.helpers.database import rewrite
from tests.helpers.events import stripe_event
from tests.helpers.operations import act, lost
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
HELD = {"amount": 1000, "method": "Cash", "received_on": "2026-11-02"}


def look(operation: Operation) -> Operation:
    Operation.objects.filter(pk=operation.pk, state=State.UNKNOWN).update(settle_at=None)
    operations.settle_due()
    operation.refresh_from_db()
    return operation


def buggy(*given: Any, **options: Any) -> Any:
    raise KeyError("a bug")


STRANGE: dict[str, dict[str, Any]] = {
    "request is a string": {"request": "req_old"},
    "request is null": {"request": None},
    "request is a list": {"request": ["req_1"]},
    "request is a number": {"request": 7},
    "key is an object": {"request": {"id": [], "idempotency_key": {}}},
    "created is a string": {"created": "yesterday"},
    "created is missing": {"created": None},
    "created is huge": {"created": 10**30},
    "created is a fraction": {"created": 1.5},
    "type is a number": {"type": 5},
    "type is a list": {"type": ["invoice.paid"]},
    "id is a number": {"id": 5},
    "data is missing": {"data": None},
    "data is a list": {"data": []},
    "object is a string": {"data": {"object": "in_1"}},
    "object is null": {"data": {"object": None}},
    "object is a list": {"data": {"object": [{}]}},
}


class TestStrangeEvents:
    @pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
    @pytest.mark.parametrize("fault", ["500_after", "500_before"])
    def test_they_are_no_evidence_and_no_obstacle(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, fault: str, strange: dict[str, Any]
    ) -> None:
        """In the journal, as a signed webhook brought it, and in Stripe's own list."""
        operation = lost(wire, fault, "pay", open_invoice.id, agent)
        about = {"object": "invoice", "id": open_invoice.id}
        event = stripe_event(about, type="invoice.paid") | strange
        now = clock.now()
        for number, body in enumerate([json.dumps(event), "not json", "[]", "null", '"invoice.paid"', "7", "{}"]):
            Event.objects.create(
                id=f"evt_strange{number}", type="invoice.paid", object_id=open_invoice.id, created=now, body=body
            )
        listed = gateway.listing("/v1/events").objects
        everything = {"object": "list", "data": [None, "x", 7, event, *listed], "has_more": False, "url": "/v1/events"}
        wire.replies_to_get["/v1/events"] = Answer(200, json.dumps(everything).encode(), STRIPES)
        operation = look(operation)
        expected = State.SUCCEEDED if fault == "500_after" else State.FAILED
        assert operation.state == expected, operation.message
        assert sandbox.stats()["charges"] == ({open_invoice.id: 1} if fault == "500_after" else {})

    def test_a_signed_webhook_whose_request_is_a_string(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, post_event: Callable[..., Any]
    ) -> None:
        operation = lost(wire, "drop", "pay", open_invoice.id, agent)
        invoice = json.loads(str(sandbox.client().v1.invoices.retrieve(open_invoice.id)))
        event = stripe_event(invoice, request="req_old", api_version="2016-07-06", type="invoice.updated")
        assert post_event(event).status_code == 200
        assert look(operation).state == State.SUCCEEDED

    @pytest.mark.parametrize(
        "error", ["card_declined", ["card_declined"], 7, {"message": {}, "code": [], "decline_code": 5}]
    )
    def test_a_decline_whose_reason_is_strange(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, error: Any
    ) -> None:
        invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        operation = lost(wire, "drop", "pay", invoice.id, agent)
        event = stripe_event(
            {"object": "payment_intent", "id": "pi_1", "last_payment_error": error},
            type="payment_intent.payment_failed",
            request={"id": "req_1", "idempotency_key": operation.calls[0].key},
        )
        listed = {"object": "list", "data": [event], "has_more": False, "url": "/v1/events"}
        wire.replies_to_get["/v1/events"] = Answer(200, json.dumps(listed).encode(), STRIPES)
        assert look(operation).state == State.FAILED

    @pytest.mark.parametrize("payment", ["pi_1", None, [], 7, {"payment_intent": {}}, {"payment_intent": ["pi_1"]}])
    def test_strange_payments_are_no_obstacle(self, wire: Wire, open_invoice: Any, agent: User, payment: Any) -> None:
        operation = lost(wire, "500_before", "pay", open_invoice.id, agent)
        found = gateway.read(f"/v1/invoices/{open_invoice.id}").data
        found["payments"] = {
            "object": "list",
            "data": [{"object": "invoice_payment", "id": "inpay_1", "invoice": open_invoice.id, "payment": payment}],
            "has_more": False,
        }
        wire.replies_to_get[f"/v1/invoices/{open_invoice.id}"] = Answer(200, json.dumps(found).encode(), STRIPES)
        assert look(operation).code == "not_applied"

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["id", "type", "created", "data", "object", "request", "idempotency_key"]), inner
                )
            ),
            max_leaves=20,
        )
    )
    def test_an_event_is_readable_or_none(self, found: Any) -> None:
        event = evidence.readable_event(found)
        if event is not None:
            assert isinstance(event["id"], str) and isinstance(event["type"], str) and isinstance(event["created"], int)
            assert isinstance(event["data"]["object"], dict)
            assert evidence._key(event) is None or isinstance(evidence._key(event), str)
            assert evidence._is_about(event, "in_1") in (True, False)


class TestWhatWasCut:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if Stripe had listed very many: a listing ends with the first page on which there are two."""
        monkeypatch.setattr(gateway, "MAX_LISTED_OBJECTS", 2)
        monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 2)

    def busy(self, sandbox: SandboxProcess, count: int = 4) -> None:
        """So many other invoices are paid: their events are newer than ours."""
        for _ in range(count):
            sandbox.client().v1.invoices.pay(invoice_at(sandbox).id)

    def test_an_email_of_a_busy_account_is_not_taken_for_unsent(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        """Our event is not among the newest, and more happened around it than is read: nothing is concluded."""
        invoice = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
        operation = lost(wire, "500_after", "send", invoice.id, agent)
        for _ in range(4):
            other = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
            sandbox.client().v1.invoices.send_invoice(other.id)
        later(60)
        assert look(operation).state == State.UNKNOWN

    def test_events_around_the_sending_are_read_whole(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        invoice = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
        operation = lost(wire, "500_after", "send", invoice.id, agent)
        sandbox.clock(advance=1800)
        for _ in range(4):
            other = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
            sandbox.client().v1.invoices.send_invoice(other.id)
        later(1800)
        assert look(operation).state == State.SUCCEEDED

    def test_where_nothing_is_around_the_sending_it_was_not_applied(
        self, wire: Wire, sandbox: SandboxProcess, agent: User, later: Callable[[float], None]
    ) -> None:
        invoice = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
        operation = lost(wire, "500_before", "send", invoice.id, agent)
        assert look(operation).calls[-1].first_request_ended
        sandbox.clock(advance=1800)
        for _ in range(4):
            other = invoice_at(sandbox, collection_method="send_invoice", days_until_due=30)
            sandbox.client().v1.invoices.send_invoice(other.id)
        later(1800)
        assert look(operation).code == "not_applied"


class TestCreatedBefore:
    """An older copy of the database does not know that it reported the payment."""

    def copy(
        self, sandbox: SandboxProcess, agent: User, invoice: str, age: timedelta
    ) -> tuple[Operation, RecordedCall]:
        operation = operations.request(
            "attach_out_of_band_payment", invoice, actor=agent, source="admin", reason="paid in cash", params=HELD
        )
        rewrite(operation, created_at=clock.now() - age, before={"currency": "usd", "customer": None})
        operation.refresh_from_db()
        now = int(gateway.read("/v1/events", limit=1).time.date.timestamp())
        call = ACTIONS[operation.action].calls[0]
        return operation, new_call(operation, call, now)

    @pytest.mark.parametrize("with_base", [False, True])
    def test_it_is_found(self, sandbox: SandboxProcess, open_invoice: Any, agent: User, with_base: bool) -> None:
        operation, call = self.copy(sandbox, agent, open_invoice.id, timedelta(hours=1))
        if with_base:
            operation.key_base = uuid.uuid4()
            call = new_call(operation, ACTIONS[operation.action].calls[0], call.not_before)
        assert evidence.find_created(operation, call) is None
        record = sandbox.client().v1.payment_records.report_payment(call.params)
        assert record.metadata["operation"] == str(operation.stripe_key_base)
        assert evidence.find_created(operation, call) == CallResult(record.id, "payment_record")

    def test_a_young_request_is_not_looked_for(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        operation, call = self.copy(sandbox, agent, open_invoice.id, timedelta(minutes=1))
        asked: list[str] = []
        wire.on_get = asked.append
        assert evidence.find_created(operation, call) is None
        assert asked == []

    def test_a_call_that_creates_nothing_is_not_looked_for(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        operation, call = self.copy(sandbox, agent, open_invoice.id, timedelta(hours=1))
        attach = RecordedCall("attach_payment", call.path, {}, "key", call.not_before)
        assert evidence.find_created(operation, attach) is None

    def test_a_list_that_was_cut_is_no_proof(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operation, call = self.copy(sandbox, agent, open_invoice.id, timedelta(hours=1))
        for other in range(3):
            sandbox.client().v1.payment_records.report_payment(call.params | {"metadata": {"operation": str(other)}})
        monkeypatch.setattr(evidence, "MAX_OBJECTS_SEARCHED", 2)
        with pytest.raises(gateway.OutcomeUnknown, match="too many"):
            evidence.find_created(operation, call)

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_an_account_that_cannot_list_them_relies_on_the_key(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User, status: int
    ) -> None:
        operation, call = self.copy(sandbox, agent, open_invoice.id, timedelta(hours=1))
        wire.replies_to_get["/v1/payment_records"] = Answer.error(status, type="invalid_request_error", message="No.")
        assert evidence.find_created(operation, call) is None

    def test_a_proxys_page_is_no_proof(
        self, wire: Wire, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        operation, call = self.copy(sandbox, agent, open_invoice.id, timedelta(hours=1))
        wire.replies_to_get["/v1/payment_records"] = Answer(403, b"<html>", [])
        with pytest.raises(gateway.OutcomeUnknown):
            evidence.find_created(operation, call)


class TestAnErrorThatNobodyExpected:
    def test_while_settling(
        self, wire: Wire, open_invoice: Any, agent: User, later: Callable[[float], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        operation = lost(wire, "drop", "pay", open_invoice.id, agent)
        with monkeypatch.context() as patch:
            patch.setattr(gateway, "events", buggy)
            waits = []
            for _ in range(5):
                operation = look(operation)
                assert operation.state == State.UNKNOWN and "KeyError: 'a bug'" in operation.message
                assert (operation.claim_token, operation.claimed_until) == (None, None)
                assert operation.settle_at is not None
                waits.append(round((operation.settle_at - clock.now()).total_seconds()))
            assert waits == sorted(waits) and waits[-1] > 4 * waits[0]
        assert look(operation).state == State.SUCCEEDED

    @pytest.mark.parametrize("where", ["_as_it_is_now", "send_remaining_calls", "mark_answered"])
    def test_while_performing(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(import_module("invoices.operations.perform"), where, buggy)
            operation = act("pay", open_invoice.id, agent)
        assert operation.state == State.UNKNOWN and "KeyError: 'a bug'" in operation.message
        assert operation.claim_token is None and operation.settle_at is not None
        assert look(operation).state == State.SUCCEEDED
        assert sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_an_action_that_is_no_more(self, wire: Wire, open_invoice: Any, agent: User) -> None:
        operation = lost(wire, "drop", "void", open_invoice.id, agent)
        rewrite(operation, action="forgotten")
        operation = look(operation)
        assert operation.state == State.UNKNOWN and "KeyError" in operation.message

    def test_no_secret_is_shown(self, open_invoice: Any, agent: User) -> None:
        operation = operations.request("void", open_invoice.id, actor=agent, source="admin", reason="asked")
        claim = take(operation.pk, manual_resolution.Q(state=State.READY))
        assert claim is not None
        secret = "sk_live_abcdefgh12345678"
        look_again.after_unexpected(
            claim, ValueError(f"\x00{secret} pi_1_secret_abc 4242 4242 4242 4242 " + "x" * 5000)
        )
        operation.refresh_from_db()
        assert "ValueError" in operation.message and len(operation.message) < 500
        assert not any(word in operation.message for word in (secret, "pi_1_secret_abc", "4242 4242", "\x00"))

    def test_who_lost_the_claim_writes_nothing(self, open_invoice: Any, agent: User) -> None:
        operation = operations.request("void", open_invoice.id, actor=agent, source="admin", reason="asked")
        first = take(operation.pk, manual_resolution.Q(state=State.READY))
        assert first is not None and take(operation.pk, manual_resolution.Q(state=State.READY)) is not None
        look_again.after_unexpected(first, ValueError("late"))
        operation.refresh_from_db()
        assert (operation.state, operation.message) == (State.READY, "")


class TestTheQueue:
    """Whatever has no outcome after an hour is in it, can be resolved, and is shown."""

    STATES = (State.READY, State.RUNNING, State.UNKNOWN)

    @pytest.fixture(params=STATES)
    def stuck(self, request: Any, open_invoice: Any, agent: User) -> Operation:
        operation = operations.request("void", open_invoice.id, actor=agent, source="admin", reason="asked")
        ago = clock.now() - timedelta(minutes=61)
        calls = [] if request.param == State.READY else [RecordedCall("void", "/v1/x", {}, "k", 0, first_sent_at=ago)]
        rewrite(
            operation,
            state=request.param,
            created_at=ago,
            calls=calls,
            last_call_first_sent_at=ago if calls else None,
            claim_token=uuid.uuid4() if request.param == State.RUNNING else None,
            claimed_until=ago if request.param == State.RUNNING else None,
        )
        operation.refresh_from_db()
        return operation

    def test_it_holds_it_and_a_manager_resolves_it(
        self, stuck: Operation, client: Client, manager: User, sandbox: SandboxProcess
    ) -> None:
        assert list(manual_resolution.queue()) == [stuck] and manual_resolution.is_needed(stuck)
        client.force_login(manager)
        assert "For you to decide" in client.get("/admin/").content.decode()
        listed = client.get("/admin/invoices/operation/?state=undecided").content.decode()
        assert str(stuck.pk) in listed
        page = client.get(f"/admin/invoices/operation/{stuck.pk}/").content.decode()
        assert "What came of it?" in page and "How do you know?" in page
        said = {"took_effect": "no", "reason": "Stripe's log shows nothing"}
        assert client.post(f"/admin/invoices/operation/{stuck.pk}/close/", said).status_code == 302
        stuck.refresh_from_db()
        assert (stuck.state, stuck.code, stuck.outcome_by) == (State.FAILED, "not_applied", "person")
        assert stuck.after["status"] == "open"
        assert list(manual_resolution.queue()) == []

    def test_what_was_never_sent_cannot_have_taken_effect(
        self, stuck: Operation, client: Client, manager: User
    ) -> None:
        client.force_login(manager)
        said = {"took_effect": "yes", "reason": "I believe so"}
        response = client.post(f"/admin/invoices/operation/{stuck.pk}/close/", said)
        stuck.refresh_from_db()
        if stuck.calls:
            assert (response.status_code, stuck.state) == (302, State.SUCCEEDED)
        else:
            assert response.status_code == 400 and "Nothing was sent to Stripe" in response.content.decode()
            assert stuck.state == State.READY

    def test_while_a_process_works_on_it_nobody_decides(self, stuck: Operation, manager: User) -> None:
        rewrite(stuck, claim_token=uuid.uuid4(), claimed_until=clock.now() + timedelta(minutes=1))
        with pytest.raises(operations.Refusal) as refusal:
            manual_resolution.resolve(stuck.pk, by=manager, took_effect=False, reason="I looked")
        assert refusal.value.code == "operation_in_progress"

    @pytest.mark.parametrize(
        "answer",
        [
            Answer.error(403, type="invalid_request_error", message="This key may not do that."),
            Answer(200, b'{"object": "invoice", "id": "%s", "lines": 5, "payments": 7}', STRIPES),
        ],
    )
    def test_an_invoice_that_cannot_be_read_is_no_obstacle(
        self, wire: Wire, stuck: Operation, manager: User, answer: Answer
    ) -> None:
        body = answer.body.replace(b"%s", stuck.invoice.encode())
        wire.replies_to_get[f"/v1/invoices/{stuck.invoice}"] = Answer(answer.status, body, answer.headers)
        done = manual_resolution.resolve(stuck.pk, by=manager, took_effect=False, reason="I looked")
        assert done.state == State.FAILED and not any(done.after.values())

    def test_an_action_that_is_no_more_can_be_resolved(self, stuck: Operation, client: Client, manager: User) -> None:
        rewrite(stuck, action="forgotten")
        client.force_login(manager)
        assert client.get("/admin/").status_code == 200
        assert client.get("/admin/invoices/operation/?state=undecided").status_code == 200
        assert client.get(f"/admin/invoices/operation/{stuck.pk}/").status_code == 200
        said = {"took_effect": "no", "reason": "Nobody knows that action"}
        assert client.post(f"/admin/invoices/operation/{stuck.pk}/close/", said).status_code == 302
        stuck.refresh_from_db()
        assert stuck.state == State.FAILED

    @pytest.mark.parametrize("state", State.values)
    def test_the_row_and_the_queue_agree(self, db: None, state: str) -> None:
        needed = set()
        for number, minutes in enumerate(product([0, 10, 59, 61], [0, 10, 61], [10, 59, 61, 10_000])):  # 0: not set
            sent, decided, created = (clock.now() - timedelta(minutes=each) for each in minutes)
            operation = Operation.objects.create(
                action="void", invoice=f"in_{number}", source="api", state=state,
                created_at=created,
                decided_at=decided if minutes[1] else None,
                last_call_first_sent_at=sent if minutes[0] else None,
            )  # fmt: skip
            hour_from = next(each for each in minutes if each)
            expected = hour_from > 60 and state in ("ready", "running", "unknown")
            assert manual_resolution.is_needed(operation) == expected
            needed |= {operation.pk} if expected else set()
        assert {each.pk for each in manual_resolution.queue()} == needed
