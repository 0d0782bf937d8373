"""An action on many invoices, ticked or all that a filter matches: first what it would do, then, with a reason and the
typed number, one batch."""

import uuid
from typing import Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from invoices import intake, operations
from invoices.admin import access, dry_run
from invoices.admin.actions import denied
from invoices.admin.base import RecordAdmin, page_url
from invoices.admin.forms import ReasonForm, add_parameters, clean_parameters
from invoices.models import Invoice
from invoices.operations import ACTIONS, Refusal, Spec, brake
from invoices.operations.batch import MOST

NAMES = ("pay", "void", "mark_uncollectible", "attach_out_of_band_payment")


class BulkForm(ReasonForm):
    batch = forms.UUIDField(widget=forms.HiddenInput)
    chosen = forms.CharField(required=False, widget=forms.HiddenInput)  # the ticked ones; empty: all that match
    seen = forms.CharField(required=False, widget=forms.HiddenInput)  # those that it will be done to, as they were
    number = forms.CharField(
        label="Number of invoices",
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={"required": "Please type how many invoices it will be done to."},
    )

    def __init__(self, spec: Spec, data: Any = None, initial: Any = None) -> None:
        super().__init__(data, initial={"batch": uuid.uuid4(), **(initial or {})})
        self.spec = spec
        if spec.name != "pay":  # which payment method to take is a question about one invoice
            add_parameters(self, spec, skip="money")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned["params"] = clean_parameters(self, self.spec, "usd")
        cleaned["invoices"] = list(dry_run.read(cleaned.get("seen", "")))
        typed = "".join(cleaned.get("number", "").split()).replace(",", "")
        if "number" in cleaned and typed != str(len(cleaned["invoices"])):
            self.add_error("number", forms.ValidationError(_count(len(cleaned["invoices"])), code="count"))
        return cleaned

    def main(self) -> list[forms.BoundField]:
        return [self[parameter.name] for parameter in self.spec.parameters if parameter.name in self.fields]


def start(admin: RecordAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """The changelist's action on what is ticked: shows what it would do, and does nothing."""
    spec = ACTIONS[name]
    if not access.may(request, spec):
        return denied(admin, request, spec)
    return _ask(admin, request, spec, ids=request.POST.getlist("_selected_action"))


def act(admin: RecordAdmin, request: HttpRequest, action: str) -> HttpResponse:
    """GET shows what would be done to all that the list's filters match; POST journals the batch. The workers do the
    rest, one operation an invoice."""
    spec = ACTIONS.get(action)
    if spec is None or action not in NAMES:
        raise Http404
    if not access.may(request, spec):
        return denied(admin, request, spec)
    if request.method != "POST":
        return _ask(admin, request, spec)
    form = BulkForm(spec, request.POST)
    ids = [pk for pk in request.POST.get("chosen", "").split(",") if pk]
    if not form.is_valid():
        return _ask(admin, request, spec, form, ids, status=400)
    try:
        batch = operations.batch.start(
            spec.name,
            form.cleaned_data["invoices"],
            actor=request.user,  # type: ignore[arg-type]
            reason=form.cleaned_data["reason"],
            batch_id=form.cleaned_data["batch"],
            params=form.cleaned_data["params"],
            ticket=form.cleaned_data["ticket"],
            **access.origin(request),
        )
    except Refusal as refusal:
        return _ask(admin, request, spec, form, ids, refusal=refusal, status=refusal.status)
    intake.wake("run_batches")
    return redirect(page_url(batch))


def narrowed(request: HttpRequest) -> bool:
    """Whether the list's address says more than how to page it."""
    return any(value for name, value in request.GET.items() if name not in {"p", "o", "e", "all"})


def matching(admin: Any, request: HttpRequest) -> QuerySet[Invoice] | None:
    """What the list shows with these filters, all pages of it; None without one: nobody means every invoice."""
    if not narrowed(request):
        return None
    try:
        return admin.get_changelist_instance(request).queryset
    except IncorrectLookupParameters:
        return None


def _ask(
    admin: Any,
    request: HttpRequest,
    spec: Spec,
    form: BulkForm | None = None,
    ids: list[str] | None = None,
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    """The dry run and the form. A form that comes back is held against the invoices as they are by now."""
    everything = reverse("admin:invoices_invoice_changelist")
    back = f"{everything}?{request.GET.urlencode()}" if request.GET else everything
    found = Invoice.objects.filter(pk__in=ids[:MOST]) if ids else matching(admin, request)
    if found is None:
        return redirect(everything)
    run = dry_run.of(spec, found)
    fresh = {"chosen": ",".join(ids or []), "seen": ";".join(run.items)}
    if form is None:
        form = BulkForm(spec, initial=fresh)
    else:
        form.data = {**form.data.dict(), **fresh}  # type: ignore[attr-defined]
        if form.has_error("number", "count"):
            form.errors["number"] = form.error_class([_count(run.number)])
    context = {
        "title": f"{spec.label}: {run.number:,} of {run.matched:,} invoices",
        "spec": spec,
        "form": form,
        "run": run,
        "ticked": bool(ids),
        "most": MOST,
        "refusal": refusal,
        "paused": brake.refusal(spec.name),
        "action": request.get_full_path() if request.path.endswith(f"/bulk/{spec.name}/") else _door(spec),
        "back": back,
    }
    return admin.show(request, "admin/invoices/bulk_confirm.html", context, status=status)


def _count(number: int) -> str:
    return f"Please type {number}: it will be done to so many invoices."


def _door(spec: Spec) -> str:
    return reverse("admin:invoices_invoice_bulk", args=[spec.name])
