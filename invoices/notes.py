"""Writing notes on invoices, and editing one's own: the admin and the API ask here."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from invoices import clock, mentions, written
from invoices.models import ApiToken, Code, Invoice, Note, NoteVersion, personal
from invoices.operations import Invalid, Refusal
from invoices.operations.request import KEY_NAMESPACE, RANDOM, key_reused

VIEW, ADD, CHANGE = "invoices.view_note", "invoices.add_note", "invoices.change_note"
MAX_LENGTH = 5000  # characters
EDITS_AT_ONCE = 5  # of one note, of which each gets a number of its own


def clean(text: str) -> str:
    """The text as it is stored: lines end with a line feed alone, and none is empty at the end. Raises Invalid."""
    text = written.clean(text, "text", most=MAX_LENGTH)
    if not text:
        raise Invalid("text", _("Please write something: a note cannot be empty."), "parameter_missing")
    return text


def id_of_key(author: User, idempotency_key: str) -> uuid.UUID:
    """The id of the note for a user's idempotency key: always the same."""
    return uuid.uuid5(KEY_NAMESPACE, f"note {author.pk} {idempotency_key}")


def write(
    invoice: str,
    text: str,
    *,
    author: User,
    note_id: uuid.UUID | None = None,
    idempotency_key: str = "",
    token: ApiToken | None = None,
    address: str | None = None,
    request_id: str = "",
) -> tuple[Note, bool]:
    """Writes a note, and says whether it is new: what is sent twice is one note. `note_id` comes from a form,
    `idempotency_key` from a caller of the API.

    Raises Invalid, also for an @name that nobody has, and Refusal: without permission, no such invoice, a key or a form
    that was used for another note.
    """
    if not author.has_perm(ADD):
        raise Refusal(Code.PERMISSION_DENIED, _("You may not write notes."))
    if note_id is not None and note_id.version != RANDOM:
        raise Invalid("note", _("This page was not made by the desk. Open it again."))
    text = clean(text)
    if not Invoice.objects.filter(pk=invoice).exists():
        raise Refusal(Code.RESOURCE_MISSING, _("No such invoice: '{id}'").format(id=invoice[:255]), param="invoice")
    id = id_of_key(author, idempotency_key) if idempotency_key else note_id or uuid.uuid4()
    now = clock.now()
    with transaction.atomic():
        given = {"invoice": invoice, "author": author, "token": token, "created_at": now}
        note, is_new = Note.objects.get_or_create(pk=id, defaults=given)
        if is_new:
            version = NoteVersion.objects.create(
                note=note, number=1, text=text, written_at=now, token=token, address=address, request_id=request_id
            )
            mentions.follow(version, before="")
    if not is_new:
        said = note.versions.get(number=1).text
        if (note.invoice, note.author_id) != (invoice, author.pk) or said not in (text, personal.REDACTED):
            raise key_reused(idempotency_key or str(id))
    return note, is_new


def edit(
    note: Note,
    text: str,
    *,
    by: User,
    seen: int | None = None,
    token: ApiToken | None = None,
    address: str | None = None,
    request_id: str = "",
) -> NoteVersion:
    """The author says it otherwise: another version, unless it says so already. `seen`: the number of the version that
    the page showed.

    Raises Invalid, and Refusal: for anybody else, and where another version came meanwhile.
    """
    if note.author_id != by.pk or not by.has_perm(CHANGE):
        raise Refusal(Code.PERMISSION_DENIED, _("Only {person} can edit this note.").format(person=note.author))
    text = clean(text)
    for _attempt in range(EDITS_AT_ONCE):
        last = note.versions.order_by("-number")[0]
        if last.text == text:
            return last
        if seen is not None and seen != last.number:
            break
        try:
            with transaction.atomic():
                version = NoteVersion.objects.create(
                    note=note,
                    number=last.number + 1,
                    text=text,
                    written_at=clock.now(),
                    token=token,
                    address=address,
                    request_id=request_id,
                )
                mentions.follow(version, before=last.text)
                return version
        except IntegrityError:  # another edit has just taken the number
            continue
    raise Refusal(Code.INVOICE_CHANGED, _("This note was edited meanwhile. Look at it again, then edit it."))
