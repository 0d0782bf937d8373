"""What a row of the journal says, as bytes that are always the same for the same content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Cast

from invoices.models import CHAINED, Event, personal
from invoices.models.fields import ObjectField
from invoices.models.immutable import ImmutableModel, names_people
from invoices.models.reading import BIGINT_LIMIT

ROWS_IN_MEMORY = 20  # the body of one event may have a megabyte


class Content(NamedTuple):
    """What a link says of a row. `fixed` and `digest` are hexadecimal SHA-256."""

    fixed: str  # of the columns that never change
    digest: str  # of all evidence
    sealed: bool  # nothing of it can change any more
    kept: str  # of what is not personal: an erasure leaves it as it is


def row_text(key: Any = "pk") -> Cast:
    """The row's id as the triggers write it into the queue."""
    return Cast(key, models.TextField())


def contents(kind: str, rows: Iterable[str]) -> Iterator[tuple[str, Content]]:
    """The rows of this kind that there are, in no order: (id as text, content)."""
    model = CHAINED[kind]
    key = model._meta.pk
    by_key = {value: row for row in rows if (value := _key(key, row)) is not None}
    columns = {column.attname: column for column in model._meta.concrete_fields}
    evidence, never = model.rules.evidence(model), set(model.rules.never(model))
    # As text, because the type of such a column drops the members that it does not know.
    as_text = {f"{name}_text": name for name in evidence if isinstance(columns[name], ObjectField)}
    people = {f"{who.name}__username": who.attname for who in names_people(model)}
    read = [name for name in evidence if name not in as_text.values()]
    found = (
        model._base_manager.filter(pk__in=list(by_key))
        .annotate(**{alias: Cast(name, models.TextField()) for alias, name in as_text.items()})
        .values(*read, *as_text, *people)
    )
    for values in found.iterator(chunk_size=ROWS_IN_MEMORY):
        said = {}
        for alias, value in values.items():
            name = as_text.get(alias) or people.get(alias) or alias
            # What is empty is left out, so that a column that an upgrade adds changes no digest.
            if not _is_empty(columns[name], value, is_name=alias in people):
                said[alias] = value
        fixed = {
            alias: value for alias, value in said.items() if (as_text.get(alias) or people.get(alias) or alias) in never
        }
        digest = _sha256(said)
        # Where nothing else is said, as of an event, the two are the same, and its body is hashed once.
        fixed_digest = digest if len(fixed) == len(said) else _sha256(fixed)
        yield (
            by_key[values[key.attname]],
            Content(fixed_digest, digest, model.rules.is_sealed(values), _kept(model, said, as_text)),
        )


def content_of_event(event: Event) -> Content:
    """The same of an event that is in no table, but was read from an archive."""
    return content_of_row(event)


def content_of_row(row: ImmutableModel) -> Content:
    """The same of a row that was read from an archive. Its table has no evidence that may change, and names no user."""
    model = type(row)
    columns = {name: model._meta.get_field(name) for name in model.rules.evidence(model)}
    said = {name: getattr(row, name) for name in columns}
    said = {name: value for name, value in said.items() if not _is_empty(columns[name], value, is_name=False)}  # type: ignore[arg-type]
    digest = _sha256(said)
    return Content(digest, digest, True, _kept(model, said, {}))


def _kept(model: type[ImmutableModel], said: dict[str, Any], as_text: dict[str, str]) -> str:
    """The hash of what an erasure leaves as it is. `as_text`: alias → the column that is read as text."""
    return _sha256(
        {
            alias: personal.facts(personal.parsed(value) if isinstance(value, str) else value)
            if (as_text.get(alias) or alias) in model.rules.documents
            else value
            for alias, value in said.items()
            if alias not in model.rules.texts
        }
    )


def _key(column: models.Field, row: str) -> Any:
    """The id that this text stands for; None where it is none of this kind."""
    try:
        value = column.to_python(row)
    except ValidationError:
        return None
    return None if isinstance(value, int) and abs(value) >= BIGINT_LIMIT else value


def _is_empty(column: models.Field, value: Any, *, is_name: bool) -> bool:
    if value in (None, ""):
        return True
    if is_name or column.default is models.NOT_PROVIDED:
        return False
    if column.default in (dict, list):
        return value in ({}, [], "{}", "[]")
    return not callable(column.default) and bool(value == column.default)


def _sha256(said: dict[str, Any]) -> str:
    return hashlib.sha256(_ENCODER.encode(said).encode()).hexdigest()


def _text(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


# One for all, because `json.dumps` makes a new one for every call that names how it is to write.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_text)
