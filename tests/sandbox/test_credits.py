"""Refunds and credit notes: what they change on charge, invoice and customer, and which events tell of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.books import check_books
from tests.sandbox.shop import Shop

CREDIT_NOTES, REFUNDS = "/v1/credit_notes", "/v1/refunds"


def told(shop: Shop, *kinds: str) -> list[str]:
    """The types of the events about objects of these kinds, oldest first."""
    found = shop.get("/v1/events", limit=100).json["data"][::-1]
    return [event["type"] for event in found if event["data"]["object"]["object"] in kinds]


def charge_of(shop: Shop, invoice: str) -> dict[str, Any]:
    form = {"expand[]": "payments.data.payment.payment_intent.latest_charge"}
    [payment] = shop.get(f"/v1/invoices/{invoice}", **form).json["payments"]["data"]
    found: dict[str, Any] = payment["payment"]["payment_intent"]["latest_charge"]
    return found


class TestRefunds:
    def test_a_part_and_then_the_rest(self, shop: Shop) -> None:
        paid = shop.in_state("paid").id
        charge = charge_of(shop, paid)
        part = shop.post(REFUNDS, {"charge": charge["id"], "amount": "300", "metadata[a]": "b"}).json
        assert (part["amount"], part["status"], part["metadata"]) == (300, "succeeded", {"a": "b"})
        assert (charge_of(shop, paid)["amount_refunded"], charge_of(shop, paid)["refunded"]) == (300, False)
        rest = shop.post(REFUNDS, {"payment_intent": charge["payment_intent"]}).json
        assert rest["amount"] == charge["amount"] - 300 and rest["charge"] == charge["id"]
        assert charge_of(shop, paid)["refunded"] is True
        assert told(shop, "refund", "charge")[-4:] == ["refund.created", "charge.refunded"] * 2
        again = shop.post(REFUNDS, {"charge": charge["id"]})
        assert (again.status, again.json["error"]["code"]) == (400, "charge_already_refunded")
        check_books(shop)

    @pytest.mark.parametrize(
        ("form", "param"),
        [({}, None), ({"charge": "ch_nope"}, "charge"), ({"payment_intent": "pi_nope"}, "payment_intent")],
    )
    def test_of_nothing(self, shop: Shop, form: dict[str, str], param: str | None) -> None:
        answer = shop.post(REFUNDS, form)
        assert (answer.status, answer.json["error"].get("param")) == (400, param)

    def test_more_than_is_left(self, shop: Shop) -> None:
        charge = charge_of(shop, shop.in_state("paid").id)
        answer = shop.post(REFUNDS, {"charge": charge["id"], "amount": str(charge["amount"] + 1)})
        assert (answer.status, answer.json["error"]["param"]) == (400, "amount")
        assert shop.get(REFUNDS).json["data"] == []

    def test_one_that_succeeded_fails_later(self, shop: Shop) -> None:
        paid = shop.in_state("paid").id
        refund = shop.post(REFUNDS, {"charge": charge_of(shop, paid)["id"]}).json["id"]
        shop.process.post(f"refunds/{refund}/settle", outcome="failed")
        assert shop.get(f"{REFUNDS}/{refund}").json["status"] == "failed"
        charge = charge_of(shop, paid)
        assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
        assert told(shop, "refund") == ["refund.created", "refund.updated", "refund.failed"]

    def test_lists(self, shop: Shop) -> None:
        one, other = (charge_of(shop, shop.in_state("paid").id) for _ in range(2))
        for charge in (one, other):
            shop.post(REFUNDS, {"charge": charge["id"], "amount": "100"})
        assert [each["charge"] for each in shop.get(REFUNDS, charge=one["id"]).json["data"]] == [one["id"]]
        of_intent = shop.get(REFUNDS, payment_intent=other["payment_intent"]).json["data"]
        assert [each["charge"] for each in of_intent] == [other["id"]]


class TestCreditNotes:
    def test_of_an_open_invoice_lowers_what_remains(self, shop: Shop) -> None:
        invoice = shop.in_state("open")
        note = shop.post(CREDIT_NOTES, {"invoice": invoice.id, "amount": "400"}).json
        assert (note["type"], note["pre_payment_amount"], note["post_payment_amount"]) == ("pre_payment", 400, 0)
        now = shop.get(f"/v1/invoices/{invoice.id}", **{"expand[]": "payments"}).json
        assert now["pre_payment_credit_notes_amount"] == 400 and now["status"] == "open"
        assert now["amount_due"] == now["amount_remaining"] == invoice.amount_due - 400
        assert now["total"] == invoice.total
        assert [one["amount_requested"] for one in now["payments"]["data"]] == [invoice.amount_due - 400]
        assert told(shop, "credit_note") == ["credit_note.created"]
        paid = shop.post(f"/v1/invoices/{invoice.id}/pay").json
        assert (paid["status"], paid["amount_paid"]) == ("paid", invoice.amount_due - 400)
        check_books(shop)

    def test_of_all_that_remains_closes_the_invoice(self, shop: Shop) -> None:
        invoice = shop.in_state("open")
        shop.post(CREDIT_NOTES, {"invoice": invoice.id, "amount": str(invoice.total)})
        now = shop.get(f"/v1/invoices/{invoice.id}").json
        assert (now["status"], now["amount_remaining"], now["amount_paid"]) == ("paid", 0, 0)
        assert told(shop, "invoice")[-2:] == ["invoice.updated", "invoice.paid"]
        check_books(shop)

    def test_of_a_paid_invoice_gives_back_by_three_ways(self, shop: Shop) -> None:
        invoice = shop.in_state("paid")
        ways = {"refund_amount": "200", "credit_amount": "100", "out_of_band_amount": "50"}
        note = shop.post(CREDIT_NOTES, {"invoice": invoice.id, "amount": "350", **ways}).json
        assert (note["type"], note["post_payment_amount"], note["out_of_band_amount"]) == ("post_payment", 350, 50)
        [refunded] = note["refunds"]
        assert refunded["amount_refunded"] == 200
        assert shop.get(f"{REFUNDS}/{refunded['refund']}").json["amount"] == 200
        assert shop.get(f"/v1/customers/{invoice.customer}").json["balance"] == -100
        now = shop.get(f"/v1/invoices/{invoice.id}").json
        assert (now["post_payment_credit_notes_amount"], now["amount_due"]) == (350, invoice.amount_due)
        check_books(shop)

    @pytest.mark.parametrize("ways", [{}, {"refund_amount": "100"}, {"out_of_band_amount": "301"}])
    def test_what_was_paid_must_go_somewhere(self, shop: Shop, ways: dict[str, str]) -> None:
        invoice = shop.in_state("paid")
        assert shop.post(CREDIT_NOTES, {"invoice": invoice.id, "amount": "300", **ways}).status == 400
        assert shop.get(f"/v1/invoices/{invoice.id}").json["post_payment_credit_notes_amount"] == 0

    @pytest.mark.parametrize("status", ["draft", "void", "uncollectible"])
    def test_of_another_invoice_is_refused(self, shop: Shop, status: str) -> None:
        answer = shop.post(CREDIT_NOTES, {"invoice": shop.in_state(status).id, "amount": "100"})
        assert (answer.status, answer.json["error"]["param"]) == (400, "invoice")

    def test_not_more_than_the_invoice(self, shop: Shop) -> None:
        invoice = shop.in_state("paid")
        form = {"invoice": invoice.id, "amount": str(invoice.total), "out_of_band_amount": str(invoice.total)}
        assert shop.post(CREDIT_NOTES, form).status == 200
        assert shop.post(CREDIT_NOTES, {**form, "amount": "1", "out_of_band_amount": "1"}).status == 400

    def test_voiding_raises_what_remains_again(self, shop: Shop) -> None:
        invoice = shop.in_state("open")
        note = shop.post(CREDIT_NOTES, {"invoice": invoice.id, "amount": "400"}).json["id"]
        voided = shop.post(f"{CREDIT_NOTES}/{note}/void").json
        assert voided["status"] == "void" and voided["voided_at"]
        now = shop.get(f"/v1/invoices/{invoice.id}").json
        assert (now["amount_remaining"], now["pre_payment_credit_notes_amount"]) == (invoice.total, 0)
        assert told(shop, "credit_note") == ["credit_note.created", "credit_note.voided"]
        assert shop.post(f"{CREDIT_NOTES}/{note}/void").status == 400
        check_books(shop)

    def test_its_lines_after_the_tenth(self, shop: Shop) -> None:
        invoice = shop.in_state("open")
        lines = {f"lines[{n}][{name}]": value for n in range(12) for name, value in LINE.items()}
        note = shop.post(CREDIT_NOTES, {"invoice": invoice.id, **lines}).json
        assert note["amount"] == 12 * 20 and len(note["lines"]["data"]) == 10 and note["lines"]["has_more"]
        page = shop.get(f"{CREDIT_NOTES}/{note['id']}/lines", starting_after=note["lines"]["data"][-1]["id"]).json
        assert len(page["data"]) == 2 and not page["has_more"]

    def test_a_line_of_the_invoice(self, shop: Shop) -> None:
        invoice = shop.in_state("open")
        form = {"lines[0][type]": "invoice_line_item", "lines[0][invoice_line_item]": invoice.lines.data[0].id}
        note = shop.post(CREDIT_NOTES, {"invoice": invoice.id, **form}).json
        [line] = note["lines"]["data"]
        assert (line["amount"], line["invoice_line_item"]) == (invoice.lines.data[0].amount, invoice.lines.data[0].id)


LINE = {"type": "custom_line_item", "unit_amount": "10", "quantity": "2", "description": "one"}
