"""The page of a customer: what they owe, their cards read live, what is theirs, “pay these”, and who sees what."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from invoices import notes, refetch
from invoices.admin import customer_page
from invoices.models import Batch, Customer, Invoice, Operation
from invoices.search.time_limit import TakesTooLong
from tests.factories import (
    ChargeObject,
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    customer_at,
    invoice_at,
    stored,
    user_in_group,
)
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db

DAY = 86_400
PAGE = "/admin/invoices/customer/cus_ada/"


def invoice(**given: Any) -> Invoice:
    found: Invoice = stored(InvoiceObject(customer="cus_ada", **given))
    return found


def open_invoice(number: str, remaining: int, currency: str = "eur", overdue_days: int = 0, **given: Any) -> Invoice:
    due = int(time.time()) - overdue_days * DAY if overdue_days else int(time.time()) + 9 * DAY
    return invoice(number=number, amount_remaining=remaining, currency=currency, due_date=due, **given)


@pytest.fixture
def ada(agent: User) -> Customer:
    """Owes EUR 432.00 in three invoices, of which two are overdue, and JPY 500; paid one; a draft of no account."""
    customer: Customer = stored(CustomerObject(id="cus_ada", name="Ada Byron", email="ada@example.com"))
    open_invoice("OPEN-1", 31_200, overdue_days=12)
    open_invoice("OPEN-2", 10_000, overdue_days=45)
    open_invoice("OPEN-3", 2_000)
    open_invoice("OPEN-4", 500, "jpy")
    invoice(number="PAID-1", status="paid", currency="usd", amount_remaining=0)
    invoice(number=None, status="draft", currency="eur", amount_remaining=77_700)
    stored(InvoiceObject(number="OTHER-1", amount_remaining=99_900, currency="eur"))
    return customer


def shown(client: Client, path: str = PAGE) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_what_they_owe_in_each_currency_in_how_many_and_how_old(client: Client, agent: User, ada: Customer) -> None:
    client.force_login(agent)
    page = shown(client)
    assert "EUR 432.00" in page and "in 3 invoices" in page
    assert "EUR 412.00 overdue" in page and "the oldest for 45 days" in page
    assert "JPY 500" in page and "in 1 invoice<" in page
    assert "USD" not in page.partition('id="invoices-title"')[0]
    owed = page.partition('id="owed-title"')[2].partition("</section>")[0]
    places = [owed.index(number) for number in ("OPEN-2", "OPEN-1", "OPEN-3")]
    assert places == sorted(places)  # the longest overdue first
    assert "PAID-1" not in owed and "OTHER-1" not in page and "999.00" not in page


def test_a_customer_who_owes_nothing(client: Client, agent: User) -> None:
    stored(CustomerObject(id="cus_ada", name=None, email=None))
    client.force_login(agent)
    page = shown(client)
    assert "Nothing: no invoice is open." in page and "No invoice here." in page and "Pay these" not in page
    assert "cus_ada" in page.partition("<h2>")[2].partition("</h2>")[0]  # no name and no e-mail: its id


def test_everything_that_belongs_to_them(client: Client, agent: User, ada: Customer) -> None:
    stored(ChargeObject(id="ch_ada", customer="cus_ada", status="failed", failure_message="Your card was declined."))
    paid = Invoice.objects.get(number="PAID-1")
    stored(
        InvoicePaymentObject(
            invoice=paid.pk,
            status="paid",
            currency="usd",
            amount_paid=1_000,
            payment={"type": "payment_record", "payment_record": "pyr_1"},
        )
    )
    Operation.objects.create(action="pay", invoice=paid.pk, customer="cus_ada", actor=agent, source="admin", reason="x")
    notes.write(paid.pk, "Promised to pay on Friday", author=agent)
    client.force_login(agent)
    page = shown(client)
    assert "PAID-1" in page and "All invoices as a list (6)" in page
    assert "ch_ada" in page and "Visa •••• 4242" in page and "Your card was declined." in page
    assert "All charges as a list (1)" in page
    assert "Paid outside Stripe" in page and "USD 10.00" in page
    assert "All operations as a list (1)" in page
    assert "Promised to pay on Friday" in page
    for path in ("invoice", "charge", "operation"):
        assert client.get(f"/admin/invoices/{path}/?q=cus_ada").status_code == 200
    assert paid.pk in shown(client, "/admin/invoices/operation/?q=cus_ada")


def test_a_person_sees_only_what_she_may_see(client: Client, ada: Customer) -> None:
    """Who may not see invoices learns neither sums nor numbers nor counts."""
    clerk = user_in_group("clerk", None)
    clerk.user_permissions.add(Permission.objects.get(codename="view_customer"))
    client.force_login(clerk)
    page = shown(client)
    assert "Ada Byron" in page
    for hidden in ("432.00", "OPEN-1", "Owes", "invoices as a list", "charges-title", "What we did", "notes-title"):
        assert hidden not in page, hidden
    assert client.get(f"{PAGE}chosen/").status_code == 403


def test_without_permission_there_is_no_page(client: Client, ada: Customer) -> None:
    client.force_login(user_in_group("clerk", None))
    for path in ("", "cards/", "chosen/"):
        assert client.get(f"{PAGE}{path}").status_code == 403, path


def test_an_auditor_sees_it_and_cannot_pay(client: Client, auditor: User, ada: Customer) -> None:
    client.force_login(auditor)
    page = shown(client)
    assert "EUR 432.00" in page and "Pay these" not in page and 'type="checkbox"' not in page


# --- pay these --------------------------------------------------------------------------------------------------------


def test_what_is_ticked_is_summed_per_currency(client: Client, agent: User, ada: Customer) -> None:
    client.force_login(agent)
    ids = dict(Invoice.objects.values_list("number", "pk"))

    def said(*numbers: str) -> str:
        response = client.get(f"{PAGE}chosen/", {"_selected_action": [ids[number] for number in numbers]})
        return " ".join(response.content.decode().replace('<span class="strong">', "").replace("</span>", "").split())

    assert said("OPEN-1", "OPEN-2", "OPEN-4").endswith("3 invoices: EUR 412.00 and JPY 500")
    assert said("OPEN-3").endswith("1 invoice: EUR 20.00")
    assert said().endswith("Nothing is ticked.")
    assert said("OTHER-1", "PAID-1").endswith("Nothing is ticked.")  # another's, and one that is not open
    assert client.get(f"{PAGE}chosen/", {"_selected_action": ["x" * 300, "\x00"]}).status_code == 200


def test_pay_these_leads_to_the_preview_of_the_bulk_action(client: Client, agent: User, ada: Customer) -> None:
    client.force_login(agent)
    page = shown(client)
    assert 'name="action" value="pay"' in page and 'name="index" value="0"' in page
    first, second = (Invoice.objects.get(number=number) for number in ("OPEN-1", "OPEN-3"))
    response = client.post(
        "/admin/invoices/invoice/",
        {"action": "pay", "index": "0", "_selected_action": [first.pk, second.pk]},
        follow=True,
    )
    assert response.status_code == 200
    preview = response.content.decode()
    assert "2 of 2 invoices" in preview and "OPEN-1" in preview and "OPEN-3" in preview and "OPEN-2" not in preview
    assert not Batch.objects.exists()  # nothing has happened yet


def test_a_deleted_customer_has_no_cards_and_is_not_charged(client: Client, agent: User, ada: Customer) -> None:
    Customer.rows.filter(pk=ada.pk).update(deleted_at=timezone.now() - timedelta(days=2))
    client.force_login(agent)
    page = shown(client)
    assert "Stripe deleted this customer" in page and "EUR 432.00" in page
    assert "Pay these" not in page and f"{PAGE}cards/" not in page


# --- cards ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestCards:
    def test_they_are_read_live(self, client: Client, agent: User, sandbox: SandboxProcess) -> None:
        customer = customer_at(sandbox)
        refetch.refetch("customer", customer.id)
        sandbox.client().v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
        client.force_login(agent)
        path = f"/admin/invoices/customer/{customer.id}/"
        assert f'hx-get="{path}cards/"' in shown(client, path)
        cards = shown(client, f"{path}cards/")
        assert "Visa •••• 4242" in cards and "Mastercard •••• 4444" in cards and "expires" in cards
        assert cards.count(">default<") == 1

    def test_stripe_does_not_answer(self, client: Client, agent: User, sandbox: SandboxProcess, settings: Any) -> None:
        stored(CustomerObject(id="cus_ada"))
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"  # where nobody listens
        client.force_login(agent)
        assert "Nothing: no invoice is open." in shown(client)  # the page does not wait for it
        assert "Stripe does not answer just now" in shown(client, f"{PAGE}cards/")

    def test_stripe_has_no_such_customer(self, client: Client, agent: User, sandbox: SandboxProcess) -> None:
        stored(CustomerObject(id="cus_ada"))
        client.force_login(agent)
        assert "Stripe does not have this customer any more" in shown(client, f"{PAGE}cards/")

    def test_an_expired_card_says_so(self, client: Client, agent: User, sandbox: SandboxProcess) -> None:
        method = customer_page.PaymentMethodFacts(id="pm_1", name="Visa •••• 4242", expires="10/2020")
        assert customer_page._is_expired(method)
        now = timezone.localdate()
        assert not customer_page._is_expired(customer_page.PaymentMethodFacts(expires=f"{now.month}/{now.year}"))
        assert not customer_page._is_expired(customer_page.PaymentMethodFacts())

    def test_pay_these_for_real(self, client: Client, agent: User, sandbox: SandboxProcess) -> None:
        """From the page to the preview to the batch, as a person goes."""
        customer = customer_at(sandbox)
        made = [invoice_at(sandbox, amount, customer=customer.id) for amount in (1000, 2500)]
        for kind, pk in (("customer", customer.id), ("invoice", made[0].id), ("invoice", made[1].id)):
            refetch.refetch(kind, pk)
        client.force_login(agent)
        path = f"/admin/invoices/customer/{customer.id}/"
        assert "USD 35.00" in shown(client, path)
        preview = client.post(
            "/admin/invoices/invoice/",
            {"action": "pay", "index": "0", "_selected_action": [each.id for each in made]},
            follow=True,
        )
        assert "2 of 2 invoices" in preview.content.decode() and "USD 35.00" in preview.content.decode()


# --- many -------------------------------------------------------------------------------------------------------------


def test_the_page_reads_a_fixed_number_of_rows_and_queries(
    client: Client, agent: User, ada: Customer, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a customer with more open invoices than are summed: it then says “at least”."""
    monkeypatch.setattr(customer_page, "MAX_OPEN", 60)
    monkeypatch.setattr(customer_page, "MAX_COUNTED", 30)
    for number in range(70):
        open_invoice(f"MANY-{number}", 100)
        stored(ChargeObject(customer="cus_ada"))
    client.force_login(agent)
    shown(client)
    with django_assert_max_num_queries(30):  # on PostgreSQL five of them set the time limit, and take it away
        page = shown(client)
    assert "at least in" in page and "only the newest open invoices are summed" in page
    assert page.count('type="checkbox"') == customer_page.OPEN_SHOWN
    assert "All invoices as a list (30+)" in page and "All charges as a list (30+)" in page
    assert "11+ more open ones are in the list" in page


def test_a_history_that_cannot_be_summed_in_time_says_so(
    client: Client, agent: User, ada: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(longest: timedelta) -> Any:
        raise TakesTooLong

    monkeypatch.setattr(customer_page, "time_limit", slow)
    client.force_login(agent)
    page = shown(client)
    assert "could not be summed in time" in page and "Nothing: no invoice is open" not in page and "OPEN-1" in page


@pytest.mark.parametrize("name", ["N" * 200, "🙂 علي", "<script>alert(1)</script>"])
def test_any_name(client: Client, agent: User, name: str) -> None:
    stored(CustomerObject(id="cus_ada", name=name))
    client.force_login(agent)
    assert "<script>alert" not in shown(client)


def test_amounts_that_are_unknown(client: Client, agent: User) -> None:
    stored(CustomerObject(id="cus_ada"))
    invoice(number="ODD-1", amount_remaining=None, currency="kwd")
    invoice(number="ODD-2", amount_remaining=5, currency=None)
    invoice(number="ODD-3", amount_remaining=10**15, currency="kwd")
    client.force_login(agent)
    assert "KWD 1,000,000,000,000.000" in shown(client)


def test_a_customer_who_is_not_here(client: Client, agent: User) -> None:
    client.force_login(agent)
    assert client.get("/admin/invoices/customer/cus_nobody/").status_code == 404
    assert client.get("/admin/invoices/customer/cus_nobody/cards/").status_code == 403


def test_a_draft_is_not_to_pay(client: Client, agent: User, ada: Customer) -> None:
    client.force_login(agent)
    invoice(number="D-1", status="draft", amount_remaining=27300, amount_due=27300)
    row = shown(client).partition("D-1")[2].partition("</tr>")[0]
    assert row.count("273.00") == 1 and "–" in row
