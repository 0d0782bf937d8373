"""A list as a file in the background: how long it takes, how much the database holds of it, and what the worker needs.

    DATABASE_URL=postgresql://… python -m benchmarks.exports [--invoices 1000000]

Fills a fresh database (PostgreSQL) with invoices, and has a tenth of them and then all of them prepared as CSV and as
XLSX, each in a process of its own, as the worker does. Prints rows a second, sizes, and the memory that the process
held at most above what it held before: it must not grow with the rows.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from benchmarks.setting import database

SPAN = timedelta(days=730)
KIB = 1024


def main(invoices: int) -> None:
    from django.contrib.auth.models import User

    from tests.helpers.database import without_triggers
    from tests.helpers.many_rows import Sizes, fill

    person = User.objects.create_superuser("exports", "exports@example.com", "a long enough password")
    begin = datetime.now(UTC).replace(microsecond=0) - SPAN
    with without_triggers():
        fill(Sizes.of(invoices, invoices // 5, 1000, begin, SPAN, fewest=1000), person.pk)
    first = begin + SPAN * 9 / 10
    for query in (f"created_from={first:%Y-%m-%d}", ""):
        for format in ("csv", "xlsx"):
            in_a_process(person.pk, query, format)


def in_a_process(person: int, query: str, format: str) -> None:
    """A process of its own, so that the most memory it held is this file's."""
    from django.db import connection

    connection.close()
    cast(Any, connection).close_pool()  # otherwise both processes would speak on one connection
    if (child := os.fork()) == 0:
        try:
            prepare(person, query, format)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def prepare(person: int, query: str, format: str) -> None:
    from django.contrib.auth.models import User

    from invoices import exports

    owner = User.objects.get(pk=person)
    export = exports.ask(
        owner, "list.invoice", {"query": query}, format=format, title="Invoices", file_name=f"invoices.{format}"
    )
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    exports.run_due()
    took = time.perf_counter() - began
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / KIB
    export.refresh_from_db()
    print(
        f"{format:5} {export.state} {export.rows:>9,} rows {took:7.1f} s {export.rows / took:8,.0f} rows/s   "
        f"file {export.size / 1e6:7.1f} MB, in the database {export.stored / 1e6:6.1f} MB   "
        f"memory {more:5.1f} MiB more {export.error}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports")
    parser.add_argument("--invoices", type=int, default=1_000_000)
    with database():
        main(parser.parse_args().invoices)
