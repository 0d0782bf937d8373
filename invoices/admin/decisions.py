"""Decisions on an operation's page: four eyes on a request that waits, and a manager's word on what stays unknown. Who
may is for `operations` to say. Both see the invoice as Stripe has it now."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from invoices import gateway, live
from invoices.admin import access, wording
from invoices.admin.base import RecordAdmin, page_url
from invoices.admin.invoice_page import InvoicePage
from invoices.models import Invoice, Operation
from invoices.operations import ACTIONS, Refusal, approval, needs_person, person

VERDICTS = ("approve", "reject", "withdraw")
SHOWN = ("status", "amount_due", "amount_paid", "amount_remaining")


class OutcomeForm(forms.Form):
    """What came of an operation that could not be settled, and how one knows."""

    took_effect = forms.ChoiceField(
        label="What came of it",
        choices=(("yes", "It took effect at Stripe"), ("no", "It did not take effect")),
        widget=forms.RadioSelect,
        error_messages={"required": "Please choose one of the two."},
    )
    reason = forms.CharField(
        label="How do you know?",
        help_text="Stays in the journal, with your name.",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Please say how you know: it stays in the journal."},
    )


@dataclass
class Look:
    """The invoice when something was asked for, and now. `read` once Stripe was asked; `note` if it did not answer."""

    operation: Operation
    invoice: Invoice | None
    read: bool = False
    note: str = ""

    @property
    def rows(self) -> list[tuple[str, str, str, bool]]:
        before = self.operation.before
        now = {name: getattr(self.invoice, name) for name in SHOWN} if self.invoice else {}
        currency = before.get("currency") or (self.invoice.currency if self.invoice else None)
        return [
            (
                wording.FACTS[name],
                wording.fact(name, before.get(name), currency),
                wording.fact(name, now.get(name), currency),
                before.get(name) != now.get(name),
            )
            for name in SHOWN
            if before or now
        ]

    @property
    def changes(self) -> list[str]:
        return wording.changes(self.operation.before, self.invoice) if self.invoice else []

    @property
    def effects(self) -> list[str]:
        if self.invoice is None:
            return []
        return ACTIONS[self.operation.action].effects(self.invoice, self.operation.params)

    @property
    def impossible(self) -> str:
        """Why it can no longer be done, if so."""
        if self.invoice is None:
            return ""
        payments = list(self.invoice.payments.all())
        refusal = ACTIONS[self.operation.action].refusal(self.invoice, payments, self.operation.params)
        return refusal.message if refusal else ""


def context(request: HttpRequest, operation: Operation, invoice: Invoice | None) -> dict[str, Any]:
    """What the page shows of a request that waits, or of an outcome that stays unknown, and who may decide."""
    if operation.state == Operation.State.AWAITING_APPROVAL:
        own = operation.actor_id == request.user.pk
        return {
            "waits": True,
            "own": own,
            "may_decide": not own and request.user.has_perm(approval.PERMISSION),
            "undo": ACTIONS[operation.action].undo,
            "look": Look(operation, invoice),
        }
    if needs_person(operation):
        may = request.user.has_perm(person.PERMISSION)
        return {
            "undecided": True,
            "outcome_form": OutcomeForm() if may else None,
            "look": Look(operation, invoice),
            "page": InvoicePage(invoice, request) if invoice else None,
        }
    return {}


def now(admin: RecordAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """POST, by the open page: reads the invoice from Stripe, and shows it beside what it was."""
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None:
        raise PermissionDenied
    note = ""
    try:
        live.read_now("invoice", operation.invoice)
    except gateway.GatewayError:
        note = "Stripe does not answer just now."
    if request.headers.get("HX-Request") != "true":
        return redirect(page_url(operation))
    invoice = Invoice.objects.filter(pk=operation.invoice).first()
    shown = context(request, operation, invoice)
    if not shown:
        return HttpResponse(headers={"HX-Refresh": "true"})
    shown |= {"operation": operation, "invoice": invoice, "look": Look(operation, invoice, read=not note, note=note)}
    return TemplateResponse(request, "admin/invoices/parts/now.html", shown)


# --- four eyes ----------------------------------------------------------------------------------------------------


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
    reason, who, origin = request.POST.get("reason", ""), request.user, access.origin(request)
    if verdict == "approve":
        remaining = request.POST.get("seen_remaining", "")
        seen = {"status": request.POST.get("seen_status") or None}
        if remaining.lstrip("-").isdecimal():
            seen["amount_remaining"] = int(remaining)  # type: ignore[assignment]
        approval.approve(operation.pk, approver=who, expected=seen, reason=reason, **origin)  # type: ignore[arg-type]
    elif verdict == "reject":
        approval.reject(operation.pk, approver=who, reason=reason, **origin)  # type: ignore[arg-type]
    else:
        approval.withdraw(operation.pk, actor=who, **origin)  # type: ignore[arg-type]


# --- what stays unknown -------------------------------------------------------------------------------------------


def close(admin: Any, request: HttpRequest, pk: UUID) -> HttpResponse:
    """POST: a manager says what came of it. Sends nothing to Stripe."""
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None or not request.user.has_perm(person.PERMISSION):
        raise PermissionDenied
    form = OutcomeForm(request.POST)
    if form.is_valid():
        try:
            person.decide(
                operation.pk,
                by=request.user,  # type: ignore[arg-type]
                took_effect=form.cleaned_data["took_effect"] == "yes",
                reason=form.cleaned_data["reason"],
                **access.origin(request),
            )
        except Refusal as refusal:
            if not needs_person(admin.record(str(pk))):  # then there is no form left to say it in
                messages.warning(request, refusal.message)
                return redirect(page_url(operation))
            form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
        else:
            messages.success(request, "Decided. It stands in the journal with your reason.")
            return redirect(page_url(operation))
    shown = admin.page_context(request, operation)
    if not shown.get("undecided"):
        messages.warning(request, "Its outcome is known by now; nothing was changed.")
        return redirect(page_url(operation))
    return admin.show(request, admin.page_template, {**shown, "record": operation, "outcome_form": form}, status=400)
