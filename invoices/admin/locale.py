"""The reader's language and locale: in which language the pages are written, and how typed amounts are read."""

from collections.abc import Callable

from babel import Locale, UnknownLocaleError
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation.trans_real import parse_accept_lang_header

from invoices import money


class LanguageMiddleware:
    """Makes each page in its reader's language: the one that was chosen (a cookie, set by Django's `set_language`),
    else the first of the browser's that the desk has, else English.

    Django's LocaleMiddleware leaves the language behind in the thread, and the next request of that thread may be one
    of /v1, which speaks English.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = translation.get_language_from_request(request)
        with translation.override(language):
            response = self.get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):  # not the files that all share
            patch_vary_headers(response, ("Accept-Language", "Cookie"))
            response.headers.setdefault("Content-Language", language)
        return response


def locale_of(request: HttpRequest) -> str:
    """The locale in which a person types amounts, in Babel's form, such as `de_CH`.

    The page's language with the browser's country, because a hand writes 9,50 or 9.50 out of habit. Where the page is
    in English only because the desk does not have the browser's language, that language; English where none is named.
    It need not be the same in two requests of one form: `money.parse` takes no text that two locales read differently.
    """
    named = list(_known_locales(request))
    language = translation.get_language() or money.PLAIN
    chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME) or language != money.PLAIN
    if not chosen:
        return str(named[0]) if named else money.PLAIN
    return next((str(locale) for locale in named if locale.language == language), language)


def _known_locales(request: HttpRequest) -> list[Locale]:
    """The locales that the browser asks for and that Babel knows, the wanted ones first."""
    known = []
    for language, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        try:
            known.append(Locale.parse(language, sep="-"))
        except (UnknownLocaleError, ValueError):
            continue
    return known
