"""Invoices as Stripe has shown them over the years, sent by webhook: they come out of our API as they came in.

Under the version that we pin, and under their own, which makes them hints: then Stripe is asked, and what it does not
know stays as it was signed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as conf
from django.contrib.auth.models import User
from django.test import Client

from invoices import reconcile, sync
from invoices.models import ApiToken, Drift, Event
from invoices.models.lines import are_cut
from invoices.reconcile import suspects
from tests.factories import InvoiceObject
from tests.helpers.stripe_state import make_all_due
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.odd_objects]
Post = Callable[..., Any]

CHILD: dict[str, Any] = {"object": "list", "has_more": False, "total_count": 1}

IN_2011: dict[str, Any] = {  # lines by kind, no list; no `object` on a line; nothing of a status
    "object": "invoice",
    "id": "in_2011",
    "date": 1_320_000_000,
    "period_start": 1_317_000_000,
    "period_end": 1_320_000_000,
    "lines": {
        "invoiceitems": [],
        "prorations": [],
        "subscriptions": [{"plan": {"id": "gold", "amount": 2000}, "amount": 2000, "period": {"start": 1, "end": 2}}],
    },
    "subtotal": 2000,
    "total": 2000,
    "customer": "cus_2011",
    "attempted": True,
    "closed": True,
    "paid": True,
    "livemode": False,
    "charge": "ch_2011",
    "discount": None,
}

IN_2014: dict[str, Any] = {
    "date": 1_400_000_000,
    "id": "in_2014",
    "period_start": 1_397_000_000,
    "period_end": 1_400_000_000,
    "lines": {
        **CHILD,
        "count": 1,
        "url": "/v1/invoices/in_2014/lines",
        "data": [
            {
                "id": "sub_2014",
                "object": "line_item",
                "type": "subscription",
                "livemode": False,
                "amount": 1999,
                "currency": "usd",
                "proration": False,
                "period": {"start": 1_400_000_000, "end": 1_402_000_000},
                "quantity": 1,
                "plan": {"interval": "month", "name": "Gold", "amount": 1999, "id": "gold", "trial_period_days": None},
                "description": None,
                "metadata": {},
            }
        ],
    },
    "subtotal": 1999,
    "total": 1999,
    "customer": "cus_2014",
    "object": "invoice",
    "attempted": True,
    "closed": True,
    "forgiven": False,
    "paid": True,
    "livemode": False,
    "attempt_count": 1,
    "amount_due": 1999,
    "currency": "usd",
    "starting_balance": 0,
    "ending_balance": 0,
    "next_payment_attempt": None,
    "webhooks_delivered_at": 1_400_000_010,
    "charge": "ch_2014",
    "discount": None,
    "application_fee": None,
    "subscription": "sub_2014",
    "statement_description": None,
    "description": None,
    "receipt_number": None,
}

IN_2018: dict[str, Any] = {
    "id": "in_2018",
    "object": "invoice",
    "amount_due": 500,
    "amount_paid": 0,
    "amount_remaining": 500,
    "application_fee": None,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": True,
    "billing": "send_invoice",
    "billing_reason": "manual",
    "charge": None,
    "closed": False,
    "currency": "eur",
    "customer": "cus_2018",
    "date": 1_540_000_000,
    "default_source": None,
    "due_date": 1_542_592_000,
    "ending_balance": None,
    "finalized_at": None,
    "forgiven": False,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "lines": {**CHILD, "data": [{"id": "il_2018", "object": "line_item", "amount": 500, "type": "invoiceitem"}]},
    "livemode": False,
    "metadata": {"order": "17", "": ""},
    "number": "3B4B84B-0001",
    "paid": False,
    "status": "draft",
    "subtotal": 500,
    "tax": None,
    "tax_percent": 19.0,
    "total": 500,
}

IN_2020: dict[str, Any] = {
    "id": "in_2020",
    "object": "invoice",
    "account_country": "US",
    "account_name": "Example",
    "amount_due": 1000,
    "amount_paid": 1000,
    "amount_remaining": 0,
    "charge": "ch_2020",
    "collection_method": "charge_automatically",
    "created": 1_600_000_000,
    "currency": "usd",
    "customer": {
        "id": "cus_2020",
        "object": "customer",
        "email": "Expanded@Example.com",
        "sources": {"object": "list", "data": [], "has_more": False, "url": "/v1/customers/cus_2020/sources"},
    },
    "customer_email": "Expanded@Example.com",
    "customer_name": "Zoë “Z” Example",
    "default_tax_rates": [],
    "discounts": [],
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/test_1?s=ap",
    "invoice_pdf": "https://pay.stripe.com/invoice/acct_1/test_1/pdf?s=ap",
    "lines": {**CHILD, "data": [{"id": "il_2020", "object": "line_item", "amount": 1000, "price": {"id": "price_1"}}]},
    "livemode": False,
    "number": "C0FFEE-0001",
    "paid": True,
    "payment_intent": {"id": "pi_2020", "object": "payment_intent", "status": "succeeded", "charges": {"data": []}},
    "period_end": 1_600_000_000,
    "status": "paid",
    "status_transitions": {"finalized_at": 1_600_000_001, "paid_at": 1_600_000_002, "voided_at": None},
    "subscription": "sub_2020",
    "tax": 0,
    "total": 1000,
    "total_tax_amounts": [],
    "transfer_data": None,
    "webhooks_delivered_at": 1_600_000_003,
}

IN_2022: dict[str, Any] = {
    **{name: value for name, value in IN_2020.items() if name not in ("customer", "payment_intent")},
    "id": "in_2022",
    "customer": "cus_2022",
    "payment_intent": "pi_2022",
    "paid_out_of_band": False,
    "amount_shipping": 0,
    "application": None,
    "automatic_tax": {"enabled": False, "status": None},
    "created": 1_660_000_000,
    "from_invoice": None,
    "latest_revision": None,
    "lines": {
        **CHILD,
        "total_count": 14,
        "data": [{"id": f"il_{n}", "object": "line_item", "amount": n * 100} for n in range(10)],
        "has_more": True,
    },
    "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
    "rendering_options": None,
    "status": "open",
    "test_clock": None,
}

IN_2025: dict[str, Any] = {
    **InvoiceObject(
        id="in_2025",
        status="draft",
        number=None,
        customer="cus_2025",
        created=1_750_000_000,
        description="\u2028 ✓ \ud83d",
    ),
    "amount_overpaid": 0,
    "automatically_finalizes_at": None,
    "confirmation_secret": None,
    "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_2025", "metadata": {}}},
    "total_taxes": [{"amount": 0, "tax_behavior": "exclusive", "type": "tax_rate_details"}],
    "of_tomorrow": {"deep": [{"er": [None, True, 0.1, -1e-7, 2**80]}]},
}

BARE: dict[str, Any] = {"id": "in_bare", "object": "invoice"}
ODD: dict[str, Any] = {
    "object": "invoice",
    "id": "in_odd",
    "total": "a lot",
    "status": ["open"],
    "created": "once",
    "currency": 840,
    "customer": {"deleted": True},
    "lines": [],
    "livemode": None,
    "parent": 7,
    "amount_due": 10**30,
    "status_transitions": None,
}
SHAPES = {
    "2011-10": IN_2011,
    "2014-06-17": IN_2014,
    "2018-09-24": IN_2018,
    "2020-08-27": IN_2020,
    "2022-08-01": IN_2022,
    "2025-03-31.basil": IN_2025,
    "2019-12-03": BARE,
    "2030-01-01.zinnia": ODD,
}
each_shape = pytest.mark.parametrize(("year", "invoice"), SHAPES.items(), ids=list(SHAPES))


@pytest.fixture
def api(client: Client, agent: User) -> Callable[..., Any]:
    token = ApiToken.objects.create(agent, name="a service")[1]

    def get(path: str, **params: Any) -> Any:
        return client.get(f"/v1/{path}", params, headers={"Authorization": f"Bearer {token}"})

    return get


def send(post_event: Post, invoice: dict[str, Any], version: str, kind: str = "invoice.updated") -> None:
    event = {
        "id": f"evt_{invoice['id']}_{kind}",
        "object": "event",
        "api_version": version,
        "created": 1_790_000_000,
        "data": {"object": invoice},
        "livemode": False,
        "pending_webhooks": 1,
        "request": "req_1" if version < "2017" else {"id": "req_1", "idempotency_key": None},
        "type": kind,
    }
    assert post_event(event).status_code == 200
    assert sync.process_events() == 1
    assert set(Event.objects.values_list("state", flat=True)) == {"done"}


def comes_out_as_it_came_in(api: Callable[..., Any], invoice: dict[str, Any]) -> None:
    answer = api(f"invoices/{invoice['id']}")
    assert answer.status_code == 200
    found = json.loads(answer.content)
    assert list(found) == list(invoice)  # in the same order
    for member, value in invoice.items():
        assert found[member] == value and type(found[member]) is type(value), member


def read_what_is_due() -> int:
    make_all_due()
    return sync.perform_refetches()


@each_shape
def test_under_the_version_that_we_pin(post_event: Post, api: Any, year: str, invoice: dict[str, Any]) -> None:
    before = copy.deepcopy(invoice)
    send(post_event, invoice, conf.STRIPE_API_VERSION)
    comes_out_as_it_came_in(api, before)


@each_shape
def test_under_their_own_version_and_after_stripe_was_asked(
    sandbox: SandboxProcess, post_event: Post, api: Any, year: str, invoice: dict[str, Any]
) -> None:
    send(post_event, invoice, year)
    comes_out_as_it_came_in(api, invoice)
    assert read_what_is_due() == 1
    comes_out_as_it_came_in(api, invoice)  # Stripe answered 404: that takes nothing away that was signed
    assert read_what_is_due() == 0


def test_what_stripe_still_knows_is_shown_as_it_is_today(sandbox: SandboxProcess, post_event: Post, api: Any) -> None:
    customer = sandbox.client().v1.customers.create({"email": "a@example.com"}).id
    today = sandbox.client().v1.invoices.create({"customer": customer, "currency": "usd"})
    send(post_event, IN_2014 | {"id": today.id}, "2014-06-17")
    assert read_what_is_due() == 1
    found = json.loads(api(f"invoices/{today.id}").content)
    theirs = json.loads(sandbox.client().raw_request("get", f"/v1/invoices/{today.id}").body)
    assert found == theirs and "closed" not in found


def test_a_draft_of_an_older_version_that_was_deleted(sandbox: SandboxProcess, post_event: Post, api: Any) -> None:
    """By its event at once; where that was lost, by the second time that Stripe does not find it."""
    send(post_event, IN_2018, "2018-09-24", "invoice.created")
    send(post_event, IN_2018, "2018-09-24", "invoice.deleted")
    assert api("invoices/in_2018").status_code == 404
    other = IN_2018 | {"id": "in_2018_lost"}
    send(post_event, other, "2018-09-24", "invoice.created")
    assert read_what_is_due() >= 1
    comes_out_as_it_came_in(api, other)
    assert reconcile.compare_invoice("in_2018_lost").exit_code == reconcile.DRIFT_HEALED
    assert api("invoices/in_2018_lost").status_code == 404


def test_all_of_them_together_break_nothing(
    sandbox: SandboxProcess, post_event: Post, api: Any, client: Client, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))  # no event is on its way
    shapes = [*SHAPES.values(), IN_2025 | {"id": "in_2026", "description": None}]
    shapes.remove(IN_2025)
    for invoice in shapes:
        send(post_event, invoice, conf.STRIPE_API_VERSION)
    listed = json.loads(api("invoices", limit=100).content)["data"]
    assert sorted(one["id"] for one in listed) == sorted(invoice["id"] for invoice in shapes)
    for invoice in shapes:
        # What is not here is asked of Stripe, which has none of these: nobody is told that there are no more.
        assert api(f"invoices/{invoice['id']}/lines").status_code == (503 if are_cut(invoice) else 200)
        assert api(f"invoices/{invoice['id']}", **{"expand[]": "customer"}).status_code == 200
    client.force_login(manager)
    assert client.get("/admin/invoices/invoice/").status_code == 200
    for invoice in shapes:
        assert client.get(f"/admin/invoices/invoice/{invoice['id']}/").status_code == 200
    sandbox.client().v1.invoices.create({"customer": sandbox.client().v1.customers.create({}).id})
    assert reconcile.verify().state == "finished"
    run = reconcile.sweep_lists("full")
    assert run.state == "finished" and run.exit_code == reconcile.DRIFT_LEFT
    left = set(Drift.objects.filter(run=run, healed_at=None).values_list("object_id", flat=True))
    assert left == {"in_2011", "in_2014", "in_2020", "in_2022", "in_bare", "in_odd"}  # not the drafts: they are gone
