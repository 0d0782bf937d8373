"""One payment from outside Stripe over several invoices of a customer: spread, shown, then recorded as a batch."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from invoices import money, request_origin
from invoices.admin import access
from invoices.admin.invoices import wording
from invoices.admin.invoices.forms import ActingForm, add_parameters, clean_parameters
from invoices.admin.invoices.repeats import RepeatForm
from invoices.admin.links import page_url
from invoices.admin.locale import locale_of
from invoices.models import Batch, BatchItem, Code, Customer, Invoice
from invoices.operations import ACTIONS, Action, Refusal, approval, batch, eligibility, repeats, spreading
from invoices.operations.spreading import Share

ACTION = "attach_out_of_band_payment"
OLDEST_FIRST, AS_TYPED = "oldest_first", "as_typed"


class PaymentForm(RepeatForm, ActingForm):
    """The amount and how it is spread. Hidden: the id of the batch, and the invoices with what remained of each when
    the page was made."""

    batch = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.CharField(required=False, max_length=60_000, widget=forms.HiddenInput)
    spread = forms.ChoiceField(
        label=gettext_lazy("Which invoices it pays"),
        choices=[
            (OLDEST_FIRST, gettext_lazy("Oldest first, until it is used up")),
            (AS_TYPED, gettext_lazy("As typed beside the invoices")),
        ],
        initial=OLDEST_FIRST,
        widget=forms.RadioSelect,
    )

    def __init__(self, invoices: list[Invoice], currency: str, data: Any = None, *, locale: str = money.PLAIN) -> None:
        self.action: Action = ACTIONS[ACTION]
        self.reasons = self.action.reasons
        seen = ";".join(f"{each.pk} {each.status} {each.amount_remaining}" for each in invoices)
        super().__init__(data, initial={"batch": uuid.uuid4(), "seen": seen})
        self.invoices, self.currency, self.locale = invoices, currency, locale
        self.fields["spread"].has_default = True  # type: ignore[attr-defined]
        add_parameters(self, self.action, locale=locale)
        self.fields["amount"].label = _("Amount of the payment")
        self.fields["amount"].help_text = money.grammar(currency, locale)
        self.fields["amount"].unit = currency.upper()  # type: ignore[attr-defined]
        for place, each in enumerate(invoices):
            field = forms.CharField(
                required=False,
                max_length=money.MAX_LENGTH,
                label=_("Amount for {number}").format(number=wording.number(each)),
            )
            field.widget.attrs |= {"inputmode": "decimal", "autocomplete": "off"}
            self.fields[f"share_{place}"] = field

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned["params"] = clean_parameters(self, self.action, self.currency, self.locale)
        amount = cleaned["params"].get("amount")
        if amount is not None:
            cleaned["shares"] = self._shares(cleaned, amount)
        if not self.errors:
            self.check_repeats(self.look_for_repeats())
        return cleaned

    def look_for_repeats(self) -> repeats.Look:
        """What looks like this payment, as things are now."""
        params = self.cleaned_data["params"]
        asked = [
            (share.invoice, {**params, "amount": share.amount}) for share in self.cleaned_data["shares"] if share.amount
        ]
        return repeats.look(self.action, asked, except_for=self.cleaned_data["batch"])

    def _shares(self, cleaned: dict[str, Any], amount: int) -> list[Share]:
        if cleaned.get("spread") != AS_TYPED:
            shares, over = spreading.oldest_first(self.action, self.invoices, amount)
            if over:
                message = _("{amount} would be left over: more than these invoices take. Record less.")
                self.add_error("amount", message.format(amount=money.text(over, self.currency)))
            return shares
        amounts: dict[str, int] = {}
        for place, each in enumerate(self.invoices):
            written = cleaned.get(f"share_{place}", "").strip()
            try:
                amounts[each.pk] = money.parse(written, self.currency, self.locale) if written else 0
            except money.BadAmount as error:
                self.add_error(f"share_{place}", str(error))
        shares = spreading.as_typed(self.action, self.invoices, amounts)
        for place, share in enumerate(shares):
            if share.why_not and f"share_{place}" not in self.errors:
                self.add_error(f"share_{place}", share.why_not)
        typed = spreading.total(shares)
        if typed != amount and not self.errors:
            message = _("The amounts below are {typed} together, and the payment is {amount}. Make them equal.")
            shown = {"typed": money.text(typed, self.currency), "amount": money.text(amount, self.currency)}
            self.add_error("amount", message.format(**shown))
        return shares

    def rows(self) -> list[tuple[Invoice, str, str, forms.BoundField]]:
        """Each invoice with its number, what remains, and the field of its amount."""
        return [
            (each, wording.number(each), money.text(each.amount_remaining, each.currency), self[f"share_{place}"])
            for place, each in enumerate(self.invoices)
        ]

    def settings(self) -> list[forms.BoundField]:
        """What is asked of the payment."""
        return [self[parameter.name] for parameter in self.action.parameters]

    def is_as_seen(self) -> bool:
        """Whether the invoices are as they were when the page was made."""
        return self.cleaned_data.get("seen") == self.get_initial_for_field(self.fields["seen"], "seen")

    def items(self) -> list[BatchItem]:
        """One for each invoice that gets something, with what its operation is told."""
        params = self.cleaned_data["params"]
        return [
            BatchItem(
                share.invoice.pk,
                share.invoice.status,
                share.invoice.amount_remaining,
                self.currency,
                {**params, "amount": share.amount},
            )
            for share in self.cleaned_data["shares"]
            if share.amount
        ]


def pay(admin: Any, request: HttpRequest, customer: Customer) -> HttpResponse:
    """GET shows the form; POST shows how the payment is spread, and records it when that was confirmed."""
    action = ACTIONS[ACTION]
    if "confirmed" in request.POST and (made := _made_of(request)):
        return redirect(page_url(made))
    owed_in = spreading.currencies(customer.pk)
    currency = request.GET.get("currency", "").lower()
    currency = currency if currency in owed_in else (owed_in[0] if owed_in else "")
    invoices = spreading.payable(customer.pk, currency) if currency else []
    form = PaymentForm(invoices, currency, request.POST or None, locale=locale_of(request)) if invoices else None
    if form is not None:
        form.may_see_operations = request.user.has_perm("invoices.view_operation")
    context = {
        "title": _("One payment over several invoices"),
        "customer": customer,
        "name": _name(customer),
        "form": form,
        "currency": currency.upper(),
        "others": [(each.upper(), f"?currency={each}") for each in owed_in if each != currency],
        "paused": eligibility.pause_refusal(action.name),
        "undo": _(action.undo),
        "back": page_url(customer),
    }
    if form is None or request.method != "POST":
        return admin.show(request, "admin/customers/payment.html", context)
    if not form.is_valid():
        return admin.show(request, "admin/customers/payment.html", context, status=400)
    if "confirmed" in request.POST and form.is_as_seen():
        try:
            with repeats.alone(invoices[0]):
                if form.look_for_repeats().seen != form.repeated.seen:  # another form was sent at once
                    raise Refusal(Code.INVOICE_CHANGED, _(repeats.AT_ONCE))
                made = batch.start_items(
                    action.name,
                    form.items(),
                    actor=request.user,  # type: ignore[arg-type]
                    reason=form.cleaned_data["reason"],
                    ticket=form.cleaned_data["ticket"],
                    batch_id=form.cleaned_data["batch"],
                    **request_origin.origin(request),
                )
        except Refusal as refusal:
            form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
            return admin.show(request, "admin/customers/payment.html", context, status=400)
        return redirect(page_url(made))
    changed = "confirmed" in request.POST
    form.data = {**request.POST.dict(), "seen": form.get_initial_for_field(form.fields["seen"], "seen")}
    return admin.show(
        request, "admin/customers/payment_preview.html", {**context, **_preview(request, form), "changed": changed}
    )


def _made_of(request: HttpRequest) -> Batch | None:
    """What was made of this form already: a second click, or Back and once more, asks for nothing else."""
    try:
        id = uuid.UUID(request.POST.get("batch", ""))
    except ValueError:
        return None
    return Batch.objects.filter(pk=id, actor=request.user.pk).first()


def may(request: HttpRequest) -> bool:
    """Whether this person may record payments at all."""
    return access.may(request, ACTIONS[ACTION])


def _name(customer: Customer) -> str:
    data = customer.data if isinstance(customer.data, dict) else {}
    return str(data.get("name") or customer.email or customer.pk)


def _preview(request: HttpRequest, form: PaymentForm) -> dict[str, Any]:
    """How the payment is spread, and whether a second person must agree."""
    shares = [share for share in form.cleaned_data["shares"] if share.amount or share.why_not]
    asked = ((share.invoice, {"amount": share.amount}) for share in shares if share.amount)
    number = sum(bool(share.amount) for share in shares)
    amount = money.text(spreading.total(shares), form.currency)
    said = ngettext("Record {amount} on {number} invoice", "Record {amount} on {number} invoices", number)
    return {
        "shares": [
            (
                share.invoice,
                wording.number(share.invoice),
                money.text(share.amount, form.currency) if share.amount else "–",
                money.text(share.remains, form.currency),
                share.why_not,
            )
            for share in shares
        ],
        "total": amount,
        "button": said.format(amount=amount, number=number),
        "need": approval.need_of_batch(form.action, asked, actor=request.user),
        "hidden": [
            (name, value) for name, value in form.data.items() if name not in ("csrfmiddlewaretoken", "confirmed")
        ],
    }
