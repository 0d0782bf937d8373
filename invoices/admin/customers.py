"""Customers: the list with its search, and the page of one with its newest invoices."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoices import money
from invoices.admin import search
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.formatting import moment
from invoices.admin.invoices import wording as invoice_wording
from invoices.models import Customer, Invoice
from invoices.models.reading import member, text

INVOICES_PER_CUSTOMER = 50  # on the page of a customer


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
            "invoices": [
                (invoice, invoice_wording.number(invoice), invoice_wording.status(invoice))
                for invoice in newest[:INVOICES_PER_CUSTOMER]
            ],
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
