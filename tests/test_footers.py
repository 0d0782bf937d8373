"""Below a list: how many rows there are and what they add up to, per currency; and the counts of the tabs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import search
from invoices.admin import footers
from invoices.admin.footers import Sums
from invoices.admin.invoices.list import InvoiceAdmin
from invoices.models import Invoice
from tests.factories import CustomerObject, InvoiceObject, InvoicePaymentObject, stored
from tests.helpers.admin_pages import LIST, text

pytestmark = pytest.mark.django_db


def store(number: int, **given: Any) -> None:
    for _ in range(number):
        stored(InvoiceObject(**given))


def rows_of(html: str) -> list[list[str]]:
    """The lines of the tables of sums, the labels left out."""
    lines = re.findall(r'<tr><th scope="row">(.*?)</tr>', html, re.DOTALL)
    return [[cell for cell in re.split(r"<[^>]*>", line) if cell] for line in lines]


def tabs_of(html: str) -> dict[str, str]:
    return dict(re.findall(r'<span id="tab-(\w+)" class="tab-count" hx-swap-oob="true"[^>]*>([^<]*)</span>', html))


def test_the_page_is_added_up_per_currency(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InvoiceAdmin, "list_per_page", 4)
    store(2, currency="usd", created=1)  # on the other page
    store(2, currency="usd", amount_remaining=1050, total=2000)
    store(1, currency="jpy", amount_remaining=500, total=700)
    store(1, currency="kwd", amount_remaining=1230, total=1230)
    page = text(desk.get(LIST))
    assert rows_of(page) == [
        ["JPY", "1", "JPY 500", "JPY 700"],
        ["KWD", "1", "KWD 1.230", "KWD 1.230"],
        ["USD", "2", "USD 21.00", "USD 40.00"],
    ]
    assert "On this page: 4" in page and f'hx-get="{LIST}sums/?"' in page


def test_a_list_of_one_page_is_not_added_up_twice(desk: Client) -> None:
    store(2)
    page = text(desk.get(LIST))
    assert "On this page" not in page and "sums/" in page


def test_all_that_match_are_counted_beyond_the_page(desk: Client) -> None:
    store(60, currency="usd", amount_remaining=100, status="open")
    store(3, currency="eur", amount_remaining=100, status="paid", amount_paid=100)
    html = text(desk.get(f"{LIST}sums/?state=open&after=2024-05-01T12:00:00.000000~in_1"))
    assert "All that match: 60" in html
    assert rows_of(html) == [["USD", "60", "USD 60.00", "USD 600.00"]]


def test_the_tabs_are_counted_beside_the_other_filters(desk: Client) -> None:
    store(3, status="open", currency="usd")
    store(2, status="paid", currency="usd")
    store(4, status="paid", currency="eur")
    tabs = tabs_of(text(desk.get(f"{LIST}sums/?state=open&currency=usd")))
    assert (tabs["all"], tabs["open"], tabs["paid"], tabs["void"]) == ("5", "3", "2", "0")
    page = text(desk.get(LIST))
    assert all(f'id="tab-{value}"' in page for value in tabs)


def test_what_is_searched_for_is_counted(desk: Client) -> None:
    store(2, customer_name="Ada Ünal")
    store(3, customer_name="Bo")
    html = text(desk.get(f"{LIST}sums/?q=Ada"))
    assert "All that match: 2" in html and tabs_of(html)["all"] == "2"


def test_more_than_are_counted_are_not_added_up(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footers, "MOST_COUNTED", 5)
    store(6, status="open")
    store(5, status="paid")
    html = text(desk.get(f"{LIST}sums/?state=open"))
    assert not rows_of(html) and "USD" not in html.partition("<span")[0]
    assert "Narrow the list to 5 or fewer" in html
    if connection.vendor != "postgresql":
        assert "more than 5" in html and tabs_of(html)["open"] == "5+"
    assert tabs_of(html)["paid"] == "5"


def test_a_tab_counts_fewer_rows_than_the_list(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are several of them, and each would read as many rows as the list itself. The open one has been counted."""
    monkeypatch.setattr(footers, "MOST_OF_A_TAB", 2)
    store(4, status="open")
    store(4, status="paid")
    store(2, status="void")
    with CaptureQueriesContext(connection) as queries:
        html = text(desk.get(f"{LIST}sums/?state=open"))
    limits = [found[1] for query in queries if (found := re.search(r"LIMIT (\d+)\) AS counted", query["sql"]))]
    assert limits == [str(footers.MOST_COUNTED + 1), *["3"] * 6]
    assert "All that match: 4" in html and (tabs_of(html)["open"], tabs_of(html)["void"]) == ("4", "2")
    if connection.vendor != "postgresql":  # which estimates
        assert tabs_of(html)["paid"] == "2+"


@pytest.mark.parametrize(
    ("sums", "words", "short"),
    [
        (Sums(1240), "1,240", "1,240"),
        (Sums(10_000, is_more=True), "more than 10,000", "10,000+"),
        (Sums(1_240_000, is_more=True), "about 1,240,000", "~1,240,000"),
        (Sums(None), "not counted: it would take too long", ""),
    ],
)
def test_a_count_says_whether_it_is_one(sums: Sums, words: str, short: str) -> None:
    assert (sums.in_words, sums.short) == (words, short)


def test_what_takes_too_long_is_not_counted(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    store(1)

    asked = []

    def too_long(*args: Any) -> Any:
        asked.append(1)
        raise search.TakesTooLong

    monkeypatch.setattr(footers, "_grouped", too_long)
    answer = desk.get(f"{LIST}sums/")
    assert "not counted: it would take too long" in text(answer) and not tabs_of(text(answer))
    assert len(asked) == 1  # the list itself, which is the open tab's too: the other tabs would take as long


def test_the_tabs_together_have_their_time(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    store(2, status="open")
    monkeypatch.setattr(footers, "LONGEST_OF_TABS", timedelta(0))
    html = text(desk.get(f"{LIST}sums/"))
    assert "All that match: 2" in html and tabs_of(html) == {"all": "2"}


def test_no_row_beyond_the_limit_is_read(monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any) -> None:
    monkeypatch.setattr(footers, "MOST_COUNTED", 3)
    store(9)
    with django_assert_max_num_queries(8) as queries:  # on PostgreSQL five of them set the time limit
        assert footers.of_all(Invoice.objects.all()).is_more
    counted = [query["sql"] for query in queries.captured_queries if "GROUP BY" in query["sql"]]
    assert len(counted) == 1 and "LIMIT 4" in counted[0]


def test_an_estimate_has_few_digits() -> None:
    class Rows:
        def explain(self, format: str) -> str:
            return '[{"Plan": {"Plan Rows": 1237651}}]'

    if connection.vendor == "postgresql":
        rows: Any = Rows()
        assert footers._estimate(rows, 10_000) == 1_240_000


@pytest.mark.parametrize("model", footers.AMOUNTS, ids=lambda model: model.__name__)
def test_every_list_with_amounts_has_its_sums(desk: Client, model: Any) -> None:
    stored(CustomerObject(id="cus_1"))
    store(1)
    stored(InvoicePaymentObject())
    address = f"/admin/invoices/{model._meta.model_name}/"
    answer = desk.get(f"{address}sums/")
    assert answer.status_code == 200 and f"All that match: {model.objects.count()}" in text(answer)
    assert desk.get(address).status_code == 200


def test_who_may_not_see_a_list_learns_no_sum(client: Client) -> None:
    store(1)
    client.force_login(User.objects.create_user("newcomer", is_staff=True))
    assert client.get(f"{LIST}sums/").status_code == 403
    assert client.post(f"{LIST}sums/").status_code == 405


@pytest.mark.parametrize(
    ("query", "status"), [("nothing=1", 400), ("created_from=garbage", 200), ("q=%00", 200), ("state=x", 200)]
)
def test_a_list_that_cannot_be_read_has_no_sums(desk: Client, query: str, status: int) -> None:
    store(1)
    answer = desk.get(f"{LIST}sums/?{query}")
    assert answer.status_code == status and "All that match" not in text(answer)


def test_a_row_without_a_currency_is_counted(desk: Client) -> None:
    store(1, currency=None)
    assert "All that match: 1" in text(desk.get(f"{LIST}sums/"))
    assert desk.get(LIST).status_code == 200
