"""python -m tests.crash: plays the whole matrix, and writes docs/crash-matrix.md."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name contains this; the page is not written then")
    parser.add_argument("--sample", type=int, default=0, help="so many, chosen at random; the page is not written then")
    parser.add_argument("--seed", type=int, default=1, help="of the choice, and of the order")
    return parser.parse_args()


def main() -> int:
    given = options()
    import django

    django.setup()
    logging.disable(logging.ERROR)
    from django.contrib.auth.models import User
    from django.db import connection
    from tqdm import tqdm

    from invoices.groups import create_groups
    from tests.crash import report
    from tests.crash.bench import Bench, can_play
    from tests.crash.cases import every_case
    from tests.sandbox_process import SandboxProcess

    every = list(every_case())
    cases = [case for case in every if given.only in case.id and can_play(case)]
    random.Random(given.seed).shuffle(cases)
    cases = cases[: given.sample or None]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    started, results = time.monotonic(), {}
    try:
        create_groups()
        actor = User.objects.create_superuser("manager", "manager@example.com", "a long enough password")
        with SandboxProcess() as sandbox, Bench(sandbox, actor) as bench:
            for case in tqdm(cases, unit=" cases", disable=not sys.stderr.isatty()):
                result = results[case] = bench.play(case)
                for problem in result.problems:
                    print(f"{case.id}: {problem}", flush=True)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    bad = sum(bool(result.problems) for result in results.values())
    took = time.monotonic() - started
    print(f"{len(results)} cases on {connection.vendor} in {took:.0f} s, {took / len(results):.2f} s each; {bad} bad.")
    if len(results) == len(every) and not bad:
        report.DOCUMENT.write_text(report.render(results[case] for case in every))
        print(f"Written to {report.DOCUMENT.relative_to(report.DOCUMENT.parent.parent)}.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
