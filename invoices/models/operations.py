"""The journal of operations: what people and services asked us to do at Stripe, and what came of it."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KT
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.batch_items import BatchItemsField, sums_of_items
from invoices.models.calls import CallsField, RecordedCall
from invoices.models.codes import DECLINES, Code, OutcomeBy
from invoices.models.fields import ObjectField
from invoices.models.immutable import Forbidden, ImmutableModel, Rules

# PostgreSQL reads no JSON with `\u0000` or half a surrogate pair in it. They become text here, on both sides alike.
_PARSED = r"replace({}.calls, '\u', '/u')::json"


def _newest(name: str, *columns: str, condition: Q | None = None) -> models.Index:
    """The operations with these values, newest first, as every list of them is read."""
    order = (models.F("created_at").desc(), models.F("id").desc())
    return models.Index(*columns, *order, name=name, condition=condition)


class Operation(ImmutableModel):
    """One thing that somebody asked us to do at Stripe, and what came of it."""

    class State(models.TextChoices):
        AWAITING_APPROVAL = "awaiting_approval", gettext_lazy("awaiting approval")
        READY = "ready", gettext_lazy("ready")
        RUNNING = "running", gettext_lazy("running")
        UNKNOWN = "unknown", gettext_lazy("outcome unknown, checking with Stripe")
        PROCESSING = "processing", gettext_lazy("money under way, a bank is processing it")
        SUCCEEDED = "succeeded", gettext_lazy("succeeded")
        FAILED = "failed", gettext_lazy("failed")
        REFUSED = "refused", gettext_lazy("refused")
        CANCELLED = "cancelled", gettext_lazy("cancelled")
        EXPIRED = "expired", gettext_lazy("expired")

    # Each holds its invoice: no other operation may begin on it. Money under way does not, because it takes days; it
    # only stands in the way of another charge.
    UNFINISHED = (State.READY, State.RUNNING, State.UNKNOWN)
    FINAL = (State.SUCCEEDED, State.FAILED, State.REFUSED, State.CANCELLED, State.EXPIRED)

    class Source(models.TextChoices):
        ADMIN = "admin", gettext_lazy("Admin")
        API = "api", gettext_lazy("Api")
        COMMAND = "command", gettext_lazy("Command")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    action = models.CharField(max_length=32, help_text="A name in operations.ACTIONS")
    invoice = models.CharField(max_length=255, help_text="The invoice's id")
    state = models.CharField(max_length=32, choices=State.choices, default=State.READY)

    # who and why
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="operations",
    )
    source = models.CharField(max_length=16, choices=Source.choices)
    reason = models.TextField(blank=True)
    ticket = models.CharField(max_length=255, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    token = models.ForeignKey(
        "ApiToken",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="operations",
        help_text="With which the API was asked",
    )
    shell_user = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="Who ran the command: user@host of the operating system",
    )
    request_id = models.CharField(max_length=255, blank=True, help_text="Ours, as in the log and in the API's reply")
    batch = models.ForeignKey("Batch", null=True, blank=True, on_delete=models.PROTECT, related_name="operations")
    created_at = models.DateTimeField(default=clock.now)

    # what
    params = models.JSONField(default=dict, blank=True, help_text="The action's parameters after checking")
    expand = ObjectField(
        default=list,
        null=True,
        blank=True,
        help_text="What the API's caller wants to see whole; empty where an older version did not write it",
    )
    expected = models.JSONField(default=dict, blank=True, help_text="status, amount_remaining as the caller saw them")
    payment_method = models.CharField(
        max_length=255, blank=True, help_text="The id of the payment method that this charges; empty if nobody knows it"
    )
    idempotency_key = models.CharField(max_length=255, blank=True, help_text="Sent by the API client; unique per user")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256 of action, invoice and parameters")
    key_base = models.UUIDField(
        null=True,
        blank=True,
        help_text="Stripe's idempotency keys begin with this, and not with the id: an earlier operation for the same "
        "request ended before anything was applied",
    )

    cooldown_override = models.BooleanField(
        default=False, db_default=False, help_text="A manager charges again although a decline was recent"
    )

    # what is at stake
    customer = models.CharField(
        max_length=255, blank=True, default="", db_default="", help_text="The id of the invoice's customer"
    )
    currency = models.CharField(
        max_length=3, blank=True, default="", db_default="", help_text="Of the invoice, in lower case as at Stripe"
    )
    approval_amount = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="Minor units, as last judged: what a second person would agree to. Empty where one person is enough "
        "for any amount",
    )
    card_fingerprint = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="Stripe's fingerprint of the card that was declined; the same card again has it too",
    )

    # the claim
    claim_token = models.UUIDField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    settle_at = models.DateTimeField(
        null=True, blank=True, help_text="The earliest moment of the next look at its outcome"
    )
    settle_attempts = models.PositiveIntegerField(default=0)

    calls = CallsField(default=list, blank=True, help_text="What was sent, and what came back: RecordedCall")
    last_call_first_sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last of its calls was sent for the first time"
    )
    before = models.JSONField(default=dict, blank=True, help_text="The invoice's status and amounts before it")
    after = models.JSONField(default=dict, blank=True, help_text="The invoice's status and amounts after it")
    processing = models.BooleanField(
        default=False, help_text="Stripe took the payment; the bank is still processing it"
    )
    code = models.CharField(max_length=255, blank=True, choices=Code.choices)
    decline_code = models.CharField(max_length=255, blank=True)
    message = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    error = models.JSONField(null=True, blank=True, help_text="Stripe's error, without objects and secrets")
    stripe_request_id = models.CharField(max_length=255, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome_by = models.CharField(max_length=16, blank=True, choices=OutcomeBy.choices)

    # the decision of a second person, or of a manager
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="approved_operations"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)
    decision_address = models.GenericIPAddressField(null=True, blank=True)
    decision_request_id = models.CharField(max_length=255, blank=True)
    decision_token = models.ForeignKey(
        "ApiToken",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="With which the API was told the decision",
    )
    announced_at = models.DateTimeField(null=True, blank=True, help_text="When the approvers were told")

    class Meta:
        verbose_name = gettext_lazy("operation")
        verbose_name_plural = gettext_lazy("operations")
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
            # Where nothing was applied because we refused, or Stripe was away or too busy, the key stays free: the
            # client may try the same again when the cause is gone.
            models.UniqueConstraint(
                fields=["actor", "idempotency_key"],
                condition=~Q(idempotency_key="")
                & ~Q(state="refused")
                & ~Q(state="failed", code=Code.STRIPE_UNAVAILABLE),
                name="operation_one_per_key",
            ),
            models.UniqueConstraint(
                fields=["invoice", "action"],
                condition=Q(state="awaiting_approval"),
                name="operation_one_waits_per_action",
            ),
        ]
        indexes = [
            # Written seldom, so every filter of the list has its index.
            _newest("operation_newest"),
            _newest("operation_invoice", "invoice"),
            _newest("operation_state", "state"),
            _newest("operation_action", "action"),
            _newest("operation_source", "source"),
            _newest("operation_actor", "actor"),
            _newest("operation_approver", "approver", condition=Q(approver__isnull=False)),  # What one decided
            _newest("operation_code", "code", condition=~Q(code="")),
            models.Index("request_id", name="operation_request", condition=~Q(request_id="")),
            models.Index("customer", name="operation_customer", condition=~Q(customer="")),  # What is stored about one
            # Which payment that was recorded has this reference of a bank? Whether it is written large or small.
            models.Index(
                Lower(KT("params__reference")),
                name="operation_reference",
                condition=Q(params__has_key="reference"),
            ),
            models.Index("created_at", name="operation_awaiting", condition=Q(state="awaiting_approval")),
            models.Index(
                "claimed_until", name="operation_unfinished", condition=Q(state__in=["ready", "running", "unknown"])
            ),
            models.Index("settle_at", name="operation_processing", condition=Q(state="processing")),
            models.Index("key_base", name="operation_key_base", condition=~Q(key_base=None)),
            # What one person did without a second one: the daily allowance.
            models.Index(
                "actor",
                "currency",
                "created_at",
                name="operation_unapproved",
                condition=Q(approver=None) & ~Q(approval_amount=None),
            ),
            models.Index(
                "customer",
                "finished_at",
                name="operation_declined",
                condition=Q(state="failed", code__in=sorted(DECLINES)),
            ),
        ]
        permissions = [
            ("approve_operation", "Can approve or reject another's operation"),
            ("override_operation", "Can charge again within the decline cooldown, and resolve unknown outcomes"),
        ]

    # Not stored: what Stripe has just answered to this process (`operations.claims.Heard`), where it was this one.
    heard: Any = None

    def __str__(self) -> str:
        return f"{self.action} {self.invoice}"

    @property
    def stripe_key_base(self) -> uuid.UUID:
        """What the idempotency keys of its calls begin with. What its calls create at Stripe carries it as metadata."""
        return self.key_base or self.pk

    rules = Rules(
        working=frozenset({"claim_token", "claimed_until", "settle_at", "settle_attempts", "announced_at"}),
        changing=frozenset(
            {
                *("state", "expected", "payment_method", "customer", "currency", "approval_amount", "card_fingerprint"),
                *("calls", "last_call_first_sent_at", "before", "after", "processing", "code", "decline_code"),
                *("message", "advice", "error", "stripe_request_id", "finished_at", "outcome_by"),
            }
        ),
        decision=frozenset(
            {
                *("approver_id", "decided_at", "decision_reason", "decision_address", "decision_request_id"),
                "decision_token_id",
            }
        ),
        reopened=("state", State.RUNNING, State.AWAITING_APPROVAL),  # it is judged anew: more is at stake than before
        final=FINAL,
        texts=frozenset({"reason", "ticket", "message", "advice", "decision_reason", "card_fingerprint"}),
        documents=frozenset({"params", "calls", "error"}),
        moves={
            State.AWAITING_APPROVAL: frozenset({State.READY, State.CANCELLED, State.FAILED, State.EXPIRED}),
            State.READY: frozenset({State.RUNNING, State.CANCELLED, State.FAILED, State.EXPIRED}),
            State.RUNNING: frozenset(State) - {State.REFUSED},
            State.UNKNOWN: frozenset(State) - {State.REFUSED, State.AWAITING_APPROVAL},
            State.PROCESSING: frozenset({State.SUCCEEDED, State.FAILED}),
        },
        forbidden=(
            Forbidden(
                "waits for a second person, who has not agreed",
                "OLD.state = 'awaiting_approval' AND NEW.state = 'ready' "
                "AND (NEW.approver_id IS NULL OR NEW.decided_at IS NULL)",
                lambda old, new: (
                    (old["state"], new["state"]) == ("awaiting_approval", "ready")
                    and (new["approver_id"] is None or new["decided_at"] is None)
                ),
                ("state", "approver_id", "decided_at"),
            ),
            Forbidden(
                "was sent to Stripe, and what was sent is not taken back",
                "NEW.state <> OLD.state AND NEW.state IN ('awaiting_approval', 'ready', 'cancelled', 'expired') "
                "AND NEW.calls <> '[]'",
                lambda old, new: (
                    new["state"] != old["state"]
                    and new["state"] in ("awaiting_approval", "ready", "cancelled", "expired")
                    and bool(new["calls"])
                ),
                ("state", "calls"),
            ),
            Forbidden(
                "keeps every call that was recorded, as it was sent",
                f"NEW.calls <> OLD.calls AND EXISTS (SELECT 1 FROM json_array_elements({_PARSED.format('OLD')}) was "  # noqa: S608
                f"WHERE NOT EXISTS (SELECT 1 FROM json_array_elements({_PARSED.format('NEW')}) now "
                "WHERE coalesce(now.value->>'key', '') = coalesce(was.value->>'key', '') "
                "AND coalesce(now.value->>'path', '') = coalesce(was.value->>'path', '') "
                "AND coalesce((now.value->'params')::text, '{}') = coalesce((was.value->'params')::text, '{}')))",
                lambda old, new: not _sent(old["calls"]) <= _sent(new["calls"]),
                ("calls",),
                sqlite="NEW.calls <> OLD.calls AND EXISTS (SELECT 1 FROM json_each(OLD.calls) was "
                "WHERE NOT EXISTS (SELECT 1 FROM json_each(NEW.calls) now "
                "WHERE ifnull(json_extract(now.value, '$.key'), '') = ifnull(json_extract(was.value, '$.key'), '') "
                "AND ifnull(json_extract(now.value, '$.path'), '') = ifnull(json_extract(was.value, '$.path'), '') "
                "AND ifnull(json_extract(now.value, '$.params'), '{}') "
                "= ifnull(json_extract(was.value, '$.params'), '{}')))",
            ),
        ),
    )


def _sent(calls: list[RecordedCall]) -> set[tuple[str, str, str]]:
    return {(call.key, call.path, json.dumps(call.params)) for call in calls}


class Batch(ImmutableModel):
    """One action asked for on many invoices.

    Each invoice gets its own operation. A few are performed at once, until all are done or the batch is cancelled.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    action = models.CharField(max_length=32, help_text="A name in operations.ACTIONS")
    items = BatchItemsField(default=list, help_text="BatchItem: the invoices as they were confirmed, in order")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="batches")
    reason = models.TextField()
    ticket = models.CharField(max_length=255, blank=True)
    params = models.JSONField(default=dict, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    token = models.ForeignKey(
        "ApiToken",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="batches",
        help_text="With which the API was asked; empty: it was asked for in the admin",
    )
    idempotency_key = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="Sent by the API client; the id follows from it and from the user",
    )
    request_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    confirmed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a person last confirmed it; its life counts from here. Empty: created_at"
    )
    claim_token = models.UUIDField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)

    # the decision of a second person on the whole
    awaiting_approval = models.BooleanField(default=False, db_default=False)
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="approved_batches"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True, default="", db_default="")
    decision_address = models.GenericIPAddressField(null=True, blank=True)
    decision_request_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    announced_at = models.DateTimeField(null=True, blank=True, help_text="When the approvers were told")

    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = gettext_lazy("batch")
        verbose_name_plural = gettext_lazy("batches")
        constraints = [
            models.CheckConstraint(
                condition=Q(approver=None) | ~Q(approver=models.F("actor")), name="batch_approved_by_a_second_person"
            )
        ]
        indexes = [
            models.Index("created_at", name="batch_unfinished", condition=Q(finished_at=None)),
            models.Index(models.F("created_at").desc(), models.F("id").desc(), name="batch_newest"),
        ]

    # Not stored: whether this process has just made it.
    is_new = False

    def __str__(self) -> str:
        return f"{self.action} {len(self.items)} invoices"

    @property
    def sums(self) -> dict[str, int]:
        """What it is about, as it was confirmed: currency → minor units."""
        return sums_of_items(self.items)

    @property
    def source(self) -> str:
        """By which way it was asked for, as an operation has it."""
        return Operation.Source.API if self.token_id else Operation.Source.ADMIN

    @property
    def must_be_confirmed_at(self) -> datetime:
        """When its life ends: what has not begun by then begins only after a person has confirmed the batch again."""
        return (self.confirmed_at or self.created_at) + timedelta(hours=settings.BATCH_LIFE_HOURS)

    rules = Rules(
        working=frozenset({"claim_token", "claimed_until", "announced_at"}),
        changing=frozenset({"confirmed_at", "awaiting_approval"}),
        once=frozenset({"cancelled_at", "cancelled_by_id", "finished_at"}),
        decision=frozenset({"approver_id", "decided_at", "decision_reason", "decision_address", "decision_request_id"}),
        reopened=("awaiting_approval", False, True),
        ended_at="finished_at",
        texts=frozenset({"reason", "ticket", "decision_reason"}),
        documents=frozenset({"params"}),
        forbidden=(
            Forbidden(
                "waits for a second person, who has not agreed",
                "OLD.awaiting_approval AND NOT NEW.awaiting_approval AND NEW.cancelled_at IS NULL "
                "AND (NEW.approver_id IS NULL OR NEW.decided_at IS NULL)",
                lambda old, new: (
                    old["awaiting_approval"]
                    and not new["awaiting_approval"]
                    and new["cancelled_at"] is None
                    and (new["approver_id"] is None or new["decided_at"] is None)
                ),
                ("awaiting_approval", "cancelled_at", "approver_id", "decided_at"),
            ),
        ),
    )


class Contradiction(ImmutableModel):
    """An event of Stripe's under one of our idempotency keys that says otherwise than the final operation.

    The operation is not rewritten: this row stands beside it, and is told to people.
    """

    operation = models.ForeignKey(  # the unique constraint begins with it, and is its index
        Operation, on_delete=models.PROTECT, db_index=False, related_name="contradictions"
    )
    # Without a constraint: the event may have left the database for an archive (EventArchive).
    event = models.ForeignKey("Event", on_delete=models.PROTECT, related_name="+", db_constraint=False)
    message = models.TextField(help_text="What the journal says and what Stripe's event says, in plain words")
    found_at = models.DateTimeField(default=clock.now)
    announced_at = models.DateTimeField(null=True, blank=True, help_text="When people were told by e-mail")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resolution = models.TextField(blank=True, help_text="What the person did about it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operation", "event"], name="contradiction_once_per_event")]
        indexes = [models.Index("found_at", name="contradiction_unresolved", condition=Q(resolved_at=None))]

    def __str__(self) -> str:
        return self.message

    rules = Rules(
        working=frozenset({"announced_at"}),
        once=frozenset({"resolved_at", "resolved_by_id", "resolution"}),
        ended_at="resolved_at",
        texts=frozenset({"message", "resolution"}),
        left_out=frozenset({"contradiction_once_per_event"}),
    )


class Pause(ImmutableModel):
    """While a pause stands, nothing of its action is sent to Stripe. Reading goes on.

    It stands until it is resumed or until `ends_at`, whichever comes first. `resumed_at` of one that ended by itself is
    written later, as `ends_at`, and nobody is named."""

    action = models.CharField(max_length=32, blank=True, help_text="Empty: every action")
    reason = models.TextField()
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    paused_at = models.DateTimeField(default=clock.now)
    ends_at = models.DateTimeField(
        null=True, blank=True, help_text="When it ends by itself; empty: when somebody resumes it"
    )
    resumed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resumed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = gettext_lazy("pause")
        verbose_name_plural = gettext_lazy("pauses")
        constraints = [
            models.UniqueConstraint(fields=["action"], condition=Q(resumed_at=None), name="pause_one_per_action")
        ]
        permissions = [("pause_actions", "Can pause and resume actions")]

    def __str__(self) -> str:
        return f"{self.action or 'every action'} paused: {self.reason}"

    rules = Rules(once=frozenset({"resumed_at", "resumed_by_id"}), ended_at="resumed_at")
