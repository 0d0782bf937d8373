"""The changes of the mirror, numbered in one order without gaps. Triggers write them (`change_triggers`)."""

from __future__ import annotations

from django.db import models


class ChangeOfObject(models.Model):
    """That what is shown of one of the mirror's objects became another. What it became stands in the mirror."""

    class What(models.TextChoices):
        CREATED = "created"  # it is shown from now on
        UPDATED = "updated"
        DELETED = "deleted"  # it is not shown any more

    object_type = models.CharField(max_length=64, help_text="Stripe's `object` value")
    object_id = models.CharField(max_length=255)
    what = models.CharField(max_length=16, choices=What.choices)
    recorded_at = models.DateTimeField(help_text="The database's clock when the row was written, before its commit")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.object_id} {self.what}"


class Change(ChangeOfObject):
    """A change in its place. No row is ever changed or deleted: consumers go by the numbers.

    SQLite has one writer at a time, so there its triggers insert these rows, and the numbers are in the order of the
    commits. On PostgreSQL `invoices.changes.number` does.
    """

    sequence = models.BigAutoField(primary_key=True, help_text="Each number once, in their order, and none left out")


class UnnumberedChange(ChangeOfObject):
    """On PostgreSQL, where many write at once: a change that waits for its number.

    `id` is drawn at the writing, while the object's row is locked: of one object it is in the order of the writes.
    """

    id = models.BigAutoField(primary_key=True)
