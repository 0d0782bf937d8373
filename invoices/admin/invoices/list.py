"""The list of invoices with its search, and the URLs of everything that belongs to one invoice."""

from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from django.views.decorators.http import require_POST

from invoices import customer_names, money
from invoices.admin import access, search
from invoices.admin.base import RecordAdmin
from invoices.admin.filters import AmountRangeFilter, CurrencyFilter, DayRangeFilter
from invoices.admin.formatting import ago, amount, badge, day
from invoices.admin.invoices import (
    actions,
    bulk,
    declined,
    notes,
    payment_methods,
    refresh,
    waiting,
    wording,
    work,
)
from invoices.admin.invoices.filters import CollectionMethodFilter, StatusFilter
from invoices.admin.invoices.page import InvoicePage
from invoices.admin.invoices.queue_filters import AgeFilter, QueueFilter
from invoices.admin.invoices.work_filters import AssignedFilter, PromiseFilter
from invoices.admin.links import url_of
from invoices.admin.lists import NO_FILTERS
from invoices.admin.sorting import Sort
from invoices.keyset import CurrencyOrder, Order
from invoices.models import Invoice, Operation
from invoices.models.reading import is_id, text
from invoices.operations import ACTIONS


def _for_phones(word: str) -> SafeString:
    """What a cell is, where the list has no headers."""
    return format_html('<span class="for-phones">{} </span>', word)


@admin.register(Invoice)
class InvoiceAdmin(RecordAdmin):
    page_template = "admin/invoices/page.html"
    shows_freshness = True
    list_display = ("number_", "customer_", "status_", "amount_", "due_", "work_", "created_")
    list_filter = (
        *(StatusFilter, CurrencyFilter, CollectionMethodFilter, QueueFilter, AgeFilter),
        DayRangeFilter.on("created", gettext_noop("created")),
        DayRangeFilter.on("due_date", gettext_noop("due")),
        DayRangeFilter.on("paid_at", gettext_noop("paid")),
        AmountRangeFilter.on("amount_remaining", gettext_noop("remaining"), "remaining"),
        AmountRangeFilter.on("total", gettext_noop("total")),
        *(AssignedFilter, PromiseFilter),
    )
    more_columns = ("remaining_", "total_", "age_", "paid_")
    sorts: ClassVar = {
        "created": Sort("created_", Order("created")),
        "due": Sort("due_", Order("due_date", descending=False, may_be_empty=False), gettext_noop("With a due date")),
        "remaining": Sort("amount_", CurrencyOrder("amount_remaining")),
        "left": Sort("remaining_", CurrencyOrder("amount_remaining")),
        "total": Sort("total_", CurrencyOrder("total")),
        "age": Sort("age_", Order("created", descending=False)),
        "paid": Sort("paid_", Order("paid_at", may_be_empty=False), gettext_noop("With a day of payment")),
    }
    list_select_related = ("customer",)
    ordering = ("-created",)
    search_fields = ("id",)  # Django shows the search box only if this is set; `find` searches
    search_help_text = gettext_lazy('E-mail, number, name, in_…, cus_…, pi_…, or a query: status:"open" total>10000')
    empty_hint = gettext_noop(
        "Try the whole e-mail address, the invoice's number or its beginning, or the beginning of the name. "
        "An id (in_…) can be fetched from Stripe even if it never reached us."
    )
    missing_hint = gettext_noop("We do not hold this invoice. If Stripe has it, it can be fetched now.")

    # --- the list -----------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).defer("data")

    def default_order(self, request: HttpRequest) -> Order:
        """Overdue invoices by their due date, the longest overdue first."""
        overdue = request.GET.get(StatusFilter.parameter_name) == StatusFilter.OVERDUE
        overdue = overdue or AgeFilter.has_due_dates(request)
        return Order("due_date", descending=False, may_be_empty=False) if overdue else super().default_order(request)

    def find_for(self, request: HttpRequest, term: str, queryset: QuerySet) -> QuerySet:
        """What is left out is said wherever the result is used: above the list, and before an action on all of it."""
        return search.invoices(term, queryset, partial(messages.warning, request))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A search that only one invoice can match leads directly to its page."""
        if request.method == "GET" and set(request.GET) == {"q"} and self.has_view_permission(request):
            found = search.exact(request.GET["q"])
            if is_id(found):  # otherwise no address names it, and its place is this list
                return redirect(url_of("invoice", found))
        if nothing_ticked := bulk.nothing_ticked(request):
            return nothing_ticked
        context = {**(extra_context or {}), "actions_on_all": _actions_on_all(request)}
        return super().changelist_view(request, context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The actions that this person may take on the ticked invoices."""
        return {
            name: (_bulk_starter(name), name, f"{_(ACTIONS[name].label)} …")
            for name in bulk.BULK_ACTIONS
            if access.may(request, ACTIONS[name])
        }

    @admin.display(description=gettext_lazy("Invoice"))
    def number_(self, invoice: Invoice) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.number(invoice))

    @admin.display(description=gettext_lazy("Customer"))
    def customer_(self, invoice: Invoice) -> SafeString:
        """Name and e-mail as the customer has them today; else those on the invoice, fixed when it was finalized."""
        customer = invoice.customer.data if invoice.customer and invoice.customer.data else {}
        name = text(customer, "name") or invoice.name_on_it  # type: ignore[attr-defined]
        email = text(customer, "email") or invoice.customer_email or ""
        return format_html(
            '<span class="two"><span>{}</span><small>{}</small></span>',
            name or email or invoice.customer_id or _("No customer"),
            email if name else "",
        )

    @admin.display(description=gettext_lazy("Status"))
    def status_(self, invoice: Invoice) -> SafeString:
        return badge(*wording.status(invoice))

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, invoice: Invoice) -> SafeString:
        """Strong: what is left to pay. Faint: what was due, if the invoice is paid or void."""
        due = invoice.total if invoice.amount_due is None else invoice.amount_due
        owed = invoice.status in Invoice.UNPAID
        left_of = (
            _("left of {amount}").format(amount=money.text(due, invoice.currency))
            if owed and invoice.amount_paid
            else ""
        )
        return format_html(
            '<span class="two amount"><span class="{}">{}</span><small>{}</small></span>',
            "strong" if owed else "faint",
            money.text(invoice.amount_remaining if owed else due, invoice.currency),
            left_of,
        )

    @admin.display(description=gettext_lazy("Due"))
    def due_(self, invoice: Invoice) -> SafeString:
        if wording.overdue(invoice):
            return format_html('<span class="late">{}{}</span>', _for_phones(_("due")), day(invoice.due_date))
        settled = invoice.paid_at or invoice.voided_at or invoice.marked_uncollectible_at
        if settled and invoice.status != "open":
            said = {
                "paid": _("paid {day}"),
                "void": _("voided {day}"),
                "uncollectible": _("given up {day}"),
            }.get(invoice.status or "", "{day}")
            return format_html('<span class="faint">{}</span>', format_html(said, day=day(settled)))
        if invoice.due_date is None and invoice.next_payment_attempt:
            return format_html(
                '<span class="faint">{}</span> {}',
                pgettext("before a day", "charge on"),
                day(invoice.next_payment_attempt),
            )
        return format_html("{}{}", _for_phones(_("due")) if invoice.due_date else "", day(invoice.due_date))

    @admin.display(description=gettext_lazy("Who has it"))
    def work_(self, invoice: Invoice) -> SafeString:
        return work.in_list(invoice)

    @admin.display(description=gettext_lazy("Remaining"))
    def remaining_(self, invoice: Invoice) -> SafeString:
        return amount(invoice.amount_remaining, invoice.currency)

    @admin.display(description=gettext_lazy("Total"))
    def total_(self, invoice: Invoice) -> SafeString:
        return amount(invoice.total, invoice.currency)

    @admin.display(description=gettext_lazy("Age"))
    def age_(self, invoice: Invoice) -> SafeString:
        return ago(invoice.created)

    @admin.display(description=gettext_lazy("Paid"))
    def paid_(self, invoice: Invoice) -> SafeString:
        return day(invoice.paid_at)

    @admin.display(description=gettext_lazy("Created"))
    def created_(self, invoice: Invoice) -> SafeString:
        return format_html("{}{}", _for_phones(pgettext("before a day", "made")), day(invoice.created))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Without who has the invoices, for a person who may not see it."""
        return [name for name in super().get_list_display(request) if name != "work_" or work.may_see(request)]

    def prepare(self, records: list[Invoice]) -> None:
        work.prepare(records)
        nameless = [each for each in records if not text(each.customer.data if each.customer else None, "name")]
        names = customer_names.on_invoices(nameless)
        for invoice in records:
            invoice.name_on_it = names.get(invoice.pk, "")  # type: ignore[attr-defined]

    # --- the page -----------------------------------------------------------------------------------------------

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("bulk/<slug:action>/", self.bulk_view, "bulk"),
            self.at("<str:object_id>/refresh/", self.refresh_view, "refresh"),
            self.at("<str:object_id>/complete/", self.complete_view, "complete"),
            self.at("<str:object_id>/card-link/", self.card_link_view, "card_link"),
            self.at("<str:object_id>/newest/", self.newest_view, "newest"),
            self.at("<str:object_id>/methods/", self.payment_methods_view, "methods"),
            self.at("<str:object_id>/notes/", self.note_view, "note"),
            self.at("<str:object_id>/notes/<uuid:note_id>/", self.note_view, "note_edit"),
            self.at("<str:object_id>/promise/", self.promise_view, "promise"),
            self.at("<str:object_id>/promise/<uuid:promise_id>/withdraw/", self.withdraw_view, "promise_withdraw"),
            self.at("<str:object_id>/assignment/", self.assignment_view, "assignment"),
            self.at("<str:object_id>/do/<slug:action>/", self.action_view, "action"),
        ]

    def page_context(self, request: HttpRequest, record: Invoice) -> dict[str, Any]:
        page = InvoicePage(record, request)
        result = _result(request, page)
        return {
            "title": f"{wording.number(record)} · {wording.customer(record)}",
            "page": page,
            "invoice": record,
            "result": result,
            "help": (declined.help_for(request, result, record) if result else None) or page.help,
            "raw": record.data,
            "notes": notes.panel(request, record),
            "work": work.panel(request, record),
        }

    def action_view(self, request: HttpRequest, object_id: str, action: str) -> HttpResponse:
        return actions.act(self, request, object_id, action)

    def bulk_view(self, request: HttpRequest, action: str) -> HttpResponse:
        return bulk.act(self, request, action)

    @method_decorator(require_POST)
    def refresh_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return refresh.refresh(self, request, object_id)

    @method_decorator(require_POST)
    def complete_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return refresh.complete(self, request, object_id)

    @method_decorator(require_POST)
    def card_link_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.record(object_id)
        return declined.card_link(self, request, invoice, InvoicePage(invoice, request).words if invoice else None)

    @method_decorator(require_POST)
    def note_view(self, request: HttpRequest, object_id: str, note_id: UUID | None = None) -> HttpResponse:
        return notes.save(self, request, object_id, note_id)

    @method_decorator(require_POST)
    def promise_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return work.save_promise(self, request, object_id)

    @method_decorator(require_POST)
    def withdraw_view(self, request: HttpRequest, object_id: str, promise_id: UUID) -> HttpResponse:
        return work.withdraw_promise(self, request, object_id, promise_id)

    @method_decorator(require_POST)
    def assignment_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return work.save_assignment(self, request, object_id)

    def newest_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return waiting.newest(self, request, object_id)

    def payment_methods_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return payment_methods.options(self, request, object_id)


def _actions_on_all(request: HttpRequest) -> list[tuple[str, str]]:
    """The actions on everything that the list's filters match: label and address. The template shows them where there
    is a filter, and each can be read."""
    query = request.GET.copy()
    for name in NO_FILTERS:
        query.pop(name, None)
    return [
        (ACTIONS[name].label, f"{reverse('admin:invoices_invoice_bulk', args=[name])}?{query.urlencode()}")
        for name in bulk.BULK_ACTIONS
        if access.may(request, ACTIONS[name])
    ]


def _bulk_starter(name: str) -> Any:
    """The function that Django calls when this action is chosen for the ticked invoices."""

    def start(admin: InvoiceAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse:
        return bulk.start(admin, request, name)

    return start


def _result(request: HttpRequest, page: InvoicePage) -> Operation | None:
    """The operation whose result the page shows: the one in the address, which the reader has just confirmed; else one
    on this invoice that has not ended. None that the reader may not see."""
    wanted = request.GET.get("operation", "")
    found = next((operation for operation in page.operations if str(operation.pk) == wanted), page.unfinished)
    return found if access.may_see(request, found) else None
