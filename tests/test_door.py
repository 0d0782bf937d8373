"""Webhooks at the web server: many at once, what each is answered, and what happens where they cannot be written."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from django.db import DataError, InternalError, OperationalError

from backoffice import serving
from invoices import intake, webhooks
from invoices.models import Erasure, Event
from invoices.sight import counters
from tests.factories import InvoiceObject
from tests.helpers import asynchronous
from tests.helpers.asgi import LIMIT, Client, Django
from tests.helpers.events import sign, stripe_event
from tests.helpers.told import listening

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/webhooks/stripe"


def delivery(body: bytes, signature: str | None = None) -> Client:
    headers = {"content-length": len(body), "stripe-signature": sign(body) if signature is None else signature}
    return Client("POST", PATH, body, headers=headers)


def event(number: int, **changes: Any) -> bytes:
    return json.dumps(stripe_event(**{"id": f"evt_{number:04}"} | changes)).encode()


def with_server(scenario: Callable[[serving.Server], Awaitable[Any]]) -> Any:
    """Runs it beside a server, which is then stopped as at the end of a process."""

    async def run() -> Any:
        server = serving.Server(Django())
        try:
            return await scenario(server)
        finally:
            await server.door.close()

    return asynchronous.run(run())


def deliver(*bodies: bytes) -> list[Client]:
    return with_server(lambda server: asyncio.gather(*(delivery(body).ask(server) for body in bodies)))


class Writes:
    """Notes what each commit was to write; `before` may stop or refuse it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[list[str]], None] = lambda ids: None) -> None:
        self.batches: list[list[str]] = []
        write = intake.write

        def noted(rows: Iterable[Event]) -> list[Event]:
            rows = list(rows)
            self.batches.append([row.pk for row in rows])
            before(self.batches[-1])
            return write(rows)

        monkeypatch.setattr(intake, "write", noted)


BODIES = {
    "new": event(1),
    "ignored": event(1, livemode=True),
    "another kind": event(1, type="charge.dispute.created", data={"object": {"object": "dispute", "id": "dp_1"}}),
    "no JSON": b"hello",
    "no id": json.dumps(stripe_event() | {"id": None}).encode(),
    "NUL": b'{"id": "evt_1\x00"}',
    "not UTF-8": b'{"id": "\xff"}',
    "empty": b"",
}


class TestOneDelivery:
    @pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
    def test_is_answered_as_the_view_answers_it(self, body: bytes, client: Any) -> None:
        signature = sign(body)
        seen = with_server(delivery(body, signature).ask)
        rows = list(Event.objects.values_list("pk", "state", "body", "error"))
        again = client.post(PATH, body, content_type="application/json", headers={"Stripe-Signature": signature})
        assert seen.status == again.status_code
        assert json.loads(seen.body) | {"new": None} == again.json() | {"new": None}
        assert list(Event.objects.values_list("pk", "state", "body", "error")) == rows

    def test_without_a_good_signature(self) -> None:
        body = event(1)
        for signature in ("", "nonsense", "t=1,v1=a", sign(body, "whsec_other"), "é"):
            client = delivery(body, signature)
            assert with_server(client.ask).status == 400
        assert not Event.objects.exists()

    def test_has_the_headers_of_every_answer(self) -> None:
        (seen,) = deliver(event(1))
        assert seen.headers["cache-control"] == "no-store, private" and seen.headers["x-request-id"].startswith("req_")

    def test_the_event_in_the_log_has_the_id_of_its_request(self) -> None:
        with listening() as told:
            (seen,) = deliver(event(1))
        assert told.one("event received")["request_id"] == seen.headers["x-request-id"]

    def test_one_that_comes_again_is_in_the_log_too(self) -> None:
        deliver(event(1))
        with listening() as told:
            (seen,) = deliver(event(1))
        assert told.one("event known")["request_id"] == seen.headers["x-request-id"]
        assert told.one("event known")["event"] == "evt_0001"

    @pytest.mark.parametrize("customer", ["cus_\x00", "cus_\ud800"])
    def test_of_a_customer_that_no_database_can_name(self, customer: str) -> None:
        """Each such event was answered with 500 for ever."""
        seen = deliver(event(1, data={"object": InvoiceObject(customer=customer)}), event(2))
        assert [each.status for each in seen] == [200, 200]
        assert Event.objects.count() == 2

    def test_other_methods_reach_django(self) -> None:
        assert with_server(lambda server: Client("GET", PATH).ask(server)).status == 200


class TestManyDeliveries:
    def test_those_that_come_during_a_commit_share_the_next_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def before(ids: list[str]) -> None:
            begun.set()
            assert go_on.wait(LIMIT)

        writes = Writes(monkeypatch, before)

        async def scenario(server: serving.Server) -> list[Client]:
            first = asyncio.create_task(delivery(event(0)).ask(server))
            await asyncio.to_thread(begun.wait, LIMIT)
            others = [asyncio.create_task(delivery(event(number)).ask(server)) for number in range(1, 20)]
            while len(server.door.waiting) < len(others):
                await asyncio.sleep(0)
            assert not any(task.done() for task in (first, *others))  # none before its own commit
            go_on.set()
            return await asyncio.gather(first, *others)

        assert [json.loads(each.body)["new"] for each in with_server(scenario)] == [True] * 20
        assert [len(batch) for batch in writes.batches] == [1, 19]
        assert Event.objects.count() == 20

    def test_one_event_many_times_is_one_row_and_new_once(self) -> None:
        seen = deliver(*[event(1)] * 10, event(2))
        assert sorted(json.loads(each.body)["new"] for each in seen) == [False] * 9 + [True] * 2
        assert Event.objects.count() == 2

    def test_of_two_bodies_with_one_id_the_first_is_kept(self) -> None:
        deliver(event(1), event(1, type="invoice.paid"))
        assert Event.objects.get().type == "invoice.updated"

    def test_four_processes_with_the_same_events_in_other_orders(self) -> None:
        bodies = [event(number) for number in range(60)]
        orders = [bodies, bodies[::-1], bodies[30:] + bodies[:30], bodies[::2] + bodies[1::2]]
        seen: list[Client] = []

        def one(order: list[bytes]) -> None:
            seen.extend(deliver(*order))

        threads = [threading.Thread(target=one, args=[order]) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [each.status for each in seen] == [200] * 240
        assert sum(json.loads(each.body)["new"] for each in seen) >= 60
        assert Event.objects.count() == 60

    def test_beyond_what_is_kept_in_memory_they_are_told_to_come_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def before(ids: list[str]) -> None:
            begun.set()
            assert go_on.wait(LIMIT)

        Writes(monkeypatch, before)
        bodies = [event(number) for number in range(5)]  # made once: they are not all of one length
        monkeypatch.setattr(webhooks, "MAX_WAITING_BYTES", sum(len(body) for body in bodies[1:4]))

        async def scenario(server: serving.Server) -> tuple[list[Client], Client, list[Client]]:
            first = asyncio.create_task(delivery(bodies[0]).ask(server))
            await asyncio.to_thread(begun.wait, LIMIT)
            kept = [asyncio.create_task(delivery(body).ask(server)) for body in bodies[1:4]]
            while len(server.door.waiting) < len(kept):
                await asyncio.sleep(0)
            refused = await delivery(bodies[4]).ask(server)
            go_on.set()
            kept_answers = await asyncio.gather(first, *kept)
            return kept_answers, refused, [await delivery(bodies[4]).ask(server)]

        kept, refused, later = with_server(scenario)
        assert [each.status for each in (*kept, refused, *later)] == [200] * 4 + [503, 200]
        assert refused.headers["retry-after"] == "5"
        assert Event.objects.count() == 5

    def test_a_client_that_hangs_up_is_journalled_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def before(ids: list[str]) -> None:
            begun.set()
            assert go_on.wait(LIMIT)

        Writes(monkeypatch, before)

        async def scenario(server: serving.Server) -> Client:
            task = asyncio.create_task(delivery(event(1)).ask(server))
            await asyncio.to_thread(begun.wait, LIMIT)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            other = asyncio.create_task(delivery(event(2)).ask(server))
            go_on.set()
            return await other

        assert with_server(scenario).status == 200
        assert Event.objects.count() == 2


class TestWhatIsNotSimplyWritten:
    def test_a_row_that_it_refuses_hurts_no_other(self, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
        def before(ids: list[str]) -> None:
            if "evt_0003" in ids:
                raise DataError("too odd")

        Writes(monkeypatch, before)
        seen = deliver(*(event(number) for number in range(6)))
        assert [each.status for each in seen] == [200, 200, 200, 500, 200, 200]
        assert Event.objects.count() == 5

    def test_a_connection_that_has_ended_is_replaced_unseen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        failed: list[int] = []

        def before(ids: list[str]) -> None:
            if not failed:
                failed.append(1)
                raise OperationalError("server closed the connection unexpectedly")

        Writes(monkeypatch, before)
        assert [each.status for each in deliver(event(1), event(2))] == [200, 200]
        assert Event.objects.count() == 2

    @pytest.mark.parametrize(
        "problem",
        [OperationalError("connection refused"), InternalError("cannot execute INSERT in a read-only transaction")],
    )
    def test_while_it_is_away_they_are_told_to_come_again(
        self, problem: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def before(ids: list[str]) -> None:
            raise problem

        counted = counters.WEBHOOKS.labels("not_written")._value
        counted.set(0)
        with monkeypatch.context() as away:
            Writes(away, before)
            seen = deliver(event(1), event(2))
        assert counted.get() == 2
        assert [(each.status, each.headers["retry-after"]) for each in seen] == [(503, "5")] * 2
        assert not Event.objects.exists()
        assert [each.status for each in deliver(event(1), event(2))] == [200, 200]

    def test_one_that_does_not_answer_keeps_nobody_waiting_for_ever(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.REQUEST_SECONDS = 0.05
        go_on = threading.Event()

        def before(ids: list[str]) -> None:
            assert go_on.wait(LIMIT)

        Writes(monkeypatch, before)

        async def scenario(server: serving.Server) -> Client:
            seen = await delivery(event(1)).ask(server)
            go_on.set()
            return seen

        assert with_server(scenario).status == 503
        assert Event.objects.count() == 1  # it was written in the end: the next delivery of it finds it there

    def test_what_tells_of_an_erased_customer_is_kept_without_personal_data(self) -> None:
        found = InvoiceObject(customer="cus_gone", customer_email="ada@example.com")
        Erasure.objects.create(customer="cus_gone", reason="asked for it", shell_user="x")
        seen = deliver(event(1, data={"object": found}), event(2))
        assert [each.status for each in seen] == [200, 200]
        assert "ada@example.com" not in Event.objects.get(pk="evt_0001").body
        assert Event.objects.count() == 2


def test_what_is_refused_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even until the collector looks: while the database is away, each may be a megabyte."""
    refused: weakref.WeakSet[Event] = weakref.WeakSet()

    def written(rows: Sequence[Event]) -> list[bool | Exception]:
        refused.update(rows)
        return [OperationalError("away") for _ in rows]

    async def scenario(server: serving.Server) -> None:
        monkeypatch.setattr(webhooks, "_written", written)
        for number in range(20):
            answer = await delivery(event(number)).ask(server)
            assert answer.status == 503
            seen.append(len(refused))

    seen: list[int] = []
    logging.disable()  # pytest keeps what is logged, with its arguments
    gc.collect()
    gc.disable()
    try:
        with_server(scenario)
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    assert max(seen) <= 2 and not refused
