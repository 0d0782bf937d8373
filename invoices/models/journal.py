"""The journal: what Stripe told us, what people asked for, what came of it. Ours alone."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from invoices.models.fields import ObjectField
from invoices.models.sealed import Sealed, SealedModel


class Event(SealedModel):
    """One of Stripe's events, as it came. The row is the queue: `pending` until the mirror knows what it says."""

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
    created = models.DateTimeField(null=True, blank=True, help_text="Stripe's stamp, whole seconds; may lag")
    api_version = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(null=True, blank=True)
    account = models.CharField(max_length=255, blank=True)
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=255, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    idempotency_key = models.CharField(max_length=255, blank=True, help_text="Of the request that caused it")
    body = models.TextField(help_text="The raw body, as it was signed")
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
            models.Index("object_id", models.F("created").desc(), name="event_object"),
            models.Index("idempotency_key", name="event_key", condition=~Q(idempotency_key="")),
            models.Index(models.F("received_at").desc(), name="event_received"),
        ]
        permissions = [("replay_event", "Can replay an event")]

    def __str__(self) -> str:
        return self.id

    SEALED = frozenset({"body", "type", "object_type", "object_id", "created", "request_id", "idempotency_key"})

    @classmethod
    def check_update(cls, rows: models.QuerySet, changes: dict[str, Any]) -> None:
        """What Stripe said stays as it came; only what we made of it changes."""
        touched = {name: value for name, value in changes.items() if name in cls.SEALED}
        if touched and any(row != touched for row in rows.values(*touched).distinct()[:2]):
            raise Sealed("What Stripe said in an event is not rewritten.")


class Action(models.TextChoices):
    """The actions' names, as in the API, the permissions and the journal. What each does: operations/catalog.py."""

    PAY = "pay", "Pay"
    ATTACH_OUT_OF_BAND_PAYMENT = "attach_out_of_band_payment", "Attach out-of-band payment"
    ATTACH_PAYMENT = "attach_payment", "Attach payment"
    VOID = "void", "Void"
    MARK_UNCOLLECTIBLE = "mark_uncollectible", "Mark uncollectible"
    FINALIZE = "finalize", "Finalize"
    SEND = "send", "Send"


class Operation(SealedModel):
    """One thing that somebody asked us to do at Stripe, and what came of it."""

    class State(models.TextChoices):
        AWAITING_APPROVAL = "awaiting_approval", "awaiting approval"
        READY = "ready", "ready"
        RUNNING = "running", "running"
        UNKNOWN = "unknown", "outcome unknown, checking with Stripe"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        REFUSED = "refused", "refused"
        CANCELLED = "cancelled", "cancelled"
        EXPIRED = "expired", "expired"

    UNFINISHED = (State.READY, State.RUNNING, State.UNKNOWN)
    FINAL = (State.SUCCEEDED, State.FAILED, State.REFUSED, State.CANCELLED, State.EXPIRED)

    class Source(models.TextChoices):
        ADMIN = "admin"
        API = "api"
        COMMAND = "command"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    action = models.CharField(max_length=32, choices=Action.choices)
    invoice = models.CharField(max_length=255, help_text="The invoice's id")
    state = models.CharField(max_length=32, choices=State.choices, default=State.READY)

    # who and why
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="operations"
    )
    source = models.CharField(max_length=16, choices=Source.choices)
    reason = models.TextField(blank=True)
    ticket = models.CharField(max_length=255, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True, help_text="Ours, as in the log and in the API's reply")
    batch = models.ForeignKey("Batch", null=True, blank=True, on_delete=models.PROTECT, related_name="operations")
    created_at = models.DateTimeField(default=timezone.now)

    # what
    params = models.JSONField(default=dict, blank=True)
    expected = models.JSONField(default=dict, blank=True, help_text="status, amount_remaining as the caller saw them")
    payment_method = models.CharField(max_length=255, blank=True, help_text="What a charge would be made to")
    idempotency_key = models.CharField(max_length=255, blank=True, help_text="The API client's, unique per user")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Of action, invoice and parameters")

    # the claim
    claim_token = models.UUIDField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    settle_at = models.DateTimeField(null=True, blank=True, help_text="Not before: the next look at an unknown outcome")
    settle_attempts = models.PositiveIntegerField(default=0)

    # What was sent, and what came back: a list of {name, key, params, sent_at, first_sent_at, answered_at, status,
    # request_id, result}; sent_at is committed before the request leaves. Text, not jsonb: that forgets the order of
    # the parameters, and what is sent again under the same key must be the same to the byte.
    calls = ObjectField(default=list, blank=True)
    before = models.JSONField(default=dict, blank=True, help_text="The invoice's status and amounts before")
    after = models.JSONField(default=dict, blank=True, help_text="… and after")
    processing = models.BooleanField(default=False, help_text="Stripe took it, and the money is still on its way")
    code = models.CharField(max_length=255, blank=True)
    decline_code = models.CharField(max_length=255, blank=True)
    message = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    error = models.JSONField(null=True, blank=True, help_text="Stripe's error, without objects and secrets")
    stripe_request_id = models.CharField(max_length=255, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome_by = models.CharField(max_length=16, blank=True, help_text="us, someone_else or nobody")

    # four eyes
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="approved_operations"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)
    decision_address = models.GenericIPAddressField(null=True, blank=True)
    decision_request_id = models.CharField(max_length=255, blank=True)
    announced_at = models.DateTimeField(null=True, blank=True, help_text="When the approvers were told")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(state__in=["ready", "running", "unknown"]),
                name="operation_one_unfinished_per_invoice",
            ),
            models.CheckConstraint(
                condition=Q(approver=None) | ~Q(approver=models.F("actor")),
                name="operation_four_eyes_are_of_two_people",
            ),
            # A refused request leaves its key free: the client may try the same again when the cause is gone.
            models.UniqueConstraint(
                fields=["actor", "idempotency_key"],
                condition=~Q(idempotency_key="") & ~Q(state="refused"),
                name="operation_one_per_key",
            ),
        ]
        indexes = [
            models.Index("invoice", models.F("created_at").desc(), name="operation_invoice"),
            models.Index(models.F("created_at").desc(), "id", name="operation_newest"),
            models.Index("created_at", name="operation_awaiting", condition=Q(state="awaiting_approval")),
            models.Index(
                "claimed_until", name="operation_unfinished", condition=Q(state__in=["ready", "running", "unknown"])
            ),
        ]
        permissions = [
            ("approve_operation", "Can approve or reject another's operation"),
            ("override_operation", "Can override the hour between two charges, and decide what stays unknown"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.invoice}"

    @classmethod
    def check_update(cls, rows: models.QuerySet, changes: dict[str, Any]) -> None:
        """A final operation says what came of it, for good."""
        if rows.filter(state__in=cls.FINAL).exists():
            raise Sealed("A final operation is not rewritten.")


class Batch(models.Model):
    """One action asked for on many invoices: an operation each, one after the other, until done or cancelled."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    action = models.CharField(max_length=32, choices=Action.choices)
    items = ObjectField(default=list, help_text="[invoice, status, amount_remaining] as they were confirmed, in order")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="batches")
    reason = models.TextField()
    ticket = models.CharField(max_length=255, blank=True)
    params = models.JSONField(default=dict, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    claim_token = models.UUIDField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        indexes = [
            models.Index("created_at", name="batch_unfinished", condition=Q(finished_at=None)),
            models.Index(models.F("created_at").desc(), name="batch_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {len(self.items)} invoices"


class Pause(models.Model):
    """The brake: while one stands, nothing new of its action is sent to Stripe; reading goes on."""

    action = models.CharField(max_length=32, choices=Action.choices, blank=True, help_text="Empty: every action")
    reason = models.TextField()
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    paused_at = models.DateTimeField(default=timezone.now)
    resumed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resumed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["action"], condition=Q(resumed_at=None), name="pause_one_per_action")
        ]
        permissions = [("brake_actions", "Can pause and resume actions")]

    def __str__(self) -> str:
        return f"{self.get_action_display() or 'Every action'} paused: {self.reason}"


class ReconciliationRun(models.Model):
    """One walk over Stripe, and whether what we show was what Stripe had."""

    class Kind(models.TextChoices):
        SWEEP = "sweep"
        FULL = "full"
        INVOICE = "invoice"
        CATCH_UP = "catch_up", "catch-up"
        VERIFY = "verify", "proof of equality"

    class State(models.TextChoices):
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    dry_run = models.BooleanField(default=False)
    params = models.JSONField(default=dict, blank=True)
    progress = models.JSONField(default=dict, blank=True, help_text="Windows finished: where a killed run goes on")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: by the schedule, or on the command line",
    )
    started_at = models.DateTimeField(default=timezone.now)
    alive_at = models.DateTimeField(default=timezone.now, help_text="A run that stays silent is taken over")
    finished_at = models.DateTimeField(null=True, blank=True)
    # seen = same + imported + healed + in_flight + failed
    seen = models.PositiveBigIntegerField(default=0)
    same = models.PositiveBigIntegerField(default=0)
    imported = models.PositiveBigIntegerField(default=0)
    healed = models.PositiveBigIntegerField(default=0)
    in_flight = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    events = models.PositiveBigIntegerField(default=0, help_text="New events that the catch-up brought")
    report = ObjectField(default=dict, blank=True, help_text="Of a proof: counts, sums and digests, window by window")
    exit_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(models.F("started_at").desc(), name="run_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="running", kind__in=["sweep", "full"]),
                name="run_one_sweep_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="running", kind="catch_up"), name="run_one_catch_up_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="running", kind="verify"), name="run_one_proof_at_a_time"
            ),
        ]
        permissions = [("run_reconciliation", "Can start a reconciliation")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.started_at:%Y-%m-%d %H:%M}"


class Drift(models.Model):
    """One difference between Stripe and the mirror that no event explained."""

    class Kind(models.TextChoices):
        MISSING_HERE = "missing_here", "missing here"
        MISSING_AT_STRIPE = "missing_at_stripe", "missing at Stripe"
        DIFFERS = "differs"

    run = models.ForeignKey(ReconciliationRun, on_delete=models.CASCADE, related_name="drift")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=255, db_index=True)
    invoice = models.CharField(max_length=255, blank=True, db_index=True, help_text="The invoice that it belongs to")
    field = models.CharField(max_length=255, blank=True, help_text="Where in the object; empty when all of it")
    ours = ObjectField(null=True, blank=True)
    theirs = ObjectField(null=True, blank=True)
    ours_seen_until = models.DateTimeField(null=True, blank=True, help_text="Until when ours was known to be true")
    found_at = models.DateTimeField(default=timezone.now)
    healed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "drift"
        indexes = [models.Index(models.F("found_at").desc(), models.F("id").desc(), name="drift_newest")]

    def __str__(self) -> str:
        return f"{self.object_id} {self.field or self.get_kind_display()}"
