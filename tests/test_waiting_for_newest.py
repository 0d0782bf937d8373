"""After "Done" the mirror may be older than the operation: the page says so, waits, and copies nothing meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import clock, intake, operations, refetch, scheduled_refetches, sync
from invoices.models import Invoice, Operation
from invoices.thresholds import NEWEST_STATE_LATE
from tests.factories import invoice_at
from tests.helpers.admin_pages import LIST, text
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def done(sandbox: SandboxProcess, agent: User) -> Operation:
    """A part of an invoice was recorded as received, but the mirror kept the invoice as it was before."""
    made = invoice_at(sandbox)
    refetch.refetch("invoice", made.id)
    before = Invoice.objects.get(pk=made.id)
    params = {"amount": 400, "method": "Cash", "received_on": "2026-01-31"}
    operation = operations.execute(
        "attach_out_of_band_payment", made.id, actor=agent, source="admin", reason="x", params=params
    )
    assert operation.state == "succeeded" and operation.after["amount_paid"] == 400
    names = ("data", "status", "amount_paid", "amount_remaining", "stored_at")
    Invoice.objects.filter(pk=made.id).update(**{name: getattr(before, name) for name in names})
    scheduled_refetches.schedule([("invoice", made.id)])
    return operation


def page(client: Client, operation: Operation) -> str:
    return text(client.get(f"{LIST}{operation.invoice}/", {"operation": str(operation.pk)}))


def copy_button(html: str) -> str:
    return html.split('data-copy="#customer-words"')[1].split(">", maxsplit=1)[0]


def asked(client: Client, operation: Operation) -> Any:
    return client.get(f"{LIST}{operation.invoice}/newest/", headers={"HX-Request": "true"})


def test_the_page_waits_and_copies_nothing(desk: Client, done: Operation) -> None:
    found = page(desk, done)
    assert "Waiting for Stripe's newest state" in found and f"{LIST}{done.invoice}/newest/" in found
    assert " disabled" in copy_button(found)
    answer = asked(desk, done)
    assert "every 2s" in text(answer) and "HX-Trigger" not in answer
    found = text(desk.get(f"/admin/invoices/operation/{done.pk}/"))
    assert "Waiting for Stripe's newest state" in found and " disabled" in copy_button(found)


def test_once_the_state_is_in_the_page_is_shown_anew(desk: Client, done: Operation) -> None:
    refetch.refetch("invoice", done.invoice)
    answer = asked(desk, done)
    assert answer["HX-Trigger"] == "newest-state-is-in" and "Show it" in text(answer) and "every" not in text(answer)
    found = page(desk, done)
    assert 'id="waiting"' not in found and " disabled" not in copy_button(found) and "USD 6.00" in found


def test_it_does_not_wait_for_ever(desk: Client, done: Operation, monkeypatch: Any) -> None:
    later = clock.now() + NEWEST_STATE_LATE + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    found = page(desk, done)
    assert "its newest state is not in yet" in found and "every 2s" not in found.split('id="waiting"')[1][:200]
    assert " disabled" in copy_button(found)


def test_the_normal_course_waits_for_nothing(desk: Client, sandbox: SandboxProcess, agent: User) -> None:
    made = invoice_at(sandbox)
    refetch.refetch("invoice", made.id)
    operation = operations.execute("pay", made.id, actor=agent, source="admin", reason="x")
    assert operation.state == "succeeded" and 'id="waiting"' not in page(desk, operation)


def test_a_later_change_is_not_waited_for(desk: Client, done: Operation, sandbox: SandboxProcess) -> None:
    """The mirror has what came after the operation: that differs from what Stripe showed then, and is newer."""
    sandbox.client().v1.invoices.pay(done.invoice)
    refetch.refetch("invoice", done.invoice)
    assert 'id="waiting"' not in page(desk, done)
    scheduled_refetches.schedule([("invoice", done.invoice)])
    assert Invoice.objects.get(pk=done.invoice).status == "paid"


def test_a_stranger_learns_nothing(client: Client, done: Operation) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    known, unknown = asked(client, done), client.get(f"{LIST}in_nowhere/newest/")
    assert known.status_code == unknown.status_code == 403 and done.invoice not in text(known)


def test_every_attempt_is_counted(sandbox: SandboxProcess, desk: Client, agent: User) -> None:
    """Stripe's own count has the first attempt, and then only those that it makes by itself."""
    made = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
    refetch.refetch("invoice", made.id)
    operations.execute("pay", made.id, actor=agent, source="admin", reason="x")
    client = sandbox.client().v1
    good = client.payment_methods.attach("pm_card_mastercard", {"customer": made.customer})
    operations.execute("pay", made.id, actor=agent, source="admin", reason="x", params={"payment_method": good.id})
    for event in reversed(client.events.list({"limit": 100}).data):
        intake.journal([intake.event_row(event.to_dict())])
    sync.process_events()
    assert Invoice.objects.get(pk=made.id).attempt_count == 1
    assert "<dt>Tried</dt><dd>2 times</dd>" in text(desk.get(f"{LIST}{made.id}/"))
