"""What each call does to an invoice of each status."""

from __future__ import annotations

import pytest
import stripe

from tests.sandbox.shop import Answer, Shop

F1 = "This invoice is already finalized, you can't re-finalize a non-draft invoice."
P1 = "Invoice is already paid"
V1 = "You can only pass in open invoices. This invoice isn't open."
V2 = "Invoices with `paid` payments cannot be voided."
U1 = "This invoice has already been marked uncollectible."
D1 = "You can only delete draft invoices."
S1 = (
    "This invoice cannot be sent right now. Please contact us via https://support.stripe.com/contact with details, "
    "so we can help."
)
E1 = "Finalized invoices can't be updated in this way"
L1 = "Invalid invoice: This invoice is no longer editable"

LINE = {"lines[0][amount]": "500", "lines[0][description]": "one more"}
# call, parameters, status → the message of the refusal, or the status that follows
TABLE = [
    ("finalize", {}, {"draft": "open", "open": F1, "paid": F1, "uncollectible": F1, "void": F1}),
    ("pay", {}, {"draft": "paid", "open": "paid", "paid": P1, "uncollectible": "paid"}),
    ("pay", {"paid_out_of_band": "true"}, {"open": "paid", "paid": P1, "uncollectible": "paid"}),
    ("send", {}, {"draft": "open", "paid": S1}),
    ("void", {}, {"draft": V1, "open": "void", "paid": V2, "void": V1}),
    (
        "mark_uncollectible",
        {},
        {"draft": V1, "open": "uncollectible", "paid": V1, "uncollectible": U1, "void": V1},
    ),
    ("add_lines", LINE, {"draft": "draft", "open": L1, "paid": L1, "uncollectible": L1, "void": L1}),
    (
        "",
        {"metadata[a]": "b"},
        {"draft": "draft", "open": "open", "paid": "paid", "uncollectible": "uncollectible", "void": "void"},
    ),
    (
        "",
        {"description": "new"},
        {"draft": "draft", "open": E1, "paid": E1, "uncollectible": E1, "void": E1},
    ),
]
CASES = [
    pytest.param(call, form, status, outcome, id=f"{call or 'update'} {' '.join(form)} {status}".replace("  ", " "))
    for call, form, outcomes in TABLE
    for status, outcome in outcomes.items()
]


def is_plain_refusal(answer: Answer, message: str) -> bool:
    """The refusal is a 400 without code and param, so a client has to read the status of the invoice."""
    error = dict(answer.error)
    assert error.pop("request_log_url")
    return answer.status == 400 and error == {"message": message, "type": "invalid_request_error"}


@pytest.mark.parametrize(("call", "form", "status", "outcome"), CASES)
def test_call_in_state(shop: Shop, call: str, form: dict[str, str], status: str, outcome: str) -> None:
    invoice = shop.in_state(status)
    answer = shop.post(f"/v1/invoices/{invoice.id}/{call}".rstrip("/"), form)
    if outcome in ("draft", "open", "paid", "void", "uncollectible"):
        assert (answer.status, answer.json["status"]) == (200, outcome)
        assert answer.json["object"] == "invoice"
        return
    if outcome == L1:
        assert (answer.status, answer.error["code"], answer.error["message"]) == (400, "invoice_not_editable", L1)
    elif outcome == E1:
        assert (answer.status, answer.error["message"], answer.error["param"]) == (400, E1, "description")
        assert "code" not in answer.error
    else:
        assert is_plain_refusal(answer, outcome)
    assert shop.v1.invoices.retrieve(invoice.id).status == status


@pytest.mark.parametrize("status", ["open", "paid", "uncollectible", "void"])
def test_only_drafts_can_be_deleted(shop: Shop, status: str) -> None:
    assert is_plain_refusal(shop.delete(f"/v1/invoices/{shop.in_state(status).id}"), D1)


def test_delete_answers_a_stub(shop: Shop) -> None:
    draft = shop.draft()
    answer = shop.delete(f"/v1/invoices/{draft.id}")
    assert (answer.status, answer.json) == (200, {"id": draft.id, "object": "invoice", "deleted": True})


def test_a_subscriptions_draft_cannot_be_deleted(shop: Shop) -> None:
    subscription = subscribe(shop)
    draft = shop.v1.invoices.create({"customer": subscription.customer, "subscription": subscription.id})
    answer = shop.delete(f"/v1/invoices/{draft.id}")
    assert is_plain_refusal(answer, "You can't delete invoices created by subscriptions.")


def subscribe(shop: Shop) -> stripe.Subscription:
    price = shop.v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 1000,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Plan"},
        }
    )
    customer = shop.customer("pm_card_visa")
    return shop.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})


def test_send_on_an_open_one_changes_nothing(shop: Shop) -> None:
    invoice = shop.open(collection_method="send_invoice", days_until_due=7)
    before = shop.get(f"/v1/invoices/{invoice.id}").json
    answer = shop.post(f"/v1/invoices/{invoice.id}/send")
    assert (answer.status, answer.json) == (200, before)


def test_send_of_nothing_due_pays(shop: Shop) -> None:
    assert shop.v1.invoices.send_invoice(shop.draft(0).id).status == "paid"


def test_finalize_of_nothing_due_pays(shop: Shop) -> None:
    assert shop.open(0).status == "paid"
