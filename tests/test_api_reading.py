"""Reading through the API: what the mirror does not hold, or holds in part, is read from Stripe, within bounds."""

from __future__ import annotations

import ast
import json
import random
import re
import string
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import stripe
from django.contrib.auth.models import Permission, User
from django.test import Client

from invoices import gateway, intake, refetch, sync, throttle
from invoices.api import expand, live
from invoices.api.expandable import EXPANDABLE
from invoices.api.stripe_addresses import ADDRESSES
from invoices.models import MIRRORED, ApiToken, Customer, Event, Invoice, PaymentIntent
from tests.factories import customer_at, invoice_at, stored
from tests.helpers.events import stripe_event
from tests.helpers.sdk import raised
from tests.helpers.stripe_state import without_delivery_time
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def token(agent: User) -> str:
    return ApiToken.objects.create(agent, name="dunning service", scopes="read actions pass_through")[1]


@pytest.fixture
def desk(live_server: Any, token: str, sandbox: SandboxProcess) -> stripe.StripeClient:
    """The SDK, with our token and our address, and no retries."""
    return stripe.StripeClient(token, base_addresses={"api": live_server.url}, max_network_retries=0)


@pytest.fixture
def get(live_server: Any, token: str, sandbox: SandboxProcess) -> Callable[..., requests.Response]:
    """A plain GET with our token. Of `params`, lists become `name[]`."""

    def ask(path: str, key: str = token, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
        return requests.get(
            f"{live_server.url}{path}",
            params=params,
            headers={"Authorization": f"Bearer {key}"} | (headers or {}),
            timeout=60,
        )

    return ask


def plain(found: Any) -> Any:
    return without_delivery_time(found.to_dict())


VIEWS = tuple(f"view_{model._meta.model_name}" for model in MIRRORED.values())  # all that the mirror holds


def token_with(*codenames: str, read_only: bool = False) -> str:
    """A token of a user with these permissions alone."""
    user = User.objects.create_user(f"service-{User.objects.count()}")
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    scopes = "read" if read_only else "read actions pass_through"
    return ApiToken.objects.create(user, name="some service", read_only=read_only, scopes=scopes)[1]


def asked(sandbox: SandboxProcess, address: str) -> int:
    """How many such requests the sandbox had."""
    return sandbox.stats()["requests"].get(f"GET {address}", 0)


def error(answer: requests.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


# --- what the mirror does not hold -----------------------------------------------------------------------------------


def test_a_miss_is_read_once_mirrored_and_answered(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    invoice = invoice_at(sandbox, lines=12)
    sandbox.client().v1.invoices.pay(invoice.id)
    first = desk.v1.invoices.retrieve(invoice.id)
    assert plain(first) == plain(sandbox.client().v1.invoices.retrieve(invoice.id))
    assert raised_headers(first)["Invoice-Desk-Source"] == "stripe"
    assert len(Invoice.objects.get(pk=invoice.id).data["lines"]["data"]) == 12
    before = asked(sandbox, "/v1/invoices/:id")
    again = desk.v1.invoices.retrieve(invoice.id)
    assert raised_headers(again)["Invoice-Desk-Source"] == "mirror"
    assert asked(sandbox, "/v1/invoices/:id") == before

    [payment] = desk.v1.invoice_payments.list({"invoice": invoice.id}).data
    intent = str(payment.payment.payment_intent)
    assert plain(desk.v1.payment_intents.retrieve(intent)) == plain(
        sandbox.client().v1.payment_intents.retrieve(intent)
    )
    assert plain(desk.v1.customers.retrieve(invoice.customer)) == plain(
        sandbox.client().v1.customers.retrieve(invoice.customer)
    )
    assert PaymentIntent.objects.filter(pk=intent).exists() and Customer.objects.filter(pk=invoice.customer).exists()


def raised_headers(found: Any) -> Any:
    return found.last_response.headers


def test_a_missed_payment_of_an_invoice_is_read(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    invoice = invoice_at(sandbox)
    [payment] = sandbox.client().v1.invoice_payments.list({"invoice": invoice.id}).data
    assert plain(desk.v1.invoice_payments.retrieve(payment.id)) == plain(payment)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/invoices/in_nope", "invoice"),
        ("/v1/invoices/in_nope/lines", "invoice"),
        ("/v1/customers/cus_nope", "id"),
        ("/v1/payment_intents/pi_nope", "intent"),
        ("/v1/invoice_payments/inpay_nope", "invoice_payment"),
        ("/v1/events/evt_nope", "id"),
    ],
)
def test_what_stripe_does_not_have_either_is_its_404_and_asked_once(
    sandbox: SandboxProcess, get: Any, path: str, param: str
) -> None:
    kind = path.split("/")[2]
    theirs = requests.get(f"{sandbox.url}{path}", auth=(sandbox.key, ""), timeout=60)
    before = asked(sandbox, f"/v1/{kind}/:id")
    for _ in range(3):
        said = error(get(path), 404)
        expected = theirs.json()["error"]
        assert {name: said.get(name) for name in ("code", "message", "type")} == {
            name: expected.get(name) for name in ("code", "message", "type")
        }
        assert said["param"] == param
    assert asked(sandbox, f"/v1/{kind}/:id") == before + 1
    assert not Invoice.rows.exists() and not Customer.rows.exists()  # nobody fills the mirror with empty rows


@pytest.mark.parametrize(
    "id", ["nope", "cus_1", "in_", "in_é", "in_1'; --", "in_%2e%2e%2fcustomers", "in_" + "x" * 300]
)
def test_what_is_no_id_of_an_invoice_is_not_asked_for(
    sandbox: SandboxProcess, get: Any, settings: Any, id: str
) -> None:
    settings.STRIPE_API_BASE = NOBODY  # asking would be a 503
    assert error(get(f"/v1/invoices/{quote(id)}"), 404)["code"] == "resource_missing"


def test_a_deleted_draft_is_gone_and_a_deleted_customer_a_stub(
    sandbox: SandboxProcess, desk: stripe.StripeClient, settings: Any
) -> None:
    draft = invoice_at(sandbox, finalize=False)
    customer = customer_at(sandbox)
    desk.v1.invoices.retrieve(draft.id)
    sandbox.client().v1.invoices.delete(draft.id)
    sandbox.client().v1.customers.delete(customer.id)
    refetch.refetch("invoice", draft.id)
    stub: Any = desk.v1.customers.retrieve(customer.id)  # read live
    assert plain(stub) == {"id": customer.id, "object": "customer", "deleted": True}
    settings.STRIPE_API_BASE = NOBODY  # both are known now
    assert plain(desk.v1.customers.retrieve(customer.id)) == plain(stub)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.v1.invoices.retrieve(draft.id)
    assert caught.value.code == "resource_missing"
    assert customer.id not in [one.id for one in desk.v1.customers.list().data]


def test_first_reads_after_stripes_own_webhook_are_never_404(
    sandbox: SandboxProcess, desk: stripe.StripeClient
) -> None:
    """A service hears of an invoice from Stripe before the desk does, and asks at once, with several connections."""
    made = [invoice_at(sandbox, finalize=False) for _ in range(6)]
    came: list[str] = []

    def ask(id: str) -> None:
        came.append(desk.v1.invoices.retrieve(id).id)

    before = asked(sandbox, "/v1/invoices/:id")
    threads = [threading.Thread(target=ask, args=(invoice.id,)) for invoice in made for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == sorted(invoice.id for invoice in made * 3)
    assert asked(sandbox, "/v1/invoices/:id") == before + 6  # those who ask for the same one share its read


# --- when it cannot be read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/invoices/in_1", "/v1/customers/cus_1", "/v1/invoices/in_1/lines", "/v1/events/evt_1"]
)
def test_without_stripe_a_miss_is_503_and_not_404(sandbox: SandboxProcess, get: Any, settings: Any, path: str) -> None:
    settings.STRIPE_API_BASE = NOBODY
    answer = get(path)
    said = error(answer, 503)
    assert (said["code"], said["type"]) == ("stripe_unavailable", "api_error")
    assert answer.headers["Retry-After"] == "1" and answer.headers["Stripe-Should-Retry"] == "true"


def test_what_is_held_is_read_without_stripe(
    sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any, settings: Any
) -> None:
    settings.STRIPE_API_BASE = NOBODY
    assert desk.v1.invoices.retrieve(open_invoice.id).id == open_invoice.id
    assert [one.id for one in desk.v1.invoices.list().data] == [open_invoice.id]


def test_a_killed_sandbox_and_its_return(live_server: Any, token: str, settings: Any, get: Any) -> None:
    with SandboxProcess() as stripe_process:
        settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY = stripe_process.url, stripe_process.key
        invoice = invoice_at(stripe_process, lines=15)
        stripe_process.kill()
        assert error(get(f"/v1/invoices/{invoice.id}"), 503)["code"] == "stripe_unavailable"
        stripe_process.start()
        assert get(f"/v1/invoices/{invoice.id}").json()["id"] == invoice.id


def test_a_stripe_that_hangs_is_left_alone_for_some_seconds(
    sandbox: SandboxProcess, get: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STRIPE_TIMEOUT_SECONDS = 1.0
    monkeypatch.setattr(live, "HANGING_SECONDS", 0.5)
    sandbox.faults(latency_ms=[5000, 5000])
    invoice_at_rest = "in_1"
    error(get(f"/v1/invoices/{invoice_at_rest}"), 503)
    sandbox.clear_faults()
    started = time.monotonic()
    answer = get("/v1/invoices/in_2")
    assert "not asked for some seconds" in error(answer, 503)["message"]
    assert time.monotonic() - started < 1 and 1 <= int(answer.headers["Retry-After"]) <= live.REST_SECONDS


def test_a_429_of_stripes_is_a_429(sandbox: SandboxProcess, get: Any) -> None:
    invoice = invoice_at(sandbox)
    sandbox.faults(error_429=1.0)
    answer = get(f"/v1/invoices/{invoice.id}")
    assert error(answer, 429)["code"] == "rate_limit" and answer.headers["Retry-After"]


def test_the_budget_of_reads_is_shared_and_ends_in_429(sandbox: SandboxProcess, get: Any, settings: Any) -> None:
    settings.STRIPE_LIVE_READS_PER_SECOND = 1
    held = invoice_at(sandbox)
    assert get(f"/v1/invoices/{held.id}").status_code == 200
    answers = [get(f"/v1/invoices/in_nope{number}") for number in range(14)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:4] == [404] * 4 and statuses[-1] == 429
    said = error(answers[-1], 429)
    assert said["code"] == "rate_limit" and "may cause 1 a second" in said["message"]
    assert answers[-1].headers["Retry-After"] == "1"
    assert get(f"/v1/invoices/{held.id}").status_code == 200  # what is held costs nothing


def test_a_token_that_asks_for_what_does_not_exist_leaves_reads_to_others(
    sandbox: SandboxProcess, get: Any, settings: Any, agent: User
) -> None:
    settings.STRIPE_LIVE_READS_PER_SECOND = 2
    other = ApiToken.objects.create(user=agent, name="another")[1]
    statuses = [0]
    while statuses[-1] != 429 and len(statuses) < 100:
        statuses.append(get(f"/v1/invoices/in_nope{len(statuses)}").status_code)
    assert len(statuses) > 10  # half of the twenty that were saved up
    assert [get(f"/v1/customers/cus_nope{number}", key=other).status_code for number in range(4)] == [404] * 4


def test_a_budget_lets_a_burst_pass_and_then_its_rate() -> None:
    assert sum(throttle.take("some budget", 4) == 0 for _ in range(60)) in range(40, 44)
    assert throttle.take("some budget", 4) == 1
    assert throttle.take("another", 4, 30) == 0 and throttle.take("another", 4, 30) > 0
    assert throttle.take("some budget", 0) == 0
    time.sleep(0.6)
    assert throttle.take("some budget", 4) == 0


# --- lines -----------------------------------------------------------------------------------------------------------


def as_json(sandbox: SandboxProcess, invoice: str) -> Any:
    """The invoice as an event shows it."""
    return requests.get(f"{sandbox.url}/v1/invoices/{invoice}", auth=(sandbox.key, ""), timeout=60).json()


@pytest.mark.parametrize("count", [15, 120])
def test_all_lines_are_shown_though_the_mirror_has_the_first_ten(
    sandbox: SandboxProcess, desk: stripe.StripeClient, post_event: Any, count: int
) -> None:
    invoice = invoice_at(sandbox, lines=count)
    post_event(stripe_event(as_json(sandbox, invoice.id), type="invoice.finalized"))
    sync.process_events()
    assert len(Invoice.objects.get(pk=invoice.id).data["lines"]["data"]) == 10

    lines = [line.id for line in desk.v1.invoices.line_items.list(invoice.id, {"limit": 100}).auto_paging_iter()]
    theirs = sandbox.client().v1.invoices.line_items.list(invoice.id, {"limit": 100}).auto_paging_iter()
    assert lines == [line.id for line in theirs] and len(set(lines)) == count
    assert len(Invoice.objects.get(pk=invoice.id).data["lines"]["data"]) == count
    walked = desk.v1.invoices.retrieve(invoice.id).lines.auto_paging_iter()
    assert [line.id for line in walked] == lines


def test_lines_that_cannot_be_read_are_an_error_and_no_silent_end(
    sandbox: SandboxProcess, get: Any, post_event: Any, settings: Any
) -> None:
    invoice = invoice_at(sandbox, lines=15)
    post_event(stripe_event(as_json(sandbox, invoice.id), type="invoice.finalized"))
    sync.process_events()
    settings.STRIPE_API_BASE = NOBODY
    assert error(get(f"/v1/invoices/{invoice.id}/lines"), 503)["code"] == "stripe_unavailable"
    assert get(f"/v1/invoices/{invoice.id}").json()["lines"]["has_more"] is True


def test_lines_of_an_invoice_that_the_mirror_does_not_hold(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    invoice = invoice_at(sandbox, lines=13)
    found = desk.v1.invoices.line_items.list(invoice.id, {"limit": 100})
    assert len(found.data) == 13 and found.has_more is False


# --- not before ------------------------------------------------------------------------------------------------------


def test_who_must_not_read_older_gets_what_stripe_has_now(
    sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any
) -> None:
    sandbox.client().v1.invoices.void_invoice(open_invoice.id)
    assert desk.v1.invoices.retrieve(open_invoice.id).status == "open"  # no event has come
    now = {"headers": {"Invoice-Desk-Not-Before": str(int(time.time()))}}
    fresh: Any = desk.v1.invoices.retrieve(open_invoice.id, None, now)  # type: ignore[arg-type]
    assert fresh.status == "void"
    assert raised_headers(fresh)["Invoice-Desk-Source"] == "stripe"
    assert desk.v1.invoices.retrieve(open_invoice.id).status == "void"


@pytest.mark.parametrize("zone", ["Z", "+00:00"])
def test_what_is_new_enough_is_shown_from_the_mirror(
    sandbox: SandboxProcess, get: Any, open_invoice: Any, settings: Any, zone: str
) -> None:
    settings.STRIPE_API_BASE = NOBODY
    earlier = datetime.now(UTC) - timedelta(minutes=5)
    header = {"Invoice-Desk-Not-Before": f"{earlier:%Y-%m-%dT%H:%M:%S}{zone}"}
    assert get(f"/v1/invoices/{open_invoice.id}", headers=header).headers["Invoice-Desk-Source"] == "mirror"
    assert get(f"/v1/invoices/{open_invoice.id}/lines", headers=header).status_code == 200
    header = {"Invoice-Desk-Not-Before": str(time.time())}
    assert error(get(f"/v1/invoices/{open_invoice.id}", headers=header), 503)["code"] == "stripe_unavailable"
    assert error(get(f"/v1/invoices/{open_invoice.id}/lines", headers=header), 503)


@pytest.mark.parametrize(
    "given", ["", "yesterday", "-5", "2026-11-22T10:00:00", "1760000000000", "nan", "1e9", "9" * 400]
)
def test_a_moment_that_is_none_is_refused(get: Any, open_invoice: Any, given: str) -> None:
    answer = get(f"/v1/invoices/{open_invoice.id}", headers={"Invoice-Desk-Not-Before": given})
    assert "Invoice-Desk-Not-Before" in error(answer, 400)["message"]


def test_a_list_says_that_it_cannot_promise_an_age(get: Any) -> None:
    answer = get("/v1/invoices", headers={"Invoice-Desk-Not-Before": "1760000000"})
    assert "is for single objects" in error(answer, 400)["message"]
    assert get("/v1/operations", headers={"Invoice-Desk-Not-Before": "1760000000"}).status_code == 200


# --- customers and PaymentIntents ------------------------------------------------------------------------------------


def test_customers_and_intents_are_listed_as_at_stripe(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    customers = [customer_at(sandbox, email=f"{name}@example.com") for name in ("Ann", "ann", "bob")]
    invoices = [invoice_at(sandbox, customer=customers[0].id) for _ in range(3)]
    for invoice in invoices:
        sandbox.client().v1.invoices.pay(invoice.id)
    for customer in customers:
        refetch.refetch("customer", customer.id)
    theirs = sandbox.client().v1.payment_intents.list({"limit": 100})
    for intent in theirs.data:
        refetch.refetch("payment_intent", intent.id)
    for options in ({}, {"limit": 2}, {"email": "ann@example.com"}, {"email": "Ann@example.com"}, {"email": "x@y.z"}):
        ours, at_stripe = (one.v1.customers.list(options) for one in (desk, sandbox.client()))  # type: ignore[arg-type]
        assert plain(ours) == plain(at_stripe), options
    for intents in ({}, {"customer": customers[0].id, "limit": 2}, {"created": {"gt": 5}}, {"customer": "cus_nope"}):
        ours, at_stripe = (one.v1.payment_intents.list(intents) for one in (desk, sandbox.client()))  # type: ignore[arg-type]
        assert plain(ours) == plain(at_stripe), intents
    walked = desk.v1.payment_intents.list({"limit": 1}).auto_paging_iter()
    assert [one.id for one in walked] == [one.id for one in theirs.data]
    assert raised_headers(desk.v1.customers.list())["Invoice-Desk-Source"] == "mirror"


def test_an_email_that_json_escapes_is_found(desk: stripe.StripeClient) -> None:
    for number, email in enumerate(['"a b"@example.com', "jürgen@example.com"]):
        stored({"object": "customer", "id": f"cus_{number}", "created": 1_760_000_000, "email": email})
        [found] = desk.v1.customers.list({"email": email}).data
        assert found.id == f"cus_{number}"


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("/v1/customers", "view_customer"),
        ("/v1/payment_intents", "view_paymentintent"),
        ("/v1/events", "view_event"),
        ("/v1/invoices", "view_invoice"),
        ("/v1/invoice_payments", "view_invoicepayment"),
    ],
)
def test_each_kind_needs_its_own_permission(get: Any, path: str, permission: str) -> None:
    everything = {"view_customer", "view_paymentintent", "view_event", "view_invoice", "view_invoicepayment"}
    assert get(path, key=token_with(permission)).status_code == 200
    others = token_with(*(everything - {permission}))
    for each in (path, f"{path}/in_1"):
        assert error(get(each, key=others), 403)["code"] == "permission_denied"


# --- events ----------------------------------------------------------------------------------------------------------


def journalled(*events: dict[str, Any]) -> None:
    intake.write([intake.event_row(event, json.dumps(event, indent=2, ensure_ascii=False)) for event in events])


@pytest.fixture
def some_events(sandbox: SandboxProcess, settings: Any) -> list[dict[str, Any]]:
    """Of two seconds and three types; the oldest is older than Stripe would list it."""
    settings.STRIPE_ACCOUNT = "acct_ours"
    invoice = {"id": "in_1", "object": "invoice", "note": "Zoë \U0001f9fe"}
    now = int(time.time())
    events = [
        stripe_event(invoice, type=type, id=f"evt_{number}", created=now - age)
        for number, (type, age) in enumerate(
            [("invoice.paid", 90 * 86400), ("invoice.created", 60), ("invoice.paid", 60), ("customer.updated", 5)]
        )
    ]
    journalled(*events)
    return events


def test_events_are_listed_with_their_bodies_as_they_came(
    desk: stripe.StripeClient, get: Any, some_events: list[dict[str, Any]]
) -> None:
    assert [one.id for one in desk.v1.events.list().data] == ["evt_3", "evt_2", "evt_1", "evt_0"]
    assert [one.id for one in desk.v1.events.list({"limit": 1}).auto_paging_iter()] == [
        "evt_3",
        "evt_2",
        "evt_1",
        "evt_0",
    ]
    body = json.dumps(some_events[0], indent=2, ensure_ascii=False).encode()
    assert get("/v1/events/evt_0").content == body
    assert body in get("/v1/events").content
    assert get("/v1/events").headers["Invoice-Desk-Source"] == "mirror"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"type": "invoice.paid"}, "20"),
        ({"type": "invoice.*"}, "210"),
        ({"type": "*"}, "3210"),
        ({"type": "*.created"}, "1"),
        ({"type": "invoice.voided"}, ""),
        ({"type": "charge.*"}, ""),
        ({"types[]": ["customer.updated", "invoice.created"]}, "31"),
        ({"types[0]": "invoice.paid", "limit": 1}, "2"),
        ({"created[gt]": int(time.time()) - 86400, "type": "invoice.paid"}, "2"),
        ({"starting_after": "evt_2"}, "10"),
        ({"ending_before": "evt_2"}, "3"),
    ],
)
def test_filters_of_events(get: Any, some_events: Any, query: dict[str, Any], expected: str) -> None:
    found = get("/v1/events", **query).json()["data"]
    assert [one["id"] for one in found] == [f"evt_{number}" for number in expected]


def test_wrong_filters_of_events_are_refused_as_at_stripe(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    for wrong in (
        {"type": "invoice.paid", "types": ["invoice.paid"]},
        {"types": [f"type.{number}" for number in range(21)]},
        {"nope": 1},
    ):
        said = []
        for client in (sandbox.client(), desk):
            with pytest.raises(stripe.InvalidRequestError) as caught:
                client.raw_request("get", "/v1/events", **wrong)
            said.append((caught.value.http_status, caught.value.user_message, caught.value.code, caught.value.param))
        assert said[0] == said[1]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.v1.events.list({"delivery_success": False})
    assert caught.value.code == "parameter_unknown"  # the desk does not know it


def test_events_of_another_account_or_mode_and_what_is_no_event_are_not_shown(
    get: Any, some_events: Any, settings: Any
) -> None:
    invoice = {"id": "in_1", "object": "invoice"}
    journalled(
        stripe_event(invoice, id="evt_live", livemode=True),
        stripe_event(invoice, id="evt_other") | {"account": "acct_other"},
        stripe_event(invoice, id="evt_ours") | {"account": "acct_ours"},
        stripe_event({"id": "ch_1", "object": "charge"}, id="evt_charge", type="charge.succeeded"),
    )
    intake.keep_unreadable("{not JSON", "no JSON")
    shown = [one["id"] for one in get("/v1/events").json()["data"]]
    assert {"evt_ours", "evt_charge"} <= set(shown) and not {"evt_live", "evt_other"} & set(shown)
    assert len(shown) == 6
    settings.STRIPE_API_BASE = NOBODY
    assert Event.objects.count() == 9
    for hidden in ("evt_live", "evt_other"):
        assert get(f"/v1/events/{hidden}").status_code in (404, 503)


def test_an_event_that_has_not_come_yet_is_read_and_journalled(
    sandbox: SandboxProcess, desk: stripe.StripeClient
) -> None:
    invoice = invoice_at(sandbox)
    newest = sandbox.client().v1.events.list({"limit": 1}).data[0]
    found: Any = desk.v1.events.retrieve(newest.id)
    assert (found.id, found.type) == (newest.id, newest.type)
    assert Event.objects.get(pk=newest.id).source == Event.Source.CATCH_UP
    sync.process_events()
    assert Invoice.objects.filter(pk=invoice.id).exists()


def test_a_number_that_is_no_json_does_not_spoil_the_list(get: Any, some_events: Any) -> None:
    event = stripe_event({"id": "in_2", "object": "invoice", "amount": float("nan")}, id="evt_nan")
    Event.objects.bulk_create([intake.event_row(event, json.dumps(event), source="catch_up")])
    assert get("/v1/events/evt_nan").json()["data"]["object"]["amount"] is None


# --- what is not served, and what is passed on -----------------------------------------------------------------------


@pytest.fixture
def passing(settings: Any) -> Iterator[None]:
    """With a key for passing on."""
    settings.STRIPE_PASS_THROUGH_KEY = "rk_test_only_reads"
    yield
    gateway._known_passing_keys.clear()


def test_without_a_key_nothing_is_passed_on(sandbox: SandboxProcess, get: Any) -> None:
    customer = customer_at(sandbox)
    method = str(customer.invoice_settings.default_payment_method)
    said = error(get(f"/v1/payment_methods/{method}"), 404)
    assert said["code"] == "not_served" and "STRIPE_PASS_THROUGH_KEY" in said["message"]


def test_what_is_not_served_is_passed_on_as_it_is(
    sandbox: SandboxProcess, desk: stripe.StripeClient, passing: None
) -> None:
    customer = customer_at(sandbox)
    method = str(customer.invoice_settings.default_payment_method)
    theirs = sandbox.client()
    found = desk.v1.payment_methods.retrieve(method, {"expand": ["customer"]})
    assert plain(found) == plain(theirs.v1.payment_methods.retrieve(method, {"expand": ["customer"]}))
    assert raised_headers(found)["Invoice-Desk-Source"] == "stripe"
    assert raised_headers(found)["Invoice-Desk-Stripe-Request-Id"].startswith("req_")
    assert raised_headers(found)["Request-Id"] != raised_headers(found)["Invoice-Desk-Stripe-Request-Id"]
    listed = desk.v1.customers.payment_methods.list(customer.id, {"limit": 1, "type": "card"})
    assert [one.id for one in listed.data] == [method]

    with pytest.raises(stripe.InvalidRequestError) as here:
        desk.v1.payment_methods.retrieve("pm_nope")
    with pytest.raises(stripe.InvalidRequestError) as there:
        theirs.v1.payment_methods.retrieve("pm_nope")
    assert (here.value.http_status, here.value.code, here.value.param, here.value.user_message) == (
        there.value.http_status,
        there.value.code,
        there.value.param,
        there.value.user_message,
    )
    assert raised(here).headers["Invoice-Desk-Source"] == "stripe"


def test_a_charge_is_passed_on(sandbox: SandboxProcess, desk: stripe.StripeClient, passing: None) -> None:
    invoice = invoice_at(sandbox)
    sandbox.client().v1.invoices.pay(invoice.id)
    [charge] = sandbox.client().v1.charges.list({"customer": invoice.customer}).data
    assert plain(desk.v1.charges.retrieve(charge.id)) == plain(charge)


def test_a_preview_is_passed_on_with_its_parameters(
    sandbox: SandboxProcess, desk: stripe.StripeClient, passing: None
) -> None:
    customer = customer_at(sandbox).id
    given: Any = {"customer": customer, "invoice_items": [{"amount": 700, "currency": "usd", "description": "One"}]}
    assert (
        desk.v1.invoices.create_preview(given).total == sandbox.client().v1.invoices.create_preview(given).total == 700
    )


def test_who_may_have_something_passed_on(sandbox: SandboxProcess, get: Any, passing: None) -> None:
    method = str(customer_at(sandbox).invoice_settings.default_payment_method)
    path = f"/v1/payment_methods/{method}"
    views = (*VIEWS, "view_event")
    assert get(path, key=token_with(*views)).status_code == 200
    assert error(get(path, key=token_with(*views, read_only=True)), 403)["code"] == "permission_denied"
    assert error(get(path, key=token_with("view_invoice")), 403)["code"] == "permission_denied"
    assert get(path, key="wrong").status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/account"),
        ("GET", "/v1/accounts/acct_1/persons"),
        ("GET", "/v1/files/file_1"),
        ("GET", "/v1/issuing/cards/ic_1"),
        ("GET", "/v1/apps/secrets"),
        ("GET", "/v1/quotes/qt_1/pdf"),
        ("DELETE", "/v1/customers/cus_1"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/ephemeral_keys"),
        ("POST", "/v1/subscriptions/sub_1"),
    ],
)
def test_what_is_dangerous_is_never_passed_on(
    live_server: Any, token: str, sandbox: SandboxProcess, passing: None, settings: Any, method: str, path: str
) -> None:
    settings.STRIPE_API_BASE = NOBODY  # asking would be a 503
    answer = requests.request(method, f"{live_server.url}{path}", auth=(token, ""), timeout=60)
    assert error(answer, 404)["code"] == "not_served"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/subscriptions/../account",
        "/v1/subscriptions/%2e%2e/account",
        "/v1/subscriptions/..%2faccount",
        "/v1/subscriptions//account",
        "/v1//subscriptions",
        "/v1/subscriptions/sub_1/",
        "/v1/subscriptions/a%3Fb",
        "/v1/subscriptions/a%23b",
        "/v1/subscriptions/a%0d%0aX-A:b",
        "/v1/subscriptions/a;b",
        "/v1/subscriptions/a%5c..%5cb",
        "/v1/subscriptions/%00",
        "/v1/subscriptions/é",
        "/v1/subscriptions/a@b.example",
        "/v1/subscriptions/a/b/c/d/e/f",
        "/v1/nope/nope_1",
        "/v2/core/accounts",
        "/v1/invoices/in_1/pay",
    ],
)
def test_no_path_leads_elsewhere(
    live_server: Any, token: str, sandbox: SandboxProcess, passing: None, settings: Any, path: str
) -> None:
    settings.STRIPE_API_BASE = NOBODY
    prepared = requests.Request("GET", live_server.url, auth=(token, "")).prepare()
    prepared.url = f"{live_server.url}{path}"  # as it stands, without any smoothing
    with requests.Session() as session:
        answer = session.send(prepared, timeout=60)
    assert answer.status_code == 404, answer.text
    if path.startswith("/v1"):
        assert "Unrecognized request URL" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["source.card.number", "source.card.cvc", "payload"])
def test_card_numbers_and_secrets_are_never_expanded(
    get: Any, passing: None, settings: Any, open_invoice: Any, path: str
) -> None:
    settings.STRIPE_API_BASE = NOBODY
    for params in ({"expand[]": path}, {"expand[0]": f"data.{path}"}):
        said = error(get("/v1/balance_transactions/txn_1", **params), 400)
        assert "cannot be expanded" in said["message"]
    expanded = f"default_payment_method.{path}"
    assert (
        "cannot be expanded" in error(get(f"/v1/invoices/{open_invoice.id}", **{"expand[]": expanded}), 400)["message"]
    )


def test_stripe_s_refusal_of_a_path_names_it_as_it_was_written(get: Any, passing: None, open_invoice: Any) -> None:
    path = "lines.data.pricing.price_details.price.tiers"  # the sandbox has none
    for address, written in ((f"/v1/invoices/{open_invoice.id}", path), ("/v1/invoices", f"data.{path}")):
        said = error(get(address, **{"expand[]": written}), 400)
        assert said["message"] == f"This property cannot be expanded ({written})."


@pytest.mark.parametrize("name", sorted(gateway.OPTIONS_OF_THE_SDK))
def test_nobody_chooses_the_key_or_the_account_of_a_request(get: Any, passing: None, settings: Any, name: str) -> None:
    settings.STRIPE_API_BASE = NOBODY
    assert error(get(f"/v1/subscriptions?{name}=x"), 400)["code"] == "parameter_unknown"


def test_passing_on_has_a_budget(sandbox: SandboxProcess, get: Any, passing: None, settings: Any) -> None:
    settings.STRIPE_PASS_THROUGH_PER_SECOND = 1
    answers = [get("/v1/payment_methods/pm_nope") for _ in range(13)]
    assert [answer.status_code for answer in answers[:4]] == [404] * 4
    assert error(answers[-1], 429)["code"] == "rate_limit" and answers[-1].headers["Retry-After"] == "1"


def test_a_key_for_passing_on_of_another_mode_or_that_does_not_work_is_our_fault(
    sandbox: SandboxProcess, get: Any, passing: None, settings: Any
) -> None:
    settings.STRIPE_PASS_THROUGH_KEY = "rk_live_1"
    assert error(get("/v1/subscriptions"), 502)["type"] == "api_error"
    settings.STRIPE_PASS_THROUGH_KEY = "rk_test_"  # the sandbox takes no such short one
    said = error(get("/v1/subscriptions"), 502)
    assert said["type"] == "api_error" and "rk_test" not in json.dumps(said)


def test_what_is_passed_on_without_stripe_is_503(get: Any, passing: None, settings: Any) -> None:
    settings.STRIPE_API_BASE = NOBODY
    assert error(get("/v1/subscriptions"), 503)["code"] == "stripe_unavailable"


def test_the_addresses_are_those_of_stripes_sdk() -> None:
    """Those with `/v1/` in the pinned SDK, which speaks the version that the desk speaks."""
    found: dict[str, set[str]] = {}
    for file in Path(str(stripe.__file__)).parent.rglob("*.py"):
        for verb, path in re.findall(r'"(get|post|delete)",\s*f?["\']/v1/([^"\']*)["\']', file.read_text()):
            found.setdefault(re.sub(r"\{[^}]*\}", ":id", path), set()).add(verb.upper())
    assert len(found) > 300
    assert {path: set(methods) for path, methods in ADDRESSES.items()} == found


# --- expand ----------------------------------------------------------------------------------------------------------


def test_null_and_empty_members_are_expanded_at_once(get: Any, open_invoice: Any, settings: Any) -> None:
    settings.STRIPE_API_BASE = NOBODY
    paths = [
        "default_payment_method",
        "discounts",
        "account_tax_ids",
        "latest_revision",
        "on_behalf_of",
        "parent.subscription_details.subscription.customer",
        "default_payment_method.customer",
        "lines.data.discounts",
        "total_discount_amounts.discount",
    ]
    found = get(f"/v1/invoices/{open_invoice.id}", **{"expand[]": paths})
    assert found.status_code == 200, found.text
    assert found.headers["Invoice-Desk-Source"] == "mirror"
    assert found.json()["default_payment_method"] is None and found.json()["discounts"] == []
    listed = get("/v1/invoices", **{"expand[]": [f"data.{path}" for path in paths]})
    assert listed.status_code == 200 and listed.headers["Invoice-Desk-Source"] == "mirror"


def test_what_the_mirror_never_holds_is_one_read_with_the_callers_paths(
    sandbox: SandboxProcess, desk: stripe.StripeClient
) -> None:
    customer = customer_at(sandbox)
    method = str(customer.invoice_settings.default_payment_method)
    invoice = invoice_at(sandbox, customer=customer.id, default_payment_method=method)
    sandbox.client().v1.invoices.pay(invoice.id)
    desk.v1.invoices.retrieve(invoice.id)
    options: Any = {"expand": ["default_payment_method.customer", "customer.invoice_settings.default_payment_method"]}
    before = asked(sandbox, "/v1/invoices/:id")
    ours = desk.v1.invoices.retrieve(invoice.id, options)
    assert asked(sandbox, "/v1/invoices/:id") == before + 1
    assert plain(ours) == plain(sandbox.client().v1.invoices.retrieve(invoice.id, options))
    assert raised_headers(ours)["Invoice-Desk-Source"] == "stripe"

    [payment] = desk.v1.invoice_payments.list({"invoice": invoice.id}).data
    deep: Any = {"expand": ["payment.payment_intent.latest_charge"]}
    assert plain(desk.v1.invoice_payments.retrieve(payment.id, deep)) == plain(
        sandbox.client().v1.invoice_payments.retrieve(payment.id, deep)
    )
    whole: Any = {"expand": ["payments.data.payment.payment_intent.latest_charge", "amount_paid_off_stripe"]}
    assert plain(desk.v1.invoices.retrieve(invoice.id, whole)) == plain(
        sandbox.client().v1.invoices.retrieve(invoice.id, whole)
    )


def test_in_a_list_too_and_no_more_than_some(
    sandbox: SandboxProcess, desk: stripe.StripeClient, monkeypatch: Any
) -> None:
    customer = customer_at(sandbox)
    method = str(customer.invoice_settings.default_payment_method)
    for _ in range(3):
        made = invoice_at(sandbox, customer=customer.id, default_payment_method=method)
        refetch.refetch("invoice", made.id)
    other = invoice_at(sandbox, customer=customer.id)
    refetch.refetch("invoice", other.id)
    options: Any = {"expand": ["data.default_payment_method", "data.customer"]}
    assert plain(desk.v1.invoices.list(options)) == plain(sandbox.client().v1.invoices.list(options))
    monkeypatch.setattr(expand, "MAX_READS", 2)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.v1.invoices.list(options)
    assert "3 objects would have to be read" in str(caught.value.user_message) and caught.value.param == "expand"
    assert len(desk.v1.invoices.list({**options, "limit": 2}).data) == 2


def test_what_the_mirror_holds_by_its_kind_is_read_and_stored(
    sandbox: SandboxProcess, desk: stripe.StripeClient, settings: Any
) -> None:
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    options: Any = {"expand": ["data.customer"]}
    [found] = desk.v1.invoices.list(options).data
    assert found.customer.id == invoice.customer  # type: ignore[union-attr]
    settings.STRIPE_API_BASE = NOBODY
    [again] = desk.v1.invoices.list(options).data
    assert plain(again) == plain(found)


def test_lines_are_expanded(sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any) -> None:
    options: Any = {"limit": 1, "expand": ["data.pricing.price_details.price", "data.discounts"]}
    ours = desk.v1.invoices.line_items.list(open_invoice.id, options)
    assert plain(ours) == plain(sandbox.client().v1.invoices.line_items.list(open_invoice.id, options))


@pytest.mark.parametrize(
    "path", ["nope", "customer.nope", "default_payment_method.nope", "number", "lines.data.nope", ""]
)
def test_a_path_that_stripe_does_not_have_is_refused(get: Any, open_invoice: Any, settings: Any, path: str) -> None:
    settings.STRIPE_API_BASE = NOBODY
    assert get(f"/v1/invoices/{open_invoice.id}", **{"expand[]": path}).status_code == 400


def test_expanding_what_the_mirror_never_holds_needs_what_passing_on_needs(sandbox: SandboxProcess, get: Any) -> None:
    customer = customer_at(sandbox)
    method = str(customer.invoice_settings.default_payment_method)
    invoice = invoice_at(sandbox, customer=customer.id, default_payment_method=method)
    path, wanted = f"/v1/invoices/{invoice.id}", {"expand[]": "default_payment_method"}
    assert error(get(path, key=token_with("view_invoice"), **wanted), 403)["code"] == "permission_denied"
    assert error(get(path, key=token_with(*VIEWS, read_only=True), **wanted), 403)["code"] == "permission_denied"
    assert get(path, key=token_with(*VIEWS), **wanted).json()["default_payment_method"]["id"] == method


def test_expanding_without_stripe_is_an_error_and_no_id(
    sandbox: SandboxProcess, get: Any, open_invoice: Any, settings: Any
) -> None:
    settings.STRIPE_API_BASE = NOBODY
    assert (
        error(get(f"/v1/invoices/{open_invoice.id}", **{"expand[]": "customer"}), 503)["code"] == "stripe_unavailable"
    )


# --- whatever comes --------------------------------------------------------------------------------------------------


def test_no_path_and_no_query_is_our_fault(token: str, sandbox: SandboxProcess, passing: None) -> None:
    chance, client = random.Random(13), Client(raise_request_exception=False)
    words = "v1 invoices customers events subscriptions search in_1 cus_1 lines .. %2e%2e %00 %ff é %252e *".split()
    words += ["", "a" * 300]
    names = "expand[] limit type types[] created[gte] starting_after email customer expand a[b]".split()
    values = [*"1 -1 %00 data.customer customer * ** invoice.* %ff evt_1".split(), "", "x" * 600]
    for _ in range(300):
        path = "/v1/" + "/".join(chance.choices(words, k=chance.randint(1, 4)))
        query = "&".join(f"{chance.choice(names)}={chance.choice(values)}" for _ in range(chance.randint(0, 3)))
        headers = {"Authorization": f"Bearer {token}"}
        if chance.random() < 0.2:
            headers["Invoice-Desk-Not-Before"] = "".join(chance.choices(string.printable[:80], k=4))
        answer = client.generic("GET", path, QUERY_STRING=query, headers=headers)
        assert answer.status_code in (200, 400, 404), (path, query, answer.content)
        assert ("error" in json.loads(answer.content)) == (answer.status_code != 200)


def of_the_sdk(kind: str) -> set[str]:
    """The members of this kind of object that the pinned SDK calls expandable, through the classes inside its class."""
    name = kind.title().replace("_", "")
    module = ast.parse(Path(str(import_module(f"stripe._{kind}").__file__)).read_text())
    top = next(each for each in module.body if isinstance(each, ast.ClassDef) and each.name == name)
    found: set[str] = set()

    def walk(inside: ast.ClassDef, known: dict[str, ast.ClassDef], before: str) -> None:
        known = known | {each.name: each for each in inside.body if isinstance(each, ast.ClassDef)}
        for member in inside.body:
            if not isinstance(member, ast.AnnAssign):
                continue
            written, path = ast.unparse(member.annotation), f"{before}{ast.unparse(member.target)}"
            if "ExpandableField" in written:
                found.add(path)
            for each in {known[word] for word in re.findall(r"\w+", written) if word in known} - {inside, top}:
                walk(each, known, f"{path}.")

    walk(top, {}, "")
    return found


@pytest.mark.parametrize("kind", sorted(EXPANDABLE.keys() - {"lines", "payments", "operation"}))
def test_what_can_be_expanded_is_what_stripes_sdk_calls_so(kind: str) -> None:
    ours = {".".join(members) for members in EXPANDABLE[kind]}
    found = of_the_sdk("invoice_line_item" if kind == "line_item" else kind)
    assert found and found - ours == set()


def test_a_hanging_stripe_does_not_keep_those_who_read_the_mirror(
    sandbox: SandboxProcess, get: Any, open_invoice: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STRIPE_TIMEOUT_SECONDS = 3.0
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(live, "SAME_OBJECT_SECONDS", 0.5)
    sandbox.faults(latency_ms=[8000, 8000])
    statuses: list[int] = []
    ids = [f"in_hung{number}" for number in range(live.AT_A_TIME + 4)] + ["in_hung0"] * 4

    def ask(id: str) -> None:
        statuses.append(get(f"/v1/invoices/{id}").status_code)

    threads = [threading.Thread(target=ask, args=(id,)) for id in ids]
    for thread in threads:
        thread.start()
    time.sleep(1.5)  # those that found no place have been answered
    assert statuses.count(503) == len(statuses) >= 6
    started = time.monotonic()
    assert get(f"/v1/invoices/{open_invoice.id}").status_code == 200
    assert time.monotonic() - started < 1
    for thread in threads:
        thread.join()
    assert set(statuses) == {503}
