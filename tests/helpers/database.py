"""The database in tests: emptied after a test that commits, its queries, and how to connect to it past Django."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection
from django.test.utils import CaptureQueriesContext

from invoices.models import change_triggers, triggers
from invoices.models.immutable import ImmutableModel

# What the signal post_migrate makes. Nearly all tests read it only, and to make it anew takes longer than many a test.
MADE_BY_MIGRATE = (ContentType, Permission, Group, Group.permissions.through)


class Emptier:
    """Stands in for Django's `flush` between tests: the tables end as `flush` would leave them."""

    def __init__(self) -> None:
        self._made_by_migrate: list[Any] = rows_made_by_migrate()

    def empty(self) -> None:
        with without_triggers(), nothing_recorded():
            self._empty()

    def _empty(self) -> None:
        if rows_made_by_migrate() != self._made_by_migrate:
            call_command("flush", verbosity=0, interactive=False, reset_sequences=False)
            self._made_by_migrate = rows_made_by_migrate()
            return
        kept = {model._meta.db_table for model in MADE_BY_MIGRATE}
        tables = [
            table
            for table in connection.introspection.django_table_names(only_existing=True, include_views=False)
            if table not in kept
        ]
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))


@contextmanager
def without_triggers() -> Iterator[None]:
    """The database lets the journal be rewritten, as its owner could make it."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            try:
                yield
            finally:
                cursor.execute("SET session_replication_role = origin")
        return
    triggers.remove(apps, _editor())
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for statement in triggers.statements(apps, _editor()):
                cursor.execute(statement)


@contextmanager
def nothing_recorded() -> Iterator[None]:
    """What is written to the mirror is no change of the feed, on SQLite: PostgreSQL has switched all triggers off."""
    if connection.vendor == "postgresql":
        yield
        return
    change_triggers.remove(apps, connection.schema_editor())
    try:
        yield
    finally:
        change_triggers.make(apps, connection.schema_editor())


def _editor() -> Any:
    return connection.schema_editor(collect_sql=True)


def rewrite(row: ImmutableModel, **changes: Any) -> None:
    """Changes a row of the journal past all guards: for tests that need an old row, or stand for a hostile owner."""
    with without_triggers():
        rows = type(row)._base_manager.filter(pk=row.pk)
        assert rows.update(**changes) == 1
    row.refresh_from_db()


def rows_made_by_migrate() -> list[Any]:
    return [list(model._default_manager.order_by("pk").values_list()) for model in MADE_BY_MIGRATE]


def queries_of_page(captured: CaptureQueriesContext) -> list[str]:
    """The SQL that was asked, but for the time, which only PostgreSQL is asked (`invoices/clock.py`)."""
    return [query["sql"] for query in captured.captured_queries if "clock_timestamp()" not in query["sql"]]


def url_of_database() -> str:
    """DATABASE_URL of the tests' own database, for a process that a test starts."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    return f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT'] or 5432}/{given['NAME']}"


def plain_parameters() -> dict[str, Any]:
    """For a connection to the tests' database past Django (PostgreSQL)."""
    given = connection.settings_dict
    parameters = {"host": given["HOST"], "port": given["PORT"], "user": given["USER"], "password": given["PASSWORD"]}
    return {name: value for name, value in parameters.items() if value} | {"dbname": given["NAME"]}
