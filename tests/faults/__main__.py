"""python -m tests.faults: plays every fault, or those whose name contains a word, and writes docs/faults.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.faults import report
from tests.faults.bench import Result, as_json
from tests.faults.cases import FAULTS, Length
from tests.faults.servers import CannotPlay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "words", nargs="*", help="only faults whose name contains one of these; nothing is written then"
    )
    parser.add_argument("--outage", type=float, default=Length.outage, help="seconds for which something is away")
    parser.add_argument(
        "--stripe-outage", type=float, default=Length.stripe_outage, help="seconds for which Stripe is away"
    )
    parser.add_argument("--kills", type=float, default=Length.kills, help="seconds of the random kills")
    parser.add_argument(
        "--results", type=Path, help="a file to which each is appended, and whose faults are not played"
    )
    parser.add_argument("--write", action="store_true", help="play nothing, and write the page from --results")
    given = parser.parse_args()
    length = Length(given.outage, given.stripe_outage, given.kills)
    chosen = [name for name in FAULTS if not given.words or any(word in name for word in given.words)]
    results: dict[str, Result] = {}
    skipped = []
    if given.results and given.results.exists():
        for line in given.results.read_text().splitlines():
            known = Result(**json.loads(line))
            results[known.fault] = known
    for name in [] if given.write else chosen:
        if name in results:
            continue
        print(f"{name} ...", flush=True)
        try:
            result = results[name] = FAULTS[name].play(length)
        except CannotPlay as reason:
            skipped.append(f"`{name}`: {reason}.")
            print(f"!!!! NOT DONE HERE: {name}: {reason}", flush=True)
            continue
        except Exception as error:
            result = results[name] = Result(name, problems=[f"{type(error).__name__}: {error}"])
        print(as_json(result), flush=True)
        if given.results and not result.problems:
            with given.results.open("a") as file:
                file.write(as_json(result) + "\n")
        print(f"{name}: {'; '.join(result.problems) or 'kept'}", flush=True)
    bad = [name for name, result in results.items() if result.problems]
    print(f"{len(results)} faults, {len(bad)} bad, {len(skipped)} not done here.")
    if not bad and not given.words:
        results = {name: results[name] for name in FAULTS if name in results}
        report.DOCUMENT.write_text(report.render(results, length, skipped))
        print("Written to docs/faults.md.")
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())
