"""Everything that one fault needs, made anew for it; and what must hold after it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.desk import Asked, Desk, Load
from tests.faults.servers import LOCALHOST, Cluster, Rabbit, Redis, Wire, free_port, wait_until
from tests.sandbox_process import ROOT, SandboxProcess

OWNER, RUNTIME, NAME = "desk_owner", "desk_runtime", "desk"
SETTLES_WITHIN = 300  # seconds after the fault: a claim of two minutes lapses, and is settled
WORKER_SEEN = "SELECT 1 FROM invoices_heartbeat WHERE seen_at > clock_timestamp() - interval '15 s'"
UNFINISHED = "SELECT count(*) FROM invoices_operation WHERE state IN ('ready', 'running', 'unknown')"
AFTERWARDS = (  # the commands that are run, and how they may end
    (("reconcile", "--full"), (0, 3)),
    (("reconcile", "--verify"), (0,)),
    (("journal", "verify"), (0,)),
)
CLOCK = ROOT / "tests" / "faults" / "clock"  # of which sitecustomize.py pushes a process's clock on


@dataclass
class Result:
    """What came of one fault. `problems` is empty where every promise was kept."""

    fault: str
    invoices: int = 0
    paid: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    events: int = 0
    seconds: float = 0  # from the end of the fault until everything was settled
    found_by_catch_up: int = 0  # events that no webhook brought
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Bench:
    """Servers of our own, the sandbox, two web processes, two workers and a beat, started as the README says."""

    def __init__(self, *, broker: str = "redis", webs: int = 2, workers: int = 2, data: Path | None = None):
        self.folder = Path(tempfile.mkdtemp(prefix="desk-faults-"))
        self.folder.chmod(0o755)  # the server's user goes through it
        self.notes: list[str] = []
        self.undo: list[Any] = []
        try:
            self._start(broker, webs, workers, data)
        except BaseException:
            self.end()
            raise

    def _start(self, broker: str, webs: int, workers: int, data: Path | None) -> None:
        self.cluster = Cluster((data or self.folder) / "postgres").make().start()
        self.undo.append(lambda: self.cluster.stop("immediate"))
        self.database_wire = self._wire(self.cluster.port)
        self.broker: Redis | Rabbit = (Redis if broker == "redis" else Rabbit)(self.folder / broker)
        self.broker.start()
        self.undo.append(self.broker.stop)
        self.sandbox = SandboxProcess(state=self.folder / "stripe.sqlite3").start()
        self.undo.append(self.sandbox.kill)
        self.stripe_wire = self._wire(self.sandbox.port)
        with self.cluster.connect() as admin:
            for statement in (f"CREATE ROLE {OWNER} LOGIN", f"CREATE ROLE {RUNTIME} LOGIN"):
                admin.execute(statement)
            admin.execute(f"CREATE DATABASE {NAME} OWNER {OWNER}")
        with self.cluster.connect(NAME) as admin:
            admin.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")
        self.env = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
            "DATABASE_URL": self.url(RUNTIME, self.database_wire.port),
            "DATABASE_POOL_SIZE": "8",
            "CELERY_BROKER_URL": self.broker.url,
            "DATA_DIR": str(self.folder / "files"),
            "DJANGO_SECRET_KEY": "of one run of the faults, and of nothing else",
            "DJANGO_ALLOWED_HOSTS": "*",
            "STRIPE_SECRET_KEY": self.sandbox.key,
            "STRIPE_API_BASE": f"http://{LOCALHOST}:{self.stripe_wire.port}",
            "STRIPE_WEBHOOK_SECRETS": self.sandbox.webhook_secret,
            "STRIPE_REQUESTS_PER_SECOND": "0",
            "RECONCILE_PATIENCE_SECONDS": "120",
        }
        self.desk = Desk(self.folder, self.env)
        self.undo.append(self.desk.end)
        self.owner_env = self.env | {"DATABASE_URL": self.url(OWNER, self.cluster.port)}
        self._must("migrate", "--no-input", env=self.owner_env)
        self._must("database_roles", "--runtime", RUNTIME, "--apply", env=self.owner_env)
        self.token = self._must("shell", "-c", TOKEN).strip().splitlines()[-1]
        self._must("reconcile", "--full")
        self.ports = [free_port() for _ in range(webs)]
        for number, port in enumerate(self.ports):
            self.desk.add("web", f"web{number}", port)
        for number in range(workers):
            self.desk.add("worker", f"worker{number}")
        self.desk.add("beat", "beat")
        wait_until(lambda: all(map(self.healthy, self.ports)), 180, "the web processes answer")
        if workers:
            wait_until(lambda: self.ask(WORKER_SEEN), 180, "a worker works")
        self.sandbox.webhook(f"http://{LOCALHOST}:{self.ports[0]}/webhooks/stripe")
        self.desk.keep()

    def _wire(self, target: int) -> Wire:
        wire = Wire(target)
        self.undo.append(wire.stop)
        return wire

    @staticmethod
    def url(role: str, port: int, host: str = LOCALHOST) -> str:
        return f"postgresql://{role}@{host}:{port}/{NAME}"

    def _must(self, *words: str, env: dict[str, str] | None = None, ends: tuple[int, ...] = (0,)) -> str:
        done = self.desk.manage(*words, env=env)
        what = f"manage.py {' '.join(words[:3])}"
        assert done.returncode in ends, f"{what}: {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done.stdout

    def ask(self, question: str) -> Any:
        with self.cluster.connect(NAME) as connection:
            found = connection.execute(question).fetchone()
        return found[0] if found else None

    def healthy(self, port: int, path: str = "/healthz") -> bool:
        connection = http.client.HTTPConnection(LOCALHOST, port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": "localhost"})
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def load(self, clients: int = 2, pause: float = 0.3, ports: list[int] | None = None) -> Load:
        return Load(self.sandbox, ports or self.ports, self.token, clients, pause).start()

    # --- what must hold -----------------------------------------------------------------------------------------------

    def unsettled(self) -> str:
        """What is still under way; empty when all is settled and every process is at work."""
        waiting = {
            "pending events": "SELECT count(*) FROM invoices_pendingevent",
            "unfinished operations": UNFINISHED,
            "rows without a link": "SELECT count(*) FROM invoices_unchainedrow",
            "refetches": "SELECT count(*) FROM invoices_scheduledrefetch",
        }
        found = [f"{count} {what}" for what, question in waiting.items() if (count := self.ask(question))]
        if pending := self.sandbox.stats()["deliveries"]["pending"]:
            found.append(f"{pending} webhooks")
        found += [f"web at {port}" for port in self.ports if not self.healthy(port)]
        if not self.ask(WORKER_SEEN):
            found.append("no worker")
        found += [
            each.name for each in self.desk.processes.values() if not each.process or each.process.poll() is not None
        ]
        return ", ".join(found)

    def check(self, fault: str, load: Asked, began: float, *, restored: bool = False) -> Result:
        """Waits until everything is settled, reconciles, and holds every promise against what is there. `began`: when
        the fault ended. `restored`: the database lost its last seconds."""
        load.no_more(SETTLES_WITHIN)
        result = Result(fault, len(load.made), len(load.paid), dict(load.answers), notes=self.notes)
        said = ""

        def settled() -> bool:
            nonlocal said
            said = self.unsettled()
            return not said

        try:
            wait_until(settled, SETTLES_WITHIN, "settled")
        except AssertionError as error:
            result.problems.append(f"not settled: {said or error}")
        result.seconds = time.monotonic() - began
        at_stripe = {event["id"] for event in self._events()}
        here = self._ids("SELECT id FROM invoices_event")
        result.events, result.found_by_catch_up = len(at_stripe), len(at_stripe - here)
        if at_stripe - here and not restored:
            self.notes.append(f"{len(at_stripe - here)} events came by the catch-up alone")
        for words, ends in AFTERWARDS:
            if words[0] == "journal":
                with suppress(AssertionError):
                    wait_until(lambda: not self.ask("SELECT count(*) FROM invoices_unchainedrow"), 90, "chained")
            done = self.desk.manage(*words)
            if done.returncode not in ends:
                result.problems.append(
                    f"{' '.join(words)} ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-300:]}"
                )
        if lost := at_stripe - self._ids("SELECT id FROM invoices_event"):
            result.problems.append(f"{len(lost)} events are lost, such as {min(lost)}")
        charges = self.sandbox.stats()["charges"]
        if twice := {invoice: number for invoice, number in charges.items() if number > 1}:
            result.problems.append(f"charged twice: {twice}")
        if untrue := load.paid - {invoice for invoice, number in charges.items() if number}:
            result.problems.append(f"told paid, and is not: {untrue}")
        succeeded = self._ids("SELECT invoice FROM invoices_operation WHERE action = 'pay' AND state = 'succeeded'")
        if untrue := succeeded - {invoice for invoice, number in charges.items() if number}:
            result.problems.append(f"the journal says paid, and it is not: {untrue}")
        if not restored and (unsaid := {invoice for invoice, number in charges.items() if number} - succeeded):
            result.problems.append(f"charged, and the journal does not say so: {unsaid}")
        if unanswered := load.answers["no answer"]:
            result.problems.append(f"{unanswered} requests never had a definite answer")
        if open_ := self.ask("SELECT count(*) FROM invoices_contradiction WHERE resolved_at IS NULL"):
            self.notes.append(f"{open_} contradictions were recorded and shown")
        return result

    def _events(self) -> Any:
        """Of the kinds that the webhook endpoint is told of."""
        events = self.sandbox.client().v1.events.list({"limit": 100}).auto_paging_iter()
        kinds = ("invoice.", "invoice_payment.", "payment_intent.", "customer.created", "customer.updated")
        return [event for event in events if event["type"].startswith(kinds)]

    def _ids(self, question: str) -> set[str]:
        with self.cluster.connect(NAME) as connection:
            return {row[0] for row in connection.execute(question).fetchall()}

    def end(self) -> None:
        for step in reversed(self.undo):
            with suppress(Exception):
                step()
        if not os.environ.get("KEEP_FAULTS"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *problem: object) -> None:
        self.end()


TOKEN = """
from datetime import timedelta
from django.contrib.auth.models import User
from invoices import tokens
person = User.objects.create_superuser("manager", "manager@example.com", None)
given = {"name": "load", "lifetime": timedelta(days=1), "scopes": ["read", "actions"]}
print(tokens.make(person, person, **given, origin={"address": "127.0.0.1", "request_id": "faults"})[1])
"""


def as_json(result: Result) -> str:
    return json.dumps(vars(result), sort_keys=True)
