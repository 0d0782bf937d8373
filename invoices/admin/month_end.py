"""The month's end: whether a month can be closed, closing it, what changed in it since; and the list of closings."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money, month_end, recorded, reports, request_origin, thresholds
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.days import in_words as day_in_words
from invoices.admin.formatting import ago, moment, number
from invoices.admin.links import page_url, url_of
from invoices.admin.reports.access import may_see
from invoices.admin.reports.form import address
from invoices.models import BankTransaction, Invoice, MonthClose, Operation
from invoices.month_end import BadMonth, Check, LaterChange, Month
from invoices.operations import Refusal, label_of
from invoices.reports import REPORTS
from invoices.search.time_limit import Limit, TakesTooLong

TOTALS = {
    "collected": gettext_noop("Collected"),
    "issued": gettext_noop("Issued"),
    "voided": gettext_noop("Voided"),
    "written_off": gettext_noop("Written off"),
    "outstanding": gettext_noop("Outstanding at its end"),
}
PAGES_OF = {
    "invoice": "invoice",
    "invoice_payment": "invoicepayment",
    "credit_note": "creditnote",
    "refund": "refund",
    "operation": "operation",
    "bank_transaction": "banktransaction",
}
LATER_SHOWN = 200
Found = TypeVar("Found")
MONTHS_OFFERED = 12


class CloseForm(forms.Form):
    """The reason, where one is needed. Hidden: the id of the closing, and how often the month was closed before."""

    closing = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False,
        max_length=month_end.MAX_REASON_LENGTH,
        label=gettext_lazy("Reason"),
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Needed where something is not as it should be, or the month was closed before."),
    )


@admin.register(MonthClose)
class MonthCloseAdmin(RecordAdmin):
    page_template = "admin/month_end/closing.html"
    list_display = ("month_", "times", "who", "when", "why")
    list_select_related = ("closed_by",)
    ordering = ("-month",)
    empty_hint = gettext_noop("No month was closed yet.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MonthClose]:
        return super().get_queryset(request).defer("figures")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "month_end": reverse(_PAGE)})

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("check/", self.check_view, "check")]

    def check_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows whether a month can be closed; POST closes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST" and not request.user.has_perm(month_end.CLOSE):
            raise PermissionDenied
        given = request.GET.get("month", ""), request.GET.get("zone", "") or settings.REPORTS_TIME_ZONE
        problem = ""
        try:
            month = Month.read(*given) if given[0] else Month.last(given[1])
        except BadMonth as error:
            problem, month = str(error), Month.last("UTC")
        if request.method == "POST" and not problem:
            return self._close(request, month)
        return self._show(request, month, problem=problem)

    def _close(self, request: HttpRequest, month: Month) -> HttpResponse:
        form = CloseForm(request.POST)
        if form.is_valid():
            given = form.cleaned_data
            try:
                made = month_end.close(
                    month,
                    by=request.user,  # type: ignore[arg-type]
                    seen=given["seen"],
                    reason=given["reason"],
                    id=given["closing"],
                    **request_origin.origin(request),
                )
            except Refusal as refusal:
                form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
            else:
                messages.success(request, _("{month} is closed.").format(month=month))
                return redirect(page_url(made))
        return self._show(request, month, form)

    def _show(
        self, request: HttpRequest, month: Month, form: CloseForm | None = None, problem: str = ""
    ) -> HttpResponse:
        before = month_end.standing(month)
        checks = month_end.checks(month)
        blocking = [check for check in checks if check.blocks and not check.met]
        may = request.user.has_perm(month_end.CLOSE)
        sums = _in_time(partial(month_end.totals, month))
        status = 400 if problem or form is not None else 200
        if form is not None:  # the page is as it is now, and what was typed stays
            form.data = {**request.POST.dict(), "seen": str(before.number if before else 0)}
        asked = form or CloseForm(initial={"closing": uuid.uuid4(), "seen": before.number if before else 0})
        asked.fields["reason"].required = bool(blocking or before)  # as `month_end.close` asks for it
        context = {
            "title": _("Month’s end: {month}").format(month=month),
            "month": month,
            "zone": str(month.zone),
            "problem": problem,
            "checks": [
                (check, _(check.title), check.in_words(), _rows_of(request, check), _count_of(check))
                for check in checks
            ],
            "can_be_closed": not blocking,
            "before": before,
            "before_page": page_url(before) if before else "",
            "totals": _totals(sums, _reports(request, month)) if sums is not None else None,
            "form": asked if may and month.is_over else None,
            "may": may,
            "months": [(str(each), _address(each)) for each in _months(month.zone.key)],
        }
        return self.show(request, "admin/month_end/check.html", context, status=status)

    # --- one closing --------------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, record: MonthClose) -> dict[str, Any]:
        month = Month.read(str(record), record.time_zone)
        now = _in_time(partial(month_end.read, month))
        later = month_end.later_changes(record, now) if now else month_end.Later([])
        return {
            "title": _("{month}, closed").format(month=record),
            "record": record,
            "facts": self.facts(record),
            "checks": [Check(**each) for each in record.checks],
            "shown": [(_(each["title"]), each["met"], Check(**each).in_words()) for each in record.checks],
            "totals": _totals(record.totals),
            "is_long": now is None,
            "now": _totals(now.totals, _reports(request, month)) if now else None,
            "later": _shown(request, later.changes[:LATER_SHOWN]),
            "later_count": number(len(later.changes)) if now and later.is_known else "–",
            "is_cut": len(later.changes) > LATER_SHOWN,
            "is_known": later.is_known,
            "check": _address(month),
        }

    def facts(self, record: MonthClose) -> Facts:
        return [
            (_("Month"), str(record)),
            (_("Time zone"), record.time_zone),
            (_("Closed by"), record.closed_by),
            (_("Closed"), moment(record.closed_at)),
            (_("Reason"), recorded.shown(record.reason) or "–"),
            (_("How many times"), number(record.number)),
            (_("The journal’s head"), format_html("<code>{} {}</code>", record.head_position or "–", record.head_hash)),
        ]

    @admin.display(description=gettext_lazy("Month"))
    def month_(self, record: MonthClose) -> SafeString:
        return format_html('<span class="strong">{}</span>', record)

    @admin.display(description=gettext_lazy("How many times"))
    def times(self, record: MonthClose) -> str:
        return number(record.number)

    @admin.display(description=gettext_lazy("Closed by"))
    def who(self, record: MonthClose) -> str:
        return str(record.closed_by)

    @admin.display(description=gettext_lazy("Closed"))
    def when(self, record: MonthClose) -> SafeString:
        return ago(record.closed_at)

    @admin.display(description=gettext_lazy("Reason"))
    def why(self, record: MonthClose) -> str:
        return recorded.shown(record.reason)


_PAGE = "admin:invoices_monthclose_check"


def _in_time(read: Callable[[Callable[[], None]], Found]) -> Found | None:
    """What is read of a month; None where it takes longer than pages of its reports may, one after the other."""
    count = len({report for report, _groups in month_end.TOTALS.values()})
    try:
        return read(Limit(thresholds.REPORT_LOOK * count).check)
    except TakesTooLong:
        return None


def _address(month: Month) -> str:
    return f"{reverse(_PAGE)}?{urlencode({'month': str(month), 'zone': month.zone.key})}"


def _months(zone: str) -> list[Month]:
    """The last ones, newest first."""
    found = [Month.last(zone)]
    while len(found) < MONTHS_OFFERED:
        found.append(found[-1].before)
    return found


def _rows_of(request: HttpRequest, check: Check) -> str:
    """The list that has exactly the rows of this check; empty: there is none, or this person may not see it."""
    rows = dict(check.rows)
    model, pk = rows.pop("model", ""), rows.pop("pk", "")
    if not model or not request.user.has_perm(f"invoices.view_{model}"):
        return ""
    if pk:
        return url_of(model, pk)
    return f"{reverse(f'admin:invoices_{model}_changelist')}?{urlencode(rows)}"


def _count_of(check: Check) -> str:
    if check.count > month_end.MOST_COUNTED:
        return _("more than {count}").format(count=number(month_end.MOST_COUNTED))
    return number(check.count) if check.count else ""


def _totals(found: dict[str, dict[str, int]], links: dict[str, str] | None = None) -> list[tuple[str, str, list[str]]]:
    """What, the report that has its rows, and its sum in each currency; then how much of each report is not known."""

    def said(name: str) -> list[str]:
        return [money.text(amount, currency) for currency, amount in found.get(name, {}).items()]

    known = [(_(label), (links or {}).get(name, ""), said(name)) for name, label in TOTALS.items()]
    unknown = [
        (
            _("{report}: not known").format(report=_(REPORTS[name].title)),
            (links or {}).get(_unknown(name), ""),
            [number(count)],
        )
        for name, count in found.get(month_end.NOT_KNOWN, {}).items()
    ]
    return known + unknown


def _unknown(report: str) -> str:
    return f"{month_end.NOT_KNOWN} {report}"


def _reports(request: HttpRequest, month: Month) -> dict[str, str]:
    """Where this person may see them: the address of the rows of each total, and of those that are not known."""
    asked = reports.Asked(month.first, month.last_day, month.zone)
    rows = {
        name: (report, groups[0] if groups else reports.KNOWN) for name, (report, groups) in month_end.TOTALS.items()
    }
    for report, _groups in month_end.TOTALS.values():
        rows[_unknown(report)] = (report, reports.NOT_KNOWN)
    return {
        name: address(REPORTS[report], asked, group=group)
        for name, (report, group) in rows.items()
        if may_see(request, REPORTS[report])
    }


def _shown(request: HttpRequest, changes: list[LaterChange]) -> list[dict[str, Any]]:
    names: dict[tuple[str, str], str] = {}
    for type, model in (("invoice", Invoice), ("bank_transaction", BankTransaction), ("operation", Operation)):
        if request.user.has_perm(f"invoices.view_{PAGES_OF[type]}"):
            found: Any = model._default_manager
            rows = found.in_bulk([change.object_id for change in changes if change.object_type == type])
            names |= {(type, str(pk)): _named(row) for pk, row in rows.items()}
    return [_later(request, change, names.get((change.object_type, str(change.object_id)), "")) for change in changes]


def _named(row: Invoice | BankTransaction | Operation) -> str:
    """What people know it by; its id tells nobody anything."""
    if isinstance(row, Invoice):
        return row.number or row.pk
    return label_of(row.action) if isinstance(row, Operation) else str(row)


def _later(request: HttpRequest, change: LaterChange, name: str) -> dict[str, Any]:
    day, model = change.belongs, PAGES_OF[change.object_type]
    return {
        "what": _(change.what),
        "address": url_of(model, change.object_id) if request.user.has_perm(f"invoices.view_{model}") else "",
        "id": name or change.object_id,
        "kind": _(change.object_type.replace("_", " ")),
        "at": change.at,
        "day": day_in_words(timezone.localtime(day).date() if isinstance(day, datetime) else day) if day else "–",
        "before": _amount(change.before, change.currency),
        "amount": _amount(change.amount, change.currency),
    }


def _amount(amount: int | None, currency: str) -> str:
    return money.text(amount, currency) if currency and amount is not None else "–"
