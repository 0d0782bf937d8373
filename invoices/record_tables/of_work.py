"""The tables of what people wrote on invoices: notes and promises to pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop

from invoices import clock, promises
from invoices.models import Invoice, Note, NoteVersion, Promise
from invoices.record_tables.shape import CURRENCY, NUMBER, Field, Shape, column, moment, person, plain, who
from invoices.tables import Column, Kind


def _last_versions(found: Sequence[Note]) -> dict[Any, NoteVersion]:
    """What these notes say now, by the note's id."""
    versions = NoteVersion.objects.filter(note__in=[note.pk for note in found]).order_by("note", "number")
    return {version.note_id: version for version in versions}


NOTES = Shape(
    gettext_noop("Notes"),
    [
        NUMBER,
        *who(),
        Field(Column("Note", Kind.TEXT), lambda seen: seen.beside.text if seen.beside else ""),
        person("Author", "author"),
        moment("Written", "created_at"),
        Field(Column("Versions", Kind.NUMBER), lambda seen: seen.beside.number if seen.beside else 0),
        Field(Column("Last edited (UTC)", Kind.MOMENT), lambda seen: seen.beside.written_at if seen.beside else None),
        plain("Invoice id", "invoice"),
        Field(Column("Note id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    ["invoice", "created_at", "author__username"],
    invoice="invoice",
    related=("author",),
    beside=_last_versions,
    rows_at_once=200,  # a note may have five thousand characters
)


def _judged(found: Sequence[Promise]) -> dict[Any, str]:
    """What has become of each by now."""
    wanted = Invoice.objects.only("status", "amount_paid", "deleted_at")
    invoices, now = wanted.in_bulk({promise.invoice for promise in found}), clock.now()
    return {promise.pk: promises.state_of(promise, invoices.get(promise.invoice), now)[0] for promise in found}


PROMISES = Shape(
    gettext_noop("Promises"),
    [
        NUMBER,
        *who(),
        CURRENCY,
        *column("Promised", "amount"),
        plain("Promised until", "day", Kind.DAY),
        Field(Column("State", Kind.TEXT), lambda seen: str(seen.beside)),
        plain("Note", "note"),
        person("Recorded by", "recorded_by"),
        moment("Recorded", "recorded_at"),
        moment("Ended", "ended_at"),
        person("Withdrawn by", "ended_by"),
        plain("Because", "ended_because"),
        plain("Invoice id", "invoice"),
        Field(Column("Promise id", Kind.TEXT), lambda seen: str(seen.row.pk)),
    ],
    "invoice amount currency paid_before day ends_at note state recorded_at ended_at ended_because "
    "recorded_by__username ended_by__username".split(),
    invoice="invoice",
    related=("recorded_by", "ended_by"),
    beside=_judged,
)
