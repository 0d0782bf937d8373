"""The journal of events: what Stripe told us, and whether the mirror has it yet."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import connection, models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules

UNREADABLE_PREFIX = "unreadable_"  # of the ids that intake gives to signed bodies that are no event


class Event(ImmutableModel):
    """One of Stripe's events: `pending` until the mirror has its object.

    On PostgreSQL the table has a partition for each month of `created`, which never changes for one id. Each partition
    has `id` as its primary key; what has no stamp stands in the default partition (models/partitions.py).
    """

    class State(models.TextChoices):
        PENDING = "pending", gettext_lazy("Pending")
        DONE = "done", gettext_lazy("Done")
        FAILED = "failed", gettext_lazy("failed: replay it when the cause is mended")
        IGNORED = "ignored", gettext_lazy("ignored: of another mode, account, or kind of object")

    class Source(models.TextChoices):
        WEBHOOK = "webhook", gettext_lazy("Webhook")
        CATCH_UP = "catch_up", gettext_lazy("Catch Up")

    id = models.CharField(primary_key=True, max_length=255)
    type = models.CharField(max_length=255, blank=True)
    created = models.DateTimeField(
        null=True, blank=True, help_text="Stripe's stamp: whole seconds, and it may lag behind the change"
    )
    api_version = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(null=True, blank=True)
    account = models.CharField(max_length=255, blank=True)
    # Of the object in the body; of a dispute's event its charge, which alone is mirrored.
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
    received_at = models.DateTimeField(db_default=clock.InsertedAt())
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=clock.InsertedAt())
    processed_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why it failed, or why it is ignored")

    # Of a row that was just made from a document: the customers whom it names. It is not stored.
    customers: frozenset[str] | None = None

    class Meta:
        verbose_name = gettext_lazy("event")
        verbose_name_plural = gettext_lazy("events")
        indexes = [
            models.Index("received_at", name="event_pending", condition=Q(state="pending")),
            models.Index("received_at", name="event_failed", condition=Q(state="failed")),
            models.Index("received_at", name="event_ignored", condition=Q(state="ignored")),  # the list of them
            models.Index("object_id", models.F("created").desc(), name="event_object"),
            models.Index("idempotency_key", name="event_key", condition=~Q(idempotency_key="")),
            models.Index(models.F("received_at").desc(), name="event_received"),
            # The API's list, newest first; and that of one type.
            models.Index(models.F("created").desc(), models.F("id").desc(), name="event_newest"),
            models.Index("type", models.F("created").desc(), models.F("id").desc(), name="event_type_newest"),
        ]
        permissions = [("replay_event", "Can replay an event")]

    def __str__(self) -> str:
        return self.id

    # What Stripe said, and when it came, never changes; how far we processed it does.
    rules = Rules(
        working=frozenset({"state", "attempts", "next_attempt_at", "processed_at", "error"}),
        documents=frozenset({"body"}),
    )

    @classmethod
    def stored(cls, events: Iterable[Event | PendingEvent]) -> models.QuerySet[Event]:
        """The rows of these events. PostgreSQL looks only into the partitions of their months."""
        if connection.vendor != "postgresql":
            return cls.objects.filter(pk__in=[event.pk for event in events])
        ids, stamps = [], []
        for event in events:
            ids.append(event.pk)
            stamps.append(event.created)
        known = [stamp for stamp in stamps if stamp is not None]
        there = Q(created__range=(min(known), max(known))) if known else Q(pk__in=[])
        if len(known) < len(stamps):
            there |= Q(created=None)
        return cls.objects.filter(there, pk__in=ids)


class PendingEvent(models.Model):
    """The queue of the pending events. Triggers write it whenever an event's `state` or `next_attempt_at` changes.

    Taking the next ones from the events themselves became slower with every event that was done: an index keeps the
    entries of rows that changed until the whole table is vacuumed. This table is as small as the queue is.
    """

    event = models.CharField(primary_key=True, max_length=255, help_text="The event's id")
    created = models.DateTimeField(null=True, help_text="The event's, by which its partition is found")
    received_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index("next_attempt_at", name="pendingevent_due")]

    def __str__(self) -> str:
        return self.event


class EventArchive(ImmutableModel):
    """A month of events that left the database for a file. The row is written and chained before they are removed.

    `journal verify` takes a link at one of these positions as that of an event in the file. What changes the file
    afterwards (an erasure) writes a row of its own that `replaces` this one.
    """

    month = models.DateField(help_text="Its first day: of the events' `created`, UTC")
    file = models.CharField(max_length=255, help_text="The name of the file, without its folder")
    count = models.PositiveBigIntegerField(help_text="Events in the file")
    sha256 = models.CharField(max_length=64, help_text="Of the file")
    positions = models.TextField(help_text="Positions of the events' links in the chain, as 1-500,503")
    changed = models.TextField(blank=True, help_text="Ids of the events whose lines are not as chained, one a line")
    # `eventarchive_replaced_once` is its index.
    replaces = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="replacements", db_index=False
    )
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    shell_user = models.CharField(max_length=255, blank=True, help_text="Who ran the command: user@host")
    made_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file"], name="eventarchive_file", condition=Q(replaces=None)),
            models.UniqueConstraint(fields=["replaces"], name="eventarchive_replaced_once"),
        ]

    def __str__(self) -> str:
        return self.file

    rules = Rules()
