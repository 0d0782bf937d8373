"""The journal of events: what Stripe told us, and whether the mirror has it yet."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from invoices.models.immutable import ImmutableModel, Rules

UNREADABLE_PREFIX = "unreadable_"  # of the ids that intake gives to signed bodies that are no event


class Event(ImmutableModel):
    """One of Stripe's events. The table is also the queue: an event is `pending` until the mirror has its object."""

    class State(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed", "failed: replay it when the cause is mended"
        IGNORED = "ignored", "ignored: of another mode, account, or kind of object"

    class Source(models.TextChoices):
        WEBHOOK = "webhook"
        CATCH_UP = "catch_up"

    id = models.CharField(primary_key=True, max_length=255)
    type = models.CharField(max_length=255, blank=True)
    created = models.DateTimeField(
        null=True, blank=True, help_text="Stripe's stamp: whole seconds, and it may lag behind the change"
    )
    api_version = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(null=True, blank=True)
    account = models.CharField(max_length=255, blank=True)
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=255, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    idempotency_key = models.CharField(
        max_length=255, blank=True, help_text="Idempotency key of the request that caused the event"
    )
    body = models.TextField(
        help_text="From a webhook: the raw body as it was signed. From the catch-up: the event as JSON"
    )
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.WEBHOOK)
    received_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why it failed, or why it is ignored")

    class Meta:
        indexes = [
            models.Index("next_attempt_at", name="event_pending", condition=Q(state="pending")),
            models.Index("received_at", name="event_failed", condition=Q(state="failed")),
            models.Index("received_at", name="event_ignored", condition=Q(state="ignored")),  # the list of them
            models.Index("object_id", models.F("created").desc(), name="event_object"),
            models.Index("idempotency_key", name="event_key", condition=~Q(idempotency_key="")),
            models.Index(models.F("received_at").desc(), name="event_received"),
        ]
        permissions = [("replay_event", "Can replay an event")]

    def __str__(self) -> str:
        return self.id

    # What Stripe said, and when it came, never changes; how far we processed it does.
    rules = Rules(
        working=frozenset({"state", "attempts", "next_attempt_at", "processed_at", "error"}),
        documents=frozenset({"body"}),
    )
