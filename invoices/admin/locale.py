"""In which locale a person types amounts: the first language that the browser asks for and that Babel knows."""

from babel import Locale, UnknownLocaleError
from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header

from invoices import money


def locale_of(request: HttpRequest) -> str:
    """The locale in Babel's form, such as `de_CH`; the desk's own where the browser names none.

    The pages themselves stay in English. Only what is typed follows the browser, because a hand writes 9,50 or 9.50 out
    of habit. It need not be the same in two requests of one form: `money.parse` takes no text that two locales read
    differently.
    """
    for language, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        try:
            return str(Locale.parse(language, sep="-"))
        except (UnknownLocaleError, ValueError):
            continue
    return money.PLAIN
