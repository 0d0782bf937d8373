"""Drift, the differences between mirror and Stripe: the list, the page of one, and those of a run on its page."""

from collections import defaultdict
from itertools import groupby
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, pgettext_lazy
from django.views.decorators.http import require_POST

from invoices import customer_names, recorded, request_origin
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import ago, badge, moment, pretty, words
from invoices.admin.links import object_link, page_url, url_of
from invoices.admin.paging import KeyPages, NoSuchPlace
from invoices.admin.reconciliation import healing, money_at_stake, wording
from invoices.admin.reconciliation.left_filter import LeftFilter
from invoices.keyset import Order
from invoices.models import MIRRORED, Drift, DriftExplanation, Invoice, ReconciliationRun
from invoices.operations import Refusal
from invoices.reconcile import explaining

DIFFERENCES_PER_PAGE = 50  # on the page of a run


class ExplanationForm(forms.Form):
    """Why a difference is as it is."""

    text = forms.CharField(
        label=gettext_lazy("Why is it so?"),
        max_length=explaining.MAX_LENGTH,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Please say why: the explanation stands in the journal.")},
    )
    with_others = forms.BooleanField(required=False)

    def __init__(self, data: Any = None, others: int = 0) -> None:
        super().__init__(data)
        if not others:
            del self.fields["with_others"]
            return
        label = ngettext(
            "Also for the other difference of this invoice that the same run left",
            "Also for the {count} other differences of this invoice that the same run left",
            others,
        )
        self.fields["with_others"].label = label.format(count=others)


@admin.register(Drift)
class DriftAdmin(RecordAdmin):
    page_template = "admin/reconciliation/drift.html"
    list_display = ("what", "object_", "healed", "found", "run_")
    list_filter = (LeftFilter,)
    ordering = ("-found_at",)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Id of an object, or of an invoice")
    empty_hint = gettext_noop("No difference between Stripe and us was ever found that an event did not explain.")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(object_id=term) | Q(invoice=term))

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("<path:object_id>/explain/", self.explain_view, "explain")]

    def page_context(self, request: HttpRequest, record: Drift, form: ExplanationForm | None = None) -> dict[str, Any]:
        may = record.healed_at is None and request.user.has_perm(explaining.PERMISSION)
        others = explaining.others(record) if may and record.explanation_id is None else 0
        return {
            **super().page_context(request, record),
            "title": wording.drift_title(record),
            "sides": [(_("Here"), pretty(record.ours)), (_("At Stripe"), pretty(record.theirs))],
            "written": _written(record),
            "explained": record.explanation_id is not None,
            "form": (form or ExplanationForm(others=others)) if may else None,
            "may_explain": may,
        }

    @method_decorator(require_POST)
    def explain_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Writes an explanation, or takes the one that holds back."""
        if not (self.has_view_permission(request) and request.user.has_perm(explaining.PERMISSION)):
            raise PermissionDenied
        record = self.record(object_id)
        if record is None:
            raise Http404
        take_back = "take_back" in request.POST
        form = ExplanationForm(request.POST, others=0 if take_back else explaining.others(record))
        if form.is_valid():
            words = form.cleaned_data["text"]
            by, origin = cast(User, request.user), request_origin.origin(request)
            try:
                if take_back:
                    explaining.take_back(record.pk, words, by=by, **origin)
                else:
                    with_others = form.cleaned_data.get("with_others", False)
                    explaining.explain(record.pk, words, with_others=with_others, by=by, **origin)
            except Refusal as refusal:
                form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
            else:
                messages.success(request, _("It is left again.") if take_back else _("The explanation is written."))
                return redirect(page_url(record))
        record.refresh_from_db()
        context = {**self.page_context(request, record, form), "record": record}
        return self.show(request, self.page_template, context, status=400)

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
        if drift.healed_at:
            return badge("healed", "green")
        return badge("explained", "blue") if drift.explanation_id else badge("open", "amber")

    @admin.display(description=gettext_lazy("Found"))
    def found(self, drift: Drift) -> SafeString:
        return ago(drift.found_at)

    @admin.display(description=pgettext_lazy("reconciliation", "Run"))
    def run_(self, drift: Drift) -> SafeString:
        return format_html('<a href="{}">#{}</a>', url_of("reconciliationrun", drift.run_id), drift.run_id)


def _named(run: ReconciliationRun) -> str:
    began = date_format(timezone.localtime(run.started_at), "SHORT_DATETIME_FORMAT")
    return f"{wording.label(run)} {began}"


def _written(record: Drift) -> list[dict[str, Any]]:
    """What people wrote about this difference, oldest first, and what holds for it from an earlier finding."""
    rows = Q(drift=record) | Q(pk=record.explanation_id)
    found = DriftExplanation.objects.filter(rows).select_related("written_by").order_by("written_at", "pk")
    return [
        {
            "what": each.get_what_display(),
            "text": recorded.shown(each.text),
            "by": each.written_by,
            "at": each.written_at,
        }
        for each in found
    ]


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
    invoices = Invoice.objects.only("id", "number", "status", "currency", "customer_name", "customer_id").in_bulk(ids)
    names = customer_names.of_invoices(invoices.values())
    currencies = money_at_stake.currencies(pages.rows, objects)
    stakes, more = money_at_stake.of_run(run)
    groups = [
        _group(list(rows), invoices.get(about), names.get(about, ""), currencies, fates)
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
    customer: str,
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
        "customer": customer,
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
