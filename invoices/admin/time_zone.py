"""Shows times in the reader's time zone: desk.js writes the browser's zone into a cookie, the middleware reads it."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "zone"  # set by desk.js


class TimeZoneMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_named(request.COOKIES.get(COOKIE, ""))):
            return self.get_response(request)


def zone_named(name: str) -> ZoneInfo | None:
    """The time zone of this name (`Europe/Berlin`). None, which means the default zone, if there is no such zone."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, KeyError, OSError):  # an unknown name, or one that looks like a path
        return None
