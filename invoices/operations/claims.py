"""Who may work on an operation now: a random token and a lease. Every write and every sending is conditional on it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import Q

from invoices import clock, mirror, scheduled_refetches
from invoices.models import Invoice, Operation
from invoices.operations import contradictions, told
from invoices.snapshot import Snapshot
from invoices.thresholds import FIRST_SETTLING_AFTER, OPERATION_LEASE


class LostClaim(Exception):
    """Another process has taken the operation over; this one stops, and changes nothing more."""


@dataclass
class Heard:
    """What Stripe answered, whole, for the caller for whom this process has asked. Nothing of it is stored: it holds
    what was expanded, client secrets and cards."""

    invoice: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Claim:
    """The right to work on one operation, until the lease lapses."""

    id: uuid.UUID
    token: uuid.UUID
    heard: Heard = field(default_factory=Heard, compare=False)

    def hold(self, **changes: Any) -> Operation:
        """Writes, renews the lease, and returns the operation as it now is. Raises LostClaim."""
        changes["claimed_until"] = clock.now() + OPERATION_LEASE
        if not Operation.objects.filter(pk=self.id, claim_token=self.token).update(**changes):
            raise LostClaim(str(self.id))
        return judged(self.id)

    def release(self, **changes: Any) -> Operation:
        """Writes and gives the claim back. Raises LostClaim."""
        changes |= {"claim_token": None, "claimed_until": None}
        with transaction.atomic():  # the event that tells of it is written with it
            if not Operation.objects.filter(pk=self.id, claim_token=self.token).update(**changes):
                raise LostClaim(str(self.id))
            operation = Operation.objects.get(pk=self.id)
            if "state" in changes:
                told.ended_or_waits(operation)
        return operation

    def finish(self, state: str, snapshots: list[Snapshot], **outcome: Any) -> Operation:
        """Writes the outcome and the mirror in one transaction. `snapshots` shows the invoice as Stripe has it now.

        Where it does not, `after` is empty, which means "not read", and a refetch is scheduled if anything was sent.
        Raises LostClaim, and then writes nothing of it.
        """
        with transaction.atomic():
            mirror.store(snapshots)
            operation = Operation.objects.get(pk=self.id)
            read = any((each.object, each.id) == ("invoice", operation.invoice) for each in snapshots)
            if not read and operation.calls:
                scheduled_refetches.schedule([("invoice", operation.invoice)])
            operation = self.release(
                state=state,
                finished_at=clock.now(),
                settle_at=None,
                after=_facts_after(operation, snapshots),
                **outcome,
            )
            contradictions.look_back(operation)
            return operation

    def wait_for_bank(self, snapshots: list[Snapshot], **outcome: Any) -> Operation:
        """Writes that the money is under way, with the mirror, and gives the claim back: a bank decides days later.
        Settling looks at it soon, to learn which charge it is. Raises LostClaim."""
        with transaction.atomic():
            mirror.store(snapshots)
            return self.release(
                state=Operation.State.PROCESSING,
                settle_at=clock.now() + FIRST_SETTLING_AFTER,
                settle_attempts=0,
                after=_facts_after(Operation.objects.get(pk=self.id), snapshots),
                **outcome,
            )


def judged(id: uuid.UUID) -> Operation:
    """The operation as it is now, with whom the gate asks about: who asked for it, and with which token."""
    return Operation.objects.select_related("actor", "token").get(pk=id)


def unclaimed() -> Q:
    """Rows that no process holds, or whose lease has lapsed. For operations and batches."""
    return Q(claimed_until=None) | Q(claimed_until__lt=clock.now())


def take(id: uuid.UUID | str, condition: Q, **changes: Any) -> Claim | None:
    """Claims the operation if it is as the condition says; None when it is not, or another was faster."""
    claim = Claim(uuid.UUID(str(id)), uuid.uuid4())
    changes |= {"claim_token": claim.token, "claimed_until": clock.now() + OPERATION_LEASE}
    return claim if Operation.objects.filter(pk=claim.id).filter(condition).update(**changes) else None


def as_seen(snapshots: list[Snapshot], id: str) -> Invoice | None:
    """The invoice as Stripe has just shown it; None where Stripe has no such invoice.

    This is not the mirror's row: where the freshness rule cannot tell which of two states is newer, the row keeps the
    old one until the next read.
    """
    for snapshot in snapshots:
        if snapshot.object == "invoice" and snapshot.id == id and snapshot.data is not None:
            deleted_at = clock.now() if snapshot.deleted else None
            return Invoice(id=id, data=snapshot.data, deleted_at=deleted_at, **Invoice.columns(snapshot.data))
    return None


def _facts_after(operation: Operation, snapshots: list[Snapshot]) -> InvoiceFacts | dict[str, Any]:
    """For `Operation.after`: empty where these snapshots do not show the invoice. A deleted one was read, and has no
    facts."""
    if not any((each.object, each.id) == ("invoice", operation.invoice) for each in snapshots):
        return {}
    return facts(as_seen(snapshots, operation.invoice) or Invoice(id=operation.invoice))


class InvoiceFacts(TypedDict):
    """What the journal keeps of an invoice before and after an operation. Amounts are in minor units."""

    status: str | None
    currency: str | None
    amount_due: int | None
    amount_paid: int | None
    amount_remaining: int | None
    customer: str | None  # its id
    number: str | None


def facts(invoice: Invoice) -> InvoiceFacts:
    """The invoice as `Operation.before` and `Operation.after` hold it."""
    return {
        "status": invoice.status,
        "currency": invoice.currency,
        "amount_due": invoice.amount_due,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_remaining,
        "customer": invoice.customer_id,
        "number": invoice.number,
    }
