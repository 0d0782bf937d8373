"""The second factor: whom the admin admits, what needs a fresh one, and resetting that of a person who lost it.

A session remembers until when it proved a second factor, and for whom. What it remembers counts only while it is not
older than the person's oldest factor: whoever resets the factors of a person ends what earlier sessions had proved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Min, OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices import sign_ins, typed
from invoices.models import SignInRecord

KINDS = {
    "totp": gettext_noop("authenticator app"),
    "webauthn": gettext_noop("passkey"),
    "recovery_codes": gettext_noop("recovery codes"),
}
RESET_PERMISSION = "invoices.reset_second_factor"
_FACTORS = Q(type__in=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN])
_PROVED = "second_factor"  # in the session: {"user": id, "at": seconds since 1970, "own": whether by a factor of ours}
_BEGUN = "signed_in_at"  # in the session: seconds since 1970
SEEN = "seen_at"  # in the session: when a person last asked for a page, in seconds since 1970


def first_factor_of(user_key: str) -> Subquery:
    """When the oldest of the person's factors was added, as an annotation; null where she has none."""
    of_user = Authenticator.objects.filter(_FACTORS, user_id=OuterRef(user_key)).order_by().values("user_id")
    return Subquery(of_user.annotate(first=Min("created_at")).values("first"))


def has_factor(user: Any) -> bool:
    """Whether the person has a second factor. Recovery codes alone are none."""
    return _first_factor(user) is not None


def _first_factor(user: Any) -> datetime | None:
    if not hasattr(user, "first_factor"):  # the sign-in backend reads it together with the user
        found = Authenticator.objects.filter(_FACTORS, user_id=user.pk).aggregate(first=Min("created_at"))
        return found["first"]
    return user.first_factor


def is_required(user: Any) -> bool:
    return settings.SECOND_FACTOR_REQUIRED or has_factor(user)


# --- what the session proved ------------------------------------------------------------------------------------------


def begin_session(request: HttpRequest, user: Any) -> None:
    """At the sign-in: when it was. What another person proved in this browser is forgotten."""
    request.session[_BEGUN] = request.session[SEEN] = time.time()
    if request.session.get(_PROVED, {}).get("user") != user.pk:
        request.session.pop(_PROVED, None)
    typed.forget_unless_of(request, user.pk)
    if settings.OIDC_TRUSTS_SECOND_FACTOR and since(request, user) is None and came_from_provider(request, user):
        confirm(request, user, own=False)


def adopt_session(request: HttpRequest) -> None:
    """A session of a version that did not keep when it began: it lives on, and counts as no fresh sign-in."""
    request.session[SEEN] = time.time()
    request.session[_BEGUN] = time.time() - settings.SECOND_FACTOR_FRESH_MINUTES * 60


def came_from_provider(request: HttpRequest, user: Any) -> bool:
    """Whether the identity provider, and no password, began this sign-in."""
    ways = [each["method"] for each in get_authentication_records(request, user)]
    ways = [way for way in ways if way in ("password", "socialaccount")]
    return bool(ways) and ways[-1] == "socialaccount"


def begun_at(request: HttpRequest) -> float | None:
    """When the person signed in, in seconds since 1970."""
    return request.session.get(_BEGUN)


def confirm(request: HttpRequest, user: Any, *, own: bool = True) -> None:
    """This session has proved a second factor of this person just now: a factor of ours (`own`), or that of an identity
    provider which is trusted to ask for one."""
    request.session[_PROVED] = {"user": user.pk, "at": time.time(), "own": own}


def since(request: HttpRequest, user: Any) -> datetime | None:
    """When this session proved a second factor of this person; None where it did not, or the factors are newer."""
    proved = request.session.get(_PROVED) or {}
    if proved.get("user") != user.pk:
        return None
    at = datetime.fromtimestamp(proved["at"], tz=timezone.get_default_timezone())
    first = _first_factor(user)
    if first is None:
        return at if not proved["own"] else None  # the factor that was proved is gone
    return at if at >= first else None


def admits(request: HttpRequest) -> bool:
    """Whether the admin may be shown: the session proved a second factor, or none is required of this person."""
    return not is_required(request.user) or since(request, request.user) is not None


def is_fresh(request: HttpRequest) -> bool:
    """Whether a factor of the person's own was proved within the last `SECOND_FACTOR_FRESH_MINUTES`."""
    at = since(request, request.user)
    return (
        at is not None
        and bool(request.session[_PROVED]["own"])
        and timezone.now() - at < timedelta(minutes=settings.SECOND_FACTOR_FRESH_MINUTES)
    )


def signed_in_freshly(request: HttpRequest) -> bool:
    at = begun_at(request)
    return at is not None and time.time() - at < settings.SECOND_FACTOR_FRESH_MINUTES * 60


def next_step(request: HttpRequest) -> str:
    """Where a person who is signed in and not admitted goes on: she proves her factor, or adds one."""
    return "mfa_reauthenticate" if has_factor(request.user) else "mfa_index"


# --- a fresh factor for what matters most -----------------------------------------------------------------------------


def needs_fresh(request: HttpRequest, back: str) -> HttpResponse | None:
    """The way to the page that asks for the factor, where a fresh one is needed; None where the request may go on.

    What was typed is kept (typed.py) and given to the form at `back`, where the person presses the
    button once more. Nothing is done by itself: a request that a thief prepared in a stolen session would otherwise be
    carried out when its owner proves her factor for something else.
    """
    if not is_required(request.user) or is_fresh(request):
        return None
    kept = typed.keep(request, back, request.user.pk)
    if not has_factor(request.user):
        messages.warning(request, _("This needs a second factor of your own. Add one, and you come back to your form."))
        request.session["after_enrolment"] = back
        return redirect("mfa_index")
    asks = _("This needs your second factor once more.")
    messages.info(request, f"{asks} {_('What you typed is kept.')}" if kept else asks)
    return redirect(f"{reverse('mfa_reauthenticate')}?{urlencode({'next': back})}")


def fresh(back: Callable[..., str] | None = None) -> Callable[[Any], Any]:
    """For a view of the admin: its POST needs a fresh second factor. `back` gives the address of the filled form, from
    the view's arguments; without it, that is the view's own."""

    def decorator(view: Any) -> Any:
        @wraps(view)
        def wrapped(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "POST":
                address = back(self, *args, **kwargs) if back else request.path
                if (asked := needs_fresh(request, address)) is not None:
                    return asked
            return view(self, request, *args, **kwargs)

        return wrapped

    return decorator


# --- a lost factor ----------------------------------------------------------------------------------------------------


def may_reset(by: User, user: User) -> bool:
    """Never one's own: whoever has a session of hers would take away what protects the account. Never those of somebody
    who may more: a manager who resets a superuser's could sign in as one."""
    if by.pk == user.pk or not by.has_perm(RESET_PERMISSION):
        return False
    return by.is_superuser or (not user.is_superuser and user.get_all_permissions() <= by.get_all_permissions())


def kinds_of(user: User) -> list[str]:
    """The person's factors and recovery codes, in words."""
    return [
        KINDS[kind] for kind in Authenticator.objects.filter(user=user).order_by("pk").values_list("type", flat=True)
    ]


def reset(user: User, *, by: Any, reason: str, request: HttpRequest | None = None) -> int:
    """Takes all factors of this person away. The next sign-in asks her to add one. How many were taken away.

    Raises PermissionDenied where a signed-in person may not, ValueError without a reason.
    """
    if not reason.strip():
        raise ValueError("Please say why: it stays in the journal.")
    if isinstance(by, User) and not may_reset(by, user):
        raise PermissionDenied
    with transaction.atomic():
        found = list(Authenticator.objects.select_for_update().filter(user=user).order_by("pk"))
        Authenticator.objects.filter(pk__in=[factor.pk for factor in found]).delete()
        sign_ins.record(
            SignInRecord.What.FACTORS_RESET,
            request=request,
            user=user,
            by=by,
            detail=", ".join(KINDS[factor.type] for factor in found) or "there were none",
            reason=reason.strip(),
        )
    return len(found)
