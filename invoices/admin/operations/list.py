"""The list of operations: what people and services asked for, and what came of it; and the URLs of one operation."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from django.views.decorators.http import require_POST

from invoices import customer_names, operations, recorded, second_factor
from invoices.admin.base import RecordAdmin
from invoices.admin.filters import Choices, ColumnFilter, DayRangeFilter, EarlierFilter, TabFilter
from invoices.admin.formatting import DASH, ago, amount, badge
from invoices.admin.links import url_of
from invoices.admin.operations import contradictions, decisions, manual_resolution, page, second_person, wording
from invoices.admin.operations.person_filters import AskedByFilter, DecidedByFilter
from invoices.admin.operations.turn_filter import TurnFilter
from invoices.admin.sorting import Sort
from invoices.keyset import Order
from invoices.models import Contradiction, Invoice, Operation
from invoices.operations import ACTIONS, label_of
from invoices.record_tables import at_stake

MAX_INVOICES_SEARCHED = 50  # whose number is the searched one


class OperationStateFilter(TabFilter):
    """The state, `unfinished` (several states), `undecided`: those whose outcome a manager has to find out, and
    `contradicted`: those of which Stripe says otherwise, while nobody has resolved it."""

    title, parameter_name = gettext_lazy("outcome"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            ("unfinished", pgettext("operations", "Unfinished")),
            ("unknown", pgettext("operations", "Unknown")),
            ("undecided", pgettext("operations", "For a manager")),
            ("contradicted", pgettext("operations", "Contradicted")),
            ("processing", pgettext("operations", "Money under way")),
            ("awaiting_approval", pgettext("operations", "Awaiting approval")),
            ("succeeded", pgettext("operations", "Succeeded")),
            ("failed", pgettext("operations", "Failed")),
            ("refused", pgettext("operations", "Refused")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "unfinished":
            return queryset.filter(state__in=Operation.UNFINISHED)
        if self.value() == "undecided":
            return queryset.filter(pk__in=operations.manual_resolution.queue().order_by().values("pk"))
        if self.value() == "contradicted":
            found = Contradiction.objects.filter(operations.contradictions.unresolved())
            return queryset.filter(pk__in=found.values("operation"))
        return queryset.filter(state=self.value()) if self.value() else queryset


class ActionFilter(ColumnFilter):
    title, parameter_name = gettext_lazy("action"), "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(action.name, _(action.label)) for action in ACTIONS.values()]


class SourceFilter(ColumnFilter):
    title, parameter_name = gettext_lazy("way in"), "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in Operation.Source.choices]


@admin.register(Operation)
class OperationAdmin(RecordAdmin):
    page_template = "admin/operations/page.html"
    list_display = ("what", "invoice_", "customer_", "amount_", "state_", "outcome_", "who_", "why", "when")
    more_columns = ("decided_by_",)
    list_filter = (
        *(OperationStateFilter, ActionFilter, SourceFilter, AskedByFilter, DecidedByFilter, TurnFilter),
        DayRangeFilter.on("created_at", gettext_noop("asked")),
        EarlierFilter.on("created_at", gettext_noop("asked before")),
    )
    sorts: ClassVar = {"asked": Sort("when", Order("created_at"))}
    list_select_related = ("actor", "approver")
    ordering = ("-created_at",)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Invoice's number or id, cus_…, user name, operation id")
    empty_hint = gettext_noop("Nobody asked for such a thing yet. Actions are taken on an invoice's page.")

    def empty_words(self, chosen: dict[str, str | None]) -> str:
        """The two lists that wait for a manager say what they are about, and lead to each other and to the batches."""
        batches = reverse("admin:invoices_batch_changelist") + f"?turn={TurnFilter.MINE}"
        if chosen.get("state") == "undecided":
            words = _(
                "Outcomes that are not known stand here, for a manager to find out: there are none. What waits for a "
                'second person is in <a href="{}">My approvals</a> and <a href="{}">Batches</a>.'
            )
            return format_html(words, f"?turn={TurnFilter.MINE}", batches)
        if chosen.get("turn") == TurnFilter.MINE:
            words = _(
                "Requests on which you decide as the second person stand here: none waits. Many invoices at once are "
                'one request in <a href="{}">Batches</a>; outcomes that are not known are in '
                '<a href="{}">For a manager</a>.'
            )
            return format_html(words, batches, "?state=undecided")
        return super().empty_words(chosen)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operation]:
        number = Invoice.objects.filter(pk=OuterRef("invoice")).values("number")[:1]
        return super().get_queryset(request).annotate(invoice_number=Subquery(number))

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        if term.startswith("in_"):
            return queryset.filter(invoice=term)
        if term.startswith("cus_"):
            return queryset.filter(customer=term)
        if len(term) == 36 and term.count("-") == 4:
            return queryset.filter(pk=term) if self.record(term) else queryset.none()
        numbered = Invoice.objects.filter(number__in={term, term.upper()}).values_list("pk", flat=True)
        if ids := list(numbered[:MAX_INVOICES_SEARCHED]):
            return queryset.filter(invoice__in=ids)
        # The user first: the index for a person's operations, newest first, does not serve a join.
        return queryset.filter(actor__in=list(User.objects.filter(username=term)))

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<uuid:object_id>/result/", self.result_view, "result"),
            self.at("<uuid:object_id>/now/", self.now_view, "now"),
            self.at("<uuid:object_id>/decide/<slug:verdict>/", self.decide_view, "decide"),
            self.at("<uuid:object_id>/close/", self.resolve_view, "close"),
            self.at("<uuid:object_id>/contradictions/<int:number>/", self.contradiction_view, "contradiction"),
        ]

    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest, object_id: Any, verdict: str) -> HttpResponse:
        return second_person.decide(self, request, object_id, verdict)

    @method_decorator(require_POST)
    def now_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        return decisions.now(self, request, object_id)

    @method_decorator(require_POST)
    @second_factor.fresh(lambda self, object_id: url_of("operation", object_id))
    def resolve_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        return manual_resolution.resolve(self, request, object_id)

    @method_decorator(require_POST)
    @second_factor.fresh(lambda self, object_id, number: url_of("operation", object_id))
    def contradiction_view(self, request: HttpRequest, object_id: Any, number: int) -> HttpResponse:
        return contradictions.resolve(self, request, object_id, number)

    def result_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The part of a page that shows the outcome. The open page requests it every two seconds, and is told to reload
        when the operation has ended. (`admin_view` adds the headers that forbid caching.)"""
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = self.record(object_id)
        if operation is None or operation.state not in Operation.UNFINISHED:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return TemplateResponse(request, "admin/operations/parts/result.html", {"operation": operation})

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Without what stands on invoices and customers, for a person who may not see those."""
        hidden = {
            name
            for name, permission in (("customer_", "invoices.view_customer"), ("amount_", "invoices.view_invoice"))
            if not request.user.has_perm(permission)
        }
        return [name for name in super().get_list_display(request) if name not in hidden]

    def prepare(self, records: list[Any]) -> None:
        """The invoices and their customers' names as they are now, by a fixed number of queries."""
        columns = ("currency", "customer_id", "customer_name", "customer_email")
        found = Invoice.objects.only(*columns).in_bulk({record.invoice for record in records})
        names = customer_names.of_invoices(found.values())
        for record in records:
            record.invoice_now, record.customer_now = found.get(record.invoice), names.get(record.invoice, "")

    # --- the list -----------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("Action"))
    def what(self, operation: Operation) -> SafeString:
        return format_html('<span class="strong">{}</span>', _(label_of(operation.action)))

    @admin.display(description=gettext_lazy("Invoice"))
    def invoice_(self, operation: Any) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>', url_of("invoice", operation.invoice), operation.invoice_number or operation.invoice
        )

    @admin.display(description=gettext_lazy("Customer"))
    def customer_(self, operation: Any) -> SafeString:
        invoice = operation.invoice_now
        name = operation.customer_now or (invoice.customer_email if invoice else "")
        customer = operation.customer or (invoice.customer_id if invoice else "")
        if not customer:
            return format_html("{}", name or DASH)
        return format_html('<a href="{}">{}</a>', url_of("customer", customer), name or customer)

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, operation: Any) -> SafeString:
        """What is at stake, as it was when it was asked for."""
        invoice = operation.invoice_now
        return amount(at_stake(operation), operation.currency or (invoice.currency if invoice else None))

    @admin.display(description=gettext_lazy("Decided by"))
    def decided_by_(self, operation: Operation) -> str:
        approver = operation.approver
        return (approver.get_full_name() or approver.get_username()) if approver else DASH

    @admin.display(description=gettext_lazy("State"))
    def state_(self, operation: Operation) -> SafeString:
        return badge(wording.state(operation), wording.tone(operation))

    @admin.display(description=gettext_lazy("Outcome"))
    def outcome_(self, operation: Operation) -> str:
        return Truncator(wording.outcome(operation)).chars(80)

    @admin.display(description=gettext_lazy("Who"))
    def who_(self, operation: Operation) -> str:
        return wording.requested_by(operation)

    @admin.display(description=gettext_lazy("Why"))
    def why(self, operation: Operation) -> str:
        return Truncator(recorded.shown(operation.reason) or "–").chars(60)

    @admin.display(description=gettext_lazy("When"))
    def when(self, operation: Operation) -> SafeString:
        return ago(operation.created_at)

    # --- the page -----------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, record: Operation) -> dict[str, Any]:
        return page.context(request, record)
