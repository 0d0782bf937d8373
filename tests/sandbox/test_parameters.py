"""Request parameters: brackets, types, limits, and how a value is cleared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.shop import Shop


@pytest.mark.parametrize(
    ("path", "form", "param", "message"),
    [
        ("customers", {"balance": "1.5"}, "balance", "Invalid integer: 1.5"),
        ("customers", {"balance": "9" * 30}, "balance", "Invalid integer: " + "9" * 30),
        ("customers", {"name[a]": "b"}, "name", 'Invalid string: {:a=>"b"}'),
        ("customers", {"address": "x"}, "address", "Invalid object"),
        ("customers", {"address[city][x]": "y"}, "address[city]", 'Invalid string: {:x=>"y"}'),
        ("customers", {"preferred_locales": "en"}, "preferred_locales", "Invalid array"),
        ("customers", {"preferred_locales[a]": "en"}, "preferred_locales", "Invalid array"),
        ("customers", {"expand": "x"}, "expand", "Invalid array"),
        ("customers", {"metadata": "x"}, "metadata", "Invalid hash"),
        ("customers", {"metadata[a][b]": "x"}, "metadata[a]", "Metadata values must be strings."),
        (
            "customers",
            {"tax_exempt": "maybe"},
            "tax_exempt",
            "Invalid tax_exempt: must be one of none, exempt, or reverse",
        ),
        ("invoices", {"auto_advance": "yes"}, "auto_advance", "Invalid boolean: yes"),
        ("invoiceitems", {"quantity": "-1"}, "quantity", "This value must be greater than or equal to 0."),
        ("invoiceitems", {"unit_amount_decimal": "x"}, "unit_amount_decimal", "Invalid decimal: x"),
        ("invoiceitems", {"period[start]": "1"}, "period[end]", "Missing required param: period[end]."),
        (
            "webhook_endpoints",
            {"url": "ftp://x"},
            "url",
            "Invalid URL: An explicit scheme (such as https) must be provided.",
        ),
    ],
)
def test_a_value_of_the_wrong_kind(shop: Shop, path: str, form: dict[str, str], param: str, message: str) -> None:
    answer = shop.post(f"/v1/{path}", form)
    assert (answer.status, answer.error["param"], answer.error["message"]) == (400, param, message)


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("True", True), ("FALSE", False), ("False", False)])
def test_the_case_of_a_boolean_does_not_matter(shop: Shop, written: str, meant: bool) -> None:
    form = {"customer": shop.customer().id, "auto_advance": written}
    assert shop.post("/v1/invoices", form).json["auto_advance"] is meant


def test_an_unknown_currency_lists_the_known(shop: Shop) -> None:
    form = {"customer": shop.customer().id, "amount": "1", "currency": "doubloon"}
    error = shop.post("/v1/invoiceitems", form).error
    assert error["message"].startswith("Invalid currency: doubloon. Stripe currently supports these currencies: ")
    assert shop.post("/v1/invoiceitems", {**form, "currency": "EUR"}).json["currency"] == "eur"


def test_metadata_is_merged_and_cleared(shop: Shop) -> None:
    customer = shop.v1.customers.create({"metadata": {"a": "1", "b": "2"}})

    def update(form: dict[str, str]) -> Any:
        return shop.post(f"/v1/customers/{customer.id}", form).json["metadata"]

    assert update({"metadata[b]": "3", "metadata[c]": "4"}) == {"a": "1", "b": "3", "c": "4"}
    assert update({"metadata[a]": ""}) == {"b": "3", "c": "4"}
    assert update({"metadata[0]": "zero"}) == {"b": "3", "c": "4", "0": "zero"}
    assert update({"metadata": ""}) == {}


def test_metadata_has_limits(shop: Shop) -> None:
    assert shop.post("/v1/customers", {"metadata[a]": "x" * 500}).status == 200
    for form in (
        {"metadata[a]": "x" * 501},
        {f"metadata[{'k' * 41}]": "x"},
        {f"metadata[{number}]": "x" for number in range(51)},
    ):
        assert shop.post("/v1/customers", form).status == 400


def test_an_empty_string_clears(shop: Shop) -> None:
    customer = shop.customer(description="x", phone="1", address={"city": "Lyon"})
    assert customer.address.city == "Lyon"
    assert customer.address.line1 is None
    cleared = shop.post(f"/v1/customers/{customer.id}", {"description": "", "phone": "", "address": ""}).json
    assert (cleared["description"], cleared["phone"], cleared["address"]) == (None, None, None)


def test_empty_brackets_go_on_until_a_member_comes_again(shop: Shop) -> None:
    invoice = shop.draft(0)
    form = [("lines[][amount]", "5"), ("lines[][description]", "five"), ("lines[][amount]", "6")]
    lines = shop.ask("POST", f"/v1/invoices/{invoice.id}/add_lines", form).json["lines"]["data"]
    assert [(line["amount"], line["description"]) for line in lines] == [(5, "five"), (6, None)]


def test_parameters_may_stand_in_the_address_of_a_post(shop: Shop) -> None:
    assert shop.ask("POST", "/v1/customers?email=a@example.com&name=A%20B").json["name"] == "A B"


def test_shipping_and_settings(shop: Shop) -> None:
    form = {
        "shipping[name]": "Ada",
        "shipping[address][city]": "Lyon",
        "invoice_settings[footer]": "Thanks",
        "invoice_settings[custom_fields][0][name]": "PO",
        "invoice_settings[custom_fields][0][value]": "7",
    }
    customer = shop.post("/v1/customers", form).json
    assert (customer["shipping"]["name"], customer["shipping"]["address"]["city"]) == ("Ada", "Lyon")
    assert customer["invoice_settings"]["custom_fields"] == [{"name": "PO", "value": "7"}]
    assert shop.post("/v1/customers", {"shipping[name]": "Ada"}).error["param"] == "shipping[address]"


def test_a_body_that_is_too_large(shop: Shop) -> None:
    assert shop.post("/v1/customers", {"description": "x" * 4_100_000}).status == 413


def test_ids_of_kinds_that_the_sandbox_does_not_keep(shop: Shop) -> None:
    form = {"customer": shop.customer().id, "discounts[0][coupon]": "SAVE"}
    assert shop.post("/v1/invoices", form).error["code"] == "resource_missing"
