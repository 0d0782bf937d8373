"""Payments received, by the day on which they were paid: cards, bank debits, and money from outside Stripe.

An invoice payment counts at its `paid_at`. An invoice that was marked as paid has no payment for what remained then:
Stripe makes none. That part counts at the invoice's `paid_at`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from django.db.models import Sum
from django.utils.translation import gettext_noop

from invoices.models import Charge, Invoice, InvoicePayment, PaymentIntent
from invoices.models.reading import member, text
from invoices.record_tables.shape import NUMBER, Shape, moment, who
from invoices.reports import deeds
from invoices.reports.asked import NOT_KNOWN, Asked
from invoices.reports.history import paid_payments
from invoices.reports.report import ROWS_PER_PAGE, Entry, Report, of_entry, raw, what_counts
from invoices.reports.walking import walk
from invoices.tables import Kind

CARD, BANK_DEBIT, OTHER, OUTSIDE, MARKED = "card", "bank-debit", "other", "outside", "marked"
CARDS = {"card", "card_present", "interac_present"}  # Stripe's types of payment methods
DEBITS = {"us_bank_account", "sepa_debit", "acss_debit", "bacs_debit", "au_becs_debit", "nz_bank_account", "ach_debit"}
NO_DAY = gettext_noop("Stripe does not say when it was paid.")
_COLUMNS = ("currency", "amount_paid", "invoice_id", "payment_type", "payment_intent", "payment_record", "charge")


class Paid(NamedTuple):
    """What a payment was made by: ids of Stripe's, and what the charge says. Empty: there is none."""

    payment: str = ""
    payment_intent: str = ""
    payment_record: str = ""
    charge: str = ""
    method: str = ""  # Stripe's type of the payment method, such as `card`
    brand: str = ""  # of the card, or the bank's name
    last4: str = ""

    @property
    def way(self) -> str:
        if self.method in CARDS:
            return CARD
        return BANK_DEBIT if self.method in DEBITS else OTHER


class Payments(Report):
    name = "payments"
    title = gettext_noop("Payments received")
    answers = gettext_noop("What was paid in these days, how, and who recorded it?")
    counts = gettext_noop("Payments")
    sums = gettext_noop("Received")
    groups_are = gettext_noop("How it was paid")
    permissions = (
        "invoices.view_invoicepayment",
        "invoices.view_invoice",
        "invoices.view_customer",
        "invoices.view_charge",
        "invoices.view_operation",
    )
    limits = (
        gettext_noop(
            "The day is that of the payment at Stripe. For money from outside Stripe that is when it was recorded; the "
            "day on which it was received stands beside it."
        ),
        gettext_noop("Refunds, disputes and fees are not subtracted."),
    )
    groups = {
        CARD: gettext_noop("Card"),
        BANK_DEBIT: gettext_noop("Bank debit"),
        OTHER: gettext_noop("Another way through Stripe"),
        OUTSIDE: gettext_noop("Outside Stripe, recorded"),
        MARKED: gettext_noop("Marked as paid, without a payment"),
    }
    shape = Shape(
        title,
        [
            NUMBER,
            *who(),
            *what_counts("Received"),
            raw("Paid with", "method"),
            raw("Card or bank", "brand"),
            raw("Last four digits", "last4"),
            deeds.parameter("Method", "method"),
            deeds.parameter("Reference", "reference"),
            deeds.parameter("Received on", "received_on", Kind.DAY, date.fromisoformat),
            *deeds.fields(),
            moment("Paid at", "at"),
            raw("PaymentIntent id", "payment_intent"),
            raw("Payment record id", "payment_record"),
            raw("Charge id", "charge"),
            of_entry("Invoice id", lambda entry: entry.invoice),
            raw("Payment id", "payment"),
        ],
        (),
        invoice="invoice",
        customer="customer",
        beside=deeds.of_payments,
    )
    shown = ("Invoice", "Customer", "Received", "Received on", "Reference", "Asked by", "Approved by")

    def pages(self, asked: Asked) -> Iterator[Sequence[Entry]]:
        both = merge(_payments(asked), _marked(asked), key=lambda entry: (entry.at, entry.pk))
        while page := list(islice(both, ROWS_PER_PAGE)):
            yield page
        yield from _undated(asked)


def _payments(asked: Asked) -> Iterator[Entry]:
    paid = InvoicePayment.objects.filter(
        paid_at__gte=asked.begin, paid_at__lt=asked.end, status="paid", deleted_at=None
    )
    for page in walk(paid, "paid_at", *_COLUMNS):
        yield from _entries(page)


def _entries(page: Sequence[Any], unknown: str = "") -> Iterator[Entry]:
    charges = _charges(page)
    for row in page:
        if row.payment_type == "payment_record":
            way, paid = OUTSIDE, Paid(row.pk, payment_record=row.payment_record or "")
        else:
            paid = Paid(row.pk, row.payment_intent or "", "", *charges.get(row.pk, (row.charge or "",)))
            way = paid.way
        amount = None if unknown else row.amount_paid or 0
        group = NOT_KNOWN if unknown else way
        yield Entry(row.pk, row.paid_at, row.currency or "", amount, group, row.invoice_id or "", "", unknown, paid)


def _charges(page: Sequence[Any]) -> dict[str, tuple[str, str, str, str]]:
    """Of these payments: the id of the charge that paid each, and what it says of the payment method."""
    intents = {row.payment_intent for row in page if row.payment_intent and not row.charge}
    latest = PaymentIntent.objects.filter(pk__among=intents).order_by().values_list("pk", "latest_charge")
    by_intent = dict(latest) if intents else {}
    of_payment = {row.pk: row.charge or by_intent.get(row.payment_intent) for row in page}
    ids = {charge for charge in of_payment.values() if charge}
    held = dict(Charge.objects.filter(pk__among=ids).order_by().values_list("pk", "data")) if ids else {}
    return {pk: (charge, *_method_of(held.get(charge))) for pk, charge in of_payment.items() if charge}


def _method_of(charge: Any) -> tuple[str, str, str]:
    details = member(charge, "payment_method_details")
    kind = text(details, "type") or ""
    more = member(details, kind)
    return kind, text(more, "brand") or text(more, "bank_name") or "", text(more, "last4") or ""


def _marked(asked: Asked) -> Iterator[Entry]:
    """What no payment paid, of the invoices that became paid."""
    paid = Invoice.objects.filter(paid_at__gte=asked.begin, paid_at__lt=asked.end, status="paid", deleted_at=None)
    for page in walk(paid.filter(amount_paid__gt=0), "paid_at", "currency", "amount_paid", "customer_id"):
        yield from _rests(page)


def _rests(page: Sequence[Any], unknown: str = "") -> Iterator[Entry]:
    sums = paid_payments([row.pk for row in page]).values_list("invoice_id").annotate(sum=Sum("amount_paid"))
    by_payments = dict(sums)
    for row in page:
        rest = row.amount_paid - (by_payments.get(row.pk) or 0)
        if rest > 0:
            amount, group = (None, NOT_KNOWN) if unknown else (rest, MARKED)
            at: datetime | None = None if unknown else row.paid_at
            yield Entry(row.pk, at, row.currency or "", amount, group, row.pk, row.customer_id or "", unknown, Paid())


def _undated(asked: Asked) -> Iterator[Sequence[Entry]]:
    """What was paid at a moment that nobody knows, and may belong to these days."""
    payments = InvoicePayment.objects.filter(InvoicePayment.UNDATED, created__lt=asked.end, deleted_at=None)
    for page in walk(payments, "id", "paid_at", *_COLUMNS):
        yield list(_entries(page, NO_DAY))
    invoices = Invoice.objects.filter(Invoice.UNDATED_END, status="paid", created__lt=asked.end, deleted_at=None)
    columns = ("currency", "amount_paid", "customer_id")
    for page in walk(invoices.filter(amount_paid__gt=0), "id", *columns):
        yield list(_rests(page, NO_DAY))
