"""The web server as it runs in production: slow clients, clients that hang up, processes that are killed or stopped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices.management.demo.startup import WEB_OPTIONS
from invoices.models import ApiToken, Event, Operation
from tests.helpers.web import PATIENCE, Web, running, wait_for
from tests.sandbox_process import ROOT, SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
HOST = b" HTTP/1.1\r\nHost: localhost\r\n"
SLOW = (  # each is the beginning of a request whose rest never comes
    b"POST /webhooks/stripe" + HOST,
    b"POST /webhooks/stripe" + HOST + b"Content-Length: 1000\r\n\r\n",
    b"POST /v1/invoices/in_1/pay" + HOST + b"Content-Length: 1000\r\n\r\n{",
    b"POST /admin/login/" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
)


@pytest.fixture
def web(sandbox: SandboxProcess) -> Iterator[Web]:
    with running(sandbox) as server:
        yield server


def test_seventy_slow_connections_keep_nobody_waiting(web: Web) -> None:
    slow = []
    try:
        for number in range(70):
            client = socket.create_connection(("127.0.0.1", web.port))
            client.sendall(SLOW[number % len(SLOW)])
            slow.append(client)
        for number in range(3):
            assert web.ask("GET", "/healthz") == (200, b"ok\n")
            assert web.webhook(f"evt_{number}") == 200
            assert web.ask("GET", "/admin/login/")[0] == 200
            for client in slow:
                if number < 2:
                    client.sendall(b"x")  # one byte now and then
        for number, client in enumerate(slow):
            if number % len(SLOW) == 0:
                continue  # the server itself gives up those whose head does not end
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)  # nothing was answered, and nobody hung up: they are still at it
    finally:
        for client in slow:
            client.close()
    assert Event.objects.count() == 3


def test_more_connections_than_the_backlog_is_long_keep_nobody_waiting(sandbox: SandboxProcess) -> None:
    """granian takes no more connections than the backlog is long unless it is told: webhooks that waited for a frozen
    database then kept the probe out, and it is for the probe's sake that a supervisor kills a process."""
    with running(sandbox, "--backlog", "128") as web, contextlib.ExitStack() as slow:
        for _ in range(200):
            client = slow.enter_context(socket.create_connection(("127.0.0.1", web.port)))
            client.sendall(SLOW[1])
        assert web.ask("GET", "/healthz") == (200, b"ok\n")
        assert web.webhook("evt_1") == 200


def test_an_action_whose_client_hangs_up_is_finished_and_journalled(
    web: Web, sandbox: SandboxProcess, open_invoice: Any, agent: User
) -> None:
    """Also while the server is stopped."""
    _, token = ApiToken.objects.create(agent, name="gone")
    sandbox.faults(latency_ms=[3000, 3000], only=["POST /v1/invoices/*/pay"])
    client = socket.create_connection(("127.0.0.1", web.port))
    head = f"POST /v1/invoices/{open_invoice.id}/pay HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    client.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
    wait_for(lambda: Operation.objects.filter(state="running").exists())
    client.close()
    assert web.stop() == 0
    operation = Operation.objects.get()
    assert (operation.state, operation.claim_token) == ("succeeded", None)


def test_a_killed_process_is_replaced_and_the_server_goes_on(web: Web) -> None:
    (first,) = web.workers()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: web.workers() not in ([], [first]) and web.ask("GET", "/healthz")[0] == 200)
    assert web.process.poll() is None


def test_of_a_server_whose_main_process_is_killed_nothing_is_left(web: Web) -> None:
    """What was left went on beside the server that a supervisor starts anew."""
    (worker,) = web.workers()
    web.process.kill()
    web.process.wait(timeout=PATIENCE)

    def ended() -> bool:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(worker)], check=False, capture_output=True, text=True)
        return state.stdout.strip()[:1] in ("", "Z")  # Z: ended, and nobody has asked how

    wait_for(ended)


def test_the_readmes_line_is_the_one_that_is_tested() -> None:
    line = re.search(r"\.venv/bin/granian (.+?[^\\])\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert line
    words = shlex.split(line[1].replace("\\\n", " "))
    own = ["backoffice.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
    assert words == [*own, *WEB_OPTIONS]


def test_a_token_that_sends_more_than_it_may_slows_no_other(
    sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_SECOND", "0.01")
    monkeypatch.setenv("API_BURST", "3")
    one, other = (f"Bearer {ApiToken.objects.create(agent, name=name)[1]}" for name in ("one", "other"))
    with running(sandbox) as web:
        answers = [web.ask("GET", "/v1/invoices", Authorization=one) for _ in range(4)]
        assert [status for status, _ in answers] == [200, 200, 200, 429]
        assert json.loads(answers[-1][1])["error"]["code"] == "rate_limit"
        assert web.ask("GET", "/v1/invoices", Authorization=other)[0] == 200


def test_what_one_token_may_send_is_what_all_processes_allow_together(
    sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Redis where it is the broker; elsewhere each process allows its part."""
    for name, value in {"API_REQUESTS_PER_SECOND": "0.01", "API_BURST": "20", "WEB_PROCESSES": "2"}.items():
        monkeypatch.setenv(name, value)
    token = f"Bearer {ApiToken.objects.create(agent, name='many')[1]}"
    with running(sandbox, "--workers", "2") as web:
        wait_for(lambda: len(web.workers()) == 2)
        answers = [web.ask("GET", "/v1/invoices", Authorization=token)[0] for _ in range(80)]
    assert set(answers) == {200, 429} and answers.count(200) == 20
