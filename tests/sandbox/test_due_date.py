"""POST /v1/invoices/:id with `due_date`: only on drafts that are sent, as Stripe's API reference says."""

from __future__ import annotations

import pytest

from tests.sandbox.shop import Shop

FINALIZED = "Finalized invoices can't be updated in this way"
DAY_SECONDS = 86400


def test_a_draft_takes_a_new_due_date_once_per_key(shop: Shop) -> None:
    invoice = shop.draft(collection_method="send_invoice", days_until_due=30)
    before = shop.events()
    form = {"due_date": invoice.created + 45 * DAY_SECONDS}
    first = shop.post(f"/v1/invoices/{invoice.id}", form, key="due-date-1")
    again = shop.post(f"/v1/invoices/{invoice.id}", form, key="due-date-1")

    assert (first.status, first.json["due_date"]) == (200, form["due_date"])
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    events = shop.since(before)
    assert [event.type for event in events] == ["invoice.updated"], "the repeat changed nothing"
    assert events[0].request.idempotency_key == "due-date-1"
    assert events[0].request.id == first.headers["Request-Id"]
    assert events[0].data.previous_attributes.to_dict() == {"due_date": invoice.created + 30 * DAY_SECONDS}
    assert events[0].data.object["due_date"] == form["due_date"]


def test_the_same_due_date_makes_no_event(shop: Shop) -> None:
    invoice = shop.draft(collection_method="send_invoice", days_until_due=30)
    before = shop.events()
    assert shop.post(f"/v1/invoices/{invoice.id}", {"due_date": invoice.due_date}).status == 200
    assert shop.since(before) == []


def test_a_key_with_another_due_date_is_refused(shop: Shop) -> None:
    invoice = shop.draft(collection_method="send_invoice", days_until_due=30)
    path = f"/v1/invoices/{invoice.id}"
    shop.post(path, {"due_date": invoice.created + DAY_SECONDS}, key="due-date-2")
    other = shop.post(path, {"due_date": invoice.created + 2 * DAY_SECONDS}, key="due-date-2")
    assert (other.status, other.error["type"]) == (400, "idempotency_error")
    assert shop.v1.invoices.retrieve(invoice.id).due_date == invoice.created + DAY_SECONDS


@pytest.mark.parametrize("name", ["due_date", "days_until_due"])
def test_an_open_invoice_keeps_its_due_date(shop: Shop, name: str) -> None:
    invoice = shop.open(collection_method="send_invoice", days_until_due=30)
    before = shop.events()
    answer = shop.post(f"/v1/invoices/{invoice.id}", {name: 1_900_000_000 if name == "due_date" else 60})
    assert (answer.status, answer.error["message"], answer.error["param"]) == (400, FINALIZED, name)
    assert shop.v1.invoices.retrieve(invoice.id).due_date == invoice.due_date
    assert shop.since(before) == []


def test_metadata_of_an_open_invoice_can_be_updated(shop: Shop) -> None:
    invoice = shop.open(collection_method="send_invoice", days_until_due=30)
    before = shop.events()
    answer = shop.post(f"/v1/invoices/{invoice.id}", {"metadata[promised]": "Friday"}, key="metadata-1")
    assert (answer.status, answer.json["metadata"]) == (200, {"promised": "Friday"})
    assert [(event.type, event.request.idempotency_key) for event in shop.since(before)] == [
        ("invoice.updated", "metadata-1")
    ]
