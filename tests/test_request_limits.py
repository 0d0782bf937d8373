"""The limits on requests: who is counted, where, and what is answered beyond them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from invoices import request_limits
from invoices.models import ApiToken, Operation, RequestCount

pytestmark = pytest.mark.django_db
NOON = 1_800_000_000.0 - 1_800_000_000 % 60  # the beginning of a minute


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, settings: Any) -> Iterator[list[float]]:
    """The time, which stands still. Each test counts in a folder and in minutes of its own."""
    now = [NOON + 60 * (time.time_ns() % 1_000_000)]
    monkeypatch.setattr(request_limits.time, "time", lambda: now[0])
    monkeypatch.setattr(request_limits, "_resting_until", 0.0)
    settings.DATA_DIR = tmp_path
    request_limits._refused.clear()
    yield now
    request_limits._refused.clear()


def ask(token: str = "", **meta: Any) -> Any:
    return Client(**meta).get("/v1/invoices", headers={"Authorization": f"Bearer {token}"} if token else {})


def token_of(user: User) -> str:
    return ApiToken.objects.create(user=user, name="a service")[1]


def test_one_token_has_its_limit_and_the_next_minute_is_new(settings: Any, agent: User, clock: list[float]) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    token, other = token_of(agent), token_of(agent)
    clock[0] += 15
    assert [ask(token).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(token)
    assert refused.json()["error"]["code"] == "rate_limit"
    assert refused.headers["Retry-After"] == "46" and refused.headers["Stripe-Should-Retry"] == "true"
    assert refused.headers["Request-Id"]
    assert ask(other).status_code == 200
    clock[0] += 60
    assert ask(token).status_code == 200


def test_all_tokens_of_a_user_have_one_limit(settings: Any, agent: User, manager: User) -> None:
    settings.API_USER_REQUESTS_PER_MINUTE = 2
    first, second = token_of(agent), token_of(agent)
    assert [ask(first).status_code, ask(second).status_code, ask(first).status_code] == [200, 200, 429]
    assert ask(token_of(manager)).status_code == 200


def test_who_has_no_token_is_refused_by_address_before_any_look_up(
    settings: Any, agent: User, django_assert_num_queries: Any
) -> None:
    settings.API_REFUSALS_PER_MINUTE = 2
    good = token_of(agent)
    assert [ask("0" * 64).status_code for _ in range(3)] == [401, 401, 429]
    with django_assert_num_queries(0):
        assert ask("1" * 64).status_code == 429
    assert ask(good, REMOTE_ADDR="203.0.113.9").status_code == 200
    assert ask("0" * 64, REMOTE_ADDR="203.0.113.9").status_code == 401


def test_an_action_is_refused_before_it_is_begun_or_not_at_all(settings: Any, agent: User) -> None:
    settings.API_REQUESTS_PER_MINUTE = 1
    token = token_of(agent)
    assert ask(token).status_code == 200
    answer = Client().post(
        "/v1/invoices/in_1/void", headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "a"}
    )
    assert answer.status_code == 429
    assert not Operation.objects.exists()


def test_sign_ins_from_one_address(settings: Any, agent: User) -> None:
    settings.SIGN_INS_PER_MINUTE = 3
    form = {"username": "agent", "password": "wrong"}
    assert [Client().post("/admin/login/", form).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = Client().post("/admin/login/", form)
    assert int(refused.headers["Retry-After"]) == 61 and b"Too many sign-ins" in refused.content
    assert Client().get("/admin/login/").status_code == 200
    assert Client().post("/admin/login/", form, REMOTE_ADDR="203.0.113.9").status_code == 200


def test_a_thief_at_the_same_address_holds_up_no_known_browser(settings: Any, agent: User) -> None:
    settings.SIGN_INS_PER_MINUTE = 3
    owner = Client()
    form = {"username": "agent", "password": "a long enough password"}
    assert owner.post("/admin/login/", form).status_code == 302
    owner.post("/admin/logout/")
    thief = Client(enforce_csrf_checks=True)  # such as a page of another site, in a colleague's browser
    assert [thief.post("/admin/login/", {}).status_code for _ in range(4)][-1] == 429
    assert [owner.post("/admin/login/", form).status_code for _ in range(4)] == [302, 302, 302, 429]


def test_what_comes_back_from_a_provider_is_counted(settings: Any) -> None:
    settings.SIGN_INS_PER_MINUTE = 3
    answers = [Client().get("/account/provider/company/back/?state=x").status_code for _ in range(4)]
    assert answers == [404, 404, 404, 429]


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_whose_an_address_is(address: str | None, who: str) -> None:
    assert request_limits.caller(address) == who


def test_a_process_keeps_few_addresses_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "MAX_REMEMBERED", 5)
    for number in range(20):
        request_limits.remember_refused("refused", str(number))
    assert len(request_limits._refused) <= 5
    assert request_limits.seconds_still_refused("refused", "19")


def test_earlier_minutes_are_deleted(settings: Any, monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(request_limits, "CLEANING", 1.0)
    for _ in range(5):
        assert request_limits.seconds_to_wait(("test", 1, 10), ("test", 2, 10)) == 0
        clock[0] += 60
    if connection.vendor == "postgresql" and not settings.CELERY_BROKER_URL.startswith("redis"):
        assert RequestCount.objects.count() == 4


def test_a_count_that_fails_stops_nobody_and_is_logged_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"  # nobody listens there
    with caplog.at_level(logging.WARNING):
        assert [request_limits.seconds_to_wait(("test", 1, 1)) for _ in range(5)] == [0] * 5
    assert [record.message for record in caplog.records] == ["Requests are not counted for 10 s: ConnectionError"]


def test_a_limit_of_zero_is_none(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert request_limits.seconds_to_wait(("test", 1, 0)) == 0


def test_where_the_limit_is_high_several_numbers_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    count = request_limits._count

    def counted(wanted: Any, minute: int) -> Any:
        taken.extend(wanted.values())
        return count(wanted, minute)

    monkeypatch.setattr(request_limits, "_count", counted)
    answers = [request_limits.seconds_to_wait(("test", "one", 300)) for _ in range(302)]
    assert answers[:300] == [0] * 300 and answers[300] and answers[301]  # to the number
    assert set(taken) == {3} and len(taken) == 101


def test_another_process_counts_the_same_caller(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """What a process has taken and not used is lost when another one asks: it is refused earlier, never later."""
    for process in range(2):
        monkeypatch.setattr(request_limits, "_taken", {})
        allowed = sum(not request_limits.seconds_to_wait(("test", "two", 300)) for _ in range(200))
        assert allowed == (200, 99)[process]  # 201 were taken by the first
    clock[0] += 60
    assert request_limits.seconds_to_wait(("test", "two", 300)) == 0


def test_many_connections_at_once_lose_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose service asks over many connections is not refused before it has sent nearly as many requests as it may."""
    threads, limit, total = 8, 1000, iter(range(10, 10**6, 10))
    together, first = threading.Barrier(threads), threading.Semaphore(threads)

    def slow_count(wanted: Any, minute: int) -> dict[int, int]:
        if first.acquire(blocking=False):  # all that ask at first are under way at the same time, if they may be
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(timeout=0.2)
        return dict.fromkeys(wanted, next(total))

    monkeypatch.setattr(request_limits, "_taken", {})
    monkeypatch.setattr(request_limits, "_count", slow_count)
    with ThreadPoolExecutor(threads) as pool:
        at_once = list(pool.map(lambda _: request_limits.seconds_to_wait(("test", "many", limit)), range(threads)))
    one_by_one = [request_limits.seconds_to_wait(("test", "many", limit)) for _ in range(limit)]
    assert [*at_once, *one_by_one].count(0) == limit
