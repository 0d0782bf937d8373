"""What people asked for: the list, and each operation with its reason, its calls to Stripe and its outcome."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.dateparse import parse_datetime
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_POST

from invoices.admin import decisions, declined, wording
from invoices.admin.base import Facts, RecordAdmin, url_of
from invoices.admin.filters import Days
from invoices.admin.formatting import ago, badge, masked, moment, pretty
from invoices.admin.invoice_page import dashboard, note_credit
from invoices.models import Invoice, Operation
from invoices.operations import ACTIONS, person


class OperationState(admin.SimpleListFilter):
    title, parameter_name, template = "outcome", "state", "admin/invoices/hidden_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("unfinished", "Unfinished"),
            ("unknown", "Unknown"),
            ("undecided", "For a manager"),
            ("awaiting_approval", "Awaiting approval"),
            ("succeeded", "Succeeded"),
            ("failed", "Failed"),
            ("refused", "Refused"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "unfinished":
            return queryset.filter(state__in=Operation.UNFINISHED)
        if self.value() == "undecided":
            return queryset.filter(pk__in=person.queue().order_by().values("pk"))
        return queryset.filter(state=self.value()) if self.value() else queryset


class OperationAction(admin.SimpleListFilter):
    title, parameter_name = "action", "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(spec.name, spec.label) for spec in ACTIONS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(action=self.value()) if self.value() else queryset


class OperationSource(admin.SimpleListFilter):
    title, parameter_name = "way in", "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Operation.Source.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(source=self.value()) if self.value() else queryset


@admin.register(Operation)
class OperationAdmin(RecordAdmin):
    page_template = "admin/invoices/operation.html"
    list_display = ("what", "invoice_", "state_", "outcome_", "who_", "why", "when")
    list_filter = (OperationState, OperationAction, OperationSource, ("created_at", Days))
    list_select_related = ("actor",)
    list_before_template = "admin/invoices/tabs.html"
    ordering = ("-created_at", "id")
    search_fields = ("id",)
    search_help_text = "Invoice's number or id, user name, operation id"
    empty_hint = "Nobody asked for such a thing yet. Actions are taken on an invoice's page."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operation]:
        number = Invoice.objects.filter(pk=OuterRef("invoice")).values("number")[:1]
        return super().get_queryset(request).annotate(invoice_number=Subquery(number))

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        if term.startswith("in_"):
            return queryset.filter(invoice=term)
        if len(term) == 36 and term.count("-") == 4:
            return queryset.filter(pk=term) if self.record(term) else queryset.none()
        numbered = Invoice.objects.filter(number__in={term, term.upper()}).values_list("pk", flat=True)[:50]
        return queryset.filter(Q(invoice__in=list(numbered)) | Q(actor__username=term))

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<uuid:object_id>/result/", self.result_view, "result"),
            self.at("<uuid:object_id>/now/", self.now_view, "now"),
            self.at("<uuid:object_id>/decide/<slug:verdict>/", self.decide_view, "decide"),
            self.at("<uuid:object_id>/close/", self.close_view, "close"),
        ]

    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest, object_id: Any, verdict: str) -> HttpResponse:
        return decisions.decide(self, request, object_id, verdict)

    @method_decorator(require_POST)
    def now_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        return decisions.now(self, request, object_id)

    @method_decorator(require_POST)
    def close_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        return decisions.close(self, request, object_id)

    def result_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The part of a page that shows an outcome: asked for again and again until it is final. admin_view keeps it
        out of every cache."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = self.record(object_id)
        if operation is None or operation.state not in Operation.UNFINISHED:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return TemplateResponse(request, "admin/invoices/result.html", {"operation": operation})

    # --- the list -----------------------------------------------------------------------------------------------

    @admin.display(description="Action")
    def what(self, operation: Operation) -> SafeString:
        return format_html('<span class="strong">{}</span>', operation.get_action_display())

    @admin.display(description="Invoice")
    def invoice_(self, operation: Any) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>', url_of("invoice", operation.invoice), operation.invoice_number or operation.invoice
        )

    @admin.display(description="State")
    def state_(self, operation: Operation) -> SafeString:
        return badge(wording.state(operation), wording.tone(operation))

    @admin.display(description="Outcome")
    def outcome_(self, operation: Operation) -> str:
        return Truncator(wording.outcome(operation)).chars(80)

    @admin.display(description="Who")
    def who_(self, operation: Operation) -> str:
        return wording.who(operation)

    @admin.display(description="Why")
    def why(self, operation: Operation) -> str:
        return Truncator(operation.reason or "–").chars(60)

    @admin.display(description="When")
    def when(self, operation: Operation) -> SafeString:
        return ago(operation.created_at)

    # --- the page -----------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, record: Operation) -> dict[str, Any]:
        invoice = Invoice.objects.filter(pk=record.invoice).first()
        note_credit(record)
        return {
            "title": f"{record.get_action_display()} · {wording.number(invoice) if invoice else record.invoice}",
            "operation": record,
            "invoice": invoice,
            "facts": self.facts(record),
            "calls": [_call(call, invoice) for call in record.calls or []],
            "states": _states(record, invoice),
            "help": declined.help_for(request, record, invoice),
            "raw": record.error,
            **decisions.context(request, record, invoice),
            "sentence": wording.for_customer(invoice, checking=record.state in Operation.UNFINISHED) if invoice else "",
        }

    def facts(self, record: Operation) -> Facts:
        facts: Facts = [
            ("Who", wording.who(record)),
            ("Why", record.reason or "–"),
            ("Ticket", record.ticket),
            ("Asked", moment(record.created_at)),
            ("Ended", moment(record.finished_at) if record.finished_at else ""),
            *wording.told(record),
            ("From address", record.address or ""),
            ("Request", record.request_id),
            ("Approved or rejected by", str(record.approver or "")),
            ("Their reason", record.decision_reason),
            ("Decided from address", record.decision_address or ""),
            ("Decision's request", record.decision_request_id),
            ("Looks at Stripe since", f"{record.settle_attempts} so far" if record.settle_attempts else ""),
            ("Operation", str(record.pk)),
        ]
        return [(label, value) for label, value in facts if value]


def _call(call: dict[str, Any], invoice: Invoice | None) -> dict[str, Any]:
    """One request to Stripe, ready to be shown."""
    request_id = call.get("request_id") or ""
    return {
        **call,
        "sent": moment(_when(call.get("sent_at"))),
        "answered": moment(_when(call.get("answered_at")), "no answer"),
        "params_text": pretty(call.get("params") or {}),
        "result_text": pretty(masked(call.get("result"))) if call.get("result") else "",
        "log": dashboard(f"logs/{request_id}", invoice.livemode if invoice else False) if request_id else "",
    }


def _when(written: Any) -> Any:
    return parse_datetime(written) if isinstance(written, str) else None


def _states(record: Operation, invoice: Invoice | None) -> list[tuple[str, str, str]]:
    """The invoice before and after, as far as it was seen after; else there is nothing to compare."""
    if not record.after:
        return []
    currency = record.before.get("currency") or (invoice.currency if invoice else None)
    return [
        (wording.FACTS[key], wording.fact(key, record.before.get(key), currency), wording.fact(key, value, currency))
        for key, value in record.after.items()
        if key in wording.FACTS
    ]
