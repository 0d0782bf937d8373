"""The faults of replies; a seed makes them repeatable."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Any

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxError

CUT = (http.client.RemoteDisconnected, ConnectionResetError)


def test_what_is_set_can_be_read_and_cleared(shop: Shop) -> None:
    shop.process.faults(drop=0.5, latency_ms=7, seed=4)
    assert shop.process.get("faults") == {"drop": 0.5, "latency_ms": [7, 7], "seed": 4}
    assert shop.process.clear_faults() == {}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"nope": 1}, "There is no fault named nope"),
        ({"drop": 2}, "probability"),
        ({"drop": "much"}, "probability"),
        ({"delay_ms": [5, 1]}, "milliseconds"),
        ({"stamp_lag": 1.5}, "whole number"),
        ({"proxy_status": 7}, "HTTP status"),
        ({"only": "POST /v1"}, "patterns"),
    ],
)
def test_a_wrong_fault_is_explained(shop: Shop, fault: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SandboxError, match=sentence):
        shop.process.faults(**fault)
    assert shop.process.get("faults") == {}


def test_error_500_applies_nothing(shop: Shop) -> None:
    invoice = shop.open()
    shop.process.faults(error_500=1, only=["POST /v1/invoices/*/pay"])
    assert shop.post(f"/v1/invoices/{invoice.id}/pay").status == 500
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    assert shop.process.stats()["charges"] == {}


def test_error_500_after_applies_all(shop: Shop) -> None:
    invoice = shop.open()
    shop.process.faults(error_500_after=1, only=["POST /v1/invoices/*/pay"])
    assert shop.post(f"/v1/invoices/{invoice.id}/pay").status == 500
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"


def test_drop_reply_applies_all_and_the_key_remembers_the_success(shop: Shop) -> None:
    invoice = shop.open()
    shop.process.faults(drop_reply=1)
    with pytest.raises(CUT):
        shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1")
    shop.process.clear_faults()
    again = shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1")
    assert (again.status, again.json["status"], again.headers["Idempotent-Replayed"]) == (200, "paid", "true")
    assert shop.process.stats()["charges"] == {invoice.id: 1}


def test_latency_holds_no_lock(shop: Shop) -> None:
    shop.process.faults(latency_ms=[2000, 2000], only=["POST /v1/customers"])
    slow = threading.Thread(target=shop.post, args=("/v1/customers",))
    begun = time.monotonic()
    slow.start()
    time.sleep(0.05)
    assert shop.post("/v1/products", {"name": "x"}).status == 200
    assert slow.is_alive()
    slow.join()
    assert time.monotonic() - begun >= 2


def test_only_narrows_by_method_and_path(shop: Shop) -> None:
    shop.process.faults(error_500=1, only=["POST /v1/customers", "/v1/products"])
    assert shop.post("/v1/customers").status == 500
    assert shop.get("/v1/customers").status == 200
    assert shop.get("/v1/products").status == 500
    assert shop.get("/v1/invoices").status == 200


def test_the_same_seed_gives_the_same_faults(shop: Shop) -> None:
    def run(seed: int) -> list[int]:
        shop.process.reset()
        shop.process.faults(error_500=0.3, error_429=0.3, seed=seed)
        return [shop.get("/v1/customers").status for _ in range(30)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert set(run(1)) == {200, 429, 500}


def test_another_fault_does_not_change_the_first(shop: Shop) -> None:
    def run(**more: Any) -> list[bool]:
        shop.process.reset()
        shop.process.faults(error_500=0.5, seed=1, **more)
        return [shop.get("/v1/customers").status == 500 for _ in range(20)]

    assert run() == run(latency_ms=[0, 1])


def test_the_sandboxs_own_addresses_never_fail(shop: Shop) -> None:
    shop.process.faults(error_500=1, drop_reply=1)
    assert shop.process.stats()["charges"] == {}


def test_requests_are_counted_by_shape(shop: Shop) -> None:
    before = shop.process.stats()["requests"].get("GET /v1/invoices/:id", 0)
    invoice = shop.draft()
    for _ in range(3):
        shop.get(f"/v1/invoices/{invoice.id}")
    assert shop.process.stats()["requests"]["GET /v1/invoices/:id"] == before + 4


@pytest.mark.parametrize("status", [200, 307, 403, 502])
@pytest.mark.parametrize(("fault", "then"), [("proxy_page", "open"), ("proxy_page_after", "paid")])
def test_a_proxy_answers_instead(shop: Shop, fault: str, then: str, status: int) -> None:
    invoice = shop.open()
    shop.process.faults(**{fault: 1, "proxy_status": status}, only=["POST /v1/invoices/*/pay"])
    reply = shop.post(f"/v1/invoices/{invoice.id}/pay")
    assert reply.status == status and "Request-Id" not in reply.headers
    assert shop.v1.invoices.retrieve(invoice.id).status == then


def test_a_garbled_reply_applies_all_and_the_key_remembers_it_whole(shop: Shop) -> None:
    invoice = shop.open()
    shop.process.faults(garbled=1)
    reply = shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1")
    assert (reply.status, reply.json) == (200, None)
    shop.process.clear_faults()
    assert shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1").json["status"] == "paid"


def test_the_wires_faults_do_not_shift_those_of_a_seed(shop: Shop) -> None:
    def statuses(**faults: Any) -> list[int]:
        shop.process.faults(error_500=0.5, seed=11, **faults)
        return [shop.get("/v1/invoices").status for _ in range(20)]

    assert [status == 500 for status in statuses()] == [status == 500 for status in statuses(garbled=0.5)]


def test_a_body_that_is_too_large_has_a_request_id_too(shop: Shop) -> None:
    reply = shop.post("/v1/customers", {"description": "x" * 4_000_001})
    assert reply.status == 413 and reply.headers["Request-Id"].startswith("req_")
