"""Acting through the API as services do it: retries while Stripe misbehaves, expanded answers, errors, decisions."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import Permission, User
from django.db import connection

from invoices import operations, refetch
from invoices.models import ApiToken, Customer, Invoice, Operation, PaymentIntent
from invoices.operations import decisions, requesters, waiting
from invoices.unfold import unfold
from tests.crash.wire import Wire
from tests.factories import invoice_at, user_in_group
from tests.helpers.database import rewrite
from tests.helpers.operations import act
from tests.helpers.sdk import raised
from tests.helpers.stripe_state import without_delivery_time
from tests.helpers.web import running, wait_for
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
INTENT = "payments.data.payment.payment_intent"
PAY = ["POST /v1/invoices/*/pay"]


def client(
    url: str, user: User, made_by: User | None = None, scopes: str = "read actions approve", **options: Any
) -> Any:
    """The SDK with a token of this user. Typed as Any: tests send plain dictionaries."""
    made, key = ApiToken.objects.create(user, name="dunning service", created_by=made_by or user, scopes=scopes)
    found: Any = stripe.StripeClient(key, base_addresses={"api": url}, **options)
    found.token = made
    return found


@pytest.fixture
def desk(live_server: Any, agent: User) -> Any:
    """The SDK, which sends nothing again by itself."""
    return client(live_server.url, agent)


@pytest.fixture
def retrying(live_server: Any, agent: User) -> Any:
    """The SDK with as many retries as its module-level API has."""
    return client(live_server.url, agent, max_network_retries=2)


@pytest.fixture(autouse=True)
def never_charged_twice(sandbox: SandboxProcess) -> Iterator[None]:
    yield
    assert all(charges == 1 for charges in sandbox.stats()["charges"].values())


def made(sandbox: SandboxProcess, amount: int = 1000, **given: Any) -> Any:
    invoice = invoice_at(sandbox, amount, **given)
    refetch.refetch("invoice", invoice.id)
    return invoice


def post(desk: Any, path: str, headers: dict[str, str] | None = None, key: str = "", **params: Any) -> Any:
    options: dict[str, Any] = {"headers": headers} if headers else {}
    options |= {"idempotency_key": key} if key else {}
    return desk.raw_request("post", path, **params, **options)


def answer_of(ask: Callable[[], Any]) -> Any:
    """The status of the invoice, or of the error."""
    try:
        return ask().status
    except stripe.StripeError as error:
        return error.http_status


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        {"drop_reply": 1.0, "only": PAY},
        {"error_500_after": 1.0, "only": PAY},
        {"drop_reply": 0.4, "error_500_after": 0.3, "latency_ms": [50, 300], "seed": 3},
    ],
)
def test_as_many_are_answered_as_at_stripe_itself(
    sandbox: SandboxProcess, retrying: Any, faults: dict[str, Any]
) -> None:
    direct = sandbox.client(max_network_retries=2)
    asked = [made(sandbox).id for _ in range(6)], [made(sandbox).id for _ in range(6)]
    came = []
    for service, invoices in zip((direct, retrying), asked, strict=True):
        sandbox.faults(**faults)
        with ThreadPoolExecutor(3) as threads:
            pays = [threads.submit(answer_of, partial(service.v1.invoices.pay, id)) for id in invoices]
            came.append(Counter(pay.result() for pay in pays))
        sandbox.clear_faults()
    at_stripe, here = came
    assert here["paid"] >= at_stripe["paid"], came
    assert here["paid"] == len(asked[1]), came


def test_a_key_that_comes_again_is_settled_on_the_spot(sandbox: SandboxProcess, desk: Any, open_invoice: Any) -> None:
    path = f"/v1/invoices/{open_invoice.id}/pay"
    sandbox.faults(drop_reply=1.0, only=PAY)
    with pytest.raises(stripe.APIError) as caught:
        post(desk, f"{path}?wait=0", key="k")
    assert (caught.value.http_status, raised(caught).error["code"]) == (409, "outcome_unknown")
    assert raised(caught).error["desk_code"] == "outcome_unknown"
    assert raised(caught).headers["Stripe-Should-Retry"] == "true"
    again = post(desk, path, key="k")
    assert again.data["status"] == "paid"
    assert again.headers["Idempotent-Replayed"] == "true"
    operation = Operation.objects.get()
    assert again.headers["Original-Request"] == operation.request_id != again.headers["Request-Id"]
    assert operation.state == State.SUCCEEDED


def test_the_answer_is_held_while_stripe_is_away(sandbox: SandboxProcess, desk: Any, open_invoice: Any) -> None:
    path = f"/v1/invoices/{open_invoice.id}/pay"
    sandbox.faults(drop_reply=1.0, only=PAY)
    with pytest.raises(stripe.APIError):
        post(desk, f"{path}?wait=0", key="k")
    sandbox.faults(error_500=1.0)
    back = threading.Timer(1.5, sandbox.clear_faults)
    back.start()
    begun = time.monotonic()
    assert post(desk, path, {"Invoice-Desk-Wait": "20"}, key="k").data["status"] == "paid"
    assert time.monotonic() - begun > 1.5
    back.join()


def test_a_wait_ends(
    sandbox: SandboxProcess, desk: Any, open_invoice: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/invoices/{open_invoice.id}/pay"
    sandbox.faults(drop_reply=1.0, only=PAY)
    with pytest.raises(stripe.APIError):
        post(desk, f"{path}?wait=0", key="k")
    sandbox.faults(error_500=1.0)

    def seconds(wait: str) -> float:
        begun = time.monotonic()
        with pytest.raises(stripe.APIError) as caught:
            post(desk, f"{path}{wait}", key="k")
        assert (caught.value.http_status, raised(caught).error["code"]) == (409, "outcome_unknown")
        return time.monotonic() - begun

    at_once = seconds("?wait=0")
    assert seconds("?wait=2") > at_once + 1.9
    settings.OUTCOME_WAITERS = 0  # all places are taken: it is looked at once, and nobody waits
    monkeypatch.setattr(waiting, "INTERVAL_SECONDS", 60)
    assert seconds("?wait=30") < 10


@pytest.mark.parametrize("wait", ["-1", "31", "x", "1.5", ""])
def test_a_wait_that_is_none(desk: Any, open_invoice: Any, wait: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        post(desk, f"/v1/invoices/{open_invoice.id}/pay?wait={wait}")
    assert caught.value.param == "wait"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.v1.invoices.pay(open_invoice.id, {"wait": 1})
    assert caught.value.code == "parameter_unknown"
    assert not Operation.objects.exists()


def test_two_clients_with_one_key_at_once(
    sandbox: SandboxProcess, live_server: Any, agent: User, open_invoice: Any
) -> None:
    sandbox.faults(latency_ms=[700, 900], only=PAY)
    clients = [client(live_server.url, agent) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        pays = [
            threads.submit(one.v1.invoices.pay, open_invoice.id, None, {"idempotency_key": "both"}) for one in clients
        ]
        assert [pay.result().status for pay in pays] == ["paid", "paid"]
    assert sandbox.stats()["charges"] == {open_invoice.id: 1}
    assert Operation.objects.count() == 1


def test_a_process_that_is_killed_while_it_holds_an_answer(
    sandbox: SandboxProcess, agent: User, open_invoice: Any
) -> None:
    """What it held was only the answer: the same key later is told what came of it."""
    key = ApiToken.objects.create(agent, name="dunning service")[1]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k", "Content-Length": "0"}
    path = f"/v1/invoices/{open_invoice.id}/pay"
    with running(sandbox) as web:
        sandbox.faults(drop_reply=1.0, only=PAY)
        status, _ = web.ask("POST", f"{path}?wait=0", b"", **headers)
        assert status == 409
        sandbox.faults(error_500=1.0)
        with ThreadPoolExecutor(1) as threads:
            held = threads.submit(web.ask, "POST", f"{path}?wait=30", b"", **headers)
            wait_for(lambda: Operation.objects.get().settle_attempts)
            for process in [web.process.pid, *web.workers()]:
                os.kill(process, signal.SIGKILL)
            assert isinstance(held.exception(), OSError | http.client.HTTPException)
    sandbox.clear_faults()
    with running(sandbox) as web:
        status, body = web.ask("POST", path, b"", **headers)
        assert (status, json.loads(body)["status"]) == (200, "paid"), body
    assert sandbox.stats()["charges"] == {open_invoice.id: 1}


@pytest.mark.parametrize("only", [PAY, None])
def test_a_429_is_stripes(sandbox: SandboxProcess, desk: Any, open_invoice: Any, only: list[str] | None) -> None:
    sandbox.faults(error_429=1.0, **({"only": only} if only else {}))
    said = []
    for service in (sandbox.client(), desk):
        with pytest.raises(stripe.RateLimitError) as caught:
            service.v1.invoices.pay(open_invoice.id, None, {"idempotency_key": "k"})
        error, headers = raised(caught).error, raised(caught).headers
        said.append((error["code"], error["type"], error["message"], headers["Retry-After"]))
        assert headers["Stripe-Should-Retry"] == "true"
    assert said[0] == said[1]
    assert error["desk_code"] == "stripe_unavailable"
    assert Operation.objects.get().state == State.FAILED
    sandbox.clear_faults()
    assert desk.v1.invoices.pay(open_invoice.id, None, {"idempotency_key": "k"}).status == "paid"
    assert Operation.objects.count() == 2


def test_a_429_before_anything_was_journalled(sandbox: SandboxProcess, desk: Any) -> None:
    unknown_here = invoice_at(sandbox)
    sandbox.faults(error_429=1.0)
    with pytest.raises(stripe.RateLimitError) as caught:
        desk.v1.invoices.pay(unknown_here.id)
    assert raised(caught).headers["Retry-After"] == "1"
    assert not Operation.objects.exists()


def test_the_sdk_by_itself_outlasts_a_short_429(sandbox: SandboxProcess, retrying: Any, open_invoice: Any) -> None:
    sandbox.faults(error_429=1.0, only=PAY)
    threading.Timer(2.5, sandbox.clear_faults).start()
    assert retrying.v1.invoices.pay(open_invoice.id).status == "paid"


# --- what is expanded -------------------------------------------------------------------------------------------------


def plain(found: Any) -> Any:
    return without_delivery_time(found.to_dict())


def test_an_expanded_answer_is_stripes(sandbox: SandboxProcess, desk: Any, open_invoice: Any) -> None:
    intents = [payment.payment.payment_intent for payment in at_stripe(sandbox, open_invoice.id).payments.data]
    refetch.refetch("payment_intent", intents[0])  # as it was before the payment
    paths = [INTENT, f"{INTENT}.latest_charge", "customer", "default_payment_method"]
    paid = desk.v1.invoices.pay(open_invoice.id, {"expand": paths})
    assert paid.status == "paid"
    [payment] = paid.payments.data
    assert payment.payment.payment_intent.status == "succeeded"
    assert payment.payment.payment_intent.latest_charge.paid is True
    assert plain(paid) == plain(sandbox.client().v1.invoices.retrieve(open_invoice.id, {"expand": paths}))
    # The mirror has each object by itself, as Stripe shows it alone.
    for model, kind, id in (
        (Invoice, "invoices", open_invoice.id),
        (PaymentIntent, "payment_intents", intents[0]),
        (Customer, "customers", open_invoice.customer),
    ):
        theirs = sandbox.client().raw_request("get", f"/v1/{kind}/{id}").data
        assert without_delivery_time(model.objects.get(pk=id).data) == without_delivery_time(theirs)
    assert Operation.objects.get().calls[0].params["expand"] == ["payments", *paths]


def at_stripe(sandbox: SandboxProcess, id: str) -> Any:
    return sandbox.client().v1.invoices.retrieve(id, {"expand": ["payments"]})


def test_what_was_not_expanded_is_not_shown(desk: Any, open_invoice: Any, sandbox: SandboxProcess) -> None:
    paid = desk.v1.invoices.pay(open_invoice.id, {"expand": ["customer"]})
    assert plain(paid) == plain(sandbox.client().v1.invoices.retrieve(open_invoice.id, {"expand": ["customer"]}))
    assert "payments" not in plain(paid)


def test_a_key_that_comes_again_expands_what_is_true_now(sandbox: SandboxProcess, desk: Any, open_invoice: Any) -> None:
    intent = at_stripe(sandbox, open_invoice.id).payments.data[0].payment.payment_intent
    refetch.refetch("payment_intent", intent)
    sandbox.faults(drop_reply=1.0, only=PAY)
    for _ in range(2):  # settled from Stripe's events, then from the journal
        paid = desk.v1.invoices.pay(open_invoice.id, {"expand": [INTENT]}, {"idempotency_key": "k"})
        assert (paid.status, paid.payments.data[0].payment.payment_intent.status) == ("paid", "succeeded")
    reads = sandbox.stats()["requests"]
    desk.v1.invoices.pay(open_invoice.id, {"expand": [INTENT]}, {"idempotency_key": "k"})
    assert sum(sandbox.stats()["requests"].values()) == sum(reads.values()) + 1
    for other in ([], ["customer"], [INTENT, "customer"]):
        with pytest.raises(stripe.IdempotencyError):
            desk.v1.invoices.pay(open_invoice.id, {"expand": other} if other else None, {"idempotency_key": "k"})


def test_without_stripe_nothing_is_expanded_that_may_be_older(
    sandbox: SandboxProcess, desk: Any, open_invoice: Any
) -> None:
    intent = at_stripe(sandbox, open_invoice.id).payments.data[0].payment.payment_intent
    refetch.refetch("payment_intent", intent)  # requires a payment method
    paths = ["payments", INTENT]
    desk.v1.invoices.pay(open_invoice.id, {"expand": paths}, {"idempotency_key": "k"})
    PaymentIntent.objects.all().update(status="requires_payment_method")
    sandbox.faults(error_500=1.0)
    again = desk.v1.invoices.pay(open_invoice.id, {"expand": paths}, {"idempotency_key": "k"})
    assert again.status == "paid"
    assert again.payments.data[0].payment.payment_intent == intent
    assert again.last_response.headers["Invoice-Desk-Not-Expanded"] == INTENT


def test_an_older_version_did_not_write_what_was_expanded(
    sandbox: SandboxProcess, desk: Any, open_invoice: Any
) -> None:
    desk.v1.invoices.pay(open_invoice.id, {"expand": ["customer"]}, {"idempotency_key": "k"})
    rewrite(Operation.objects.get(), expand=None)
    again = desk.v1.invoices.pay(open_invoice.id, {"expand": ["customer"]}, {"idempotency_key": "k"})
    assert again.status == "paid"


def test_a_path_that_stripe_refuses(sandbox: SandboxProcess, desk: Any, open_invoice: Any) -> None:
    said = []
    for service in (sandbox.client(), desk):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            service.v1.invoices.pay(open_invoice.id, {"expand": ["nope"]})
        said.append((caught.value.http_status, caught.value.param, caught.value.code, caught.value.user_message))
    assert said[0] == said[1]
    cash: dict[str, Any] = {"amount": 400, "method": "Cash", "received_on": "2026-11-02", "expand": ["nope"]}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        post(desk, f"/v1/invoices/{open_invoice.id}/attach_out_of_band_payment", **cash)
    assert (caught.value.http_status, caught.value.user_message) == (400, said[0][3])
    assert sandbox.stats()["charges"] == {}
    assert at_stripe(sandbox, open_invoice.id).amount_remaining == 1000
    assert not Operation.objects.exists()


@pytest.mark.parametrize("path", ["nope", "issuer.account.nope"])
def test_a_key_whose_path_was_refused_is_free(sandbox: SandboxProcess, desk: Any, open_invoice: Any, path: str) -> None:
    """As at Stripe, where a request that fails before anything begins takes no key. Of what is in an account only
    Stripe knows what it expands: it is asked by a read, and not by paying."""
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        desk.v1.invoices.pay(open_invoice.id, {"expand": [path]}, {"idempotency_key": "k"})
    assert not Operation.objects.exists() and sandbox.stats()["charges"] == {}
    paid = desk.v1.invoices.pay(open_invoice.id, {"expand": ["customer"]}, {"idempotency_key": "k"})
    assert paid.status == "paid" and len(sandbox.stats()["charges"]) == 1


def test_of_an_action_with_two_calls_the_last_answer_is_expanded(desk: Any, open_invoice: Any) -> None:
    cash: dict[str, Any] = {
        "amount": 1000,
        "method": "Cash",
        "received_on": "2026-11-02",
        "expand": ["payments", "customer"],
    }
    answer = post(desk, f"/v1/invoices/{open_invoice.id}/attach_out_of_band_payment", **cash).data
    assert (answer["status"], answer["customer"]["object"]) == ("paid", "customer")
    assert answer["payments"]["data"][0]["status"] == "paid"


def test_who_may_not_see_it_does_not_expand_it(live_server: Any, open_invoice: Any) -> None:
    user = user_in_group("narrow", "Support agent")
    user.groups.clear()
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_invoice", "pay_invoice"]))
    narrow = client(live_server.url, user)
    for path in ("customer", INTENT, "subscription.customer", "charge", "payments"):
        with pytest.raises(stripe.PermissionError):
            narrow.v1.invoices.pay(open_invoice.id, {"expand": [path]})
    assert not Operation.objects.exists()


def test_taking_apart() -> None:
    whole = {
        "object": "invoice",
        "id": "in_1",
        "customer": {
            "object": "customer",
            "id": "cus_1",
            "name": "Ada",
            "tax": {"automatic_tax": "supported"},
            "tax_ids": {"object": "list", "data": []},
        },
        "lines": {
            "object": "list",
            "data": [{"object": "line_item", "id": "il_1", "price": {"object": "price", "id": "price_1"}}],
        },
        "discounts": [{"object": "discount", "id": "di_1"}, "di_2"],
        "parent": {"type": "x", "details": {"subscription": {"object": "subscription", "id": "sub_1"}}},
        "payments": {
            "object": "list",
            "data": [
                {
                    "object": "invoice_payment",
                    "id": "inpay_1",
                    "payment": {"payment_intent": {"object": "payment_intent", "id": "pi_1", "customer": None}},
                }
            ],
        },
        "amount_paid_off_stripe": 0,
        "total": 1,
    }
    before = json.dumps(whole)
    paths = [
        "customer.tax",
        "customer.tax_ids",
        "lines.data.price",
        "discounts",
        "parent.details.subscription",
        f"{INTENT}.customer",
    ]
    plain, shown = unfold(whole, [*paths, "amount_paid_off_stripe", "nowhere.at.all"])
    assert plain == {
        "object": "invoice",
        "id": "in_1",
        "customer": "cus_1",
        "lines": {"object": "list", "data": [{"object": "line_item", "id": "il_1", "price": "price_1"}]},
        "discounts": ["di_1", "di_2"],
        "parent": {"type": "x", "details": {"subscription": "sub_1"}},
        "total": 1,
    }
    assert {"object": "customer", "id": "cus_1", "name": "Ada"} in shown
    assert {"object": "invoice_payment", "id": "inpay_1", "payment": {"payment_intent": "pi_1"}} in shown
    assert {"object": "payment_intent", "id": "pi_1", "customer": None} in shown
    assert json.dumps(whole) == before
    note = {"object": "credit_note", "id": "cn_1", "refunds": [{"refund": {"object": "refund", "id": "re_1"}}]}
    assert unfold(note, ["refunds.refund"])[0] == {**note, "refunds": [{"refund": "re_1"}]}  # not a charge's


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "desk_code"),
    [
        ("pm_card_chargeCustomerFail", "card_declined"),
        ("pm_card_chargeDeclinedExpiredCard", "card_declined"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
def test_an_error_is_stripes_whole(sandbox: SandboxProcess, desk: Any, card: str, desk_code: str) -> None:
    errors, other, invoice = [], made(sandbox, card=card).id, made(sandbox, card=card).id
    for service, id in ((sandbox.client(), other), (desk, invoice), (desk, invoice)):
        with pytest.raises(stripe.CardError) as caught:
            service.v1.invoices.pay(id, None, {"idempotency_key": id})
        errors.append(dict(raised(caught).json_body["error"]))
    theirs, ours, again = errors
    assert set(theirs) <= set(ours)
    for member, value in theirs.items():
        if isinstance(value, dict):
            assert set(ours[member]) == set(value)
        elif member not in ("charge", "request_log_url"):
            assert ours[member] == value
    assert (ours["desk_code"], "stripe_code" in ours) == (desk_code, False)
    assert again == ours
    assert "client_secret" not in json.dumps(Operation.objects.values_list("error", flat=True)[0])


def test_whoever_may_not_see_payment_intents_is_not_shown_them(sandbox: SandboxProcess, live_server: Any) -> None:
    user = user_in_group("narrow", "Support agent")
    user.groups.clear()
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_invoice", "pay_invoice"]))
    invoice = made(sandbox, card="pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as caught:
        client(live_server.url, user).v1.invoices.pay(invoice.id)
    error = raised(caught).json_body["error"]
    assert error["code"] == "card_declined"
    assert "client_secret" not in json.dumps(error) and "billing_details" not in json.dumps(error)


def test_a_decline_that_settling_found_has_the_intent(sandbox: SandboxProcess, desk: Any) -> None:
    invoice = made(sandbox, card="pm_card_chargeCustomerFail")
    sandbox.faults(drop_reply=1.0, only=PAY)
    with pytest.raises(stripe.CardError) as caught:
        desk.v1.invoices.pay(invoice.id)
    error = raised(caught).json_body["error"]
    assert (error["code"], error["desk_code"]) == ("card_declined", "card_declined")
    assert error["payment_intent"]["client_secret"]
    assert error["payment_method"]["object"] == "payment_method"


# --- who and why ------------------------------------------------------------------------------------------------------


def test_reason_and_ticket(desk: Any, sandbox: SandboxProcess) -> None:
    for said, written in (("the customer asked – Grüße", "the customer asked – Grüße"), ("", "dunning service")):
        headers = {"Invoice-Desk-Reason": said.encode().decode("latin-1"), "Invoice-Desk-Ticket": "ZD-17"}
        answer = post(desk, f"/v1/invoices/{made(sandbox).id}/pay", headers)
        operation = Operation.objects.get(pk=answer.headers["Invoice-Desk-Operation"])
        assert (operation.reason, operation.ticket) == (written, "ZD-17")
    for name, text in (("Invoice-Desk-Ticket", "x" * 256), ("Invoice-Desk-Reason", "a\x01b")):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            post(desk, f"/v1/invoices/{made(sandbox).id}/pay", {name: text})
        assert caught.value.param == name


# --- decisions by token -----------------------------------------------------------------------------------------------


@pytest.fixture
def big(sandbox: SandboxProcess) -> str:
    """An open invoice of USD 2,000.00, above the threshold."""
    return str(made(sandbox, 200_000).id)


@pytest.fixture
def waits(big: str, agent: User) -> Operation:
    """The agent's request to void it, which waits for a second person."""
    operation = act("void", big, agent)
    assert operation.state == State.AWAITING_APPROVAL
    return operation


def decide(service: Any, operation: Operation, verdict: str, **params: Any) -> dict[str, Any]:
    return dict(post(service, f"/v1/operations/{operation.pk}/{verdict}", **params).data)


def refused(service: Any, operation: Operation, verdict: str, **params: Any) -> tuple[int | None, str | None]:
    with pytest.raises(stripe.StripeError) as caught:
        decide(service, operation, verdict, **params)
    return caught.value.http_status, raised(caught).json_body["error"].get("code")


def test_approving_twice_has_the_same_answer(live_server: Any, manager: User, waits: Operation) -> None:
    service = client(live_server.url, manager)
    first = decide(service, waits, "approve", amount=200_000, reason="agreed")
    second = decide(service, waits, "approve", amount=200_000, reason="agreed")
    assert first == second
    assert (first["state"], first["approver"], first["decision_reason"]) == ("succeeded", "manager", "agreed")
    assert first["decision_token"] == {"name": "dunning service", "created_by": "manager"}
    assert refused(service, waits, "reject", reason="no")[0] == 409
    waits.refresh_from_db()
    assert waits.decision_token == service.token and waits.decision_address


def test_two_managers_at_once(live_server: Any, manager: User, waits: Operation) -> None:
    both = [client(live_server.url, one) for one in (manager, user_in_group("second", "Billing manager"))]
    with ThreadPoolExecutor(2) as threads:
        said = [threads.submit(answer_of_decision, one, waits) for one in both]
        assert sorted(one.result() for one in said) == [200, 409]


def answer_of_decision(service: Any, operation: Operation) -> int:
    try:
        decide(service, operation, "approve")
        return 200
    except stripe.StripeError as error:
        return error.http_status or 0


def test_less_than_is_at_stake_is_no_word_for_it(live_server: Any, manager: User, waits: Operation) -> None:
    service = client(live_server.url, manager)
    assert decide(service, waits, "approve", amount=150_000)["state"] == "awaiting_approval"
    assert decide(service, waits, "approve", amount=200_000)["state"] == "succeeded"


def test_rejecting_needs_a_reason(live_server: Any, manager: User, waits: Operation, sandbox: SandboxProcess) -> None:
    service = client(live_server.url, manager)
    assert refused(service, waits, "reject") == (400, "parameter_missing")
    assert refused(service, waits, "reject", nope=1) == (400, "parameter_unknown")
    first = decide(service, waits, "reject", reason="not this one")
    assert first == decide(service, waits, "reject", reason="not this one")
    assert (first["state"], first["code"]) == ("cancelled", "rejected")
    assert "not this one" in first["message"]
    assert refused(service, waits, "approve")[0] == 409
    assert at_stripe(sandbox, waits.invoice).status == "open"


def test_only_the_requester_withdraws(live_server: Any, manager: User, agent: User, waits: Operation) -> None:
    assert refused(client(live_server.url, manager), waits, "withdraw") == (403, "permission_denied")
    service = client(live_server.url, agent)
    first = decide(service, waits, "withdraw")
    assert first == decide(service, waits, "withdraw")
    assert (first["state"], first["code"]) == ("cancelled", "withdrawn")


def service_user(*codenames: str) -> User:
    user = user_in_group(f"service-{'-'.join(codenames) or 'plain'}", requesters.SERVICE_GROUP)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return user


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.com", "a long enough password")


def test_a_thief_with_a_token(
    live_server: Any, agent: User, manager: User, root: User, waits: Operation, big: str, sandbox: SandboxProcess
) -> None:
    approving = service_user("approve_operation")
    forbidden = (403, "permission_denied")
    # The requester's own token, also where the requester may decide on others' requests.
    assert refused(client(live_server.url, agent), waits, "approve") == forbidden
    agent.user_permissions.add(Permission.objects.get(codename="approve_operation"))
    assert refused(client(live_server.url, agent), waits, "approve") == forbidden
    # A token of a service user that the requester made, or somebody who may not decide, or nobody knows who.
    assert refused(client(live_server.url, approving, made_by=agent), waits, "approve") == forbidden
    assert refused(client(live_server.url, approving, made_by=agent), waits, "reject", reason="x") == forbidden
    clerk = user_in_group("clerk", "Support agent")
    assert refused(client(live_server.url, approving, made_by=clerk), waits, "approve") == forbidden
    # A token that only reads, and one of a service user that may not decide.
    for scopes in ("read", "read actions"):
        assert refused(client(live_server.url, manager, scopes=scopes), waits, "approve") == forbidden
    assert refused(client(live_server.url, service_user(), made_by=manager), waits, "approve") == forbidden
    waits.refresh_from_db()
    assert (waits.state, waits.approver) == (State.AWAITING_APPROVAL, None)
    # A service's own request: neither itself, nor who made its token, nor by way of another service's token.
    other = str(made(sandbox, 200_000).id)
    asking = client(live_server.url, service_user("void_invoice"), made_by=root)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        asking.v1.invoices.void_invoice(other)
    asked = Operation.objects.get(pk=raised(caught).json_body["error"]["operation"])
    for service in (asking, client(live_server.url, root), client(live_server.url, approving, made_by=root)):
        assert refused(service, asked, "approve") == forbidden
    assert at_stripe(sandbox, other).status == at_stripe(sandbox, big).status == "open"
    # A manager's own token, and a service user's token that a manager made, who is neither of them.
    assert decide(client(live_server.url, manager), asked, "approve")["state"] == "succeeded"
    assert decide(client(live_server.url, approving, made_by=manager), waits, "approve")["state"] == "succeeded"


def test_a_word_given_by_token_is_judged_again_before_the_sending(
    live_server: Any, agent: User, manager: User, waits: Operation
) -> None:
    """Whoever made the token may have lost the right to decide while it was not sent yet."""
    token = ApiToken.objects.create(service_user("approve_operation"), name="bot", created_by=manager)[0]
    operations.pauses.begin("void", "an audit", by=manager)
    done = decisions.approve(waits.pk, approver=token.user, token=token)
    assert done.state == State.READY
    operations.pauses.end("void", by=manager)
    manager.groups.clear()
    done = operations.perform(waits.pk)
    assert (done.state, done.approver, done.decision_token) == (State.AWAITING_APPROVAL, None, None)


def test_waiting_for_a_decision(live_server: Any, desk: Any, manager: User, waits: Operation) -> None:
    path = f"/v1/operations/{waits.pk}"
    assert desk.raw_request("get", path).data["state"] == "awaiting_approval"
    approving = client(live_server.url, manager)
    later = threading.Timer(1.0, lambda: decide(approving, waits, "approve"))
    later.start()
    assert desk.raw_request("get", f"{path}?wait=20&expand[]=invoice").data["invoice"]["status"] == "void"
    later.join()
    begun = time.monotonic()
    assert desk.raw_request("get", f"{path}?wait=20").data["state"] == "succeeded"
    assert time.monotonic() - begun < 5
    with pytest.raises(stripe.InvalidRequestError):
        desk.raw_request("get", f"{path}?wait=31")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        post(desk, "/v1/operations/nope/approve")
    assert caught.value.http_status == 404


def test_an_approval_is_held_until_the_outcome_is_known(
    wire: Wire, live_server: Any, manager: User, big: str, agent: User
) -> None:
    operation = act("void", big, agent)
    wire.arm("/void", "drop")
    assert decide(client(live_server.url, manager), operation, "approve")["state"] == "succeeded"


def test_who_waits_holds_no_connection(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no pool")
    operation = Operation.objects.create(action="pay", invoice=open_invoice.id, source="api", actor=agent)
    held = []
    monkeypatch.setattr(time, "sleep", lambda seconds: held.append(connection.connection))
    waiting.over(operation.pk, 0.05)
    assert held and set(held) == {None}
