"""The exact status, type, code, param and message of each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.shop import Answer, Shop

DOC_URL = "https://stripe.com/docs/error-codes/"
NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
ONLY_DUE_DATE = "You can only specify 'due_date' or 'days_until_due' if invoice collection method is 'send_invoice'."
NEEDS_DUE_DATE = "If invoice collection method is 'send_invoice', you must specify 'due_date' or 'days_until_due'."
BOTH_CURSORS = "Received both starting_after and ending_before parameters. Please pass in only one."


def check(answer: Answer, status: int, code: str | None, param: str | None, message: str) -> None:
    error: dict[str, Any] = dict(answer.error)
    assert error.pop("request_log_url").startswith("https://dashboard.stripe.com/")
    expected = {"type": "invalid_request_error", "code": code, "param": param, "message": message}
    if code:
        expected["doc_url"] = DOC_URL + code.replace("_", "-")
    assert (answer.status, error) == (status, {name: one for name, one in expected.items() if one})


@pytest.mark.parametrize(
    ("method", "tail", "param"),
    [
        ("GET", "", "invoice"),
        ("DELETE", "", "invoice"),
        ("POST", "/send", "invoice"),
        ("POST", "/add_lines", "invoice"),
        ("POST", "", "id"),
        ("POST", "/pay", "id"),
        ("POST", "/finalize", "id"),
        ("POST", "/void", "id"),
        ("POST", "/mark_uncollectible", "id"),
    ],
)
def test_unknown_invoice_is_spelled_by_endpoint(shop: Shop, method: str, tail: str, param: str) -> None:
    form = {"lines[0][amount]": "1"} if tail == "/add_lines" else None
    answer = shop.ask(method, f"/v1/invoices/in_nope{tail}", form)
    check(answer, 404, "resource_missing", param, "No such invoice: 'in_nope'")


def test_deleted_customer_is_a_stub(shop: Shop) -> None:
    customer = shop.customer()
    stub = {"id": customer.id, "object": "customer", "deleted": True}
    assert shop.delete(f"/v1/customers/{customer.id}").json == stub
    answer = shop.get(f"/v1/customers/{customer.id}")
    assert (answer.status, answer.json) == (200, stub)


@pytest.mark.parametrize(
    ("path", "param", "message"),
    [
        ("/v1/payment_intents/pi_nope", "intent", "No such payment_intent: 'pi_nope'"),
        ("/v1/charges/ch_nope", "id", "No such charge: 'ch_nope'"),
        ("/v1/invoiceitems/ii_nope", "id", "No such Invoice Item: 'ii_nope'(livemode=false)"),
        ("/v1/customers/cus_nope", "id", "No such customer: 'cus_nope'"),
    ],
)
def test_unknown_object(shop: Shop, path: str, param: str, message: str) -> None:
    check(shop.get(path), 404, "resource_missing", param, message)


def test_unknown_customer_in_a_parameter_is_a_400(shop: Shop) -> None:
    answer = shop.post("/v1/invoices", {"customer": "cus_nope"})
    check(answer, 400, "resource_missing", "customer", "No such customer: 'cus_nope'")


def test_unknown_customer_of_a_subscription_is_a_404(shop: Shop) -> None:
    answer = shop.post("/v1/subscriptions", {"customer": "cus_nope", "items[0][price]": "price_nope"})
    check(answer, 404, "resource_missing", "customer", "No such customer: 'cus_nope'")


def test_unknown_parameter(shop: Shop) -> None:
    answer = shop.post("/v1/customers", {"nope": "1"})
    check(answer, 400, "parameter_unknown", "nope", "Received unknown parameter: nope")


def test_unknown_nested_parameter(shop: Shop) -> None:
    name = "invoice_settings[nope]"
    check(
        shop.post("/v1/customers", {name: "1"}), 400, "parameter_unknown", name, f"Received unknown parameter: {name}"
    )


def test_missing_parameter(shop: Shop) -> None:
    answer = shop.post("/v1/subscriptions", {"customer": shop.customer().id})
    check(answer, 400, "parameter_missing", "items", "Missing required param: items.")


def test_limit_that_is_no_number(shop: Shop) -> None:
    check(shop.get("/v1/customers", limit="abc"), 400, "parameter_invalid_integer", "limit", "Invalid integer: abc")


def test_limits_out_of_range_are_clamped_in_silence(shop: Shop) -> None:
    for _ in range(3):
        shop.customer()
    assert len(shop.get("/v1/customers", limit=0).json["data"]) == 1
    assert len(shop.get("/v1/customers", limit=101).json["data"]) == 3


def test_unknown_cursor(shop: Shop) -> None:
    answer = shop.get("/v1/customers", starting_after="cus_aaa")
    check(answer, 400, "resource_missing", "starting_after", "No such customer: 'cus_aaa'")


def test_both_cursors(shop: Shop) -> None:
    answer = shop.get("/v1/customers", starting_after="cus_a", ending_before="cus_b")
    check(answer, 400, None, None, BOTH_CURSORS)


def test_bad_status_filter(shop: Shop) -> None:
    message = "Invalid status: must be one of draft, open, void, paid, or uncollectible"
    check(shop.get("/v1/invoices", status="nope"), 400, None, "status", message)


def test_bad_enum_on_create(shop: Shop) -> None:
    name = "pending_invoice_items_behavior"
    answer = shop.post("/v1/invoices", {"customer": shop.customer().id, name: "nope"})
    check(answer, 400, None, name, f"Invalid {name}: must be one of include or exclude")


def test_send_invoice_without_a_due_date(shop: Shop) -> None:
    answer = shop.post("/v1/invoices", {"customer": shop.customer().id, "collection_method": "send_invoice"})
    check(answer, 400, None, None, NEEDS_DUE_DATE)


def test_due_date_without_send_invoice(shop: Shop) -> None:
    for name in ("due_date", "days_until_due"):
        answer = shop.post("/v1/invoices", {"customer": shop.customer().id, name: "30"})
        check(answer, 400, None, None, ONLY_DUE_DATE)


def test_payment_intent_of_nothing(shop: Shop) -> None:
    answer = shop.post("/v1/payment_intents", {"amount": "0", "currency": "usd"})
    error = answer.error
    assert (answer.status, error["code"], error["param"]) == (400, "parameter_invalid_integer", "amount")
    assert "minimum" in error["message"]


def test_bad_version_without_a_log_url(shop: Shop) -> None:
    answer = shop.ask("GET", "/v1/customers", headers={"Stripe-Version": "not-a-real-version"})
    message = "Invalid Stripe API version: not-a-real-version"
    assert (answer.status, answer.error) == (400, {"message": message, "type": "invalid_request_error"})


def test_no_key(shop: Shop) -> None:
    answer = shop.ask("GET", "/v1/customers", headers={"Authorization": ""})
    assert (answer.status, answer.error) == (401, {"message": NO_KEY, "type": "invalid_request_error"})


def test_wrong_key_is_starred_in_the_middle(shop: Shop) -> None:
    answer = shop.ask("GET", "/v1/customers", headers={"Authorization": "Bearer sk_live_0123456789abcdef"})
    assert answer.status == 401
    assert answer.error["message"] == "Invalid API Key provided: sk_live_" + "*" * 12 + "cdef"


def test_basic_auth_works_too(shop: Shop) -> None:
    assert shop.ask("GET", "/v1/customers", headers={"Authorization": "Basic c2tfdGVzdF94eXo6"}).status == 200


def test_unknown_address(shop: Shop) -> None:
    answer = shop.get("/v1/nope")
    assert answer.status == 404
    assert answer.error["message"].startswith("Unrecognized request URL (GET: /v1/nope).")


def test_only_type_is_always_there(shop: Shop) -> None:
    assert None not in shop.post("/v1/customers", {"nope": "1"}).error.values()


def test_an_empty_required_id_is_refused(shop: Shop) -> None:
    error = shop.post("/v1/invoices", {"customer": ""}).error
    assert (error["code"], error["param"]) == ("parameter_invalid_empty", "customer")


def test_strings_are_limited_to_5000_characters(shop: Shop) -> None:
    assert shop.post("/v1/customers", {"description": "x" * 5000}).status == 200
    error = shop.post("/v1/customers", {"description": "x" * 5001}).error
    assert error["param"] == "description"
    assert error["message"].endswith("; must be at most 5000 characters")
