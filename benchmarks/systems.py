"""Databases, processes and systems that the benchmarks measure: ours as it is deployed, and the floor.

A system takes webhooks at a port and keeps invoices in a database of its own, which goes away with it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg

from benchmarks import floor, floor_import
from benchmarks.objects import KEY, SECRET, Shapes

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 180  # in which a process must be up
LOOK_SECONDS = 0.02  # between two looks at a process
PYTHON_MODULES = {"granian", "celery"}  # the README's commands that are run by this Python


class Unavailable(Exception):
    """This system or database cannot be measured here; says why."""


def end_of(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Waits for its end: seconds of CPU, and bytes of memory at its peak. Sets its `returncode`.

    `wait4` tells of a peak too, but counts what the process was before it became another program: a copy of this one,
    which may be larger. So Linux is asked again and again, and what it said last is the peak.
    """
    memory, peak = Path(f"/proc/{process.pid}/status"), 0
    while True:
        with contextlib.suppress(OSError):
            if found := re.search(r"^VmHWM:\s+(\d+) kB", memory.read_text(), re.MULTILINE):
                peak = int(found[1]) * 1024
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used.ru_utime + used.ru_stime, peak or used.ru_maxrss * 1024
        time.sleep(LOOK_SECONDS)


# --- databases --------------------------------------------------------------------------------------------------------


class Postgresql:
    """A database of its own on the server that BENCHMARK_POSTGRESQL or DATABASE_URL names, else on this machine's."""

    kind = "postgresql"

    def __init__(self, template: str | None = None) -> None:
        self.name = f"desk_bench_{os.getpid()}_{time.monotonic_ns()}"
        given = os.environ.get("BENCHMARK_POSTGRESQL") or os.environ.get("DATABASE_URL", "")
        server = given if given.startswith("postgres") else "postgresql://postgres@127.0.0.1:5432"
        self.server = urlunsplit(urlsplit(server)._replace(path="/postgres"))
        self.url = urlunsplit(urlsplit(server)._replace(path=f"/{self.name}"))
        self._connections = threading.local()
        self._administer(f"CREATE DATABASE {self.name}" + (f" TEMPLATE {template}" if template else ""))

    def _administer(self, statement: str) -> None:
        try:
            with psycopg.connect(self.server, autocommit=True, connect_timeout=5) as connection:
                connection.execute(statement.encode())
        except psycopg.OperationalError as error:
            raise Unavailable(f"PostgreSQL does not answer: {str(error).splitlines()[0]}") from None

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement with `%s` for values. Each thread has a connection of its own."""
        if not hasattr(self._connections, "one"):
            self._connections.one = psycopg.connect(self.url, autocommit=True)
        found = self._connections.one.execute(statement.encode(), values or None)
        return found.fetchall() if found.description else []

    def version(self) -> str:
        return f"PostgreSQL {self.rows('SHOW server_version')[0][0].split()[0]}"

    def processes(self) -> list[psutil.Process]:
        """The server's processes that work for this database, where it runs on this machine."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            title = " ".join(process.info["cmdline"] or [])
            if title.startswith("postgres:") and self.name in title:
                found.append(process)
        return found

    def copy(self) -> Postgresql:
        """A new database with the same content. Nobody may be connected to this one."""
        self.disconnect()
        return Postgresql(template=self.name)

    def disconnect(self) -> None:
        if hasattr(self._connections, "one"):
            self._connections.one.close()
            del self._connections.one

    def drop(self) -> None:
        self.disconnect()
        self._administer(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class Sqlite:
    """A file in a folder of its own."""

    kind = "sqlite"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="desk-bench-"))
        self.file = self.folder / "invoices.sqlite3"
        self.url = f"sqlite:///{self.file}"

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.file, timeout=20, isolation_level=None)) as connection:
            return connection.execute(statement.replace("%s", "?"), values).fetchall()

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def processes(self) -> list[psutil.Process]:
        return []  # it runs in the processes that use it

    def copy(self) -> Sqlite:
        copied = Sqlite()
        with (
            contextlib.closing(sqlite3.connect(self.file)) as ours,
            contextlib.closing(sqlite3.connect(copied.file)) as theirs,
        ):
            ours.backup(theirs)
        return copied

    def disconnect(self) -> None:
        """No connection is kept."""

    def drop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


Database = Postgresql | Sqlite
DATABASES: dict[str, type[Postgresql] | type[Sqlite]] = {"postgresql": Postgresql, "sqlite": Sqlite}


# --- processes --------------------------------------------------------------------------------------------------------


def end_when_told() -> None:
    """Lets SIGTERM end this process as Ctrl-C does, so that the processes and databases that it made go away."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


class Cpu:
    """CPU seconds of groups of processes with all their descendants, since the last `restart`.

    Looks every quarter of a second, so what a process used in its last quarter is not counted."""

    def __init__(self, groups: Mapping[str, Callable[[], list[psutil.Process]]]) -> None:
        self._groups, self._used = groups, dict[tuple[str, int, float], tuple[float, float]]()
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Cpu:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.25):
            self._look()

    def _look(self) -> None:
        with self._lock:
            for group, roots in self._groups.items():
                for process in roots():
                    for each in _family(process):
                        with contextlib.suppress(psutil.Error):
                            times = each.cpu_times()
                            key, now = (group, each.pid, each.create_time()), times.user + times.system
                            first, _ = self._used.get(key, (now, now))
                            self._used[key] = first, now

    def restart(self) -> None:
        self._look()
        with self._lock:
            self._used = {key: (now, now) for key, (_, now) in self._used.items()}

    def seconds(self) -> dict[str, float]:
        """Group → CPU seconds of its processes."""
        self._look()
        with self._lock:
            return {
                group: sum(now - first for (name, *_), (first, now) in self._used.items() if name == group)
                for group in self._groups
            }


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; status 0 while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def readme_commands() -> dict[str, list[str]]:
    """The three processes of a desk as the README starts them: web, worker, beat."""
    section = (ROOT / "README.md").read_text().split("**6. The processes.**")[1].split("**7.")[0]
    lines = re.sub(r"\\\n\s+", "", section).splitlines()
    web, worker, beat = [shlex.split(line) for line in lines if line.startswith("    .venv/bin/")][:3]
    return {
        name: [sys.executable, "-m", Path(command[0]).name, *command[1:]]
        for name, command in {"web": web, "worker": worker, "beat": beat}.items()
    }


class FakeStripe:
    """benchmarks/fake_stripe.py as a process. A context manager: what it lists are so many invoices."""

    def __init__(self, shapes: Shapes, invoices: int) -> None:
        self.shapes, self.invoices, self.port = shapes, invoices, free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="desk-bench-")

    def __enter__(self) -> FakeStripe:
        file = Path(self._folder.name) / "shapes.json"
        file.write_text(json.dumps(self.shapes))
        command = [sys.executable, "-m", "granian", "benchmarks.fake_stripe:application", "--interface", "asgi"]
        command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"]
        env = {**os.environ, "FAKE_SHAPES": str(file), "FAKE_INVOICES": str(self.invoices)}
        self.process = psutil.Popen(command, env=env, cwd=ROOT)
        end = time.monotonic() + START_SECONDS
        while get(self.port, "/_fake/calls")[0] != 200:
            if time.monotonic() > end or self.process.poll() is not None:
                self.__exit__()
                raise RuntimeError("The stand-in for Stripe did not come up.")
            time.sleep(0.1)
        return self

    def __exit__(self, *problem: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._folder.cleanup()

    def calls(self) -> dict[str, int]:
        """Path → how often it was asked."""
        return dict(json.loads(get(self.port, "/_fake/calls")[1]))

    def hold(self, invoices: list[dict[str, Any]]) -> None:
        """Makes it answer with these, too, when one is retrieved."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/_fake/objects", json.dumps(invoices))
        assert connection.getresponse().status == 200
        connection.close()


# --- systems ----------------------------------------------------------------------------------------------------------


class System:
    """One way to keep Stripe's invoices. A context manager: its processes run inside the `with`."""

    name: str
    webhook_path = "/webhook"
    secret = SECRET

    def __init__(self, database: Database, stripe_port: int) -> None:
        self.database, self.stripe_port = database, stripe_port
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="desk-bench-"))
        self.running: dict[str, psutil.Popen] = {}

    @classmethod
    def prepare(cls, database: type[Postgresql] | type[Sqlite]) -> Database:
        """A database with the tables, to be copied for each run. Raises Unavailable."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts the processes, and returns when webhooks can come."""
        raise NotImplementedError

    def statuses(self, ids: list[str]) -> dict[str, tuple[str, int]]:
        """Invoice → status and `metadata.step`, of those that are in the mirror."""
        raise NotImplementedError

    def visible(self, ids: list[str]) -> dict[str, str]:
        """Invoice → status, of those that are in the mirror."""
        raise NotImplementedError

    def pending(self) -> bool:
        """Whether an event that was accepted is not applied yet."""
        return False

    def journal(self) -> dict[str, bytes] | None:
        """Event → its body as it came; None where a system keeps no bodies."""
        return None

    def importing(self) -> tuple[list[str], dict[str, str], Path]:
        """The command that imports all invoices into an empty database, its environment and folder."""
        raise NotImplementedError

    def imported(self) -> int:
        """How many invoices are here."""
        raise NotImplementedError

    def version(self) -> str:
        """What was measured: the packages' versions."""
        raise NotImplementedError

    def __enter__(self) -> System:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        for process in self.running.values():
            with contextlib.suppress(psutil.Error):
                process.terminate()
        for process in self.running.values():
            family = _family(process)
            try:
                process.wait(30)
            except psutil.TimeoutExpired:
                for each in family:
                    with contextlib.suppress(psutil.Error):
                        each.kill()
        self.database.drop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, role: str, command: list[str], env: Mapping[str, str], cwd: Path = ROOT) -> None:
        """Starts a process; its output goes to a file in the folder."""
        with (self.folder / f"{role}.log").open("wb") as log:
            self.running[role] = psutil.Popen(
                command, env={**os.environ, **env}, cwd=cwd, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_until(self, role: str, ready: Callable[[], bool]) -> None:
        """Raises Unavailable, with the end of the log, when the process ends or is not ready in time."""
        end = time.monotonic() + START_SECONDS
        while not ready():
            process = self.running[role]
            if process.poll() is not None or time.monotonic() > end:
                raise Unavailable(f"{self.name}: {role} did not come up: {self.log_end(role)}")
            time.sleep(0.1)

    def log_end(self, role: str) -> str:
        """The last lines that its process wrote."""
        return (self.folder / f"{role}.log").read_text(errors="replace")[-2000:]

    def cpu(self) -> Cpu:
        """Of each role, and of the database."""
        roles = {role: (lambda process=process: [process]) for role, process in self.running.items()}
        return Cpu({**roles, "database": self.database.processes})


def desk_environment(database: Database, folder: Path, stripe_port: int, broker: str) -> dict[str, str]:
    """The variables of a desk on this database, with a stand-in for Stripe at this port, and without its rate limit."""
    return {
        "DATABASE_URL": database.url,
        "CELERY_BROKER_URL": broker,
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "DJANGO_SECRET_KEY": "of a benchmark, on this machine, for minutes",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "STRIPE_API_BASE": f"http://127.0.0.1:{stripe_port}",
        "STRIPE_REQUESTS_PER_SECOND": "0",
    }


def broker_for(database: type[Postgresql] | type[Sqlite]) -> str:
    """Redis beside PostgreSQL: the one that BENCHMARK_BROKER or CELERY_BROKER_URL names, else this machine's database
    15. The embedded one beside SQLite."""
    if database.kind == "sqlite":
        return "embedded://"
    given = os.environ.get("BENCHMARK_BROKER") or os.environ.get("CELERY_BROKER_URL", "")
    return given or "redis://127.0.0.1:6379/15"


class Ours(System):
    """The desk: two web processes, a worker and beat, as the README starts them."""

    name = "ours"
    webhook_path = "/webhooks/stripe"

    @classmethod
    def prepare(cls, database: type[Postgresql] | type[Sqlite]) -> Database:
        made = database()
        with tempfile.TemporaryDirectory(prefix="desk-bench-") as folder:
            env = desk_environment(made, Path(folder), 9, "memory://")
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
                env={**os.environ, **env},
                cwd=ROOT,
                check=True,
            )
        return made

    def start(self) -> None:
        broker = broker_for(type(self.database))
        if broker.startswith("redis"):
            _empty_redis(broker)
        env = desk_environment(self.database, self.folder, self.stripe_port, broker)
        for role, command in readme_commands().items():
            given = [
                {"0.0.0.0": "127.0.0.1", "8000": str(self.port)}.get(word, word) if role == "web" else word
                for word in command
            ]

            self.run(role, given, env)
        self.wait_until("web", lambda: get(self.port, "/healthz")[0] == 200)
        self.wait_until("web", lambda: bool(self.database.rows("SELECT 1 FROM invoices_heartbeat WHERE name='worker'")))

    def statuses(self, ids: list[str]) -> dict[str, tuple[str, int]]:
        found = self.database.rows("SELECT id, status, data FROM invoices_invoice WHERE stored_at IS NOT NULL")
        return {id: (status, int(json.loads(data)["metadata"]["step"])) for id, status, data in found}

    def visible(self, ids: list[str]) -> dict[str, str]:
        marks = ",".join(["%s"] * len(ids))
        ask = f"SELECT id, status FROM invoices_invoice WHERE stored_at IS NOT NULL AND id IN ({marks})"
        return dict(self.database.rows(ask, *ids))

    def pending(self) -> bool:
        return bool(self.database.rows("SELECT 1 FROM invoices_event WHERE state = 'pending' LIMIT 1"))

    def journal(self) -> dict[str, bytes] | None:
        return {id: body.encode() for id, body in self.database.rows("SELECT id, body FROM invoices_event")}

    def importing(self) -> tuple[list[str], dict[str, str], Path]:
        env = desk_environment(self.database, self.folder, self.stripe_port, "memory://")
        return [sys.executable, "manage.py", "reconcile", "--full"], env, ROOT

    def imported(self) -> int:
        return int(self.database.rows("SELECT count(*) FROM invoices_invoice WHERE stored_at IS NOT NULL")[0][0])

    def version(self) -> str:
        from importlib.metadata import version

        return ", ".join(f"{name} {version(name)}" for name in ("Django", "granian", "celery", "psycopg"))


def _empty_redis(url: str) -> None:
    """Messages of a run before, in the benchmarks' own database of the server, would wake these workers."""
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=3).flushdb()
    except redis.RedisError as error:
        raise Unavailable(f"The broker does not answer: {error}") from None


class Floor(System):
    """benchmarks/floor.py, in two processes."""

    name = "floor"

    @classmethod
    def prepare(cls, database: type[Postgresql] | type[Sqlite]) -> Database:
        made = database()
        for statement in (*floor.TABLES, floor_import.LINES):
            made.rows(statement)
        return made

    def start(self) -> None:
        if isinstance(self.database, Sqlite):
            with contextlib.closing(sqlite3.connect(self.database.file)) as connection:
                connection.executescript(floor.PRAGMAS)
        where = str(self.database.file) if isinstance(self.database, Sqlite) else self.database.url
        command = [sys.executable, "-m", "granian", f"benchmarks.floor:{self.database.kind}"]
        command += "--interface asgi --http 1 --no-ws --workers 2 --log-level warning --host 127.0.0.1".split()
        self.run("web", [*command, "--port", str(self.port)], {"FLOOR_DATABASE": where, "FLOOR_SECRET": SECRET})
        self.wait_until("web", lambda: get(self.port, "/")[0] == 400)

    def statuses(self, ids: list[str]) -> dict[str, tuple[str, int]]:
        found = self.database.rows("SELECT id, status, data FROM invoice")
        return {id: (status, int(json.loads(data)["metadata"]["step"])) for id, status, data in found}

    def visible(self, ids: list[str]) -> dict[str, str]:
        marks = ",".join(["%s"] * len(ids))
        return dict(self.database.rows(f"SELECT id, status FROM invoice WHERE id IN ({marks})", *ids))

    def journal(self) -> dict[str, bytes] | None:
        return {id: body.encode() for id, body in self.database.rows("SELECT id, body FROM event")}

    def importing(self) -> tuple[list[str], dict[str, str], Path]:
        where = str(self.database.file) if isinstance(self.database, Sqlite) else self.database.url
        command = [sys.executable, str(Path(floor_import.__file__)), where, f"http://127.0.0.1:{self.stripe_port}"]
        return command, {}, ROOT

    def imported(self) -> int:
        return int(self.database.rows("SELECT count(*) FROM invoice")[0][0])

    def version(self) -> str:
        from importlib.metadata import version

        return ", ".join(f"{name} {version(name)}" for name in ("granian", "psycopg"))


def leave_out(name: str, kind: str, reason: Exception, results: dict[str, Any]) -> None:
    """A peer that fails is not measured any further, and that is said. Raises the reason if it is no peer."""
    if name in (Ours.name, Floor.name):
        raise reason
    print(f"FAILED {name} on {kind}: {reason}", file=sys.stderr, flush=True)
    del results[name]


def print_ratios(kind: str, results: Mapping[str, Sequence[Any]], figure: str) -> None:
    """For each system the median, over the rounds, of this figure by the floor's in the same round. Nothing without the
    floor. `kind`: of the database; `results`: system → a result for each round."""
    floor = [getattr(result, figure) for result in results.get("floor", [])]
    for name in results if floor else []:
        ratio = statistics.median(
            getattr(result, figure) / base for result, base in zip(results[name], floor, strict=True)
        )
        print(f"{kind:10} {name:12} : floor = {ratio:.2f}", flush=True)


@contextlib.contextmanager
def prepared(system: type[System], database: type[Postgresql] | type[Sqlite]) -> Iterator[Database]:
    """The database to copy for each run of this system."""
    made = system.prepare(database)
    try:
        yield made
    finally:
        made.drop()


@contextlib.contextmanager
def demo(invoices: int = 20) -> Iterator[dict[str, Any]]:
    """`manage.py demo`, the whole desk with the sandbox: what its demo.json says. Ends it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        ports = ["--port", str(free_port()), "--sandbox-port", str(free_port())]
        command = [sys.executable, "manage.py", "demo", "--data-dir", folder, "--invoices", str(invoices), *ports]
        for option, variable in (("--database", "DATABASE_URL"), ("--broker", "CELERY_BROKER_URL")):
            if os.environ.get(variable):  # the demo itself takes neither from the environment
                command += [option, os.environ[variable]]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
        try:
            report, end = Path(folder) / "demo.json", time.monotonic() + START_SECONDS
            while not report.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("The demo did not come up.")
                time.sleep(0.1)
            yield json.loads(report.read_text())
        finally:
            process.terminate()
            process.wait(timeout=60)
