"""Who works on an invoice: mentions in notes, promises to pay, and assignments. What has ended stays, as history."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules
from invoices.models.notes import Note, NoteVersion

MAX_NOTE_LENGTH = 500  # characters of what is written on a promise or an assignment


class Mention(ImmutableModel):
    """A note names a colleague, who is to look at it. It waits until the colleague is done with it."""

    note = models.ForeignKey(Note, on_delete=models.PROTECT, related_name="mentions")
    version = models.ForeignKey(  # the first version that names the person
        NoteVersion, on_delete=models.PROTECT, db_index=False, related_name="mentions"
    )
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False, related_name="+")
    made_at = models.DateTimeField(default=clock.now)
    read_at = models.DateTimeField(null=True, blank=True, help_text="When the person was done with it")
    withdrawn_at = models.DateTimeField(null=True, blank=True, help_text="When an edit took the name out, unread")

    class Meta:
        verbose_name = gettext_lazy("mention")
        verbose_name_plural = gettext_lazy("mentions")
        constraints = [
            models.UniqueConstraint(
                fields=["person", "note"],
                condition=models.Q(read_at=None, withdrawn_at=None),
                name="mention_one_waiting",
            )
        ]
        indexes = [
            models.Index(
                "person",
                models.F("made_at").desc(),
                models.F("id").desc(),
                name="mention_waiting",
                condition=models.Q(read_at=None, withdrawn_at=None),
            ),
            models.Index(
                "person",
                models.F("read_at").desc(),
                name="mention_done",
                condition=models.Q(read_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} in note {self.note_id}"

    rules = Rules(once=frozenset({"read_at", "withdrawn_at"}))


class Promise(ImmutableModel):
    """A customer said when an invoice will be paid, in whole or in part. Another promise is another row."""

    class State(models.TextChoices):
        OPEN = "open", gettext_lazy("Open")
        KEPT = "kept", gettext_lazy("Kept")
        BROKEN = "broken", gettext_lazy("Broken")
        WITHDRAWN = "withdrawn", gettext_lazy("Withdrawn")

    FINAL = (State.KEPT, State.BROKEN, State.WITHDRAWN)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    invoice = models.CharField(max_length=255, help_text="The invoice's id")
    amount = models.BigIntegerField(help_text="Minor units")
    currency = models.CharField(max_length=3, help_text="Of the invoice, in lower case as at Stripe")
    paid_before = models.BigIntegerField(help_text="What was paid of the invoice when this was recorded; minor units")
    day = models.DateField(help_text="The last day on which it can be kept")
    ends_at = models.DateTimeField(help_text="When that day ends, where it was recorded")
    note = models.TextField(blank=True)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    recorded_at = models.DateTimeField(default=clock.now)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who withdrew it; empty: the desk saw what came of it",
    )
    ended_because = models.TextField(blank=True)

    class Meta:
        verbose_name = gettext_lazy("promise")
        verbose_name_plural = gettext_lazy("promises")
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=models.Q(state="open"), name="promise_one_open"),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="promise_amount"),
        ]
        indexes = [
            models.Index("invoice", models.F("recorded_at").desc(), name="promise_invoice"),
            # The list, newest first; and that of one state.
            models.Index(models.F("recorded_at").desc(), models.F("id").desc(), name="promise_newest"),
            models.Index("state", models.F("recorded_at").desc(), models.F("id").desc(), name="promise_state"),
            models.Index("ends_at", "invoice", name="promise_open", condition=models.Q(state="open")),
            models.Index("ended_at", "invoice", name="promise_broken", condition=models.Q(state="broken")),
        ]

    def __str__(self) -> str:
        return f"promise on {self.invoice}"

    rules = Rules(
        changing=frozenset({"state"}),
        once=frozenset({"ended_at", "ended_by_id", "ended_because"}),
        final=FINAL,
        moves={State.OPEN: frozenset(FINAL)},
        texts=frozenset({"note", "ended_because"}),
    )


class Assignment(ImmutableModel):
    """From some moment on somebody has an invoice, until `ended_at`. Handing it over ends one and begins another."""

    invoice = models.CharField(max_length=255, help_text="The invoice's id")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False, related_name="+", help_text="Who has it"
    )
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="Who took it, or handed it over",
    )
    given_at = models.DateTimeField(default=clock.now)
    note = models.TextField(blank=True, help_text="What the next person is to know")
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who released it, took it over or handed it over; empty: the invoice was paid, voided or deleted",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=models.Q(ended_at=None), name="assignment_one_at_a_time"
            )
        ]
        indexes = [
            models.Index("invoice", models.F("given_at").desc(), name="assignment_invoice"),
            models.Index("person", "invoice", name="assignment_person", condition=models.Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.person}"

    rules = Rules(
        once=frozenset({"ended_at", "ended_by_id"}),
        ended_at="ended_at",
        texts=frozenset({"note"}),
    )


def promised(now: datetime) -> models.Exists:
    """Of a query of invoices: that a promise stands whose day has not passed."""
    standing = Promise.objects.filter(state=Promise.State.OPEN, ends_at__gt=now)
    return models.Exists(standing.filter(invoice=models.OuterRef("pk")))


def broken_promises(now: datetime) -> models.QuerySet[Promise]:
    """Those that were broken, and those whose day has passed and of which nobody has written down what came."""
    passed = models.Q(state=Promise.State.BROKEN) | models.Q(state=Promise.State.OPEN, ends_at__lte=now)
    return Promise.objects.filter(passed)


def assigned(**to: object) -> models.Exists:
    """Of a query of invoices: that somebody has it; with `person`, that this person does."""
    return models.Exists(Assignment.objects.filter(invoice=models.OuterRef("pk"), ended_at=None, **to))
