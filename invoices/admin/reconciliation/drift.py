"""Drift, the differences between mirror and Stripe: the list, the page of one, and those of a run on its page."""

from collections import defaultdict
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext_lazy

from invoices import recorded
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import ago, badge, moment, pretty, words
from invoices.admin.links import object_link, url_of
from invoices.admin.paging import KeyPages, NoSuchPlace
from invoices.admin.reconciliation import healing, money_at_stake, wording
from invoices.admin.reconciliation.left_filter import LeftFilter
from invoices.keyset import Order
from invoices.models import MIRRORED, Drift, Invoice, ReconciliationRun

DIFFERENCES_PER_PAGE = 50  # on the page of a run


@admin.register(Drift)
class DriftAdmin(RecordAdmin):
    list_display = ("what", "object_", "healed", "found", "run_")
    list_filter = (LeftFilter,)
    ordering = ("-found_at",)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Id of an object, or of an invoice")
    empty_hint = gettext_noop("No difference between Stripe and us was ever found that an event did not explain.")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(object_id=term) | Q(invoice=term))

    def page_context(self, request: HttpRequest, record: Drift) -> dict[str, Any]:
        sides = [(_("Here"), pretty(record.ours)), (_("At Stripe"), pretty(record.theirs))]
        return {**super().page_context(request, record), "title": wording.drift_title(record), "sides": sides}

    def facts(self, record: Drift) -> Facts:
        return [
            (_("About"), object_link(record.object_type, record.object_id)),
            (_("Invoice"), object_link("invoice", record.invoice)),
            (_("Difference"), wording.drift_title(record)),
            *([(_("Because"), recorded.shown(record.reason))] if record.reason else []),
            (_("Found"), moment(record.found_at)),
            (_("Healed"), _fate(record)),
            (_("Ours was true until"), moment(record.ours_seen_until)),
            (
                _("Found by"),
                format_html('<a href="{}">{}</a>', url_of("reconciliationrun", record.run_id), _named(record.run)),
            ),
        ]

    @admin.display(description=gettext_lazy("Difference"))
    def what(self, drift: Drift) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.drift_title(drift))

    @admin.display(description=gettext_lazy("About"))
    def object_(self, drift: Drift) -> SafeString:
        return object_link(drift.object_type, drift.object_id)

    @admin.display(description=gettext_lazy("Healed"))
    def healed(self, drift: Drift) -> SafeString:
        return badge("healed", "green") if drift.healed_at else badge("open", "amber")

    @admin.display(description=gettext_lazy("Found"))
    def found(self, drift: Drift) -> SafeString:
        return ago(drift.found_at)

    @admin.display(description=pgettext_lazy("reconciliation", "Run"))
    def run_(self, drift: Drift) -> SafeString:
        return format_html('<a href="{}">#{}</a>', url_of("reconciliationrun", drift.run_id), drift.run_id)


def _named(run: ReconciliationRun) -> str:
    began = date_format(timezone.localtime(run.started_at), "SHORT_DATETIME_FORMAT")
    return f"{wording.label(run)} {began}"


def _fate(row: Drift) -> SafeString:
    """What became of one difference, with a link to what healed it."""
    fate = healing.fates([row], _objects([row]))[row.pk]
    by = format_html('<a href="{}">{}</a>', fate.link, fate.by) if fate.link else _(fate.by)
    return format_html("{} {} {}", badge(fate.words, fate.tone), by, moment(fate.at, ""))


def context(request: HttpRequest, run: ReconciliationRun) -> dict[str, Any]:
    """The differences that a run found, for its page: invoice by invoice, page by page, and their money.

    For who may see drift, which is what both sides said. What the mirror says of an invoice today, such as whose it is,
    is for who may see invoices."""
    if not request.user.has_perm("invoices.view_drift"):
        return {}
    try:
        pages = KeyPages.read(request, run.drift.all(), Order("invoice", descending=False), DIFFERENCES_PER_PAGE)
    except NoSuchPlace:
        raise Http404 from None
    objects = _objects(pages.rows)
    fates = healing.fates(pages.rows, objects)
    may_see_invoices = request.user.has_perm("invoices.view_invoice")
    ids = {row.invoice for row in pages.rows if row.invoice and may_see_invoices}
    invoices = Invoice.objects.only("id", "number", "status", "currency", "customer_name").in_bulk(ids)
    currencies = money_at_stake.currencies(pages.rows, objects)
    stakes, more = money_at_stake.of_run(run)
    groups = [
        _group(list(rows), invoices.get(about), currencies, fates)
        for about, rows in groupby(pages.rows, key=lambda row: row.invoice or row.object_id)
    ]
    return {"drift": groups, "pages": pages, "stakes": stakes, "more_stakes": more}


def _objects(rows: list[Drift]) -> dict[tuple[str, str], Any]:
    """The mirror's rows of these differences as they are now, by Stripe's `object` and the id."""
    ids: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.object_type in MIRRORED:
            ids[row.object_type].add(row.object_id)
    held = {object: MIRRORED[object].objects.in_bulk(wanted) for object, wanted in ids.items()}
    return {(object, pk): row for object, found in held.items() for pk, row in found.items()}


def _group(
    rows: list[Drift],
    invoice: Invoice | None,
    currencies: dict[tuple[str, str], str],
    fates: dict[int, healing.Fate],
) -> dict[str, Any]:
    """All differences of one invoice and its payments on this page; or of one object that belongs to no invoice."""
    first = rows[0]
    return {
        "about": invoice.number if invoice and invoice.number else first.invoice or first.object_id,
        "page": url_of("invoice", first.invoice) if first.invoice else "",
        "object": "" if first.invoice else object_link(first.object_type, first.object_id),
        "type": "" if first.invoice else first.object_type,
        "customer": (invoice.customer_name or "").title() if invoice else "",
        "status": invoice.status if invoice else "",
        "stakes": money_at_stake.of_rows(rows, currencies),
        "differences": [_difference(row, currencies, fates) for row in rows],
        "left": sum(fates[row.pk] is healing.OPEN for row in rows),
    }


def _difference(row: Drift, currencies: dict[tuple[str, str], str], fates: dict[int, healing.Fate]) -> dict[str, Any]:
    """A difference as a row of a table. Its own page (`DriftAdmin`) shows both values whole."""
    currency = currencies.get((row.object_type, row.object_id))
    return {
        "row": row,
        "object": object_link(row.object_type, row.object_id) if row.object_type != "invoice" and row.invoice else "",
        "what": _what(row),
        "ours": wording.field_value(row.field, row.ours, currency),
        "theirs": wording.field_value(row.field, row.theirs, currency),
        "fate": fates[row.pk],
    }


def _what(row: Drift) -> str:
    if row.kind == Drift.Kind.COLUMN:
        return _("Column {column}, against its object").format(column=words(row.field))
    return wording.field_label(row.field) if row.field else wording.drift_title(row)
