"""The endpoints in the API's description at /api/schema/, derived from the filters and the actions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from django_filters import FilterSet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema, extend_schema_view

from invoices.api import expandable
from invoices.api.filters import TEXT, IntegerFilter
from invoices.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from invoices.api.parameters import MAX_PATH_LENGTH, MAX_PATHS
from invoices.api.schema_shapes import AMOUNT, array, list_of, ref
from invoices.money import MAX_MINOR_UNITS
from invoices.operations import Action, Parameter, waiting
from invoices.operations.parameters import MAX_TEXT_LENGTH
from invoices.operations.request import MAX_KEY_LENGTH, MAX_REASON_LENGTH, MAX_TICKET_LENGTH
from invoices.search.language import MAX_LENGTH

Handler = TypeVar("Handler", bound=Callable[..., Any])

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PARAMETER_SCHEMAS: dict[str, dict[str, Any]] = {  # by the kind of a parameter of an action
    "flag": {"type": "boolean"},
    "text": TEXT | {"maxLength": MAX_TEXT_LENGTH},
    "id": TEXT | {"maxLength": MAX_TEXT_LENGTH},
    "payment_method": TEXT | {"maxLength": MAX_TEXT_LENGTH},
    "money": AMOUNT | {"minimum": 1, "maximum": MAX_MINOR_UNITS - 1},
    "date": {"type": "string", "format": "date"},
    "choice": {"type": "string"},
}
# HTTP status → what it means. Which of them an endpoint can answer is said by `StripeSchema.error_statuses`.
ERRORS = {
    400: "Wrong or unknown parameter, or the invoice's state forbids it",
    401: "No key, or a wrong one",
    402: "The payment was declined: a `card_error`, with Stripe's decline code and our code",
    403: "The key may not do this",
    404: "No such object",
    408: "The body did not arrive in time",
    409: "Under way, or the outcome is not known yet: ask again with the same `Idempotency-Key`",
    413: "The body is too large",
    429: "Too many requests, here or at Stripe: nothing was applied, and the same key may be used again",
    500: "A fault of ours",
    502: "Stripe had an internal error, or refused our own key; the operation says what came of it",
    503: "Too much to do, or Stripe cannot be reached: an action was not sent, what the mirror lacks not read",
    504: "It takes longer than a client is let wait. It goes on: look at what came of it",
}
OF_EVERY_ENDPOINT = (400, 401, 403, 408, 413, 429, 500, 503, 504)
OF_ACTIONS = (402, 404, 409, 502)
# Headers of the replies, by their names in `schema_objects.HEADERS`.
HEADERS_OF_EVERY_REPLY = ("Request-Id", "X-Request-ID", "Stripe-Version")
HEADERS_OF_ERRORS = ("Stripe-Should-Retry", "Retry-After")
HEADERS_OF_ACTIONS = (
    "Idempotency-Key",
    "Idempotent-Replayed",
    "Original-Request",
    "Invoice-Desk-Operation",
    "Invoice-Desk-Not-Expanded",
)
HEADERS_OF_OBJECTS = ("Invoice-Desk-Seen-At", "Invoice-Desk-Source", "ETag", "Link")

# What Stripe's operation ids call the id in the address, where that is not one of the list: `GetEventsId`.
STRIPES_NAME_OF_ID = {"credit_notes": "id", "events": "id", "payment_intents": "intent"}


def query(name: str, schema: dict[str, Any], description: str) -> OpenApiParameter:
    """A parameter in the address."""
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description)


STARTING_AFTER = query("starting_after", TEXT, "The id after which the page begins: older ones")
LIST_PARAMETERS = [
    query(
        "limit", {**IntegerFilter.schema, "default": DEFAULT_LIMIT}, f"How many, 1 to {MAX_LIMIT}; clamped in silence"
    ),
    STARTING_AFTER,
    query("ending_before", TEXT, "The id before which the page ends: newer ones"),
]
ID = OpenApiParameter("id", {"type": "string"}, OpenApiParameter.PATH)
NOT_BEFORE = OpenApiParameter(
    "Invoice-Desk-Not-Before",
    TEXT,
    OpenApiParameter.HEADER,
    description="Seconds since 1970, or ISO 8601: what may be older than this is read from Stripe first.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": MAX_KEY_LENGTH},
    OpenApiParameter.HEADER,
    description="Sent twice, it is the same operation. Yours alone: unique per user.",
)
WAIT = query(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": waiting.MAX_SECONDS, "default": waiting.DEFAULT_SECONDS},
    "For how many seconds the answer is held while the outcome is not known",
)
WAIT_FOR_END = query(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": waiting.MAX_SECONDS, "default": 0},
    "For how many seconds the answer is held while it is not over",
)
REASON = OpenApiParameter(
    "Invoice-Desk-Reason",
    {"type": "string", "maxLength": MAX_REASON_LENGTH},
    OpenApiParameter.HEADER,
    description="Why, for the journal; without it, the token's name",
)
TICKET = OpenApiParameter(
    "Invoice-Desk-Ticket", {"type": "string", "maxLength": MAX_TICKET_LENGTH}, OpenApiParameter.HEADER
)


def filters_of(filterset_class: type[FilterSet]) -> list[OpenApiParameter]:
    """The parameters of a list that are its filters."""
    return [query(name, found.schema, found.label or "") for name, found in filterset_class.base_filters.items()]


class StripeSchema(AutoSchema):
    """One endpoint's description. What all endpoints share is said here: errors, headers, and how they are named."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        replies: dict[str, Any] = operation["responses"]
        for status in self.error_statuses():
            content = {JSON: {"schema": ref("error")}}
            replies.setdefault(str(status), {"description": ERRORS[status], "content": content})
        if self.method == "GET":
            replies["304"] = {"description": "It has not changed since the answer whose `ETag` was sent"}
        for code, reply in replies.items():
            headers = {name: {"$ref": f"#/components/headers/{name}"} for name in self.headers_of(int(code))}
            reply["headers"] = headers | reply.get("headers", {})
        operation["responses"] = dict(sorted(replies.items()))
        body = operation.get("requestBody", {})
        if any("required" in one["schema"] for one in body.get("content", {}).values()):
            body["required"] = True
        return operation

    def error_statuses(self) -> set[int]:
        of_this = OF_ACTIONS if self.method == "POST" else (404,) if "{" in self.path else ()
        return {*OF_EVERY_ENDPOINT, *of_this}

    def headers_of(self, status: int) -> tuple[str, ...]:
        of_errors = HEADERS_OF_ERRORS if status >= 400 else ()
        of_this = HEADERS_OF_ACTIONS if self.method == "POST" else HEADERS_OF_OBJECTS if status < 400 else ()
        return (*HEADERS_OF_EVERY_REPLY, *of_errors, *of_this, *(("WWW-Authenticate",) if status == 401 else ()))

    def get_operation_id(self) -> str:
        """As Stripe names its own: the method and the path, as one word: `PostInvoicesInvoicePay`."""
        names = self.path.split("/")[2:]
        for place, name in enumerate(names):
            if name.startswith("{"):
                names[place] = STRIPES_NAME_OF_ID.get(names[place - 1], names[place - 1].removesuffix("s"))
        words = re.split("[_.]", "_".join(names))  # `invoices.csv`, a list as a file, is two
        return "".join(word.title() for word in [self.method.lower(), *words])

    def get_override_parameters(self) -> list[Any]:
        given = [*super().get_override_parameters(), *([IDEMPOTENCY_KEY] if self.method == "POST" else [])]
        return [ID, *given] if "{id}" in self.path else given

    def _is_list_view(self, serializer: Any = None) -> bool:
        """Never: a reply is described whole, with the list's envelope. drf-spectacular would make an array of it."""
        return False


def describe(
    tag: str,
    summary: str,
    reply: dict[str, Any],
    *,
    parameters: Iterable[OpenApiParameter] = (),
    body: dict[str, Any] | None = None,
    description: str = "",
    media_type: str = JSON,
) -> Callable[[Handler], Handler]:
    """Describes one method of a StripeView: what it takes, and what it answers when all is well.

    `reply` is the schema of its body, such as `ref("invoice")` or `list_of("invoice")`; `body` that of the request's.
    The id in the address, errors and headers are described by StripeSchema.
    """
    return extend_schema(
        tags=[tag],
        summary=summary,
        description=description or None,
        parameters=list(parameters),
        request={FORM: OpenApiRequest(_as_form(body), encoding=_encoding(body)), JSON: body} if body else None,
        responses={(200, media_type): OpenApiResponse(reply, "It is so")},
    )


def _as_form(body: dict[str, Any]) -> dict[str, Any]:
    """The same body in a form, where an array is written as `expand[]=…`, once for each item."""
    names = {
        name: f"{name}[]" if schema.get("type") == "array" else name for name, schema in body["properties"].items()
    }
    form = {**body, "properties": {names[name]: schema for name, schema in body["properties"].items()}}
    return form | ({"required": [names[name] for name in body["required"]]} if "required" in body else {})


def _encoding(body: dict[str, Any]) -> dict[str, Any] | None:
    """How a form writes the members that are objects: `expected[eur]=12300`."""
    objects = [name for name, schema in body["properties"].items() if schema.get("type") == "object"]
    return {name: {"style": "deepObject", "explode": True} for name in objects} or None


def describe_list_and_retrieve(view: Any, tag: str) -> Any:
    """Describes a ListAndRetrieveView by its filters and by what can be expanded. Returns the view."""
    arrays = [query(f"{name}[]", array(TEXT), label) for name, label in view.arrays.items()]
    expandable = expand_parameter(view.object_type)
    of_list = describe(
        tag,
        f"List {tag.lower()}, newest first",
        list_of(view.object_type),
        parameters=[*filters_of(view.filterset_class), *arrays, *LIST_PARAMETERS, *expandable],
    )
    not_before = [NOT_BEFORE] if view.is_of_stripe else [WAIT_FOR_END] if view.may_wait else []
    of_one = describe(tag, "Retrieve one by its id", ref(view.object_type), parameters=[*expandable, *not_before])
    return extend_schema_view(list=of_list, retrieve=of_one)(view)


def describe_search(view: Any, tag: str) -> Any:
    """Describes a SearchView by the fields that its query may name. Returns the view."""
    fields = ", ".join(f"`{name}`" for name in sorted(view.resource.fields))
    text = OpenApiParameter(
        "query",
        {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
        OpenApiParameter.QUERY,
        required=True,
        description=f"In Stripe's search query language. Fields: {fields}",
    )
    page = query("page", TEXT | {"maxLength": MAX_LENGTH}, "The `next_page` of the page before this one")
    of_search = describe(
        tag,
        f"Search {tag.lower()}, newest first",
        _search_result_of(view.object_type),
        parameters=[text, page, LIST_PARAMETERS[0], *expand_parameter(view.object_type)],
    )
    return extend_schema_view(list=of_search)(view)


def describe_action(view: Any) -> Any:
    """Describes an ActionView by its action's entry. Returns the view."""
    action: Action = view.entry
    of_action = describe(
        "Actions",
        action.label,
        ref("invoice"),
        body=_body(action),
        parameters=[WAIT, REASON, TICKET],
        description=f"{action.undo} Needs the permission `{action.permission}`.",
    )
    return extend_schema_view(create=of_action)(view)


def expanding_body_of(properties: dict[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    """A request's body of these members, which may say what to expand, and no others."""
    paths = {**array(TEXT | {"maxLength": MAX_PATH_LENGTH, "pattern": "^[ -~]*$"}), "maxItems": MAX_PATHS}
    return body_of({**properties, "expand": paths}, required)


def body_of(properties: dict[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    """A request's body of these members, and no others."""
    body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return body | ({"required": list(required)} if required else {})


def _body(action: Action) -> dict[str, Any]:
    properties = {parameter.name: parameter_schema(parameter) for parameter in action.parameters}
    return expanding_body_of(properties, [parameter.name for parameter in action.parameters if parameter.required])


def parameter_schema(parameter: Parameter) -> dict[str, Any]:
    schema = {**PARAMETER_SCHEMAS[parameter.kind], "title": parameter.label}
    if parameter.help:
        schema["description"] = parameter.help
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    return schema


def expand_parameter(object_type: str) -> list[OpenApiParameter]:
    if object_type not in expandable.EXPANDABLE:
        return []
    paths = ", ".join(_expandable_paths(object_type))
    description = f"What to show whole instead of its id: {paths}. In a list, each begins with `data.`"
    return [query("expand[]", array(TEXT), description)]


def _expandable_paths(object_type: str) -> Iterator[str]:
    for members, member_type in expandable.EXPANDABLE.get(object_type, {}).items():
        yield f"`{'.'.join(members)}`"
        if member_type == "payments":
            yield "`payments.data.payment.payment_intent`"


def _search_result_of(component: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["object", "data", "has_more", "next_page", "url"],
        "properties": {
            "object": {"type": "string", "enum": ["search_result"]},
            "data": {"type": "array", "items": ref(component)},
            "has_more": {"type": "boolean"},
            "next_page": {"type": "string", "nullable": True},
            "total_count": {"type": "integer", "description": "With `expand[]=total_count`; exact up to 10,000"},
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
