"""Intake without the webhook endpoint: what the journal keeps of an event, several at once, how workers are woken."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from invoices import clock, intake, wakeups, webhooks
from invoices.models import Erasure, Event
from tests.helpers.events import sign, stripe_event
from tests.helpers.told import listening


def numbered(number: int = 1, **changes: Any) -> dict[str, Any]:
    return stripe_event(**{"id": f"evt_{number}", "created": 1_790_000_000} | changes)


@pytest.mark.django_db
class TestJournal:
    def test_what_a_list_brings_is_kept_whole(self) -> None:
        event = numbered(description="\x00 \ud83d €")
        [row] = intake.journal([intake.event_row(event, source=Event.Source.CATCH_UP)])
        assert json.loads(Event.objects.get().body) == event
        assert row.source == "catch_up"

    def test_only_new_ones_are_returned(self) -> None:
        assert [row.pk for row in intake.journal([intake.event_row(numbered(1))])] == ["evt_1"]
        assert intake.journal([intake.event_row(numbered(1))]) == []
        rows = [intake.event_row(numbered(number)) for number in (1, 2, 2, 3)]
        assert [row.pk for row in intake.journal(rows)] == ["evt_2", "evt_3"]
        assert intake.journal([]) == []

    def test_a_known_event_is_not_touched(self) -> None:
        intake.journal([intake.event_row(numbered(1))])
        Event.objects.update(state=Event.State.DONE)
        intake.journal([intake.event_row(numbered(1, type="invoice.paid")), intake.event_row(numbered(2))])
        assert Event.objects.get(pk="evt_1").state == "done" and Event.objects.get(pk="evt_1").type == "invoice.updated"

    @pytest.mark.parametrize("created", ["yesterday", None, 10**30, -1, True, 1.5, [], 253402300800])
    def test_a_stamp_that_is_none_is_left_empty(self, created: Any) -> None:
        row = intake.event_row(numbered(created=created))
        assert row.created is None or created in (-1, 253402300799)
        intake.journal([row])

    @pytest.mark.parametrize("value", ["x" * 1000, "a\x00b", "\ud800", 7, None, [], {"id": 1}, True])
    def test_no_member_is_too_odd_to_keep(self, value: Any) -> None:
        names = ("type", "api_version", "account", "livemode", "request", "pending_webhooks")
        for number, name in enumerate(names):
            intake.journal([intake.event_row(numbered(number, **{name: value}))])
        odd = {"object": {"object": value, "id": value}}
        intake.journal([intake.event_row(numbered(9, data=odd, request={"id": value, "idempotency_key": value}))])
        assert Event.objects.count() == len(names) + 1


class TestWaking:
    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        sent: list[str] = []

        def send(name: str, **options: Any) -> None:
            if threading.current_thread() is wakeups._sender:  # another one may still be at what an earlier test wanted
                sent.append(name)

        monkeypatch.setattr(wakeups, "_sender", None)
        monkeypatch.setattr(wakeups.current_app, "send_task", send)
        return sent

    def until(self, true: Callable[[], Any], seconds: float = 3) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)

    def test_many_within_a_moment_become_few_and_one_comes_after_the_last(self, sent: list[str]) -> None:
        for _ in range(500):
            wakeups.wake("process_events")
        self.until(lambda: sent)
        assert 1 <= len(sent) <= 3
        time.sleep(2.5 * wakeups.PAUSE_SECONDS)
        before = len(sent)
        wakeups.wake("process_events")
        self.until(lambda: len(sent) > before)
        assert set(sent) == {"invoices.tasks.process_events"}

    def test_a_broker_that_refuses_hurts_nobody(self, sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        refused = threading.Event()

        def refuse(name: str, **options: Any) -> None:
            refused.set()
            raise ConnectionError("no broker")

        with monkeypatch.context() as broken:
            broken.setattr(wakeups.current_app, "send_task", refuse)
            wakeups.wake("process_events")
            assert refused.wait(3)
            time.sleep(0.05)
        wakeups.wake("perform_refetches")
        self.until(lambda: "invoices.tasks.perform_refetches" in sent)

    def test_after_a_fork_the_child_has_a_sender_of_its_own(self, sent: list[str]) -> None:
        wakeups.wake("process_events")
        first = wakeups._sender
        assert first is not None
        first.pid = os.getpid() + 1  # as a child process finds it: the thread stayed with its parent
        wakeups.wake("process_events")
        assert wakeups._sender is not first
        self.until(lambda: sent)

    @pytest.mark.django_db(transaction=True)
    def test_nobody_is_woken_before_the_row_is_there(self, sent: list[str]) -> None:
        with transaction.atomic():
            intake.journal([intake.event_row(numbered(1))])
            time.sleep(0.1)
            assert sent == []
        self.until(lambda: sent)

    @pytest.mark.django_db(transaction=True)
    def test_nobody_is_woken_for_nothing(self, sent: list[str]) -> None:
        intake.journal([intake.event_row(numbered(1, livemode=True))])
        intake.journal([])
        time.sleep(0.15)
        assert sent == []


def of_customer(customer: str, number: int = 1) -> dict[str, Any]:
    found = {"object": "invoice", "id": f"in_{number}", "customer": customer, "customer_name": "Zoe Quistgaard"}
    return stripe_event(found, id=f"evt_{number}")


def erased(customer: str) -> None:
    Erasure.objects.create(customer=customer, reason="asked", shell_user="me@here", requested_at=clock.now())


@pytest.mark.django_db(transaction=True)
class TestManyInOneStatement:
    def test_one_of_an_erased_customer_among_others(self) -> None:
        erased("cus_2")
        told = [of_customer(f"cus_{number}", number) for number in (3, 2, 1, 2)]
        assert [row.pk for row in intake.write(map(intake.event_row, told))] == ["evt_3", "evt_2", "evt_1"]
        assert {row.pk: "Quistgaard" in row.body for row in Event.objects.all()} == {
            "evt_1": True,
            "evt_2": False,
            "evt_3": True,
        }
        assert intake.write(map(intake.event_row, told)) == []

    @pytest.mark.parametrize("customer", ["cus_\U0001f600", "cüs", 'a"b', "a\\b", "cus_1\n", "[1]", "null", "7"])
    def test_an_erased_customer_with_an_odd_id(self, customer: str) -> None:
        erased(customer)
        intake.write([intake.event_row(of_customer(customer))])
        assert "Quistgaard" not in Event.objects.get().body

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    def test_an_erased_customer_in_any_encoding_that_is_read(self, encoding: str) -> None:
        erased("cus_1")
        body = json.dumps(of_customer("cus_1")).encode(encoding)
        row = intake.check(body, sign(body)).row
        assert row.customers == {"cus_1"}
        if encoding == "utf-8" or connection.vendor == "sqlite":  # PostgreSQL stores no NUL
            intake.journal([row])
            assert "Quistgaard" not in Event.objects.get().body.replace("\x00", "")

    @pytest.mark.parametrize("column", ["body", "state"])
    def test_one_that_is_refused_hurts_no_other(self, column: str) -> None:
        rows = [intake.event_row(of_customer("cus_1", number)) for number in range(4)]
        setattr(rows[2], column, None)
        assert [outcome is True for outcome in webhooks._written(rows)] == [True, True, False, True]
        assert Event.objects.count() == 3

    def test_the_callers_transaction_decides(self) -> None:
        with pytest.raises(KeyError), transaction.atomic():
            assert len(intake.write(intake.event_row(numbered(number)) for number in range(3))) == 3
            raise KeyError
        with transaction.atomic():
            intake.write([intake.event_row(numbered(1))])
            refused = intake.event_row(of_customer("cus_1", 2))
            setattr(refused, "state", None)  # noqa: B010  what no type allows
            with pytest.raises(IntegrityError), transaction.atomic():
                intake.write([refused, intake.event_row(of_customer("cus_1", 3))])
            intake.write([intake.event_row(numbered(4))])
        assert set(Event.objects.values_list("pk", flat=True)) == {"evt_1", "evt_4"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [intake.TOLD_SINGLY, intake.TOLD_SINGLY + 1])
def test_of_many_at_once_the_log_has_their_number(number: int) -> None:
    with listening() as told:
        assert len(intake.journal(intake.event_row(numbered(each)) for each in range(number))) == number
    received, together = told.lines("event received"), told.lines("events received")
    assert {line["event"] for line in received} == {numbered(each)["id"] for each in range(number)}
    if number > intake.TOLD_SINGLY:
        assert {line["level"] for line in received} == {"DEBUG"}
        assert [(line["level"], line["events"], line["source"]) for line in together] == [("INFO", number, "webhook")]
    else:
        assert {line["level"] for line in received} == {"INFO"} and not together
