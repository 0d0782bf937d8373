"""The links to the screens of Stripe's Dashboard: which stand on the page of an invoice in which state."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from invoices.admin.stripe_screens import screens
from invoices.models import PaymentIntent
from tests.factories import InvoiceObject, InvoicePaymentObject, PaymentIntentObject, stored
from tests.helpers.admin_pages import LIST

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"status": "draft"}, ["Edit the due date and the lines"]),
        ({"status": "open"}, ["Issue a credit note"]),
        ({"status": "open", "collection_method": "send_invoice"}, ["Edit the due date", "Issue a credit note"]),
        ({"status": "paid"}, ["Issue a credit note"]),
        ({"status": "void"}, ["Duplicate it, to bill it anew"]),
        ({"status": "uncollectible"}, ["Issue a credit note", "Duplicate it, to bill it anew"]),
    ],
)
def test_by_state(changes: dict[str, Any], labels: list[str]) -> None:
    assert [screen.label for screen in screens(stored(InvoiceObject(**changes)), [])] == labels


def test_by_mode() -> None:
    invoice = stored(InvoiceObject(status="void", livemode=True))
    assert "/test/" not in screens(invoice, [])[0].address
    invoice = stored(InvoiceObject(status="void"))
    assert f"/test/invoices/{invoice.pk}" in screens(invoice, [])[0].address


def test_what_was_paid_can_be_refunded(desk: Client) -> None:
    invoice = stored(InvoiceObject(status="paid", amount_paid=1000))
    intent: PaymentIntent = stored(PaymentIntentObject(status="succeeded"))
    payment = {"type": "payment_intent", "payment_intent": intent.pk}
    stored(InvoicePaymentObject(invoice=invoice.pk, status="paid", amount_paid=1000, payment=payment))
    found = desk.get(f"{LIST}{invoice.pk}/").content.decode()
    assert f"/test/payments/{intent.pk}" in found and "Refund the payment" in found
    assert "Refund" not in "".join(screen.label for screen in screens(invoice, []))
