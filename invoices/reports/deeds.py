"""Who at the desk did it, and who agreed: the operation behind a payment, a void or a write-off.

What has none was done past the desk: by Stripe itself, in its dashboard, or by another program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from invoices.models import Operation
from invoices.models.codes import OutcomeBy
from invoices.record_tables.shape import Field, user_name
from invoices.reports.report import Entry, beside
from invoices.tables import Column, Kind
from invoices.thresholds import EFFECT_MARGIN

OURS = (OutcomeBy.US, OutcomeBy.PERSON)
NOT_BY_DESK = "not by the desk"
PAYING = ("pay", "charge_part", "attach_out_of_band_payment", "attach_payment")  # actions
_READ = (
    "action invoice params calls reason ticket created_at finished_at decided_at actor__username approver__username "
    "source"
).split()


def succeeded(invoices: Iterable[str], *actions: str) -> dict[str, list[Operation]]:
    """The operations that took effect, by invoice, the oldest first."""
    found: dict[str, list[Operation]] = defaultdict(list)
    rows = Operation.objects.filter(
        invoice__among=set(invoices), action__in=actions, state=Operation.State.SUCCEEDED, outcome_by__in=OURS
    )
    for operation in rows.select_related("actor", "approver").only(*_READ).order_by("created_at", "pk"):
        found[operation.invoice].append(operation)
    return found


def of_payments(entries: Sequence[Entry]) -> dict[str, Operation]:
    """The operation by which each payment was made or recorded, by the entry's key."""
    known = succeeded((entry.invoice for entry in entries), *PAYING)
    found = {}
    for entry in entries:
        mine = next((each for each in known.get(entry.invoice, ()) if _made(each, entry)), None)
        if mine is not None:
            found[entry.pk] = mine
    return found


def _made(operation: Operation, entry: Entry) -> bool:
    intent, record = entry.raw.payment_intent, entry.raw.payment_record
    outside = bool(operation.params.get("paid_out_of_band"))
    if not intent and not record:
        return outside
    named = {call.result.id for call in operation.calls if call.result}
    named |= {call.payment_intent for call in operation.calls}
    named |= {operation.params.get("payment_intent"), operation.params.get("payment_record")}
    if (intent or record) in named:
        return True
    if operation.action != "pay" or outside or not intent or any(call.payment_intent for call in operation.calls):
        return False
    # Stripe's answer names no payment. An invoice is paid once, so what was paid meanwhile is this.
    end = operation.finished_at
    return bool(entry.at and end and operation.created_at - EFFECT_MARGIN <= entry.at <= end + EFFECT_MARGIN)


def fields(*, otherwise: str = "") -> list[Field]:
    """Who asked for it, who agreed and why. `otherwise`: what stands for who asked, where it has no operation."""

    def asked_by(seen: Any) -> str | None:
        return user_name(seen.beside.actor) if seen.beside is not None else otherwise or None

    return [
        Field(Column("Asked by", Kind.TEXT), asked_by),
        beside("Approved by", lambda operation: user_name(operation.approver) or None),
        beside("Decided (UTC)", lambda operation: operation.decided_at, Kind.MOMENT),
        beside("Reason", lambda operation: operation.reason or None),
        beside("Ticket", lambda operation: operation.ticket or None),
        beside("Operation id", lambda operation: str(operation.pk)),
    ]


def parameter(label: str, name: str, kind: Kind = Kind.TEXT, read: Callable[[str], Any] = str) -> Field:
    """What was given with the request."""
    return beside(label, lambda operation: read(operation.params[name]) if operation.params.get(name) else None, kind)
