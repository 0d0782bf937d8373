"""Whose the database is. A demo works only on one that a demo of the same data folder made, and marks it as its own.

The mark is a table that no model has, with the id from the folder's `secrets.json`. It is the first thing that is
written into an empty database, so that a demo which is killed while it makes the tables finds its own again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.management import CommandError
from django.db import Error as DatabaseError
from django.db import connection, transaction
from knox.crypto import hash_token

MARK = "invoice_desk_demo"
Rows = list[tuple[Any, ...]]


def claim(folder: Path, demo_id: str, api_token: str) -> None:
    """Marks an empty database; leaves one with this demo's mark as it is. Raises CommandError for every other one.

    Before the mark nothing is written, not even by opening a file of SQLite.
    """
    try:
        tables = _tables()
        if MARK in tables:
            _refuse_another_demo(demo_id)
        elif not tables or _of_an_older_demo(folder, tables, api_token):
            _mark(folder, demo_id)
        else:
            raise CommandError(
                f"{_name()} has {len(tables)} tables that no demo made, and the demo leaves it alone. It works only on "
                "a database that it made itself. Name one that is empty (--database URL), or leave --database out; for "
                "a database file that is in the way, choose another --data-dir."
            )
    except (DatabaseError, sqlite3.Error) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise CommandError(f"{_name()} cannot be used: {said[0]}") from None


def _name() -> str:
    """The database in words, without its password."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"The database {settings['NAME']}"
    return f"The database {settings['NAME']} at {settings['HOST'] or 'localhost'}:{settings['PORT'] or 5432}"


def _tables() -> set[str]:
    """The names of all tables, views and the like that are not the server's own, whatever schema they are in."""
    if connection.vendor == "sqlite":
        return {name for (name,) in _look("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'")}
    return {
        name
        for (name,) in _look(
            "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relkind IN "
            "('r', 'p', 'v', 'm', 'f') AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'"
        )
    }


def _look(query: str) -> Rows:
    """The rows of a query that changes nothing.

    A file of SQLite is opened for reading only. Django would turn it into one with a write-ahead log by opening it.
    """
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as file:
            return file.execute(query).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _refuse_another_demo(demo_id: str) -> None:
    marks = _look(f"SELECT demo, folder FROM {MARK}")  # noqa: S608
    if [demo for demo, _ in marks] != [demo_id]:
        where = ", ".join(folder for _, folder in marks) or "unknown"
        raise CommandError(
            f"{_name()} belongs to the demo of another data folder ({where}): give that one as --data-dir, or name an "
            "empty database."
        )


def _of_an_older_demo(folder: Path, tables: set[str], api_token: str) -> bool:
    """Whether it is the folder's own file, from before demos marked theirs: it knows the folder's API token."""
    is_own_file = connection.vendor == "sqlite" and Path(connection.settings_dict["NAME"]).parent == folder
    if not (is_own_file and "invoices_apitoken" in tables):
        return False
    return (hash_token(api_token),) in _look("SELECT digest FROM invoices_apitoken")


def _mark(folder: Path, demo_id: str) -> None:
    # Not IF NOT EXISTS: of two demos that find the same database empty, only one may get it.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {MARK} (demo text NOT NULL, folder text NOT NULL)")
        cursor.execute(f"INSERT INTO {MARK} VALUES (%s, %s)", [demo_id, os.fspath(folder)])  # noqa: S608
