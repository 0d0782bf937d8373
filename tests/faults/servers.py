"""PostgreSQL, Redis and RabbitMQ servers of our own, which may be broken; and a wire that can be cut."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

LOCALHOST = "127.0.0.1"


class CannotPlay(Exception):
    """What this fault needs is not on this machine: said loudly, and the fault is skipped."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.create_connection((LOCALHOST, port), 1):
        return True


def wait_until(question: Callable[[], Any], seconds: float, what: str) -> float:
    """How many seconds it took. Errors count as no."""
    began, last = time.monotonic(), ""
    while time.monotonic() - began < seconds:
        try:
            if question():
                return time.monotonic() - began
            last = ""
        except Exception as error:
            last = f": {type(error).__name__}: {error}"
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:g} s{last}")


def postgres_folder() -> Path:
    """Where initdb is. Raises CannotPlay."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    if name := shutil.which("initdb"):
        return Path(name).resolve().parent
    raise CannotPlay("there is no initdb: PostgreSQL's server is not installed")


class Cluster:
    """A PostgreSQL server. Its files belong to an unprivileged user, because it refuses to run as root."""

    def __init__(self, folder: Path, port: int = 0):
        self.folder, self.port = folder, port or free_port()
        self.bin = postgres_folder()
        self.as_user: list[str] = []
        if os.getuid() == 0:
            try:
                pwd.getpwnam("postgres")
            except KeyError:
                raise CannotPlay("there is no user postgres, and the server does not run as root") from None
            self.as_user = ["runuser", "-u", "postgres", "--"]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # Not to a pipe: the server that pg_ctl leaves behind would keep it open.
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            command = [*self.as_user, str(self.bin / words[0]), *words[1:]]
            done = subprocess.run(command, cwd="/", stdout=log, stderr=log, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{words[0]} failed: see {log.name}")
        return done

    def own(self) -> None:
        """Makes the folder, and gives it to the user that runs the server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.as_user:
            shutil.chown(self.folder, "postgres", "postgres")

    def make(self) -> Cluster:
        self.own()
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '{LOCALHOST}'\nunix_socket_directories = '{self.folder}'\n"
                "max_connections = 120\nwal_level = replica\nmax_wal_senders = 4\nshared_buffers = 32MB\n"
                "min_wal_size = 32MB\nmax_wal_size = 64MB\nwal_keep_size = 64MB\n"
            )
        return self

    def start(self, *options: str) -> Cluster:
        self.run("pg_ctl", "start", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.folder / "log"), *options)
        return self

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-w", "-t", "60", check=False)

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=LOCALHOST, port=self.port, user=user, dbname=database, autocommit=True, connect_timeout=3
        )

    def copy(self, folder: Path) -> Cluster:
        """A standby that follows this server, asynchronously."""
        standby = Cluster(folder)
        standby.own()
        standby.run(
            *("pg_basebackup", "-h", LOCALHOST, "-p", str(self.port), "-U", "postgres", "-D", str(standby.data)),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )
        with (standby.data / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {standby.port}\nunix_socket_directories = '{folder}'\n")
        return standby.start()

    def promote(self) -> None:
        self.run("pg_ctl", "promote", "-D", str(self.data), "-w")


class Redis:
    """A Redis that keeps nothing on disk."""

    def __init__(self, folder: Path):
        if not shutil.which("redis-server"):
            raise CannotPlay("there is no redis-server")
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{LOCALHOST}:{self.port}/0"

    def start(self) -> Redis:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no", "--bind", LOCALHOST]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--dir", str(self.folder)], stdout=log, stderr=log)
        wait_until(lambda: listens(self.port), 60, "Redis answers")
        return self

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def flush(self) -> None:
        import redis

        redis.Redis(LOCALHOST, self.port).flushall()


class Rabbit:
    """A RabbitMQ node of its own: other name, ports and folders than any that runs here."""

    def __init__(self, folder: Path):
        if not (shutil.which("rabbitmq-server") and shutil.which("epmd")) or os.getuid() != 0:
            raise CannotPlay("there is no rabbitmq-server, or we are not root")
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{LOCALHOST}:{self.port}//"

    def start(self) -> Rabbit:
        self.folder.mkdir(parents=True, exist_ok=True)
        plugins = self.folder / "plugins"
        plugins.write_text("[].")
        settings = self.folder / "settings.conf"  # so that those of the machine, and their port, are not read
        settings.write_text(f"listeners.tcp.1 = {LOCALHOST}:{self.port}\n")
        shutil.chown(self.folder, "rabbitmq")
        env = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"desk{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": LOCALHOST,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        binary = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        command = [str(binary) if binary.exists() else "rabbitmq-server"]
        with (self.folder / "out").open("ab") as log:
            self.process = subprocess.Popen(
                ["runuser", "-u", "rabbitmq", "--", "env", "-i", *(f"{k}={v}" for k, v in env.items()), *command],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: listens(self.port), 120, "RabbitMQ answers")
        return self

    def stop(self) -> None:
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Wire:
    """A TCP relay to a port. `cut` breaks all connections, `closed` refuses new ones, `frozen` lets nothing through."""

    def __init__(self, target: int, host: str = LOCALHOST):
        self.target, self.host = target, host
        self.closed = self.frozen = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.port = 0

        async def serve() -> None:
            server = await asyncio.start_server(self._relay, host, 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        def run() -> None:
            self._loop.create_task(serve())
            self._loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        ready.wait(10)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(LOCALHOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._open |= both

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    while self.frozen:
                        await asyncio.sleep(0.05)
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))
        self._open -= both

    def cut(self) -> None:
        def abort() -> None:
            for writer in list(self._open):
                writer.transport.abort()

        self._loop.call_soon_threadsafe(abort)

    def stop(self) -> None:
        self.closed = True

        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.1)
            self._loop.stop()

        self.cut()
        asyncio.run_coroutine_threadsafe(end(), self._loop)
