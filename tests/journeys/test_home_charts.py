"""The charts of the home page in a real browser: no amount breaks into two lines, however narrow its card."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices import clock, tallies
from tests.factories import InvoiceObject, stored
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401

pytestmark = MARKS

LINES = """() => [...document.querySelectorAll('.bar-value')].map((each) => {
    const box = document.createRange();
    box.selectNodeContents(each);
    return new Set([...box.getClientRects()].map((line) => Math.round(line.top))).size;
})"""


@pytest.mark.parametrize("width", [390, 1024, 1280, 1440])
def test_amounts_stand_on_one_line(live_server: LiveServer, page: Page, manager: User, width: int) -> None:
    due = int((clock.now() - timedelta(days=40)).timestamp())
    stored(InvoiceObject(due_date=due, currency="usd", amount_remaining=123_456_789_00))
    stored(InvoiceObject(due_date=None, currency="eur", amount_remaining=98_765_432_10))
    tallies.run_due()
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill(manager.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Outstanding by age")).to_be_visible()
    lines = page.evaluate(LINES)
    assert len(lines) >= 2 and set(lines) == {1}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
