"""As what an invoice or a charge is counted: the rule of each queue, in one place.

It follows from the mirror alone: from the invoice, its open payments, their PaymentIntents, and from charges. Only what
is open, and what was paid or charged lately, is counted; all else stands in no queue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from invoices.models import Charge, Invoice, InvoicePayment, PaymentIntent
from invoices.models.reading import expandable_id, text
from invoices.models.tallies import NO_DAY
from invoices.money import MAX_MINOR_UNITS

# Invoices. An open one is in OPEN by the day on which it is due, and in at most one of the next three.
OPEN = "open"
PAYMENT_FAILED = "payment_failed"  # the last attempt to take the money failed, and nothing else is under way
NEEDS_CUSTOMER = "needs_customer"  # the customer has to confirm the payment, such as by 3-D Secure
DEBIT_UNDER_WAY = "debit_under_way"  # a bank is processing the payment
RECOVERED = "recovered"  # it was overdue, or an attempt had failed, and then it was paid; by the day of the payment
# Charges, by the day on which they were made.
CHARGED = "charge_succeeded"
DECLINED = "charge_declined"
DECLINED_THEN_PAID = "charge_declined_paid"  # declined, but a later attempt of the same PaymentIntent succeeded

BY_DAY = (RECOVERED, CHARGED, DECLINED, DECLINED_THEN_PAID)  # of which only the last weeks are kept
WAITING = {
    "processing": DEBIT_UNDER_WAY,
    "requires_action": NEEDS_CUSTOMER,
    "requires_payment_method": PAYMENT_FAILED,
}
UNKNOWN_REASON = "unknown"
MAX_REASON = 64  # characters


class Counted(NamedTuple):
    """One object in one queue."""

    object_type: str
    object_id: str
    queue: str
    day: date
    currency: str
    reason: str
    amount: int  # minor units


def of(object_type: str, ids: Collection[str], since: date) -> list[Counted]:
    """As what these objects are counted now. `since`: of what is counted by its day, only what is not older."""
    if not ids:
        return []
    return list(_of_invoices(ids, since) if object_type == Invoice.OBJECT else _of_charges(ids, since))


def affected(changed: dict[str, set[str]]) -> dict[str, set[str]]:
    """The invoices and charges that may be counted otherwise after these objects changed (kind → ids)."""
    changed = defaultdict(set, changed)
    tried = changed[PaymentIntent.OBJECT]
    charged = Charge.rows.filter(pk__in=changed[Charge.OBJECT], payment_intent__isnull=False)
    paying = tried.union(charged.values_list("payment_intent", flat=True))
    payments = (
        InvoicePayment.rows.filter(pk__in=changed[InvoicePayment.OBJECT]),
        InvoicePayment.rows.filter(payment_intent__in=paying),
        InvoicePayment.rows.filter(charge__in=changed[Charge.OBJECT]),
    )
    named = PaymentIntent.rows.filter(pk__in=tried, data__isnull=False).values_list("data", flat=True)
    ids = {id for found in payments for id in found.values_list("invoice_id", flat=True)}
    invoices = changed[Invoice.OBJECT].union(ids, map(_invoice_named_by, named))
    of_intents = Charge.rows.filter(payment_intent__in=tried).values_list("pk", flat=True)
    return {
        Invoice.OBJECT: {id for id in invoices if id},
        Charge.OBJECT: changed[Charge.OBJECT].union(of_intents),
    }


# --- invoices ---------------------------------------------------------------------------------------------------------


def _of_invoices(ids: Collection[str], since: date) -> Iterable[Counted]:
    held = Invoice.objects.filter(pk__in=ids, deleted_at=None, status__in=("open", "paid")).only(
        *("status", "currency", "customer", "created", "finalized_at", "due_date", "paid_at"),
        *("amount_remaining", "amount_paid", "attempt_count"),
    )
    beginning = datetime.combine(since, time.min, UTC)
    rows = [row for row in held if row.status == "open" or (row.paid_at is not None and row.paid_at >= beginning)]
    payments = _payments_of(rows)
    waiting = _waiting([row for row in rows if row.status == "open"], payments)
    failed_before = _failed_before([row for row in rows if row.status == "paid"], payments)
    for row in rows:
        if row.status == "paid":
            if row.pk in failed_before and row.amount_paid:
                yield _invoice(row, RECOVERED, _day(row.paid_at), "", row.amount_paid)
            continue
        yield _invoice(row, OPEN, _day(row.due_date), "", row.amount_remaining)
        if row.pk in waiting:
            queue, reason = waiting[row.pk]
            yield _invoice(row, queue, _day(row.finalized_at or row.created), reason, row.amount_remaining)


def _invoice(row: Invoice, queue: str, day: date, reason: str, amount: int | None) -> Counted:
    return Counted(Invoice.OBJECT, row.pk, queue, day, row.currency or "", reason, _bounded(amount))


def _payments_of(rows: Collection[Invoice]) -> dict[str, list[InvoicePayment]]:
    found = InvoicePayment.objects.filter(invoice__in=[row.pk for row in rows], deleted_at=None).defer("data")
    grouped = defaultdict(list)
    for payment in found if rows else ():
        grouped[payment.invoice_id or ""].append(payment)
    return grouped


def _waiting(rows: Collection[Invoice], payments: dict[str, list[InvoicePayment]]) -> dict[str, tuple[str, str]]:
    """The open invoice's id → in which queue it waits for a payment, and why the last attempt failed.

    Of several PaymentIntents the first of `WAITING` counts: money under way is not asked for again. Stripe sends no
    event of a payment that is not made yet, so the mirror may learn of it only at night. Until then the PaymentIntent
    is found by its customer, and an attempt that we know nothing else about has failed.
    """
    known = {
        row.pk: {
            each.payment_intent for each in payments.get(row.pk, ()) if each.status == "open" and each.payment_intent
        }
        for row in rows
    }
    orphans = [row for row in rows if row.attempt_count and not known[row.pk] and row.customer_id]
    for id, intent in _intents_by_customer(orphans):
        known[id].add(intent)
    wanted = {intent for intents in known.values() for intent in intents}
    held = PaymentIntent.objects.filter(pk__in=wanted, deleted_at=None).only("status", "error_code", "decline_code")
    intents = {intent.pk: intent for intent in held} if wanted else {}
    found = {}
    for row in rows:
        mine = [intents[id] for id in known[row.pk] if id in intents]
        if waits := _first(mine):
            found[row.pk] = waits
        elif row.attempt_count and not mine:
            found[row.pk] = (PAYMENT_FAILED, UNKNOWN_REASON)
    return found


def _first(intents: Iterable[PaymentIntent]) -> tuple[str, str] | None:
    order = list(WAITING)
    waiting = [intent for intent in intents if intent.status in WAITING]
    for intent in sorted(waiting, key=lambda each: order.index(each.status or "")):
        queue = WAITING[intent.status or ""]
        if queue != PAYMENT_FAILED:
            return queue, ""
        if reason := intent.decline_code or intent.error_code:
            return queue, reason[:MAX_REASON]
    return None


def _intents_by_customer(rows: Collection[Invoice]) -> Iterable[tuple[str, str]]:
    """Invoice and PaymentIntent of those that name each other, though no payment of the invoice names them."""
    wanted = {row.pk for row in rows}
    if not wanted:
        return
    customers = {row.customer_id for row in rows}
    held = PaymentIntent.objects.filter(customer__in=customers, status__in=WAITING, deleted_at=None)
    for id, data in held.values_list("pk", "data"):
        if (invoice := _invoice_named_by(data)) in wanted and invoice is not None:
            yield invoice, id


def _invoice_named_by(data: Any) -> str | None:
    """The invoice that a PaymentIntent names: `payment_details.order_reference`."""
    return expandable_id(data, "payment_details", "order_reference")


def _failed_before(rows: Collection[Invoice], payments: dict[str, list[InvoicePayment]]) -> set[str]:
    """The paid invoices that were overdue before, or of which an attempt had failed."""
    late = {
        row.pk
        for row in rows
        if (row.attempt_count or 0) > 1 or (row.due_date and row.paid_at and row.paid_at > row.due_date)
    }
    paid_by = {
        payment.payment_intent: row.pk
        for row in rows
        if row.pk not in late
        for payment in payments.get(row.pk, ())
        if payment.payment_intent
    }
    failed = Charge.objects.filter(payment_intent__in=paid_by, status="failed", deleted_at=None)
    return late.union(paid_by[intent] for intent in failed.values_list("payment_intent", flat=True) if intent)


# --- charges ----------------------------------------------------------------------------------------------------------


def _of_charges(ids: Collection[str], since: date) -> Iterable[Counted]:
    beginning = datetime.combine(since, time.min, UTC)
    held = Charge.objects.filter(
        pk__in=ids, deleted_at=None, created__gte=beginning, status__in=("succeeded", "failed")
    )
    failed = list(held.filter(status="failed"))
    paid_later = set(
        PaymentIntent.objects.filter(
            pk__in={row.payment_intent for row in failed if row.payment_intent}, status="succeeded"
        ).values_list("pk", flat=True)
    )
    for row in held.filter(status="succeeded").defer("data"):
        yield _charge(row, CHARGED, "")
    for row in failed:
        queue = DECLINED_THEN_PAID if row.payment_intent in paid_later else DECLINED
        reason = text(row.data, "outcome", "reason") or row.failure_code or UNKNOWN_REASON
        yield _charge(row, queue, reason[:MAX_REASON])


def _charge(row: Charge, queue: str, reason: str) -> Counted:
    return Counted(Charge.OBJECT, row.pk, queue, _day(row.created), row.currency or "", reason, _bounded(row.amount))


def _day(moment: datetime | None) -> date:
    return moment.astimezone(UTC).date() if moment else NO_DAY


def _bounded(amount: int | None) -> int:
    """Stripe takes no larger amounts. A sum of them always finds room in its column."""
    return max(-MAX_MINOR_UNITS, min(amount or 0, MAX_MINOR_UNITS))
