"""Who is inside: /metrics, the details of /readyz, the API's description and its pages are for them alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

REFUSAL = (
    "This is for the people who run the desk: send `Authorization: Bearer` with METRICS_TOKEN, ask from one of "
    "INTERNAL_NETWORKS, or set INTERNAL_PAGES_OPEN=true.\n"
)


def is_inside(request: HttpRequest) -> bool:
    """Whether the caller shows METRICS_TOKEN or asks from one of INTERNAL_NETWORKS; everybody does where
    INTERNAL_PAGES_OPEN."""
    return settings.INTERNAL_PAGES_OPEN or _shows_token(request) or _is_in_network(request)


def _shows_token(request: HttpRequest) -> bool:
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    if not settings.METRICS_TOKEN or scheme.lower() != "bearer":
        return False
    return compare_digest(shown.strip().encode(), settings.METRICS_TOKEN.encode())


def _is_in_network(request: HttpRequest) -> bool:
    try:
        address: Any = ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return False  # such as of a Unix socket
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in settings.INTERNAL_NETWORKS)


def for_insiders(view: Callable[..., HttpResponse], *, also_staff: bool = False) -> Callable[..., HttpResponse]:
    """The view, for those who are inside and, with `also_staff`, for whom the admin admits. 403 for others."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_inside(request) or (also_staff and admin.site.has_permission(request)):
            return view(request, *args, **kwargs)
        return HttpResponse(REFUSAL, status=403, content_type="text/plain")

    return guarded
