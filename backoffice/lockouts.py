"""Lockouts after failed sign-ins: a thief is slowed down, and neither an office nor the owner of a name is locked out.

Failures are counted in django-axes' table, for a time (`LOCK`), under three kinds of names:

- a browser in which this person has signed in before has a count of its own (its signed cookie says so), so that nobody
  else's failures keep the owner out;
- any other browser is counted by user name and address together: in an office that shares one address, each name has
  its own count, and no address is ever locked as a whole;
- all these other browsers together are counted by user name, with a higher limit, against a thief with many addresses.

A lock ends by itself; attempts while it lasts do not make it longer. Second factors are counted in the same way, under
names of their own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac
from django.utils.translation import gettext_noop

from invoices import sign_ins
from invoices.models.reading import address

LOCK = timedelta(minutes=10)  # from the last failure that counted
PAIR_LIMIT = 5  # failures of a name from one address, or in a known browser
NAME_LIMIT = 30  # failures of a name from everywhere but known browsers
COOKIE = "known_browser"
COOKIE_DAYS = 180
MAX_NAMES_IN_COOKIE = 5
SECOND_FACTOR = "second factor of "  # begins the name under which codes are counted
MAX_NAME_LENGTH = 200

LOCKED = gettext_noop(
    "Too many attempts with this name. Wait ten minutes, then try again. The browser in which you signed in before is "
    "not held up by the attempts of others."
)
CODE_LOCKED = gettext_noop("Too many wrong codes. Wait ten minutes, then try again.")


class Handler(AxesDatabaseHandler):
    """axes, with our rules of what is counted together."""

    def is_locked(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        return is_locked(request, _name(credentials))

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        return _failures(request, _name(credentials))[0]

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
        if request is None:
            return
        name = _name(credentials)
        if request.axes_locked_out:  # the password was not looked at
            return
        sign_ins.record_failure(request, name)
        if request.counted_attempt.is_locked:
            request.axes_locked_out = True
            sign_ins.record(
                sign_ins.What.LOCKED, request=request, **sign_ins.whose(name), detail=gettext_noop("for ten minutes")
            )

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        forget_failures(request, user.get_username())

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        return


def lockout_response(request: Any, original: HttpResponse, credentials: Any) -> HttpResponse:
    """The page with the sentence, as it was made, under 429."""
    if original.status_code == 200:
        original.status_code = 429
    return original


# --- counting ---------------------------------------------------------------------------------------------------------


def is_locked(request: HttpRequest, name: str) -> bool:
    return _is_over(*_failures(request, name))


def _is_over(own: int, everywhere: int) -> bool:
    return own >= PAIR_LIMIT or everywhere >= NAME_LIMIT


class Counted(NamedTuple):
    """What one more failure came to."""

    is_locked: bool  # the next attempt is refused
    is_beyond: bool  # this one was beyond the limit already: another process counted at the same time


def count_failure(request: HttpRequest, name: str) -> Counted:
    """Counts one more."""
    _prune()
    bucket, now = _bucket(request, name), timezone.now()
    try:
        with transaction.atomic():
            made = AccessAttempt.objects.create(
                **bucket, failures_since_start=1, http_accept="", path_info="", get_data="", post_data=""
            )
            AccessAttempt.objects.filter(pk=made.pk).update(attempt_time=now)
    except IntegrityError:
        rows = AccessAttempt.objects.filter(**bucket)
        rows.update(failures_since_start=F("failures_since_start") + 1, attempt_time=now)
    own, everywhere = _failures(request, name)
    return Counted(_is_over(own, everywhere), is_beyond=_is_over(own - 1, everywhere - 1))


def count_attempt(request: Any, name: Any) -> Counted:
    """Counts an attempt to sign in as a failure, before its password is looked at; a right one is forgotten again."""
    counted: Counted = count_failure(request, _name({"username": name}))
    request.counted_attempt = counted
    return counted


def forget_failures(request: HttpRequest, name: str) -> None:
    """After a success, of this browser or address alone."""
    AccessAttempt.objects.filter(**_bucket(request, name)).delete()


def _failures(request: HttpRequest, name: str) -> tuple[int, int]:
    """Of this browser or pair, and of the name from everywhere; the latter is 0 in a known browser."""
    recent = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() - LOCK)
    bucket = _bucket(request, name)
    own = recent.filter(**bucket).aggregate(sum=Sum("failures_since_start"))["sum"] or 0
    if bucket["user_agent"]:
        return own, 0
    everywhere = recent.filter(username=bucket["username"], user_agent="")
    return own, everywhere.aggregate(sum=Sum("failures_since_start"))["sum"] or 0


def _bucket(request: HttpRequest, name: str) -> dict[str, Any]:
    """What is counted together. The column of the browser's name holds the mark of a known browser, or nothing."""
    name = name.replace("\x00", "")[: MAX_NAME_LENGTH + len(SECOND_FACTOR)]
    mark = _mark_of(request, name.removeprefix(SECOND_FACTOR))
    # Two empty addresses are not equal to the database, so that none would count together: `::` stands for none.
    from_where = None if mark else address(request.META.get("REMOTE_ADDR"))
    return {"username": name, "ip_address": from_where or "::", "user_agent": mark}


def _prune() -> None:
    """What counts no more. The table holds the failures of ten minutes."""
    AccessAttempt.objects.filter(attempt_time__lte=timezone.now() - LOCK).delete()


def _name(credentials: dict[str, Any] | None) -> str:
    return str((credentials or {}).get("username") or "")[:MAX_NAME_LENGTH]


# --- known browsers ---------------------------------------------------------------------------------------------------


def remember_browser(request: HttpRequest, response: HttpResponse) -> None:
    """After a complete sign-in: gives the browser the cookie that says whose it is."""
    user = request.user
    if not user.is_authenticated:
        return
    known = _known(request)
    name = user.get_username()
    if name in known:
        return
    others = list(known.items())[-(MAX_NAMES_IN_COOKIE - 1) :]
    value = signing.dumps([*others, (name, get_random_string(16))], salt=COOKIE)
    response.set_cookie(
        COOKIE,
        value,
        max_age=COOKIE_DAYS * 86400,
        httponly=True,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        samesite="Lax",
    )


def known_browser(request: HttpRequest) -> str:
    """Under what a browser is counted in which somebody has signed in before; empty for any other."""
    known = _known(request)
    return salted_hmac(COOKIE, repr(sorted(known.items()))).hexdigest() if known else ""


def _known(request: HttpRequest) -> dict[str, str]:
    """User name → the mark of this browser for it."""
    try:
        said = signing.loads(request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=COOKIE_DAYS * 86400)
        return {str(name): str(mark) for name, mark in said}
    except (signing.BadSignature, ValueError, TypeError):
        return {}


def _mark_of(request: HttpRequest, name: str) -> str:
    mark = _known(request).get(name, "")
    return salted_hmac(COOKIE, f"{name} {mark}").hexdigest() if mark else ""
