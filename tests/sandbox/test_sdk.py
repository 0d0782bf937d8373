"""What the official SDK makes of the sandbox's replies: exceptions, retries, signatures."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time

import pytest
import stripe

from tests.helpers.sdk import raised
from tests.sandbox.shop import Shop

SECRET = "whsec_test"


def test_each_status_has_its_exception(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.v1.invoices.retrieve("in_nope")
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (404, "resource_missing", "invoice")
    with pytest.raises(stripe.AuthenticationError) as unknown:
        shop.process.client("sk_live_nope").v1.customers.list()
    assert unknown.value.code is None
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(shop.open().id, {"payment_method": "pm_card_chargeCustomerFail"})


def test_a_429_and_a_500_name_their_code_in_error_alone(shop: Shop) -> None:
    shop.process.faults(error_429=1)
    with pytest.raises(stripe.RateLimitError) as limited:
        shop.v1.customers.list()
    assert (limited.value.code, raised(limited).error.code) == (None, "rate_limit")
    shop.process.faults(error_500=1)
    with pytest.raises(stripe.APIError) as broken:
        shop.v1.customers.list()
    assert (broken.value.http_status, raised(broken).error.type) == (500, "api_error")


def test_a_409_is_an_api_error(shop: Shop) -> None:
    shop.process.faults(latency_ms=[400, 400])
    options = {"idempotency_key": "k1"}
    first = threading.Thread(target=lambda: shop.v1.customers.create({}, options))
    first.start()
    time.sleep(0.15)
    with pytest.raises(stripe.APIError) as busy:
        shop.process.client().v1.customers.create({}, options)
    first.join()
    assert (busy.value.http_status, raised(busy).error.code) == (409, "idempotency_key_in_use")


def test_a_cut_connection_is_a_connection_error_and_nothing_is_retried(shop: Shop) -> None:
    shop.process.faults(drop_reply=1)
    before = shop.process.stats()["requests"].get("POST /v1/customers", 0)
    with pytest.raises(stripe.APIConnectionError):
        shop.v1.customers.create({})
    assert shop.process.stats()["requests"]["POST /v1/customers"] == before + 1


def test_retries_keep_their_key(shop: Shop) -> None:
    shop.process.faults(drop_reply=0.5, seed=2)
    shop.process.client(max_network_retries=8).v1.customers.create({})
    shop.process.clear_faults()
    assert len(shop.v1.customers.list().data) == 1


def test_every_post_has_a_key_and_no_delete_has(shop: Shop) -> None:
    customer = shop.v1.customers.create({})
    shop.v1.customers.delete(customer.id)
    created, deleted = shop.events()
    assert created.request.idempotency_key
    assert deleted.request.idempotency_key is None


def test_an_object_is_no_dict_and_an_absent_field_raises(shop: Shop) -> None:
    invoice = shop.draft()
    with pytest.raises(AttributeError):
        _ = invoice.payments
    assert invoice.to_dict()["status"] == "draft"


def signed(age: int, body: str = '{"object": "event", "id": "evt_1", "type": "x", "data": {"object": {}}}') -> object:
    at = int(time.time()) - age
    mine = hmac.new(SECRET.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return stripe.Webhook.construct_event(body, f"t={at},v1={'0' * 64},v1={mine}", SECRET)


def test_any_matching_signature_passes_and_a_future_one_too() -> None:
    assert signed(0)
    assert signed(-5000)


def test_an_old_signature_is_refused() -> None:
    with pytest.raises(stripe.SignatureVerificationError):
        signed(301)
