"""The invoices: the list, the search, the page, and the doors to the actions."""

import re
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from invoices import gateway, live, money
from invoices.admin import access, actions, bulk, declined, methods, search, wording
from invoices.admin.base import RecordAdmin, url_of
from invoices.admin.filters import Collection, Currency, Days, InvoiceState
from invoices.admin.formatting import badge, day
from invoices.admin.invoice_page import InvoicePage
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.models.reading import text
from invoices.operations import ACTIONS

AN_ID = re.compile(r"in_\w{1,250}", re.ASCII)


@admin.register(Invoice)
class InvoiceAdmin(RecordAdmin):
    page_template = "admin/invoices/invoice.html"
    of_mirror = True
    list_display = ("number_", "customer_", "status_", "amount_", "due_", "created_")
    list_filter = (InvoiceState, Currency, Collection, ("created", Days))
    list_select_related = ("customer",)
    list_before_template = "admin/invoices/tabs.html"
    ordering = ("-created", "-id")
    search_fields = ("id",)  # only so that the box shows: `find` does the searching
    search_help_text = "E-mail, number, name, in_…, cus_…, pi_…"
    empty_hint = (
        "Try the whole e-mail address, the invoice's number or its beginning, or the beginning of the name. "
        "An id (in_…) can be fetched from Stripe even if it never reached us."
    )
    missing_hint = "We do not hold this invoice. If Stripe has it, it can be fetched now."

    # --- the list -----------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).defer("data")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return search.invoices(term, queryset)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A search that names one invoice beyond doubt goes straight to its page."""
        if request.method == "GET" and set(request.GET) == {"q"} and self.has_view_permission(request):
            found = search.exact(request.GET["q"])
            if found:
                return redirect(url_of("invoice", found))
        context = {**(extra_context or {}), "on_all": _on_all(request)}
        return super().changelist_view(request, context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The actions that this person may take on what she ticks."""
        return {
            name: (_starter(name), name, f"{ACTIONS[name].label} …")
            for name in bulk.NAMES
            if access.may(request, ACTIONS[name])
        }

    @admin.display(description="Invoice")
    def number_(self, invoice: Invoice) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.number(invoice))

    @admin.display(description="Customer")
    def customer_(self, invoice: Invoice) -> SafeString:
        today = invoice.customer.data if invoice.customer and invoice.customer.data else {}
        name = text(today, "name") or (invoice.customer_name or "").title()
        email = text(today, "email") or invoice.customer_email or ""
        return format_html(
            '<span class="two"><span>{}</span><small>{}</small></span>',
            name or email or invoice.customer_id or "No customer",
            email if name else "",
        )

    @admin.display(description="Status")
    def status_(self, invoice: Invoice) -> SafeString:
        return badge(*wording.status(invoice))

    @admin.display(description="Amount")
    def amount_(self, invoice: Invoice) -> SafeString:
        """What is left to pay, strong; of a settled one what it was over, faint."""
        over = invoice.total if invoice.amount_due is None else invoice.amount_due
        owed = invoice.status in {"draft", "open", "uncollectible"}
        part = f"left of {money.text(over, invoice.currency)}" if owed and invoice.amount_paid else ""
        return format_html(
            '<span class="two amount"><span class="{}">{}</span><small>{}</small></span>',
            "strong" if owed else "faint",
            money.text(invoice.amount_remaining if owed else over, invoice.currency),
            part,
        )

    @admin.display(description="Due")
    def due_(self, invoice: Invoice) -> SafeString:
        if wording.overdue(invoice):
            return format_html('<span class="late">{}</span>', day(invoice.due_date))
        settled = invoice.paid_at or invoice.voided_at or invoice.marked_uncollectible_at
        if settled and invoice.status != "open":
            word = {"void": "voided", "uncollectible": "given up"}.get(invoice.status or "", invoice.status)
            return format_html('<span class="faint">{} {}</span>', word, day(settled))
        if invoice.due_date is None and invoice.next_payment_attempt:
            return format_html('<span class="faint">charge on</span> {}', day(invoice.next_payment_attempt))
        return day(invoice.due_date)

    @admin.display(description="Created", ordering="-created")
    def created_(self, invoice: Invoice) -> SafeString:
        return day(invoice.created)

    # --- the page -----------------------------------------------------------------------------------------------

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("bulk/<slug:action>/", self.bulk_view, "bulk"),
            self.at("<str:object_id>/refresh/", self.refresh_view, "refresh"),
            self.at("<str:object_id>/complete/", self.complete_view, "complete"),
            self.at("<str:object_id>/card-link/", self.card_link_view, "card_link"),
            self.at("<str:object_id>/methods/", self.methods_view, "methods"),
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
        }

    def action_view(self, request: HttpRequest, object_id: str, action: str) -> HttpResponse:
        return actions.act(self, request, object_id, action)

    def bulk_view(self, request: HttpRequest, action: str) -> HttpResponse:
        return bulk.act(self, request, action)

    @method_decorator(require_POST)
    def refresh_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _refresh(self, request, object_id)

    @method_decorator(require_POST)
    def complete_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _complete(self, request, object_id)

    @method_decorator(require_POST)
    def card_link_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.record(object_id)
        return declined.card_link(self, request, invoice, InvoicePage(invoice, request).help if invoice else None)

    def methods_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return methods.methods(self, request, object_id)


def _on_all(request: HttpRequest) -> list[tuple[str, str]]:
    """The actions on everything that the list's filters match, each with its door."""
    if request.method != "GET" or not bulk.narrowed(request):
        return []
    query = request.GET.copy()
    for name in ("p", "o", "e", "all"):
        query.pop(name, None)
    return [
        (ACTIONS[name].label, f"{reverse('admin:invoices_invoice_bulk', args=[name])}?{query.urlencode()}")
        for name in bulk.NAMES
        if access.may(request, ACTIONS[name])
    ]


def _starter(name: str) -> Any:
    def start(admin: InvoiceAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse:
        return bulk.start(admin, request, name)

    return start


def _result(request: HttpRequest, page: InvoicePage) -> Operation | None:
    """The operation that the reader comes from, else one on this invoice that has not ended."""
    wanted = request.GET.get("operation", "")
    return next((operation for operation in page.operations if str(operation.pk) == wanted), page.unfinished)


def _refresh(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Reads the invoice from Stripe now; also one that never reached us."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    if not AN_ID.fullmatch(object_id):
        messages.warning(request, f"“{object_id}” is not an invoice's id.")
        return redirect(reverse("admin:invoices_invoice_changelist"))
    try:
        _read(object_id)
    except gateway.GatewayError as error:
        messages.warning(request, f"Stripe could not be read ({error}). What you see is what we last knew.")
    else:
        if admin.record(object_id) is None:
            messages.warning(request, f"Stripe has no invoice {object_id}.")
        else:
            messages.success(request, "Read from Stripe just now.")
    return redirect(url_of("invoice", object_id))


def _read(pk: str) -> None:
    """The invoice with its payments, and the PaymentIntents that tell of declines."""
    live.read_now("invoice", pk)
    payments = InvoicePayment.objects.filter(invoice_id=pk, payment_intent__isnull=False)
    for intent in payments.values_list("payment_intent", flat=True)[:10]:
        live.read_now("payment_intent", str(intent))


def _complete(admin: RecordAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Called by the open page: reads what it lacks (a customer, the declines). The payments anew: a reload of the whole
    page might come between a finger and its button."""
    invoice = admin.record(object_id) if admin.has_view_permission(request) else None
    if invoice is None:
        raise PermissionDenied
    note = ""
    try:
        for kind, pk in InvoicePage(invoice, request).missing[:10]:
            live.read_now(kind, pk)
    except gateway.GatewayError:
        note = "Stripe does not answer just now; details of the payments may be missing."
    page = InvoicePage(invoice, request)
    if page.missing and not note:
        note = "Stripe has no details of some of these payments."
    context = {"page": page, "invoice": invoice, "note": note, "part": True}
    return TemplateResponse(request, "admin/invoices/parts/payments.html", context)
