"""Planted invoices: complete, the same for the same seed, and without events."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="module")
def planted() -> Any:
    with SandboxProcess(invoices=500, seed=7) as process:
        yield Shop(process)


def invoices(shop: Shop) -> list[Any]:
    form = {"limit": 100, "expand": ["data.payments.data.payment.payment_intent", "data.amount_paid_off_stripe"]}
    return [one.to_dict() for one in shop.v1.invoices.list(form).auto_paging_iter()]


def test_everything_is_there(planted: Shop) -> None:
    seeds = invoices(planted)
    now = planted.process.clock()["now"]
    assert len(seeds) == 500
    assert set(Counter(one["status"] for one in seeds)) == {"draft", "open", "paid", "uncollectible", "void"}
    assert {"usd", "eur", "jpy", "kwd"} <= {one["currency"] for one in seeds}
    assert any(one["lines"]["has_more"] for one in seeds)
    assert any(one["parent"] for one in seeds)
    assert any(one["status"] == "open" and one["amount_paid"] for one in seeds)
    assert any(one["status"] == "open" and one["due_date"] and one["due_date"] < now for one in seeds)
    errors = [
        payment["payment"]["payment_intent"]["last_payment_error"]
        for one in seeds
        for payment in one["payments"]["data"]
        if one["status"] == "open" and "payment_intent" in payment["payment"]
    ]
    assert any(error and error["decline_code"] for error in errors)
    assert all(now - 121 * 86400 < one["created"] < now for one in seeds)
    assert [one["created"] for one in seeds] == sorted((one["created"] for one in seeds), reverse=True)


def test_the_money_adds_up(planted: Shop) -> None:
    for one in invoices(planted):
        payments = [payment for payment in one["payments"]["data"] if payment["status"] == "paid"]
        received = sum(payment["amount_paid"] for payment in payments)
        assert one["total"] == one["amount_due"] + one["pre_payment_credit_notes_amount"]
        assert one["amount_remaining"] == one["amount_due"] - one["amount_paid"]
        if one["amount_paid_off_stripe"] != one["amount_paid"] or payments:
            assert received == one["amount_paid"]
        assert (one["number"] is None) == (one["status"] == "draft")


def test_credit_notes_and_refunds_are_there_and_agree_with_what_they_reduce(planted: Shop) -> None:
    notes = planted.get("/v1/credit_notes", limit=100, **{"expand[]": "data.invoice"}).json["data"]
    refunds = planted.get("/v1/refunds", limit=100, **{"expand[]": "data.charge"}).json["data"]
    assert {"pre_payment", "post_payment"} == {note["type"] for note in notes}
    for note in notes:
        credited = (
            note["invoice"]["pre_payment_credit_notes_amount"],
            note["invoice"]["post_payment_credit_notes_amount"],
        )
        assert credited == (note["pre_payment_amount"], note["post_payment_amount"])
        assert note["number"].startswith(note["invoice"]["number"])
        assert sum(one["amount_refunded"] for one in note["refunds"]) == note["post_payment_amount"]
    assert {True, False} == {refund["charge"]["refunded"] for refund in refunds}
    assert all(refund["charge"]["amount_refunded"] == refund["amount"] for refund in refunds)


def test_numbers_are_unique(planted: Shop) -> None:
    numbers = [one["number"] for one in invoices(planted) if one["number"]]
    assert len(set(numbers)) == len(numbers)


def test_seeds_look_as_if_the_calls_had_made_them(planted: Shop) -> None:
    live = {status: planted.in_state(status).to_dict() for status in ("draft", "open", "paid", "void")}
    for one in planted.get("/v1/invoices", limit=100).json["data"]:
        example = live.get(one["status"])
        if example:
            assert one.keys() == example.keys()
            assert one["lines"].keys() == example["lines"].keys()
            for line in one["lines"]["data"]:
                assert line.keys() == example["lines"]["data"][0].keys()


def test_planting_makes_no_events() -> None:
    with SandboxProcess(invoices=30, webhook_url="http://127.0.0.1:9/nobody") as process:
        assert Shop(process).events() == []
        assert process.stats()["deliveries"]["pending"] == 0
        assert process.stats()["charges"] == {}


def test_the_same_seed_plants_the_same(shop: Shop) -> None:
    def plant(seed: int) -> list[Any]:
        shop.process.reset(invoices=40, seed=seed)
        listed = shop.get("/v1/invoices", limit=100).json["data"]
        return [(one["id"], one["status"], one["total"], one["customer_email"]) for one in listed]

    assert plant(1) == plant(1)
    assert plant(1) != plant(2)


def test_only_an_empty_state_is_planted(tmp_path: Any) -> None:
    with SandboxProcess(invoices=20, state=tmp_path / "s.sqlite3") as process:
        shop = Shop(process)
        first = shop.get("/v1/invoices", limit=100).json
        process.restart()
        assert shop.get("/v1/invoices", limit=100).json == first


def test_email_addresses_are_reserved_domains(planted: Shop) -> None:
    for customer in planted.v1.customers.list({"limit": 100}).data:
        if customer.email:
            assert customer.email.endswith(("example.com", "example.org"))


def test_every_planted_card_behaves(planted: Shop) -> None:
    """Among the planted customers are working, declined and authenticating cards, and customers without one."""
    seen = set()
    for one in planted.v1.invoices.list({"status": "open", "limit": 100}).data:
        answer = planted.post(f"/v1/invoices/{one.id}/pay")
        seen.add((answer.status, answer.json.get("error", {}).get("code")))
    assert seen == {
        (200, None),
        (402, "card_declined"),
        (402, "authentication_required"),
        (400, "resource_missing"),
    }


def test_a_declined_charge_says_why(planted: Shop) -> None:
    """As a charge does that is declined while the sandbox runs."""
    charges = planted.v1.charges.list({"limit": 100}).auto_paging_iter()
    outcomes = [charge.outcome for charge in charges if charge.status == "failed"]
    assert outcomes and all(each["type"] == "issuer_declined" and each["reason"] for each in outcomes)
