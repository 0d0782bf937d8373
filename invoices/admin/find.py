"""The one search, in the header of every page: what a text may mean, and the look-ups that answer it.

Each look-up is served by an index, reads a few rows and has a time limit; each group is shown to those who may see its
kind of object. The invoices and customers are those that the search of their lists finds (`search.py`).
"""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db import OperationalError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from invoices import money, thresholds
from invoices import search as language
from invoices.admin import pasted, search
from invoices.admin.events import wording as event_wording
from invoices.admin.invoices import wording
from invoices.admin.links import page_url, url_of
from invoices.admin.operations import wording as operation_wording
from invoices.keyset import newest_of_few
from invoices.models import (
    BankMatch,
    BankTransaction,
    Batch,
    Charge,
    CreditNote,
    Customer,
    Event,
    Invoice,
    InvoicePayment,
    Operation,
    PaymentIntent,
    Refund,
    personal,
)
from invoices.models.reading import is_id, text
from invoices.operations import label_of
from invoices.search.time_limit import TakesTooLong, time_limit

SHOWN_AS_TYPED = 5  # of each group, below the field
SHOWN_ON_PAGE = 25  # of each group, on the page of results
SHORTEST = 2  # characters; one alone begins too much
MODELS: tuple[type[Model], ...] = (Invoice, Customer, InvoicePayment, Operation)  # who sees none of these has no search
# The beginning of an id → the object that has it. Charges of bank debits are `py_`.
PAYMENTS: dict[str, type[Any]] = {
    "pi_": PaymentIntent,
    "ch_": Charge,
    "py_": Charge,
    "inpay_": InvoicePayment,
    "re_": Refund,
    "cn_": CreditNote,
}
KINDS = {
    PaymentIntent: gettext_noop("PaymentIntent"),
    Charge: gettext_noop("Charge"),
    InvoicePayment: gettext_noop("Payment of an invoice"),
    Refund: gettext_noop("Refund"),
    CreditNote: gettext_noop("Credit note"),
}


@dataclass
class Hit:
    """One thing that was found."""

    address: str
    title: str
    detail: str = ""
    amount: str = ""
    status: tuple[str, str] | None = None  # text and colour of the badge


@dataclass
class Group:
    """What was found of one kind."""

    name: str
    label: str
    hits: list[Hit]
    whole: str = ""  # address of the list with all that was found; empty where no list shows it
    is_more: bool = False  # whether there is more than `hits`

    @property
    def more(self) -> str:
        """The address of the list, if there is more; else empty."""
        return self.whole if self.is_more else ""


@dataclass
class Found:
    """What a text leads to, in groups; and what the reader should know about it."""

    term: str
    groups: list[Group] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # why something may be missing
    reading: str = ""  # how an amount was read, where it can be read in two ways
    fetch: str = ""  # address of the page of an invoice that is not here, which offers to fetch it from Stripe

    @property
    def hits(self) -> list[Hit]:
        return [hit for group in self.groups for hit in group.hits]


def may(request: HttpRequest) -> bool:
    """Whether this person sees anything that can be found."""
    return any(_may_see(request, model) for model in MODELS)


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    return request.user.has_perm(f"invoices.view_{model._meta.model_name}")


# --- the page, and what is shown while one types ----------------------------------------------------------------------


@never_cache
@require_GET
def view(request: HttpRequest) -> HttpResponse:
    """GET with `q`: the page of results; asked by the field itself (htmx), only the list below it. A text that means
    one thing alone leads directly to its page."""
    as_typed = request.headers.get("HX-Request") == "true"
    if not admin.site.has_permission(request):
        if as_typed:
            return TemplateResponse(request, "admin/find/signed_out.html")
        return admin.site.admin_view(view)(request)
    found = find(request, request.GET.get("q", ""), SHOWN_AS_TYPED if as_typed else SHOWN_ON_PAGE)
    context = {"found": found, "shortest": SHORTEST, "may_find": may(request)}
    if as_typed:
        return TemplateResponse(request, "admin/find/results.html", context)
    if only := _only_meaning(request, found):
        return redirect(only)
    request.current_app = admin.site.name
    shown = {**admin.site.each_context(request), "title": _("Search"), "subtitle": None, **context}
    return TemplateResponse(request, "admin/find/page.html", shown)


def _only_meaning(request: HttpRequest, found: Found) -> str:
    """The address to which the text leads directly; empty where a person has to choose."""
    if found.remarks:
        return ""
    if not found.term.startswith("cus_") and _may_see(request, Invoice):
        invoice = None
        with suppress(TakesTooLong), time_limit(thresholds.FIND_LOOK_UP):
            invoice = search.exact(found.term)
        if is_id(invoice):
            return url_of("invoice", invoice)
    return found.hits[0].address if len(found.hits) == 1 else found.fetch


def find(request: HttpRequest, typed: str, most: int) -> Found:
    """What this text leads to, at most so many of each group."""
    found = Found(pasted.plain(typed))
    if len(found.term) < SHORTEST:
        return found
    order = (_customers, _invoices) if _is_of_customer(found.term) else (_invoices, _customers)
    for look_up in (*order, _payments, _operations, _bank_transactions, _events):
        try:
            with time_limit(thresholds.FIND_LOOK_UP):
                group = look_up(request, found, most)
        except language.QueryError as error:
            _remark(found, str(error))
        except TakesTooLong:
            said = _("One of the look-ups took too long, and its results are missing. Type more of the word.")
            _remark(found, said)
        except OperationalError:
            _remark(found, _("The desk's database did not answer one of the look-ups. Please try again."))
        else:
            if group.hits:
                found.groups.append(group)
    if found.term.startswith("in_") and not found.hits and _may_see(request, Invoice) and is_id(found.term):
        found.fetch = url_of("invoice", found.term)
    found.reading = _reading(found.term)
    return found


def _is_of_customer(term: str) -> bool:
    return term.startswith("cus_") or "@" in term or bool(search.DOMAIN.fullmatch(term))


def _remark(found: Found, words: str) -> None:
    if words not in found.remarks:
        found.remarks.append(words)


def _reading(term: str) -> str:
    """How an amount was read, where it can be read in two ways: `1,234` is 1,234 in USD, and can be 1.234 in KWD."""
    ways = dict.fromkeys(number_format(money.value(meaning), force_grouping=True) for meaning in money.meanings(term))
    if len(ways) < 2:
        return ""
    return _("Read as an amount: {ways}.").format(ways=pgettext("between amounts", " or ").join(ways))


# --- the groups -------------------------------------------------------------------------------------------------------


def _list_of(model: type[Model], term: str) -> str:
    return f"{reverse(f'admin:invoices_{model._meta.model_name}_changelist')}?{urlencode({'q': term})}"


def _group(name: str, label: str, rows: Iterable[Any], hit: Callable[[Any], Hit], most: int, whole: str = "") -> Group:
    """`rows`: one more than are shown, so that it is known whether there are more."""
    found = [row for row in rows if is_id(row.pk) or not isinstance(row.pk, str)]
    return Group(name, label, [hit(row) for row in found[:most]], whole, len(found) > most)


def _invoices(request: HttpRequest, found: Found, most: int) -> Group:
    rows: list[Invoice] = []
    whole = _list_of(Invoice, found.term)
    if _may_see(request, Invoice) and _is_for(found.term, language.INVOICES, language.CUSTOMERS):
        matching = search.invoices(found.term, Invoice.objects.all(), lambda words: _remark(found, words))
        by_index = found.term.startswith("cus_") or language.looks_like_query(found.term, language.INVOICES)
        rows = (_first if by_index else _first_of_few)(matching.select_related("customer"), most)
        if len(rows) > most and (meant := _only_invoice(request, found)):  # it may be older than the newest of them
            others = [each for each in rows if each.pk != meant]
            rows = [*Invoice.objects.filter(pk=meant).select_related("customer"), *others]
        if not rows and (paid := _referenced(request, found.term, most)):
            paid_by_it = Invoice.objects.filter(pk__in=[operation.invoice for operation in paid])
            rows, whole = _first_of_few(paid_by_it.select_related("customer"), most), ""  # the list knows no reference
        rows.sort(key=lambda invoice: (invoice.number or "").lower() != found.term.lower())
    return _group("invoices", _("Invoices"), rows, _invoice_hit, most, whole)


def _is_for(term: str, resource: language.Resource, other: language.Resource) -> bool:
    """False for a query that names fields of the other kind of object alone."""
    return language.looks_like_query(term, resource) or not language.looks_like_query(term, other)


def _first(queryset: QuerySet[Any], most: int) -> list[Any]:
    return list(queryset.order_by("-created", "-pk")[: most + 1])


def _first_of_few(queryset: QuerySet[Any], most: int) -> list[Any]:
    return list(newest_of_few(queryset)[: most + 1])


def _invoice_hit(invoice: Invoice) -> Hit:
    owed = invoice.status in Invoice.UNPAID
    amount = invoice.amount_remaining if owed else invoice.total
    today = text(invoice.customer.data, "name") if invoice.customer and invoice.customer.data else ""
    return Hit(
        page_url(invoice),
        wording.number(invoice),
        today or wording.customer(invoice),
        money.text(amount, invoice.currency),
        wording.status(invoice),
    )


def _customers(request: HttpRequest, found: Found, most: int) -> Group:
    rows: list[Customer] = []
    if _may_see(request, Customer) and _is_for(found.term, language.CUSTOMERS, language.INVOICES):
        matching = search.customers(found.term, Customer.objects.all(), lambda words: _remark(found, words))
        by_index = language.looks_like_query(found.term, language.CUSTOMERS)
        rows = (_first if by_index else _first_of_few)(matching, most)
    return _group("customers", _("Customers"), rows, _customer_hit, most, _list_of(Customer, found.term))


def _customer_hit(customer: Customer) -> Hit:
    name, email = text(customer.data, "name"), text(customer.data, "email")
    status = ("deleted", "grey") if customer.deleted_at else None
    return Hit(page_url(customer), name or email or customer.pk, email or customer.pk if name else "", "", status)


def _payments(request: HttpRequest, found: Found, most: int) -> Group:
    """By an id of any of the objects that make a payment, by a credit note's number, or those of the one invoice that
    was found."""
    rows = list(_payment_rows(request, found, most))
    return _group("payments", _("Payments"), rows, _payment_hit, most)


def _payment_rows(request: HttpRequest, found: Found, most: int) -> Iterator[Any]:
    term = found.term
    for beginning, model in PAYMENTS.items():
        if term.startswith(beginning) and _may_see(request, model):
            yield from model.objects.filter(pk=term)
    if term.startswith("pyr_") and _may_see(request, InvoicePayment):
        yield from InvoicePayment.objects.filter(payment_record=term)[: most + 1]
    if not pasted.ID.fullmatch(term) and _may_see(request, CreditNote):
        yield from CreditNote.objects.filter(number__in={term, term.upper()})[: most + 1]
    if (invoice := _only_invoice(request, found)) and _may_see(request, InvoicePayment):
        yield from _first(InvoicePayment.objects.filter(invoice_id=invoice), most)


def _only_invoice(request: HttpRequest, found: Found) -> str | None:
    """The id of the invoice that the text names."""
    if not _may_see(request, Invoice) or "@" in found.term or found.term.startswith(("cus_", *PAYMENTS)):
        return None
    return search.exact(found.term)


def _payment_hit(row: Any) -> Hit:
    amount = row.amount_requested if isinstance(row, InvoicePayment) else row.amount
    if isinstance(row, InvoicePayment) and row.amount_paid is not None:
        amount = row.amount_paid
    return Hit(
        page_url(row), row.pk, _(KINDS[type(row)]), money.text(amount, row.currency), (row.status or "unreadable", "")
    )


def _operations(request: HttpRequest, found: Found, most: int) -> Group:
    """By our own ids, by the id of the request that asked for it, by the reference of the payment that was recorded, or
    those of the one invoice that was found."""
    rows: list[Any] = []
    if own := _uuid(found.term):
        rows += list(Operation.objects.filter(pk=own)) if _may_see(request, Operation) else []
        rows += list(Batch.objects.filter(pk=own)) if _may_see(request, Batch) else []
    elif _may_see(request, Operation):
        named = Q()
        if found.term.startswith("req_"):
            named = Q(request_id=found.term)
        elif invoice := _only_invoice(request, found):
            named = Q(invoice=invoice)
        if named:
            rows = list(Operation.objects.filter(named).order_by("-created_at", "-pk")[: most + 1])
        else:
            rows = list(_referenced(request, found.term, most))
    return _group("operations", _("Operations"), rows, _operation_hit, most)


def _referenced(request: HttpRequest, term: str, most: int) -> list[Operation]:
    """The newest operations that recorded a payment with this reference. Who may not see operations finds none."""
    if not _may_see(request, Operation) or personal.is_placeholder(term):
        return []
    return list(search.with_reference(term).order_by("-created_at", "-pk")[: most + 1])


def _uuid(term: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(term) if len(term) == 36 else None
    except ValueError:
        return None


def _operation_hit(row: Operation | Batch) -> Hit:
    if isinstance(row, Batch):
        title = _("Batch: {action}").format(action=_(label_of(row.action)))
        return Hit(page_url(row), title, date_format(timezone.localtime(row.created_at), "SHORT_DATE_FORMAT"))
    status = (operation_wording.state(row), operation_wording.tone(row))
    return Hit(page_url(row), f"{_(label_of(row.action))} {row.invoice}", operation_wording.outcome(row), "", status)


def _bank_transactions(request: HttpRequest, found: Found, most: int) -> Group:
    """By a reference of the bank's or the payer's, or those that paid the one invoice that was found."""
    rows: list[BankTransaction] = []
    if _may_see(request, BankTransaction) and not personal.is_placeholder(found.term):
        for column in ("bank_reference", "end_to_end_id"):  # each has an index of its own
            rows += BankTransaction.objects.filter(**{column: found.term}).order_by("-booked_on", "-pk")[: most + 1]
        if not rows and (invoice := _only_invoice(request, found)):
            paid = BankMatch.objects.filter(invoice=invoice, state__in=BankMatch.LIVE).select_related("transaction")
            rows = [match.transaction for match in paid.order_by("-confirmed_at")[: most + 1]]
    unique = list({row.pk: row for row in rows}.values())
    return _group("bank", _("Bank transactions"), unique, _bank_hit, most)


def _bank_hit(row: BankTransaction) -> Hit:
    status = (row.get_state_display(), "")
    day = date_format(row.booked_on, "SHORT_DATE_FORMAT")
    return Hit(page_url(row), row.payer_name or row.text[:60], day, money.text(row.amount, row.currency), status)


def _events(request: HttpRequest, found: Found, most: int) -> Group:
    rows: Iterable[Event] = ()
    if found.term.startswith("evt_") and _may_see(request, Event):
        rows = Event.objects.filter(pk=found.term)
    return _group("events", _("Events"), rows, _event_hit, most)


def _event_hit(event: Event) -> Hit:
    return Hit(page_url(event), event_wording.title(event.type), event.pk)
