"""Notes that people and services write on invoices. An edit is another version; the ones before stay."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules


class Note(ImmutableModel):
    """A note on an invoice. What it says stands in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    invoice = models.CharField(max_length=255, help_text="The invoice's id")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="notes")
    token = models.ForeignKey(
        "ApiToken",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="With which it was written; empty: in the admin",
    )
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name = gettext_lazy("note")
        verbose_name_plural = gettext_lazy("notes")
        indexes = [
            models.Index(models.F("created_at").desc(), models.F("id").desc(), name="note_newest"),
            models.Index("invoice", models.F("created_at").desc(), models.F("id").desc(), name="note_invoice"),
        ]

    @property
    def last_version(self) -> NoteVersion:
        """What it says now. Reads all versions, unless they were read with it."""
        return list(self.versions.all())[-1]

    def __str__(self) -> str:
        return f"note on {self.invoice} by {self.author}"

    rules = Rules()


class NoteVersion(ImmutableModel):
    """What a note says from some moment on, until there is a version with a higher number."""

    note = models.ForeignKey(  # the unique constraint begins with it, and is its index
        Note, on_delete=models.PROTECT, db_index=False, related_name="versions"
    )
    number = models.PositiveIntegerField(help_text="1, 2, 3 and so on")
    text = models.TextField()
    written_at = models.DateTimeField(default=clock.now)
    token = models.ForeignKey(
        "ApiToken",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="With which it was written; empty: in the admin",
    )
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ("number",)
        constraints = [models.UniqueConstraint(fields=["note", "number"], name="noteversion_one_per_number")]

    def __str__(self) -> str:
        return f"version {self.number} of note {self.note_id}"

    rules = Rules(texts=frozenset({"text"}))
