"""Takes the pictures of the handbooks from a demo: a journey as the agent, one as the manager, one as finance.

    make screenshots                                       # starts a fresh demo, writes *.png beside this file
    .venv/bin/python docs/images/take.py .demo/demo.json   # from a demo that runs, whose data it changes

It pays, is declined, and loses an answer at the sandbox. It needs chromium.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stripe
from playwright.sync_api import Page, ViewportSize, sync_playwright

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1000, 640  # pixels
WIDE: ViewportSize = {"width": 1360, "height": 960}  # with the menu


def main(report: dict[str, Any]) -> None:
    invoices = Invoices(report)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        agent = sign_in(browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}), report, "agent")
        picture(agent, "home")
        find(agent, report, invoices.payable.id)
        ask(agent, "Pay", "Asked for on the phone")
        picture(agent, "confirm")
        agent.locator("#act button[type=submit]").click()
        agent.locator("#result.green").wait_for()
        find(agent, report, invoices.declined.id)
        ask(agent, "Pay", "Asked for on the phone")
        agent.locator("#act button[type=submit]").click()
        agent.locator("#result.red").wait_for()
        picture(agent, "declined")
        find(agent, report, invoices.lost.id)
        ask(agent, "Pay", "Asked for on the phone")
        invoices.faults({"drop_reply": 1, "only": ["POST /v1/invoices/*/pay"]})
        agent.locator("#act button[type=submit]").click()
        agent.locator("#result.violet").wait_for()
        picture(agent, "unknown")
        invoices.faults(None)
        manager = sign_in(browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}), report, "manager")
        find(agent, report, invoices.large.id)
        ask(agent, "Void", "Ordered by mistake")
        agent.locator("#act button[type=submit]").click()
        agent.locator("#result").wait_for()
        manager.goto(f"{report['admin_url']}invoices/operation/?state=awaiting_approval")
        manager.get_by_role("link", name="Void").first.click()
        manager.get_by_role("button", name="Approve").wait_for()
        picture(manager, "approve")
        manager.goto(f"{report['admin_url']}invoices/invoice/")
        picture(manager, "list")
        manager.goto(f"{report['admin_url']}invoices/customer/{invoices.payable.customer}/")
        picture(manager, "customer")
        manager.set_viewport_size(WIDE)
        find(manager, report, invoices.declined.id)
        picture(manager, "invoice")
        manager.locator("#timeline").screenshot(path=HERE / "timeline.png")
        take_finance(sign_in(browser.new_page(viewport=WIDE), report, "finance"), report)
        browser.close()


def take_finance(page: Page, report: dict[str, Any]) -> None:
    """A bank's file, a report, and the month's end."""
    page.goto(f"{report['admin_url']}invoices/bankstatement/upload/")
    page.locator("input[type=file]").set_input_files(Path(report["env"]["DATA_DIR"]) / "statement.sta")
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("How far it is").wait_for()
    page.goto(f"{report['admin_url']}invoices/banktransaction/confirm/")
    picture(page, "bank")
    page.goto(f"{report['admin_url']}reports/payments/")
    page.get_by_role("link", name="This month").click()
    picture(page, "report")
    page.goto(f"{report['admin_url']}invoices/monthclose/check/")
    picture(page, "month")


class Invoices:
    """The sandbox, and the invoices of the journey, made there."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        self.client = stripe.StripeClient(report["stripe_key"], base_addresses={"api": report["sandbox_url"]})
        self.payable = self.open("Ada Byron", "ada@example.com", "pm_card_visa", 4200)
        self.declined = self.open("Grace Example", "grace@example.com", "pm_card_chargeDeclinedExpiredCard", 9900)
        self.lost = self.open("Edith Example", "edith@example.com", "pm_card_visa", 1500)
        self.large = self.open("Joan Example", "joan@example.com", "pm_card_visa", 480_000)

    def open(self, name: str, email: str, card: str, amount: int) -> Any:
        """An open invoice over this amount (in cents) of a new customer with this card."""
        v1 = self.client.v1
        customer = v1.customers.create({"name": name, "email": email})
        method = v1.payment_methods.attach(card, {"customer": customer.id})
        v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        draft = v1.invoices.create({"customer": customer.id, "currency": "usd", "auto_advance": False})
        item = {"customer": customer.id, "invoice": draft.id, "amount": amount, "currency": "usd"}
        v1.invoice_items.create(item | {"description": "Subscription, November"})
        return v1.invoices.finalize_invoice(draft.id, {"auto_advance": False})

    def faults(self, faults: dict[str, Any] | None) -> None:
        """How the sandbox misbehaves from now on; None: not at all."""
        address = f"{self.report['sandbox_url']}/_sandbox/faults"
        body, method = (None, "DELETE") if faults is None else (json.dumps(faults).encode(), "POST")
        request = urllib.request.Request(address, body, method=method)  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


def sign_in(page: Page, report: dict[str, Any], role: str) -> Page:
    user = next(user for user in report["users"] if user["username"] == role)
    page.goto(report["admin_url"])
    page.locator("input[name=username], input[name=login]").fill(user["username"])
    page.locator("input[name=password]").fill(user["password"])
    page.keyboard.press("Enter")
    page.locator("#main-content").wait_for()
    return page


def find(page: Page, report: dict[str, Any], invoice: str) -> None:
    """Opens the invoice's page, again until its webhook has come."""
    for _ in range(60):
        page.goto(f"{report['admin_url']}invoices/invoice/{invoice}/")
        page.wait_for_load_state("networkidle")
        if page.locator(".head .big").count():
            return
        page.wait_for_timeout(500)
    raise SystemExit(f"{invoice} is not found.")


def ask(page: Page, action: str, reason: str) -> None:
    page.locator(".actions").get_by_role("link", name=action, exact=True).click()
    choice = page.locator("#act select[name=reason_choice]")
    if choice.count():
        choice.select_option(index=1)
    page.locator("#act [name=reason]").fill(reason)
    page.wait_for_load_state("networkidle")


def picture(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=HERE / f"{name}.png")


@contextlib.contextmanager
def fresh_demo() -> Iterator[dict[str, Any]]:
    """A demo of our own, in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["demo", "--port", "8765", "--sandbox-port", "12765", "--data-dir", folder, "--invoices", "200"]
        demo = subprocess.Popen(
            [sys.executable, HERE.parent.parent / "manage.py", *words], stdout=subprocess.PIPE, text=True
        )
        try:
            for line in demo.stdout or ():  # until it says how it is ended
                if "Ctrl-C" in line:
                    break
            else:
                raise SystemExit("The demo did not start: `make demo` says why.")
            yield json.loads((Path(folder) / "demo.json").read_text())
        finally:
            demo.terminate()
            demo.wait(timeout=60)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        raise SystemExit(__doc__)
    if len(sys.argv) == 2:
        main(json.loads(Path(sys.argv[1]).read_text()))
    else:
        with fresh_demo() as made:
            main(made)
