"""Every page of the admin in a real browser: nothing that the Content-Security-Policy refuses is asked for, and what
the theme's scripts do, such as light and dark, still works without `unsafe-eval`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import ConsoleMessage, Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices import operations, reconcile, refetch
from invoices.models import ApiToken
from tests.factories import customer_at, invoice_at, user_in_group
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401
from tests.sandbox_process import SandboxProcess

pytestmark = MARKS

VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
"""
# Which pages are the same: the ids in an address are left out.
ID = re.compile(r"(?<=/)(?:(?:in|cus|pi|inpay|evt)_\w+|\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{40,})(?=/)")
MOST_PAGES = 120


@pytest.fixture
def superuser(db: None) -> User:
    user = user_in_group("chief", "Billing manager")
    user.is_superuser = True
    user.save()
    return user


@pytest.fixture
def filled(sandbox: SandboxProcess, superuser: User, agent: User, deliver: Any) -> Any:
    """A record of every kind, so that every page can be reached by a link."""
    customer = customer_at(sandbox, email="ada@example.com", name="Ada Byron")
    paid, open_ = (invoice_at(sandbox, 2000, customer=customer.id) for _ in range(2))
    for kind, pk in (("invoice", paid.id), ("invoice", open_.id), ("customer", customer.id)):
        refetch.refetch(kind, pk)
    operations.execute("pay", paid.id, actor=agent, source="admin", reason="asked")
    deliver()
    reconcile.sweep_lists("full")
    ApiToken.objects.create(user=superuser, created_by=superuser, name="a service")
    return open_


@pytest.fixture
def desk(live_server: LiveServer, page: Page, filled: Any, superuser: User) -> Iterator[Page]:
    """A superuser's browser. It fails on a violation, on an error in a script, and on a warning of Alpine's."""
    page.set_default_timeout(60_000)
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.add_init_script(VIOLATIONS)
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill(superuser.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Find an invoice")).to_be_visible()
    yield page
    assert not wrong


def settle(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.violations") == []


def test_every_page(desk: Page, live_server: LiveServer) -> None:
    """Follows every link of the admin to one page of each kind."""
    start = f"{live_server.url}/admin/"
    to_see, seen = [start], {"/admin/"}
    while to_see:
        desk.goto(to_see.pop())
        settle(desk)
        expect(desk.locator("body")).to_be_visible()  # the theme hides it until Alpine has started
        for address in desk.eval_on_selector_all("a[href]", "links => links.map(link => link.href.split('#')[0])"):
            path = ID.sub("_", address.removeprefix(live_server.url).partition("?")[0])
            if (
                address.startswith(start)
                and path not in seen
                and not path.startswith(("/admin/logout", "/admin/login"))
                and not path.endswith((".csv", ".xlsx", ".json"))  # a download, no page
            ):
                seen.add(path)
                to_see.append(address)
        assert len(seen) < MOST_PAGES
    assert {
        "/admin/invoices/invoice/",
        "/admin/invoices/operation/",
        "/admin/invoices/event/",
        "/admin/invoices/apitoken/add/",
        "/admin/auth/user/add/",
        "/admin/auth/user/_/change/",
        "/admin/password_change/",
    } <= seen
    assert any("/do/pay/" in path for path in seen)
    assert any("/reconciliationrun/_/" in path for path in seen)
    desk.goto(f"{live_server.url}/api/docs/")
    expect(desk.get_by_text("/v1/invoices/{id}/pay").first).to_be_visible()
    settle(desk)


def test_what_the_theme_does(desk: Page, live_server: LiveServer, filled: Any) -> None:
    html = desk.locator("html")
    for theme in ("dark", "light"):
        switch = desk.locator(f"[x-on\\:click=\"switchTheme('{theme}')\"]")
        if not switch.is_visible():
            desk.locator("[x-on\\:click='openUserLinks = !openUserLinks']").click()
        switch.click()
        expect(html).to_have_class(theme)
        settle(desk)
    desk.keyboard.press("Control+e")
    expect(html).to_have_class("dark")
    desk.reload()
    expect(html).to_have_class("dark")

    sidebar = desk.locator("#nav-sidebar")
    expect(sidebar).to_be_visible()
    desk.get_by_text("dock_to_right").first.click()
    expect(sidebar).to_be_hidden()
    desk.reload()
    expect(desk.locator("body")).to_be_visible()
    expect(sidebar).to_be_hidden()
    desk.get_by_text("dock_to_right").first.click()
    expect(sidebar).to_be_visible()

    desk.keyboard.press("Control+k")
    field = desk.get_by_role("combobox", name="Search")
    expect(field).to_be_focused()
    field.press_sequentially("byron")
    expect(desk.get_by_role("option").first).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    desk.wait_for_url(re.compile(r"/admin/invoices/\w+/\w+_"))
    settle(desk)

    desk.goto(f"{live_server.url}/admin/invoices/invoice/")
    desk.locator("tbody input[type=checkbox]").first.check()
    actions = desk.locator("select[name=action]")
    expect(desk.locator("#changelist-actions")).to_have_attribute("style", re.compile("width: [1-9]"))
    actions.select_option(index=1)
    desk.get_by_role("button", name="Run", exact=True).click()
    expect(desk.get_by_label("Reason")).to_be_visible()
    settle(desk)

    desk.goto(f"{live_server.url}/admin/invoices/invoice/{filled.id}/do/void/")
    desk.get_by_label("In your own words").fill("asked for it")
    settle(desk)

    desk.goto(f"{live_server.url}/admin/invoices/invoice/")
    desk.locator("summary", has_text="Filters").click()
    expect(desk.get_by_label("Currency")).to_be_visible()
    settle(desk)
    desk.goto(f"{live_server.url}/admin/auth/user/add/")
    expect(desk.locator("#user_form")).to_have_attribute("action", "/admin/auth/user/add/")
    settle(desk)
