"""The objects that are to be read from Stripe again: the table is the queue of refetches."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy


class ScheduledRefetch(models.Model):
    """One object that is to be read from Stripe. The row goes when a read that began after the asking is stored.

    `invoices.scheduled_refetches` alone writes it. All moments are of the database's clock.
    """

    object_type = models.CharField(max_length=64, help_text="Stripe's `object` value")
    object_id = models.CharField(max_length=255)
    asked_at = models.DateTimeField(help_text="The last time; a read that began before it does not count")
    due_at = models.DateTimeField(help_text="From when on a worker may take it; for one that is taken, its lease's end")
    wanted_at = models.DateTimeField(
        null=True, blank=True, help_text="When a person last looked at the object; empty: nobody waits for it"
    )
    only_payments = models.BooleanField(
        default=False,
        help_text="Asked for only because a payment of the final invoice is not final; not read once that has changed",
    )
    token = models.UUIDField(
        null=True, blank=True, help_text="Of the worker that reads it now; empty: not taken, or asked for again since"
    )
    attempts = models.PositiveIntegerField(default=0, help_text="That failed since the last success")
    failing_since = models.DateTimeField(null=True, blank=True, help_text="The first of these")
    error = models.TextField(blank=True, default="", help_text="Why the last attempt failed")
    given_up_at = models.DateTimeField(
        null=True, blank=True, help_text="It failed for too long; a person, or a new reason to read it, starts it again"
    )

    class Meta:
        verbose_name = gettext_lazy("scheduled refetch")
        verbose_name_plural = gettext_lazy("scheduled refetches")
        constraints = [models.UniqueConstraint(fields=["object_type", "object_id"], name="scheduledrefetch_object")]
        indexes = [
            # `take` asks for each of these lanes by itself.
            models.Index(models.F("wanted_at").desc(), name="refetch_wanted", condition=Q(wanted_at__isnull=False)),
            models.Index("object_type", "due_at", name="refetch_first", condition=Q(failing_since__isnull=True)),
            models.Index(
                "object_type",
                "due_at",
                name="refetch_failing",
                condition=Q(failing_since__isnull=False, given_up_at__isnull=True),
            ),
            models.Index("given_up_at", name="refetch_given_up", condition=Q(given_up_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.object_id
