"""Beat: of several one sends; the next one takes over from one that died, is frozen or lost database or broker; what
has a time of day is neither sent twice nor forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from django.db import OperationalError, connection

from backoffice import beat
from backoffice.beat import LEASE_LASTS
from invoices import clock, leases
from invoices.models import Lease
from tests.helpers.commands import database_url
from tests.sandbox_process import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Time:
    """The database's clock, and the processes' monotonic one."""

    def __init__(self) -> None:
        self.moment, self.monotonic = NOON, 1000.0

    def push(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.monotonic += seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Time:
    at = Time()
    monkeypatch.setattr(clock, "now", lambda: at.moment)
    for module in (beat, leases):
        monkeypatch.setattr(module.time, "monotonic", lambda: at.monotonic)
    return at


class Beat(beat.Scheduler):
    """One process's beat. It writes down what it sends; `broken`: its way to the broker is."""

    broken = False

    def _ensure_connected(self) -> None:
        if self.broken:
            raise ConnectionRefusedError("no broker")

    def apply_async(self, entry: Any, **options: Any) -> None:
        self.sent.append(entry.name)

    def ticks(self, number: int = 1) -> list[str]:
        self.sent: list[str] = []
        for _ in range(number):
            self.tick()
        return self.sent


@pytest.fixture
def start(now: Time) -> Callable[[], Beat]:
    """Starts a beat with a task of every second and one at 12:20."""
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.timezone = "UTC"
    app.conf.beat_schedule = {
        "often": {"task": "often", "schedule": 1.0},
        "daily": {"task": "daily", "schedule": crontab(hour="12", minute="20")},
    }

    def start() -> Beat:
        return Beat(app, Producer=lambda channel, **options: None)

    return start


def test_one_sends_and_the_other_waits(start: Callable[[], Beat], now: Time) -> None:
    one, other = start(), start()
    for _ in range(30):
        assert one.ticks() == ["often"] and other.ticks() == []
        now.push(1)


def test_when_it_dies_the_other_sends_within_seconds(start: Callable[[], Beat], now: Time) -> None:
    one, other = start(), start()
    one.ticks()
    waited = 0
    while not other.ticks():
        now.push(1)
        waited += 1
    assert waited <= LEASE_LASTS.total_seconds() + 1


def test_when_it_ends_the_other_sends_at_once(start: Callable[[], Beat], now: Time) -> None:
    one, other = start(), start()
    one.ticks()
    one.close()
    assert other.ticks() == ["often"]


def test_one_that_was_frozen_sends_nothing_when_it_goes_on(start: Callable[[], Beat], now: Time) -> None:
    one, other = start(), start()
    one.ticks()
    now.push(60)
    assert other.ticks() == ["often"]
    assert one.ticks(3) == []


def test_one_that_is_frozen_while_it_connects_looks_again_before_it_sends(
    start: Callable[[], Beat], now: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = start(), start()
    one.ticks()
    now.push(1)
    monkeypatch.setattr(one, "_ensure_connected", lambda: now.push(60))
    assert one.ticks() == []
    assert other.ticks() == ["often"] and one.ticks(2) == []


def test_it_stops_by_itself_before_another_may_begin(
    start: Callable[[], Beat], now: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One loses the database: its lease ends for itself before it ends for the others."""
    one, other = start(), start()
    one.ticks()

    def away() -> bool:
        raise OperationalError("no route")

    monkeypatch.setattr(one._claim, "take", away)
    sent: list[tuple[str, float]] = []
    for second in range(12):
        now.push(1)
        sent += [("one", second) for _ in one.ticks()] + [("other", second) for _ in other.ticks()]
    ones = [second for who, second in sent if who == "one"]
    others = [second for who, second in sent if who == "other"]
    assert others and max(ones, default=0) < min(others)


def test_one_that_does_not_reach_the_broker_leaves_it_to_the_other(start: Callable[[], Beat], now: Time) -> None:
    one, other = start(), start()
    one.ticks()
    one.broken = True
    now.push(1)
    assert one.ticks() == [] and other.ticks() == ["often"]
    other.close()
    one.broken = False
    now.push(10)
    assert one.ticks() == ["often"]


def test_a_time_of_day_is_sent_once_whoever_sends(start: Callable[[], Beat], now: Time) -> None:
    assert "daily" not in start().ticks()
    now.push(20 * 60 + 1)
    first = start()
    assert sorted(first.ticks()) == ["daily", "often"]
    now.push(20)
    assert start().ticks() == ["often"]  # after a kill and a restart
    now.push(86_400)
    assert sorted(start().ticks()) == ["daily", "often"]


def test_a_time_of_day_that_nobody_was_there_for_is_made_up_for(start: Callable[[], Beat], now: Time) -> None:
    start().ticks()
    now.push(3 * 86_400)
    assert sorted(start().ticks()) == ["daily", "often"]
    now.push(20)
    assert start().ticks() == ["often"]


def test_a_time_of_day_at_which_the_broker_was_away_is_sent_afterwards(start: Callable[[], Beat], now: Time) -> None:
    one = start()
    one.ticks()
    now.push(20 * 60 + 1)
    one.broken = True
    assert one.ticks(3) == []
    one.broken = False
    now.push(60)
    assert sorted(one.ticks(2)) == ["daily", "often"]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_database_whose_clock_jumps_stops_nobody(start: Callable[[], Beat], now: Time, minutes: int) -> None:
    one, other = start(), start()
    one.ticks()
    now.moment += timedelta(minutes=minutes)
    now.push(9)
    assert one.ticks() == ["often"]
    assert other.ticks() == []
    now.push(9)
    assert other.ticks() == ["often"]


def test_a_clock_that_ran_ahead_for_a_year_forgets_no_day(start: Callable[[], Beat], now: Time) -> None:
    one = start()
    one.ticks()
    now.moment += timedelta(days=365)
    now.push(5)
    assert sorted(one.ticks()) == ["daily", "often"]
    now.moment -= timedelta(days=365)
    now.push(5)
    assert one.ticks() == ["often"]
    now.push(20 * 60)
    assert sorted(one.ticks()) == ["daily", "often"]


# --- real processes ---------------------------------------------------------------------------------------------------


def test_processes_take_over_from_one_another(tmp_path: Path) -> None:
    """Killed, frozen and ended as a supervisor does it; and no file is written."""
    env = {**os.environ, "DATABASE_URL": database_url(), "CELERY_BROKER_URL": "memory://", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "celery", "--app", "backoffice", "beat"]
    folder = tmp_path / "empty"
    folder.mkdir()
    env["PYTHONPATH"] = str(ROOT)
    beats = [subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL) for _ in range(2)]

    def leader(after: str = "") -> str:
        """The holder's name, once it is another than that."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            holder = Lease.objects.filter(until__gt=clock.now()).values_list("holder", flat=True).first() or ""
            if holder not in ("", after):
                return holder
            time.sleep(0.1)
        raise AssertionError("no beat leads")

    def process(holder: str) -> subprocess.Popen[bytes]:
        return next(one for one in beats if str(one.pid) == holder.split()[1])

    try:
        first = leader()
        process(first).send_signal(signal.SIGSTOP)
        second = leader(first)
        process(first).send_signal(signal.SIGCONT)
        process(second).send_signal(signal.SIGTERM)
        assert process(second).wait(60) == 0
        assert leader(second) == first
        process(first).kill()
    finally:
        for one in beats:
            one.kill()
            one.wait()
        connection.close()
    assert list(folder.iterdir()) == []
