"""The import: everything that Stripe has, into an empty database, as one whole command.

    python -m benchmarks.imports [--invoices 20000] [--rounds 5] [--databases postgresql sqlite]
                                 [--systems ours floor …]

Stripe is benchmarks/fake_stripe.py: invoices of two lines over a year, with their customers, payments and
PaymentIntents, and an event each in the last month. In each round every system imports them, one after the other, each
into a fresh database. Prints the seconds of the whole command and its ratio to the floor's in the same round; the
seconds until all invoices were here; the command's CPU seconds, its calls to Stripe, and its peak memory beside that of
an idle shell. Ours brings all of it, the floor invoices and lines, the peers invoices.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import objects
from benchmarks.peers import PEERS
from benchmarks.systems import (
    DATABASES,
    ROOT,
    FakeStripe,
    Floor,
    Ours,
    System,
    Unavailable,
    desk_environment,
    end_of,
    end_when_told,
    leave_out,
    prepared,
    print_ratios,
)

MEASURED: tuple[type[System], ...] = (Ours, Floor, *PEERS)
SYSTEMS = {system.name: system for system in MEASURED}
LOOK_SECONDS = 0.1  # between two looks at how many invoices are here
IDLE_SHELL = "from invoices.models import Invoice; Invoice.objects.count()"


@dataclass
class Result:
    """One import by one system."""

    seconds: float  # of the whole command
    until_invoices: float  # seconds until the last invoice was here
    cpu: float  # seconds, of the command with its children
    calls: dict[str, int]  # to Stripe, by path
    peak: int  # bytes: most resident memory of the command
    versions: str


def measure(system: System, stripe: FakeStripe) -> Result:
    """Runs the system's import. Raises RuntimeError when it fails or invoices are missing."""
    command, env, folder = system.importing()
    before, began = stripe.calls(), time.monotonic()
    with (system.folder / "import.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **env}, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        with _watched(system, stripe.invoices) as arrived:
            cpu, peak = end_of(process)
            seconds = time.monotonic() - began
    after = stripe.calls()
    if process.returncode or system.imported() != stripe.invoices:
        log_end = (system.folder / "import.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{system.name}: exit {process.returncode}, {system.imported()} invoices: {log_end}")
    return Result(
        seconds=seconds,
        until_invoices=(arrived[0] - began) if arrived else seconds,
        cpu=cpu,
        calls={path: number for path in after if (number := after[path] - before.get(path, 0))},
        peak=peak,
        versions=f"{system.version()}, {system.database.version()}",
    )


@contextlib.contextmanager
def _watched(system: System, invoices: int) -> Iterator[list[float]]:
    """A list that holds, as soon as all invoices are here, the moment when that was seen."""
    arrived: list[float] = []
    end = threading.Event()

    def watch() -> None:
        while not arrived and not end.wait(LOOK_SECONDS):
            if system.imported() >= invoices:
                arrived.append(time.monotonic())
        system.database.disconnect()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield arrived
    finally:
        end.set()
        thread.join()


def idle_shell(system: System) -> int:
    """Bytes: the peak of memory of our own shell after one query."""
    env = desk_environment(system.database, system.folder, system.stripe_port, "memory://")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--command", IDLE_SHELL],
        env={**os.environ, **env},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return end_of(process)[1]


@dataclass
class Measured:
    """Of one database: a result for each round of each system, and the memory of an idle shell of ours."""

    results: dict[str, list[Result]]
    shell: int = 0


def run(systems: list[str], databases: list[str], invoices: int, rounds: int) -> dict[str, Measured]:
    """Database → what was measured. What is unavailable is left out, and said."""
    measured: dict[str, Measured] = {}
    with FakeStripe(objects.shapes(), invoices) as stripe:
        print(f"{invoices:,} invoices, rounds: {rounds}", flush=True)
        for kind in databases:
            with contextlib.ExitStack() as stack:
                templates = {}
                for name in systems:
                    try:
                        templates[name] = stack.enter_context(prepared(SYSTEMS[name], DATABASES[kind]))
                    except Unavailable as reason:
                        print(f"SKIPPED {name} on {kind}: {reason}", file=sys.stderr, flush=True)
                here = measured[kind] = Measured({name: [] for name in templates})
                for number in range(rounds):
                    for name in list(here.results) if number % 2 == 0 else list(here.results)[::-1]:
                        system = SYSTEMS[name](templates[name].copy(), stripe.port)
                        try:
                            if name == "ours" and not here.shell:
                                here.shell = idle_shell(system)
                            result = measure(system, stripe)
                        except RuntimeError as reason:
                            leave_out(name, kind, reason, here.results)
                            continue
                        finally:
                            system.__exit__()
                        here.results[name].append(result)
                        print(f"{kind:10} round {number + 1}: {describe(name, result, here.shell)}", flush=True)
            print_ratios(kind, here.results, "seconds")
    return measured


def describe(name: str, result: Result, shell: int) -> str:
    calls = ", ".join(f"{path.split()[-1]} {number}" for path, number in sorted(result.calls.items()))
    above = f" ({(result.peak - shell) / 2**20:+,.0f} MiB beside an idle shell)" if name == "ours" and shell else ""
    return (
        f"{name:12} {result.seconds:6.1f} s, all invoices after {result.until_invoices:6.1f} s; "
        f"CPU {result.cpu:.1f} s; "
        f"peak {result.peak / 2**20:,.0f} MiB{above}; {sum(result.calls.values()):,} calls: {calls}"
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--invoices", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--databases", nargs="+", choices=list(DATABASES), default=list(DATABASES))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports")
    options(parser)
    given = parser.parse_args(words)
    end_when_told()
    run(given.systems, given.databases, given.invoices, given.rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
