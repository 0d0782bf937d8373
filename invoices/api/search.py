"""`/v1/invoices/search` and `/v1/customers/search`: Stripe's query language over the mirror, newest first.

The rows themselves are searched, so what was written is found at once. A page begins where the one before it ended, by
(created, id): rows that come meanwhile shift no other. Each page is found in bounded time (`search/pages.py`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import TextField
from django.db.models.functions import Cast
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import search
from invoices.api import expand, parameters
from invoices.api.base import STRIPE, StripeView, require_permissions, require_reads
from invoices.api.envelope import ApiError, invalid
from invoices.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from invoices.api.parameters import integer
from invoices.api.serializers import Json, stripe_text, to_json
from invoices.keyset import Order, Position
from invoices.models.reading import is_id

TOTAL_COUNT = "total_count"  # as a path of `expand[]`
MAX_COUNTED = 10_000  # Stripe's number: a total is exact up to it
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NEWEST_FIRST = Order("created")


class Place(NamedTuple):
    """Where a page begins: after this position. `walk`: the page before it was found by a walk."""

    after: Position
    walk: bool


class Found(NamedTuple):
    """One page."""

    texts: list[str | None]  # the objects' JSON, as it is stored
    next: Place | None  # where the next page begins; None: there is none
    total: int | None  # number of all that match; None where nobody asked


class SearchView(StripeView):
    """`GET /v1/things/search`. A subclass says of which objects."""

    object_type: str  # Stripe's `object` value
    resource: search.Resource
    is_of_stripe = True

    def list(self, request: Request) -> Response:
        nested = parameters.of_request(request)
        wanted = parameters.take_array(nested, "expand")
        paths = expand.parse_paths(self.object_type, (path for path in wanted if path != TOTAL_COUNT), in_list=True)
        require_permissions(request, *expand.required_permissions(paths))
        values = parameters.flatten(nested)
        text = _take_text(values, "query")
        limit = min(max(integer(values.pop("limit", DEFAULT_LIMIT), "limit"), 1), MAX_LIMIT)
        token = _take_text(values, "page") if "page" in values else ""
        parameters.refuse_unknown(values, ())
        if text is None:
            raise invalid("Missing required param: query.", "query", "parameter_missing")
        try:
            query = search.parse(text)
            page = self._page(query, limit, self._begin(token, query) if token else None, TOTAL_COUNT in wanted)
        except search.QueryError as error:
            raise invalid(str(error), "query") from None
        except search.TakesTooLong as error:
            raise invalid(str(error), "query", "query_too_broad") from None
        return Response(self._envelope(request, page, query, paths))

    def _page(self, query: search.Query, limit: int, begin: Place | None, counted: bool) -> Found:
        """One page of what matches. Raises search.QueryError, search.TakesTooLong."""
        model: Any = self.resource.model
        rows = search.matching(model.objects.filter(deleted_at=None), query, self.resource)
        texts = rows.annotate(text=Cast("data", TextField())).values_list("created", "pk", "text")
        after, walk = begin or (None, False)
        found = search.read(NEWEST_FIRST, texts, limit, after, walk=walk)
        total = search.count(NEWEST_FIRST, rows, MAX_COUNTED) if counted else None
        return Found([text for _, _, text in found.rows], Place(found.end, found.walked) if found.end else None, total)

    def _envelope(self, request: Request, found: Found, query: search.Query, paths: expand.Paths) -> Json:
        """Stripe's envelope of a search."""
        objects = [stripe_text(self.object_type, text) for text in found.texts]
        if paths:
            expanded = [json.loads(each) for each in objects]
            if expand.expand_with_reads(expanded, paths, lambda: require_reads(request)):
                self.source = STRIPE
            objects = [to_json(each) for each in expanded]
        next_page = self._token(found.next, self._mark(query)) if found.next else None
        end: dict[str, Any] = {"has_more": next_page is not None, "next_page": next_page}
        if found.total is not None:
            end[TOTAL_COUNT] = found.total
        end["url"] = request.path
        return Json(f'{{"object":"search_result","data":[{",".join(objects)}],{to_json(end)[1:]}')

    # --- the place at which a page begins, as `next_page` ---------------------------------------------------------

    def _token(self, place: Place, mark: str) -> str:
        """It holds the place itself: nothing is kept for it, and it never expires."""
        value, key = place.after
        created = None if value is None else (value - EPOCH) // MICROSECOND
        written = json.dumps([mark, created, key, int(place.walk)], separators=(",", ":"))
        return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")

    def _begin(self, token: str, query: search.Query) -> Place:
        """The place that the token names. Raises ApiError for what is no `next_page`, or that of another query."""
        try:
            written = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            mark, created, key, walk = json.loads(written)
            place = Place(Position(None if created is None else EPOCH + created * MICROSECOND, key), bool(walk))
            if not is_id(key) or token != self._token(place, mark):
                raise ValueError(token)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _wrong_page("It is no `next_page` of a search.") from None
        if mark != self._mark(query):
            raise _wrong_page("It belongs to another query. Please send the query that it came with.")
        return place

    def _mark(self, query: search.Query) -> str:
        """By which a query is told from others, however it is spelled."""
        return hashlib.sha256(f"{self.resource.name} {query}".encode()).hexdigest()[:16]


class InvoiceSearchView(SearchView):
    """`/v1/invoices/search`"""

    object_type, resource, permission = "invoice", search.INVOICES, "invoices.view_invoice"


class CustomerSearchView(SearchView):
    """`/v1/customers/search`"""

    object_type, resource, permission = "customer", search.CUSTOMERS, "invoices.view_customer"


def _take_text(values: dict[str, Any], name: str) -> str | None:
    """Removes a text from the flat parameters. Raises ApiError where it is something else."""
    value = values.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise invalid(f"Invalid string: {str(value)[:50]}", name)
    return value


def _wrong_page(why: str) -> ApiError:
    return invalid(f"Invalid page. {why}", "page")
