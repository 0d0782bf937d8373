"""Django's PostgreSQL, whose pool hands out no connection that the server has closed."""

from __future__ import annotations

import re
import select
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations
from psycopg import errors, generators
from psycopg._preparing import Prepare
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.datetime import TimestamptzLoader

PLACEHOLDER = re.compile("%[%s]")
READER = "_reader_of_prepared"  # an attribute of psycopg's connection: made once for each

Statement = tuple[str, Sequence[Any]]  # with $1 … for parameters, and the parameters


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
        return self._prepare_cursor(_PreparedCursor(self.connection))  # type: ignore[attr-defined]

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
            _begin(self.connection)
            try:
                return _Pipeline(self.connection).run(statements)
            except BaseException:
                if self.connection.closed and not self.in_atomic_block:
                    self.close()  # so that the next statement has a new one
                raise


class _PreparedCursor:
    """One prepared statement, sent by libpq. psycopg's own cursor does the same in three times the CPU: it looks
    through the statement, asks of each value how it is written, and of each column how it is read.

    psycopg keeps the book of what is prepared on a connection, because it deallocates all of it after a rollback. It
    is told to do so, too, where a statement cannot be used any more: the type of a column was changed since, by the
    migration of a newer version, or the server forgot what is prepared.
    """

    _query = None  # psycopg's cursors have it, and Django asks for it

    def __init__(self, connection: Any) -> None:
        self.connection, self.found = connection, list[tuple[Any, ...]]()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        _begin(self.connection)
        query, values = _numbered(statement), [_spelled(parameter) for parameter in parameters]
        if any(value and b"\x00" in value for value in values):  # libpq would end the text there
            raise psycopg.DataError("PostgreSQL's texts have no NUL.")
        try:
            result = self._run(query, values)
        except (errors.FeatureNotSupported, errors.InvalidSqlStatementName):
            if not self.connection.autocommit:  # the transaction has failed, and its rollback deallocates
                raise
            self._deallocate()
            result = self._run(query, values)
        reader = _reader_of(self.connection)
        reader.set_pgresult(result)
        self.found = reader.load_rows(0, result.ntuples, tuple)

    def _run(self, query: _Numbered, values: list[bytes | None]) -> Any:
        connection, libpq = self.connection, self.connection.pgconn
        need, name = connection._prepared.get(query, True)
        if need is Prepare.SHOULD:
            libpq.send_prepare(name, query.query)
            _the_one(connection.wait(generators.execute(libpq)), connection)
        connection._prepared.maybe_add_to_cache(query, need, name)
        libpq.send_query_prepared(name, values)
        return _the_one(connection.wait(generators.execute(libpq)), connection)

    def _deallocate(self) -> None:
        """All that is prepared on this connection, at once: later it would be what was prepared meanwhile."""
        self.connection._prepared.clear()
        self.connection.wait(self.connection._prepared.maintain_gen(self.connection))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.found

    def close(self) -> None:
        pass


class _Numbered(NamedTuple):
    """A statement as the server takes it, and no types: it infers them. psycopg's book is kept by both."""

    query: bytes
    types: tuple[int, ...] = ()


@lru_cache(maxsize=256)
def _numbered(statement: str) -> _Numbered:
    """With $1 … in place of each `%s`."""
    numbers = count(1)
    query = PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", statement)
    return _Numbered(query.encode())


def _reader_of(connection: Any) -> Any:
    """What makes values of columns on this connection; moments are read in C, where Django's own loader is Python."""
    reader: Any = getattr(connection, READER, None)
    if reader is None:
        context = psycopg.Cursor(connection)
        context.adapters.register_loader("timestamptz", TimestamptzLoader)
        reader = Transformer(context)
        setattr(connection, READER, reader)
    return reader


def _the_one(results: Sequence[Any], connection: Any) -> Any:
    """The result of one statement. Raises what the statement raised."""
    if results[-1].status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise errors.error_from_result(results[-1], encoding=connection.info.encoding)
    return results[-1]


def _begin(connection: Any) -> None:
    """In a block of `atomic`: psycopg sends BEGIN before a statement of its own, and before no other."""
    if not connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        connection.execute("")


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
