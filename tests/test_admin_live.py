"""What pages ask of Stripe once they are open: saved payment methods, the payment to attach, the invoice as it is now;
what is said after a decline; and the word of a manager on what stays unknown."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from invoices import clock, live, operations
from invoices.admin import declined
from invoices.models import Invoice, Operation
from tests.factories import CustomerObject, InvoiceObject, customer_at, invoice_at, stored
from tests.sandbox_process import SandboxProcess
from tests.test_admin_actions import LIST, ask, door, hidden, shown

AWAY = "http://127.0.0.1:9"


@pytest.fixture
def desk(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


@pytest.fixture
def two_cards(sandbox: SandboxProcess) -> Any:
    """An open invoice of a customer with a default card, which is declined, and a good one."""
    cache.clear()
    customer = customer_at(sandbox, "pm_card_chargeCustomerFail", name="Ada Byron")
    sandbox.client().v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    made = invoice_at(sandbox, customer=customer.id)
    live.read_now("invoice", made.id)
    live.read_now("customer", customer.id)
    return made


def part(client: Client, invoice: str, **query: str) -> str:
    response = client.get(f"{LIST}{invoice}/methods/", query)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.django_db(transaction=True)
class TestPaymentMethod:
    def test_it_is_chosen_among_what_is_saved(
        self, sandbox: SandboxProcess, desk: Client, two_cards: Any, settings: Any
    ) -> None:
        found = part(desk, two_cards.id)
        assert re.search(r"Visa •••• \d{4}, expires [\d/]+ <small>the default", found)
        (other,) = re.findall(r'value="(pm_\w+)"', found)
        assert "Mastercard •••• 4444" in found and 'value="other"' in found
        page = desk.get(door(two_cards.id, "pay"), {"preview": 1, "payment_method": other}).content.decode()
        assert "on Mastercard •••• 4444" in page
        given = ask(desk, two_cards.id, "pay") | {"payment_method": other}
        assert "Pay: done" in shown(desk, desk.post(door(two_cards.id, "pay"), given))
        assert Operation.objects.get().params == {"payment_method": other}

    def test_another_id_can_be_given(self, desk: Client, two_cards: Any) -> None:
        given = ask(desk, two_cards.id, "pay") | {"payment_method": "other"}
        response = desk.post(door(two_cards.id, "pay"), given)
        assert response.status_code == 400 and b"Give the id of the payment method" in response.content
        given |= {"payment_method_other": "pm_elsewhere1"}
        desk.post(door(two_cards.id, "pay"), given)
        assert Operation.objects.get().params == {"payment_method": "pm_elsewhere1"}
        found = part(desk, two_cards.id, payment_method="pm_elsewhere1")
        assert 'value="pm_elsewhere1"' in found and re.search(r'value="other"[^>]* checked', found)

    def test_the_form_does_without_stripe(self, desk: Client, two_cards: Any, settings: Any) -> None:
        settings.STRIPE_API_BASE = AWAY
        page = desk.get(door(two_cards.id, "pay")).content.decode()
        assert f"{LIST}{two_cards.id}/methods/" in page and 'name="payment_method"' in page
        found = part(desk, two_cards.id, payment_method="pm_typed_1")
        assert "Stripe does not answer just now" in found and 'value="pm_typed_1"' in found
        assert "hx-get" not in found  # it does not ask again and again

    def test_only_for_those_who_may_pay(self, client: Client, two_cards: Any, auditor: User) -> None:
        client.force_login(auditor)
        assert client.get(f"{LIST}{two_cards.id}/methods/").status_code == 403
        assert client.post(f"{LIST}{two_cards.id}/card-link/").status_code == 403


@pytest.mark.django_db
def test_an_invoice_without_customer_has_nothing_to_choose(desk: Client) -> None:
    assert "has no customer" in part(desk, stored(InvoiceObject(customer=None)).pk)


@pytest.mark.django_db(transaction=True)
class TestAfterADecline:
    def decline(self, sandbox: SandboxProcess, client: Client, card: str) -> tuple[Any, str]:
        made = invoice_at(sandbox, card=card)
        live.read_now("invoice", made.id)
        return made, shown(client, client.post(door(made.id, "pay"), ask(client, made.id, "pay")))

    def test_another_method(self, sandbox: SandboxProcess, desk: Client) -> None:
        made, found = self.decline(sandbox, desk, "pm_card_chargeCustomerFail")
        words = found.split('id="customer-words">')[1].split("</p>")[0]
        assert "Please choose another payment method" in words and "https://" in words
        assert "can be charged again at" in found and "update the card" not in found
        again = desk.get(door(made.id, "pay")).content.decode()
        assert "can be charged again at" in again and 'name="override"' not in again

    def test_a_manager_sees_the_override_only_when_it_matters(
        self, sandbox: SandboxProcess, client: Client, manager: User
    ) -> None:
        client.force_login(manager)
        fresh = invoice_at(sandbox)
        live.read_now("invoice", fresh.id)
        assert 'name="override"' not in client.get(door(fresh.id, "pay")).content.decode()
        made, _ = self.decline(sandbox, client, "pm_card_chargeCustomerFail")
        assert 'name="override"' in client.get(door(made.id, "pay")).content.decode()

    def test_a_link_to_update_the_card_is_made_on_demand(
        self, sandbox: SandboxProcess, desk: Client, settings: Any
    ) -> None:
        made, found = self.decline(sandbox, desk, "pm_card_chargeDeclinedExpiredCard")
        path = f"{LIST}{made.id}/card-link/"
        assert path in found and "billing.stripe.com" not in found
        assert desk.get(path).status_code == 405
        link = desk.post(path, headers={"HX-Request": "true"}).content.decode()
        assert re.search(r'<code id="card-address">https://\S+</code>', link)
        sentence = link.split('id="customer-words"')[1]
        assert "Please update your card" in sentence and "The link: https://" in sentence
        assert "The link to update the card: https://" in shown(desk, desk.post(path))
        settings.STRIPE_API_BASE = AWAY
        assert "Stripe made no link" in desk.post(path, headers={"HX-Request": "true"}).content.decode()

    def test_the_payment_page_for_what_the_customer_must_confirm(self, sandbox: SandboxProcess, desk: Client) -> None:
        _, found = self.decline(sandbox, desk, "pm_card_authenticationRequired")
        words = found.split('id="customer-words">')[1].split("</p>")[0]
        assert "confirm this payment yourself" in words and "The link: https://" in words
        operation = Operation.objects.get()
        assert (
            "confirm this payment yourself" in desk.get(f"/admin/invoices/operation/{operation.pk}/").content.decode()
        )

    def test_what_stripe_tried_by_itself_is_helped_too(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = invoice_at(sandbox, card="pm_card_chargeDeclinedExpiredCard")
        with pytest.raises(Exception, match="expired"):
            sandbox.client().v1.invoices.pay(made.id)
        desk.post(f"{LIST}{made.id}/refresh/")
        assert "After the decline" in desk.get(f"{LIST}{made.id}/").content.decode()
        sandbox.client().v1.invoices.void_invoice(made.id)
        desk.post(f"{LIST}{made.id}/refresh/")
        assert "After the decline" not in desk.get(f"{LIST}{made.id}/").content.decode()

    def test_the_hour_ends(self, sandbox: SandboxProcess, desk: Client, monkeypatch: Any) -> None:
        made, _ = self.decline(sandbox, desk, "pm_card_chargeCustomerFail")
        invoice = Invoice.objects.get(pk=made.id)
        found = declined.recent(invoice)
        assert found and found.again_at - clock.now() > timedelta(minutes=55)
        later = clock.now() + timedelta(hours=1, minutes=1)
        monkeypatch.setattr(declined.timezone, "now", lambda: later)
        assert declined.recent(invoice) is None


@pytest.mark.django_db(transaction=True)
class TestAttachPayment:
    @pytest.fixture
    def invoice(self, sandbox: SandboxProcess) -> Any:
        made = invoice_at(sandbox)
        live.read_now("invoice", made.id)
        return made

    def intent(self, sandbox: SandboxProcess, customer: str, **given: Any) -> Any:
        params = {"customer": customer, "amount": 1000, "currency": "usd", **given}
        return sandbox.client().v1.payment_intents.create(params)

    def look(self, client: Client, invoice: Any, **given: str) -> str:
        response = client.get(door(invoice.id, "attach_payment"), {"preview": 1, **given})
        return response.content.decode()

    def test_the_payment_is_looked_at_before(
        self, sandbox: SandboxProcess, desk: Client, invoice: Any, settings: Any
    ) -> None:
        more = self.intent(sandbox, invoice.customer, amount=1500)
        found = self.look(desk, invoice, payment_intent=more.id)
        assert "USD 15.00" in found and "USD 5.00 more than the USD 10.00 that remains" in found
        assert "attached now, credited when it has" in found
        less = self.intent(sandbox, invoice.customer, amount=400)
        assert "USD 6.00 is then still to pay" in self.look(desk, invoice, payment_intent=less.id)
        other = self.intent(sandbox, customer_at(sandbox).id, currency="eur")
        found = self.look(desk, invoice, payment_intent=other.id)
        assert "another customer: this will be refused" in found and "The invoice is in USD" in found
        assert "remark red" in self.look(desk, invoice, payment_intent="pi_no_such_payment")
        assert 'class="payment"' not in self.look(desk, invoice, payment_intent="pi")
        settings.STRIPE_API_BASE = AWAY
        assert "Stripe does not answer just now" in self.look(desk, invoice, payment_intent=more.id)

    def test_attached_is_not_credited_yet(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        intent = self.intent(sandbox, invoice.customer)
        given = ask(desk, invoice.id, "attach_payment") | {"payment_intent": intent.id}
        found = shown(desk, desk.post(door(invoice.id, "attach_payment"), given))
        assert found.count("attached, not credited yet") >= 2 and "result violet" in found
        operation = Operation.objects.get()
        page = f"/admin/invoices/operation/{operation.pk}/"
        assert "attached, not credited yet" in desk.get(page).content.decode()
        method = sandbox.client().v1.customers.payment_methods.list(invoice.customer).data[0].id
        sandbox.client().v1.payment_intents.confirm(intent.id, {"payment_method": method})
        live.read_now("invoice", invoice.id)
        assert "attached, and credited" in desk.get(page).content.decode()
        assert "not credited yet" not in desk.get(f"{LIST}{invoice.id}/").content.decode()

    def test_a_refusal_stands_beside_its_field(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        given = ask(desk, invoice.id, "attach_payment") | {"payment_intent": "pi_no_such_payment"}
        response = desk.post(door(invoice.id, "attach_payment"), given)
        field = response.content.decode().split('name="payment_intent"')[1].split('<div class="field')[0]
        assert response.status_code == 400 and 'class="error"' in field
        assert not Operation.objects.exists()

    def test_what_the_bank_processes_is_shown_as_such(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = invoice_at(sandbox, card="pm_usBankAccount_processing")
        live.read_now("invoice", made.id)
        shown(desk, desk.post(door(made.id, "pay"), ask(desk, made.id, "pay")))
        desk.post(f"{LIST}{made.id}/refresh/")
        found = desk.get(f"{LIST}{made.id}/").content.decode()
        assert '<span class="badge violet">processing</span> USD 10.00' in found
        assert "your bank is processing it" in found and "result red" not in found
        assert "USD 10.00 is on its way; the bank is still processing it." in found
        assert f"/admin/invoices/invoice/{made.id}/do/pay/" not in found


@pytest.mark.django_db(transaction=True)
class TestUndecided:
    @pytest.fixture
    def stuck(self, sandbox: SandboxProcess, agent: User) -> Operation:
        """A payment of which nobody could find out anything for two hours."""
        made = invoice_at(sandbox)
        live.read_now("invoice", made.id)
        at = clock.now() - timedelta(hours=2)
        return Operation.objects.create(
            action="pay",
            invoice=made.id,
            actor=agent,
            source="admin",
            reason="asked",
            state="unknown",
            created_at=at,
            settle_at=clock.now() + timedelta(days=1),
            before={"status": "open", "amount_remaining": 900, "currency": "usd", "number": made.number},
            calls=[{"name": "pay", "first_sent_at": at.isoformat(), "sent_at": at.isoformat(), "params": {}}],
        )

    def path(self, operation: Operation) -> str:
        return f"/admin/invoices/operation/{operation.pk}/"

    def test_a_manager_finds_it_and_decides(
        self, sandbox: SandboxProcess, client: Client, manager: User, stuck: Operation
    ) -> None:
        client.force_login(manager)
        home = client.get("/admin/").content.decode()
        assert "For you to decide" in home and "?state=undecided" in home
        assert self.path(stuck) in client.get("/admin/invoices/operation/?state=undecided").content.decode()
        page = client.get(self.path(stuck)).content.decode()
        assert "What came of it?" in page and "result red" not in page and "result violet" in page
        response = client.post(f"{self.path(stuck)}close/", {"reason": " "})
        found = response.content.decode()
        assert response.status_code == 400
        assert "Please choose one of the two." in found and "Please say how you know" in found
        stuck.refresh_from_db()
        assert stuck.state == "unknown"
        given = {"took_effect": "no", "reason": "no charge in the dashboard"}
        found = shown(client, client.post(f"{self.path(stuck)}close/", given))
        assert "manager decided that it did not take effect: no charge in the dashboard" in found
        stuck.refresh_from_db()
        assert (stuck.state, stuck.outcome_by, stuck.code) == ("failed", "person", "not_applied")
        assert sandbox.stats()["charges"] == {}
        again = client.post(f"{self.path(stuck)}close/", given | {"took_effect": "yes"})
        assert "still being checked" in shown(client, again) or "known by now" in shown(client, again)
        assert Operation.objects.get().state == "failed"

    def test_what_stripe_has_now_is_read_by_the_open_page(
        self, sandbox: SandboxProcess, client: Client, manager: User, stuck: Operation, settings: Any
    ) -> None:
        client.force_login(manager)
        sandbox.client().v1.invoices.pay(stuck.invoice)
        page = client.get(self.path(stuck)).content.decode()
        assert f'hx-post="{self.path(stuck)}now/"' in page and "Asking Stripe" in page
        assert client.get(f"{self.path(stuck)}now/").status_code == 405
        part = client.post(f"{self.path(stuck)}now/", headers={"HX-Request": "true"}).content.decode()
        assert "The invoice was open, and is paid now." in part and "At Stripe now" in part and "<html" not in part
        settings.STRIPE_API_BASE = AWAY
        part = client.post(f"{self.path(stuck)}now/", headers={"HX-Request": "true"}).content.decode()
        assert "Stripe does not answer just now" in part and "As we know it" in part
        given = {"took_effect": "yes", "reason": "paid in the dashboard"}
        response = client.post(f"{self.path(stuck)}close/", given)
        assert response.status_code == 400 and b"Stripe cannot be reached" in response.content
        assert b"paid in the dashboard" in response.content  # what was typed stays

    def test_until_then_the_invoice_is_held(self, client: Client, manager: User, stuck: Operation) -> None:
        client.force_login(manager)
        found = client.get(f"{LIST}{stuck.invoice}/").content.decode()
        assert "An operation on this invoice has not ended" in found and door(stuck.invoice, "pay") not in found
        assert "decide what came of it" in found and "a manager decides" in found

    def test_nobody_else_decides(self, client: Client, agent: User, auditor: User, stuck: Operation) -> None:
        for person in (agent, auditor):
            client.force_login(person)
            assert "A billing manager decides" in client.get(self.path(stuck)).content.decode()
            assert client.post(f"{self.path(stuck)}close/", {"took_effect": "yes", "reason": "x"}).status_code == 403
            assert "For you to decide" not in client.get("/admin/").content.decode()
        assert Operation.objects.get().state == "unknown"


@pytest.mark.django_db(transaction=True)
class TestTheApproversPage:
    def test_it_says_what_has_changed_since(
        self, sandbox: SandboxProcess, client: Client, agent: User, manager: User, settings: Any
    ) -> None:
        made = invoice_at(sandbox, 500_000)
        live.read_now("invoice", made.id)
        operation = operations.request(
            "void", made.id, actor=agent, source="admin", reason="Sent twice", ticket="T-9", expected={}
        )
        client.force_login(manager)
        path = f"/admin/invoices/operation/{operation.pk}/"
        found = client.get(path).content.decode()
        for words in ("agent asks: void", "Sent twice", "T-9", "Nothing of this has changed since", ">Approve<"):
            assert words in found, words
        record = sandbox.client().v1.payment_records.report_payment(
            {
                "amount_requested": {"currency": "usd", "value": 100_000},
                "initiated_at": 1_700_000_000,
                "outcome": "guaranteed",
                "guaranteed": {"guaranteed_at": 1_700_000_000},
                "payment_method_details": {"type": "custom", "custom": {"display_name": "Check"}},
                "customer_details": {"customer": made.customer},
            }
        )
        sandbox.client().v1.invoices.attach_payment(made.id, {"payment_record": record.id})
        part = client.post(f"{path}now/", headers={"HX-Request": "true"}).content.decode()
        assert "USD 5,000.00 was to pay, and USD 4,000.00 is to pay now." in part
        assert "It can no longer be done" in part  # Stripe voids nothing that is partly paid
        assert hidden(part)["seen_remaining"] == "400000"


@pytest.mark.django_db(transaction=True)
class TestWhence:
    def ask(self, client: Client, headers: dict[str, str]) -> Any:
        invoice = stored(InvoiceObject(status="draft", customer=stored(CustomerObject()).pk))
        operation = ask(client, invoice.pk, "finalize")
        return client.post(door(invoice.pk, "finalize"), operation, headers=headers)

    @pytest.mark.parametrize("wrong", ["", "short", "x" * 200, "<script>alert(1)</script>", "two words here"])
    def test_a_request_id_is_made_where_none_is_sane(self, desk: Client, wrong: str) -> None:
        response = self.ask(desk, {"X-Request-ID": wrong})
        assert re.fullmatch(r"req_[0-9a-f]{24}", response["X-Request-ID"])
        assert Operation.objects.get().request_id == response["X-Request-ID"]

    def test_the_proxys_is_kept(self, desk: Client) -> None:
        response = self.ask(desk, {"X-Request-ID": "0af7651916cd43dd8448eb211c80319c"})
        assert response["X-Request-ID"] == "0af7651916cd43dd8448eb211c80319c"
        operation = Operation.objects.get()
        assert operation.request_id == response["X-Request-ID"] and operation.address == "127.0.0.1"
        page = desk.get(f"/admin/invoices/operation/{operation.pk}/").content.decode()
        assert "0af7651916cd43dd8448eb211c80319c" in page
