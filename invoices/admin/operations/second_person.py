"""Second-person approval: the buttons Approve, Reject and Withdraw on the page of an operation that waits."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from invoices import request_origin, second_factor
from invoices.admin.base import RecordAdmin
from invoices.admin.links import page_url
from invoices.models import Operation
from invoices.operations import Refusal, decisions, requesters

VERDICTS = ("approve", "reject", "withdraw")


def decide(admin: RecordAdmin, request: HttpRequest, pk: UUID, verdict: str) -> HttpResponse:
    """POST: approves, rejects or withdraws the request, and then shows the operation's page."""
    if verdict not in VERDICTS:
        raise Http404
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None or not (verdict == "withdraw" or request.user.has_perm(requesters.PERMISSION)):
        raise PermissionDenied
    if verdict == "approve" and (asked := second_factor.needs_fresh(request, page_url(operation))):
        return asked
    try:
        _decide(request, operation, verdict)
    except Refusal as refusal:
        messages.warning(request, refusal.message)
    return redirect(page_url(operation))


def _decide(request: HttpRequest, operation: Operation, verdict: str) -> None:
    """Raises Refusal. An approval states the status and amounts that the page showed; it is refused if they have
    changed."""
    reason, who, origin = request.POST.get("reason", ""), request.user, request_origin.origin(request)
    if verdict == "approve":
        seen: dict[str, Any] = {"status": request.POST.get("seen_status") or None}
        if (remaining := _amount(request, "seen_remaining")) is not None:
            seen["amount_remaining"] = remaining
        amount = _amount(request, "seen_amount")
        decisions.approve(
            operation.pk,
            approver=who,  # type: ignore[arg-type]
            expected=seen,
            amount=amount,
            reason=reason,
            **origin,
        )
    elif verdict == "reject":
        decisions.reject(operation.pk, approver=who, reason=reason, **origin)  # type: ignore[arg-type]
    else:
        decisions.withdraw(operation.pk, actor=who, **origin)  # type: ignore[arg-type]


def _amount(request: HttpRequest, name: str) -> int | None:
    """An amount in minor units that a hidden field holds."""
    value = request.POST.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 20 else None
