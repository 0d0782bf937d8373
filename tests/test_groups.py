"""The groups and the actions' permissions: made once, and never given back what an administrator took away."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from invoices.groups import ACT, GROUPS, MANAGE, VIEW, WRITE, create_groups
from invoices.models import GivenPermission
from invoices.operations import ACTIONS
from invoices.operations.requesters import SERVICE_GROUP

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def made() -> None:
    create_groups()


def codenames(group: str) -> set[str]:
    return set(Group.objects.get(name=group).permissions.values_list("codename", flat=True))


def test_each_group_may_what_the_table_says() -> None:
    assert {name: codenames(name) for name in GROUPS} == {name: set(wanted) for name, wanted in GROUPS.items()}
    assert {action.codename for action in ACTIONS.values()} <= codenames("Support agent")
    assert not {action.codename for action in ACTIONS.values()} & codenames("Auditor")


def test_what_an_administrator_took_away_stays_away() -> None:
    Group.objects.get(name="Support agent").permissions.remove(Permission.objects.get(codename="void_invoice"))
    create_groups()
    assert "void_invoice" not in codenames("Support agent") and "void_invoice" in codenames("Billing manager")


def test_what_an_administrator_gave_stays() -> None:
    Group.objects.get(name="Auditor").permissions.add(Permission.objects.get(codename="replay_event"))
    create_groups()
    assert "replay_event" in codenames("Auditor")


@pytest.fixture
def of_the_version_before() -> None:
    """The database as a version left it that did not have the action `send` and could not start reconciliations."""
    new = ("send_invoice", "run_reconciliation")
    Permission.objects.filter(codename__in=new).delete()
    GivenPermission.objects.filter(codename__in=new).delete()
    # Django makes the permissions of the models before ours are asked for.
    create_permissions(apps.get_app_config("invoices"), verbosity=0)


@pytest.mark.usefixtures("of_the_version_before")
def test_a_new_permission_is_given_to_the_groups_that_are_there() -> None:
    create_groups()
    assert {"send_invoice", "run_reconciliation"} <= codenames("Billing manager")
    assert "send_invoice" in codenames("Support agent") and "send_invoice" not in codenames("Auditor")


@pytest.mark.usefixtures("of_the_version_before")
def test_a_new_permission_brings_no_old_one_back() -> None:
    Group.objects.get(name="Support agent").permissions.remove(Permission.objects.get(codename="void_invoice"))
    create_groups()
    assert "send_invoice" in codenames("Support agent") and "void_invoice" not in codenames("Support agent")


@pytest.mark.parametrize("codename", ["void_invoice", "add_apitoken", "approve_operation"])
def test_a_permission_whose_row_was_deleted_is_given_to_nobody(codename: str) -> None:
    Permission.objects.get(codename=codename).delete()
    for _ in range(2):
        call_command("migrate", verbosity=0)
        assert Permission.objects.filter(codename=codename).exists()
        assert not Group.objects.filter(permissions__codename=codename).exists()


def test_a_renamed_group_keeps_what_it_has_and_the_new_one_has_nobody(agent: User) -> None:
    group = Group.objects.get(name="Support agent")
    group.permissions.clear()
    group.name = "Helpdesk"
    group.save()
    create_groups()
    assert not codenames("Helpdesk") and codenames("Support agent")
    assert not User.objects.filter(groups__name="Support agent").exists()
    assert not User.objects.get(pk=agent.pk).get_all_permissions()


def test_service_users_may_act_and_manage_nothing() -> None:
    assert codenames(SERVICE_GROUP) == {*VIEW, *ACT, *WRITE}
    assert not set(MANAGE) & codenames(SERVICE_GROUP)


def test_an_upgrade_notes_what_was_there_before() -> None:
    """What a version without notes had given out does not look new to this one."""
    GivenPermission.objects.all().delete()
    Group.objects.get(name="Billing manager").permissions.remove(Permission.objects.get(codename="approve_operation"))
    migration = importlib.import_module("invoices.migrations.0006_service_tokens")
    migration.note_permissions(apps, SimpleNamespace(connection=connection))
    create_groups()
    assert "approve_operation" not in codenames("Billing manager")


# --- who can sign in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_who_is_put_into_a_group_of_people_can_sign_in(name: str) -> None:
    group = Group.objects.get(name=name)
    by_user, by_group = User.objects.create_user("one"), User.objects.create_user("other")
    by_user.groups.add(group)
    group.user_set.add(by_group)
    for user in (by_user, by_group):
        user.refresh_from_db()
        assert user.is_staff == (name != SERVICE_GROUP)


def test_a_group_of_the_companys_own_lets_nobody_in() -> None:
    user = User.objects.create_user("one")
    user.groups.add(Group.objects.create(name="Readers of a report"))
    user.refresh_from_db()
    assert not user.is_staff


def test_in_the_admin_a_group_is_enough(client: Client) -> None:
    """The forms of “Add user”, as a browser sends them, with nothing ticked but the group."""
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "a long enough password"))
    password = {"password1": "correct horse 7", "password2": "correct horse 7"}
    client.post("/admin/auth/user/add/", {"username": "alice", "usable_password": "true", **password})
    alice = User.objects.get(username="alice")
    form = {"username": "alice", "email": "alice@example.com", "is_active": "on", "date_joined_0": "2026-01-01"}
    form |= {"date_joined_1": "00:00:00", "groups": str(Group.objects.get(name="Auditor").pk)}
    answer = client.post(f"/admin/auth/user/{alice.pk}/change/", form)
    assert answer.status_code == 302, answer.context["adminform"].errors
    client.logout()
    assert client.login(username="alice", password="correct horse 7")
    assert client.get("/admin/").status_code == 200
