"""The home page: what waits for whom, the charts, and what this person did last. How the desk does is in health.py.

Each of its queries reads a limited number of rows; what is many was counted before (`invoices.tallies`).
"""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from invoices import recorded, sign_ins, tallies, thresholds
from invoices.admin import charts, queues
from invoices.admin.invoices import wording as invoice_wording
from invoices.models import Invoice, Operation

OPERATIONS_SHOWN = 8  # in each of the lists


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the home page (admin/index.html); the theme calls it, see settings.UNFOLD."""
    may = request.user.has_perm
    reading = queues.Reading(request.user)
    entries = queues.entries(reading)
    last_sign_in = sign_ins.last_sign_in(request.user, before_this=True)
    oversees = may("invoices.view_operation") and reading.may(*queues.OVERSEE)
    return {
        **context,
        "title": _("Home"),
        "counted": _counted(reading) if may("invoices.view_invoice") else None,
        "queues": [entry for entry in entries if not entry.is_empty],
        "empty_queues": [entry for entry in entries if entry.is_empty],
        "charts": charts.charts(reading),
        "last_sign_in": last_sign_in,
        "last_sign_in_detail": recorded.shown(last_sign_in.detail) if last_sign_in else "",
        "may_search": may("invoices.view_invoice"),
        "own_operations": _own_operations(request) if may("invoices.view_operation") else [],
        "contradictions": _unresolved_contradictions(reading) if oversees else [],
    }


def _counted(reading: queues.Reading) -> dict[str, Any]:
    """How old the numbers are; `late`: so old that it matters."""
    found = tallies.state()
    late = found.counted_at is None or reading.now - found.counted_at > thresholds.TALLIES_LATE
    return {"at": found.counted_at, "late": late, "is_filled": found.is_filled}


def _unresolved_contradictions(reading: queues.Reading) -> list[dict[str, Any]]:
    """What Stripe says otherwise than the journal, the oldest first."""
    rows = reading.contradictions[:OPERATIONS_SHOWN]
    named = _with_invoice_numbers([row.operation for row in rows])
    return [
        {**each, "contradiction": row, "message": recorded.shown(row.message)}
        for row, each in zip(rows, named, strict=True)
    ]


def _own_operations(request: HttpRequest) -> list[dict[str, Any]]:
    """The newest operations that this person requested."""
    found = Operation.objects.filter(actor_id=request.user.pk).order_by("-created_at")
    return _with_invoice_numbers(list(found[:OPERATIONS_SHOWN]))


def _with_invoice_numbers(operations: list[Operation]) -> list[dict[str, Any]]:
    """Each operation with the number of its invoice, or the invoice's id if we do not have it."""
    invoices = Invoice.objects.filter(pk__in=[operation.invoice for operation in operations]).defer("data")
    numbers = {invoice.pk: invoice_wording.number(invoice) for invoice in invoices}
    return [
        {"operation": operation, "number": numbers.get(operation.invoice, operation.invoice)}
        for operation in operations
    ]
