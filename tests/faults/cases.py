"""Every fault: what is done, what was promised, and how it is played."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.bench import CLOCK, NAME, RUNTIME, WORKER_SEEN, Bench, Result
from tests.faults.servers import LOCALHOST, CannotPlay, Cluster, Wire, free_port, wait_until
from tests.faults.statements import Statements, make_people


@dataclass(frozen=True)
class Length:
    """Seconds of the outages; of Stripe's; of the random kills; of those while statements are uploaded."""

    outage: float = 20
    stripe_outage: float = 3600
    kills: float = 300
    statements: float = 90


@dataclass(frozen=True)
class Fault:
    name: str
    done: str
    promised: str
    play: Callable[[Length], Result]


FAULTS: dict[str, Fault] = {}
ALWAYS = "no event lost, no charge twice, mirror equal, journal whole; "


def fault(done: str, promised: str) -> Callable[[Callable[[Length], Result]], Callable[[Length], Result]]:
    def add(play: Callable[[Length], Result]) -> Callable[[Length], Result]:
        name = play.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, done, ALWAYS + promised, play)
        return play

    return add


def before(seconds: float = 6) -> None:
    """The load goes on for a while, and so does the fault."""
    time.sleep(seconds)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@fault("PostgreSQL stopped in the mode *fast* under load, and started again at once", "no step is needed")
def database_restarted(length: Length) -> Result:
    return _restarted("database-restarted", "fast")


@fault("PostgreSQL stopped in the mode *immediate*, as a crash, and started again", "no step is needed")
def database_crashed(length: Length) -> Result:
    return _restarted("database-crashed", "immediate")


def _restarted(name: str, mode: str) -> Result:
    with Bench() as bench:
        load = bench.load()
        before()
        bench.cluster.stop(mode)
        before(3)
        bench.cluster.start()
        began = time.monotonic()
        before()
        return bench.check(name, load, began)


@fault("Every connection to PostgreSQL reset, five times, two seconds apart", "no step is needed")
def database_cut(length: Length) -> Result:
    with Bench() as bench:
        load = bench.load()
        before()
        for _ in range(5):
            bench.database_wire.cut()
            before(2)
        began = time.monotonic()
        before()
        return bench.check("database-cut", load, began)


@fault("Nothing goes through to PostgreSQL, and no connection ends, for {outage:.0f} s", "no step is needed")
def database_silent(length: Length) -> Result:
    with Bench() as bench:
        load = bench.load()
        before()
        bench.database_wire.frozen = True
        before(length.outage)
        bench.database_wire.frozen = False
        began = time.monotonic()
        before()
        return bench.check("database-silent", load, began)


@fault(
    "An asynchronous copy stops following; five seconds later the server is killed, and the copy takes its place: what "
    "was committed in between is gone",
    "what Stripe did stays done; a repeated request gets the same idempotency key; reconciliation brings back the rest",
)
def database_failed_over(length: Length) -> Result:
    with Bench() as bench:
        copy = bench.cluster.copy(bench.folder / "copy")
        bench.undo.append(lambda: copy.stop("immediate"))
        load = bench.load()
        before()
        copy.stop()
        before(5)
        lost = bench.ask("SELECT count(*) FROM invoices_operation")
        bench.cluster.stop("immediate")
        bench.database_wire.cut()
        copy.start()
        copy.promote()
        bench.cluster = copy
        bench.database_wire.target = copy.port
        lost -= bench.ask("SELECT count(*) FROM invoices_operation")
        assert lost > 0, "nothing was lost: the load is too small"
        bench.notes.append("operations of the last seconds were gone")
        began = time.monotonic()
        before()
        return bench.check("database-failed-over", load, began, restored=True)


@fault("PostgreSQL takes no writes for {outage:.0f} s, only reads", "pages are read; webhooks get 5xx and come again")
def database_read_only(length: Length) -> Result:
    with Bench() as bench:
        load = bench.load()
        before()
        with bench.cluster.connect() as admin:
            admin.execute(f"ALTER DATABASE {NAME} SET default_transaction_read_only = on")
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{RUNTIME}'")
        before(length.outage / 2)
        assert bench.healthy(bench.ports[0])
        before(length.outage / 2)
        with bench.cluster.connect() as admin:
            admin.execute(f"ALTER DATABASE {NAME} RESET default_transaction_read_only")
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{RUNTIME}'")
        began = time.monotonic()
        before()
        return bench.check("database-read-only", load, began)


@fault(
    "The disk of PostgreSQL full to the last byte for {outage:.0f} s; then space is made, and the server started if it "
    "stopped",
    "no step is needed beyond making space and starting PostgreSQL",
)
def disk_full(length: Length) -> Result:
    place = Path(tempfile.mkdtemp(prefix="desk-faults-disk-"))
    size = "size=400m,mode=755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], capture_output=True, check=False)
    if mounted.returncode:
        place.rmdir()
        raise CannotPlay("no small disk can be mounted: root is needed")
    try:
        with Bench(data=place) as bench:
            load = bench.load()
            before()
            filler = place / "filler"
            with filler.open("wb") as file:
                try:
                    while True:
                        file.write(b"x" * 65536)
                        file.flush()
                except OSError:
                    pass
            before(length.outage)
            filler.unlink()
            try:
                wait_until(lambda: bench.ask("SELECT 1"), 5, "PostgreSQL answers")
            except AssertionError:
                bench.cluster.stop("immediate")
                bench.cluster.start()
                bench.notes.append("the server had stopped, and was started again")
            began = time.monotonic()
            before()
            return bench.check("disk-full", load, began)
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
        shutil.rmtree(place, ignore_errors=True)


# --- the broker -------------------------------------------------------------------------------------------------------


@fault("Redis emptied three times, five seconds apart", "no step is needed")
def redis_flushed(length: Length) -> Result:
    with Bench() as bench:
        load = bench.load()
        for _ in range(3):
            before(5)
            bench.broker.flush()  # type: ignore[union-attr]
        began = time.monotonic()
        before()
        return bench.check("redis-flushed", load, began)


@fault("Redis killed for {outage:.0f} s", "webhooks and actions go on; events wait")
def redis_down(length: Length) -> Result:
    with Bench() as bench:
        return _broker_down(bench, "redis-down", length)


@fault("RabbitMQ in the place of Redis, killed for {outage:.0f} s", "webhooks and actions go on; events wait")
def rabbitmq_down(length: Length) -> Result:
    with Bench(broker="rabbit") as bench:
        return _broker_down(bench, "rabbitmq-down", length)


def _broker_down(bench: Bench, name: str, length: Length) -> Result:
    load = bench.load()
    before()
    bench.broker.stop()
    paid = len(load.paid)
    before(length.outage)
    if len(load.paid) == paid:
        bench.notes.append("no action ended while the broker was away")
    bench.broker.start()
    began = time.monotonic()
    before()
    return bench.check(name, load, began)


# --- Stripe -----------------------------------------------------------------------------------------------------------


@fault(
    "Stripe refuses every connection for {stripe_outage:.0f} s", "actions end as not sent or unknown, and are settled"
)
def stripe_down(length: Length) -> Result:
    with Bench() as bench:
        load = bench.load()
        before()
        bench.stripe_wire.closed = True
        bench.stripe_wire.cut()
        before(length.stripe_outage)
        bench.stripe_wire.closed = False
        began = time.monotonic()
        before()
        return bench.check("stripe-down", load, began)


@fault(
    "Every second reply of Stripe's is lost: the connection is cut after the effect, or a 500 comes after it",
    "what took effect is found by the key and the events",
)
def stripe_loses_replies(length: Length) -> Result:
    return _misbehaves("stripe-loses-replies", length, drop_reply=0.25, error_500_after=0.25)


@fault("Stripe takes 1 to 4 s for every reply", "nothing waits on Stripe to read")
def stripe_slow(length: Length) -> Result:
    return _misbehaves("stripe-slow", length, latency_ms=[1000, 4000])


@fault("Stripe answers half of all requests with 429", "what is refused so was not applied, and is asked for again")
def stripe_rate_limiting(length: Length) -> Result:
    return _misbehaves("stripe-rate-limiting", length, error_429=0.5)


@fault("A third of the webhooks is lost for good, others come twice, late and out of order", "the catch-up brings them")
def webhooks_lost(length: Length) -> Result:
    return _misbehaves("webhooks-lost", length, drop=0.33, duplicate=0.3, reorder=0.3)


def _misbehaves(name: str, length: Length, **faults: Any) -> Result:
    with Bench() as bench:
        load = bench.load()
        before()
        bench.sandbox.faults(**faults, only=[] if "drop" in faults else ["POST /v1/invoices/*/pay", "GET *"], seed=1)
        before(length.outage)
        bench.sandbox.clear_faults()
        began = time.monotonic()
        before()
        return bench.check(name, load, began)


# --- clocks -----------------------------------------------------------------------------------------------------------


@fault(
    "The clocks of one web process and of one worker ten minutes ahead, those of the other worker and of beat ten "
    "minutes behind; webhooks go to the web process whose clock is right",
    "moments that decide come from the database's clock",
)
def clocks_wrong(length: Length) -> Result:
    def wrong(seconds: int) -> dict[str, str]:
        return {"CLOCK_OFFSET": str(seconds), "PYTHONPATH": str(CLOCK)}

    with Bench(webs=1, workers=0) as bench:
        bench.desk.processes.pop("beat").end()
        ahead = free_port()
        bench.desk.add("web", "web-ahead", ahead, env=wrong(600))
        bench.desk.add("worker", "worker-ahead", env=wrong(600))
        bench.desk.add("worker", "worker-behind", env=wrong(-600))
        bench.desk.add("beat", "beat-behind", free_port(), env=wrong(-600))
        wait_until(lambda: bench.healthy(ahead), 180, "the web process with the wrong clock answers")
        wait_until(lambda: bench.ask(WORKER_SEEN), 180, "a worker works")
        load = bench.load(ports=[*bench.ports, ahead])
        before(length.outage)
        began = time.monotonic()
        return bench.check("clocks-wrong", load, began)


# --- processes --------------------------------------------------------------------------------------------------------


@fault(
    "Every 2 to 6 s for {kills:.0f} s a process chosen at random, of two web processes, two workers and beat, is "
    "killed (SIGKILL) or frozen for up to 12 s (SIGSTOP); a supervisor starts what ended",
    "no step is needed",
)
def processes_killed_and_frozen(length: Length) -> Result:
    dice = random.Random(1)
    with Bench() as bench:
        load = bench.load()
        end, killed, frozen = time.monotonic() + length.kills, 0, 0
        while time.monotonic() < end:
            victim = dice.choice(list(bench.desk.processes.values()))
            if dice.random() < 0.5:
                victim.signal(signal.SIGKILL)
                killed += 1
            else:
                victim.signal(signal.SIGSTOP)
                time.sleep(dice.uniform(1, 12))
                victim.signal(signal.SIGCONT)
                frozen += 1
            time.sleep(dice.uniform(2, 6))
        began = time.monotonic()
        before()
        return bench.check("processes-killed-and-frozen", load, began)


@fault(
    "Two people upload the same statement of a bank five times each, and another one that overlaps, and confirm all "
    "that is proposed; every 1 to 4 s for {statements:.0f} s a process chosen at random is killed (SIGKILL)",
    "each credit is kept once and recorded once at Stripe, with one payment for each invoice",
)
def statements_while_killed(length: Length) -> Result:
    dice = random.Random(2)
    with Bench() as bench:
        make_people(bench)
        load = Statements(bench).start()
        end, killed = time.monotonic() + length.statements, 0
        while time.monotonic() < end:
            dice.choice(list(bench.desk.processes.values())).signal(signal.SIGKILL)
            killed += 1
            time.sleep(dice.uniform(1, 4))
        bench.notes.append(f"{killed} processes were killed")
        began = time.monotonic()
        result = bench.check("statements-while-killed", load, began)
        result.problems += load.problems()
        result.paid = load.recorded()
        return result


@fault(
    "A second host (a network namespace) with a web process and a worker; its link is cut for {outage:.0f} s, with "
    "requests under way, and comes back",
    "the first host goes on; what the second one held is taken over when its claim lapses, or goes on",
)
def link_cut(length: Length) -> Result:
    with Bench(webs=1, workers=1) as bench, Host() as host:
        wires = [Wire(target, host.here) for target in (bench.cluster.port, bench.broker.port, bench.sandbox.port)]
        bench.undo += [wire.stop for wire in wires]
        env = {
            "DATABASE_URL": bench.url(RUNTIME, wires[0].port, host.here),
            "CELERY_BROKER_URL": bench.broker.url.replace(
                f"{LOCALHOST}:{bench.broker.port}", f"{host.here}:{wires[1].port}"
            ),
            "STRIPE_API_BASE": f"http://{host.here}:{wires[2].port}",
        }
        port = free_port()
        bench.desk.add("web", "web-there", port, host.there, host.inside, env)
        bench.desk.add("worker", "worker-there", inside=host.inside, env=env)
        there = Relay(host.there, port)
        bench.undo.append(there.stop)
        wait_until(lambda: bench.healthy(there.port), 180, "the web process of the second host answers")
        load = bench.load(ports=[*bench.ports, there.port])
        before()
        host.cut()
        paid = len(load.paid)
        before(length.outage)
        if len(load.paid) == paid:
            bench.notes.append("no action ended while the link was cut")
        host.mend()
        began = time.monotonic()
        before()
        return bench.check("link-cut", load, began)


class Relay(Wire):
    """A wire from this host to a port of another one, so that the clients need one address."""

    def __init__(self, host: str, port: int):
        import socket
        import threading

        self.closed = False
        self._server = socket.create_server((LOCALHOST, 0))
        self.port = self._server.getsockname()[1]

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
            except OSError:
                pass
            for each in (source, sink):
                with_suppress(each.close)

        def serve() -> None:
            while not self.closed:
                try:
                    client, _ = self._server.accept()
                    there = socket.create_connection((host, port), 5)
                    there.settimeout(None)
                except OSError:
                    continue
                for pair in ((client, there), (there, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()

    def stop(self) -> None:
        self.closed = True
        with_suppress(self._server.close)


def with_suppress(step: Callable[[], Any]) -> None:
    try:
        step()
    except OSError:
        return


class Host:
    """A network namespace, reached by a pair of virtual devices."""

    def __init__(self) -> None:
        if os.getuid() != 0 or not shutil.which("ip"):
            raise CannotPlay("network namespaces need root and the command ip")
        number = os.getpid() % 200 + 20
        self.name, self.device = f"desk{os.getpid()}", f"desk{os.getpid() % 100000}"
        self.here, self.there = f"10.231.{number}.1", f"10.231.{number}.2"
        self.inside = ["ip", "netns", "exec", self.name]

    def __enter__(self) -> Host:
        try:
            _ip("netns", "add", self.name)
            _ip("link", "add", self.device, "type", "veth", "peer", "name", "desk0", "netns", self.name)
            _ip("addr", "add", f"{self.here}/30", "dev", self.device)
            _ip("link", "set", self.device, "up")
            _ip("-n", self.name, "addr", "add", f"{self.there}/30", "dev", "desk0")
            for device in ("desk0", "lo"):
                _ip("-n", self.name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            raise CannotPlay(f"no network namespace can be made: {error.stderr.decode().strip()}") from None
        return self

    def cut(self) -> None:
        _ip("link", "set", self.device, "down")

    def mend(self) -> None:
        _ip("link", "set", self.device, "up")

    def __exit__(self, *problem: object) -> None:
        for words in (("link", "del", self.device), ("netns", "del", self.name)):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)


__all__ = ["FAULTS", "Cluster", "Fault", "Length"]
