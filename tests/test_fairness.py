"""What one API token may take: requests a second with bursts, of all processes together, and requests at once."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import json
import logging
import socket
import threading
import time
import uuid
from typing import Any

import pytest

from backoffice import fairness, serving
from invoices import gateway, turns
from invoices.api import live
from tests.helpers import asynchronous
from tests.helpers.asgi import LIMIT, Client, Django
from tests.sandbox_process import SandboxProcess


@pytest.fixture(autouse=True)
def answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(fairness, "NAMES", f"invoice-desk:room:{uuid.uuid4()}:")  # in Redis each test has its own


def of(key: str, path: str = "/v1/invoices", **headers: str) -> Client:
    return Client("GET", path, headers={"authorization": f"Bearer {key}", **headers})


def statuses(server: serving.Server, *clients: Client) -> Any:
    async def each() -> list[int]:
        try:
            return [(await client.ask(server)).status for client in clients]
        finally:
            await server.callers.room.close()

    return each()


class Held:
    """In Django's place: each request waits until the test lets it go on. `most`: of one token, at the same time."""

    def __init__(self, *, gives_up: bool = False) -> None:
        self.gives_up, self.go_on, self.lock = gives_up, threading.Event(), threading.Lock()
        self.begun: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        with self.lock:
            self.begun.append(environ["HTTP_AUTHORIZATION"].partition(" ")[2])
        if self.gives_up:
            turns.give_up()
            turns.give_up()  # such as a second request to Stripe
        assert self.go_on.wait(LIMIT)
        start("200 OK", [])
        return Answered()

    async def has_begun(self, number: int) -> list[str]:
        async with asyncio.timeout(LIMIT):
            while len(self.begun) < number:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)  # what must not begin had time to
        return sorted(self.begun)


class Answered(list[bytes]):
    def close(self) -> None:
        """As a response of Django's has it."""


class TestRate:
    def test_a_burst_and_then_so_many_a_second(self, settings: Any) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 10, 5
        room = fairness.Room(100.0)
        assert [room.take(100.0) for _ in range(7)] == [0, 0, 0, 0, 0, 0.1, 0.1]
        assert [room.take(100.11) == 0 for _ in range(2)] == [True, False]
        assert [room.take(1000.0) for _ in range(6)] == [0, 0, 0, 0, 0, 0.1]  # what a pause leaves is the burst

    def test_a_slow_rate_says_when_to_come_again(self, settings: Any) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 0.1, 1
        room = fairness.Room(0.0)
        assert [room.take(0.0), room.take(1.0), room.take(10.0)] == [0, 9, 0]

    def test_where_processes_cannot_ask_each_other_each_has_its_part(self, settings: Any) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST, settings.WEB_PROCESSES = 10, 8, 4
        room = fairness.Room(0.0)
        assert [room.take(0.0), room.take(0.0), room.take(0.0)] == [0, 0, 0.4]

    def test_no_limit(self, settings: Any) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 0, 1
        assert asynchronous.run(statuses(serving.Server(Django()), *(of("one") for _ in range(50)))) == [200] * 50

    def test_beyond_it_the_answer_is_stripe_s_and_nobody_else_is_meant(self, settings: Any) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 0.001, 2
        django, server = Django(), serving.Server(Django())
        server.django = django
        first = "Basic " + base64.b64encode(b"one:").decode()  # the same key, written in the other way
        clients = [of("one"), of("one", **{"x-request-id": "req_12345678"}), of("one"), of("two")]
        clients[0].scope["headers"] = [(b"authorization", first.encode())]
        refused, page = clients[2], Client("GET", "/admin/", headers={"authorization": "Bearer one"})
        nobody = [Client("GET", "/v1/invoices") for _ in range(5)]
        assert asynchronous.run(statuses(server, *clients, page, *nobody)) == [200, 200, 429, 200, 200, *[200] * 5]
        assert len(django.seen) == 9
        error = json.loads(refused.body)["error"]
        assert (error["code"], error["type"]) == ("rate_limit", "invalid_request_error")
        assert refused.headers["retry-after"] == "1000" and refused.headers["stripe-should-retry"] == "true"
        assert refused.headers["request-id"] == refused.headers["x-request-id"]
        assert refused.headers["content-type"] == "application/json"

    def test_an_answer_that_refuses_is_held_for_clients_that_ask_again_at_once(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 0.001, 1
        monkeypatch.setattr(fairness, "HOLD_SECONDS", 30.0)
        monkeypatch.setattr(fairness, "HELD_AT_ONCE", 2)

        async def run() -> None:
            server = serving.Server(Django())
            await of("one").ask(server)
            held = [asyncio.create_task(of("one").ask(server)) for _ in range(2)]
            await asyncio.sleep(0.01)
            assert (await of("one").ask(server)).status == 429  # more are not held
            assert not any(task.done() for task in held)
            for task in held:
                task.cancel()  # as a server does when the connection ends
            await asyncio.gather(*held, return_exceptions=True)
            assert server.callers.held == 0
            await server.callers.room.close()

        asynchronous.run(run())

    def test_the_log_names_the_token_once_a_minute_and_not_its_key(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 0.001, 1
        key = "93706ae4f0b1dc8ba21c9a50d6a6d3aa"
        with caplog.at_level(logging.WARNING):
            asynchronous.run(statuses(serving.Server(Django()), *(of(key) for _ in range(4))))
        (line,) = [record.getMessage() for record in caplog.records]
        assert line == "Requests with the API token that begins with 9370 are refused: too many (rate)."


class TestCommonRoom:
    """Two servers are two processes: they share nothing but Redis."""

    @pytest.fixture(autouse=True)
    def with_redis(self, settings: Any) -> None:
        if not settings.CELERY_BROKER_URL.startswith("redis"):
            pytest.skip("Redis is not the broker.")

    def test_two_processes_share_one_burst_and_take_of_it_by_tens(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 100, 200
        asked: list[float] = []
        take = fairness.CommonRoom.take

        async def counted(room: fairness.CommonRoom, digest: bytes, number: int) -> float:
            assert number == 10
            asked.append(await take(room, digest, number))
            return asked[-1]

        monkeypatch.setattr(fairness.CommonRoom, "take", counted)

        async def run() -> tuple[int, float]:
            servers, began = [serving.Server(Django()) for _ in range(2)], time.monotonic()
            answers = [(await of("one").ask(servers[number % 2])).status for number in range(400)]
            for server in servers:
                await server.callers.room.close()
            return answers.count(200), time.monotonic() - began

        allowed, seconds = asynchronous.run(run())
        assert 200 - 9 <= allowed <= 200 + 100 * seconds  # nine may be left with the other process
        assert asked.count(0) in (-(-allowed // 10), -(-allowed // 10) + 1)
        # Whoever was refused asks nobody again before there may be some.
        assert len(asked) - asked.count(0) <= 2 * (1 + seconds * 10)

    def test_connections_at_once_wait_for_one_question(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST, settings.API_REQUESTS_AT_ONCE = 100, 100, 8
        asked: list[int] = []

        async def slow(room: fairness.CommonRoom, digest: bytes, number: int) -> float:
            asked.append(number)
            await asyncio.sleep(0.05)
            return 0.0

        monkeypatch.setattr(fairness.CommonRoom, "take", slow)

        async def run() -> list[Client]:
            server = serving.Server(Django())
            return await asyncio.gather(*(of("one").ask(server) for _ in range(20)))

        assert {client.status for client in asynchronous.run(run())} == {200} and asked == [10, 10]

    def test_where_redis_does_not_answer_each_process_judges_by_itself(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST = 0.001, 2
        settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"  # nobody listens there
        with caplog.at_level(logging.WARNING):
            answers = asynchronous.run(statuses(serving.Server(Django()), *(of("one") for _ in range(3))))
        assert answers == [200, 200, 429]
        assert caplog.messages[0] == "Each web process judges API tokens by itself for 10 s: ConnectionError"
        assert len(caplog.messages) == 2

    def test_who_came_meanwhile_does_not_wait_once_more_for_a_redis_that_hangs(self, settings: Any) -> None:
        settings.API_REQUESTS_PER_SECOND, settings.API_BURST, settings.API_REQUESTS_AT_ONCE = 100, 100, 8
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
            settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"

            async def run() -> list[Client]:
                server = serving.Server(Django())
                return await asyncio.gather(*(of("one").ask(server) for _ in range(8)))

            began = time.monotonic()
            assert {client.status for client in asynchronous.run(run())} == {200}
        assert time.monotonic() - began < 3 * 0.5  # the timeout of one question; one after the other it took eight


class TestTurns:
    def test_one_token_s_connections_take_turns_and_another_s_do_not_wait(self, settings: Any) -> None:
        settings.API_REQUESTS_AT_ONCE, settings.REQUEST_THREADS = 2, 8
        django = Held()

        async def run() -> None:
            server = serving.Server(django)
            tasks = [asyncio.create_task(of("many").ask(server)) for _ in range(16)]
            assert await django.has_begun(2) == ["many"] * 2
            tasks.append(asyncio.create_task(of("other").ask(server)))
            assert await django.has_begun(3) == ["many"] * 2 + ["other"]
            django.go_on.set()
            assert {client.status for client in await asyncio.gather(*tasks)} == {200}
            assert not any(caller.under_way or caller.waiting for caller in server.callers.known.values())
            assert not server.callers.waiting

        asynchronous.run(run())
        assert len(django.begun) == 17

    def test_who_waits_for_stripe_gives_up_the_turn_and_leaves_half_of_the_threads(self, settings: Any) -> None:
        settings.API_REQUESTS_AT_ONCE, settings.REQUEST_THREADS = 1, 8
        django = Held(gives_up=True)

        async def run() -> None:
            server = serving.Server(django)
            tasks = [asyncio.create_task(of("many").ask(server)) for _ in range(16)]
            assert await django.has_begun(4) == ["many"] * 4
            tasks.append(asyncio.create_task(of("other").ask(server)))
            assert await django.has_begun(5) == ["many"] * 4 + ["other"]
            django.go_on.set()
            await asyncio.gather(*tasks)
            (many, _) = server.callers.known.values()
            assert many.turns._value == 1 and many.threads._value == 4  # each was given back once

        asynchronous.run(run())

    def test_who_waits_too_long_or_with_too_many_is_told_to_come_again(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.API_REQUESTS_AT_ONCE, settings.REQUEST_WAIT_SECONDS = 1, 0.05
        monkeypatch.setattr(fairness, "WAITING_AT_ONCE", 3)
        django = Held()

        async def run() -> list[Client]:
            server = serving.Server(django)
            tasks = [asyncio.create_task(of("many").ask(server)) for _ in range(5)]
            done, left = await asyncio.wait(tasks, timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
            while len(left) > 1:
                more, left = await asyncio.wait(left, timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
                done |= more
            django.go_on.set()
            await asyncio.gather(*left)
            assert not any(caller.under_way for caller in server.callers.known.values())
            return [task.result() for task in done]

        refused = asynchronous.run(run())
        assert [client.status for client in refused] == [429] * 4 and len(django.begun) == 1
        assert {client.headers["retry-after"] for client in refused} == {"1"}

    def test_a_client_that_hangs_up_while_it_waits_leaves_its_place(self, settings: Any) -> None:
        settings.API_REQUESTS_AT_ONCE = 1
        django = Held()

        async def run() -> None:
            server = serving.Server(django)
            first, second, third = (asyncio.create_task(of("many").ask(server)) for _ in range(3))
            await django.has_begun(1)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            django.go_on.set()
            await asyncio.gather(first, third)
            (caller,) = server.callers.known.values()
            assert not caller.under_way and caller.turns._value == 1

        asynchronous.run(run())
        assert len(django.begun) == 2


def test_a_process_keeps_few_keys_in_mind(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_REQUESTS_PER_SECOND = 0
    monkeypatch.setattr(fairness, "MAX_CALLERS", 5)

    async def run() -> None:
        callers = fairness.Callers()
        place = await callers.enter("under way")
        for number in range(50):
            (await callers.enter(f"guessed {number}")).leave()
        assert len(callers.known) <= 6
        assert place.caller in callers.known.values()

    asynchronous.run(run())


@pytest.mark.django_db(transaction=True)
def test_whoever_asks_stripe_gives_up_the_turn(sandbox: SandboxProcess) -> None:
    given_up: list[str] = []
    context = contextvars.Context()
    context.run(turns.giving_up.set, lambda: given_up.append("turn"))
    context.run(gateway.read, "/v1/account")
    assert given_up


@pytest.mark.django_db(transaction=True)
def test_what_is_passed_on_waits_without_a_turn(sandbox: SandboxProcess, settings: Any) -> None:
    """A Stripe that hangs would keep the token's reads of the mirror waiting."""
    settings.STRIPE_PASS_THROUGH_KEY = "rk_test_only_reads"
    gateway.pass_on("get", "/v1/subscriptions", {})  # whose key it is was asked
    given_up: list[str] = []
    context = contextvars.Context()
    context.run(turns.giving_up.set, lambda: given_up.append("turn"))
    context.run(gateway.pass_on, "get", "/v1/subscriptions", {})
    gateway._known_passing_keys.clear()
    assert given_up


def test_who_waits_for_another_s_read_waits_without_a_turn() -> None:
    lock, given_up = threading.Lock(), list[str]()
    context = contextvars.Context()
    context.run(turns.giving_up.set, lambda: given_up.append("turn"))
    with lock:
        assert not context.run(live._acquired, lock, 0.01)
    assert given_up


def test_where_no_web_server_gives_turns_nothing_is_given_up() -> None:
    turns.give_up()
    assert turns.giving_up.get() is None
