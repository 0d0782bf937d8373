"""The endpoints in the API's description at /api/schema/, derived from the filters and the actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from invoices.api import expand
from invoices.api.exports import CONTENT_TYPES, MAX_ROWS
from invoices.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from invoices.operations import Action, Parameter
from invoices.operations.parameters import MAX_TEXT_LENGTH
from invoices.operations.request import MAX_KEY_LENGTH

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PARAMETER_SCHEMAS: dict[str, dict[str, Any]] = {  # by the kind of a parameter of an action
    "flag": {"type": "boolean"},
    "text": {"type": "string", "maxLength": MAX_TEXT_LENGTH},
    "id": {"type": "string", "maxLength": MAX_TEXT_LENGTH},
    "payment_method": {"type": "string", "maxLength": MAX_TEXT_LENGTH},
    "money": {"type": "integer", "minimum": 1, "description": "Minor units"},
    "date": {"type": "string", "format": "date"},
    "choice": {"type": "string"},
}
ERRORS = {  # HTTP status → what it means
    400: "Wrong or unknown parameter, or the invoice's state forbids it",
    401: "No key, or a wrong one",
    402: "The payment was declined: a `card_error`, with Stripe's decline code and our code",
    403: "The key may not do this",
    404: "No such object",
    409: "Under way, or the outcome is not known yet: ask again with the same `Idempotency-Key`",
    503: "Stripe cannot be reached; nothing was sent",
}


def _ref(component: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{component}"}


def _query(name: str, schema: dict[str, Any], description: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description)


LIST_PARAMETERS = [
    _query("limit", {"type": "integer", "default": DEFAULT_LIMIT}, f"How many, 1 to {MAX_LIMIT}; clamped in silence"),
    _query("starting_after", {"type": "string"}, "The id after which the page begins: older ones"),
    _query("ending_before", {"type": "string"}, "The id before which the page ends: newer ones"),
]
ID = OpenApiParameter("id", {"type": "string"}, OpenApiParameter.PATH)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": MAX_KEY_LENGTH},
    OpenApiParameter.HEADER,
    description="Sent twice, it is the same operation. Yours alone: unique per user.",
)


def describe_list_and_retrieve(view: Any, tag: str) -> Any:
    """Describes a ListAndRetrieveView by its filters and by what can be expanded. Returns the view."""
    filter_parameters = [
        _query(name, found.schema, found.label or "") for name, found in view.filterset_class.base_filters.items()
    ]
    if hasattr(view, "lines"):
        view.lines = extend_schema(
            tags=[tag],
            operation_id=f"{view.object_type}_lines",
            summary="List an invoice's lines",
            parameters=[ID, *LIST_PARAMETERS],
            responses=_responses(_list_of("line_item"), 400, 401, 403, 404),
        )(view.lines)
    return extend_schema_view(
        list=extend_schema(
            tags=[tag],
            summary=f"List {tag.lower()}, newest first",
            parameters=[*filter_parameters, *LIST_PARAMETERS, *_expand_parameter(view.object_type)],
            filters=False,
            responses=_responses(_list_of(view.object_type), 400, 401, 403),
        ),
        retrieve=extend_schema(
            tags=[tag],
            summary="Retrieve one by its id",
            parameters=[ID, *_expand_parameter(view.object_type)],
            responses=_responses(_ref(view.object_type), 400, 401, 403, 404),
        ),
    )(view)


def describe_export(view: Any, tag: str) -> Any:
    """Describes an Export by the filters of its list. Returns the view."""
    filters = [
        _query(name, found.schema, found.label or "") for name, found in view.filterset_class.base_filters.items()
    ]
    kind = CONTENT_TYPES[view.format]
    return extend_schema_view(
        list=extend_schema(
            tags=[tag],
            operation_id=f"{view.object_type}_{view.format}",
            summary=f"{tag} as a file, newest first",
            description=f"Up to {MAX_ROWS} rows. Where there are more, `Link` has the address of the next file.",
            parameters=[*filters, LIST_PARAMETERS[1]],
            responses={(200, kind): OpenApiResponse({"type": "string"}), **_errors(400, 401, 403)},
        )
    )(view)


def describe_action(view: Any) -> Any:
    """Describes an ActionView by its action's entry. Returns the view."""
    action: Action = view.entry
    body = _body(action)
    return extend_schema_view(
        create=extend_schema(
            tags=["Actions"],
            operation_id=f"invoices_{action.name}",
            summary=action.label,
            description=f"{action.undo} Needs the permission `{action.permission}`.",
            parameters=[ID, IDEMPOTENCY_KEY],
            request={FORM: body, JSON: body},
            responses=_responses(_ref("invoice"), *ERRORS),
        )
    )(view)


def _body(action: Action) -> dict[str, Any]:
    properties = {parameter.name: _parameter_schema(parameter) for parameter in action.parameters}
    properties["expand"] = {"type": "array", "items": {"type": "string"}}
    body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [parameter.name for parameter in action.parameters if parameter.required]
    return body | ({"required": required} if required else {})


def _parameter_schema(parameter: Parameter) -> dict[str, Any]:
    schema = {**PARAMETER_SCHEMAS[parameter.kind], "title": parameter.label}
    if parameter.help:
        schema["description"] = parameter.help
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    return schema


def _expand_parameter(object_type: str) -> list[OpenApiParameter]:
    if object_type not in expand.EXPANDABLE:
        return []
    paths = ", ".join(_expandable_paths(object_type))
    description = f"What to show whole instead of its id: {paths}. In a list, each begins with `data.`"
    return [_query("expand[]", {"type": "array", "items": {"type": "string"}}, description)]


def _expandable_paths(object_type: str) -> Iterator[str]:
    for members, member_type in expand.EXPANDABLE.get(object_type, {}).items():
        yield f"`{'.'.join(members)}`"
        if member_type == "payments":
            yield "`payments.data.payment.payment_intent`"


def _responses(success: dict[str, Any], *error_statuses: int) -> dict[int, Any]:
    return {200: OpenApiResponse(success), **_errors(*error_statuses)}


def _errors(*statuses: int) -> dict[int, Any]:
    return {status: OpenApiResponse(_ref("error"), ERRORS[status]) for status in statuses}


def _list_of(component: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["object", "data", "has_more", "url"],
        "properties": {
            "object": {"type": "string", "enum": ["list"]},
            "data": {"type": "array", "items": _ref(component)},
            "has_more": {"type": "boolean"},
            "url": {"type": "string"},
        },
    }


class TokenScheme(OpenApiAuthenticationExtension):
    """The two ways to send a token: as Bearer, and as the user name of HTTP Basic."""

    target_class = "invoices.api.auth.ApiTokenAuthentication"
    name = ["token", "tokenAsUserName"]

    def get_security_definition(self, auto_schema: Any) -> Any:
        return [
            {"type": "http", "scheme": "bearer"},
            {"type": "http", "scheme": "basic", "description": "The token as user name, no password"},
        ]
