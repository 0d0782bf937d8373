"""The web server as it runs in production, as a process of its own on the tests' database."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from invoices.management.demo.startup import WEB_OPTIONS
from tests.helpers.commands import start_command
from tests.helpers.events import sign, stripe_event
from tests.sandbox_process import SandboxProcess

PATIENCE = 120  # seconds on a busy machine


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError("it never came true")


class Web:
    """The server of the README, on a free port and the tests' database. Its clients may be slow for as long as a test
    needs, because what ends them is tested elsewhere."""

    def __init__(self, sandbox: SandboxProcess, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        # granian lets nobody take longer for the head of a request than a minute.
        given = (*WEB_OPTIONS, "--http1-header-read-timeout", "60000", "--port", str(self.port), *options)
        words = ["-m", "granian", "backoffice.asgi:application", *given]
        self.process = start_command(sandbox, *words, REQUEST_BODY_SECONDS=str(PATIENCE), DJANGO_LOG_LEVEL="ERROR")
        wait_for(lambda: self.process.poll() is not None or self.ask("GET", "/healthz")[0] == 200)
        assert self.process.poll() is None, self.process.communicate()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def webhook(self, id: str) -> int:
        body = json.dumps(stripe_event(id=id)).encode()
        return self.ask("POST", "/webhooks/stripe", body, Stripe_Signature=sign(body))[0]

    def workers(self) -> list[int]:
        found = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], check=False, capture_output=True, text=True
        )
        lines = (line.split(maxsplit=1) for line in found.stdout.splitlines())
        return [int(pid) for pid, args in lines if "resource_tracker" not in args]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@contextlib.contextmanager
def running(sandbox: SandboxProcess, *options: str) -> Iterator[Web]:
    server = Web(sandbox, *options)
    try:
        yield server
    finally:  # SIGTERM first: killed, it would leave its workers behind
        server.process.terminate()
        try:
            server.process.communicate(timeout=PATIENCE)
        finally:
            server.process.kill()
