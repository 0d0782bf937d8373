"""Contradictions on an operation's page: what Stripe says otherwise, and what a manager did about it."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from invoices.admin.links import page_url
from invoices.models import Contradiction, Operation
from invoices.operations import Refusal, contradictions

MAX_SHOWN = 20  # of one operation, or of the operations on one invoice


class ResolutionForm(forms.Form):
    """What a manager found and did about a contradiction."""

    reason = forms.CharField(
        label=gettext_lazy("What did you find, and what did you do?"),
        help_text=gettext_lazy("Such as: refunded the second charge. Stays beside the operation, with your name."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": gettext_lazy("Please say what you found and did: it stays beside the operation.")},
    )


def context(request: HttpRequest, operation: Operation) -> dict[str, Any]:
    """What the page shows of an operation's contradictions: the newest first, each with a form for those who may
    resolve it."""
    may = request.user.has_perm(contradictions.PERMISSION)
    found = operation.contradictions.select_related("resolved_by").order_by("-pk")[:MAX_SHOWN]
    rows = [(each, _form(each) if may and each.resolved_at is None else None) for each in found]
    return {"contradictions": rows}


def _form(contradiction: Contradiction, data: Any = None) -> ResolutionForm:
    return ResolutionForm(data, auto_id=f"contradiction-{contradiction.pk}-%s")


def contradictions_of(invoice: str) -> list[Contradiction]:
    """The contradictions of the operations on this invoice that nobody has resolved, the oldest first."""
    found = Contradiction.objects.filter(contradictions.unresolved(), operation__invoice=invoice)
    return list(found.select_related("operation").order_by("pk")[:MAX_SHOWN])


def resolve(admin: Any, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
    """POST: a manager notes what was done about a contradiction. Nothing is sent to Stripe."""
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None or not request.user.has_perm(contradictions.PERMISSION):
        raise PermissionDenied
    contradiction = operation.contradictions.filter(pk=number).first()
    if contradiction is None:
        raise Http404
    form = _form(contradiction, request.POST)
    if not form.is_valid():
        shown = admin.page_context(request, operation)
        rows = [(each, form if each == contradiction and own else own) for each, own in shown["contradictions"]]
        context = {**shown, "record": operation, "contradictions": rows}
        return admin.show(request, admin.page_template, context, status=400)
    try:
        contradictions.resolve(number, by=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]
    except Refusal as refusal:
        messages.warning(request, refusal.message)
    else:
        messages.success(request, _("Resolved. What you wrote stays beside the operation."))
    return redirect(page_url(operation))
