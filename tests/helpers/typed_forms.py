"""A form as a browser opens and sends it: the sign-in before it, and the hidden fields that every form has."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from invoices import typed

ADD = "/admin/invoices/pause/add/"
PASSWORD = "a long enough password"


def sign_in(visitor: Client, user: User) -> Any:
    page = visitor.get("/admin/login/").content.decode()
    return visitor.post("/admin/login/", {**hidden(page), "username": user.username, "password": PASSWORD})


def hidden(page: str) -> dict[str, str]:
    """The hidden fields that every form of the page has."""
    fields = {}
    for name in ("csrfmiddlewaretoken", typed.MARK):
        if found := re.search(rf'name="{name}" value="([^"]+)"', page):
            fields[name] = found[1]
    return fields


def opened(visitor: Client, user: User, path: str = ADD) -> dict[str, str]:
    """The person signs in and opens the form: its hidden fields."""
    sign_in(visitor, user)
    fields = hidden(visitor.get(path).content.decode())
    assert set(fields) == {"csrfmiddlewaretoken", typed.MARK}
    return fields
