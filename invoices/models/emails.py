"""The e-mails that we owe to people: the table is the queue, and says what became of each."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from invoices import clock


class Email(models.Model):
    """One e-mail to one address. It is written in the transaction that makes it due, and sent by `invoices.emails`.

    Its text may have what a person wrote about a customer, so it goes when the e-mail was sent, and the row goes after
    EMAIL_KEPT. It is no evidence: the journal itself says what the e-mail told.
    """

    class Kind(models.TextChoices):
        APPROVAL = "approval", gettext_lazy("a request waits for a second person")
        BATCH_APPROVAL = "batch_approval", gettext_lazy("a batch waits for a second person")
        CONTRADICTION = "contradiction", gettext_lazy("Stripe contradicts the journal")
        RECONCILIATION = "reconciliation", gettext_lazy("a run found drift, or failed")
        JOURNAL_HEAD = "journal_head", gettext_lazy("the head of the journal's chain")
        WEBHOOK_ENDPOINT = "webhook_endpoint", gettext_lazy("an endpoint was disabled")
        EXPORT = "export", gettext_lazy("a file is ready, or was not prepared")

    class State(models.TextChoices):
        WAITING = "waiting", gettext_lazy("Waiting")
        SENT = "sent", gettext_lazy("Sent")
        GIVEN_UP = "given_up", gettext_lazy("given up: try again when the cause is mended")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, help_text="Also in the Message-ID: of each attempt")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    about = models.CharField(max_length=64, help_text="The id of what it tells, such as an operation's")
    recipient = models.CharField(max_length=512)
    subject = models.CharField(max_length=255)
    body = models.TextField(help_text="Empty once it was sent")
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    written_at = models.DateTimeField(default=clock.now)
    next_attempt_at = models.DateTimeField(
        default=clock.now, help_text="From when on a worker may take it; for one that is taken, its lease's end"
    )
    token = models.UUIDField(null=True, blank=True, help_text="Of the worker that took it last")
    attempts = models.PositiveIntegerField(default=0, help_text="That failed")
    failing_since = models.DateTimeField(null=True, blank=True, help_text="The first of these")
    error = models.TextField(blank=True, default="", help_text="Why the last attempt failed")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it was sent, or given up")

    class Meta:
        verbose_name = gettext_lazy("e-mail")
        verbose_name_plural = gettext_lazy("e-mails")
        indexes = [
            models.Index("next_attempt_at", name="email_due", condition=Q(state="waiting")),
            models.Index("written_at", name="email_given_up", condition=Q(state="given_up")),
            models.Index("ended_at", name="email_ended", condition=Q(ended_at__isnull=False)),
            models.Index("written_at", name="email_written"),
            models.Index("about", name="email_about"),
        ]

    def __str__(self) -> str:
        return self.subject
