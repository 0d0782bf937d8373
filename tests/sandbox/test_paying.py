"""Paying: cards, declines, authentication, bank debits, PaymentIntents and InvoicePayments."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from tests.helpers.sdk import raised
from tests.sandbox.books import check_books
from tests.sandbox.shop import Answer, Shop

NO_SOURCE = "This customer has no attached payment source or default payment method."


def pay(shop: Shop, invoice: str, **form: str) -> Answer:
    return shop.post(f"/v1/invoices/{invoice}/pay", form)


def test_a_good_card(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"expand": ["payments.data.payment.payment_intent"]})
    payment = invoice.payments.data[0]
    intent = payment.payment.payment_intent
    assert (invoice.status, payment.status, payment.amount_paid) == ("paid", "paid", 1000)
    assert (intent.status, intent.amount_received, intent.capture_method) == ("succeeded", 1000, "automatic")
    assert (intent.description, intent.payment_details.order_reference) == ("Payment for Invoice", invoice.id)
    assert "invoice" not in intent.to_dict()
    found = shop.v1.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent.id}})
    assert [one.invoice for one in found.data] == [invoice.id]


def test_which_card_is_charged_first(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    good = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    bad = customer.invoice_settings.default_payment_method
    by_call = shop.open(100, customer)
    assert shop.v1.invoices.pay(by_call.id, {"payment_method": good.id}).status == "paid"
    by_invoice = shop.open(100, customer, default_payment_method=good.id)
    assert shop.v1.invoices.pay(by_invoice.id).status == "paid"
    over_invoice = shop.open(100, customer, default_payment_method=good.id)
    assert pay(shop, over_invoice.id, payment_method=bad).status == 402
    by_customer = shop.open(100, customer)
    assert pay(shop, by_customer.id).status == 402


def test_a_subscriptions_card_is_charged_before_the_customers(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    bad = shop.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id}).id
    form = {
        "customer": customer.id,
        "items[0][price]": daily_price(shop),
        "default_payment_method": bad,
        "payment_behavior": "default_incomplete",
    }
    subscription = shop.post("/v1/subscriptions", form).json
    assert shop.get(f"/v1/subscriptions/{subscription['id']}").json["default_payment_method"] == bad
    answer = pay(shop, subscription["latest_invoice"])
    assert (answer.status, answer.error["payment_method"]["id"]) == (402, bad)
    assert answer.error["payment_method"]["card"]["fingerprint"]
    good = customer.invoice_settings.default_payment_method
    assert pay(shop, subscription["latest_invoice"], payment_method=good).status == 200


def test_a_test_card_in_the_call(shop: Shop) -> None:
    assert shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_card_mastercard"}).status == "paid"


def test_a_declined_card(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_chargeCustomerFail"))
    answer = pay(shop, invoice.id)
    error = dict(answer.error)
    intent, method = error.pop("payment_intent"), error.pop("payment_method")
    charge = error.pop("charge")
    assert error.pop("request_log_url")
    assert answer.status == 402
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert error == {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "generic_decline",
        "message": "Your card was declined.",
        "advice_code": "try_again_later",
        "network_decline_code": "01",
        "doc_url": "https://stripe.com/docs/error-codes/card-declined",
    }
    assert charge.startswith("ch_")
    assert (intent["status"], intent["payment_method"]) == ("requires_payment_method", None)
    assert intent["latest_charge"] == charge
    last = intent["last_payment_error"]
    assert error.items() <= last.items()
    assert last["payment_method"] == method
    assert shop.get(f"/v1/payment_intents/{intent['id']}").json["last_payment_error"] == last
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    assert shop.get(f"/v1/charges/{charge}").json["status"] == "failed"


def test_a_decline_through_the_sdk(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_visa_chargeDeclined"))
    with pytest.raises(stripe.CardError) as caught:
        shop.v1.invoices.pay(invoice.id)
    assert (caught.value.code, raised(caught).error.decline_code) == ("card_declined", "generic_decline")


@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
def test_other_declines(shop: Shop, card: str, code: str, decline: str) -> None:
    error = pay(shop, shop.open().id, payment_method=card).error
    assert (error["code"], error["decline_code"]) == (code, decline)


def test_authentication_off_session_is_a_decline(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_authenticationRequired"))
    answer = pay(shop, invoice.id)  # off_session is true unless said otherwise
    assert (answer.status, answer.error["type"]) == (402, "card_error")
    assert (answer.error["code"], answer.error["decline_code"]) == ("authentication_required",) * 2
    assert shop.intent_of(invoice.id).status == "requires_payment_method"


def test_authentication_on_session_waits_for_the_customer(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_authenticationRequired"))
    answer = pay(shop, invoice.id, off_session="false")
    assert answer.status == 402
    assert (answer.error["type"], answer.error["code"]) == ("card_error", "invoice_payment_intent_requires_action")
    assert not {"payment_intent", "decline_code", "charge", "doc_url"} & answer.error.keys()
    intent = shop.intent_of(invoice.id)
    assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    shop.settle(intent.id, "succeeded")  # on the hosted page
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"


def test_authentication_on_subscriptions(shop: Shop) -> None:
    price = shop.v1.prices.create(
        {"currency": "usd", "unit_amount": 5, "recurring": {"interval": "day"}, "product_data": {"name": "P"}}
    )
    form = {
        "customer": shop.customer("pm_card_threeDSecure2Required").id,
        "items[0][price]": price.id,
        "payment_behavior": "error_if_incomplete",
    }
    answer = shop.post("/v1/subscriptions", form)
    assert answer.status == 402
    assert answer.error["code"] == "subscription_payment_intent_requires_action"
    assert not {"payment_intent", "decline_code", "charge", "doc_url"} & answer.error.keys()


def test_no_card_at_all(shop: Shop) -> None:
    for path, form in (
        (f"/v1/invoices/{shop.open(customer=shop.customer()).id}/pay", {}),
        ("/v1/subscriptions", {"customer": shop.customer().id, "items[0][price]": daily_price(shop)}),
    ):
        answer = shop.post(path, form)
        assert (answer.status, answer.error["code"]) == (400, "resource_missing")
        assert "param" not in answer.error
        assert answer.error["message"].startswith(NO_SOURCE)


def daily_price(shop: Shop) -> str:
    given = {"currency": "usd", "unit_amount": 5, "recurring": {"interval": "day"}, "product_data": {"name": "P"}}
    return shop.v1.prices.create(given).id


def test_a_charge_without_an_intent(shop: Shop) -> None:
    form = {"amount": "500", "currency": "usd"}
    good = shop.post("/v1/charges", {**form, "source": "tok_visa"})
    assert (good.status, good.json["status"], good.json["payment_intent"]) == (200, "succeeded", None)
    declined = shop.post("/v1/charges", {**form, "source": "tok_visa_chargeDeclined"})
    assert (declined.status, declined.error["code"]) == (402, "card_declined")
    assert shop.get(f"/v1/charges/{declined.error['charge']}").json["status"] == "failed"
    nothing = shop.post("/v1/charges", {**form, "customer": shop.customer().id})
    assert (nothing.status, nothing.error["type"], nothing.error["code"]) == (402, "card_error", "missing")
    assert "decline_code" not in nothing.error
    assert shop.post("/v1/charges", form).status == 400


def test_an_intent_without_an_invoice(shop: Shop) -> None:
    intent = shop.post("/v1/payment_intents", {"amount": "1500", "currency": "usd"}).json
    assert {
        "status": "requires_payment_method",
        "amount_received": 0,
        "latest_charge": None,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
    }.items() <= intent.items()
    assert intent["client_secret"].startswith(f"{intent['id']}_secret_")
    form = {"amount": "1500", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
    confirmed = shop.post("/v1/payment_intents", form).json
    assert (confirmed["status"], confirmed["amount_received"]) == ("succeeded", 1500)
    assert confirmed["latest_charge"].startswith("ch_")


def test_an_intent_that_is_declined_can_be_confirmed_again(shop: Shop) -> None:
    intent = shop.v1.payment_intents.create({"amount": 1500, "currency": "usd"})
    form = {"payment_method": "pm_card_chargeCustomerFail"}
    assert shop.post(f"/v1/payment_intents/{intent.id}/confirm", form).status == 402
    assert shop.v1.payment_intents.retrieve(intent.id).last_payment_error.decline_code == "generic_decline"
    again = shop.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.last_payment_error) == ("succeeded", None)
    assert shop.post(f"/v1/payment_intents/{intent.id}/confirm").status == 400


def test_an_intent_can_be_canceled(shop: Shop) -> None:
    intent = shop.v1.payment_intents.create({"amount": 1500, "currency": "usd"})
    canceled = shop.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.canceled_at
    assert shop.post(f"/v1/payment_intents/{intent.id}/cancel").error["code"] == "payment_intent_unexpected_state"


def test_an_invoices_intent_cannot_be_edited(shop: Shop) -> None:
    intent = shop.intent_of(shop.open().id)
    assert shop.post(f"/v1/payment_intents/{intent.id}", {"amount": "5"}).status == 400
    assert shop.post(f"/v1/payment_intents/{intent.id}/cancel").status == 400


def test_an_invoices_intent_confirmed_by_the_customer_pays_it(shop: Shop) -> None:
    invoice = shop.open()
    shop.v1.payment_intents.confirm(shop.intent_of(invoice.id).id, {"payment_method": "pm_card_visa"})
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"


def test_a_new_cards_check_passes_when_attached(shop: Shop) -> None:
    method = shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    assert (method.card.checks.cvc_check, method.card.last4, method.customer) == ("unchecked", "4242", None)
    attached = shop.v1.payment_methods.attach(method.id, {"customer": shop.customer().id})
    assert (attached.id, attached.card.checks.cvc_check) == (method.id, "pass")


@pytest.mark.parametrize(
    ("token", "last4"),
    [("tok_visa", "4242"), ("tok_visa_chargeDeclined", "0002"), ("tok_chargeCustomerFail", "0341")],
)
def test_cards_from_tokens(shop: Shop, token: str, last4: str) -> None:
    assert shop.v1.payment_methods.create({"type": "card", "card": {"token": token}}).card.last4 == last4


def test_a_card_by_its_number(shop: Shop) -> None:
    card = {"number": "4000000000003220", "exp_month": 3, "exp_year": 2031, "cvc": "123"}
    assert shop.v1.payment_methods.create({"type": "card", "card": card}).card.last4 == "3220"
    answer = shop.post("/v1/payment_methods", {"type": "card", "card[number]": "1234"})
    assert (answer.status, answer.error["code"]) == (402, "incorrect_number")


@pytest.mark.parametrize(
    "ready_made",
    ["pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired"],
)
def test_attaching_a_test_card_creates_a_new_one(shop: Shop, ready_made: str) -> None:
    customer = shop.customer()
    made = {shop.v1.payment_methods.attach(ready_made, {"customer": customer.id}).id for _ in range(2)}
    assert len(made) == 2
    assert ready_made not in made


def test_another_customers_card_is_refused(shop: Shop) -> None:
    other = shop.customer("pm_card_visa").invoice_settings.default_payment_method
    assert pay(shop, shop.open().id, payment_method=other).error["param"] == "payment_method"


def test_a_detached_card_cannot_be_used_again(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    method = customer.invoice_settings.default_payment_method
    assert shop.v1.payment_methods.detach(method).customer is None
    assert shop.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method is None
    assert shop.post(f"/v1/payment_methods/{method}/attach", {"customer": customer.id}).status == 400


def test_the_default_payment_waits_for_what_remains(shop: Shop) -> None:
    invoice = shop.open(1000)
    payment = shop.v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    assert (payment.is_default, payment.status, payment.amount_requested) == (True, "open", 1000)
    assert payment.amount_paid is None
    shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(400).id})
    payment = shop.v1.invoice_payments.retrieve(payment.id)
    assert (payment.status, payment.amount_requested) == ("open", 600)
    assert shop.v1.invoices.pay(invoice.id).amount_paid == 1000
    assert shop.v1.invoice_payments.retrieve(payment.id).amount_paid == 600


def test_invoice_payments_can_be_filtered(shop: Shop) -> None:
    paid, open_ = shop.in_state("paid"), shop.in_state("open")
    by_status = {status: shop.v1.invoice_payments.list({"status": status}).data for status in ("paid", "open")}
    assert [one.invoice for one in by_status["paid"]] == [paid.id]
    assert [one.invoice for one in by_status["open"]] == [open_.id]


def test_voiding_cancels_the_payment_and_its_intent(shop: Shop) -> None:
    invoice = shop.in_state("void")
    payment = shop.v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    assert payment.status == "canceled"
    assert payment.status_transitions.canceled_at
    intent = shop.intent_of(invoice.id)
    assert (intent.status, intent.cancellation_reason) == ("canceled", "void_invoice")


def test_a_bank_debit_is_open_until_the_bank_says(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_usBankAccount_processing"})
    assert (invoice.status, invoice.attempted, invoice.amount_remaining) == ("open", True, 1000)
    intent = shop.intent_of(invoice.id)
    assert intent.status == "processing"
    assert pay(shop, invoice.id).status == 400
    assert shop.post(f"/v1/invoices/{invoice.id}/void").status == 400
    assert shop.process.stats()["charges"] == {}
    shop.settle(intent.id, "succeeded")
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_a_bank_debit_can_fail(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_usBankAccount_processing"})
    shop.settle(shop.intent_of(invoice.id).id, "failed")
    assert shop.intent_of(invoice.id).status == "requires_payment_method"
    assert shop.v1.invoices.pay(invoice.id).status == "paid"


def test_a_bank_debits_charge_ends_as_it_began(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_usBankAccount_processing"})
    intent = shop.intent_of(invoice.id)
    assert shop.v1.charges.retrieve(intent.latest_charge).status == "pending"
    shop.settle(intent.id, "succeeded")
    assert [one.status for one in shop.v1.charges.list({"payment_intent": intent.id}).data] == ["succeeded"]


def test_a_bank_debit_after_other_money_is_overpaid(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open(1000).id, {"payment_method": "pm_usBankAccount_processing"})
    intent = shop.intent_of(invoice.id)
    shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(1000).id})
    shop.settle(intent.id, "succeeded")
    late = shop.v1.invoices.retrieve(invoice.id)
    assert (late.status, late.amount_paid, late.amount_overpaid) == ("paid", 1000, 1000)
    assert shop.v1.customers.retrieve(invoice.customer).balance == -1000
    check_books(shop)


def test_a_bank_debit_that_fails_after_other_money_is_canceled(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open(1000).id, {"payment_method": "pm_usBankAccount_processing"})
    intent = shop.intent_of(invoice.id)
    shop.v1.invoices.attach_payment(invoice.id, {"payment_record": shop.record(1000).id})
    shop.settle(intent.id, "failed")
    assert shop.v1.payment_intents.retrieve(intent.id).status == "canceled"
    check_books(shop)


def test_many_at_once_make_one_charge(shop: Shop) -> None:
    """Without an idempotency key: the first call pays, the others are refused."""
    invoice = shop.open()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.post(f"/v1/invoices/{invoice.id}/pay").status, range(8)))
    assert sorted(answers) == [200] + [400] * 7
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_a_mandate_belongs_to_its_payment_method(shop: Shop) -> None:
    customer = shop.customer()
    bank = shop.v1.payment_methods.attach("pm_usBankAccount_processing", {"customer": customer.id})
    mandate = shop.process.get("mandates")["data"][0]
    assert mandate["payment_method"] == bank.id
    assert shop.v1.mandates.retrieve(mandate["id"]).status == "active"
    invoice = shop.open(100, customer)
    other = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    assert pay(shop, invoice.id, payment_method=other.id, mandate=mandate["id"]).error["param"] == "mandate"
    assert pay(shop, invoice.id, payment_method=bank.id, mandate="mandate_nope").error["code"] == "resource_missing"
    assert pay(shop, invoice.id, payment_method=bank.id, mandate=mandate["id"]).status == 200


def source(shop: Shop, customer: str, amount: int) -> str:
    made = shop.v1.sources.create({"type": "ach_credit_transfer", "currency": "usd", "amount": amount})
    return shop.v1.customers.payment_sources.create(customer, {"source": made.id}).id


def test_a_source_with_enough_pays(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.open(1000, customer)
    made = source(shop, customer.id, 1500)
    assert shop.v1.invoices.pay(invoice.id, {"source": made}).status == "paid"
    assert shop.v1.sources.retrieve(made).receiver.amount_charged == 1000


def test_forgive_decides_over_a_source_with_too_little(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.open(1000, customer)
    made = source(shop, customer.id, 400)
    for form in ({"source": made}, {"source": made, "forgive": "false"}):
        assert pay(shop, invoice.id, **form).status == 402
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    forgiven = shop.v1.invoices.pay(invoice.id, {"source": made, "forgive": True})
    assert (forgiven.status, forgiven.amount_paid, forgiven.amount_remaining) == ("paid", 400, 0)
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_a_portal_session_for_a_new_card(shop: Shop) -> None:
    customer = shop.customer()
    session = shop.v1.billing_portal.sessions.create(
        {
            "customer": customer.id,
            "flow_data": {"type": "payment_method_update"},
            "return_url": "https://example.com/back",
        }
    )
    assert (session.object, session.customer, session.flow.type) == (
        "billing_portal.session",
        customer.id,
        "payment_method_update",
    )
    assert session.url.startswith("https://")


DAYS = 86400


@pytest.mark.parametrize(
    ("method", "decline"),
    [
        ("pm_usBankAccount_insufficientFunds", "insufficient_funds"),
        ("pm_usBankAccount_accountClosed", "account_closed"),
        ("pm_usBankAccount_noAccount", "no_account"),
        ("pm_usBankAccount_debitNotAuthorized", "debit_not_authorized"),
    ],
)
def test_a_bank_refuses_days_later(shop: Shop, method: str, decline: str) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": method})
    charge = shop.intent_of(invoice.id).latest_charge
    shop.process.clock(advance=3 * DAYS)
    assert shop.intent_of(invoice.id).status == "processing"
    before = shop.events()
    shop.process.clock(advance=2 * DAYS)
    intent = shop.intent_of(invoice.id)
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", charge)
    error = intent.last_payment_error
    assert (error.charge, error.decline_code) == (charge, decline)
    told = shop.since(before)
    assert [event.type for event in told] == [
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
    ]
    assert {(event.request.id, event.request.idempotency_key) for event in told} == {(None, None)}
    assert told[0].created == told[1].created  # at its own moment, not when the clock was moved
    assert shop.process.clock()["now"] - told[0].created >= DAYS
    assert shop.v1.invoices.pay(invoice.id).status == "paid"
    assert shop.intent_of(invoice.id).latest_charge != charge
    check_books(shop)


def test_a_bank_agrees_days_later(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_usBankAccount_success"})
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    shop.process.clock(advance=5 * DAYS)
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"
    assert shop.process.stats()["charges"] == {invoice.id: 1}
    check_books(shop)


def test_a_bank_that_has_answered_does_not_answer_again(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_usBankAccount_success"})
    shop.settle(shop.intent_of(invoice.id).id, "insufficient_funds")
    again = shop.v1.invoices.pay(invoice.id, {"payment_method": "pm_usBankAccount_processing"})
    shop.process.clock(advance=5 * DAYS)
    assert shop.intent_of(again.id).status == "processing"


def test_a_canceled_debit(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_usBankAccount_processing"})
    intent = shop.intent_of(invoice.id)
    before = shop.events()
    shop.settle(intent.id, "canceled")
    told = [event.type for event in shop.since(before)]
    assert told == ["charge.failed", "payment_intent.canceled", "payment_intent.created"]
    assert shop.v1.charges.retrieve(intent.latest_charge).status == "failed"
    assert shop.v1.payment_intents.retrieve(intent.id).status == "canceled"
    assert shop.v1.invoices.pay(invoice.id).status == "paid"
    check_books(shop)
