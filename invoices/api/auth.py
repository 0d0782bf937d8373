"""Who asks: a token as `Authorization: Bearer`, or as the user name of HTTP Basic, as Stripe takes its keys."""

from __future__ import annotations

import base64
import binascii
from hmac import compare_digest
from typing import Any

from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.request import Request

from invoices.api.envelope import ApiError
from invoices.models import ApiToken

NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
CHALLENGE = 'Bearer realm="Invoice desk"'


class ApiTokenAuthentication(TokenAuthentication):
    """Knox's hashed tokens. Unlike Knox's own check it writes nothing, so that an expired key can be told as such."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken]:
        key = _key(request.META.get("HTTP_AUTHORIZATION", ""))
        if not key:
            raise _refused(NO_KEY)
        token = _find(key)
        if token is None or not token.user.is_active:
            raise _refused(f"Invalid API Key provided: {_starred(key)}")
        if token.expiry is not None and token.expiry < timezone.now():
            raise _refused(f"Expired API Key provided: {_starred(key)}", "api_key_expired")
        return token.user, token


def _key(header: str) -> str:
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _find(key: str) -> ApiToken | None:
    digest = hash_token(key)
    candidates = ApiToken.objects.filter(token_key=key[: CONSTANTS.TOKEN_KEY_LENGTH]).select_related("user")
    return next((token for token in candidates if compare_digest(token.digest, digest)), None)


def _starred(key: str) -> str:
    """The key as far as a log may show it."""
    return key[:4] + "*" * (len(key) - 8) + key[-4:] if len(key) > 12 else "*" * len(key)


def _refused(message: str, code: str | None = None) -> ApiError:
    return ApiError(401, message, code=code, headers={"WWW-Authenticate": CHALLENGE})
