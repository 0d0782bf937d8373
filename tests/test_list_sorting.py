"""Lists as a person arranges them: sorted by a column, narrowed to amounts and days, in chosen columns."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from invoices.models import Charge, Customer, Invoice, Operation, PaymentIntent
from tests.factories import (
    ChargeObject,
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    stored,
    user_in_group,
)
from tests.helpers.admin_pages import LIST, text

pytestmark = pytest.mark.django_db

PAYMENTS = "/admin/invoices/invoicepayment/"


def shown(client: Client, address: str) -> list[str]:
    """The numbers of the invoices in the list, in their order."""
    return [row.number for row in client.get(address).context["cl"].result_list]


def make(number: str, amount: int, currency: str = "usd", **given: Any) -> Invoice:
    amounts = dict.fromkeys(("total", "amount_due", "amount_remaining"), amount)
    invoice: Invoice = stored(InvoiceObject(number=number, currency=currency, **amounts, **given))
    return invoice


class TestSorting:
    def test_by_an_amount_within_each_currency(self, desk: Client) -> None:
        make("B", 500, "usd")
        make("C", 9_000, "jpy")
        make("A", 70_000, "usd")
        make("D", 9_000, "jpy", id="in_zzz")
        assert shown(desk, f"{LIST}?sort=remaining") == ["A", "B", "D", "C"]
        assert shown(desk, f"{LIST}?sort=-remaining") == ["C", "D", "B", "A"]
        assert shown(desk, f"{LIST}?sort=total&currency=usd") == ["A", "B"]

    @pytest.mark.parametrize("sort", ["remaining", "-remaining", "due", "-due", "created", "-created", "-age", "paid"])
    def test_pages_go_on_where_they_stood(self, desk: Client, sort: str) -> None:
        """More rows than a page has, most of them equal: each stands on exactly one page, both ways."""
        for number in range(120):
            make(str(number), 100 * (number % 2), ("usd", "eur")[number % 3 == 0], due_date=1_700_000_000 + number % 5)
        Invoice.objects.update(paid_at=datetime(2024, 1, 1, tzinfo=UTC))
        seen, address = [], f"{LIST}?sort={sort}"
        while address:
            pages = desk.get(address).context["cl"].pages
            seen.append([row.number for row in pages.rows])
            address = pages.after
        assert [len(each) for each in seen] == [50, 50, 20]
        assert sorted(int(number) for each in seen for number in each) == list(range(120))
        back = desk.get(f"{LIST}?sort={sort}&before=").context["cl"].pages
        assert [row.number for row in back.rows] == (seen[1] + seen[2])[-50:]
        assert [row.number for row in desk.get(back.before).context["cl"].pages.rows] == (seen[0] + seen[1])[20:70]

    def test_by_the_due_date_leaves_out_what_has_none_and_says_so(self, desk: Client) -> None:
        make("LATER", 1, due_date=1_800_000_000)
        make("SOONER", 1, due_date=1_700_000_000)
        make("NEVER", 1, due_date=None)
        response = desk.get(f"{LIST}?sort=due&state=open")
        assert [row.number for row in response.context["cl"].result_list] == ["SOONER", "LATER"]
        assert response.context["cl"].filters_in_words() == ["Status: Open", "With a due date"]
        addresses = re.findall(r'href="([^"]*bulk/void[^"]*)"', text(response))
        assert len(addresses) == 1 and "sort=due" in addresses[0], "what is acted on is what is shown"
        assert "Void: 2 invoices" in text(desk.get(unescape(addresses[0])))

    def test_the_header_says_by_what_and_turns_it(self, desk: Client) -> None:
        make("A", 1)

        def headers(query: str) -> dict[str, tuple[str, str]]:
            html = text(desk.get(f"{LIST}?{query}"))
            found = re.findall(
                r'column-(\w+) [^>]*?(?:aria-sort="(\w+)")?>\s*<div[^>]*>\s*<div[^>]*>\s*<a[^>]*href="([^"]*)"', html
            )
            return {name: (direction, unescape(address)) for name, direction, address in found}

        plain = headers("state=open")
        assert set(plain) == {"amount_", "due_", "created_"}
        assert plain["created_"] == ("descending", "?sort=-created&state=open")
        assert plain["amount_"] == ("", "?sort=remaining&state=open")
        turned = headers("state=open&sort=remaining")
        assert turned["amount_"] == ("descending", "?sort=-remaining&state=open") and turned["created_"][0] == ""
        assert headers("sort=-remaining")["amount_"] == ("ascending", "?sort=remaining")

    @pytest.mark.parametrize(
        "sort", ["number", "-", "--due", "customer__name", "due%00", "data", "1", "-3.1", "x" * 300]
    )
    def test_by_nothing_else(self, desk: Client, sort: str) -> None:
        make("A-1", 1)
        response = desk.get(f"{LIST}?sort={sort}")
        assert response.status_code == 200 and "cannot be sorted by" in text(response)
        assert not response.context["cl"].result_list
        assert desk.get(f"{LIST}bulk/void/?state=open&sort={sort}").status_code == 302

    @pytest.mark.parametrize(
        "place", ["usd~in_1", "usd:~in_1", "usd:x~in_1", f"usd:{2**63}~in_1", "usd:1~%00", "~", ":~"]
    )
    def test_a_place_that_is_none(self, desk: Client, place: str) -> None:
        make("A", 1)
        response = desk.get(f"{LIST}?sort=remaining&after={place}")
        assert response.status_code == 302 and response["Location"] == f"{LIST}?e=1"

    def test_customers_by_name(self, client: Client) -> None:
        client.force_login(user_in_group("boss", "Billing manager"))
        for name in ("Zoe ~ Tilde", "adam", "Bea", "", "مريم", None):
            stored(CustomerObject(name=name))
        response = client.get("/admin/invoices/customer/?sort=name")
        names = [row.name for row in response.context["cl"].result_list if row.name]
        assert names == ["adam", "bea", "zoe ~ tilde", "مريم"]
        assert Customer.objects.count() == 6
        after = f"zoe ~ tilde~{Customer.objects.get(name='zoe ~ tilde').pk}"
        later = client.get("/admin/invoices/customer/", {"sort": "name", "after": after}).context["cl"].result_list
        assert [row.name for row in later] == ["مريم"]

    @pytest.mark.parametrize("name", ["charge", "paymentintent", "refund", "creditnote", "invoicepayment", "operation"])
    def test_the_other_lists(self, client: Client, name: str) -> None:
        client.force_login(user_in_group("boss", "Billing manager"))
        listed = client.get(f"/admin/invoices/{name}/").context["cl"].model_admin
        for sort in listed.sorts:
            for sign in ("", "-"):
                response = client.get(f"/admin/invoices/{name}/?sort={sign}{sort}")
                assert response.status_code == 200 and not response.context["cl"].problems


class TestAmounts:
    def found(self, desk: Client, query: str) -> list[str]:
        response = desk.get(f"{LIST}?{query}")
        assert not response.context["cl"].problems, response.context["cl"].problems
        return [row.number for row in response.context["cl"].result_list]

    def test_of_one_currency(self, desk: Client) -> None:
        make("USD-10", 1_000)
        make("USD-20", 2_000)
        make("JPY-1000", 1_000, "jpy")
        make("KWD-1", 1_000, "kwd")
        assert self.found(desk, "currency=usd&remaining_from=10&remaining_to=10.00") == ["USD-10"]
        assert self.found(desk, "currency=usd&remaining_from=10.01") == ["USD-20"]
        assert self.found(desk, "currency=JPY&remaining_from=1000") == ["JPY-1000"]
        assert self.found(desk, "currency=kwd&total_to=1.00") == ["KWD-1"]
        assert self.found(desk, "currency=usd&total_from=0&total_to=19.99") == ["USD-10"]
        words = desk.get(f"{LIST}?currency=usd&remaining_from=10&remaining_to=20").context["cl"].filters_in_words()
        assert words == ["Currency: USD", "Remaining: USD 10.00 to USD 20.00"]

    def test_needs_a_currency(self, desk: Client) -> None:
        make("USD-10", 1_000)
        html = text(desk.get(f"{LIST}?remaining_from=10"))
        assert "Choose a currency too" in html and "USD-10" not in html and 'value="10"' in html

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("1,50", "could mean"),
            ("9,50", "could mean"),
            ("ten", "is not an amount"),
            ("1e3", "is not an amount"),
            ("-5", "is not an amount"),
            ("9" * 30, "larger"),
            ("10 EUR", "EUR"),
            ("1.505", ""),
            ("１０", "is not an amount"),
            ("%00", "cannot be read"),
        ],
    )
    def test_that_cannot_be_read_select_nothing(self, desk: Client, written: str, said: str) -> None:
        """A decimal comma does not become a hundred times as much."""
        make("USD-10", 1_000)
        make("USD-950", 95_000)
        response = desk.get(f"{LIST}?currency=usd&remaining_from={written}")
        problems = " ".join(response.context["cl"].problems)
        assert (problems and said in problems) or "is not" in problems, problems
        assert not response.context["cl"].result_list

    def test_a_readers_comma(self, desk: Client) -> None:
        make("USD-9", 950)
        make("USD-950", 95_000)
        response = desk.get(
            f"{LIST}?currency=usd&remaining_from=9,50&remaining_to=9,50", headers={"Accept-Language": "de"}
        )
        assert [row.number for row in response.context["cl"].result_list] == ["USD-9"]

    def test_the_smaller_one_comes_first(self, desk: Client) -> None:
        response = desk.get(f"{LIST}?currency=usd&remaining_from=20&remaining_to=10")
        assert response.context["cl"].problems == ["Remaining: The second amount is smaller than the first."]


class TestDays:
    def test_due_and_paid(self, desk: Client) -> None:
        noon = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())
        make("DUE", 1, due_date=noon)
        make("DUE-LATER", 1, due_date=noon + 86_400)
        make("NEVER", 1, due_date=None)
        paid = make("PAID", 1, status="paid", due_date=None)
        Invoice.objects.filter(pk=paid.pk).update(paid_at=datetime(2024, 5, 1, 12, tzinfo=UTC))
        assert shown(desk, f"{LIST}?due_date_from=2024-05-01&due_date_to=2024-05-01") == ["DUE"]
        assert shown(desk, f"{LIST}?due_date_from=2024-05-01") == ["DUE", "DUE-LATER"], "by the due date"
        assert shown(desk, f"{LIST}?paid_at_to=01.05.2024") == ["PAID"]


class TestPayments:
    def test_charges_by_status_currency_and_amount(self, client: Client) -> None:
        client.force_login(user_in_group("boss", "Billing manager"))
        stored(ChargeObject(id="ch_1", amount=1_000, currency="usd", status="failed"))
        stored(ChargeObject(id="ch_2", amount=2_000, currency="usd", status="succeeded"))
        stored(ChargeObject(id="ch_3", amount=1_000, currency="eur", status="failed"))
        stored(InvoiceObject(currency="usd"))

        def found(query: str) -> set[str]:
            return {row.pk for row in client.get(f"/admin/invoices/charge/?{query}").context["cl"].result_list}

        assert found("status=failed") == {"ch_1", "ch_3"}
        assert found("status=failed&currency=usd") == {"ch_1"}
        assert found("currency=usd&amount_from=15") == {"ch_2"}
        assert found("status=nonsense") == set() and Charge.objects.count() == 3

    def test_payment_intents_that_failed(self, client: Client) -> None:
        client.force_login(user_in_group("boss", "Billing manager"))
        stored(PaymentIntentObject(id="pi_1", status="requires_payment_method"))
        stored(PaymentIntentObject(id="pi_2", status="succeeded"))
        response = client.get("/admin/invoices/paymentintent/?status=requires_payment_method")
        assert [row.pk for row in response.context["cl"].result_list] == ["pi_1"]
        assert PaymentIntent.objects.count() == 2


class TestOperations:
    def test_by_who_asked_and_who_decided(self, client: Client, agent: User, manager: User) -> None:
        client.force_login(manager)
        invoice = make("A-7", 12_345, "kwd", customer_name="ada lovelace")
        given = {"action": "void", "invoice": invoice.pk, "source": "admin", "currency": "kwd"}
        asked = Operation.objects.create(actor=agent, approver=manager, state="succeeded", **given)
        own = Operation.objects.create(actor=manager, state="failed", expected={"amount_remaining": 5_000}, **given)

        def found(query: str) -> set[Any]:
            response = client.get(f"/admin/invoices/operation/?{query}")
            assert not response.context["cl"].problems
            return {row.pk for row in response.context["cl"].result_list}

        assert found(f"asked_by={agent.username}") == {asked.pk}
        assert found(f"asked_by={manager.username}") == {own.pk}
        assert found(f"decided_by={manager.username}") == {asked.pk}
        assert found(f"asked_by={agent.username}&decided_by={manager.username}&action=void") == {asked.pk}
        wrong = client.get("/admin/invoices/operation/?asked_by=nobody").context["cl"]
        assert wrong.problems and not wrong.result_list
        html = text(client.get("/admin/invoices/operation/"))
        assert "KWD 5.000" in html and "ada lovelace" in html  # as it is stored

    def test_names_and_sums_are_for_those_who_may_see_them(self, client: Client, agent: User) -> None:
        invoice = make("A-7", 12_345, customer_name="ada lovelace")
        Operation.objects.create(
            actor=agent,
            action="void",
            invoice=invoice.pk,
            source="admin",
            state="failed",
            currency="usd",
            expected={"amount_remaining": 12_345},
        )
        other = User.objects.create_user("narrow", password="x", is_staff=True)
        other.user_permissions.add(Permission.objects.get(codename="view_operation"))
        client.force_login(other)
        html = text(client.get("/admin/invoices/operation/"))
        assert "Ada Lovelace" not in html and "123.45" not in html and "Void" in html

    def test_they_are_read_in_a_fixed_number_of_queries(
        self, client: Client, manager: User, django_assert_max_num_queries: Any
    ) -> None:
        client.force_login(manager)
        for number in range(20):
            invoice = make(f"N-{number}", 100)
            Operation.objects.create(action="pay", invoice=invoice.pk, actor=manager, source="admin", state="failed")
        with django_assert_max_num_queries(14):
            assert client.get("/admin/invoices/operation/").status_code == 200


class TestColumns:
    def test_are_chosen_and_stay_with_filters_and_order(self, desk: Client) -> None:
        make("A-1", 12_300, created=1_600_000_000)
        response = desk.get(f"{LIST}?columns=age_&columns=remaining_&state=open&sort=left")
        html, listed = text(response), response.context["cl"]
        assert listed.chosen_columns == ["number_", "remaining_", "age_"]
        assert "column-customer_" not in html and "USD 123.00" in html and "days ago" in html
        for address in [*re.findall(r'class="sort" href="([^"]*)"', html), listed.chips()[0].clear_url]:
            assert "columns=age_" in address and "columns=remaining_" in address, address
        assert ("columns", "age_") in listed.kept()

    @pytest.mark.parametrize(
        "query", ["columns=data", "columns=%00", "columns=", "columns=action_checkbox", "columns=pk"]
    )
    def test_that_do_not_exist_are_the_usual_ones(self, desk: Client, query: str) -> None:
        make("A-1", 1)
        response = desk.get(f"{LIST}?{query}")
        assert response.status_code == 200
        assert response.context["cl"].chosen_columns == desk.get(LIST).context["cl"].chosen_columns

    def test_the_default_shows_as_today(self, desk: Client) -> None:
        make("A-1", 1)
        html = text(desk.get(LIST))
        assert "column-remaining_" not in html and 'value="remaining_"' in html


def test_a_filter_that_is_not_offered_selects_nothing(client: Client) -> None:
    """Who may not see assignments is not shown every invoice instead of a colleague's."""
    make("A-1", 1)
    other = User.objects.create_user("narrow", password="x", is_staff=True)
    other.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(other)
    assert "A-1" in text(client.get(LIST)) and "Who has it" not in text(client.get(LIST))
    response = client.get(f"{LIST}?assigned=mine")
    assert response.context["cl"].problems == ["Who has it: You may not choose anything here."]
    assert "A-1" not in text(response)


class TestPaymentsByTheDay:
    """Finance lists what was paid in a month, as the money came in."""

    @pytest.fixture
    def paid(self, desk: Client) -> Client:
        for number, day in enumerate((None, date(2026, 3, 2), date(2026, 3, 30), date(2026, 4, 1))):
            invoice = make(f"P-{number}", 100, customer_name="Ada Byron")
            at = {"paid_at": int(datetime.combine(day, time(12), UTC).timestamp())} if day else {}
            stored(
                InvoicePaymentObject(
                    id=f"inpay_{number}", invoice=invoice.pk, status="paid" if day else "open", status_transitions=at
                )
            )
        return desk

    def ids(self, client: Client, query: str) -> list[str]:
        return [row.pk for row in client.get(f"{PAYMENTS}?{query}").context["cl"].result_list]

    def test_by_days_and_in_their_order(self, paid: Client) -> None:
        march = "paid_at_from=2026-03-01&paid_at_to=31.03.2026"
        assert self.ids(paid, march) == ["inpay_2", "inpay_1"]
        assert self.ids(paid, f"{march}&sort=-paid") == ["inpay_1", "inpay_2"]
        assert self.ids(paid, "sort=paid") == ["inpay_3", "inpay_2", "inpay_1"], "what was not paid has no place"
        html = text(paid.get(f"{PAYMENTS}?{march}"))
        assert ">P-1</a>" in html and "Ada Byron" in html and "Paid: 1 to 31 Mar 2026" in html

    def test_the_last_month_is_one_click(self, paid: Client) -> None:
        (this, _), (last, address) = paid.get(PAYMENTS).context["cl"].shortcuts()
        assert (this, last) == ("Paid this month", "Paid last month")
        chips = [chip.words for chip in paid.get(f"{PAYMENTS}{address}").context["cl"].chips()]
        ends = timezone.localdate().replace(day=1) - timedelta(days=1)
        assert chips[0].startswith("Paid: 1 to") and str(ends.day) in chips[0]

    def test_the_customer_only_for_who_may_see_invoices(self, paid: Client) -> None:
        narrow = User.objects.create_user("narrow", password="x", is_staff=True)
        narrow.user_permissions.add(Permission.objects.get(codename="view_invoicepayment"))
        paid.force_login(narrow)
        html = text(paid.get(PAYMENTS))
        assert "inpay_1" in html and "Ada Byron" not in html
