"""Lists in a window of 1280 pixels: an id stands on one line, and the page itself does not scroll sideways."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.factories import CreditNoteObject, InvoiceObject, InvoicePaymentObject, RefundObject, stored
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401

pytestmark = MARKS
LONG = "1TFQbXKn3mYwZ0pLrD9hVaCs"
LINES = "cells => cells.map(cell => cell.getClientRects().length)"


@pytest.mark.parametrize("model", ["refund", "invoicepayment", "creditnote"])
def test_an_id_is_not_broken(live_server: LiveServer, page: Page, manager: User, model: str) -> None:
    invoice = stored(InvoiceObject(id=f"in_{LONG}", number="INV-2026-0001", customer_name="Haddad Analytics KK"))
    payment = {"type": "payment_intent", "payment_intent": f"pi_3{LONG}"}
    stored(InvoicePaymentObject(id=f"inpay_{LONG}", invoice=invoice.pk, payment=payment))
    stored(RefundObject(id=f"re_3{LONG}", charge=f"ch_3{LONG}", payment_intent=f"pi_3{LONG}"))
    stored(CreditNoteObject(id=f"cn_{LONG}", invoice=invoice.pk))
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill(manager.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Find an invoice")).to_be_focused()
    page.goto(f"{live_server.url}/admin/invoices/{model}/")
    ids = page.locator("#result_list .field-id_ code")
    assert ids.evaluate_all(LINES) == [1]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
