"""The database's clock, which all our processes share. Its moments are never compared with those of Stripe's clock."""

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """The moment at which the database runs this statement (aware, UTC).

    PostgreSQL: `clock_timestamp()`, because `now()` is the start of the transaction, before any wait for a lock.
    SQLite: this machine's clock, because every process that uses the file runs on this machine.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            return cursor.fetchone()[0].astimezone(UTC)
    return datetime.now(UTC)
