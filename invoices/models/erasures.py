"""The journal of erasures: whose personal data was erased, who said so and why; and each row that was rewritten."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import connection, models

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules

LOCK = 7_203_004_212  # of PostgreSQL's advisory locks: writers share it, the beginning of an erasure has it alone
SHARED_LOCK = f"SELECT pg_advisory_xact_lock_shared({LOCK})"


class Erasure(ImmutableModel):
    """One customer whose personal data was to be erased. It holds no personal data itself.

    From its first commit on, nothing of that customer is stored with personal data any more: see `erasures_begun`.
    """

    customer = models.CharField(max_length=255, db_index=True, help_text="The customer's id")
    reason = models.TextField()
    ticket = models.CharField(max_length=255, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    shell_user = models.CharField(max_length=255, help_text="Who ran the command: user@host of the operating system")
    requested_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it was interrupted, and can go on")

    class Meta:
        indexes = [models.Index("requested_at", name="erasure_unfinished", condition=models.Q(finished_at=None))]

    def __str__(self) -> str:
        return f"erasure {self.pk} of {self.customer}"

    rules = Rules(once=frozenset({"finished_at"}), ended_at="finished_at")


class ErasedRow(ImmutableModel):
    """One row of the journal that an erasure rewrote: from which content to which, as the chain has them.

    The triggers let the row's personal columns be rewritten only while such a record stands there without
    `rewritten_at`. Both are one transaction.
    """

    erasure = models.ForeignKey(Erasure, on_delete=models.PROTECT, related_name="rows")
    kind = models.CharField(max_length=32, help_text="As in the chain")
    row = models.CharField(max_length=255, help_text="The row's id, as the database writes it as text")
    columns = models.CharField(max_length=255, help_text="Which columns were rewritten")
    kept = models.CharField(max_length=64, help_text="SHA-256 of what is not personal: the same before and after")
    fixed_before = models.CharField(max_length=64)
    digest_before = models.CharField(max_length=64)
    fixed_after = models.CharField(max_length=64, blank=True, default="")
    digest_after = models.CharField(max_length=64, blank=True, default="")
    made_at = models.DateTimeField(default=clock.now)
    rewritten_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index("kind", "row", "id", name="erasedrow_row")]

    def __str__(self) -> str:
        return f"{self.kind} {self.row}, erased by erasure {self.erasure_id}"

    rules = Rules(once=frozenset({"fixed_after", "digest_after", "rewritten_at"}), ended_at="rewritten_at")


def erasures_begun(customers: Iterable[str]) -> dict[str, datetime]:
    """Those of these customers whose personal data was erased, or is being erased: id → when that began, by the
    database's clock; the first time where it was erased again. For writers, in their transaction.

    An erasure that begins waits for the transactions that have asked: what they write is then there to be erased.
    """
    ids = sorted({id for id in customers if id})
    if not ids:
        return {}
    wait_for_beginnings()
    found: dict[str, datetime] = {}
    for start in range(0, len(ids), 500):
        erased = Erasure.objects.filter(customer__in=ids[start : start + 500]).order_by("-pk")
        found.update(erased.values_list("customer", "requested_at"))
    return found


def any_begun() -> bool:
    """Whether any erasure was ever begun. For writers, as `erasures_begun`: where it is False, they need not look for
    the customers of what they write."""
    wait_for_beginnings()
    return Erasure.objects.exists()


def wait_for_beginnings() -> None:
    """From here to the end of this transaction no erasure begins; one that just begins is waited for."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(SHARED_LOCK)
