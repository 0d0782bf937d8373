"""docs/faults.md, written from results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.faults.bench import Result
from tests.faults.cases import FAULTS, Length

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "faults.md"
WITHIN = ((10, "10 s"), (30, "30 s"), (60, "a minute"), (120, "two minutes"), (300, "five minutes"))

HEAD = """\
# Faults that were tried

`make faults` breaks one thing after the other under a running installation, and writes this page; `make faults
ARGS=redis` plays those with that word in their name, and writes nothing. Each fault has servers of its own: PostgreSQL,
Redis or RabbitMQ, the sandbox in the place of Stripe, web processes, workers and beat, started by the lines of the
[README](../README.md) and started again when they end, as a supervisor does. The database role is the one of
[operating.md](operating.md#two-roles-in-postgresql), which owns nothing. Meanwhile two clients make invoices at Stripe,
whose webhooks arrive, and have them paid through the API, each with one idempotency key until it has a definite answer.

After every fault of the table these promises were held against what was there, and were kept:

- nothing is under way any more, and every process is at work again, within five minutes;
- after `reconcile --full`, `reconcile --verify` says equal; every event of Stripe's is in the journal; `journal verify`
  finds it whole;
- no invoice was charged twice, by the sandbox's own books; what a client was told is paid, is paid; what the journal
  says succeeded was charged, and what was charged stands in the journal, but for what a lost database had not kept;
- every client had a definite answer.

*Settled within* is counted from the end of the fault, and includes the six seconds for which the load still goes on. An
operation whose process or database went away meanwhile is settled when its claim of two minutes has lapsed.
"""

FOOT = """
## What was not tried

{untried}
"""
UNTRIED = [
    "Clocks are wrong in the processes (`time.time`, `datetime.now`), not in their operating system.",
    "Two hosts are two network namespaces of one machine. No machine was switched off.",
]


def render(results: Mapping[str, Result], length: Length, skipped: Iterable[str]) -> str:
    """The page. What was not played is said to be untried."""
    lines = [
        "",
        "| fault | what was done | what was promised | what happened | settled within |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        fault = FAULTS[name]
        happened = f"kept, with {result.paid} payments and {result.events} events" + "".join(
            f"; {note}" for note in dict.fromkeys(result.notes)
        )
        within = next(words for seconds, words in WITHIN if result.seconds <= seconds)
        lines.append(f"| `{name}` | {fault.done.format(**vars(length))} | {fault.promised} | {happened} | {within} |")
    missing = [f"`{name}` was not played." for name in FAULTS if name not in results]
    untried = "\n".join(f"- {each}" for each in [*skipped, *missing, *UNTRIED])
    return HEAD + "\n".join(lines) + "\n" + FOOT.format(untried=untried)
