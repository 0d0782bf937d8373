"""Invoice items, invoice lines, previews, and a subscription's invoices."""

from __future__ import annotations

from tests.sandbox.shop import Shop


def test_an_item_without_an_invoice(shop: Shop) -> None:
    customer = shop.customer()
    item = shop.post("/v1/invoiceitems", {"customer": customer.id, "amount": "1250", "currency": "usd"}).json
    assert (item["invoice"], item["quantity"], item["amount"]) == (None, 1, 1250)
    assert item["period"] == {"start": item["date"], "end": item["date"]}
    assert item["pricing"]["type"] == "price_details"
    assert item["pricing"]["unit_amount_decimal"] == "1250"
    assert item["pricing"]["price_details"]["price"].startswith("price_")


def test_a_line_names_its_item_in_parent(shop: Shop) -> None:
    invoice = shop.get(f"/v1/invoices/{shop.draft(700).id}").json
    line = invoice["lines"]["data"][0]
    item = shop.v1.invoice_items.list({"invoice": invoice["id"]}).data[0]
    assert line["parent"]["type"] == "invoice_item_details"
    assert line["parent"]["invoice_item_details"]["invoice_item"] == item.id
    assert not {"price", "plan", "type", "proration"} & line.keys()
    assert (line["amount"], line["pricing"]["unit_amount_decimal"]) == (700, "700")


def test_items_of_a_deleted_draft_cannot_be_used(shop: Shop) -> None:
    draft = shop.draft(700)
    item = shop.v1.invoice_items.list({"invoice": draft.id}).data[0]
    shop.v1.invoices.delete(draft.id)
    updated = shop.post(f"/v1/invoiceitems/{item.id}", {"description": "x"})
    assert (updated.status, updated.error["message"]) == (400, "This invoice item has been deleted.")
    deleted = shop.delete(f"/v1/invoiceitems/{item.id}")
    assert deleted.status == 400
    assert deleted.error["message"] == (
        "Can't delete an invoice item that is attached to an invoice that is no longer editable"
    )
    again = shop.v1.invoices.create({"customer": draft.customer, "pending_invoice_items_behavior": "include"})
    assert again.lines.data == []  # not released


def test_items_added_later_stand_behind_in_order_of_addition(shop: Shop) -> None:
    customer = shop.customer()
    for amount in (1, 2):
        shop.v1.invoice_items.create({"customer": customer.id, "amount": amount, "currency": "usd"})
    invoice = shop.v1.invoices.create({"customer": customer.id, "pending_invoice_items_behavior": "include"})
    for amount in (3, 4):
        given = {"customer": customer.id, "invoice": invoice.id, "amount": amount, "currency": "usd"}
        shop.v1.invoice_items.create(given)
    shop.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 5}, {"amount": 6, "description": "six"}]})
    invoice = shop.v1.invoices.retrieve(invoice.id)
    assert [line.amount for line in invoice.lines.data] == [2, 1, 3, 4, 5, 6]
    assert (invoice.total, invoice.lines.total_count) == (21, 6)


def test_ten_lines_stand_on_the_invoice_and_the_rest_is_walked(shop: Shop) -> None:
    invoice = shop.draft(0)
    lines = [{"amount": number} for number in range(1, 24)]
    shop.v1.invoices.add_lines(invoice.id, {"lines": lines})
    shown = shop.get(f"/v1/invoices/{invoice.id}").json["lines"]
    assert (len(shown["data"]), shown["has_more"], shown["total_count"]) == (10, True, 23)
    envelope = shop.get(f"/v1/invoices/{invoice.id}/lines", limit=5).json
    assert envelope.keys() == {"object", "data", "has_more", "url"}
    assert envelope["url"] == f"/v1/invoices/{invoice.id}/lines"
    walked = list(shop.v1.invoices.line_items.list(invoice.id, {"limit": 4}).auto_paging_iter())
    assert [line.amount for line in walked] == list(range(1, 24))
    before = shop.get(f"/v1/invoices/{invoice.id}/lines", limit=3, ending_before=walked[10].id).json
    assert [line["amount"] for line in before["data"]] == [8, 9, 10]
    assert before["has_more"] is True


def test_items_can_be_changed_and_removed_while_a_draft(shop: Shop) -> None:
    draft = shop.draft(700)
    item = shop.v1.invoice_items.list({"invoice": draft.id}).data[0]
    shop.v1.invoice_items.update(item.id, {"amount": 900, "description": "more"})
    changed = shop.v1.invoices.retrieve(draft.id)
    assert (changed.total, changed.lines.data[0].description) == (900, "more")
    shop.v1.invoice_items.delete(item.id)
    assert shop.v1.invoices.retrieve(draft.id).total == 0


def test_lines_of_a_draft_can_be_changed_and_removed(shop: Shop) -> None:
    invoice = shop.draft(0)
    lines = shop.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": n} for n in range(1, 14)]}).lines.data
    changed = shop.v1.invoices.line_items.update(invoice.id, lines[0].id, {"amount": 50, "description": "fifty"})
    assert (changed.id, changed.amount, changed.description) == (lines[0].id, 50, "fifty")
    given = [{"id": lines[1].id, "quantity": 2}, {"id": lines[2].id, "description": "three"}]
    shop.v1.invoices.update_lines(invoice.id, {"lines": given, "invoice_metadata": {"a": "b"}})
    doomed = [{"id": lines[3].id, "behavior": "delete"}, {"id": lines[4].id, "behavior": "unassign"}]
    after = shop.v1.invoices.remove_lines(invoice.id, {"lines": doomed})
    assert [line.amount for line in after.lines.data] == [50, 4, 3, 6, 7, 8, 9, 10, 11, 12]
    assert (after.total, after.lines.total_count, after.metadata["a"]) == (50 + 4 + 3 + sum(range(6, 14)), 11, "b")
    assert [item.amount for item in shop.v1.invoice_items.list({"pending": True}).data] == [5]  # free again
    shop.v1.invoices.finalize_invoice(invoice.id)
    answer = shop.post(f"/v1/invoices/{invoice.id}/lines/{lines[0].id}", {"amount": "1"})
    assert (answer.status, answer.error["code"]) == (400, "invoice_not_editable")


def test_pending_items_can_be_listed(shop: Shop) -> None:
    draft = shop.draft(700)
    shop.v1.invoice_items.create({"customer": draft.customer, "amount": 5, "currency": "usd"})
    assert [item.amount for item in shop.v1.invoice_items.list({"pending": True}).data] == [5]
    assert [item.amount for item in shop.v1.invoice_items.list({"pending": False}).data] == [700]


def test_quantity_and_unit_amount(shop: Shop) -> None:
    given = {"customer": shop.customer().id, "quantity": 3, "unit_amount_decimal": "33.5", "currency": "usd"}
    item = shop.v1.invoice_items.create(given)
    assert (item.amount, item.quantity) == (100, 3)


def test_another_currency_does_not_fit_on_the_invoice(shop: Shop) -> None:
    draft = shop.draft(700)
    form = {"customer": draft.customer, "invoice": draft.id, "amount": "1", "currency": "eur"}
    assert shop.post("/v1/invoiceitems", form).status == 400


def test_a_preview_is_complete_and_not_stored(shop: Shop) -> None:
    customer = shop.customer(balance=-100)
    shop.v1.invoice_items.create({"customer": customer.id, "amount": 300, "currency": "usd"})
    given = {"customer": customer.id, "invoice_items": [{"amount": 200, "currency": "usd", "description": "more"}]}
    preview = shop.v1.invoices.create_preview(given)
    assert (preview.status, preview.total, preview.amount_due) == ("draft", 500, 400)
    assert shop.v1.invoices.list().data == []
    assert [item.amount for item in shop.v1.invoice_items.list({"pending": True}).data] == [300]


def test_a_subscriptions_first_invoice(shop: Shop) -> None:
    price = shop.v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 1000,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Plan"},
        }
    )
    customer = shop.customer("pm_card_visa")
    subscription = shop.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    assert subscription.status == "active"
    invoice = shop.get(f"/v1/invoices/{subscription.latest_invoice}").json
    assert (invoice["status"], invoice["billing_reason"]) == ("paid", "subscription_create")
    details = {"metadata": {}, "subscription": subscription.id}
    assert invoice["parent"] == {
        "type": "subscription_details",
        "subscription_details": details,
        "quote_details": None,
    }
    assert invoice["rendering"] is None
    assert invoice["period_start"] == invoice["period_end"]
    line = invoice["lines"]["data"][0]
    assert line["description"] == "1 × Plan (at $10.00 / month)"
    assert line["parent"]["type"] == "subscription_item_details"
    item = line["parent"]["subscription_item_details"]
    assert (item["subscription"], item["proration"]) == (subscription.id, False)
    assert item["subscription_item"].startswith("si_")
    assert line["period"]["end"] > line["period"]["start"]


def test_a_subscriptions_later_invoices(shop: Shop) -> None:
    price = shop.v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 1000,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Plan"},
        }
    )
    customer = shop.customer("pm_card_visa")
    subscription = shop.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    shop.process.clock(advance=31 * 86400)
    invoices = shop.v1.invoices.list({"subscription": subscription.id}).data
    assert [(one.billing_reason, one.status) for one in invoices] == [
        ("subscription_cycle", "paid"),
        ("subscription_create", "paid"),
    ]
