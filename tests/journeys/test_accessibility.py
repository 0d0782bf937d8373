"""Every kind of page as axe-core sees it, light, dark and on a phone: nothing above minor, and no page is too wide.

A page that is new is a row of PAGES.
"""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices import clock, exports, month_end, operations, reconcile, refetch
from invoices.models import Operation, ReconciliationRun
from invoices.statements import proposing
from tests.factories import customer_at, invoice_at
from tests.helpers import bank
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401
from tests.sandbox_process import SandboxProcess

pytestmark = MARKS

LONG_NAME = "Bürger-, Rechts- und Wirtschaftsauskunftei " * 4 + "Donaudampfschifffahrtsgesellschaft" * 4
# What stands in braces is filled in with the record that was made for it.
PAGES = (
    "",
    "nothing/",
    "password_change/",
    "invoices/invoice/",
    "invoices/invoice/?state=paid",
    "invoices/invoice/?q=nobody@example.com",
    "invoices/invoice/{open}/",
    "invoices/invoice/{paid}/",
    "invoices/invoice/{open}/do/pay/",
    "invoices/invoice/{open}/do/charge_part/",
    "invoices/invoice/{open}/do/void/",
    "invoices/invoice/{open}/do/attach_out_of_band_payment/",
    "invoices/monthclose/",
    "invoices/monthclose/check/",
    "invoices/monthclose/check/?month=nonsense",
    "invoices/monthclose/{closing}/",
    "invoices/bankstatement/",
    "invoices/bankstatement/upload/",
    "invoices/bankstatement/{statement}/",
    "invoices/banktransaction/",
    "invoices/banktransaction/?state=open",
    "invoices/banktransaction/confirm/",
    "invoices/banktransaction/{credit}/",
    "invoices/banktransaction/{returned}/",
    "invoices/customer/",
    "invoices/customer/{customer}/",
    "invoices/customer/{customer}/payment/",
    "invoices/customer/{customer}/stored/",
    "invoices/operation/",
    "invoices/operation/{operation}/",
    "invoices/batch/",
    "invoices/charge/",
    "invoices/event/",
    "invoices/reconciliationrun/",
    "invoices/reconciliationrun/{run}/",
    "invoices/drift/",
    "invoices/pause/",
    "find/?q=2000",
    "invoices/charge/?state=failed",
    "invoices/pause/add/",
    "invoices/apitoken/add/",
    "invoices/webhookendpoint/add/",
    "invoices/signinrecord/",
    "invoices/invoice/file/?state=paid",
    "invoices/export/",
    "invoices/note/",
    "invoices/promise/",
    "invoices/export/{export}/",
    "reports/",
    "reports/payments/",
    "reports/payments/?from={today}",
    "reports/payments/?from={today}&group=outside",
    "reports/payments/?from=2026-13-40",
    "reports/receivables/?as_of={today}",
    "reports/issued/?from=2020-01-01",
    "reports/write_offs/?from=2020-01-01",
    "reports/attempts/?from=2020-01-01",
    "reports/operations/?from=2020-01-01",
    "reports/drift/?from=2020-01-01",
)
PARTS = 6
PHONE = 390  # pixels
# Above minor, and known: what the rule is, and why it stands. Empty is what we want.
KNOWN: dict[str, str] = {}


@pytest.fixture
def records(sandbox: SandboxProcess, manager: User, deliver: Any) -> dict[str, str]:
    customer = customer_at(sandbox, email=f"{'long' * 15}@example.com", name=LONG_NAME)
    paid, open_ = (invoice_at(sandbox, 2000, customer=customer.id) for _ in range(2))
    for kind, pk in (("invoice", paid.id), ("invoice", open_.id), ("customer", customer.id)):
        refetch.refetch(kind, pk)
    operations.execute("pay", paid.id, actor=manager, source="admin", reason="asked")
    deliver()
    reconcile.sweep_lists("full")
    export = exports.ask(manager, "list.invoice", {}, format="csv", title="Invoices", file_name="invoices.csv")
    exports.run_due()
    credit, debit = bank.credits_of(
        bank.line(2000, f"{LONG_NAME} {open_.number}", payer_name=LONG_NAME, end_to_end_id="E2E-4711", currency="usd"),
        bank.line(-2000, returns=("E2E-4711",), currency="usd"),
    )
    proposing.propose_due()
    closing = month_end.close(month_end.Month.last("UTC"), by=manager, seen=0, reason="asked")
    return {
        "open": open_.id,
        "paid": paid.id,
        "customer": customer.id,
        "operation": str(Operation.objects.get().pk),
        "export": str(export.pk),
        "statement": str(credit.statement_id),
        "closing": str(closing.pk),
        "credit": str(credit.pk),
        "returned": str(debit.pk),
        "run": str(ReconciliationRun.objects.latest("started_at").pk),
        "today": f"{clock.now():%Y-%m-%d}",
    }


def wrong(page: Page, **options: Any) -> list[str]:
    """What axe-core finds above minor, one element a line."""
    found = Axe().run(page, options=options or None).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] not in (None, "minor") and rule["id"] not in KNOWN
        for node in rule["nodes"]
    ]


def examine(page: Page, where: str) -> list[str]:
    """The page light, dark, where colours alone differ, and on a phone."""
    page.set_viewport_size({"width": 1280, "height": 900})
    found = [f"{where} light {each}" for each in wrong(page)]
    page.evaluate("document.documentElement.classList.add('dark')")
    page.wait_for_timeout(300)  # colours change in steps
    found += [f"{where} dark {each}" for each in wrong(page, runOnly=["color-contrast"])]
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.wait_for_timeout(300)
    page.set_viewport_size({"width": PHONE, "height": 844})
    page.wait_for_timeout(100)
    found += [f"{where} phone {each}" for each in wrong(page)]
    width = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"{where} phone is {width} pixels wide"] if width > PHONE else [])


def test_the_sign_in(live_server: LiveServer, page: Page, manager: User) -> None:
    page.set_default_timeout(60_000)
    page.goto(f"{live_server.url}/admin/")
    found = examine(page, "sign-in")
    page.get_by_label("Username").fill(manager.username)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("correct username")
    found += examine(page, "wrong password")
    assert not found, "\n".join(found)


# In parts, so that they are looked at side by side, and none takes minutes.
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page(live_server: LiveServer, page: Page, records: dict[str, str], manager: User, part: int) -> None:
    page.set_default_timeout(60_000)
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill(manager.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#nav-sidebar")).to_be_attached()
    found = []
    for address in PAGES[part::PARTS]:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{live_server.url}/admin/{address.format(**records)}")
        page.wait_for_load_state("networkidle")
        assert page.locator("main").count() == 1, address
        found += examine(page, address)
    assert not found, "\n".join(found)


def test_the_way_past_the_menu_and_the_menu_by_keyboard(live_server: LiveServer, page: Page, manager: User) -> None:
    page.set_default_timeout(60_000)
    page.goto(f"{live_server.url}/admin/login/?next=/admin/invoices/invoice/")
    page.get_by_label("Username").fill(manager.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/invoice/")
    page.wait_for_load_state("networkidle")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    switch = page.locator("button.menu-switch:visible")
    expect(switch).to_have_attribute("aria-expanded", "true")
    switch.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#nav-sidebar")).to_be_hidden()
    expect(switch).to_have_attribute("aria-expanded", "false")


def test_the_account_by_keyboard_and_in_another_language(live_server: LiveServer, page: Page, manager: User) -> None:
    page.set_default_timeout(60_000)
    page.goto(f"{live_server.url}/admin/login/?next=/admin/invoices/invoice/")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("button", name="Deutsch")).to_have_attribute("aria-current", "true")
    page.locator("#id_username").fill(manager.username)
    page.locator("#id_password").fill("a long enough password")
    page.keyboard.press("Enter")
    page.wait_for_url("**/invoice/")
    page.wait_for_load_state("networkidle")
    account = page.locator("button.account-switch")
    menu = page.locator("#account-menu")
    expect(account).to_have_attribute("aria-expanded", "false")
    expect(menu).to_be_hidden()
    account.focus()
    page.keyboard.press("Enter")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    page.keyboard.press("Enter")
    found = examine(page, "account menu")
    assert not found, "\n".join(found)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="English").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page).to_have_url(f"{live_server.url}/admin/invoices/invoice/")
