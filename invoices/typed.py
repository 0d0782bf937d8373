"""What was typed into a form that could not be sent: kept for the person who filled it in, never sent by itself.

A form cannot be sent when its sender is signed out, signed in once more in another tab, or asked for her second factor.
What she typed is kept in the session; the page of the form shows it to her, and she presses the button once more.

Each of our forms carries a mark, signed: who it was shown to, and on which page. Without a valid mark nothing is kept
of a request that is not signed in, and nobody can have somebody else's browser fill in a form. What is kept is given to
that person alone; who signs in after her in the same browser ends it unseen.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, QueryDict, UnreadablePostError

MARK = "filled_in_by"  # the form's field with the mark
MARK_SECONDS = 3 * 86_400  # for which a form may stay open
MAX_BYTES = 20_000
KEPT_SECONDS = 3600
NEVER_KEPT = re.compile(rf"{MARK}|code|.*(token|password|credential|secret).*", re.IGNORECASE | re.DOTALL)
NO_WORDS = re.compile(r"operation|batch|chosen|new|index|select_across|action|invoice|page|_.*|seen.*")  # not typed
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_SHOWN = 2000  # characters of a field
_KEPT = "typed_text"  # in the session


@dataclass(frozen=True)
class Mark:
    user: int
    page: str  # the form's page: path and query


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="invoices.typed")


def mark(request: HttpRequest) -> str:
    """The mark of the forms that this answer shows; empty for who is not signed in.

    A form that is shown again, with its errors, in answer to a POST keeps the page on which it was opened: the address
    of that POST may be none that can be opened.
    """
    user_key = getattr(request.user, "pk", None)
    if user_key is None:
        return ""
    made = getattr(request, "_typed_mark", None)
    if made is None:
        before = mark_of(request) if request.method == "POST" else None
        page = before.page if before and before.user == user_key else _page(request)
        made = _signer().sign_object({"user": user_key, "page": page})
        request._typed_mark = made  # type: ignore[attr-defined]
    return str(made)


def _page(request: HttpRequest) -> str:
    """The page that the reader sees: of a part that htmx brings, the page around it."""
    around = urlsplit(request.headers.get("HX-Current-URL", ""))
    if around.path.startswith("/") and not around.path.startswith(("//", "/\\")):
        return f"{around.path}?{around.query}" if around.query else around.path
    return request.get_full_path()


def mark_of(request: HttpRequest) -> Mark | None:
    """The mark of the form that was sent; None where there is none, or none of ours, or an old one."""
    try:
        found = _signer().unsign_object(request.POST.get(MARK, ""), max_age=MARK_SECONDS)
        return Mark(int(found["user"]), str(found["page"]))
    except (BadSignature, UnreadablePostError, ValueError, KeyError, TypeError):
        return None


def keep(request: HttpRequest, back: str, user_key: Any) -> bool:
    """Keeps what was typed, for the form at this address and this person alone. Whether there was something to keep,
    and it was not too long."""
    fields = _typed(request)
    text = fields.urlencode()
    if not text or len(text) > MAX_BYTES:
        return False
    path = urlsplit(back).path
    request.session[_KEPT] = {"back": path, "to": request.path, "user": user_key, "text": text, "at": time.time()}
    return True


def _typed(request: HttpRequest) -> QueryDict:
    fields = request.POST.copy()
    for name in [name for name in fields if NEVER_KEPT.fullmatch(name)]:
        del fields[name]
    return fields


def take(request: HttpRequest) -> dict[str, Any]:
    """What this person typed into a form of this page, once: `to`, the address that it was sent to, `fields`, the
    values of each, and `shown`, for her eyes. Empty where there is nothing."""
    kept = request.session.get(_KEPT)
    if not kept or kept["back"] != request.path or kept["user"] != request.user.pk or request.method != "GET":
        return {}
    del request.session[_KEPT]
    if time.time() - kept["at"] >= KEPT_SECONDS:
        return {}
    fields = QueryDict(kept["text"])
    return {"to": kept.get("to", ""), "fields": dict(fields.lists()), "shown": _shown(fields)}


def fields_for(request: HttpRequest) -> QueryDict:
    """What is kept of a form of this page, for who filled it in. `take` gives it to the page afterwards."""
    kept = request.session.get(_KEPT)
    if not kept or kept["back"] != request.path or kept["user"] != request.user.pk:
        return QueryDict()
    return QueryDict(kept["text"])


def forget(request: HttpRequest) -> None:
    """The form of this page was sent after all."""
    if (kept := request.session.get(_KEPT)) and kept["back"] == request.path:
        del request.session[_KEPT]


def shown(request: HttpRequest) -> list[tuple[str, str]]:
    """What was typed into the form that was sent, for the eyes of who typed it."""
    return _shown(_typed(request))


def _shown(fields: QueryDict) -> list[tuple[str, str]]:
    words = []
    for name, values in fields.lists():
        text = _CONTROL.sub("", ", ".join(str(value) for value in values)).strip()[:_MAX_SHOWN]
        if text and not NO_WORDS.fullmatch(name):
            words.append((_CONTROL.sub("", name).replace("_", " ").capitalize()[:100], text))
    return words[:30]


def of(request: HttpRequest) -> Any:
    """What is kept, to be carried from a session that ends to the next one."""
    return request.session.get(_KEPT)


def carry(request: HttpRequest, kept: Any) -> None:
    if kept:
        request.session[_KEPT] = kept


def forget_unless_of(request: HttpRequest, user_key: Any) -> None:
    """What another person typed in this browser is dropped unseen."""
    if (kept := request.session.get(_KEPT)) and kept["user"] != user_key:
        del request.session[_KEPT]
