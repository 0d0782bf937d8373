"""Confirms every proposal from a confidence on at once: shown whole, with the sum of each currency to be typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from invoices import money, request_origin
from invoices.admin.bank import wording
from invoices.admin.bank.forms import ManyForm, from_field, to_field
from invoices.admin.bank.statements import named_statement
from invoices.admin.formatting import number
from invoices.admin.links import page_url
from invoices.admin.locale import locale_of
from invoices.models import BankStatement, BankTransaction
from invoices.operations import Refusal
from invoices.statements import proposing, recording
from invoices.statements.matching.proposal import Confidence
from invoices.statements.recording import Confirmed

MOST = 1_000  # credits that are confirmed at once
SHOWN = 100  # of them in the table; the rest is folded away


@dataclass
class Row:
    """A credit and what would be recorded of it."""

    credit: BankTransaction
    best: wording.ShownProposal

    @property
    def payer(self) -> str:
        return wording.payer(self.credit)

    @property
    def amount(self) -> str:
        """What would be recorded of it: the column adds up to the sum that is typed."""
        return money.text(self._recorded, self.credit.currency)

    @property
    def stays(self) -> str:
        """What nobody has decided on afterwards; empty: nothing."""
        left = self.credit.left - self._recorded
        return money.text(left, self.credit.currency) if left else ""

    @property
    def _recorded(self) -> int:
        return sum(part.amount for part in self.best.parts)

    @property
    def words(self) -> list[Confirmed]:
        confidence = int(self.best.proposal.confidence)
        return [Confirmed(self.credit.pk, part.invoice.pk, part.amount, confidence) for part in self.best.parts]


def confirm(admin: Any, request: HttpRequest) -> HttpResponse:
    """GET shows what would be recorded, POST makes the batch."""
    if not (admin.has_view_permission(request) and request.user.has_perm(recording.MATCH)):
        raise PermissionDenied
    if request.method != "POST":
        return _ask(admin, request)
    words = from_field(request.POST.get("seen", ""))
    form = ManyForm(_sums(words), request.POST, locale=locale_of(request))
    if not form.is_valid():
        return _ask(admin, request, form)
    try:
        batch = recording.confirm(
            words,
            by=request.user,  # type: ignore[arg-type]
            reason=form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            batch_id=form.cleaned_data["batch"],
            **request_origin.origin(request),
        )
    except Refusal as refusal:
        messages.warning(request, _("Nothing was recorded. {why}").format(why=refusal.message))
        return _ask(admin, request, form)
    return redirect(page_url(batch))


def _sums(words: list[Confirmed]) -> dict[str, int]:
    """What these would record: currency → minor units. The currency is the credit's own."""
    ids = {word.transaction for word in words}
    currencies = dict(BankTransaction.objects.filter(pk__in=ids).values_list("pk", "currency"))
    sums: dict[str, int] = {}
    for word in words:
        currency = currencies.get(word.transaction, "")
        if currency:
            sums[currency] = sums.get(currency, 0) + word.amount
    return dict(sorted(sums.items()))


def _ask(admin: Any, request: HttpRequest, form: ManyForm | None = None) -> HttpResponse:
    """What is proposed now. A form that is shown again keeps what was typed, over what is proposed now."""
    least = _least(request)
    statement = named_statement(request.GET.get("statement", ""))
    rows, is_more = _rows(statement, least)
    words = [word for row in rows for word in row.words]
    sums = _sums(words)
    if form is None:
        form = ManyForm(sums, initial={"seen": to_field(words)}, locale=locale_of(request))
        status = 200
    else:
        shown, status = ManyForm(sums, request.POST, locale=locale_of(request)), 400
        shown.data = {**request.POST.dict(), "seen": to_field(words)}
        form = shown
    address = reverse("admin:invoices_banktransaction_confirm")
    here = f"statement={statement.pk}&" if statement else ""
    context = {
        "title": _("Confirm proposals"),
        "form": form,
        "rows": rows[:SHOWN],
        "more": rows[SHOWN:],
        "count": number(len(rows)),
        "is_more": is_more,
        "most": number(MOST),
        "statement": statement,
        "sums": [
            (
                currency.upper(),
                number(sum(row.credit.currency == currency for row in rows)),
                money.text(amount, currency),
            )
            for currency, amount in sums.items()
        ],
        "levels": [
            (label, f"{address}?{here}least={int(level)}", level == least)
            for level, label in (
                (Confidence.HIGH, Confidence.HIGH.label),
                (
                    Confidence.MEDIUM,
                    _("{one} and {other}").format(one=Confidence.MEDIUM.label, other=Confidence.HIGH.label),
                ),
            )
        ],
        "back": page_url(statement)
        if statement
        else f"{reverse('admin:invoices_banktransaction_changelist')}?state=open",
    }
    return admin.show(request, "admin/bank/confirm.html", context, status=status)


def _least(request: HttpRequest) -> Confidence:
    given = request.GET.get("least", "")
    return Confidence.MEDIUM if given == str(int(Confidence.MEDIUM)) else Confidence.HIGH


def _rows(statement: BankStatement | None, least: Confidence) -> tuple[list[Row], bool]:
    """The credits to confirm, oldest first, and whether there are more of them. What is proposed is looked at anew."""
    found = BankTransaction.objects.filter(state=BankTransaction.State.OPEN, confidence__gte=int(least))
    if statement is not None:
        found = found.filter(lines__statement=statement)
    credits = list(found.order_by("booked_on", "pk")[: MOST + 1])
    is_more, credits = len(credits) > MOST, credits[:MOST]
    proposing.renew(credits)
    shown = wording.shown(credits)
    rows = []
    for credit in credits:
        best = next((each for each in shown[credit.pk] if each.parts), None)
        if best is not None and credit.confidence >= int(least):
            rows.append(Row(credit, best))
    return rows, is_more
