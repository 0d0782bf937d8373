"""The search in the header, in a real browser: by keyboard alone, on a phone, without scripts, after signing out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from playwright.sync_api import Browser, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.factories import CustomerObject, InvoiceObject, stored
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401

pytestmark = MARKS

INVOICES = "/admin/invoices/invoice/"


@pytest.fixture
def desk(live_server: LiveServer, page: Page, agent: User) -> Iterator[Page]:
    """The list of invoices, with an agent signed in. It fails on an error in a script."""
    stored(CustomerObject(id="cus_ada", name="Ada Byron", email="ada@example.com"))
    for number in range(1, 4):
        stored(
            InvoiceObject(
                id=f"in_ada{number}",
                number=f"ADA-{number}",
                customer="cus_ada",
                customer_name="Ada Byron",
                created=1_700_000_000 - number,
            )
        )
    wrong: list[str] = []
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{live_server.url}{INVOICES}")
    page.get_by_label("Username").fill(agent.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{INVOICES}")
    expect(page.locator("body")).to_be_visible()
    yield page
    assert not wrong


def field_of(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search")


def options_of(page: Page) -> Locator:
    """What was found; the filters of a list have options of their own."""
    return page.locator("#find-results").get_by_role("option")


def test_by_keyboard_alone(desk: Page) -> None:
    field = field_of(desk)
    desk.keyboard.press("/")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    desk.keyboard.type("byron")
    options = options_of(desk)
    expect(options).to_have_count(4)
    expect(field).to_have_attribute("aria-expanded", "true")
    desk.keyboard.press("ArrowDown")
    expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", str(options.nth(0).get_attribute("id")))
    desk.keyboard.press("ArrowUp")
    expect(options.nth(3)).to_have_attribute("aria-selected", "true")
    desk.keyboard.press("Escape")
    expect(options.nth(0)).to_be_hidden()
    expect(field).to_have_attribute("aria-expanded", "false")
    expect(field).to_have_value("byron")
    for _ in range(2):
        desk.keyboard.press("ArrowDown")
    desk.keyboard.press("Enter")
    desk.wait_for_url("**/in_ada2/")
    desk.keyboard.press("Control+k")
    expect(field).to_be_focused()


def test_enter_without_a_choice_leads_to_the_only_meaning_or_to_the_page(desk: Page) -> None:
    desk.keyboard.press("/")
    desk.keyboard.type("#ada-3")
    desk.keyboard.press("Enter")
    desk.wait_for_url("**/in_ada3/")
    desk.keyboard.press("/")
    desk.keyboard.type("byron")
    desk.keyboard.press("Enter")
    desk.wait_for_url("**/admin/find/?q=byron")
    expect(desk.get_by_role("heading", name="Invoices")).to_be_visible()
    expect(field_of(desk)).to_have_value("byron")
    before = desk.evaluate("history.length")
    field_of(desk).fill("ada-1")
    expect(options_of(desk).first).to_contain_text("ADA-1")
    assert desk.evaluate("history.length") == before  # no entry of the history for what is typed


def test_the_keys_belong_to_a_field_in_which_one_types(desk: Page, live_server: LiveServer) -> None:
    desk.goto(f"{live_server.url}{INVOICES}in_ada1/")
    note = desk.locator("textarea[name=text]").first
    note.fill("")
    note.press_sequentially("1/2")
    expect(note).to_have_value("1/2")
    expect(note).to_be_focused()


def test_the_field_of_the_home_page_does_not_keep_the_keys(desk: Page, live_server: LiveServer) -> None:
    """It has the focus when the page is there, and leads to the same results."""
    for key in ("/", "Control+k"):
        desk.goto(f"{live_server.url}/admin/")
        home = desk.get_by_label("Find an invoice")
        expect(home).to_be_focused()
        desk.keyboard.press(key)
        expect(field_of(desk)).to_be_focused()
        expect(home).to_have_value("")
    home.fill("https://desk.example/a")
    home.press("/")
    expect(home).to_have_value("https://desk.example/a/")
    home.fill("byron")
    home.press("Enter")
    desk.wait_for_url("**/admin/find/?q=byron")
    expect(desk.get_by_role("heading", name="Invoices")).to_be_visible()


def test_the_page_of_results_fits_a_phone(desk: Page, live_server: LiveServer) -> None:
    stored(CustomerObject(id="cus_long", name="Ada " + "Byronissima " * 9, email=f"{'long' * 12}@byron.example.com"))
    desk.set_viewport_size({"width": 390, "height": 800})
    desk.goto(f"{live_server.url}/admin/find/?q=byron")
    expect(desk.locator(".hits a")).to_have_count(5)
    assert desk.evaluate("document.documentElement.scrollWidth") == 390
    inside = "row => row.getBoundingClientRect().right <= row.closest('.card').getBoundingClientRect().right"
    assert all(badge.evaluate(inside) for badge in desk.locator(".hits .badge, .hits .amount").all())


def test_a_ticked_invoice_does_not_keep_the_keys(desk: Page) -> None:
    desk.locator("tbody input[type=checkbox]").first.check()
    desk.keyboard.press("/")
    expect(field_of(desk)).to_be_focused()


def test_what_is_ticked_on_the_page_of_a_customer_is_summed_and_paid(desk: Page, live_server: LiveServer) -> None:
    desk.goto(f"{live_server.url}/admin/invoices/customer/cus_ada/")
    desk.get_by_label("Pay ADA-1").check()
    desk.get_by_label("Pay ADA-3").check()
    expect(desk.locator("#chosen")).to_have_text("2 invoices: USD 20.00")
    desk.get_by_role("button", name="Pay these").click()
    expect(desk.get_by_label("Type 2 to confirm")).to_be_visible()


def test_the_last_text_wins(desk: Page) -> None:
    """An answer that comes late does not replace that of the text typed after it."""
    asked: list[str] = []
    desk.on("request", lambda request: asked.append(request.url) if "/find/" in request.url else None)
    desk.keyboard.press("/")
    desk.keyboard.type("ada-1", delay=20)
    expect(options_of(desk).first).to_contain_text("ADA-1")
    assert 1 <= len(asked) <= 3  # it waits until one pauses
    field_of(desk).fill("nobody at all")
    expect(desk.locator("#find-results")).to_contain_text("Nothing found")
    expect(options_of(desk)).to_have_count(0)
    field_of(desk).fill("")
    expect(desk.locator("#find-results")).to_be_hidden()


def test_after_the_session_has_ended(desk: Page) -> None:
    Session.objects.all().delete()
    desk.keyboard.press("/")
    desk.keyboard.type("byron")
    expect(desk.locator("#find-results")).to_contain_text("Your session has ended")
    expect(options_of(desk)).to_have_count(0)


def test_when_the_desk_does_not_answer(desk: Page) -> None:
    desk.route(re.compile(r"/admin/find/"), lambda route: route.abort())
    desk.keyboard.press("/")
    desk.keyboard.type("byron")
    expect(desk.locator("#find-results")).to_contain_text("does not answer just now")


def test_on_a_phone_it_opens_over_the_header(desk: Page) -> None:
    desk.set_viewport_size({"width": 390, "height": 800})
    field = field_of(desk)
    field.click()
    field.press_sequentially("byron")
    expect(options_of(desk).first).to_be_visible()
    wide = desk.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    box, panel = field.bounding_box(), desk.locator("#find-results").bounding_box()
    assert box and box["width"] > 300 and panel and panel["x"] >= 0 and panel["x"] + panel["width"] <= 390
    options_of(desk).first.click()
    desk.wait_for_url("**/in_ada1/")


def test_without_scripts(browser: Browser, desk: Page, live_server: LiveServer) -> None:
    context = browser.new_context(java_script_enabled=False, storage_state=desk.context.storage_state())
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/find/?q=byron")
    assert "ADA-1" in page.content() and f"{INVOICES}in_ada1/" in page.content()
    context.close()
