"""Statements that every request sends, prepared where the database can keep what it has planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection


def rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What the statement finds. On PostgreSQL it is planned once for each connection; planning the one that finds a
    token takes longer than running it. A statement must not be made of what a caller sends: each text is one plan."""
    with getattr(connection, "prepared_cursor", connection.cursor)() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
