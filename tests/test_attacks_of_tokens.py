"""What a thief with API tokens tries: approving alone, reading past permissions, and keeping others waiting."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe
from django.contrib.auth.models import Permission, User

from invoices import gateway, operations, refetch
from invoices.fanout import addresses
from invoices.models import ApiToken, Invoice, Operation
from invoices.operations import decisions
from tests.factories import invoice_at
from tests.helpers.operations import act
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State
PUBLIC = "https://93.184.216.34/"  # an address that needs no name service; nothing is sent to it


def key_of(user: User, **given: Any) -> str:
    given = {"name": "stolen", "created_by": user} | given
    return str(ApiToken.objects.create(user, **given)[1])


def post(live_server: Any, key: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return requests.post(
        f"{live_server.url}{path}", json=body, headers={"Authorization": f"Bearer {key}", **(headers or {})}, timeout=60
    )


@pytest.fixture
def waits(sandbox: SandboxProcess, agent: User) -> Operation:
    """The agent's request to void an open invoice of USD 2,000.00, which waits for a second person."""
    operation = act("void", str(invoice_at(sandbox, 200_000).id), agent)
    assert operation.state == State.AWAITING_APPROVAL
    return operation


# --- approving what one has asked for ---------------------------------------------------------------------------------


def test_who_made_the_deciding_token_on_the_command_line_cannot_have_asked(
    live_server: Any, manager: User, agent: User, waits: Operation
) -> None:
    """A person with an account on the machine makes a token in the manager's name, and holds its key."""
    for shell_user in ("agent@host", "root@host (sudo by Agent)"):
        key = key_of(manager, scopes="read approve", shell_user=shell_user)
        answer = post(live_server, key, f"/v1/operations/{waits.pk}/approve")
        assert answer.status_code == 403, answer.text
        assert "on the command line" in answer.json()["error"]["message"]
    waits.refresh_from_db()
    assert (waits.state, waits.approver) == (State.AWAITING_APPROVAL, None)
    key = key_of(manager, scopes="read approve", shell_user="somebody@host")
    assert post(live_server, key, f"/v1/operations/{waits.pk}/approve").json()["state"] == "succeeded"


def test_a_word_given_with_a_token_that_is_revoked_since_no_longer_counts(manager: User, waits: Operation) -> None:
    token = ApiToken.objects.create(manager, name="stolen", created_by=manager)[0]
    operations.pauses.begin("void", "an audit", by=manager)
    assert decisions.approve(waits.pk, approver=manager, token=token).state == State.READY
    token.revoked_at = waits.created_at
    token.save(update_fields=["revoked_at"])
    operations.pauses.end("void", by=manager)
    done = operations.perform(waits.pk)
    assert (done.state, done.approver, done.decision_token) == (State.AWAITING_APPROVAL, None, None)


# --- reading past permissions and scopes ------------------------------------------------------------------------------


@pytest.fixture
def passing(settings: Any) -> Any:
    """With a key for passing on, and a Stripe that does not answer: asking it would be a 503."""
    settings.STRIPE_PASS_THROUGH_KEY = "rk_test_only_reads"
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    yield
    gateway._known_passing_keys.clear()


@pytest.mark.parametrize("name", ["expand[0]", "expand[]", "[expand][]", "expand[0"])
def test_a_name_with_brackets_hides_no_expansion_from_us(
    live_server: Any, sandbox: SandboxProcess, agent: User, passing: None, name: str
) -> None:
    """Stripe reads brackets in a name, also where JSON had them as part of a name."""
    agent_key = key_of(agent, scopes="read pass_through")
    asked: dict[str, Any] = {name: "customer.default_source.number"}
    answer = post(live_server, agent_key, "/v1/invoices/create_preview", **asked)
    assert answer.status_code == 400, answer.text
    answer = requests.get(
        f"{live_server.url}/v1/balance_transactions/txn_1?{name}=source.card.number",
        auth=(agent_key, ""),
        timeout=60,
    )
    assert answer.status_code == 400, answer.text


def test_an_action_expands_no_refunds_for_who_may_not_see_them(
    live_server: Any, sandbox: SandboxProcess, open_invoice: Any
) -> None:
    user = User.objects.create_user("paying")
    codes = ("pay_invoice", "view_invoice", "view_invoicepayment", "view_paymentintent", "view_charge")
    user.user_permissions.add(*Permission.objects.filter(codename__in=codes))
    path = "payments.data.payment.payment_intent.latest_charge.refunds"
    answer = post(live_server, key_of(user), f"/v1/invoices/{open_invoice.id}/pay", expand=[path])
    assert answer.status_code == 403, answer.text
    assert "invoices.view_refund" in answer.json()["error"]["message"]


# --- what an action asks of Stripe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [".", "..", "%2E%2E", "in_1%3Fexpand%5B%5D=customer", "in_nope", "..%5C.."])
def test_what_is_no_invoice_is_not_stored(live_server: Any, sandbox: SandboxProcess, agent: User, id: str) -> None:
    host = http.client.HTTPConnection(live_server.url.removeprefix("http://"), timeout=60)
    headers = {"Authorization": f"Bearer {key_of(agent)}", "Content-Type": "application/json"}
    host.request("POST", f"/v1/invoices/{id}/void", body="{}", headers=headers)
    answer = host.getresponse()
    said = json.loads(answer.read())
    assert answer.status == 404, said
    assert sandbox.stats()["requests"] == ({"GET /v1/invoices/:id": 1} if id == "in_nope" else {})
    assert list(Invoice.rows.values_list("pk", flat=True)) == []


# --- keeping others waiting -------------------------------------------------------------------------------------------


def test_who_watches_what_nobody_decides_on_keeps_no_outcome_from_others(
    sandbox: SandboxProcess, live_server: Any, settings: Any, agent: User, manager: User, waits: Operation
) -> None:
    settings.OUTCOME_WAITERS = 2
    invoice = invoice_at(sandbox).id
    refetch.refetch("invoice", invoice)
    watched, path, paying = f"/v1/operations/{waits.pk}?wait=6", f"/v1/invoices/{invoice}/pay", key_of(agent)
    address, auth = f"{live_server.url}{watched}", (key_of(manager, scopes="read"), "")
    with ThreadPoolExecutor(4) as threads:
        watching = [threads.submit(requests.get, address, auth=auth, timeout=60) for _ in range(4)]
        time.sleep(0.5)  # they have begun to wait
        sandbox.faults(drop_reply=1.0, only=["POST /v1/invoices/*/pay"])
        assert post(live_server, paying, f"{path}?wait=0", {"Idempotency-Key": "k"}).status_code == 409
        sandbox.faults(error_500=1.0)
        back = threading.Timer(1.5, sandbox.clear_faults)
        back.start()
        answer = post(live_server, paying, path, {"Idempotency-Key": "k", "Invoice-Desk-Wait": "20"})
        back.join()
        assert answer.status_code == 200, answer.text
        assert {each.result().json()["state"] for each in watching} == {"awaiting_approval"}


# --- endpoints for events ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["[fec0::1]", "[::ffff:10.0.0.1]", "[2002:a00:1::]", "0x7f000001", "2130706433", "0"])
def test_no_way_to_write_an_address_inside_is_taken_for_a_public_one(host: str) -> None:
    with pytest.raises(addresses.AddressRefused):
        addresses.check(f"https://{host}/")


class TestTheSameKeyForAnEndpoint:
    def make(self, live_server: Any, manager: User) -> Any:
        key = key_of(manager, scopes="read webhook_endpoints")
        desk: Any = stripe.StripeClient(key, base_addresses={"api": live_server.url}, max_network_retries=0)
        self.wanted = {"url": PUBLIC, "enabled_events": ["invoice.paid"]}
        self.options = {"idempotency_key": "one intention"}
        self.made = desk.v1.webhook_endpoints.create(self.wanted, self.options)
        return desk

    @pytest.mark.parametrize("other", [{"enabled_events": ["*"]}, {"description": "another"}])
    def test_with_other_parameters_is_refused(self, live_server: Any, manager: User, other: Any) -> None:
        desk = self.make(live_server, manager)
        with pytest.raises(stripe.IdempotencyError):
            desk.v1.webhook_endpoints.create(self.wanted | other, self.options)

    def test_does_not_show_a_secret_that_replaced_the_first(self, live_server: Any, manager: User) -> None:
        desk = self.make(live_server, manager)
        path = f"/v1/webhook_endpoints/{self.made.id}/replace_secret"
        new = desk.raw_request("post", path, overlap_hours=0).data["secret"]
        with pytest.raises(stripe.IdempotencyError) as caught:
            desk.v1.webhook_endpoints.create(self.wanted, self.options)
        assert new not in str(caught.value.http_body)
