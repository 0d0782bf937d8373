"""Every page at a million invoices: lists, filters, orders, searches, sums, files, forms and pages of the admin, and
the API's lists, over few rows and over many.

    DATABASE_URL=postgresql://… python -m benchmarks.pages [--small 1000] [--large 1000000] [--events 2] [--draws 15]
        [--only EXPRESSION] [--keep] [--explain]

Makes two databases on the server of DATABASE_URL (PostgreSQL), `<name>_pages_small` and `<name>_pages_large`, fills
them by `generate_series` with Stripe's objects of real size, and asks both for the same addresses in turns, in the same
run. Of each address other rows are drawn each time. An address is asked `--repeats` times (3) and the quickest counts,
because other work on the machine interrupts the others; the first answer to each draw is never the quickest, so this
measures tables that are in memory. Prints the medians of both, their ratio, how much longer the reply is (of few rows a
rare value fills no page), the database's share, and the blocks of tables and indexes that one request touches, worst
ratio first.

`--events` is the number of events (and of links of the journal's chain) for each invoice. `--keep` leaves the databases
for the next run. `--explain` prints the plans of what is above the goal.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from urllib.parse import urlsplit, urlunsplit

GOAL = 1.5  # the median over many rows, by the one over few
SPAN = timedelta(days=730)


# --- one database -----------------------------------------------------------------------------------------------------


class Desk:
    """The desk on the database of DATABASE_URL, in this process: filled, and asked without a web server."""

    def __init__(self, invoices: int, events: int) -> None:
        import benchmarks.setting  # noqa: F401
        from tests.helpers.many_rows import Addresses, Sizes

        begin = datetime.now(UTC).replace(microsecond=0) - SPAN
        self.sizes = Sizes.of(invoices, invoices // 5, events, begin, SPAN, fewest=1000)
        self.random = random.Random(1)
        self.addresses = Addresses(self.sizes, lambda of: self.random.randint(1, of))
        self.sent = 0.0

    def prepare(self) -> None:
        """Migrates and fills, unless an earlier run has done so; signs in."""
        from django.conf import settings
        from django.contrib.auth.models import User
        from django.core.management import call_command
        from django.db import connection
        from django.test import Client

        from invoices.models import ApiToken, Invoice

        settings.ALLOWED_HOSTS = ["testserver"]  # as Django's test client calls it
        call_command("migrate", verbosity=0)
        if not Invoice.objects.exists():
            self._fill()
        user = User.objects.get(username="lists")
        key = ApiToken.objects.create(user, name="reading", created_by=user)[1]
        self.browser, self.api = Client(), Client(headers={"Authorization": f"Bearer {key}"})
        self.browser.force_login(user)
        connection.execute_wrappers.append(self._timed)

    def _fill(self) -> None:
        from django.contrib.auth.models import User
        from django.db import connection

        from invoices.models import partitions
        from tests.helpers.database import without_triggers
        from tests.helpers.many_rows import fill

        user = User.objects.create_superuser("lists", password="x")
        began = time.perf_counter()

        def told(table: str) -> None:
            print(f"  {table:32} {time.perf_counter() - began:6.0f} s", file=sys.stderr, flush=True)

        with connection.cursor() as cursor:
            cursor.execute(
                "SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET statement_timeout = 0"
            )
            cursor.execute(
                "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
                "JOIN pg_class ON pg_class.oid = indrelid LEFT JOIN pg_constraint ON conindid = indexrelid "
                "WHERE relname LIKE 'invoices%%' AND NOT relispartition AND NOT indisunique AND conindid IS NULL"
            )
            indexes = cursor.fetchall()
            for name, _ in indexes:  # made afterwards, in a fraction of the time
                cursor.execute(f"DROP INDEX {name}")
            with without_triggers():
                fill(self.sizes, user.pk, _bodies(), told)
            for _, definition in indexes:
                cursor.execute(definition.replace(" ON ONLY ", " ON "))
            told("indexes")
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("RESET ALL")
            told("vacuum")
        assert partitions.of(connection, partitions.EVENTS)

    def _timed(self, execute: Any, *args: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(*args)
        finally:
            self.sent += time.perf_counter() - began

    def ask(self, address: str, repeats: int) -> dict[str, Any]:
        """The quickest of so many answers: milliseconds of all, and of waiting for the database."""
        from tests.helpers.many_rows import get

        client = self.api if address.startswith("/v1/") else self.browser
        found = []
        for _ in range(repeats):
            self.sent, began = 0.0, time.perf_counter()
            status, content = get(client, address)
            found.append((1000 * (time.perf_counter() - began), 1000 * self.sent))
        whole, database = min(found)
        return {"status": status, "whole": whole, "database": database, "length": len(content)}

    def blocks(self, address: str) -> int:
        """How many blocks of tables and indexes its statements touch: a figure that other work on the machine does not
        change."""
        return sum(_blocks(plan) for _, plan in self._plans(address, "ANALYZE, BUFFERS, FORMAT JSON"))

    def _plans(self, address: str, options: str) -> Iterator[tuple[str, Any]]:
        """The statements of this address, each with what EXPLAIN says of it."""
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        from tests.helpers.many_rows import get

        client = self.api if address.startswith("/v1/") else self.browser
        with CaptureQueriesContext(connection) as captured:
            get(client, address)
        for query in captured.captured_queries:
            if query["sql"].startswith("SELECT"):
                with connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN ({options}) {query['sql']}")
                    yield query["sql"], [row[0] for row in cursor.fetchall()]

    def explain(self, address: str) -> list[str]:
        """The statements of this address that take a millisecond or more, each with its plan."""
        return [
            "\n".join([sql[:1500], *lines])
            for sql, lines in self._plans(address, "ANALYZE, BUFFERS")
            if sum(float(line.split()[2]) for line in lines if line.startswith(("Planning Time", "Execution Time")))
            >= 1
        ]


def _blocks(plan: Any) -> int:
    top = (json.loads(plan[0]) if isinstance(plan[0], str) else plan[0])[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def _bodies() -> Any:
    """Stripe's objects of real size, from the sandbox, with the number of the row where their ids are."""
    from django.conf import settings

    from benchmarks.setting import sandbox
    from tests.helpers.many_rows import Bodies

    with sandbox(20) as stripe:
        client = stripe.client()

        def one(path: str, **params: Any) -> dict[str, Any]:
            return client.raw_request("get", path, limit=1, **params).data["data"][0]

        invoice, payment = one("/v1/invoices"), one("/v1/invoice_payments")
        intent, customer = one("/v1/payment_intents"), one("/v1/customers")
        event = {
            "id": "evt_",
            "object": "event",
            "type": "invoice.paid",
            "api_version": settings.STRIPE_API_VERSION,
            "created": invoice["created"],
            "livemode": False,
            "data": {"object": {**invoice, "status": "paid"}, "previous_attributes": {"status": "open"}},
            "request": {"id": None, "idempotency_key": None},
        }
        found = Bodies(*(json.dumps(each) for each in (customer, invoice, payment, intent, event)))
        ids = {each["id"]: f"{each['id'].partition('_')[0]}_@n@" for each in (invoice, payment, intent, customer)}
        ids['"evt_"'] = '"evt_@n@"'

    def numbered(body: str) -> str:
        for id, marked in ids.items():
            body = body.replace(id, marked)
        return body

    return Bodies(**{name: numbered(body) for name, body in vars(found).items()})


def serve(invoices: int, events: int) -> None:
    """Answers the lines of the standard input: an address, how often; one JSON document a line."""
    desk = Desk(invoices, events)
    desk.prepare()
    logging.disable(logging.CRITICAL)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["what"] == "addresses":
            answer: Any = desk.addresses.all()
        elif asked["what"] == "explain":
            answer = desk.explain(asked["address"])
        elif asked["what"] == "blocks":
            answer = {"blocks": desk.blocks(asked["address"])}
        else:
            answer = desk.ask(asked["address"], asked["repeats"])
        print(json.dumps(answer), flush=True)


# --- both -------------------------------------------------------------------------------------------------------------


class Side:
    """A process with one of the two databases."""

    def __init__(self, url: str, invoices: int, events: int) -> None:
        command = [sys.executable, "-m", "benchmarks.pages", "--serve", "--large", str(invoices)]
        self.process = subprocess.Popen(
            [*command, "--events", str(events)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"DATABASE_URL": url},
        )

    def __enter__(self) -> Side:
        while (line := self._line()) != "ready":
            print(line)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("A desk ended.")
        return line.rstrip("\n")

    def __call__(self, what: str, **asked: Any) -> Any:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"what": what, **asked}) + "\n")
        self.process.stdin.flush()
        while not (line := self._line()).startswith(("{", "[")):  # a log line
            pass
        return json.loads(line)


def compare(small: Side, large: Side, draws: int, repeats: int, only: str) -> dict[str, dict[str, Any]]:
    """What is asked for → the medians of both sides, and the address that was the slowest over many rows."""
    times: dict[str, dict[str, Any]] = {}
    for draw in range(draws):
        asked = small("addresses"), large("addresses")
        for name in asked[0]:
            if not re.search(only, name):
                continue
            of = times.setdefault(name, {"small": [], "large": [], "status": set()})
            for side, which, addresses in ((small, "small", asked[0]), (large, "large", asked[1])):
                answer = side("ask", address=addresses[name], repeats=repeats)
                of[which].append((answer["whole"], answer["database"], addresses[name]))
                of["status"].add(answer["status"])
                of.setdefault(f"{which}_length", []).append(answer["length"])
                if draw == 0:
                    of[f"{which}_blocks"] = side("blocks", address=addresses[name])["blocks"]
    found = {}
    for name, of in times.items():
        few, many = (median([whole for whole, _, _ in of[which]]) for which in ("small", "large"))
        few_db, many_db = (median([database for _, database, _ in of[which]]) for which in ("small", "large"))
        found[name] = {
            "small": few,
            "large": many,
            "small_database": few_db,
            "large_database": many_db,
            "ratio": many / few,
            "longer": max(of["large_length"]) / max(*of["small_length"], 1),
            "blocks": (of["small_blocks"], of["large_blocks"]),
            "status": sorted(of["status"]),
            "slowest": max(of["large"])[2],
        }
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    print(f"{'median, milliseconds':68} {'few':>8} {'many':>8} {'ratio':>6} {'longer':>6}  of it database   blocks")
    for name, of in sorted(found.items(), key=lambda each: -each[1]["ratio"]):
        status = "" if of["status"] in ([200], [404], [302]) else f"  {of['status']}"
        print(
            f"{name[:68]:68} {of['small']:8.1f} {of['large']:8.1f} {of['ratio']:6.2f} {of['longer']:6.2f} "
            f"{of['small_database']:6.1f} {of['large_database']:6.1f}  {of['blocks'][0]:5} {of['blocks'][1]:5}{status}"
        )
    ratios = [of["ratio"] for of in found.values()]
    above = [of for of in found.values() if of["ratio"] > GOAL]
    alike = sum(of["longer"] < 1.1 for of in above)
    print(
        f"{len(ratios)} addresses; above {GOAL}: {len(above)}, of which {alike} have replies of the same length; "
        f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--events", type=float, default=2)
    parser.add_argument("--draws", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="a regular expression that names what is asked")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.large, int(options.events))
        return
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        raise SystemExit("NOT MEASURED: this needs PostgreSQL; set DATABASE_URL.")
    with ExitStack() as stack:
        sides = []
        for name, invoices in (("small", options.small), ("large", options.large)):
            database = _make(url, name, stack, options.keep)
            sides.append(stack.enter_context(Side(database, invoices, int(invoices * options.events))))
        found = compare(sides[0], sides[1], options.draws, options.repeats, options.only)
        show(found)
        if options.explain:
            for name, of in sorted(found.items(), key=lambda each: -each[1]["ratio"]):
                if of["ratio"] > GOAL:
                    print(f"\n=== {name}: {of['slowest']}")
                    print("\n\n".join(sides[1]("explain", address=of["slowest"])))


def _make(url: str, name: str, stack: ExitStack, keep: bool) -> str:
    """The address of a database of this name, which goes away with the stack unless it is kept."""
    import psycopg

    parts = urlsplit(url)
    database = f"{parts.path.lstrip('/')}_pages_{name}"
    with psycopg.connect(url, dbname="postgres", autocommit=True) as server:
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            server.execute(f'CREATE DATABASE "{database}"')

    def drop() -> None:
        with psycopg.connect(url, dbname="postgres", autocommit=True) as server:
            server.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    if not keep:
        stack.callback(drop)
    return urlunsplit(parts._replace(path=f"/{database}"))


if __name__ == "__main__":
    main()
