"""The form of an action on one invoice. Its fields follow from the parameters in the action's entry."""

import uuid
from datetime import date
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money
from invoices.admin.invoices import payment_methods
from invoices.admin.invoices.repeats import RepeatForm
from invoices.models import Invoice
from invoices.operations import Action, Invalid, Parameter, Refusal, eligibility, repeats
from invoices.operations.parameters import MAX_TEXT_LENGTH

FLAG_CHOICES = (("", gettext_lazy("Not set")), ("true", gettext_lazy("Yes")), ("false", gettext_lazy("No")))
METHOD = "payment_method"  # the parameter; its field offers the saved payment methods
METHOD_OTHER = "payment_method_other"  # a field for an id that is typed


OTHER_REASON = "other"  # the choice that needs words of one's own
MAX_REASON_LENGTH = 2000  # characters, of what is typed


class ReasonForm(forms.Form):
    """The reason: one of those that are offered, words of one's own, or both. `reason` is the sentence for the
    journal, in which what was offered stands in English. reason.html shows both fields as one."""

    reasons: tuple[str, ...] = ()  # that are offered
    why = gettext_noop("Please say why: whoever looks at this later will want to know.")

    reason_choice = forms.CharField(required=False, max_length=255, label=gettext_lazy("Reason"))
    reason = forms.CharField(
        required=False,
        label=gettext_lazy("In your own words"),
        help_text=gettext_lazy("Stays in the journal, with your name."),
        max_length=MAX_REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": gettext_lazy("Customer asked on the phone to …")}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [("", _("Choose one, or write below")), *((each, _(each)) for each in self.reasons)]
        self.fields["reason_choice"] = forms.ChoiceField(
            required=False,
            label=_("Reason"),
            choices=[*choices, (OTHER_REASON, _("Other"))],
            error_messages={"invalid_choice": _("Choose one of the reasons, or write your own below.")},
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        chosen, typed = cleaned.get("reason_choice", ""), cleaned.get("reason", "").strip()
        if not {"reason_choice", "reason"} & set(self.errors):
            if chosen == OTHER_REASON and not typed:
                self.add_error("reason", _("“Other” needs your own words: please say why."))
            elif not chosen and not typed:
                self.add_error("reason", _(self.why))
            elif chosen and chosen != OTHER_REASON:
                cleaned["reason"] = f"{chosen}: {typed}" if typed else chosen
        return cleaned


class ActingForm(ReasonForm):
    """The reason and the ticket, which every action asks for."""

    ticket = forms.CharField(
        label=gettext_lazy("Ticket"), required=False, max_length=255, help_text=gettext_lazy("Number or link, if any.")
    )


class ActionForm(RepeatForm, ActingForm):
    """One action on one invoice. The hidden fields hold the id that the operation will have, so that a form sent twice
    makes one operation, and the status and amount that the person saw."""

    operation = forms.UUIDField(widget=forms.HiddenInput)
    seen_status = forms.CharField(required=False, widget=forms.HiddenInput)
    seen_remaining = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self,
        action: Action,
        invoice: Invoice,
        data: Any = None,
        *,
        locale: str = money.PLAIN,
        may_override: bool = False,
    ) -> None:
        self.reasons = action.reasons
        super().__init__(data, initial=_initial(invoice))
        if may_override and action.charges({}):
            self.fields["override"] = forms.BooleanField(
                required=False,
                label=_("Charge again within the hour"),
                help_text=_("Card networks count repeated attempts. Say in the reason why it is right here."),
            )
        self.action, self.invoice, self.locale = action, invoice, locale
        add_parameters(self, action, invoice, locale=locale)
        if METHOD in self.fields:  # a saved payment method is chosen, or an id is typed
            self.fields[METHOD_OTHER] = forms.CharField(label=_("Its id"), required=False, max_length=255)
        # The field of the payment method is replaced when Stripe has answered, and would then lose the focus.
        asked = [bound for bound in self.main() if bound.name != METHOD]
        (asked or [self["reason_choice" if self.reasons else "reason"]])[0].field.widget.attrs["autofocus"] = True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if METHOD in cleaned:
            cleaned[METHOD] = payment_methods.chosen(cleaned[METHOD], cleaned.get(METHOD_OTHER, ""))
            if not cleaned[METHOD] and self.data.get(METHOD) == payment_methods.OTHER:
                self.add_error(METHOD, _(payment_methods.NO_ID))
        cleaned["params"] = clean_parameters(self, self.action, self.invoice.currency or "usd", self.locale)
        if not self.action.charges(cleaned["params"]):
            cleaned["params"].pop(METHOD, None)  # one is ticked, and none is charged
        if not self.errors:
            payments = list(self.invoice.payments.all())
            refusal = eligibility.invoice_refusal(self.action, self.invoice, payments, cleaned["params"])
            if isinstance(refusal, Invalid):
                self.refuse(refusal)
        if not self.errors:
            asked = [(self.invoice, cleaned["params"])]
            self.check_repeats(repeats.look(self.action, asked, except_for=cleaned["operation"]))
        return cleaned

    @property
    def expected(self) -> dict[str, Any]:
        """The status and the amount that the person saw. The action is performed only if the invoice still has them."""
        return {
            "status": self.cleaned_data["seen_status"] or None,
            "amount_remaining": self.cleaned_data["seen_remaining"],
        }

    def refuse(self, refusal: Refusal) -> None:
        """Shows a refusal beside the field of its parameter, or above the form."""
        self.add_error(refusal.param if refusal.param in self.fields else None, refusal.message)

    def renew(self, invoice: Invoice) -> None:
        """Prepares the form, with what was typed, for another try: with a new operation id and with the invoice as it
        is now. The old page, if it is sent again, still has the old id."""
        anew = {name: "" if value is None else str(value) for name, value in _initial(invoice).items()}
        self.data = {**self.data.dict(), **anew}  # type: ignore[attr-defined]

    def main(self) -> list[forms.BoundField]:
        """The fields that this action always asks for."""
        parameters = self.action.parameters
        return [self[each.name] for each in parameters if not self._special() or each.name == METHOD]

    def more(self) -> list[forms.BoundField]:
        """The fields for special cases, which the page folds away."""
        return [self[p.name] for p in self.action.parameters if p.name != METHOD] if self._special() else []

    def method_wanted(self) -> str:
        """The payment method that was chosen or typed, when the form is shown again."""
        method = self.data.get(METHOD, "") if self.is_bound else ""
        typed = payment_methods.chosen(method, self.data.get(METHOD_OTHER, ""))
        return typed or (payment_methods.OTHER if method == payment_methods.OTHER else "")

    def more_open(self) -> bool:
        return any(field.errors or field.value() for field in self.more())

    def _special(self) -> bool:
        """Whether most people leave the parameters empty: there are many, and none is required."""
        return len(self.action.parameters) > 2 and not any(parameter.required for parameter in self.action.parameters)


def _initial(invoice: Invoice) -> dict[str, Any]:
    return {
        "operation": uuid.uuid4(),
        "seen_status": invoice.status,
        "seen_remaining": invoice.amount_remaining,
    }


def add_parameters(
    form: forms.Form,
    action: Action,
    invoice: Invoice | None = None,
    only: tuple[str, ...] | None = None,
    locale: str = money.PLAIN,
) -> None:
    """Adds a field for each parameter of the action, or for those named in `only`. Amounts are typed in `locale`."""
    for parameter in action.parameters:
        if only is None or parameter.name in only:
            form.fields[parameter.name] = _field(parameter, invoice, locale)
            # action.html sends these fields to the preview.
            form.fields[parameter.name].widget.attrs["data-parameter"] = True


def clean_parameters(form: forms.Form, action: Action, currency: str, locale: str = money.PLAIN) -> dict[str, Any]:
    """The parameters for the request. Each is checked by itself, so that all errors show at once. Amounts are typed in
    major units (`12.50`) and become minor units."""
    given: dict[str, Any] = {}
    for parameter in action.parameters:
        value = form.cleaned_data.get(parameter.name)
        if value is None or value == "":
            continue
        try:
            given[parameter.name] = parameter.clean(
                money.parse(value, currency, locale) if parameter.kind == "money" else value
            )
        except (money.BadAmount, Invalid) as error:
            form.add_error(parameter.name, str(error))
    return given


def _field(parameter: Parameter, invoice: Invoice | None, locale: str) -> forms.Field:
    help_text = _(parameter.help) if parameter.help else ""
    common: dict[str, Any] = {"label": _(parameter.label), "help_text": help_text, "required": parameter.required}
    common["error_messages"] = {"required": parameter.missing}
    field: forms.Field
    match parameter.kind:
        case "flag":
            field = forms.ChoiceField(choices=FLAG_CHOICES, **common)
        case "choice":
            field = forms.ChoiceField(choices=[(choice, _(choice)) for choice in parameter.choices], **common)
        case "date":
            today = None if parameter.future else _today
            field = forms.DateField(initial=today, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), **common)
        case "money":
            field = forms.CharField(max_length=money.MAX_LENGTH, **common)
            field.widget.attrs = {"inputmode": "decimal", "autocomplete": "off"}
            if invoice and invoice.currency and invoice.amount_remaining is not None:
                if parameter.suggests_whole:
                    field.initial = money.typed(invoice.amount_remaining, invoice.currency, locale)
                field.help_text = f"{help_text} {money.grammar(invoice.currency, locale)}".strip()
                field.unit = invoice.currency.upper()  # type: ignore[attr-defined]
        case _:
            field = forms.CharField(max_length=MAX_TEXT_LENGTH, **common)
            field.widget.attrs = {"autocomplete": "off"}
    if parameter.placeholder:
        field.widget.attrs["placeholder"] = parameter.placeholder
    field.one_of = _(parameter.one_of) if parameter.one_of else ""  # type: ignore[union-attr]
    return field


def _today() -> date:
    # The server counts days in UTC, and refuses a day that has not begun there.
    return min(timezone.localdate(), timezone.now().date())
