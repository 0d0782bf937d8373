"""What is read live for a decision: saved payment methods, the payment to attach, a link to update a card; advice."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices import operations, refetch
from invoices.models import Invoice, InvoicePayment, Operation
from invoices.operations import advice, manual_resolution, payment_lookups
from tests.factories import customer_at, invoice_at
from tests.helpers.database import rewrite
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State


def test_the_customers_saved_methods_in_words(sandbox: SandboxProcess) -> None:
    customer = customer_at(sandbox)
    (method,) = payment_lookups.payment_methods(customer.id)
    assert method.id == customer.invoice_settings.default_payment_method
    assert method.words.startswith("Visa •••• 4242, expires ")


def test_a_link_to_update_the_card(sandbox: SandboxProcess) -> None:
    assert payment_lookups.update_card_link(customer_at(sandbox).id).startswith("https://")


class TestAttachPayment:
    @pytest.fixture
    def invoice(self, sandbox: SandboxProcess) -> Any:
        invoice = invoice_at(sandbox)
        refetch.refetch("invoice", invoice.id)
        return invoice

    def intent(self, sandbox: SandboxProcess, customer: str, **given: Any) -> str:
        params = {"customer": customer, "amount": 1000, "currency": "usd", "confirm": True, **given}
        method = sandbox.client().v1.customers.payment_methods.list(customer).data[0].id
        return sandbox.client().v1.payment_intents.create({"payment_method": method, **params}).id

    def test_a_succeeded_intent_pays(self, sandbox: SandboxProcess, invoice: Any, agent: User) -> None:
        done = act(
            "attach_payment", invoice.id, agent, params={"payment_intent": self.intent(sandbox, invoice.customer)}
        )
        assert done.state == State.SUCCEEDED, done.message
        assert Invoice.objects.get(pk=invoice.id).status == "paid"

    def test_another_currency_is_said_beside_the_field(
        self, sandbox: SandboxProcess, invoice: Any, agent: User
    ) -> None:
        intent = self.intent(sandbox, invoice.customer, currency="eur")
        with pytest.raises(operations.Invalid) as refusal:
            act("attach_payment", invoice.id, agent, params={"payment_intent": intent})
        assert refusal.value.param == "payment_intent" and "EUR" in refusal.value.message

    def test_another_customer_is_said_beside_the_field(
        self, sandbox: SandboxProcess, invoice: Any, agent: User
    ) -> None:
        intent = self.intent(sandbox, customer_at(sandbox).id)
        with pytest.raises(operations.Invalid) as refusal:
            act("attach_payment", invoice.id, agent, params={"payment_intent": intent})
        assert "another customer" in refusal.value.message

    def test_no_such_payment(self, invoice: Any, agent: User) -> None:
        for name in ("payment_intent", "payment_record"):
            with pytest.raises(operations.Invalid) as refusal:
                act("attach_payment", invoice.id, agent, params={name: "nope"})
            assert refusal.value.param == name


def test_stripes_own_attempt_counts_towards_the_hour(sandbox: SandboxProcess, agent: User, deliver: Any) -> None:
    invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
    sandbox.post(f"invoices/{invoice.id}/charge_automatically")
    deliver()
    refetch.refetch("invoice", invoice.id)
    refetch.refetch("customer", invoice.customer)
    for payment in InvoicePayment.objects.filter(invoice_id=invoice.id):
        refetch.refetch("payment_intent", str(payment.payment_intent))  # as the read that is due would
    with pytest.raises(operations.Refusal) as refusal:
        act("pay", invoice.id, agent)
    assert refusal.value.code == "attempted_recently"
    assert act("pay", invoice.id, agent, params={"payment_method": "pm_card_visa"}).state == State.SUCCEEDED


def test_a_manager_may_override_the_hour(sandbox: SandboxProcess, agent: User, manager: User) -> None:
    invoice = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
    act("pay", invoice.id, agent)
    with pytest.raises(operations.Refusal):
        act("pay", invoice.id, agent, override=True)
    assert act("pay", invoice.id, manager, override=True).code == "card_declined"


def test_subscriptions_take_no_part_payments(sandbox: SandboxProcess, agent: User) -> None:
    sandbox.reset(invoices=200, seed=5)
    stripe = sandbox.client()
    ours = next(
        invoice
        for invoice in stripe.v1.invoices.list({"status": "open", "limit": 100}).auto_paging_iter()
        if invoice.parent
        and invoice.collection_method == "charge_automatically"
        and invoice.amount_remaining > 100
        and invoice.currency == "usd"
    )
    refetch.refetch("invoice", ours.id)
    with pytest.raises(operations.Invalid) as refusal:
        act(
            "attach_out_of_band_payment",
            ours.id,
            agent,
            params={"amount": 100, "method": "Cash", "received_on": "2026-11-02"},
        )
    assert refusal.value.param == "amount"


class TestAPersonDecides:
    @pytest.fixture
    def unresolved(self, sandbox: SandboxProcess, agent: User) -> Operation:
        invoice = invoice_at(sandbox)
        sandbox.faults(error_500=1.0, only=["POST /v1/invoices/*/pay"])
        operation = act("pay", invoice.id, agent)
        assert operation.state == State.UNKNOWN
        return operation

    def age(self, operation: Operation) -> None:
        long_ago = "2026-01-01T00:00:00Z"
        rewrite(operation, last_call_first_sent_at=long_ago, created_at=long_ago)

    def test_only_after_the_hour_only_a_manager_only_with_a_reason(
        self, unresolved: Operation, agent: User, manager: User
    ) -> None:
        with pytest.raises(operations.Refusal) as refusal:
            manual_resolution.resolve(unresolved.pk, by=manager, took_effect=False, reason="I looked")
        assert refusal.value.code == "outcome_unknown"
        self.age(unresolved)
        assert list(manual_resolution.queue()) == [unresolved]
        with pytest.raises(operations.Refusal):
            manual_resolution.resolve(unresolved.pk, by=agent, took_effect=False, reason="I looked")
        with pytest.raises(operations.Invalid):
            manual_resolution.resolve(unresolved.pk, by=manager, took_effect=False, reason="")
        done = manual_resolution.resolve(
            unresolved.pk, by=manager, took_effect=False, reason="Stripe's log shows no charge"
        )
        assert (done.state, done.outcome_by) == (State.FAILED, "person")
        assert "no charge" in done.message

    def test_after_the_hour_nothing_is_sent_again(
        self, sandbox: SandboxProcess, unresolved: Operation, agent: User
    ) -> None:
        self.age(unresolved)
        sandbox.clear_faults()
        Operation.objects.filter(pk=unresolved.pk).update(settle_at=None)
        operations.settle_due()
        unresolved.refresh_from_db()
        assert unresolved.state == State.UNKNOWN and manual_resolution.is_needed(unresolved)
        assert sandbox.stats()["charges"] == {}


@pytest.mark.parametrize(
    ("decline", "kind"),
    [
        ("insufficient_funds", "another_method"),
        ("expired_card", "update_card"),
        ("issuer_not_available", "wait"),
        ("stolen_card", "stop"),
        ("a_code_of_next_year", "another_method"),
    ],
)
def test_every_decline_has_advice(decline: str, kind: str) -> None:
    found = advice.advise("card_declined", decline)
    assert found is not None and found.kind == kind


def test_the_customer_never_hears_that_a_card_is_stolen() -> None:
    for code in ("stolen_card", "lost_card", "fraudulent", "pickup_card"):
        found = advice.advise("card_declined", code)
        assert found is not None
        assert not {"stolen", "lost", "fraud", "thief"} & set(found.customer.lower().split())
