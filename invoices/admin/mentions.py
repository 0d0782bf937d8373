"""Mentions: the notes in which colleagues ask this person to look, and being done with them. Nobody sees another's."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from invoices import colleagues, customer_names, mentions, notes
from invoices.admin.base import RecordAdmin
from invoices.admin.invoices import wording
from invoices.admin.links import url_of
from invoices.models import Invoice, Mention

DONE_SHOWN = 50  # the last ones
SUGGESTED = 8  # names, while one types


class ShownMention:
    """One mention, with its note as it is now and its invoice."""

    def __init__(self, row: Mention, invoice: Invoice | None, customer: str) -> None:
        self.row, self.note = row, row.note
        self.text = row.note.last_version.text
        self.number = wording.number(invoice) if invoice else row.note.invoice
        self.customer = customer
        self.address = f"{url_of('invoice', row.note.invoice)}#note-{row.note_id}"


@admin.register(Mention)
class MentionAdmin(RecordAdmin):
    """A page instead of a list: what waits, then what this person is done with."""

    ordering = ("-made_at",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A mention is a part of a note, which is a part of an invoice."""
        needed = ("invoices.view_invoice", notes.VIEW)
        return super().has_view_permission(request, obj) and request.user.has_perms(needed)

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("colleagues/", self.colleagues_view, "colleagues"),
            self.at("<int:mention>/done/", self.done_view, "done"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        person: Any = request.user
        waiting = _shown(mentions.waiting_for(person), mentions.MOST_COUNTED + 1)
        context = {
            "title": _("Mentions"),
            "waiting": waiting[: mentions.MOST_COUNTED],
            "more": len(waiting) > mentions.MOST_COUNTED,
            "most": mentions.MOST_COUNTED,
            "done": _shown(mentions.done_by(person), DONE_SHOWN),
        }
        return self.show(request, "admin/mentions/page.html", context)

    @method_decorator(require_POST)
    def done_view(self, request: HttpRequest, mention: int) -> HttpResponse:
        """This person is done with a mention of them."""
        person: Any = request.user
        if not self.has_view_permission(request):
            raise PermissionDenied
        if mention >= 2**63 or not mentions.done(mention, person):
            raise Http404
        return redirect(reverse("admin:invoices_mention_changelist"))

    def colleagues_view(self, request: HttpRequest) -> HttpResponse:
        """Who can be mentioned, by the beginning of a name: for the field of a note, while one types."""
        if not self.has_view_permission(request) or not request.user.has_perm(notes.ADD):
            raise PermissionDenied
        found = colleagues.beginning_with(request.GET.get("begins", ""), SUGGESTED)
        return JsonResponse({"people": [{"name": each.username, "called": each.get_full_name()} for each in found]})

    def page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Its place is the note."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        own = Mention.objects.filter(person=request.user.pk).select_related("note")
        is_number = object_id.isascii() and object_id.isdecimal() and len(object_id) < 19
        row = own.filter(pk=int(object_id)).first() if is_number else None
        if row is None:
            raise Http404
        return redirect(f"{url_of('invoice', row.note.invoice)}#note-{row.note_id}")

    change_view = history_view = page  # type: ignore[assignment]  # Django's own addresses of a record


def _shown(rows: QuerySet[Mention], most: int) -> list[ShownMention]:
    found = list(rows.select_related("note__author").prefetch_related("note__versions")[:most])
    invoices = Invoice.objects.defer("data").in_bulk([row.note.invoice for row in found])
    names = customer_names.of_invoices(invoices.values())
    return [ShownMention(row, invoices.get(row.note.invoice), names.get(row.note.invoice, "")) for row in found]
