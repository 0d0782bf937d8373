"""The one SQLite file: objects as JSON text beside the columns that lists filter by. Nothing else opens it."""

import json
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from sandbox.schema import KINDS, field, statements, table

Obj = dict[str, Any]
HIDDEN = "_"  # the member that holds what Stripe knows and does not show


dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def visible(obj: Obj) -> Obj:
    shown = obj.copy()
    shown.pop(HIDDEN, None)
    return shown


def row_of(kind: str, obj: Obj) -> tuple[Any, ...]:
    hidden = obj.get(HIDDEN)
    columns = [obj[path] if path in obj else field(obj, path) for path in KINDS[kind].values()]
    return (obj["id"], *columns, dumps(hidden) if hidden else None, dumps(visible(obj)))


def insert_sql(kind: str) -> str:
    names = ["id", *KINDS[kind], "hidden", "body"]
    return f"INSERT INTO {table(kind)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


class Db:
    """One connection, inside a transaction of somebody else's making."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self.execute = connection.execute
        self.newest: dict[str, int] = {}

    def get(self, kind: str, id: str, deleted: bool = False) -> Obj | None:
        row = self.execute(f"SELECT body, hidden, deleted FROM {table(kind)} WHERE id = ?", (id,)).fetchone()
        if row is None or (row[2] and not deleted):
            return None
        obj: Obj = json.loads(row[0])
        if row[1]:
            obj[HIDDEN] = json.loads(row[1])
        return obj

    def body(self, kind: str, id: str) -> str | None:
        row = self.execute(f"SELECT body FROM {table(kind)} WHERE id = ? AND deleted = 0", (id,)).fetchone()
        return row[0] if row else None

    def add(self, kind: str, obj: Obj) -> Obj:
        self.execute(insert_sql(kind), row_of(kind, obj))
        self.notice_order(kind, obj)
        return obj

    def notice_order(self, kind: str, *made: Obj) -> None:
        """Where order and creation disagree (a clock was set back, stamps lag), lists must look at every row."""
        path = KINDS[kind].get("created")
        if path is None or not made:
            return
        if kind not in self.newest:
            row = self.execute(f"SELECT max(created) FROM {table(kind)} WHERE id != ?", (made[0]["id"],)).fetchone()
            self.newest[kind] = row[0] or 0
        moments = [self.newest[kind], *(obj[path] for obj in made)]
        if any(later < earlier for earlier, later in pairwise(moments)):
            self.execute("INSERT OR IGNORE INTO meta VALUES (?, 'true')", (f"unordered {kind}",))
        self.newest[kind] = max(moments)

    def save(self, kind: str, obj: Obj) -> Obj:
        names = ["id", *KINDS[kind], "hidden", "body"]
        sets = ", ".join(f"{name} = ?" for name in names)
        self.execute(f"UPDATE {table(kind)} SET {sets} WHERE id = ?", (*row_of(kind, obj), obj["id"]))
        return obj

    def remove(self, kind: str, id: str, stub: Obj) -> None:
        """The row stays: the id of a deleted object still works as a cursor."""
        self.execute(f"UPDATE {table(kind)} SET deleted = 1, body = ? WHERE id = ?", (dumps(stub), id))

    def seq(self, kind: str, id: str) -> int | None:
        row = self.execute(f"SELECT seq FROM {table(kind)} WHERE id = ?", (id,)).fetchone()
        return row[0] if row else None

    def find(self, kind: str, order: str = "DESC", **columns: Any) -> list[Obj]:
        where = " AND ".join(f"{name} = ?" for name in columns)
        sql = f"SELECT body, hidden FROM {table(kind)} WHERE deleted = 0 AND {where} ORDER BY seq {order}"
        found = []
        for body, hidden in self.execute(sql, tuple(columns.values())):
            obj = json.loads(body)
            if hidden:
                obj[HIDDEN] = json.loads(hidden)
            found.append(obj)
        return found

    def meta(self, name: str) -> Any:
        row = self.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_meta(self, name: str, value: Any) -> None:
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, dumps(value)))

    def count(self, name: str, n: int = 1) -> None:
        self.execute(
            "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
            (name, n),
        )


class Store:
    """Readers run beside each other and beside the one writer; effects come one after the other."""

    def __init__(self, path: Path):
        self.path = path
        self._writing = threading.RLock()
        self._writer = Db(self._connect())
        self._readers: queue.LifoQueue[Db] = queue.LifoQueue()
        for statement in statements():
            self._writer.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA page_size = 4096")  # an invoice is longer than a page of the usual size
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; only a dead machine could
        connection.execute("PRAGMA cache_size = -8000")
        return connection

    @contextmanager
    def write(self) -> Iterator[Db]:
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[Db]:
        try:
            db = self._readers.get_nowait()
        except queue.Empty:
            db = Db(self._connect())
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")
            self._readers.put(db)

    def wipe(self) -> None:
        with self.write() as db:
            db.newest.clear()
            for kind in KINDS:
                db.execute(f"DELETE FROM {table(kind)}")
            for name in ("counter", "charged", "idempotency", "timer", "delivery", "meta"):
                db.execute(f"DELETE FROM {name}")
