"""The desk's processes, as the README starts them, started again when they end, as a supervisor does; and the load."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.sandbox_process import ROOT, SandboxProcess

README = (ROOT / "README.md").read_text().replace("\\\n", " ")
KINDS = {"web": "granian", "worker": r"celery .*\bworker\b", "beat": r"celery .*\bbeat\b"}


def line_of_readme(kind: str) -> list[str]:
    """The command with which the README starts this kind of process: what is tried is what people are told."""
    found = re.search(rf"^    (\.venv/bin/{KINDS[kind]}.*)$", README, re.MULTILINE)
    assert found, f"the README has no line that starts {kind}"
    return shlex.split(found[1], comments=True)


def command(kind: str, folder: Path, host: str, port: int) -> list[str]:
    words = line_of_readme(kind)
    words[0] = str(ROOT / words[0])
    for option, value in (("--host", host), ("--port", str(port)), ("--schedule", str(folder / f"beat-{port}"))):
        if option in words:
            words[words.index(option) + 1] = value
    return words


@dataclass
class Process:
    """One process of the desk, which is started again when it ended. `inside` is what it is started with, such as the
    command that enters a network namespace."""

    name: str
    words: list[str]
    env: dict[str, str]
    folder: Path
    inside: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    held: bool = False  # not started again

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.inside, *self.words],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1

    def signal(self, number: int) -> None:
        """To it and to all that it started."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self) -> None:
        self.held = True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.process:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=40)
            self.signal(signal.SIGKILL)
            self.process.wait()


class Desk:
    """Web, workers and beat."""

    def __init__(self, folder: Path, env: dict[str, str]):
        self.folder, self.env = folder, env
        self.processes: dict[str, Process] = {}
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def add(
        self,
        kind: str,
        name: str,
        port: int = 0,
        host: str = "127.0.0.1",
        inside: list[str] | None = None,
        env: Any = None,
    ) -> Process:
        """`env` is added to the environment of all."""
        made = Process(name, command(kind, self.folder, host, port), self.env | (env or {}), self.folder, inside or [])
        self.processes[name] = made
        made.start()
        return made

    def keep(self) -> None:
        self._keeper.start()

    def _keep(self) -> None:
        while not self._ended.wait(1):
            for each in list(self.processes.values()):
                if each.process and each.process.poll() is not None and not each.held:
                    each.signal(signal.SIGKILL)  # what it left behind
                    each.start()

    def manage(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=env or self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def end(self) -> None:
        self._ended.set()
        for each in self.processes.values():
            each.held = True
            each.signal(signal.SIGCONT)
            each.signal(signal.SIGTERM)
        for each in self.processes.values():
            each.end()


class Asked(Protocol):
    """What a load made and was told."""

    made: list[str]
    paid: set[str]
    answers: Counter[str]

    def no_more(self, seconds: float) -> None: ...


class Load:
    """Clients that make invoices at Stripe and have them paid through the API, each until it has a definite answer."""

    def __init__(self, sandbox: SandboxProcess, ports: list[int], token: str, clients: int = 2, pause: float = 0.3):
        self.sandbox, self.ports, self.token, self.pause = sandbox, ports, token, pause
        self.answers: Counter[str] = Counter()
        self.made: list[str] = []
        self.paid: set[str] = set()  # those of which a client was told so
        self.open: set[str] = set()  # whose client has no definite answer yet
        self.lock = threading.Lock()
        self._no_more, self._give_up = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(clients)]

    def start(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def no_more(self, seconds: float) -> None:
        """Nothing new is begun; what has no answer yet has so many seconds to get one."""
        self._no_more.set()
        for thread in self.threads:
            thread.join(seconds)
        self._give_up.set()
        for thread in self.threads:
            thread.join(40)

    def _client(self, number: int) -> None:
        dice = random.Random(number)
        stripe: Any = self.sandbox.client(max_network_retries=2)
        customer = stripe.v1.customers.create({"name": f"Customer {number}"})
        card = stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        stripe.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
        while not self._no_more.is_set():
            try:
                draft = {"customer": customer.id, "auto_advance": False, "currency": "usd"}
                invoice = stripe.v1.invoices.create(draft).id
                item = {
                    "customer": customer.id,
                    "invoice": invoice,
                    "amount": dice.randint(100, 900),
                    "currency": "usd",
                }
                stripe.v1.invoice_items.create(item)
                stripe.v1.invoices.finalize_invoice(invoice)
            except Exception:  # the sandbox has faults, too
                time.sleep(self.pause)
                continue
            with self.lock:
                self.made.append(invoice)
                self.open.add(invoice)
            answer = self._pay(invoice, dice)
            with self.lock:
                self.answers[answer] += 1
                self.open.discard(invoice)
                if answer == "paid":
                    self.paid.add(invoice)
            self._no_more.wait(self.pause)

    def _pay(self, invoice: str, dice: random.Random) -> str:
        """Asks with the same idempotency key until the answer is definite, as Stripe's SDKs do."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": uuid.uuid4().hex,
            "Content-Type": "application/json",
        }
        wait = 0.2
        while not self._give_up.is_set():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", dice.choice(self.ports), timeout=30)
                try:
                    connection.request("POST", f"/v1/invoices/{invoice}/pay", "{}", headers)
                    reply = connection.getresponse()
                    body = json.loads(reply.read())
                finally:
                    connection.close()
                if reply.status == 200:
                    return "paid" if body["status"] == "paid" else body["status"]
                code = body.get("error", {}).get("code") or str(reply.status)
                # Refusals that pass: Stripe or our server is away, another request is at work.
                passing = code in ("outcome_unknown", "operation_in_progress") or reply.status in (409, 429)
                if reply.status < 500 and not passing:
                    return code
                if code == "stripe_unavailable":  # final under this key: nothing was sent
                    headers["Idempotency-Key"] = uuid.uuid4().hex
            except (OSError, http.client.HTTPException, ValueError):
                pass
            self._give_up.wait(wait)
            wait = min(wait * 1.5, 3)
        return "no answer"
