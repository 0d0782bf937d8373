"""The components of the API's description: Stripe's objects, ours, the error, and the headers of replies."""

from __future__ import annotations

from typing import Any

from invoices import operations
from invoices.api.schema_shapes import BOOLEAN, INTEGER, TEXT, Schema, array, ref, shape
from invoices.api.schema_stripe import ERROR_MEMBERS, STRIPES_OBJECTS
from invoices.models import MIRRORED, Delivery, Operation


def _token(description: str) -> Schema:
    return {**shape(description, texts="name created_by?"), "nullable": True}


_INVOICE: Schema = {"description": "An id, or the invoice when expanded", "anyOf": [TEXT, ref("invoice")]}

OUR_OBJECTS: dict[str, Schema] = {
    "error": {
        "type": "object",
        "description": "Stripe's error envelope",
        "required": ["error"],
        "properties": {
            "error": {
                **ERROR_MEMBERS,
                "required": ["type", "message"],
                "properties": {
                    **ERROR_MEMBERS["properties"],
                    "code": {
                        **TEXT,
                        "description": f"Stripe's, or ours: {', '.join(f'`{one}`' for one in operations.HTTP_STATUS)}",
                    },
                    "desk_code": {**TEXT, "description": "Ours, beside Stripe's: what it means stands in docs/api.md"},
                    "operation": {**TEXT, "description": "The id of the operation, at `/v1/operations/:id`"},
                },
            }
        },
    },
    "operation": shape(
        "One thing that somebody asked for, and what came of it",
        kind="operation",
        texts="id! source shell_user reason ticket idempotency_key request_id batch? actor? approver? code "
        "decline_code message advice outcome_by decision_reason stripe_request_id currency",
        moments="created! finished? decided?",
        objects="params expected error? before after",
        invoice=_INVOICE,
        action={**TEXT, "enum": list(operations.ACTIONS)},
        state={**TEXT, "enum": list(Operation.State.values)},
        processing={**BOOLEAN, "description": "Stripe took the payment, and a bank has not decided yet"},
        token=_token("With which the API was asked"),
        decision_token=_token("With which the decision was told"),
        expand={**array(TEXT), "nullable": True},
        approval_amount={**INTEGER, "nullable": True, "description": "Minor units: to what a second person agrees"},
        calls=array(
            shape(
                "A call to Stripe",
                texts="name key sent_at? first_sent_at? answered_at? request_id?",
                integers="status?",
            )
        ),
        contradictions=array(
            shape(
                "An event of Stripe's that says otherwise than this operation, and what a person did about it",
                texts="event message resolved_by? resolution",
                moments="found resolved?",
            )
        ),
    ),
    "batch": shape(
        "One action asked for on many invoices; its operations: `/v1/operations?batch=…`",
        kind="batch",
        texts="id! action actor cancelled_by? reason ticket approver? decision_reason request_id idempotency_key",
        moments="created! finished? cancelled? decided? confirm_by",
        integers="invoices",
        booleans="awaiting_approval",
        objects="params",
        source={**TEXT, "enum": ["admin", "api"]},
        token=_token("With which the API was asked"),
        sums={
            "type": "object",
            "additionalProperties": INTEGER,
            "description": "What remained to pay when it was confirmed, in minor units: by currency",
        },
        progress={
            "type": "object",
            "additionalProperties": INTEGER,
            "description": "Of one alone: how many of its operations are in each state; `waiting`: have not begun",
        },
    ),
    "batch_preview": shape(
        "What a batch would do; nothing was changed",
        kind="batch_preview",
        texts="action paused?",
        invoices={**array(TEXT), "description": "The ids of those that it would be done to, as they were given"},
        left_alone=array(
            shape(
                "Those to which it would not be done, for one reason",
                texts="code reason",
                invoices={**array(TEXT), "description": "Their ids"},
            )
        ),
        sums={
            "type": "object",
            "additionalProperties": INTEGER,
            "description": "What remains to pay on `invoices`, in minor units: by currency. Give it as `expected`",
        },
        approval={
            **shape("Why the batch would wait for a second person", texts="reason", amounts="amount"),
            "nullable": True,
        },
    ),
    "note": shape(
        "A note that somebody wrote on an invoice; only its author edits it",
        kind="note",
        texts="id! author text",
        moments="created! edited",
        integers="version",
        invoice=_INVOICE,
        token=_token("With which it was written"),
        versions=array(
            shape(
                "Of one alone: what it said from this moment on, the first one first",
                texts="text",
                moments="written",
                integers="number",
                token=_token("With which it was written"),
            )
        ),
    ),
    "reconciliation_run": shape(
        "One reconciliation. seen = same + imported + healed + in_flight + failed",
        kind="reconciliation_run",
        texts="id! kind state error",
        moments="created! finished?",
        integers="seen same imported healed in_flight failed events exit_code?",
        booleans="dry_run",
        objects="params",
    ),
    "drift": shape(
        "One difference between Stripe and the mirror that no event explained",
        kind="drift",
        texts="id! run kind object_type object_id invoice field reason explanation?",
        moments="created! healed?",
        ours={"description": "What the mirror had"},
        theirs={"description": "What Stripe had"},
    ),
    "change": {
        **shape(
            "That one object of the mirror became another",
            kind="change",
            texts="object_id!",
            moments="created!",
            booleans="deleted!",
            sequence={**INTEGER, "description": "Its place: 1, 2, 3 and so on, without gaps"},
            type={**TEXT, "description": "The kind of object, and what happened, such as `invoice.updated`"},
            object_type={**TEXT, "enum": sorted(MIRRORED)},
            snapshot={
                "type": "object",
                "nullable": True,
                "additionalProperties": True,
                "description": "The object as the mirror has it now, at least as new as the change",
            },
        ),
        "required": "object sequence type object_type object_id created deleted snapshot".split(),
    },
    "webhook_endpoint": shape(
        "A service's endpoint, in Stripe's shape",
        kind="webhook_endpoint",
        texts="id! api_version? application? description? url disabled_because? owner?",
        moments="created! failing_since?",
        booleans="livemode",
        objects="metadata",
        enabled_events=array(TEXT),
        secret={**TEXT, "description": "Signs what is sent. Only when it was made or replaced"},
        status={**TEXT, "enum": ["enabled", "disabled"]},
    ),
    "deleted_webhook_endpoint": shape(
        "An endpoint that was deleted", kind="webhook_endpoint", texts="id!", booleans="deleted!"
    ),
    "webhook_delivery": shape(
        "An event that is owed to an endpoint, and what became of it",
        kind="webhook_delivery",
        texts="id! endpoint event type last_error?",
        moments="created! next_attempt? ended?",
        integers="attempts last_status?",
        state={**TEXT, "enum": list(Delivery.State.values)},
    ),
}

HEADERS: dict[str, Schema] = {
    "Request-Id": {
        "description": "The request's id, by which the log and `/v1/operations?request_id=…` know it",
        "required": True,
        "schema": TEXT,
    },
    "X-Request-ID": {"description": "The same as `Request-Id`", "schema": TEXT},
    "Stripe-Version": {"description": "The version of Stripe's API that the objects have", "schema": TEXT},
    "Stripe-Should-Retry": {
        "description": "Whether the same request can be sent again, with the same `Idempotency-Key`",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "Retry-After": {"description": "In how many seconds the request can be sent again", "schema": INTEGER},
    "Idempotency-Key": {"description": "The key as it was sent", "schema": TEXT},
    "Idempotent-Replayed": {
        "description": "The key was sent before: this is the same operation's reply",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Original-Request": {"description": "The `Request-Id` of the reply to the key's first request", "schema": TEXT},
    "Invoice-Desk-Not-Expanded": {
        "description": "Paths of `expand[]`, joined by commas, that stayed ids because Stripe did not answer once more",
        "schema": TEXT,
    },
    "Invoice-Desk-Operation": {
        "description": "The id of the operation, at `/v1/operations/:id`",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Invoice-Desk-Seen-At": {
        "description": "Until when, by Stripe's clock, the object is known to have been so, within 3 seconds; UTC",
        "schema": {"type": "string", "format": "date-time"},
    },
    "Invoice-Desk-Source": {
        "description": "Where what is shown was taken from: the mirror, or Stripe for this reply",
        "schema": {"type": "string", "enum": ["mirror", "stripe"]},
    },
    "ETag": {"description": "Send it as `If-None-Match`: what has not changed is not sent again", "schema": TEXT},
    "Link": {"description": "Of a list as a file: the address of the next one", "schema": TEXT},
    "WWW-Authenticate": {"description": "How a token is sent", "required": True, "schema": TEXT},
}


def add_components(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A hook of drf-spectacular's (`POSTPROCESSING_HOOKS`): adds the components to the finished description."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update({**STRIPES_OBJECTS, **OUR_OBJECTS})
    components["headers"] = HEADERS
    return result
