"""Contradictions: Stripe's events about our requests that say otherwise than the journal; and what must not ring."""

from __future__ import annotations

import html
import itertools
import json
import random
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db.models import Q
from django.test import Client

from invoices import clock, emails, operations, refetch, sync
from invoices.models import ApiToken, CallResult, Contradiction, Event, Invoice, Operation, RecordedCall
from invoices.operations import ACTIONS, claims, contradictions, decisions, manual_resolution
from invoices.operations import batch as batches
from invoices.operations.refusals import Invalid, Refusal
from tests.factories import InvoiceObject, PaymentIntentObject, invoice_at, stored
from tests.helpers.database import rewrite
from tests.helpers.events import stripe_event
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
_count = itertools.count(1)
LIST = "/admin/invoices/operation/"
HELD = {"amount": 1000, "method": "Cash", "received_on": "2026-11-02"}


def final(state: str = State.FAILED, action: str = "pay", *, sent: bool = True, **given: Any) -> Operation:
    """A final operation, as the journal may hold it."""
    operation = Operation(action=action, invoice="in_1", source="admin", state=state, before={"number": "A-1"}, **given)
    call = ACTIONS[action].calls[-1]
    done = CallResult("in_1", "invoice") if state == State.SUCCEEDED else None
    path = call.path.format(invoice="in_1", create_payment_intent="pi_1")
    if sent:
        operation.calls = [RecordedCall(call.name, path, {}, f"{operation.pk}-{call.name}", 0, result=done)]
    if state == State.SUCCEEDED:
        operation.stripe_request_id = "req_1"
        operation.outcome_by = operation.outcome_by or "us"
    operation.finished_at = clock.now()
    operation.save(force_insert=True)
    return operation


def event(
    operation: Operation, type: str, found: Any = None, *, request: Any = "req_1", **changes: Any
) -> dict[str, Any]:
    """An event under the key of the operation's last call."""
    key = f"{operation.key_base or operation.pk}-{ACTIONS[operation.action].calls[-1].name}"
    about = found or InvoiceObject(id=operation.invoice)
    told = {"id": f"evt_{next(_count)}", "type": type, "request": {"id": request, "idempotency_key": key}}
    return stripe_event(about, **told | changes)


@pytest.fixture
def tell(post_event: Callable[..., Any]) -> Callable[..., list[str]]:
    """Posts events and processes them; the messages of the contradictions that are recorded by then."""

    def told(*events: dict[str, Any]) -> list[str]:
        for each in events:
            assert post_event(each).status_code == 200
        sync.process_events()
        return messages()

    return told


def messages() -> list[str]:
    return [each.message for each in Contradiction.objects.order_by("pk")]


class TestRings:
    @pytest.mark.parametrize(
        ("state", "given"),
        [
            (State.FAILED, {"code": "not_applied", "outcome_by": "nobody"}),
            (State.FAILED, {"code": "card_declined", "outcome_by": "nobody"}),
            (State.FAILED, {"code": "invoice_changed", "outcome_by": "someone_else"}),
            (State.FAILED, {"code": "not_applied", "outcome_by": "person"}),
            (State.EXPIRED, {"code": "expired", "sent": False}),
            (State.CANCELLED, {"code": "withdrawn", "sent": False}),
            (State.REFUSED, {"code": "invoice_not_open", "sent": False}),
        ],
    )
    @pytest.mark.parametrize("type", ["invoice.paid", "invoice.payment_succeeded", "payment_intent.succeeded"])
    def test_a_late_effect(self, tell: Callable[..., list[str]], state: str, given: dict[str, Any], type: str) -> None:
        operation = final(state, **given)
        before = Operation.objects.values().get(pk=operation.pk)
        found = PaymentIntentObject(id="pi_1") if type.startswith("payment_intent") else None
        [message] = tell(event(operation, type, found))
        assert "took effect" in message and type in message
        assert Operation.objects.values().get(pk=operation.pk) == before

    @pytest.mark.parametrize("action", sorted(ACTIONS))
    def test_a_late_effect_of_every_action(self, tell: Callable[..., list[str]], action: str) -> None:
        operation = final(action=action, code="not_applied")
        [message] = tell(event(operation, ACTIONS[action].calls[-1].effect.events[0]))
        assert ACTIONS[action].label in message

    def test_our_failure_after_it_succeeded(self, tell: Callable[..., list[str]]) -> None:
        [message] = tell(event(final(State.SUCCEEDED), "invoice.payment_failed"))
        assert "did not go through" in message

    def test_a_manager_who_was_wrong(self, tell: Callable[..., list[str]]) -> None:
        [message] = tell(event(final(State.SUCCEEDED, outcome_by="person"), "payment_intent.payment_failed"))
        assert "a manager decided that it took effect" in message

    @pytest.mark.parametrize("first_came", [True, False])
    def test_a_second_effect_by_another_request(self, tell: Callable[..., list[str]], first_came: bool) -> None:
        operation = final(State.SUCCEEDED)
        assert not first_came or tell(event(operation, "invoice.paid")) == []
        [message] = tell(event(operation, "invoice.paid", request="req_2"))
        assert "a second time" in message

    def test_a_second_charge(self, tell: Callable[..., list[str]]) -> None:
        operation = final(State.SUCCEEDED)
        one, other = (PaymentIntentObject(id=id, status="succeeded") for id in ("pi_1", "pi_2"))
        found = tell(event(operation, "payment_intent.succeeded", one, created=1_800_000_000))
        assert found == []
        [message] = tell(event(operation, "payment_intent.succeeded", other, request=None, created=1_800_000_005))
        assert "a second time (payment_intent.succeeded of pi_2)" in message

    def test_money_on_its_way_of_which_the_journal_knows_nothing(self, tell: Callable[..., list[str]]) -> None:
        operation = final(code="not_applied")
        [message] = tell(event(operation, "payment_intent.processing", PaymentIntentObject(id="pi_1")))
        assert "on its way" in message

    @pytest.mark.parametrize(
        ("state", "type", "words"),
        [
            (State.FAILED, "payment_intent.succeeded", "took effect"),
            (State.SUCCEEDED, "payment_intent.payment_failed", "did not go through"),
        ],
    )
    def test_an_event_that_names_our_charge_without_our_key(
        self, tell: Callable[..., list[str]], sandbox: SandboxProcess, open_invoice: Any, agent: User,
        manager: User, deliver: Callable[[], int], state: str, type: str, words: str,
    ) -> None:  # fmt: skip
        """A manager ended what was overdue, and the bank then decided otherwise."""
        operation = act("pay", open_invoice.id, agent, params={"payment_method": "pm_usBankAccount_processing"})
        Operation.objects.filter(pk=operation.pk).update(settle_at=None)
        operations.settle_due()
        deliver()
        Operation.objects.filter(pk=operation.pk).update(last_call_first_sent_at=clock.now() - timedelta(days=20))
        took_effect = state == State.SUCCEEDED
        manual_resolution.resolve(operation.pk, by=manager, took_effect=took_effect, reason="The bank said so")
        assert messages() == []
        intent = Operation.objects.get(pk=operation.pk).calls[0].payment_intent
        sandbox.post(f"payment_intents/{intent}/settle", outcome="failed" if took_effect else "succeeded")
        deliver()
        [message] = messages()
        assert "a manager decided" in message and words in message and type in message

    def test_what_came_before_the_operation_was_final(self, tell: Callable[..., list[str]], agent: User) -> None:
        operation = Operation.objects.create(
            action="pay", invoice="in_1", source="admin", state=State.UNKNOWN, outcome_by=""
        )
        assert tell(event(operation, "invoice.paid")) == []
        claim = claims.take(operation.pk, Q(state=State.UNKNOWN))
        assert claim
        claim.finish(State.FAILED, [], code="not_applied", message="Nothing came of it.", outcome_by="nobody")
        [message] = messages()
        assert "took effect" in message

    @pytest.mark.parametrize("how", ["rejected", "withdrawn", "expired", "paid", "batch cancelled", "paid elsewhere"])
    def test_what_came_before_it_ended_unsent(
        self,
        tell: Callable[..., list[str]],
        sandbox: SandboxProcess,
        agent: User,
        manager: User,
        later: Callable[[float], None],
        how: str,
    ) -> None:
        """In a database that was restored to an older state it waits, and was carried out. The event came first."""
        invoice = invoice_at(sandbox, 600_000)
        refetch.refetch("invoice", invoice.id)
        batch = batches.start(
            "void", [Invoice.objects.get(pk=invoice.id)], actor=agent, reason="a wrong run", batch_id=uuid.uuid4()
        )
        given: dict[str, Any] = {"actor": agent, "source": "admin", "reason": "a wrong run", "batch": batch}
        operation = operations.request("void", invoice.id, **given)
        assert operation.state == State.AWAITING_APPROVAL
        assert tell(event(operation, "invoice.voided")) == []
        match how:
            case "rejected":
                decisions.reject(operation.pk, approver=manager, reason="it is owed")
            case "withdrawn":
                decisions.withdraw(operation.pk, actor=agent)
            case "expired":
                later(8 * 86400)
                decisions.expire()
            case "paid":
                act("pay", invoice.id, agent)
            case "batch cancelled":
                batches.cancel(batch, agent)
            case _:
                sandbox.client().v1.invoices.pay(invoice.id)
                with pytest.raises(operations.Refusal):
                    decisions.approve(operation.pk, approver=manager)
        [message] = messages()
        assert "took effect" in message

    def test_keys_that_were_begun_by_an_earlier_request(self, tell: Callable[..., list[str]]) -> None:
        """Two operations send the same keys: what the later one did is no contradiction of the earlier one."""
        earlier = final(code="stripe_unavailable", sent=False)
        later = final(State.SUCCEEDED, key_base=earlier.pk)
        assert tell(event(later, "invoice.paid")) == []
        assert len(tell(event(later, "invoice.payment_failed", request="req_2"))) == 1
        assert Contradiction.objects.get().operation == later

    def test_it_rings_once(self, tell: Callable[..., list[str]], post_event: Callable[..., Any]) -> None:
        """Stripe tells of one request in several events, and delivers each at least once."""
        operation = final(code="not_applied")
        told = [event(operation, type) for type in ("invoice.paid", "invoice.payment_succeeded")]
        for _ in range(3):
            assert len(tell(*told)) == 1
        assert len(tell(event(operation, "invoice.paid"))) == 1  # a second event for the same change
        Event.objects.update(state=Event.State.PENDING)
        sync.process_events()
        assert len(messages()) == 1
        assert len(tell(event(operation, "invoice.paid", request="req_9"))) == 2

    def test_an_event_of_another_version_rings_too(self, tell: Callable[..., list[str]]) -> None:
        told = event(
            final(code="not_applied"), "invoice.paid", {"object": "invoice", "id": "in_1"}, api_version="2020-08-27"
        )
        assert len(tell(told)) == 1


class TestDoesNotRing:
    @pytest.mark.parametrize(
        "told",
        [
            {"type": "invoice.updated"},
            {"type": "invoice.finalized"},
            {"type": "invoice.paid", "livemode": True},
            {"type": "invoice.paid", "account": "acct_of_somebody"},
            {"type": "invoice.paid", "request": {"id": "req_1", "idempotency_key": "order-4711"}},
            {"type": "invoice.paid", "request": "req_1"},
            {"type": "invoice.paid", "request": None},
            {
                "type": "invoice.paid",
                "request": {"id": "req_1", "idempotency_key": f"{'0' * 8}-0000-0000-0000-{'0' * 12}-pay"},
            },
        ],
    )
    def test_what_is_not_about_our_request(self, tell: Callable[..., list[str]], told: dict[str, Any]) -> None:
        assert tell(event(final(code="card_declined"), told["type"]) | told) == []

    def test_another_call_and_an_action_that_is_gone(self, tell: Callable[..., list[str]]) -> None:
        operation = final(code="not_applied")
        key = f"{operation.pk}-of_another_version"
        assert tell(event(operation, "invoice.paid", request=None) | {"request": {"idempotency_key": key}}) == []
        gone = Operation.objects.create(action="gone", invoice="in_1", source="admin", state=State.FAILED)
        request = {"id": "req_1", "idempotency_key": f"{gone.pk}-pay"}
        assert tell(event(operation, "invoice.paid", request=None) | {"request": request}) == []


def shuffled_replay(sandbox: SandboxProcess, post_event: Callable[..., Any], seed: int) -> None:
    """Every event of the sandbox, twice, in some order, some of them in another version."""
    told = [json.loads(str(each)) for each in sandbox.client().v1.events.list({"limit": 100}).auto_paging_iter()] * 2
    chance = random.Random(seed)
    chance.shuffle(told)
    for each in told:
        post_event({**each, "api_version": chance.choice([each["api_version"], "2020-08-27"])})
        if chance.random() < 0.3:
            sync.process_events()
    sync.process_events()


class TestTheNormalCourse:
    """Every action, with its events in any order, twice, before and after it is final: nothing rings."""

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(
        ("action", "params", "draft"),
        [
            ("pay", {}, False),
            ("pay", {}, True),
            ("pay", {"paid_out_of_band": True}, False),
            ("pay", {"payment_method": "pm_card_chargeCustomerFail"}, False),
            ("pay", {"payment_method": "pm_card_chargeCustomerFail"}, True),
            ("pay", {"payment_method": "pm_card_threeDSecure2Required", "off_session": False}, False),
            ("void", {}, False),
            ("mark_uncollectible", {}, False),
            ("finalize", {}, True),
            ("send", {}, False),
            ("attach_out_of_band_payment", HELD, False),
            ("attach_out_of_band_payment", HELD | {"amount": 400}, False),
        ],
    )
    def test_of_each_action(
        self, sandbox: SandboxProcess, post_event: Callable[..., Any], agent: User,
        action: str, params: dict[str, Any], draft: bool, seed: int,
    ) -> None:  # fmt: skip
        due: dict[str, Any] = {"collection_method": "send_invoice", "days_until_due": 30} if action == "send" else {}
        invoice = invoice_at(sandbox, finalize=not draft, **due)
        operation = act(action, invoice.id, agent, params=params)
        assert operation.state in Operation.FINAL
        if action == "pay" and operation.state == State.FAILED:  # then somebody pays it with another card
            other = act("pay", invoice.id, agent, params={"payment_method": "pm_card_visa"})
            assert other.state == State.SUCCEEDED
        shuffled_replay(sandbox, post_event, seed)
        assert Event.objects.filter(idempotency_key__startswith=str(operation.pk)).exists()
        assert messages() == []

    @pytest.mark.parametrize("outcome", ["succeeded", "insufficient_funds", "canceled"])
    @pytest.mark.parametrize("told_before", [True, False])
    def test_of_a_bank_debit(
        self, sandbox: SandboxProcess, post_event: Callable[..., Any], deliver: Callable[[], int], open_invoice: Any,
        agent: User, outcome: str, told_before: bool,
    ) -> None:  # fmt: skip
        operation = act("pay", open_invoice.id, agent, params={"payment_method": "pm_usBankAccount_processing"})
        deliver()
        Operation.objects.filter(pk=operation.pk).update(settle_at=None)
        operations.settle_due()
        intent = Operation.objects.get(pk=operation.pk).calls[0].payment_intent
        sandbox.post(f"payment_intents/{intent}/settle", outcome=outcome)
        if told_before:
            deliver()
        Operation.objects.filter(pk=operation.pk).update(settle_at=None)
        operations.settle_due()
        operation.refresh_from_db()
        assert operation.state in Operation.FINAL
        if outcome != "succeeded":  # the next attempt reuses the PaymentIntent
            assert (
                act("pay", open_invoice.id, agent, params={"payment_method": "pm_card_visa"}).state == State.SUCCEEDED
            )
        shuffled_replay(sandbox, post_event, 1)
        assert messages() == []


class TestResolving:
    @pytest.fixture
    def contradiction(self, tell: Callable[..., list[str]]) -> Contradiction:
        tell(event(final(code="not_applied"), "invoice.paid"))
        return Contradiction.objects.get()

    def test_a_manager_says_what_was_done(self, contradiction: Contradiction, manager: User) -> None:
        resolved = contradictions.resolve(contradiction.pk, by=manager, reason=" Refunded ")
        assert (resolved.resolved_by, resolved.resolution) == (manager, "Refunded")
        with pytest.raises(Refusal, match="Somebody else"):
            contradictions.resolve(contradiction.pk, by=manager, reason="Again")

    def test_it_takes_a_reason_and_the_permission(
        self, contradiction: Contradiction, manager: User, agent: User
    ) -> None:
        with pytest.raises(Invalid):
            contradictions.resolve(contradiction.pk, by=manager, reason=" ")
        with pytest.raises(Refusal):
            contradictions.resolve(contradiction.pk, by=agent, reason="Refunded")
        assert Contradiction.objects.get().resolved_at is None

    def test_metrics(self, contradiction: Contradiction, manager: User, client: Client) -> None:
        line = "invoice_desk_unresolved_contradictions"
        assert f"{line} 1.0" in client.get("/metrics").content.decode()
        contradictions.resolve(contradiction.pk, by=manager, reason="Refunded")
        assert f"{line} 0.0" in client.get("/metrics").content.decode()

    def test_the_api_shows_it(self, contradiction: Contradiction, manager: User, client: Client) -> None:
        _, token = ApiToken.objects.create(manager, name="billing")
        address = f"/v1/operations/{contradiction.operation_id}"
        contradictions.resolve(contradiction.pk, by=manager, reason="Refunded")
        [shown] = client.get(address, headers={"Authorization": f"Bearer {token}"}).json()["contradictions"]
        assert shown["message"] == contradiction.message and shown["event"] == contradiction.event_id
        assert (shown["resolution"], shown["resolved_by"]) == ("Refunded", "manager") and shown["resolved"]


class TestEmail:
    @pytest.fixture(autouse=True)
    def contradiction(self, tell: Callable[..., list[str]], settings: Any, manager: User, agent: User) -> Contradiction:
        settings.FINANCE_EMAILS = ["finance@example.com"]
        tell(event(final(code="not_applied"), "invoice.paid"))
        return Contradiction.objects.get()

    def test_finance_and_the_managers_are_told_once(self, contradiction: Contradiction, manager: User) -> None:
        assert [contradictions.announce() for _ in range(3)] == [1, 0, 0]
        assert emails.send_due() == 2
        assert sorted(sent.to[0] for sent in mail.outbox) == ["finance@example.com", manager.email]
        for sent in mail.outbox:
            assert contradiction.message in sent.body and str(contradiction.operation_id) in sent.body
        assert Contradiction.objects.get().announced_at

    def test_while_nobody_has_an_address_it_waits(self, manager: User, settings: Any) -> None:
        settings.FINANCE_EMAILS = []
        User.objects.update(email="")
        assert contradictions.announce() == 0
        User.objects.filter(pk=manager.pk).update(email="boss@example.com")
        assert contradictions.announce() == 1

    def test_a_line_break_in_the_number_is_none_in_the_subject(self, contradiction: Contradiction) -> None:
        rewrite(contradiction.operation, before={"number": "A-1\r\nBcc: x@example.com"})
        assert contradictions.announce() == 1 and emails.send_due() == 2
        assert all(sent.subject.endswith("A-1 Bcc: x@example.com") for sent in mail.outbox)


class TestPages:
    @pytest.fixture
    def contradiction(self, tell: Callable[..., list[str]]) -> Contradiction:
        stored(InvoiceObject(id="in_1", number="A-1", status="paid"))
        tell(event(final(code="not_applied"), "invoice.paid"))
        return Contradiction.objects.get()

    def test_it_is_shown_until_it_is_resolved(
        self, client: Client, manager: User, contradiction: Contradiction
    ) -> None:
        client.force_login(manager)
        operation = f"/admin/invoices/operation/{contradiction.operation_id}/"
        pages = ["/admin/", "/admin/invoices/invoice/in_1/", operation]
        for address in pages:
            found = html.unescape(client.get(address).content.decode())
            assert "Stripe contradicts the journal" in found and contradiction.message in found, address
        for address in pages[1:]:  # nobody is asked to pay meanwhile
            found = client.get(address).content.decode()
            assert "please give us a moment" in found and "After the decline" not in found, address
        assert str(contradiction.operation_id) in client.get(f"{LIST}?state=contradicted").content.decode()
        address = f"{operation}contradictions/{contradiction.pk}/"
        refused = client.post(address, {"reason": " "})
        assert refused.status_code == 400 and "Please say what you found" in refused.content.decode()
        assert client.post(address, {"reason": "Refunded at Stripe"}).status_code == 302
        for address in pages:
            assert "Stripe contradicts the journal" not in client.get(address).content.decode(), address
        found = client.get(operation).content.decode()
        assert "Refunded at Stripe" in found and contradiction.message in html.unescape(found)
        assert str(contradiction.operation_id) not in client.get(f"{LIST}?state=contradicted").content.decode()

    def test_an_agent_sees_it_and_may_not_resolve_it(self, desk: Client, contradiction: Contradiction) -> None:
        operation = f"/admin/invoices/operation/{contradiction.operation_id}/"
        found = desk.get(operation).content.decode()
        assert "A billing manager resolves it." in found and "Mark as resolved" not in found
        assert desk.post(f"{operation}contradictions/{contradiction.pk}/", {"reason": "x"}).status_code == 403

    def test_of_another_operation(self, client: Client, manager: User, contradiction: Contradiction) -> None:
        client.force_login(manager)
        other = final(State.SUCCEEDED)
        address = f"/admin/invoices/operation/{other.pk}/contradictions/{contradiction.pk}/"
        assert client.post(address, {"reason": "x"}).status_code == 404

    def test_without_any(self, desk: Client) -> None:
        assert "Stripe and the journal say the same." in desk.get("/admin/health/").content.decode()
        assert desk.get(f"{LIST}?state=contradicted").status_code == 200
