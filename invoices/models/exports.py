"""Files that are prepared in the background: what was asked for, how far it is, and the file itself, in pieces."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy

from invoices import clock


class Export(models.Model):
    """One file that a person wants of a list or a report. The table is the queue of those that wait.

    It is no evidence: that a file was downloaded stands in the journal of people. The file goes at `expires_at`, the
    row EXPORT_LISTED after it was asked for.
    """

    class State(models.TextChoices):
        WAITING = "waiting", gettext_lazy("Waiting")
        RUNNING = "running", gettext_lazy("Running")
        READY = "ready", gettext_lazy("Ready")
        FAILED = "failed", gettext_lazy("Failed")
        CANCELLED = "cancelled", gettext_lazy("Cancelled")
        REMOVED = "removed", gettext_lazy("Removed")

    UNFINISHED = (State.WAITING, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, help_text="From the form, so that it is asked for once")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, db_index=False, on_delete=models.CASCADE, related_name="exports"
    )
    kind = models.CharField(max_length=64, help_text="What is asked for: a name in exports.kinds")
    parameters = models.JSONField(default=dict, blank=True, help_text="Of the kind, such as the list's address")
    time_zone = models.CharField(max_length=64, blank=True, help_text="In which its days are counted; empty: UTC")
    format = models.CharField(max_length=8, help_text="csv, xlsx")
    title = models.CharField(max_length=255, help_text="In English: which list or report")
    detail = models.TextField(blank=True, help_text="In English: what narrows it, without what was searched for")
    file_name = models.CharField(max_length=255)
    permissions = models.JSONField(
        default=list, blank=True, help_text="Whoever has all of these may have the file: what it shows needed them"
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    asked_at = models.DateTimeField(default=clock.now)
    started_at = models.DateTimeField(null=True, blank=True, help_text="Of the last attempt")
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When the file is removed")
    attempts = models.PositiveIntegerField(default=0, help_text="That were begun")
    rows = models.PositiveBigIntegerField(default=0, help_text="That are written so far")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file so far")
    stored = models.PositiveBigIntegerField(default=0, help_text="Bytes that it takes in the database so far")
    chunks = models.PositiveIntegerField(default=0, help_text="In how many pieces the file is stored so far")
    error = models.TextField(blank=True, help_text="In English: why there is no file")
    claim_token = models.UUIDField(null=True, blank=True, help_text="Of the worker that prepares it")
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Then another worker may take it")

    class Meta:
        verbose_name = gettext_lazy("export")
        verbose_name_plural = gettext_lazy("exports")
        indexes = [
            models.Index("owner", F("asked_at").desc(), F("id").desc(), name="export_owner"),
            models.Index("asked_at", name="export_unfinished", condition=Q(state__in=["waiting", "running"])),
            models.Index("expires_at", name="export_expires", condition=Q(expires_at__isnull=False)),
            models.Index("asked_at", name="export_asked"),
        ]

    def __str__(self) -> str:
        return self.file_name


class ExportChunk(models.Model):
    """A piece of a file, compressed. Written in the transaction that counts it in its export."""

    export = models.ForeignKey(  # the unique constraint begins with it, and is its index
        Export, db_index=False, on_delete=models.CASCADE, related_name="pieces"
    )
    number = models.PositiveIntegerField(help_text="0, 1, 2 and so on")
    content = models.BinaryField()

    class Meta:
        verbose_name = gettext_lazy("piece of an export")
        verbose_name_plural = gettext_lazy("pieces of exports")
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="exportchunk_one_per_number")]

    def __str__(self) -> str:
        return f"{self.export_id} {self.number}"
