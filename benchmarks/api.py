"""What the API costs beside a bare view: lists of 100 and single invoices, each from the real web server.

    DATABASE_URL=postgresql://… [CELERY_BROKER_URL=redis://…] python -m benchmarks.api [invoices] [rounds]

Makes a database of its own on that server, with invoices as the sandbox makes them, and starts granian twice with the
options of the README: the desk, and `benchmarks/bare.py`. Asks the two in turns over one connection each, and prints
the medians, the 95th percentiles, the CPU time of a request in the server's processes, and the ratios of the two.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.systems import free_port
from tests.sandbox_process import ROOT, SandboxProcess

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

REQUESTS_A_ROUND = 20  # to the one server, then to the other
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

PREPARE = """
import json
from datetime import UTC, datetime, timedelta
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from invoices import clock, mirror, tokens
from invoices.models import Invoice
from invoices.request_origin import Origin
from invoices.snapshot import Snapshot
try:
    call_command("reconcile", "--full")
except SystemExit:
    pass
made = list(Invoice.objects.values_list("pk", "data"))
begun, second = clock.now(), timedelta(seconds=1)
read = begun.replace(microsecond=0)
for n in range(1, {number} // len(made)):
    copies = []
    for id, data in made:
        text = json.dumps(data).replace(id, f"{{id}}c{{n}}")
        copy = json.loads(text) | {{"created": data["created"] - n * 104_827}}
        copies.append(Snapshot("invoice", copy["id"], copy, read - second, read + second, begun_at=begun))
    mirror.store(copies)
user = User.objects.create_user("benchmark")
user.groups.add(Group.objects.get(name="Service"))
maker = User.objects.create_superuser("maker")
token, key = tokens.make(maker, user, name="benchmark", lifetime=timedelta(days=1), scopes=["read"],
    origin=Origin(address=None, request_id=""))
print("KEY", key)
"""


@dataclass
class Measured:
    """What one server took for one kind of request."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    bytes: int = 0

    def of(self, share: float) -> float:
        """A percentile, in milliseconds."""
        return sorted(self.seconds)[int(len(self.seconds) * share)] * 1000

    @property
    def cpu_each(self) -> float:
        """CPU of one request in the server's processes, in milliseconds."""
        return self.cpu / max(len(self.seconds), 1) * 1000


class Web:
    """granian with one process that works, and one connection to it."""

    def __init__(self, settings: str, environment: dict[str, str], folder: Path) -> None:
        import django

        django.setup()  # the options are the demo's
        from invoices.management.demo.startup import WEB_OPTIONS

        self.port = free_port()
        words = [sys.executable, "-m", "granian", "backoffice.asgi:application", *WEB_OPTIONS]
        words += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        env = {**environment, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": str(ROOT)}
        with (folder / f"{settings}.log").open("w") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for _ in range(600):
            try:
                self.ask("/healthz", {})
                return
            except OSError:
                self.connection.close()
                time.sleep(0.1)
        raise SystemExit(f"{settings} did not start")

    def ask(self, path: str, headers: dict[str, str]) -> bytes:
        self.connection.request("GET", path, headers=headers)
        try:
            answer = self.connection.getresponse()
        except http.client.RemoteDisconnected:  # the server ends a connection that was idle for ten seconds
            self.connection.request("GET", path, headers=headers)
            answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:300]!r}")
        return body

    def cpu(self) -> float:
        """Seconds that the processes below granian's main process have used, in user and kernel mode."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sum(_cpu_of(int(pid)) for pid in children)

    def stop(self) -> None:
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=40)


def _cpu_of(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / CLOCK_TICKS


@contextmanager
def own_database(url: str) -> Iterator[str]:
    """A database on this server, gone afterwards. Its address."""
    server, name = urlsplit(url), f"desk_bench_{os.getpid()}"
    with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield server._replace(path=f"/{name}").geturl()
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def planted(number: int) -> Iterator[tuple[dict[str, str], str, Path]]:
    """A migrated database with so many invoices: the environment of processes that use it, an API key, a folder."""
    with (
        own_database(os.environ["DATABASE_URL"]) as database,
        tempfile.TemporaryDirectory() as folder,
        SandboxProcess(invoices=200) as stripe,
    ):
        env = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": folder,
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": os.environ.get("CELERY_BROKER_URL", "memory://"),
            "STRIPE_API_BASE": stripe.url,
            "STRIPE_SECRET_KEY": stripe.key,
            "STRIPE_REQUESTS_PER_SECOND": "0",
            "LOG_FORMAT": "json",
            # So high that nothing is refused; they are counted as always.
            "API_REQUESTS_PER_SECOND": "0",
            "API_REQUESTS_PER_MINUTE": "1000000",
            "API_USER_REQUESTS_PER_MINUTE": "1000000",
        }
        _manage(env, "migrate", "--verbosity", "0")
        script = PREPARE.format(number=number)
        key = _manage(env, "shell", "--no-imports", "-c", script).rpartition("KEY ")[2].strip()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield env, key, Path(folder)


def _manage(env: dict[str, str], *words: str) -> str:
    words = ("manage.py", *words)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main(number: int, rounds: int) -> None:
    with planted(number) as (env, key, folder):
        desk = Web("backoffice.settings", env, folder)
        bare = Web("benchmarks.bare", env, folder)
        try:
            measure(desk, bare, {"Authorization": f"Bearer {key}"}, rounds)
        finally:
            desk.stop()
            bare.stop()


def measure(desk: Web, bare: Web, headers: dict[str, str], rounds: int) -> None:
    first = json.loads(desk.ask("/v1/invoices?limit=100", headers))
    id = first["data"][50]["id"]
    assert json.loads(bare.ask("/v1/invoices", headers))["data"][0].keys() == first["data"][0].keys()
    for name, path, bare_path in (
        ("list of 100", "/v1/invoices?limit=100", "/v1/invoices"),
        ("one invoice", f"/v1/invoices/{id}", f"/v1/invoices/{id}"),
    ):
        for encoding in ("identity", "gzip", "zstd"):
            found = compare(desk, bare, path, bare_path, {**headers, "Accept-Encoding": encoding}, rounds)
            tell(f"{name}, {encoding}", *found)


def compare(
    desk: Web, bare: Web, path: str, bare_path: str, headers: dict[str, str], rounds: int
) -> tuple[Measured, Measured]:
    ours, theirs = Measured(), Measured()
    for round in range(rounds + 1):
        for web, asked, into in ((desk, path, ours), (bare, bare_path, theirs)):
            before = web.cpu()
            for _ in range(REQUESTS_A_ROUND):
                began = time.perf_counter()
                body = web.ask(asked, headers)
                if round:  # the first round warms up
                    into.seconds.append(time.perf_counter() - began)
            into.bytes = len(body)
            into.cpu += (web.cpu() - before) if round else 0
    return ours, theirs


def tell(what: str, ours: Measured, theirs: Measured) -> None:
    print(
        f"{what:24} desk p50 {ours.of(0.5):6.2f} p95 {ours.of(0.95):6.2f} ms, CPU {ours.cpu_each:5.2f} ms, "
        f"{ours.bytes:7,} bytes   bare p50 {theirs.of(0.5):6.2f} p95 {theirs.of(0.95):6.2f} ms, "
        f"CPU {theirs.cpu_each:5.2f} ms, {theirs.bytes:7,} bytes   desk : bare = "
        f"{ours.of(0.5) / theirs.of(0.5):.2f} (p50), {ours.of(0.95) / theirs.of(0.95):.2f} (p95), "
        f"{ours.cpu_each / max(theirs.cpu_each, 1e-9):.2f} (CPU)",
        flush=True,
    )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [20_000, 25][len(given) :]))
