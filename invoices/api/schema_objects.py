"""The objects in the API's description at /api/schema/, as components that its endpoints refer to by name."""

from __future__ import annotations

from typing import Any

from invoices import operations
from invoices.models import Operation

TEXT, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
ANY_OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": True}


def _object(description: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "description": description, "properties": properties, "additionalProperties": True}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "nullable": True}


COMPONENTS = {
    "error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                **_object(
                    "Stripe's error envelope",
                    type=TEXT,
                    code={
                        **TEXT,
                        "description": f"Stripe's, or ours: {', '.join(f'`{one}`' for one in operations.HTTP_STATUS)}",
                    },
                    message=TEXT,
                    param=TEXT,
                    decline_code=TEXT,
                    stripe_code={**TEXT, "description": "Stripe's own code, where ours is another"},
                    operation={**TEXT, "description": "The id of the operation, at `/v1/operations/:id`"},
                ),
                "required": ["type", "message"],
            }
        },
    },
    "invoice": _object(
        "Stripe's invoice, member by member as Stripe sent it, with its first ten lines",
        id=TEXT,
        object=TEXT,
        number=_or_null(TEXT),
        status=_or_null(TEXT),
        currency=TEXT,
        customer={"description": "An id, or the customer when expanded"},
        total=INTEGER,
        amount_due=INTEGER,
        amount_paid=INTEGER,
        amount_remaining=INTEGER,
        created=INTEGER,
        due_date=_or_null(INTEGER),
        lines=ANY_OBJECT,
        payments={**ANY_OBJECT, "description": "Only when expanded"},
    ),
    "line_item": _object("A line of an invoice", id=TEXT, object=TEXT, amount=INTEGER, currency=TEXT),
    "invoice_payment": _object(
        "A payment, or an attempt at one, of an invoice",
        id=TEXT,
        object=TEXT,
        invoice={"description": "An id, or the invoice when expanded"},
        status=TEXT,
        amount_requested=INTEGER,
        amount_paid=_or_null(INTEGER),
        currency=TEXT,
        payment=ANY_OBJECT,
    ),
    "operation": _object(
        "One thing that somebody asked for, and what came of it",
        id=TEXT,
        object=TEXT,
        action={**TEXT, "enum": list(operations.ACTIONS)},
        invoice={"description": "An id, or the invoice when expanded"},
        state={**TEXT, "enum": list(Operation.State.values)},
        created=INTEGER,
        finished=_or_null(INTEGER),
        processing={**BOOLEAN, "description": "Stripe took the payment, and a bank has not decided yet"},
        actor=_or_null(TEXT),
        token=_or_null(_object("With which the API was asked", name=TEXT, created_by=_or_null(TEXT))),
        shell_user={**TEXT, "description": "Who ran the command: `user@host`, or empty"},
        reason=TEXT,
        request_id=TEXT,
        batch=_or_null(TEXT),
        params=ANY_OBJECT,
        code=TEXT,
        decline_code=TEXT,
        message=TEXT,
        advice=TEXT,
        error=_or_null(ANY_OBJECT),
        calls={"type": "array", "items": ANY_OBJECT},
        contradictions={
            "type": "array",
            "description": "Stripe's events that say otherwise than this operation",
            "items": _object(
                "What an event says, and what a person did about it",
                event=TEXT,
                message=TEXT,
                found=INTEGER,
                resolved=_or_null(INTEGER),
                resolved_by=_or_null(TEXT),
                resolution=TEXT,
            ),
        },
    ),
    "reconciliation_run": _object(
        "One reconciliation. seen = same + imported + healed + in_flight + failed",
        id=TEXT,
        object=TEXT,
        kind=TEXT,
        state=TEXT,
        created=INTEGER,
        finished=_or_null(INTEGER),
        dry_run=BOOLEAN,
        seen=INTEGER,
        same=INTEGER,
        imported=INTEGER,
        healed=INTEGER,
        in_flight=INTEGER,
        failed=INTEGER,
        exit_code=_or_null(INTEGER),
    ),
    "drift": _object(
        "One difference between Stripe and the mirror that no event explained",
        id=TEXT,
        object=TEXT,
        run=TEXT,
        created=INTEGER,
        healed=_or_null(INTEGER),
        kind=TEXT,
        object_type=TEXT,
        object_id=TEXT,
        field=TEXT,
        ours={},
        theirs={},
    ),
}


def add_components(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A hook of drf-spectacular's (`POSTPROCESSING_HOOKS`): adds the objects to the finished description."""
    result.setdefault("components", {}).setdefault("schemas", {}).update(COMPONENTS)
    return result
