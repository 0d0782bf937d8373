"""The invoice's page: its state in words for each state, who decided, and nothing that the reader may not see."""

from __future__ import annotations

import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from invoices import clock
from invoices.admin.invoices.situation import Situation
from invoices.admin.invoices.state_in_words import in_words
from invoices.models import Invoice, Operation, Pause, PaymentIntent
from tests.factories import (
    ChargeObject,
    CreditNoteObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    stored,
)
from tests.helpers.admin_pages import LIST

pytestmark = pytest.mark.django_db
LATE, LATER = 1_500_000_000, 4_070_908_800
TRANSITIONS = {"paid_at": 1_700_000_000, "voided_at": 1_700_000_000, "marked_uncollectible_at": 1_700_000_000}


@pytest.mark.parametrize(
    ("changes", "known", "words"),
    [
        ({"status": "draft"}, {}, ("Nothing is owed yet", "It is a draft", "Finalize it")),
        ({"due_date": LATER}, {}, ("USD 10.00 is owed.", "It is due on 1 January 2099", "Charge it")),
        ({"due_date": LATE, "collection_method": "send_invoice"}, {}, ("USD 10.00", "It was due", "Remind")),
        (
            {"next_payment_attempt": LATER},
            {},
            ("USD 10.00", "not been charged", "by itself on 1 Jan"),
        ),
        ({"due_date": LATE}, {"paused": "Pay is paused: an audit"}, ("USD 10.00", "It was due", "Pay is paused")),
        (
            {},
            {
                "intent": PaymentIntent(
                    status="requires_payment_method", error_message="x", decline_code="insufficient_funds"
                ),
                "card": "Visa •••• 4242",
                "reason": "Your card was declined (insufficient funds).",
            },
            ("USD 10.00 is owed", "declined (Visa •••• 4242): Your card was declined (ins", "Not enough money"),
        ),
        ({}, {"intent": PaymentIntent(status="requires_action")}, ("USD 10.00", "confirm the payment", "Send the")),
        ({}, {"processing": 1000}, ("USD 10.00", "USD 10.00 is on its way", "Do not charge again")),
        (
            {},
            {"unfinished": {"action": "pay", "state": "unknown", "source": "admin"}},
            ("not certain", "its outcome is not known yet", "Nothing is done twice"),
        ),
        (
            {},
            {"unfinished": {"action": "void", "state": "awaiting_approval", "source": "admin"}},
            ("USD 10.00 is owed", "waits for a second person", "nothing is sent to Stripe"),
        ),
        ({}, {"contradicted": True}, ("not certain", "Stripe says otherwise", "do not ask the customer")),
        ({}, {"waits": True}, ("not certain", "newer state", "being read")),
        (
            {"status": "paid", "amount_paid": 1000, "status_transitions": TRANSITIONS},
            {},
            ("Nothing is owed: USD 10.00 was paid.", "It was paid on 14 November 2023", ""),
        ),
        ({"status": "paid"}, {"credited": 1000}, ("nothing was paid: USD 10.00 was credited.", "It was closed", "")),
        ({"status": "void", "status_transitions": TRANSITIONS}, {}, ("Nothing is owed.", "It was voided on 14", "")),
        ({"status": "uncollectible"}, {}, ("USD 10.00 is owed", "written off", "can still pay")),
        (
            {"amount_paid": 400, "amount_remaining": 600, "attempted": False},
            {},
            ("USD 6.00 of USD 10.00 is owed", "It has not been paid in full.", ""),
        ),
        ({"status": 7}, {}, ("not certain", "could not be read", "Refresh")),
    ],
)
def test_each_state(changes: dict[str, Any], known: dict[str, Any], words: tuple[str, str, str]) -> None:
    if "unfinished" in known:  # made here, because its default moment asks the database
        known = known | {"unfinished": Operation(**known["unfinished"])}
    said = in_words(Situation(stored(InvoiceObject(**changes)), **known))
    for expected, sentence in zip(words, said, strict=True):
        assert expected in sentence


def test_a_deleted_draft_is_not_waited_for() -> None:
    invoice = stored(InvoiceObject(status="draft"))
    invoice.deleted_at = clock.now()
    assert in_words(Situation(invoice)).owed == "Nothing is owed."


def words_of(client: Client, invoice: Invoice) -> str:
    found = client.get(f"{LIST}{invoice.pk}/").content.decode()
    return found.split('id="state-words"')[1].split("</div>")[0]


def declined_with_card() -> Invoice:
    invoice: Invoice = stored(InvoiceObject())
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card was declined."}
    charge = stored(ChargeObject(status="failed"))
    intent = stored(PaymentIntentObject(last_payment_error=error, latest_charge=charge.pk))
    payment = {"type": "payment_intent", "payment_intent": intent.pk}
    stored(InvoicePaymentObject(invoice=invoice.pk, payment=payment))
    return invoice


def test_a_decline_names_the_card_and_the_reason(desk: Client) -> None:
    assert "(Visa •••• 4242): Your card was declined (insufficient funds)." in words_of(desk, declined_with_card())


def test_nothing_of_what_the_reader_may_not_see(client: Client, agent: User, manager: User) -> None:
    invoice = declined_with_card()
    stored(CreditNoteObject(invoice=invoice.pk, amount=123))
    Operation.objects.create(
        action="void", invoice=invoice.pk, actor=agent, source="admin", reason="secret", state="awaiting_approval"
    )
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(reader)
    words = words_of(client, invoice)
    assert "waits for a second person" in words
    assert "4242" not in words and "1.23" not in words and "agent" not in words
    client.force_login(manager)
    words = words_of(client, invoice)
    assert "by agent" in words and "1.23" in words


def test_it_names_the_approver(desk: Client, agent: User, manager: User) -> None:
    invoice = stored(InvoiceObject(status="void", amount_remaining=1000))
    Operation.objects.create(
        action="void",
        invoice=invoice.pk,
        actor=agent,
        approver=manager,
        decided_at=clock.now(),
        source="admin",
        state="succeeded",
    )
    assert "“Void” was asked for by agent, and approved by manager." in words_of(desk, invoice)
    assert "<dt>Remaining</dt>" not in desk.get(f"{LIST}{invoice.pk}/").content.decode()


def test_a_pause_says_what_comes_next(desk: Client, manager: User) -> None:
    invoice = stored(InvoiceObject(due_date=LATE))
    Pause.objects.create(action="pay", reason="an audit", paused_by=manager, paused_at=clock.now())
    assert "Pay (and Charge a part) is paused, by manager: an audit." in words_of(desk, invoice)


def test_a_pause_ends_in_the_readers_time_zone(desk: Client, manager: User) -> None:
    ends = clock.now().replace(hour=12, minute=5) + timedelta(days=2)
    Pause.objects.create(action="pay", reason="an audit", paused_by=manager, paused_at=clock.now(), ends_at=ends)
    desk.cookies["zone"] = "Asia/Kolkata"
    words = words_of(desk, stored(InvoiceObject(due_date=LATE)))
    assert "17:35" in words and "UTC" not in words


class TestWaiting:
    """After “Done” the mirror may still hold what was before: no text asks for the old amount."""

    @pytest.fixture
    def invoice(self, agent: User) -> Invoice:
        invoice: Invoice = stored(InvoiceObject(amount_remaining=1000, hosted_invoice_url="https://pay.example.com/"))
        Operation.objects.create(
            action="attach_out_of_band_payment",
            invoice=invoice.pk,
            actor=agent,
            source="admin",
            state="succeeded",
            finished_at=clock.now() + timedelta(seconds=1),
            params={"amount": 1000},
            calls=[{"name": "report_payment", "status": 200, "key": "k"}],
            before={"status": "open", "amount_paid": 0},
            after={"status": "paid", "amount_due": 1000, "amount_paid": 1000, "amount_remaining": 0},
        )
        return invoice

    def test_the_text_waits(self, desk: Client, invoice: Invoice) -> None:
        found = desk.get(f"{LIST}{invoice.pk}/").content.decode()
        part = found.split('id="customer-text"')[1].split("</section>")[0]
        assert "disabled" in part and "give us a moment" in part
        assert "https://pay.example.com/" not in part

    def test_when_it_has_come_it_can_be_copied(self, desk: Client, invoice: Invoice) -> None:
        stored(InvoiceObject(id=invoice.pk, status="paid", amount_paid=1000, amount_remaining=0))
        part = desk.get(f"{LIST}{invoice.pk}/").content.decode().split('id="customer-text"')[1].split("</section>")[0]
        assert "was paid" in part and "disabled" not in part


class TestPaymentsAndAttempts:
    @pytest.fixture
    def shown(self, desk: Client) -> str:
        """Over USD 15.54, declined twice, an hour after its payment was made; 0.47 was paid since."""
        error = {"code": "card_declined", "message": "Your card was declined."}
        intent = stored(PaymentIntentObject(last_payment_error=error, amount=1507))
        invoice = stored(InvoiceObject(amount_due=1554, amount_paid=47, amount_remaining=1507))
        made = 1_760_000_000
        payment = {"type": "payment_intent", "payment_intent": intent.pk}
        stored(InvoicePaymentObject(invoice=invoice.pk, payment=payment, amount_requested=1507, created=made))
        for number in (1, 2):
            charge = {"status": "failed", "amount": 1554, "failure_message": "Your card was declined."}
            stored(ChargeObject(payment_intent=intent.pk, created=made + 3600 * number, **charge))
        found = desk.get(f"{LIST}{invoice.pk}/").content.decode()
        return found.split('id="payments"')[1].split("</ul>")[0] + found.split("<dt>Tried</dt>")[1].split("</div>")[0]

    def test_a_decline_stands_at_the_moment_of_the_attempt(self, shown: str) -> None:
        head = shown.split("log-head")[1].split("</div>", maxsplit=1)[0]
        assert "2025-10-09T10:53:20" in head and "2025-10-09T08:53:20" not in head

    def test_a_decline_has_the_amount_of_the_attempt(self, shown: str) -> None:
        assert "USD 15.54" in shown and "USD 15.07" not in shown

    def test_each_charge_that_is_held_is_an_attempt(self, shown: str) -> None:
        assert shown.count('class="attempt red"') == 2 and "2 times" in shown


def recorded_payment(agent: User) -> Invoice:
    """Paid by a transfer that came on 17 November, and was recorded later."""
    invoice: Invoice = stored(InvoiceObject(status="paid", amount_paid=1000))
    payment = {"type": "payment_record", "payment_record": "pyr_1"}
    stored(InvoicePaymentObject(invoice=invoice.pk, payment=payment, status="paid", amount_paid=1000))
    Operation.objects.create(
        action="attach_out_of_band_payment",
        invoice=invoice.pk,
        actor=agent,
        source="admin",
        state="succeeded",
        params={"amount": 1000, "method": "bank_transfer", "reference": "E2E-7", "received_on": "2026-11-17"},
        calls=[{"name": "report_payment", "status": 200, "key": "k", "result": {"id": "pyr_1", "status": "x"}}],
    )
    return invoice


def test_a_recorded_payment_says_when_the_money_came(desk: Client, agent: User) -> None:
    invoice = recorded_payment(agent)
    assert "received on 17 Nov 2026" in desk.get(f"{LIST}{invoice.pk}/").content.decode()


def test_the_file_of_payments_has_what_was_recorded(desk: Client, agent: User) -> None:
    recorded_payment(agent)
    found = desk.get("/admin/invoices/invoicepayment/download.csv")
    [row] = csv.DictReader(StringIO(b"".join(found).decode("utf-8-sig")))
    assert (row["Received on"], row["Method"], row["Reference"]) == ("2026-11-17", "bank_transfer", "E2E-7")
