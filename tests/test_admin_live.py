"""What pages ask of Stripe once they are open: saved payment methods, the payment to attach, the invoice as it is now;
what is said after a decline; and the word of a manager on what stays unknown."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from invoices import clock, operations, refetch
from invoices.models import Invoice, Operation
from tests.factories import CustomerObject, InvoiceObject, customer_at, invoice_at, stored
from tests.helpers.admin_pages import LIST, action_url, form_data, hidden, page_after
from tests.sandbox_process import SandboxProcess

AWAY = "http://127.0.0.1:9"


@pytest.fixture
def two_cards(sandbox: SandboxProcess) -> Any:
    """An open invoice of a customer with a default card, which is declined, and a good one."""
    cache.clear()
    customer = customer_at(sandbox, "pm_card_chargeCustomerFail", name="Ada Byron")
    sandbox.client().v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    made = invoice_at(sandbox, customer=customer.id)
    refetch.refetch("invoice", made.id)
    refetch.refetch("customer", customer.id)
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
        page = desk.get(action_url(two_cards.id, "pay"), {"preview": 1, "payment_method": other}).content.decode()
        assert "on Mastercard •••• 4444" in page
        given = form_data(desk, two_cards.id, "pay") | {"payment_method": other}
        assert "Pay: done" in page_after(desk, desk.post(action_url(two_cards.id, "pay"), given))
        assert Operation.objects.get().params == {"payment_method": other}

    def test_a_declined_card_that_is_saved_twice_is_recognised(
        self, sandbox: SandboxProcess, desk: Client, two_cards: Any
    ) -> None:
        stripe = sandbox.client().v1
        again = stripe.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": two_cards.customer}).id
        desk.post(action_url(two_cards.id, "pay"), form_data(desk, two_cards.id, "pay"))
        part(desk, two_cards.id)  # as the open form does: the cards are known from now on
        before = sandbox.stats()["requests"]
        pages = {
            id: desk.get(action_url(two_cards.id, "pay"), {"preview": 1, "payment_method": id}).content.decode()
            for id in [method.id for method in stripe.customers.payment_methods.list(two_cards.customer).data]
        }
        assert "Visa •••• 0341 was declined at " in pages[again]
        assert sorted("was declined at" in page for page in pages.values()) == [False, True, True]
        asked = "GET /v1/payment_methods/:id"
        assert sandbox.stats()["requests"].get(asked) == before.get(asked)

    def test_another_id_can_be_given(self, desk: Client, two_cards: Any) -> None:
        given = form_data(desk, two_cards.id, "pay") | {"payment_method": "other"}
        response = desk.post(action_url(two_cards.id, "pay"), given)
        assert response.status_code == 400 and b"Give the id of the payment method" in response.content
        given |= {"payment_method_other": "pm_elsewhere1"}
        desk.post(action_url(two_cards.id, "pay"), given)
        assert Operation.objects.get().params == {"payment_method": "pm_elsewhere1"}
        found = part(desk, two_cards.id, payment_method="pm_elsewhere1")
        assert 'value="pm_elsewhere1"' in found and re.search(r'value="other"[^>]* checked', found)

    def test_the_form_does_without_stripe(self, desk: Client, two_cards: Any, settings: Any) -> None:
        settings.STRIPE_API_BASE = AWAY
        page = desk.get(action_url(two_cards.id, "pay")).content.decode()
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
        refetch.refetch("invoice", made.id)
        return made, page_after(client, client.post(action_url(made.id, "pay"), form_data(client, made.id, "pay")))

    def test_another_method(self, sandbox: SandboxProcess, desk: Client) -> None:
        made, found = self.decline(sandbox, desk, "pm_card_chargeCustomerFail")
        words = found.split('id="customer-words" lang="en">')[1].split("</p>")[0]
        assert "Please choose another payment method" in words and "https://" in words
        assert "can be charged again at" in found and "update the card" not in found
        again = desk.get(action_url(made.id, "pay")).content.decode()
        assert "It can be tried again from" in again and 'name="override"' not in again

    def test_a_manager_sees_the_override_only_when_it_matters(
        self, sandbox: SandboxProcess, client: Client, manager: User
    ) -> None:
        client.force_login(manager)
        fresh = invoice_at(sandbox)
        refetch.refetch("invoice", fresh.id)
        assert 'name="override"' not in client.get(action_url(fresh.id, "pay")).content.decode()
        made, _ = self.decline(sandbox, client, "pm_card_chargeCustomerFail")
        assert 'name="override"' in client.get(action_url(made.id, "pay")).content.decode()

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
        assert "The link to update the card: https://" in page_after(desk, desk.post(path))
        settings.STRIPE_API_BASE = AWAY
        assert "Stripe made no link" in desk.post(path, headers={"HX-Request": "true"}).content.decode()

    def test_the_payment_page_for_what_the_customer_must_confirm(self, sandbox: SandboxProcess, desk: Client) -> None:
        _, found = self.decline(sandbox, desk, "pm_card_authenticationRequired")
        words = found.split('id="customer-words" lang="en">')[1].split("</p>")[0]
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
        refusal = self.refusal_of_pay(invoice)
        assert refusal and refusal.until and refusal.until - clock.now() > timedelta(minutes=55)
        assert "This would be refused" in desk.get(action_url(made.id, "pay")).content.decode()
        later = clock.now() + timedelta(hours=1, minutes=1)
        monkeypatch.setattr(clock, "now", lambda: later)
        assert self.refusal_of_pay(invoice) is None

    def refusal_of_pay(self, invoice: Invoice) -> operations.Refusal | None:
        known = operations.eligibility.circumstances_of([invoice])
        return operations.eligibility.check(operations.ACTIONS["pay"], invoice, {}, known)


@pytest.mark.django_db(transaction=True)
class TestAttachPayment:
    @pytest.fixture
    def invoice(self, sandbox: SandboxProcess) -> Any:
        made = invoice_at(sandbox)
        refetch.refetch("invoice", made.id)
        return made

    def intent(self, sandbox: SandboxProcess, customer: str, **given: Any) -> Any:
        params = {"customer": customer, "amount": 1000, "currency": "usd", **given}
        return sandbox.client().v1.payment_intents.create(params)

    def look(self, client: Client, invoice: Any, **given: str) -> str:
        response = client.get(action_url(invoice.id, "attach_payment"), {"preview": "1", **given})
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
        assert "It is a payment in EUR, and the invoice is in USD." in found
        other = self.intent(sandbox, customer_at(sandbox).id)
        assert "a payment of another customer" in self.look(desk, invoice, payment_intent=other.id)
        assert "remark red" in self.look(desk, invoice, payment_intent="pi_no_such_payment")
        assert 'class="payment"' not in self.look(desk, invoice, payment_intent="pi")
        settings.STRIPE_API_BASE = AWAY
        assert "Stripe does not answer just now" in self.look(desk, invoice, payment_intent=more.id)

    def test_attached_is_not_credited_yet(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        intent = self.intent(sandbox, invoice.customer)
        given = form_data(desk, invoice.id, "attach_payment") | {"payment_intent": intent.id}
        found = page_after(desk, desk.post(action_url(invoice.id, "attach_payment"), given))
        assert found.count("attached, not credited yet") >= 2 and "result violet" in found
        operation = Operation.objects.get()
        page = f"/admin/invoices/operation/{operation.pk}/"
        assert "attached, not credited yet" in desk.get(page).content.decode()
        method = sandbox.client().v1.customers.payment_methods.list(invoice.customer).data[0].id
        sandbox.client().v1.payment_intents.confirm(intent.id, {"payment_method": method})
        refetch.refetch("invoice", invoice.id)
        assert "attached, and credited" in desk.get(page).content.decode()
        assert "not credited yet" not in desk.get(f"{LIST}{invoice.id}/").content.decode()

    def test_a_refusal_stands_beside_its_field(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        given = form_data(desk, invoice.id, "attach_payment") | {"payment_intent": "pi_no_such_payment"}
        response = desk.post(action_url(invoice.id, "attach_payment"), given)
        field = response.content.decode().split('name="payment_intent"')[1].split('<div class="field')[0]
        assert response.status_code == 400 and 'class="error"' in field
        assert not Operation.objects.exists()

    def test_what_the_bank_processes_is_shown_as_such(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = invoice_at(sandbox, card="pm_usBankAccount_processing")
        refetch.refetch("invoice", made.id)
        page_after(desk, desk.post(action_url(made.id, "pay"), form_data(desk, made.id, "pay")))
        desk.post(f"{LIST}{made.id}/refresh/")
        found = desk.get(f"{LIST}{made.id}/").content.decode()
        assert '<span class="badge violet">money under way</span> USD 10.00' in found
        assert "USD 10.00 is on its way from the customer&#x27;s bank, since" in found.replace("'", "&#x27;")
        assert "banks take up to 14 days. Do not charge again." in found
        assert "your bank is processing it" in found and "result red" not in found
        assert "A payment of this invoice is still being processed by the bank." in found
        given = form_data(desk, made.id, "pay")  # Pay is offered: it may have been paid outside Stripe
        assert "This would be refused" in desk.get(action_url(made.id, "pay")).content.decode()
        assert desk.post(action_url(made.id, "pay"), given).status_code == 409
        preview = desk.get(action_url(made.id, "pay"), {"preview": "1", "paid_out_of_band": "true"}).content.decode()
        assert "This would be refused" not in preview and "Mark USD 10.00 as paid" in preview


@pytest.mark.django_db(transaction=True)
class TestManualResolution:
    @pytest.fixture
    def stuck(self, sandbox: SandboxProcess, agent: User) -> Operation:
        """A payment of which nobody could find out anything for two hours."""
        made = invoice_at(sandbox)
        refetch.refetch("invoice", made.id)
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
            last_call_first_sent_at=at,
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
        found = page_after(client, client.post(f"{self.path(stuck)}close/", given))
        assert "manager decided that it did not take effect: no charge in the dashboard" in found
        stuck.refresh_from_db()
        assert (stuck.state, stuck.outcome_by, stuck.code) == ("failed", "person", "not_applied")
        assert sandbox.stats()["charges"] == {}
        again = client.post(f"{self.path(stuck)}close/", given | {"took_effect": "yes"})
        assert "still being checked" in page_after(client, again) or "known by now" in page_after(client, again)
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
        assert "Nothing of this has changed" not in part
        given = {"took_effect": "yes", "reason": "paid in the dashboard"}
        response = client.post(f"{self.path(stuck)}close/", given)
        assert response.status_code == 400 and b"Stripe cannot be reached" in response.content
        assert b"paid in the dashboard" in response.content  # what was typed stays

    def test_the_payment_behind_it_is_read_too(
        self, sandbox: SandboxProcess, client: Client, manager: User, stuck: Operation, settings: Any
    ) -> None:
        """Whether a charge was tried stands in its PaymentIntent, of which the invoice tells nothing."""
        client.force_login(manager)
        with pytest.raises(stripe.CardError):
            sandbox.client().v1.invoices.pay(stuck.invoice, {"payment_method": "pm_card_visa_chargeDeclined"})
        assert "declined" not in client.get(self.path(stuck)).content.decode().split("Payments and attempts")[1]
        address = f"{self.path(stuck)}now/"
        part = client.post(address, headers={"HX-Request": "true"}).content.decode()
        assert "declined" in part.partition('id="now-payments" hx-swap-oob="true"')[2]
        settings.STRIPE_API_BASE = AWAY
        part = client.post(address, headers={"HX-Request": "true"}).content.decode()
        assert "Stripe does not answer just now" in part and "now-payments" not in part

    def test_until_then_the_invoice_is_held(self, client: Client, manager: User, stuck: Operation) -> None:
        client.force_login(manager)
        found = client.get(f"{LIST}{stuck.invoice}/").content.decode()
        assert (
            "The outcome of an earlier operation on this invoice is not known yet" in found
            and action_url(stuck.invoice, "pay") not in found
        )
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
        refetch.refetch("invoice", made.id)
        operation = operations.request(
            "void", made.id, actor=agent, source="admin", reason="Sent twice", ticket="T-9", expected={}
        )
        client.force_login(manager)
        path = f"/admin/invoices/operation/{operation.pk}/"
        found = client.get(path).content.decode()
        for words in ("agent asks: void", "Sent twice", "T-9", "nothing of this has changed since", ">Approve<"):
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
    def form_data(self, client: Client, headers: dict[str, str]) -> Any:
        invoice = stored(InvoiceObject(status="draft", customer=stored(CustomerObject()).pk))
        operation = form_data(client, invoice.pk, "finalize")
        return client.post(action_url(invoice.pk, "finalize"), operation, headers=headers)

    @pytest.mark.parametrize("wrong", ["", "short", "x" * 200, "<script>alert(1)</script>", "two words here"])
    def test_a_request_id_is_made_where_none_is_sane(self, desk: Client, wrong: str) -> None:
        response = self.form_data(desk, {"X-Request-ID": wrong})
        assert re.fullmatch(r"req_[0-9a-f]{24}", response["X-Request-ID"])
        assert Operation.objects.get().request_id == response["X-Request-ID"]

    def test_the_proxys_is_kept(self, desk: Client) -> None:
        response = self.form_data(desk, {"X-Request-ID": "0af7651916cd43dd8448eb211c80319c"})
        assert response["X-Request-ID"] == "0af7651916cd43dd8448eb211c80319c"
        operation = Operation.objects.get()
        assert operation.request_id == response["X-Request-ID"] and operation.address == "127.0.0.1"
        page = desk.get(f"/admin/invoices/operation/{operation.pk}/").content.decode()
        assert "0af7651916cd43dd8448eb211c80319c" in page
