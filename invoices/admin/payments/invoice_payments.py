"""Payments of invoices (Stripe's InvoicePayment): the list, and the page of one."""

from datetime import timedelta
from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import customer_names, money
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.filters import DayRangeFilter
from invoices.admin.formatting import badge, moment
from invoices.admin.links import object_link, url_of
from invoices.admin.payments.filters import filters_by, sorts_by
from invoices.admin.sorting import Sort
from invoices.keyset import Order
from invoices.models import Invoice, InvoicePayment


@admin.register(InvoicePayment)
class InvoicePaymentAdmin(MirroredAdmin):
    list_display = ("id_", "invoice_", "customer_", "amount_", "status_", "paid_", "paid_through", "created_", "as_of")
    list_filter = (*filters_by("amount_requested"), DayRangeFilter.on("paid_at", gettext_noop("paid")))
    sorts: ClassVar = {
        **sorts_by("amount_requested"),
        "paid": Sort("paid_", Order("paid_at", may_be_empty=False), gettext_noop("With a day of payment")),
    }
    search_help_text = gettext_lazy("inpay_…, in_…, pi_…, pyr_…")
    empty_hint = gettext_noop("Search takes whole ids: inpay_…, in_…, pi_…")

    def shortcuts(self) -> list[tuple[str, dict[str, str]]]:
        """What finance asks for every month."""
        this_month = timezone.localdate().replace(day=1)
        last_day = this_month - timedelta(days=1)
        last_month = {"paid_at_from": last_day.replace(day=1).isoformat(), "paid_at_to": last_day.isoformat()}
        return [
            (_("Paid this month"), {"paid_at_from": this_month.isoformat()}),
            (_("Paid last month"), last_month),
        ]

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

    def prepare(self, records: list[InvoicePayment]) -> None:
        super().prepare(records)
        invoices = Invoice.objects.defer("data").in_bulk([each.invoice_id for each in records if each.invoice_id])
        names = customer_names.of_invoices(invoices.values())
        for payment in records:
            payment.of = invoices.get(payment.invoice_id)  # type: ignore[attr-defined]
            payment.customer_now = names.get(payment.invoice_id or "", "")  # type: ignore[attr-defined]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Without the customer, for a person who may not see invoices."""
        may_see = request.user.has_perm("invoices.view_invoice")
        return [name for name in super().get_list_display(request) if name != "customer_" or may_see]

    @admin.display(description=gettext_lazy("Invoice"))
    def invoice_(self, payment: InvoicePayment) -> SafeString:
        number = payment.of.number if payment.of else ""  # type: ignore[attr-defined]
        link = object_link("invoice", payment.invoice_id or "")
        return format_html('<a href="{}">{}</a>', url_of("invoice", payment.invoice_id), number) if number else link

    @admin.display(description=gettext_lazy("Customer"))
    def customer_(self, payment: InvoicePayment) -> str:
        invoice = payment.of  # type: ignore[attr-defined]
        name: str = payment.customer_now  # type: ignore[attr-defined]
        return name or (invoice.customer_email if invoice else "") or "–"

    @admin.display(description=gettext_lazy("Paid"))
    def paid_(self, payment: InvoicePayment) -> SafeString:
        return moment(payment.paid_at)

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, payment: InvoicePayment) -> str:
        amount = payment.amount_requested if payment.amount_paid is None else payment.amount_paid
        return money.text(amount, payment.currency)

    @admin.display(description=gettext_lazy("Through"))
    def paid_through(self, payment: InvoicePayment) -> str:
        return payment.payment_intent or payment.payment_record or payment.charge or "–"
