"""PostgreSQL: after the server hung up on every connection, no request and no task fails; its clock decides."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
import time_machine
from django.db import connection

from invoices import clock, sync
from invoices.models import Event
from tests.helpers.events import stripe_event

CONNECTIONS = 12  # of the pool's sixteen, all idle when the server hangs up

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no pool, and the clock of this machine"),
]


def hang_up() -> int:
    """What a restart of the server does to those who are connected. How many there were."""
    with psycopg.connect(**{**connection.get_connection_params(), "cursor_factory": None}, autocommit=True) as other:
        found = other.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return found[0] if found else 0


def at_once(number: int, work: Callable[[], Any]) -> list[Any]:
    """The work in so many threads, each of which gives its connection back only when all have one."""
    together = Barrier(number, timeout=60)

    def one(_: int) -> Any:
        try:
            result = work()
            together.wait()
            return result
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(one, range(number)))


def test_no_request_meets_a_dead_connection() -> None:
    """32 of 40 failed: each request met one dead connection after the other."""

    def look() -> tuple[int, int]:
        return Event.objects.count(), sync.process_events()

    at_once(CONNECTIONS, look)
    connection.close()
    assert hang_up() >= CONNECTIONS
    assert at_once(CONNECTIONS, look) == [(0, 0)] * CONNECTIONS
    assert look() == (0, 0)


def test_an_event_that_a_host_ahead_of_the_others_accepts_is_due_at_once(post_event: Callable[..., Any]) -> None:
    """Its clock is four minutes ahead of the database's."""
    with time_machine.travel(clock.now() + timedelta(minutes=4)):
        assert post_event(stripe_event()).status_code == 200
    event = Event.objects.get()
    assert event.received_at <= clock.now() and event.next_attempt_at <= clock.now()
    assert sync.process_events() == 1
