"""An action on many invoices: those that are ticked in the list, or all that the list's filters match.

A preview says what it would do; the form asks for a reason and for the number of invoices; then a batch is made, which
the workers perform. What was ticked is kept in the session and named in the preview's address, so that the preview is a
page that can be opened again, gone back to, and left for the page where the invoices were ticked.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from invoices import assignments, money, operations, request_origin, typed
from invoices.admin import access, formatting
from invoices.admin.base import RecordAdmin
from invoices.admin.invoices import wording
from invoices.admin.invoices.actions import denied
from invoices.admin.invoices.forms import ActingForm, add_parameters, clean_parameters
from invoices.admin.links import page_url
from invoices.admin.lists import LIST_PROBLEMS, RecordList
from invoices.models import Invoice
from invoices.operations import ACTIONS, Action, Refusal, bulk_preview, eligibility
from invoices.operations.batch import MAX_INVOICES
from invoices.operations.bulk_preview import BULK_ACTIONS

CURRENCIES_ON_BUTTON = 3
TICKED = "ticked"  # in the address of the preview: which of the selections that the session keeps
SELECTIONS_KEPT = 5
GROUPED_BY_POINTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+")  # as German writes a number: 1.100
NAME = re.compile(r"[0-9a-f]{32}")  # of a selection
_KEPT = "ticked_invoices"  # in the session


class BulkForm(ActingForm):
    """The reason, the parameters and the number of invoices. The hidden fields hold the id that the batch will have, so
    that a form sent twice makes one batch, and the invoices."""

    batch = forms.UUIDField(widget=forms.HiddenInput)
    # Ids of the ticked invoices; empty: all that the filters match.
    chosen = forms.CharField(required=False, widget=forms.HiddenInput)
    # The invoices to act on, with the status and amount that the person saw.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    number = forms.CharField(
        label=gettext_lazy("Number of invoices"),
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Please type how many invoices it will be done to.")},
    )

    def __init__(self, action: Action, data: Any = None, initial: Any = None) -> None:
        self.reasons = action.reasons
        super().__init__(data, initial={"batch": uuid.uuid4(), **(initial or {})})
        self.action = action
        add_parameters(self, action, only=action.bulk_parameters)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned["params"] = clean_parameters(self, self.action, "usd")
        cleaned["invoices"] = list(from_form_items(cleaned.get("seen", "")))
        number = "".join(cleaned.get("number", "").split()).replace(",", "")
        if GROUPED_BY_POINTS.fullmatch(number):
            number = number.replace(".", "")
        if "number" in cleaned and number != str(len(cleaned["invoices"])):
            self.add_error("number", forms.ValidationError(_type_the_number(len(cleaned["invoices"])), code="count"))
        return cleaned

    def main(self) -> list[forms.BoundField]:
        return [self[parameter.name] for parameter in self.action.parameters if parameter.name in self.fields]


def start(admin: RecordAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """Called by the list for the ticked invoices: leads to the preview and the form."""
    action = ACTIONS[name]
    if not access.may(request, action):
        return denied(admin, request, action)
    problems = getattr(request, LIST_PROBLEMS, [])
    if problems:
        return _refused(request, problems)
    query, name = request.GET.copy(), uuid.uuid4().hex
    query[TICKED] = name
    _keep(request, name, ticked_in(request), _page_of_form(request))
    return redirect(f"{_bulk_url(action)}?{query.urlencode()}")


def ticked_in(request: HttpRequest) -> list[str]:
    """The ids of the invoices that were ticked in the form that was sent."""
    return [pk for pk in request.POST.getlist(ACTION_CHECKBOX_NAME) if pk and "\x00" not in pk]


def nothing_ticked(request: HttpRequest) -> HttpResponse | None:
    """Back to where an action was asked for, where nothing was ticked for it. None for every other request."""
    if request.method != "POST" or request.POST.get("action") not in BULK_ACTIONS or ticked_in(request):
        return None
    messages.warning(
        request, _("Nothing was started: no invoice is ticked. Tick those that are meant, then try again.")
    )
    return redirect(_page_of_form(request))


def _page_of_form(request: HttpRequest) -> str:
    """The page on which the form was sent, as its mark says: the list, or a customer's page."""
    mark = typed.mark_of(request)
    return mark.page if mark is not None and mark.user == request.user.pk else request.get_full_path()


def _keep(request: HttpRequest, name: str, ids: list[str], back: str) -> None:
    """Keeps the selection under this name, with the page where it was made."""
    kept = {**request.session.get(_KEPT, {}), name: {"ids": ids, "back": back}}
    request.session[_KEPT] = dict(list(kept.items())[-SELECTIONS_KEPT:])


def _ticked(request: HttpRequest) -> list[str]:
    """The invoices that the address of the preview names. After the session was lost in which they were kept, those of
    the form that could not be sent then, which are kept again."""
    name = request.GET.get(TICKED, "")
    kept = request.session.get(_KEPT, {}).get(name)
    if kept is not None:
        return list(kept["ids"])
    ids = _ids(typed.fields_for(request).get("chosen", ""))
    if ids and NAME.fullmatch(name):
        _keep(request, name, ids, _back(request))
    return ids


def _ids(chosen: str) -> list[str]:
    return [pk for pk in chosen.split(",") if pk and "\x00" not in pk]


def act(admin: RecordAdmin, request: HttpRequest, name: str) -> HttpResponse:
    """GET shows the preview of all that the list's filters match, and the form; POST makes the batch. The workers then
    make one operation for each invoice."""
    action = ACTIONS.get(name)
    if action is None or name not in BULK_ACTIONS:
        raise Http404
    if not access.may(request, action):
        return denied(admin, request, action)
    if request.method != "POST":
        ids = _ticked(request) if TICKED in request.GET else []
        if TICKED in request.GET and not ids:
            messages.warning(request, _("What was ticked is no longer known. Tick the invoices once more."))
            return redirect(_back(request))
        return _ask(admin, request, action, ids=ids)
    matching = list_of(admin, request) if request.GET and TICKED not in request.GET else None
    if matching and matching.problems:
        return _refused(request, matching.problems)
    form = BulkForm(action, request.POST)
    ids = _ids(request.POST.get("chosen", ""))
    if not form.is_valid():
        return _ask(admin, request, action, form, ids, status=400)
    try:
        batch = operations.batch.start(
            action.name,
            form.cleaned_data["invoices"],
            actor=request.user,  # type: ignore[arg-type]
            reason=form.cleaned_data["reason"],
            batch_id=form.cleaned_data["batch"],
            params=form.cleaned_data["params"],
            ticket=form.cleaned_data["ticket"],
            **request_origin.origin(request),
        )
    except Refusal as refusal:
        return _ask(admin, request, action, form, ids, refusal=refusal, status=refusal.http_status)
    return redirect(page_url(batch))


def list_of(admin: Any, request: HttpRequest) -> RecordList | None:
    """The list of invoices as its address narrows it. None where the address is none of the list."""
    try:
        found: RecordList = admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return None
    return found


def _back(request: HttpRequest) -> str:
    """The page where the invoices were ticked; else the list with these filters."""
    query = request.GET.copy()
    names = query.pop(TICKED, [""])
    if kept := request.session.get(_KEPT, {}).get(names[-1]):
        return str(kept["back"])
    whole_list = reverse("admin:invoices_invoice_changelist")
    return f"{whole_list}?{query.urlencode()}" if query else whole_list


def _refused(request: HttpRequest, problems: list[str]) -> HttpResponse:
    """Back to the list, because a filter or a search of its address cannot be read: it selects nothing that anybody
    means."""
    messages.error(request, " ".join([_("Nothing was started."), *problems]))
    return redirect(_back(request))


def _ask(
    admin: Any,
    request: HttpRequest,
    action: Action,
    form: BulkForm | None = None,
    ids: list[str] | None = None,
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    """The preview and the form. If the form is shown again, it gets the invoices as they are now."""
    back = _back(request)
    if ids:
        found, filters = Invoice.objects.filter(pk__in=ids[:MAX_INVOICES]), []
    else:
        matching = list_of(admin, request)
        if matching is None or not matching.is_narrowed:  # nobody wants to act on every invoice
            messages.warning(request, _("Nothing was started: tick invoices, or narrow the list, first."))
            return redirect(reverse("admin:invoices_invoice_changelist"))
        if matching.problems:
            return _refused(request, matching.problems)
        found, filters = matching.queryset, matching.filters_in_words()
    preview = bulk_preview.preview_of(action, found, request.user)
    fresh = {"chosen": ",".join(ids or []), "seen": ";".join(map(to_form_item, preview.invoices))}
    if form is None:
        form = BulkForm(action, initial=fresh)
    else:
        form.data = {**form.data.dict(), **fresh}  # type: ignore[attr-defined]
        if form.has_error("number", "count"):
            form.errors["number"] = form.error_class([_type_the_number(preview.acted_on)])
    paused = eligibility.pause_refusal(action.name)
    context = {
        "title": _("{action}: {number} of {total} invoices").format(
            action=_(action.label),
            number=formatting.number(preview.acted_on),
            total=formatting.number(preview.matched),
        ),
        "action": action,
        "form": form,
        "preview": preview,
        "button": button(action, preview),
        "rows": rows(preview),
        "ticked": bool(ids),
        "filters": filters,
        "max_invoices": MAX_INVOICES,
        "refusal": refusal,
        "paused": paused,
        "form_is_shown": paused is None or form.is_bound,  # what was typed is not lost to a pause that began meanwhile
        "taken": _taken_by_colleagues(request, preview),
        "form_address": request.get_full_path() if request.path == _bulk_url(action) else _bulk_url(action),
        "back": back,
    }
    return admin.show(request, "admin/invoices/bulk.html", context, status=status)


def _taken_by_colleagues(request: HttpRequest, preview: bulk_preview.BulkPreview) -> list[tuple[Any, int]]:
    """Which colleagues have some of the invoices that it will be done to, and how many of them; the most first."""
    if not request.user.has_perm(assignments.VIEW):
        return []
    ids = [invoice.pk for invoice in preview.invoices]
    counts: Counter[Any] = Counter()
    for begin in range(0, len(ids), bulk_preview.CHUNK_SIZE):
        chunk = ids[begin : begin + bulk_preview.CHUNK_SIZE]
        has_it = assignments.current_of(chunk).values()
        counts.update(each.person for each in has_it if each.person_id != request.user.pk)
    return counts.most_common()


def button(action: Action, preview: bulk_preview.BulkPreview) -> str:
    """`Write off EUR 90.00 and JPY 3,000 on 12 invoices`: the sum of each currency, or of the first ones."""
    amounts = [amount for _, _, amount in preview.totals]
    if len(amounts) > CURRENCIES_ON_BUTTON:
        more = len(amounts) - CURRENCIES_ON_BUTTON
        others = ngettext("{number} more currency", "{number} more currencies", more).format(number=more)
        amounts = [*amounts[:CURRENCIES_ON_BUTTON], others]
    sums = _(" and ").join(filter(None, (", ".join(amounts[:-1]), *amounts[-1:])))
    said = ngettext("{action} on {number} invoice", "{action} on {number} invoices", preview.acted_on)
    said = said.format(action=action.with_amounts(sums), number=formatting.number(preview.acted_on))
    return _("{action}: ask for approval").format(action=said) if preview.need else said


def _type_the_number(number: int) -> str:
    return _("Please type {number}: it will be done to so many invoices.").format(number=number)


def _bulk_url(action: Action) -> str:
    return reverse("admin:invoices_invoice_bulk", args=[action.name])


@dataclass
class PreviewRow:
    """An invoice in the table of those that the action will be done to."""

    invoice: Invoice

    @property
    def number(self) -> str:
        return wording.number(self.invoice)

    @property
    def customer(self) -> str:
        return wording.customer(self.invoice)

    @property
    def status(self) -> tuple[str, str]:
        return wording.status(self.invoice)

    @property
    def amount(self) -> str:
        return money.text(self.invoice.amount_remaining, self.invoice.currency)


def rows(preview: bulk_preview.BulkPreview) -> list[PreviewRow]:
    """The first of those that the action will be done to. Only these are read whole."""
    whole = Invoice.objects.in_bulk([invoice.pk for invoice in preview.first])
    return [PreviewRow(whole[invoice.pk]) for invoice in preview.first if invoice.pk in whole]


# --- the invoices in a hidden field of the form ----------------------------------------------------------------------


def to_form_item(invoice: Invoice) -> str:
    """`in_1 open 1000`: the invoice with the status and the remaining amount (minor units) that the page shows. The
    action is performed only if the invoice still has them."""
    remaining = invoice.amount_remaining
    return f"{invoice.pk} {invoice.status} {'' if remaining is None else remaining}"


def from_form_items(items: str) -> Iterator[Invoice]:
    """The invoices of a form that was sent: each once, and no more than one above the limit of a batch, which then
    refuses."""
    once = dict.fromkeys(items.split(";"))
    for item in islice(once, MAX_INVOICES + 1):
        pk, status, remaining = (*item.strip().split(" "), "", "")[:3]
        amount = int(remaining) if remaining.isdecimal() and len(remaining) < 20 else None
        if pk and "\x00" not in pk:
            yield Invoice(pk=pk[:255], status=status[:32] or None, amount_remaining=amount)
