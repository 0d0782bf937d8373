"""The form of an action, derived from its entry in the catalog: a field a parameter, errors beside their field."""

import uuid
from datetime import date
from typing import Any

from django import forms
from django.utils import timezone

from invoices import money
from invoices.admin import methods
from invoices.models import Action, Invoice
from invoices.operations import Invalid, Parameter, Refusal, Spec

FLAG = (("", "Not set"), ("true", "Yes"), ("false", "No"))


METHOD, METHOD_OTHER = "payment_method", "payment_method_other"


class ReasonForm(forms.Form):
    """Why it is done, and the ticket: asked for with every action."""

    reason = forms.CharField(
        label="Reason",
        help_text="Stays in the journal, with your name.",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "Customer asked on the phone to …"}),
        error_messages={"required": "Please say why: whoever looks at this later will want to know."},
    )
    ticket = forms.CharField(label="Ticket", required=False, max_length=255, help_text="Number or link, if any.")


class ActionForm(ReasonForm):
    """One action on one invoice. The hidden fields say which operation it will be, and what its author saw."""

    operation = forms.UUIDField(widget=forms.HiddenInput)
    seen_status = forms.CharField(required=False, widget=forms.HiddenInput)
    seen_remaining = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, spec: Spec, invoice: Invoice, data: Any = None, *, may_override: bool = False) -> None:
        super().__init__(data, initial=_initial(invoice))
        if may_override and spec.charges({}):
            self.fields["override"] = forms.BooleanField(
                required=False,
                label="Charge again within the hour",
                help_text="Card networks count repeated attempts. Say in the reason why it is right here.",
            )
        self.spec, self.invoice = spec, invoice
        add_parameters(self, spec, invoice)
        if METHOD in self.fields:  # chosen among what is saved, or typed
            self.fields[METHOD_OTHER] = forms.CharField(label="Its id", required=False, max_length=255)
        if spec.action == Action.ATTACH_PAYMENT:
            for name, begins in (("payment_intent", "pi_…"), ("payment_record", "pyr_…")):
                self.fields[name].widget.attrs["placeholder"] = begins
                self.fields[name].either = "one of the two"  # type: ignore[attr-defined]
        asked = [bound for bound in self.main() if bound.name != METHOD]  # that one is exchanged under the finger
        (asked or [self["reason"]])[0].field.widget.attrs["autofocus"] = True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if METHOD in cleaned:
            cleaned[METHOD] = methods.chosen(cleaned[METHOD], cleaned.get(METHOD_OTHER, ""))
            if not cleaned[METHOD] and self.data.get(METHOD) == methods.OTHER:
                self.add_error(METHOD, "Give the id of the payment method, or choose another.")
        cleaned["params"] = clean_parameters(self, self.spec, self.invoice.currency or "usd")
        if not self.errors:
            refusal = self.spec.refusal(self.invoice, list(self.invoice.payments.all()), cleaned["params"])
            if isinstance(refusal, Invalid):
                self.refuse(refusal)
        return cleaned

    @property
    def expected(self) -> dict[str, Any]:
        """What the person saw when she decided; performed only while it is still so."""
        return {
            "status": self.cleaned_data["seen_status"] or None,
            "amount_remaining": self.cleaned_data["seen_remaining"],
        }

    def refuse(self, refusal: Refusal) -> None:
        """Puts what came back beside the field that it speaks of."""
        self.add_error(refusal.param if refusal.param in self.fields else None, refusal.message)

    def renew(self, invoice: Invoice) -> None:
        """The same input for another try: a new operation, on the invoice as it is now. (The old page, sent again, is
        still the old operation.)"""
        anew = {name: "" if value is None else str(value) for name, value in _initial(invoice).items()}
        self.data = {**self.data.dict(), **anew}  # type: ignore[attr-defined]

    def main(self) -> list[forms.BoundField]:
        """The fields that this action always asks for."""
        first = self.spec.parameters if not self._special() else [p for p in self.spec.parameters if p.name == METHOD]
        return [self[p.name] for p in first]

    def more(self) -> list[forms.BoundField]:
        """The fields for special cases, folded away."""
        return [self[p.name] for p in self.spec.parameters if p.name != METHOD] if self._special() else []

    def method_wanted(self) -> str:
        """What was chosen, or typed, when the form comes back."""
        method = self.data.get(METHOD, "") if self.is_bound else ""
        return methods.chosen(method, self.data.get(METHOD_OTHER, ""))

    def more_open(self) -> bool:
        return any(field.errors or field.value() for field in self.more())

    def _special(self) -> bool:
        """Whether the action is mostly taken without saying any more: many parameters, none of them required."""
        return len(self.spec.parameters) > 2 and not any(parameter.required for parameter in self.spec.parameters)


def _initial(invoice: Invoice) -> dict[str, Any]:
    return {
        "operation": uuid.uuid4(),
        "seen_status": invoice.status,
        "seen_remaining": invoice.amount_remaining,
    }


def add_parameters(form: forms.Form, spec: Spec, invoice: Invoice | None = None, skip: str = "") -> None:
    for parameter in spec.parameters:
        if parameter.kind != skip:
            form.fields[parameter.name] = _field(parameter, invoice)
            form.fields[parameter.name].widget.attrs["data-parameter"] = True  # the preview goes by these


def clean_parameters(form: forms.Form, spec: Spec, currency: str) -> dict[str, Any]:
    """Every parameter on its own, so that all errors show at once; amounts from major units."""
    given: dict[str, Any] = {}
    for parameter in spec.parameters:
        value = form.cleaned_data.get(parameter.name)
        if value is None or value == "":
            continue
        try:
            given[parameter.name] = parameter.clean(
                money.parse(value, currency) if parameter.kind == "money" else value
            )
        except (money.BadAmount, Invalid) as error:
            form.add_error(parameter.name, str(error))
    return given


def _field(parameter: Parameter, invoice: Invoice | None) -> forms.Field:
    common: dict[str, Any] = {"label": parameter.label, "help_text": parameter.help, "required": parameter.required}
    common["error_messages"] = {"required": f"{parameter.label} is missing."}
    field: forms.Field
    match parameter.kind:
        case "flag":
            field = forms.ChoiceField(choices=FLAG, **common)
        case "choice":
            field = forms.ChoiceField(choices=[(choice, choice) for choice in parameter.choices], **common)
        case "date":
            field = forms.DateField(initial=_today, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), **common)
        case "money":
            field = forms.CharField(max_length=40, **common)
            field.widget.attrs = {"inputmode": "decimal", "autocomplete": "off"}
            if invoice and invoice.currency and invoice.amount_remaining is not None:
                field.initial = money.text(invoice.amount_remaining, invoice.currency)[4:]
                field.unit = invoice.currency.upper()  # type: ignore[attr-defined]
        case _:
            field = forms.CharField(max_length=5000, **common)
            field.widget.attrs = {"autocomplete": "off"}
    return field


def _today() -> date:
    return min(timezone.localdate(), timezone.now().date())  # east of Greenwich, tomorrow comes earlier
