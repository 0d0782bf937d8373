"""The roles: people who sign in to the admin, and tokens that call the API."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.test import Client

from invoices.groups import GROUPS
from invoices.models import ApiToken, Scope
from invoices.operations.requesters import SERVICE_GROUP
from tests.factories import user_in_group

NO_GROUP, SUPERUSER, READ_ONLY = "No group", "Superuser", "Read-only token"
PEOPLE = (NO_GROUP, "Support agent", "Finance", "Auditor", "Billing manager", SUPERUSER)
TOKENS = (NO_GROUP, "Support agent", "Finance", "Auditor", "Billing manager", SERVICE_GROUP, READ_ONLY, SUPERUSER)
OUTSIDE = ("Anonymous", "Service user with a session")  # to whom the admin shows its sign-in page


EVERYBODY, NOBODY = "everybody", "nobody"  # needs: without a sign-in, and not even a superuser


def may(role: str, needs: Iterable[str], scope: str = "") -> bool:
    """Whether this role holds all permissions; of `one/other` one is enough. `scope`: what a token must be for."""
    needs = set(needs)
    if NOBODY in needs or EVERYBODY in needs or role in OUTSIDE:
        return EVERYBODY in needs
    if role == SUPERUSER or (role == READ_ONLY and scope not in ("", Scope.READ)):
        return role == SUPERUSER
    group = SERVICE_GROUP if role == READ_ONLY else role
    held = {f"invoices.{codename}" for codename in GROUPS.get(group, ())}
    return all(not held.isdisjoint(_choices(need)) for need in needs)


def _choices(need: str) -> set[str]:
    return {each if "." in each else f"invoices.{each}" for each in need.split("/")}


def person_of(role: str) -> User:
    name = role.lower().replace(" ", "-")
    if role == SUPERUSER:
        return User.objects.create_superuser(name, f"{name}@example.com", "a long enough password")
    group = SERVICE_GROUP if role == READ_ONLY else role
    return user_in_group(name, group if group in GROUPS else None)


def client_of(person: User | None) -> Client:
    """A browser, with this person signed in; None: nobody."""
    client = Client(raise_request_exception=False)
    if person is not None:
        client.force_login(person)
    return client


def token_of(role: str, person: User) -> tuple[ApiToken, str]:
    """A token for everything that this person may, of READ_ONLY for reading alone; and its key."""
    scopes = Scope.READ if role == READ_ONLY else " ".join(Scope.values)
    token, key = ApiToken.objects.create(user=person, name="a program", scopes=scopes, created_by=person)
    return token, key
