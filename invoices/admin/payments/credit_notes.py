"""Credit notes, which reduce a finalized invoice: the list, and the page of one."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money
from invoices.admin.base import Facts, MirroredAdmin
from invoices.admin.formatting import badge, moment, words
from invoices.admin.links import object_link
from invoices.admin.payments.filters import filters_by, sorts_by
from invoices.models import CreditNote
from invoices.models.reading import member, text
from invoices.models.reading import moment as moment_of


@admin.register(CreditNote)
class CreditNoteAdmin(MirroredAdmin):
    list_display = ("id_", "number_", "invoice_", "amount_", "type_", "status_", "created_", "as_of")
    list_filter = filters_by("amount")
    sorts = sorts_by("amount")
    search_help_text = gettext_lazy("cn_…, in_…, cus_…, number")
    empty_hint = gettext_noop("Search takes whole ids or a whole number: cn_…, in_…, cus_…")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(invoice_id=term) | Q(customer=term) | Q(number=term))

    def facts(self, record: CreditNote) -> Facts:
        def amount(name: str) -> str:
            return money.text(member(record.data, name), record.currency)

        return [
            (_("Number"), record.number or "–"),
            (_("Invoice"), object_link("invoice", record.invoice_id or "")),
            (_("Customer"), object_link("customer", record.customer or "")),
            (_("Status"), badge(record.status or "unreadable")),
            (_("Amount"), money.text(record.amount, record.currency)),
            (_("Of what was not paid yet"), amount("pre_payment_amount")),
            (_("Of what was paid"), amount("post_payment_amount")),
            (_("Reason"), words(text(record.data, "reason") or "–")),
            (_("Memo"), text(record.data, "memo", limit=5000) or "–"),
            (_("Created"), moment(record.created)),
            (_("Voided"), moment(moment_of(record.data, "voided_at"))),
            (_("Id"), record.pk),
        ]

    @admin.display(description=gettext_lazy("Number"))
    def number_(self, note: CreditNote) -> str:
        return note.number or "–"

    @admin.display(description=gettext_lazy("Invoice"))
    def invoice_(self, note: CreditNote) -> SafeString:
        return object_link("invoice", note.invoice_id or "")

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, note: CreditNote) -> str:
        return money.text(note.amount, note.currency)

    @admin.display(description=gettext_lazy("Credits"))
    def type_(self, note: CreditNote) -> str:
        return words(note.type or "–")
