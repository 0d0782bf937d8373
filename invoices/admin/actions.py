"""An action on one invoice: the page that says what will happen, then the deed, then the invoice with its result."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from invoices import money, operations
from invoices.admin import access, declined, methods, wording
from invoices.admin.base import RecordAdmin, page_url
from invoices.admin.forms import METHOD, METHOD_OTHER, ActionForm
from invoices.models import Action, Invoice, Operation
from invoices.operations import ACTIONS, Invalid, Refusal, Spec, approval, brake


def act(admin: RecordAdmin, request: HttpRequest, object_id: str, action: str) -> HttpResponse:
    """GET asks, POST acts. Permission and invoice are looked at anew on both."""
    spec = ACTIONS.get(action)
    if spec is None:
        raise Http404
    if not admin.has_view_permission(request):
        raise PermissionDenied
    if not access.may(request, spec):
        return denied(admin, request, spec, object_id)
    invoice = admin.record(object_id)
    if invoice is None:
        return admin.missing(request, object_id)
    if request.method == "POST":
        return _perform(admin, request, spec, invoice)
    if "preview" in request.GET:
        return _preview(request, spec, invoice)
    return _ask(admin, request, spec, invoice, ActionForm(spec, invoice, may_override=access.may_override(request)))


def _perform(admin: RecordAdmin, request: HttpRequest, spec: Spec, invoice: Invoice) -> HttpResponse:
    form = ActionForm(spec, invoice, request.POST, may_override=access.may_override(request))
    if not form.is_valid():
        return _ask(admin, request, spec, invoice, form, status=400)
    try:
        operation = operations.execute(
            spec.name,
            invoice.pk,
            actor=request.user,
            source=Operation.Source.ADMIN,
            params=form.cleaned_data["params"],
            reason=form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            expected=form.expected,
            operation_id=form.cleaned_data["operation"],
            override=form.cleaned_data.get("override", False),
            **access.origin(request),
        )
    except Refusal as refusal:
        return _refused(admin, request, spec, form, refusal)
    return redirect(f"{page_url(invoice)}?operation={operation.pk}")


def _refused(admin: RecordAdmin, request: HttpRequest, spec: Spec, form: ActionForm, refusal: Refusal) -> HttpResponse:
    """Nothing was sent. The page comes back with the reason, the input, and the invoice as it is by now."""
    if refusal.code == "idempotency_key_reused":
        sent = Operation.objects.filter(pk=form.cleaned_data["operation"]).first()
        refusal = Refusal(
            refusal.code, "This page was sent before, with other input. See what came of that.", operation=sent
        )
    form.refuse(refusal)
    invoice = admin.record(form.invoice.pk) or form.invoice
    form.renew(invoice)
    beside = refusal.param in form.fields  # then it is said there, and not above
    return _ask(admin, request, spec, invoice, form, refusal=None if beside else refusal, status=refusal.status)


def _ask(
    admin: RecordAdmin,
    request: HttpRequest,
    spec: Spec,
    invoice: Invoice,
    form: ActionForm,
    refusal: Refusal | None = None,
    status: int = 200,
) -> TemplateResponse:
    why_not = brake.refusal(spec.name) or spec.refusal(invoice, list(invoice.payments.all()), {})
    params = form.cleaned_data.get("params", {}) if form.is_bound and hasattr(form, "cleaned_data") else {}
    if not form.is_bound and "amount" in form.fields:
        params = {"amount": invoice.amount_remaining}
    context = {
        "title": f"{spec.label} · {wording.number(invoice)}",
        "spec": spec,
        "invoice": invoice,
        "number": wording.number(invoice),
        "customer": wording.customer(invoice),
        "status": wording.status(invoice),
        "remaining": money.text(invoice.amount_remaining, invoice.currency),
        "effects": effects(spec, invoice, params),
        "button": button(spec, invoice, params),
        "form": form,
        "refusal": refusal,
        "recent": declined.recent(invoice) if spec.charges({}) else None,
        "impossible": None if isinstance(why_not, Invalid) else why_not,
        "back": page_url(invoice),
    }
    return admin.show(request, "admin/invoices/confirm.html", context, status=status)


def _preview(request: HttpRequest, spec: Spec, invoice: Invoice) -> TemplateResponse:
    """What will happen with the parameters as they stand in the form by now; reads only."""
    params: dict[str, Any] = {}
    for parameter in spec.parameters:
        value: Any = request.GET.get(parameter.name, "")
        if parameter.name == METHOD:
            value = methods.chosen(value, request.GET.get(METHOD_OTHER, ""))
        try:
            if value:
                value = money.parse(value, invoice.currency or "usd") if parameter.kind == "money" else value
                params[parameter.name] = parameter.clean(value)
        except (money.BadAmount, Invalid):
            continue  # said beside the field, when the form is sent
    context = {
        "effects": effects(spec, invoice, params),
        "button": button(spec, invoice, params),
        "payment": methods.attachable(invoice, params) if spec.action == Action.ATTACH_PAYMENT else None,
        "preview": True,
    }
    return TemplateResponse(request, "admin/invoices/effects.html", context)


def effects(spec: Spec, invoice: Invoice, params: dict[str, Any]) -> list[str]:
    """What will happen; first of all that it waits for a second person, where it does."""
    if params.get(METHOD):
        params = {**params, METHOD: methods.words_of(params[METHOD])}
    if not approval.needed(spec, invoice, params):
        return spec.effects(invoice, params)
    above = money.text(approval.threshold(invoice.currency), invoice.currency)
    waits = f"More than {above}: it waits until a second person approves. Only then:"
    return [waits, *spec.effects(invoice, params)]


def button(spec: Spec, invoice: Invoice, params: dict[str, Any]) -> str:
    """What the button that acts says: the deed, never "OK"."""
    if approval.needed(spec, invoice, params):
        return f"{spec.label}: ask for approval"
    if spec.name == "pay" and not spec.charges(params):
        return "Mark as paid"
    if spec.charges(params):
        return f"{spec.label} {money.text(invoice.amount_remaining, invoice.currency)} now"
    return f"{spec.label} now" if spec.name == "send" else spec.label


def denied(admin: RecordAdmin, request: HttpRequest, spec: Spec, object_id: str = "") -> HttpResponse:
    """403, with whom to ask."""
    groups, people = access.holders(spec.permission)
    context = {"title": f"You may not: {spec.label}", "spec": spec, "groups": groups, "people": people}
    return admin.show(request, "admin/invoices/denied.html", {**context, "invoice_id": object_id}, status=403)
