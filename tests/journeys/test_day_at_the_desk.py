"""A whole day at the desk in a real browser: every queue, the lists, a note, a promise, a hand-over, the customer, and
reconciliation; in light, in the dark on a phone, in German, and by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from invoices import assignments, clock, notes, promises, reconcile, refetch, tallies
from invoices.models import Contradiction, Drift, Event, Mention, Note, Operation, Promise, ReconciliationRun
from invoices.reconcile import suspects
from tests.factories import (
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    customer_at,
    invoice_at,
    stored,
    user_in_group,
)
from tests.helpers.browser import ARGS, MARKS, browser_context_args, browser_type_launch_args  # noqa: F401
from tests.sandbox_process import SandboxProcess

pytestmark = MARKS

NOW = datetime.now(UTC).replace(microsecond=0)
HOME = "/admin/"
# How the desk is looked at: options of the browser's window.
LIGHT: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "timezone_id": "Europe/Berlin"}
DARK_PHONE: dict[str, Any] = LIGHT | {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
GERMAN: dict[str, Any] = LIGHT | {"locale": "de-DE"}
GERMAN_PHONE: dict[str, Any] = GERMAN | {"viewport": {"width": 390, "height": 844}}


def seconds(days_ago: int) -> int:
    return int((NOW - timedelta(days=days_ago)).replace(hour=12, minute=0, second=0).timestamp())


def waiting_for_a_payment(number: str, status: str, **given: Any) -> None:
    invoice = InvoiceObject(id=f"in_{number}", number=f"WAIT-{number}", attempt_count=1, customer="cus_ada")
    stored(invoice)
    intent = PaymentIntentObject(status=status, customer="cus_ada", **given)
    stored(intent)
    payment = {"type": "payment_intent", "payment_intent": intent["id"]}
    stored(InvoicePaymentObject(invoice=invoice["id"], payment=payment))


@pytest.fixture
def colleague(manager: User) -> User:
    return user_in_group("grace", "Billing manager")


@pytest.fixture
def full_desk(manager: User, colleague: User) -> None:
    """Something waits in every queue of a billing manager."""
    stored(CustomerObject(id="cus_ada", name="Ada Byron", email="ada@example.com"))
    for number, late in enumerate((3, 20, 60, 200)):
        stored(
            InvoiceObject(id=f"in_late{number}", number=f"LATE-{number}", due_date=seconds(late), customer="cus_ada")
        )
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}
    waiting_for_a_payment("failed", "requires_payment_method", last_payment_error=error)
    waiting_for_a_payment("confirm", "requires_action")
    waiting_for_a_payment("debit", "processing")
    stored(InvoiceObject(id="in_promised", number="PROMISED", due_date=seconds(3), customer="cus_ada"))
    promises.record("in_promised", amount="4.00", day=f"{NOW:%Y-%m-%d}", by=manager)
    stored(InvoiceObject(id="in_broken", number="BROKEN", due_date=seconds(3), customer="cus_ada"))
    was = {"currency": "usd", "amount": 400, "paid_before": 0, "recorded_by": manager}
    then = NOW - timedelta(days=2)
    Promise.objects.create(**was, invoice="in_broken", day=then.date(), ends_at=then, recorded_at=then)
    assignments.give("in_late0", manager.username, by=manager, seen=None)
    notes.write("in_late1", f"@{manager.username} please look", author=colleague)
    of = {"action": "void", "source": "admin", "reason": "Asked for", "currency": "usd", "approval_amount": 1000}
    Operation.objects.create(**of, invoice="in_late2", actor=colleague, state="awaiting_approval")
    Operation.objects.create(**of, invoice="in_late3", actor=manager, state="awaiting_approval")
    Operation.objects.create(**of, invoice="in_failed", actor=manager, state="unknown")
    done = Operation.objects.create(**of, invoice="in_done", actor=manager, state="succeeded", finished_at=clock.now())
    event = Event.objects.create(id="evt_1", type="invoice.voided", created=NOW, body="{}")
    Contradiction.objects.create(operation=done, event=event, message="Stripe says otherwise.")
    run = ReconciliationRun.objects.create(kind="sweep")
    Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id="in_late0")
    tallies.run_due()


# --- how one moves ----------------------------------------------------------------------------------------------------


@pytest.fixture
def window(browser: Browser, live_server: LiveServer) -> Iterator[Callable[..., Page]]:
    """Opens a browser's window of this look, with the person signed in. Fails on an error in a script."""
    contexts, wrong = [], []

    def open_(user: User, **look: Any) -> Page:
        context = browser.new_context(**look)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{live_server.url}{HOME}")
        page.locator("input[name=username]").fill(user.username)
        page.locator("input[name=password]").fill("a long enough password")
        page.keyboard.press("Enter")
        expect(page.locator("#queues-title")).to_be_visible()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


def fits(page: Page) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"
    if "/invoices/invoice/?" in page.url and page.locator("#result_list").count():
        wide = page.evaluate("result_list.offsetWidth - result_list.parentElement.clientWidth")
        assert wide <= 0, f"the invoices of {page.url} are {wide} pixels wider than their place"


def tab_to(page: Page, selector: str) -> None:
    """As one without a mouse does: Tab, until the focus is there."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no way by Tab to {selector} on {page.url}")


def follow(page: Page, selector: str, then: str) -> None:
    """Goes to a link or a button by keyboard and presses it; `then` is what the next page shows."""
    tab_to(page, selector)
    page.keyboard.press("Enter")
    expect(page.locator(then).first).to_be_visible()


def rows_of(page: Page) -> int:
    return page.locator("#result_list tbody tr, #waiting li:has(form)").count()


# --- the day ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "look", [LIGHT, DARK_PHONE, GERMAN, GERMAN_PHONE], ids=["light", "dark phone", "German", "German phone"]
)
def test_every_number_of_the_home_page_leads_to_exactly_its_rows(
    look: dict[str, Any], window: Callable[..., Page], full_desk: None, manager: User
) -> None:
    page = window(manager, **look)
    fits(page)
    queues = page.locator(".queue-link")
    assert queues.count() == 13, queues.all_inner_texts()
    found = [(link.get_attribute("href"), link.locator(".value").inner_text()) for link in queues.all()]
    found += [
        (link.get_attribute("href"), link.locator("strong").inner_text()) for link in page.locator(".bands a").all()
    ]
    for address, number in found:
        page.locator(f'.queue a[href="{address}"]').click()
        page.wait_for_url(f"**{address}*")
        expect(page.locator("main")).to_be_visible()
        assert rows_of(page) == int(number), address
        fits(page)
        page.go_back()
        expect(page.locator("#queues-title")).to_be_visible()
    for chart in page.locator(".bar-chart").filter(has=page.locator("summary")).all():
        chart.locator("summary").click()
        expect(chart.locator("table")).to_be_visible()
    fits(page)


def test_the_day_by_keyboard_alone(
    window: Callable[..., Page], full_desk: None, manager: User, colleague: User
) -> None:
    page = window(manager, **LIGHT)
    follow(page, ".queue.red .queue-link[href*=overdue]", "#result_list")
    follow(page, "#result_list a[href*='/in_late1/']", "#new-note")
    tab_to(page, "#new-note")
    page.keyboard.type(f"She calls back. @{colleague.username}, please know.")
    page.keyboard.press("Escape")  # the list of names
    follow(page, "form[action$='/notes/'] button", "#notes .log > li:nth-child(2)")
    assert Note.objects.filter(author=manager).count() == 1
    assert Mention.objects.filter(person=colleague).count() == 1
    tab_to(page, "#work details:has(#promise-amount) summary")
    page.keyboard.press("Enter")
    tab_to(page, "#promise-day")
    day = NOW + timedelta(days=5)
    page.keyboard.type(f"{day:%m%d%Y}")  # as this browser was installed, not as the page is written
    follow(page, "form[action$='/promise/'] button", "#work .badge")
    made = Promise.objects.get(invoice="in_late1")
    assert made.day == day.date() and made.amount == 1000
    follow(page, "#work form[action$='/assignment/'] button", "#work")
    expect(page.locator("#work")).to_contain_text(str(NOW.year))
    assert str(assignments.current("in_late1").person) == manager.username  # type: ignore[union-attr]
    follow(page, ".customer a", ".desk")
    expect(page.locator("main")).to_contain_text("LATE-1")


@pytest.mark.parametrize("look", [LIGHT, DARK_PHONE], ids=["light", "dark phone"])
def test_a_list_is_narrowed_kept_and_downloaded(
    look: dict[str, Any], window: Callable[..., Page], full_desk: None, manager: User, live_server: LiveServer
) -> None:
    page = window(manager, **look)
    page.goto(f"{live_server.url}/admin/invoices/invoice/?state=overdue&age=8-30")
    assert rows_of(page) == 1
    fits(page)
    with page.expect_download() as download:
        page.locator("a[href*='csv']").first.click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 2 and "LATE-1" in lines[1]
    page.locator("summary", has_text="Save this view").click()
    page.locator("input[name=name]:visible").fill("Late by weeks")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Late by weeks").first).to_be_visible()
    fits(page)
    page.locator("#result_list .action-select").first.check()
    sums = page.locator("#all-sums")
    sums.scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    bar, table = page.locator("#changelist-actions").bounding_box(), sums.bounding_box()
    assert bar and table and table["y"] + table["height"] <= bar["y"], "the bar of actions covers the sums"
    if look is DARK_PHONE:
        page.locator("summary", has_text="Filters").click()
        page.get_by_label("Sort by").select_option("due")
        page.get_by_role("button", name="Apply filters").click()
        page.wait_for_url("**sort=due*")


@pytest.mark.parametrize("look", [LIGHT, DARK_PHONE, GERMAN_PHONE], ids=["light", "dark phone", "German phone"])
def test_a_run_that_found_something_is_understood(
    look: dict[str, Any],
    window: Callable[..., Page],
    manager: User,
    sandbox: SandboxProcess,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))  # no event comes meanwhile
    customer = customer_at(sandbox, email="ada@example.com", name="Ada Byron")
    invoice = invoice_at(sandbox, 2000, customer=customer.id)
    refetch.refetch("invoice", invoice.id)
    reconcile.sweep_lists("full")
    sandbox.client().v1.invoices.void_invoice(invoice.id)  # and no event tells
    run = reconcile.verify()
    assert run.drift.exists()
    page = window(manager, **look)
    page.goto(f"{live_server.url}/admin/invoices/reconciliationrun/{run.pk}/change/")
    expect(page.locator("main")).to_contain_text(invoice.number)
    fits(page)
    page.locator(f"main a[href*='{invoice.id}']").first.click()
    expect(page.locator(".desk .head")).to_be_visible()
    fits(page)
