"""RabbitMQ as the broker: beat and a worker through it, /readyz, wake-ups, and a connection that the server cuts.

It needs a RabbitMQ: AMQP_URL is its address, with a vhost of the tests' own (`.ci/run` makes one where it can).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from invoices import clock, wakeups
from invoices.health import checks
from invoices.models import Event, Heartbeat, Lease
from tests.helpers.commands import database_url
from tests.helpers.events import stripe_event
from tests.sandbox_process import ROOT

AMQP_URL = os.environ.get("AMQP_URL", "")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AMQP_URL, reason="NOT CHECKED HERE: RabbitMQ, because AMQP_URL is not set"),
]


class Wire:
    """Between our processes and RabbitMQ. `cut` ends every connection, as a server that is restarted does."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours = self.listener.accept()[0]
                theirs = socket.create_connection(self.to)
                self.open += [ours, theirs]
                for one, other in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._carry, args=[one, other], daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with one, suppress(OSError):
            while received := one.recv(65536):
                other.sendall(received)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for one in self.open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def end(self) -> None:
        """From now on nobody listens."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


@pytest.fixture
def wire() -> Iterator[Wire]:
    address = urlsplit(AMQP_URL)
    wire = Wire((address.hostname or "127.0.0.1", address.port or 5672))
    yield wire
    wire.end()


@pytest.fixture
def app(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """As the settings have it, but on RabbitMQ."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)  # Celery prefers it to what it is given
    app = Celery(set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.update(broker_url=through(wire), broker_transport_options={"write_timeout": 5})
    return app


def through(wire: Wire) -> str:
    return AMQP_URL.replace(urlsplit(AMQP_URL).netloc.rpartition("@")[2], f"127.0.0.1:{wire.port}", 1)


@pytest.fixture
def processes(wire: Wire, tmp_path: Path) -> Iterator[Path]:
    """A worker and a beat, on the tests' database. The folder of their logs."""
    env = {**os.environ, "DATABASE_URL": database_url(), "CELERY_BROKER_URL": through(wire), "DATA_DIR": str(tmp_path)}
    worker = ["worker", "--pool", "threads", "--concurrency", "4", "--without-gossip", "--without-mingle"]
    started = []
    with ExitStack() as logs:
        for command in (worker, ["beat"]):
            log = logs.enter_context((tmp_path / command[0]).open("wb"))
            words = [sys.executable, "-m", "celery", "--app", "backoffice", *command]
            started.append(subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log))
        try:
            yield tmp_path
        finally:
            for one in started:
                one.terminate()
            for one in started:
                try:
                    one.wait(30)
                finally:
                    one.kill()


def wait_until(true: Any, folder: Path) -> None:
    until = time.monotonic() + 90
    while not true():
        assert time.monotonic() < until, "\n".join((folder / name).read_text()[-1500:] for name in ("worker", "beat"))
        time.sleep(0.2)


def test_readyz_reaches_it_and_says_when_it_is_away(app: Celery, wire: Wire) -> None:
    checks.reach_broker(app)
    wire.end()
    with pytest.raises(OperationalError):
        checks.reach_broker(app)


def test_a_wake_up_after_a_cut_connection_arrives(app: Celery, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "current_app", app)
    sender = wakeups._Sender()
    with app.connection_for_read() as connection:
        channel = connection.channel()
        queue = next(one for one in app.conf.task_queues if one.name == "invoices")(channel)
        queue.declare()
        queue.purge()

        def sent() -> int:
            sender.want("process_events")
            time.sleep(0.3)
            return queue.queue_declare(passive=True).message_count

        until = time.monotonic() + 30
        while not sent():
            assert time.monotonic() < until
        queue.purge()
    wire.cut()
    with app.connection_for_read() as connection:
        queue = queue(connection.channel())
        until = time.monotonic() + 30
        while not sent():
            assert time.monotonic() < until
        queue.purge()


def test_beat_and_worker_go_on_after_their_connections_were_cut(processes: Path, wire: Wire, post_event: Any) -> None:
    """The worker stood still for ever: two of its threads read from the same new connection."""
    wait_until(lambda: Heartbeat.objects.filter(name="worker").exists(), processes)
    for _ in range(2):
        wire.cut()
        moment = clock.now()
        wait_until(
            lambda moment=moment: Heartbeat.objects.filter(name="worker", seen_at__gt=moment).exists(), processes
        )
    assert post_event(stripe_event()).status_code == 200
    wait_until(lambda: not Event.objects.filter(state=Event.State.PENDING).exists(), processes)
    assert Lease.objects.get().name == "beat"
