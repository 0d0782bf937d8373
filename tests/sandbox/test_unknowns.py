"""Behaviour that nobody has seen at Stripe: the sandbox answers as the table in sandbox/unknowns.py says."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.unknowns import UNKNOWNS
from tests.sandbox.shop import Shop

V1 = "You can only pass in open invoices. This invoice isn't open."
V2 = "Invoices with `paid` payments cannot be voided."
S1 = "This invoice cannot be sent right now."


def refusal(shop: Shop, path: str, **form: str) -> str:
    answer = shop.post(f"/v1/invoices/{path}", form)
    assert answer.status == 400, answer
    return answer.error["message"]


def test_the_table_can_be_read_over_http(shop: Shop) -> None:
    assert shop.process.get("unknowns") == UNKNOWNS


def test_void_uncollectible(shop: Shop) -> None:
    assert refusal(shop, f"{shop.in_state('uncollectible').id}/void") == V1


def test_pay_void(shop: Shop) -> None:
    assert refusal(shop, f"{shop.in_state('void').id}/pay") == V1
    assert refusal(shop, f"{shop.in_state('void').id}/pay", paid_out_of_band="true") == V1


def test_pay_draft_out_of_band(shop: Shop) -> None:
    assert refusal(shop, f"{shop.draft().id}/pay", paid_out_of_band="true") == V1


def test_pay_uncollectible(shop: Shop) -> None:
    assert shop.v1.invoices.pay(shop.in_state("uncollectible").id).status == "paid"


@pytest.mark.parametrize("status", ["open", "void", "uncollectible"])
def test_send_where_only_sending_was_seen(shop: Shop, status: str) -> None:
    assert refusal(shop, f"{shop.in_state(status).id}/send").startswith(S1)


@pytest.mark.parametrize("status", ["open", "paid", "void", "uncollectible"])
def test_update_auto_advance(shop: Shop, status: str) -> None:
    invoice = shop.in_state(status)
    answer = shop.post(f"/v1/invoices/{invoice.id}", {"auto_advance": "true"})
    assert (answer.status, answer.error["param"]) == (400, "auto_advance")


def test_get_deleted_draft(shop: Shop) -> None:
    draft = shop.draft()
    shop.v1.invoices.delete(draft.id)
    assert shop.get(f"/v1/invoices/{draft.id}").status == 404


def test_void_partly_paid(shop: Shop) -> None:
    invoice = shop.open(1000)
    shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(1).id})
    assert refusal(shop, f"{invoice.id}/void") == V2


def test_attach_twice(shop: Shop) -> None:
    record = shop.record(10)
    first, second = shop.open(), shop.open()
    shop.v1.invoices.attach_payment(first.id, {"payment_record": record.id})
    for invoice in (first, second):
        refusal(shop, f"{invoice.id}/attach_payment", payment_record=record.id)


def test_attach_other_currency(shop: Shop) -> None:
    refusal(shop, f"{shop.open().id}/attach_payment", payment_record=shop.record(10, "eur").id)


def test_attach_other_customer(shop: Shop) -> None:
    given = {"amount": 100, "currency": "usd", "customer": shop.customer().id}
    refusal(shop, f"{shop.open().id}/attach_payment", payment_intent=shop.v1.payment_intents.create(given).id)


def unconfirmed(shop: Shop, invoice: Any) -> str:
    """A PaymentIntent of 4.00 that is attached to this invoice and waits to be confirmed."""
    given = {"amount": 400, "currency": "usd", "customer": invoice.customer, "payment_method": "pm_card_visa"}
    intent = shop.v1.payment_intents.create(given).id
    shop.v1.invoices.attach_payment(invoice.id, {"payment_intent": intent})
    return str(intent)


def test_attach_unconfirmed(shop: Shop) -> None:
    invoice = shop.open(1000)
    intent = unconfirmed(shop, invoice)
    assert shop.v1.invoices.retrieve(invoice.id).amount_remaining == 1000
    assert shop.v1.payment_intents.confirm(intent).status == "succeeded"
    assert shop.v1.invoices.retrieve(invoice.id).amount_remaining == 600
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_confirm_released(shop: Shop) -> None:
    invoice = shop.open(1000)
    intent = unconfirmed(shop, invoice)
    shop.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert shop.v1.payment_intents.confirm(intent).status == "succeeded"
    found = shop.v1.invoices.retrieve(invoice.id)
    assert (found.amount_paid, found.amount_overpaid) == (1000, 0)


def test_attach_uncollectible(shop: Shop) -> None:
    invoice = shop.in_state("uncollectible")
    record = shop.record(invoice.amount_remaining)
    answer = shop.post(f"/v1/invoices/{invoice.id}/attach_payment", {"payment_record": record.id})
    assert answer.status == 200 and shop.v1.invoices.retrieve(invoice.id).status == "paid"


@pytest.mark.parametrize("status", ["draft", "paid", "void"])
def test_attach_not_open(shop: Shop, status: str) -> None:
    record = shop.record(10)
    assert refusal(shop, f"{shop.in_state(status).id}/attach_payment", payment_record=record.id) == V1


def test_finalized_then_charged(shop: Shop) -> None:
    invoice = shop.open(auto_advance=True)
    assert invoice.next_payment_attempt == invoice.status_transitions.finalized_at + 3600
    shop.process.clock(advance=3601)
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"
