"""A JSON column that keeps the order of members, the numbers and `\\u0000`. It is text in the database."""

from typing import TYPE_CHECKING, Any

from django.db import models

from invoices.models.reading import ascii_text_of, json_of, text_of

if TYPE_CHECKING:
    Text = models.TextField[Any, Any]
else:
    Text = models.TextField


class ObjectField(Text):
    """JSON that is text in the database, and any JSON value (mostly a dict) in Python.

    Django's JSONField is `jsonb` on PostgreSQL, which refuses `\\u0000`, rewrites numbers and forgets the order of
    members. Nothing queries inside this column: what people filter by has a column of its own.

    The same value is always the same text, because triggers compare what the journal holds as text. `spelled_anyhow`:
    it may be another one from version to version, which takes a tenth of the time. For what nothing compares.
    """

    def __init__(self, *args: Any, spelled_anyhow: bool = False, **options: Any) -> None:
        self.spelled_anyhow = spelled_anyhow  # no part of the migrations: the column is the same
        super().__init__(*args, **options)

    if TYPE_CHECKING:
        _pyi_private_set_type: Any
        _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else json_of(value)

    def to_python(self, value: Any) -> Any:
        return json_of(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        """Raises ValueError for a number that is not finite, which is no JSON: other readers refuse it."""
        if value is None:
            return None
        return text_of(value) if self.spelled_anyhow else ascii_text_of(value)

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""
