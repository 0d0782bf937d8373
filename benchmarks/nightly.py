"""What a night costs: the first import, a night without changes, and a night with some, of a large account.

    python -m benchmarks.nightly --invoices 20000

For each run: requests to Stripe, seconds of CPU and of the clock, peak memory above a process that does nothing, and
the rows of invoices that were written. Then what follows for 1 and 5 million, at 10 and at 80 requests a second.
The database is DATABASE_URL's server, or SQLite. A million invoices need 1.5 GB of memory for the sandbox, and an hour.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db import connection

from benchmarks.setting import database, sandbox
from benchmarks.systems import end_of
from invoices.models import MIRRORED, Invoice, ReconciliationRun
from tests.helpers.commands import database_url
from tests.sandbox_process import ROOT, SandboxProcess

RATES = (10, 80)  # requests a second
SIZES = (1_000_000, 5_000_000)  # invoices
RECENT_SHARE = 30 / 365  # of a year's invoices; the table assumes an account of two years
YEARS = 2


@dataclass(frozen=True)
class Cost:
    requests: int
    pages_needed: int
    cpu: float
    seconds: float
    rss: float  # MiB
    written: int  # rows of invoices
    seen: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invoices", type=int, default=5_000)
    parser.add_argument("--changed", type=int, default=100, help="invoices that are paid before the last run")
    given = parser.parse_args()
    with database(), sandbox(given.invoices) as process:
        idle = _command(process, "shell", "-c", "pass")[1]
        print(f"a process that does nothing: {idle:.0f} MiB\n")
        names = ("seen", "requests", "pages", "CPU s", "s", "MiB more", "written")
        print(f"{'':32}" + "".join(f"{name:>10}" for name in names))
        first = _measured(process, idle, "first import", "--full")
        _measured(process, idle, "full again, nothing changed", "--full")
        _measured(process, idle, "sweep, nothing changed")
        _pay(process, given.changed)
        _measured(process, idle, f"full, {given.changed} paid meanwhile", "--full")
        _compute(first)


def _measured(process: SandboxProcess, idle: float, label: str, *options: str) -> Cost:
    before, rows = Counter(process.stats()["requests"]), _versions()
    started = time.monotonic()
    cpu, rss = _command(process, "reconcile", *options)
    seconds = time.monotonic() - started
    requests = (Counter(process.stats()["requests"]) - before).total()
    now = _versions()
    run = ReconciliationRun.objects.exclude(kind="catch_up").latest("started_at")
    pages = sum(math.ceil(model.objects.count() / 100) for model in MIRRORED.values()) if "--full" in options else 0
    written = sum(rows.get(id) != version for id, version in now.items())
    cost = Cost(requests, pages, cpu, seconds, rss - idle, written, run.seen)
    print(
        f"{label:32}{cost.seen:10,}{requests:10,}{pages or '':>10}{cpu:10.1f}{seconds:10.1f}"
        f"{cost.rss:10.0f}{written:10,}",
        flush=True,
    )
    return cost


def _versions() -> dict[str, Any]:
    """What is another after a row was written: on PostgreSQL its transaction, on SQLite its moments."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id, xmin::text FROM {Invoice._meta.db_table}")
            return dict(cursor.fetchall())
    return {id: rest for id, *rest in Invoice.rows.values_list("id", "stored_at", "seen_since", "seen_until")}


def _command(process: SandboxProcess, *words: str) -> tuple[float, float]:
    """(CPU seconds, peak memory in MiB) of `manage.py …`."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database_url(),
        "STRIPE_API_BASE": process.url,
        "STRIPE_SECRET_KEY": process.key,
        "STRIPE_REQUESTS_PER_SECOND": "0",
    }
    command = subprocess.Popen(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cpu, peak = end_of(command)
    if command.returncode not in (0, 3):
        raise SystemExit(f"{words} ended with {command.returncode}")
    return cpu, peak / 2**20


def _pay(process: SandboxProcess, number: int) -> None:
    client = process.client()
    page = json.loads(client.raw_request("get", "/v1/invoices", status="open", limit=min(number, 100)).body)
    for invoice in page["data"]:
        client.raw_request("post", f"/v1/invoices/{invoice['id']}/pay", paid_out_of_band=True)


def _compute(first: Cost) -> None:
    """Requests follow from the numbers of objects alone; CPU and rows from what was measured for one object."""
    each = first.seen / max(first.written, 1)  # objects for each invoice
    cpu = first.cpu / first.seen
    print("\ncomputed, for an account of two years without long invoices:")
    names = ["requests", *(f"min at {rate}/s" for rate in RATES), "CPU min"]
    print(f"{'':36}" + "".join(f"{name:>14}" for name in names))
    for size in SIZES:
        objects = size * each
        recent = size / YEARS * RECENT_SHARE * 2  # with their payments
        for what, count, windows in (
            ("first import, full run", objects, 10 + objects / 100 / 80),
            ("a night's part", objects / 28, 4 * (13 * YEARS + 1) + 10),
            ("a night's sweep", recent, 6 + 10),
        ):
            requests = math.ceil(count / 100 + windows)
            minutes = "".join(f"{requests / rate / 60:14.1f}" for rate in RATES)
            print(f"{size:<12,}{what:24}{requests:14,}{minutes}{count * cpu / 60:14.1f}")


if __name__ == "__main__":
    main()
