"""Every address below /v1 that has no view: passed on to Stripe where that is allowed, otherwise refused as what it is.

An address of Stripe's that is not served is never answered as if the object did not exist: `code` is `not_served`.
"""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from invoices import gateway
from invoices.api import live, parameters
from invoices.api.base import SOURCE, STRIPE, StripeView, require_reads
from invoices.api.envelope import ApiError, invalid, not_served, unknown_parameters, unrecognized_url
from invoices.api.expand import NEVER
from invoices.api.serializers import Json
from invoices.api.stripe_addresses import address_of, is_passed_on

BUDGET = "pass-through"  # of STRIPE_PASS_THROUGH_PER_SECOND
REQUEST_ID = "Invoice-Desk-Stripe-Request-Id"  # the Request-Id of Stripe's own answer
# Of a parameter, before any brackets. In another name, such as `expand[0]` in JSON, Stripe may read what we did not.
NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
KEPT_HEADERS = ("Retry-After", "Stripe-Should-Retry")  # of Stripe's answer, for the caller's SDK


class Elsewhere(StripeView):
    """Any address that no other view serves. The token is checked before anything is said of the address."""

    schema = None
    permission_classes: list[Any] = []  # what is passed on asks for its own

    def answer(self, request: Request) -> Response:
        """Stripe's answer. Raises ApiError."""
        method, path = request.method or "", request.path
        address = address_of(method, path)
        if address is None:
            raise unrecognized_url(request)
        if not is_passed_on(method, address):
            raise not_served(request)
        if not settings.STRIPE_PASS_THROUGH_KEY:
            raise not_served(request, "It could be passed on to Stripe, but STRIPE_PASS_THROUGH_KEY is not set here.")
        require_reads(request)
        params = _params(request)
        return _passed_on(method, path, params)


def _params(request: Request) -> parameters.Nested:
    """The caller's parameters as they came. Raises ApiError (400) for what must not leave the desk."""
    params = parameters.of_request(request)
    if wrong := sorted(name for name in params if name in gateway.OPTIONS_OF_THE_SDK or not NAME.fullmatch(name)):
        raise unknown_parameters(wrong)
    expanded = params.get("expand")
    paths = expanded.values() if isinstance(expanded, dict) else expanded if isinstance(expanded, list) else [expanded]
    for path in paths:
        if isinstance(path, dict | list):
            raise invalid("Invalid array", "expand")
        if NEVER & set(str(path).split(".")):
            raise invalid(f"This property cannot be expanded ({str(path)[:200]}).")
    return params


def _passed_on(method: str, path: str, params: parameters.Nested) -> Response:
    with live.asking("passed on", BUDGET, settings.STRIPE_PASS_THROUGH_PER_SECOND):
        passed = gateway.pass_on(method.lower(), path, params)
    headers = {name: passed.headers[name.lower()] for name in KEPT_HEADERS if name.lower() in passed.headers}
    headers |= {SOURCE: STRIPE, REQUEST_ID: passed.request_id}
    if passed.status in (401, 403):  # what is wrong is the desk's key, not the caller's
        raise ApiError(
            502,
            "Stripe does not let the desk's key for passing on (STRIPE_PASS_THROUGH_KEY) read this. Please tell those "
            "who run the desk.",
            type="api_error",
            headers=headers | {"Stripe-Should-Retry": "false"},
        )
    return Response(Json(passed.body), status=passed.status, headers=headers)
