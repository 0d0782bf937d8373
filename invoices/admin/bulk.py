"""An action on the ticked invoices: one page that says what will and what will not be done, then one operation each."""

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from invoices import money, operations, tasks
from invoices.admin import access, wording
from invoices.admin.actions import denied
from invoices.admin.base import RecordAdmin
from invoices.admin.forms import ReasonForm, add_parameters, clean_parameters
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.operations import ACTIONS, Invalid, Refusal, Spec

log = logging.getLogger(__name__)

NAMES = ("pay", "void", "mark_uncollectible", "attach_out_of_band_payment")
MOST = 200  # invoices at once
KEPT = 20  # batches that a session remembers


@dataclass
class Candidate:
    """One of the ticked invoices: what would be done to it, or why not."""

    invoice: Invoice
    why_not: str = ""

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
    return _ask(admin, request, spec, BulkForm(spec), candidates(spec, ids), len(ids))


def act(admin: RecordAdmin, request: HttpRequest, action: str) -> HttpResponse:
    """POST from the confirmation page: one operation per invoice, performed by the workers."""
    spec = ACTIONS.get(action)
    if spec is None or action not in NAMES:
        raise Http404
    if not access.may(request, spec):
        return denied(admin, request, spec)
    if request.method != "POST":
        return redirect(reverse("admin:invoices_invoice_changelist"))
    form, seen = BulkForm(spec, request.POST), _seen(request)
    if not form.is_valid():
        return _ask(admin, request, spec, form, candidates(spec, list(seen)), len(seen), status=400)
    batch = form.cleaned_data["batch"]
    refused = {pk: why for pk, expected in seen.items() if (why := _request(request, spec, form, pk, expected))}
    _wake(operation_id(batch, spec, pk) for pk in seen if pk not in refused)
    _remember(request, batch, {"action": spec.name, "ids": list(seen), "refused": refused})
    return redirect(reverse("admin:invoices_invoice_batch", args=[batch]))


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
    return [Candidate(invoice, _why_not(spec, invoice, payments[invoice.pk], busy)) for invoice in invoices]


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
    found: list[Candidate],
    ticked: int,
    status: int = 200,
) -> HttpResponse:
    will = [candidate for candidate in found if not candidate.why_not]
    context = {
        "title": f"{spec.label}: {len(will)} of {ticked} invoices",
        "spec": spec,
        "form": form,
        "will": will,
        "wont": [candidate for candidate in found if candidate.why_not],
        "totals": totals(will),
        "beyond": max(0, ticked - MOST),
        "most": MOST,
        "back": reverse("admin:invoices_invoice_changelist"),
    }
    return admin.show(request, "admin/invoices/bulk_confirm.html", context, status=status)


def _seen(request: HttpRequest) -> dict[str, dict[str, Any]]:
    """By invoice, what its line on the page said."""
    found: dict[str, dict[str, Any]] = {}
    for line in request.POST.getlist("seen")[:MOST]:
        pk, status, remaining = (*line.split(" "), "", "")[:3]
        amount = int(remaining) if remaining.lstrip("-").isdecimal() else None
        found[pk] = {"status": status or None, "amount_remaining": amount}
    return found


def operation_id(batch: uuid.UUID, spec: Spec, invoice: str) -> uuid.UUID:
    """Sent twice, the page makes the same operations."""
    return uuid.uuid5(batch, f"{spec.name} {invoice}")


def _request(request: HttpRequest, spec: Spec, form: BulkForm, pk: str, expected: dict[str, Any]) -> str:
    """Queues one operation; why not, if it is refused."""
    params = dict(form.cleaned_data["params"])
    if any(parameter.kind == "money" for parameter in spec.parameters):
        params["amount"] = expected["amount_remaining"]  # in bulk always the whole
    try:
        operations.request(
            spec.name,
            pk,
            actor=request.user,
            source=Operation.Source.ADMIN,
            params=params,
            reason=form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            expected=expected,
            operation_id=operation_id(form.cleaned_data["batch"], spec, pk),
            address=request.META.get("REMOTE_ADDR"),
        )
    except Refusal as refusal:
        return refusal.message
    return ""


def _wake(ids: Iterable[uuid.UUID]) -> None:
    """A dead broker delays: what waits for two minutes is found by settling."""
    for pk in ids:
        try:
            tasks.perform_operation.delay(str(pk))
        except Exception as error:
            log.warning("No wake-up for operation %s: %s. Settling finds it.", pk, error)
            return


# --- the result ---------------------------------------------------------------------------------------------------


def _remember(request: HttpRequest, batch: uuid.UUID, what: dict[str, Any]) -> None:
    batches = request.session.get("batches", {})
    batches[str(batch)] = what
    request.session["batches"] = dict(list(batches.items())[-KEPT:])


def result(admin: RecordAdmin, request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
    """What became of each; refreshes itself while something is unfinished."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    kept = request.session.get("batches", {}).get(str(batch))
    if kept is None:
        messages.info(request, "This result is no longer kept here; the operations themselves are all below.")
        return redirect(reverse("admin:invoices_operation_changelist"))
    spec = ACTIONS[kept["action"]]
    rows = _rows(batch, spec, kept)
    unfinished = sum(1 for row in rows if row["operation"] and row["operation"].state in Operation.UNFINISHED)
    context = {
        "title": f"{spec.label}: {len(rows)} invoices",
        "spec": spec,
        "rows": rows,
        "unfinished": unfinished,
        "finished": len(rows) - unfinished,
        "share": round(100 * (len(rows) - unfinished) / len(rows)) if rows else 100,
        "batch": batch,
    }
    part = request.headers.get("HX-Request") == "true"
    return admin.show(request, f"admin/invoices/bulk_{'rows' if part else 'result'}.html", context)


def _rows(batch: uuid.UUID, spec: Spec, kept: dict[str, Any]) -> list[dict[str, Any]]:
    invoices = {invoice.pk: invoice for invoice in Invoice.objects.filter(pk__in=kept["ids"])}
    ids = {operation_id(batch, spec, pk): pk for pk in kept["ids"]}
    made = {ids[operation.pk]: operation for operation in Operation.objects.filter(pk__in=list(ids))}
    return [
        {
            "invoice": invoices.get(pk),
            "pk": pk,
            "number": wording.number(invoices[pk]) if pk in invoices else pk,
            "operation": made.get(pk),
            "refused": kept["refused"].get(pk, ""),
        }
        for pk in kept["ids"]
    ]
