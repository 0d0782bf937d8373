"""Who calls the API: a token as `Authorization: Bearer`, or as the user name of HTTP Basic, as at Stripe."""

from __future__ import annotations

import base64
import binascii
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.request import Request

from invoices import clock, permissions, prepared, request_limits, request_origin, tokens
from invoices.api import live
from invoices.api.envelope import ApiError
from invoices.models import ApiToken
from invoices.operations.requesters import SERVICE_GROUP

NO_KEY_MESSAGE = (  # Stripe's own words
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
REFUSED = "refused"  # what is counted of an address: its requests without a valid token
TOO_MANY_MESSAGE = (  # Stripe's own words
    "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
)
CHALLENGE = 'Bearer realm="Invoice desk"'  # the WWW-Authenticate header that HTTP requires with a 401


class ApiTokenAuthentication(TokenAuthentication):
    """Knox's hashed tokens.

    Knox's own check deletes an expired token. This one deletes nothing, so that the caller learns that it has expired;
    it writes the record of the use.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken]:
        who = request_limits.caller(request.META.get("REMOTE_ADDR"))
        if seconds := request_limits.seconds_still_refused(REFUSED, who):
            raise too_many(seconds)
        try:
            user, token = self._find(request)
        except ApiError:
            if seconds := request_limits.seconds_to_wait((REFUSED, who, settings.API_REFUSALS_PER_MINUTE)):
                request_limits.remember_refused(REFUSED, who)
                raise too_many(seconds) from None
            raise
        # Here nothing has begun: what is refused can be sent again under the same idempotency key.
        if seconds := request_limits.seconds_to_wait(
            ("token", token.pk, settings.API_REQUESTS_PER_MINUTE),
            ("user", user.pk, settings.API_USER_REQUESTS_PER_MINUTE),
        ):
            raise too_many(seconds)
        live.asking_token.set(token.digest[:32])
        tokens.record_use(token, clock.read_along(token.now), request_origin.origin(request))
        return user, token

    def _find(self, request: Request) -> tuple[Any, Any]:
        key = key_of(request.META.get("HTTP_AUTHORIZATION", ""))
        if not key:
            raise _unauthorized(NO_KEY_MESSAGE)
        token = _find_token(key)
        if token is None or not token.user.is_active:
            raise _unauthorized(f"Invalid API Key provided: {_masked(key)}")
        if token.revoked_at is not None:
            message = f"Revoked API Key provided: {_masked(key)}. It opens nothing any more; use a new one."
            raise _unauthorized(message, "api_key_expired")  # Stripe's code for a key that was taken back, too
        if token.expiry is not None and token.expiry < clock.read_along(token.now):
            raise _unauthorized(f"Expired API Key provided: {_masked(key)}", "api_key_expired")
        if not _may_act_for_user(token):
            message = f"API Key of a user who is no longer a service user: {_masked(key)}. Make a new one."
            raise _unauthorized(message)
        return token.user, token


def key_of(header: str) -> str:
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


# Everything that a request is judged by, in one statement: the token, its user, whether this is a service user, the
# user's permissions, and the database's clock. It is read anew for each request, so that what was taken away is gone.
FIND = """
    SELECT token.digest, token.expiry, token.user_id, token.name, token.read_only, token.scopes,
        token.any_stripe_version, token.created_by_id, token.revoked_at,
        holder.id, holder.is_superuser, holder.username, holder.is_staff, holder.is_active,
        {now},
        EXISTS (SELECT 1 FROM auth_user_groups AS joined JOIN auth_group AS service ON service.id = joined.group_id
            WHERE joined.user_id = holder.id AND service.name = %s),
        ({permissions})
    FROM invoices_apitoken AS token JOIN auth_user AS holder ON holder.id = token.user_id
    WHERE token.token_key = %s
"""
# The first columns of `FIND`, in the order of their models. Others are read when they are asked for.
TOKEN_COLUMNS = tuple("digest expiry user_id name read_only scopes any_stripe_version created_by_id revoked_at".split())
USER_COLUMNS = ("id", "is_superuser", "username", "is_staff", "is_active")


def _find_token(key: str) -> Any:
    """The ApiToken with its user, or None. The table is searched by the key's first characters. The whole key is
    compared by its hash, in constant time."""
    digest = hash_token(key)
    given = [SERVICE_GROUP, key[: CONSTANTS.TOKEN_KEY_LENGTH]]
    rows = prepared.rows(FIND.format(now=clock.sql(), permissions=permissions.of_user("holder.id")), given)
    return next((_token_of(row) for row in rows if compare_digest(row[0], digest)), None)


def _token_of(row: tuple[Any, ...]) -> Any:
    """A row of `FIND`. The user's permissions are known, as they are after Django's first `has_perm`."""
    of_token, (*of_user, now, is_service, words) = row[: len(TOKEN_COLUMNS)], row[len(TOKEN_COLUMNS) :]
    token: Any = ApiToken.from_db(connection.alias, TOKEN_COLUMNS, of_token)
    token.expiry, token.revoked_at = clock.of_column(token.expiry), clock.of_column(token.revoked_at)
    user: Any = User.from_db(connection.alias, USER_COLUMNS, of_user)
    user.is_service = bool(is_service)
    permissions.fill(user, words)
    token.user, token.now = user, now
    return token


def _may_act_for_user(token: Any) -> bool:
    """A token acts for the one who made it, or for a service user: not for a service user who became a person. A token
    whose maker is not known was made before this was a rule; what it asks is decided on with that in mind."""
    return token.created_by_id in (None, token.user_id) or token.user.is_service


def _masked(key: str) -> str:
    """The key as far as a log may show it: four characters at each end."""
    return key[:4] + "*" * (len(key) - 8) + key[-4:] if len(key) > 12 else "*" * len(key)


def _unauthorized(message: str, code: str | None = None) -> ApiError:
    return ApiError(401, message, code=code, headers={"WWW-Authenticate": CHALLENGE})


def too_many(seconds: int) -> ApiError:
    """429, as Stripe answers it: its SDKs send the request again, after `seconds`."""
    headers = {"Retry-After": str(seconds), "Stripe-Should-Retry": "true"}
    return ApiError(429, TOO_MANY_MESSAGE, code="rate_limit", headers=headers)
