"""The journal of reconciliation: each run over Stripe's lists, and every difference that it found."""

from __future__ import annotations

from typing import TypedDict

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.fields import ObjectField
from invoices.models.run_progress import RunProgress, RunProgressField


class RunParams(TypedDict, total=False):
    """`ReconciliationRun.params`: what was asked for. Each member stands only where it applies."""

    since: str  # ISO 8601: what was created since then (sweep, proof)
    lines: str  # "listed": lines after an invoice's tenth are not compared (proof)
    invoice: str  # the only invoice (kind "invoice")
    part: int  # which of the FULL_RUN_PARTS parts of a full run (kind "part")
    began: str  # ISO 8601, Stripe's clock when a catch-up began: the next one goes on from here. No option, a result


class DaySide(TypedDict):
    """What one side has of the objects of one kind that were created on one day. Objects in flight are left out."""

    digest: str  # 64 hexadecimal digits: the sum of the objects' SHA-256 hashes
    # "usd open" → [count, and the sums of the kind in minor units]; "–" where an object has no currency or no status
    groups: dict[str, list[int]]


class ReportDay(TypedDict):
    """One day of one kind in a proof of equality."""

    object: str  # Stripe's `object` value
    day: str  # ISO 8601, UTC; 1970-01-01 has the objects that do not say when they were created
    equal: bool
    ours: DaySide
    theirs: DaySide
    found: dict[str, int]  # as in ReportKind, of this day; zeros are left out


class ReportDigest(TypedDict):
    """The sums of all days' digests."""

    ours: str
    theirs: str


class ReportKind(TypedDict):
    """What a proof covered of one kind, and what it found. Numbers of objects, if nothing else is said."""

    sums: list[str]  # which members the groups of its days add up, in their order
    here: int
    at_stripe: int
    # Which differ: "missing_here", "missing_at_stripe", "differs" and "columns" (an object may be in both of the last),
    # and "unreadable" (what Stripe sent of it cannot be compared).
    # Which do not: "in_flight" (an event or a refetch is under way), "next_sweep" (Stripe sends no event of it),
    # "unlisted" (Stripe's list leaves it out; retrieved, it was equal), "not_imported" (the mirror lacks it, and no
    # full run has walked its kind yet: it is in neither side's sums). Zeros are left out.
    found: dict[str, int]
    oldest: str | None  # ISO 8601: creation of the oldest and of the newest one, of both sides
    newest: str | None
    looked_up: int  # retrieved singly, because lists and mirror seemed to differ
    by_list: int  # of those that differ: judged by Stripe's list alone, because so many differed
    unwritten: int  # of those that differ: counted, and not written down as drift, because so many differed
    long_invoices: int  # whose lines after the tenth were read from Stripe
    line_requests: int  # requests that this took
    digest: ReportDigest


class RunReport(TypedDict):
    """`ReconciliationRun.report` of a proof of equality; every other run has an empty one. It grows with each finished
    window, and is closed with `equal` and the digests.

    Proofs before version 2 compared invoices only: their reports have no `version` and no `kinds`, `sums` beside
    `days`, and days without `object` and `found`.
    """

    version: int
    equal: bool
    lines: str  # "all", or "listed": lines after an invoice's tenth were counted and not compared
    kinds: dict[str, ReportKind]  # by Stripe's `object` value
    days: list[ReportDay]  # oldest first, once it is closed
    digest: ReportDigest
    not_shown: list[str]  # what a proof cannot show, in sentences


class ReconciliationRun(models.Model):
    """One comparison of the mirror with Stripe: what was asked for, how far it came, and what it found."""

    class Kind(models.TextChoices):
        SWEEP = "sweep", gettext_lazy("Sweep")
        FULL = "full", gettext_lazy("Full")
        PART = "part", gettext_lazy("part of a full run")
        INVOICE = "invoice", gettext_lazy("Invoice")
        CATCH_UP = "catch_up", gettext_lazy("catch-up")
        VERIFY = "verify", gettext_lazy("proof of equality")

    class State(models.TextChoices):
        RUNNING = "running", gettext_lazy("Running")
        FINISHED = "finished", gettext_lazy("Finished")
        FAILED = "failed", gettext_lazy("Failed")
        INTERRUPTED = (
            "interrupted",
            gettext_lazy("Interrupted"),
        )  # a person or a shutdown ended it; the next run of its kind goes on with it

    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    dry_run = models.BooleanField(default=False)
    params = models.JSONField(default=dict, blank=True, help_text="What was asked for: RunParams")
    progress = RunProgressField(
        default=RunProgress,
        blank=True,
        help_text="How far the run has come: the next run of its kind goes on from there",
    )
    owner = models.UUIDField(
        null=True,
        blank=True,
        help_text="Drawn by the process that works on the run: whoever holds another one writes nothing",
    )
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: the schedule, or the command line",
    )
    started_at = models.DateTimeField(db_default=clock.InsertedAt())
    alive_at = models.DateTimeField(
        db_default=clock.InsertedAt(),
        help_text="The last sign of life of a running run; one that stays silent is taken over",
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    # Numbers of objects (of events, in a catch-up): seen = same + imported + healed + in_flight + failed
    seen = models.PositiveBigIntegerField(default=0)
    same = models.PositiveBigIntegerField(default=0)
    imported = models.PositiveBigIntegerField(default=0)
    healed = models.PositiveBigIntegerField(default=0)
    in_flight = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)  # not an error: drift that is left; in a dry run every drift
    events = models.PositiveBigIntegerField(default=0, help_text="New events that the catch-up brought")
    report = ObjectField(
        default=dict, blank=True, help_text="Of a proof: counts, sums and digests by kind and day: RunReport"
    )
    exit_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = gettext_lazy("reconciliation run")
        verbose_name_plural = gettext_lazy("reconciliation runs")
        indexes = [
            models.Index(models.F("started_at").desc(), models.F("id").desc(), name="run_newest"),  # The list
            # The last run of a kind; the list by kind
            models.Index("kind", models.F("started_at").desc(), models.F("id").desc(), name="run_kind_newest"),
            models.Index("state", models.F("started_at").desc(), models.F("id").desc(), name="run_state_newest"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="running", kind__in=["sweep", "full", "part"]),
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


def _newest_drift(name: str, *columns: str, condition: Q | None = None) -> models.Index:
    """The differences with these values, newest first, as every list of them is read."""
    order = (models.F("found_at").desc(), models.F("id").desc())
    return models.Index(*columns, *order, name=name, condition=condition)


class Drift(models.Model):
    """One difference between Stripe and the mirror that no pending event and no scheduled refetch explained; or an
    object of Stripe's that could not be read or stored."""

    class Kind(models.TextChoices):
        MISSING_HERE = "missing_here", gettext_lazy("missing here")
        MISSING_AT_STRIPE = "missing_at_stripe", gettext_lazy("missing at Stripe")
        DIFFERS = "differs", gettext_lazy("Differs")
        UNREADABLE = "unreadable", gettext_lazy("Unreadable")
        COLUMN = "column", gettext_lazy("column differs from its object")

    run = models.ForeignKey(ReconciliationRun, on_delete=models.CASCADE, db_index=False, related_name="drift")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=255)
    invoice = models.CharField(max_length=255, blank=True, help_text="The invoice that it belongs to")
    field = models.CharField(
        max_length=255,
        blank=True,
        help_text="The path in the object, such as lines.data.3.amount, or the column; empty: the whole object",
    )
    reason = models.TextField(
        blank=True, default="", db_default="", help_text="Of an unreadable object: why it could not be read or stored"
    )
    ours = ObjectField(null=True, blank=True)
    theirs = ObjectField(null=True, blank=True)
    ours_seen_until = models.DateTimeField(
        null=True, blank=True, help_text="Stripe's clock: until when ours was known to be true"
    )
    found_at = models.DateTimeField(db_default=clock.InsertedAt())
    healed_at = models.DateTimeField(null=True, blank=True, help_text="Empty: the difference was left")
    explanation = models.ForeignKey(
        "DriftExplanation",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="That holds for this difference, also where it was found again; see reconcile/explaining.py",
    )

    class Meta:
        verbose_name = gettext_lazy("drift")
        verbose_name_plural = gettext_lazy("drift")
        permissions = [("explain_drift", "Can explain differences that no run healed")]
        # Written seldom, so every filter of the list has its index.
        indexes = [
            _newest_drift("drift_newest"),
            _newest_drift("drift_run", "run"),
            models.Index(fields=["run", "invoice", "id"], name="drift_run_invoice"),  # A run's page, invoice by invoice
            _newest_drift("drift_invoice", "invoice"),
            _newest_drift("drift_object", "object_id"),
            _newest_drift("drift_kind", "kind"),
            _newest_drift("drift_object_type", "object_type"),
            _newest_drift("drift_field", "field"),
            _newest_drift("drift_left", condition=Q(healed_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.object_id} {self.field or self.get_kind_display()}"
