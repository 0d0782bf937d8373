"""Batches of operations: the list, and the page of one with what came of each invoice.

The page refreshes itself. On it a batch can be approved by a second person, confirmed again, cancelled, and downloaded
as CSV.
"""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, pgettext
from django.views.decorators.http import require_POST

from invoices import clock, money, operations, recorded, request_origin, second_factor
from invoices.admin import access
from invoices.admin.bank import evidence
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.filters import ChoiceFilter, Choices, EarlierFilter
from invoices.admin.formatting import ago, badge, moment, number
from invoices.admin.links import page_url
from invoices.admin.operations import batch_csv, wording
from invoices.admin.operations.turn_filter import BatchTurnFilter
from invoices.admin.paging import paging, with_query
from invoices.models import Batch, BatchItem, Operation
from invoices.operations import ACTIONS, label_of, requesters
from invoices.streaming import streamed

INVOICES_PER_PAGE = 50  # the CSV file has all of them
STATES_IN_ORDER = (  # of the tabs: what went wrong, what goes on (`waiting`: not begun), what has ended
    Operation.State.FAILED,
    Operation.State.REFUSED,
    Operation.State.UNKNOWN,
    Operation.State.PROCESSING,
    Operation.State.AWAITING_APPROVAL,
    Operation.State.RUNNING,
    Operation.State.READY,
    gettext_noop("waiting"),
    Operation.State.CANCELLED,
    Operation.State.EXPIRED,
    Operation.State.SUCCEEDED,
)


class BatchStateFilter(ChoiceFilter):
    title, parameter_name = gettext_noop("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("unfinished", pgettext("operations", "Unfinished"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(finished_at=None) if self.value() else queryset


@admin.register(Batch)
class BatchAdmin(RecordAdmin):
    page_template = "admin/operations/batch.html"
    refreshed_part = "admin/operations/parts/batch_rows.html"
    list_display = ("what", "invoices_", "state_", "who", "why", "when")
    list_filter = (BatchTurnFilter, BatchStateFilter, EarlierFilter.on("created_at", gettext_noop("asked before")))
    list_select_related = ("actor",)
    ordering = ("-created_at",)
    empty_hint = gettext_noop("Tick invoices in their list and choose an action: it becomes a batch.")

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<uuid:object_id>/cancel/", self.cancel_view, "cancel"),
            self.at("<uuid:object_id>/decide/<slug:verdict>/", self.decide_view, "decide"),
            self.at("<uuid:object_id>/confirm/", self.confirm_view, "confirm"),
            self.at("<uuid:object_id>/table.csv", self.csv_view, "table"),
        ]

    def page_context(self, request: HttpRequest, record: Batch) -> dict[str, Any]:
        counts = operations.batch.progress(record)
        is_over = bool(record.cancelled_at or record.finished_at)
        not_begun = 0 if is_over else counts["waiting"]
        unfinished = not_begun + sum(counts.get(state, 0) for state in Operation.UNFINISHED)
        total, action = len(record.items), ACTIONS[record.action]
        label, ended = _(action.label), total - unfinished
        state = request.GET.get("state", "")
        pages = paging(request, INVOICES_PER_PAGE, counts.get(state, 0) if state else total)
        items = _items(record, state, pages.begin)
        return {
            "title": ngettext("{action}: {number} invoice", "{action}: {number} invoices", total).format(
                action=label, number=number(total)
            ),
            "batch": record,
            "label": label,
            "total": total,
            "counts": [(name, count, with_query(request, state=name, p=None)) for name, count in _sorted(counts)],
            "state": state,
            "all_states": with_query(request, state=None, p=None),
            "is_over": is_over,
            "in_progress": unfinished > 0 and not record.awaiting_approval and not _is_outlived(record),
            "finished_in_words": _("{ended} of {total} finished").format(ended=number(ended), total=number(total)),
            "percent_ended": round(100 * ended / total) if total else 100,
            "rows": list(batch_csv.rows(record, items)),
            "pages": pages,
            "facts": self.facts(record),
            "may_cancel": bool(unfinished) and not is_over and access.may(request, action),
            **_decision(request, record, is_over=is_over),
            **evidence.of_batch(request, record, [item.operation_id(record.pk) for item in items]),
        }

    @method_decorator(require_POST)
    def cancel_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        batch = self.record(object_id) if self.has_view_permission(request) else None
        if batch is None or not access.may(request, ACTIONS[batch.action]):
            raise PermissionDenied
        if operations.batch.cancel(batch, request.user):  # type: ignore[arg-type]
            messages.success(request, _("Cancelled: what has not begun is not begun any more."))
        else:
            messages.info(request, _("It had ended already."))
        return redirect(page_url(batch))

    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest, object_id: Any, verdict: str) -> HttpResponse:
        """A second person approves or rejects the whole batch."""
        batch = self.record(object_id) if self.has_view_permission(request) else None
        if batch is None or verdict not in ("approve", "reject") or not request.user.has_perm(requesters.PERMISSION):
            raise PermissionDenied
        if verdict == "approve" and (asked := second_factor.needs_fresh(request, page_url(batch))):
            return asked
        decide = operations.batch.approve if verdict == "approve" else operations.batch.reject
        reason, origin = request.POST.get("reason", ""), request_origin.origin(request)
        try:
            decide(batch, approver=request.user, reason=reason, **origin)  # type: ignore[arg-type]
        except operations.Refusal as refusal:
            messages.warning(request, refusal.message)
        else:
            messages.success(
                request,
                _("Approved: it begins now.") if verdict == "approve" else _("Rejected. Nothing was sent."),
            )
        return redirect(page_url(batch))

    @method_decorator(require_POST)
    def confirm_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The one who asked confirms a batch that has outlived its life."""
        batch = self.record(object_id) if self.has_view_permission(request) else None
        if batch is None or not access.may(request, ACTIONS[batch.action]):
            raise PermissionDenied
        try:
            if operations.batch.confirm_again(batch, request.user):  # type: ignore[arg-type]
                messages.success(request, _("Confirmed: what has not begun goes on."))
            else:
                messages.info(request, _("There is nothing to confirm."))
        except operations.Refusal as refusal:
            messages.warning(request, refusal.message)
        return redirect(page_url(batch))

    def csv_view(self, request: HttpRequest, object_id: Any) -> StreamingHttpResponse:
        batch = self.record(object_id) if self.has_view_permission(request) else None
        if batch is None:
            raise PermissionDenied
        return streamed(
            batch_csv.lines(batch), "text/csv", f"{batch.action}-{timezone.localtime(batch.created_at):%Y%m%d-%H%M}.csv"
        )

    def facts(self, record: Batch) -> Facts:
        facts: Facts = [
            (_("Who"), record.actor),
            (_("With the API token"), record.token or ""),
            (_("Why"), recorded.shown(record.reason)),
            (_("Ticket"), record.ticket),
            *((label, value) for label, value in wording.parameters(record) if label != _("Amount")),
            (_("Asked"), moment(record.created_at)),
            (_("Confirmed"), moment(record.confirmed_at, "")),
            (_("Approved or rejected by"), record.approver or ""),
            (_("Their reason"), recorded.shown(record.decision_reason)),
            (_("Ended"), moment(record.finished_at, "")),
            (_("Cancelled"), moment(record.cancelled_at, "")),
            (_("Cancelled by"), record.cancelled_by or ""),
        ]
        return [(label, value) for label, value in facts if value]

    @admin.display(description=gettext_lazy("Action"))
    def what(self, batch: Batch) -> SafeString:
        return format_html('<span class="strong">{}</span>', _(label_of(batch.action)))

    @admin.display(description=gettext_lazy("Invoices"))
    def invoices_(self, batch: Batch) -> int:
        return len(batch.items)

    @admin.display(description=gettext_lazy("State"))
    def state_(self, batch: Batch) -> SafeString:
        if batch.cancelled_at:
            return badge("cancelled", "grey")
        if batch.awaiting_approval:
            return badge("awaiting approval", "amber")
        if not batch.finished_at and _is_outlived(batch):
            return badge(gettext_noop("to be confirmed again"), "amber")
        return badge("finished") if batch.finished_at else badge("running")

    @admin.display(description=gettext_lazy("Who"))
    def who(self, batch: Batch) -> str:
        return str(batch.actor)

    @admin.display(description=gettext_lazy("Reason"))
    def why(self, batch: Batch) -> str:
        return recorded.shown(batch.reason)

    @admin.display(description=gettext_lazy("When"))
    def when(self, batch: Batch) -> SafeString:
        return ago(batch.created_at)


def _is_outlived(batch: Batch) -> bool:
    return batch.must_be_confirmed_at < clock.now()


def _decision(request: HttpRequest, batch: Batch, *, is_over: bool) -> dict[str, Any]:
    """What the batch waits for, and whether this person can give it."""
    if is_over:
        return {}
    own = batch.actor_id == request.user.pk
    if batch.awaiting_approval:
        refusal = requesters.decision_refusal(batch, request.user)  # type: ignore[arg-type]
        return {
            "waits": True,
            "own": own,
            "may_decide": refusal is None,
            "refusal": refusal.message if refusal else "",
            "need": operations.batch.why_it_waits(batch),
            "sums": [money.text(amount, currency) for currency, amount in batch.sums.items()],
            "undo": ACTIONS[batch.action].undoing(batch.params),
        }
    return {"outlived": _is_outlived(batch), "own": own}


def _sorted(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(state, counts[state]) for state in STATES_IN_ORDER if counts.get(state)]


def _items(batch: Batch, state: str, begin: int) -> list[BatchItem]:
    """One page of the batch's items; of those in one state, if one is chosen."""
    if not state:
        return batch.items[begin : begin + INVOICES_PER_PAGE]
    made = Operation.objects.filter(batch=batch)
    if state == "waiting":
        begun = set(made.values_list("pk", flat=True))
        left = [item for item in batch.items if item.operation_id(batch.pk) not in begun]
        return left[begin : begin + INVOICES_PER_PAGE]
    chosen = made.filter(state=state).order_by("created_at", "id").values_list("pk", flat=True)
    items = {item.operation_id(batch.pk): item for item in batch.items}
    return [items[pk] for pk in chosen[begin : begin + INVOICES_PER_PAGE] if pk in items]
