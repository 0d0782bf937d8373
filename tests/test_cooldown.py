"""The decline cooldown: a card that was declined is not charged again within the hour, under whatever id, for whichever
invoice of the customer."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from invoices import clock, operations, refetch
from invoices.models import Customer, Invoice, Operation
from invoices.operations import ACTIONS, eligibility
from invoices.operations import batch as batches
from tests.factories import InvoiceObject, customer_at, invoice_at, stored
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State

DECLINED = "pm_card_chargeCustomerFail"  # attaches, and is declined whenever it is charged
FINGERPRINT = "Sbx0000000341Fpr"  # the sandbox's, of that card


def attached(sandbox: SandboxProcess, customer: str, card: str) -> str:
    """The id of one more payment method of the customer."""
    return str(sandbox.client().v1.payment_methods.attach(card, {"customer": customer}).id)


def set_default(sandbox: SandboxProcess, customer: str, method: str) -> None:
    sandbox.client().v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})


def subscription_invoice(sandbox: SandboxProcess, customer: str, method: str) -> str:
    """An open invoice of a new subscription whose default payment method is `method`; nothing was charged yet."""
    stripe = sandbox.client().v1
    product = stripe.products.create({"name": "Plan"})
    price = stripe.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 1500, "recurring": {"interval": "month"}}
    )
    subscription = stripe.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price.id}],
            "default_payment_method": method,
            "payment_behavior": "default_incomplete",
        }
    )
    refetch.refetch("invoice", subscription.latest_invoice)
    return str(subscription.latest_invoice)


def requests(sandbox: SandboxProcess, route: str) -> int:
    return int(sandbox.stats()["requests"].get(route, 0))


def charges_tried(sandbox: SandboxProcess) -> int:
    return requests(sandbox, "POST /v1/invoices/:id/pay")


def refused(invoice: str, user: User, **given: Any) -> operations.Refusal:
    with pytest.raises(operations.Refusal) as refusal:
        act("pay", invoice, user, **given)
    assert refusal.value.code == "attempted_recently", refusal.value.message
    return refusal.value


class TestWhatStripeCharged:
    def test_stripes_error_says_it_where_we_did_not_know(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        method = customer.invoice_settings.default_payment_method
        invoice = invoice_at(sandbox, customer=customer.id)
        operation = act("pay", invoice.id, agent)
        assert not Customer.objects.exists() and operation.code == "card_declined"
        assert (operation.payment_method, operation.card_fingerprint) == (method, FINGERPRINT)
        assert (operation.customer, operation.currency) == (customer.id, "usd")
        refused(invoice.id, agent, params={"payment_method": method})
        assert charges_tried(sandbox) == 1

    def test_stripes_error_says_it_where_we_were_wrong(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox)
        refetch.refetch("customer", customer.id)
        bad = attached(sandbox, customer.id, DECLINED)
        set_default(sandbox, customer.id, bad)
        invoice = invoice_at(sandbox, customer=customer.id)
        assert act("pay", invoice.id, agent).payment_method == bad
        refused(invoice.id, agent)
        assert charges_tried(sandbox) == 1

    def test_a_new_default_can_be_charged_though_the_mirror_has_the_old_one(
        self, sandbox: SandboxProcess, agent: User
    ) -> None:
        customer = customer_at(sandbox, DECLINED)
        refetch.refetch("customer", customer.id)
        invoice = invoice_at(sandbox, customer=customer.id)
        assert act("pay", invoice.id, agent).code == "card_declined"
        set_default(sandbox, customer.id, attached(sandbox, customer.id, "pm_card_visa"))
        assert act("pay", invoice.id, agent).state == State.SUCCEEDED

    def test_found_out_when_the_answer_was_lost(self, sandbox: SandboxProcess, agent: User) -> None:
        invoice = invoice_at(sandbox, card=DECLINED)
        sandbox.faults(drop_reply=1, only=["POST /v1/invoices/*/pay"])
        assert act("pay", invoice.id, agent).state == State.UNKNOWN
        sandbox.clear_faults()
        Operation.objects.update(settle_at=None)
        operations.settle_due()
        operation = Operation.objects.get()
        assert operation.code == "card_declined" and operation.payment_method.startswith("pm_")
        assert operation.card_fingerprint == FINGERPRINT

    def test_only_id_and_fingerprint_are_kept(self, sandbox: SandboxProcess, agent: User) -> None:
        operation = act("pay", invoice_at(sandbox, card=DECLINED).id, agent)
        assert operation.error is not None
        assert operation.error["payment_method"] == {"id": operation.payment_method, "object": "payment_method"}
        assert "client_secret" not in str(operation.error) and "0341" not in str(operation.error)


class TestTheSameCard:
    def test_saved_twice(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        invoice = invoice_at(sandbox, customer=customer.id)
        act("pay", invoice.id, agent)
        again = attached(sandbox, customer.id, DECLINED)
        refusal = refused(invoice.id, agent, params={"payment_method": again})
        assert refusal.message.startswith("Visa •••• 0341 was declined at ")
        assert charges_tried(sandbox) == 1
        other = attached(sandbox, customer.id, "pm_card_mastercard")
        assert act("pay", invoice.id, agent, params={"payment_method": other}).state == State.SUCCEEDED

    def test_saved_twice_and_made_the_default(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        invoice = invoice_at(sandbox, customer=customer.id)
        act("pay", invoice.id, agent)
        set_default(sandbox, customer.id, attached(sandbox, customer.id, DECLINED))
        refused(invoice.id, agent)
        assert charges_tried(sandbox) == 1

    def test_nobody_is_asked_about_cards_where_none_was_declined(
        self, sandbox: SandboxProcess, open_invoice: Any, agent: User
    ) -> None:
        act("pay", open_invoice.id, agent)
        asked = [route for route in sandbox.stats()["requests"] if route.startswith("GET ")]
        assert not [route for route in asked if "payment_method" in route or "subscription" in route], asked

    def test_stripe_does_not_answer_whose_card_it_is(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        invoice = invoice_at(sandbox, customer=customer.id)
        act("pay", invoice.id, agent)
        other = attached(sandbox, customer.id, "pm_card_mastercard")
        sandbox.faults(error_500=1.0, only=["GET /v1/payment_methods/*"])
        with pytest.raises(operations.Refusal) as refusal:
            act("pay", invoice.id, agent, params={"payment_method": other})
        assert refusal.value.code == "stripe_unavailable" and "Nothing was sent" in refusal.value.message
        assert charges_tried(sandbox) == 1

    def test_a_manager_who_overrides_waits_for_no_answer(
        self, sandbox: SandboxProcess, agent: User, manager: User
    ) -> None:
        customer = customer_at(sandbox, DECLINED)
        invoice = invoice_at(sandbox, customer=customer.id)
        act("pay", invoice.id, agent)
        again = attached(sandbox, customer.id, DECLINED)
        with pytest.raises(operations.Refusal):
            act("pay", invoice.id, agent, params={"payment_method": again}, override=True)
        assert act("pay", invoice.id, manager, params={"payment_method": again}, override=True).code == "card_declined"
        assert charges_tried(sandbox) == 2


class TestTheSameCustomer:
    def test_another_invoice(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        first, second = (invoice_at(sandbox, customer=customer.id) for _ in range(2))
        declined = act("pay", first.id, agent)
        refusal = refused(second.id, agent)
        assert refusal.operation == declined and first.id in refusal.message
        assert refusal.until is not None and declined.finished_at is not None
        assert refusal.until == declined.finished_at + eligibility.DECLINE_COOLDOWN
        assert charges_tried(sandbox) == 1
        other = attached(sandbox, customer.id, "pm_card_visa")
        assert act("pay", second.id, agent, params={"payment_method": other}).state == State.SUCCEEDED

    def test_what_was_asked_for_before_the_decline_is_judged_again_when_it_is_sent(
        self, sandbox: SandboxProcess, agent: User
    ) -> None:
        customer = customer_at(sandbox)
        refetch.refetch("customer", customer.id)
        first, second = (invoice_at(sandbox, customer=customer.id).id for _ in range(2))
        refetch.refetch("invoice", second)
        asked = operations.request("pay", second, actor=agent, source="admin", reason="the customer asked")
        set_default(sandbox, customer.id, attached(sandbox, customer.id, DECLINED))
        bad = act("pay", first, agent).payment_method
        set_default(sandbox, customer.id, attached(sandbox, customer.id, DECLINED))
        sent = operations.perform(asked.pk)
        assert (sent.state, sent.code) == (State.FAILED, "attempted_recently")
        assert "was declined at" in sent.message and "Nothing was sent" in sent.message
        assert bad != sent.payment_method and charges_tried(sandbox) == 1

    def test_another_customer_is_not_held(self, sandbox: SandboxProcess, agent: User) -> None:
        act("pay", invoice_at(sandbox, card=DECLINED).id, agent)
        assert act("pay", invoice_at(sandbox).id, agent).state == State.SUCCEEDED

    def test_stripes_own_attempt_for_another_invoice(self, sandbox: SandboxProcess, agent: User, deliver: Any) -> None:
        customer = customer_at(sandbox, DECLINED)
        first, second = (invoice_at(sandbox, customer=customer.id) for _ in range(2))
        sandbox.post(f"invoices/{first.id}/charge_automatically")
        deliver()
        assert refused(second.id, agent).message.startswith("Visa •••• 0341 was declined at ")
        again = attached(sandbox, customer.id, DECLINED)
        refused(second.id, agent, params={"payment_method": again})
        assert charges_tried(sandbox) == 0
        other = attached(sandbox, customer.id, "pm_card_visa")
        assert act("pay", second.id, agent, params={"payment_method": other}).state == State.SUCCEEDED

    def test_a_card_that_was_declined_before_another_one_paid(
        self, sandbox: SandboxProcess, agent: User, deliver: Any
    ) -> None:
        customer = customer_at(sandbox, DECLINED)
        first, second = (invoice_at(sandbox, customer=customer.id) for _ in range(2))
        stripe = sandbox.client().v1
        with pytest.raises(Exception, match="declined"):
            stripe.invoices.pay(first.id)  # by somebody else, with a key of their own
        stripe.invoices.pay(first.id, {"payment_method": attached(sandbox, customer.id, "pm_card_visa")})
        deliver()
        refused(second.id, agent)


class TestASubscriptionsOwnDefault:
    def test_it_is_charged_before_the_customers(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox)
        refetch.refetch("customer", customer.id)
        bad = attached(sandbox, customer.id, DECLINED)
        invoice = subscription_invoice(sandbox, customer.id, bad)
        assert act("pay", invoice, agent).payment_method == bad
        refused(invoice, agent)
        assert charges_tried(sandbox) == 1

    def test_the_customers_declined_card_does_not_hold_it(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        refetch.refetch("customer", customer.id)
        act("pay", invoice_at(sandbox, customer=customer.id).id, agent)
        good = attached(sandbox, customer.id, "pm_card_visa")
        invoice = subscription_invoice(sandbox, customer.id, good)
        operation = act("pay", invoice, agent)
        assert (operation.state, operation.payment_method) == (State.SUCCEEDED, good)


class TestManyInvoices:
    def begin(self, sandbox: SandboxProcess, user: User, invoices: list[str]) -> Any:
        for id in invoices:
            refetch.refetch("invoice", id)
        rows = list(Invoice.objects.filter(pk__in=invoices))
        return batches.start("pay", rows, actor=user, reason="monthly run", batch_id=uuid.uuid4())

    def test_two_invoices_of_one_customer_in_a_batch(self, sandbox: SandboxProcess, agent: User) -> None:
        customer = customer_at(sandbox, DECLINED)
        other = invoice_at(sandbox).id
        batch = self.begin(sandbox, agent, [*(invoice_at(sandbox, customer=customer.id).id for _ in range(3)), other])
        batches.run_due()
        assert batches.progress(batch) == {"succeeded": 1, "failed": 1, "refused": 2, "waiting": 0}
        codes = Operation.objects.filter(batch=batch, state=State.REFUSED).values_list("code", flat=True)
        assert set(codes) == {"attempted_recently"}
        assert charges_tried(sandbox) == 2

    def test_invoices_of_one_customer_are_never_charged_at_once(
        self, sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        customers = [customer_at(sandbox).id for _ in range(3)]
        ids = [invoice_at(sandbox, customer=customer).id for customer in customers * 2]
        batch = self.begin(sandbox, agent, ids)
        rounds = list(batches._rounds(batch, batch.items))
        assert sorted(item.invoice for items in rounds for item in items) == sorted(ids)
        customer_of = dict(Invoice.objects.values_list("pk", "customer_id"))
        for items in rounds:
            assert len(items) <= batches.THREADS
            assert len({customer_of[item.invoice] for item in items}) == len(items)
        batch.action = "void"
        assert [len(items) for items in batches._rounds(batch, batch.items)] == [4, 2]

    def test_declines_of_all_customers_are_found_together(self, agent: User) -> None:
        for number in range(30):
            stored(InvoiceObject(id=f"in_{number}", customer=f"cus_{number}"))
            Operation.objects.create(
                action="pay",
                invoice=f"in_of_before_{number}",
                customer=f"cus_{number}",
                payment_method="pm_1",
                state=State.FAILED,
                code="card_declined",
                finished_at=clock.now(),
                actor=agent,
                source="admin",
            )
        numbers = []
        for count in (3, 30):
            with CaptureQueriesContext(connection) as queries:
                invoices = list(Invoice.objects.all()[:count])
                known = eligibility.circumstances_of(invoices)
            assert all(known.declines_of(invoice) for invoice in invoices)
            numbers.append(len(queries))
        assert numbers[0] == numbers[1] <= 9
        params = {"payment_method": "pm_1"}
        assert eligibility.check(ACTIONS["pay"], invoices[0], params, known) is not None
