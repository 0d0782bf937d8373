"""Events: their members, their previous_attributes, and which events each call makes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.shop import Shop

FINALIZED = ["invoice.finalized", "payment_intent.created", "invoice.updated"]
PAID = [
    "charge.succeeded",
    "payment_intent.succeeded",
    "invoice_payment.paid",
    "invoice.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
]
DECLINED = ["charge.failed", "payment_intent.payment_failed", "invoice.updated", "invoice.payment_failed"]


def types_after(shop: Shop, path: str, form: dict[str, str] | None = None, method: str = "POST") -> list[str]:
    before = shop.events()
    shop.ask(method, path, form)
    return [event.type for event in shop.since(before)]


def test_the_shape_of_an_event(shop: Shop) -> None:
    answer = shop.post("/v1/customers", {"email": "ada@example.com"}, key="a-key")
    event = shop.get("/v1/events").json["data"][0]
    assert event.keys() == {
        "id", "object", "api_version", "created", "data", "livemode", "pending_webhooks", "request", "type",
    }  # fmt: skip
    assert (event["object"], event["api_version"], event["livemode"]) == ("event", "2026-10-28.endive", False)
    assert event["data"] == {"object": answer.json}
    assert event["request"] == {"id": answer.headers["Request-Id"], "idempotency_key": "a-key"}
    assert shop.get(f"/v1/events/{event['id']}").json == event


def test_create(shop: Shop) -> None:
    form = {"customer": shop.customer().id}
    assert types_after(shop, "/v1/invoices", form) == ["invoice.created"]


def test_finalize(shop: Shop) -> None:
    assert types_after(shop, f"/v1/invoices/{shop.draft().id}/finalize") == FINALIZED


def test_paid_by_card(shop: Shop) -> None:
    assert types_after(shop, f"/v1/invoices/{shop.open().id}/pay") == PAID


def test_a_draft_paid_by_card(shop: Shop) -> None:
    assert types_after(shop, f"/v1/invoices/{shop.draft().id}/pay") == FINALIZED + PAID


def test_paid_out_of_band(shop: Shop) -> None:
    sent = types_after(shop, f"/v1/invoices/{shop.open().id}/pay", {"paid_out_of_band": "true"})
    assert sent == ["payment_intent.canceled", "invoice.paid", "invoice.updated"]


def test_declined(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_chargeCustomerFail"))
    assert types_after(shop, f"/v1/invoices/{invoice.id}/pay") == DECLINED
    again = types_after(shop, f"/v1/invoices/{invoice.id}/pay")  # the invoice did not change any more
    assert again == [type for type in DECLINED if type != "invoice.updated"]


def test_authentication(shop: Shop) -> None:
    invoice = shop.open(customer=shop.customer("pm_card_threeDSecure2Required"))
    sent = types_after(shop, f"/v1/invoices/{invoice.id}/pay", {"off_session": "false"})
    assert {"payment_intent.requires_action", "invoice.payment_action_required"} <= set(sent)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("void", ["payment_intent.canceled", "invoice.voided"]),
        ("mark_uncollectible", ["invoice.marked_uncollectible"]),
        ("send", ["invoice.sent"]),
    ],
)
def test_void_uncollectible_and_send(shop: Shop, call: str, expected: list[str]) -> None:
    invoice = shop.open(collection_method="send_invoice", days_until_due=1)
    assert types_after(shop, f"/v1/invoices/{invoice.id}/{call}") == expected


def test_delete_carries_the_whole_object_and_no_key(shop: Shop) -> None:
    draft = shop.draft()
    shop.ask("DELETE", f"/v1/invoices/{draft.id}", headers={"Idempotency-Key": "ignored"})
    event = shop.events()[-1]
    assert (event.type, event.data.object.total) == ("invoice.deleted", 1000)
    assert event.request.id
    assert event.request.idempotency_key is None


def test_a_deleted_customer_carries_the_whole_object(shop: Shop) -> None:
    shop.v1.customers.delete(shop.customer().id)
    event = shop.events()[-1]
    assert (event.type, event.data.object.email) == ("customer.deleted", "ada@example.com")
    assert event.request.idempotency_key is None


def test_overpaid(shop: Shop) -> None:
    record = shop.record(1500)
    sent = types_after(shop, f"/v1/invoices/{shop.open(1000).id}/attach_payment", {"payment_record": record.id})
    assert "invoice.overpaid" in sent
    assert "customer.updated" in sent


def previous(shop: Shop, type: str = "invoice.updated") -> dict[str, Any]:
    event = next(event for event in shop.get("/v1/events").json["data"] if event["type"] == type)
    return event["data"]["previous_attributes"]


def test_previous_attributes_of_a_finalization(shop: Shop) -> None:
    shop.open()
    assert previous(shop) == {
        "status": "draft",
        "number": None,
        "effective_at": None,
        "ending_balance": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "rendering": {"pdf": {"page_size": "auto"}},
        "status_transitions": {"finalized_at": None},
    }


def test_previous_attributes_of_a_payment(shop: Shop) -> None:
    shop.v1.invoices.pay(shop.open().id)
    assert previous(shop) == {
        "status": "open",
        "amount_paid": 0,
        "amount_remaining": 1000,
        "attempted": False,
        "attempt_count": 0,
        "status_transitions": {"paid_at": None},
    }


def test_previous_attributes_of_nested_objects(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    assert previous(shop, "customer.updated") == {"invoice_settings": {"default_payment_method": None}}
    shop.v1.customers.update(customer.id, {"metadata": {"new": "x"}})
    assert previous(shop, "customer.updated") == {"metadata": {"new": None}}


def test_previous_attributes_are_absent_elsewhere(shop: Shop) -> None:
    shop.in_state("paid")
    for event in shop.get("/v1/events", limit=100).json["data"]:
        assert ("previous_attributes" in event["data"]) == event["type"].endswith(".updated"), event["type"]


def test_detaching_has_previous_attributes_too(shop: Shop) -> None:
    customer = shop.customer("pm_card_visa")
    shop.v1.payment_methods.detach(customer.invoice_settings.default_payment_method)
    assert previous(shop, "payment_method.detached") == {"customer": customer.id}


def test_nothing_changed_sends_nothing(shop: Shop) -> None:
    customer = shop.customer()
    assert types_after(shop, f"/v1/customers/{customer.id}", {"name": "Ada Abara"}) == []


def test_what_stripe_does_later_has_no_request(shop: Shop) -> None:
    shop.v1.invoices.pay(shop.open().id)
    later = [event for event in shop.events() if event.request.id is None]
    assert [event.type for event in later] == ["invoice_payment.paid"]
    assert later[0].request.idempotency_key is None


def test_attaching_sends_attached_and_no_created(shop: Shop) -> None:
    shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    form = {"customer": shop.customer().id}
    assert types_after(shop, "/v1/payment_methods/pm_card_visa/attach", form) == ["payment_method.attached"]
    assert "payment_method.created" not in {event.type for event in shop.events()}


def test_events_of_one_flow_share_a_second(shop: Shop) -> None:
    shop.process.clock(now=1_800_000_000, freeze=True)
    shop.in_state("paid")
    assert {event.created for event in shop.events()} == {1_800_000_000}


def test_each_event_holds_the_object_as_it_was_then(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.draft().id)
    statuses = [event.data.object.status for event in shop.events() if event.type.startswith("invoice.")][-5:]
    assert statuses == ["open", "open", "paid", "paid", "paid"]
    assert invoice.status == "paid"


def test_filter_by_type_and_types(shop: Shop) -> None:
    shop.in_state("paid")
    assert {event.type for event in shop.events(type="invoice.*")} == {
        "invoice.created", "invoice.finalized", "invoice.updated", "invoice.paid", "invoice.payment_succeeded",
    }  # fmt: skip
    assert [event.type for event in shop.events(type="invoice.paid")] == ["invoice.paid"]
    assert [event.type for event in shop.events(types=["invoice.paid", "charge.succeeded"])] == [
        "charge.succeeded",
        "invoice.paid",
    ]
    both = shop.get("/v1/events", **{"type": "invoice.paid", "types[]": "invoice.paid"})
    assert both.status == 400
    many = {f"types[{index}]": "invoice.paid" for index in range(21)}
    assert shop.get("/v1/events", **many).status == 400


def test_events_leave_after_thirty_days(shop: Shop) -> None:
    shop.customer()
    event = shop.events()[0]
    shop.process.clock(advance=30 * 86400 - 60)
    assert [one.id for one in shop.events()] == [event.id]
    shop.process.clock(advance=120)
    assert shop.events() == []
    assert shop.get(f"/v1/events/{event.id}").status == 404
