"""The journal of rows that were removed from the mirror because Stripe does not have their objects."""

from __future__ import annotations

from django.db import models

from invoices import clock
from invoices.models.fields import ObjectField
from invoices.models.immutable import ImmutableModel, Rules


class Removal(ImmutableModel):
    """One row that a person removed: what it held, why it was removed, and which account Stripe was asked of."""

    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=255, db_index=True)
    held = ObjectField(help_text="The members of the object that finance needs: number, status, amounts, creation")
    account = models.CharField(max_length=255, help_text="The account in which Stripe had no such object")
    reason = models.TextField()
    removed_by = models.CharField(max_length=255, help_text="Who ran the command: user@host of the operating system")
    removed_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.object_id} removed: {self.reason}"

    rules = Rules()
