"""Payments made outside Stripe, of the whole amount or of a part."""

from __future__ import annotations

import time

from tests.sandbox.shop import Answer, Shop


def attach(shop: Shop, invoice: str, **form: str) -> Answer:
    return shop.post(f"/v1/invoices/{invoice}/attach_payment", form)


def test_a_payment_record(shop: Shop) -> None:
    record = shop.record(
        400,
        processor_details={"type": "custom", "custom": {"payment_reference": "CHEQUE-7"}},
        customer_details={"email": "ada@example.com"},
        description="by hand",
        metadata={"a": "b"},
    )
    assert record.id.startswith("pr_")
    assert (record.amount_requested.value, record.amount_guaranteed.value) == (400, 400)
    assert record.processor_details.custom.payment_reference == "CHEQUE-7"
    assert (record.reported_by, record.metadata["a"]) == ("self", "b")
    assert shop.v1.payment_records.retrieve(record.id).id == record.id
    assert [one["id"] for one in shop.get("/v1/payment_records").json["data"]] == [record.id]


def test_what_a_record_requires(shop: Shop) -> None:
    answer = shop.post("/v1/payment_records/report_payment", {"initiated_at": "1"})
    assert (answer.status, answer.error["code"]) == (400, "parameter_missing")
    form = {
        "amount_requested[currency]": "usd",
        "amount_requested[value]": "5",
        "initiated_at": "1",
        "payment_method_details[type]": "custom",
        "outcome": "guaranteed",
    }
    assert shop.post("/v1/payment_records/report_payment", form).error["code"] == "parameter_missing"


def test_a_smaller_amount_leaves_it_open(shop: Shop) -> None:
    invoice = shop.open(1000)
    after = shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(400).id})
    assert (after.status, after.amount_paid, after.amount_remaining) == ("open", 400, 600)
    payment = shop.v1.invoice_payments.list({"invoice": invoice.id, "status": "paid"}).data[0]
    assert (payment.payment.type, payment.amount_paid, payment.is_default) == ("payment_record", 400, False)
    rest = shop.v1.invoices.attach_payment(
        invoice.id, {"payment_record": shop.record(600).id, "expand": ["amount_paid_off_stripe"]}
    )
    assert (rest.status, rest.amount_paid, rest.amount_remaining) == ("paid", 1000, 0)
    assert (rest.amount_paid_off_stripe, rest.attempted, rest.attempt_count) == (1000, False, 0)


def test_too_much_goes_to_the_customers_credit(shop: Shop) -> None:
    invoice = shop.open(1000)
    after = shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(1500).id})
    assert (after.status, after.amount_overpaid, after.amount_remaining) == ("paid", 500, 0)
    assert shop.v1.customers.retrieve(invoice.customer).balance == -500
    next_one = shop.open(800, shop.v1.customers.retrieve(invoice.customer))
    assert next_one.amount_due == 300


def test_off_stripe_is_one_part_of_what_was_paid(shop: Shop) -> None:
    invoice = shop.open(1000)
    shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(400).id})
    paid = shop.v1.invoices.pay(invoice.id, {"expand": ["amount_paid_off_stripe"]})
    assert (paid.amount_paid, paid.amount_paid_off_stripe) == (1000, 400)
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_an_intent_can_be_attached_whole_or_in_part(shop: Shop) -> None:
    invoice = shop.open(1000)
    given = {"currency": "usd", "customer": invoice.customer, "confirm": True, "payment_method": "pm_card_visa"}
    customer_card = shop.v1.payment_methods.attach("pm_card_visa", {"customer": invoice.customer})
    done = shop.v1.payment_intents.create({**given, "amount": 300, "payment_method": customer_card.id})
    part = shop.v1.invoices.attach_payment(invoice.id, {"payment_intent": done.id})
    assert (part.status, part.amount_paid) == ("open", 300)
    waiting = shop.v1.payment_intents.create({"currency": "usd", "amount": 700, "customer": invoice.customer})
    still = shop.v1.invoices.attach_payment(invoice.id, {"payment_intent": waiting.id})
    assert (still.status, still.amount_paid) == ("open", 300)
    shop.v1.payment_intents.confirm(waiting.id, {"payment_method": customer_card.id})
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"
    assert shop.process.stats()["charges"] == {invoice.id: 2}


def test_a_record_that_waits_pays_when_it_is_guaranteed(shop: Shop) -> None:
    invoice = shop.open(1000)
    record = shop.record(1000, outcome=None)
    assert shop.v1.invoices.attach_payment(invoice.id, {"payment_record": record.id}).status == "open"
    shop.v1.payment_records.report_payment_attempt_guaranteed(record.id, {"guaranteed_at": int(time.time())})
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"


def test_a_record_that_failed_can_be_tried_again(shop: Shop) -> None:
    record = shop.record(1000, outcome="failed")
    assert attach(shop, shop.open(1000).id, payment_record=record.id).status == 400
    now = int(time.time())
    again = shop.v1.payment_records.report_payment_attempt(record.id, {"initiated_at": now})
    assert again.amount_failed.value == 0
    done = shop.v1.payment_records.report_payment_attempt_guaranteed(record.id, {"guaranteed_at": now})
    assert done.amount_guaranteed.value == 1000


def test_exactly_one_payment_is_attached(shop: Shop) -> None:
    invoice = shop.open()
    assert attach(shop, invoice.id).status == 400
    assert attach(shop, invoice.id, payment_record="pr_nope").error["code"] == "resource_missing"
