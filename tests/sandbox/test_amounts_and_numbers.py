"""Amounts, customer balances and invoice numbers."""

from __future__ import annotations

import pytest

from tests.sandbox.shop import Shop

TAKEN = "This invoice number prefix is taken by customer: {}. Please enter a different prefix."
BAD = "Invoice number prefix must be 1–12 uppercase letters or numbers."


def test_a_balance_comes_between_total_and_amount_due(shop: Shop) -> None:
    invoice = shop.draft(1000, shop.customer("pm_card_visa", balance=1))
    invoice = shop.v1.invoices.pay(invoice.id)
    seen = (invoice.total, invoice.starting_balance, invoice.amount_due, invoice.amount_paid, invoice.ending_balance)
    assert seen == (1000, 1, 1001, 1001, 0)
    assert shop.v1.customers.retrieve(invoice.customer).balance == 0


def test_credit_makes_the_amount_due_smaller(shop: Shop) -> None:
    customer = shop.customer(balance=-300)
    invoice = shop.open(1000, customer)
    assert (invoice.total, invoice.amount_due, invoice.ending_balance) == (1000, 700, 0)
    assert shop.v1.customers.retrieve(customer.id).balance == 0


def test_more_credit_than_needed_pays_and_is_kept(shop: Shop) -> None:
    customer = shop.customer(balance=-1500)
    invoice = shop.open(1000, customer)
    assert (invoice.status, invoice.amount_due, invoice.ending_balance) == ("paid", 0, -500)
    assert shop.v1.customers.retrieve(customer.id).balance == -500


def test_voiding_gives_used_credit_back(shop: Shop) -> None:
    customer = shop.customer(balance=-300)
    shop.v1.invoices.void_invoice(shop.open(1000, customer).id)
    assert shop.v1.customers.retrieve(customer.id).balance == -300


def test_numbers_count_per_customer_over_every_way_of_finalizing(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa", invoice_prefix="ACME")
    doomed = shop.draft(100, customer)
    shop.v1.invoices.delete(doomed.id)  # drafts use none
    numbers = [
        shop.open(100, customer).number,
        shop.v1.invoices.pay(shop.draft(100, customer).id).number,
        shop.v1.invoices.send_invoice(shop.draft(100, customer).id).number,
        shop.open(0, customer).number,
    ]
    assert numbers == ["ACME-0001", "ACME-0002", "ACME-0003", "ACME-0004"]
    assert shop.draft(100, customer).number is None


def test_a_prefix_is_made_up_with_eight_characters(shop: Shop) -> None:
    prefix = shop.customer().invoice_prefix
    assert len(prefix) == 8
    assert prefix == prefix.upper()


def test_a_bad_prefix(shop: Shop) -> None:
    for prefix in ("lower", "TOO-LONG-BY-FAR", ""):
        error = shop.post("/v1/customers", {"invoice_prefix": prefix}).error
        assert (error["message"], "param" in error) == (BAD, False)


def test_a_taken_prefix(shop: Shop) -> None:
    first = shop.customer(invoice_prefix="ACME")
    answer = shop.post("/v1/customers", {"invoice_prefix": "ACME"})
    assert (answer.status, answer.error["param"]) == (400, "invoice_prefix")
    assert answer.error["message"] == TAKEN.format(first.id)


def test_fields_that_are_gone_or_wait_for_expand(shop: Shop) -> None:
    invoice = shop.get(f"/v1/invoices/{shop.in_state('paid').id}").json
    gone = {"paid", "paid_out_of_band", "payment_intent", "charge", "subscription"}
    expandable = {"payments", "confirmation_secret", "amount_paid_off_stripe"}
    assert not (gone | expandable) & invoice.keys()


def test_paid_at_is_null_unless_paid(shop: Shop) -> None:
    for status in ("draft", "open", "void", "uncollectible"):
        assert shop.in_state(status).status_transitions.paid_at is None


def test_amount_paid_off_stripe_needs_expand_and_is_never_in_an_event(shop: Shop) -> None:
    invoice = shop.open(1000)
    shop.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    expanded = shop.v1.invoices.retrieve(invoice.id, {"expand": ["amount_paid_off_stripe"]})
    assert expanded.amount_paid_off_stripe == 1000
    for event in shop.get("/v1/events", limit=100).json["data"]:
        assert "amount_paid_off_stripe" not in event["data"]["object"]


def test_currencies_without_or_with_three_decimals_stay_whole_numbers(shop: Shop) -> None:
    for currency, amount in (("jpy", 5000), ("kwd", 12340)):
        invoice = shop.open(amount, shop.customer(), currency=currency)
        assert (invoice.currency, invoice.amount_due) == (currency, amount)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/payment_intents", {"amount": "950"}),
        ("/v1/charges", {"amount": "950"}),
        ("/v1/sources", {"amount": "950", "type": "ach_credit_transfer"}),
        ("/v1/prices", {"unit_amount": "950", "product_data[name]": "Plan"}),
        ("/v1/invoiceitems", {"amount": "950"}),
        ("/v1/invoiceitems", {"price_data[unit_amount]": "475", "quantity": "2"}),
        ("/v1/payment_records/report_payment", {"amount_requested[value]": "950"}),
    ],
)
def test_isk_and_ugx_are_hundredths_that_are_always_zero(shop: Shop, path: str, form: dict[str, str]) -> None:
    for currency in ("isk", "ugx"):
        answer = shop.post(path, in_currency(shop, path, form, currency))
        assert (answer.status, answer.error["code"]) == (400, "invalid_charge_amount_no_decimal_compatible")
        assert answer.error["message"] == (
            f"Invalid amount. Currency {currency.upper()} has become effectively zero-decimal and charged amounts must "
            "be evenly divisible by 100. See https://stripe.com/docs/currencies#special-cases for more information."
        )
    whole = {name: "900" if value in ("950", "475") else value for name, value in form.items()}
    answer = shop.post(path, in_currency(shop, path, whole, "isk"))
    assert answer.status == 200 or answer.error.get("code") != "invalid_charge_amount_no_decimal_compatible"


def in_currency(shop: Shop, path: str, form: dict[str, str], currency: str) -> dict[str, str]:
    """The form with all else that the address requires."""
    if "payment_records" in path:
        more = {"amount_requested[currency]": currency, "initiated_at": "1", "payment_method_details[type]": "custom"}
        return {**form, **more, "payment_method_details[custom][display_name]": "Cash"}
    if path == "/v1/invoiceitems":
        priced = "price_data[unit_amount]" in form
        more = {"price_data[currency]": currency, "price_data[product]": "prod_1"} if priced else {}
        return {**form, **more, "currency": currency, "customer": shop.customer().id}
    return {**form, "currency": currency}


def test_a_changed_amount_is_checked_too(shop: Shop) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "isk"})
    assert shop.post(f"/v1/payment_intents/{intent.id}", {"amount": "950"}).status == 400
    item = shop.v1.invoice_items.create({"customer": shop.customer().id, "amount": 900, "currency": "isk"})
    assert shop.post(f"/v1/invoiceitems/{item.id}", {"amount": "950"}).status == 400


def test_a_charge_has_a_least_amount(shop: Shop) -> None:
    for currency, too_little, least in (("usd", 49, 50), ("gbp", 29, 30), ("jpy", 49, 50), ("bwp", 0, 1)):
        asked = {"amount": str(too_little), "currency": currency}
        assert shop.post("/v1/payment_intents", asked).status == 400
        assert shop.post("/v1/payment_intents", asked | {"amount": str(least)}).status == 200
    error = shop.post("/v1/payment_intents", {"amount": "49", "currency": "usd"}).error
    assert (error["code"], error["message"]) == ("amount_too_small", "Amount must be at least $0.50 usd")


def test_the_third_decimal_is_zero(shop: Shop) -> None:
    for amount, status in (("5124", 400), ("5120", 200), ("5130", 200)):
        answer = shop.post("/v1/payment_intents", {"amount": amount, "currency": "kwd"})
        assert answer.status == status
        assert status == 200 or (answer.error["param"], "KWD" in answer.error["message"]) == ("amount", True)
    assert (
        shop.post("/v1/payment_intents", {"amount": "17550", "currency": "huf"}).status == 200
    )  # only payouts have none
    assert shop.post("/v1/payment_intents", {"amount": "950", "currency": "twd"}).status == 200
