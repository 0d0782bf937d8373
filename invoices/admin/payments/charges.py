"""Charges, each one attempt to take money: the list, and the page of one."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.formatting import badge, moment, words
from invoices.admin.links import object_link
from invoices.admin.payments import wording
from invoices.admin.payments.attempt_filter import AttemptFilter
from invoices.admin.payments.filters import filters_by, sorts_by
from invoices.admin.payments.payment_intents import MAX_INVOICES_SHOWN
from invoices.models import Charge, InvoicePayment
from invoices.models.reading import text


@admin.register(Charge)
class ChargeAdmin(MirroredAdmin):
    list_display = ("id_", "amount_", "status_", "method_", "created_", "as_of")
    list_filter = (*filters_by("amount"), AttemptFilter)
    sorts = sorts_by("amount")
    search_help_text = gettext_lazy("ch_…, py_…, pi_…, cus_…")
    dashboard_path = "payments"
    empty_hint = gettext_noop("Search takes whole ids: ch_…, py_…, pi_…, cus_…")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(payment_intent=term) | Q(customer=term))

    def page_context(self, request: HttpRequest, record: Charge) -> dict[str, Any]:
        paying = Q(charge=record.pk) | (Q(payment_intent=record.payment_intent) if record.payment_intent else Q())
        paid = InvoicePayment.objects.filter(paying)[:MAX_INVOICES_SHOWN]
        return {**super().page_context(request, record), "paid_invoices": [payment.invoice_id for payment in paid]}

    def facts(self, record: Charge) -> Facts:
        return [
            (_("Status"), badge(record.status or "unreadable")),
            (_("Amount"), money.text(record.amount, record.currency)),
            (_("Refunded"), money.text(record.amount_refunded, record.currency)),
            *([(_("Why it failed"), wording.charge_failure(record.data))] if record.status == "failed" else []),
            (_("Charged to"), wording.charged_to(record.data)),
            (_("Risk"), words(text(record.data, "outcome", "risk_level") or "–")),
            (_("PaymentIntent"), object_link("payment_intent", record.payment_intent or "")),
            (_("Customer"), object_link("customer", record.customer or "")),
            (_("Created"), moment(record.created)),
            (_("Id"), record.pk),
        ]

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, charge: Charge) -> str:
        return money.text(charge.amount, charge.currency)

    @admin.display(description=gettext_lazy("Charged to"))
    def method_(self, charge: Charge) -> SafeString:
        """The card or account, and why it was refused."""
        why = wording.charge_failure(charge.data) if charge.status == "failed" else ""
        return format_html('<span class="two">{}<small>{}</small></span>', wording.charged_to(charge.data), why)
