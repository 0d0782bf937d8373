"""The forms with which credits are matched: one of the proposals or invoices by hand, and what else a credit can be."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money
from invoices.admin.bank import by_hand
from invoices.admin.bank.wording import ShownProposal
from invoices.admin.invoices.forms import ActingForm
from invoices.models import BankDecision, BankTransaction, Invoice
from invoices.statements.recording import Confirmed

ROWS_BY_HAND = 6
BY_HAND = "hand"
MAX_SEEN = 400_000  # characters of what a form of many credits holds
REASONS = (gettext_noop("The money is on our bank account"),)


class MatchForm(ActingForm):
    """Which invoices a credit pays: those of a proposal, or numbers and amounts that are typed. The hidden fields hold
    the id that the batch will have, so that a form sent twice makes one batch, and the proposals as they were shown."""

    batch = forms.UUIDField(widget=forms.HiddenInput)
    # What was shown of the invoices by hand (by_hand.Preview.seen); empty: nothing yet.
    seen = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(
        self,
        credit: BankTransaction,
        proposals: Sequence[ShownProposal],
        data: Any = None,
        *,
        locale: str = money.PLAIN,
    ) -> None:
        self.reasons = REASONS
        super().__init__(data, initial={"batch": uuid.uuid4(), "reason_choice": REASONS[0]})
        self.credit, self.proposals, self.locale = credit, proposals, locale
        self.preview: by_hand.Preview | None = None
        self.meant: dict[str, list[by_hand.Row]] = {}  # field → invoices that may be meant by what was typed there
        usable = [each for each in proposals if each.parts]
        choices = [*((str(each.index), str(each.index)) for each in usable), (BY_HAND, BY_HAND)]
        # What a sent form says of its proposals counts: they may be others by now.
        if data is not None:
            choices = [*((str(place), str(place)) for place in range(3)), (BY_HAND, BY_HAND)]
        self.fields["choice"] = forms.ChoiceField(
            choices=choices,
            initial=choices[0][0],
            error_messages={"required": _("Choose a proposal, or give the invoices below.")},
        )
        for place in range(ROWS_BY_HAND):
            self.fields[f"number_{place}"] = forms.CharField(
                required=False, max_length=255, label=_("Number of invoice {number}").format(number=place + 1)
            )
            self.fields[f"amount_{place}"] = forms.CharField(
                required=False,
                max_length=money.MAX_LENGTH,
                label=_("Amount for invoice {number}").format(number=place + 1),
            )
            self.fields[f"amount_{place}"].widget.attrs |= {"inputmode": "decimal", "autocomplete": "off"}
            self.fields[f"number_{place}"].widget.attrs |= {"autocomplete": "off"}
        for each in usable:
            self.fields[f"parts_{each.index}"] = forms.CharField(
                required=False, initial=each.as_field, widget=forms.HiddenInput, max_length=20_000
            )
            self.fields[f"confidence_{each.index}"] = forms.IntegerField(
                required=False, initial=int(each.proposal.confidence), widget=forms.HiddenInput
            )

    def chosen(self) -> str:
        return str(self["choice"].value() or "")

    def rows(self) -> list[tuple[forms.BoundField, forms.BoundField, list[by_hand.Row]]]:
        """The fields for invoices by hand, and which invoices may be meant."""
        numbers = [(f"number_{place}", f"amount_{place}") for place in range(ROWS_BY_HAND)]
        return [(self[number], self[amount], self.meant.get(number, [])) for number, amount in numbers]

    def is_to_be_shown(self) -> bool:
        """Whether what is typed by hand has not been shown as it is now: then it is shown, and nothing recorded.
        Raises Invalid, Refusal."""
        if self.cleaned_data["choice"] != BY_HAND:
            return False
        self.preview = by_hand.preview(self.credit, self.cleaned_data["words"])
        if self.cleaned_data["seen"] == self.preview.seen:
            return False
        self.data = {**self.data.dict(), "seen": self.preview.seen}  # type: ignore[attr-defined]
        return True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        choice = cleaned.get("choice")
        if choice == BY_HAND:
            cleaned["words"] = list(self._by_hand(cleaned))
            if not cleaned["words"] and not self.errors:
                self.add_error("number_0", _("Give the number of an invoice."))
        elif choice:
            confidence = self.data.get(f"confidence_{choice}", "")
            number = int(confidence) if confidence in ("1", "2", "3") else None
            cleaned["words"] = [
                Confirmed(self.credit.pk, invoice, amount, number)
                for invoice, amount in parts_of(self.data.get(f"parts_{choice}", ""))
            ]
            if not cleaned["words"]:
                self.add_error("choice", _("Choose a proposal, or give the invoices below."))
        return cleaned

    def _by_hand(self, cleaned: dict[str, Any]) -> Iterator[Confirmed]:
        left = self.credit.left
        for place in range(ROWS_BY_HAND):
            typed = cleaned.get(f"number_{place}", "").strip()
            written = cleaned.get(f"amount_{place}", "").strip()
            if not typed:
                if written:
                    self.add_error(f"number_{place}", _("Give the number of this invoice."))
                continue
            invoice = named(typed)
            if invoice is None:
                self._say_what_may_be_meant(f"number_{place}", typed)
                continue
            try:
                amount = (
                    money.parse(written, self.credit.currency, self.locale)
                    if written
                    else min(left, invoice.amount_remaining or 0)
                )
            except money.BadAmount as error:
                self.add_error(f"amount_{place}", str(error))
                continue
            if amount <= 0:
                self.add_error(f"amount_{place}", _("Nothing is left of the credit for this invoice."))
                continue
            left -= amount
            yield Confirmed(self.credit.pk, invoice.pk, amount)

    def _say_what_may_be_meant(self, name: str, typed: str) -> None:
        message = _("There is no open invoice with this number.")
        self.meant[name] = by_hand.may_be_meant(typed, self.credit)
        if not self.meant[name]:
            how = _("Search for the customer at the top of the page, and copy the number from there.")
            message = f"{message} {how}"
        self.add_error(name, message)

    def refuse(self, param: str | None, message: str) -> None:
        """A refusal of the recording, above the form."""
        self.add_error(None, message)

    def renew(self) -> None:
        """For another try: a new id, and what was typed stays."""
        self.data = {**self.data.dict(), "batch": str(uuid.uuid4())}  # type: ignore[attr-defined]


def named(typed: str) -> Invoice | None:
    """The invoice that is payable and has this number or id; None where there is none, or more than one."""
    payable = by_hand.payable()
    if typed.startswith("in_"):
        return payable.filter(pk=typed).first()
    found = list(payable.filter(number__in={typed, typed.upper()})[:2])
    return found[0] if len(found) == 1 else None


def parts_of(written: str) -> Iterator[tuple[str, int]]:
    """`in_1 11900;in_2 500`, as a page of ours writes it."""
    for each in written.split(";"):
        invoice, _blank, amount = each.strip().partition(" ")
        if invoice and amount.isdecimal() and amount.isascii() and len(amount) < 16 and "\x00" not in invoice:
            yield invoice[:255], int(amount)


class ManyForm(ActingForm):
    """Every proposal of a page at once: the sum of each currency is typed, so that nobody confirms unseen."""

    batch = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.CharField(widget=forms.HiddenInput, max_length=MAX_SEEN)

    def __init__(
        self, sums: dict[str, int], data: Any = None, initial: Any = None, *, locale: str = money.PLAIN
    ) -> None:
        self.reasons = REASONS
        super().__init__(data, initial={"batch": uuid.uuid4(), "reason_choice": REASONS[0], **(initial or {})})
        self.sums, self.locale = sums, locale
        for currency in sums:
            field = forms.CharField(
                max_length=money.MAX_LENGTH,
                label=_("Sum in {currency}").format(currency=currency.upper()),
                error_messages={"required": _("Type the sum, to confirm it.")},
                widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
            )
            field.unit = currency.upper()  # type: ignore[attr-defined]
            self.fields[f"sum_{currency}"] = field

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for currency, wanted in self.sums.items():
            name = f"sum_{currency}"
            if name not in cleaned:
                continue
            try:
                typed = money.parse(cleaned[name], currency, self.locale)
            except money.BadAmount as error:
                self.add_error(name, str(error))
                continue
            if typed != wanted:
                message = _("The sum is {amount}. Type this to confirm it, or go back and look again.")
                self.add_error(name, message.format(amount=money.text(wanted, currency)))
        return cleaned

    def typed_sums(self) -> list[forms.BoundField]:
        return [self[f"sum_{currency}"] for currency in self.sums]


def to_field(words: Iterable[Confirmed]) -> str:
    return ";".join(f"{word.transaction.hex} {word.invoice} {word.amount} {word.confidence or 0}" for word in words)


def from_field(written: str) -> list[Confirmed]:
    """What `to_field` wrote. What cannot be read is left out: the sum that is typed would then not be that."""
    found = []
    for each in written[:MAX_SEEN].split(";"):
        parts = each.split(" ")
        if len(parts) != 4 or not all(part.isdecimal() and len(part) < 16 for part in parts[2:]) or "\x00" in each:
            continue
        try:
            pk = uuid.UUID(parts[0])
        except ValueError:
            continue
        confidence = int(parts[3]) if parts[3] in ("1", "2", "3") else None
        found.append(Confirmed(pk, parts[1][:255], int(parts[2]), confidence))
    return found


class DecisionForm(forms.Form):
    """What else a credit can be, with a reason of one's own."""

    what = forms.ChoiceField(
        label=gettext_lazy("What it is"),
        choices=[
            (BankDecision.What.IGNORED, gettext_lazy("Set aside: it pays no invoice, such as interest")),
            (BankDecision.What.NOT_OURS, gettext_lazy("Not ours: it was sent to us by mistake")),
        ],
        error_messages={"required": gettext_lazy("Please say what it is.")},
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": gettext_lazy("Please say why: the reason stands in the journal.")},
    )
    operation = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, recorded: Sequence[Any] = ()) -> None:
        super().__init__(data)
        self.fields["what"].has_default = True  # type: ignore[attr-defined]
        already = [(f"{BankDecision.What.ALREADY_RECORDED} {operation.pk}", label) for operation, label in recorded]
        self.fields["what"].choices = [*already, *self.fields["what"].choices]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        what, _blank, operation = str(cleaned.get("what", "")).partition(" ")
        cleaned["what"] = what
        cleaned["operation"] = uuid.UUID(operation) if operation else None
        return cleaned
