"""Calls that the other test modules do not cover."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.shop import Shop


def test_each_state_file_is_an_account_of_its_own(shop: Shop) -> None:
    account = shop.v1.accounts.retrieve_current().id
    assert account.startswith("acct_1") and shop.v1.accounts.retrieve_current().id == account
    shop.process.reset()
    assert shop.v1.accounts.retrieve_current().id != account


def test_a_payment_method_can_be_changed(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    method = customer.invoice_settings.default_payment_method
    given = {"billing_details": {"name": "Ada", "address": {"city": "Lyon"}}, "card": {"exp_year": 2040}}
    changed = shop.v1.payment_methods.update(method, {**given, "metadata": {"a": "b"}})
    assert (changed.billing_details.name, changed.billing_details.address.city) == ("Ada", "Lyon")
    assert (changed.card.exp_year, changed.metadata["a"]) == (2040, "b")
    assert shop.events()[-1].type == "payment_method.updated"


def test_payment_methods_by_every_way(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    method = customer.invoice_settings.default_payment_method
    assert [one.id for one in shop.v1.payment_methods.list({"customer": customer.id}).data] == [method]
    assert [one.id for one in shop.v1.customers.payment_methods.list(customer.id).data] == [method]
    assert shop.v1.customers.payment_methods.retrieve(customer.id, method).id == method
    other = shop.customer()
    assert shop.get(f"/v1/customers/{other.id}/payment_methods/{method}").status == 404
    assert shop.v1.payment_methods.retrieve("pm_card_mastercard").card.brand == "mastercard"
    assert shop.v1.payment_methods.retrieve("pm_usBankAccount_processing").type == "us_bank_account"
    bank = shop.v1.payment_methods.create({"type": "us_bank_account", "billing_details": {"name": "Ada"}})
    assert (bank.type, bank.billing_details.name) == ("us_bank_account", "Ada")


@pytest.mark.parametrize(
    "form",
    [{}, {"card[token]": "tok_nope"}, {"card[exp_month]": "1"}, {"card[token]": "pm_card_visa"}],
)
def test_a_card_that_cannot_be_made(shop: Shop, form: dict[str, str]) -> None:
    assert shop.post("/v1/payment_methods", {"type": "card", **form}).status == 400


def test_attaching_and_detaching_what_is_somewhere_else(shop: Shop) -> None:
    method = shop.customer("pm_card_visa").invoice_settings.default_payment_method
    answer = shop.post(f"/v1/payment_methods/{method}/attach", {"customer": shop.customer().id})
    assert answer.error["message"] == "The payment method you provided has already been attached to a customer."
    loose = shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    assert shop.post(f"/v1/payment_methods/{loose.id}/detach").status == 400


def test_a_default_must_be_the_customers_own(shop: Shop) -> None:
    method = shop.customer("pm_card_visa").invoice_settings.default_payment_method
    for id in (method, "pm_nope"):
        form = {"invoice_settings[default_payment_method]": id}
        assert shop.post(f"/v1/customers/{shop.customer().id}", form).error["code"] == "resource_missing"
        form = {"customer": shop.customer().id, "default_payment_method": id}
        assert shop.post("/v1/invoices", form).error["param"] == "default_payment_method"


def test_a_customer_with_a_card_from_the_start(shop: Shop) -> None:
    with_source = shop.v1.customers.create({"source": "tok_visa"})
    assert shop.v1.invoices.pay(shop.draft(5, with_source).id).status == "paid"
    with_method = shop.v1.customers.create({"payment_method": "pm_card_visa"})
    assert len(shop.v1.payment_methods.list({"customer": with_method.id}).data) == 1


def test_a_deleted_customers_cards_are_gone(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    invoice = shop.open(100, customer)
    shop.v1.customers.delete(customer.id)
    assert shop.post(f"/v1/invoices/{invoice.id}/pay").error["code"] == "resource_missing"
    assert shop.post(f"/v1/customers/{customer.id}", {"name": "x"}).status == 404
    assert shop.post("/v1/invoices", {"customer": customer.id}).status == 400


def test_a_draft_follows_its_customer_until_it_is_finalized(shop: Shop) -> None:
    customer = shop.customer()
    draft, done = shop.draft(100, customer), shop.open(100, customer)
    shop.v1.customers.update(customer.id, {"email": "new@example.com"})
    assert shop.v1.invoices.retrieve(draft.id).customer_email == "new@example.com"
    assert shop.v1.invoices.retrieve(done.id).customer_email == "ada@example.com"


def test_a_draft_can_be_changed_in_every_way(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    draft = shop.draft(100, customer)
    given: dict[str, Any] = {
        "collection_method": "send_invoice",
        "due_date": draft.created + 5000,
        "default_payment_method": customer.invoice_settings.default_payment_method,
        "footer": "f",
        "number": "MINE-7",
        "custom_fields": [{"name": "a", "value": "b"}],
        "rendering": {"pdf": {"page_size": "a4"}},
        "shipping_details": {"name": "Ada", "address": {"city": "Lyon"}},
        "payment_settings": {"payment_method_types": ["card"]},
        "statement_descriptor": "SHOP",
    }
    changed = shop.v1.invoices.update(draft.id, given)
    assert (changed.due_date, changed.footer, changed.number) == (draft.created + 5000, "f", "MINE-7")
    assert changed.shipping_details.address.city == "Lyon"
    assert shop.v1.invoices.update(draft.id, {"default_payment_method": ""}).default_payment_method is None
    done = shop.v1.invoices.finalize_invoice(draft.id)
    assert (done.number, done.rendering.pdf.page_size) == ("MINE-7", "a4")
    back = shop.v1.invoices.create({"customer": customer.id, "collection_method": "send_invoice", "days_until_due": 3})
    assert shop.v1.invoices.update(back.id, {"collection_method": "charge_automatically"}).due_date is None


def test_a_waiting_item_can_be_put_on_a_draft(shop: Shop) -> None:
    draft = shop.draft(100)
    item = shop.v1.invoice_items.create({"customer": draft.customer, "amount": 5, "currency": "usd"})
    shop.v1.invoices.add_lines(draft.id, {"lines": [{"invoice_item": item.id}], "invoice_metadata": {"a": "b"}})
    changed = shop.v1.invoices.retrieve(draft.id)
    assert (changed.total, changed.metadata["a"]) == (105, "b")
    for id in (item.id, "ii_nope"):
        assert shop.post(f"/v1/invoices/{draft.id}/add_lines", {"lines[0][invoice_item]": id}).status == 400


def test_items_that_do_not_fit(shop: Shop) -> None:
    draft, closed = shop.draft(100), shop.open(100)
    cases: list[dict[str, str]] = [
        {"customer": shop.customer().id, "invoice": draft.id},
        {"customer": closed.customer, "invoice": closed.id},
        {"customer": draft.customer, "unit_amount_decimal": "99999999999", "quantity": "9"},
        {"customer": draft.customer, "amount": "1", "unit_amount_decimal": "1"},
    ]
    for form in cases:
        assert shop.post("/v1/invoiceitems", {"amount": "1", **form}).status == 400
    item = shop.v1.invoice_items.list({"invoice": closed.id}).data[0]
    assert shop.post(f"/v1/invoiceitems/{item.id}", {"amount": "5"}).error["code"] == "invoice_not_editable"
    assert shop.delete(f"/v1/invoiceitems/{item.id}").status == 400


def test_at_most_250_lines(shop: Shop) -> None:
    draft = shop.draft(0)
    form = {f"lines[{number}][amount]": "1" for number in range(251)}
    assert shop.post(f"/v1/invoices/{draft.id}/add_lines", form).error["code"] == "invoice_too_many_lines"


def test_an_intent_can_be_changed_before_it_is_confirmed(shop: Shop) -> None:
    intent = shop.v1.payment_intents.create({"amount": 100, "currency": "usd"})
    assert shop.post(f"/v1/payment_intents/{intent.id}/confirm").error["code"] == "payment_intent_unexpected_state"
    given = {"amount": 200, "description": "d", "payment_method": "pm_card_visa", "metadata": {"a": "b"}}
    changed = shop.v1.payment_intents.update(intent.id, given)
    assert (changed.amount, changed.status) == (200, "requires_confirmation")
    assert shop.v1.payment_intents.confirm(intent.id).status == "succeeded"
    assert shop.v1.payment_intents.update(intent.id, {"description": "e"}).description == "e"
    assert shop.post(f"/v1/payment_intents/{intent.id}", {"amount": "5"}).status == 400


def test_canceling_an_attached_intent_cancels_its_payment(shop: Shop) -> None:
    invoice = shop.open()
    intent = shop.v1.payment_intents.create({"amount": 100, "currency": "usd"})
    shop.v1.invoices.attach_payment(invoice.id, {"payment_intent": intent.id})
    shop.v1.payment_intents.cancel(intent.id)
    found = shop.v1.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent.id}})
    assert found.data[0].status == "canceled"


def test_an_attached_intent_outlives_an_invoice_that_others_paid(shop: Shop) -> None:
    invoice = shop.open(100)
    intent = shop.v1.payment_intents.create({"amount": 100, "currency": "usd"})
    shop.v1.invoices.attach_payment(invoice.id, {"payment_intent": intent.id})
    shop.v1.invoices.pay(invoice.id)
    assert shop.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_sources_of_a_customer(shop: Shop) -> None:
    customer = shop.customer()
    made = shop.v1.sources.create({"type": "ach_credit_transfer", "currency": "eur", "amount": 500})
    shop.v1.customers.payment_sources.create(customer.id, {"source": made.id})
    assert shop.v1.customers.retrieve(customer.id).default_source == made.id
    listed = shop.get(f"/v1/customers/{customer.id}/sources").json["data"]
    assert [one["id"] for one in listed] == [made.id]
    invoice = shop.open(100, customer)
    assert shop.post(f"/v1/invoices/{invoice.id}/pay", {"source": made.id}).status == 400  # another currency
    assert shop.post(f"/v1/invoices/{shop.open().id}/pay", {"source": made.id}).status == 400  # another customer
    assert shop.get(f"/v1/customers/{shop.customer().id}/sources/{made.id}").status == 404
    form = {"source": made.id}
    assert shop.post(f"/v1/customers/{shop.customer().id}/sources", form).status == 400
    assert shop.delete(f"/v1/customers/{customer.id}/sources/{made.id}").json["status"] == "consumed"
    assert shop.v1.customers.retrieve(customer.id).default_source is None


def price(shop: Shop, amount: int = 500) -> str:
    product = shop.v1.products.create({"name": "Plan", "metadata": {"a": "b"}})
    given = {"currency": "usd", "unit_amount": amount, "recurring": {"interval": "month"}, "product": product.id}
    return shop.v1.prices.create(given).id


def test_a_subscription_paid_by_hand(shop: Shop) -> None:
    given: dict[str, Any] = {
        "customer": shop.customer().id,
        "items": [{"price": price(shop)}],
        "collection_method": "send_invoice",
    }
    assert shop.post("/v1/subscriptions", flat(given)).error["param"] == "days_until_due"
    subscription = shop.v1.subscriptions.create({**given, "days_until_due": 5})
    invoice = shop.v1.invoices.retrieve(subscription.latest_invoice)
    assert (invoice.status, invoice.due_date) == ("open", invoice.created + 5 * 86400)
    assert shop.v1.invoices.create_preview({"subscription": subscription.id}).total == 500


def flat(given: dict[str, Any]) -> dict[str, str]:
    return {
        "customer": given["customer"],
        "items[0][price]": given["items"][0]["price"],
        "collection_method": "send_invoice",
    }


def test_a_subscription_whose_card_is_declined(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    given: dict[str, Any] = {"customer": customer.id, "items": [{"price": price(shop)}]}
    assert shop.v1.subscriptions.create(given).status == "incomplete"
    answer = shop.post(
        "/v1/subscriptions",
        {"customer": customer.id, "items[0][price]": price(shop), "payment_behavior": "error_if_incomplete"},
    )
    assert (answer.status, answer.error["decline_code"]) == (402, "generic_decline")
    assert len(shop.v1.subscriptions.list({"customer": customer.id}).data) == 1  # the second is undone


def test_a_subscription_can_be_changed_and_canceled(shop: Shop) -> None:
    customer = shop.customer()
    good = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    item = {
        "price_data": {
            "currency": "usd",
            "unit_amount": 700,
            "recurring": {"interval": "week"},
            "product": shop.v1.products.create({"name": "P"}).id,
        },
        "quantity": 2,
    }
    subscription = shop.v1.subscriptions.create(
        {"customer": customer.id, "items": [item], "default_payment_method": good.id}
    )
    assert shop.v1.invoices.retrieve(subscription.latest_invoice).total == 1400
    changed = shop.v1.subscriptions.update(subscription.id, {"description": "d", "cancel_at_period_end": True})
    assert (changed.description, changed.cancel_at_period_end) == ("d", True)
    assert shop.v1.subscriptions.cancel(subscription.id).status == "canceled"
    assert shop.delete(f"/v1/subscriptions/{subscription.id}").status == 404
    shop.process.clock(advance=60 * 86400)
    assert len(shop.v1.invoices.list({"subscription": subscription.id}).data) == 1


def test_prices_that_do_not_fit_a_subscription(shop: Shop) -> None:
    once = shop.v1.prices.create({"currency": "usd", "unit_amount": 5, "product_data": {"name": "Once"}})
    customer = shop.customer("pm_card_visa")
    for form in ({"items[0][price]": once.id}, {"items[0][price]": "price_nope"}, {"items[0][quantity]": "1"}):
        assert shop.post("/v1/subscriptions", {"customer": customer.id, **form}).status == 400
    assert shop.post("/v1/prices", {"currency": "usd"}).status == 400


def test_wrong_control_requests_are_explained(shop: Shop) -> None:
    process = shop.process
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("reset", {"nope": 1}, "reset takes"),
        ("reset", {"invoices": -1}, "whole numbers"),
        ("webhook", {"url": "nowhere"}, "starts with http"),
        ("webhook", {"uri": "x"}, "A receiver is"),
        ("clock", {"now": -5}, "A moment is"),
        ("payment_intents/pi_nope/settle", {"outcome": "succeeded"}, "is not a PaymentIntent that waits"),
        ("payment_intents/pi_nope/settle", {}, "settle takes"),
        ("invoices/in_nope/charge_automatically", {}, "is not an open invoice"),
        ("redeliver/evt_nope", {}, "There is no event"),
        ("nope", {}, "There is no such address"),
    ]
    for path, given, sentence in cases:
        with pytest.raises(Exception, match=sentence):
            process.post(path, **given)
    assert "POST /_sandbox/faults" in process.get("")["endpoints"]


def test_an_event_can_be_sent_again(shop: Shop, receiver: Any) -> None:
    shop.customer()
    receiver.wait(1)
    shop.process.post(f"redeliver/{receiver.events[0]['id']}")
    receiver.wait(2)
    assert receiver.bodies[0][:80] == receiver.bodies[1][:80]
    assert shop.process.get("deliveries")["data"][0]["event"] == receiver.events[0]["id"]
