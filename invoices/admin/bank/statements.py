"""Bank statements: the list, the upload with the columns of CSV files, and the page of one with its state of work."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from invoices import money, request_origin
from invoices.admin.bank import wording
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.days import in_words as day_in_words
from invoices.admin.filters import Choices, ColumnFilter
from invoices.admin.formatting import ago, moment, number
from invoices.admin.links import page_url
from invoices.models import BankStatement, BankTransaction
from invoices.operations import Refusal
from invoices.statements import coverage, keeping, layouts
from invoices.statements.formats.csv_file import DATE_FORMATS, DECIMAL_MARKS, CsvLayout, NeedsLayout, Table
from invoices.statements.formats.parsed import BadStatement, ParsedStatement
from invoices.statements.formats.read import read
from invoices.statements.formats.references import account_number

# What a column can be, in the order of the form.
ROLES = (
    ("booked_on", gettext_noop("Booking date"), True),
    ("amount", gettext_noop("Amount"), False),
    ("credit", gettext_noop("Amount of credits, if it has a column of its own"), False),
    ("debit", gettext_noop("Amount of debits, if it has a column of its own"), False),
    ("sign", gettext_noop("Credit or debit, if a column says so"), False),
    ("currency_column", gettext_noop("Currency"), False),
    ("account_column", gettext_noop("Our account"), False),
    ("payer_name", gettext_noop("Payer’s name"), False),
    ("payer_account", gettext_noop("Payer’s account"), False),
    ("structured_reference", gettext_noop("Reference in a column of its own"), False),
    ("end_to_end_id", gettext_noop("End-to-end reference"), False),
    ("bank_reference", gettext_noop("The bank’s reference, different for each line"), False),
    ("valued_on", gettext_noop("Value date"), False),
    ("balance", gettext_noop("Balance after the line"), False),
    ("fee", gettext_noop("Fee that the bank took besides the amount"), False),
    ("status", gettext_noop("Booked or pending, if a column says so"), False),
)
DATE_LABELS = {each: date(2026, 12, 31).strftime(each) for each in DATE_FORMATS}


class UploadForm(forms.Form):
    """The file."""

    file = forms.FileField(
        label=gettext_lazy("File of the bank"),
        help_text=gettext_lazy("camt.053, camt.054, MT940 or CSV, at most 20 MB. The same file twice changes nothing."),
        error_messages={
            "required": gettext_lazy("Choose the file that the bank gave you."),
            "empty": gettext_lazy("The file is empty. Choose the file that the bank gave you."),
        },
    )

    account = forms.CharField(
        max_length=64,
        required=False,
        label=gettext_lazy("Our account, if a CSV file does not say it"),
        help_text=gettext_lazy("Empty: the one that was given when its columns were named."),
    )
    anew = forms.BooleanField(
        required=False,
        label=gettext_lazy("Say again what the columns of this CSV file are"),
        help_text=gettext_lazy("Where they were said wrongly before. What was taken already stays as it was read."),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        file, account = cleaned.get("file"), cleaned.get("account", "")
        if file and account and account.casefold() == (file.name or "").casefold():
            self.add_error("account", _("This is the name of the file. Write the account’s number, or leave it empty."))
        return cleaned


class LayoutForm(forms.Form):
    """What the columns of a bank's CSV files are."""

    name = forms.CharField(max_length=100, label=gettext_lazy("Name of the bank"), required=True)
    account = forms.CharField(
        max_length=64,
        required=False,
        label=gettext_lazy("Our account, if no column has it"),
        help_text=gettext_lazy("IBAN or number."),
    )
    currency = forms.CharField(
        max_length=3, required=False, label=gettext_lazy("Its currency, if no column has it"), help_text="EUR"
    )
    sign_of_debit = forms.CharField(
        max_length=40, required=False, label=gettext_lazy("What the column of credit or debit says of a debit")
    )

    status_of_booked = forms.CharField(
        max_length=100,
        required=False,
        label=gettext_lazy("What the column of booked or pending says of what is booked"),
        help_text=gettext_lazy("Other lines are left out. Several words with commas."),
    )

    def __init__(self, table: Table, data: Any = None, suggested: CsvLayout | None = None) -> None:
        initial = suggested.to_json() if suggested else {}
        super().__init__(data, initial=initial, prefix="layout")
        self.table = table
        labels = [(label, label) for label in table.labels if label]
        for name, label, needed in ROLES:
            self.fields[name] = forms.ChoiceField(
                required=needed, label=_(label), choices=[("", _("No column")), *labels]
            )
        self.fields["text"] = forms.MultipleChoiceField(
            required=False,
            label=_("What the payer wrote"),
            choices=labels,
            widget=forms.CheckboxSelectMultiple,
            help_text=_("All columns that have a part of it."),
        )
        self.fields["date_format"] = forms.ChoiceField(
            label=_("How days are written"),
            choices=[("", _("Choose one")), *((each, DATE_LABELS[each]) for each in DATE_FORMATS)],
        )
        self.fields["decimal_mark"] = forms.ChoiceField(
            label=_("How amounts are written"),
            choices=[
                ("", _("Choose one")),
                *((mark, f"1{'.' if mark == ',' else ','}234{mark}50") for mark in DECIMAL_MARKS),
            ],
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("amount") and not (cleaned.get("credit") or cleaned.get("debit")):
            self.add_error("amount", _("Choose the column of the amount."))
        if cleaned.get("sign") and not cleaned.get("sign_of_debit"):
            self.add_error("sign_of_debit", _("Say what this column says of a debit."))
        if cleaned.get("status") and not cleaned.get("status_of_booked"):
            self.add_error("status_of_booked", _("Say what this column says of what is booked."))
        if not cleaned.get("currency") and not cleaned.get("currency_column"):
            self.add_error("currency", _("Give the currency, or choose its column."))
        if not (cleaned.get("account") or cleaned.get("account_column") or self.table.account):
            self.add_error("account", _("Give the account, or choose its column."))
        return cleaned

    def layout(self) -> CsvLayout:
        given = dict(self.cleaned_data)
        given.pop("name")
        given["account"] = account_number(given["account"])
        given["currency"] = given["currency"].lower()
        return CsvLayout.from_json(given)

    def rows(self) -> list[forms.BoundField]:
        order = ("name", "booked_on", "date_format", "amount", "decimal_mark", "text")
        return [self[name] for name in (*order, *(name for name in self.fields if name not in order))]


class AccountFilter(ColumnFilter):
    title, parameter_name = gettext_lazy("account"), "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        found = BankStatement.objects.order_by("account").values_list("account", flat=True).distinct()
        return [(account, account) for account in found[:200]]


@admin.register(BankStatement)
class BankStatementAdmin(RecordAdmin):
    page_template = "admin/bank/statement.html"
    list_display = ("name_", "period_", "lines_", "opening_", "closing_", "format_", "who", "when")
    list_filter = (AccountFilter,)
    list_select_related = ("uploaded_by",)
    ordering = ("-uploaded_at",)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Account")
    empty_hint = gettext_noop("No statement yet. Upload the file that your bank gives you.")

    def find(self, term: str, queryset: Any) -> Any:
        return queryset.filter(account=account_number(term))

    def extra_urls(self) -> list[URLPattern]:
        return [self.at("upload/", self.upload_view, "upload")]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may = request.user.has_perm(keeping.UPLOAD)
        return super().changelist_view(request, {**(extra_context or {}), "may_upload": may})

    # --- the upload ---------------------------------------------------------------------------------------------------

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows the form, POST reads the file. CSV files with columns that nobody has named yet ask for them."""
        if not (self.has_view_permission(request) and request.user.has_perm(keeping.UPLOAD)):
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, UploadForm())
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            return self._ask(request, form)
        file = form.cleaned_data["file"]
        asked: list[LayoutForm] = []
        try:
            keeping.check_size_of(file.size)
            content = file.read()
            known = keeping.taken(keeping.hash_of(content))
            statements: list[ParsedStatement] = (
                [] if known else read(content, lambda table: self._layout(request, table, asked))
            )
            if asked and request.POST.get("seen") != _digest(asked[0].layout()):
                keeping.check(statements)
                return self._ask(request, form, asked[0], understood=statements)
            kept = keeping.keep(
                content,
                statements,
                file_name=file.name or "",
                by=request.user,  # type: ignore[arg-type]
                **request_origin.origin(request),
            )
        except NeedsLayout as needs:
            before = layouts.layout_of(needs.table)
            layout = asked[0] if asked else LayoutForm(needs.table, suggested=before or needs.suggested)
            return self._ask(request, form, layout)
        except BadStatement as bad:
            where = (
                _("Line {line}: {sentence}").format(line=bad.line, sentence=bad.sentence) if bad.line else bad.sentence
            )
            form.add_error("file", where)
            return self._ask(request, form, asked[0] if asked else None)
        except Refusal as refusal:
            form.add_error(None, refusal.message)
            return self._ask(request, form)
        for layout in asked:
            layouts.remember(layout.table, layout.layout(), name=layout.cleaned_data["name"], by=request.user)  # type: ignore[arg-type]
        return self._done(request, kept)

    def _layout(self, request: HttpRequest, table: Table, asked: list[LayoutForm]) -> CsvLayout | None:
        """What the columns are: as this form says, else as somebody said before. None: ask."""
        if "layout-name" not in request.POST:
            return None if request.POST.get("anew") else layouts.layout_of(table, request.POST.get("account", ""))
        form = LayoutForm(table, request.POST)
        asked.append(form)
        return form.layout() if form.is_valid() else None

    def _ask(
        self,
        request: HttpRequest,
        form: UploadForm,
        layout: LayoutForm | None = None,
        *,
        understood: Sequence[ParsedStatement] = (),
    ) -> HttpResponse:
        """The form; with `layout` what the columns are, and with `understood` how the file is read with them."""
        table = layout.table if layout else None
        context = {
            "title": _("Upload a bank statement"),
            "form": form,
            "layout": layout,
            "labels": table.labels if table else (),
            "sample": [row for _line, row in table.rows[:5]] if table else (),
            "understood": [each for statement in understood for each in _first_lines(statement)][:ROWS_SHOWN],
            "seen": _digest(layout.layout()) if layout and understood else "",
            "back": reverse("admin:invoices_bankstatement_changelist"),
        }
        status = 400 if form.is_bound and (form.errors or (layout and layout.is_bound and layout.errors)) else 200
        return self.show(request, "admin/bank/upload.html", context, status=status)

    def _done(self, request: HttpRequest, kept: keeping.Kept) -> HttpResponse:
        if kept.again:
            said = _("This file was taken before: nothing was changed.")
            messages.info(request, said)
        else:
            messages.success(request, wording.kept_in_words(kept.new, kept.known))
        address = reverse("admin:invoices_bankstatement_changelist")
        if len(kept.statements) == 1:
            address = page_url(kept.statements[0])
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(headers={"HX-Redirect": address})
        return redirect(address)

    # --- the page -----------------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, record: BankStatement) -> dict[str, Any]:
        of = reverse("admin:invoices_banktransaction_changelist") + f"?statement={record.pk}"
        may_match = request.user.has_perm("invoices.match_banktransaction")
        confirm = reverse("admin:invoices_banktransaction_confirm") + f"?statement={record.pk}"
        return {
            "title": str(record),
            "statement": record,
            "facts": self.facts(record),
            "states": [
                (label, number(count), amount, f"{of}&state={state}") for state, label, count, amount in _states(record)
            ],
            "gap": _gap(record),
            "transactions": of,
            "confirm": confirm if may_match else "",
        }

    def facts(self, record: BankStatement) -> Facts:
        currency = record.currency
        ties = record.opening is not None
        return [
            (_("Account"), record.account),
            (_("The bank’s number"), record.number or "–"),
            (_("Period"), _period(record)),
            (_("Opening balance"), money.text(record.opening, currency) if ties else _("not in this format")),
            (_("Closing balance"), money.text(record.closing, currency) if ties else _("not in this format")),
            (_("Ties"), _("yes: balance and lines agree") if ties else _("cannot be said without balances")),
            (_("Lines"), number(record.line_count)),
            (_("Known from earlier files"), number(record.known_count)),
            (_("Format"), record.format),
            (_("File"), record.file_name),
            (_("Hash of the file"), format_html("<code>{}</code>", record.file_hash)),
            (_("Uploaded"), moment(record.uploaded_at)),
            (_("By"), record.uploaded_by or record.shell_user or "–"),
        ]

    @admin.display(description=gettext_lazy("Account"))
    def name_(self, record: BankStatement) -> SafeString:
        return format_html('<span class="strong">{}</span> {}', record.account, record.number)

    @admin.display(description=gettext_lazy("Period"))
    def period_(self, record: BankStatement) -> str:
        return _period(record)

    @admin.display(description=gettext_lazy("Lines"))
    def lines_(self, record: BankStatement) -> str:
        return number(record.line_count)

    @admin.display(description=gettext_lazy("Opening balance"))
    def opening_(self, record: BankStatement) -> str:
        return money.text(record.opening, record.currency)

    @admin.display(description=gettext_lazy("Closing balance"))
    def closing_(self, record: BankStatement) -> str:
        return money.text(record.closing, record.currency)

    @admin.display(description=gettext_lazy("Format"))
    def format_(self, record: BankStatement) -> str:
        return record.format

    @admin.display(description=gettext_lazy("By"))
    def who(self, record: BankStatement) -> str:
        return str(record.uploaded_by or record.shell_user or "–")

    @admin.display(description=gettext_lazy("Uploaded"))
    def when(self, record: BankStatement) -> SafeString:
        return ago(record.uploaded_at)


ROWS_SHOWN = 10  # of a file, as it was understood


def _digest(layout: CsvLayout) -> str:
    return hashlib.sha256(json.dumps(layout.to_json(), sort_keys=True).encode()).hexdigest()


def _first_lines(statement: ParsedStatement) -> list[tuple[int, str, str, str, str, str]]:
    """Line of the file, day, amount, payer, text and account, as they would be kept."""
    return [
        (
            line.number,
            day_in_words(line.booked_on),
            money.text(line.amount, line.currency),
            " ".join(filter(None, (line.payer_name, line.payer_account))) or "–",
            line.text or "–",
            statement.account,
        )
        for line in statement.lines[:ROWS_SHOWN]
    ]


def _gap(record: BankStatement) -> dict[str, Any] | None:
    """Why lines between this statement and the one before it are missing, in sentences; None: none are."""
    gap = coverage.gap_before(record)
    if gap is None:
        return None
    before = gap.before
    told = []
    if gap.days:
        first, last = map(day_in_words, gap.days)
        told.append(_("No statement covers {first} to {last}.").format(first=first, last=last))
    if before.closing is not None and record.opening is not None:
        balances = {"closed": before.closing, "opens": record.opening}
        shown = {name: money.text(value, record.currency) for name, value in balances.items()}
        told.append(_("That one closed with {closed}, and this one opens with {opens}.").format(**shown))
    return {"before": before, "link": page_url(before), "told": told}


def _period(record: BankStatement) -> str:
    days = [day_in_words(each) for each in dict.fromkeys((record.begins_on, record.ends_on)) if each]
    return " – ".join(days) or "–"


def _states(record: BankStatement) -> list[tuple[str, str, int, str]]:
    """Of the statement's transactions: state, label, number and sum, in the order of the work."""
    lines = BankTransaction.objects.filter(lines__statement=record).order_by().values("state")
    found = {row["state"]: row for row in lines.annotate(number=Count("pk"), sum=Sum("amount"), left=Sum("left"))}
    return [
        (
            state,
            str(label),
            found[state]["number"],
            money.text(found[state]["left" if state == BankTransaction.State.OPEN else "sum"], record.currency),
        )
        for state, label in BankTransaction.State.choices
        if state in found
    ]


def named_statement(value: str) -> BankStatement | None:
    """The statement whose id an address names; None where there is none."""
    try:
        pk = uuid.UUID(value)
    except ValueError:
        return None
    return BankStatement.objects.filter(pk=pk).first()
