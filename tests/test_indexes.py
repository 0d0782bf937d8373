"""The indexes on PostgreSQL: each was asked for by name, none stands twice, and writes that change none stay small."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from django.apps import apps
from django.db import connection

from invoices.models import MIRRORED

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
            columns, _, condition = definition.partition(" USING btree ")[2].partition(" WHERE ")
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
    """So that its question can stand beside it."""
    for model in MIRRORED.values():
        named = {index.name for index in model._meta.indexes} | {f"{model._meta.db_table}_pkey"}
        assert {name for name, *_ in indexes()[model._meta.db_table]} == named


def test_a_write_that_changes_no_index_finds_room_on_its_page() -> None:
    with connection.cursor() as cursor:
        for model in MIRRORED.values():
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [model._meta.db_table])
            (options,) = cursor.fetchone()
            assert {each.partition("=")[0] for each in options} >= {"fillfactor", "toast_tuple_target"}
