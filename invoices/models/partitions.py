"""The months of the events on PostgreSQL: each a partition of its own, which an archive takes away whole.

The partition key is the event's own stamp: `created` never changes for one id, so one id is always in the same
partition, and its primary key there finds the second delivery. What has no stamp, or one of a month without a
partition, stands in the default partition, so nothing is ever refused. On SQLite the events are one table, and nothing
here acts.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from django.db import DatabaseError, connection, transaction

from invoices import clock

log = logging.getLogger(__name__)

EVENTS = "invoices_event"
TABLES = (EVENTS,)  # with partitions
DEFAULT, EARLY = f"{EVENTS}_default", f"{EVENTS}_early"
FUNCTION = "desk_make_event_partition"
FIRST_MONTH = date(2011, 1, 1)  # no event of Stripe's is older
MONTHS_BEFORE, MONTHS_AHEAD = 1, 3  # that have a partition; Stripe lists the events of thirty days
# Autovacuum looks at a partition after this share of it has changed. The default of a fifth is weeks of a large month.
# The body stands beside its row, which stays small: what marks an event as done does not write the body again.
STORAGE = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, toast_tuple_target = 256"


def of(database: Any, table: str) -> list[str]:
    """The names of this table's partitions; none on SQLite, or before the table was divided."""
    if database.vendor != "postgresql":
        return []
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "JOIN pg_class parent ON parent.oid = inhparent "
            "WHERE parent.relname = %s AND pg_table_is_visible(parent.oid) ORDER BY child.relname",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]


def name_of(month: date) -> str:
    """The partition of this month."""
    return f"{EVENTS}_{month:%Y_%m}"


def later(month: date, number: int) -> date:
    """The first day of the month so many months later; of an earlier one where the number is negative."""
    years, months = divmod(month.year * 12 + month.month - 1 + number, 12)
    return date(years, months + 1, 1)


def make_ahead() -> list[str]:
    """Makes the partitions of last month, of this one and of the next ones, where they are missing. Their names.

    A month of which the default partition holds events already gets none: they stay there, and are archived from there.
    """
    there = set(of(connection, EVENTS))
    if not there:
        return []
    this = clock.now().date().replace(day=1)
    made = []
    for number in range(-MONTHS_BEFORE, MONTHS_AHEAD + 1):
        month = later(this, number)
        if name_of(month) not in there and month >= _end_of_early() and _make(month):
            made.append(name_of(month))
    return made


def _end_of_early() -> date:
    """The first month after the partition of all that was before the table was divided."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''(\\d{4}-\\d\\d-\\d\\d)') FROM pg_class "
            "WHERE relname = %s AND pg_table_is_visible(oid)",
            [EARLY],
        )
        found = cursor.fetchone()
    return date.fromisoformat(found[0]) if found else date.min


def make_function(apps: Any, schema_editor: Any) -> None:
    """The one thing that the runtime role must do and only the owner of the tables may: make the partition of a month.
    It runs with the owner's rights, makes nothing else, and is nobody's until `models/grants.py` gives it. For
    migrations."""
    if schema_editor.connection.vendor != "postgresql":
        return
    from invoices.models.triggers import Postgresql

    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
        guard = Postgresql.guard_partition(EVENTS, "%I")
        # Attaching, unlike `CREATE TABLE … PARTITION OF`, holds up nobody who writes events.
        cursor.execute(f"""
            CREATE OR REPLACE FUNCTION {FUNCTION}(month date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = {schema}, pg_temp SET lock_timeout = '5s' AS $function$
            DECLARE
                name text := to_char(month, '"{EVENTS}_"YYYY_MM');
            BEGIN
                IF month IS NULL OR extract(day FROM month) <> 1 OR month < '{FIRST_MONTH}'
                OR month > current_date + 366 THEN
                    RAISE EXCEPTION 'No partition for %: it is no first day of a month from {FIRST_MONTH:%Y} to a year '
                    'ahead.', month;
                END IF;
                EXECUTE format('CREATE TABLE %I (LIKE {EVENTS} INCLUDING DEFAULTS INCLUDING CONSTRAINTS '
                    'INCLUDING COMPRESSION INCLUDING STORAGE)', name);
                EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id), SET ({STORAGE})', name);
                EXECUTE format('{guard}', name);
                EXECUTE format('ALTER TABLE {EVENTS} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                    month || ' 00:00:00+00', (month + interval '1 month')::date || ' 00:00:00+00');
            END $function$
        """)
        cursor.execute(f"REVOKE ALL ON FUNCTION {FUNCTION}(date) FROM PUBLIC")


def drop_function(apps: Any, schema_editor: Any) -> None:
    """For a migration backwards."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}(date)")


def _make(month: date) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {FUNCTION}(%s)", [month])
    except DatabaseError as error:
        log.warning("No partition for the events of %s: %s", f"{month:%Y-%m}", str(error).splitlines()[0])
        return False
    return True


def _bounds(month: date) -> str:
    return f"FOR VALUES FROM ('{month} 00:00:00+00') TO ('{later(month, 1)} 00:00:00+00')"


def divide(apps: Any, schema_editor: Any) -> None:
    """Makes the table of events a partitioned one, without copying it: it becomes the partition of all that was before
    next month. For the migration. The table is read twice, and written by nobody else meanwhile."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        run = cursor.execute
        run(
            "SELECT index.indexrelid::regclass::text, pg_get_indexdef(index.indexrelid) FROM pg_index index "
            f"WHERE indrelid = '{EVENTS}'::regclass AND NOT indisprimary"
        )
        indexes = cursor.fetchall()
        for index, _ in indexes:
            run(f"DROP INDEX {index}" if index.endswith("_like") else f"ALTER INDEX {index} RENAME TO {index}_early")
        run(f"ALTER TABLE {EVENTS} RENAME TO {EARLY}")
        columns = f"(LIKE {EARLY} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        run(f"CREATE TABLE {EVENTS} {columns} PARTITION BY RANGE (created)")
        for index, definition in indexes:
            if not index.endswith("_like"):
                run(definition)
        run(f"CREATE TABLE {DEFAULT} (LIKE {EVENTS} INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id))")
        run(f"ALTER TABLE {DEFAULT} SET ({STORAGE})")
        run(f"ALTER TABLE {EARLY} SET ({STORAGE})")
        run(f"SELECT EXISTS (SELECT 1 FROM {EARLY})")
        if cursor.fetchone()[0]:
            end = later(clock.now().date().replace(day=1), 1)
            others = f"DELETE FROM {EARLY} WHERE created IS NULL OR created >= '{end} 00:00:00+00' RETURNING *"
            run(f"WITH others AS ({others}) INSERT INTO {DEFAULT} SELECT * FROM others")
            run(f"ALTER TABLE {EVENTS} ATTACH PARTITION {EARLY} FOR VALUES FROM (MINVALUE) TO ('{end} 00:00:00+00')")
        else:
            run(f"DROP TABLE {EARLY}")
        run(f"ALTER TABLE {EVENTS} ATTACH PARTITION {DEFAULT} DEFAULT")
    make_function(apps, schema_editor)
    make_ahead()


def join(apps: Any, schema_editor: Any) -> None:
    """Makes it one table again, by copying it. For a migration backwards."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        run = cursor.execute
        run(
            "SELECT pg_get_indexdef(index.indexrelid) FROM pg_index index "
            f"WHERE indrelid = '{EVENTS}'::regclass AND NOT indisprimary"
        )
        indexes = [definition.replace(" ON ONLY ", " ON ") for (definition,) in cursor.fetchall()]
        run(f"CREATE TABLE {EVENTS}_one (LIKE {EVENTS} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        run(f"INSERT INTO {EVENTS}_one SELECT * FROM {EVENTS}")
        run(f"DROP TABLE {EVENTS}")
        run(f"ALTER TABLE {EVENTS}_one RENAME TO {EVENTS}")
        run(f"ALTER TABLE {EVENTS} ADD PRIMARY KEY (id)")
        for definition in indexes:
            run(definition)
