"""The filters of lists: what cannot be read selects nothing and says why, and nothing is done to all of it; the tab is
a filter like the others; what narrows a list stands above it in words."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from invoices import operations
from invoices.admin import days
from invoices.models import Batch, Operation
from tests.factories import CustomerObject, InvoiceObject, stored
from tests.helpers.admin_pages import LIST, hidden, text

VOID = f"{LIST}bulk/void/"
# No filter can read these. Each stands in an address as it is.
UNREADABLE = [
    "created_from=garbage",
    "created_from=05%2F06%2F2026",
    "created_from=2026-02-30",
    "created_to=0001-01-01",
    "created_to=9999-12-31",
    "created_from=2026-11-21&created_to=2026-11-01",
    "created_from=2026-11-01%00",
    "created_from=" + "9" * 5000,
    "state=nonsense",
    "state=open%00",
    "currency=dollars",
    "currency=%00",
    "collection=%F0%9F%92%B8",
]


class TestDays:
    @pytest.mark.parametrize(
        "written",
        [
            *("2026-11-21", "21.11.2026", "21. 11. 2026", "21/11/2026", "11/21/2026", "21-11-2026", "21 Nov 2026"),
            *("21. November 2026", "Nov 21, 2026", "  2026-11-21 "),
        ],
    )
    def test_are_read_in_each_way_in_which_people_write_them(self, written: str) -> None:
        assert days.parse(written) == date(2026, 11, 21)

    def test_with_two_readings_are_refused_with_both(self) -> None:
        with pytest.raises(days.BadDay, match=r"5 Jun 2026 or 6 May 2026. Write 2026-06-05 or 2026-05-06"):
            days.parse("05/06/2026")
        assert days.parse("06/06/2026") == date(2026, 6, 6)
        assert days.parse("5.6.2026") == date(2026, 6, 5)

    @pytest.mark.parametrize(
        "written",
        [
            *("garbage", "21.11.26", "2026-02-30", "31.04.2026", "1999-12-31", "2101-01-01", "21 Foo 2026"),
            *("20261121", "2026-11-21T10:00", "1" * 5000, "2026\x00-11-21", "13/13/2026", "0/0/2026", "٢٠٢٦-١١-٢١"),
        ],
    )
    def test_that_are_none_are_refused_with_a_sentence(self, written: str) -> None:
        with pytest.raises(days.BadDay, match=r"[.]$"):
            days.parse(written)

    def test_ranges_in_words(self) -> None:
        first, last = date(2026, 11, 1), date(2026, 11, 21)
        assert days.range_in_words(first, last) == "1 to 21 Nov 2026"
        assert days.range_in_words(date(2026, 10, 30), last) == "30 Oct to 21 Nov 2026"
        assert days.range_in_words(date(2025, 10, 30), last) == "30 Oct 2025 to 21 Nov 2026"
        assert days.range_in_words(last, last) == "21 Nov 2026"
        assert days.range_in_words(first, None) == "from 1 Nov 2026"
        assert days.range_in_words(None, last) == "until 21 Nov 2026"


def field(html: str, name: str) -> str:
    """The part of the panel that holds this field, with what is wrong with it."""
    found = re.search(rf'<div class="field[^>]*>(?:(?!<div).)*name="{name}".*?</div>', html, re.DOTALL)
    assert found, name
    return unescape(found[0])


def chips(html: str) -> dict[str, str]:
    """What narrows the list, each with the address of the list without it."""
    found = re.findall(r'<a class="chip" href="([^"]*)"[^>]*><span>([^<]*)</span>', html)
    return {unescape(words): unescape(address) for address, words in found}


@pytest.mark.django_db
class TestWhatCannotBeRead:
    @pytest.mark.parametrize("query", UNREADABLE)
    def test_selects_nothing_and_offers_nothing_for_all(self, desk: Client, query: str) -> None:
        stored(InvoiceObject(number="OPEN-1"))
        response = desk.get(f"{LIST}?{query}")
        html = text(response)
        assert response.status_code == 200
        assert "OPEN-1" not in html and "bulk/" not in html
        assert 'id="list-problems"' in html and "So nothing is shown" in html
        problems = response.context["cl"].problems
        assert problems and all(each.endswith(".") for each in problems)
        assert not response.context["cl"].queryset.exists()

    def test_is_said_beside_its_field_and_stays_as_it_was_typed(self, desk: Client) -> None:
        html = text(desk.get(f"{LIST}?created_from=21.13.2026&created_to=2026-11-30&currency=usd"))
        wrong, right = field(html, "created_from"), field(html, "created_to")
        assert 'value="21.13.2026"' in wrong and 'type="text"' in wrong and "There is no day “21.13.2026”" in wrong
        assert 'value="2026-11-30"' in right and 'type="date"' in right and "error" not in right
        assert '<option value="usd" selected>' in field(html, "currency")
        assert re.search(r'<details class="filters" open>', html)

    @pytest.mark.parametrize("query", UNREADABLE)
    def test_nothing_can_be_done_to_all_of_it(self, desk: Client, query: str) -> None:
        stored(InvoiceObject())
        seen = text(desk.get(f"{VOID}?state=open"))
        form = hidden(seen) | {"number": "1", "reason": "monthly run"}
        for send in (lambda: desk.get(f"{VOID}?{query}"), lambda: desk.post(f"{VOID}?{query}", form)):
            response = send()
            assert response.status_code == 302 and response["Location"].startswith(f"{LIST}?")
            assert "Nothing was started." in text(desk.get(response["Location"]))
        assert not Batch.objects.exists() and not Operation.objects.exists()

    @pytest.mark.parametrize("query", ["created_from=garbage", "state=nonsense", "q=%00"])
    def test_nor_to_what_was_ticked_in_an_older_page(self, desk: Client, query: str) -> None:
        invoice = stored(InvoiceObject())
        response = desk.post(f"{LIST}?{query}", {"action": "void", "_selected_action": [invoice.pk], "index": "0"})
        html = text(response if response.status_code == 200 else desk.get(response["Location"]))
        assert "Type 1 to confirm" not in html and "Will be done" not in html

    def test_a_search_that_cannot_be_read_finds_nothing(self, desk: Client) -> None:
        stored(InvoiceObject(number="OPEN-1"))
        response = desk.get(f"{LIST}?state=open&q=%00")
        assert response.status_code == 200 and "OPEN-1" not in text(response)
        assert response.context["cl"].problems
        assert desk.get(f"{VOID}?state=open&q=%00").status_code == 302

    @pytest.mark.parametrize("place", ["invoice", "operation", "event", "customer", "charge", "refund", "creditnote"])
    def test_in_every_list(self, client: Client, manager: Any, place: str) -> None:
        client.force_login(manager)
        names = ("state", "created_from", "created_to", "created_at_from", "currency", "action", "source", "columns")
        for name in (*names, "q", "after", "before", "sort", "o", "p"):
            for value in ("\x00", "'", "9" * 400, "﷽" * 50, "%", "\ud800", "-1", "1e400", "None"):
                written = quote(value.encode("utf-8", "surrogatepass"))
                response = client.get(f"/admin/invoices/{place}/?{name}={written}")
                assert response.status_code in (200, 302, 400), (name, value)


@pytest.mark.django_db
class TestTheTab:
    def test_stays_when_other_filters_are_applied(self, desk: Client) -> None:
        stored(InvoiceObject(number="OPEN-1"))
        stored(InvoiceObject(number="PAID-1", status="paid"))
        html = text(desk.get(f"{LIST}?state=open&q=OPEN"))
        panel = html[html.index('aria-label="Filters"') :]
        kept = hidden(panel[: panel.index("</form>")])
        assert kept == {"state": "open", "q": "OPEN"}
        applied = desk.get(LIST, {**kept, "currency": "usd", "created_from": "", "created_to": ""})
        assert "OPEN-1" in text(applied) and "PAID-1" not in text(applied)

    def test_is_a_chip_like_the_others(self, desk: Client) -> None:
        stored(InvoiceObject())
        query = "state=open&currency=usd&created_from=2020-11-01&created_to=2020-11-21&q=ann"
        found = chips(text(desk.get(f"{LIST}?{query}")))
        assert list(found) == ["Status: Open", "Currency: USD", "Created: 1 to 21 Nov 2020", "Search: “ann”"]
        without = found["Created: 1 to 21 Nov 2020"]
        assert "created" not in without and "state=open" in without and "q=ann" in without
        assert "state=" not in found["Status: Open"] and "created_from=2020-11-01" in found["Status: Open"]

    def test_a_hostile_search_is_shown_as_text(self, desk: Client) -> None:
        html = text(desk.get(f"{LIST}?q={quote('<script>alert(1)</script>')}"))
        assert "<script>alert" not in html


@pytest.mark.django_db
class TestInWords:
    def test_before_something_is_done_to_all(self, desk: Client, monkeypatch: Any) -> None:
        monkeypatch.setattr(operations.batch, "wake", lambda task: None)
        stored(InvoiceObject(created=int(datetime(2020, 11, 5, tzinfo=UTC).timestamp()), due_date=1_600_000_000))
        query = "state=overdue&created_from=2020-11-01&created_to=2020-11-21"
        html = text(desk.get(f"{VOID}?{query}"))
        assert "Status: Overdue · Created: 1 to 21 Nov 2020" in html and "Type 1 to confirm" in html
        again = text(desk.post(f"{VOID}?{query}", hidden(html) | {"number": "7", "reason": "x"}))
        assert "Status: Overdue · Created: 1 to 21 Nov 2020" in again, "also where the form was not complete"

    def test_interfaces_for_files_and_saved_views(self, desk: Client) -> None:
        stored(InvoiceObject(number="OPEN-1"))
        shown = desk.get(f"{LIST}?state=open").context["cl"]
        assert shown.filters_in_words() == ["Status: Open"] and shown.problems == []
        assert [each.number for each in shown.queryset] == ["OPEN-1"]
        assert shown.chosen_columns[:5] == ["number_", "customer_", "status_", "amount_", "due_"]
        assert desk.get(LIST).context["cl"].filters_in_words() == []


@pytest.mark.django_db
def test_a_day_is_the_readers_day(desk: Client) -> None:
    """23:30 UTC is the next day in Auckland, and midnight is where the reader is."""
    stored(InvoiceObject(number="LATE-1", created=int(datetime(2026, 1, 5, 23, 30, tzinfo=UTC).timestamp())))
    desk.cookies["zone"] = "Pacific/Auckland"
    assert "LATE-1" in text(desk.get(f"{LIST}?created_from=06.01.2026&created_to=06.01.2026"))
    assert "LATE-1" not in text(desk.get(f"{LIST}?created_from=05.01.2026&created_to=05.01.2026"))
    desk.cookies["zone"] = "UTC"
    assert "LATE-1" in text(desk.get(f"{LIST}?created_from=05.01.2026&created_to=05.01.2026"))
    with timezone.override("Africa/Cairo"):  # its midnight of 24 April 2026 does not exist: clocks go on by an hour
        assert days.begin(date(2026, 4, 24)) < days.begin(date(2026, 4, 25))


@pytest.mark.django_db
def test_currencies_are_those_of_the_invoices(desk: Client) -> None:
    for code in ("usd", "jpy", "kwd", "usd"):
        stored(InvoiceObject(currency=code))
    choices = field(text(desk.get(LIST)), "currency")
    assert re.findall(r'<option value="(\w*)"', choices) == ["", "jpy", "kwd", "usd"]
    other = desk.get(f"{LIST}?currency=chf")
    assert other.context["cl"].filters_in_words() == ["Currency: CHF"] and not other.context["cl"].problems


@pytest.mark.django_db
def test_an_empty_installation(desk: Client) -> None:
    html = text(desk.get(LIST))
    assert "Nothing here" in html and "chip" not in chips(html)


@pytest.mark.django_db
def test_a_name_of_two_hundred_characters_is_a_chip(desk: Client) -> None:
    stored(CustomerObject(name="م" * 200))
    response = desk.get("/admin/invoices/customer/", {"q": "م" * 200})
    assert response.status_code == 200 and f"Search: “{'م' * 200}”" in chips(text(response))
