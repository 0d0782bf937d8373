"""Other clients get from the desk what they get from Stripe: Python SDKs 8, 12 and ours, Node SDKs 14 and 23.

Each runs the same steps in a process of its own, first against the sandbox and then against the desk. What is only read
is the same object at both. What is acted on is one invoice for each, so ids, times and numbers are left out there.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from django.conf import settings
from django.contrib.auth.models import User

from invoices import clock, refetch
from invoices.fanout import signing
from invoices.models import ApiToken, Customer, Invoice, InvoicePayment
from tests.clients import environments
from tests.factories import customer_at, invoice_at
from tests.helpers.stripe_state import drain
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

HERE = Path(__file__).resolve().parent
CLIENTS = {
    "Python SDK 16": ("", "sync"),
    "Python SDK 16, async": ("", "async"),
    "Python SDK 12": ("python-12", "sync"),
    "Python SDK 12, async": ("python-12", "async"),
    "Python SDK 8": ("python-8", "sync"),
    "Python SDK 8, async": ("python-8", "async"),
    "Node SDK 23": ("node-23", ""),
    "Node SDK 14": ("node-14", ""),
}
READS = {
    "list, page by page",
    "list, backwards",
    "list and expand",
    "list by a range",
    "retrieve",
    "retrieve and expand",
    "lines, page by page",
    "charges, page by page",
    "one charge",
    "lines of the invoice itself",
    "a signed event",
    "payments",
    "one payment",
}
ACTIONS = {
    "pay": "paid",
    "void": "void",
    "mark uncollectible": "uncollectible",
    "finalize": "open",
    "send": "open",
    "pay with a key": "paid",
    "the same key again": "paid",
}
# What went wrong, by the name of the error in Python; Node puts "Stripe" before it, and has other names for two.
ERRORS = {
    "pay, declined": ("CardError", 402),
    "the same key, other parameters": ("IdempotencyError", 400),
    "an unknown invoice": ("InvalidRequestError", 404),
    "pay an unknown invoice": ("InvalidRequestError", 404),
    "an unknown parameter": ("InvalidRequestError", 400),
    "a wrong value": ("InvalidRequestError", 400),
    "void what is paid": ("InvalidRequestError", 400),
    "a wrong key": ("AuthenticationError", 401),
}
# Refused by the desk itself, in its own words: the class and the status are Stripe's.
IN_OUR_WORDS = {"the same key, other parameters", "void what is paid", "a wrong key"}


@pytest.fixture(params=CLIENTS)
def client_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def command(client_name: str) -> list[str]:
    environment, mode = CLIENTS[client_name]
    if client_name.startswith("Node"):
        return environments.node(environment, HERE / "node_scenario.cjs")
    return [*environments.python(environment), str(HERE / "python_scenario.py"), mode]


@pytest.fixture
def came(
    command: list[str], sandbox: SandboxProcess, live_server: Any, agent: User
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What came of each step at Stripe, and at the desk."""
    customer, read = customer_at(sandbox, name="Ann Example").id, {}
    read["long"] = invoice_at(sandbox, customer=customer, lines=12).id
    read["paid"] = sandbox.client().v1.invoices.pay(invoice_at(sandbox, customer=customer).id).id
    for _ in range(3):
        yen = invoice_at(sandbox, customer=customer, currency="jpy").id
    with pytest.raises(stripe.CardError):  # the customer's other charge
        sandbox.client().v1.invoices.pay(yen, {"payment_method": "pm_card_chargeCustomerFail"})
    to_act_on = [{name: invoice.id for name, invoice in invoices_to_act_on(sandbox)} for _ in range(2)]
    for one in sandbox.client().v1.invoices.list({"limit": 100}).auto_paging_iter():
        refetch.refetch("invoice", one.id)
    for charge in sandbox.client().v1.charges.list({"customer": customer}).data:
        refetch.refetch("charge", charge.id)
    refetch.refetch("customer", customer)
    drain()
    assert Invoice.objects.count() == 19
    assert InvoicePayment.objects.filter(invoice_id=read["paid"]).exists()
    assert Customer.objects.filter(pk=customer).exists()

    key = ApiToken.objects.create(agent, name="a service")[1]
    reading_key = ApiToken.objects.create(agent, name="reports", read_only=True)[1]
    # As the fan-out signs it while a secret is being replaced.
    event = json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {}}})
    signature = signing.header(event.encode(), clock.now(), ["whsec_new", "whsec_old"])
    common = {
        "version": settings.STRIPE_API_VERSION,
        "wrong_key": "sk_wrong_0123456789",
        "signed": [event, signature, "whsec_old"],
    }
    answers = []
    for address, its_key, its_reading_key, acted in (
        (sandbox.url, sandbox.key, None, to_act_on[0]),
        (live_server.url, key, reading_key, to_act_on[1]),
    ):
        given = {"address": address, "key": its_key, "reading_key": its_reading_key}
        ids = {"customer": customer, **read, **acted}
        answers.append(environments.run(command, {**common, **given, "ids": ids, "idempotency_key": str(uuid.uuid4())}))
    yield answers[0], answers[1]


def invoices_to_act_on(sandbox: SandboxProcess) -> Iterator[tuple[str, Any]]:
    for name in ("pay", "void", "uncollectible", "keyed"):
        yield name, invoice_at(sandbox)
    yield "decline", invoice_at(sandbox, card="pm_card_chargeCustomerFail")
    yield "draft", invoice_at(sandbox, finalize=False, collection_method="send_invoice", days_until_due=3)
    yield "flag", invoice_at(sandbox, finalize=False)


def test_a_client_gets_what_it_gets_from_stripe(client_name: str, came: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = came
    denied = ours.pop("a key that may only read")
    assert (class_of(denied), denied["status"]) == ("PermissionError", 403)
    assert ours.keys() == theirs.keys()

    for name in READS & ours.keys():
        assert ours[name] == theirs[name], name
    assert len(ours["list, page by page"]) == 5
    assert ours["list, backwards"] == ours["list, page by page"][-2::-1]
    assert {one["customer"]["name"] for one in ours["list and expand"]} == {"Ann Example"}
    assert ours["a signed event"]["type"] == "invoice.paid"
    assert len(ours["lines, page by page"]) == 12
    assert ours.get("lines of the invoice itself", ours["lines, page by page"]) == ours["lines, page by page"]
    assert ours["retrieve and expand"]["customer"]["name"] == "Ann Example"
    assert [one["invoice"] for one in ours.get("payments", [])] == [ours["retrieve and expand"]["id"]] * (
        "payments" in ours
    )

    for name, status in ACTIONS.items():
        assert ours[name]["status"] == theirs[name]["status"] == status, name
        assert without_identity(ours[name]) == without_identity(theirs[name]), name
    assert ours["pay with a key"] == ours["the same key again"]
    assert ours["replayed"] == theirs["replayed"] == ["None", "true"]

    for name, expected in ERRORS.items():
        for found in (ours[name], theirs[name]):
            assert (class_of(found), found["status"]) == expected, name
        if name not in IN_OUR_WORDS:
            assert without_identity(ours[name]) == without_identity(theirs[name]), name
    assert ours["pay, declined"]["decline_code"] == "generic_decline"

    flagged = without_identity(ours["true and false"])
    assert flagged == without_identity(theirs["true and false"])
    assert (flagged.get("status"), flagged.get("auto_advance")) == ("open", False)


def class_of(error: dict[str, Any]) -> str:
    return str(error["class"]).removeprefix("Stripe")


def without_identity(found: Any) -> Any:
    """The same without what differs between two invoices that were treated alike: ids, numbers, times, addresses."""
    if isinstance(found, dict):
        return {name: "number" if name == "number" else without_identity(value) for name, value in found.items()}
    if isinstance(found, list):
        return [without_identity(one) for one in found]
    if isinstance(found, str):
        return re.sub(r"\b(\w+?)_[A-Za-z0-9]{14,}(\?s=\w+)?", r"\1", found)
    return "a time" if isinstance(found, int) and found > 1_500_000_000 else found
