"""The state file: a killed process loses nothing and continues after a restart."""

from __future__ import annotations

import threading

import pytest

from tests.sandbox.receiver import Receiver
from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxProcess


def test_kill_and_start_again() -> None:
    with SandboxProcess() as process:
        shop = Shop(process)
        invoice = shop.open()
        paid = shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1")
        events = [event.id for event in shop.events()]
        later = shop.process.clock(advance=5000)["now"]
        shop.process.faults(stamp_lag=2)
        process.kill()
        process.start()
        assert shop.get(f"/v1/invoices/{invoice.id}").json["status"] == "paid"
        assert process.clock()["now"] == pytest.approx(later, abs=20)
        assert process.get("faults") == {"stamp_lag": 2}
        assert process.stats()["charges"] == {invoice.id: 1}
        process.clock(real=True)
        assert [event.id for event in shop.events()] == events
        assert shop.post(f"/v1/invoices/{invoice.id}/pay", key="k1").json == paid.json


def test_pending_deliveries_go_on_after_a_kill() -> None:
    receiver = Receiver()
    with SandboxProcess(webhook_url="http://127.0.0.1:9/nobody") as process:
        shop = Shop(process)
        made = [shop.customer().id for _ in range(20)]
        process.kill()
        process._webhook_url = receiver.url
        process.start()
        process.settled(30)
        assert {event["data"]["object"]["id"] for event in receiver.events} == set(made)
    receiver.shutdown()


def test_killed_in_the_middle_every_effect_has_its_events() -> None:
    """An effect and its events are one transaction: a kill at any moment leaves both or neither."""
    with SandboxProcess() as process:
        shop = Shop(process)
        customer = shop.customer("pm_card_visa")

        def work() -> None:
            while True:
                try:
                    shop.v1.invoices.pay(shop.draft(100, customer).id)
                except Exception:
                    return

        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        threads[0].join(0.7)
        process.kill()
        process.start()
        paid = {one.id for one in shop.v1.invoices.list({"status": "paid", "limit": 100}).auto_paging_iter()}
        told = shop.v1.events.list({"type": "invoice.paid", "limit": 100}).auto_paging_iter()
        assert {event.data.object.id for event in told} == paid
        assert process.stats()["charges"] == dict.fromkeys(paid, 1)
        assert paid


def test_reset_empties_everything(shop: Shop) -> None:
    shop.in_state("paid")
    shop.process.clock(advance=5000)
    shop.process.faults(drop=1)
    shop.process.reset()
    assert shop.v1.invoices.list().data == []
    assert shop.events() == []
    assert shop.process.get("faults") == {}
    assert shop.process.clock()["offset"] == 0
    assert shop.process.stats() == {
        "charges": {},
        "requests": {"GET /v1/events": 1, "GET /v1/invoices": 1},
        "deliveries": {"sent": 0, "acknowledged": 0, "dropped": 0, "pending": 0},
    }
