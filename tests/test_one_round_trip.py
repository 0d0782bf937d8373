"""Statements in one round trip, on PostgreSQL: all or none, each with its own answer, and errors as Django has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, IntegrityError, NotSupportedError, OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite: there is no server to go to"),
]
INTO = "INSERT INTO round_trip (id, body) VALUES ($1::text, $2::text) ON CONFLICT DO NOTHING RETURNING id"


def run(*statements: tuple[str, Any]) -> list[list[str | None]]:
    found: list[list[str | None]] = connection.in_one_round_trip(statements)  # type: ignore[attr-defined]
    return found


def ids() -> list[str | None]:
    return run(("SELECT id FROM round_trip ORDER BY id", ()))[0]


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE round_trip (id text PRIMARY KEY CHECK (id <> 'refused'), body text)")
    yield
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE round_trip")


def test_each_has_its_answer_in_order() -> None:
    assert run((INTO, ["a", None]), (INTO, ["a", "again"]), ("SELECT $1::int + 1", [6])) == [["a"], [], ["7"]]
    assert run((INTO, ["b", "x"]), ("SELECT body FROM round_trip ORDER BY id", ())) == [["b"], [None, "x"]]


def test_values_arrive_as_they_are() -> None:
    given = ["", "\\", "'; DROP TABLE round_trip; --", "{NULL}", "$1 %s %b", "é\U0001f600\n", "x" * 100_000]
    assert run(*(("SELECT $1::text", [text]) for text in given)) == [[text] for text in given]
    assert run(("SELECT $1::boolean::text", [True]), ("SELECT $1::boolean::text", [False])) == [["true"], ["false"]]


def test_a_text_with_nul_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError):
        run((INTO, ["a", "before\x00after"]))
    assert ids() == []


@pytest.mark.parametrize(
    "refused", [[(INTO, ["refused", ""])], [("SELECT 1 / $1::int", [0])], [("SELECT nonsense", [])]]
)
def test_one_that_is_refused_takes_all_along_and_the_connection_goes_on(refused: Any) -> None:
    for _ in range(2):
        with pytest.raises(Exception, match=r"refused|round_trip_id_check|division by zero|nonsense"):
            run((INTO, ["a", ""]), *refused, (INTO, ["b", ""]))
        assert ids() == []
    assert run((INTO, ["c", ""])) == [["c"]]


def test_errors_are_djangos() -> None:
    with pytest.raises(IntegrityError):
        run((INTO, ["refused", ""]))
    with pytest.raises(UnicodeEncodeError):  # before anything was sent
        run((INTO, ["a", ""]), (INTO, ["half a pair: \ud800", ""]))
    assert ids() == []


def test_the_callers_transaction_decides() -> None:
    with pytest.raises(KeyError), transaction.atomic():
        run((INTO, ["a", ""]))  # before psycopg has begun the transaction
        raise KeyError
    with transaction.atomic():
        run((INTO, ["b", ""]))
        with pytest.raises(IntegrityError), transaction.atomic():
            run((INTO, ["refused", ""]))
        run((INTO, ["c", ""]))
    assert ids() == ["b", "c"]


@pytest.mark.parametrize("said", ["rollback", "DEALLOCATE ALL", "DISCARD ALL"])
def test_nothing_of_it_lasts_at_the_server(said: str) -> None:
    """psycopg says DEALLOCATE ALL after a rollback where it has prepared something itself, as each API request does."""
    run((INTO, ["a", ""]), (INTO, ["b", ""]))
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SELECT %s::int", [1])
    if said == "rollback":
        with pytest.raises(KeyError), transaction.atomic():
            run((INTO, ["left out", ""]))
            raise KeyError
    else:
        with connection.cursor() as cursor:
            cursor.execute(said)
    assert run((INTO, ["c", ""]), (INTO, ["d", ""])) == [["c"], ["d"]]
    assert ids() == ["a", "b", "c", "d"]


def test_a_broken_transaction_is_refused() -> None:
    with transaction.atomic():
        with pytest.raises(KeyError), transaction.atomic(savepoint=False):
            raise KeyError
        with pytest.raises(TransactionManagementError):
            run((INTO, ["a", ""]))
    assert ids() == []


def test_without_autocommit_nothing_is_committed() -> None:
    transaction.set_autocommit(False)
    try:
        run((INTO, ["a", ""]))
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert ids() == []


def test_much_in_both_directions_does_not_stand_still() -> None:
    """Neither side's buffers hold it: whoever only sends waits for ever."""
    text = "x" * 1_000_000
    assert run(*(("SELECT $1::text", [text]) for _ in range(30))) == [[text]] * 30


def test_a_connection_that_ends_meanwhile_is_an_operational_error() -> None:
    run((INTO, ["a", ""]))
    with pytest.raises(OperationalError):
        run((INTO, ["b", ""]), ("SELECT pg_terminate_backend(pg_backend_pid())", ()), ("SELECT pg_sleep(1)", ()))
    assert ids() == ["a"]
    with connection.cursor() as cursor:  # Django's own statements, too
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_interrupted_in_the_middle_the_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from backoffice.postgresql import base

    def interrupted(pipeline: Any) -> Any:
        raise KeyboardInterrupt

    run((INTO, ["a", ""]))
    with monkeypatch.context() as patch:
        patch.setattr(base._Pipeline, "_results", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(("SELECT 1", ()))
    assert ids() == ["a"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), transaction.atomic():
        run((INTO, ["b", ""]))
        patch.setattr(base._Pipeline, "_results", interrupted)
        run(("SELECT 1", ()))
    assert ids() == ["a"]


def prepared(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(statement, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def names() -> list[str]:
    """The statements that are prepared on this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_a_prepared_statement_is_parsed_once_and_reads_what_django_reads() -> None:
    moment, before = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), len(names())
    statement = "SELECT %s::text, %s::int, %s::timestamptz, NULL, 1 = 1, '100 %%'"
    for text in ("", "é\U0001f600\n", "'; --", "x" * 100_000):
        assert prepared(statement, text, 7, moment.isoformat()) == [(text, 7, moment, None, True, "100 %")]
    assert len(names()) == before + 1
    assert prepared("SELECT 1 WHERE 1 = 0") == []


@pytest.mark.parametrize("said", ["rollback", "DEALLOCATE ALL", "DISCARD ALL"])
def test_a_prepared_statement_is_prepared_again_after_all_are_gone(said: str) -> None:
    assert prepared("SELECT %s::int", 1) == [(1,)]
    if said == "rollback":
        with pytest.raises(KeyError), transaction.atomic():
            prepared("SELECT %s::int", 2)
            raise KeyError
    else:
        with connection.cursor() as cursor:
            cursor.execute(said)
    assert names() == []
    assert prepared("SELECT %s::int", 3) == [(3,)]
    with transaction.atomic():
        with pytest.raises(DataError), transaction.atomic():
            prepared("SELECT 1 / %s::int", 0)
        assert prepared("SELECT %s::int", 4) == [(4,)]


def elsewhere(statement: str) -> None:
    """Runs it on another connection, as a migration does while this process goes on."""
    other: Any = connection.copy()
    other.settings_dict = {**other.settings_dict, "OPTIONS": {**other.settings_dict["OPTIONS"], "pool": False}}
    with other.cursor() as cursor:
        cursor.execute(statement)
    other.close()


def test_a_prepared_statement_goes_on_after_a_migration_changed_a_column() -> None:
    run((INTO, ["a", "x"]))
    for column in ("id", "body"):
        assert prepared(f"SELECT {column} FROM round_trip") != []
    elsewhere("ALTER TABLE round_trip ALTER COLUMN body TYPE varchar(40)")
    for _ in range(2):
        assert prepared("SELECT body FROM round_trip") == [("x",)]
        assert prepared("SELECT id FROM round_trip") == [("a",)]
    with transaction.atomic():
        assert prepared("SELECT body FROM round_trip") == [("x",)]
    elsewhere("ALTER TABLE round_trip ALTER COLUMN body TYPE varchar(41)")
    with pytest.raises(NotSupportedError), transaction.atomic():  # only the caller can begin the transaction again
        prepared("SELECT body FROM round_trip")
    assert prepared("SELECT body FROM round_trip") == [("x",)]


def test_a_prepared_statement_is_prepared_again_where_the_server_forgot_it() -> None:
    """As behind a pooler that resets a connection between two clients, of which psycopg hears nothing."""
    assert prepared("SELECT %s::int", 1) == [(1,)]
    run(("DISCARD ALL", ()))
    for number in (2, 3):
        assert prepared("SELECT %s::int", number) == [(number,)]
    with pytest.raises(DataError):
        prepared("SELECT 1 / %s::int", 0)
    assert len(names()) == 2


def test_a_prepared_statement_belongs_to_the_callers_transaction() -> None:
    with pytest.raises(KeyError), transaction.atomic():
        prepared("INSERT INTO round_trip (id) VALUES (%s) RETURNING id", "a")  # before psycopg has begun it
        raise KeyError
    assert ids() == []


def test_errors_of_prepared_statements_are_djangos() -> None:
    for _ in range(2):
        with pytest.raises(DataError):  # and no text that ends at the NUL
            prepared("SELECT %s::text", "before\x00after")
        with pytest.raises(IntegrityError):
            prepared("INSERT INTO round_trip (id) VALUES (%s)", "refused")
    assert prepared("SELECT %s::int", 1) == [(1,)]
    with pytest.raises(OperationalError):
        prepared("SELECT pg_terminate_backend(pg_backend_pid())")
