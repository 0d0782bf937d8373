"""The longest that one search may read: a question that no index answers does not hold the database up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _

STEPS_BETWEEN_LOOKS = 1000  # of SQLite's machine: some hundredths of a millisecond
QUERY_CANCELED = "57014"  # PostgreSQL's code


class TakesTooLong(Exception):
    """The rows were not all looked at within the limit."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "This query looks through more rows than one request may. Please narrow it: add a range of created, "
                "such as created>1767225600, or a clause that few match, such as a customer, an e-mail or a number."
            )
        )


class Limit:
    """The end of the time that a search may read."""

    def __init__(self, longest: timedelta) -> None:
        self._end = time.monotonic() + longest.total_seconds()

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def check(self) -> None:
        """Between two statements. Raises TakesTooLong where the time is over."""
        if self.is_over:
            raise TakesTooLong


@contextmanager
def time_limit(longest: timedelta) -> Iterator[Limit]:
    """Each statement inside is ended after so long. Raises TakesTooLong."""
    seconds = longest.total_seconds()
    try:
        with _on_postgresql(seconds) if connection.vendor == "postgresql" else _on_sqlite(seconds):
            yield Limit(longest)
    except OperationalError as error:
        code = getattr(error.__cause__, "sqlstate", "")
        if code == QUERY_CANCELED or "interrupted" in str(error):
            raise TakesTooLong from None
        raise


@contextmanager
def _on_postgresql(seconds: float) -> Iterator[None]:
    milliseconds = max(1, round(seconds * 1000))  # 0 would mean no limit
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{milliseconds}ms"])
        yield
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])  # for a caller's transaction


@contextmanager
def _on_sqlite(seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    end = time.monotonic() + seconds
    connection.connection.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
