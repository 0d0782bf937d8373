"""What a browser loads for a page, from the web server of production: nothing that the page does not use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.factories import CustomerObject, InvoiceObject, stored
from tests.helpers.browser import MARKS, browser_context_args, browser_type_launch_args  # noqa: F401
from tests.helpers.web import Web
from tests.sandbox_process import SandboxProcess

pytestmark = MARKS

LIST = "/admin/invoices/invoice/"
MOST_HTML, MOST_IN_ALL = 150_000, 600_000  # bytes of a list of 50 rows, the latter with a cold cache
UNUSED = ("chart.js", "xregexp", "jquery", "alpine.sort", "alpine.anchor")


@pytest.fixture
def address(sandbox: SandboxProcess, manager: User) -> Iterator[str]:
    for number in range(60):
        name = f"A customer with a name of some length {number}"
        customer = stored(CustomerObject(name=name))
        stored(InvoiceObject(customer=customer.id, customer_name=name, created=1_790_000_000 + number))
    web = Web(sandbox)
    try:
        yield f"http://127.0.0.1:{web.port}"
    finally:
        web.process.terminate()
        web.process.communicate()


def test_a_list_of_fifty_rows(address: str, page: Page, manager: User) -> None:
    page.set_default_timeout(60_000)
    page.goto(f"{address}/admin/login/")
    page.get_by_label("Username").fill(manager.username)
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#nav-sidebar")).to_be_attached()

    tab = page.context.new_page()
    client = page.context.new_cdp_session(tab)
    client.send("Network.enable")
    client.send("Network.setCacheDisabled", {"cacheDisabled": True})
    loaded: dict[str, str] = {}
    bytes_of: dict[str, int] = {}
    client.on("Network.responseReceived", lambda event: loaded.update({event["requestId"]: event["response"]["url"]}))
    client.on(
        "Network.loadingFinished", lambda event: bytes_of.update({event["requestId"]: int(event["encodedDataLength"])})
    )
    answer: Any = tab.goto(f"{address}{LIST}")
    tab.wait_for_load_state("networkidle")
    assert tab.locator("#result_list tbody tr").count() == 50

    sizes = {url.removeprefix(address): bytes_of.get(key, 0) for key, url in loaded.items()}
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])
    assert len(answer.body()) < MOST_HTML, len(answer.body())
    assert sum(sizes.values()) < MOST_IN_ALL, heaviest
    assert not [url for url in sizes if any(name in url for name in UNUSED)]
    print(len(answer.body()), sum(sizes.values()), heaviest)
