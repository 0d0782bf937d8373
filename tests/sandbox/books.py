"""check_books: after any calls, invoices, payments, charges and events must agree with each other."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.sandbox.shop import Shop

LEGAL = {
    "draft": {"draft", "open", "paid"},
    "open": {"open", "paid", "void", "uncollectible"},
    "uncollectible": {"uncollectible", "paid"},
    "paid": {"paid"},
    "void": {"void"},
}


def everything(shop: Shop, path: str, **form: Any) -> list[dict[str, Any]]:
    """All pages, oldest first."""
    found: list[dict[str, Any]] = []
    page = shop.get(path, limit=100, **form).json
    while True:
        found += page["data"]
        if not page["has_more"]:
            return found[::-1]
        page = shop.get(path, limit=100, starting_after=found[-1]["id"], **form).json


def check_books(shop: Shop) -> None:
    events = everything(shop, "/v1/events")
    payments = everything(shop, "/v1/invoice_payments")
    intents = everything(shop, "/v1/payment_intents")
    on_its_way = {one["id"] for one in intents if one["status"] == "processing"}
    charges = shop.process.stats()["charges"]
    form = {"expand[]": "data.amount_paid_off_stripe"}
    for invoice in everything(shop, "/v1/invoices", **form):
        mine = [one for one in payments if one["invoice"] == invoice["id"]]
        check_money(invoice, mine, on_its_way)
        by_card = [one for one in mine if one["status"] == "paid" and "payment_intent" in one["payment"]]
        assert charges.get(invoice["id"], 0) == len(by_card), "charges made = payments recorded"
        told = [event["data"]["object"] for event in events if event["data"]["object"]["id"] == invoice["id"]]
        check_history(invoice, told)


def check_money(invoice: dict[str, Any], payments: list[dict[str, Any]], on_its_way: set[str]) -> None:
    received = sum(one["amount_paid"] for one in payments if one["status"] == "paid")
    recorded = sum(
        one["amount_paid"] for one in payments if one["status"] == "paid" and "payment_record" in one["payment"]
    )
    out_of_band = invoice["amount_paid_off_stripe"] - (recorded - min(recorded, invoice["amount_overpaid"]))
    assert received + max(out_of_band, 0) >= invoice["amount_paid"]
    if out_of_band <= 0:
        assert received == invoice["amount_paid"] + invoice["amount_overpaid"]
    assert all(invoice[name] >= 0 for name in ("amount_due", "amount_paid", "amount_remaining", "amount_overpaid"))
    forgiven = invoice["status"] == "paid" and invoice["amount_paid"] < invoice["amount_due"]
    if not forgiven:
        assert invoice["amount_remaining"] == invoice["amount_due"] - invoice["amount_paid"]
    if invoice["status"] == "paid":
        assert invoice["amount_remaining"] == 0
    if invoice["status"] in ("paid", "void"):
        waiting = [one["payment"].get("payment_intent") for one in payments if one["status"] == "open"]
        assert not [one for one in waiting if one not in on_its_way], "nothing waits for a closed invoice"
    assert (invoice["status_transitions"]["paid_at"] is None) == (invoice["status"] != "paid")


def check_history(invoice: dict[str, Any], told: list[dict[str, Any]]) -> None:
    statuses = [one["status"] for one in told]
    for before, after in pairwise(statuses):
        assert after in LEGAL[before], statuses
    beside = ("amount_paid_off_stripe", "webhooks_delivered_at")  # the one is expanded, the other changes by itself
    now, last = ({name: one for name, one in obj.items() if name not in beside} for obj in (invoice, told[-1]))
    assert now == last, "every change was told"
