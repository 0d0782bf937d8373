"""What a redaction leaves of a customer: placeholders where a person was, and every amount, id and state as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.shop import Shop
from tests.sandbox_process import SandboxError

NAME, EMAIL = "Grace Hopper", "grace@example.org"


def test_a_redacted_customer(shop: Shop) -> None:
    form = {"name": NAME, "email": EMAIL, "address": {"line1": "1 Navy Yard"}, "metadata": {"called": NAME}}
    customer = shop.v1.customers.create({**form, "payment_method": "pm_card_visa"})
    method = shop.v1.payment_methods.list({"customer": customer.id}).data[0].id
    invoice = shop.open(4200, customer)
    shop.v1.invoices.pay(invoice.id, {"payment_method": method})
    other = shop.open(100)

    def everything() -> dict[str, Any]:
        paths = ("customers", "invoices", "payment_intents", "events", "charges", "invoiceitems")
        return {path: shop.get(f"/v1/{path}", limit=100).json for path in paths}

    before = everything()
    assert NAME in json.dumps(before)
    shop.process.post(f"customers/{customer.id}/redact")
    after = everything()
    assert NAME not in json.dumps(after) and EMAIL not in json.dumps(after) and "Navy" not in json.dumps(after)
    (shown,) = [one for one in after["customers"]["data"] if one["id"] == customer.id]
    assert (shown["name"], shown["address"]["line1"], shown["address"]["line2"]) == ("[redacted]", "[redacted]", None)
    assert shown["metadata"] == {"called": "[redacted]"}
    now = {one["id"]: one for one in after["invoices"]["data"]}
    was = {one["id"]: one for one in before["invoices"]["data"]}
    assert now[other.id] == was[other.id]
    for name in ("id", "number", "status", "total", "amount_paid", "created"):
        assert now[invoice.id][name] == was[invoice.id][name]
    assert len(after["events"]["data"]) == len(before["events"]["data"])  # no event tells of it
    assert shop.v1.customers.list({"email": EMAIL}).data == []
    with pytest.raises(SandboxError, match="There is no customer"):
        shop.process.post("customers/cus_nobody/redact")
