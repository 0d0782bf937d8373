"""The forms of the actions: plain names, buttons that name the amount, and a reason that is always given."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from invoices import operations, refetch
from invoices.admin.invoices import bulk
from invoices.admin.invoices.forms import MAX_REASON_LENGTH, OTHER_REASON, ActionForm
from invoices.models import Batch, Invoice, Operation
from invoices.operations import ACTIONS, bulk_preview
from tests.factories import InvoiceObject, invoice_at, stored
from tests.helpers.admin_pages import LIST, action_url, form_data, hidden, text
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db


def label_of_button(html: str) -> str:
    found = re.search(r'<span id="act-label"[^>]*>([^<]*)</span>', html)
    assert found
    return found[1]


class TestNames:
    @pytest.mark.parametrize(
        ("action", "label", "term"),
        [
            ("attach_out_of_band_payment", "Record a payment", "attach out-of-band payment"),
            ("mark_uncollectible", "Write off", "mark uncollectible"),
            ("attach_payment", "Link a payment", "attach payment"),
        ],
    )
    def test_stripe_s_own_word_stands_beside_the_plain_one(
        self, desk: Client, action: str, label: str, term: str
    ) -> None:
        invoice = stored(InvoiceObject())
        found = text(desk.get(action_url(invoice.pk, action)))
        heading = found.split("<h2>")[1].split("</h2>")[0]
        assert heading.startswith(label) and f"Stripe: {term}" in heading
        assert f'title="Stripe: {term}">{label}</a>' in text(desk.get(f"{LIST}{invoice.pk}/"))

    def test_names_that_programs_use_stay(self) -> None:
        assert set(ACTIONS) == {
            *(
                "pay",
                "charge_part",
                "attach_out_of_band_payment",
                "void",
                "mark_uncollectible",
                "finalize",
                "send",
                "attach_payment",
            )
        }
        assert ACTIONS["mark_uncollectible"].permission == "invoices.mark_uncollectible_invoice"

    def test_a_missing_permission_is_said_in_a_whole_sentence(self, auditor: User) -> None:
        invoice = stored(InvoiceObject())
        with pytest.raises(operations.Refusal) as refusal:
            operations.request("mark_uncollectible", invoice.pk, actor=auditor, source="admin", reason="asked")
        assert refusal.value.message == "You may not mark an invoice uncollectible."


class TestButtons:
    @pytest.mark.parametrize(
        ("action", "currency", "label"),
        [
            ("pay", "eur", "Pay EUR 312.00"),
            ("void", "jpy", "Void JPY 31,200: ask for approval"),
            ("mark_uncollectible", "kwd", "Write off KWD 31.200"),
            ("send", "eur", "Send now"),
        ],
    )
    def test_they_name_the_amount(self, desk: Client, action: str, currency: str, label: str) -> None:
        invoice = stored(InvoiceObject(currency=currency, amount_remaining=31_200, collection_method="send_invoice"))
        assert label_of_button(text(desk.get(action_url(invoice.pk, action)))) == label

    def test_an_amount_that_can_be_typed_is_named_by_the_script_alone(self, desk: Client) -> None:
        """Without it the label could not follow what is typed, and would name another amount than the one sent."""
        path = action_url(
            stored(InvoiceObject(currency="eur", amount_remaining=31_200)).pk, "attach_out_of_band_payment"
        )
        found = text(desk.get(path))
        assert label_of_button(found) == "Record a payment" and 'data-named="Record EUR 312.00"' in found
        shown = text(desk.get(path, {"preview": "1", "amount": "88"}))
        assert label_of_button(shown) == "Record EUR 88.00"

    @pytest.mark.parametrize("typed", ["", "eighty", "8,8,8", "-1", "9" * 60, "1e9", "\x00", "٣٤"])
    def test_what_cannot_be_read_names_no_amount(self, desk: Client, typed: str) -> None:
        path = action_url(stored(InvoiceObject()).pk, "attach_out_of_band_payment")
        assert label_of_button(text(desk.get(path, {"preview": "1", "amount": typed}))) == "Record a payment"

    def test_a_request_for_approval_names_it_too(self, desk: Client) -> None:
        invoice = stored(InvoiceObject(currency="usd", amount_remaining=500_000))
        found = text(desk.get(action_url(invoice.pk, "void")))
        assert label_of_button(found) == "Void USD 5,000.00: ask for approval"

    def test_many_invoices_are_summed_by_currency(self, desk: Client) -> None:
        for currency in ("eur", "eur", "jpy"):
            stored(InvoiceObject(currency=currency, amount_remaining=88))
        found = text(desk.get(f"{LIST}bulk/mark_uncollectible/?state=open"))
        assert ">Write off EUR 1.76 and JPY 88 on 3 invoices</button>" in found

    def test_many_currencies_are_counted_after_the_first(self) -> None:
        preview = bulk_preview.BulkPreview(ACTIONS["void"])
        for currency in ("eur", "usd", "gbp", "chf", "sek"):
            preview.invoices.append(Invoice(pk=f"in_{currency}", currency=currency, amount_remaining=100))
        label = bulk.button(ACTIONS["void"], preview)
        assert label.startswith("Void ") and label.endswith(" and 2 more currencies on 5 invoices")


class TestReasons:
    @pytest.mark.parametrize("action", ACTIONS)
    def test_every_form_offers_some(self, desk: Client, action: str) -> None:
        invoice = stored(
            InvoiceObject(
                status="draft" if action == "finalize" else "open",
                collection_method="send_invoice",
                amount_remaining=1000,
            )
        )
        found = text(desk.get(action_url(invoice.pk, action)))
        assert 'name="reason_choice"' in found and "required</small>" in found
        for reason in ACTIONS[action].reasons:
            assert f">{reason}</option>" in found
        assert len(ACTIONS[action].reasons) >= 2 and '<option value="other">' in found

    @pytest.mark.parametrize(
        ("chosen", "typed", "stored_reason"),
        [
            ("The invoice was made twice", "", "The invoice was made twice"),
            ("The invoice was made twice", " see 4711 ", "The invoice was made twice: see 4711"),
            (OTHER_REASON, "Asked by the auditor", "Asked by the auditor"),
            ("", "Asked by the auditor", "Asked by the auditor"),
        ],
    )
    def test_the_journal_gets_a_sentence(self, chosen: str, typed: str, stored_reason: str) -> None:
        invoice = stored(InvoiceObject())
        fresh = ActionForm(ACTIONS["void"], invoice)
        given = {name: field.value() for name, field in ((each.name, each) for each in fresh.hidden_fields())}
        form = ActionForm(ACTIONS["void"], invoice, {**given, "reason_choice": chosen, "reason": typed})
        assert form.is_valid(), form.errors
        assert form.cleaned_data["reason"] == stored_reason

    @pytest.mark.parametrize(
        ("chosen", "typed", "words"),
        [
            ("", "", "Please say why"),
            ("", " \n ", "Please say why"),
            (OTHER_REASON, "  ", "needs your own words"),
            ("Because", "I say so", "Choose one of the reasons"),
            ("\x00", "x", "Choose one of the reasons"),
            ("", "\x00", "Null characters"),
            ("The invoice was made twice", "x" * (MAX_REASON_LENGTH + 1), "at most 2000 characters"),
        ],
    )
    def test_what_is_no_reason_is_said_beside_the_field(
        self, desk: Client, chosen: str, typed: str, words: str
    ) -> None:
        invoice = stored(InvoiceObject())
        given = form_data(desk, invoice.pk, "void") | {"reason_choice": chosen, "reason": typed}
        response = desk.post(action_url(invoice.pk, "void"), given)
        field = text(response).split('class="field reason')[1].split('class="field')[0]
        assert response.status_code == 400 and words in field
        assert not Operation.objects.exists()

    def test_what_was_chosen_stays_when_something_else_is_wrong(self, desk: Client) -> None:
        invoice = stored(InvoiceObject())
        path, reason = action_url(invoice.pk, "attach_out_of_band_payment"), "The customer paid in cash"
        given = form_data(desk, invoice.pk, "attach_out_of_band_payment") | {"reason_choice": reason, "amount": "x"}
        found = text(desk.post(path, given))
        assert f'<option value="{reason}" selected>' in found and "The customer asked on the phone" in found

    def test_a_batch_keeps_it(self, desk: Client, monkeypatch: Any) -> None:
        monkeypatch.setattr(operations.batch, "wake", lambda task: None)
        stored(InvoiceObject())
        path = f"{LIST}bulk/void/?state=open"
        found = text(desk.get(path))
        given = hidden(found) | {"number": "1", "reason_choice": "The invoice was made twice"}
        assert desk.post(path, given).status_code == 302
        assert Batch.objects.get().reason == "The invoice was made twice"


@pytest.mark.django_db(transaction=True)
def test_a_chosen_reason_is_enough_to_act(sandbox: SandboxProcess, desk: Client) -> None:
    made = invoice_at(sandbox)
    refetch.refetch("invoice", made.id)
    given = form_data(desk, made.id, "void") | {"reason": "", "reason_choice": "The invoice was made twice"}
    assert desk.post(action_url(made.id, "void"), given).status_code == 302
    operation = Operation.objects.get()
    assert (operation.state, operation.reason) == ("succeeded", "The invoice was made twice")


def test_a_pause_that_begins_while_a_form_is_open_loses_nothing(desk: Client, manager: User) -> None:
    invoice = stored(InvoiceObject())
    given = form_data(desk, invoice.pk, "void") | {"reason": "words of mine", "ticket": "T-4711"}
    operations.pauses.begin("void", "The books are being closed", manager)
    response = desk.post(action_url(invoice.pk, "void"), given)
    found = text(response)
    assert response.status_code == 503 and "The books are being closed" in found
    assert "words of mine</textarea>" in found.replace("\n", "") and "T-4711" in found
    operations.pauses.end("void", manager)
    assert hidden(found)["operation"] != given["operation"]  # the form can be sent as it is, once the pause is over
