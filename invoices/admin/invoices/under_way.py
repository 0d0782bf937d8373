"""Money under way on an invoice's page: how much, since when, and whether the bank takes too long."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from invoices import money
from invoices.admin.invoices.page_payments import Payment
from invoices.models import Operation
from invoices.operations import money_under_way
from invoices.thresholds import BANK_OVERDUE

PROCESSING = "payment_intent.processing"


@dataclass
class UnderWay:
    """Money that a bank is still processing. `amount` has its currency. `operation` charged it; None: Stripe did by
    itself, or the customer."""

    amount: str
    since: datetime | None
    operation: Operation | None

    @property
    def is_overdue(self) -> bool:
        return self.operation is not None and money_under_way.is_overdue(self.operation)

    @property
    def most_days(self) -> int:
        """How long banks take at most."""
        return BANK_OVERDUE.days


def amount_of(operation: Operation) -> str:
    """The amount that an operation charged."""
    return money.text(money_under_way.amount_of(operation), operation.before.get("currency"))


def money_under_way_of(operations: Iterable[Operation], payments: Iterable[Payment]) -> UnderWay | None:
    """What of an invoice's money is under way; None if nothing is. The journal may know it before the mirror does."""
    operation = next((each for each in operations if each.state == Operation.State.PROCESSING), None)
    found = [payment for payment in payments if payment.processing]
    if operation is None and not found:
        return None
    requested = sum(payment.row.amount_requested or 0 for payment in found)
    amount = money.text(requested, found[0].row.currency) if found or operation is None else amount_of(operation)
    if operation is not None:
        return UnderWay(amount, operation.last_call_first_sent_at or operation.created_at, operation)
    moments = [attempt.when for payment in found for attempt in payment.attempts if attempt.type == PROCESSING]
    return UnderWay(amount, next((when for when in moments if when), None), None)
