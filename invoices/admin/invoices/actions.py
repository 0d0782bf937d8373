"""An action on one invoice: the page that says what will happen and asks for a reason, and performing the action.

Afterwards the page of the invoice shows the result.
"""

from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from invoices import money, operations, request_origin, typed
from invoices.admin import access
from invoices.admin.base import RecordAdmin
from invoices.admin.invoices import payment_methods, repeats, wording, work
from invoices.admin.invoices.forms import METHOD, METHOD_OTHER, ActionForm
from invoices.admin.links import page_url
from invoices.admin.locale import locale_of
from invoices.models import Code, Invoice, Operation
from invoices.operations import ACTIONS, Action, Invalid, Refusal, approval, eligibility

SEE_OPERATIONS = "invoices.view_operation"


def act(admin: RecordAdmin, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
    """GET shows the form, with `?preview` only the part that says what will happen; POST performs the action. Each
    checks the permission and reads the invoice again."""
    action = ACTIONS.get(name)
    if action is None:
        raise Http404
    if not admin.has_view_permission(request):
        raise PermissionDenied
    if not access.may(request, action):
        return denied(admin, request, action, object_id)
    invoice = admin.record(object_id)
    if invoice is None:
        return admin.missing(request, object_id)
    page = ActionPage(admin, request, action, invoice)
    if request.method == "POST":
        return page.perform()
    if "preview" in request.GET:
        return page.preview()
    return page.show(page.form())


@dataclass(frozen=True)
class ActionPage:
    """The page of one action on one invoice, for one request."""

    admin: RecordAdmin
    request: HttpRequest
    action: Action
    invoice: Invoice

    def form(self, data: QueryDict | None = None) -> ActionForm:
        locale, may_override = locale_of(self.request), access.may_override(self.request)
        form = ActionForm(self.action, self.invoice, data, locale=locale, may_override=may_override)
        form.may_see_operations = self.request.user.has_perm(SEE_OPERATIONS)
        return form

    def show(self, form: ActionForm, refusal: Refusal | None = None, status: int = 200) -> TemplateResponse:
        """What will happen, and the form. What was typed into one that is refused is there again for who comes back."""
        if status >= 400:
            typed.keep(self.request, self.request.path, self.request.user.pk)
        action, invoice = self.action, self.invoice
        known = eligibility.circumstances_of([invoice], charges=action.charges({}))
        params = form.cleaned_data.get("params", {}) if form.is_bound and hasattr(form, "cleaned_data") else {}
        if not form.is_bound:
            whole = (each for each in action.parameters if each.kind == "money" and each.suggests_whole)
            params = {parameter.name: invoice.amount_remaining for parameter in whole}
        need = approval.need(action, invoice, params, actor=self.request.user)
        context = {
            "title": f"{_(action.label)} · {wording.number(invoice)}",
            "action": action,
            "invoice": invoice,
            "number": wording.number(invoice),
            "customer": wording.customer(invoice),
            "status": wording.status(invoice),
            "remaining": money.text(invoice.amount_remaining, invoice.currency),
            "what_will_happen": what_will_happen(action, invoice, params, need),
            "amounts": amounts_in_words(action, invoice, params),
            "button": button(action, invoice, params, need),
            "plain_button": plain_button(action),
            "form": form,
            "repeats": form.repeat_lines(),
            "undo": action.undoing(params),
            "unreadable": form.errors.get(METHOD, []) if form.is_bound else [],
            "refusal": refusal,
            "impossible": _impossible(action, invoice, known, form),
            "caution": _caution(action, invoice, params, known, need),
            "withdraws": _withdraws(action, invoice, params, known, need),
            "has_recent_decline": form.fields.get("override") is not None and bool(known.declines_of(invoice)),
            "back": page_url(invoice),
            "caution_of_work": work.caution_for(self.request, invoice),
        }
        return self.admin.show(self.request, "admin/invoices/action.html", context, status=status)

    def perform(self) -> HttpResponse:
        """Performs the action with what the form sent. Afterwards the invoice's page shows the result."""
        form = self.form(self.request.POST)
        if not form.is_valid():
            return self.show(form, status=400)
        try:
            operation = operations.execute(
                self.action.name,
                self.invoice.pk,
                actor=self.request.user,
                source=Operation.Source.ADMIN,
                params=form.cleaned_data["params"],
                reason=form.cleaned_data["reason"],
                ticket=form.cleaned_data["ticket"],
                expected=form.expected,
                operation_id=form.cleaned_data["operation"],
                override=form.cleaned_data.get("override", False),
                unless_repeated=form.repeated.seen,
                **request_origin.origin(self.request),
            )
        except Refusal as refusal:
            return self.refused(form, refusal)
        typed.forget(self.request)
        return redirect(f"{page_url(self.invoice)}?operation={operation.pk}")

    def refused(self, form: ActionForm, refusal: Refusal) -> HttpResponse:
        """Nothing was sent to Stripe. Shows the form again: with the refusal, with what was typed, and with the invoice
        as it is now."""
        if refusal.code == Code.IDEMPOTENCY_KEY_REUSED:
            sent = Operation.objects.filter(pk=form.cleaned_data["operation"]).first()
            refusal = Refusal(
                refusal.code, _("This page was sent before, with other input. See what came of that."), operation=sent
            )
        form.refuse(refusal)
        invoice = self.admin.record(self.invoice.pk) or self.invoice
        form.renew(invoice)
        is_beside_its_field = refusal.param in form.fields
        page = replace(self, invoice=invoice)
        return page.show(form, refusal=None if is_beside_its_field else refusal, status=refusal.http_status)

    def preview(self) -> TemplateResponse:
        """What will happen with the parameters that the form has now. Changes nothing."""
        action, invoice = self.action, self.invoice
        params: dict[str, Any] = {}
        unreadable: list[str] = []
        for parameter in action.parameters:
            value: Any = self.request.GET.get(parameter.name, "")
            if parameter.name == METHOD:
                is_other = value == payment_methods.OTHER
                value = payment_methods.chosen(value, self.request.GET.get(METHOD_OTHER, ""))
                if is_other and not value:
                    unreadable.append(_(payment_methods.NO_ID))
            try:
                if value and parameter.kind == "money":
                    value = money.parse(value, invoice.currency or "usd", locale_of(self.request))
                if value:
                    params[parameter.name] = parameter.clean(value)
            except money.BadAmount as error:
                unreadable.append(str(error))
            except Invalid:
                continue  # the error is shown beside the field when the form is sent
        if not action.charges(params):
            params.pop(METHOD, None)
        known = eligibility.circumstances_of([invoice], charges=action.charges(params))
        invalid = eligibility.invoice_refusal(action, invoice, known.payments[invoice.pk], params)
        if isinstance(invalid, Invalid) and invalid.param in params:
            unreadable.append(invalid.message)
        shown = payment_methods.attachable(invoice, params) if action.credited_later else None
        payment = shown.payment if shown else None
        need = approval.need(action, invoice, params, actor=self.request.user, payment=payment)
        context = {
            "what_will_happen": what_will_happen(action, invoice, params, need),
            "amounts": amounts_in_words(action, invoice, params),
            "unreadable": unreadable,
            "button": button(action, invoice, {} if unreadable else params, need),
            "plain_button": plain_button(action),
            "caution": _caution(action, invoice, params, known, need),
            "withdraws": _withdraws(action, invoice, params, known, need),
            "payment": shown,
            "action": action,
            "undo": action.undoing(params),
            "repeats": self._repeats({} if unreadable else params),
            "preview": True,
        }
        return TemplateResponse(self.request, "admin/invoices/parts/what_will_happen.html", context)

    def _repeats(self, params: dict[str, Any]) -> list[repeats.Line]:
        """What looks like the same once more, with the parameters that the form has now."""
        look = operations.repeats.look(self.action, [(self.invoice, params)]) if params else operations.repeats.Look()
        return repeats.lines(look, self.request.user.has_perm(SEE_OPERATIONS))


def _impossible(action: Action, invoice: Invoice, known: eligibility.Circumstances, form: ActionForm) -> Refusal | None:
    """Why there is no form. One that was filled in is shown again while the reason may pass, with what was typed."""
    refusal = eligibility.check_any_parameters(action, invoice, known)
    passes = refusal is not None and refusal.code in (Code.ACTIONS_PAUSED, Code.OPERATION_IN_PROGRESS)
    return None if form.is_bound and passes else refusal


def _caution(
    action: Action,
    invoice: Invoice,
    params: dict[str, Any],
    known: eligibility.Circumstances,
    need: approval.Need | None,
) -> Refusal | None:
    """Why the action would be refused with the parameters that the form has now. (What is missing is said beside its
    field.)"""
    method = payment_methods.facts_of(known.payment_method(invoice, params))
    refusal = eligibility.check(action, invoice, params, known, method=method, would_wait=need is not None)
    return None if isinstance(refusal, Invalid) else refusal


def _withdraws(
    action: Action,
    invoice: Invoice,
    params: dict[str, Any],
    known: eligibility.Circumstances,
    need: approval.Need | None,
) -> list[Operation]:
    """The requests on this invoice, of anybody, that the action withdraws as soon as it is confirmed: a charge does.
    What waits for a second person itself withdraws nothing yet."""
    if need is not None or not action.charges(params):
        return []
    return [operation for (pk, _), operation in known.waiting.items() if pk == invoice.pk]


def what_will_happen(action: Action, invoice: Invoice, params: dict[str, Any], need: approval.Need | None) -> list[str]:
    """What will happen, in sentences. The first one says that it waits for a second person, if it does."""
    if params.get(METHOD):
        params = {**params, METHOD: payment_methods.name_of(params[METHOD])}
    elif default := payment_methods.name_of_default(action, invoice, params):
        params = {**params, METHOD: default}
    if need is None:
        return action.consequences(invoice, params)
    waits = _("It waits until a second person approves. Only then:")
    return [f"{need.why} {waits}", *action.consequences(invoice, params)]


def amounts_in_words(action: Action, invoice: Invoice, params: dict[str, Any]) -> list[tuple[str, str]]:
    """Each amount that was typed, read back with the currency's name: label and words."""
    return [
        (_(parameter.label), money.in_words(params[parameter.name], invoice.currency or "usd"))
        for parameter in action.parameters
        if parameter.kind == "money" and params.get(parameter.name) is not None
    ]


def button(action: Action, invoice: Invoice, params: dict[str, Any], need: approval.Need | None) -> str:
    """The label of the button that acts: it names the action and the amount."""
    said = action.button(invoice, params)
    return _("{action}: ask for approval").format(action=said) if need is not None else said


def plain_button(action: Action) -> str:
    """What the button says while its amount is being typed, and without the script; empty where none is typed."""
    return _(action.label) if any(parameter.kind == "money" for parameter in action.parameters) else ""


def denied(admin: RecordAdmin, request: HttpRequest, action: Action, object_id: str = "") -> HttpResponse:
    """403: the permission is missing. Says whom to ask."""
    groups, people = access.holders(action.permission)
    context = {
        "title": _("You may not: {action}").format(action=_(action.label)),
        "action": action,
        "groups": groups,
        "people": people,
    }
    return admin.show(request, "admin/invoices/action_denied.html", {**context, "invoice_id": object_id}, status=403)
