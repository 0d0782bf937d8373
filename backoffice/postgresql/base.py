"""Django's PostgreSQL, whose pool hands out no connection that the server has closed."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.backends.postgresql.psycopg_any import register_tzloader
from psycopg import errors
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.datetime import TimestamptzLoader

Statement = tuple[str, Sequence[Any]]  # with $1 … for parameters, and the parameters


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

    def in_one_round_trip(self, statements: Sequence[Statement]) -> list[list[str | None]]:
        """Runs these statements, all or none, and returns for each the first column of its rows as text. Statements of
        the same text that follow each other are parsed once. Raises what the first one that fails raises.

        This is libpq's pipeline mode: between two synchronisations the statements are one transaction, or part of the
        caller's. psycopg's own takes three times the CPU, which was a third of what a webhook cost. A text goes to the
        server in binary, with its length: in libpq's text format it would end at the first NUL.
        """
        self.ensure_connection()
        self.validate_no_broken_transaction()
        with self.wrap_database_errors:
            if not self.connection.autocommit and self.connection.info.transaction_status == TransactionStatus.IDLE:
                self.connection.execute("")  # psycopg sends BEGIN before a statement of its own, and before no other
            try:
                return _Pipeline(self.connection).run(statements)
            except BaseException:
                if self.connection.closed and not self.in_atomic_block:
                    self.close()  # so that the next statement has a new one
                raise


class _Pipeline:
    """One use of libpq's pipeline mode on a connection of psycopg."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.libpq = connection, connection.pgconn

    def run(self, statements: Sequence[Statement]) -> list[list[str | None]]:
        given = [[_spelled(parameter) for parameter in parameters] for _, parameters in statements]
        try:
            runs = self._send(statements, given)
            results = self._results()
            self.libpq.exit_pipeline_mode()
        except BaseException:  # KeyboardInterrupt too: nobody could tell what is under way from what comes after it
            self.connection.close()
            raise
        for result in results:
            if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                raise errors.error_from_result(result, encoding=self.connection.info.encoding)
        told = [result for result, is_run in zip(results, runs, strict=True) if is_run]
        return [[_text(result.get_value(row, 0)) for row in range(result.ntuples)] for result in told]

    def _send(self, statements: Sequence[Statement], given: Sequence[list[bytes | None]]) -> list[bool]:
        """For each result that is to come: whether a statement was run; otherwise one was parsed.

        They have no name at the server. What has one lasts until psycopg says `DEALLOCATE ALL`, which it does after
        any rollback on this connection, whoever holds it then.
        """
        sent: list[bool] = []
        parsed = None
        self.libpq.enter_pipeline_mode()
        for (statement, parameters), values in zip(statements, given, strict=True):
            if statement != parsed:
                self.libpq.send_prepare(b"", statement.encode())
                parsed = statement
                sent.append(False)
            self.libpq.send_query_prepared(b"", values, [isinstance(each, str) for each in parameters])
            sent.append(True)
        self.libpq.pipeline_sync()
        return sent

    def _results(self) -> list[Any]:
        """Of all that was sent, in that order. Sends and receives at the same time: where neither side receives, and
        both have much to send, each would wait for the other."""
        found: list[Any] = []
        sending, ended = bool(self.libpq.flush()), False
        poll = select.poll()
        poll.register(self.libpq.socket, select.POLLIN | (select.POLLOUT if sending else 0))
        while True:
            while self.libpq.is_busy():
                poll.poll()
                self.libpq.consume_input()
                if sending and not self.libpq.flush():
                    sending = False
                    poll.modify(self.libpq.socket, select.POLLIN)
            result = self.libpq.get_result()
            if result is None and ended:
                raise psycopg.OperationalError("The connection to the database is lost.")
            ended = result is None  # the end of one statement's results, of which each has one
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return found
            if result is not None:
                found.append(result)


def _spelled(parameter: Any) -> bytes | None:
    return None if parameter is None else str(parameter).encode()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _has_ended(connection: Any) -> bool:
    """Whether the server has said goodbye or hung up. It says nothing else to an idle connection that listens to no
    channel, so something to be read is enough; and looking costs no round trip."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
