"""Which fields each call changes on an invoice; all other fields stay."""

from __future__ import annotations

from typing import Any

from tests.sandbox.shop import Shop


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if before[name] != value}


def transitions(**stamps: Any) -> dict[str, Any]:
    return {"finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None, **stamps}


def test_create_with_a_customer_only(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.post("/v1/invoices", {"customer": customer.id}).json
    created = invoice["created"]
    assert {
        "status": "draft",
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "auto_advance": False,
        "attempted": False,
        "attempt_count": 0,
        "period_start": created,
        "period_end": created,
        "webhooks_delivered_at": created,
    }.items() <= invoice.items()
    amounts = ("amount_due", "amount_paid", "amount_remaining", "amount_overpaid", "total", "subtotal")
    assert [invoice[name] for name in amounts] == [0] * 6
    assert invoice["lines"]["data"] == []
    nulls = (
        "number effective_at ending_balance hosted_invoice_url invoice_pdf due_date next_payment_attempt "
        "automatically_finalizes_at parent"
    ).split()
    assert [invoice[name] for name in nulls] == [None] * len(nulls)
    assert invoice["status_transitions"] == transitions()


def test_pending_items_are_left_out_unless_included(shop: Shop) -> None:
    customer = shop.customer()
    for amount in (100, 200, 300):
        shop.v1.invoice_items.create({"customer": customer.id, "amount": amount, "currency": "usd"})
    assert shop.v1.invoices.create({"customer": customer.id}).total == 0
    taken = shop.v1.invoices.create({"customer": customer.id, "pending_invoice_items_behavior": "include"})
    assert [line.amount for line in taken.lines.data] == [300, 200, 100]  # newest first


def test_auto_advance_off_and_on_keeps_the_times(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.v1.invoices.create({"customer": customer.id, "auto_advance": True})
    window = (invoice.created + 3601, invoice.created + 3600)
    assert (invoice.automatically_finalizes_at, invoice.next_payment_attempt) == window
    off = shop.v1.invoices.update(invoice.id, {"auto_advance": False})
    assert (off.automatically_finalizes_at, off.next_payment_attempt) == (None, None)
    shop.process.clock(advance=100)
    on = shop.v1.invoices.update(invoice.id, {"auto_advance": True})
    assert (on.automatically_finalizes_at, on.next_payment_attempt) == window


def test_auto_advance_of_a_sent_invoice_has_no_payment_attempt(shop: Shop) -> None:
    customer = shop.customer()
    given = {"customer": customer.id, "auto_advance": True, "collection_method": "send_invoice", "days_until_due": 1}
    invoice = shop.v1.invoices.create(given)
    assert (invoice.automatically_finalizes_at, invoice.next_payment_attempt) == (invoice.created + 3601, None)


def test_days_until_due_becomes_a_date_and_is_no_field(shop: Shop) -> None:
    form = {"customer": shop.customer().id, "collection_method": "send_invoice", "days_until_due": "30"}
    invoice = shop.post("/v1/invoices", form).json
    assert invoice["due_date"] == invoice["created"] + 30 * 86400
    assert "days_until_due" not in invoice


def test_finalize_changes_these_fields(shop: Shop) -> None:
    draft = shop.draft()
    before = shop.get(f"/v1/invoices/{draft.id}").json
    after = shop.post(f"/v1/invoices/{draft.id}/finalize").json
    found = changed(before, after)
    now = found["effective_at"]
    assert found.pop("hosted_invoice_url").startswith("https://")
    assert found.pop("invoice_pdf").startswith("https://")
    assert found.pop("number").endswith("-0001")
    assert found == {
        "status": "open",
        "effective_at": now,
        "status_transitions": transitions(finalized_at=now),
        "ending_balance": 0,
        "rendering": {**before["rendering"], "pdf": {"page_size": "letter"}},
    }
    assert (after["attempted"], after["attempt_count"], after["auto_advance"]) == (False, 0, False)
    assert after["next_payment_attempt"] is None


def test_finalize_clears_the_times_and_keeps_auto_advance(shop: Shop) -> None:
    invoice = shop.open(auto_advance=True, collection_method="send_invoice", days_until_due=3)
    assert (invoice.automatically_finalizes_at, invoice.auto_advance) == (None, True)
    assert invoice.next_payment_attempt is None


def test_nothing_due_is_paid_at_finalization_with_a_number(shop: Shop) -> None:
    invoice = shop.open(0)
    stamps = invoice.status_transitions
    assert (invoice.status, invoice.attempted, invoice.attempt_count, invoice.amount_paid) == ("paid", True, 0, 0)
    assert stamps.paid_at == stamps.finalized_at
    assert invoice.number.endswith("-0001")


def test_paying_a_draft_by_card_changes_these_fields(shop: Shop) -> None:
    draft = shop.draft()
    before = shop.get(f"/v1/invoices/{draft.id}").json
    found = changed(before, shop.post(f"/v1/invoices/{draft.id}/pay").json)
    now = found["effective_at"]
    for name in ("hosted_invoice_url", "invoice_pdf", "number", "rendering", "ending_balance"):
        assert found.pop(name) is not None
    assert found == {
        "status": "paid",
        "effective_at": now,
        "amount_paid": 1000,
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": 1,
        "status_transitions": transitions(finalized_at=now, paid_at=now),
    }


def test_paying_switches_auto_advance_off(shop: Shop) -> None:
    draft = shop.draft(auto_advance=True)
    assert shop.v1.invoices.pay(draft.id).auto_advance is False


def test_paying_out_of_band_counts_no_attempt(shop: Shop) -> None:
    invoice = shop.open(auto_advance=True, collection_method="send_invoice", days_until_due=3)
    before = shop.get(f"/v1/invoices/{invoice.id}").json
    found = changed(before, shop.post(f"/v1/invoices/{invoice.id}/pay", {"paid_out_of_band": "true"}).json)
    paid_at = found["status_transitions"]["paid_at"]
    assert found == {
        "status": "paid",
        "amount_paid": 1000,
        "amount_remaining": 0,
        "auto_advance": False,
        "status_transitions": {**before["status_transitions"], "paid_at": paid_at},
    }
    assert (before["attempted"], before["attempt_count"]) == (False, 0)


def test_void_keeps_the_amounts(shop: Shop) -> None:
    invoice = shop.open()
    before = shop.get(f"/v1/invoices/{invoice.id}").json
    found = changed(before, shop.post(f"/v1/invoices/{invoice.id}/void").json)
    assert found.keys() == {"status", "status_transitions"}
    assert found["status_transitions"]["voided_at"]


def test_uncollectible_keeps_the_amounts(shop: Shop) -> None:
    invoice = shop.open()
    before = shop.get(f"/v1/invoices/{invoice.id}").json
    found = changed(before, shop.post(f"/v1/invoices/{invoice.id}/mark_uncollectible").json)
    assert found.keys() == {"status", "status_transitions"}
    assert found["status_transitions"]["marked_uncollectible_at"]


def test_a_declined_card_leaves_it_open_and_counts_once(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_chargeCustomerFail"))
    before = shop.get(f"/v1/invoices/{invoice.id}").json
    for _ in range(2):  # a later manual attempt does not raise the count
        assert shop.post(f"/v1/invoices/{invoice.id}/pay").status == 402
        after = shop.get(f"/v1/invoices/{invoice.id}").json
        assert changed(before, after) == {"attempted": True, "attempt_count": 1}
