"""Rows of the journal: what of them may change is said once, by `Rules`, for the code here and for the triggers.

The triggers (models/triggers.py) refuse the same to plain SQL. `_base_manager` and `QuerySet._update` come past the
code, and meet them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.db import models

Row = Mapping[str, Any]  # column (Django's attname) → value


class ImmutableError(Exception):
    """Code tried to rewrite or delete a journal row: an error in that code."""


@dataclass(frozen=True)
class Forbidden:
    """A change that a table refuses beyond what its columns say: the same condition in SQL and in Python."""

    message: str
    sql: str  # of OLD and NEW
    test: Callable[[Row, Row], bool]  # of the row before and after
    columns: tuple[str, ...]  # which the test reads
    sqlite: str = ""  # the condition on SQLite, where it is another one


@dataclass(frozen=True)
class Rules:
    """What of a stored row may change. A column that is not named here never changes, and no row is ever deleted.

    Columns are named as in the database (`actor_id`).
    """

    working: frozenset[str] = frozenset()  # how far our processes have come: no evidence, may change at any time
    changing: frozenset[str] = frozenset()  # evidence that may change until the row has ended
    once: frozenset[str] = frozenset()  # evidence that is set once, from empty
    decision: frozenset[str] = frozenset()  # as `once`, but may change when the row is `reopened`
    reopened: tuple[str, Any, Any] | None = None  # a column and its values before and after
    final: tuple[str, ...] = ()  # values of `state` in which nothing changes any more, not even `working`
    ended_at: str = ""  # the column that ends the row when it is set: then only `working` may change
    moves: Mapping[str, frozenset[str]] = field(default_factory=dict)  # `state` → the states that may follow
    forbidden: tuple[Forbidden, ...] = ()
    # What an erasure may rewrite, and nothing else: a text becomes `personal.REDACTED` as a whole, and in a document
    # (JSON) the personal members do.
    texts: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    # Unique constraints that writers rely on with ON CONFLICT DO NOTHING: on SQLite a second row is left out silently.
    left_out: frozenset[str] = frozenset()

    def never(self, model: type[models.Model]) -> list[str]:
        """The columns that never change, in the order of the alphabet."""
        named = self.working | self.changing | self.once | self.decision
        return sorted({column.attname for column in model._meta.concrete_fields} - named)

    def evidence(self, model: type[models.Model]) -> list[str]:
        """The columns whose content is evidence, in the order of the alphabet."""
        return sorted({column.attname for column in model._meta.concrete_fields} - self.working)

    def is_sealed(self, row: Row) -> bool:
        """Whether the row's evidence can never change again."""
        if self.final or self.ended_at:
            return row.get("state") in self.final or bool(self.ended_at and row[self.ended_at] is not None)
        return not (self.changing | self.once | self.decision)

    def read_for(self, changed: Iterable[str]) -> set[str]:
        """The columns that `refusal` needs to judge a change of these."""
        columns = set(changed)
        if self.final or self.moves:
            columns.add("state")
        if self.ended_at:
            columns.add(self.ended_at)
        if self.reopened:
            columns.add(self.reopened[0])
        for forbidden in self.forbidden:
            columns.update(forbidden.columns)
        return columns

    def refusal(self, old: Row, new: Row) -> str:
        """Why the row may not change so; empty where it may. Both have the columns of `read_for`."""
        changed = {name for name in new if new[name] != old[name]}
        reopened = self.reopened is not None and (
            (old[self.reopened[0]], new[self.reopened[0]]) == (self.reopened[1], self.reopened[2])
        )
        closed = self.once | (frozenset() if reopened else self.decision)
        if self.final and old["state"] in self.final:
            return "is final"
        if self.ended_at and old[self.ended_at] is not None and changed - self.working:
            return "has ended"
        if never := sorted(changed - self.working - self.changing - self.once - self.decision):
            return f"never changes its {', '.join(never)}"
        if twice := sorted(name for name in changed & closed if old[name] not in (None, "")):
            return f"has its {', '.join(twice)} already"
        if self.moves and "state" in changed and new["state"] not in self.moves.get(old["state"], frozenset()):
            return f"does not go from {old['state']} to {new['state']}"
        return next((forbidden.message for forbidden in self.forbidden if forbidden.test(old, new)), "")


class ImmutableQuerySet(models.QuerySet):
    """Refuses to delete rows, and to make the changes that the model's rules refuse."""

    def delete(self) -> Any:
        raise ImmutableError(f"{self.model._meta.verbose_name_plural} are journalled: they cannot be deleted.")

    def _raw_delete(self, using: str | None) -> int:
        return self.delete()

    def update(self, **kwargs: Any) -> int:
        self._check(self, kwargs)
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("update_conflicts"):
            raise ImmutableError(f"{self.model._meta.verbose_name_plural} are journalled: none is replaced.")
        return super().bulk_create(objs, *args, **kwargs)

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> int:
        """Of `working` columns only. Each row's evidence is judged by its own new value, which `save` knows."""
        objs = tuple(objs)
        for obj in objs:  # before the transaction that a refusal would spoil
            self._check(self.filter(pk=obj.pk), {name: getattr(obj, name) for name in fields})
        assert issubclass(self.model, ImmutableModel)  # noqa: S101  for the type checker
        if evidence := {_column(self.model, name).attname for name in fields} - self.model.rules.working:
            raise ImmutableError(f"{', '.join(sorted(evidence))} is saved one row at a time.")
        return super().bulk_update(objs, fields, batch_size)

    def _check(self, rows: models.QuerySet, changes: dict[str, Any]) -> None:
        assert issubclass(self.model, ImmutableModel)  # noqa: S101  for the type checker
        self.model.check_update(rows, changes)


class ImmutableModel(models.Model):
    """A row of the journal. `rules` say which changes are refused; deleting always is."""

    rules: ClassVar[Rules]

    objects = ImmutableQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def check_update(cls, rows: models.QuerySet, changes: dict[str, Any]) -> None:
        """Raises ImmutableError if one of the rows must not get these changes (field name → new value)."""
        new = {}
        for name, value in changes.items():
            column = _column(cls, name)
            is_expression = hasattr(value, "resolve_expression")
            if is_expression and column.attname not in cls.rules.working:
                raise ImmutableError(f"{column.name} of {cls._meta.verbose_name_plural} is set to values, row by row.")
            new[column.attname] = value if is_expression else _as_stored(column, value)
        if not cls.rules.final and new.keys() <= cls.rules.working:
            return
        for old in rows.order_by().values(*sorted(cls.rules.read_for(new))):
            if why := cls.rules.refusal(old, {**old, **new}):
                raise ImmutableError(f"This {cls._meta.verbose_name} {why}: the journal is not rewritten.")

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not kwargs.get("force_insert"):  # with a key that is stored already, Django updates even a new object
            fields = kwargs.get("update_fields") or [column.name for column in self._meta.concrete_fields]
            changes = {name: getattr(self, name) for name in fields if not self._meta.get_field(name).primary_key}  # type: ignore[union-attr]
            type(self).check_update(type(self)._base_manager.filter(pk=self.pk), changes)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise ImmutableError(f"{self} is journalled: it cannot be deleted.")


def _column(model: type[models.Model], name: str) -> models.Field:
    found = model._meta.pk if name == "pk" else model._meta.get_field(name)
    assert isinstance(found, models.Field)  # noqa: S101  for the type checker
    return found


def _as_stored(column: models.Field, value: Any) -> Any:
    """The value as a read of the column gives it."""
    if isinstance(value, models.Model):
        value = value.pk
    return (column.target_field if isinstance(column, models.ForeignKey) else column).to_python(value)


def names_people(model: type[models.Model]) -> list[models.ForeignKey]:
    """The columns that name a person, by the id of the user."""
    user = get_user_model()._meta.label
    return [
        column
        for column in model._meta.concrete_fields
        if isinstance(column, models.ForeignKey) and column.related_model._meta.label == user
    ]
