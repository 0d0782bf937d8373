"""Pages of the admin as a browser sees them: where an action's page is, what its form sends, where it leads."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

LIST = "/admin/invoices/invoice/"


def action_url(invoice: str, action: str) -> str:
    """The address of an action's confirmation page."""
    return f"{LIST}{invoice}/do/{action}/"


def hidden(html: str) -> dict[str, str]:
    """The hidden fields of a page's form, such as the operation's id and the invoice as the reader saw it."""
    found = re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', html)
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


def form_data(client: Client, invoice: str, action: str) -> dict[str, str]:
    """Opens the confirmation page; returns what its form would send, with a reason."""
    response = client.get(action_url(invoice, action))
    assert response.status_code == 200
    return hidden(response.content.decode()) | {"reason": "The customer asked on the phone"}


def page_after(client: Client, response: Any) -> str:
    """The HTML of the page to which an action's response redirects."""
    assert response.status_code == 302, response.content.decode()
    return client.get(response["Location"]).content.decode()


def text(response: Any) -> str:
    return str(response.content.decode())
