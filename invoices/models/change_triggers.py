"""The triggers that record each change of the mirror, whoever writes: an event, a read, a repair, an erasure, SQL.

What counts is what the API shows. A row that is inserted empty, or of which only the moments of its sighting are
written, has not changed. SQLite makes a changed table anew, without its triggers: a migration that changes a mirrored
table, or adds one, ends with `make`. What is missing nevertheless, the end of `manage.py migrate` makes.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps as django_apps
from django.db import connection, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from invoices.models.changes import Change
from invoices.models.mirrored import MIRRORED

PREFIX = "changes_"  # of every trigger's and function's name here
# On PostgreSQL one function for all tables. An update is looked at only where it sets a column that is shown: to
# compare two documents they must be read, and most updates only say that a row was seen again. A trigger for the whole
# statement costs as much for many rows and more for one, and cannot name columns.
FUNCTION = f"""{PREFIX}record() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.stored_at IS NOT NULL THEN
            INSERT INTO invoices_unnumberedchange (object_type, object_id, what, recorded_at)
            VALUES (TG_ARGV[0], OLD.id, 'deleted', clock_timestamp());
        END IF;
        RETURN NULL;
    END IF;
    IF NEW.stored_at IS NULL THEN RETURN NULL; END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.stored_at IS NOT NULL AND (OLD.deleted_at IS NULL) = (NEW.deleted_at IS NULL)
            AND OLD.data IS NOT DISTINCT FROM NEW.data THEN RETURN NULL; END IF;
    END IF;
    INSERT INTO invoices_unnumberedchange (object_type, object_id, what, recorded_at)
    VALUES (
        TG_ARGV[0], NEW.id,
        CASE WHEN NEW.deleted_at IS NOT NULL THEN 'deleted'
            WHEN TG_OP = 'INSERT' OR OLD.stored_at IS NULL OR OLD.deleted_at IS NOT NULL THEN 'created'
            ELSE 'updated' END,
        clock_timestamp()
    );
    RETURN NULL;
END $$ LANGUAGE plpgsql"""
ON_SQLITE = {
    "inserted": (
        "AFTER INSERT ON {table} WHEN NEW.stored_at IS NOT NULL",
        "NEW.id, CASE WHEN NEW.deleted_at IS NULL THEN 'created' ELSE 'deleted' END",
    ),
    "updated": (
        "AFTER UPDATE OF data, deleted_at ON {table} WHEN NEW.stored_at IS NOT NULL AND (OLD.stored_at IS NULL "
        "OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) OR OLD.data IS NOT NEW.data)",
        "NEW.id, CASE WHEN NEW.deleted_at IS NOT NULL THEN 'deleted' "
        "WHEN OLD.stored_at IS NULL OR OLD.deleted_at IS NOT NULL THEN 'created' ELSE 'updated' END",
    ),
    "removed": ("AFTER DELETE ON {table} WHEN OLD.stored_at IS NOT NULL", "OLD.id, 'deleted'"),
}
# What is there: name, statement, and on PostgreSQL the body of the function, of the triggers that are switched on.
PRESENT = {
    "postgresql": f"""
        SELECT trigger.tgname, pg_get_triggerdef(trigger.oid, true), function.prosrc
        FROM pg_trigger trigger JOIN pg_proc function ON function.oid = trigger.tgfoid
        WHERE trigger.tgname LIKE '{PREFIX}%' AND trigger.tgenabled IN ('O', 'A') AND NOT trigger.tgisinternal
        AND pg_table_is_visible(trigger.tgrelid)
    """,
    "sqlite": f"SELECT name, sql, '' FROM sqlite_master WHERE type = 'trigger' AND name LIKE '{PREFIX}%'",
}


def make(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Makes the triggers that are not there as they should be, for the mirrored tables that `apps` has. For migrations.

    A table whose trigger is in place is not locked. Where one is made anew, nobody writes to its table meanwhile.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"CREATE OR REPLACE FUNCTION {FUNCTION}", params=None)
    for name in _missing(apps, schema_editor.connection):
        table, statement = _expected(apps, schema_editor.connection.vendor)[name]
        with transaction.atomic(schema_editor.connection.alias):
            schema_editor.execute(_drop(schema_editor.connection.vendor, name, table), params=None)
            schema_editor.execute(statement, params=None)


def make_missing(apps: Any = django_apps, **kwargs: Any) -> None:
    """After `migrate`; not after one that went back to before the feed."""
    if Change.__name__.lower() in apps.all_models["invoices"]:
        make(apps, connection.schema_editor())


def remove(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Removes them all. For migrations backwards, and for tests."""
    vendor = schema_editor.connection.vendor
    for name, (table, _) in _expected(apps, vendor).items():
        schema_editor.execute(_drop(vendor, name, table), params=None)
    if vendor == "postgresql":
        schema_editor.execute(f"DROP FUNCTION IF EXISTS {PREFIX}record()", params=None)


def missing() -> list[str]:
    """The names of the triggers that this database lacks, or has switched off, elsewhere or in another form. Without
    them the feed leaves changes out."""
    return _missing(django_apps, connection)


def _missing(apps: Any, of: Any) -> list[str]:
    with of.cursor() as cursor:
        cursor.execute(PRESENT[of.vendor])
        present = set(cursor.fetchall())
    body = FUNCTION.split("$$")[1] if of.vendor == "postgresql" else ""
    expected = _expected(apps, of.vendor)
    return [name for name, (_, statement) in expected.items() if (name, statement, body) not in present]


def _expected(apps: Any, vendor: str) -> dict[str, tuple[str, str]]:
    """The trigger's name → its table, and the statement that makes it, spelled as the database spells it."""
    found = {}
    for object, model in MIRRORED.items():
        if model.__name__.lower() not in apps.all_models["invoices"]:
            continue  # a later migration makes this table
        table = model._meta.db_table
        if vendor == "postgresql":
            name = f"{PREFIX}{table}"
            when = f"AFTER INSERT OR DELETE OR UPDATE OF data, deleted_at ON {table} FOR EACH ROW"
            found[name] = (table, f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {PREFIX}record('{object}')")
            continue
        for happened, (when, values) in ON_SQLITE.items():
            name = f"{PREFIX}{table}_{happened}"
            insert = (
                "INSERT INTO invoices_change (object_type, object_id, what, recorded_at) "
                f"VALUES ('{object}', {values}, strftime('%Y-%m-%d %H:%M:%f', 'now'));"
            )
            found[name] = (table, f"CREATE TRIGGER {name} {when.format(table=table)} BEGIN {insert} END")
    return found


def _drop(vendor: str, name: str, table: str) -> str:
    return f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if vendor == "postgresql" else "")
