"""A limit on sign-ins from one address, for all processes together. Who guesses at one user is django-axes' matter."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import loader

from backoffice import lockouts
from invoices import request_limits


class SignInLimitMiddleware:
    """Answers 429 where an address sent more than SIGN_INS_PER_MINUTE forms to the sign-in pages in a minute.

    An office has one address: the limit is far above what its people need. It ends with the minute: nobody is
    locked out. A browser in which somebody has signed in before is counted by itself: whoever shares the address, or
    makes a browser behind it send forms from another site, holds up nobody who works there. What comes back from the
    identity provider is counted too, because the desk asks the provider about it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        counts = request.method == "POST" or request.path.startswith("/account/provider/")
        if counts and request.path.startswith(settings.SIGN_IN_PATHS):
            who = lockouts.known_browser(request) or request_limits.caller(request.META.get("REMOTE_ADDR"))
            if seconds := request_limits.seconds_to_wait(("sign-in", who, settings.SIGN_INS_PER_MINUTE)):
                page = loader.render_to_string("429.html", {"seconds": seconds})
                return HttpResponse(page, status=429, headers={"Retry-After": str(seconds)})
        return self.get_response(request)
