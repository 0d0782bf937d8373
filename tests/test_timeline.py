"""The timeline of an invoice's page: what each source tells, who may see it, its filter and its pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from invoices import clock
from invoices.models import Drift, Event, Invoice, Note, NoteVersion, Operation, ReconciliationRun
from tests.factories import (
    ChargeObject,
    CreditNoteObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    RefundObject,
    stored,
)
from tests.helpers.admin_pages import LIST

pytestmark = pytest.mark.django_db
DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def invoice(agent: User, manager: User) -> Invoice:
    """An invoice of which every source tells something."""
    invoice: Invoice = stored(InvoiceObject(currency="eur"))
    intent = stored(PaymentIntentObject())
    payment = {"type": "payment_intent", "payment_intent": intent.pk}
    stored(InvoicePaymentObject(invoice=invoice.pk, payment=payment))
    failure = {"failure_message": "Your card was declined.", "failure_code": "expired_card"}
    stored(ChargeObject(payment_intent=intent.pk, status="failed", **failure))
    stored(CreditNoteObject(invoice=invoice.pk, amount=321, currency="eur"))
    stored(RefundObject(payment_intent=intent.pk, amount=654, currency="eur"))
    Event.objects.create(
        id="evt_1", type="invoice.finalized", object_id=invoice.pk, created=DAY, body="{}", state="done"
    )
    Operation.objects.create(
        action="void",
        invoice=invoice.pk,
        actor=agent,
        approver=manager,
        decided_at=clock.now(),
        decision_reason="It is right",
        source="admin",
        reason="a wrong order",
        ticket="T-1",
        state="failed",
        message="This cannot be.",
        finished_at=clock.now(),
    )
    note = Note.objects.create(invoice=invoice.pk, author=agent)
    NoteVersion.objects.create(note=note, number=1, text="She calls back \U0001f600")
    NoteVersion.objects.create(note=note, number=2, text="She called back")
    Drift.objects.create(
        run=ReconciliationRun.objects.create(kind="sweep"),
        kind="differs",
        object_type="invoice",
        object_id=invoice.pk,
        invoice=invoice.pk,
        field="amount_remaining",
        ours=13600,
        theirs=1100,
    )
    return invoice


def shown(client: Client, invoice: Invoice, **given: str) -> str:
    response = client.get(f"{LIST}{invoice.pk}/", given)
    assert response.status_code == 200
    return response.content.decode().split('id="timeline"')[1].split("</section>")[0].replace("&#x27;", "'")


TOLD = {
    "events": "Invoice finalized",
    "attempts": "Declined: USD 10.00, Visa •••• 4242",
    "operations": "a wrong order (T-1)",
    "notes": "She called back",
    "money_back": "Refund of EUR 6.54",
    "drift": "We had EUR 136.00, Stripe had EUR 11.00.",
}


def test_it_joins_everything(client: Client, manager: User, invoice: Invoice) -> None:
    client.force_login(manager)
    found = shown(client, invoice)
    for words in (*TOLD.values(), "She calls back \U0001f600", "It is right", "This cannot be.", "EUR 3.21"):
        assert words in found, words
    assert "Your card was declined" in found


@pytest.mark.parametrize("kind", TOLD)
def test_by_kind(client: Client, manager: User, invoice: Invoice, kind: str) -> None:
    client.force_login(manager)
    found = shown(client, invoice, kind=kind)
    assert [name for name, words in TOLD.items() if words in found] == [kind]
    assert found.count('aria-current="page"') == 1


def test_each_permission_hides_its_own(client: Client, invoice: Invoice) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(reader)
    for kind in ("", *TOLD):
        found = shown(client, invoice, kind=kind)
        for name, words in TOLD.items():
            assert name == "events" or words not in found, (kind, name)
    assert "/event/" not in shown(client, invoice)


@pytest.mark.parametrize("before", ["x", "\x00", "9" * 500, "2026-03-01", "0001-01-01T00:00:00+14:00", "-"])
def test_a_moment_that_cannot_be_read_is_none(desk: Client, invoice: Invoice, before: str) -> None:
    assert "Void" in shown(desk, invoice, before=before, kind="nonsense")


def test_many_events_are_paged_and_none_is_lost(desk: Client, django_assert_max_num_queries: Any, agent: User) -> None:
    invoice = stored(InvoiceObject())
    Event.objects.bulk_create(
        Event(
            id=f"evt_{number:04}",
            type=f"invoice.kind{number:04}",
            object_id=invoice.pk,
            created=DAY + timedelta(seconds=number // 3),
            body="{}",
            state="done",
        )
        for number in range(300)
    )
    seen: set[str] = set()
    given: dict[str, str] = {}
    for _ in range(20):
        with django_assert_max_num_queries(48):
            found = shown(desk, invoice, **given)
        here = {words for words in found.split() if words.startswith("kind")}
        here = {part[:8] for part in here}
        assert not here & seen and found.count("<li") <= 45
        seen |= here
        if 'rel="next"' not in found:
            break
        address = found.split('rel="next"')[0].rpartition('href="?')[2].partition("#")[0].replace("&amp;", "&")
        given = {
            name: value.replace("%3A", ":").replace("%2B", "+")
            for name, value in (part.split("=") for part in address.split("&"))
        }
    assert len(seen) == 300


def test_a_moment_in_a_difference_is_shown_as_a_moment(client: Client, manager: User, invoice: Invoice) -> None:
    client.force_login(manager)
    run = ReconciliationRun.objects.create(kind="invoice", state="finished")
    Drift.objects.create(
        run=run,
        kind="differs",
        object_type="invoice",
        object_id=invoice.pk,
        invoice=invoice.pk,
        field="due_date",
        ours=1_700_000_000,
        theirs="<b>soon</b>",
    )
    found = shown(client, invoice)
    assert "14 Nov 2023" in found and "&lt;time" not in found and "<b>soon" not in found


def test_a_card_and_a_day_are_told_in_words(desk: Client, agent: User) -> None:
    invoice: Invoice = stored(InvoiceObject())
    intent = stored(PaymentIntentObject())
    stored(InvoicePaymentObject(invoice=invoice.pk, payment={"type": "payment_intent", "payment_intent": intent.pk}))
    stored(ChargeObject(payment_intent=intent.pk, payment_method="pm_charged"))
    given = {"invoice": invoice.pk, "actor": agent, "source": "admin", "state": "failed"}
    for method in ("pm_charged", "pm_unknown"):
        Operation.objects.create(action="pay", params={"payment_method": method}, **given)
    params = {"amount": 100, "method": "check", "received_on": "2026-03-05"}
    Operation.objects.create(action="attach_out_of_band_payment", params=params, **given)
    found = shown(desk, invoice, kind="operations")
    assert "Payment method: Visa •••• 4242" in found and "Payment method: a saved payment method" in found
    assert "Received on: 5 Mar 2026" in found and "pm_" not in found and "2026-03-05" not in found
