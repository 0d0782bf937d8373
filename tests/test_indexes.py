"""The indexes on PostgreSQL: each was asked for by name, none stands twice, and writes that change none stay small."""

from __future__ import annotations

import importlib
import random
import re
import string
from collections import defaultdict
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from invoices import intake, sync
from invoices.models import MIRRORED, partitions, searchable
from tests.factories import InvoiceObject
from tests.helpers.events import stripe_event

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="NOT CHECKED HERE: the indexes of PostgreSQL"),
]
TABLES = {model._meta.db_table: model for model in apps.get_app_config("invoices").get_models()}


def indexes() -> dict[str, list[tuple[str, list[str], str, bool]]]:
    """Table → its indexes: name, columns in order, condition, whether it is unique."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename, indexname, indexdef FROM pg_indexes "
            "WHERE schemaname = current_schema() AND tablename = ANY(%s) ORDER BY indexname",
            [list(TABLES)],
        )
        found = defaultdict(list)
        for table, name, definition in cursor.fetchall():
            after = re.split(r" USING \w+ ", definition)[1]
            columns, _, condition = re.sub(r" WITH \([^)]*\)", "", after).partition(" WHERE ")
            parts = re.sub(r"^\((.*)\)$", r"\1", columns.strip()).split(", ")
            found[table].append((name, parts, condition, " UNIQUE " in definition))
        return dict(found)


def test_no_index_is_there_only_for_like() -> None:
    """Django makes one beside the index of each text column. A search by the beginning of a text names its own: see
    `_text` in models/mirrored.py. A new table drops Django's as migration 0010 does."""
    twins = [name for each in indexes().values() for name, *_ in each if name.endswith("_like")]
    assert not twins


def test_no_index_is_the_beginning_of_another() -> None:
    spare = [
        f"{name} is the beginning of {longer}"
        for each in indexes().values()
        for name, columns, condition, unique in each
        for longer, others, other_condition, _ in each
        if name != longer and not unique and condition == other_condition and others[: len(columns)] == columns
    ]
    assert not spare


def test_every_index_of_the_mirror_stands_in_the_model() -> None:
    """So that its question can stand beside it. Those that only PostgreSQL has are in models/searchable.py."""
    for model in MIRRORED.values():
        table = model._meta.db_table
        named = {index.name for index in model._meta.indexes} | {f"{table}_pkey"}
        named |= {name for name, (of, _) in searchable.INDEXES.items() if of == table}
        assert {name for name, *_ in indexes()[table]} == named


def test_a_write_that_changes_no_index_finds_room_on_its_page() -> None:
    with connection.cursor() as cursor:
        for model in MIRRORED.values():
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [model._meta.db_table])
            (options,) = cursor.fetchone()
            assert {each.partition("=")[0] for each in options} >= {"fillfactor", "toast_tuple_target"}


growth = importlib.import_module("invoices.migrations.0020_growth")
short = importlib.import_module("invoices.migrations.0023_short_columns_in_their_row")
credits = importlib.import_module("invoices.migrations.0026_credit_notes_and_refunds").TABLES
newer = (*credits, "invoices_charge")  # kept in the same way


def options_of(table: str) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [table])
        (options,) = cursor.fetchone()
    return dict(each.split("=") for each in options or [])


def test_autovacuum_tends_what_is_written_again_and_again() -> None:
    for queue in ("invoices_pendingevent", "invoices_unchainedrow", "invoices_scheduledrefetch"):
        assert options_of(queue)["autovacuum_vacuum_scale_factor"] == "0", queue
    for table, options in growth.STORAGE.items():
        assert options_of(table) == {name: str(value) for name, value in options.items()}


def compressions(table: str, column: str) -> set[str]:
    """How this column of the table and of its partitions is compressed: `l` for lz4."""
    tables = [table, *partitions.of(connection, table)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT attcompression::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE relname = ANY(%s) AND attname = %s",
            [tables, column],
        )
        return {found for (found,) in cursor.fetchall()}


def test_large_texts_are_compressed_by_lz4_also_those_of_months_to_come() -> None:
    with connection.cursor() as cursor:
        if not growth.has_lz4(cursor):
            pytest.skip("NOT CHECKED HERE: this PostgreSQL was built without lz4")
    assert partitions._make(date(2025, 3, 1))
    for table, column in (*growth.COMPRESSED, *((table, "data") for table in newer)):
        assert compressions(table, column) == {"l"}, table
    for month in partitions.of(connection, partitions.EVENTS):
        assert options_of(month)["toast_tuple_target"] == "256", month


def test_ids_and_names_stand_in_their_row_and_the_document_beside_it() -> None:
    """Else each comparison of an id reads another table. Also in months to come."""
    partitions._make(date(2025, 4, 1))
    tables = [table for parent in (*short.TABLES, *newer) for table in (parent, *partitions.of(connection, parent))]
    assert "invoices_event_2025_04" in tables
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND 'toast_tuple_target=256' = ANY(reloptions)"
        )
        assert {table for (table,) in cursor.fetchall()} <= set(tables)
        for table in tables:
            cursor.execute(
                "SELECT attstorage::text, array_agg(attname::text) FROM pg_attribute WHERE attrelid = %s::regclass "
                "AND attnum > 0 AND atttypid IN ('varchar'::regtype, 'text'::regtype) GROUP BY 1",
                [table],
            )
            storage = dict(cursor.fetchall())
            assert set(storage["x"]) <= {"data", "body", "error", "error_message", "report", "cursor"}, table


def test_nothing_but_documents_leaves_its_row() -> None:
    chance = random.Random(1)
    for number in range(20):
        name, noise = ("".join(chance.choices(string.ascii_letters, k=length)) for length in (200, 4000))
        found = InvoiceObject(customer_email=f"{name}@example.com", customer_name=name)
        found["metadata"] = {"noise": noise}  # so that the document has the size of a real one
        intake.journal([intake.event_row(stripe_event(found, id=f"evt_{number}_{'x' * 60}"))])
    assert sync.process_events() == 20
    outside = {}
    for table in ("invoices_invoice", *partitions.of(connection, "invoices_event")):
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = %s", [table])
            [(toast,)] = cursor.fetchall()
            cursor.execute(f"SELECT count(DISTINCT chunk_id) FROM {toast}")
            outside[table] = cursor.fetchone()[0]
    assert outside.pop("invoices_invoice") == 20 and sum(outside.values()) == 20


class WithoutLz4:
    """A connection to a server that was built without lz4: it would refuse the word."""

    vendor = "postgresql"

    def cursor(self) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        assert "pg_settings" in statement

    def fetchone(self) -> tuple[bool]:
        return (False,)


def test_a_server_without_lz4_keeps_its_own_compression() -> None:
    said: list[str] = []
    growth.compress(apps, SimpleNamespace(connection=WithoutLz4(), execute=said.append))
    assert said == []


def test_the_storage_can_be_taken_back_and_given_again() -> None:
    """An interrupted migration is repeated from its beginning."""
    with connection.schema_editor(atomic=False) as editor:
        growth.forget(apps, editor)
        growth.decompress(apps, editor)
        assert options_of("invoices_operation") == {} and compressions("invoices_event", "body") == {""}
        for _ in range(2):
            growth.compress(apps, editor)
            growth.store(apps, editor)
    assert options_of("invoices_operation")["autovacuum_vacuum_scale_factor"] == "0.01"


DONE_BEFORE = """
INSERT INTO invoices_event (id, type, created, api_version, account, object_type, object_id, request_id,
    idempotency_key, body, source, state, attempts, error)
SELECT 'evt_before_' || n, 'invoice.paid', to_timestamp(%s - n), '', '', 'invoice', 'in_' || n, '', '', '{}', 'webhook',
    'pending', 0, ''
FROM generate_series(1, 5000) n;
UPDATE invoices_event SET state = 'done' WHERE id LIKE 'evt_before_%%';
ANALYZE invoices_event
"""


def test_events_are_not_claimed_by_the_index_of_pending_ones() -> None:
    """The index of pending events has an entry for each that was pending since the last vacuum. A plan that goes by it
    takes longer with every event that was done."""
    events = [stripe_event(InvoiceObject(), id=f"evt_{number:03}") for number in range(40)]
    with connection.cursor() as cursor:
        cursor.execute(DONE_BEFORE, [events[0]["created"]])
    intake.write(intake.event_row(event) for event in events)
    with CaptureQueriesContext(connection) as captured:
        assert sync.process_events() == 40
    claimed = [query["sql"] for query in captured if re.match(r'SELECT .* FROM "invoices_event"', query["sql"])]
    assert claimed
    with connection.cursor() as cursor:
        for statement in claimed:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "received_at" not in plan, plan  # by which the pending ones are indexed
            found = re.search(r"Buffers: shared hit=(\d+)", plan)
            assert found and int(found[1]) < 400, plan
