"""Rows that are evidence: refused in code here, and by triggers in the database (migration 0002)."""

from __future__ import annotations

from typing import Any

from django.db import models


class Sealed(Exception):
    """The journal is not rewritten. Always a fault of the code that tried."""


class SealedQuerySet(models.QuerySet):
    """Refuses what would rewrite the journal: deleting, and changing what the model calls sealed."""

    def delete(self) -> Any:
        raise Sealed(f"{self.model._meta.verbose_name_plural} are journalled: they cannot be deleted.")

    def _raw_delete(self, using: str | None) -> int:
        return self.delete()

    def update(self, **kwargs: Any) -> int:
        self._check(self, kwargs)
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> int:
        objs = tuple(objs)
        chosen = self.model._base_manager.filter(pk__in=[obj.pk for obj in objs])
        for obj in objs:
            self._check(chosen.filter(pk=obj.pk), {name: getattr(obj, name) for name in fields})
        return super().bulk_update(objs, fields, batch_size)

    def _check(self, rows: models.QuerySet, changes: dict[str, Any]) -> None:
        assert issubclass(self.model, SealedModel)  # noqa: S101  for the type checker
        self.model.check_update(rows, changes)


class SealedModel(models.Model):
    """A journalled row. `check_update` says which changes are refused."""

    objects = SealedQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def check_update(cls, rows: models.QuerySet, changes: dict[str, Any]) -> None:
        """Raises Sealed where these changes would rewrite what these rows say."""
        raise NotImplementedError

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding and not kwargs.get("force_insert"):
            fields = kwargs.get("update_fields") or [field.name for field in self._meta.concrete_fields]
            stored = type(self)._base_manager.filter(pk=self.pk)
            changes = {name: getattr(self, name) for name in fields if name != "id"}
            type(self).check_update(stored, changes)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise Sealed(f"{self} is journalled: it cannot be deleted.")
