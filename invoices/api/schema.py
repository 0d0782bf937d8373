"""The API's description at /api/schema/, derived from the same filters and catalog that the endpoints obey."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django_filters import FilterSet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from invoices import operations
from invoices.api import expand
from invoices.operations import Parameter, Spec

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
KINDS: dict[str, dict[str, Any]] = {
    "flag": {"type": "boolean"},
    "text": {"type": "string", "maxLength": 5000},
    "id": {"type": "string", "maxLength": 5000},
    "money": {"type": "integer", "minimum": 1, "description": "Minor units"},
    "date": {"type": "string", "format": "date"},
    "choice": {"type": "string"},
}
REFUSALS = {
    400: "Wrong or unknown parameter, or the invoice's state forbids it",
    401: "No key, or a wrong one",
    402: "The payment was declined: a `card_error`, with Stripe's decline code and our code",
    403: "The key may not do this",
    404: "No such object",
    409: "Under way, or the outcome is not known yet: ask again with the same `Idempotency-Key`",
    503: "Stripe cannot be reached; nothing was sent",
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, schema: dict[str, Any], says: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=says)


def _expand(kind: str) -> list[OpenApiParameter]:
    says = f"What to show whole instead of its id: {', '.join(_paths(kind))}. In a list, each begins with `data.`"
    array = {"type": "array", "items": {"type": "string"}}
    return [_query("expand[]", array, says)] if kind in expand.FIELDS else []


def _paths(kind: str) -> Iterable[str]:
    for where, what in expand.FIELDS.get(kind, {}).items():
        yield f"`{'.'.join(where)}`"
        if what == "payments":
            yield "`payments.data.payment.payment_intent`"


PAGE = [
    _query("limit", {"type": "integer", "default": 10}, "How many, 1 to 100; clamped in silence"),
    _query("starting_after", {"type": "string"}, "The id after which the page begins: older ones"),
    _query("ending_before", {"type": "string"}, "The id before which the page ends: newer ones"),
]
ID = OpenApiParameter("id", {"type": "string"}, OpenApiParameter.PATH)
KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": 255},
    OpenApiParameter.HEADER,
    description="Sent twice, it is the same operation. Yours alone: unique per user.",
)


def _answers(shown: dict[str, Any], *statuses: int) -> dict[int, Any]:
    wrong = {status: OpenApiResponse(_ref("error"), REFUSALS[status]) for status in statuses}
    return {200: OpenApiResponse(shown), **wrong}


def _list_of(kind: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["object", "data", "has_more", "url"],
        "properties": {
            "object": {"type": "string", "enum": ["list"]},
            "data": {"type": "array", "items": _ref(kind)},
            "has_more": {"type": "boolean"},
            "url": {"type": "string"},
        },
    }


def described(tag: str) -> Callable[[Any], Any]:
    """Describes a ListRetrieve by its filters and its kind."""

    def describe(view: Any) -> Any:
        narrowing = [_query(name, found.schema, found.label or "") for name, found in _filters(view.filters)]
        many = extend_schema(
            tags=[tag],
            summary=f"List {tag.lower()}, newest first",
            parameters=[*narrowing, *PAGE, *_expand(view.kind)],
            filters=False,
            responses=_answers(_list_of(view.kind), 400, 401, 403),
        )
        one = extend_schema(
            tags=[tag],
            summary="Retrieve one by its id",
            parameters=[ID, *_expand(view.kind)],
            responses=_answers(_ref(view.kind), 400, 401, 403, 404),
        )
        if hasattr(view, "lines"):
            view.lines = extend_schema(
                tags=[tag],
                operation_id=f"{view.kind}_lines",
                summary="List an invoice's lines",
                parameters=[ID, *PAGE],
                responses=_answers(_list_of("line_item"), 400, 401, 403, 404),
            )(view.lines)
        return extend_schema_view(list=many, retrieve=one)(view)

    return describe


def _filters(kind: type[FilterSet]) -> Iterable[tuple[str, Any]]:
    return kind.base_filters.items()


def described_action(view: Any) -> Any:
    """Describes an ActionView by its entry in the catalog."""
    spec: Spec = view.spec
    body = _body(spec)
    return extend_schema_view(
        create=extend_schema(
            tags=["Actions"],
            operation_id=f"invoices_{spec.name}",
            summary=spec.label,
            description=f"{spec.undo} Needs the permission `{spec.permission}`.",
            parameters=[ID, KEY],
            request={FORM: body, JSON: body},
            responses=_answers(_ref("invoice"), *REFUSALS),
        )
    )(view)


def _body(spec: Spec) -> dict[str, Any]:
    properties = {parameter.name: _property(parameter) for parameter in spec.parameters}
    properties["expand"] = {"type": "array", "items": {"type": "string"}}
    body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [parameter.name for parameter in spec.parameters if parameter.required]
    return body | ({"required": required} if required else {})


def _property(parameter: Parameter) -> dict[str, Any]:
    found = {**KINDS[parameter.kind], "title": parameter.label}
    if parameter.help:
        found["description"] = parameter.help
    if parameter.choices:
        found["enum"] = list(parameter.choices)
    return found


class TokenScheme(OpenApiAuthenticationExtension):
    """Both ways in which a token may be sent."""

    target_class = "invoices.api.auth.ApiTokenAuthentication"
    name = ["token", "tokenAsUserName"]

    def get_security_definition(self, auto_schema: Any) -> Any:
        return [
            {"type": "http", "scheme": "bearer"},
            {"type": "http", "scheme": "basic", "description": "The token as user name, no password"},
        ]


# --- the objects ------------------------------------------------------------------------------------------------------

TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
ANY: dict[str, Any] = {"type": "object", "additionalProperties": True}


def _object(says: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "description": says, "properties": properties, "additionalProperties": True}


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
                        "description": f"Stripe's, or ours: {', '.join(f'`{c}`' for c in operations.STATUS)}",
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
        total=NUMBER,
        amount_due=NUMBER,
        amount_paid=NUMBER,
        amount_remaining=NUMBER,
        created=NUMBER,
        due_date=_or_null(NUMBER),
        lines=ANY,
        payments={**ANY, "description": "Only when expanded"},
    ),
    "line_item": _object("A line of an invoice", id=TEXT, object=TEXT, amount=NUMBER, currency=TEXT),
    "invoice_payment": _object(
        "A payment, or an attempt at one, of an invoice",
        id=TEXT,
        object=TEXT,
        invoice={"description": "An id, or the invoice when expanded"},
        status=TEXT,
        amount_requested=NUMBER,
        amount_paid=_or_null(NUMBER),
        currency=TEXT,
        payment=ANY,
    ),
    "operation": _object(
        "One thing that somebody asked for, and what came of it",
        id=TEXT,
        object=TEXT,
        action={**TEXT, "enum": list(operations.ACTIONS)},
        invoice={"description": "An id, or the invoice when expanded"},
        state=TEXT,
        created=NUMBER,
        finished=_or_null(NUMBER),
        actor=_or_null(TEXT),
        reason=TEXT,
        request_id=TEXT,
        batch=_or_null(TEXT),
        params=ANY,
        code=TEXT,
        decline_code=TEXT,
        message=TEXT,
        advice=TEXT,
        error=_or_null(ANY),
        calls={"type": "array", "items": ANY},
    ),
    "reconciliation_run": _object(
        "One reconciliation. seen = same + imported + healed + in_flight + failed",
        id=TEXT,
        object=TEXT,
        kind=TEXT,
        state=TEXT,
        created=NUMBER,
        finished=_or_null(NUMBER),
        dry_run=FLAG,
        seen=NUMBER,
        same=NUMBER,
        imported=NUMBER,
        healed=NUMBER,
        in_flight=NUMBER,
        failed=NUMBER,
        exit_code=_or_null(NUMBER),
    ),
    "drift": _object(
        "One difference between Stripe and the mirror that no event explained",
        id=TEXT,
        object=TEXT,
        run=TEXT,
        created=NUMBER,
        healed=_or_null(NUMBER),
        kind=TEXT,
        object_type=TEXT,
        object_id=TEXT,
        field=TEXT,
        ours={},
        theirs={},
    ),
}


def add_components(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A drf-spectacular hook: the objects that the answers refer to."""
    result.setdefault("components", {}).setdefault("schemas", {}).update(COMPONENTS)
    return result
