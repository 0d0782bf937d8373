"""Inserts and updates many rows of one table by one statement, on both databases.

PostgreSQL takes each column as one array, in binary. Django would quote every value into the text of the statement,
which took more than half of the worker's time. SQLite runs one prepared statement for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection, models

from invoices.models.fields import ObjectField

M = TypeVar("M", bound=models.Model)


def known(model: type[models.Model], keys: Sequence[str]) -> set[str]:
    """Those of these keys that are there."""
    if connection.vendor != "postgresql":
        return set(model._base_manager.filter(pk__in=keys).values_list("pk", flat=True))
    key = _quoted(_key(model))
    with connection.binding_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(f"SELECT {key} FROM {model._meta.db_table} WHERE {key} = ANY(%b)", [list(keys)])
        return {found for (found,) in cursor.fetchall()}


def locked(model: type[M], keys: Sequence[str]) -> list[M]:
    """Those of these rows that are there, locked in the order of their keys until the transaction ends."""
    if connection.vendor != "postgresql":
        # Which is the only one that writes.
        return list(model._base_manager.filter(pk__in=keys).order_by("pk"))
    fields, key = model._meta.concrete_fields, _quoted(_key(model))
    columns = ", ".join(_quoted(field) for field in fields)
    with connection.binding_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(
            f"SELECT {columns} FROM {model._meta.db_table} WHERE {key} = ANY(%b) ORDER BY {key} FOR UPDATE",
            [list(keys)],
        )
        found = cursor.fetchall()
    names = [field.attname for field in fields]
    objects = [place for place, field in enumerate(fields) if isinstance(field, ObjectField)]
    rows = []
    for values in map(list, found):
        for place in objects:
            values[place] = fields[place].to_python(values[place])
        rows.append(model.from_db(connection.alias, names, values))
    return rows


def insert(model: type[models.Model], rows: Sequence[models.Model], *, absent: bool = False) -> set[Any]:
    """Inserts these rows in their order; the keys that were inserted. Every column must have a value, also one with a
    default.

    `absent`: rows whose key is there already are left out, and one that another transaction is inserting is waited for.
    Otherwise such a row raises IntegrityError.
    """
    if not rows:
        return set()
    table, key = model._meta.db_table, _quoted(_key(model))
    fields = _said(model._meta.concrete_fields, rows)
    columns = ", ".join(_quoted(field) for field in fields)
    unless_there = f"ON CONFLICT ({key}) DO NOTHING" if absent else ""
    if connection.vendor == "postgresql":
        given = ", ".join(f"%b::{type_of(field)}[]" for field in fields)
        statement = f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({given}) {unless_there} RETURNING {key}"
        with connection.binding_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(statement, [values_of(field, rows) for field in fields])
            return {found for (found,) in cursor.fetchall()}
    places = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({places}) {unless_there}",
            list(zip(*(values_of(field, rows) for field in fields), strict=True)),
        )
    return {row.pk for row in rows}  # the caller looked, and this transaction is the only one that writes


def update(model: type[models.Model], rows: Sequence[models.Model], columns: Sequence[str]) -> None:
    """Writes these columns (Django's attname) of these rows, found by their keys."""
    if not rows or not columns:
        return
    table, key = model._meta.db_table, _key(model)
    fields = [field for field in model._meta.concrete_fields if field.attname in columns]
    if connection.vendor == "postgresql":
        changes = ", ".join(f"{_quoted(field)} = given.{_quoted(field)}" for field in fields)
        given = ", ".join(f"%b::{type_of(field)}[]" for field in (key, *fields))
        names = ", ".join(_quoted(field) for field in (key, *fields))
        statement = (
            f"UPDATE {table} AS held SET {changes} FROM unnest({given}) AS given ({names}) "
            f"WHERE held.{_quoted(key)} = given.{_quoted(key)}"
        )
        with connection.binding_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(statement, [values_of(field, rows) for field in (key, *fields)])
        return
    changes = ", ".join(f"{_quoted(field)} = %s" for field in fields)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET {changes} WHERE {_quoted(key)} = %s",
            list(zip(*(values_of(field, rows) for field in (*fields, key)), strict=True)),
        )


def _key(model: type[models.Model]) -> models.Field:
    assert model._meta.pk is not None  # noqa: S101  for the type checker
    return model._meta.pk


def _said(fields: Sequence[models.Field], rows: Sequence[models.Model]) -> list[models.Field]:
    """The columns of which at least one row says something: of the others every row has null, which is the default."""
    return [field for field in fields if any(getattr(row, field.attname) is not None for row in rows)]


def values_of(field: models.Field, rows: Sequence[models.Model]) -> list[Any]:
    """One column of these rows, as the database driver takes it."""
    values = [getattr(row, field.attname) for row in rows]
    if isinstance(field, ObjectField):
        return [field.get_prep_value(value) for value in values]
    if connection.vendor != "postgresql" and isinstance(field, models.DateTimeField):
        adapted = connection.ops.adapt_datetimefield_value
        return [adapted(value) if isinstance(value, datetime) else value for value in values]
    if connection.vendor != "postgresql" and isinstance(_target(field), models.UUIDField | models.DateField):
        return [_target(field).get_db_prep_value(value, connection) for value in values]
    return values


def _target(field: models.Field) -> models.Field:
    """The column itself, or that of the other table which it names."""
    return field.target_field if isinstance(field, models.ForeignKey) else field


def type_of(field: models.Field) -> str:
    """The type of the column in PostgreSQL, without its length: a cast to `varchar(255)` would cut a longer text
    without an error."""
    return str(field.rel_db_type(connection) if field.is_relation else field.db_type(connection)).partition("(")[0]


def _quoted(field: models.Field) -> str:
    return connection.ops.quote_name(str(field.column))
