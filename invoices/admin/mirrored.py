"""The other mirrored objects: customers, payments, PaymentIntents."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from invoices import money
from invoices.admin import search, wording
from invoices.admin.base import Facts, RecordAdmin, url_of
from invoices.admin.formatting import DASH, ago, badge, moment
from invoices.admin.invoice_page import dashboard
from invoices.models import Customer, Invoice, InvoicePayment, PaymentIntent
from invoices.models.reading import member, text


class MirroredAdmin(RecordAdmin):
    """A mirrored object: how old it is stands on every page."""

    ordering = ("-created", "-id")
    search_fields = ("id",)
    dashboard_path = ""
    of_mirror = True
    list_before_template = "admin/invoices/tabs.html"

    def page_context(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        link = dashboard(f"{self.dashboard_path}/{record.pk}", record.livemode) if self.dashboard_path else ""
        return {**super().page_context(request, record), "as_of": record.stored_at, "dashboard": link}

    @admin.display(description="Created")
    def created_(self, record: Any) -> SafeString:
        return moment(record.created)

    @admin.display(description="As of")
    def as_of(self, record: Any) -> SafeString:
        return ago(record.stored_at)

    @admin.display(description="Status")
    def status_(self, record: Any) -> SafeString:
        return badge(record.status or "unreadable")

    @admin.display(description="Id")
    def id_(self, record: Any) -> SafeString:
        return format_html("<code>{}</code>", record.pk)


@admin.register(Customer)
class CustomerAdmin(MirroredAdmin):
    list_display = ("name_", "email_", "id_", "created_", "as_of")
    search_help_text = "E-mail, name, cus_…"
    dashboard_path = "customers"
    empty_hint = "Try the whole e-mail address, the beginning of the name, or an id (cus_…)."

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return search.customers(term, queryset)

    def page_context(self, request: HttpRequest, record: Customer) -> dict[str, Any]:
        newest = Invoice.objects.filter(customer_id=record.pk).order_by("-created", "-id").defer("data")
        return {
            **super().page_context(request, record),
            "title": text(record.data, "name") or record.email or record.pk,
            "invoices": [(invoice, wording.number(invoice), wording.status(invoice)) for invoice in newest[:50]],
        }

    def facts(self, record: Customer) -> Facts:
        return [
            ("E-mail", text(record.data, "email") or "–"),
            ("Name", text(record.data, "name") or "–"),
            ("Phone", text(record.data, "phone") or "–"),
            ("Default payment method", record.default_payment_method or "none"),
            ("Balance", money.text(member(record.data, "balance"), text(record.data, "currency"))),
            ("Created", moment(record.created)),
            ("Id", record.pk),
            *([("Deleted", moment(record.deleted_at))] if record.deleted_at else []),
        ]

    @admin.display(description="Name")
    def name_(self, customer: Customer) -> SafeString:
        return format_html('<span class="strong">{}</span>', text(customer.data, "name") or "No name")

    @admin.display(description="E-mail")
    def email_(self, customer: Customer) -> str:
        return text(customer.data, "email") or "–"


@admin.register(InvoicePayment)
class InvoicePaymentAdmin(MirroredAdmin):
    list_display = ("id_", "invoice_", "amount_", "status_", "by", "created_", "as_of")
    search_help_text = "inpay_…, in_…, pi_…, pyr_…"
    empty_hint = "Search takes whole ids: inpay_…, in_…, pi_…"

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(invoice_id=term) | Q(payment_intent=term) | Q(payment_record=term))

    def facts(self, record: InvoicePayment) -> Facts:
        intent = record.payment_intent
        return [
            ("Invoice", _link("invoice", record.invoice_id)),
            ("Status", badge(record.status or "unreadable")),
            ("Requested", money.text(record.amount_requested, record.currency)),
            ("Paid", money.text(record.amount_paid, record.currency)),
            ("PaymentIntent", _link("paymentintent", intent) if intent else "–"),
            ("Payment record", record.payment_record or "–"),
            ("Charge", record.charge or "–"),
            ("Paid at", moment(record.paid_at)),
            ("Canceled at", moment(record.canceled_at)),
            ("Created", moment(record.created)),
            ("Id", record.pk),
        ]

    @admin.display(description="Invoice")
    def invoice_(self, payment: InvoicePayment) -> SafeString:
        return _link("invoice", payment.invoice_id)

    @admin.display(description="Amount")
    def amount_(self, payment: InvoicePayment) -> str:
        value = payment.amount_requested if payment.amount_paid is None else payment.amount_paid
        return money.text(value, payment.currency)

    @admin.display(description="Through")
    def by(self, payment: InvoicePayment) -> str:
        return payment.payment_intent or payment.payment_record or payment.charge or "–"


@admin.register(PaymentIntent)
class PaymentIntentAdmin(MirroredAdmin):
    list_display = ("id_", "amount_", "status_", "said", "created_", "as_of")
    search_help_text = "pi_…, cus_…"
    dashboard_path = "payments"
    empty_hint = "Search takes whole ids: pi_…, cus_…"

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(customer=term))

    def page_context(self, request: HttpRequest, record: PaymentIntent) -> dict[str, Any]:
        payments = InvoicePayment.objects.filter(payment_intent=record.pk)[:10]
        return {**super().page_context(request, record), "of_invoices": [payment.invoice_id for payment in payments]}

    def facts(self, record: PaymentIntent) -> Facts:
        error = member(record.data, "last_payment_error")
        return [
            ("Status", badge(record.status or "unreadable")),
            ("In words", wording.INTENT.get(record.status or "", "–").capitalize()),
            ("Amount", money.text(record.amount, record.currency)),
            ("Received", money.text(record.amount_received, record.currency)),
            *([("Last error", wording.decline(error))] if error else []),
            ("Customer", _link("customer", record.customer)),
            ("Payment method", record.payment_method or "–"),
            ("Latest charge", record.latest_charge or "–"),
            ("Created", moment(record.created)),
            ("Id", record.pk),
        ]

    @admin.display(description="Amount")
    def amount_(self, intent: PaymentIntent) -> str:
        return money.text(intent.amount, intent.currency)

    @admin.display(description="Stripe said")
    def said(self, intent: PaymentIntent) -> str:
        return intent.error_message or "–"


def _link(model: str, pk: str | None) -> SafeString:
    return format_html('<a href="{}">{}</a>', url_of(model, pk), pk) if pk else mark_safe(DASH)  # noqa: S308
