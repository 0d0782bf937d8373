"""The API as its callers use it: Stripe's official SDK, pointed at us, with the sandbox as Stripe behind us."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User
from django.test import Client

from invoices import operations, refetch, sync
from invoices.models import ApiToken, Invoice, InvoicePayment, Operation
from tests.factories import customer_at, invoice_at
from tests.helpers.sdk import raised
from tests.helpers.stripe_state import without_delivery_time
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token(agent: User) -> str:
    return ApiToken.objects.create(agent, name="dunning service")[1]


@pytest.fixture
def desk(live_server: Any, token: str) -> stripe.StripeClient:
    """The SDK, with our token and our address and nothing else changed."""
    return stripe.StripeClient(token, base_addresses={"api": live_server.url})


def mirrored(invoice: Any) -> Any:
    refetch.refetch("invoice", invoice.id)
    return invoice


def plain(found: stripe.StripeObject) -> dict[str, Any]:
    return without_delivery_time(found.to_dict())


def assert_equal_at_both(sandbox: SandboxProcess, desk: stripe.StripeClient, id: str) -> None:
    refetch.refetch("customer", Invoice.objects.get(pk=id).customer_id or "")
    options: Any = {"expand": ["payments", "customer"]}
    theirs = plain(sandbox.client().v1.invoices.retrieve(id, options))
    assert plain(desk.v1.invoices.retrieve(id, options)) == theirs


# --- reading ---------------------------------------------------------------------------------------------------------


def test_what_happens_at_stripe_shows_here_member_by_member(
    sandbox: SandboxProcess, desk: stripe.StripeClient, live_server: Any
) -> None:
    sandbox.webhook(f"{live_server.url}/webhooks/stripe")
    made = [
        invoice_at(sandbox),
        invoice_at(sandbox, lines=13),
        invoice_at(sandbox, finalize=False),
        invoice_at(sandbox, currency="jpy", collection_method="send_invoice", days_until_due=7),
    ]
    sandbox.client().v1.invoices.pay(made[0].id)
    sandbox.client().v1.invoices.void_invoice(made[3].id)
    sandbox.settled()
    sync.process_events()
    for invoice in made:
        refetch.refetch("invoice", invoice.id)  # the events of one second leave reads due
        assert_equal_at_both(sandbox, desk, invoice.id)
    theirs = sandbox.client().v1.invoices.list({"limit": 3})
    ours = desk.v1.invoices.list({"limit": 3})
    assert [one.id for one in ours.data] == [one.id for one in theirs.data]
    assert ours.has_more is theirs.has_more is True
    assert ours.url == theirs.url


def test_the_sdk_walks_lists_and_lines(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    customer = customer_at(sandbox).id
    made = [mirrored(invoice_at(sandbox, customer=customer, lines=lines)).id for lines in (1, 1, 12)]
    mirrored(invoice_at(sandbox))
    walked = desk.v1.invoices.list({"customer": customer, "limit": 2}).auto_paging_iter()
    assert [one.id for one in walked] == made[::-1]

    lines = list(desk.v1.invoices.line_items.list(made[2], {"limit": 5}).auto_paging_iter())
    theirs = list(sandbox.client().v1.invoices.line_items.list(made[2], {"limit": 100}).auto_paging_iter())
    assert [line.id for line in lines] == [line.id for line in theirs]
    assert len(lines) == 12
    shown = desk.v1.invoices.retrieve(made[2]).lines
    assert len(shown.data) == 10
    assert [line.id for line in shown.auto_paging_iter()] == [line.id for line in theirs]

    filtered: Any = {"created": {"gte": 1}, "status": "open", "expand": ["data.customer"]}
    page = desk.v1.invoices.list(filtered)
    assert len(page.data) == 4


def test_payments_of_an_invoice(sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any) -> None:
    desk.v1.invoices.pay(open_invoice.id)
    refetch.refetch("payment_intent", InvoicePayment.objects.get().payment_intent or "")
    [payment] = desk.v1.invoice_payments.list({"invoice": open_invoice.id}).data
    theirs = sandbox.client().v1.invoice_payments.retrieve(payment.id)
    assert plain(payment) == plain(theirs)
    assert plain(desk.v1.invoice_payments.retrieve(payment.id)) == plain(theirs)
    intent = payment.payment.payment_intent
    by_intent: Any = {"payment": {"type": "payment_intent", "payment_intent": intent}}
    assert [one.id for one in desk.v1.invoice_payments.list(by_intent).data] == [payment.id]
    options: Any = {"expand": ["payments.data.payment.payment_intent"]}
    expanded: Any = desk.v1.invoices.retrieve(open_invoice.id, options)
    assert expanded.payments.data[0].payment.payment_intent.status == "succeeded"


# --- acting ----------------------------------------------------------------------------------------------------------

ACTIONS: list[tuple[str, str]] = [
    ("pay", "paid"),
    ("void_invoice", "void"),
    ("mark_uncollectible", "uncollectible"),
]


@pytest.mark.parametrize(("method", "status"), ACTIONS)
def test_actions_leave_stripe_and_mirror_equal(
    sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any, agent: User, method: str, status: str
) -> None:
    answer = getattr(desk.v1.invoices, method)(open_invoice.id)
    assert answer.status == status
    assert_equal_at_both(sandbox, desk, open_invoice.id)
    operation = Operation.objects.get()
    assert (operation.actor, operation.source, operation.reason) == (agent, "api", "dunning service")
    assert operation.state == "succeeded"
    assert operation.request_id == answer.last_response.request_id
    assert answer.last_response.headers["Invoice-Desk-Operation"] == str(operation.pk)


def test_finalize_send_and_parameters(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    draft = mirrored(invoice_at(sandbox, finalize=False, collection_method="send_invoice", days_until_due=3))
    options: Any = {"auto_advance": False, "expand": ["customer"]}
    refetch.refetch("customer", draft.customer)
    finalized: Any = desk.v1.invoices.finalize_invoice(draft.id, options)
    assert (finalized.status, finalized.auto_advance, finalized.customer.id) == ("open", False, draft.customer)
    assert desk.v1.invoices.send_invoice(draft.id).status == "open"
    paid = desk.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    assert (paid.status, paid.attempted) == ("paid", False)
    assert sandbox.stats()["charges"] == {}
    assert_equal_at_both(sandbox, desk, draft.id)


def test_attach_a_payment_of_our_own(sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any) -> None:
    customer = sandbox.client().v1.customers.retrieve(open_invoice.customer)
    intent = sandbox.client().v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": str(customer.invoice_settings.default_payment_method),
            "confirm": True,
        }
    )
    attached = desk.v1.invoices.attach_payment(open_invoice.id, {"payment_intent": intent.id})
    assert attached.status == "paid"
    assert_equal_at_both(sandbox, desk, open_invoice.id)


def test_attach_an_out_of_band_payment(sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any) -> None:
    part = {"amount": 400, "method": "Check", "received_on": "2026-11-02", "reference": "no. 17"}
    path = f"/v1/invoices/{open_invoice.id}/attach_out_of_band_payment"
    answer: Any = desk.deserialize(desk.raw_request("post", path, **part), api_mode="V1")
    assert (answer.status, answer.amount_paid, answer.amount_remaining) == ("open", 400, 600)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.raw_request("post", path, **part, **{"metod": "x"})
    assert caught.value.code == "parameter_unknown"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.raw_request("post", path, **{**part, "received_on": "yesterday"})
    assert (caught.value.param, caught.value.code) == ("received_on", None)


def test_a_decline_is_stripes_card_error(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    theirs = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
    ours = mirrored(invoice_at(sandbox, card="pm_card_chargeCustomerFail"))
    with pytest.raises(stripe.CardError) as at_stripe:
        sandbox.client().v1.invoices.pay(theirs.id)
    with pytest.raises(stripe.CardError) as here:
        desk.v1.invoices.pay(ours.id)
    for said in ("http_status", "code", "user_message", "param"):
        assert getattr(here.value, said) == getattr(at_stripe.value, said)
    for member in ("decline_code", "advice_code", "network_decline_code", "type", "doc_url"):
        assert raised(here).error[member] == raised(at_stripe).error[member]
    assert raised(here).headers["Stripe-Should-Retry"] == "false"
    operation = Operation.objects.get()
    assert raised(here).error["operation"] == str(operation.pk)
    assert operation.state == "failed"

    with pytest.raises(stripe.InvalidRequestError) as again:
        desk.v1.invoices.pay(ours.id)
    assert again.value.code == "attempted_recently"
    assert raised(again).error["operation"] == str(operation.pk)


def test_authentication_required(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    invoice = mirrored(invoice_at(sandbox, card="pm_card_authenticationRequired"))
    with pytest.raises(stripe.CardError) as caught:
        desk.v1.invoices.pay(invoice.id)
    assert caught.value.http_status == 402
    assert caught.value.code == "authentication_required"


def test_refusals_of_ours_and_of_stripes(sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any) -> None:
    desk.v1.invoices.pay(open_invoice.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.v1.invoices.pay(open_invoice.id)
    assert (caught.value.http_status, caught.value.code) == (400, "invoice_not_open")
    assert caught.value.user_message == "Invoice is already paid"

    other = mirrored(invoice_at(sandbox))
    with pytest.raises(stripe.InvalidRequestError) as caught:
        desk.v1.invoices.pay(other.id, {"payment_method": "pm_nope"})
    assert caught.value.http_status in (400, 404)
    assert caught.value.code == "resource_missing"
    assert "pm_nope" in (caught.value.user_message or "")
    assert sandbox.stats()["charges"] == {open_invoice.id: 1}


@pytest.mark.parametrize(
    ("method", "param"),
    [
        ("pay", "id"),
        ("finalize_invoice", "id"),
        ("void_invoice", "id"),
        ("mark_uncollectible", "id"),
        ("send_invoice", "invoice"),
        ("retrieve", "invoice"),
    ],
)
def test_unknown_invoice(sandbox: SandboxProcess, desk: stripe.StripeClient, method: str, param: str) -> None:
    said = []
    for client in (sandbox.client(), desk):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            getattr(client.v1.invoices, method)("in_nope")
        error = raised(caught)
        said.append((error.http_status, error.code, error.param, error.user_message, error.error["doc_url"]))
    assert said[0] == said[1]
    assert said[0][:3] == (404, "resource_missing", param)


def test_wrong_parameters_are_refused_as_stripe_does(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    wrong: list[dict[str, Any]] = [
        {"nope": 1},
        {"created": {"nope": 1}},
        {"limit": "abc"},
        {"status": "nope"},
        {"starting_after": "in_aaa"},
        {"starting_after": "a", "ending_before": "b"},
        {"created": {"gt": "x"}},
    ]
    for params in wrong:
        said = []
        for client in (sandbox.client(), desk):
            with pytest.raises(stripe.InvalidRequestError) as caught:
                client.raw_request("get", "/v1/invoices", **params)
            body = dict(raised(caught).json_body["error"])
            body.pop("request_log_url", None)
            said.append((caught.value.http_status, body))
        assert said[0] == said[1]


# --- at most once ----------------------------------------------------------------------------------------------------


def test_a_key_sent_twice_is_one_operation(
    sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any
) -> None:
    options: Any = {"idempotency_key": "order-66"}
    first: Any = desk.v1.invoices.pay(open_invoice.id, None, options)
    second: Any = desk.v1.invoices.pay(open_invoice.id, None, options)
    assert first.status == second.status == "paid"
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert sandbox.stats()["charges"] == {open_invoice.id: 1}
    assert Operation.objects.count() == 1

    with pytest.raises(stripe.IdempotencyError) as caught:
        desk.v1.invoices.pay(open_invoice.id, {"off_session": False}, options)
    assert caught.value.http_status == 400
    assert "order-66" in (caught.value.user_message or "")
    assert raised(caught).error["type"] == "idempotency_error"


def test_a_boolean_may_be_written_as_older_sdks_do(sandbox: SandboxProcess, token: str, open_invoice: Any) -> None:
    """stripe-python before 12.0.1 sends `True`. In another spelling it is the same request."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "order-66"}
    replies = []
    for written in ("paid_out_of_band=True", "paid_out_of_band=true", "paid_out_of_band=FALSE"):
        address = f"/v1/invoices/{open_invoice.id}/pay"
        reply = Client().generic("POST", address, written, "application/x-www-form-urlencoded", headers=headers)
        replies.append((reply.status_code, reply.headers.get("Idempotent-Replayed", "")))
    assert replies == [(200, ""), (200, "true"), (400, "")]
    assert Operation.objects.get().params == {"paid_out_of_band": True}
    assert sandbox.client().v1.invoices.retrieve(open_invoice.id).status == "paid"


def test_a_declined_key_is_declined_again_without_a_charge(sandbox: SandboxProcess, desk: stripe.StripeClient) -> None:
    invoice = mirrored(invoice_at(sandbox, card="pm_card_chargeCustomerFail"))
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            desk.v1.invoices.pay(invoice.id, None, {"idempotency_key": "k"})
        bodies.append(raised(caught).json_body)
    assert bodies[0] == bodies[1]
    assert Operation.objects.count() == 1
    assert raised(caught).headers["Idempotent-Replayed"] == "true"


def test_four_at_once_make_one_charge(sandbox: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any) -> None:
    came: list[Any] = []

    def pay() -> None:
        try:
            came.append(desk.v1.invoices.pay(open_invoice.id, None, {"idempotency_key": str(uuid.uuid4())}).status)
        except stripe.StripeError as error:
            came.append((error.http_status, error.error["code"] if error.error else None))

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came.count("paid") == 1, came
    assert {one for one in came if one != "paid"} <= {(409, "operation_in_progress"), (400, "invoice_not_open")}
    assert sandbox.stats()["charges"] == {open_invoice.id: 1}


@pytest.fixture
def lossy(sandbox: SandboxProcess) -> Iterator[SandboxProcess]:
    sandbox.faults(drop_reply=1.0, only=["POST /v1/invoices/*/pay"])
    yield sandbox
    sandbox.clear_faults()


def test_an_unknown_outcome_is_409_and_the_same_key_returns_what_it_came_to(
    lossy: SandboxProcess, desk: stripe.StripeClient, open_invoice: Any
) -> None:
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            desk.raw_request("post", f"/v1/invoices/{open_invoice.id}/pay?wait=0", idempotency_key="k")
        assert caught.value.http_status == 409
        assert raised(caught).error["code"] == "outcome_unknown"
        assert raised(caught).headers["Stripe-Should-Retry"] == "true"
    operation = Operation.objects.get()
    assert raised(caught).error["operation"] == str(operation.pk)
    [unfinished] = desk.raw_request("get", "/v1/operations", state="unfinished").data["data"]
    assert unfinished["id"] == str(operation.pk)

    with pytest.raises(stripe.APIError) as caught:
        desk.v1.invoices.void_invoice(open_invoice.id)
    assert (caught.value.http_status, raised(caught).error["code"]) == (409, "operation_in_progress")
    assert raised(caught).error["operation"] == str(operation.pk)

    lossy.clear_faults()
    Operation.objects.filter(pk=operation.pk).update(settle_at=None)
    operations.settle_due()
    assert desk.v1.invoices.pay(open_invoice.id, None, {"idempotency_key": "k"}).status == "paid"
    assert lossy.stats()["charges"] == {open_invoice.id: 1}


def test_stripe_out_of_reach_is_503_and_nothing_was_sent(
    desk: stripe.StripeClient, open_invoice: Any, settings: Any
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(stripe.APIError) as caught:
        desk.v1.invoices.void_invoice(open_invoice.id)
    assert (caught.value.http_status, raised(caught).error["code"]) == (503, "stripe_unavailable")
    assert raised(caught).error["operation"] == str(Operation.objects.get().pk)
    assert Invoice.objects.get(pk=open_invoice.id).status == "open"
    assert desk.v1.invoices.retrieve(open_invoice.id).status == "open"  # reading does not need Stripe


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("awaiting_approval", 400, "approval_required"),
        ("running", 409, "operation_in_progress"),
        ("ready", 409, "operation_in_progress"),
        ("cancelled", 400, "cancelled"),
        ("expired", 400, "expired"),
    ],
)
def test_not_done_is_never_2xx(
    desk: stripe.StripeClient, open_invoice: Any, monkeypatch: Any, agent: User, state: str, status: int, code: str
) -> None:
    operation = Operation.objects.create(action="void", invoice=open_invoice.id, state=state, source="api", actor=agent)
    monkeypatch.setattr(operations, "execute", lambda *args, **asked: operation)
    with pytest.raises(stripe.StripeError) as caught:
        desk.v1.invoices.void_invoice(open_invoice.id)
    assert caught.value.http_status == status
    assert raised(caught).json_body["error"]["code"] == code
    assert raised(caught).json_body["error"]["operation"] == str(operation.pk)


@pytest.mark.parametrize(
    ("error", "code", "status", "said"),
    [
        # Stripe's key is ours: that it does not work is no fault of the caller's, whose own key is fine.
        ({"status": 401, "type": "invalid_request_error"}, "stripe_refused", 502, {"type": "api_error"}),
        ({"status": 400, "type": "invalid_request_error"}, "stripe_refused", 400, {"type": "invalid_request_error"}),
        (
            {"status": 402, "type": "card_error", "code": "expired_card", "decline_code": "expired_card"},
            "card_declined",
            402,
            {"code": "expired_card", "desk_code": "card_declined", "decline_code": "expired_card"},
        ),
        (None, "not_applied", 502, {"type": "api_error", "code": "not_applied"}),
        (None, "resource_missing", 404, {"param": "id", "code": "resource_missing"}),
        (None, "invoice_changed", 409, {"type": "invalid_request_error"}),
    ],
)
def test_how_a_failure_is_told(
    desk: stripe.StripeClient,
    open_invoice: Any,
    monkeypatch: Any,
    error: dict[str, Any] | None,
    code: str,
    status: int,
    said: dict[str, Any],
) -> None:
    members = {"action": "void", "invoice": open_invoice.id, "state": "failed", "message": "So it is."}
    operation = Operation.objects.create(**members, source="api", code=code, error=error)
    monkeypatch.setattr(operations, "execute", lambda *args, **asked: operation)
    with pytest.raises(stripe.StripeError) as caught:
        desk.v1.invoices.void_invoice(open_invoice.id)
    assert caught.value.http_status == status
    body = raised(caught).json_body["error"]
    assert body | said | {"message": "So it is.", "operation": str(operation.pk)} == body
    assert ("code" in body) is (code != "stripe_refused")


def test_wrong_key_and_no_right(live_server: Any, auditor: User, open_invoice: Any) -> None:
    wrong = stripe.StripeClient("sk_test_0123456789", base_addresses={"api": live_server.url})
    with pytest.raises(stripe.AuthenticationError):
        wrong.v1.invoices.list()
    key = ApiToken.objects.create(auditor, name="reports")[1]
    reports = stripe.StripeClient(key, base_addresses={"api": live_server.url})
    assert reports.v1.invoices.retrieve(open_invoice.id).id == open_invoice.id
    with pytest.raises(stripe.PermissionError):
        reports.v1.invoices.pay(open_invoice.id)
