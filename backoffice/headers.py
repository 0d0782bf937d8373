"""Headers of every answer, static files and errors among them; Content-Security-Policy is that of settings.py."""

from collections.abc import Callable

from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADERS = {
    # Nothing of the browser's beyond copying a text and passkeys is used, here or in a frame.
    "Permissions-Policy": (
        "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), "
        "encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), "
        "local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), "
        "publickey-credentials-create=(self), publickey-credentials-get=(self), screen-wake-lock=(), serial=(), "
        "usb=(), xr-spatial-tracking=()"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Pages and answers name customers: no browser, proxy or disk keeps them. Static files say for themselves how long.
    "Cache-Control": "no-store, private",
}


class HeadersMiddleware:
    """Adds what an answer does not say for itself. It stands before all that may answer by itself: a redirect to HTTPS,
    a refused host and an error of the API have the policy from here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.headers = HEADERS.copy()
        if not settings.DEBUG:  # Django's pages for developers have styles and scripts in them
            self.headers["Content-Security-Policy"] = build_policy() or ""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response
