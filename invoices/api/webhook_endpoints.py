"""`/v1/webhook_endpoints`: to which services events are sent, in Stripe's shape; what was sent, and that once more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import clock
from invoices.api import filters, parameters
from invoices.api.actions import idempotency_key
from invoices.api.base import ListAndRetrieveView, list_response, require_permissions, require_scope
from invoices.api.envelope import ApiError, invalid, no_such_object
from invoices.api.filters import apply_filters
from invoices.api.pagination import Page
from invoices.api.schema import LIST_PARAMETERS, body_of, describe, describe_list_and_retrieve, filters_of
from invoices.api.schema_shapes import BOOLEAN, INTEGER, TEXT, array, list_of, ref
from invoices.fanout import endpoints, signing
from invoices.fanout.desk_events import endpoint_object
from invoices.fanout.endpoints import Actor, EndpointInvalid
from invoices.models import Delivery, Scope, WebhookEndpoint
from invoices.operations.parameters import boolean

SCOPE = Scope.WEBHOOK_ENDPOINTS  # of a token that may make and change them
KEY_REMEMBERED = timedelta(hours=24)  # for which the same Idempotency-Key has the same reply, as at Stripe
TAG = "Webhook endpoints"


_ENDPOINT = {
    "url": {**TEXT, "description": "https://…, a public address unless the desk's settings allow its network"},
    "enabled_events": {**array(TEXT), "description": "Types of events; `*` for all"},
    "description": TEXT,
}


class WebhookEndpointView(ListAndRetrieveView):
    """`/v1/webhook_endpoints`"""

    object_type, id_param, time_column = "webhook_endpoint", "webhook_endpoint", "created_at"
    filterset_class = filters.WebhookEndpointFilter
    permission = endpoints.VIEW

    def all_rows(self) -> QuerySet[Any]:
        return WebhookEndpoint.objects.select_related("owner")

    def visible_rows(self) -> QuerySet[Any]:
        return self.all_rows().filter(deleted_at=None)

    def to_object(self, row: WebhookEndpoint) -> dict[str, Any]:
        return endpoint_object(row)

    @describe(
        TAG,
        "Make an endpoint; the reply has its signing secret, this once",
        ref("webhook_endpoint"),
        body=body_of(_ENDPOINT, ["url", "enabled_events"]),
    )
    def create(self, request: Request) -> Response:
        _require(request, endpoints.ADD)
        user: Any = request.user
        given = _take(request, "url", "description")
        for name in ("url", "enabled_events"):
            if not given.get(name):
                raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
        id = _id_of_key(request)
        if id and (earlier := self.all_rows().filter(pk=id).first()):
            return self._once_more(earlier, given)
        try:
            with _refusals():
                row, secret = endpoints.create(
                    given["url"],
                    given["enabled_events"],
                    description=given.get("description", ""),
                    owner=user,
                    actor=Actor.of_request(request),
                    id=id,
                )
        except IntegrityError:  # the same request came twice at once
            return self._once_more(self.all_rows().get(pk=id), given)
        return Response({**endpoint_object(row), "secret": secret})

    def _once_more(self, row: WebhookEndpoint, given: dict[str, Any]) -> Response:
        """The reply to the same key sent twice: the same endpoint, with its secret, for a day. A secret that replaced
        the first was shown to whoever replaced it, and to nobody else."""
        with _refusals():
            asked = (given["url"], endpoints.types_of(given["enabled_events"]), given.get("description", ""))
        is_over = row.deleted_at is not None or row.created_at < clock.now() - KEY_REMEMBERED
        if is_over or asked != (row.url, row.enabled_events, row.description) or endpoints.has_new_secret(row):
            message = "This idempotency key made another endpoint. Use a new key for a new request."
            raise ApiError(400, message, type="idempotency_error")
        try:
            secret = signing.decrypted(row.secret)
        except signing.SecretUnreadable as error:
            raise ApiError(409, str(error), type="api_error", headers={"Stripe-Should-Retry": "false"}) from error
        return Response({**endpoint_object(row), "secret": secret}, headers={"Idempotent-Replayed": "true"})

    @describe(
        TAG,
        "Change, disable or enable an endpoint",
        ref("webhook_endpoint"),
        body=body_of({**_ENDPOINT, "disabled": BOOLEAN}),
    )
    def update(self, request: Request, id: str) -> Response:
        _require(request, endpoints.CHANGE)
        given = _take(request, "url", "description", "disabled")
        row, actor = self.find(id), Actor.of_request(request)
        disabled = boolean(given.get("disabled"))
        if disabled is None and "disabled" in given:
            raise invalid(f"Invalid boolean: {str(given['disabled'])[:50]}", "disabled")
        given.pop("disabled", None)
        with _refusals():
            endpoints.change(row, actor, **given)
            if disabled is not None:
                (endpoints.disable if disabled else endpoints.enable)(row, actor)
        return Response(endpoint_object(self.find(id)))

    @describe(
        TAG,
        "Delete an endpoint",
        ref("deleted_webhook_endpoint"),
    )
    def destroy(self, request: Request, id: str) -> Response:
        _require(request, endpoints.DELETE)
        parameters.refuse_unknown(parameters.flatten(parameters.of_request(request)), ())
        row = self.find(id)
        with _refusals():
            endpoints.delete(row, Actor.of_request(request))
        return Response({"id": row.pk, "object": self.object_type, "deleted": True})

    @describe(
        TAG,
        "Replace the signing secret; the old one signs too for a while",
        ref("webhook_endpoint"),
        body=body_of({"overlap_hours": {**INTEGER, "minimum": 0, "maximum": 168, "default": 24}}),
    )
    def replace_secret(self, request: Request, id: str) -> Response:
        """The reply has the new secret, this once."""
        _require(request, endpoints.CHANGE)
        values = parameters.flatten(parameters.of_request(request))
        hours = parameters.integer(values.pop("overlap_hours", 24), "overlap_hours")
        parameters.refuse_unknown(values, ())
        if not 0 <= hours <= endpoints.LONGEST_OVERLAP.total_seconds() / 3600:
            raise invalid("The old secret can go on for 0 to 168 hours.", "overlap_hours")
        row = self.find(id)
        with _refusals():
            secret = endpoints.replace_secret(row, Actor.of_request(request), timedelta(hours=hours))
        return Response({**endpoint_object(row), "secret": secret})

    @describe(
        TAG,
        "List what was sent, or is to be, newest first",
        list_of("webhook_delivery"),
        parameters=[*LIST_PARAMETERS, *filters_of(filters.DeliveryFilter)],
    )
    def deliveries(self, request: Request, id: str) -> Response:
        values = parameters.flatten(parameters.of_request(request))
        page = Page.take_from(values)
        wanted = apply_filters(Delivery.objects.all(), filters.DeliveryFilter, values)
        endpoint = self.find(id)
        rows, all_rows = wanted.filter(endpoint=endpoint), Delivery.objects.filter(endpoint=endpoint)
        found, has_more = page.of_rows(rows, all_rows, "written_at", "webhook_delivery")
        return list_response(request, [_delivery(each) for each in found], has_more)

    @describe(
        TAG,
        "Send one event, or everything since a moment, once more",
        ref("webhook_endpoint"),
        body=body_of(
            {
                "delivery": {**TEXT, "description": "The id of a delivery"},
                "event": {**TEXT, "description": "The id of its event"},
                "since": {**INTEGER, "description": "Seconds since 1970: everything that arrived since then"},
            }
        ),
    )
    def redeliver(self, request: Request, id: str) -> Response:
        _require(request, endpoints.CHANGE)
        values = parameters.flatten(parameters.of_request(request))
        parameters.refuse_unknown(values, ("delivery", "event", "since"))
        if len(values) != 1:
            message = "Name what is to be sent again: one of delivery, event, or since."
            raise invalid(message, "since", "parameter_missing")
        row, actor = self.find(id), Actor.of_request(request)
        [(name, value)] = values.items()
        with _refusals():
            if name == "since":
                endpoints.redeliver_since(row, _moment(value), actor)
            else:
                endpoints.redeliver(_named(row, name, str(value)), actor)
        return Response(endpoint_object(self.find(id)))


def _require(request: Request, permission: str) -> None:
    require_scope(request, SCOPE)
    require_permissions(request, permission)


def _take(request: Request, *known: str) -> dict[str, Any]:
    """The parameters that make or change an endpoint. Raises ApiError."""
    nested = parameters.of_request(request)
    has_events = "enabled_events" in nested
    events = parameters.take_array(nested, "enabled_events")
    empty = {"description": ""} if nested.get("description") == "" else {}  # which unsets it, as at Stripe
    values = {**parameters.flatten({name: nested[name] for name in nested if name not in empty}), **empty}
    parameters.refuse_unknown(values, known)
    for name in ("url", "description"):
        if not isinstance(values.get(name, ""), str):
            raise invalid(f"Invalid string: {str(values[name])[:50]}", name)
    return {**values, "enabled_events": events} if has_events else values


def _moment(value: Any) -> datetime:
    seconds = parameters.integer(value, "since")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise invalid(f"Invalid timestamp: {seconds}", "since", "parameter_invalid_integer") from None


def _named(row: WebhookEndpoint, name: str, value: str) -> Delivery:
    """The delivery of this id, or of this event. Raises ApiError."""
    rows = Delivery.objects.filter(endpoint=row)
    if name == "event":
        found = rows.filter(event=value).first()
    else:
        found = rows.filter(pk=int(value)).first() if parameters.INTEGER.fullmatch(value) else None
    if found is None:
        raise no_such_object("event" if name == "event" else "webhook_delivery", value[:255], name, status=400)
    return found


def _id_of_key(request: Request) -> str:
    """The id that follows from the caller and the Idempotency-Key; empty without one."""
    key = idempotency_key(request)
    return "we_" + hashlib.sha256(f"{request.user.pk} {key}".encode()).hexdigest()[:24] if key else ""


@contextmanager
def _refusals() -> Iterator[None]:
    """What the endpoints refuse becomes a 400. Raises ApiError."""
    try:
        yield
    except EndpointInvalid as refused:
        raise invalid(refused.message, refused.parameter) from refused


def _delivery(row: Delivery) -> dict[str, Any]:
    waits = row.state == Delivery.State.PENDING
    return {
        "id": str(row.pk),
        "object": "webhook_delivery",
        "created": int(row.written_at.timestamp()),
        "endpoint": row.endpoint_id,
        "event": row.event,
        "type": row.type,
        "state": str(row.state),
        "attempts": row.attempts,
        "next_attempt": int(row.next_attempt_at.timestamp()) if waits else None,
        "last_status": row.last_status,
        "last_error": row.last_error or None,
        "ended": int(row.ended_at.timestamp()) if row.ended_at else None,
    }


_view: Any = describe_list_and_retrieve(WebhookEndpointView, TAG)
urlpatterns = [
    path("v1/webhook_endpoints", _view.as_view({"get": "list", "post": "create"})),
    path("v1/webhook_endpoints/<str:id>", _view.as_view({"get": "retrieve", "post": "update", "delete": "destroy"})),
    path("v1/webhook_endpoints/<str:id>/deliveries", _view.as_view({"get": "deliveries"})),
    path("v1/webhook_endpoints/<str:id>/redeliver", _view.as_view({"post": "redeliver"})),
    path("v1/webhook_endpoints/<str:id>/replace_secret", _view.as_view({"post": "replace_secret"})),
]
