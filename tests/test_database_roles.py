"""The runtime role on PostgreSQL: the whole desk works as it, and nothing takes the journal's guards away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from invoices.models import grants, partitions
from tests.helpers.own_database import OwnDatabase, administrator, own_database, run
from tests.sandbox_process import ROOT, SandboxProcess

pytestmark = pytest.mark.timeout(900)  # a whole migration, perhaps beside many others
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no roles")


@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL has roles")
def test_sqlite_says_that_it_has_no_roles() -> None:
    with pytest.raises(CommandError, match="SQLite has no roles"):
        call_command("database_roles", "--runtime", "desk_runtime")


@pytest.fixture(scope="module")
def database() -> Iterator[OwnDatabase]:
    """Migrated by the owner, who is no superuser, and granted."""
    with own_database(connection.settings_dict) as made:
        done = made.manage(made.owner, "migrate", "--no-input")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        granted = made.manage(made.owner, "database_roles", "--runtime", made.runtime, "--apply")
        assert granted.returncode == 0, granted.stderr
        yield made


@ON_POSTGRESQL
def test_the_whole_desk_works_as_the_runtime_role(database: OwnDatabase, sandbox: SandboxProcess) -> None:
    done = run(
        ["tests/helpers/whole_desk.py"],
        ROOT,
        DATABASE_URL=database.url(database.runtime),
        STRIPE_API_BASE=sandbox.url,
        STRIPE_SECRET_KEY=sandbox.key,
        STRIPE_WEBHOOK_SECRETS="whsec_of_this_test",
        STRIPE_REQUESTS_PER_SECOND="0",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


ATTACKS = {
    "drop a trigger": "DROP TRIGGER journal_invoices_operation_update ON invoices_operation",
    "disable a trigger": "ALTER TABLE invoices_operation DISABLE TRIGGER journal_invoices_operation_update",
    "disable all triggers": "ALTER TABLE invoices_event DISABLE TRIGGER ALL",
    "replace a trigger's function": "CREATE OR REPLACE FUNCTION journal_invoices_operation_update() RETURNS trigger "
    "AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql",
    "drop a trigger's function": "DROP FUNCTION journal_invoices_operation_update() CASCADE",
    "switch triggers off": "SET session_replication_role = replica",
    "switch triggers off for later": "ALTER ROLE CURRENT_USER SET session_replication_role = replica",
    "truncate the journal": "TRUNCATE invoices_operation CASCADE",
    "truncate a partition": "TRUNCATE invoices_event_default",
    "truncate the mirror": "TRUNCATE invoices_invoice",
    "drop a table": "DROP TABLE invoices_journallink",
    "drop a partition": "DROP TABLE invoices_event_default",
    "detach a partition": "ALTER TABLE invoices_event DETACH PARTITION invoices_event_default",
    "write past the table into its partition": "INSERT INTO invoices_event_default (id, body) VALUES ('evt_1', '{}')",
    "alter a table": "ALTER TABLE invoices_operation ADD COLUMN x integer",
    "rename a table": "ALTER TABLE invoices_operation RENAME TO gone",
    "make a table": "CREATE TABLE invoices_mine (id integer)",
    "make a temporary table that a trigger would find first": "CREATE TEMPORARY TABLE invoices_erasedrow (id integer)",
    "make a temporary view": "CREATE TEMPORARY VIEW invoices_erasedrow AS SELECT 1",
    "make a schema": "CREATE SCHEMA mine",
    "make a function": "CREATE FUNCTION mine() RETURNS integer AS 'SELECT 1' LANGUAGE sql",
    "make a trigger": "CREATE TRIGGER mine BEFORE INSERT ON invoices_operation FOR EACH ROW "
    "EXECUTE FUNCTION journal_invoices_operation_update()",
    "make an index": "CREATE INDEX mine ON invoices_operation (state)",
    "make a rule": "CREATE RULE mine AS ON UPDATE TO invoices_operation DO INSTEAD NOTHING",
    "delete an event": "DELETE FROM invoices_event",
    "delete an operation": "DELETE FROM invoices_operation",
    "delete a link": "DELETE FROM invoices_journallink",
    "delete a head": "DELETE FROM invoices_journalhead",
    "delete a run": "DELETE FROM invoices_reconciliationrun",
    "rewrite a link": "UPDATE invoices_journallink SET hash = 'x'",
    "rewrite who asked": "UPDATE invoices_operation SET actor_id = 1",
    "rewrite which invoice": "UPDATE invoices_operation SET invoice = 'in_other'",
    "rewrite an event's id": "UPDATE invoices_event SET id = 'evt_other'",
    "rewrite a token": "UPDATE invoices_apitoken SET digest = 'x'",
    "say that a migration was not made": "DELETE FROM django_migrations",
    "give a permission a name": "INSERT INTO auth_permission (name, content_type_id, codename) VALUES ('x', 1, 'x')",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "read a file": "SELECT pg_read_file('postgresql.conf')",
    "write a file": "COPY (SELECT 1) TO '/tmp/desk-test'",
    "read the server's passwords": "SELECT rolpassword FROM pg_authid",
    "make a role": "CREATE ROLE mine SUPERUSER",
    "become a superuser": "ALTER ROLE CURRENT_USER SUPERUSER",
    "own a table": "ALTER TABLE invoices_operation OWNER TO CURRENT_USER",
    "rewrite the function that it may run": f"CREATE OR REPLACE FUNCTION {partitions.FUNCTION}(month date) "
    "RETURNS void AS 'SELECT NULL' LANGUAGE sql",
    "make the partition of a month that is none": f"SELECT {partitions.FUNCTION}('2024-03-02')",
    "make the partition of a far month": f"SELECT {partitions.FUNCTION}('2924-03-01')",
    "make a partition twice": f"SELECT {partitions.FUNCTION}(date_trunc('month', now())::date)",
}


@ON_POSTGRESQL
def test_no_attack_of_the_runtime_role_works(database: OwnDatabase) -> None:
    attacks = {**ATTACKS, "become the owner": f"SET ROLE {database.owner}"}
    attacks["become the owner for the session"] = f"SET SESSION AUTHORIZATION {database.owner}"
    worked = []
    with psycopg.connect(database.url(database.runtime), autocommit=True) as role:
        for name, statement in attacks.items():
            try:
                role.execute(statement)
            except psycopg.Error as error:
                assert not isinstance(error, psycopg.errors.SyntaxError | psycopg.errors.UndefinedObject), (name, error)
            else:
                worked.append(name)
    assert worked == []


EVENT = json.dumps({
    **dict.fromkeys(("type", "object_type", "object_id", "api_version", "account", "request_id"), ""),
    **dict.fromkeys(("idempotency_key", "state", "body", "error", "source"), "done"),
    **dict.fromkeys(("received_at", "next_attempt_at"), "2023-02-03"),
    **{"id": "evt_feb", "created": "2023-02-03", "attempts": 0, "livemode": False},
})  # fmt: skip


@ON_POSTGRESQL
def test_the_runtime_role_makes_the_partition_of_a_month(database: OwnDatabase) -> None:
    with psycopg.connect(database.url(database.runtime), autocommit=True) as role:
        role.execute(f"SELECT {partitions.FUNCTION}('2023-02-01')")
        role.execute("INSERT INTO invoices_event SELECT * FROM json_populate_record(NULL::invoices_event, %s)", [EVENT])
        with pytest.raises(psycopg.Error, match="permission denied"):
            role.execute("DELETE FROM invoices_event_2023_02")
        with pytest.raises(psycopg.Error, match="permission denied"):
            role.execute("TRUNCATE invoices_event_2023_02")
    with administrator(connection.settings_dict, database.name) as admin:
        found = admin.execute("SELECT tableoid::regclass::text FROM invoices_event WHERE id = 'evt_feb'").fetchone()
        assert found == ("invoices_event_2023_02",)
        with pytest.raises(psycopg.Error, match="none is deleted"):
            admin.execute("TRUNCATE invoices_event_2023_02")


@ON_POSTGRESQL
@pytest.mark.parametrize("command", ["archive_events", "archive_sign_ins"])
def test_what_takes_the_journal_away_asks_for_the_owner(database: OwnDatabase, command: str) -> None:
    done = database.manage(database.runtime, command, "--before", "2024-01", "--reason", "old")
    assert done.returncode == 1 and "which only the owner of the tables may" in done.stderr, done.stderr


@ON_POSTGRESQL
def test_the_command_refuses_what_it_cannot_do(database: OwnDatabase) -> None:
    def said(role: str, *words: str) -> str:
        done = database.manage(role, "database_roles", "--runtime", *words)
        assert done.returncode, done.stdout
        return done.stderr

    assert "There is no role nobody_of_this_name" in said(database.owner, "nobody_of_this_name")
    assert "Run this as the owner" in said(database.runtime, database.runtime)


@ON_POSTGRESQL
def test_the_command_says_what_a_role_may_too_much(database: OwnDatabase) -> None:
    """And migrate grants what new tables need by itself, to the role that has what the old ones need."""
    with administrator(connection.settings_dict, database.name) as admin:
        admin.execute(f"GRANT {database.owner} TO {database.runtime}")
        admin.execute(f"ALTER ROLE {database.runtime} CREATEDB")
        admin.execute(f"GRANT TRUNCATE, DELETE ON invoices_operation TO {database.runtime}")
        admin.execute(f"REVOKE INSERT ON invoices_invoice FROM {database.runtime}")
        done = database.manage(database.owner, "database_roles", "--runtime", database.runtime)
        assert done.returncode == 1
        for part in ("CREATEDB", f"member of {database.owner}", "TRUNCATE on invoices_operation"):
            assert part in done.stderr, done.stderr
        admin.execute(f"REVOKE {database.owner} FROM {database.runtime}")
        admin.execute(f"ALTER ROLE {database.runtime} NOCREATEDB")
        assert database.manage(database.owner, "migrate", "--no-input").returncode == 0
        done = database.manage(database.owner, "database_roles", "--runtime", database.runtime)
        assert done.returncode == 0, done.stderr
        may: Any = admin.execute(
            "SELECT has_table_privilege(%s, 'invoices_invoice', 'INSERT'), "
            "has_table_privilege(%s, 'invoices_operation', 'DELETE')",
            [database.runtime, database.runtime],
        ).fetchone()
        assert may == (True, False)


@ON_POSTGRESQL
@pytest.mark.django_db
def test_every_table_is_granted_and_no_more() -> None:
    """A new table needs a place here only where it is neither ordinary nor of the journal."""
    tables = {table for table, _ in grants._of_tables()}
    there = {
        table
        for table in connection.introspection.table_names()
        if table not in partitions.of(connection, partitions.EVENTS)
    }
    assert tables == there
