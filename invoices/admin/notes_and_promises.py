"""All notes and all promises to pay, newest first, for who looks for them across invoices. Each leads to its
invoice."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import clock, notes, promises
from invoices.admin import days
from invoices.admin.base import RecordAdmin
from invoices.admin.filters import Choices, DayRangeFilter, TabFilter
from invoices.admin.formatting import DASH, ago, amount, badge
from invoices.admin.invoices import wording
from invoices.admin.invoices.work import TONES
from invoices.admin.links import url_of
from invoices.models import Invoice, Note, NoteVersion, Promise

SEE_INVOICES = "invoices.view_invoice"


class OfInvoiceAdmin(RecordAdmin):
    """A list of what people wrote on invoices, for who may see invoices."""

    needed: ClassVar[str]  # the permission beside that of invoices
    search_fields = ("invoice",)
    search_help_text = gettext_lazy("Invoice's number or id")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perms((SEE_INVOICES, self.needed))

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        numbered = Invoice.objects.filter(number__in={term, term.upper()}).values_list("pk", flat=True)
        return queryset.filter(invoice__in=[term, *numbered[:50]])

    def prepare(self, records: list[Any]) -> None:
        """The invoices as they are now, in one query."""
        found = Invoice.objects.defer("data").in_bulk({record.invoice for record in records})
        for record in records:
            record.of = found.get(record.invoice)

    def page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Its place is the invoice's page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        record = self.record(object_id)
        return redirect(url_of("invoice", record.invoice)) if record else self.missing(request, object_id)

    @admin.display(description=gettext_lazy("Invoice"))
    def invoice_(self, record: Any) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.number(record.of) if record.of else record.invoice)

    @admin.display(description=gettext_lazy("Customer"))
    def customer_(self, record: Any) -> str:
        return wording.customer(record.of) if record.of else DASH


@admin.register(Note)
class NoteAdmin(OfInvoiceAdmin):
    needed = notes.VIEW
    list_display = ("invoice_", "customer_", "text_", "author_", "when")
    list_filter = (DayRangeFilter.on("created_at", gettext_noop("written")),)
    list_select_related = ("author",)
    ordering = ("-created_at",)
    empty_hint = gettext_noop("Nobody wrote a note yet. Notes are written on an invoice's page.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Note]:
        versions = NoteVersion.objects.filter(note=OuterRef("pk")).order_by("-number")
        return super().get_queryset(request).annotate(said=Subquery(versions.values("text")[:1]))

    @admin.display(description=gettext_lazy("Note"))
    def text_(self, note: Any) -> str:
        return Truncator(note.said or "").chars(120)

    @admin.display(description=gettext_lazy("Author"))
    def author_(self, note: Note) -> str:
        return str(note.author)

    @admin.display(description=gettext_lazy("Written"))
    def when(self, note: Note) -> SafeString:
        return ago(note.created_at)


class PromiseStateFilter(TabFilter):
    """What is written down of them. One whose day has just passed is open until a worker has judged it."""

    title, parameter_name = gettext_noop("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in Promise.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Promise)
class PromiseAdmin(OfInvoiceAdmin):
    needed = promises.VIEW
    list_display = ("invoice_", "customer_", "amount_", "day_", "state_", "who_", "when")
    list_filter = (PromiseStateFilter, DayRangeFilter.on("recorded_at", gettext_noop("recorded")))
    list_select_related = ("recorded_by",)
    ordering = ("-recorded_at",)
    empty_hint = gettext_noop("No promise was recorded yet. Promises are recorded on an invoice's page.")

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, promise: Promise) -> SafeString:
        return amount(promise.amount, promise.currency)

    @admin.display(description=gettext_lazy("Promised until"))
    def day_(self, promise: Promise) -> str:
        return days.in_words(promise.day)

    @admin.display(description=gettext_lazy("State"))
    def state_(self, promise: Any) -> SafeString:
        state = promises.state_of(promise, promise.of, clock.now())[0]
        return badge(state, TONES[state])

    @admin.display(description=gettext_lazy("Recorded by"))
    def who_(self, promise: Promise) -> str:
        return str(promise.recorded_by)

    @admin.display(description=gettext_lazy("Recorded"))
    def when(self, promise: Promise) -> SafeString:
        return ago(promise.recorded_at)
