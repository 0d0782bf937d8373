"""An action on the ticked invoices: one page that says what will and what will not be done and why, then one batch."""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from invoices import intake, money, operations
from invoices.admin import access, wording
from invoices.admin.actions import denied
from invoices.admin.base import RecordAdmin, page_url
from invoices.admin.forms import ReasonForm, add_parameters, clean_parameters
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.operations import ACTIONS, Invalid, Refusal, Spec, approval

NAMES = ("pay", "void", "mark_uncollectible", "attach_out_of_band_payment")
MOST = 200  # invoices at once


@dataclass
class Candidate:
    """One of the ticked invoices: what would be done to it, or why not."""

    invoice: Invoice
    why_not: str = ""
    waits: bool = False

    @property
    def number(self) -> str:
        return wording.number(self.invoice)

    @property
    def customer(self) -> str:
        return wording.customer(self.invoice)

    @property
    def status(self) -> tuple[str, str]:
        return wording.status(self.invoice)

    @property
    def amount(self) -> str:
        return money.text(self.invoice.amount_remaining, self.invoice.currency)

    @property
    def seen(self) -> str:
        """What stood on the page, and goes back with the form."""
        remaining = self.invoice.amount_remaining
        return f"{self.invoice.pk} {self.invoice.status} {'' if remaining is None else remaining}"


class BulkForm(ReasonForm):
    batch = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, spec: Spec, data: Any = None) -> None:
        super().__init__(data, initial={"batch": uuid.uuid4()})
        self.spec = spec
        if spec.name != "pay":  # which payment method to take is a question about one invoice
            add_parameters(self, spec, skip="money")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned["params"] = clean_parameters(self, self.spec, "usd")
        return cleaned

    def main(self) -> list[forms.BoundField]:
        return [self[parameter.name] for parameter in self.spec.parameters if parameter.name in self.fields]


def start(admin: RecordAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """The changelist's action: shows the confirmation page, and does nothing."""
    spec = ACTIONS[name]
    if not access.may(request, spec):
        return denied(admin, request, spec)
    ids = request.POST.getlist("_selected_action")
    return _ask(admin, request, spec, BulkForm(spec), ids)


def act(admin: RecordAdmin, request: HttpRequest, action: str) -> HttpResponse:
    """POST from the confirmation page: journals the batch; the workers do the rest, one operation an invoice."""
    spec = ACTIONS.get(action)
    if spec is None or action not in NAMES:
        raise Http404
    if not access.may(request, spec):
        return denied(admin, request, spec)
    if request.method != "POST":
        return redirect(reverse("admin:invoices_invoice_changelist"))
    form, seen = BulkForm(spec, request.POST), _seen(request)
    ids = [invoice.pk for invoice in seen]
    if not form.is_valid():
        return _ask(admin, request, spec, form, ids, status=400)
    try:
        batch = operations.batch.start(
            spec.name,
            seen,
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


def candidates(spec: Spec, ids: Iterable[str]) -> list[Candidate]:
    """The invoices, newest first, each with the reason for which it would be left alone."""
    invoices = list(Invoice.objects.filter(pk__in=list(ids)[:MOST]).order_by("-created", "-id"))
    pks = [invoice.pk for invoice in invoices]
    payments: dict[str, list[InvoicePayment]] = defaultdict(list)
    for payment in InvoicePayment.objects.filter(invoice_id__in=pks).defer("data"):
        payments[str(payment.invoice_id)].append(payment)
    busy = set(
        Operation.objects.filter(invoice__in=pks, state__in=Operation.UNFINISHED).values_list("invoice", flat=True)
    )
    return [
        Candidate(invoice, _why_not(spec, invoice, payments[invoice.pk], busy), _waits(spec, invoice))
        for invoice in invoices
    ]


def _waits(spec: Spec, invoice: Invoice) -> bool:
    """Whether a second person decides. In bulk a payment is always over the whole."""
    whole = {"amount": invoice.amount_remaining} if any(p.kind == "money" for p in spec.parameters) else {}
    return approval.needed(spec, invoice, whole)


def _why_not(spec: Spec, invoice: Invoice, payments: list[InvoicePayment], busy: set[str]) -> str:
    refusal = spec.refusal(invoice, payments, {})
    if refusal is not None and not isinstance(refusal, Invalid):
        return refusal.message
    return "Another operation on it has not finished yet." if invoice.pk in busy else ""


def totals(chosen: Iterable[Candidate]) -> list[tuple[str, int]]:
    """Per currency: how much remains, on how many."""
    sums: dict[str, list[int]] = defaultdict(list)
    for candidate in chosen:
        sums[candidate.invoice.currency or "?"].append(candidate.invoice.amount_remaining or 0)
    return [(money.text(sum(amounts), currency), len(amounts)) for currency, amounts in sorted(sums.items())]


def _ask(
    admin: RecordAdmin,
    request: HttpRequest,
    spec: Spec,
    form: BulkForm,
    ids: list[str],
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    found = candidates(spec, ids)
    will = [candidate for candidate in found if not candidate.why_not]
    context = {
        "title": f"{spec.label}: {len(will)} of {len(ids)} invoices",
        "spec": spec,
        "form": form,
        "will": will,
        "wont": [candidate for candidate in found if candidate.why_not],
        "waiting": sum(candidate.waits for candidate in will),
        "totals": totals(will),
        "ticked": len(ids),
        "beyond": max(0, len(ids) - MOST),
        "most": MOST,
        "refusal": refusal,
        "back": reverse("admin:invoices_invoice_changelist"),
    }
    return admin.show(request, "admin/invoices/bulk_confirm.html", context, status=status)


def _seen(request: HttpRequest) -> list[Invoice]:
    """The invoices as the page showed them: performed only while they are still so."""
    found = []
    for line in request.POST.getlist("seen")[:MOST]:
        pk, status, remaining = (*line.split(" "), "", "")[:3]
        amount = int(remaining) if remaining.lstrip("-").isdecimal() else None
        found.append(Invoice(pk=pk, status=status or None, amount_remaining=amount))
    return found
