"""Whether what we show is what Stripe has: the runs, what they found, the proof of equality, and starting one."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from invoices import money, tasks
from invoices.admin import wording
from invoices.admin.base import Facts, RecordAdmin, page_url, paging, url_of
from invoices.admin.formatting import ago, badge, moment, pretty
from invoices.admin.journal import object_link
from invoices.models import Drift, Invoice, ReconciliationRun
from invoices.reconcile import runs

Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
PERMISSION = "invoices.run_reconciliation"
SHOWN = 50  # differences on a page
DAYS = 31  # of a proof that are shown at once
COUNTS = ("same", "imported", "healed", "in_flight", "failed")  # together: seen
STARTED = {
    Kind.SWEEP: ("Sweep", "Every invoice that is not final, and all of the last 30 days."),
    Kind.FULL: ("Everything", "All invoices, payments, customers and PaymentIntents. Takes longest."),
    Kind.VERIFY: ("Prove equality", "Counts, sums and digests of all invoices, from both sides. Heals nothing."),
}


def may_start(request: HttpRequest) -> bool:
    return request.user.has_perm(PERMISSION)


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(RecordAdmin):
    page_template = "admin/invoices/run.html"
    list_display = ("what", "state_", "result", "started", "took", "drift_")
    list_before_template = "admin/invoices/reconcile.html"
    ordering = ("-started_at",)
    empty_hint = "No reconciliation has run yet. One runs every night; the buttons above start one now."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReconciliationRun]:
        return super().get_queryset(request).defer("report", "progress")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        proof = latest_proof()
        context = {
            "starts": starts() if may_start(request) else [],
            "proof": proof,
            "proof_words": wording.proof(proof) if proof else "",
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("start/<slug:kind>/", self.start_view, "start")]

    @method_decorator(require_POST)
    def start_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        return _start(request, kind)

    def page_context(self, request: HttpRequest, record: ReconciliationRun) -> dict[str, Any]:
        running = record.state == State.RUNNING
        context = {
            "title": f"{wording.run_kind(record)}, {date_format(timezone.localtime(record.started_at), 'j F Y, H:i')}",
            "run": record,
            "lead": wording.run(record),
            "exit": "" if record.kind == Kind.CATCH_UP else wording.exit_words(record),
            "tone": wording.run_tone(record),
            "running": running,
            "silent": running and timezone.now() - record.alive_at > runs.SILENT,
            "windows": _windows(record),
            "facts": self.facts(record),
            "here": request.get_full_path(),
            "again": STARTED.get(Kind(record.kind)) if may_start(request) and not running else None,
        }
        if record.kind == Kind.VERIFY:
            return context | _proof(request, record)
        if record.kind != Kind.CATCH_UP:
            context |= {"counts": _counts(record), **_drift(request, record)}
        return context

    def show(self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> Any:
        """The page, or only the part of it that refreshes itself while the run goes on."""
        if template == self.page_template and request.headers.get("HX-Request") == "true":
            if not context["running"]:
                return HttpResponse(headers={"HX-Refresh": "true"})
            template = "admin/invoices/parts/run_state.html"
        return super().show(request, template, context, status)

    def facts(self, record: ReconciliationRun) -> Facts:
        params: dict[str, Any] = record.params if isinstance(record.params, dict) else {}
        facts: Facts = [
            ("Kind", f"{record.get_kind_display()}{', dry run: nothing healed' if record.dry_run else ''}"),
            ("Invoice", object_link("invoice", params["invoice"]) if params.get("invoice") else ""),
            ("Created since", str(params.get("since", ""))[:10]),
            ("Asked for by", str(record.started_by or "")),
            ("Began", moment(record.started_at)),
            ("Ended", moment(record.finished_at, "")),
            ("Took", wording.took(record)),
            ("New events", f"{record.events:,}" if record.kind == Kind.CATCH_UP else ""),
            ("Exit code", "" if record.exit_code is None else record.exit_code),
        ]
        return [(label, value) for label, value in facts if value != ""]

    @admin.display(description="Reconciliation")
    def what(self, run: ReconciliationRun) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.run_kind(run))

    @admin.display(description="State")
    def state_(self, run: ReconciliationRun) -> SafeString:
        return badge(run.state, {"finished": wording.run_tone(run)}.get(run.state, ""))

    @admin.display(description="Result")
    def result(self, run: ReconciliationRun) -> str:
        said = run.error or wording.exit_words(run) or wording.run(run)
        return Truncator(said).chars(120)

    @admin.display(description="Began")
    def started(self, run: ReconciliationRun) -> SafeString:
        return ago(run.started_at)

    @admin.display(description="Took")
    def took(self, run: ReconciliationRun) -> str:
        return wording.took(run) or "–"

    @admin.display(description="Drift")
    def drift_(self, run: ReconciliationRun) -> str:
        return f"{run.healed + run.failed:,}" if run.healed + run.failed else "none"


# --- starting one -------------------------------------------------------------------------------------------------


def starts() -> list[tuple[str, str, str]]:
    """What can be started: address, name, what it does."""
    return [(reverse("admin:invoices_reconciliationrun_start", args=[kind]), *words) for kind, words in STARTED.items()]


def _start(request: HttpRequest, kind: str) -> HttpResponse:
    """POST: asks the workers for a run."""
    if not may_start(request):
        raise PermissionDenied
    if kind not in {*STARTED, Kind.INVOICE}:
        raise Http404
    invoice = request.POST.get("invoice", "") if kind == Kind.INVOICE else ""
    if kind == Kind.INVOICE and not Invoice.objects.filter(pk=invoice).exists():
        raise Http404
    back = url_of("invoice", invoice) if invoice else reverse("admin:invoices_reconciliationrun_changelist")
    if other := _under_way(kind):
        since = timezone.localtime(other.started_at)
        messages.info(
            request, f"One is under way since {since:%H:%M}; this is it. Another can begin when it has ended."
        )
        return redirect(page_url(other))
    try:
        tasks.start_reconciliation.delay(kind, invoice, request.user.pk)
    except (OperationalError, OSError):
        messages.warning(request, "The workers cannot be reached just now, so nothing was started. Try again soon.")
    else:
        words = "This invoice is being compared with Stripe." if invoice else "It begins within a few seconds."
        messages.success(request, f"Asked for. {words}")
    return redirect(back)


def _under_way(kind: str) -> ReconciliationRun | None:
    if kind == Kind.INVOICE:
        return None
    alive = runs.lane(kind).filter(alive_at__gt=timezone.now() - runs.SILENT)
    return alive.defer("report").first()


# --- the page of a run ----------------------------------------------------------------------------------------------


def _windows(run: ReconciliationRun) -> tuple[int, int]:
    """How many parts of Stripe's lists are done, and of how many."""
    progress: Any = run.progress if isinstance(run.progress, dict) else {}
    return len(progress.get("finished", [])), len(progress.get("windows", []))


def _counts(run: ReconciliationRun) -> list[tuple[str, str, int, int]]:
    """What was seen, part by part: colour, word, number, percent. Together they are all."""
    words = {
        "same": ("green", "the same"),
        "imported": ("blue", "imported"),
        "healed": ("amber", "differed, healed"),
        "in_flight": ("violet", "in flight, an event explains it"),
        "failed": ("red", "differed, left as it was"),
    }
    return [(*words[name], getattr(run, name), round(100 * getattr(run, name) / (run.seen or 1))) for name in COUNTS]


def _drift(request: HttpRequest, run: ReconciliationRun) -> dict[str, Any]:
    begin = paging(request, SHOWN).begin
    found = list(run.drift.order_by("-found_at", "-id")[begin : begin + SHOWN + 1])
    ids = {row.invoice for row in found if row.invoice}
    invoices = Invoice.objects.only("id", "number", "status", "currency").in_bulk(ids)
    return {
        "drift": [_difference(row, invoices.get(row.invoice)) for row in found[:SHOWN]],
        "pages": paging(request, SHOWN, more=len(found) > SHOWN),
    }


def _difference(row: Drift, invoice: Invoice | None) -> dict[str, Any]:
    """A difference, short enough for a table; the whole stands on its own page."""
    currency = invoice.currency if invoice else None
    return {
        "row": row,
        "about": invoice.number if invoice and invoice.number else row.invoice or row.object_id,
        "page": url_of("invoice", row.invoice) if row.invoice else "",
        "object": object_link(row.object_type, row.object_id) if row.object_type != "invoice" else "",
        "what": wording.field(row.field) if row.field else row.get_kind_display().capitalize(),
        "ours": _short(row.field, row.ours, currency),
        "theirs": _short(row.field, row.theirs, currency),
    }


def _short(field: str, value: Any, currency: str | None) -> Any:
    name = field.rpartition(".")[2]
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_at") or name in {"created", "due_date", "next_payment_attempt"}:
            return moment(datetime.fromtimestamp(value, UTC)) if 0 <= value < 10**11 else str(value)
        if currency and (name.startswith("amount") or name in {"total", "subtotal"}):
            return money.text(value, currency)
    if isinstance(value, dict):
        return ", ".join(f"{name} {value[name]}" for name in ("status", "number") if value.get(name)) or "…"
    return Truncator(str(value)).chars(60)


def latest_proof() -> ReconciliationRun | None:
    """The last proof of equality that came to its end."""
    ended = ReconciliationRun.objects.filter(kind=Kind.VERIFY, state=State.FINISHED)
    return ended.order_by("-started_at").defer("report", "progress").first()


def _proof(request: HttpRequest, run: ReconciliationRun) -> dict[str, Any]:
    """Both sides of a proof: the days that differ, all of them, and the rest page by page."""
    report: Any = run.report if isinstance(run.report, dict) else {}
    days = [day for day in report.get("days", []) if isinstance(day, dict)]
    equal = [day for day in days if day.get("equal")]
    pages = paging(request, DAYS, len(equal))
    return {
        "report": report,
        "equal": report.get("equal"),
        "differing": [_day(day) for day in days if not day.get("equal")],
        "equal_days": len(equal),
        "days": [_day(day) for day in reversed(equal)][pages.begin : pages.begin + DAYS],
        "pages": pages,
    }


def _day(day: dict[str, Any]) -> dict[str, Any]:
    """One day of creation: each currency and status, ours beside Stripe's."""
    ours, theirs = (_groups(day.get(side)) for side in ("ours", "theirs"))
    rows = [
        {
            "currency": group.partition(" ")[0].upper(),
            "status": group.partition(" ")[2],
            "ours": _sums(group, ours.get(group)),
            "theirs": _sums(group, theirs.get(group)),
            "differs": ours.get(group) != theirs.get(group),
        }
        for group in sorted({*ours, *theirs})
    ]
    counts = (sum(group[0] for group in side.values()) for side in (ours, theirs))
    content_only = bool(rows) and not any(row["differs"] for row in rows) and not day.get("equal")
    return {"day": day.get("day"), "rows": rows, "counts": tuple(counts), "content_only": content_only}


def _groups(side: Any) -> dict[str, list[int]]:
    return side.get("groups", {}) if isinstance(side, dict) else {}


def _sums(group: str, values: Iterable[int] | None) -> dict[str, str]:
    if values is None:
        return {"number": "none", "total": "–", "paid": "–", "remaining": "–"}
    number, *sums = values
    currency = group.partition(" ")[0]
    written = (money.text(amount, currency) for amount in sums)
    return {"number": f"{number:,}", **dict(zip(("total", "paid", "remaining"), written, strict=False))}


# --- drift ----------------------------------------------------------------------------------------------------------


@admin.register(Drift)
class DriftAdmin(RecordAdmin):
    list_display = ("what", "object_", "healed", "found", "run_")
    ordering = ("-found_at", "-id")
    search_fields = ("id",)
    search_help_text = "Id of an object, or of an invoice"
    empty_hint = "No difference between Stripe and us was ever found that an event did not explain."

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(object_id=term) | Q(invoice=term))

    def page_context(self, request: HttpRequest, record: Drift) -> dict[str, Any]:
        sides = [("Here", pretty(record.ours)), ("At Stripe", pretty(record.theirs))]
        return {**super().page_context(request, record), "title": wording.drift(record), "sides": sides}

    def facts(self, record: Drift) -> Facts:
        return [
            ("About", object_link(record.object_type, record.object_id)),
            ("Invoice", object_link("invoice", record.invoice)),
            ("Difference", wording.drift(record)),
            ("Found", moment(record.found_at)),
            ("Healed", moment(record.healed_at, "not yet")),
            ("Ours was true until", moment(record.ours_seen_until)),
            ("Found by", format_html('<a href="{}">{}</a>', url_of("reconciliationrun", record.run_id), record.run)),
        ]

    @admin.display(description="Difference")
    def what(self, drift: Drift) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.drift(drift))

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
