"""What a person who may change users, and is no superuser, can make of herself and of others."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from tests.factories import user_in_group

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk() -> Client:
    """May add and change users and groups, and nothing of the desk."""
    user = User.objects.create_user("clerk", is_staff=True)
    names = ("add_user", "change_user", "view_user", "add_group", "change_group", "view_group")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def form_of(user: User, **changed: Any) -> dict[str, Any]:
    joined = user.date_joined
    return {
        "username": user.username,
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": f"{joined:%Y-%m-%d}",
        "date_joined_1": f"{joined:%H:%M:%S}",
        **changed,
    }


def test_nobody_makes_herself_a_superuser_or_a_manager(clerk: Client) -> None:
    me = User.objects.get(username="clerk")
    managers = Group.objects.get(name="Billing manager")
    everything = Permission.objects.get(codename="approve_operation")
    changed = {"is_superuser": "on", "groups": [managers.pk], "user_permissions": [everything.pk]}
    clerk.post(f"/admin/auth/user/{me.pk}/change/", form_of(me, **changed))
    me = User.objects.get(pk=me.pk)
    assert not me.is_superuser and not me.groups.exists() and not me.has_perm("invoices.approve_operation")


def test_nobody_makes_another_a_superuser_or_a_manager(clerk: Client) -> None:
    accomplice = User.objects.create_user("accomplice", is_staff=True)
    managers = Group.objects.get(name="Billing manager")
    changed = {"is_superuser": "on", "groups": [managers.pk], "last_name": "New"}
    clerk.post(f"/admin/auth/user/{accomplice.pk}/change/", form_of(accomplice, **changed))
    accomplice = User.objects.get(pk=accomplice.pk)
    assert not accomplice.is_superuser and not accomplice.groups.exists()


def test_nobody_changes_who_may_more(clerk: Client) -> None:
    root = User.objects.create_superuser("root", "root@example.com", "a long enough password")
    manager = user_in_group("manager", "Billing manager")
    typed = {"password1": "tulip-engine-17-rain", "password2": "tulip-engine-17-rain", "usable_password": "true"}
    for user in (root, manager):
        assert clerk.post(f"/admin/auth/user/{user.pk}/password/", typed).status_code == 403
        assert clerk.post(f"/admin/auth/user/{user.pk}/change/", form_of(user)).status_code == 403
        assert User.objects.get(pk=user.pk).check_password("a long enough password")


def test_nobody_gives_a_group_what_she_may_not(clerk: Client) -> None:
    group = Group.objects.create(name="helpers")
    User.objects.get(username="clerk").groups.add(group)
    permission = Permission.objects.get(codename="approve_operation")
    clerk.post(f"/admin/auth/group/{group.pk}/change/", {"name": "helpers", "permissions": [permission.pk]})
    assert not group.permissions.exists()
    clerk.post("/admin/auth/group/add/", {"name": "others", "permissions": [permission.pk]})
    assert not Group.objects.filter(permissions=permission, name="others").exists()


def test_a_superuser_still_gives_everything(clerk: Client) -> None:
    root = User.objects.create_superuser("root", "root@example.com", "a long enough password")
    client = Client()
    client.force_login(root)
    me = User.objects.get(username="clerk")
    managers = Group.objects.get(name="Billing manager")
    client.post(f"/admin/auth/user/{me.pk}/change/", form_of(me, groups=[managers.pk]))
    assert list(me.groups.all()) == [managers]
