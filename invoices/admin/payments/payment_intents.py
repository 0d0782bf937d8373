"""PaymentIntents, which hold the reason of a decline: the list, and the page of one."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

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
    search_help_text = gettext_lazy("pi_…, cus_…")
    dashboard_path = "payments"
    empty_hint = gettext_noop("Search takes whole ids: pi_…, cus_…")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(customer=term))

    def page_context(self, request: HttpRequest, record: PaymentIntent) -> dict[str, Any]:
        payments = InvoicePayment.objects.filter(payment_intent=record.pk)[:MAX_INVOICES_SHOWN]
        return {**super().page_context(request, record), "paid_invoices": [payment.invoice_id for payment in payments]}

    def facts(self, record: PaymentIntent) -> Facts:
        error = member(record.data, "last_payment_error")
        return [
            (_("Status"), badge(record.status or "unreadable")),
            (_("In words"), _(wording.PAYMENT_INTENT_STATUS.get(record.status or "", "–")).capitalize()),
            (_("Amount"), money.text(record.amount, record.currency)),
            (_("Received"), money.text(record.amount_received, record.currency)),
            *([(_("Last error"), wording.decline_reason(error))] if error else []),
            (_("Customer"), object_link("customer", record.customer or "")),
            (_("Payment method"), record.payment_method or "–"),
            (_("Latest charge"), object_link("charge", record.latest_charge or "")),
            (_("Created"), moment(record.created)),
            (_("Id"), record.pk),
        ]

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, intent: PaymentIntent) -> str:
        return money.text(intent.amount, intent.currency)

    @admin.display(description=gettext_lazy("Stripe said"))
    def stripe_message(self, intent: PaymentIntent) -> str:
        return intent.error_message or "–"
