"""One payment from outside Stripe over several invoices of a customer: spread oldest first or as typed."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from invoices import operations, refetch
from invoices.models import Batch, Invoice, Operation
from invoices.operations import batch as batches
from tests.factories import customer_at, invoice_at
from tests.helpers.admin_pages import text
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


class Payer:
    """A customer with three open invoices, of EUR 10, 20 and 30, the first one due longest."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.id = customer_at(sandbox).id
        ids = [invoice_at(sandbox, customer=self.id, amount=amount, currency="eur").id for amount in (1000, 2000, 3000)]
        refetch.refetch("customer", self.id)
        for id in ids:
            refetch.refetch("invoice", id)
        self.invoices = [Invoice.objects.get(pk=id) for id in ids]
        self.page = f"/admin/invoices/customer/{self.id}/payment/"

    def fields(self, found: str) -> dict[str, str]:
        """The hidden fields of the page's form."""
        pattern = r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?'
        return {name: html.unescape(value) for name, value in re.findall(pattern, found) if "csrf" not in name}

    def ask(self, desk: Client, **given: str) -> Any:
        """Sends the first page, with what was typed."""
        sent = {
            **self.fields(text(desk.get(self.page))),
            "method": "Bank transfer",
            "received_on": "2026-11-02",
            "reference": "BANK-1",
            "reason": "one transfer for all",
            "spread": "oldest_first",
            **given,
        }
        return desk.post(self.page, sent)

    def confirm(self, desk: Client, preview: Any) -> Any:
        return desk.post(self.page, self.fields(text(preview)))

    def recorded(self) -> list[int]:
        """What was recorded of each invoice."""
        made = {each.invoice: each.params["amount"] for each in Operation.objects.filter(state="succeeded")}
        return [made.get(each.pk, 0) for each in self.invoices]


@pytest.fixture
def payer(sandbox: SandboxProcess) -> Payer:
    return Payer(sandbox)


def test_oldest_first_until_it_is_used_up(desk: Client, payer: Payer) -> None:
    preview = payer.ask(desk, amount="25.00")
    shown = text(preview)
    assert "Record EUR 25.00 on 2 invoices" in shown and not Batch.objects.exists()
    answer = payer.confirm(desk, preview)
    assert answer.status_code == 302
    batches.run_due()
    assert payer.recorded() == [1000, 1500, 0]
    statuses = [payer.sandbox.client().v1.invoices.retrieve(each.pk).status for each in payer.invoices]
    assert statuses == ["paid", "open", "open"]
    assert {each.params["reference"] for each in Operation.objects.all()} == {"BANK-1"}


def test_as_typed(desk: Client, payer: Payer) -> None:
    preview = payer.ask(desk, amount="12", spread="as_typed", share_0="2", share_2="10.00")
    payer.confirm(desk, preview)
    batches.run_due()
    assert payer.recorded() == [200, 0, 1000]


def test_a_decimal_comma_is_one(desk: Client, payer: Payer) -> None:
    german = desk
    german.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    preview = payer.ask(german, amount="9,50")
    payer.confirm(german, preview)
    batches.run_due()
    assert payer.recorded() == [950, 0, 0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"amount": "60.01"}, "EUR 0.01 would be left over"),
        ({"amount": ""}, "Amount is missing"),
        ({"amount": "0"}, ""),
        ({"amount": "-5"}, ""),
        ({"amount": "5", "reason": ""}, "Please say why"),
        ({"amount": "5", "received_on": "2999-01-01"}, "lies in the future"),
        ({"amount": "12", "spread": "as_typed", "share_0": "2"}, "Make them equal"),
        ({"amount": "12", "spread": "as_typed", "share_0": "12"}, "Only EUR 10.00 are to be paid"),
        ({"amount": "12", "spread": "as_typed", "share_0": "x"}, ""),
        ({"amount": "12", "spread": "nonsense"}, ""),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    desk: Client, payer: Payer, given: dict[str, str], said: str
) -> None:
    answer = payer.ask(desk, **given)
    assert answer.status_code == 400 and said in html.unescape(text(answer)) and not Batch.objects.exists()


def test_sent_twice_it_is_one_batch(desk: Client, payer: Payer) -> None:
    preview = payer.ask(desk, amount="25")
    first, second = payer.confirm(desk, preview), payer.confirm(desk, preview)
    assert first["Location"] == second["Location"]
    batches.run_due()
    assert payer.recorded() == [1000, 1500, 0] and Batch.objects.count() == 1
    later = payer.confirm(desk, preview)  # by Back, when the invoices are paid and the page would be another one
    assert later["Location"] == first["Location"] and Batch.objects.count() == 1


def test_what_changed_meanwhile_is_shown_before_it_is_recorded(desk: Client, payer: Payer) -> None:
    preview = payer.ask(desk, amount="25")
    payer.sandbox.client().v1.invoices.pay(payer.invoices[0].pk)
    refetch.refetch("invoice", payer.invoices[0].pk)
    again = payer.confirm(desk, preview)
    assert "Nothing was recorded" in text(again) and not Batch.objects.exists()
    payer.confirm(desk, again)
    batches.run_due()
    assert payer.recorded() == [0, 2000, 500]


def test_an_invoice_with_something_under_way_is_passed_over(desk: Client, payer: Payer, agent: Any) -> None:
    operations.request("void", payer.invoices[0].pk, actor=agent, source="admin", reason="x")
    shown = text(payer.ask(desk, amount="25"))
    assert "Record EUR 25.00 on 2 invoices" in shown
    amounts = re.findall(r'num strong">([^<]*)<', shown)
    assert amounts == ["–", "EUR 20.00", "EUR 5.00"]


def test_above_the_threshold_the_whole_waits_for_a_second_person(
    desk: Client, sandbox: SandboxProcess, payer: Payer, settings: Any
) -> None:
    settings.APPROVAL_THRESHOLDS = {"default": 20}
    preview = payer.ask(desk, amount="25")
    assert "A second person must agree" in text(preview)
    payer.confirm(desk, preview)
    assert Batch.objects.get().awaiting_approval


def test_the_customers_page_leads_there_for_who_may(desk: Client, client: Client, payer: Payer, auditor: Any) -> None:
    address = f"/admin/invoices/customer/{payer.id}/"
    assert "payment/" in text(desk.get(address))
    client.force_login(auditor)
    assert f"{address}payment/" not in text(client.get(address))
    assert client.get(payer.page).status_code == 403 and client.post(payer.page, {}).status_code == 403


def test_nothing_to_pay(desk: Client, sandbox: SandboxProcess) -> None:
    customer = customer_at(sandbox).id
    refetch.refetch("customer", customer)
    assert "Nothing is to be paid" in text(desk.get(f"/admin/invoices/customer/{customer}/payment/"))
    assert desk.get("/admin/invoices/customer/cus_unknown/payment/").status_code == 404
