"""Error pages: within the desk for a person whom it admits, plain for everybody else; the API has its own envelope.

A page of the desk asks the database for the menu. After an error of ours that must not be: the database may be what is
broken. So 500 is shown within the desk only as far as the request knows by itself who asks and what she may do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from backoffice.middleware import is_for_api
from invoices import typed
from invoices.api import envelope
from invoices.request_origin import request_id

log = logging.getLogger(__name__)

IN_HEADER = {  # what the header of the page says, by its status
    403: gettext_noop("Refused"),
    404: gettext_noop("Not found"),
    500: gettext_noop("Error"),
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400. Always plain: what cannot be read may be the cookies."""
    if is_for_api(request.path):
        return envelope.bad_request(request, exception)
    return plain(request, "400.html", 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return page(request, "403.html", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return page(request, "404.html", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if is_for_api(request.path):
        return envelope.server_error(request)
    try:
        if _is_known(request):
            with connection.execute_wrapper(_refuse):
                return _within_desk(request, "500.html", 500, _without_database(request))
    except Exception as error:
        log.warning("the page of an error is shown without the menu: %s", type(error).__name__)
    return plain(request, "500.html", 500)


def not_sent(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: a form that is not of this session. It was shown before its reader signed in anew, or
    to somebody else, or is none of ours; only what is signed as hers is kept and shown."""
    filled = typed.mark_of(request)
    is_own = filled is not None and admin.site.has_permission(request) and filled.user == request.user.pk
    kept = is_own and typed.keep(request, filled.page, filled.user) if filled else False
    if kept and request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Refresh": "true"})
    words: dict[str, Any] = {"kept": kept, "is_of_somebody_else": filled is not None and not is_own}
    if is_own and filled:
        words |= {"back": filled.page, "typed": typed.shown(request)}
    return page(request, "not_sent.html", 403, words)


def page(request: HttpRequest, template: str, status: int, context: dict[str, Any] | None = None) -> HttpResponse:
    """A page that says what is wrong: within the desk where the request is that of a person whom the desk admits."""
    try:
        if hasattr(request, "user") and admin.site.has_permission(request):
            return _within_desk(request, template, status, {**admin.site.each_context(request), **(context or {})})
    except Exception:
        log.exception("an error page is shown without the menu (%s)", request_id(request))
    return plain(request, template, status, context)


def plain(request: HttpRequest, template: str, status: int, context: dict[str, Any] | None = None) -> HttpResponse:
    """Without the menu, without a style sheet, and without anything that could be broken."""
    words = {"request_id": request_id(request), "frame": "plain.html", **(context or {})}
    return HttpResponse(render_to_string(template, words), status=status)


def _within_desk(request: HttpRequest, template: str, status: int, context: dict[str, Any]) -> HttpResponse:
    words = {
        **context,
        "request_id": request_id(request),
        "frame": "error_pages/desk.html",
        "title": _(IN_HEADER[status]),
    }
    return HttpResponse(render_to_string(template, words, request), status=status)


def _is_known(request: HttpRequest) -> bool:
    """Whether the request has read already who asks, and what that person may do."""
    user = getattr(request, "_cached_user", None)
    return user is not None and (user.is_superuser or hasattr(user, "_perm_cache"))


def _without_database(request: HttpRequest) -> dict[str, Any]:
    """What the theme's frame needs. No pauses, no messages: they are read from the database."""
    if not admin.site.has_permission(request):
        raise RuntimeError("not admitted")
    desk: dict[str, Any] = settings.UNFOLD
    site: Any = admin.site
    return {
        "site_title": desk["SITE_TITLE"],
        "site_header": desk["SITE_HEADER"],
        "site_subheader": desk["SITE_SUBHEADER"],
        "site_symbol": desk["SITE_SYMBOL"],
        "styles": [style(request) for style in desk["STYLES"]],
        "scripts": [script(request) for script in desk["SCRIPTS"]],
        "sidebar_navigation": site.get_sidebar_list(request),
        "is_nav_sidebar_enabled": True,
        "has_permission": True,
        "colors": {},
    }


def _refuse(execute: Callable[..., Any], *args: Any) -> Any:
    raise RuntimeError("the page of an error asks the database")
