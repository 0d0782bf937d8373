"""Idempotency keys: repeats, conflicts, which replies are saved, and for how long."""

from __future__ import annotations

import threading
import time

import pytest
import stripe

from tests.sandbox.shop import Answer, Shop

DIFFERENT = (
    "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key "
    "other than 'k1' if you meant to execute a different request."
)


def test_the_first_answer_again(shop: Shop) -> None:
    first = shop.post("/v1/customers", {"email": "a@example.com"}, key="k1")
    again = shop.post("/v1/customers", {"email": "a@example.com"}, key="k1")
    assert again.json == first.json
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    assert len(shop.events()) == 1


def test_other_parameters_are_refused(shop: Shop) -> None:
    shop.post("/v1/customers", {"email": "a@example.com"}, key="k1")
    answer = shop.post("/v1/customers", {"email": "b@example.com"}, key="k1")
    assert (answer.status, answer.error["type"], answer.error["message"]) == (400, "idempotency_error", DIFFERENT)
    assert "code" not in answer.error
    with pytest.raises(stripe.IdempotencyError):
        shop.v1.customers.create({"email": "c@example.com"}, {"idempotency_key": "k1"})


def test_another_endpoint_is_refused(shop: Shop) -> None:
    shop.post("/v1/customers", {}, key="k1")
    assert shop.post("/v1/products", {"name": "x"}, key="k1").error["type"] == "idempotency_error"


def test_a_decline_is_replayed_until_a_new_key(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_chargeCustomerFail"))
    first = shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1")
    good = shop.v1.payment_methods.attach("pm_card_visa", {"customer": invoice.customer})
    shop.v1.customers.update(invoice.customer, {"invoice_settings": {"default_payment_method": good.id}})
    again = shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1")
    assert (again.status, again.json, again.headers["Stripe-Should-Retry"]) == (402, first.json, "false")
    assert shop.post(f"/v1/invoices/{invoice.id}/pay", key="k2").json["status"] == "paid"


def test_a_refusal_of_state_is_replayed(shop: Shop) -> None:
    draft = shop.draft()
    first = shop.post(f"/v1/invoices/{draft.id}/void", key="k1")
    shop.v1.invoices.finalize_invoice(draft.id)
    assert shop.post(f"/v1/invoices/{draft.id}/void", key="k1").json == first.json


def test_a_validation_failure_is_not_saved(shop: Shop) -> None:
    assert shop.post("/v1/customers", {"nope": "x"}, key="k1").status == 400
    assert shop.post("/v1/customers", {"email": "a@example.com"}, key="k1").status == 200


def test_a_500_is_saved(shop: Shop) -> None:
    """A saved 500 is replayed, also if everything had been applied."""
    for fault, made in (("error_500", 0), ("error_500_after", 1)):
        shop.process.reset()
        shop.process.faults(**{fault: 1})
        first = shop.post("/v1/customers", {}, key="k1")
        shop.process.clear_faults()
        assert (first.status, first.error["type"]) == (500, "api_error")
        assert len(shop.v1.customers.list().data) == made
        again = shop.post("/v1/customers", {}, key="k1")
        assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (500, first.json, "true")


def test_a_429_is_not_saved(shop: Shop) -> None:
    shop.process.faults(error_429=1)
    answer = shop.post("/v1/customers", {}, key="k1")
    assert (answer.status, answer.error["code"], answer.error["type"]) == (429, "rate_limit", "invalid_request_error")
    assert int(answer.headers["Retry-After"]) >= 1
    shop.process.clear_faults()
    assert shop.post("/v1/customers", {}, key="k1").status == 200


def test_while_the_first_is_running(shop: Shop) -> None:
    shop.process.faults(latency_ms=[400, 400])
    answers: list[Answer] = []
    first = threading.Thread(target=lambda: answers.append(shop.post("/v1/customers", {}, key="k1")))
    first.start()
    time.sleep(0.15)
    second = shop.post("/v1/customers", {}, key="k1")
    first.join()
    assert (second.status, second.error["code"]) == (409, "idempotency_key_in_use")
    assert answers[0].status == 200
    shop.process.clear_faults()
    assert shop.post("/v1/customers", {}, key="k1").json == answers[0].json


def test_four_at_once_make_one_charge(shop: Shop) -> None:
    invoice = shop.open()
    statuses: list[int] = []

    def pay() -> None:
        statuses.append(shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1").status)

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_keys_are_forgotten_after_a_day(shop: Shop) -> None:
    first = shop.post("/v1/customers", {}, key="k1").json["id"]
    shop.process.clock(advance=86400 - 60)
    assert shop.post("/v1/customers", {}, key="k1").json["id"] == first
    shop.process.clock(advance=120)
    assert shop.post("/v1/customers", {}, key="k1").json["id"] != first


def test_a_get_ignores_the_key(shop: Shop) -> None:
    shop.ask("GET", "/v1/customers", headers={"Idempotency-Key": "k1"})
    shop.customer()
    assert len(shop.ask("GET", "/v1/customers", headers={"Idempotency-Key": "k1"}).json["data"]) == 1


def test_the_sdk_retries_with_the_same_key(shop: Shop) -> None:
    """The reply is lost after the charge. The SDK retries with its key, and there is one charge."""
    invoice = shop.open()
    shop.process.faults(drop_reply=0.5, seed=2, only=["POST /v1/invoices/*/pay"])
    patient = shop.process.client(max_network_retries=5)
    assert patient.v1.invoices.pay(invoice.id).status == "paid"
    assert shop.process.stats()["charges"] == {invoice.id: 1}
