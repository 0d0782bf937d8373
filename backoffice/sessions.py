"""How long a session lives: it ends after a time without a page, and at the latest some hours after the sign-in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, logout
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from backoffice import lockouts
from invoices import second_factor, sign_ins, typed

WRITTEN_EVERY = 30  # seconds, so that not every request writes the session


class SessionLifeMiddleware:
    """Ends sessions, says so on the sign-in page, and leads back to the page and to what was typed there.

    It also makes the request known to the journal of people, which is written where no request is at hand.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = sign_ins.current_request.set(request)
        try:
            return self._end_or_go_on(request)
        finally:
            sign_ins.current_request.reset(token)

    def _end_or_go_on(self, request: HttpRequest) -> HttpResponse:
        was_anonymous = SESSION_KEY not in request.session
        if was_anonymous:
            if (refused := _not_sent(request)) is not None:
                return refused
        else:
            if why := _why_over(request):
                return _end(request, why)
            _note(request)
        response = self.get_response(request)
        if was_anonymous and SESSION_KEY in request.session:
            lockouts.remember_browser(request, response)
        return response


class _Over(NamedTuple):
    said: str  # to the person, in her language
    detail: str  # for the journal


def _why_over(request: HttpRequest) -> _Over | None:
    now, session = time.time(), request.session
    begun, seen = second_factor.begun_at(request), session.get(second_factor.SEEN)
    if begun is not None and now - begun > settings.SESSION_HOURS * 3600:
        hours = f"{settings.SESSION_HOURS:g}"
        return _Over(
            _("You were signed out {hours} hours after the sign-in.").format(hours=hours),
            gettext_noop("{hours} hours after the sign-in").format(hours=hours),
        )
    if seen is not None and now - seen > settings.SESSION_IDLE_MINUTES * 60:
        minutes = f"{settings.SESSION_IDLE_MINUTES:g}"
        return _Over(
            _("You were signed out after {minutes} minutes in which you asked for no page.").format(minutes=minutes),
            gettext_noop("after {minutes} minutes in which you asked for no page").format(minutes=minutes),
        )
    return None


def _note(request: HttpRequest) -> None:
    """That a person was here. A page that refreshes itself is none."""
    now = time.time()
    if second_factor.begun_at(request) is None:
        second_factor.adopt_session(request)
    seen = request.session.get(second_factor.SEEN)
    by_itself = request.headers.get("HX-Request") == "true" and request.method == "GET"
    if seen is None or (now - seen > WRITTEN_EVERY and not by_itself):
        request.session[second_factor.SEEN] = now


def _end(request: HttpRequest, why: _Over) -> HttpResponse:
    user, page = request.user, _page(request)
    if request.method == "POST" and user.is_authenticated and _is_sent_by_the_desk(request):
        typed.keep(request, page, request.user.pk)
    kept = typed.of(request)
    if user.is_authenticated:
        sign_ins.record(sign_ins.What.SESSION_ENDED, request=request, user=user, by="the desk", detail=why.detail)
    request.session_ended = why.detail  # type: ignore[attr-defined]
    logout(request)
    typed.carry(request, kept)
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Refresh": "true"})
    messages.info(request, " ".join([why.said, *_what_became_of_it(request, bool(kept))]))
    return redirect(f"{reverse('admin:login')}?{urlencode({'next': page})}")


def _not_sent(request: HttpRequest) -> HttpResponse | None:
    """The answer to a form whose sender is signed out: the way to sign in, and from there to the form as she filled it
    in. None for every other request."""
    if request.method != "POST" or not request.path.startswith(reverse("admin:index")):
        return None
    if not _is_sent_by_the_desk(request):
        return None
    filled = typed.mark_of(request)
    if filled is None or request.path == reverse("admin:logout"):
        return None
    kept = typed.keep(request, filled.page, filled.user)
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Refresh": "true"})
    messages.warning(request, " ".join([_("You are signed out."), *_what_became_of_it(request, kept)]))
    return redirect(f"{reverse('admin:login')}?{urlencode({'next': filled.page})}")


def _is_sent_by_the_desk(request: HttpRequest) -> bool:
    """Whether a page of ours sent this form, as the browser says. A browser leaves the cookie of the session out of
    what another site sends: the answer would replace that cookie, and what the other site wrote would be kept. This is
    asked before Django's own check, which begins where a view does."""
    if "Origin" in request.headers:
        check: Any = CsrfViewMiddleware(lambda request: HttpResponse())
        return bool(check._origin_verified(request))
    return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


def _what_became_of_it(request: HttpRequest, kept: bool) -> list[str]:
    """Of a form: sentences."""
    if request.method != "POST":
        return []
    if not kept:
        return [_("Nothing was sent.")]
    return [_("Nothing was sent."), _("What you typed is kept for you: sign in, and you find it in its form.")]


def _page(request: HttpRequest) -> str:
    """The page to come back to: this one, or the one whose form was sent."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    if (filled := typed.mark_of(request)) and filled.user == request.user.pk:
        return filled.page
    sent_from = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(sent_from, {request.get_host()}, require_https=request.is_secure()):
        parts = urlsplit(sent_from)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return request.path
