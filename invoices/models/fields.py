"""A JSON column that keeps the order of members, the numbers and `\\u0000`. It is text in the database."""

from typing import TYPE_CHECKING, Any

from django.db import models

from invoices.models.reading import json_of, text_of

if TYPE_CHECKING:
    Text = models.TextField[Any, Any]
else:
    Text = models.TextField


class ObjectField(Text):
    """JSON that is text in the database, and any JSON value (mostly a dict) in Python.

    Django's JSONField is `jsonb` on PostgreSQL, which refuses `\\u0000`, rewrites numbers and forgets the order of
    members. Nothing queries inside this column: what people filter by has a column of its own.
    """

    if TYPE_CHECKING:
        _pyi_private_set_type: Any
        _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else json_of(value)

    def to_python(self, value: Any) -> Any:
        return json_of(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        """Raises ValueError for a number that is not finite, which is no JSON: other readers refuse it."""
        return None if value is None else text_of(value)

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""
