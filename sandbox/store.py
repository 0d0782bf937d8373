"""The state file, an SQLite database: each object as JSON text, with the columns by which lists are filtered.

No other module opens the file.
"""

import json
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from sandbox.schema import FILTER_COLUMNS, create_statements, table_name, value_at

StripeObject = dict[str, Any]
HIDDEN = "_"  # the member of an object for what Stripe knows and never shows, such as a source's available money
# Compact JSON, not escaped to ASCII.
dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def visible(obj: StripeObject) -> StripeObject:
    """The object as Stripe shows it: a shallow copy without the hidden member."""
    shown = obj.copy()
    shown.pop(HIDDEN, None)
    return shown


def row_of(kind: str, obj: StripeObject) -> tuple[Any, ...]:
    hidden = obj.get(HIDDEN)
    columns = [obj[path] if path in obj else value_at(obj, path) for path in FILTER_COLUMNS[kind].values()]
    return (obj["id"], *columns, dumps(hidden) if hidden else None, dumps(visible(obj)))


def insert_sql(kind: str) -> str:
    names = ["id", *FILTER_COLUMNS[kind], "hidden", "body"]
    return f"INSERT INTO {table_name(kind)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


class Database:
    """One connection to the state file. `Store.read` and `Store.write` open and end the transaction."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self.execute = connection.execute
        self.newest_created: dict[str, int] = {}  # kind → the greatest `created` so far

    def get(self, kind: str, id: str, deleted: bool = False) -> StripeObject | None:
        row = self.execute(f"SELECT body, hidden, deleted FROM {table_name(kind)} WHERE id = ?", (id,)).fetchone()
        if row is None or (row[2] and not deleted):
            return None
        obj: StripeObject = json.loads(row[0])
        if row[1]:
            obj[HIDDEN] = json.loads(row[1])
        return obj

    def visible_json(self, kind: str, id: str) -> str | None:
        row = self.execute(f"SELECT body FROM {table_name(kind)} WHERE id = ? AND deleted = 0", (id,)).fetchone()
        return row[0] if row else None

    def add(self, kind: str, obj: StripeObject) -> StripeObject:
        self.execute(insert_sql(kind), row_of(kind, obj))
        self.note_creation_order(kind, obj)
        return obj

    def note_creation_order(self, kind: str, *made: StripeObject) -> None:
        """Remember if an object is older than its predecessor: the clock was set back, or event stamps lag.

        From then on lists of this kind cannot use the row order to find a range of `created`.
        """
        path = FILTER_COLUMNS[kind].get("created")
        if path is None or not made:
            return
        if kind not in self.newest_created:
            row = self.execute(
                f"SELECT max(created) FROM {table_name(kind)} WHERE id != ?", (made[0]["id"],)
            ).fetchone()
            self.newest_created[kind] = row[0] or 0
        moments = [self.newest_created[kind], *(obj[path] for obj in made)]
        if any(later < earlier for earlier, later in pairwise(moments)):
            self.execute("INSERT OR IGNORE INTO meta VALUES (?, 'true')", (f"unordered {kind}",))
        self.newest_created[kind] = max(moments)

    def save(self, kind: str, obj: StripeObject) -> StripeObject:
        names = ["id", *FILTER_COLUMNS[kind], "hidden", "body"]
        sets = ", ".join(f"{name} = ?" for name in names)
        self.execute(f"UPDATE {table_name(kind)} SET {sets} WHERE id = ?", (*row_of(kind, obj), obj["id"]))
        return obj

    def remove(self, kind: str, id: str, stub: StripeObject) -> None:
        """Mark as deleted. The row stays, because the id of a deleted object still works as a cursor of lists."""
        self.execute(f"UPDATE {table_name(kind)} SET deleted = 1, body = ? WHERE id = ?", (dumps(stub), id))

    def position(self, kind: str, id: str) -> int | None:
        """The row number: objects of a kind are numbered in the order of their creation."""
        row = self.execute(f"SELECT seq FROM {table_name(kind)} WHERE id = ?", (id,)).fetchone()
        return row[0] if row else None

    def find(self, kind: str, order: str = "DESC", **columns: Any) -> list[StripeObject]:
        """All objects with these column values, the newest first unless `order` is ASC."""
        where = " AND ".join(f"{name} = ?" for name in columns)
        sql = f"SELECT body, hidden FROM {table_name(kind)} WHERE deleted = 0 AND {where} ORDER BY seq {order}"
        found = []
        for body, hidden in self.execute(sql, tuple(columns.values())):
            obj = json.loads(body)
            if hidden:
                obj[HIDDEN] = json.loads(hidden)
            found.append(obj)
        return found

    def setting(self, name: str) -> Any:
        row = self.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def save_setting(self, name: str, value: Any) -> None:
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, dumps(value)))

    def add_to_counter(self, name: str, n: int = 1) -> None:
        self.execute(
            "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
            (name, n),
        )


class Store:
    """The connections: any number of readers at the same time, and one writer, so that effects never overlap."""

    def __init__(self, path: Path):
        self.path = path
        self._writing = threading.RLock()
        self._writer = Database(self._connect())
        self._readers: queue.LifoQueue[Database] = queue.LifoQueue()
        for statement in create_statements():
            self._writer.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # safe if the process is killed; only a power cut can lose commits
        connection.execute("PRAGMA cache_size = -8000")
        return connection

    @contextmanager
    def write(self) -> Iterator[Database]:
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[Database]:
        try:
            db = self._readers.get_nowait()
        except queue.Empty:
            db = Database(self._connect())
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")
            self._readers.put(db)

    def wipe(self) -> None:
        with self.write() as db:
            db.newest_created.clear()
            for kind in FILTER_COLUMNS:
                db.execute(f"DELETE FROM {table_name(kind)}")
            for name in ("counter", "charged", "idempotency", "timer", "delivery", "meta"):
                db.execute(f"DELETE FROM {name}")
