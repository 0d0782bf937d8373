"""ETag and 304: who asks again for what has not changed is told so, without the body."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import HttpResponseNotModified
from django.utils.http import parse_etags
from rest_framework.request import Request

DIGEST_LENGTH = 32  # characters
KEPT_WITH_304 = ("ETag", "Cache-Control", "Request-Id", "Stripe-Version", "Invoice-Desk-Seen-At", "Invoice-Desk-Source")


def tagged(request: Request, response: Any) -> HttpResponseNotModified | None:
    """Gives a rendered answer its ETag. The 304 in its place where the request's If-None-Match names it, else None.

    The tag is weak, because the same object is sent compressed in several ways. It follows from the body alone: until
    when the object was seen, which a header says, changes without it, and stands in the 304 too.
    """
    if request.method not in ("GET", "HEAD") or response.status_code != 200:
        return None
    opaque = f'"{sha256(response.content).hexdigest()[:DIGEST_LENGTH]}"'
    response["ETag"], response["Cache-Control"] = f"W/{opaque}", "private, no-cache"  # may be kept, asked for each time
    named = {tag.removeprefix("W/") for tag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))}
    if not {opaque, "*"} & named:  # compared without `W/`, as RFC 9110 has it; `*` names whatever there is
        return None
    return HttpResponseNotModified(headers={name: response[name] for name in KEPT_WITH_304 if name in response})
