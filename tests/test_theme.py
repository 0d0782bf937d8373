"""What the theme's pages are to everybody: icons that no screen reader reads aloud, menus that a keyboard opens."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

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
