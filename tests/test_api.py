"""The API's shapes over rows in the mirror: lists, cursors, filters, expansion, errors, keys. No Stripe needed."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings as conf
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoices import mirror
from invoices.api import live, mirror_views, serializers, urls
from invoices.api.pass_through import Elsewhere
from invoices.models import ApiToken, Drift, Invoice, Operation, ReconciliationRun, Scope
from invoices.operations import ACTIONS
from invoices.snapshot import ReadTime, of_read

pytestmark = pytest.mark.django_db

T0 = 1_760_000_000


def store(*objects, deleted=False):
    now = datetime.now(UTC)
    snapshots = [
        of_read(data["object"], data["id"], None if deleted else data, ReadTime(now, 0, now)) for data in objects
    ]
    mirror.store(snapshots)


def invoice(id, **members):
    number = members.get("created", T0)
    return {
        "id": id,
        "object": "invoice",
        "amount_due": 1000,
        "amount_paid": 0,
        "amount_remaining": 1000,
        "collection_method": "charge_automatically",
        "created": number,
        "currency": "usd",
        "customer": "cus_1",
        "customer_email": "Ann@Example.com",
        "due_date": None,
        "lines": {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": f"/v1/invoices/{id}/lines"},
        "livemode": False,
        "number": None,
        "status": "open",
        "status_transitions": {"finalized_at": None},
        "total": 1000,
    } | members


def payment(id, invoice, intent="pi_1", **members):
    return {
        "id": id,
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": 1000,
        "created": T0,
        "currency": "usd",
        "invoice": invoice,
        "payment": {"type": "payment_intent", "payment_intent": intent},
        "status": "open",
        "status_transitions": {"paid_at": None, "canceled_at": None},
    } | members


def customer(id="cus_1", **members):
    return {"id": id, "object": "customer", "created": T0, "email": "ann@example.com", "name": "Ann"} | members


def intent(id="pi_1", **members):
    return {
        "id": id,
        "object": "payment_intent",
        "amount": 1000,
        "created": T0,
        "status": "requires_payment_method",
    } | ({"customer": "cus_1"} | members)


def line(number):
    return {"id": f"il_{number:02}", "object": "line_item", "amount": number}


def make_token(group="Support agent", **options):
    user = User.objects.create_user(f"service-{User.objects.count()}")
    if group:
        user.groups.add(Group.objects.get(name=group))
    return ApiToken.objects.create(user, name="billing service", **options)


class EveryId(dict[tuple[str, str], float]):
    """What a process remembers of ids: that Stripe has just said that it has none of them."""

    def get(self, id, default=None):
        return float("inf")


@pytest.fixture(autouse=True)
def stripe_has_nothing_more(monkeypatch):
    """So nothing here is read from Stripe. tests/test_api_reading.py has what is."""
    monkeypatch.setattr(live, "_missing", EveryId())


class Api:
    """Django's test client as an HTTP client with a key."""

    def __init__(self, key):
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path, *pairs, **query):
        text = urlencode([*pairs, *query.items()])
        return self.client.get(f"{path}?{text}" if text else path, headers=self.headers)

    def post(self, path, body="", kind="application/x-www-form-urlencoded", **headers):
        return self.client.generic("POST", path, body, kind, headers=self.headers | headers)


@pytest.fixture
def api(db):
    return Api(make_token()[1])


def ids(response):
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["data"]]


def error(response, status=400):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    found = response.json()
    assert set(found) == {"error"}
    return {name: value for name, value in found["error"].items() if name != "doc_url"}


def many(count, **members):
    store(*(invoice(f"in_{n:03}", created=T0 + n // 2, **members) for n in range(count)))
    return [f"in_{n:03}" for n in reversed(range(count))]


# --- lists -----------------------------------------------------------------------------------------------------------


def test_list_is_newest_first_and_ten_by_default(api):
    newest = many(12)
    response = api.get("/v1/invoices")
    assert ids(response) == newest[:10]
    assert {name: response.json()[name] for name in ("object", "has_more", "url")} == {
        "object": "list",
        "has_more": True,
        "url": "/v1/invoices",
    }
    assert set(response.json()) == {"object", "data", "has_more", "url"}


def test_cursors_walk_all_pages_and_split_a_second(api):
    newest = many(25)
    after: dict[str, str] = {}
    walked: list[str] = []
    while True:
        response = api.get("/v1/invoices", limit=3, **after)
        walked += ids(response)
        if not response.json()["has_more"]:
            break
        after = {"starting_after": walked[-1]}
    assert walked == newest


def test_ending_before_is_the_page_just_before_newest_first(api):
    newest = many(10)
    response = api.get("/v1/invoices", limit=3, ending_before=newest[6])
    assert ids(response) == newest[3:6]
    assert response.json()["has_more"] is True
    response = api.get("/v1/invoices", limit=3, ending_before=newest[2])
    assert ids(response) == newest[:2]
    assert response.json()["has_more"] is False


def test_a_deleted_draft_is_gone_and_still_a_cursor(api):
    newest = many(4, status="draft")
    store(invoice(newest[1]), deleted=True)
    assert ids(api.get("/v1/invoices")) == [newest[0], newest[2], newest[3]]
    assert ids(api.get("/v1/invoices", starting_after=newest[1])) == newest[2:]
    assert error(api.get(f"/v1/invoices/{newest[1]}"), 404)["code"] == "resource_missing"


@pytest.mark.odd_objects
def test_an_invoice_without_a_moment_stands_last_and_pages_do_not_lose_it(api):
    newest = many(3)
    store(invoice("in_x", created=None), invoice("in_y", created=None))
    everything = [*newest, "in_y", "in_x"]
    assert ids(api.get("/v1/invoices")) == everything
    for size in (1, 2, 4):
        walked: list[str] = []
        more = True
        while more:
            page = api.get("/v1/invoices", limit=size, **({"starting_after": walked[-1]} if walked else {}))
            walked += ids(page)
            more = page.json()["has_more"]
        assert walked == everything
    assert ids(api.get("/v1/invoices", limit=2, ending_before="in_x")) == everything[2:4]


@pytest.mark.parametrize(("given", "count"), [("0", 1), ("-5", 1), ("101", 100), ("100", 100), ("7", 7)])
def test_limit_is_clamped_in_silence(api, given, count):
    many(105)
    assert len(ids(api.get("/v1/invoices", limit=given))) == count


def test_a_page_of_a_hundred_costs_as_many_queries_as_a_page_of_two(api, django_assert_max_num_queries):
    store(customer(), intent())
    many(101)
    store(*(payment(f"inpay_{n:03}", f"in_{n:03}") for n in range(101)))
    expand = [("expand[]", "data.customer"), ("expand[]", "data.payments.data.payment.payment_intent")]
    # The key, its first use today, the time (of PostgreSQL), two for permissions, the page, one per expanded level.
    with django_assert_max_num_queries(10):
        found = api.get("/v1/invoices", *expand, limit=100).json()["data"]
    assert len(found) == 100
    assert all(one["customer"]["id"] == "cus_1" for one in found)
    assert all(one["payments"]["data"][0]["payment"]["payment_intent"]["id"] == "pi_1" for one in found)


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(api):
    store(
        invoice("in_a", created=T0, status="draft", customer="cus_2", due_date=T0 + 50),
        invoice("in_b", created=T0 + 10, number="N-1", currency="jpy", amount_remaining=5),
        invoice("in_c", created=T0 + 20, collection_method="send_invoice", customer_email="bob@example.com"),
        invoice("in_d", created=T0 + 30, parent={"subscription_details": {"subscription": "sub_1"}}, status="paid"),
        invoice("in_e", created=T0 + 40, status_transitions={"paid_at": T0 + 45}, amount_remaining=0),
    )
    return api


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"customer": "cus_2"}, "a"),
        ({"customer": "cus_nope"}, ""),
        ({"customer": " "}, ""),
        ({"status": "draft"}, "a"),
        ({"status": "open"}, "ecb"),
        ({"subscription": "sub_1"}, "d"),
        ({"collection_method": "send_invoice"}, "c"),
        ({"created": T0 + 10}, "b"),
        ({"created[gt]": T0 + 10}, "edc"),
        ({"created[gte]": T0 + 10, "created[lt]": T0 + 30}, "cb"),
        ({"created[lte]": T0 + 10}, "ba"),
        ({"due_date[lte]": T0 + 50}, "a"),
        ({"due_date": T0 + 51}, ""),
        ({"customer_email": "BOB@example.com"}, "c"),
        ({"number": "N-1"}, "b"),
        ({"currency": "JPY"}, "b"),
        ({"amount_remaining[lt]": 1000, "amount_remaining[gt]": 0, "customer": "cus_1"}, "b"),
        ({"amount_remaining": 0, "created[gte]": T0, "created[lt]": T0 + 60}, "e"),
        ({"status_transitions[paid_at][gte]": T0 + 45, "created": T0 + 40}, "e"),
        ({"status": "open", "customer": "cus_1", "starting_after": "in_e", "limit": 1}, "c"),
    ],
)
def test_filters(mixed, query, expected):
    assert ids(mixed.get("/v1/invoices", **query)) == [f"in_{letter}" for letter in expected]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"total[gt]": 5}, "total[gt]"),
        ({"billing_reason": "manual", "status": "open", "currency": "usd"}, "billing_reason"),
        ({"amount_due": 1, "created[gte]": T0, "created[lt]": T0 + 32 * 86400}, "amount_due"),
        ({"amount_due": 1, "created[lt]": T0}, "amount_due"),
        ({"status_transitions[paid_at][gte]": T0, "created[gte]": T0}, "status_transitions[paid_at][gte]"),
    ],
)
def test_a_filter_without_an_index_needs_another_that_leaves_few(mixed, query, param):
    refused = error(mixed.get("/v1/invoices", **query))
    assert (refused["code"], refused["param"]) == ("parameter_missing", param)
    assert "customer, subscription, number, or customer_email" in refused["message"] and "31 days" in refused["message"]


def test_payments_by_invoice_status_and_payment(api):
    store(
        payment("inpay_1", "in_1", "pi_1"),
        payment("inpay_2", "in_1", "pi_2", status="paid", created=T0 + 5),
        payment("inpay_3", "in_2", payment={"type": "payment_record", "payment_record": "pr_1"}),
    )
    path = "/v1/invoice_payments"
    assert ids(api.get(path, invoice="in_1")) == ["inpay_2", "inpay_1"]
    assert ids(api.get(path, status="paid")) == ["inpay_2"]
    by_intent = {"payment[type]": "payment_intent", "payment[payment_intent]": "pi_1"}
    assert ids(api.get(path, **by_intent)) == ["inpay_1"]
    by_record = {"payment[type]": "payment_record", "payment[payment_record]": "pr_1"}
    assert ids(api.get(path, **by_record)) == ["inpay_3"]
    assert ids(api.get(path, **{"created[gt]": T0})) == ["inpay_2"]
    assert error(api.get(path, **{"payment[payment_intent]": "pi_1"})) == {
        "code": "parameter_missing",
        "message": "Missing required param: payment[type].",
        "param": "payment[type]",
        "type": "invalid_request_error",
    }
    assert api.get(f"{path}/inpay_3").json()["payment"]["payment_record"] == "pr_1"
    assert error(api.get(f"{path}/inpay_9"), 404)["param"] == "invoice_payment"


# --- one invoice, its lines, and what is expanded --------------------------------------------------------------------


@pytest.mark.odd_objects
def test_an_invoice_comes_out_as_it_went_in(api):
    odd = invoice("in_1", unheard_of={"a": [1, None, 1.5]}, memo="\ud83d half an emoji, ü, \u2028", big=2**70)
    del odd["status_transitions"], odd["currency"]
    store(odd)
    response = api.get("/v1/invoices/in_1")
    assert response.json() == odd
    assert list(response.json()) == list(odd)
    seen = datetime.fromisoformat(response["Invoice-Desk-Seen-At"])
    assert abs(seen - datetime.now(UTC)) < timedelta(seconds=10)


def test_an_invoice_shows_its_first_ten_lines_and_lists_all(api):
    lines = [line(n) for n in range(12)]
    store(invoice("in_1", lines={"object": "list", "data": lines, "has_more": False, "total_count": 12, "url": "/x"}))
    shown = api.get("/v1/invoices/in_1").json()["lines"]
    assert (shown["data"], shown["has_more"], shown["total_count"]) == (lines[:10], True, 12)
    assert api.get("/v1/invoices").json()["data"][0]["lines"] == shown

    path = "/v1/invoices/in_1/lines"
    first = api.get(path, limit=5).json()
    assert first == {"object": "list", "data": lines[:5], "has_more": True, "url": path}
    last = api.get(path, limit=5, starting_after="il_09").json()
    assert (last["data"], last["has_more"]) == (lines[10:], False)
    before = api.get(path, limit=5, ending_before="il_03").json()
    assert (before["data"], before["has_more"]) == (lines[:3], False)
    assert error(api.get(path, starting_after="il_99"))["message"] == "No such line_item: 'il_99'"
    assert error(api.get("/v1/invoices/in_9/lines"), 404)["param"] == "invoice"


@pytest.mark.odd_objects
@pytest.mark.parametrize("lines", [None, {"invoiceitems": []}, [], "nothing"])
def test_lines_of_an_old_shape_break_nothing(api, lines):
    store(invoice("in_1", lines=lines))
    assert api.get("/v1/invoices/in_1").json()["lines"] == lines
    assert api.get("/v1/invoices/in_1/lines").json()["data"] == []


def test_expand_from_the_mirror(api):
    store(customer(), intent(), invoice("in_1"), payment("inpay_1", "in_1"), payment("inpay_2", "in_1", "pi_unknown"))
    plain = api.get("/v1/invoices/in_1").json()
    assert plain["customer"] == "cus_1"
    assert "payments" not in plain

    paths = ["customer", "payments", "payments.data.payment.payment_intent.customer"]
    found = api.get("/v1/invoices/in_1", *(("expand[]", path) for path in paths)).json()
    assert found["customer"] == customer()
    assert found["payments"]["object"] == "list"
    assert found["payments"]["has_more"] is False
    unknown, known = found["payments"]["data"]
    assert known["payment"]["payment_intent"]["customer"] == customer()
    assert unknown["payment"]["payment_intent"] == "pi_unknown"  # not mirrored: it stays an id

    listed = api.get("/v1/invoices", ("expand[0]", "data.customer")).json()
    assert listed["data"][0]["customer"] == customer()
    of_payment = api.get("/v1/invoice_payments/inpay_1", ("expand[]", "invoice.payments")).json()
    assert [one["id"] for one in of_payment["invoice"]["payments"]["data"]] == ["inpay_2", "inpay_1"]
    listing = api.get(found["payments"]["url"])
    assert ids(listing) == ["inpay_2", "inpay_1"]


def test_a_deleted_customer_expands_to_a_stub(api):
    store(customer(), invoice("in_1"))
    store(customer() | {"deleted": True})
    found = api.get("/v1/invoices/in_1", ("expand[]", "customer")).json()
    assert found["customer"] == {"id": "cus_1", "object": "customer", "deleted": True}


@pytest.mark.parametrize(
    ("path", "wanted", "message"),
    [
        ("/v1/invoices/in_1", "nope", "This property cannot be expanded (nope)."),
        ("/v1/invoices/in_1", "number", "This property cannot be expanded (number)."),
        ("/v1/invoices/in_1", "payments.data", "This property cannot be expanded (payments.data)."),
        ("/v1/invoices/in_1", "data.customer", "This property cannot be expanded (data.customer)."),
        ("/v1/invoices", "data.nope", "This property cannot be expanded (data.nope)."),
        (
            "/v1/invoices",
            "customer",
            "This property cannot be expanded (customer). You may want to try expanding 'data.customer' instead.",
        ),
        ("/v1/invoices/in_1/lines", "data.price", "This property cannot be expanded (data.price)."),
    ],
)
def test_what_cannot_be_expanded(api, path, wanted, message):
    store(invoice("in_1"))
    assert error(api.get(path, ("expand[]", wanted))) == {"message": message, "type": "invalid_request_error"}


def test_expansion_is_not_endless(api):
    store(invoice("in_1"), payment("inpay_1", "in_1"))
    deep = "payments.data.invoice.payments.data.invoice.payments.data.invoice"
    message = error(api.get("/v1/invoices/in_1", ("expand[]", deep)))["message"]
    assert message.startswith("You cannot expand more than 4 levels of a property.")
    assert error(api.get("/v1/invoices/in_1", expand="customer")) == {
        "message": "Invalid array",
        "param": "expand",
        "type": "invalid_request_error",
    }


# --- errors in Stripe's words ----------------------------------------------------------------------------------------

CASES = [
    ({"nope": "1"}, "parameter_unknown", "nope", "Received unknown parameter: nope"),
    ({"a": "1", "b[c]": "2"}, "parameter_unknown", "a", "Received unknown parameters: a, b[c]"),
    ({"created[nope]": "1"}, "parameter_unknown", "created[nope]", "Received unknown parameter: created[nope]"),
    ({"limit": "abc"}, "parameter_invalid_integer", "limit", "Invalid integer: abc"),
    ({"limit": "٣"}, "parameter_invalid_integer", "limit", "Invalid integer: ٣"),
    ({"limit": str(2**63)}, "parameter_invalid_integer", "limit", f"Invalid integer: {2**63}"),
    ({"limit": "9" * 5000}, "parameter_invalid_integer", "limit", f"Invalid integer: {'9' * 50}"),
    ({"created[gte]": "1e3"}, "parameter_invalid_integer", "created[gte]", "Invalid integer: 1e3"),
    ({"created": str(2**62)}, "parameter_invalid_integer", "created", f"Invalid timestamp: {2**62}"),
    ({"amount_due[lt]": str(10**30)}, "parameter_invalid_integer", "amount_due[lt]", f"Invalid integer: {10**30}"),
    (
        {"starting_after": "in_000", "ending_before": "in_001"},
        None,
        None,
        "Received both starting_after and ending_before parameters. Please pass in only one.",
    ),
    ({"starting_after": "in_aaa"}, "resource_missing", "starting_after", "No such invoice: 'in_aaa'"),
    ({"ending_before": "in_aaa"}, "resource_missing", "ending_before", "No such invoice: 'in_aaa'"),
    (
        {"status": "nope"},
        None,
        "status",
        "Invalid status: must be one of draft, open, void, paid, or uncollectible",
    ),
    (
        {"collection_method": "nope"},
        None,
        "collection_method",
        "Invalid collection_method: must be one of charge_automatically or send_invoice",
    ),
    ({"customer": "a\x00b"}, None, "customer", "Invalid string: it has a character that cannot be stored."),
    ({"customer[a]": "b"}, None, "customer", 'Invalid string: {:a=>"b"}'),
    ({"customer[]": "b"}, None, "customer", 'Invalid string: ["b"]'),
    ({"customer[a-b][]": "c"}, None, "customer", 'Invalid string: {:"a-b"=>["c"]}'),
    ({"status[in]": "open"}, None, "status", 'Invalid string: {:in=>"open"}'),
    ({"starting_after[]": "in_1"}, None, "starting_after", 'Invalid string: ["in_1"]'),
    ({"limit[]": "3"}, "parameter_invalid_integer", "limit", 'Invalid integer: ["3"]'),
    ({"created[gte][]": "3"}, "parameter_invalid_integer", "created[gte]", 'Invalid integer: ["3"]'),
    ({"status_transitions": "1"}, None, "status_transitions", "Invalid object"),
    ({"created": "abc"}, "parameter_invalid_integer", "created", "Invalid integer: abc"),
    ({"expand": "x"}, None, "expand", "Invalid array"),
]


@pytest.mark.parametrize(("query", "code", "param", "message"), CASES)
def test_wrong_parameters(api, query, code, param, message):
    found = error(api.get("/v1/invoices", **query))
    expected = {"code": code, "message": message, "param": param, "type": "invalid_request_error"}
    assert found == {name: value for name, value in expected.items() if value is not None}


def test_an_empty_parameter_is_refused_by_name(api):
    found = error(api.get("/v1/invoices", customer=""))
    assert (found["code"], found["param"]) == ("parameter_invalid_empty", "customer")
    assert found["message"].startswith("You passed an empty string for 'customer'.")


@pytest.mark.parametrize(
    "query",
    [
        "customer=%ff",
        "a[b]=1&a=2&a[b]=3",
        "a" + "[b]" * 50 + "=1",
        "&".join(["a[]=1"] * 1001),
        "[]=1",
        "created[=1",
        "a]=1",
    ],
)
def test_malformed_queries_are_a_clean_400(api, query):
    assert error(api.get(f"/v1/invoices?{query}"))["type"] == "invalid_request_error"


def test_doc_url_comes_with_stripes_codes(api):
    found = api.get("/v1/invoices", nope=1).json()["error"]
    assert found["doc_url"] == "https://stripe.com/docs/error-codes/parameter-unknown"


@pytest.mark.parametrize("id", ["in_nope", "in_%00", "x" * 3000, "in_nope'; --", "%0a", "in_é"])
def test_unknown_invoice(api, id):
    found = error(api.get(f"/v1/invoices/{id}"), 404)
    assert (found["code"], found["param"], found["type"]) == ("resource_missing", "invoice", "invalid_request_error")
    assert found["message"].startswith("No such invoice: '")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nope"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/invoices/"),
        ("GET", "/v1/invoices/in_1/pay"),
        ("GET", "/v1/payment_intents/pi_1/nope"),
        ("PUT", "/v1/invoices/in_1/pay"),
        ("OPTIONS", "/v1/invoices"),
        ("GET", "/v1/a%0Ab"),
    ],
)
def test_unrecognized_urls(api, method, path):
    response = api.client.generic(method, path, headers=api.headers)
    found = error(response, 404)
    shown = path.replace("%0A", "\n")
    assert found["message"].startswith(f"Unrecognized request URL ({method}: {shown}).")
    assert found["type"] == "invalid_request_error"
    assert response["Request-Id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/subscriptions"),
        ("GET", "/v1/subscriptions/sub_1"),
        ("GET", "/v1/customers/cus_1/payment_methods"),
        ("POST", "/v1/invoices"),
        ("DELETE", "/v1/invoices/in_1"),
        ("POST", "/v1/invoices/in_1"),
        ("POST", "/v1/customers"),
        ("POST", "/v1/refunds"),
        ("GET", "/v1/account"),
        ("GET", "/v1/sigma/scheduled_query_runs"),
    ],
)
def test_what_stripe_has_and_the_desk_does_not_serve_is_no_absence(api, method, path):
    found = error(api.client.generic(method, path, headers=api.headers), 404)
    assert (found["code"], found["type"]) == ("not_served", "invalid_request_error")
    assert f"does not serve {method} {path}" in found["message"] and "does not mean" in found["message"]
    assert "No such" not in found["message"]


@pytest.mark.parametrize("path", ["/v1/nope", "/v1/subscriptions/sub_1", "/v1", "/v1/invoices/search"])
def test_the_key_is_checked_before_anything_is_said_of_an_address(db, path):
    assert error(Api(None).get(path), 401)
    assert error(Api("sk_test_0123456789").get(path), 401)


def test_our_own_fault_is_an_envelope_and_in_the_log(api, monkeypatch, caplog):
    def broken(self, *args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(mirror_views.InvoiceView, "find", broken)
    response = api.get("/v1/invoices/in_1")
    found = error(response, 500)
    assert found["type"] == "api_error"
    assert "secret detail" not in response.content.decode()
    assert "secret detail" in caplog.text
    assert response["Request-Id"] in caplog.text


def test_a_failure_before_any_view_is_an_envelope_too(api, monkeypatch, client):
    def broken(self, request, *args, **kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(mirror_views.InvoiceView, "initialize_request", broken)
    response = api.get("/v1/invoices/in_1")
    assert error(response, 500)["type"] == "api_error"
    assert "secret detail" not in response.content.decode()


def test_a_host_that_is_not_ours_is_an_envelope_too(api):
    response = api.client.get("/v1/invoices", headers=api.headers | {"Host": "elsewhere.example.com"})
    assert error(response)["type"] == "invalid_request_error"


def test_replies_carry_what_an_sdk_reads(api):
    response = api.get("/v1/invoices")
    assert response["Request-Id"].startswith("req_")
    assert response["Stripe-Version"] == conf.STRIPE_API_VERSION
    other = api.client.get("/v1/invoices", headers=api.headers | {"Stripe-Version": "not-a-real-version"})
    assert error(other) == {
        "message": "Invalid Stripe API version: not-a-real-version",
        "type": "invalid_request_error",
    }
    assert api.client.get("/v1/invoices", headers=api.headers | {"Accept": "text/html"}).json()["object"] == "list"


def test_what_has_not_changed_is_not_sent_again(api):
    store(invoice("in_1"), invoice("in_2"))
    tags = {}
    for path in ("/v1/invoices/in_1", "/v1/invoices"):
        first = api.get(path)
        tags[path] = first["ETag"]
        again = api.client.get(path, headers=api.headers | {"If-None-Match": f'"other", {first["ETag"]}'})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
        assert again["Request-Id"] and again["Stripe-Version"] and "no-store" not in again["Cache-Control"]
    store(invoice("in_1", description="changed"))
    for path, tag in tags.items():
        changed = api.client.get(path, headers=api.headers | {"If-None-Match": tag})
        assert changed.status_code == 200 and changed["ETag"] != tag


def test_a_tag_opens_nothing_without_a_token(api):
    store(invoice("in_1"))
    tag = api.get("/v1/invoices/in_1")["ETag"]
    refused = Client().get("/v1/invoices/in_1", headers={"If-None-Match": tag})
    assert refused.status_code == 401 and "ETag" not in refused and "no-store" in refused["Cache-Control"]


def test_a_tagged_answer_is_compressed_all_the_same(api):
    store(*(invoice(f"in_{n}") for n in range(5)))
    plain = api.get("/v1/invoices")
    packed = api.client.get("/v1/invoices", headers=api.headers | {"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip" and packed["ETag"] == plain["ETag"]


def test_another_account_is_not_served_from_this_mirror(api):
    response = api.client.get("/v1/invoices", headers=api.headers | {"Stripe-Account": "acct_other"})
    assert error(response, 403)["code"] == "account_invalid"


# --- keys and permissions --------------------------------------------------------------------------------------------


def test_no_key(db):
    response = Api(None).get("/v1/invoices")
    found = error(response, 401)
    assert found["message"].startswith("You did not provide an API key.")
    assert response["WWW-Authenticate"]


@pytest.mark.parametrize(
    "header", ["Token abc", "Basic !!!", "Basic " + base64.b64encode(b"\xff:").decode(), "Bearer", "Bearer  "]
)
def test_no_key_in_the_header(db, header):
    api = Api(None)
    api.headers = {"Authorization": header}
    assert error(api.get("/v1/invoices"), 401)["message"].startswith("You did not provide an API key.")


def test_wrong_key_is_starred(db):
    found = error(Api("sk_live_0123456789abcdef").get("/v1/invoices"), 401)
    assert found["message"] == "Invalid API Key provided: sk_l****************cdef"
    right = make_token()[1]
    assert error(Api(right[:-1] + ("0" if right[-1] != "0" else "1")).get("/v1/invoices"), 401)
    assert error(Api("é" * 20).get("/v1/invoices"), 401)


def test_basic_with_the_token_as_user_name(db):
    api = Api(None)
    api.headers = {"Authorization": "Basic " + base64.b64encode(f"{make_token()[1]}:".encode()).decode()}
    assert api.get("/v1/invoices").status_code == 200


def test_expired_and_inactive(db):
    token, key = make_token()
    assert Api(key).get("/v1/invoices").status_code == 200
    token.expiry = timezone.now() - timedelta(seconds=1)
    token.save()
    for _ in range(2):  # asked again, it is still told as expired
        assert error(Api(key).get("/v1/invoices"), 401)["code"] == "api_key_expired"
    token, key = make_token()
    token.user.is_active = False
    token.user.save()
    assert error(Api(key).get("/v1/invoices"), 401)["message"].startswith("Invalid API Key")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/invoices",
        "/v1/invoices/in_1",
        "/v1/invoice_payments",
        "/v1/operations",
        "/v1/reconciliation_runs",
        "/v1/drift",
    ],
)
def test_a_user_without_permission_sees_nothing(db, path):
    store(invoice("in_1"))
    found = error(Api(make_token(group=None)[1]).get(path), 403)
    assert (found["code"], found["type"]) == ("permission_denied", "invalid_request_error")


def api_for(*scopes, group="Support agent", **options):
    return Api(make_token(group, scopes=" ".join(scopes), **options)[1])


def routes():
    """Each address of the API with 1 for its ids, each method there, and the view that answers."""
    route: Any
    for route in urls.urlpatterns:
        address, callback = "/" + re.sub("<[^>]*>", "1", str(route.pattern)), route.callback
        if address.startswith("/v1/") and callback.cls is not Elsewhere:
            yield from ((address, method.upper(), callback.cls) for method in callback.actions)


READING = sorted(address for address, method, view in routes() if method == "GET" and view.scope == Scope.READ)


@pytest.mark.parametrize("path", READING)
def test_a_token_reads_only_where_that_is_what_it_is_for(db, path):
    for scopes in (["feed"], ["pay", "void"], ["pass_through", "approve", "actions"]):
        found = error(api_for(*scopes).get(path), 403)
        assert found["code"] == "permission_denied" and "'read'" in found["message"], scopes
    # 400: a search without a query
    assert api_for("read", group="Billing manager").get(path).status_code in (200, 400, 404)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_token_acts_only_as_it_is_for(db, action):
    path = f"/v1/invoices/in_1/{action}?nope=1"
    for scopes in (["read", "feed", "pass_through", "approve"], [name for name in ACTIONS if name != action]):
        found = error(api_for(*scopes).post(path), 403)
        assert found["code"] == "permission_denied" and f"'{action}'" in found["message"], scopes
    for scopes in ([action], ["actions"], ["read", action]):
        assert error(api_for(*scopes).post(path))["code"] == "parameter_unknown"
    assert not Operation.objects.exists()


def test_scopes_give_nothing_that_the_user_may_not(db):
    store(invoice("in_1"))
    found = error(api_for("read", "actions", group="Auditor").post("/v1/invoices/in_1/void"), 403)
    assert found["message"] == "You may not void an invoice."
    assert error(api_for("read", group=None).get("/v1/invoices"), 403)["message"].endswith("invoices.view_invoice.")


def test_a_token_that_only_acts_expands_nothing(db):
    store(invoice("in_1"), customer())
    body = "expand[]=customer"
    assert "'read'" in error(api_for("void").post("/v1/invoices/in_1/void", body), 403)["message"]


@pytest.mark.parametrize(
    ("read_only", "allowed"), [(True, {"read", "feed"}), (False, {"read", "feed", "pay", "an_action_of_later"})]
)
def test_a_token_of_before_there_were_scopes_does_what_it_did(db, read_only, allowed):
    token, _ = make_token(read_only=read_only)
    asked = {"read", "feed", "pass_through", "approve", "pay", "an_action_of_later"}
    assert {scope for scope in asked if token.allows(scope)} == allowed


def test_an_action_of_a_later_version_is_not_in_a_list_of_actions(db):
    token, _ = make_token(scopes=" ".join(ACTIONS))
    assert token.allows("pay") and not token.allows("an_action_of_later")
    assert not {*ACTIONS} & {*Scope.values}


@pytest.mark.parametrize(("path", "method", "view"), [*routes()], ids=str)
def test_every_address_refuses_parameters_that_it_does_not_know(db, path, method, view):
    """In Stripe's words, all of them at once, and before anything is looked up."""
    api = api_for(*Scope.values, group="Billing manager")
    refused = [api.client.generic(method, f"{path}?nonsense=1&more[]=2", headers=api.headers)]
    if method == "POST":
        refused.append(api.post(path, "nonsense=1&more[]=2"))
        refused.append(api.post(path, '{"nonsense": 1, "more": [2]}', "application/json"))
    for found in map(error, refused):
        assert (found["message"], found["param"], found["code"]) == (
            "Received unknown parameters: nonsense, more[0]",
            "nonsense",
            "parameter_unknown",
        )


# --- Stripe's versions -----------------------------------------------------------------------------------------------


def asking_for(version, token):
    return Client().get("/v1/invoices", headers={"Authorization": f"Bearer {token[1]}", "Stripe-Version": version})


@pytest.mark.parametrize(
    "version", ["2024-04-10", "2024-09-30.acacia", "2025-02-24.acacia", "2025-03-30", "2020-08-27"]
)
def test_a_version_with_another_invoice_is_refused_unless_the_token_knows(db, version):
    found = error(asking_for(version, make_token(any_stripe_version=False)))
    assert found["code"] == "stripe_version_too_old"
    assert conf.STRIPE_API_VERSION in found["message"] and version in found["message"]
    knowing = asking_for(version, make_token(any_stripe_version=True))
    assert knowing.status_code == 200 and knowing["Stripe-Version"] == conf.STRIPE_API_VERSION


@pytest.mark.parametrize(
    "version",
    ["2025-03-31.basil", "2025-08-27.basil", "2025-09-30.clover", "2027-01-01.later", "2025-03-31.preview; a_beta=v1"],
)
def test_a_version_with_today_s_invoice_is_served(db, version):
    assert asking_for(version, make_token(any_stripe_version=False)).status_code == 200


def test_without_a_version_it_is_ours(db):
    assert Api(make_token(any_stripe_version=False)[1]).get("/v1/invoices").status_code == 200
    for wrong in ("not-a-version", "2025-03-31.basil;", "2025-03-31.basil; a=b", ""):
        assert error(asking_for(wrong, make_token()))["message"] == f"Invalid Stripe API version: {wrong}"


def test_expanding_needs_the_permission_to_view_what_is_expanded(db):
    store(invoice("in_1"), customer())
    token, key = make_token(group=None)
    token.user.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    assert Api(key).get("/v1/invoices/in_1").status_code == 200
    assert error(Api(key).get("/v1/invoices/in_1", ("expand[]", "customer")), 403)["code"] == "permission_denied"


# --- acting, as far as nothing is sent -------------------------------------------------------------------------------


def refused_before_stripe(api, path, *args, **kwargs):
    response = api.post(path, *args, **kwargs)
    assert not Operation.objects.exists()
    return error(response, response.status_code)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("nope=1", "", "Received unknown parameter: nope"),
        ("payment_method[x]=1", "", 'Invalid string: {:x=>"1"}'),
        ("off_session=maybe", "", "Invalid boolean: maybe"),
        ("paid_out_of_band=", "", "You passed an empty string for 'paid_out_of_band'."),
        ("payment_method=%00", "", "Invalid string:"),
        ("payment_method=a%ff", "", "Invalid request: the parameters are not UTF-8."),
        ("expand[]=a%0ab", "", "Invalid expand: at most 20 paths of 250 printable characters."),
        ("&".join(["expand[]=a", *(f"expand[]=a{number}" for number in range(20))]), "", "Invalid expand: at most 20"),
        ("{", "json", "Invalid request: the body is not valid JSON."),
        ('{"payment_method": NaN}', "json", "Invalid request: the body is not valid JSON."),
        ("[" * 100_000, "json", "Invalid request: the body is not valid JSON."),
        ("[]", "json", "Invalid request: the body must be a JSON object."),
        ('{"payment_method": "\\ud800"}', "json", "Invalid string:"),
        ('{"payment_method": {"a": {}}}', "json", "Invalid string: {:a=>{}}"),
        ('{"expand": [5]}', "json", "Invalid string: 5"),
    ],
)
def test_wrong_bodies(api, body, kind, message):
    store(invoice("in_1"))
    kind = "application/json" if kind else "application/x-www-form-urlencoded"
    assert refused_before_stripe(api, "/v1/invoices/in_1/pay", body, kind)["message"].startswith(message)


def test_a_missing_parameter_is_named(api):
    store(invoice("in_1"))
    assert refused_before_stripe(api, "/v1/invoices/in_1/attach_out_of_band_payment", "amount=5") == {
        "code": "parameter_missing",
        "message": "Missing required param: method.",
        "param": "method",
        "type": "invalid_request_error",
    }
    body = f"amount={10**30}&method=Cash&received_on=2026-01-01"
    found = refused_before_stripe(api, "/v1/invoices/in_1/attach_out_of_band_payment", body)
    assert (found["code"], found["param"]) == ("parameter_invalid_integer", "amount")


@pytest.mark.parametrize("amount", ["9.50", "9,50", "1e3", "1_000", "+5", "0x10", "٣", "９５", "NaN"])
def test_an_amount_in_minor_units_is_ascii_digits(api, amount):
    store(invoice("in_1"))
    body = urlencode({"amount": amount, "method": "Cash", "received_on": "2026-01-01"})
    found = refused_before_stripe(api, "/v1/invoices/in_1/attach_out_of_band_payment", body)
    assert (found["code"], found["param"]) == ("parameter_invalid_integer", "amount")


def test_other_content_types_and_too_large_bodies(api):
    found = refused_before_stripe(api, "/v1/invoices/in_1/pay", "<a/>", "text/xml")
    assert found["message"].startswith("Invalid request (check that your POST content type is")
    response = api.post("/v1/invoices/in_1/pay", "a" * 300_000)
    assert error(response, 413)["type"] == "invalid_request_error"


@pytest.mark.parametrize(("action", "param"), [("pay", "id"), ("void", "id"), ("finalize", "id"), ("send", "invoice")])
def test_the_404_of_a_deleted_draft_is_spelled_as_stripe_does(api, action, param):
    store(invoice("in_1", status="draft"))
    store(invoice("in_1"), deleted=True)
    found = refused_before_stripe(api, f"/v1/invoices/in_1/{action}")
    assert (found["code"], found["param"]) == ("resource_missing", param)
    assert refused_before_stripe(api, f"/v1/invoices/in_%00/{action}")["param"] == param


def test_a_reading_key_may_not_act(db):
    store(invoice("in_1"))
    api = Api(make_token(read_only=True)[1])
    assert api.get("/v1/invoices/in_1").status_code == 200
    assert refused_before_stripe(api, "/v1/invoices/in_1/void")["code"] == "permission_denied"


def test_an_auditor_may_not_act_and_the_asking_is_journalled(db):
    store(invoice("in_1"))
    api = Api(make_token(group="Auditor")[1])
    found = error(api.post("/v1/invoices/in_1/void"), 403)
    operation = Operation.objects.get()
    assert (found["code"], found["operation"]) == ("permission_denied", str(operation.pk))
    assert (operation.state, operation.reason, operation.source) == ("refused", "billing service", "api")
    assert operation.address == "127.0.0.1"


def test_an_idempotency_key_that_is_too_long(api):
    store(invoice("in_1"))
    found = refused_before_stripe(api, "/v1/invoices/in_1/void", **{"Idempotency-Key": "k" * 256})
    assert found["message"] == "Idempotency keys can be up to 255 characters long."


# --- the journal -----------------------------------------------------------------------------------------------------


def operate(action, invoice_id, state, **members):
    operation = Operation(action=action, invoice=invoice_id, state=state, source="api", **members)
    operation.save()
    return operation


def test_operations(api):
    store(invoice("in_1"))
    user = User.objects.create_user("ann")
    calls = [{"name": "pay", "key": "k", "status": 402, "params": {"payment_method": "pm_1"}, "error": {"code": "x"}}]
    paid = operate("pay", "in_1", "failed", actor=user, code="card_declined", calls=calls, reason="asked on the phone")
    unknown = operate("void", "in_2", "unknown")
    ready = operate("finalize", "in_3", "ready")
    path = "/v1/operations"
    assert ids(api.get(path)) == [str(one.pk) for one in (ready, unknown, paid)]
    assert ids(api.get(path, state="unfinished")) == [str(ready.pk), str(unknown.pk)]
    assert ids(api.get(path, state="failed")) == [str(paid.pk)]
    assert ids(api.get(path, invoice="in_2")) == [str(unknown.pk)]
    assert ids(api.get(path, action="pay")) == [str(paid.pk)]
    assert ids(api.get(path, actor="ann")) == [str(paid.pk)]
    assert ids(api.get(path, batch="nope")) == ids(api.get(path, batch=str(paid.pk))) == []
    assert ids(api.get(path, limit=1, starting_after=str(ready.pk))) == [str(unknown.pk)]
    assert ids(api.get(path, **{"created[lte]": int(ready.created_at.timestamp())}))[0] == str(ready.pk)
    assert error(api.get(path, state="nope"))["message"].endswith("or unfinished")
    assert error(api.get(path, starting_after="nope"))["message"] == "No such operation: 'nope'"

    found = api.get(f"{path}/{paid.pk}", ("expand[]", "invoice")).json()
    assert (found["object"], found["actor"], found["reason"]) == ("operation", "ann", "asked on the phone")
    assert found["created"] == int(paid.created_at.timestamp())
    assert found["calls"] == [{"name": "pay", "key": "k", "status": 402}]
    assert found["invoice"] == invoice("in_1")
    assert error(api.get(f"{path}/nope"), 404)["message"] == "No such operation: 'nope'"


def test_reconciliation_runs_and_drift(api):
    first = ReconciliationRun.objects.create(kind="sweep", state="finished", seen=5, same=4, healed=1, exit_code=3)
    second = ReconciliationRun.objects.create(kind="full", state="failed", exit_code=1)
    healed = Drift.objects.create(
        run=first, kind="differs", object_type="invoice", object_id="in_1", field="status", ours="open", theirs="paid"
    )
    healed.healed_at = timezone.now()
    healed.save()
    left = Drift.objects.create(run=first, kind="missing_here", object_type="invoice", object_id="in_2")

    runs = api.get("/v1/reconciliation_runs")
    assert ids(runs) == [str(second.pk), str(first.pk)]
    assert runs.json()["data"][1]["seen"] == 5
    assert runs.json()["data"][1]["object"] == "reconciliation_run"
    assert ids(api.get("/v1/reconciliation_runs", state="failed")) == [str(second.pk)]
    assert api.get(f"/v1/reconciliation_runs/{first.pk}").json()["exit_code"] == 3
    for nothing in ("9999", "x", str(2**70)):
        assert error(api.get(f"/v1/reconciliation_runs/{nothing}"), 404)["code"] == "resource_missing"
        assert error(api.get("/v1/drift", starting_after=nothing))["param"] == "starting_after"

    assert ids(api.get("/v1/drift", run=first.pk)) == [str(left.pk), str(healed.pk)]
    assert ids(api.get("/v1/drift", healed="true")) == [str(healed.pk)]
    assert ids(api.get("/v1/drift", healed="false")) == [str(left.pk)]
    assert ids(api.get("/v1/drift", healed="True")) == [str(healed.pk)]  # as stripe-python 8 writes it
    assert error(api.get("/v1/drift", healed="perhaps"))["message"] == "Invalid boolean: perhaps"
    found = api.get(f"/v1/drift/{healed.pk}").json()
    assert (found["ours"], found["theirs"], found["run"]) == ("open", "paid", str(first.pk))
    assert isinstance(found["healed"], int)


# --- what describes it -----------------------------------------------------------------------------------------------


def test_the_schema_says_what_the_actions_say(client):
    schema = client.get("/api/schema/", headers={"Accept": "application/json"}).json()
    pay = schema["paths"]["/v1/invoices/{id}/pay"]["post"]
    body = pay["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert set(body["properties"]) == {
        "payment_method",
        "source",
        "mandate",
        "off_session",
        "forgive",
        "paid_out_of_band",
        "expand[]",
    }
    as_json = pay["requestBody"]["content"]["application/json"]["schema"]
    assert set(as_json["properties"]) == {name.removesuffix("[]") for name in body["properties"]}
    names = {parameter["name"] for parameter in schema["paths"]["/v1/invoices"]["get"]["parameters"]}
    assert {"customer", "status", "created[gte]", "due_date[lt]", "limit", "starting_after", "expand[]"} <= names
    assert {"bearer", "basic"} == {scheme["scheme"] for scheme in schema["components"]["securitySchemes"].values()}


def test_the_pages_fetch_nothing_from_elsewhere(client):
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert "https://" not in page.content.decode()


def test_the_mirror_is_only_read(api):
    store(invoice("in_1"))
    before = Invoice.objects.values().get()
    api.get("/v1/invoices")
    api.get("/v1/invoices/in_1", ("expand[]", "customer"))
    assert Invoice.objects.values().get() == before


# --- whatever comes --------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=20) | st.sampled_from(["1", "-1", str(2**63), "true", "in_1", "customer", "\x00", "%", "[]"])
NAMES = st.sampled_from(
    "limit created created[gte] status expand[] starting_after healed run payment_method off_session amount".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PATHS = ["/v1/invoices", "/v1/invoices/in_1", "/v1/invoices/in_1/lines", "/v1/invoice_payments", "/v1/operations"]
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def is_clean(response):
    assert response.status_code in (200, 400, 403, 404), response.content
    assert ("error" in response.json()) == (response.status_code != 200)


@FUZZ
@given(path=st.sampled_from([*PATHS, "/v1/drift"]), query=st.lists(st.tuples(NAMES | TEXT, TEXT), max_size=4))
def test_no_query_is_our_fault(api, path, query):
    is_clean(api.get(path, *query))


@FUZZ
@given(raw=st.binary(max_size=40), id=TEXT)
def test_no_bytes_are_our_fault(api, raw, id):
    is_clean(
        api.client.get(f"/v1/invoices/{quote(id, safe='')}", QUERY_STRING=raw.decode("latin-1"), headers=api.headers)
    )
    is_clean(api.post("/v1/drift/pay", raw))


@FUZZ
@given(body=st.dictionaries(NAMES | TEXT, VALUES, max_size=3), action=st.sampled_from(sorted(ACTIONS)))
def test_no_body_is_our_fault(auditors_api, body, action):
    is_clean(auditors_api.post(f"/v1/invoices/in_1/{action}", json.dumps(body), "application/json"))
    out_of_band = {"amount": 5, "method": "Cash", "received_on": "2026-01-01"} | body
    path = "/v1/invoices/in_1/attach_out_of_band_payment"
    is_clean(auditors_api.post(path, json.dumps(out_of_band), "application/json"))


@pytest.fixture
def auditors_api(db):
    """A key that may not act: what it asks for is checked and journalled, and never sent."""
    return Api(make_token(group="Auditor")[1])


@pytest.mark.parametrize(
    "data",
    [
        {"a": "Zoë \U0001f9fe \u2028 \ud83e", "b": [1, 1.5, -0.0, 1e300, True, None], "é": {}},
        {"lines": {"data": [{"object": "line_item", "id": f"il_{n}"} for n in range(10)], "has_more": False}},
        {"lines": {"data": [{"object": "line_item", "id": f"il_{n}"} for n in range(11)], "has_more": False}},
        {"description": '"line_item"' * 20, "lines": {"data": []}},
        {"description": '"line_item"' * 20, "lines": None},
        {"description": '"line_item"' * 20, "lines": {"data": {"a": "\u2028"}}},
        {"lines": {"data": [{"object": "line_item"}] * 11, "b": 1e300, "has_more": True}, "é": "\U0001f9fe \ud83e"},
        {"lines": {"data": [{"object": "line_item"}] * 11}, "\ud83e": 1},
        {"lines": None},
    ],
)
def test_the_stored_text_is_sent_as_the_object_would_be_written(data):
    row = Invoice(id="in_1", data=data)
    for stored in (
        json.dumps(data, separators=(",", ":")),
        json.dumps(data, separators=(",", ":"), ensure_ascii=False),
    ):
        assert serializers.stripe_text("invoice", stored) == serializers.to_json(serializers.stripe_object(row))
    assert serializers.stripe_text("invoice", None) == "{}"
