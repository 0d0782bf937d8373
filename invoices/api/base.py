"""What all endpoints share: sign-in, permissions, Stripe's headers, and the list and retrieve of one kind of object."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from django_filters import FilterSet
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from invoices.api import expand, live, parameters
from invoices.api.auth import ApiTokenAuthentication
from invoices.api.conditional import tagged
from invoices.api.envelope import ApiError, invalid, no_such_object, permission_denied, scope_missing, version_too_old
from invoices.api.filters import apply_filters
from invoices.api.pagination import Page
from invoices.api.serializers import Json, StripeRenderer
from invoices.models import MIRRORED, Scope
from invoices.request_origin import request_id

# A date, since 2024-09-30 with the name of a release, and features of previews after it: `; feature_beta=v1`.
STRIPE_VERSION = re.compile(r"(20[0-9]{2}-[0-9]{2}-[0-9]{2})(\.[a-z_]+)?(; ?[a-z0-9_]+=v[0-9]+)*", re.ASCII)
MAX_ID_LENGTH = 255
SOURCE = "Invoice-Desk-Source"  # where what is shown comes from: one of these two
MIRROR, STRIPE = "mirror", "stripe"  # STRIPE: Stripe was asked for this answer


class AlwaysJsonNegotiation(BaseContentNegotiation):
    """Answers in JSON whatever the Accept header says, as Stripe does."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class HasViewPermission(BasePermission):
    """The caller's token is for what the view names, and its user holds the permission that the view names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        require_scope(request, view.scope)
        require_permissions(request, view.permission)
        return True


def require_permissions(request: Request, *permissions: str) -> None:
    """Raises ApiError (403) for the first permission that the caller's user does not hold."""
    for permission in permissions:
        if not request.user.has_perm(permission):
            raise permission_denied(permission)


def require_scope(request: Request, scope: str) -> None:
    """Raises ApiError (403) where the caller's token is not for this, whatever its user may do."""
    token: Any = request.auth
    if not token.allows(scope):
        raise scope_missing(scope)


def _refuse_version(request: Request) -> None:
    """Raises ApiError (400) for a Stripe-Version whose objects have another shape than ours. Versions are days, and a
    release has its name from its first day on, so the day decides."""
    version = request.headers.get("Stripe-Version", settings.STRIPE_API_VERSION)
    found = STRIPE_VERSION.fullmatch(version)
    if found is None:
        raise invalid(f"Invalid Stripe API version: {version[:100]}")
    token: Any = request.auth
    if found[1] < settings.STRIPE_OLDEST_VERSION[:10] and not token.any_stripe_version:
        raise version_too_old(version[:100])


def require_reads(request: Request) -> None:
    """Raises ApiError (403) unless the caller may be shown what Stripe answers, whatever stands in it: its token is for
    what is passed through, and its user may view every mirrored kind."""
    require_scope(request, "pass_through")
    require_permissions(request, *map(expand.view_permission, MIRRORED))


class StripeView(ViewSet):
    """One endpoint in Stripe's manner."""

    permission: str  # to see what the endpoint shows
    scope: str = Scope.READ  # that the token needs
    is_of_stripe = False  # whether it shows Stripe's objects
    source = MIRROR  # a request makes it STRIPE where Stripe was asked
    takes_long_lists = False  # whether a body may name ten thousand ids
    not_before: datetime | None = None  # what the caller must not be shown an older state than
    authentication_classes = [ApiTokenAuthentication]
    permission_classes = [HasViewPermission]
    parser_classes = [parameters.FormParser, parameters.JsonParser]
    renderer_classes = [StripeRenderer]
    content_negotiation_class = AlwaysJsonNegotiation
    metadata_class = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuses a Stripe-Version that is wrong or too old, and a Stripe-Account that is not ours. Raises ApiError."""
        super().initial(request, *args, **kwargs)
        _refuse_version(request)
        account = request.headers.get("Stripe-Account", settings.STRIPE_ACCOUNT)
        if account != settings.STRIPE_ACCOUNT:
            message = f"The provided key does not have access to account '{account[:100]}'."
            raise ApiError(403, message, code="account_invalid")
        self.not_before = live.not_before(request)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds the headers that Stripe's SDKs read."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Request-Id"] = request_id(request)
        response["Stripe-Version"] = settings.STRIPE_API_VERSION
        response["Cache-Control"] = "no-cache, no-store"
        if not response.streaming:
            response.add_post_render_callback(partial(tagged, request))
        if self.is_of_stripe and response.status_code < 400:
            response[SOURCE] = self.source
        return response


class ListAndRetrieveView(StripeView):
    """`GET /v1/things` and `GET /v1/things/:id`. A subclass says which rows, and how one becomes an object."""

    object_type: str  # Stripe's `object` value, in error messages and for `expand[]`
    id_param = "id"  # the `param` of the 404 for an unknown id
    time_column: str  # lists are ordered by it
    filterset_class: type[FilterSet]
    may_wait = False  # whether `wait` holds the answer of a retrieve until what it shows is over
    arrays: ClassVar[dict[str, str]] = {}  # parameters of the list that `listed_rows` takes → what each is for

    def all_rows(self) -> QuerySet[Any]:
        """All rows that a cursor may name, deleted ones included."""
        raise NotImplementedError

    def visible_rows(self) -> QuerySet[Any]:
        """The rows that are listed and retrieved."""
        return self.all_rows()

    def listed_rows(self, nested: parameters.Nested) -> QuerySet[Any]:
        """The rows that are listed. Takes from the parameters what is no filter by a single value. Raises ApiError."""
        return self.visible_rows()

    def to_object(self, row: Any) -> dict[str, Any]:
        """The row as the API shows it."""
        raise NotImplementedError

    def object_headers(self, row: Any) -> dict[str, str]:
        """Further headers of the response that shows this row alone."""
        return {}

    def list(self, request: Request) -> Response:
        nested = parameters.of_request(request)
        paths = self.take_expand(request, nested, in_list=True)
        listed = self.listed_rows(nested)
        values = parameters.flatten(nested)
        page = Page.take_from(values)
        rows = apply_filters(listed, self.filterset_class, values)
        if not paths and (texts := self.texts_of(rows)) is not None:
            found, has_more = page.of_rows(texts, self.all_rows(), self.time_column, self.object_type)
            return Response(joined(map(self.to_json, found), has_more, request.path))
        found, has_more = page.of_rows(rows, self.all_rows(), self.time_column, self.object_type)
        objects = [self.to_object(row) for row in found]
        self.expand_all(request, objects, paths)
        return list_response(request, objects, has_more)

    def expand_all(self, request: Request, objects: builtins.list[dict[str, Any]], paths: expand.Paths) -> None:
        """Expands the paths in these objects, in place. Raises ApiError."""
        if expand.expand_with_reads(objects, paths, lambda: require_reads(request)):
            self.source = STRIPE

    def texts_of(self, rows: QuerySet[Any]) -> QuerySet[Any] | None:
        """The same rows, each as the text of its object, where that is stored."""
        return None

    def to_json(self, text: str) -> Json:
        """A text of `texts_of` as it is sent."""
        raise NotImplementedError

    def retrieve(self, request: Request, id: str) -> Response:
        nested = parameters.of_request(request)
        paths = self.take_expand(request, nested)
        parameters.refuse_unknown(parameters.flatten(nested), ())
        row = self.find(id)
        if not paths:
            return Response(self.to_content(row), headers=self.object_headers(row))
        objects = [self.to_object(row)]
        self.expand_all(request, objects, paths)
        return Response(objects[0], headers=self.object_headers(row))

    def to_content(self, row: Any) -> Any:
        """What is sent of one row where nothing is expanded: the object, or its JSON."""
        return self.to_object(row)

    def find(self, id: str) -> Any:
        """The visible row with this id. Raises ApiError (404)."""
        row = None
        if len(id) <= MAX_ID_LENGTH and not parameters.UNSTORABLE_CHARACTER.search(id):
            row = self.lookup(id)
        if row is None:
            raise no_such_object(self.object_type, id[:MAX_ID_LENGTH], self.id_param)
        return row

    def lookup(self, id: str) -> Any:
        """The visible row with this id, or None."""
        return self.visible_rows().filter(pk=id).first()

    def take_expand(self, request: Request, nested: parameters.Nested, *, in_list: bool = False) -> expand.Paths:
        """Removes `expand` from the parameters, and returns its paths. Raises ApiError (400, 403)."""
        paths = expand.parse_paths(self.object_type, parameters.take_array(nested, "expand"), in_list=in_list)
        require_permissions(request, *expand.required_permissions(paths))
        return paths


def joined(objects: Iterable[Json], has_more: bool, path: str) -> Json:
    """The same envelope around objects that are JSON already."""
    end = f'"has_more":{json.dumps(has_more)},"url":{json.dumps(path)}'
    return Json(f'{{"object":"list","data":[{",".join(objects)}],{end}}}')


def list_response(request: Request, objects: list[dict[str, Any]], has_more: bool) -> Response:
    """Stripe's list envelope."""
    return Response({"object": "list", "data": objects, "has_more": has_more, "url": request.path})
