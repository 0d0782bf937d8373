"""Rows as Stripe shows objects: the mirror's as they came, the journal's in the same manner."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.renderers import BaseRenderer

from invoices.models import Drift, Mirrored, Operation, ReconciliationRun

LISTED = 10  # of a list within an object


def shown(row: Mirrored) -> dict[str, Any] | None:
    """A mirrored object as Stripe would show it now: an invoice with its first ten lines, a deleted customer as a stub.

    None for a deleted draft, which Stripe does not show at all.
    """
    if row.deleted_at:
        return {"id": row.pk, "object": row.OBJECT, "deleted": True} if row.OBJECT == "customer" else None
    data: Any = row.data
    lines = data.get("lines") if row.OBJECT == "invoice" and data else None
    if isinstance(lines, dict) and isinstance(lines.get("data"), list) and len(lines["data"]) > LISTED:
        return {**data, "lines": {**lines, "data": lines["data"][:LISTED], "has_more": True}}
    return data


class StripeRenderer(BaseRenderer):
    """JSON in ASCII, so that any text that a string can hold comes out again, half an emoji included."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else json.dumps(data, separators=(",", ":")).encode()


class UnixField(serializers.Field):
    """A moment as whole seconds since 1970, UTC."""

    def to_representation(self, value: datetime) -> int:
        return int(value.timestamp())


class OperationSerializer(serializers.ModelSerializer):
    """One thing that somebody asked for, and what came of it."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="operation")
    created = UnixField(source="created_at", read_only=True)
    finished = UnixField(source="finished_at", read_only=True, allow_null=True)
    decided = UnixField(source="decided_at", read_only=True, allow_null=True)
    batch = serializers.CharField(source="batch_id", read_only=True, allow_null=True)
    actor = serializers.SerializerMethodField()
    approver = serializers.SerializerMethodField()
    calls = serializers.SerializerMethodField()

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
            "reason",
            "ticket",
            "params",
            "expected",
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
            "calls",
            "stripe_request_id",
        )

    def get_actor(self, operation: Operation) -> str | None:
        return operation.actor.get_username() if operation.actor else None

    def get_approver(self, operation: Operation) -> str | None:
        return operation.approver.get_username() if operation.approver else None

    def get_calls(self, operation: Operation) -> list[dict[str, Any]]:
        """What was sent to Stripe and when, without what came back."""
        told = ("name", "key", "sent_at", "first_sent_at", "answered_at", "status", "request_id")
        return [{name: call[name] for name in told if name in call} for call in operation.calls]


class RunSerializer(serializers.ModelSerializer):
    """One reconciliation. seen = same + imported + healed + in_flight + failed."""

    id = serializers.CharField(read_only=True)
    object = serializers.ReadOnlyField(default="reconciliation_run")
    created = UnixField(source="started_at", read_only=True)
    finished = UnixField(source="finished_at", read_only=True, allow_null=True)

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
    created = UnixField(source="found_at", read_only=True)
    healed = UnixField(source="healed_at", read_only=True, allow_null=True)
    ours = serializers.ReadOnlyField()
    theirs = serializers.ReadOnlyField()

    class Meta:
        model = Drift
        fields = (
            "id",
            "object",
            "run",
            "created",
            "healed",
            "kind",
            "object_type",
            "object_id",
            "invoice",
            "field",
            "ours",
            "theirs",
        )
