"""The rows that a query asks for, so that the database reads few of them.

What part of a table has a word, a part of a text or a pair of metadata is not in PostgreSQL's statistics, but for the
commonest. Where it takes half a per cent for granted, it looks for a pair that three invoices have by walking through
all of them, newest first. So such a clause is asked alone first, and one that few rows match becomes their ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from typing import Any

from django.db import connection
from django.db.models import Model, Q, QuerySet

from invoices import thresholds
from invoices.models.searchable import folded, windows
from invoices.search.conditions import Resource, condition_of, search_index_of, words_begin
from invoices.search.language import Clause, Query
from invoices.search.time_limit import TakesTooLong, time_limit

FEW = 500  # rows: cheaper to fetch and sort than to meet by chance
COMMON = 50_000  # rows: where the statistics say so, they are right, and the newest rows have some
# Ways to read a table other than by the index that holds what is asked for.
OTHER_WAYS = ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan")


def matching(rows: QuerySet[Any], query: Query, resource: Resource) -> QuerySet[Any]:
    """Those of these rows that the query asks for. Raises QueryError for what this kind of object cannot be asked.

    It asks the database already, for `thresholds.SEARCH_PLANNED` at most. How to read the rows is in `pages.py`.
    """
    conditions = [condition_of(clause, resource) for clause in query.clauses]
    if connection.vendor == "postgresql":
        with suppress(TakesTooLong), time_limit(thresholds.SEARCH_PLANNED) as limit:
            for place, clause in enumerate(query.clauses):
                limit.check()
                ids = _ids_of_few(clause, conditions[place], resource)
                if ids is not None:
                    conditions[place] = Q(pk__in=ids)
                    if not query.any_of:
                        break  # the other clauses are asked of these rows
    return rows.filter(reduce(Q.__or__ if query.any_of else Q.__and__, conditions))


def _ids_of_few(clause: Clause, condition: Q, resource: Resource) -> list[str] | None:
    """The ids of the rows that match this clause. None where they are many, or another index finds them."""
    looked_up = search_index_of(clause, resource)
    if looked_up is None:
        return None
    entries = resource.model._default_manager.filter(looked_up).order_by().values_list("pk", flat=True)
    if json.loads(entries.explain(format="json"))[0]["Plan"]["Plan Rows"] > COMMON:
        return None
    with _by_that_index_alone():
        ids = list(entries.filter(condition)[: FEW + 1])
    return ids if len(ids) <= FEW else None


def with_words(model: type[Model], column: str, text: str, most: int) -> list[str]:
    """The ids of rows of which a word of this name begins so, or some words that follow each other; at most so many.
    Of a single character none. Raises TakesTooLong."""
    value = folded(text)
    return _by_windows(model, column, words_begin(column, value), windows(f" {value}", whole=False), most)


def of_domain(model: type[Model], column: str, domain: str, most: int) -> list[str]:
    """The ids of rows with an e-mail address of this domain, at most so many. Raises TakesTooLong."""
    value = folded(domain)
    return _by_windows(model, column, Q(**{f"{column}__endswith": f"@{value}"}), windows(value, whole=True), most)


def _by_windows(model: type[Model], column: str, condition: Q, wanted: list[str], most: int) -> list[str]:
    if not wanted:
        return []
    rows = model._default_manager.filter(condition).order_by().values_list("pk", flat=True)
    with time_limit(thresholds.SEARCH_PLANNED):
        if connection.vendor != "postgresql":
            return list(rows[:most])
        rows = rows.filter(**{f"{column}__has_windows": wanted})
        if json.loads(rows.explain(format="json"))[0]["Plan"]["Plan Rows"] > COMMON:
            return list(rows[:most])
        with _by_that_index_alone():
            return list(rows[:most])


@contextmanager
def _by_that_index_alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        _allow_other_ways(cursor, "off")
        yield
        _allow_other_ways(cursor, "on")


def _allow_other_ways(cursor: Any, allowed: str) -> None:
    settings = ", ".join("set_config(%s, %s, true)" for _ in OTHER_WAYS)
    cursor.execute(f"SELECT {settings}", [value for way in OTHER_WAYS for value in (way, allowed)])
