"""What speaks for and against paying an invoice with a credit, whether it was named or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from invoices.models import Invoice
from invoices.statements.matching import rows
from invoices.statements.matching.known import Known
from invoices.statements.matching.names import Likeness
from invoices.statements.matching.proposal import Credit, Proposal, Reason
from invoices.statements.matching.reasons import ReasonCode
from invoices.statements.matching.rows import ByHand, Row

DAYS_OF_ONE_TRANSFER = timedelta(days=7)  # between what a customer says on the phone and the bank's booking
EARLIER_THAN_INVOICE = timedelta(days=2)  # a bank's day is another one than UTC's
SMALL_SHARE = 0.035  # of what remains: a discount of 2 or 3 %


@dataclass(frozen=True)
class Weighed:
    """A proposal and its place among the others: the larger weight first."""

    weight: int
    proposal: Proposal


def reason(code: ReasonCode, row: Row | None = None, **values: str | int) -> Reason:
    about = {"invoice": row.id, "number": row.number} if row else {}
    return Reason(str(code), about | {name: str(value) for name, value in values.items()})


def with_amount(code: ReasonCode, amount: int, credit: Credit, row: Row | None = None) -> Reason:
    return reason(code, row, amount=amount, currency=credit.currency)


def is_small(missing: int, whole: int) -> bool:
    return 0 < missing <= whole * SMALL_SHARE


def open_of(credit: Credit, known: Known, customer: str) -> list[Row]:
    """What a customer owes in the credit's currency; nothing where it is more than is looked at."""
    found = known.of_customers.get(customer, [])
    if len(found) > rows.MOST_OF_CUSTOMER:
        return []
    return [row for row in found if row.currency == credit.currency and known.left(row) > 0]


def of_payer(credit: Credit, known: Known, chosen: Iterable[Row]) -> tuple[list[Reason], list[Reason]]:
    """What the payer says for and against these invoices' customers."""
    for_it: dict[str, Reason] = {}
    against: dict[str, Reason] = {}
    for row in chosen:
        times, likeness = known.times(credit, row.customer), known.likeness(credit, row)
        if times:
            for_it["known"] = reason(ReasonCode.PAYER_KNOWN, times=times)
        elif known.pays_for_others(credit, row.customer):
            against["others"] = reason(ReasonCode.PAYER_OF_OTHERS)
        if likeness == Likeness.SAME:
            for_it["name"] = reason(ReasonCode.NAME)
        elif not times and known.named.get(credit.id):
            against["name"] = reason(ReasonCode.NAME_OF_ANOTHER)
        elif likeness == Likeness.RELATED and not times:
            against["name"] = reason(ReasonCode.NAME_RELATED)
        elif likeness >= Likeness.RELATED:
            for_it["name"] = reason(ReasonCode.NAME_PARTLY)
        elif likeness == Likeness.OTHER and not times:
            against["name"] = reason(ReasonCode.NAME_OTHER)
    if "name" in for_it and "name" in against:
        del for_it["name"]
        against["name"] = reason(ReasonCode.NAME_OF_SOME)
    return list(for_it.values()), list(against.values())


def _recorded_elsewhere(credit: Credit, known: Known, row: Row) -> ByHand | None:
    """A payment that somebody recorded on another invoice of this customer, and that may be this credit."""
    for each in known.hindrances.by_hand.get(row.customer, ()):
        is_same = (each.currency, each.amount) == (credit.currency, credit.amount) and each.invoice != row.id
        if is_same and abs(each.received_on - credit.booked_on) <= DAYS_OF_ONE_TRANSFER:
            return each
    return None


def of_invoices(credit: Credit, known: Known, chosen: Iterable[Row]) -> list[Reason]:
    """What else is going on with these invoices, or with the credit."""
    found: list[Reason] = []
    if purpose := known.readings[credit.id].other_purpose:
        found.append(reason(ReasonCode.OTHER_PURPOSE, written=purpose))
    money_came = datetime.combine(credit.booked_on, time.max, UTC)
    for row in chosen:
        if row.status == Invoice.Status.UNCOLLECTIBLE:
            found.append(reason(ReasonCode.WRITTEN_OFF, row))
        if row.id in known.hindrances.under_way or row.id in known.hindrances.claimed:
            found.append(reason(ReasonCode.UNDER_WAY, row))
        if (row.id, credit.amount) in known.hindrances.recorded:
            found.append(reason(ReasonCode.RECORDED_BEFORE, row))
        elif elsewhere := _recorded_elsewhere(credit, known, row):
            found.append(
                Reason(str(ReasonCode.RECORDED_ELSEWHERE), {"invoice": elsewhere.invoice, "number": elsewhere.number})
            )
        if known.taken.get(row.id):
            found.append(reason(ReasonCode.SHARED, row))
        if row.since is not None and row.since > money_came + EARLIER_THAN_INVOICE:
            found.append(reason(ReasonCode.LATER_INVOICE, row))
    return found
