"""What services with other clients than today's SDKs came upon: they get what Stripe would answer, or are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import gateway, refetch
from invoices.models import ApiToken, Scope
from tests.factories import InvoiceObject, customer_at, invoice_at, stored
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
FORM = "application/x-www-form-urlencoded"
INTENT = "payments.data.payment.payment_intent"


@pytest.fixture
def authorization(agent: User) -> dict[str, str]:
    scopes = " ".join([Scope.READ, Scope.ACTIONS, Scope.PASS_THROUGH])
    return {"Authorization": f"Bearer {ApiToken.objects.create(agent, name='an old service', scopes=scopes)[1]}"}


@pytest.fixture
def passing(settings: Any) -> Iterator[None]:
    """With a key for passing on."""
    settings.STRIPE_PASS_THROUGH_KEY = "rk_test_only_reads"
    yield
    gateway._known_passing_keys.clear()


def test_members_of_one_item_stay_together(
    sandbox: SandboxProcess, authorization: dict[str, str], passing: None
) -> None:
    """`items[][a]=…&items[][b]=…`, as curl's users write lists, is one item: a preview of two is wrong."""
    items = [("amount", "100"), ("description", "first"), ("amount", "50"), ("description", "second")]
    body = f"customer={customer_at(sandbox).id}&" + "&".join(f"invoice_items[][{name}]={each}" for name, each in items)
    answer = Client().post("/v1/invoices/create_preview", body, content_type=FORM, headers=authorization)
    assert answer.status_code == 200, answer.content
    lines = [(line["amount"], line["description"]) for line in answer.json()["lines"]["data"]]
    assert sorted(lines) == [(50, "second"), (100, "first")]


def test_a_filter_in_the_body_of_a_get_is_not_passed_over(authorization: dict[str, str]) -> None:
    """`curl -X GET -d customer=…`: the invoices of everybody would be a wrong answer."""
    for number in (1, 2):
        stored(InvoiceObject(id=f"in_{number}", customer=f"cus_{number}"))

    def found(body: str) -> Any:
        return Client().generic("GET", "/v1/invoices", body, FORM, headers=authorization)

    assert [one["id"] for one in found("customer=cus_1").json()["data"]] == ["in_1"]
    assert found("nonsense=1").json()["error"]["param"] == "nonsense"
    assert len(found("").json()["data"]) == 2


@pytest.mark.parametrize("query", ["created[gt]=5&created=7", "created=7&created[gt]=5"])
def test_a_range_beside_its_value_is_not_passed_over(authorization: dict[str, str], query: str) -> None:
    """In either order: what came last took the other's place, so that a filter was ignored in silence."""
    stored(InvoiceObject(created=7))
    refused = Client().get(f"/v1/invoices?{query}", headers=authorization)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "created")
    assert refused.json()["error"]["message"] == "Invalid object"
    assert len(Client().get("/v1/invoices?created=5&created=7", headers=authorization).json()["data"]) == 1


def test_payments_are_shown_also_where_stripe_cannot_be_read_again(
    sandbox: SandboxProcess, authorization: dict[str, str]
) -> None:
    """The intents stay ids, as the header says. A service that finds no `payments` at all breaks after it paid."""
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    headers = authorization | {"Idempotency-Key": "k"}

    def pay() -> Any:
        body = f"expand[]={INTENT}"
        return Client().post(f"/v1/invoices/{invoice.id}/pay", body, content_type=FORM, headers=headers)

    first = pay().json()["payments"]["data"]
    sandbox.faults(error_500=1.0, only=["GET /v1/invoices/*"])
    again = pay()
    assert (again.status_code, again["Invoice-Desk-Not-Expanded"]) == (200, INTENT)
    [payment] = again.json()["payments"]["data"]
    assert payment["status"] == "paid"
    assert payment["payment"]["payment_intent"] == first[0]["payment"]["payment_intent"]["id"]
    assert sandbox.stats()["charges"] == {invoice.id: 1}


def test_a_304_says_what_the_whole_answer_would_have_said(authorization: dict[str, str]) -> None:
    """Without `Vary` a cache takes the compressed answer for one that suits everybody."""
    stored(InvoiceObject(id="in_1", footer="x" * 2000))
    whole = Client().get("/v1/invoices/in_1", headers=authorization)
    assert whole["Vary"] == "Accept-Encoding"
    for named in (whole["ETag"], "*", whole["ETag"].removeprefix("W/"), f'"another", {whole["ETag"]}'):
        unchanged = Client().get("/v1/invoices/in_1", headers=authorization | {"If-None-Match": named})
        assert (unchanged.status_code, unchanged["Vary"], unchanged["ETag"]) == (304, whole["Vary"], whole["ETag"])


@pytest.mark.parametrize("name", ["payment_intent", "payment_record"])
def test_a_payment_that_stripe_does_not_have_is_refused_with_stripes_code(
    sandbox: SandboxProcess, authorization: dict[str, str], name: str
) -> None:
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    path = f"/v1/invoices/{invoice.id}/attach_payment"
    answer = Client().post(path, f"{name}=nope", content_type=FORM, headers=authorization)
    said = answer.json()["error"]
    assert (answer.status_code, said["code"], said["param"]) == (400, "resource_missing", name)


def test_the_payment_of_a_fresh_invoice_is_there(sandbox: SandboxProcess, authorization: dict[str, str]) -> None:
    """Stripe makes it when it finalizes the invoice, and sends no event of it. An empty list would say that there is no
    PaymentIntent with which the customer can pay."""
    invoice = invoice_at(sandbox)
    stored(sandbox.client().v1.invoices.retrieve(invoice.id).to_dict())  # as its event tells it: without payments
    address = f"/v1/invoices/{invoice.id}?expand[]={INTENT}"
    for source in ("stripe", "mirror"):
        found = Client().get(address, headers=authorization)
        [payment] = found.json()["payments"]["data"]
        assert payment["payment"]["payment_intent"]["client_secret"]
        assert found["Invoice-Desk-Source"] == source
    of_stripe = sandbox.client().v1.invoices.retrieve(invoice.id, {"expand": [INTENT]}).to_dict()
    assert found.json()["payments"]["data"] == of_stripe["payments"]["data"]


@pytest.mark.parametrize("odd", [10**20, None])
def test_an_invoice_that_was_finalized_at_no_moment_asks_stripe_for_none(
    settings: Any, odd: Any, authorization: dict[str, str]
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    stored(InvoiceObject(id="in_1", status_transitions={"finalized_at": odd, "paid_at": None}))
    answer = Client().get("/v1/invoices/in_1?expand[]=payments", headers=authorization)
    assert (answer.status_code, answer.json()["payments"]["data"]) == (200, [])


def test_an_old_invoice_without_payments_asks_stripe_for_none(settings: Any, authorization: dict[str, str]) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    stored(InvoiceObject(id="in_1", status_transitions={"finalized_at": 1_600_000_000, "paid_at": None}))
    answer = Client().get("/v1/invoices/in_1?expand[]=payments", headers=authorization)
    assert (answer.status_code, answer.json()["payments"]["data"]) == (200, [])
