"""Reconciliation runs: the list, and the page of one with its counts, its drift or its proof."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from django.views.decorators.http import require_POST

from invoices import recorded, thresholds
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.formatting import ago, badge, local_times, moment, number
from invoices.admin.links import object_link
from invoices.admin.reconciliation import drift, proof, starting, wording
from invoices.models import ReconciliationRun
from invoices.reconcile.windows import FULL_RUN_PARTS

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
MAX_UNDER_WAY = 5  # shown above the list; there is one of each lane, and some of one invoice
# Every object that a run sees is counted in one of these; together they are `seen`. Colour and words on the page.
COUNTS = {
    "same": ("green", gettext_noop("the same")),
    "imported": ("blue", gettext_noop("imported")),
    "healed": ("amber", gettext_noop("differed, healed")),
    "in_flight": ("violet", gettext_noop("in flight, an event explains it")),
    "failed": ("red", gettext_noop("differed, left as it was")),
}


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(RecordAdmin):
    page_template = "admin/reconciliation/run.html"
    refreshed_part = "admin/reconciliation/parts/run_state.html"
    list_display = ("what", "state_", "result", "started", "took", "drift_")
    list_before_template = "admin/reconciliation/above_runs.html"
    ordering = ("-started_at",)
    empty_hint = gettext_noop("No reconciliation has run yet. One runs every night; the buttons above start one now.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReconciliationRun]:
        return super().get_queryset(request).defer("report", "progress")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        latest = proof.latest()
        context = {
            "startable": starting.startable() if starting.may_start(request) else [],
            "proof": latest,
            "proof_summary": wording.proof_summary(latest) if latest else "",
            "explanations": wording.explanations(),
            **_under_way(),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("start/<slug:kind>/", self.start_view, "start"),
            self.at("under-way/", self.under_way_view, "under_way"),
        ]

    def under_way_view(self, request: HttpRequest) -> HttpResponse:
        """The runs that are under way, for the list's own refresh. Reloads the list when one of them has ended."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = _under_way()
        known = {id for id in request.GET.get("known", "").split(",") if id}
        if known - {str(one["run"].pk) for one in context["under_way"]}:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return self.show(request, "admin/reconciliation/parts/under_way.html", {"title": _("Under way"), **context})

    @method_decorator(require_POST)
    def start_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        return starting.start(request, kind)

    def page_context(self, request: HttpRequest, record: ReconciliationRun) -> dict[str, Any]:
        running = record.state == State.RUNNING
        context = {
            "title": f"{wording.kind(record)}, {date_format(timezone.localtime(record.started_at), 'DATETIME_FORMAT')}",
            "run": record,
            "summary": wording.summary(record),
            "error": wording.error(record),
            "exit_code_meaning": "" if record.kind == Kind.CATCH_UP else wording.exit_code_meaning(record),
            "tone": wording.tone(record),
            "in_progress": running,
            "silent": _silent(record),
            "windows": _windows_done(record),
            "explanation": wording.explanation(record),
            "facts": self.facts(record),
            "may_start_again": record.kind in starting.BUTTONS and starting.may_start(request) and not running,
        }
        if request.headers.get("HX-Request") == "true":
            return context  # the refresh of a run under way shows no differences
        if record.kind == Kind.VERIFY:
            return context | proof.context(request, record)
        if record.kind != Kind.CATCH_UP:
            context |= {"counts": _counts(record), **drift.context(request, record)}
        return context

    def facts(self, record: ReconciliationRun) -> Facts:
        kind = wording.label(record)
        params: dict[str, Any] = record.params if isinstance(record.params, dict) else {}
        facts: Facts = [
            (_("Kind"), _("{kind}, dry run: nothing healed").format(kind=kind) if record.dry_run else kind),
            (_("Invoice"), object_link("invoice", params["invoice"]) if params.get("invoice") else ""),
            (_("Part"), _part(params.get("part"))),
            (_("Created since"), wording.utc_day(str(params.get("since", ""))[:10])),
            (_("Asked for by"), str(record.started_by or "")),
            (
                _("Went on after"),
                format_html_join(mark_safe("<br>"), "{}", [(_stopped(one),) for one in record.progress.interruptions]),
            ),
            (_("Began"), moment(record.started_at)),
            (_("Ended"), moment(record.finished_at, "")),
            (_("Took"), wording.duration(record)),
            (_("New events"), number(record.events) if record.kind == Kind.CATCH_UP else ""),
            (_("Exit code"), "" if record.exit_code is None else record.exit_code),
        ]
        return [(label, value) for label, value in facts if value != ""]

    @admin.display(description=gettext_lazy("Reconciliation"))
    def what(self, run: ReconciliationRun) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.kind(run))

    @admin.display(description=gettext_lazy("State"))
    def state_(self, run: ReconciliationRun) -> SafeString:
        return badge(run.state, wording.tone(run) if run.state in (State.FINISHED, State.INTERRUPTED) else "")

    @admin.display(description=gettext_lazy("Result"))
    def result(self, run: ReconciliationRun) -> str:
        result = wording.error(run) or wording.exit_code_meaning(run) or wording.summary(run)
        return Truncator(result).chars(120)

    @admin.display(description=gettext_lazy("Began"))
    def started(self, run: ReconciliationRun) -> SafeString:
        return ago(run.started_at)

    @admin.display(description=gettext_lazy("Took"))
    def took(self, run: ReconciliationRun) -> str:
        return wording.duration(run) or "–"

    @admin.display(description=gettext_lazy("Drift"))
    def drift_(self, run: ReconciliationRun) -> str:
        return number(run.healed + run.failed) if run.healed + run.failed else pgettext("differences", "none")


def _part(part: object) -> str:
    if not isinstance(part, int):
        return ""
    return _("{number} of {all}").format(number=part + 1, all=FULL_RUN_PARTS)


def _stopped(interruption: str) -> str:
    """When and why a run stopped: `2026-11-21 02:10 UTC: Its process died.`, as it is kept."""
    when, _colon, why = interruption.partition(" UTC: ")
    return f"{local_times(f'{when} UTC')}: {recorded.shown(why)}" if why else interruption


def _under_way() -> dict[str, Any]:
    """The runs that are under way, the newest first, and the address at which a page asks for them again."""
    running = ReconciliationRun.objects.filter(state=State.RUNNING).defer("report").order_by("-started_at", "-pk")
    found: list[dict[str, Any]] = [
        {"run": run, "kind": wording.kind(run), "windows": _windows_done(run), "silent": _silent(run)}
        for run in running[:MAX_UNDER_WAY]
    ]
    known = ",".join(str(one["run"].pk) for one in found)
    address = reverse("admin:invoices_reconciliationrun_under_way")
    return {"under_way": found, "under_way_address": f"{address}?known={known}"}


def _silent(run: ReconciliationRun) -> bool:
    return run.state == State.RUNNING and timezone.now() - run.alive_at > thresholds.RUN_SILENT


def _windows_done(run: ReconciliationRun) -> tuple[int, int]:
    """How many windows (parts of Stripe's lists, by time of creation) are finished, and how many there are."""
    return len(run.progress.finished), len(run.progress.windows)


def _counts(run: ReconciliationRun) -> list[tuple[str, str, int]]:
    """Colour, words and number of each of `COUNTS`."""
    return [(colour, _(words), getattr(run, name)) for name, (colour, words) in COUNTS.items()]
