"""Rows as the API shows them: the mirror's as Stripe sent them, the journal's in the same manner."""

from __future__ import annotations

import codecs
import json
from datetime import datetime
from typing import Any

import msgspec
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer

from invoices import recorded
from invoices.models import (
    ApiToken,
    Batch,
    Contradiction,
    Drift,
    Mirrored,
    Note,
    NoteVersion,
    Operation,
    ReconciliationRun,
)

NESTED_LIST_LENGTH = 10  # items of a list inside an object, such as an invoice's lines; Stripe's number
LINES = {"invoice": "line_item", "credit_note": "credit_note_line_item"}  # what has lines → the `object` value of one


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])  # each member's value as it is spelled, unread
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


class Json(str):
    """The text of a JSON value, in ASCII, ready to be sent."""


def stripe_object(row: Mirrored) -> dict[str, Any] | None:
    """A mirrored object as Stripe would show it now: with its first ten lines, a deleted customer as a stub.

    None for any other deleted object: Stripe answers 404 for it.
    """
    if row.deleted_at:
        return {"id": row.pk, "object": row.OBJECT, "deleted": True} if row.OBJECT == "customer" else None
    return with_first_lines(row.OBJECT, row.data)


def with_first_lines(object_type: str, data: Any) -> Any:
    lines = data.get("lines") if object_type in LINES and data else None
    if isinstance(lines, dict) and isinstance(lines.get("data"), list) and len(lines["data"]) > NESTED_LIST_LENGTH:
        return {**data, "lines": {**lines, "data": lines["data"][:NESTED_LIST_LENGTH], "has_more": True}}
    return data


def stripe_text(object_type: str, stored: str | None) -> Json:
    """The same as `stripe_object` for an object that is not deleted, from the text in its row: it is shown as it is
    stored, and looked into only where it may have more lines than are shown.

    A line is an object that says `"object":"line_item"`, or what LINES has. Inside a text of Stripe's each quotation
    mark is escaped, so what is counted here is no less than the lines.
    """
    if not stored:
        return Json("{}")
    if object_type in LINES and stored.count(f'"{LINES[object_type]}"') > NESTED_LIST_LENGTH:
        return ascii_json(_text_with_first_lines(object_type, stored))
    return ascii_json(stored)


def _text_with_first_lines(object_type: str, stored: str) -> str:
    """What `with_first_lines` makes of it, without reading more than where each member begins and ends: a long invoice
    takes 20 times as long to be read and written. Objects of another shape, or spelled oddly, are read."""
    try:
        members = _MEMBERS.decode(stored)
        lines = _MEMBERS.decode(members["lines"])
        items = _ITEMS.decode(lines["data"])
    except (msgspec.MsgspecError, ValueError, KeyError):
        return to_json(with_first_lines(object_type, json.loads(stored)))
    if len(items) <= NESTED_LIST_LENGTH:
        return stored
    shown = {**lines, "data": items[:NESTED_LIST_LENGTH], "has_more": True}
    return msgspec.json.encode({**members, "lines": shown}).decode()


def ascii_json(text: str) -> Json:
    """The same JSON in ASCII."""
    return Json(text if text.isascii() else text.encode("ascii", "json_escapes").decode())


def received_text(body: str) -> Json:
    """A body that Stripe sent, byte for byte. What is no JSON in it, such as NaN, becomes null."""
    if "NaN" in body or "Infinity" in body:
        return to_json(json.loads(body, parse_constant=lambda name: None))
    return Json(body)


def to_json(value: Any) -> Json:
    """Without spaces, in ASCII: all other characters are escaped, because UTF-8 cannot hold half a surrogate pair."""
    return Json(json.dumps(value, separators=(",", ":")))


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    """Of the characters that ASCII does not have, as `json.dumps` writes them. They stand inside texts alone."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  nothing else is asked
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error("json_escapes", _json_escapes)


class StripeRenderer(BaseRenderer):
    """JSON in ASCII."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        return (data if isinstance(data, Json) else to_json(data)).encode()


class UnixTimeField(serializers.Field):
    """A time as whole seconds since 1970, UTC."""

    def to_representation(self, value: datetime) -> int:
        return int(value.timestamp())


class ContradictionSerializer(serializers.ModelSerializer):
    """An event of Stripe's that says otherwise than the operation."""

    found = UnixTimeField(source="found_at", read_only=True)
    event = serializers.CharField(source="event_id", read_only=True)
    resolved = UnixTimeField(source="resolved_at", read_only=True, allow_null=True)
    resolved_by = serializers.CharField(source="resolved_by.username", read_only=True, default=None)

    class Meta:
        model = Contradiction
        fields = ("event", "message", "found", "resolved", "resolved_by", "resolution")


class TokenField(serializers.ReadOnlyField):
    """The token with which something was asked or written, and who made it, where that is known; None without one."""

    def to_representation(self, token: ApiToken) -> dict[str, Any]:
        return {"name": token.name, "created_by": token.created_by.get_username() if token.created_by else None}


class OperationSerializer(serializers.ModelSerializer):
    """One thing that somebody asked for, and what came of it. `after` is {} where the invoice was not read after it."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="operation")
    created = UnixTimeField(source="created_at", read_only=True)
    finished = UnixTimeField(source="finished_at", read_only=True, allow_null=True)
    decided = UnixTimeField(source="decided_at", read_only=True, allow_null=True)
    expand = serializers.JSONField(read_only=True, allow_null=True)
    batch = serializers.CharField(source="batch_id", read_only=True, allow_null=True)
    actor = serializers.SerializerMethodField()
    approver = serializers.SerializerMethodField()
    token = TokenField()
    decision_token = TokenField()
    calls = serializers.SerializerMethodField()
    contradictions = ContradictionSerializer(many=True, read_only=True)

    class Meta:
        model = Operation
        fields = (
            "id",
            "object",
            "action",
            "invoice",
            "state",
            "created",
            "finished",
            "actor",
            "source",
            "token",
            "shell_user",
            "reason",
            "ticket",
            "params",
            "expand",
            "expected",
            "currency",
            "approval_amount",
            "idempotency_key",
            "request_id",
            "batch",
            "code",
            "decline_code",
            "message",
            "advice",
            "error",
            "processing",
            "outcome_by",
            "before",
            "after",
            "approver",
            "decided",
            "decision_reason",
            "decision_token",
            "calls",
            "stripe_request_id",
            "contradictions",
        )

    def get_actor(self, operation: Operation) -> str | None:
        return operation.actor.get_username() if operation.actor else None

    def get_approver(self, operation: Operation) -> str | None:
        return operation.approver.get_username() if operation.approver else None

    def get_calls(self, operation: Operation) -> list[dict[str, Any]]:
        """The calls to Stripe and when they were sent, without parameters and Stripe's answers."""
        shown = ("name", "key", "sent_at", "first_sent_at", "answered_at", "status", "request_id")
        stored = [call.to_json() for call in operation.calls]
        return [{name: call[name] for name in shown if name in call} for call in stored]


class BatchSerializer(serializers.ModelSerializer):
    """One action asked for on many invoices. Its operations are found by `/v1/operations?batch=…`."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="batch")
    created = UnixTimeField(source="created_at", read_only=True)
    finished = UnixTimeField(source="finished_at", read_only=True, allow_null=True)
    cancelled = UnixTimeField(source="cancelled_at", read_only=True, allow_null=True)
    decided = UnixTimeField(source="decided_at", read_only=True, allow_null=True)
    confirm_by = UnixTimeField(source="must_be_confirmed_at", read_only=True)
    actor = serializers.CharField(source="actor.username", read_only=True)
    approver = serializers.CharField(source="approver.username", read_only=True, default=None)
    cancelled_by = serializers.CharField(source="cancelled_by.username", read_only=True, default=None)
    source = serializers.CharField(read_only=True)  # type: ignore[assignment]  # no attribute of the class
    token = TokenField()
    sums = serializers.ReadOnlyField()
    invoices = serializers.SerializerMethodField()

    class Meta:
        model = Batch
        fields = (
            "id",
            "object",
            "action",
            "created",
            "finished",
            "cancelled",
            "cancelled_by",
            "confirm_by",
            "actor",
            "source",
            "token",
            "reason",
            "ticket",
            "params",
            "idempotency_key",
            "awaiting_approval",
            "approver",
            "decided",
            "decision_reason",
            "request_id",
            "sums",
            "invoices",
        )

    def get_invoices(self, batch: Batch) -> int:
        """How many invoices it is for."""
        return len(batch.items)


class NoteSerializer(serializers.ModelSerializer):
    """A note on an invoice, as its last version says it."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="note")
    created = UnixTimeField(source="created_at", read_only=True)
    edited = UnixTimeField(source="last_version.written_at", read_only=True)
    author = serializers.CharField(source="author.username", read_only=True)
    token = TokenField()
    version = serializers.IntegerField(source="last_version.number", read_only=True)
    text = serializers.CharField(source="last_version.text", read_only=True)

    class Meta:
        model = Note
        fields = ("id", "object", "invoice", "created", "edited", "author", "token", "version", "text")


class NoteVersionSerializer(serializers.ModelSerializer):
    """What a note said from this moment on."""

    written = UnixTimeField(source="written_at", read_only=True)
    token = TokenField()

    class Meta:
        model = NoteVersion
        fields = ("number", "written", "text", "token")


class RunSerializer(serializers.ModelSerializer):
    """One reconciliation. seen = same + imported + healed + in_flight + failed."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="reconciliation_run")
    created = UnixTimeField(source="started_at", read_only=True)
    finished = UnixTimeField(source="finished_at", read_only=True, allow_null=True)

    class Meta:
        model = ReconciliationRun
        fields = (
            "id",
            "object",
            "kind",
            "state",
            "created",
            "finished",
            "dry_run",
            "params",
            "seen",
            "same",
            "imported",
            "healed",
            "in_flight",
            "failed",
            "events",
            "exit_code",
            "error",
        )


class DriftSerializer(serializers.ModelSerializer):
    """One difference between Stripe and the mirror that no event explained."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="drift")
    run = serializers.CharField(source="run_id", read_only=True)
    created = UnixTimeField(source="found_at", read_only=True)
    healed = UnixTimeField(source="healed_at", read_only=True, allow_null=True)
    explanation = serializers.SerializerMethodField()
    ours = serializers.ReadOnlyField()
    theirs = serializers.ReadOnlyField()

    def get_explanation(self, row: Drift) -> str | None:
        """Why it is so, in a person's words, where somebody explained it."""
        return recorded.shown(row.explanation.text) if row.explanation else None

    class Meta:
        model = Drift
        fields = (
            "id",
            "object",
            "run",
            "created",
            "healed",
            "explanation",
            "kind",
            "object_type",
            "object_id",
            "invoice",
            "field",
            "reason",
            "ours",
            "theirs",
        )
