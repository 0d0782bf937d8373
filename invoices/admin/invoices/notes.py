"""Notes on an invoice's page: those there are, the form for a new one, and the author's form to edit one."""

import uuid
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from invoices import notes, recorded, request_origin
from invoices.admin.base import RecordAdmin
from invoices.admin.links import url_of
from invoices.models import Invoice, Note, NoteVersion
from invoices.operations import Refusal

NOTES_SHOWN = 50


class ShownNote:
    """One note as the page shows it."""

    def __init__(self, row: Note, request: HttpRequest, draft: dict[str, Any] | None) -> None:
        self.row, self.versions = row, list(row.versions.all())
        self.may_edit = row.author_id == request.user.pk and request.user.has_perm(notes.CHANGE)
        self.draft = draft if draft and draft["note"] == row.pk else None

    @property
    def last(self) -> NoteVersion:
        return self.versions[-1]

    @property
    def earlier(self) -> list[NoteVersion]:
        """What it said before, newest first."""
        return self.versions[-2::-1]


def panel(request: HttpRequest, invoice: Invoice, draft: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the part of the page is made of. `draft`: what was typed and could not be kept, and why."""
    if not request.user.has_perm(notes.VIEW):
        return {}
    found = Note.objects.filter(invoice=invoice.pk).select_related("author").prefetch_related("versions")
    rows = list(found.order_by("-created_at", "-id")[: NOTES_SHOWN + 1])
    return {
        "list": [ShownNote(row, request, draft) for row in rows[:NOTES_SHOWN]],
        "more": len(rows) > NOTES_SHOWN,
        "may_add": request.user.has_perm(notes.ADD),
        "new": uuid.uuid4(),
        "draft": draft if draft and draft["note"] is None else None,
        "most": notes.MAX_LENGTH,
        "shown": NOTES_SHOWN,
    }


def save(admin: RecordAdmin, request: HttpRequest, object_id: str, note_id: UUID | None) -> HttpResponse:
    """POST: writes a new note, or edits this one. What cannot be kept is shown again, with the reason."""
    invoice: Invoice | None = admin.record(object_id) if admin.has_view_permission(request) else None
    if invoice is None or not request.user.has_perm(notes.VIEW):
        raise PermissionDenied
    text, origin = request.POST.get("text", ""), request_origin.origin(request)
    person: Any = request.user
    try:
        if note_id is None:
            notes.write(invoice.pk, text, author=person, note_id=_id(request.POST.get("new", "")), **origin)
        else:
            note = Note.objects.filter(pk=note_id, invoice=invoice.pk).first()
            if note is None:
                raise Http404
            seen = request.POST.get("seen", "")
            number = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
            notes.edit(note, text, by=person, seen=number, **origin)
    except Refusal as refusal:
        draft = {"note": note_id, "text": text, "error": recorded.shown(refusal.message)}
        context = {**admin.page_context(request, invoice), "notes": panel(request, invoice, draft)}
        return admin.show(request, admin.page_template, context, status=refusal.http_status)
    return redirect(f"{url_of('invoice', invoice.pk)}#notes")


def _id(text: str) -> UUID:
    """The id that the form brought; one that is none makes another note."""
    try:
        return UUID(text)
    except ValueError:
        return uuid.uuid4()
