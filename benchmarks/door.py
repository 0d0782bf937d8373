"""The door: signed webhooks over HTTP, until each is accepted and the mirror has every last state.

    python -m benchmarks.door [--events 5000] [--invoices 2000] [--rounds 5] [--databases postgresql sqlite]
                              [--systems ours floor …]

In each round every system gets the same events, one system after the other, each on a fresh database: events that are
all different, over eight connections that are kept open. Prints the rate of what was accepted and applied in events a
second, and its ratio to the floor's in the same round; then the rate of accepting alone, how long an event takes from
its sending until the mirror shows it (at full rate, and at five a second), and CPU seconds for each thousand events.
An answer that is not 200 is counted, and its event sent again, as Stripe would. A run in which an event is missing or
an invoice is not as its last event said is no result: it ends the benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from dataclasses import dataclass

from benchmarks import load, objects
from benchmarks.objects import STATUSES, Delivery
from benchmarks.peers import PEERS
from benchmarks.systems import (
    DATABASES,
    FakeStripe,
    Floor,
    Ours,
    System,
    Unavailable,
    end_when_told,
    leave_out,
    prepared,
    print_ratios,
)

MEASURED: tuple[type[System], ...] = (Ours, Floor, *PEERS)
SYSTEMS = {system.name: system for system in MEASURED}
APPLIED_SECONDS = 600  # in which everything that was accepted must be applied
LOOK_SECONDS = 0.02  # between two looks at the mirror at full rate; the latencies are no more exact than that
LOOK_SECONDS_IDLE = 0.005
IDLE_EVENTS, IDLE_PER_SECOND = 50, 5
WARM_UP_EVENTS = 64
TIMES_SENT = 5  # an event that is refused every time is an error
PROBES_AT_MOST = 200  # events whose way to the mirror is watched; more of them would themselves be a load


@dataclass
class Result:
    """One run of one system."""

    accepted: float  # events a second
    applied: float  # events a second, until the mirror has all
    latencies: list[float]  # seconds from sending to showing, at full rate
    idle: list[float]  # the same at five events a second
    cpu: dict[str, float]  # role → seconds for each 1,000 events
    generator: float  # share of one core that sending and looking used
    refused: int  # answers that were not 200; their events were sent again
    versions: str


class Prober(threading.Thread):
    """Looks again and again which of the watched changes the mirror shows."""

    def __init__(self, system: System, every: float) -> None:
        super().__init__(daemon=True)
        self.system, self.every, self.latencies = system, every, list[float]()
        self._waiting: dict[str, tuple[int, float]] = {}  # invoice → the status's place in STATUSES, sent at
        self._lock, self._end = threading.Lock(), threading.Event()

    def watch(self, delivery: Delivery, sent: float) -> None:
        with self._lock:
            self._waiting.setdefault(delivery.invoice, (STATUSES.index(delivery.status), sent))

    def run(self) -> None:
        while not self._end.wait(self.every):
            with self._lock:
                waiting = dict(self._waiting)
            if not waiting:
                continue
            found = self.system.visible(list(waiting))
            now = time.monotonic()
            seen = [id for id, status in found.items() if STATUSES.index(status) >= waiting[id][0]]
            self.latencies += [now - waiting[id][1] for id in seen]
            with self._lock:
                for id in seen:
                    del self._waiting[id]
        self.system.database.disconnect()

    def end(self, seconds: float = 30) -> list[float]:
        """Waits for what is still watched, and returns the latencies."""
        until = time.monotonic() + seconds
        while self._waiting and time.monotonic() < until:
            time.sleep(0.01)
        self._end.set()
        self.join()
        return sorted(self.latencies)


def measure(system: System, made: list[Delivery], warm_up: list[Delivery], idle: list[Delivery]) -> Result:
    """Sends all events and waits until all are applied; then looks whether it is all right.

    Before the clock starts, a few others make every process load what it needs. Raises RuntimeError where an event is
    missing or an invoice is wrong."""
    _send_again(system, warm_up, load.send(system.port, _requests(system, warm_up), connections=2 * load.CONNECTIONS))
    _wait_until_applied(system, objects.last_states(warm_up))
    last = objects.last_states(made)
    first: dict[
        str, int
    ] = {}  # of each invoice: only its first event tells by its status that the mirror has it, whatever follows
    for number, delivery in enumerate(made):
        first.setdefault(delivery.invoice, number)
    step = max(1, len(first) // PROBES_AT_MOST)
    probes = set(list(first.values())[::step])
    requests = _requests(system, made)
    prober = Prober(system, LOOK_SECONDS)
    prober.start()
    with system.cpu() as cpu:
        cpu.restart()
        own = time.process_time()
        sent = load.send(
            system.port,
            requests,
            on_sent=lambda number, at: prober.watch(made[number], at) if number in probes else None,
        )
        generator = (time.process_time() - own) / sent.seconds
        refused = _send_again(system, made, sent)
        applied = _wait_until_applied(system, last) - min(sent.sent)
        used = cpu.seconds()
    latencies = prober.end()
    _check(system, made, last)
    idle_latencies = _idle(system, idle) if idle else []
    return Result(
        accepted=len(made) / sent.seconds,
        applied=len(made) / max(applied, sent.seconds),
        latencies=latencies,
        idle=idle_latencies,
        cpu={role: 1000 * seconds / len(made) for role, seconds in used.items()},
        generator=generator,
        refused=refused,
        versions=f"{system.version()}, {system.database.version()}",
    )


def _send_again(system: System, made: list[Delivery], sent: load.Sent) -> int:
    """Sends what was refused until it is accepted; how many those were. Raises RuntimeError when it never is."""
    statuses, refused = dict(enumerate(sent.statuses)), 0
    for _ in range(TIMES_SENT):
        again = [number for number, status in statuses.items() if status != 200]
        if not again:
            return refused
        refused += len(again)
        print(f"{system.name}: answered {sorted({statuses[number] for number in again})} to {len(again)} events")
        sent_again = load.send(system.port, _requests(system, [made[number] for number in again]))
        statuses = dict(zip(again, sent_again.statuses, strict=True))
        sent.answered.append(max(sent_again.answered))
    raise RuntimeError(
        f"{system.name}: {len(statuses)} events were refused {TIMES_SENT} times: {system.log_end('web')}"
    )


def _requests(system: System, made: list[Delivery]) -> list[bytes]:
    return [objects.signed_request(system.webhook_path, each.body, system.secret) for each in made]


def _wait_until_applied(system: System, last: dict[str, tuple[str, int]]) -> float:
    """The moment in which the mirror has the last state of each invoice and no event waits any more."""
    end = time.monotonic() + APPLIED_SECONDS
    while time.monotonic() < end:
        asked = time.monotonic()
        if not system.pending():
            states = system.statuses(list(last))
            if all(states.get(id) == state for id, state in last.items()):
                return asked
        time.sleep(LOOK_SECONDS)
    states = system.statuses(list(last))
    wrong = [(id, state, states.get(id)) for id, state in last.items() if states.get(id) != state]
    raise RuntimeError(f"{system.name}: {len(wrong)} invoices are wrong, such as {wrong[:3]}")


def _check(system: System, made: list[Delivery], last: dict[str, tuple[str, int]]) -> None:
    """Everything that was accepted is in the journal, byte for byte, and every invoice is as its last event said."""
    states = system.statuses(list(last))
    wrong = [(id, state, states.get(id)) for id, state in last.items() if states.get(id) != state]
    journal = system.journal()
    missing = [] if journal is None else [each.event for each in made if journal.get(each.event) != each.body]
    if wrong or missing:
        raise RuntimeError(f"{system.name}: {len(wrong)} invoices wrong, {len(missing)} events not in the journal")


def _idle(system: System, made: list[Delivery]) -> list[float]:
    prober = Prober(system, LOOK_SECONDS_IDLE)
    prober.start()
    load.send(
        system.port,
        _requests(system, made),
        per_second=IDLE_PER_SECOND,
        on_sent=lambda number, at: prober.watch(made[number], at),
    )
    return prober.end()


# --- all of it --------------------------------------------------------------------------------------------------------


def run(
    systems: list[str], databases: list[str], events: int, invoices: int, rounds: int
) -> dict[str, dict[str, list[Result]]]:
    """Database → system → a result for each round. What is unavailable is left out, and said."""
    shapes = objects.shapes()
    sizes = [len(each.body) for each in objects.deliveries(shapes, "size", 100, 40)]
    print(f"{events:,} events of {min(sizes):,} to {max(sizes):,} bytes on {invoices:,} invoices, rounds: {rounds}")
    results: dict[str, dict[str, list[Result]]] = {}
    for kind in databases:
        with contextlib.ExitStack() as stack:
            stripe = stack.enter_context(FakeStripe(shapes, 0))
            templates = {}
            for name in systems:
                try:
                    templates[name] = stack.enter_context(prepared(SYSTEMS[name], DATABASES[kind]))
                except Unavailable as reason:
                    print(f"SKIPPED {name} on {kind}: {reason}", file=sys.stderr, flush=True)
            results[kind] = {name: [] for name in templates}
            for number in range(rounds):
                made = objects.deliveries(shapes, f"r{number}", events, invoices)
                warm_up = objects.deliveries(shapes, f"w{number}", WARM_UP_EVENTS, WARM_UP_EVENTS)
                idle = objects.deliveries(shapes, f"i{number}", IDLE_EVENTS, IDLE_EVENTS)
                stripe.hold(objects.last_objects([*made, *warm_up, *idle]))
                order = list(results[kind]) if number % 2 == 0 else list(results[kind])[::-1]  # none is always first
                for name in order:
                    try:
                        with SYSTEMS[name](templates[name].copy(), stripe.port) as system:
                            result = measure(system, made, warm_up, idle)
                    except (RuntimeError, Unavailable) as reason:
                        leave_out(name, kind, reason, results[kind])
                        continue
                    results[kind][name].append(result)
                    print(f"{kind:10} round {number + 1}: {describe(name, result)}", flush=True)
        print_ratios(kind, results[kind], "applied")
    return results


def describe(name: str, result: Result) -> str:
    cpu = ", ".join(f"{role} {seconds:.2f}" for role, seconds in result.cpu.items())
    return (
        f"{name:12} applied {result.applied:7,.0f}/s, accepted {result.accepted:7,.0f}/s; to the mirror: full rate "
        f"{percentiles(result.latencies)}, idle {percentiles(result.idle)}; CPU s per 1,000: {cpu}; "
        f"generator {result.generator:.0%} of a core" + (f"; {result.refused} refused" if result.refused else "")
    )


def percentiles(seconds: list[float]) -> str:
    """Median and p99 in milliseconds."""
    if not seconds:
        return "not measured"
    ordered = sorted(seconds)
    return f"p50 {1000 * statistics.median(ordered):,.0f} ms p99 {1000 * ordered[int(len(ordered) * 0.99)]:,.0f} ms"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--invoices", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--databases", nargs="+", choices=list(DATABASES), default=list(DATABASES))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.door")
    options(parser)
    given = parser.parse_args(words)
    end_when_told()
    run(given.systems, given.databases, given.events, given.invoices, given.rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
