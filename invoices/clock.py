"""The database's clock: the one clock that all our processes share. Stripe's clock and this one never meet."""

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """The moment at which the database runs this statement (aware, UTC).

    PostgreSQL: `clock_timestamp()`, because `now()` is the transaction's start and predates any wait for a lock.
    SQLite: this machine's clock, since every process that shares the file runs on this machine.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            return cursor.fetchone()[0].astimezone(UTC)
    return datetime.now(UTC)
