"""Who may work on an operation now: a random token and a lease. Every write and every sending is conditional on it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from invoices import clock, mirror
from invoices.models import Invoice, Operation
from invoices.snapshot import Snapshot

LEASE = timedelta(minutes=2)


class LostClaim(Exception):
    """Another process has taken the operation over; this one stops, and changes nothing more."""


@dataclass(frozen=True)
class Claim:
    """The right to work on one operation, until the lease lapses."""

    id: uuid.UUID
    token: uuid.UUID

    def hold(self, **changes: Any) -> Operation:
        """Writes, renews the lease, and returns the operation as it now is. Raises LostClaim."""
        changes["claimed_until"] = clock.now() + LEASE
        if not Operation.objects.filter(pk=self.id, claim_token=self.token).update(**changes):
            raise LostClaim(str(self.id))
        return Operation.objects.get(pk=self.id)

    def release(self, **changes: Any) -> Operation:
        """Writes and gives the claim back. Raises LostClaim."""
        changes |= {"claim_token": None, "claimed_until": None}
        if not Operation.objects.filter(pk=self.id, claim_token=self.token).update(**changes):
            raise LostClaim(str(self.id))
        return Operation.objects.get(pk=self.id)

    def finish(self, state: str, snapshots: list[Snapshot], *, read_again: bool = False, **outcome: Any) -> Operation:
        """The outcome and the mirror, or the asking for a read, in one transaction. Raises LostClaim, and then nothing
        of it is written."""
        with transaction.atomic():
            mirror.store(snapshots)
            operation = Operation.objects.get(pk=self.id)
            if read_again:
                mirror.ask("invoice", [operation.invoice])
            invoice = as_seen(snapshots, operation.invoice) or Invoice.objects.filter(pk=operation.invoice).first()
            return self.release(
                state=state,
                finished_at=clock.now(),
                settle_at=None,
                after=facts(invoice) if invoice else {},
                **outcome,
            )


def take(id: uuid.UUID | str, condition: Q, **changes: Any) -> Claim | None:
    """Claims the operation if it is as the condition says; None when it is not, or another was faster."""
    claim = Claim(uuid.UUID(str(id)), uuid.uuid4())
    changes |= {"claim_token": claim.token, "claimed_until": clock.now() + LEASE}
    return claim if Operation.objects.filter(pk=claim.id).filter(condition).update(**changes) else None


def as_seen(snapshots: list[Snapshot], id: str) -> Invoice | None:
    """The invoice as Stripe has just shown it. Not the mirror's row: where time cannot tell which of two states is the
    newer one, that stays as it was until the next read."""
    for snapshot in snapshots:
        if snapshot.object == "invoice" and snapshot.id == id and snapshot.data is not None:
            deleted_at = clock.now() if snapshot.deleted else None
            return Invoice(id=id, data=snapshot.data, deleted_at=deleted_at, **Invoice.columns(snapshot.data))
    return None


def facts(invoice: Invoice) -> dict[str, Any]:
    """What of the invoice is written into the journal: before, and after."""
    return {
        "status": invoice.status,
        "currency": invoice.currency,
        "amount_due": invoice.amount_due,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_remaining,
        "customer": invoice.customer_id,
        "number": invoice.number,
    }
