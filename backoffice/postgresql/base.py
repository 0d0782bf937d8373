"""Django's PostgreSQL, whose pool hands out no connection that the server has closed."""

from __future__ import annotations

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.backends.postgresql.psycopg_any import register_tzloader
from psycopg.types.datetime import TimestamptzLoader


class _PreparedCursor(psycopg.Cursor[Any]):
    def execute(self, *given: Any, **options: Any) -> Any:
        return super().execute(*given, **{**options, "prepare": True})


class _Operations(DatabaseOperations):
    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> str:
        """Of a prepared statement psycopg keeps no text: then the one without its parameters."""
        return super().last_executed_query(cursor, sql, params) or str(sql)


class DatabaseWrapper(base.DatabaseWrapper):
    """As Django's own. Django's way is a round trip for each request (CONN_HEALTH_CHECKS)."""

    ops_class = _Operations

    def get_new_connection(self, conn_params: Any) -> Any:
        """A connection of the pool that is alive. After the server was away all that are idle are dead, and the first
        one that is found dead empties the pool, so that nobody meets one after the other."""
        while True:
            connection = super().get_new_connection(conn_params)
            pool = self.pool
            if pool is None or not _has_ended(connection):
                return connection
            connection.close()
            pool.drain()
            pool.putconn(connection)  # which makes a new one in its place

    def binding_cursor(self) -> Any:
        """For statements about many rows: it sends parameters apart from the statement, `%b` in binary, where Django's
        own cursors quote each value into the text. And it reads moments in C, where Django's own loader is Python."""
        self.ensure_connection()
        with self.wrap_database_errors:
            cursor: Any = psycopg.Cursor(self.connection)
            cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
            return self._prepare_cursor(cursor)  # type: ignore[attr-defined]

    def prepared_cursor(self) -> Any:
        """As `cursor()`, for statements that every request sends: the server parses and plans each once for a
        connection, and not once for a request. Their parameters are bound by the server."""
        self.ensure_connection()
        cursor = _PreparedCursor(self.connection)
        loader = self.connection.adapters.get_loader(base.TIMESTAMPTZ_OID, psycopg.pq.Format.TEXT)
        if self.timezone != loader.timezone:
            register_tzloader(self.timezone, cursor)  # as in `create_cursor`
        return self._prepare_cursor(cursor)  # type: ignore[attr-defined]


def _has_ended(connection: Any) -> bool:
    """Whether the server has said goodbye or hung up. It says nothing else to an idle connection that listens to no
    channel, so something to be read is enough; and looking costs no round trip."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
