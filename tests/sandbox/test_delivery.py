"""Webhook delivery: signatures, retries, receivers, and the faults of delivery."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import stripe

from sandbox.webhooks import Deliverer
from sandbox.world import World
from tests.sandbox.receiver import Receiver
from tests.sandbox.shop import Shop


def test_the_signature_is_stripes(shop: Shop, receiver: Receiver) -> None:
    shop.customer()
    receiver.wait(1)
    body, signature = receiver.bodies[0], receiver.signatures[0]
    event = stripe.Webhook.construct_event(body, signature, shop.process.webhook_secret)
    assert event.type == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")


def test_the_signature_is_of_now_whatever_the_clock_says(shop: Shop, receiver: Receiver) -> None:
    shop.process.clock(now=1_500_000_000)
    shop.customer()
    receiver.wait(1)
    stripe.Webhook.construct_event(receiver.bodies[0], receiver.signatures[0], shop.process.webhook_secret)
    assert receiver.events[0]["created"] == pytest.approx(1_500_000_000, abs=5)


def test_every_event_comes_once(shop: Shop, receiver: Receiver) -> None:
    shop.in_state("paid")
    stats = shop.process.settled()
    assert sorted(event["id"] for event in receiver.events) == sorted(event.id for event in shop.events())
    count = len(receiver.events)
    assert stats["deliveries"] == {"sent": count, "acknowledged": count, "dropped": 0, "pending": 0}


def test_pending_webhooks_counts_down(shop: Shop, receiver: Receiver) -> None:
    shop.customer()
    shop.process.settled()
    assert receiver.events[0]["pending_webhooks"] == 1
    assert shop.events()[0].pending_webhooks == 0


def test_what_is_not_acknowledged_comes_again(shop: Shop, receiver: Receiver) -> None:
    receiver.answer = lambda number: 500 if number == 0 else 200
    shop.customer()
    receiver.wait(2)
    assert receiver.bodies[0] == receiver.bodies[1]
    assert 0.8 < receiver.moments[1] - receiver.moments[0] < 3
    assert shop.process.settled()["deliveries"] == {"sent": 2, "acknowledged": 1, "dropped": 0, "pending": 0}


def test_a_delivery_that_becomes_due_after_the_look_is_not_slept_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr("sandbox.webhooks.time.time", lambda: now[0])
    world = World(tmp_path / "state.sqlite3")
    with world.store.write() as db:
        db.execute(
            "INSERT INTO delivery (event, type, endpoint, state, since, next_at) VALUES (?, ?, ?, 'pending', ?, ?)",
            ("evt_1", "invoice.created", "", 1_000.0, 1_000.5),
        )
    deliverer = Deliverer(world)
    assert deliverer._load_due() == []
    assert deliverer._seconds_until_next() == pytest.approx(0.5)
    now[0] = 1_000.6
    assert deliverer._seconds_until_next() < 0.1


def test_webhooks_delivered_at_comes_with_the_acknowledgement(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(delay_ms=[300, 300])
    invoice = shop.v1.invoices.create({"customer": shop.customer().id})
    assert invoice.webhooks_delivered_at is None
    shop.process.settled()
    assert shop.v1.invoices.retrieve(invoice.id).webhooks_delivered_at


def test_deliveries_wait_while_no_receiver_answers(shop: Shop, receiver: Receiver) -> None:
    shop.process.webhook("http://127.0.0.1:9/nobody")
    shop.customer()
    time.sleep(0.1)
    assert shop.process.stats()["deliveries"]["pending"] == 1
    shop.process.webhook(receiver.url)
    receiver.wait(1)


def test_deliveries_of_a_removed_receiver_are_dropped(shop: Shop, receiver: Receiver) -> None:
    receiver.answer = lambda number: 500
    shop.customer()
    receiver.wait(1)
    shop.process.webhook(None)
    assert shop.process.settled()["deliveries"]["dropped"] == 1


def test_a_reset_removes_pending_deliveries(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(delay_ms=[60_000, 60_000])
    for _ in range(20):
        shop.customer()
    assert shop.process.stats()["deliveries"]["pending"] == 20
    shop.process.reset()
    assert shop.process.stats()["deliveries"]["pending"] == 0
    shop.customer()
    assert shop.process.settled()["deliveries"] == {"sent": 1, "acknowledged": 1, "dropped": 0, "pending": 0}
    assert len(receiver.bodies) == 1


def test_dropped_is_lost_for_good(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(drop=1)
    shop.customer()
    shop.process.clear_faults()
    shop.process.settled()
    assert receiver.bodies == []
    assert shop.process.stats()["deliveries"]["dropped"] == 1
    assert len(shop.events()) == 1  # still listed


def test_duplicates(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(duplicate=1)
    shop.customer()
    shop.process.settled()
    assert len(receiver.bodies) == 2
    assert receiver.bodies[0] == receiver.bodies[1]


def test_reordered(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(reorder=0.5, seed=1)
    for _ in range(12):
        shop.customer()
    shop.process.settled()
    came = [event["id"] for event in receiver.events]
    assert sorted(came) != came
    assert len(came) == 12


def test_delayed(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(delay_ms=[300, 400])
    begun = time.monotonic()
    shop.customer()
    shop.process.settled()
    assert receiver.moments[0] - begun >= 0.3


def test_only_some_event_types(shop: Shop, receiver: Receiver) -> None:
    shop.process.faults(drop=1, only=["EVENT invoice.*"])
    shop.in_state("paid")
    shop.process.settled()
    assert not [event for event in receiver.events if event["type"].startswith("invoice.")]
    assert {"customer.created", "charge.succeeded"} <= {event["type"] for event in receiver.events}


def test_stamps_that_lag(shop: Shop) -> None:
    shop.process.clock(now=1_800_000_000, freeze=True)
    shop.process.faults(stamp_lag=3, seed=1)
    for _ in range(20):
        shop.customer()
    assert {1_800_000_000 - event.created for event in shop.events()} == {0, 1, 2, 3}


def test_a_webhook_endpoint_has_its_own_secret(shop: Shop, receiver: Receiver) -> None:
    shop.process.webhook(None)
    endpoint = shop.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["invoice.created"]})
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in shop.get(f"/v1/webhook_endpoints/{endpoint.id}").json
    shop.draft()
    shop.process.settled()
    assert [event["type"] for event in receiver.events] == ["invoice.created"]
    stripe.Webhook.construct_event(receiver.bodies[0], receiver.signatures[0], endpoint.secret)
    shop.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    shop.draft()
    shop.v1.webhook_endpoints.delete(endpoint.id)
    shop.draft()
    shop.process.settled()
    assert len(receiver.bodies) == 1


def test_hundreds_a_second(shop: Shop, receiver: Receiver) -> None:
    """The limit is far below the speed of an idle machine, because test runs share the processor."""
    shop.process.faults(delay_ms=[1500, 1500])
    customer = shop.customer()
    for number in range(150):
        shop.v1.customers.update(customer.id, {"name": str(number)})
    receiver.wait(151, timeout=20)
    shop.process.settled()
    assert len({event["id"] for event in receiver.events}) == 151
