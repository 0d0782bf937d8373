"""In forms: what looks like the same once more (operations/repeats.py), in words, and the tick that it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django import forms
from django.utils.translation import gettext as _

from invoices import money
from invoices.admin import days
from invoices.admin.formatting import age_text
from invoices.admin.invoices import wording
from invoices.admin.links import page_url, url_of
from invoices.models import Invoice
from invoices.operations import repeats

FIELD = "seen_repeats"  # ticked, it has what was shown as its value


@dataclass(frozen=True)
class Line:
    """One thing that looks the same: the sentence, and where more stands; empty for who may not see that."""

    sentence: str
    link: str


class RepeatForm(forms.Form):
    """A form that asks, before anything is made of it, whether what looks the same is."""

    seen_repeats = forms.CharField(required=False, max_length=64)
    repeated = repeats.Look()
    may_see_operations = False  # of whoever fills it in: others read neither who nor where

    def check_repeats(self, look: repeats.Look) -> None:
        """Adds an error where something looks the same and was not said to be another."""
        self.repeated = look
        if not self.repeated.found:
            return
        if self.is_said_another():
            self.cleaned_data["reason"] = self.repeated.said(self.cleaned_data["reason"])
        else:
            for field in self.fields.values():
                field.widget.attrs.pop("autofocus", None)  # the question has it
            self.add_error(FIELD, _("Nothing was done yet. Tick this only if it is not the same once more."))

    def is_said_another(self) -> bool:
        """Whether the person ticked what is found now, and not something else that was found before."""
        return bool(self.data.get(FIELD)) and self.data.get(FIELD) == self.repeated.seen

    def repeat_lines(self) -> list[Line]:
        return lines(self.repeated, self.may_see_operations)


def lines(look: repeats.Look, may_see_operations: bool) -> list[Line]:
    """What was found, in sentences."""
    numbers = Invoice.objects.defer("data").in_bulk({pk for each in look.found for pk, _amount in each.parts})
    found = []
    for each in look.found:
        said = (
            _("{amount} on {invoices}, {when}") if each.is_done else _("{amount} on {invoices}, {when}, not done yet")
        )
        words = said.format(
            amount=money.text(each.params.get("amount"), each.currency),
            invoices=", ".join(wording.number(numbers[pk]) if pk in numbers else pk for pk, _amount in each.parts),
            when=age_text(each.at),
        )
        if day := each.params.get("received_on"):
            words += _(", received on {day}").format(day=days.in_words(date.fromisoformat(day)))
        if reference := each.params.get("reference"):
            words += _(", reference {reference}").format(reference=reference)
        if each.actor is None:
            words += _(", recorded at Stripe")
        elif may_see_operations:
            words += _(", by {person}").format(person=each.actor.get_full_name() or each.actor.get_username())  # type: ignore[attr-defined]
        link = page_url(each.operation) if each.operation else url_of("batch", each.batch) if each.batch else ""
        found.append(Line(f"{words}.", link if may_see_operations else ""))
    return found
