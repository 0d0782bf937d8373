"""Times in the reader's own zone: the browser names it in a cookie, and every page is rendered in it."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "zone"  # set by desk.js


class ZoneMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone(request.COOKIES.get(COOKIE, ""))):
            return self.get_response(request)


def zone(name: str) -> ZoneInfo | None:
    """The named zone; None (the default zone) for what is no name of one."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, KeyError, OSError):  # an unknown name, or one that looks like a path
        return None
