"""Charging a part as people and programs ask for it: the form, the API, the command."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from invoices import refetch
from invoices.models import ApiToken, Operation
from tests.factories import InvoiceObject, customer_at, invoice_at, stored, user_in_group
from tests.helpers.admin_pages import LIST, action_url, form_data, page_after, text
from tests.helpers.commands import run_command
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
ACTION = "charge_part"
DISPUTED = "The customer disputes the rest"  # one of the reasons that the form offers


@pytest.fixture
def invoice(sandbox: SandboxProcess) -> Any:
    """Of a customer with a default card, which is declined, and a good one."""
    cache.clear()
    customer = customer_at(sandbox, "pm_card_chargeCustomerFail", name="Ada Byron")
    sandbox.client().v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    made = invoice_at(sandbox, customer=customer.id, amount=123_450)
    refetch.refetch("invoice", made.id)
    refetch.refetch("customer", customer.id)
    return made


def choices(client: Client, invoice: Any) -> list[tuple[str, bool, bool]]:
    """The saved payment methods as the form offers them: id, whether it is chosen, and whether it is disabled."""
    found = text(client.get(f"{LIST}{invoice.id}/methods/", {"action": ACTION}))
    radios = re.findall(r'<input type="radio" name="payment_method" value="(pm_\w+)"([^>]*)>', found)
    return [(id, " checked" in rest, " disabled" in rest) for id, rest in radios]


def post(client: Client, invoice: Any, language: str = "en", **given: str) -> Any:
    form = form_data(client, invoice.id, ACTION) | given
    return client.post(action_url(invoice.id, ACTION), form, headers={"accept-language": language})


class TestTheForm:
    def test_suggests_no_amount_and_the_default_card_by_its_id(self, desk: Client, invoice: Any) -> None:
        page = text(desk.get(action_url(invoice.id, ACTION)))
        (field,) = re.findall(r'<input[^>]*name="amount"[^>]*>', page)
        assert "value" not in field
        (default, other) = choices(desk, invoice)
        assert (default[1], other[1]) == (True, False) and default[0] != other[0]

    def test_a_card_that_was_just_declined_is_disabled(self, desk: Client, invoice: Any) -> None:
        (default, other) = choices(desk, invoice)
        page = page_after(desk, post(desk, invoice, amount="400", payment_method=default[0]))
        assert "Charge a part: declined" in page
        assert choices(desk, invoice) == [(default[0], False, True), (other[0], True, False)]
        page = page_after(desk, post(desk, invoice, amount="400", payment_method=other[0]))
        assert "Charge a part: done" in page
        assert "USD 400.00" in text(desk.get("/admin/invoices/operation/?state=succeeded"))
        operation = Operation.objects.order_by("-created_at")[0]
        assert operation.params == {"amount": 40_000, "payment_method": other[0]}

    def test_previews_what_will_happen(self, desk: Client, invoice: Any) -> None:
        asked = {"preview": "1", "amount": "1,234.00", "payment_method": choices(desk, invoice)[1][0]}
        found = text(desk.get(action_url(invoice.id, ACTION), asked))
        assert "USD 1,234.00 is charged to Ada Byron, on Mastercard •••• 4444" in found
        assert "The invoice stays open with USD 0.50 to pay." in found
        assert "1,234.00 US dollars" in found and ">Charge USD 1,234.00</span>" in found
        found = text(desk.get(action_url(invoice.id, ACTION), asked | {"amount": "1234.10"}))
        assert "That is less than Stripe charges" in found
        found = text(desk.get(action_url(invoice.id, ACTION), asked | {"amount": "1234.50"}))
        assert "To charge all of it, use Pay." in found

    def test_says_when_stripe_charges_the_rest(self, desk: Client) -> None:
        on = datetime(2027, 3, 5, 12, tzinfo=UTC)
        invoice = stored(InvoiceObject(next_payment_attempt=int(on.timestamp())))
        found = text(desk.get(action_url(invoice.pk, ACTION), {"preview": "1", "amount": "4.00"}))
        assert "Stripe charges the rest by itself on 5 March 2027." in found

    @pytest.mark.parametrize(
        ("amount", "said"), [("1234.50", "A part is less"), ("0.49", "no less than"), ("4,5", "4,5"), ("", "missing")]
    )
    def test_says_beside_the_field_what_is_no_part(self, desk: Client, invoice: Any, amount: str, said: str) -> None:
        response = post(desk, invoice, amount=amount, payment_method="other", payment_method_other="pm_card_visa")
        assert response.status_code == 400 and said in text(response)
        assert not Operation.objects.exists()

    def test_takes_german_amounts(self, desk: Client, invoice: Any) -> None:
        page = text(desk.get(action_url(invoice.id, ACTION), headers={"accept-language": "de"}))
        assert "Teil einziehen" in page
        method = choices(desk, invoice)[1][0]
        given = {"amount": "1.000,50", "payment_method": method, "reason": "", "reason_choice": DISPUTED}
        response = post(desk, invoice, "de", **given)
        assert response.status_code == 302
        assert Operation.objects.get().params["amount"] == 100_050
        page = text(desk.get(f"{LIST}{invoice.id}/", headers={"accept-language": "de"}))
        assert page.count("Der Kunde bestreitet den Rest") == 1  # in the timeline

    def test_is_not_there_for_a_subscription_that_is_charged_automatically(self, desk: Client) -> None:
        invoice = stored(InvoiceObject(subscription="sub_1", collection_method="charge_automatically"))
        page = text(desk.get(action_url(invoice.pk, ACTION)))
        assert "takes no part payments" in page and 'id="act"' not in page


class TestWhoMay:
    @pytest.mark.parametrize(
        ("group", "may"),
        [("Support agent", True), ("Billing manager", True), ("Service", True), ("Finance", False), ("Auditor", False)],
    )
    def test_charge_a_part(self, group: str, may: bool) -> None:
        assert user_in_group("somebody", group).has_perm("invoices.charge_part_invoice") is may


class TestPrograms:
    def test_the_api_answers_with_the_invoice(self, sandbox: SandboxProcess, client: Client, invoice: Any) -> None:
        service = user_in_group("shop", "Service")
        _, token = ApiToken.objects.create(service, expiry=None, name="the shop", created_by=service)

        def ask(key: str, **params: Any) -> Any:
            headers = {"authorization": f"Bearer {token}", "idempotency-key": key}
            path = f"/v1/invoices/{invoice.id}/charge_part"
            return client.post(path, json.dumps(params), "application/json", headers=headers)

        for _ in range(2):
            answer = ask("order-1", amount=400, payment_method="pm_card_visa")
            assert (answer.status_code, answer.json().get("amount_remaining")) == (200, 123_050), answer.content
        assert sandbox.stats()["charges"] == {invoice.id: 1}
        answer = ask("order-2", amount=400, payment_method="pm_card_chargeCustomerFail", expand=["payments"])
        error = answer.json()["error"]
        assert (answer.status_code, error["desk_code"]) == (402, "card_declined")
        assert (error["decline_code"], error["payment_intent"]["object"]) == ("generic_decline", "payment_intent")
        answer = ask("order-3", amount=400)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "payment_method")

    def test_the_command_charges(self, sandbox: SandboxProcess, invoice: Any, manager: User) -> None:
        asked = ("--amount", "4.00", "--payment-method", "pm_card_visa", "--reason", "asked by mail")
        code, said = run_command("perform", ACTION, invoice.id, *asked, "--as", manager.username)
        assert code == 0 and "charged in part" in said
        assert sandbox.stats()["charges"] == {invoice.id: 1}
