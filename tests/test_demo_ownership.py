"""The demo writes into no database that it did not make."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError
from django.db.utils import ConnectionHandler
from django.test.utils import CaptureQueriesContext
from knox.crypto import hash_token

from invoices.management.demo import ownership

pytestmark = pytest.mark.django_db  # of the suite's own database nothing is used


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "desk.sqlite3"


def use(monkeypatch: pytest.MonkeyPatch, **database: object) -> ConnectionHandler:
    """The database that the demo was given, as Django's connection."""
    handler = ConnectionHandler({"default": {**settings.DATABASES["default"], **database}})
    monkeypatch.setattr(ownership, "connection", handler["default"])
    monkeypatch.setattr(ownership.transaction, "get_connection", lambda using=None: handler["default"])
    return handler


@pytest.fixture
def given(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    handler = use(monkeypatch, ENGINE="django.db.backends.sqlite3", NAME=str(file), OPTIONS={})
    yield file
    handler.close_all()


def fill(file: Path, *statements: str) -> str:
    """Writes into a database that Django has not opened; returns what its file is."""
    with closing(sqlite3.connect(file)) as database, database:
        for statement in statements:
            database.execute(statement)
    return digest(file)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def claim(file: Path, demo: str = "demo_1") -> None:
    ownership.claim(file.parent, demo, "the token")


def refused(file: Path, demo: str = "demo_1") -> str:
    with pytest.raises(CommandError) as error:
        claim(file, demo)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_empty_database_is_marked_and_known_again(given: Path) -> None:
    claim(given)
    ownership.connection.cursor().execute("CREATE TABLE auth_user (username text)")
    claim(given)


def test_a_filled_database_stays_as_it_is_to_the_byte(given: Path) -> None:
    before = fill(given, "CREATE TABLE auth_user (username text)", "INSERT INTO auth_user VALUES ('agent')")
    assert "that no demo made" in refused(given)
    assert digest(given) == before
    assert [one.name for one in given.parent.iterdir()] == [given.name]  # no write-ahead log beside it


def test_tables_without_a_row_are_somebody_elses_too(given: Path) -> None:
    before = fill(given, "CREATE TABLE django_migrations (name text)")
    assert "that no demo made" in refused(given)
    assert digest(given) == before


def test_the_database_of_another_demo_is_refused_and_says_where_it_belongs(given: Path) -> None:
    claim(given)
    assert str(given.parent) in refused(given, "demo_2")


def test_a_mark_without_a_demo_opens_nothing(given: Path) -> None:
    fill(given, f"CREATE TABLE {ownership.MARK} (demo text, folder text)")
    assert "another data folder" in refused(given)


def test_a_demo_from_before_the_mark_goes_on_in_its_own_folder_alone(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = f"INSERT INTO invoices_apitoken VALUES ('{hash_token('the token')}')"
    fill(given, "CREATE TABLE invoices_apitoken (digest text)", token)
    with pytest.raises(CommandError):
        ownership.claim(tmp_path / "another", "demo_1", "the token")
    with pytest.raises(CommandError):
        ownership.claim(tmp_path, "demo_1", "another token")
    claim(given)
    claim(given)


def test_a_file_that_is_no_database(given: Path) -> None:
    given.write_text("the company's accounts " * 100)
    assert "not a database" in refused(given)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(given: Path) -> None:
    given.parent.chmod(0o500)
    try:
        refused(given)
    finally:
        given.parent.chmod(0o700)


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    use(
        monkeypatch,
        ENGINE="django.db.backends.postgresql",
        NAME="desk",
        USER="desk",
        PASSWORD="a secret",
        HOST="127.0.0.1",
        PORT="9",
        OPTIONS={"connect_timeout": 2},
    )
    said = refused(file)
    assert "desk at 127.0.0.1:9 cannot be used" in said and "a secret" not in said


URL = os.environ.get("DATABASE_URL", "")
on_postgresql = pytest.mark.skipif(not URL.startswith("postgres"), reason="needs PostgreSQL")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """A new database on the server of the tests, and a connection to it of the company's own."""
    address, name = URL.rpartition("/")[0], f"owned_{uuid.uuid4().hex}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        handler = use(monkeypatch, NAME=name, OPTIONS={})
        try:
            with psycopg.connect(f"{address}/{name}", autocommit=True) as company:
                yield company
        finally:
            handler.close_all()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@on_postgresql
def test_on_postgresql_an_empty_database_is_marked_and_another_demo_refused(
    server: psycopg.Connection, file: Path
) -> None:
    claim(file)
    claim(file)
    assert "another data folder" in refused(file, "demo_2")


@on_postgresql
def test_on_postgresql_a_table_in_any_schema_is_content(server: psycopg.Connection, file: Path) -> None:
    server.execute("CREATE SCHEMA books")
    server.execute("CREATE TABLE books.entries (amount int)")
    with CaptureQueriesContext(ownership.connection) as queries:
        assert "1 tables" in refused(file)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]


@on_postgresql
def test_on_postgresql_a_database_that_only_reads(server: psycopg.Connection, file: Path) -> None:
    server.execute(f"ALTER DATABASE {server.info.dbname} SET default_transaction_read_only = on")
    assert "read-only" in refused(file)
