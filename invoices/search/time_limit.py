"""The longest that one search may read: a question that no index answers does not hold the database up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

from invoices import thresholds

STEPS_BETWEEN_LOOKS = 1000  # of SQLite's machine: some hundredths of a millisecond
QUERY_CANCELED = "57014"  # PostgreSQL's code


class TakesTooLong(Exception):
    """The rows were not all looked at within the limit."""

    def __init__(self) -> None:
        super().__init__(
            "This query looks through more rows than one request may. Please narrow it: add a range of created, such "
            "as created>1767225600, or a clause that few match, such as a customer, an e-mail or a number."
        )


@contextmanager
def time_limit() -> Iterator[None]:
    """What is read inside ends after `thresholds.SEARCH_GIVEN_UP`. Raises TakesTooLong."""
    try:
        with _on_postgresql() if connection.vendor == "postgresql" else _on_sqlite():
            yield
    except OperationalError as error:
        code = getattr(error.__cause__, "sqlstate", "")
        if code == QUERY_CANCELED or "interrupted" in str(error):
            raise TakesTooLong from None
        raise


@contextmanager
def _on_postgresql() -> Iterator[None]:
    milliseconds = round(thresholds.SEARCH_GIVEN_UP.total_seconds() * 1000)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{milliseconds}ms"])
        yield
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])  # for a caller's transaction


@contextmanager
def _on_sqlite() -> Iterator[None]:
    connection.ensure_connection()
    end = time.monotonic() + thresholds.SEARCH_GIVEN_UP.total_seconds()
    connection.connection.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
