"""`GET /v1/changes`: what changed in the mirror, in one order without gaps. A consumer keeps one cursor."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from invoices import changes, waiting_room
from invoices.api import parameters
from invoices.api.base import StripeView, require_permissions, require_scope
from invoices.api.envelope import ApiError, invalid
from invoices.api.filters import IntegerFilter
from invoices.api.pagination import MAX_LIMIT
from invoices.api.schema import describe, query
from invoices.api.schema_shapes import array, list_of
from invoices.api.serializers import Json, stripe_text
from invoices.models import MIRRORED, Scope

MOST_SECONDS = 30  # for which a request may wait
NOW = "now"
CURSOR = re.compile(r"([0-9]{1,19})\.([0-9a-f]{16})", re.ASCII)
AFTER = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": rf"^({NOW}|{CURSOR.pattern})$"}],
    "default": 0,
}
PARAMETERS = [
    query("after", AFTER, "`cursor` or `next` of the page before. 0: from the beginning; `now`: only says the newest"),
    query("types[]", array({"type": "string", "enum": sorted(MIRRORED)}), "Which kinds of objects"),
    query("limit", {**IntegerFilter.schema, "default": MAX_LIMIT}, f"How many, 1 to {MAX_LIMIT}; clamped"),
    query("wait", {**IntegerFilter.schema, "default": 0}, f"Seconds to wait for one, 0 to {MOST_SECONDS}; clamped"),
]


def _envelope() -> dict[str, Any]:
    envelope = list_of("change")
    following = {
        "next": {"type": "integer", "description": "The number of the last change that this page looked at"},
        "cursor": {"type": "string", "description": "What to send as `after` for the next page"},
    }
    properties = {**envelope["properties"], **following}
    return {**envelope, "required": [*envelope["required"], *following], "properties": properties}


class ChangesView(StripeView):
    """`/v1/changes`. A caller sees the changes of the kinds of objects whose permission its user holds."""

    permission_classes: list[Any] = []  # they differ from kind to kind
    scope = Scope.FEED

    @describe(
        "Changes",
        "Follow what changes in the mirror, oldest first",
        _envelope(),
        parameters=PARAMETERS,
        description="Needs the permission to view each kind in `types[]`; without it, shows what the key may see.",
    )
    def follow(self, request: Request) -> Response:
        require_scope(request, self.scope)
        nested = parameters.of_request(request)
        kinds = _kinds(request, parameters.take_array(nested, "types"))
        values = parameters.flatten(nested)
        parameters.refuse_unknown(values, ("after", "limit", "wait"), ("after", "limit", "wait"))
        limit = min(max(parameters.integer(values.get("limit", MAX_LIMIT), "limit"), 1), MAX_LIMIT)
        seconds = min(max(parameters.integer(values.get("wait", 0), "wait"), 0), MOST_SECONDS)
        after = values.get("after", 0)
        if after == NOW:
            return _response(request, changes.now())
        cursor = CURSOR.fullmatch(after) if isinstance(after, str) else None
        after, mark = cursor.groups() if cursor else (after, "")
        after = parameters.integer(after, "after")
        if after < 0:
            raise invalid("Invalid non-negative integer", "after", "parameter_invalid_integer")
        return _response(request, _page(request, after, mark, kinds, limit, seconds))


def _kinds(request: Request, named: list[str]) -> frozenset[str]:
    """The kinds that are named, or all that the caller may see. Raises ApiError."""
    permissions = {kind: f"invoices.view_{model._meta.model_name}" for kind, model in MIRRORED.items()}
    for index, kind in enumerate(named):
        if kind not in permissions:
            message = f"Invalid types[{index}]: must be one of {parameters.one_of(sorted(permissions))}"
            raise invalid(message, f"types[{index}]")
    if named:
        require_permissions(request, *(permissions[kind] for kind in named))
        return frozenset(named)
    visible = frozenset(kind for kind, permission in permissions.items() if request.user.has_perm(permission))
    if not visible:
        require_permissions(request, *permissions.values())
    return visible


def _page(request: Request, after: int, mark: str, kinds: frozenset[str], limit: int, seconds: int) -> changes.Page:
    """Where there is nothing, the web server is asked to wait. Django's own server cannot: there this thread does."""
    end = time.monotonic() + seconds
    hold: waiting_room.Hold | None = request.META.get(waiting_room.HOLD)
    while True:
        page = _read(after, mark, kinds, limit)
        left = end - time.monotonic()
        if page.changes or page.has_more or left <= 0:
            return page
        if hold is not None:
            hold.wanted = waiting_room.Wanted(page.next, kinds, seconds, request.auth.pk)
            return page
        time.sleep(min(waiting_room.SECONDS_BETWEEN_LOOKS, left))


def _read(after: int, mark: str, kinds: frozenset[str], limit: int) -> changes.Page:
    try:
        return changes.page(after, kinds, limit, mark=mark)
    except changes.Restored as error:
        message = (
            f"{error} The desk was restored from a backup, and what was written since then is lost. List all objects "
            "anew, and go on from `after=now`."
        )
        raise ApiError(400, message, code="resource_missing", param="after") from None


def _response(request: Request, page: changes.Page) -> Response:
    """Stripe's list envelope, and the number to go on from."""
    data = ",".join(changes.as_json(page.changes, stripe_text))
    end = f'"next":{page.next},"cursor":"{page.cursor}","url":{json.dumps(request.path)}'
    return Response(Json(f'{{"object":"list","data":[{data}],"has_more":{json.dumps(page.has_more)},{end}}}'))
