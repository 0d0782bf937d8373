"""The demo's users: one of each group, an administrator, and a service with a token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from knox.crypto import hash_token
from knox.settings import CONSTANTS

from invoices import clock, tokens
from invoices.models import ApiToken, Scope, TokenRecord
from invoices.operations.requesters import SERVICE_GROUP
from invoices.request_origin import Origin

GROUPS = {  # user name → group
    "agent": "Support agent",
    "manager": "Billing manager",
    "auditor": "Auditor",
    "finance": "Finance",
}
ADMINISTRATOR = "admin"
SERVICE = "demo service"  # the name of the token
TOKEN_LIFETIME = timedelta(days=365)


def create_users(demo_secrets: Mapping[str, str]) -> list[dict[str, str]]:
    """Creates the users that are not there yet. Returns username, password and role of each."""
    users = []
    for username, role in [*GROUPS.items(), (ADMINISTRATOR, "Administrator")]:
        administrator = username == ADMINISTRATOR
        user, _ = User.objects.get_or_create(username=username, defaults={"email": f"{username}@example.com"})
        user.is_staff, user.is_superuser, user.is_active = True, administrator, True
        password = demo_secrets[f"password_of_{username}"]
        if not user.check_password(password):  # setting it anew would sign out those who are signed in
            user.set_password(password)
        user.save()
        if not administrator:
            user.groups.add(Group.objects.get(name=role))
        users.append({"username": username, "password": password, "role": role})
    return users


def create_service(token: str) -> None:
    """Creates a service user with this token, made by the administrator. It may do every action, and cannot sign in.

    The token is for everything. One that an older demo made keeps what it is for, which never changes.
    """
    user, created = User.objects.get_or_create(username=SERVICE.replace(" ", "-"))
    if created:
        user.set_unusable_password()
        user.save()
    user.groups.set([Group.objects.get(name=SERVICE_GROUP)])
    user.user_permissions.clear()
    administrator = User.objects.get(username=ADMINISTRATOR)
    origin = Origin(address=None, request_id="")
    for old in ApiToken.objects.filter(name=SERVICE).exclude(digest=hash_token(token)):
        tokens.revoke(old, administrator, origin)
    columns: dict[str, Any] = {
        "user": user,
        "name": SERVICE,
        "token_key": token[: CONSTANTS.TOKEN_KEY_LENGTH],
        "expiry": clock.now() + TOKEN_LIFETIME,
        "created_by": administrator,
    }
    known = ApiToken.objects.filter(digest=hash_token(token)).first()
    if known is None:
        scopes = " ".join(Scope.values)
        known = ApiToken(digest=hash_token(token), scopes=scopes, any_stripe_version=False, **columns)
        known.save(force_insert=True)
        TokenRecord.objects.create(token=known, what=TokenRecord.What.CREATED, by=administrator)
    elif known.revoked_at is None:
        ApiToken.objects.filter(pk=known.pk).update(**columns)
