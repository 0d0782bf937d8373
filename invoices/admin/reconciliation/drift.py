"""Drift, the differences between mirror and Stripe: the list, the page of one, and those of a run on its page."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from invoices import money
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import ago, badge, moment, pretty, words
from invoices.admin.links import object_link, url_of
from invoices.admin.paging import KeyPages, NoSuchPlace
from invoices.admin.reconciliation import wording
from invoices.keyset import Order
from invoices.models import Drift, Invoice, ReconciliationRun

DIFFERENCES_PER_PAGE = 50  # on the page of a run
MAX_TIMESTAMP = 10**11  # seconds since 1970 (the year 5138); a larger number is shown as it is


@admin.register(Drift)
class DriftAdmin(RecordAdmin):
    list_display = ("what", "object_", "healed", "found", "run_")
    ordering = ("-found_at",)
    search_fields = ("id",)
    search_help_text = "Id of an object, or of an invoice"
    empty_hint = "No difference between Stripe and us was ever found that an event did not explain."

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(object_id=term) | Q(invoice=term))

    def page_context(self, request: HttpRequest, record: Drift) -> dict[str, Any]:
        sides = [("Here", pretty(record.ours)), ("At Stripe", pretty(record.theirs))]
        return {**super().page_context(request, record), "title": wording.drift_title(record), "sides": sides}

    def facts(self, record: Drift) -> Facts:
        return [
            ("About", object_link(record.object_type, record.object_id)),
            ("Invoice", object_link("invoice", record.invoice)),
            ("Difference", wording.drift_title(record)),
            *([("Because", record.reason)] if record.reason else []),
            ("Found", moment(record.found_at)),
            ("Healed", moment(record.healed_at, "not yet")),
            ("Ours was true until", moment(record.ours_seen_until)),
            ("Found by", format_html('<a href="{}">{}</a>', url_of("reconciliationrun", record.run_id), record.run)),
        ]

    @admin.display(description="Difference")
    def what(self, drift: Drift) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.drift_title(drift))

    @admin.display(description="About")
    def object_(self, drift: Drift) -> SafeString:
        return object_link(drift.object_type, drift.object_id)

    @admin.display(description="Healed")
    def healed(self, drift: Drift) -> SafeString:
        return badge("healed", "green") if drift.healed_at else badge("open", "amber")

    @admin.display(description="Found")
    def found(self, drift: Drift) -> SafeString:
        return ago(drift.found_at)

    @admin.display(description="Run")
    def run_(self, drift: Drift) -> SafeString:
        return format_html('<a href="{}">#{}</a>', url_of("reconciliationrun", drift.run_id), drift.run_id)


def context(request: HttpRequest, run: ReconciliationRun) -> dict[str, Any]:
    """The differences that a run found, for its page; newest first, page by page."""
    try:
        pages = KeyPages.read(request, run.drift.all(), Order("found_at"), DIFFERENCES_PER_PAGE)
    except NoSuchPlace:
        raise Http404 from None
    ids = {row.invoice for row in pages.rows if row.invoice}
    invoices = Invoice.objects.only("id", "number", "status", "currency").in_bulk(ids)
    return {"drift": [_difference(row, invoices.get(row.invoice)) for row in pages.rows], "pages": pages}


def _difference(row: Drift, invoice: Invoice | None) -> dict[str, Any]:
    """A difference as a row of a table. Its own page (`DriftAdmin`) shows both values whole."""
    currency = invoice.currency if invoice else None
    return {
        "row": row,
        "about": invoice.number if invoice and invoice.number else row.invoice or row.object_id,
        "page": url_of("invoice", row.invoice) if row.invoice else "",
        "object": object_link(row.object_type, row.object_id) if row.object_type != "invoice" else "",
        "what": _what(row),
        "ours": _short(row.field, row.ours, currency),
        "theirs": _short(row.field, row.theirs, currency),
    }


def _what(row: Drift) -> str:
    if row.kind == Drift.Kind.COLUMN:
        return f"Column {words(row.field)}, against its object"
    return wording.field_label(row.field) if row.field else wording.drift_title(row)


def _short(field: str, value: Any, currency: str | None) -> Any:
    """The value of a field of Stripe's, in few words: times and amounts for reading, of an object its status and
    number."""
    name = field.rpartition(".")[2]
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_at") or name in {"created", "due_date", "next_payment_attempt"}:
            return moment(datetime.fromtimestamp(value, UTC)) if 0 <= value < MAX_TIMESTAMP else str(value)
        if currency and (name.startswith("amount") or name in {"total", "subtotal"}):
            return money.text(value, currency)
    if isinstance(value, dict):
        return ", ".join(f"{name} {value[name]}" for name in ("status", "number") if value.get(name)) or "…"
    return Truncator(str(value)).chars(60)
