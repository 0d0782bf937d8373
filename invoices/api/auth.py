"""Who calls the API: a token as `Authorization: Bearer`, or as the user name of HTTP Basic, as at Stripe."""

from __future__ import annotations

import base64
import binascii
from hmac import compare_digest
from typing import Any

from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.request import Request

from invoices import clock, request_origin, tokens
from invoices.api.envelope import ApiError
from invoices.models import ApiToken
from invoices.operations.requesters import in_service_group

NO_KEY_MESSAGE = (  # Stripe's own words
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
CHALLENGE = 'Bearer realm="Invoice desk"'  # the WWW-Authenticate header that HTTP requires with a 401


class ApiTokenAuthentication(TokenAuthentication):
    """Knox's hashed tokens.

    Knox's own check deletes an expired token. This one deletes nothing, so that the caller learns that it has expired;
    it writes the record of the use.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken]:
        key = _key(request.META.get("HTTP_AUTHORIZATION", ""))
        if not key:
            raise _unauthorized(NO_KEY_MESSAGE)
        token = _find_token(key)
        if token is None or not token.user.is_active:
            raise _unauthorized(f"Invalid API Key provided: {_masked(key)}")
        if token.revoked_at is not None:
            message = f"Revoked API Key provided: {_masked(key)}. It opens nothing any more; use a new one."
            raise _unauthorized(message, "api_key_expired")  # Stripe's code for a key that was taken back, too
        now = clock.now()
        if token.expiry is not None and token.expiry < now:
            raise _unauthorized(f"Expired API Key provided: {_masked(key)}", "api_key_expired")
        if not _may_act_for_user(token):
            message = f"API Key of a user who is no longer a service user: {_masked(key)}. Make a new one."
            raise _unauthorized(message)
        tokens.record_use(token, now, request_origin.origin(request))
        return token.user, token


def _key(header: str) -> str:
    """The key in an Authorization header. Empty for another scheme, and for what cannot be decoded."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _find_token(key: str) -> ApiToken | None:
    """The table is searched by the key's first characters. The whole key is compared by its hash, in constant time."""
    digest = hash_token(key)
    candidates = (
        ApiToken.objects.filter(token_key=key[: CONSTANTS.TOKEN_KEY_LENGTH])
        .select_related("user")
        .annotate(is_of_service_user=in_service_group("user_id"))
    )
    return next((token for token in candidates if compare_digest(token.digest, digest)), None)


def _may_act_for_user(token: Any) -> bool:
    """A token acts for the one who made it, or for a service user: not for a service user who became a person. A token
    whose maker is not known was made before this was a rule; what it asks is decided on with that in mind."""
    return token.created_by_id in (None, token.user_id) or token.is_of_service_user


def _masked(key: str) -> str:
    """The key as far as a log may show it: four characters at each end."""
    return key[:4] + "*" * (len(key) - 8) + key[-4:] if len(key) > 12 else "*" * len(key)


def _unauthorized(message: str, code: str | None = None) -> ApiError:
    return ApiError(401, message, code=code, headers={"WWW-Authenticate": CHALLENGE})
