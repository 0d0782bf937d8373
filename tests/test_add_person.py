"""`manage.py add_person`: who was added can sign in with what was printed."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from invoices.groups import create_groups

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def groups() -> None:
    create_groups()


def add(*arguments: str) -> str:
    said = StringIO()
    call_command("add_person", *arguments, stdout=said)
    return said.getvalue()


@pytest.mark.parametrize("what", [["--administrator"], ["--group", "Support agent"]])
def test_who_was_added_can_sign_in_with_what_was_printed(client: Client, what: list[str]) -> None:
    said = add("alice", "--email", "alice@example.com", *what)
    password = re.search(r"password (\S+)", said)
    assert password
    assert authenticate(username="alice", password=password[1])
    client.force_login(User.objects.get(username="alice"))
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/auth/user/").status_code == (200 if "--administrator" in what else 403)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["alice", "--email", "alice@example.com"], "already exists"),
        (["bob", "--email", "nowhere"], "email: "),
        (["a b", "--email", "bob@example.com"], "username: "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_leaves_nobody(arguments: list[str], says: str) -> None:
    add("alice", "--email", "alice@example.com", "--group", "Auditor")
    with pytest.raises(CommandError) as error:
        add(*arguments, "--group", "Auditor")
    assert says in str(error.value) and "\n" not in str(error.value)
    assert User.objects.count() == 1


def test_a_service_user_is_no_person() -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        add("billing", "--email", "billing@example.com", "--group", "Service")
