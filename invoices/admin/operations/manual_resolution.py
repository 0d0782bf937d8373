"""Manual resolution: a manager says what came of an operation whose outcome stayed unknown."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from invoices import request_origin
from invoices.admin.links import page_url
from invoices.operations import Refusal, manual_resolution


class OutcomeForm(forms.Form):
    """What came of an operation whose outcome stayed unknown, and how the manager knows."""

    took_effect = forms.ChoiceField(
        label=gettext_lazy("What came of it"),
        choices=(("yes", gettext_lazy("It took effect at Stripe")), ("no", gettext_lazy("It did not take effect"))),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Please choose one of the two.")},
    )
    reason = forms.CharField(
        label=gettext_lazy("How do you know?"),
        help_text=gettext_lazy("Stays in the journal, with your name."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": gettext_lazy("Please say how you know: it stays in the journal.")},
    )


def resolve(admin: Any, request: HttpRequest, pk: UUID) -> HttpResponse:
    """POST: a manager says what came of the operation. Sends nothing to Stripe."""
    operation = admin.record(str(pk)) if admin.has_view_permission(request) else None
    if operation is None or not request.user.has_perm(manual_resolution.PERMISSION):
        raise PermissionDenied
    form = OutcomeForm(request.POST)
    if form.is_valid():
        try:
            manual_resolution.resolve(
                operation.pk,
                by=request.user,  # type: ignore[arg-type]
                took_effect=form.cleaned_data["took_effect"] == "yes",
                reason=form.cleaned_data["reason"],
                **request_origin.origin(request),
            )
        except Refusal as refusal:
            # If the outcome is known by now, the page has no form beside which the refusal could be shown.
            if not manual_resolution.is_needed(admin.record(str(pk))):
                messages.warning(request, refusal.message)
                return redirect(page_url(operation))
            form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
        else:
            messages.success(request, _("Decided. It stands in the journal with your reason."))
            return redirect(page_url(operation))
    shown = admin.page_context(request, operation)
    if not shown.get("needs_manual_resolution"):
        messages.warning(request, _("Its outcome is known by now; nothing was changed."))
        return redirect(page_url(operation))
    return admin.show(request, admin.page_template, {**shown, "record": operation, "outcome_form": form}, status=400)
