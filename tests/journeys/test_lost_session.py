"""A form that is sent after its session was lost, in a real browser: nothing is sent, and it comes back filled in."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices.models import Note, Operation
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
