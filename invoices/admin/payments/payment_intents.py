"""PaymentIntents, which hold the reason of a decline: the list, and the page of one."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from invoices import money
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.formatting import badge, moment
from invoices.admin.links import object_link
from invoices.admin.payments import wording
from invoices.admin.payments.filters import filters_by, sorts_by
from invoices.models import InvoicePayment, PaymentIntent
from invoices.models.reading import member

MAX_INVOICES_SHOWN = 10  # on the page of a PaymentIntent; it pays one, as a rule


@admin.register(PaymentIntent)
class PaymentIntentAdmin(MirroredAdmin):
    list_display = ("id_", "amount_", "status_", "stripe_message", "created_", "as_of")
    list_filter = filters_by("amount")
    sorts = sorts_by("amount")
    search_help_text = "pi_…, cus_…"
    dashboard_path = "payments"
    empty_hint = "Search takes whole ids: pi_…, cus_…"

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(customer=term))

    def page_context(self, request: HttpRequest, record: PaymentIntent) -> dict[str, Any]:
        payments = InvoicePayment.objects.filter(payment_intent=record.pk)[:MAX_INVOICES_SHOWN]
        return {**super().page_context(request, record), "paid_invoices": [payment.invoice_id for payment in payments]}

    def facts(self, record: PaymentIntent) -> Facts:
        error = member(record.data, "last_payment_error")
        return [
            ("Status", badge(record.status or "unreadable")),
            ("In words", wording.PAYMENT_INTENT_STATUS.get(record.status or "", "–").capitalize()),
            ("Amount", money.text(record.amount, record.currency)),
            ("Received", money.text(record.amount_received, record.currency)),
            *([("Last error", wording.decline_reason(error))] if error else []),
            ("Customer", object_link("customer", record.customer or "")),
            ("Payment method", record.payment_method or "–"),
            ("Latest charge", object_link("charge", record.latest_charge or "")),
            ("Created", moment(record.created)),
            ("Id", record.pk),
        ]

    @admin.display(description="Amount")
    def amount_(self, intent: PaymentIntent) -> str:
        return money.text(intent.amount, intent.currency)

    @admin.display(description="Stripe said")
    def stripe_message(self, intent: PaymentIntent) -> str:
        return intent.error_message or "–"
