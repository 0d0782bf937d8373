"""Middleware: the id of each request, and the short way of requests to the API."""

import re
import secrets
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import resolve

from invoices.request_origin import REQUEST_ID

PROXY_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{8,128}", re.ASCII)  # the ids of a proxy that we take over


def accepted_request_id(given: str) -> str:
    """The id that the proxy sent, if it has an ordinary form; otherwise a new one."""
    return given if PROXY_REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


class RequestIdMiddleware:
    """Gives each request an id, and each response the header X-Request-ID with it.

    The id is that of the header X-Request-ID, which backoffice/serving.py has checked or made. This is the first
    middleware, so that error pages and the refusals of all other middleware carry the header too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = accepted_request_id(request.headers.get("X-Request-ID", ""))
        request.META[REQUEST_ID] = request_id
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class ApiMiddleware:
    """Requests to the API go to their view from here: what follows in the list is for people in browsers.

    Sessions, cookies, CSRF, messages, sign-in, time zones and static files have no part in a request that is signed in
    by its token, and cost it more than reading its object from the database. One thing of what follows is for
    everybody: the check of the host's name.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_for_api(request.path_info):
            return self.get_response(request)
        request.get_host()  # raises DisallowedHost
        request.resolver_match = match = resolve(request.path_info)
        response: Any = match.func(request, *match.args, **match.kwargs)
        return response.render() if hasattr(response, "render") else response


def is_for_api(path: str) -> bool:
    """Whether the address is one of the API's, which are below /v1 as at Stripe."""
    return path == "/v1" or path.startswith("/v1/")
