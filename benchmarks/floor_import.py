"""The floor of an import: lists Stripe's invoices, and upserts them with their lines. Nothing else.

    python benchmarks/floor_import.py postgresql://… | FILE.sqlite3   http://127.0.0.1:PORT

One connection, page after page, a transaction each. The tables are made by `benchmarks/systems.py`.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
from typing import Any
from urllib.parse import urlsplit

LINES = "CREATE TABLE line (id text PRIMARY KEY, invoice text, amount bigint, data text)"
INVOICE = (
    "INSERT INTO invoice (id, status, created, data) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
    " SET status = excluded.status, created = excluded.created, data = excluded.data"
)
LINE = (
    "INSERT INTO line (id, invoice, amount, data) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
    " SET invoice = excluded.invoice, amount = excluded.amount, data = excluded.data"
)


def main(database: str, stripe: str) -> None:
    if database.startswith("postgres"):
        import psycopg

        with psycopg.connect(database) as connection, connection.cursor() as cursor:
            for invoices, lines in pages(stripe):
                cursor.executemany(INVOICE, invoices)
                cursor.executemany(LINE, lines)
                connection.commit()
        return
    file = sqlite3.connect(database, isolation_level=None)
    file.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728;")
    for invoices, lines in pages(stripe):
        file.execute("BEGIN IMMEDIATE")
        file.executemany(INVOICE.replace("%s", "?"), invoices)
        file.executemany(LINE.replace("%s", "?"), lines)
        file.execute("COMMIT")


def pages(stripe: str) -> Any:
    """The rows of each page: the invoices', the lines'."""
    connection, after = http.client.HTTPConnection(urlsplit(stripe).netloc), ""
    while True:
        connection.request("GET", f"/v1/invoices?limit=100{after}", headers={"Authorization": "Bearer sk_test_floor"})
        page = json.loads(connection.getresponse().read())
        yield (
            [(each["id"], each["status"], each["created"], text(each)) for each in page["data"]],
            [
                (line["id"], each["id"], line["amount"], text(line))
                for each in page["data"]
                for line in each["lines"]["data"]
            ],
        )
        if not page["has_more"]:
            return
        after = f"&starting_after={page['data'][-1]['id']}"


def text(found: Any) -> str:
    return json.dumps(found, separators=(",", ":"))


if __name__ == "__main__":
    main(*sys.argv[1:])
