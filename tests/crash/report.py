"""docs/crash-matrix.md: written from results, and read again to hold a later run against it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.crash.bench import Result
from tests.crash.cases import POINTS, SAYS, Case

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "crash-matrix.md"

HEAD = """\
# The crash matrix

An action takes effect at Stripe at most once, whatever breaks. This is the proof: `make crash-matrix` plays {count}
cases and writes this page; a tenth of them runs with the tests and is held against it.

Each case is played in three processes. One performs the action on a database file or on PostgreSQL, and is killed with
SIGKILL at exactly one point. The sandbox stands for Stripe, behind a wire on which one thing goes wrong, at the first
request that reaches it. The third process survives; it settles, as a worker does, while its clock goes on. Then
Stripe's own books are read: charges, events, payment records, attached payments. Every case here ended with

- the effect once, or not at all, and never a payment reported twice;
- an operation in a final state that is true, and says whose doing it was;
- a mirror that equals Stripe, invoice and payments.

A cell says what the operation came to (`succeeded`, or the code with which it failed) and how many charges Stripe made.
Rows are what happens at the first sending; columns are the points at which the process dies. `not_applied`: Stripe's
answer under our own key was a 500, and a read begun after it, with Stripe's events, shows that nothing was done.
`invoice_changed` and `stripe_refused`: somebody else was faster.

## What happens at the first sending

{answers}

## Where the process dies

{points}
"""
SECOND_PART = """
# When the process that settles dies, too

The performer lives on and leaves an unknown outcome; the process that settles it is killed, and another one settles.
"""


def heading(case: Case) -> str:
    call = f", call {case.call} of {len(case.deed.paths)}" if len(case.deed.paths) > 1 else ""
    return f"## {'Settling: ' if case.settler else ''}{case.deed.title}{call}"


def column(case: Case) -> str:
    return case.point or "–"


def render(results: Iterable[Result]) -> str:
    tables: dict[str, dict[str, dict[str, str]]] = {}
    count = 0
    for result in results:
        count += 1
        table = tables.setdefault(heading(result.case), {})
        table.setdefault(result.case.answer, {})[column(result.case)] = result.cell
    parts = [
        HEAD.format(
            count=f"{count:,}",
            answers="\n".join(f"- `{name}`: {says}" for name, says in SAYS.items()),
            points="\n".join(f"- `{name or '–'}`: {says}" for name, says in POINTS.items()),
        )
    ]
    second = False
    for title, table in tables.items():
        if title.startswith("## Settling") and not second:
            parts.append(SECOND_PART)
            second = True
        columns = list(next(iter(table.values())))
        lines = [title, "", "| | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
        lines += [
            f"| `{answer}` | " + " | ".join(row[name] for name in columns) + " |" for answer, row in table.items()
        ]
        parts.append("\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def recorded(text: str) -> dict[tuple[str, str, str], str]:
    """Heading, row and column → cell."""
    cells: dict[tuple[str, str, str], str] = {}
    title, columns = "", []
    for line in text.splitlines():
        if line.startswith("#"):
            title, columns = line, []
        elif line.startswith("| | "):
            columns = [name.strip() for name in line.strip("| ").split("|")]
        elif line.startswith("| `"):
            answer, *row = [cell.strip() for cell in line.strip("|").split("|")]
            cells |= {(title, answer.strip("` "), name): cell for name, cell in zip(columns, row, strict=True)}
    return cells


def place(case: Case) -> tuple[str, str, str]:
    return heading(case), case.answer, column(case)
