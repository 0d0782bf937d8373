"""The sandbox as a process of its own, for any test: start it, steer it, kill it, start it again on the same state."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import stripe

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"http://127\.0\.0\.1:(\d+)")


class SandboxError(RuntimeError):
    """It did not start, or refused what was asked of its own address /_sandbox/."""


class SandboxProcess:
    """`url` stays the same over `restart()`, and so does everything that it has remembered."""

    key = "sk_test_sandbox"

    def __init__(
        self,
        state: Path | str | None = None,
        port: int = 0,
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_sandbox",
        invoices: int = 0,
        seed: int = 1,
        key: str | None = None,
    ):
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True)
        self.errors = Path(self._folder.name) / "errors.txt"
        self.state = Path(state) if state else Path(self._folder.name) / "state.sqlite3"
        self.port = port
        self.webhook_secret = webhook_secret
        self.key = key or self.key
        self._webhook_url, self._only_key, self._invoices, self._seed = webhook_url, key, invoices, seed
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port), "--state", str(self.state)]
        command += ["--invoices", str(self._invoices), "--seed", str(self._seed)]
        command += ["--webhook-secret", self.webhook_secret]
        command += ["--webhook-url", self._webhook_url] if self._webhook_url else []
        return command + (["--key", self._only_key] if self._only_key else [])

    def start(self) -> SandboxProcess:
        with self.errors.open("a") as errors:  # a file: a pipe that nobody reads would stop it when full
            self.process = subprocess.Popen(
                self._command(), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ}
            )
        assert self.process.stdout
        ready = READY.search(self.process.stdout.readline())
        if ready is None:
            self.kill()
            raise SandboxError(f"the sandbox did not start: {self.errors.read_text()}")
        self.port = int(ready[1])
        return self

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        return self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=15)
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None
        return code

    def restart(self) -> SandboxProcess:
        self.stop()
        return self.start()

    def __enter__(self) -> SandboxProcess:
        return self.start()

    def __exit__(self, *problem: object) -> None:
        self.stop()
        self._folder.cleanup()

    def _ask(self, method: str, path: str, given: Any = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=120)
        try:
            body = None if given is None else json.dumps(given)
            connection.request(method, f"/_sandbox/{path.removeprefix('/_sandbox/').strip('/')}", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise SandboxError(answer.get("error", answer))
        return answer

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, **given: Any) -> Any:
        return self._ask("POST", path, given)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def faults(self, **faults: Any) -> Any:
        return self.post("faults", **faults)

    def clear_faults(self) -> Any:
        return self.delete("faults")

    def stats(self) -> Any:
        return self.get("stats")

    def reset(self, invoices: int = 0, seed: int = 1) -> Any:
        return self.post("reset", invoices=invoices, seed=seed)

    def clock(self, **given: Any) -> Any:
        """`clock()` reads it; `clock(now=…)`, `clock(advance=…)`, `clock(real=True)` move it."""
        return self.post("clock", **given) if given else self.get("clock")

    def webhook(self, url: str | None, secret: str | None = None) -> Any:
        return self.post("webhook", url=url, **({"secret": secret} if secret else {}))

    def settled(self, timeout: float = 15) -> Any:
        """Waits until nothing is left to deliver."""
        end = time.monotonic() + timeout
        while (stats := self.stats())["deliveries"]["pending"]:
            if time.monotonic() > end:
                raise SandboxError(f"still pending after {timeout} s: {stats['deliveries']}")
            time.sleep(0.02)
        return stats

    def client(self, key: str | None = None, **options: Any) -> Any:
        """Stripe's SDK. Typed as Any, because tests send plain dictionaries and read members that may be absent."""
        return stripe.StripeClient(key or self.key, base_addresses={"api": self.url}, **options)
