"""Four eyes on an operation's page: approve, reject, withdraw. Who may is for `operations.approval` to say."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from invoices.admin.base import RecordAdmin, page_url
from invoices.models import Invoice, Operation
from invoices.operations import ACTIONS, Refusal, approval

VERDICTS = ("approve", "reject", "withdraw")


def context(request: HttpRequest, operation: Operation, invoice: Invoice | None) -> dict[str, Any]:
    """What the page shows of a request that waits: what it would do now, and who may decide."""
    if operation.state != Operation.State.AWAITING_APPROVAL or invoice is None:
        return {}
    own = operation.actor_id == request.user.pk
    return {
        "waits": True,
        "own": own,
        "may_decide": not own and request.user.has_perm(approval.PERMISSION),
        "effects": ACTIONS[operation.action].effects(invoice, operation.params),
        "undo": ACTIONS[operation.action].undo,
        "changes": _changes(operation, invoice),
        "seen": {"status": invoice.status, "amount_remaining": invoice.amount_remaining},
    }


def _changes(operation: Operation, invoice: Invoice) -> list[str]:
    """What is no longer as it was when it was asked for."""
    return [
        f"{name.replace('_', ' ')}: {was} → {getattr(invoice, name)}"
        for name, was in operation.before.items()
        if name in {"status", "amount_due", "amount_paid", "amount_remaining"} and getattr(invoice, name) != was
    ]


def decide(admin: RecordAdmin, request: HttpRequest, pk: UUID, verdict: str) -> HttpResponse:
    """POST: the decision, then the operation's page with what came of it."""
    if verdict not in VERDICTS:
        raise Http404
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None:
        raise PermissionDenied
    try:
        _decide(request, operation, verdict)
    except Refusal as refusal:
        messages.warning(request, refusal.message)
    return redirect(page_url(operation))


def _decide(request: HttpRequest, operation: Operation, verdict: str) -> None:
    reason, person = request.POST.get("reason", ""), request.user
    if verdict == "approve":
        remaining = request.POST.get("seen_remaining", "")
        seen = {"status": request.POST.get("seen_status") or None}
        if remaining.lstrip("-").isdecimal():
            seen["amount_remaining"] = int(remaining)  # type: ignore[assignment]
        approval.approve(operation.pk, approver=person, expected=seen, reason=reason)  # type: ignore[arg-type]
    elif verdict == "reject":
        approval.reject(operation.pk, approver=person, reason=reason)  # type: ignore[arg-type]
    else:
        approval.withdraw(operation.pk, actor=person)  # type: ignore[arg-type]
