"""Batches: what became of each invoice, refreshing itself; to be cancelled, and to be taken along as a table."""

import csv
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from invoices import money, operations
from invoices.admin import access, wording
from invoices.admin.base import Facts, RecordAdmin, page_url, paging, with_query
from invoices.admin.formatting import ago, badge, moment
from invoices.models import Batch, Invoice, Operation
from invoices.operations import ACTIONS

SHOWN = 50  # rows on a page; the table that one can take along has all
COLUMNS = "invoice number customer amount state code decline_code message advice operation".split()
ORDER = (
    Operation.State.FAILED,
    Operation.State.REFUSED,
    Operation.State.UNKNOWN,
    Operation.State.AWAITING_APPROVAL,
    Operation.State.RUNNING,
    Operation.State.READY,
    "waiting",
    Operation.State.CANCELLED,
    Operation.State.EXPIRED,
    Operation.State.SUCCEEDED,
)


@admin.register(Batch)
class BatchAdmin(RecordAdmin):
    page_template = "admin/invoices/batch.html"
    list_display = ("what", "invoices_", "state_", "who", "reason", "when")
    list_select_related = ("actor",)
    ordering = ("-created_at",)
    empty_hint = "Tick invoices in their list and choose an action: it becomes a batch."

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<uuid:object_id>/cancel/", self.cancel_view, "cancel"),
            self.at("<uuid:object_id>/table.csv", self.table_view, "table"),
        ]

    def page_context(self, request: HttpRequest, record: Batch) -> dict[str, Any]:
        counts = operations.batch.progress(record)
        over = bool(record.cancelled_at or record.finished_at)
        left = 0 if over else counts["waiting"]
        unfinished = left + sum(counts.get(state, 0) for state in Operation.UNFINISHED)
        total, spec = len(record.items), ACTIONS[record.action]
        state = request.GET.get("state", "")
        shown = counts.get(state, 0) if state else total
        pages = paging(request, SHOWN, shown)
        return {
            "title": f"{spec.label}: {total:,} invoice{'' if total == 1 else 's'}",
            "batch": record,
            "spec": spec,
            "total": total,
            "counts": [(name, number, with_query(request, state=name, p=None)) for name, number in _sorted(counts)],
            "state": state,
            "everything": with_query(request, state=None, p=None),
            "here": request.get_full_path(),
            "over": over,
            "unfinished": unfinished,
            "ended": total - unfinished,
            "share": round(100 * (total - unfinished) / total) if total else 100,
            "rows": list(_rows(record, _items(record, state, pages.begin))),
            "pages": pages,
            "facts": self.facts(record),
            "may_cancel": bool(left) and access.may(request, spec),
        }

    def show(self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> Any:
        """The page, or only the part of it that refreshes itself."""
        if template == self.page_template and request.headers.get("HX-Request") == "true":
            if not context["unfinished"]:
                return HttpResponse(headers={"HX-Refresh": "true"})
            template = "admin/invoices/batch_rows.html"
        return super().show(request, template, context, status)

    @method_decorator(require_POST)
    def cancel_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        batch = self.record(object_id) if self.has_view_permission(request) else None
        if batch is None or not access.may(request, ACTIONS[batch.action]):
            raise PermissionDenied
        if operations.batch.cancel(batch, request.user):  # type: ignore[arg-type]
            messages.success(request, "Cancelled: what has not begun is not begun any more.")
        else:
            messages.info(request, "It had ended already.")
        return redirect(page_url(batch))

    def table_view(self, request: HttpRequest, object_id: Any) -> StreamingHttpResponse:
        batch = self.record(object_id) if self.has_view_permission(request) else None
        if batch is None:
            raise PermissionDenied
        headers = {"Content-Disposition": f'attachment; filename="{batch.action}-{batch.created_at:%Y%m%d-%H%M}.csv"'}
        return StreamingHttpResponse(_table(batch), content_type="text/csv; charset=utf-8", headers=headers)

    def facts(self, record: Batch) -> Facts:
        facts: Facts = [
            ("Who", record.actor),
            ("Why", record.reason),
            ("Ticket", record.ticket),
            *((label, value) for label, value in wording.told(record) if label != "Amount"),
            ("Began", moment(record.created_at)),
            ("Ended", moment(record.finished_at, "")),
            ("Cancelled", moment(record.cancelled_at, "")),
            ("Cancelled by", record.cancelled_by or ""),
        ]
        return [(label, value) for label, value in facts if value]

    @admin.display(description="Action")
    def what(self, batch: Batch) -> SafeString:
        return format_html('<span class="strong">{}</span>', batch.get_action_display())

    @admin.display(description="Invoices")
    def invoices_(self, batch: Batch) -> int:
        return len(batch.items)

    @admin.display(description="State")
    def state_(self, batch: Batch) -> SafeString:
        if batch.cancelled_at:
            return badge("cancelled", "grey")
        return badge("finished") if batch.finished_at else badge("running")

    @admin.display(description="Who")
    def who(self, batch: Batch) -> str:
        return str(batch.actor)

    @admin.display(description="When")
    def when(self, batch: Batch) -> SafeString:
        return ago(batch.created_at)


def _sorted(counts: dict[str, int]) -> list[tuple[str, int]]:
    """What is to be looked at first: what went wrong, then what goes on, then what is done."""
    return [(state, counts[state]) for state in ORDER if counts.get(state)]


def _items(batch: Batch, state: str, begin: int) -> list[Any]:
    """A page of the batch's invoices, of those in one state where one is chosen."""
    if not state:
        return batch.items[begin : begin + SHOWN]
    made = Operation.objects.filter(batch=batch)
    if state == "waiting":
        begun = set(made.values_list("invoice", flat=True))
        return [item for item in batch.items if item[0] not in begun][begin : begin + SHOWN]
    chosen = made.filter(state=state).order_by("created_at", "id").values_list("invoice", flat=True)
    ids = list(chosen[begin : begin + SHOWN])
    items = {item[0]: item for item in batch.items}
    return [items.get(pk, [pk, None, None]) for pk in ids]


def _rows(batch: Batch, items: list[Any]) -> Iterator[dict[str, Any]]:
    pks = [item[0] for item in items]
    invoices = Invoice.objects.in_bulk(pks)
    made = {op.invoice: op for op in Operation.objects.filter(batch=batch, invoice__in=pks)}
    for pk, _, remaining in items:
        invoice = invoices.get(pk)
        yield {
            "pk": pk,
            "number": wording.number(invoice) if invoice else pk,
            "customer": wording.customer(invoice) if invoice else "",
            "amount": money.text(remaining, invoice.currency) if invoice else "–",
            "operation": made.get(pk),
        }


class _Line:
    def write(self, line: str) -> str:
        return line


def _table(batch: Batch) -> Iterator[str]:
    """Row by row, so that a long batch needs no more memory than a short one."""
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    for begin in range(0, len(batch.items), SHOWN):
        for row in _rows(batch, batch.items[begin : begin + SHOWN]):
            yield writer.writerow([_cell(value) for value in _values(batch, row)])


def _values(batch: Batch, row: dict[str, Any]) -> list[Any]:
    operation, known = row["operation"], [row["pk"], row["number"], row["customer"], row["amount"]]
    if operation is None:
        return [*known, "not begun" if batch.cancelled_at or batch.finished_at else "waiting", "", "", "", "", ""]
    said = (operation.code, operation.decline_code, wording.outcome(operation), operation.advice, operation.pk)
    return [*known, operation.state, *said]


def _cell(value: Any) -> str:
    """As text, even where a spreadsheet would take it for a formula."""
    text = str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else text
