"""Finds invoices and customers by what an agent types. Every query uses an index.

A text that names a field and an operator is taken for a query in Stripe's search query language, as in the API. The one
search in the header (`find.py`) and the search of the lists ask here, so that both understand the same.
"""

import re
from collections.abc import Callable, Iterable

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from invoices import money
from invoices import search as language
from invoices.admin import pasted
from invoices.models import (
    Charge,
    CreditNote,
    Customer,
    Invoice,
    InvoicePayment,
    Operation,
    PaymentIntent,
    Refund,
    hosted_page,
)

# Rows of each kind that one term leads to; of more, the rest is left out. So a single letter reads no more than a name.
MAX_MATCHES = 100
MAX_OF_CUSTOMERS = 500  # invoices of the customers whose name begins so, the newest
# The domain of an e-mail address, such as `acme.com` or `@acme.com`.
DOMAIN = re.compile(r"@?((?:[\w-]+\.)+[^\W\d_]{2,})")


def invoices(
    term: str, queryset: QuerySet[Invoice], tell: Callable[[str], object] = lambda words: None
) -> QuerySet[Invoice]:
    """The invoices that `term` may mean. It is an id, a number or its beginning, an address of Stripe's dashboard or
    of Stripe's page for the customer, an e-mail or its domain, words of a name or their beginning, or an amount; or a
    query. `tell` is called with a sentence where invoices are left out.

    Raises language.QueryError.
    """
    if not term.strip():
        return queryset
    term = pasted.plain(term)
    if language.looks_like_query(term, language.INVOICES):
        return _by_query(term, queryset, language.INVOICES)
    for id_prefix, find in _BY_ID.items():
        if term.startswith(id_prefix):
            return find(term, queryset)
    if page := hosted_page.digest(term):
        return queryset.filter(hosted_page=page)
    if "@" in term and not DOMAIN.fullmatch(term):
        return _with_customers(queryset, Q(email=term.lower()), Q(customer_email=term.lower()))
    ids = {pk for text in {term, term.upper()} for pk in _first_ids(Invoice.objects.filter(prefix("number", text)))}
    ids.update(_named(Invoice, term, "customer_name", "customer_email", tell))
    ids.update(_over(term))
    # By their ids alone. Of an OR with the customers PostgreSQL cannot tell how few rows match, and would look for them
    # in the order of the list, through all invoices.
    named = queryset.filter(customer_id__in=_named(Customer, term, "name", "email", tell))
    newest = list(named.order_by("-created", "-pk").values_list("pk", flat=True)[: MAX_OF_CUSTOMERS + 1])
    if len(newest) > MAX_OF_CUSTOMERS:
        said = _(
            "Customers whose name begins so have more than {number} invoices: only the newest of them are here. Search "
            "by the whole e-mail, or open the customer, to see the rest."
        )
        tell(said.format(number=MAX_OF_CUSTOMERS))
    ids.update(newest[:MAX_OF_CUSTOMERS])
    return queryset.filter(pk__in=ids)


def customers(
    term: str, queryset: QuerySet[Customer], tell: Callable[[str], object] = lambda words: None
) -> QuerySet[Customer]:
    """The customers with this id, this e-mail or domain, a name of which a word begins so, or an e-mail that begins so;
    or those that a query asks for. `tell` as for invoices.

    Raises language.QueryError.
    """
    if not term.strip():
        return queryset
    term = pasted.plain(term)
    if language.looks_like_query(term, language.CUSTOMERS):
        return _by_query(term, queryset, language.CUSTOMERS)
    if term.startswith("cus_"):
        return queryset.filter(pk=term)
    if "@" in term and not DOMAIN.fullmatch(term):
        return queryset.filter(email=term.lower())
    begun = _first_ids(Customer.objects.filter(prefix("email", term.lower())))
    return queryset.filter(pk__in={*begun, *_named(Customer, term, "name", "email", tell)})


def exact(term: str) -> str | None:
    """The id of the only invoice that `term` can mean: by an id, by its whole number, or by the e-mail of a customer
    with one invoice. None if there is no such invoice, or more than one, and for a query: its answer is a list."""
    term = pasted.plain(term)
    if not term or language.looks_like_query(term, language.INVOICES):
        return None
    if "@" in term or term.startswith(tuple(_BY_ID)) or hosted_page.digest(term):
        found = invoices(term, Invoice.objects.all())
    else:
        found = Invoice.objects.filter(number__in={term, term.upper()})
    ids = list(found.order_by().values_list("pk", flat=True)[:2])
    return ids[0] if len(ids) == 1 else None


def with_reference(term: str) -> QuerySet[Operation]:
    """The operations that recorded a payment with this reference of a bank, in large or small letters."""
    recorded = Operation.objects.filter(params__has_key="reference").alias(reference=Lower(KT("params__reference")))
    return recorded.filter(reference=term.lower())


def _by_query(term: str, queryset: QuerySet, resource: language.Resource) -> QuerySet:
    return language.matching(queryset, language.parse(term), resource)


def prefix(field: str, term: str) -> Q:
    """`field` begins with `term`. SQLite uses no index for LIKE, so there it is written as a range."""
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__startswith": term})
    return Q(**{f"{field}__gte": term, f"{field}__lt": f"{term}\U0010ffff"})


def _named(
    model: type[Customer] | type[Invoice], term: str, name: str, email: str, tell: Callable[[str], object]
) -> set[str]:
    """The ids of the rows with a name that begins so, or of which words begin so, or with an e-mail of this domain.

    Where so many names begin so that some are left out, words are not looked for: of a letter or two, their index would
    put together a tenth of all rows to find as many more."""
    begun = set(_first_ids(model.objects.filter(prefix(name, term.lower()))))
    found = set(begun)
    try:
        if domain := DOMAIN.fullmatch(term):
            found |= set(language.of_domain(model, email, domain[1], MAX_MATCHES))
        if len(begun) < MAX_MATCHES:
            found |= set(language.with_words(model, name, term, MAX_MATCHES))
    except language.TakesTooLong:
        tell(_("Looking for names with this word took too long: only those that begin with it are here."))
    return found


def _over(term: str) -> set[str]:
    """The ids of the newest invoices over an amount that the term may mean, or with such an amount left to pay."""
    found: set[str] = set()
    meanings = [
        (amount, Q(currency=currency.lower()) if currency else _with_decimals(places))
        for amount, places, currency in money.meanings(term)
    ]
    if not meanings:
        return found
    for column in ("total", "amount_due", "amount_remaining"):
        of_amount = Q()
        for amount, in_currency in meanings:
            of_amount |= Q(**{column: amount}) & in_currency
        rows = Invoice.objects.filter(of_amount, **{f"{column}__in": [amount for amount, _where in meanings]})
        found |= set(rows.order_by("-created", "-pk").values_list("pk", flat=True)[:MAX_MATCHES])
    return found


def _with_decimals(places: int) -> Q:
    """The invoices in currencies with so many decimals."""
    if places == 2:
        return ~Q(currency__in=money.ZERO_DECIMAL | money.THREE_DECIMAL)
    return Q(currency__in=money.THREE_DECIMAL if places else money.ZERO_DECIMAL)


def _with_customers(queryset: QuerySet[Invoice], customer: Q, invoice: Q) -> QuerySet[Invoice]:
    """The invoices that match `invoice`, or whose customer, as it is today, matches `customer`. Two queries, each with
    its index, instead of a join."""
    return queryset.filter(invoice | Q(customer_id__in=_first_ids(Customer.objects.filter(customer))))


def _of_payments(queryset: QuerySet[Invoice], payment: Q) -> QuerySet[Invoice]:
    found = InvoicePayment.objects.filter(payment).order_by().values_list("invoice_id", flat=True)[:MAX_MATCHES]
    return queryset.filter(pk__in=[pk for pk in found if pk])


def _of_charge(queryset: QuerySet[Invoice], charge: str) -> QuerySet[Invoice]:
    made_by = Charge.objects.filter(pk=charge).values_list("payment_intent", flat=True)  # also an earlier attempt
    intents = [*_first_ids(PaymentIntent.objects.filter(latest_charge=charge)), *(pk for pk in made_by if pk)]
    return _of_payments(queryset, Q(charge=charge) | Q(payment_intent__in=intents))


def _of_credit_note(queryset: QuerySet[Invoice], note: str) -> QuerySet[Invoice]:
    found = CreditNote.objects.filter(pk=note).values_list("invoice_id", flat=True)
    return queryset.filter(pk__in=[pk for pk in found if pk])


def _of_refund(queryset: QuerySet[Invoice], refund: str) -> QuerySet[Invoice]:
    found = Refund.objects.filter(pk=refund).first()
    if found is None:
        return queryset.none()
    if found.payment_intent:
        return _of_payments(queryset, Q(payment_intent=found.payment_intent))
    return _of_payments(queryset, Q(charge=found.charge)) if found.charge else queryset.none()


def _first_ids(queryset: QuerySet) -> Iterable[str]:
    return list(queryset.order_by().values_list("pk", flat=True)[:MAX_MATCHES])


# The beginning of an id of Stripe's → the invoices that belong to that object.
_BY_ID = {
    "in_": lambda term, queryset: queryset.filter(pk=term),
    "cus_": lambda term, queryset: queryset.filter(customer_id=term),
    "sub_": lambda term, queryset: queryset.filter(subscription=term),
    "pi_": lambda term, queryset: _of_payments(queryset, Q(payment_intent=term)),
    "inpay_": lambda term, queryset: _of_payments(queryset, Q(pk=term)),
    "cn_": lambda term, queryset: _of_credit_note(queryset, term),
    "re_": lambda term, queryset: _of_refund(queryset, term),
    "ch_": lambda term, queryset: _of_charge(queryset, term),
    "py_": lambda term, queryset: _of_charge(queryset, term),
}
