"""A form that is sent after its session was lost, in a real browser: nothing is sent, and it comes back filled in."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices.models import Batch, Note, Operation
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401

pytestmark = MARKS

REASON = "Asked for on the phone; “until Monday”"


@pytest.fixture
def invoice_page(live_server: LiveServer, open_invoice: Any, page: Page, agent: User) -> str:
    page.set_default_timeout(60_000)
    address = f"{live_server.url}/admin/invoices/invoice/{open_invoice.id}/"
    page.goto(address)
    sign_in(page, agent)
    expect(page.locator(".head")).to_be_visible()
    return address


def sign_in(page: Page, person: User) -> None:
    page.get_by_label("Username").fill(person.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()


def test_an_action_is_not_sent_and_its_form_comes_back(page: Page, invoice_page: str, agent: User) -> None:
    page.goto(f"{invoice_page}do/void/")
    page.locator("#act [name=reason]").fill(REASON)
    page.locator("#act [name=ticket]").fill("T-1")
    Session.objects.all().delete()
    page.locator("#act button[type=submit]").click()
    expect(page.get_by_text("Nothing was sent. What you typed is kept for you")).to_be_visible()
    sign_in(page, agent)
    expect(page.locator("#not-sent")).to_contain_text("Nothing was sent. Your form is filled in again")
    expect(page.locator("#act [name=reason]")).to_have_value(REASON)
    expect(page.locator("#act [name=ticket]")).to_have_value("T-1")
    assert not Operation.objects.exists()
    page.locator("#act button[type=submit]").click()
    expect(page.locator("#result")).to_be_visible()
    assert Operation.objects.get().reason == REASON


def test_a_note_comes_back_into_its_own_form_alone(page: Page, invoice_page: str, agent: User) -> None:
    note = page.locator("form[action$='/note/'] textarea, form[action*='note'] textarea").first
    note.fill(REASON)
    Session.objects.all().delete()
    note.locator("xpath=ancestor::form").get_by_role("button").first.click()
    expect(page.get_by_text("Nothing was sent. What you typed is kept for you")).to_be_visible()
    sign_in(page, agent)
    expect(page.locator("#not-sent")).to_be_visible()
    expect(page.locator("form[action*='note'] textarea").first).to_have_value(REASON)
    assert not Note.objects.exists()


def test_a_form_from_before_a_new_sign_in_shows_what_was_typed(page: Page, invoice_page: str, agent: User) -> None:
    page.goto(f"{invoice_page}do/void/")
    other = page.context.new_page()
    other.goto(invoice_page)
    Session.objects.all().delete()
    other.reload()
    sign_in(other, agent)
    expect(other.locator(".head")).to_be_visible()
    page.locator("#act [name=reason]").fill(REASON)
    page.locator("#act button[type=submit]").click()
    expect(page.get_by_role("heading", name="Nothing was sent")).to_be_visible()
    expect(page.get_by_text(REASON)).to_be_visible()
    page.get_by_role("link", name="Back to the form").click()
    expect(page.locator("#act [name=reason]")).to_have_value(REASON)
    assert not Operation.objects.exists()


def test_many_ticked_invoices_come_back_as_their_form(page: Page, invoice_page: str, agent: User) -> None:
    """And one that was refused can be gone back to: the browser asks for it anew, instead of showing an error."""
    page.goto(f"{invoice_page.split('/in_', maxsplit=1)[0]}/?state=open")
    page.locator("input[name=_selected_action]").first.check()
    page.select_option("select[name=action]", "void")
    page.locator("#changelist-form [name=index]").click()
    expect(page.get_by_role("heading", name="Void: 1 invoice")).to_be_visible()
    preview = page.url
    page.locator("[name=reason]").fill(REASON)
    Session.objects.all().delete()
    page.locator("form[data-once] button[type=submit]").last.click()
    sign_in(page, agent)
    expect(page.get_by_role("heading", name="Void: 1 invoice")).to_be_visible()
    expect(page.locator("[name=reason]")).to_have_value(REASON)
    assert page.url == preview
    page.locator("form[data-once] button[type=submit]").last.click()
    expect(page.get_by_text("Please type how many invoices it will be done to.")).to_be_visible()
    page.goto(invoice_page)
    page.go_back()
    expect(page.locator("[name=number]")).to_be_visible()
    assert page.url == preview and not Batch.objects.exists()


def test_a_refused_form_can_be_gone_back_to(page: Page, invoice_page: str) -> None:
    page.goto(f"{invoice_page}do/void/")
    page.locator("#act [name=ticket]").fill("T-1")
    page.locator("#act button[type=submit]").click()
    expect(page.get_by_text("Please say why")).to_be_visible()
    page.goto(invoice_page)
    page.go_back()
    expect(page.locator("#act [name=ticket]")).to_have_value("T-1")
    page.locator("#act [name=reason]").fill(REASON)
    page.locator("#act button[type=submit]").click()
    expect(page.locator("#result")).to_be_visible()
    page.goto(f"{invoice_page}do/void/")
    expect(page.locator("#not-sent")).to_have_count(0)
