"""docs/crash-matrix.md: written from results, and read again to hold a later run against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.crash.bench import Result
from tests.crash.cases import DESCRIPTIONS, POINTS, RESTORES, WITHDRAWALS, Case

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "crash-matrix.md"

HEAD = """\
# The crash matrix

An action takes effect at Stripe at most once, whatever breaks, and nothing is sent without authority. This is the
proof: `make crash-matrix` plays {count} cases and writes this page; a part of them runs with the tests and is held
against it.

Each case is played in three processes. One performs the action on a database file or on PostgreSQL, and is killed with
SIGKILL at exactly one point. The sandbox stands for Stripe, behind a wire on which one thing goes wrong, at the first
request that reaches it. The third process survives; it settles, as a worker does, while its clock goes on. Then
Stripe's own books are read: charges, events, payment records, attached payments. Every case here ended with

- the effect once, or not at all, and never a payment reported twice;
- a part either charged and credited to the invoice, or canceled, so that nothing can charge it later;
- an operation in a final state that is true, and says whose doing it was; or one that waits for a person's word;
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
# What stands before the first heading that begins so.
PARTS = {
    "## Settling": """
# When the process that settles dies, too

The performer lives on and leaves an unknown outcome; the process that settles it is killed, and another one settles.
""",
    "## Standing still": """
# When the authority to act goes before it is sent

Columns are the points at which the process stands, or is killed; then the authority goes; then the process goes on, or
another one settles. Without authority nothing is sent, neither for the first time nor again. What was sent before is
settled from what Stripe shows. Only a part that was not charged is canceled all the same (`expired`: after the hour in
which it could be sent). `outcome_unknown`: nothing shows whether it was sent, and it is not sent again; an hour
after the first sending a manager is asked to say what came of it. `awaiting_approval`: a second person must agree anew.

{withdrawals}

The process stands still, and goes on once the authority has gone. From `stored 1` on it is past the gate: a request
that is on its way is not called back. Of two calls, the second passes the gate by itself.
""",
    "## Dead": """
The process dies, the authority goes, and another process settles.
""",
    "## Restored": """
# When the database loses its tail

The process goes on to the end. Then the database is put back to what it was at the point, as after a failover to an
older copy. (Played on SQLite, where the database is one file.) Nothing happens a second time at Stripe: the operation
has the same id again, so Stripe gets the same key and repeats its first answer; and the journal says whose doing it
was. Only a request that waits for its approval again, on an invoice that is void, is closed without asking Stripe
(`invoice_not_open`).

{restores}
""",
}


def heading(case: Case) -> str:
    call = f", call {case.call} of {case.deed.calls}" if case.deed.calls > 1 else ""
    if case.restored:
        return f"## Restored: {case.deed.title}"
    if case.meanwhile:
        return f"## {'Standing still' if case.goes_on else 'Dead'}: {case.deed.title}"
    return f"## {'Settling: ' if case.settler else ''}{case.deed.title}{call}"


def listed(names: Mapping[str, str]) -> str:
    return "\n".join(f"- `{name or '–'}`: {description}" for name, description in names.items())


def column(case: Case) -> str:
    return case.point or "–"


def render(results: Iterable[Result]) -> str:
    tables: dict[str, dict[str, dict[str, str]]] = {}
    count = 0
    for result in results:
        count += 1
        table = tables.setdefault(heading(result.case), {})
        table.setdefault(result.case.row, {})[column(result.case)] = result.cell
    parts = [HEAD.format(count=f"{count:,}", answers=listed(DESCRIPTIONS), points=listed(POINTS))]
    to_come = dict(PARTS)
    for title, table in tables.items():
        if begin := next((begin for begin in to_come if title.startswith(begin)), None):
            parts.append(to_come.pop(begin).format(withdrawals=listed(WITHDRAWALS), restores=listed(RESTORES)))
        columns = list(next(iter(table.values())))
        lines = [title, "", "| | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
        for name, row in table.items():
            lines.append(f"| `{name}` | " + " | ".join(row.get(each, "") for each in columns) + " |")
        parts.append("\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def recorded(text: str) -> dict[tuple[str, str, str], str]:
    """Heading, row and column → cell."""
    cells: dict[tuple[str, str, str], str] = {}
    title = ""
    columns: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            title, columns = line, []
        elif line.startswith("| | "):
            columns = [name.strip() for name in line.strip("| ").split("|")]
        elif line.startswith("| `"):
            answer, *row = [cell.strip() for cell in line.strip("|").split("|")]
            named = zip(columns, row, strict=True)
            cells |= {(title, answer.strip("` "), name): cell for name, cell in named if cell}
    return cells


def place(case: Case) -> tuple[str, str, str]:
    return heading(case), case.row, column(case)
