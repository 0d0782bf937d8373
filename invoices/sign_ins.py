"""Writes the journal of people: sign-ins and their failures, lockouts, second factors, changes of users and groups."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User

from invoices import clock
from invoices.models import SignInRecord
from invoices.request_origin import origin, shell_user
from invoices.sight import counters, logs

log = logging.getLogger(__name__)

What = SignInRecord.What
MAX_NAME_LENGTH = 150  # of a user name, Django's
# A flood of failures from one address fills no disk: beyond these its failures are counted by the lockouts alone.
MAX_FAILURES_RECORDED = 200
FAILURES_COUNTED = timedelta(hours=1)
# What the counter of attempts calls what is recorded.
ATTEMPTS = {
    What.SIGNED_IN: "succeeded",
    What.FAILED: "failed",
    What.REFUSED: "failed",
    What.LOCKED: "locked_out",
    What.FACTOR_FAILED: "second_factor_failed",
}

# The request that is being answered, for changes that are seen where no request is at hand (models' signals).
current_request: ContextVar[Any] = ContextVar("current_request", default=None)
_nothing_recorded: ContextVar[bool] = ContextVar("nothing_recorded", default=False)


@contextmanager
def not_recorded() -> Iterator[None]:
    """For what no person does: `migrate` fills the groups that come with the desk."""
    token = _nothing_recorded.set(True)
    try:
        yield
    finally:
        _nothing_recorded.reset(token)


def record(
    what: SignInRecord.What,
    *,
    request: Any = None,
    user: Any = None,
    username: str = "",
    by: Any = None,
    detail: str = "",
    reason: str = "",
) -> None:
    """Writes one row. Without `request` it is the one that is being answered, if one is; `by` is the user who did it:
    who is signed in to the request, or who runs the command, where it is not given."""
    if _nothing_recorded.get():
        return
    request = request if request is not None else current_request.get()
    known = user if user is not None and user.pk is not None else None
    SignInRecord.objects.create(
        what=what,
        username=(known.get_username() if known else username)[:255],
        user_key=known.pk if known else None,
        by=_name_of(by, request)[:255],
        detail=detail,
        reason=reason,
        **_of(request),
    )
    _tell(what, known)


def _tell(what: SignInRecord.What, user: Any) -> None:
    """Counts and logs it: who, by the user's id. The name that was typed is not told: it may be a password."""
    if outcome := ATTEMPTS.get(what):
        counters.SIGN_INS.labels(outcome).inc()
        level = logging.INFO if what == What.SIGNED_IN else logging.WARNING
        logs.tell(log, f"sign-in {outcome.replace('_', ' ')}", level=level, user=user.pk if user else None)
    else:
        logs.tell(log, what.label.lower(), user=user.pk if user else None)


def record_failure(request: Any, username: str, detail: str = "") -> None:
    """A failed sign-in. The name is masked where no user has it and it looks like a password that was typed into the
    wrong field."""
    if _is_flood(request, What.FAILED):
        _tell(What.FAILED, None)
        return
    record(What.FAILED, request=request, **whose(username), detail=detail)


def whose(typed: str) -> dict[str, Any]:
    """Of whom a record tells, as `record` takes it: the user of this name, or what may be kept of the text."""
    user = User.objects.filter(username=typed).first() if "\x00" not in typed else None
    return {"user": user} if user else {"username": masked_name(typed)}


def record_stranger(request: Any, detail: str) -> None:
    """A refusal of somebody who is not known yet, such as of an answer that no identity provider gave."""
    if _is_flood(request, What.REFUSED):
        _tell(What.REFUSED, None)
        return
    record(What.REFUSED, request=request, detail=detail)


def _is_flood(request: Any, what: SignInRecord.What) -> bool:
    address = _of(request)["address"]
    recent = SignInRecord.objects.filter(address=address, what=what, at__gte=clock.now() - FAILURES_COUNTED)
    return len(recent.order_by().values_list("pk", flat=True)[:MAX_FAILURES_RECORDED]) == MAX_FAILURES_RECORDED


def masked_name(typed: str) -> str:
    """What was typed as a name, safe to keep. What has the form of a name or an e-mail address is kept; anything else
    may be a password, of which only the length and the first letter stay."""
    typed = "".join(character for character in typed if character.isprintable())
    if not typed:
        return "(nothing)"
    if len(typed) <= MAX_NAME_LENGTH and _looks_like_a_name(typed):
        return typed
    return f"{typed[0]}… ({len(typed)} characters; may be a password)"


def _looks_like_a_name(typed: str) -> bool:
    if re.fullmatch(r"[A-Za-z]{1,16}([._-][A-Za-z]{1,16}){0,3}\d{0,2}", typed):
        return True
    return bool(re.fullmatch(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", typed))


def last_sign_in(user: Any, *, before_this: bool = False) -> SignInRecord | None:
    """The person's last sign-in; `before_this`: the one before it, which is not the session that asks."""
    found = SignInRecord.objects.filter(username=user.get_username(), what=What.SIGNED_IN).order_by("-at", "-pk")
    return next(iter(found[int(before_this) : int(before_this) + 1]), None)


def _name_of(by: Any, request: Any) -> str:
    if isinstance(by, str):
        return by
    if by is not None:
        return by.get_username()
    signed_in = getattr(request, "user", None)
    if signed_in is not None and signed_in.is_authenticated:
        return signed_in.get_username()
    return "" if request is not None else shell_user()


def _of(request: Any) -> dict[str, str]:
    if request is None or not getattr(request, "META", None):
        return {"address": "", "request_id": ""}
    found = origin(request)
    return {"address": (found["address"] or "")[:45], "request_id": found["request_id"][:255]}
