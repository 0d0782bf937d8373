"""The database's clock, which all our processes share. Its moments are never compared with those of Stripe's clock."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models.functions import Now


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


def sql() -> str:
    """An expression that reads this clock as a part of a larger statement; `read_along` takes what came of it."""
    return "clock_timestamp()" if connection.vendor == "postgresql" else "NULL"


def read_along(moment: datetime | None) -> datetime:
    """What a statement has read as `sql()`: `now`, without a statement of its own."""
    return now() if moment is None else moment.astimezone(UTC)


def of_column(value: Any) -> datetime | None:
    """A moment of a column as a statement written by hand brings it: PostgreSQL's as it is, SQLite's without a zone."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


class InsertedAt(Now):
    """As a column's `db_default`: the moment of the insertion by the same clock, without a query of its own."""

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """As Django writes it, to the letter: the journal's triggers compare what is written back with it."""
        moment = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW')"
        template = f"REPLACE({moment} || '000', '.000000', '')"
        return self.as_sql(compiler, connection, template=template, **extra)
