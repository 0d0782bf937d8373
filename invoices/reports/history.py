"""What of an invoice remained to be paid at an earlier moment, from the mirror's history.

The mirror holds each payment and each credit note with its moment, and of an invoice what is due today. So what
remained then is what is due, with the credits that came later added again, less what was paid before. Where the
payments and credit notes do not add up to what Stripe's invoice says, a moment is missing, and nothing is guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext_noop

from invoices.models import CreditNote, Invoice, InvoicePayment
from invoices.models.reading import integer, json_of, moment

# The columns of an invoice that are needed.
COLUMNS = ("status", "amount_due", "amount_paid", "paid_at")

NO_AMOUNT = gettext_noop("Stripe's invoice does not say its amounts.")
CREDIT_UNDATED = gettext_noop("A credit note changed what was due, and its date is not here.")
PAYMENT_UNDATED = gettext_noop("A part was paid, and the date is not here.")
SAME_SECOND = gettext_noop("A payment or a credit note is of the same second: which came first is not known.")
CONTRADICTS = gettext_noop("Its payments add up to more than Stripe's invoice says.")


class Credit(NamedTuple):
    """A credit note, as far as it lowers what is due. None: not known."""

    amount: int | None  # minor units
    begin: datetime | None  # when it was issued
    is_void: bool
    end: datetime | None  # when it was voided


@dataclass
class Moves:
    """What changed what remained of one invoice. Minor units."""

    payments: list[tuple[datetime | None, int]] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    credited: int = 0  # as the invoice says it: by credit notes that stand

    @property
    def paid(self) -> int:
        return sum(amount for _at, amount in self.payments)


def moves_of(ids: Sequence[str]) -> dict[str, Moves]:
    """Of these invoices, in three queries."""
    found: dict[str, Moves] = defaultdict(Moves)
    for invoice, at, amount in paid_payments(ids).values_list("invoice_id", "paid_at", "amount_paid"):
        found[invoice].payments.append((at, amount or 0))
    notes = CreditNote.objects.filter(invoice__among=ids, deleted_at=None).order_by()
    for invoice, status, begin, data in notes.values_list("invoice_id", "status", "created", "data"):
        credit = Credit(_lowered(data), begin, status == "void", moment(data, "voided_at"))
        found[invoice].credits.append(credit)
    written = Invoice.objects.filter(pk__among=ids).order_by().annotate(written=Cast("data", TextField()))
    for pk, data in written.values_list("pk", "written"):
        found[pk].credited = _credited(data)
    return found


class _OfInvoice(msgspec.Struct):
    """What is read of an invoice's JSON. To read the whole takes five times as long."""

    pre_payment_credit_notes_amount: int | None = 0


def _credited(written: str | None) -> int:
    """What credit notes took from what was due, as Stripe's invoice says it. Minor units."""
    try:
        return msgspec.json.decode(written or "{}", type=_OfInvoice).pre_payment_credit_notes_amount or 0
    except msgspec.MsgspecError:  # of another shape, or with what only Python's parser reads
        return integer(json_of(written or "{}"), "pre_payment_credit_notes_amount") or 0


def paid_payments(ids: Sequence[str]) -> Any:
    """The payments of these invoices that were made."""
    return InvoicePayment.objects.filter(invoice__among=ids, status="paid", deleted_at=None).order_by()


def _lowered(note: Any) -> int | None:
    """By how much a credit note lowered what is due; what exceeds it was paid, and is given back."""
    lowered = integer(note, "pre_payment_amount")
    if lowered is None and note.get("type") in ("pre_payment", "post_payment"):
        return (integer(note, "amount") or 0) if note["type"] == "pre_payment" else 0
    return lowered


def remaining_at(
    rows: Sequence[Any], moment_of: Callable[[Any], datetime], *, of_a_change: bool
) -> dict[str, int | str]:
    """Of these invoices (`pk` and COLUMNS of each): what remained at the moment of each, in minor units, or why nobody
    knows, in English. `of_a_change`: the moment is Stripe's second of a change of the invoice, so that another change
    of the same second may have come before or after it."""
    moves = moves_of([row.pk for row in rows])
    return {row.pk: _remaining(row, moment_of(row), moves.get(row.pk) or Moves(), of_a_change) for row in rows}


def _remaining(row: Any, at: datetime, moves: Moves, of_a_change: bool) -> int | str:
    if row.amount_due is None or row.amount_paid is None:
        return NO_AMOUNT
    if of_a_change and _is_of_same_second(row, at, moves):
        return SAME_SECOND
    due = _due(row.amount_due, at, moves)
    if due is None:
        return CREDIT_UNDATED
    if any(paid_at is None for paid_at, _amount in moves.payments):
        return PAYMENT_UNDATED
    paid = sum(amount for paid_at, amount in moves.payments if paid_at is not None and paid_at < at)
    rest = row.amount_paid - moves.paid
    if rest > 0:
        # Stripe makes no payment where an invoice is marked as paid: all that remained was, at once.
        if row.status != "paid" or row.paid_at is None:
            return PAYMENT_UNDATED
        paid += rest if row.paid_at < at else 0
    if (rest < 0 and row.status != "paid") or paid > due:  # of a paid one it is what was paid too much
        return CONTRADICTS
    return due - paid


def _due(due: int, at: datetime, moves: Moves) -> int | None:
    """What was due then; None where nobody knows."""
    standing = 0
    for credit in moves.credits:
        if credit.amount is None or credit.begin is None or (credit.is_void and credit.end is None):
            return None
        if not credit.is_void:
            standing += credit.amount
            due += credit.amount if credit.begin >= at else 0
        elif credit.end is not None and credit.begin < at <= credit.end:
            due -= credit.amount
    return due if standing == moves.credited else None


def _is_of_same_second(row: Any, at: datetime, moves: Moves) -> bool:
    """Whether something else happened in that second. What made it paid came last: nothing follows on that."""
    same = [each for each, _amount in moves.payments if each == at]
    same += [each for credit in moves.credits for each in (credit.begin, credit.end) if each == at]
    return len(same) > (1 if row.status == "paid" and row.paid_at == at else 0)
