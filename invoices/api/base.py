"""What every endpoint shares: who asks, with which version, in which envelope; lists and single objects."""

from __future__ import annotations

import re
import secrets
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django_filters import FilterSet
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from invoices.api import expand, filters, parameters
from invoices.api.auth import ApiTokenAuthentication
from invoices.api.envelope import REQUEST_ID, ApiError, denied, invalid, missing
from invoices.api.pagination import Page
from invoices.api.serializers import StripeRenderer

VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z_]+)?", re.ASCII)
LONGEST_ID = 255


class AlwaysJson(BaseContentNegotiation):
    """Stripe answers in JSON whatever is asked for."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class MayView(BasePermission):
    """The caller's user holds the permission that the view names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        require(request, view.permission)
        return True


def require(request: Request, *permissions: str) -> None:
    """Raises ApiError (403) for the first permission that the caller's user does not hold."""
    for permission in permissions:
        if not request.user.has_perm(permission):
            raise denied(permission)


class StripeView(ViewSet):
    """One endpoint in Stripe's manner."""

    permission: str  # needed to see what it shows
    authentication_classes = [ApiTokenAuthentication]
    permission_classes = [MayView]
    parser_classes = [parameters.FormParser, parameters.JsonParser]
    renderer_classes = [StripeRenderer]
    content_negotiation_class = AlwaysJson
    metadata_class = None

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        request.META[REQUEST_ID] = f"req_{secrets.token_hex(12)}"
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        version = request.headers.get("Stripe-Version", settings.STRIPE_API_VERSION)
        if not VERSION.fullmatch(version):
            raise invalid(f"Invalid Stripe API version: {version[:100]}")
        account = request.headers.get("Stripe-Account", settings.STRIPE_ACCOUNT)
        if account != settings.STRIPE_ACCOUNT:
            message = f"The provided key does not have access to account '{account[:100]}'."
            raise ApiError(403, message, code="account_invalid")

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Request-Id"] = request.META[REQUEST_ID]
        response["Stripe-Version"] = settings.STRIPE_API_VERSION
        response["Cache-Control"] = "no-cache, no-store"
        return response


class ListRetrieve(StripeView):
    """`GET /v1/things` and `GET /v1/things/:id`."""

    kind: str  # of object, as the errors and `expand` name it
    param = "id"  # as which a 404 names the id
    by: str  # the column of the moment by which lists run
    filters: type[FilterSet]

    def everything(self) -> QuerySet[Any]:
        """All rows that a cursor may name."""
        raise NotImplementedError

    def rows(self) -> QuerySet[Any]:
        """The rows that are shown."""
        return self.everything()

    def present(self, row: Any) -> dict[str, Any]:
        raise NotImplementedError

    def headers_for(self, row: Any) -> dict[str, str]:
        return {}

    def list(self, request: Request) -> Response:
        given = parameters.given(request)
        paths = self.paths(request, given, listed=True)
        values = parameters.flat(given)
        page = Page.take(values)
        rows = filters.narrow(self.rows(), self.filters, values)
        found, more = page.of_rows(rows, self.everything(), self.by, self.kind)
        data = [self.present(row) for row in found]
        expand.expand(data, paths)
        return listed(request, data, more)

    def retrieve(self, request: Request, id: str) -> Response:
        given = parameters.given(request)
        paths = self.paths(request, given)
        parameters.refuse_unknown(parameters.flat(given), ())
        row = self.find(id)
        data = self.present(row)
        expand.expand([data], paths)
        return Response(data, headers=self.headers_for(row))

    def find(self, id: str) -> Any:
        """The row that is shown under this id. Raises ApiError (404)."""
        row = None
        if len(id) <= LONGEST_ID and not parameters.UNSTORABLE.search(id):
            row = self.lookup(id)
        if row is None:
            raise missing(self.kind, id[:LONGEST_ID], self.param)
        return row

    def lookup(self, id: str) -> Any:
        return self.rows().filter(pk=id).first()

    def paths(self, request: Request, given: parameters.Nested, *, listed: bool = False) -> expand.Paths:
        """Takes `expand` out of the parameters. Raises ApiError."""
        paths = expand.steps(self.kind, parameters.take_array(given, "expand"), listed=listed)
        require(request, *expand.permissions(paths))
        return paths


def listed(request: Request, data: list[dict[str, Any]], more: bool) -> Response:
    """Stripe's list envelope."""
    return Response({"object": "list", "data": data, "has_more": more, "url": request.path})
