"""The support agent's day in a real browser: find an invoice by e-mail, act on it, know what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Request, expect
from pytest_django.live_server_helper import LiveServer

from invoices import notes, operations, refetch
from invoices.models import Invoice, Note, Operation
from tests.factories import customer_at, invoice_at
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401
from tests.sandbox_process import SandboxProcess

pytestmark = MARKS


@pytest.fixture
def desk(live_server: LiveServer, page: Page, sandbox: SandboxProcess) -> Iterator[Page]:
    """A browser at the desk's door. It fails on an error in a script, and on anything asked of another host."""
    page.set_default_timeout(60_000)
    wrong: list[str] = []

    def notice(request: Request) -> None:
        if not request.url.startswith((live_server.url, "data:", "blob:")):
            wrong.append(request.url)

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", notice)
    page.goto(f"{live_server.url}/admin/")
    yield page
    assert not wrong


def sign_in(page: Page, user: User) -> None:
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Find an invoice")).to_be_focused()


def find(page: Page, what: str) -> None:
    page.get_by_label("Find an invoice").fill(what)
    page.keyboard.press("Enter")


@pytest.fixture
def invoice(sandbox: SandboxProcess) -> Any:
    """USD 20.00 of a customer who writes from another address than the invoice's."""
    customer = customer_at(sandbox, email="old@example.com", name="Ada Byron")
    made = invoice_at(sandbox, 2000, customer=customer.id)
    sandbox.client().v1.customers.update(customer.id, {"email": "ada@example.com"})
    for kind, pk in (("invoice", made.id), ("customer", customer.id)):
        refetch.refetch(kind, pk)
    return made


def test_the_agent_finds_it_by_email_and_pays_it(
    desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User
) -> None:
    sign_in(desk, agent)
    find(desk, "Ada@example.com")
    expect(desk.get_by_role("heading", level=2, name=re.compile(invoice.number))).to_be_visible()
    expect(desk.locator(".head .big")).to_have_text("USD 20.00")
    desk.get_by_role("link", name="Pay", exact=True).click()
    expect(desk.get_by_text("USD 20.00 is charged to Ada Byron")).to_be_visible()
    desk.get_by_role("button", name="Pay USD 20.00").click()
    expect(desk.get_by_text("Please say why")).to_be_visible()
    desk.get_by_label("In your own words").fill("Asked on the phone")
    desk.get_by_role("button", name="Pay USD 20.00").click()
    expect(desk.locator("#result")).to_contain_text("Pay: done")
    expect(desk.locator(".head .badge")).to_have_text("paid")
    expect(desk.locator("#customer-words")).to_contain_text("was paid on")
    assert sandbox.stats()["charges"] == {invoice.id: 1}
    assert sandbox.client().v1.invoices.retrieve(invoice.id).status == "paid"


def test_a_double_click_is_one_charge(desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User) -> None:
    sign_in(desk, agent)
    find(desk, invoice.number)
    desk.get_by_role("link", name="Pay", exact=True).click()
    desk.get_by_label("In your own words").fill("Asked on the phone")
    desk.evaluate("document.querySelector('#act').removeAttribute('data-once')")  # as if the script had not loaded
    desk.get_by_role("button", name="Pay USD 20.00").dblclick(no_wait_after=True)
    expect(desk.locator("#result")).to_contain_text("Pay: done")
    assert Operation.objects.count() == 1 and sandbox.stats()["charges"] == {invoice.id: 1}


def test_a_part_that_came_by_bank(desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User) -> None:
    sign_in(desk, agent)
    find(desk, invoice.id)
    desk.get_by_role("link", name="Record a payment").click()
    expect(desk.get_by_text("The invoice becomes paid.")).to_be_visible()
    desk.get_by_label("Amount").fill("7.5")
    expect(desk.get_by_text("stays open with USD 12.50 to pay")).to_be_visible()  # the preview follows the form
    desk.get_by_label("Reference").fill("RF18 5390")
    desk.get_by_label("In your own words").fill("Seen on the bank statement")
    desk.get_by_role("button", name="Record USD 7.50").click()
    expect(desk.locator(".head .badge")).to_have_text("partly paid")
    expect(desk.get_by_text("Outside Stripe: Bank transfer, RF18 5390")).to_be_visible()
    assert Invoice.objects.get(pk=invoice.id).amount_remaining == 1250
    assert sandbox.client().v1.invoices.retrieve(invoice.id).amount_remaining == 1250


def test_a_comma_is_not_taken_for_a_point(desk: Page, sandbox: SandboxProcess, agent: User) -> None:
    made = invoice_at(sandbox, 100_000)
    refetch.refetch("invoice", made.id)
    sign_in(desk, agent)
    find(desk, made.id)
    desk.get_by_role("link", name="Record a payment").click()
    expect(desk.get_by_text("Write it like 1234.50 or 1,234.50")).to_be_visible()
    desk.get_by_label("Amount").fill("9,50")
    expect(desk.locator("#effects")).to_contain_text("“9,50” could mean USD 9.50 or USD 950.00.")
    desk.get_by_label("In your own words").fill("Seen on the bank statement")
    desk.get_by_role("button", name="Record a payment").click()
    expect(desk.locator(".field .error")).to_have_text(
        "“9,50” could mean USD 9.50 or USD 950.00. Write 9.50 or 950.00."
    )
    assert not Operation.objects.exists()
    desk.get_by_label("Amount").fill("9.50")
    expect(desk.locator(".read-back")).to_have_text("Amount: 9.50 US dollars")
    desk.get_by_role("button", name="Record USD 9.50").click()
    expect(desk.locator(".head .badge")).to_have_text("partly paid")
    assert sandbox.client().v1.invoices.retrieve(made.id).amount_remaining == 99_050


@pytest.mark.browser_context_args(locale="de-DE")
def test_an_agent_from_germany_reads_and_types_as_at_home(
    desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User
) -> None:
    desk.locator("input[name=username]").fill(agent.username)
    desk.locator("input[name=password]").fill("a long enough password")
    desk.keyboard.press("Enter")
    desk.get_by_label("Rechnung finden").fill(invoice.id)
    desk.keyboard.press("Enter")
    desk.get_by_role("link", name="Zahlung erfassen").click()
    expect(desk.get_by_label("Betrag")).to_have_value("20,00")
    expect(desk.get_by_text("1234,50 oder 1.234,50")).to_be_visible()
    desk.get_by_label("Betrag").fill("7,50")
    expect(desk.locator("#effects")).to_contain_text("7,50 US-Dollar")
    desk.get_by_label("In eigenen Worten").fill("Auf dem Kontoauszug gesehen")
    desk.get_by_role("button", name="7,50 USD erfassen").click()
    expect(desk.locator(".head .badge")).to_have_text("teilweise bezahlt")
    assert sandbox.client().v1.invoices.retrieve(invoice.id).amount_remaining == 1250
    # The page speaks her language, the journal its own.
    desk.get_by_role("button", name="agent").click()
    desk.get_by_role("button", name="English").click()
    expect(desk.locator(".head .badge")).to_have_text("partly paid")
    assert Operation.objects.get().reason == "Auf dem Kontoauszug gesehen"


def test_a_slow_click_outlasts_the_preview(desk: Page, invoice: Any, agent: User) -> None:
    """Pressing the button ends the last field's edit, and the preview that this asks for replaces the button's label
    while the button is still held down."""
    sign_in(desk, agent)
    find(desk, invoice.id)
    desk.get_by_role("link", name="Record a payment").click()
    desk.get_by_label("In your own words").fill("Seen on the bank statement")
    desk.wait_for_load_state("networkidle")
    desk.locator("#act-label").hover()
    with desk.expect_response(lambda response: "preview=1" in response.url):
        desk.mouse.down()
    desk.wait_for_timeout(300)  # the answer is put into the page
    desk.mouse.up()
    expect(desk.locator(".head .badge")).to_have_text("paid")


def test_an_unknown_outcome_settles_before_her_eyes(
    desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User
) -> None:
    sign_in(desk, agent)
    find(desk, invoice.number)
    sandbox.faults(drop_reply=1, only=["POST /v1/invoices/*/pay"])
    desk.get_by_role("link", name="Pay", exact=True).click()
    desk.get_by_label("In your own words").fill("Asked on the phone")
    desk.get_by_role("button", name="Pay USD 20.00").click()
    expect(desk.locator("#result.violet")).to_contain_text("Outcome unknown, checking with Stripe")
    sandbox.clear_faults()
    Operation.objects.update(settle_at=None)
    operations.settle_due()
    expect(desk.locator("#result.green")).to_contain_text("Pay: done")  # the page asked again by itself
    assert sandbox.stats()["charges"] == {invoice.id: 1}


def test_another_card_after_a_decline(desk: Page, sandbox: SandboxProcess, agent: User) -> None:
    customer = customer_at(sandbox, "pm_card_chargeDeclinedExpiredCard", email="late@example.com", name="Ada Byron")
    sandbox.client().v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    made = invoice_at(sandbox, 2000, customer=customer.id)
    for kind, pk in (("invoice", made.id), ("customer", customer.id)):
        refetch.refetch(kind, pk)
    sign_in(desk, agent)
    find(desk, made.number)
    desk.get_by_role("link", name="Pay", exact=True).click()
    expect(desk.get_by_role("radio", name="the default")).to_be_checked()  # brought once the page was there
    expect(desk.get_by_label("Reason")).to_be_focused()  # and the finger stays where it is
    desk.get_by_label("In your own words").fill("Asked on the phone")
    desk.get_by_role("button", name="Pay USD 20.00").click()
    expect(desk.locator("#result")).to_contain_text("Pay: declined")
    desk.get_by_role("button", name="Make a link to update the card").click()
    expect(desk.locator("#customer-words")).to_contain_text("The link: https://")  # ready to be copied as a whole
    desk.locator(".actions").get_by_role("link", name="Pay", exact=True).click()
    desk.get_by_text("Mastercard •••• 4444").click()
    expect(desk.get_by_text("USD 20.00 is charged to Ada Byron, on Mastercard •••• 4444")).to_be_visible()
    desk.get_by_label("In your own words").fill("With the other card")
    desk.get_by_role("button", name="Pay USD 20.00").click()
    expect(desk.locator("#result")).to_contain_text("Pay: done")
    assert sandbox.stats()["charges"] == {made.id: 1}


def test_two_people_void_a_large_invoice(
    desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User, manager: User
) -> None:
    large = invoice_at(sandbox, 500_000, customer=invoice.customer)
    refetch.refetch("invoice", large.id)
    waits = operations.request("void", large.id, actor=agent, source="admin", reason="Sent twice")
    sign_in(desk, manager)
    desk.get_by_role("link", name="My approvals 1").click()
    desk.get_by_role("link", name="Void", exact=True).click()
    expect(desk.get_by_text("agent asks: void")).to_be_visible()
    expect(desk.get_by_text("Read from Stripe just now.")).to_be_visible()
    desk.get_by_role("button", name="Approve").click()
    expect(desk.locator("#result.green")).to_contain_text("Void: done")
    assert Operation.objects.get(pk=waits.pk).approver == manager
    assert sandbox.client().v1.invoices.retrieve(large.id).status == "void"


def test_everything_that_a_filter_matches(desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User) -> None:
    sign_in(desk, agent)
    desk.get_by_role("link", name="All open").click()
    desk.get_by_text("Act on everything that matches").click()
    desk.get_by_role("link", name="Write off …").click()
    expect(desk.get_by_role("heading", name="Write off: 1 invoice")).to_be_visible()
    desk.get_by_label("In your own words").fill("The customer is gone")
    desk.get_by_label("Type 1 to confirm").fill("1")
    desk.get_by_role("button", name="Write off USD 20.00 on 1 invoice").click()
    expect(desk.get_by_text("0 of 1 finished")).to_be_visible()
    operations.batch.run_due()
    assert sandbox.client().v1.invoices.retrieve(invoice.id).status == "uncollectible"


def test_an_auditor_sees_no_button(desk: Page, invoice: Any, auditor: User) -> None:
    sign_in(desk, auditor)
    find(desk, invoice.number)
    expect(desk.get_by_role("heading", level=2, name=re.compile(invoice.number))).to_be_visible()
    expect(desk.locator(".actions")).to_have_count(0)
    expect(desk.get_by_role("link", name="Pay", exact=True)).to_have_count(0)


def test_several_at_once(desk: Page, sandbox: SandboxProcess, invoice: Any, agent: User) -> None:
    other = invoice_at(sandbox, 3000, customer=invoice.customer)
    sandbox.client().v1.invoices.pay(other.id)
    refetch.refetch("invoice", other.id)
    sign_in(desk, agent)
    find(desk, "ada@example.com")
    desk.get_by_role("link", name="All invoices that fit, as a list").click()
    boxes = desk.locator("input.action-select")
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    desk.locator("select[name=action]").select_option("void")
    desk.get_by_role("button", name="Run").click()
    expect(desk.get_by_role("heading", name="Void: 1 invoice")).to_be_visible()
    expect(desk.get_by_text("Invoice is already paid")).to_be_visible()
    desk.get_by_label("In your own words").fill("Ordered by mistake")
    desk.get_by_role("button", name="Void USD 20.00 on 1 invoice").click()
    expect(desk.get_by_text("Please type how many invoices")).to_be_visible()
    desk.get_by_label("Type 1 to confirm").fill("1")
    desk.get_by_role("button", name="Void USD 20.00 on 1 invoice").click()
    expect(desk.get_by_text("0 of 1 finished")).to_be_visible()
    operations.batch.run_due()
    expect(desk.get_by_text("All finished")).to_be_visible()
    assert sandbox.client().v1.invoices.retrieve(invoice.id).status == "void"


def test_a_passkey_is_added_and_asked_for_without_losing_what_was_typed(
    desk: Page, manager: User, settings: Any
) -> None:
    device = desk.context.new_cdp_session(desk)
    device.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    sign_in(desk, manager)
    desk.get_by_role("link", name="Your second factor").click()
    desk.get_by_role("link", name="Add a passkey").click()
    desk.get_by_label("Its name").fill("laptop")
    desk.get_by_role("button", name="Add it").click()
    expect(desk.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    desk.get_by_role("link", name="I have kept them").click()
    desk.goto(f"{desk.url.partition('/admin')[0]}/admin/invoices/pause/add/")
    desk.get_by_label("In your own words").fill("An audit,\nin two lines")
    settings.SECOND_FACTOR_FRESH_MINUTES = 0
    desk.get_by_role("button", name="Pause").click()
    expect(desk.get_by_text("What you typed is kept")).to_be_visible()
    settings.SECOND_FACTOR_FRESH_MINUTES = 10
    desk.get_by_role("link", name="Use a passkey").click()
    desk.get_by_role("button", name="Use a passkey").click()
    expect(desk.get_by_label("In your own words")).to_have_value("An audit,\nin two lines")
    desk.get_by_role("button", name="Pause").click()
    expect(desk.get_by_text("nothing new of it is sent to Stripe").first).to_be_visible()


def test_a_note_is_written_once_and_edited_by_its_author(desk: Page, invoice: Any, agent: User, manager: User) -> None:
    notes.write(invoice.id, "A word of the manager", author=manager)
    sign_in(desk, agent)
    find(desk, "Ada@example.com")
    desk.get_by_label("A new note").fill("Called <Ada>\n\nshe pays on Friday")
    desk.get_by_role("button", name="Add the note").dblclick()
    panel = desk.locator("#notes")
    expect(panel).to_contain_text("Called <Ada>")
    assert Note.objects.count() == 2
    expect(panel.get_by_text("Edit", exact=True)).to_have_count(1)  # her own alone
    panel.get_by_text("Edit", exact=True).click()
    desk.get_by_label("What it says from now on").fill("Paid on the phone")
    panel.get_by_role("button", name="Save").click()
    expect(panel).to_contain_text("Paid on the phone")
    panel.get_by_text("What it said before").click()
    expect(panel.get_by_text("Called <Ada>")).to_be_visible()


def test_a_half_typed_note_outlasts_the_timelines_filter_and_the_languages(
    desk: Page, invoice: Any, agent: User
) -> None:
    sign_in(desk, agent)
    find(desk, invoice.number)
    note = desk.get_by_label("A new note")
    note.fill("She calls back on")
    desk.locator("#timeline").get_by_role("link", name="Operations").click()
    expect(desk.locator("#timeline [aria-current]")).to_have_text("Operations")
    desk.locator("#customer-text").get_by_role("link", name="Deutsch").click()
    expect(desk.locator("#customer-words")).to_contain_text("Die Rechnung")
    expect(note).to_have_value("She calls back on")
    expect(desk.locator("#timeline [aria-current]")).to_have_text("Operations")
