"""The decision that an operation waits for, on its page; shown with the invoice as Stripe has it now.

A request that waits for approval is decided by a second person (second_person.py). An operation whose outcome stayed
unknown is decided by a manager (manual_resolution.py). The rules who may decide are in `invoices.operations`.
"""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from invoices import gateway, scheduled_refetches
from invoices.admin.base import RecordAdmin
from invoices.admin.invoices import refresh
from invoices.admin.invoices.page import InvoicePage
from invoices.admin.links import page_url
from invoices.admin.operations import wording
from invoices.admin.operations.manual_resolution import OutcomeForm
from invoices.admin.operations.then_and_now import InvoiceThenAndNow
from invoices.models import Invoice, Operation
from invoices.operations import ACTIONS, manual_resolution, requesters
from invoices.operations import decisions as operation_decisions


def context(request: HttpRequest, operation: Operation, invoice: Invoice | None) -> dict[str, Any]:
    """What the page shows of a request that waits or of an outcome that stays unknown, and whether this person may
    decide. Empty if there is nothing to decide."""
    if operation.state == Operation.State.AWAITING_APPROVAL:
        refusal = requesters.decision_refusal(operation, request.user)  # type: ignore[arg-type]
        return {
            "waits": True,
            "own": operation.actor_id == request.user.pk,
            "may_decide": refusal is None,
            "refusal": refusal.message if refusal else "",
            "asked_through": wording.asked_through(operation),
            "undo": ACTIONS[operation.action].undoing(operation.params),
            "then_and_now": InvoiceThenAndNow(operation, invoice),
            "withdraws": operation_decisions.withdrawn_for_charge(operation).select_related("actor"),
        }
    if manual_resolution.is_needed(operation):
        may = request.user.has_perm(manual_resolution.PERMISSION)
        return {
            "needs_manual_resolution": True,
            "outcome_form": OutcomeForm() if may else None,
            "then_and_now": InvoiceThenAndNow(operation, invoice),
            "page": InvoicePage(invoice, request) if invoice else None,
        }
    if operation.state == Operation.State.READY:
        may = requesters.decision_refusal(operation, request.user) is None  # type: ignore[arg-type]
        return {"stoppable": True, "own": operation.actor_id == request.user.pk, "may_decide": may}
    return {}


def now(admin: RecordAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """POST, by the open page: reads the invoice and its PaymentIntents from Stripe, and shows it beside its state when
    the operation was requested."""
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None:
        raise PermissionDenied
    note = ""
    try:
        refresh.read(operation.invoice)
    except gateway.GatewayError:
        scheduled_refetches.schedule([("invoice", operation.invoice)], wanted=True)
        note = _("Stripe does not answer just now.")
    if request.headers.get("HX-Request") != "true":
        return redirect(page_url(operation))
    invoice = Invoice.objects.filter(pk=operation.invoice).first()
    shown = context(request, operation, invoice)
    if not shown:
        return HttpResponse(headers={"HX-Refresh": "true"})
    shown |= {
        "operation": operation,
        "invoice": invoice,
        "then_and_now": InvoiceThenAndNow(operation, invoice, read=not note, note=note),
    }
    return TemplateResponse(request, "admin/operations/parts/invoice_now.html", shown)
