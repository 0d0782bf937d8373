"""A part of an invoice is paid or credited: what Stripe lowers with it, without an event, is no drift."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from invoices import reconcile, sync
from invoices.models import Drift, InvoicePayment, PaymentIntent, ScheduledRefetch
from tests.factories import invoice_at
from tests.helpers.operations import act
from tests.helpers.stripe_state import drain
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(sandbox: SandboxProcess) -> Any:
    made = invoice_at(sandbox, 10_00)
    assert reconcile.sweep_lists("full").exit_code == 0
    drain()
    return made


def asked_for() -> tuple[int | None, int | None]:
    """What the open payment and its PaymentIntent ask for here, in minor units."""
    payment = InvoicePayment.objects.get(status="open")
    return payment.amount_requested, PaymentIntent.objects.get(pk=payment.payment_intent).amount


def no_drift() -> None:
    for kind in ("sweep", "full"):
        run = reconcile.sweep_lists(kind)
        assert (run.exit_code, list(Drift.objects.values_list("object_type", "field", "ours", "theirs"))) == (0, [])


def test_a_part_that_we_record(invoice: Any, agent: User) -> None:
    params = {"amount": 400, "method": "Bank transfer", "reference": "bank 1", "received_on": "2026-01-02"}
    act("attach_out_of_band_payment", invoice.id, agent, params=params)
    no_drift()  # at once: a refetch is scheduled, so the difference is explained
    drain()
    assert asked_for() == (600, 600) and not ScheduledRefetch.objects.exists()
    no_drift()


def test_a_part_that_was_paid_at_stripe(sandbox: SandboxProcess, invoice: Any) -> None:
    stripe = sandbox.client().v1
    intent = stripe.payment_intents.create({"amount": 400, "currency": "usd", "customer": invoice.customer})
    stripe.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    stripe.invoices.attach_payment(invoice.id, {"payment_intent": intent.id})
    reconcile.catch_up()
    sync.process_events()
    drain()
    assert asked_for() == (600, 600)
    no_drift()


def test_a_part_that_was_credited(sandbox: SandboxProcess, invoice: Any) -> None:
    sandbox.client().v1.credit_notes.create({"invoice": invoice.id, "amount": 300})
    reconcile.catch_up()
    sync.process_events()
    drain()
    assert asked_for() == (700, 700)
    no_drift()


def test_true_drift_is_still_found(invoice: Any) -> None:
    PaymentIntent.objects.update(amount=1, data={"id": "pi", "object": "payment_intent", "amount": 1})
    assert reconcile.sweep_lists("full").exit_code == 3 and Drift.objects.exists()


def test_nothing_is_read_where_nothing_was_lowered(sandbox: SandboxProcess, invoice: Any) -> None:
    sandbox.client().v1.invoices.update(invoice.id, {"metadata": {"order": "7"}})
    reconcile.catch_up()
    sync.process_events()
    assert not ScheduledRefetch.objects.filter(object_type="payment_intent").exists()
