"""The demo's users: one of each group, an administrator, and a service with a token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone
from knox.crypto import hash_token
from knox.settings import CONSTANTS

from invoices.models import ApiToken
from invoices.models.groups import AGENT, VIEW

ROLES = {"agent": "Support agent", "manager": "Billing manager", "auditor": "Auditor"}
ADMINISTRATOR = "admin"
SERVICE = "demo service"


def create_people(kept: Mapping[str, str]) -> list[dict[str, str]]:
    """Creates whom it does not find; username, password and role of everyone who can sign in."""
    people = []
    for username, role in [*ROLES.items(), (ADMINISTRATOR, "Administrator")]:
        administrator = username == ADMINISTRATOR
        user, _ = User.objects.get_or_create(username=username, defaults={"email": f"{username}@example.com"})
        user.is_staff, user.is_superuser, user.is_active = True, administrator, True
        password = kept[f"password_of_{username}"]
        if not user.check_password(password):  # else the sessions of the last start would end
            user.set_password(password)
        user.save()
        if not administrator:
            user.groups.add(Group.objects.get(name=role))
        people.append({"username": username, "password": password, "role": role})
    return people


def create_service(token: str) -> None:
    """A user that may do every action, and nothing in the admin; the token is its only way in."""
    user, made = User.objects.get_or_create(username=SERVICE.replace(" ", "-"))
    if made:
        user.set_unusable_password()
        user.save()
    app = Permission.objects.filter(content_type__app_label="invoices")
    user.user_permissions.set(app.filter(codename__in=VIEW + AGENT))
    expiry = timezone.now() + timedelta(days=365)
    columns: dict[str, Any] = {
        "user": user,
        "name": SERVICE,
        "token_key": token[: CONSTANTS.TOKEN_KEY_LENGTH],
        "expiry": expiry,
    }
    ApiToken.objects.filter(name=SERVICE).exclude(digest=hash_token(token)).delete()
    ApiToken.objects.update_or_create(digest=hash_token(token), defaults=columns)
