"""Payments of invoices (Stripe's InvoicePayment): the list, and the page of one."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.formatting import badge, moment
from invoices.admin.links import object_link
from invoices.admin.payments.filters import filters_by, sorts_by
from invoices.models import InvoicePayment


@admin.register(InvoicePayment)
class InvoicePaymentAdmin(MirroredAdmin):
    list_display = ("id_", "invoice_", "amount_", "status_", "paid_through", "created_", "as_of")
    list_filter = filters_by("amount_requested")
    sorts = sorts_by("amount_requested")
    search_help_text = gettext_lazy("inpay_…, in_…, pi_…, pyr_…")
    empty_hint = gettext_noop("Search takes whole ids: inpay_…, in_…, pi_…")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(invoice_id=term) | Q(payment_intent=term) | Q(payment_record=term))

    def facts(self, record: InvoicePayment) -> Facts:
        intent = record.payment_intent
        return [
            (_("Invoice"), object_link("invoice", record.invoice_id or "")),
            (_("Status"), badge(record.status or "unreadable")),
            (_("Requested"), money.text(record.amount_requested, record.currency)),
            (_("Paid"), money.text(record.amount_paid, record.currency)),
            (_("PaymentIntent"), object_link("payment_intent", intent or "")),
            (_("Payment record"), record.payment_record or "–"),
            (_("Charge"), record.charge or "–"),
            (_("Paid at"), moment(record.paid_at)),
            (_("Canceled at"), moment(record.canceled_at)),
            (_("Created"), moment(record.created)),
            (_("Id"), record.pk),
        ]

    @admin.display(description=gettext_lazy("Invoice"))
    def invoice_(self, payment: InvoicePayment) -> SafeString:
        return object_link("invoice", payment.invoice_id or "")

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, payment: InvoicePayment) -> str:
        amount = payment.amount_requested if payment.amount_paid is None else payment.amount_paid
        return money.text(amount, payment.currency)

    @admin.display(description=gettext_lazy("Through"))
    def paid_through(self, payment: InvoicePayment) -> str:
        return payment.payment_intent or payment.payment_record or payment.charge or "–"
