"""Middleware: the id of each request, and the client's address behind a proxy."""

import re
import secrets
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from invoices.request_origin import REQUEST_ID

PROXY_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{8,128}", re.ASCII)  # the ids of a proxy that we take over


class RequestIdMiddleware:
    """Gives each request an id, and each response the header X-Request-ID with it.

    The id is the X-Request-ID that the proxy sent, if it has an ordinary form; otherwise it is made here. This is the
    first middleware, so that error pages and the refusals of all other middleware carry the header too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        proxy_id = request.headers.get("X-Request-ID", "")
        request_id = proxy_id if PROXY_REQUEST_ID.fullmatch(proxy_id) else f"req_{secrets.token_hex(12)}"
        request.META[REQUEST_ID] = request_id
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class ClientAddressMiddleware:
    """Behind a proxy: puts the last entry of X-Forwarded-For where Django keeps the client's address.

    Our own proxy wrote that entry. The client may have written the earlier ones, so they are not used.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.BEHIND_PROXY:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        client_address = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if client_address:
            request.META["REMOTE_ADDR"] = client_address
        return self.get_response(request)
