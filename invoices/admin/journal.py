"""What Stripe told us, and whether we had it right: events, reconciliations, drift."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoices.admin import wording
from invoices.admin.base import Facts, RecordAdmin, url_of
from invoices.admin.formatting import ago, badge, moment, pretty
from invoices.models import Drift, Event, ReconciliationRun

PAGES = {
    "invoice": "invoice",
    "customer": "customer",
    "invoice_payment": "invoicepayment",
    "payment_intent": "paymentintent",
}


def object_link(object_type: str, object_id: str) -> SafeString:
    """An object of Stripe's, with its page where we keep one."""
    if object_type in PAGES and object_id:
        return format_html('<a href="{}">{}</a>', url_of(PAGES[object_type], object_id), object_id)
    return format_html("{}", object_id or "–")


class EventState(admin.SimpleListFilter):
    title, parameter_name, template = "state", "state", "admin/invoices/hidden_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("pending", "Pending"), ("failed", "Failed"), ("done", "Done"), ("ignored", "Ignored")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(RecordAdmin):
    list_display = ("what", "object_", "state_", "created_", "received")
    list_filter = (EventState,)
    list_before_template = "admin/invoices/tabs.html"
    ordering = ("-received_at",)
    search_fields = ("id",)
    search_help_text = "evt_…, or the id of its object"
    empty_hint = "Search takes whole ids: evt_…, in_…, pi_…"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return super().get_queryset(request).defer("body")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(Q(pk=term) | Q(object_id=term))

    def page_context(self, request: HttpRequest, record: Event) -> dict[str, Any]:
        return {**super().page_context(request, record), "title": wording.event(record.type) or record.pk}

    def facts(self, record: Event) -> Facts:
        return [
            ("Type", record.type or "–"),
            ("About", object_link(record.object_type, record.object_id)),
            ("State", badge(record.state)),
            *([("Because", record.error)] if record.error else []),
            ("Stripe's stamp", moment(record.created)),
            ("Received", moment(record.received_at)),
            ("In the mirror", moment(record.processed_at)),
            ("Attempts", record.attempts or ""),
            ("Came by", record.get_source_display()),
            ("Request", record.request_id or "Stripe itself"),
            ("Its idempotency key", record.idempotency_key or "–"),
            ("API version", record.api_version or "–"),
            ("Id", record.pk),
        ]

    def raw(self, record: Event) -> Any:
        try:
            return json.loads(record.body)
        except ValueError:
            return record.body

    @admin.display(description="Event")
    def what(self, event: Event) -> SafeString:
        return format_html(
            '<span class="two"><span class="strong">{}</span><small>{}</small></span>',
            wording.event(event.type),
            event.type,
        )

    @admin.display(description="About")
    def object_(self, event: Event) -> SafeString:
        return object_link(event.object_type, event.object_id)

    @admin.display(description="State")
    def state_(self, event: Event) -> SafeString:
        return badge(event.state)

    @admin.display(description="Stripe's stamp")
    def created_(self, event: Event) -> SafeString:
        return moment(event.created)

    @admin.display(description="Received")
    def received(self, event: Event) -> SafeString:
        return ago(event.received_at)


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(RecordAdmin):
    list_display = ("what", "state_", "result", "started", "drift_")
    ordering = ("-started_at",)
    empty_hint = "No reconciliation has run yet. It runs every night, or by hand: manage.py reconcile."

    def page_context(self, request: HttpRequest, record: ReconciliationRun) -> dict[str, Any]:
        drift = [(row, wording.drift(row)) for row in record.drift.order_by("-found_at", "-id")[:101]]
        return {
            **super().page_context(request, record),
            "title": f"Reconciliation: {record.get_kind_display()}",
            "lead": wording.run(record),
            "drift": drift[:100],
            "more_drift": len(drift) > 100,
        }

    def facts(self, record: ReconciliationRun) -> Facts:
        counts = ("seen", "same", "imported", "healed", "in_flight", "failed", "events")
        return [
            ("State", badge(record.state)),
            ("Kind", f"{record.get_kind_display()}{', dry run: nothing healed' if record.dry_run else ''}"),
            ("Began", moment(record.started_at)),
            ("Ended", moment(record.finished_at)),
            *((name.replace("_", " ").capitalize(), f"{getattr(record, name):,}") for name in counts),
            ("Exit code", "–" if record.exit_code is None else record.exit_code),
            *([("Error", record.error)] if record.error else []),
        ]

    def raw(self, record: ReconciliationRun) -> Any:
        return record.params or None

    @admin.display(description="Reconciliation")
    def what(self, run: ReconciliationRun) -> SafeString:
        return format_html('<span class="strong">{}{}</span>', run.get_kind_display(), " (dry)" if run.dry_run else "")

    @admin.display(description="State")
    def state_(self, run: ReconciliationRun) -> SafeString:
        return badge(run.state)

    @admin.display(description="Result")
    def result(self, run: ReconciliationRun) -> str:
        return wording.run(run)

    @admin.display(description="Began")
    def started(self, run: ReconciliationRun) -> SafeString:
        return ago(run.started_at)

    @admin.display(description="Drift")
    def drift_(self, run: ReconciliationRun) -> str:
        return f"{run.healed + run.failed:,}" if run.healed + run.failed else "none"


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
