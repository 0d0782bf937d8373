"""What the theme's pages are to everybody: icons that no screen reader reads aloud, menus that a keyboard opens."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from invoices.admin.people import permission_words
from invoices.operations import ACTIONS
from tests.factories import InvoiceObject, stored

pytestmark = pytest.mark.django_db

PAGES = (
    "/admin/",
    "/admin/invoices/invoice/",
    "/admin/invoices/invoice/in_1/",
    "/admin/invoices/pause/add/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/group/add/",
    "/admin/password_change/",
)
ICON = re.compile(r'<\w+\b[^<>]*\bclass="(?:[^"<>]* )?material-symbols-outlined\b[^<>]*>')


def read_aloud(page: str) -> list[str]:
    return [icon for icon in ICON.findall(page) if 'aria-hidden="true"' not in icon]


def test_no_icon_is_read_aloud(client: Client) -> None:
    stored(InvoiceObject(id="in_1"))
    found = read_aloud(client.get("/admin/login/").content.decode())
    client.force_login(User.objects.create_superuser("root", "root@example.com", "x"))
    for address in PAGES:
        page = client.get(address).content.decode()
        assert ICON.search(page), address
        found += [f"{address} {icon}" for icon in read_aloud(page)]
    assert not found, "\n".join(found)


def test_permissions_are_called_as_the_database_has_them_in_english() -> None:
    """Where a name is new, its words are missing in `permission_words`."""
    of_ours = Permission.objects.filter(content_type__app_label="invoices").select_related("content_type")
    assert [permission_words.words(each) for each in of_ours] == [str(each) for each in of_ours]
    own = {each.name for each in of_ours} - set(permission_words.OWN)
    made = {f"Can {action.may}" for action in ACTIONS.values()}
    of_a_table = tuple(text.partition("{")[0] for text in permission_words.OF_A_TABLE.values())
    assert not [name for name in own - made if not name.startswith(of_a_table)]
    assert not {each.content_type.name for each in of_ours} - set(permission_words.TABLES)


def test_a_list_is_titled_as_what_it_is(desk: Client) -> None:
    title = desk.get("/admin/invoices/invoice/").content.decode().partition("<title>")[2].partition("</title>")[0]
    assert title.split("|")[0].strip() == "Invoices"
