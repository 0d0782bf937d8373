"""Endpoints of the company's own services: where events go, what is owed to each, and the attempts at it."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules

EVERY_TYPE = "*"


def new_endpoint_id() -> str:
    return f"we_{secrets.token_hex(12)}"


class WebhookEndpoint(models.Model):
    """An address of a service, to which events are sent when the mirror has them.

    It is never deleted, only marked: the journal of its changes names it.
    """

    id = models.CharField(primary_key=True, max_length=64, default=new_endpoint_id)
    url = models.TextField()
    description = models.TextField(blank=True)
    enabled_events = models.JSONField(help_text="Types of events, or “*” for all")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who is told when it is disabled; empty: made by a command",
    )
    secret = models.TextField(help_text="The signing secret, encrypted")
    previous_secret = models.TextField(blank=True, help_text="The one before, encrypted: both sign for a while")
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_because = models.TextField(blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    # how its deliveries go
    failing_since = models.DateTimeField(null=True, blank=True, help_text="From when on every attempt has failed")
    unanswered = models.PositiveIntegerField(default=0, help_text="Attempts in a row that it did not answer at all")
    rests_until = models.DateTimeField(null=True, blank=True, help_text="It did not answer: nothing is tried before")

    # the redelivery of everything since a moment, as far as it was queued
    redeliver_from = models.DateTimeField(null=True, blank=True, help_text="Of the events' arrival; empty: none")
    redeliver_after = models.CharField(max_length=255, blank=True, help_text="The last event that was queued")
    redeliver_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = gettext_lazy("webhook endpoint")
        verbose_name_plural = gettext_lazy("webhook endpoints")

    def __str__(self) -> str:
        return self.url

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None and self.deleted_at is None

    def takes(self, type: str) -> bool:
        """Whether events of this type go to it."""
        return EVERY_TYPE in self.enabled_events or type in self.enabled_events


class DeskEvent(models.Model):
    """An event of ours, in the shape of Stripe's: what an operation came to, or the test of an endpoint.

    It is written only where an endpoint takes it, and removed after DESK_EVENT_KEPT: the journal has the operation.
    """

    id = models.CharField(primary_key=True, max_length=64)
    type = models.CharField(max_length=255)
    operation = models.UUIDField(null=True, blank=True)
    body = models.TextField(help_text="As it is sent")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        indexes = [
            models.Index("created_at", name="deskevent_created"),
            models.Index("operation", name="deskevent_operation", condition=~Q(operation=None)),
        ]

    def __str__(self) -> str:
        return self.id


class Delivery(models.Model):
    """One event that is owed to one endpoint. The table is the queue, and says what became of each.

    It is written in the transaction that brings the event's object into the mirror, and removed DELIVERY_KEPT after it
    ended.
    """

    class State(models.TextChoices):
        PENDING = "pending", gettext_lazy("Pending")
        DELIVERED = "delivered", gettext_lazy("Delivered")
        FAILED = "failed", gettext_lazy("failed: for three days")
        ABANDONED = "abandoned", gettext_lazy("abandoned: the endpoint was disabled, or the event is not here any more")

    endpoint = models.ForeignKey(  # the unique constraint begins with it, and is its index
        WebhookEndpoint, on_delete=models.PROTECT, db_index=False, related_name="deliveries"
    )
    event = models.CharField(max_length=255, help_text="The id of Stripe's event, or of ours")
    event_created = models.DateTimeField(null=True, blank=True, help_text="By which its partition is found")
    type = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    written_at = models.DateTimeField(default=clock.now)
    due_since = models.DateTimeField(default=clock.now, help_text="When it was written, or asked for again by hand")
    next_attempt_at = models.DateTimeField(
        default=clock.now, help_text="From when on a worker may take it; for one that is taken, its lease's end"
    )
    token = models.UUIDField(null=True, blank=True, help_text="Of the worker that took it last")
    attempts = models.PositiveIntegerField(default=0)
    retries = models.PositiveIntegerField(default=0, help_text="Failed attempts since it is due")
    last_status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP; empty: no answer")
    last_error = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it was delivered, given up or abandoned")

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["endpoint", "event"], name="delivery_once")]
        indexes = [
            models.Index("endpoint", "next_attempt_at", name="delivery_due", condition=Q(state="pending")),
            models.Index("endpoint", F("written_at").desc(), F("id").desc(), name="delivery_newest"),
            models.Index("endpoint", "state", F("written_at").desc(), F("id").desc(), name="delivery_state"),
            models.Index("ended_at", name="delivery_ended", condition=Q(ended_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint_id}"


class DeliveryAttempt(models.Model):
    """One sending, and what was answered."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempted")
    at = models.DateTimeField()
    seconds = models.FloatField(help_text="From its beginning to the last byte of the answer")
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.status or self.error}"


class WebhookEndpointRecord(ImmutableModel):
    """The journal of the endpoints: who made, changed, disabled or deleted one, replaced its secret, had events sent
    again."""

    class What(models.TextChoices):
        CREATED = "created", gettext_lazy("Created")
        CHANGED = "changed", gettext_lazy("Changed")
        DISABLED = "disabled", gettext_lazy("Disabled")
        ENABLED = "enabled", gettext_lazy("Enabled")
        SECRET_REPLACED = "secret_replaced", gettext_lazy("secret replaced")
        DELETED = "deleted", gettext_lazy("Deleted")
        REDELIVERED = "redelivered", gettext_lazy("sent again")
        TESTED = "tested", gettext_lazy("Tested")

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, db_index=False, related_name="records")
    what = models.CharField(max_length=32, choices=What.choices)
    detail = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    token = models.ForeignKey(
        "ApiToken",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="With which the API was asked",
    )
    shell_user = models.CharField(max_length=255, blank=True, help_text="Who ran the command: user@host")
    at = models.DateTimeField(default=clock.now)
    address = models.CharField(max_length=45, blank=True, help_text="The client's IP address; empty: not known")
    request_id = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = "webhook endpoint record"
        indexes = [models.Index("endpoint", F("at").desc(), F("id").desc(), name="webhookendpointrecord_newest")]

    def __str__(self) -> str:
        return f"{self.endpoint_id} {self.what}"

    @property
    def who(self) -> Any:
        return self.by or self.shell_user or "the desk"

    rules = Rules()
