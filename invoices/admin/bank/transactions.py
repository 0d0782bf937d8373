"""Bank transactions: the list of what is to be matched, and the page of one with its proposals and its forms."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext_lazy
from django.views.decorators.http import require_POST

from invoices import clock, money, recorded, request_origin
from invoices.admin.bank import many, wording
from invoices.admin.bank.forms import DecisionForm, MatchForm
from invoices.admin.bank.returned_filter import ReturnedFilter
from invoices.admin.bank.statements import AccountFilter, named_statement
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.days import in_words as day_in_words
from invoices.admin.filters import ChoiceFilter, Choices, DayRangeFilter, Filter, Input, TabFilter
from invoices.admin.formatting import badge, day
from invoices.admin.invoices import wording as invoice_wording
from invoices.admin.links import page_url
from invoices.admin.locale import locale_of
from invoices.admin.sorting import Sort
from invoices.keyset import Order
from invoices.models import (
    BankDecision,
    BankMatch,
    BankTransaction,
    Invoice,
    Operation,
    StatementLine,
)
from invoices.operations import Refusal
from invoices.statements import decisions, keeping, proposing, recording, returned
from invoices.statements.formats.references import account_number
from invoices.statements.matching.proposal import Confidence

SEARCHED_FOR = timedelta(days=400)  # of texts and amounts, which have no index
TEXT_LENGTH = 60  # characters of a text in the list


def _said(term: str) -> Q:
    """The transactions whose payer, account or text has this, or that are of this amount."""
    found = Q(payer_name__icontains=term) | Q(text__icontains=term) | Q(payer_account=account_number(term))
    for locale, currency in product((money.PLAIN, "de"), ("eur", "jpy", "kwd")):  # two decimals, none, three
        with suppress(money.BadAmount):
            minor = money.parse(term, currency, locale)
            found |= Q(amount__in=[minor, -minor])
    return found


class DaysFilter(DayRangeFilter):
    """Days of the bank, which have no time zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.problems:
            return queryset.none()
        if self.first:
            queryset = queryset.filter(**{f"{self.field_name}__gte": self.first})
        if self.last:
            queryset = queryset.filter(**{f"{self.field_name}__lte": self.last})
        return queryset


class StateFilter(TabFilter):
    title, parameter_name = gettext_lazy("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, str(label)) for value, label in BankTransaction.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(state=self.value()) if self.value() else queryset


class ConfidenceFilter(ChoiceFilter):
    """Of the best proposal of what is to be matched."""

    title, parameter_name = pgettext_lazy("filter", "proposal"), "confidence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(str(value), str(label)) for value, label in Confidence.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        return queryset.filter(state=BankTransaction.State.OPEN, confidence=int(self.value() or 0))


class StatementFilter(Filter):
    """The transactions of one statement, also those that an earlier one had."""

    title, parameters = gettext_lazy("statement"), ("statement",)

    def read(self) -> None:
        value = self.values["statement"]
        self.found = named_statement(value)
        if value and self.found is None:
            self.problems["statement"] = _("There is no such statement.")

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.problems:
            return queryset.none()
        return queryset.filter(lines__statement=self.found) if self.found else queryset

    def words(self) -> str:
        return str(self.found or "")

    def inputs(self) -> list[Input]:
        return [Input("statement", self.label, "hidden", self.values["statement"])]


@admin.register(BankTransaction)
class BankTransactionAdmin(RecordAdmin):
    page_template = "admin/bank/transaction.html"
    refreshed_part = "admin/bank/parts/matches.html"
    list_display = ("payer_", "text_", "amount_", "left_", "state_", "proposal_", "booked_")
    more_columns = ("account_",)
    list_filter = (
        StateFilter,
        ConfidenceFilter,
        DaysFilter.on("booked_on", gettext_noop("booked")),
        AccountFilter,
        ReturnedFilter,
        StatementFilter,
    )
    sorts: ClassVar = {"booked": Sort("booked_", Order("booked_on"))}
    ordering = ("-booked_on",)
    search_fields = ("id",)
    search_help_text = gettext_lazy("The bank’s reference, the payer’s reference, or an invoice’s number")
    empty_hint = gettext_noop("Nothing here. Upload a bank statement, and its credits are here to match.")

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        for column in ("bank_reference", "end_to_end_id"):
            if queryset.model._default_manager.filter(**{column: term}).exists():
                return queryset.filter(**{column: term})
        numbered = Invoice.objects.filter(number__in={term, term.upper()}).values_list("pk", flat=True)
        matched = BankMatch.objects.filter(invoice__in=[term, *numbered[:50]]).values("transaction")
        pays = list(matched.values_list("transaction", flat=True)[:500])
        if pays:
            return queryset.filter(pk__in=pays)
        return queryset.filter(_said(term), booked_on__gte=clock.now().date() - SEARCHED_FOR)

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("confirm/", self.confirm_view, "confirm"),
            self.at("<uuid:object_id>/match/", self.match_view, "match"),
            self.at("<uuid:object_id>/decide/", self.decide_view, "decide"),
            self.at("<uuid:object_id>/reopen/", self.reopen_view, "reopen"),
            self.at("<uuid:object_id>/another/", self.another_view, "another"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may = {
            "may_upload": request.user.has_perm("invoices.add_bankstatement"),
            "may_match": request.user.has_perm(recording.MATCH),
            "of_statement": named_statement(request.GET.get("statement", "")),  # what is confirmed is of this list
        }
        return super().changelist_view(request, {**(extra_context or {}), **may})

    def confirm_view(self, request: HttpRequest) -> HttpResponse:
        return many.confirm(self, request)

    def prepare(self, records: list[BankTransaction]) -> None:
        super().prepare(records)
        shown = wording.shown(records)
        for each in records:
            each.shown = shown[each.pk]  # type: ignore[attr-defined]

    # --- the page of one ----------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, record: BankTransaction) -> dict[str, Any]:
        recording.settle([record.pk])
        record.refresh_from_db()
        proposing.renew([record])
        return self._context(request, record)

    def _context(
        self,
        request: HttpRequest,
        record: BankTransaction,
        form: MatchForm | None = None,
        decision: DecisionForm | None = None,
    ) -> dict[str, Any]:
        may = request.user.has_perm(recording.MATCH)
        proposals = wording.shown([record])[record.pk]
        is_open = record.state == BankTransaction.State.OPEN and record.left > 0
        by_hand = self._recorded_by_hand(record) if is_open else []
        matches = self._matches(record)
        is_still_recorded = returned.still_recorded().filter(pk=record.pk).exists()
        standing = [(each, wording.what_is_decided(each)) for each in decisions.standing(record)]
        held = {each.pk for each, _words in standing}
        return {
            "title": f"{wording.payer(record)}, {money.text(record.amount, record.currency)}",
            "record": record,
            "payer": wording.payer(record),
            "amount": money.text(record.amount, record.currency),
            "left": money.text(record.left, record.currency) if record.amount > 0 else "",
            "state": (record.get_state_display(), wording.TONES[BankTransaction.State(record.state)]),
            "facts": self.facts(record),
            "is_open": is_open,
            "may_match": may,
            "may_be_a_payment": proposing.may_be_a_payment(record),
            "proposals": [each for each in proposals if each.parts],
            "remarks": [reason for each in proposals if not each.parts for reason in each.reasons],
            "form": form or (MatchForm(record, proposals, locale=locale_of(request)) if is_open and may else None),
            "decision": decision or (DecisionForm(recorded=by_hand) if is_open and may else None),
            "by_hand": by_hand,
            "matches": matches,
            "live": _live(matches),
            "any_recorded": any(match["row"].state == BankMatch.State.RECORDED for match in matches),
            "in_progress": any(match["row"].state == BankMatch.State.CONFIRMED for match in matches),
            "decisions": standing,
            "earlier": [
                (each, wording.what_is_decided(each))
                for each in record.decisions.order_by("decided_at", "pk").select_related("decided_by")
                if each.what not in (BankDecision.What.ANOTHER, returned.SETTLED) and each.pk not in held
            ],
            "is_another": [each for each in record.decisions.all() if each.what == BankDecision.What.ANOTHER],
            "again": self._again(record),
            "returned_by": list(record.returned_by.all()),
            "candidates": keeping.may_be_returned_by(record) if record.state == BankTransaction.State.RETURNED else [],
            "is_still_recorded": is_still_recorded,
            "is_to_be_settled": may and is_still_recorded,
            "settled": [each for each in record.decisions.all() if each.what == returned.SETTLED],
            "undone": _live(self._matches(record.undoes)) if record.undoes else [],
        }

    def _recorded_by_hand(self, record: BankTransaction) -> list[tuple[Operation, str]]:
        invoices = [
            reason.values["invoice"]
            for each in proposing.proposals_of(record)
            for reason in each.reasons
            if "invoice" in reason.values
        ]
        invoices += [part.invoice for each in proposing.proposals_of(record) for part in each.parts]
        label = _("Recorded already: {amount} on {number}, by {person} on {day}")
        numbers = dict(Invoice.objects.filter(pk__in=invoices).values_list("pk", "number"))
        return [
            (
                each,
                label.format(
                    amount=money.text(record.left, record.currency),
                    number=numbers.get(each.invoice) or each.invoice,
                    person=each.actor or "–",
                    day=day(each.created_at),
                ),
            )
            for each in decisions.recorded_by_hand(record, list(dict.fromkeys(invoices)))
        ]

    def _matches(self, record: BankTransaction) -> list[dict[str, Any]]:
        rows = list(record.matches.order_by("confirmed_at", "pk").select_related("confirmed_by", "batch"))
        invoices = Invoice.objects.defer("data").in_bulk([row.invoice for row in rows])
        operations = Operation.objects.in_bulk([row.pk for row in rows])
        return [
            {
                "row": row,
                "confidence": wording.confidence_of(row),
                "number": invoice_wording.number(invoices[row.invoice]) if row.invoice in invoices else row.invoice,
                "amount": money.text(row.amount, row.currency),
                "state": (row.get_state_display(), wording.MATCH_TONES[BankMatch.State(row.state)]),
                "operation": operations.get(row.pk),
                "message": recorded.shown(row.message),
                "waits": row.batch.awaiting_approval,
            }
            for row in rows
        ]

    def _again(self, record: BankTransaction) -> list[StatementLine]:
        """The lines of other statements that were taken for this credit."""
        if record.amount <= 0:
            return []
        lines = record.lines.exclude(statement=record.statement_id).select_related("statement")
        return list(lines.order_by("statement__uploaded_at", "pk")[:50])

    def _credit(self, request: HttpRequest, object_id: Any) -> BankTransaction:
        """The credit that a form is about. Raises PermissionDenied, Http404."""
        if not (self.has_view_permission(request) and request.user.has_perm(recording.MATCH)):
            raise PermissionDenied
        record = self.record(object_id)
        if record is None:
            raise Http404
        return record

    @method_decorator(require_POST)
    def match_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Records the invoices of a proposal; those that were typed are shown first, with whose they are."""
        record = self._credit(request, object_id)
        # A second click, or a page that was sent again: what was typed may no longer fit, because it is recorded.
        if recording.is_sent(request.POST.get("batch", ""), record, request.user):
            return redirect(page_url(record))
        form = MatchForm(record, wording.shown([record])[record.pk], request.POST, locale=locale_of(request))
        if form.is_valid():
            given = form.cleaned_data
            try:
                if form.is_to_be_shown():
                    return self.show(request, self.page_template, self._context(request, record, form=form))
                batch = recording.confirm(
                    given["words"],
                    by=request.user,  # type: ignore[arg-type]
                    reason=given["reason"],
                    ticket=given["ticket"],
                    batch_id=given["batch"],
                    **request_origin.origin(request),
                )
            except Refusal as refusal:
                form.refuse(refusal.param, refusal.message)
                form.renew()
            else:
                if batch.awaiting_approval:
                    messages.info(request, _("It waits for a second person. Nothing was sent to Stripe yet."))
                return redirect(page_url(record))
        record.refresh_from_db()
        proposing.renew([record])
        return self.show(request, self.page_template, self._context(request, record, form=form), status=400)

    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Sets what is left of a credit aside; of a debit that took a recorded credit back: it is settled."""
        record = self._credit(request, object_id)
        if record.amount < 0:
            return self._said(request, record, returned.settle, _("Noted: it is settled at Stripe."))
        form = DecisionForm(request.POST, recorded=self._recorded_by_hand(record))
        if form.is_valid():
            given = form.cleaned_data
            try:
                decisions.decide(
                    record.pk,
                    given["what"],
                    by=request.user,  # type: ignore[arg-type]
                    reason=given["reason"],
                    operation=given["operation"],
                    **request_origin.origin(request),
                )
            except Refusal as refusal:
                form.add_error(refusal.param if refusal.param in form.fields else None, refusal.message)
            else:
                messages.success(request, _("Noted. It can be taken up again on this page."))
                return redirect(page_url(record))
        return self.show(request, self.page_template, self._context(request, record, decision=form), status=400)

    def _said(self, request: HttpRequest, record: BankTransaction, say: Callable[..., Any], noted: str) -> HttpResponse:
        """Says something about a transaction with the reason that was typed, and leads back to its page."""
        try:
            say(record.pk, by=request.user, reason=request.POST.get("reason", ""), **request_origin.origin(request))
        except Refusal as refusal:
            messages.warning(request, refusal.message)
        else:
            messages.success(request, noted)
        return redirect(page_url(record))

    @method_decorator(require_POST)
    def reopen_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """What was set aside is to be matched again."""
        record = self._credit(request, object_id)
        return self._said(request, record, decisions.take_up_again, _("It is to be matched again."))

    @method_decorator(require_POST)
    def another_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """It is not the credit of another file for which it was taken."""
        record = self._credit(request, object_id)
        line = request.POST.get("line", "")
        try:
            made = decisions.say_it_is_another(
                record.pk,
                by=request.user,  # type: ignore[arg-type]
                reason=request.POST.get("reason", ""),
                line=int(line) if line.isdecimal() and line.isascii() and len(line) < 16 else None,
                **request_origin.origin(request),
            )
        except Refusal as refusal:
            messages.warning(request, refusal.message)
            return redirect(page_url(record))
        messages.success(request, _("Noted. It is a credit of its own now, to be matched."))
        return redirect(page_url(made.transaction))

    def facts(self, record: BankTransaction) -> Facts:
        statement = record.statement
        facts: Facts = [
            (_("Text"), record.text),
            (_("Payer’s account"), record.payer_account),
            (_("Reference"), record.structured_reference),
            (_("End-to-end reference"), record.end_to_end_id),
            (_("The bank’s reference"), record.bank_reference),
            (_("Booked"), day_in_words(record.booked_on)),
            (_("Value date"), day_in_words(record.valued_on) if record.valued_on else ""),
            (_("Our account"), record.account),
            (_("Kind"), record.code),
            (_("Reason of the return"), record.return_reason),
            (_("Statement"), format_html('<a href="{}">{}</a>', page_url(statement), statement)),
            (_("Line of the file"), record.number),
        ]
        return [(label, value) for label, value in facts if value]

    # --- the columns of the list --------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("Payer"))
    def payer_(self, record: BankTransaction) -> SafeString:
        return format_html('<span class="strong">{}</span>', wording.payer(record))

    @admin.display(description=gettext_lazy("Text"))
    def text_(self, record: BankTransaction) -> str:
        return Truncator(record.text or record.structured_reference).chars(TEXT_LENGTH)

    @admin.display(description=gettext_lazy("Amount"))
    def amount_(self, record: BankTransaction) -> str:
        return money.text(record.amount, record.currency)

    @admin.display(description=gettext_lazy("Left to match"))
    def left_(self, record: BankTransaction) -> str:
        return money.text(record.left, record.currency) if record.left else "–"

    @admin.display(description=gettext_lazy("State"))
    def state_(self, record: BankTransaction) -> SafeString:
        return badge(record.get_state_display(), wording.TONES[BankTransaction.State(record.state)])

    @admin.display(description=gettext_lazy("Proposal"))
    def proposal_(self, record: BankTransaction) -> SafeString:
        best = next((each for each in record.shown if each.parts), None)  # type: ignore[attr-defined]
        if record.state != BankTransaction.State.OPEN or best is None:
            return SafeString("–")
        label, tone = best.confidence
        numbers = ", ".join(part.number for part in best.parts[:2])
        more = f" +{len(best.parts) - 2}" if len(best.parts) > 2 else ""
        return format_html("{} {}{}", badge(label, tone), numbers, more)

    @admin.display(description=gettext_lazy("Booked"))
    def booked_(self, record: BankTransaction) -> str:
        return day_in_words(record.booked_on)

    @admin.display(description=gettext_lazy("Our account"))
    def account_(self, record: BankTransaction) -> str:
        return record.account


def _live(matches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are recorded, or are being recorded."""
    return [match for match in matches if match["row"].state in BankMatch.LIVE]
