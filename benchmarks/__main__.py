"""`make bench`: everything, and the report of it; or one benchmark: `make bench ARGS="door --rounds 1"`.

    python -m benchmarks [all] [--rounds 5] [--events 5000] [--invoices 2000] [--imported 20000]
                         [--databases …] [--systems …] [--without growth smaller]
    python -m benchmarks door | imports | bulk | events | hung | reads_per_event [its own arguments]
    python -m benchmarks report

All of it writes benchmarks/RESULTS.md and its plots after each part. The figures of every round are kept in the cache
folder (benchmarks/peers/__init__.py), from where `report` writes them again.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

from benchmarks import door, imports, report
from benchmarks.systems import DATABASES, ROOT, end_when_told

ALONE = ("door", "imports")
SMALLER = ("events", "bulk", "hung", "reads_per_event")  # each prints a few lines
PARTS = ("door", "imports", "growth", "smaller")
GROWTH_SYSTEMS = ["ours", "floor", "supabase"]
GROWTH = (0.25, 0.5, 1, 2, 4)  # times the number of invoices that is measured in full
GROWTH_ROUNDS = 3


def everything(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=5000, help="that the door takes in each round")
    parser.add_argument("--invoices", type=int, default=2000, help="which those events are of")
    parser.add_argument("--imported", type=int, default=20_000, help="invoices that are imported in each round")
    parser.add_argument("--databases", nargs="+", choices=list(DATABASES), default=list(DATABASES))
    parser.add_argument("--systems", nargs="+", choices=list(door.SYSTEMS), default=list(door.SYSTEMS))
    parser.add_argument("--without", nargs="+", choices=PARTS, default=[], help="parts that are left out")
    given = parser.parse_args(words)
    end_when_told()
    report.begin(given)
    if "door" not in given.without:
        report.keep("door", door.run(given.systems, given.databases, given.events, given.invoices, given.rounds))
    if "imports" not in given.without:
        report.keep("imports", imports.run(given.systems, given.databases, given.imported, given.rounds))
    if "growth" not in given.without:
        systems, databases = [name for name in GROWTH_SYSTEMS if name in given.systems], given.databases[:1]
        rounds = min(given.rounds, GROWTH_ROUNDS)
        report.keep(
            "door growth",
            {
                times: door.run(systems, databases, int(given.events * times), int(given.invoices * times), rounds)
                for times in GROWTH
            },
        )
        report.keep(
            "import growth",
            {times: imports.run(systems, databases, int(given.imported * times), rounds) for times in GROWTH},
        )
    if "smaller" not in given.without:
        report.keep("smaller", {name: smaller(name) for name in SMALLER})


def smaller(name: str) -> str:
    """What this benchmark prints. Raises CalledProcessError where it fails."""
    print(f"{name} …", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="", flush=True)
    return done.stdout


def main(words: list[str]) -> None:
    name, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else ("all", words)
    if name == "all":
        everything(rest)
    elif name == "report":
        report.write()
    elif name in ALONE:
        importlib.import_module(f"benchmarks.{name}").main(rest)
    elif "__main__" in (path.read_text() if (path := ROOT / "benchmarks" / f"{name}.py").is_file() else ""):
        command = [sys.executable, "-m", f"benchmarks.{name}", *rest]
        raise SystemExit(subprocess.run(command, cwd=ROOT, check=False).returncode)
    else:
        raise SystemExit(f"There is no benchmark {name}: {', '.join(('all', *ALONE, *SMALLER, 'report'))}.")


if __name__ == "__main__":
    main(sys.argv[1:])
