"""Finding an invoice or a customer from whatever the caller gives: every way goes by an index."""

from collections.abc import Iterable

from django.db import connection
from django.db.models import Q, QuerySet

from invoices.models import Customer, Invoice, InvoicePayment, PaymentIntent

MANY = 200  # customers, or payments, behind one term


def invoices(term: str, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """The invoices that `term` may mean: an id, a number or its beginning, an e-mail, the beginning of a name."""
    term = term.strip()
    if not term:
        return queryset
    for starts, narrow in _IDS.items():
        if term.startswith(starts):
            return narrow(term, queryset)
    if "@" in term:
        return _of_customers(queryset, Q(email=term.lower()), Q(customer_email=term.lower()))
    found = Q(number__in={term, term.upper()}) | prefix("number", term.upper()) | prefix("number", term)
    return _of_customers(queryset, prefix("name", term.lower()), found | prefix("customer_name", term.lower()))


def customers(term: str, queryset: QuerySet[Customer]) -> QuerySet[Customer]:
    term = term.strip()
    if not term:
        return queryset
    if term.startswith("cus_"):
        return queryset.filter(pk=term)
    if "@" in term:
        return queryset.filter(email=term.lower())
    return queryset.filter(prefix("name", term.lower()) | prefix("email", term.lower()))


def exact(term: str) -> str | None:
    """The one invoice that `term` names beyond doubt: by an id, its whole number, an e-mail that has but this one."""
    term = term.strip()
    if not term or "\x00" in term:
        return None
    if "@" in term or term.startswith(tuple(_IDS)):
        found = invoices(term, Invoice.objects.all())
    else:
        found = Invoice.objects.filter(number__in={term, term.upper()})
    ids = list(found.order_by().values_list("pk", flat=True)[:2])
    return ids[0] if len(ids) == 1 else None


def prefix(field: str, term: str) -> Q:
    """`field` begins with `term`, by index on both databases: SQLite's LIKE would read the whole table."""
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__startswith": term})
    return Q(**{f"{field}__gte": term, f"{field}__lt": f"{term}\U0010ffff"})


def _of_customers(queryset: QuerySet[Invoice], who: Q, what: Q) -> QuerySet[Invoice]:
    """Invoices that match themselves, or whose customer of today does (two indexes, no join)."""
    return queryset.filter(what | Q(customer_id__in=_few(Customer.objects.filter(who))))


def _of_payments(queryset: QuerySet[Invoice], which: Q) -> QuerySet[Invoice]:
    found = InvoicePayment.objects.filter(which).order_by().values_list("invoice_id", flat=True)[:MANY]
    return queryset.filter(pk__in=[pk for pk in found if pk])


def _of_charge(queryset: QuerySet[Invoice], charge: str) -> QuerySet[Invoice]:
    intents = _few(PaymentIntent.objects.filter(latest_charge=charge))
    return _of_payments(queryset, Q(charge=charge) | Q(payment_intent__in=intents))


def _few(queryset: QuerySet) -> Iterable[str]:
    return list(queryset.order_by().values_list("pk", flat=True)[:MANY])


_IDS = {
    "in_": lambda term, queryset: queryset.filter(pk=term),
    "cus_": lambda term, queryset: queryset.filter(customer_id=term),
    "sub_": lambda term, queryset: queryset.filter(subscription=term),
    "pi_": lambda term, queryset: _of_payments(queryset, Q(payment_intent=term)),
    "inpay_": lambda term, queryset: _of_payments(queryset, Q(pk=term)),
    "ch_": lambda term, queryset: _of_charge(queryset, term),
    "py_": lambda term, queryset: _of_charge(queryset, term),
}
