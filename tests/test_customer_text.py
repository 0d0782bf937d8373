"""The one text for the customer: it fits the invoice's state, in English and in German, and never asks for a sum that
may be another one by now."""

from __future__ import annotations

import string
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from invoices import money
from invoices.admin.invoices import customer_text
from invoices.admin.invoices.customer_text import ENGLISH, GERMAN, LANGUAGES, SENTENCES
from invoices.admin.invoices.situation import Name, Situation
from invoices.models import Invoice, Operation, PaymentIntent
from invoices.operations import advice
from tests.factories import CustomerObject, InvoiceObject, InvoicePaymentObject, PaymentIntentObject, stored
from tests.helpers.admin_pages import LIST

pytestmark = pytest.mark.django_db
PAGE = "https://invoice.stripe.com/i/1"


def text(language: str = ENGLISH, known: dict[str, Any] | None = None, **changes: Any) -> str:
    invoice = stored(InvoiceObject(number="N-1", currency="eur", total=123450, amount_due=123450, **changes))
    return customer_text.text(Situation(invoice, **(known or {})), language)


def declined(decline_code: str, **changes: Any) -> PaymentIntent:
    return PaymentIntent(status="requires_payment_method", error_message="No.", decline_code=decline_code, **changes)


@pytest.mark.parametrize(
    ("changes", "english", "german"),
    [
        ({"status": "draft"}, "is still being prepared", "wird noch vorbereitet"),
        (
            {"status": "paid", "status_transitions": {"paid_at": 1_700_000_000}},
            "Invoice N-1 over EUR 1,234.50 was paid on 14 November 2023.",
            "Die Rechnung N-1 über 1.234,50 EUR wurde am 14. November 2023 bezahlt.",
        ),
        ({"status": "void"}, "was cancelled. You do not need to pay it.", "wurde storniert."),
        (
            {"status": "uncollectible", "amount_remaining": 123450},
            "We are not asking you to pay it now; EUR 1,234.50 remains",
            "Wir bitten Sie derzeit nicht um Zahlung; 1.234,50 EUR stehen",
        ),
        (
            {"status": "uncollectible", "amount_paid": 20130, "amount_remaining": 103320},
            "EUR 201.30 has been received. We are not asking you to pay the rest now; EUR 1,033.20 remains",
            "201,30 EUR sind eingegangen. Um den Rest bitten wir Sie derzeit nicht; 1.033,20 EUR stehen",
        ),
        (
            {"amount_paid": 100000, "amount_remaining": 23450},
            "EUR 1,000.00 has been received, and EUR 234.50 is left to pay.",
            "1.000,00 EUR sind eingegangen, 234,50 EUR sind noch zu bezahlen.",
        ),
        ({"due_date": 1_700_000_000}, "was due on 14 November 2023.", "war am 14. November 2023 fällig."),
        ({"due_date": 4_070_908_800}, "is due on 1 January 2099.", "am 1. Januar 2099 fällig."),
        ({"status": "new_status"}, "please give us a moment", "geben Sie uns einen Moment"),
    ],
)
def test_each_state(changes: dict[str, Any], english: str, german: str) -> None:
    assert english in text(ENGLISH, **changes)
    assert german in text(GERMAN, **changes)


def test_both_languages_say_the_same_things() -> None:
    """Each sentence stands in each language, and tells the same values."""

    def values(sentence: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}

    for name, sentence in SENTENCES[ENGLISH].items():
        assert values(SENTENCES[GERMAN][name]) == values(sentence), name
    assert SENTENCES[GERMAN].keys() == SENTENCES[ENGLISH].keys() and LANGUAGES.keys() == SENTENCES.keys()
    for found in (*advice.TABLE.values(), advice.DEFAULT):
        assert found.german and found.german != found.customer


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "known",
    [
        {"waits": True},
        {"contradicted": True},
        {"unfinished": {"action": "void", "state": "unknown"}},
        {"unfinished": {"action": "void", "state": "awaiting_approval"}},
    ],
)
def test_what_is_not_certain_asks_for_nothing(known: dict[str, Any], language: str) -> None:
    if "unfinished" in known:  # made here, because its default moment asks the database
        known = known | {"unfinished": Operation(**known["unfinished"])}
    said = text(language, known, amount_remaining=77_00, hosted_invoice_url=PAGE)
    assert PAGE not in said and "77" not in said
    assert ("give us a moment" if language == ENGLISH else "einen Moment") in said


WAIT = {ENGLISH: "do not pay it yet", GERMAN: "noch nicht"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("action", "state", "asks_to_wait"),
    [
        ("pay", "unknown", True),
        ("charge_part", "running", True),
        ("attach_out_of_band_payment", "unknown", True),
        ("pay", "awaiting_approval", False),
        ("mark_uncollectible", "awaiting_approval", False),
        ("mark_uncollectible", "unknown", False),
        ("void", "unknown", False),
    ],
)
def test_only_a_running_payment_asks_to_wait(action: str, state: str, asks_to_wait: bool, language: str) -> None:
    said = text(language, {"unfinished": Operation(action=action, state=state)}, hosted_invoice_url=PAGE)
    assert (WAIT[language] in said) is asks_to_wait and PAGE not in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_written_off_is_not_dunned(language: str) -> None:
    """It may be disputed, or the customer may be bankrupt: no link to pay, and no sentence that asks to."""
    changes: dict[str, Any] = {
        "status": "uncollectible",
        "amount_paid": 20130,
        "amount_remaining": 103320,
        "hosted_invoice_url": PAGE,
    }
    said = text(language, **changes)
    assert PAGE not in said and "has not been paid" not in said and "wurde nicht bezahlt" not in said


def test_after_a_decline_it_says_what_helps() -> None:
    said = text(GERMAN, {"intent": declined("insufficient_funds")}, hosted_invoice_url=PAGE)
    assert "nicht ausreichend gedeckt" in said and f"Hier können Sie sie bezahlen: {PAGE}" in said
    said = text(ENGLISH, {"intent": declined("expired_card")}, hosted_invoice_url=PAGE)
    assert "update your card" in said and PAGE not in said
    said = text(ENGLISH, {"intent": declined("stolen_card")}, hosted_invoice_url=PAGE)
    assert "stolen" not in said and "another payment method" in said
    said = text(GERMAN, {"intent": declined("", error_code="authentication_required")}, hosted_invoice_url=PAGE)
    assert f"Der Link: {PAGE}" in said
    assert text(GERMAN, {"intent": PaymentIntent(status="requires_action")}).count("selbst bestätigen") == 1


def test_what_a_bank_processes_is_not_asked_for() -> None:
    said = text(GERMAN, {"processing": 123450}, hosted_invoice_url=PAGE)
    assert "1.234,50 EUR ist unterwegs" in said and PAGE not in said


def test_what_was_credited() -> None:
    assert "was credited" in text(ENGLISH, {"credited": 123450}, status="paid", amount_paid=0)
    said = text(GERMAN, {"credited": 100}, status="paid", amount_paid=123450)
    assert "bezahlt" in said and "1,00 EUR gutgeschrieben" in said


def test_a_draft_has_no_number() -> None:
    draft = stored(InvoiceObject(status="draft", number=None))
    assert customer_text.text(Situation(draft)).startswith("The invoice over USD 10.00")
    assert customer_text.text(Situation(draft), GERMAN).startswith("Die Rechnung über 10,00 USD")


@pytest.mark.parametrize(
    ("locales", "language"),
    [
        (["de-AT", "en"], GERMAN),
        (["fr", "de"], GERMAN),
        (["en-GB", "de"], ENGLISH),
        (["fr"], ENGLISH),
        ([], ENGLISH),
        (None, ENGLISH),
        ("de", ENGLISH),
        ([7, "DE_de"], GERMAN),
    ],
)
def test_the_customers_language(locales: Any, language: str) -> None:
    assert customer_text.language_of(SimpleNamespace(data={"preferred_locales": locales})) == language
    assert customer_text.language_of(None) == ENGLISH


@pytest.mark.parametrize(("currency", "written"), [("jpy", "1.234.567 JPY"), ("kwd", "1.234,567 KWD")])
def test_german_amounts(currency: str, written: str) -> None:
    assert money.in_language(1234567, currency, GERMAN) == written
    assert money.in_language(None, currency, GERMAN) == "–"


def test_the_page_writes_in_the_customers_language_and_can_switch(desk: Client) -> None:
    customer = stored(CustomerObject(preferred_locales=["de"]))
    invoice: Invoice = stored(InvoiceObject(customer=customer.pk, number="N-\u202e7", currency="eur"))
    found = desk.get(f"{LIST}{invoice.pk}/").content.decode()
    assert 'id="customer-words" lang="de">Die Rechnung' in found and 'href="?language=en#customer-text"' in found
    found = desk.get(f"{LIST}{invoice.pk}/", {"language": "en"}).content.decode()
    assert 'id="customer-words" lang="en">Invoice' in found
    for wrong in ("xx", "\x00", "d" * 5000):
        assert 'lang="de">Die Rechnung' in desk.get(f"{LIST}{invoice.pk}/", {"language": wrong}).content.decode()


def test_the_situation_of_a_declined_one_comes_from_its_open_payment(desk: Client) -> None:
    invoice = stored(InvoiceObject())
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Declined."}
    intent = stored(PaymentIntentObject(last_payment_error=error))
    payment = {"type": "payment_intent", "payment_intent": intent.pk}
    stored(InvoicePaymentObject(invoice=invoice.pk, payment=payment))
    found = desk.get(f"{LIST}{invoice.pk}/").content.decode()
    assert found.count('id="customer-words"') == 1 and "does not hold enough" in found
    assert Situation(invoice, intent=intent).name == Name.DECLINED
