"""Which rows are a customer's: erasing one, and the page of what is stored about one, both ask here.

The ids of a customer's objects are read first, and the rows are found by them (`models/among.py`): with a subquery in
an OR, PostgreSQL would read the whole table. Who asks for the rows of many tables reads the ids once (`read_once`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.db import models
from django.db.models import Q

from invoices.models import (
    MIRRORED,
    Assignment,
    BankDecision,
    BankMatch,
    BankTransaction,
    Batch,
    Charge,
    Contradiction,
    CreditNote,
    Customer,
    DeskEvent,
    Disclosure,
    Drift,
    DriftExplanation,
    Email,
    Erasure,
    Event,
    Invoice,
    InvoicePayment,
    KnownPayer,
    Mention,
    Note,
    NoteVersion,
    Operation,
    PaymentIntent,
    Promise,
    Refund,
    Removal,
    ScheduledRefetch,
)

_known: ContextVar[dict[tuple[str, str], set[Any]] | None] = ContextVar("ids that were read", default=None)


@contextmanager
def read_once() -> Iterator[None]:
    """Inside, the ids of a customer's objects are read once for all questions. For reading alone: what is written
    meanwhile is not seen."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def _remembered(read: Callable[[str], set[Any]]) -> Callable[[str], set[Any]]:
    @wraps(read)
    def remembering(customer: str) -> set[Any]:
        known = _known.get()
        if known is None:
            return read(customer)
        key = read.__name__, customer
        if key not in known:
            known[key] = read(customer)
        return known[key]

    return remembering


def customers(customer: str) -> models.QuerySet:
    return Customer.rows.filter(pk=customer)


def invoices(customer: str) -> models.QuerySet:
    return Invoice.rows.filter(customer=customer)


def payments(customer: str) -> models.QuerySet:
    return InvoicePayment.rows.filter(invoice__in=invoices(customer).values("pk"))


def intents(customer: str) -> models.QuerySet:
    return PaymentIntent.rows.filter(pk__among=intent_ids(customer))


def charges(customer: str) -> models.QuerySet:
    """Also those of the customer's payments: a charge need not name the customer."""
    return Charge.rows.filter(pk__among=charge_ids(customer))


def credit_notes(customer: str) -> models.QuerySet:
    """Also those of the customer's invoices, should one not name the customer."""
    return CreditNote.rows.filter(pk__among=credit_note_ids(customer))


def refunds(customer: str) -> models.QuerySet:
    """Also those of the customer's payments: a refund need not name the customer."""
    return Refund.rows.filter(pk__among=refund_ids(customer))


def operations(customer: str) -> models.QuerySet:
    return Operation._base_manager.filter(Q(customer=customer) | Q(invoice__among=invoice_ids(customer)))


def batches(customer: str) -> models.QuerySet:
    return Batch._base_manager.filter(pk__among=_ids(operations(customer).exclude(batch=None), "batch"))


def notes(customer: str) -> models.QuerySet:
    return Note._base_manager.filter(invoice__among=invoice_ids(customer))


def note_versions(customer: str) -> models.QuerySet:
    return NoteVersion._base_manager.filter(note__among=note_ids(customer))


def mentions(customer: str) -> models.QuerySet:
    return Mention._base_manager.filter(note__among=note_ids(customer))


def promises(customer: str) -> models.QuerySet:
    return Promise._base_manager.filter(invoice__among=invoice_ids(customer))


def assignments(customer: str) -> models.QuerySet:
    return Assignment._base_manager.filter(invoice__among=invoice_ids(customer))


def bank_matches(customer: str) -> models.QuerySet:
    return BankMatch._base_manager.filter(Q(customer=customer) | Q(invoice__among=invoice_ids(customer)))


def bank_transactions(customer: str) -> models.QuerySet:
    """Of which a part was matched with an invoice of the customer's."""
    return BankTransaction.objects.filter(pk__among=_bank_transaction_ids(customer))


def bank_decisions(customer: str) -> models.QuerySet:
    return BankDecision._base_manager.filter(transaction__among=_bank_transaction_ids(customer))


def known_payers(customer: str) -> models.QuerySet:
    return KnownPayer.objects.filter(customer=customer)


def contradictions(customer: str) -> models.QuerySet:
    return Contradiction._base_manager.filter(operation__among=operation_ids(customer))


def events_of_objects(customer: str) -> Q:
    """What names the customer, or one of its objects, by `object_id`: found by an index."""
    return Q(object_id__among=object_ids(customer))


@_remembered
def invoice_ids(customer: str) -> set[str]:
    return _ids(invoices(customer))


@_remembered
def operation_ids(customer: str) -> set[Any]:
    return _ids(operations(customer))


@_remembered
def _bank_transaction_ids(customer: str) -> set[Any]:
    return _ids(bank_matches(customer), "transaction")


@_remembered
def note_ids(customer: str) -> set[Any]:
    return _ids(notes(customer))


@_remembered
def intent_ids(customer: str) -> set[str]:
    paying = payments(customer).exclude(payment_intent=None)
    return _ids(PaymentIntent.rows.filter(customer=customer)) | _ids(paying, "payment_intent")


@_remembered
def charge_ids(customer: str) -> set[str]:
    of_payments = Q(payment_intent__among=intent_ids(customer)) | Q(pk__among=_paying_charges(customer))
    return _ids(Charge.rows.filter(customer=customer)) | _ids(Charge.rows.filter(of_payments))


def _paying_charges(customer: str) -> set[str]:
    """Those that an invoice's payment names itself, without a PaymentIntent."""
    return _ids(payments(customer).exclude(charge=None), "charge")


@_remembered
def credit_note_ids(customer: str) -> set[str]:
    of_invoices = CreditNote.rows.filter(invoice__among=invoice_ids(customer))
    return _ids(CreditNote.rows.filter(customer=customer)) | _ids(of_invoices)


@_remembered
def refund_ids(customer: str) -> set[str]:
    of_payments = Q(payment_intent__among=intent_ids(customer)) | Q(charge__among=charge_ids(customer))
    return _ids(Refund.rows.filter(customer=customer)) | _ids(Refund.rows.filter(of_payments))


@_remembered
def object_ids(customer: str) -> set[str]:
    """The customer's own id, and those of its invoices, PaymentIntents, charges, credit notes and refunds."""
    of_invoices = invoice_ids(customer) | intent_ids(customer) | charge_ids(customer)
    return {customer} | of_invoices | credit_note_ids(customer) | refund_ids(customer)


def _ids(rows: models.QuerySet, column: str = "pk") -> set[Any]:
    return set(rows.order_by().values_list(column, flat=True))


def events(customer: str) -> models.QuerySet:
    """Also those of objects that are not mirrored, such as cards and disputes: their bodies name the customer."""
    return Event._base_manager.filter(events_of_objects(customer) | Q(body__contains=customer))


def drift(customer: str) -> models.QuerySet:
    of_invoice = Q(invoice__among=invoice_ids(customer))
    return Drift.objects.filter(events_of_objects(customer) | of_invoice)


def drift_explanations(customer: str) -> models.QuerySet:
    return DriftExplanation._base_manager.filter(drift__among=_ids(drift(customer)))


def refetches(customer: str) -> models.QuerySet:
    """In the words of the unique index, which begins with the kind."""
    ids = object_ids(customer) | _ids(payments(customer))
    return ScheduledRefetch.objects.filter(object_type__in=list(MIRRORED), object_id__among=ids)


def removals(customer: str) -> models.QuerySet:
    return Removal._base_manager.filter(events_of_objects(customer))


def emails(customer: str) -> models.QuerySet:
    """Those about this customer's operations, batches and contradictions. What is about a run is about many."""

    kinds = Email.Kind
    return Email.objects.filter(
        Q(kind=kinds.APPROVAL, about__among=_as_text(operation_ids(customer)))
        | Q(kind=kinds.BATCH_APPROVAL, about__among=_as_text(_ids(batches(customer))))
        | Q(kind=kinds.CONTRADICTION, about__among=_as_text(_ids(contradictions(customer))))
    )


def desk_events(customer: str) -> models.QuerySet:
    """What services are told of this customer's operations."""
    return DeskEvent.objects.filter(operation__among=operation_ids(customer))


def _as_text(ids: set[Any]) -> list[str]:
    """As e-mails name them. The databases write a UUID in different ways."""
    return [str(id) for id in ids]


def disclosures(customer: str) -> models.QuerySet:
    return Disclosure._base_manager.filter(customer=customer)


def erasures(customer: str) -> models.QuerySet:
    return Erasure._base_manager.filter(customer=customer)
