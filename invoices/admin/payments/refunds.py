"""Refunds: the list, and the page of one."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.formatting import badge, moment, words
from invoices.admin.links import object_link
from invoices.admin.payments.filters import filters_by, sorts_by
from invoices.admin.payments.payment_intents import MAX_INVOICES_SHOWN
from invoices.models import InvoicePayment, Refund
from invoices.models.reading import text


@admin.register(Refund)
class RefundAdmin(MirroredAdmin):
    list_display = ("id_", "amount_", "status_", "intent_", "charge_", "created_", "as_of")
    list_filter = filters_by("amount")
    sorts = sorts_by("amount")
    search_help_text = gettext_lazy("re_…, pi_…, ch_…, cus_…")
    empty_hint = gettext_noop("Search takes whole ids: re_…, pi_…, ch_…, cus_…")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(payment_intent=term) | Q(charge=term) | Q(customer=term))

    def page_context(self, request: HttpRequest, record: Refund) -> dict[str, Any]:
        intent = record.payment_intent
        paid = InvoicePayment.objects.filter(payment_intent=intent)[:MAX_INVOICES_SHOWN] if intent else []
        return {**super().page_context(request, record), "paid_invoices": [payment.invoice_id for payment in paid]}

    def facts(self, record: Refund) -> Facts:
        return [
            (_("Status"), badge(record.status or "unreadable")),
            (_("Amount"), money.text(record.amount, record.currency)),
            (_("Reason"), words(text(record.data, "reason") or "–")),
            *([(_("Why it failed"), words(why))] if (why := text(record.data, "failure_reason")) else []),
            (_("PaymentIntent"), object_link("payment_intent", record.payment_intent or "")),
            (_("Charge"), object_link("charge", record.charge or "")),
            (_("Customer"), object_link("customer", record.customer or "")),
            (_("Created"), moment(record.created)),
            (_("Id"), record.pk),
        ]

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, refund: Refund) -> str:
        return money.text(refund.amount, refund.currency)

    @admin.display(description=gettext_lazy("PaymentIntent"))
    def intent_(self, refund: Refund) -> SafeString:
        return object_link("payment_intent", refund.payment_intent or "")

    @admin.display(description=gettext_lazy("Charge"))
    def charge_(self, refund: Refund) -> SafeString:
        return object_link("charge", refund.charge or "")
