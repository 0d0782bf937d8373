"""The sandbox's clock, and what Stripe does by itself at a later moment."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxError

DAY = 86400


def test_the_clock_sets_created_and_the_date_header(shop: Shop) -> None:
    shop.process.clock(now=1_700_000_000, freeze=True)
    answer = shop.post("/v1/customers")
    assert answer.json["created"] == 1_700_000_000
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == 1_700_000_000


def test_the_clock_advances_and_returns_to_real_time(shop: Shop) -> None:
    real = shop.process.clock()["now"]
    assert shop.process.clock(advance=1000)["now"] - real in (1000, 1001)
    assert shop.process.clock(real=True)["now"] - real in (0, 1)
    with pytest.raises(SandboxError, match="The clock takes"):
        shop.process.clock(backwards=1)


def test_automatic_finalization_and_charge_after_an_hour(shop: Shop) -> None:
    draft = shop.draft(1000, auto_advance=True)
    shop.process.clock(advance=3500)
    assert shop.v1.invoices.retrieve(draft.id).status == "draft"
    shop.process.clock(advance=200)
    invoice = shop.v1.invoices.retrieve(draft.id)
    assert (invoice.status, invoice.attempt_count) == ("paid", 1)
    assert invoice.status_transitions.finalized_at == draft.automatically_finalizes_at  # at its moment, not ours
    paid = next(event for event in shop.events() if event.type == "invoice.paid")
    assert (paid.request.id, paid.request.idempotency_key) == (None, None)


def test_scheduled_retries_raise_the_count(shop: Shop) -> None:
    draft = shop.draft(1000, shop.customer("pm_card_chargeCustomerFail"), auto_advance=True)
    seen = []
    for days in (1, 3, 5, 7, 30):
        shop.process.clock(advance=days * DAY)
        invoice = shop.v1.invoices.retrieve(draft.id)
        seen.append((invoice.attempt_count, invoice.next_payment_attempt is not None))
    assert seen == [(1, True), (2, True), (3, True), (4, False), (4, False)]
    assert invoice.status == "open"


def test_one_jump_runs_every_timer_on_the_way(shop: Shop) -> None:
    draft = shop.draft(1000, shop.customer("pm_card_chargeCustomerFail"), auto_advance=True)
    shop.process.clock(advance=25 * DAY)
    assert shop.v1.invoices.retrieve(draft.id).attempt_count == 4
    assert len([event for event in shop.events() if event.type == "invoice.payment_failed"]) == 4


def test_a_retry_with_a_new_card_pays(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    draft = shop.draft(1000, customer, auto_advance=True)
    shop.process.clock(advance=3700)
    good = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    shop.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": good.id}})
    shop.process.clock(advance=3 * DAY)
    invoice = shop.v1.invoices.retrieve(draft.id)
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("paid", 2, None)


def test_an_automatic_charge_on_demand(shop: Shop) -> None:
    invoice = shop.open()
    assert shop.process.post(f"invoices/{invoice.id}/charge_automatically")["status"] == "paid"


def test_payment_failed_also_without_a_stored_card(shop: Shop) -> None:
    draft = shop.draft(1000, shop.customer(), auto_advance=True)
    shop.process.clock(advance=3700)
    assert shop.v1.invoices.retrieve(draft.id).attempted is True
    assert shop.events()[-1].type == "invoice.payment_failed"


def test_overdue_when_the_due_date_passes(shop: Shop) -> None:
    invoice = shop.open(collection_method="send_invoice", days_until_due=2)
    paid = shop.open(collection_method="send_invoice", days_until_due=2)
    shop.v1.invoices.pay(paid.id)
    shop.process.clock(advance=2 * DAY + 5)
    overdue = [event for event in shop.events() if event.type == "invoice.overdue"]
    assert [event.data.object.id for event in overdue] == [invoice.id]
    assert overdue[0].created == invoice.due_date


def test_a_sent_invoice_is_sent_when_it_is_finalized_by_itself(shop: Shop) -> None:
    draft = shop.draft(auto_advance=True, collection_method="send_invoice", days_until_due=2)
    shop.process.clock(advance=3700)
    assert shop.v1.invoices.retrieve(draft.id).status == "open"
    assert shop.events()[-1].type == "invoice.sent"


def test_a_timer_runs_by_itself(shop: Shop) -> None:
    draft = shop.draft(auto_advance=True)
    shop.process.clock(now=draft.automatically_finalizes_at - 1)
    end = time.monotonic() + 5
    while shop.v1.invoices.retrieve(draft.id).status != "paid":
        assert time.monotonic() < end
        time.sleep(0.1)
