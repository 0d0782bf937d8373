"""`manage.py migrate` on PostgreSQL: two at once are safe, and one that waits for a lock gives up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, migrations, transaction

from invoices.management.commands.migrate import LOCK
from tests.helpers.database import plain_parameters
from tests.helpers.own_database import OwnDatabase, own_database
from tests.sandbox_process import ROOT

pytestmark = pytest.mark.timeout(900)  # whole migrations, perhaps beside many others
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no lock to wait for")


@pytest.fixture
def database() -> Iterator[OwnDatabase]:
    with own_database(connection.settings_dict) as made:
        yield made


@ON_POSTGRESQL
def test_two_at_once_make_the_tables_once(database: OwnDatabase) -> None:
    env = {
        **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        "DATABASE_URL": database.url(database.owner),
    }
    command = [sys.executable, "manage.py", "migrate", "--no-input"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=280) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    applied = [output.count("invoices.0012_events_by_month... OK") for output, _ in said]
    assert sorted(applied) == [0, 1]
    assert "Another migrate of this database is at work" in "".join(errors for _, errors in said)
    with psycopg.connect(database.url(database.owner)) as owner:
        groups: Any = owner.execute("SELECT count(*), count(DISTINCT name) FROM auth_group").fetchone()
        assert groups[0] == groups[1] >= 4


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_who_does_not_get_its_turn_says_so() -> None:
    with psycopg.connect(**plain_parameters()) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        with pytest.raises(CommandError, match="Another migrate of this database has not ended for 0"):
            call_command("migrate", verbosity=0, wait=0)


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lock_timeout": 0.1}, "nobody waits waited 0.1 s for a lock that somebody else holds"),
        ({"statement_timeout": 0.1}, "nobody waits: a statement took longer than 0.1 s"),
    ],
)
def test_what_waits_too_long_gives_up_in_a_sentence(
    given: dict[str, float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the migration's part is played by a statement that waits for a table which another connection holds."""
    from django.core.management.commands import migrate

    def waiting(self: Any, *args: Any, **options: Any) -> None:
        self.applying = "nobody waits"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE invoices_invoice")

    monkeypatch.setattr(migrate.Command, "handle", waiting)
    connection.ensure_connection()
    with psycopg.connect(**plain_parameters()) as other:
        other.execute("LOCK TABLE invoices_invoice")
        with pytest.raises(CommandError, match=said):
            call_command("migrate", verbosity=0, **{"lock_timeout": 60, **given})
    monkeypatch.undo()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_no_migration_but_one_that_must_runs_outside_a_transaction() -> None:
    """So that what gave up has done nothing. One that makes an index concurrently has nothing else in it. 0020 and 0023
    have settings of tables, which can be made again, and lock one table at a time."""
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(None)
    ours = [each for (app, _), each in loader.disk_migrations.items() if app == "invoices"]
    assert len(ours) > 14
    for migration in ours:
        if not migration.atomic:
            kinds = [type(operation).__name__ for operation in migration.operations]
            if migration.name == "0020_growth":
                assert kinds == [*["RunPython"] * 3, "AddIndexInUse"]
            elif migration.name == "0023_short_columns_in_their_row":
                assert kinds == ["RunPython"] * 2
            elif "_rows_of_" in migration.name:  # of large tables, some hundred rows at a time
                assert kinds == ["RunPython"]
            elif migration.name == "0029_reading":  # an index of a divided table, made part by part
                assert kinds == ["SeparateDatabaseAndState"]
            elif migration.name == "0028_indexes_of_search":
                assert kinds == [*["AddSearchIndex"] * 6, "RunPython"]
            elif migration.name == "0033_search_indexes":
                assert kinds == ["AddSearchIndex", "RunPython"]
            else:  # AddSearchIndex does what AddIndexConcurrently does, and can be repeated
                assert set(kinds) <= {"AddSearchIndex", "AddIndexConcurrently", "RemoveIndexConcurrently"}, migration
    assert all(isinstance(each, migrations.Migration) for each in ours)


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_one_that_goes_table_by_table_says_that_a_part_may_be_done() -> None:
    call_command("migrate", "invoices", "0022", verbosity=0)
    try:
        with psycopg.connect(**plain_parameters()) as other:
            other.execute("LOCK TABLE invoices_event IN ACCESS SHARE MODE")
            with pytest.raises(CommandError, match="what of it was done stays"):
                call_command("migrate", "invoices", "0023", verbosity=0, lock_timeout=0.2)
    finally:
        call_command("migrate", verbosity=0)
