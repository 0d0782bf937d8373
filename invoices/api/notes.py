"""`/v1/notes`: what people and services write on invoices; writing one, and editing one's own."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import notes, operations, request_origin
from invoices.api import filters, parameters
from invoices.api.actions import idempotency_key
from invoices.api.base import ListAndRetrieveView, require_permissions, require_scope
from invoices.api.decisions import error_of_refusal
from invoices.api.envelope import invalid, no_such_object
from invoices.api.schema import body_of, describe
from invoices.api.schema_shapes import TEXT, ref
from invoices.api.serializers import NoteSerializer, NoteVersionSerializer
from invoices.models import ApiToken, Code, Note, Scope

_TEXT = {**TEXT, "minLength": 1, "maxLength": notes.MAX_LENGTH}
_INVOICE = {**TEXT, "minLength": 1, "description": "The id of the invoice that it is about"}


class NoteView(ListAndRetrieveView):
    """`/v1/notes`"""

    object_type, time_column, filterset_class = "note", "created_at", filters.NoteFilter
    permission = notes.VIEW

    def check_permissions(self, request: Request) -> None:
        """Writing needs a scope of its own, and none for reading."""
        if request.method != "POST":
            super().check_permissions(request)
            return
        require_scope(request, Scope.NOTES)
        require_permissions(request, self.permission, "invoices.view_invoice")

    def all_rows(self) -> QuerySet[Any]:
        return Note.objects.select_related("author", "token__created_by").prefetch_related(
            "versions__token__created_by"
        )

    def to_object(self, row: Note) -> dict[str, Any]:
        return dict(NoteSerializer(row).data)

    def to_content(self, row: Note) -> dict[str, Any]:
        """Of one alone also what it said before."""
        return self.to_object(row) | {"versions": NoteVersionSerializer(row.versions.all(), many=True).data}

    def lookup(self, id: str) -> Note | None:
        try:
            return self.visible_rows().filter(pk=UUID(id)).first()
        except ValueError:
            return None

    @describe(
        "Notes",
        "Write a note on an invoice",
        ref("note"),
        body=body_of({"invoice": _INVOICE, "text": _TEXT}, ["invoice", "text"]),
    )
    def create(self, request: Request) -> Response:
        given = _given(request, "invoice", "text")
        key = idempotency_key(request)
        headers = {"Idempotency-Key": key} if key else {}
        try:
            note, is_new = notes.write(
                given["invoice"],
                given["text"],
                author=cast(User, request.user),
                idempotency_key=key,
                token=cast(ApiToken, request.auth),
                **request_origin.origin(request),
            )
        except operations.Refusal as refusal:
            if refusal.code == Code.RESOURCE_MISSING:
                raise no_such_object("invoice", given["invoice"][:255], "invoice", status=400) from refusal
            raise error_of_refusal(refusal, headers=headers) from refusal
        if not is_new:
            headers |= {"Idempotent-Replayed": "true"}
        return Response(self.to_content(self.find(str(note.pk))), headers=headers)

    @describe(
        "Notes",
        "Edit your own note; what it said before stays",
        ref("note"),
        body=body_of({"text": _TEXT}, ["text"]),
    )
    def edit(self, request: Request, id: str) -> Response:
        """Another version, unless it says so already: so the same request once more changes nothing."""
        given = _given(request, "text")
        note = self.find(id)
        try:
            notes.edit(
                note,
                given["text"],
                by=cast(User, request.user),
                token=cast(ApiToken, request.auth),
                **request_origin.origin(request),
            )
        except operations.Refusal as refusal:
            raise error_of_refusal(refusal) from refusal
        return Response(self.to_content(self.find(id)))


def _given(request: Request, *names: str) -> dict[str, str]:
    """The parameters, each of which is a text. Raises ApiError."""
    given = parameters.flatten(parameters.of_request(request))
    parameters.refuse_unknown(given, names)
    for name in names:
        if name not in given:
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
        if not isinstance(given[name], str):
            raise invalid(f"Invalid string: {str(given[name])[:50]}", name)
    return given
