"""Actions in the browser, over HTTP against the sandbox: who may, GET never acts, twice is once, errors stand beside
their field, and every outcome is said in words."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import trans_real

from invoices import operations, recorded, refetch
from invoices.admin.invoices import bulk
from invoices.admin.operations import batch_csv
from invoices.models import Batch, Invoice, Operation, Pause
from invoices.operations import ACTIONS
from tests.factories import InvoiceObject, customer_at, invoice_at, stored
from tests.helpers.admin_pages import LIST, action_url, form_data, hidden, page_after
from tests.sandbox_process import SandboxProcess

GROUPS = {"agent": True, "manager": True, "auditor": False}


@pytest.fixture
def invoice(sandbox: SandboxProcess) -> Any:
    """An open one of USD 10.00 with a good card, here and at Stripe."""
    made = invoice_at(sandbox)
    refetch.refetch("invoice", made.id)
    return made


@pytest.mark.django_db
class TestDoors:
    @pytest.mark.parametrize("action", ACTIONS)
    @pytest.mark.parametrize("group", GROUPS)
    def test_permission_is_asked_on_get_and_on_post(
        self, request: Any, client: Client, group: str, action: str
    ) -> None:
        invoice = stored(InvoiceObject(status="draft" if action == "finalize" else "open"))
        client.force_login(request.getfixturevalue(group))
        expected = 200 if GROUPS[group] else 403
        response = client.get(action_url(invoice.pk, action))
        assert response.status_code == expected
        if not GROUPS[group]:
            assert b"Support agent" in response.content  # whom to ask
            given = {"operation": uuid.uuid4(), "reason": "because"}
            assert client.post(action_url(invoice.pk, action), given).status_code == 403
        assert not Operation.objects.exists()

    def test_each_action_has_its_own_permission(self, client: Client, agent: User) -> None:
        invoice = stored(InvoiceObject())
        agent.groups.get().permissions.remove(*agent.groups.get().permissions.filter(codename="void_invoice"))
        client.force_login(User.objects.get(pk=agent.pk))
        assert client.get(action_url(invoice.pk, "void")).status_code == 403
        assert client.get(action_url(invoice.pk, "pay")).status_code == 200
        assert action_url(invoice.pk, "void") not in client.get(f"{LIST}{invoice.pk}/").content.decode()

    def test_a_form_without_csrf_token_is_refused(self, agent: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(agent)
        invoice = stored(InvoiceObject())
        for path in (action_url(invoice.pk, "pay"), f"{LIST}{invoice.pk}/refresh/", f"{LIST}bulk/pay/"):
            assert client.post(path, {"reason": "x"}).status_code == 403
        assert not Operation.objects.exists()

    def test_what_does_not_exist(self, desk: Client) -> None:
        assert desk.get(action_url("in_nowhere", "pay")).status_code == 404
        assert desk.get(action_url(stored(InvoiceObject()).pk, "explode")).status_code == 404

    def test_get_never_acts(self, desk: Client) -> None:
        invoice = stored(InvoiceObject())
        for query in ("", "?reason=because&operation=7", "?preview=1&amount=1.00", "?preview=1&amount=nonsense"):
            assert desk.get(action_url(invoice.pk, "attach_out_of_band_payment") + query).status_code == 200
        assert desk.get(f"{LIST}{invoice.pk}/refresh/").status_code == 405
        assert desk.get(f"{LIST}{invoice.pk}/complete/").status_code == 405
        assert desk.get(f"{LIST}bulk/pay/").status_code == 302
        assert not Operation.objects.exists()

    def test_what_is_not_possible_says_why(self, desk: Client) -> None:
        invoice = stored(InvoiceObject(status="paid"))
        found = desk.get(action_url(invoice.pk, "void")).content.decode()
        assert "Not possible now" in found and "Invoice is already paid" in found and "<textarea" not in found


@pytest.mark.django_db
class TestForm:
    def test_it_says_what_will_happen(self, desk: Client) -> None:
        invoice = stored(InvoiceObject(currency="jpy", customer_name="Ada Byron"))
        found = desk.get(action_url(invoice.pk, "pay")).content.decode()
        assert "JPY 1,000 is charged to Ada Byron" in found and "Pay JPY 1,000" in found
        assert "can be refunded" in found

    def test_the_preview_follows_the_amount(self, desk: Client) -> None:
        invoice = stored(InvoiceObject())
        path = action_url(invoice.pk, "attach_out_of_band_payment")
        assert "stays open with USD 6.00" in desk.get(path, {"preview": "1", "amount": "4"}).content.decode()
        assert "becomes paid" in desk.get(path, {"preview": "1", "amount": "10.00"}).content.decode()
        path = action_url(invoice.pk, "pay")
        assert "Mark USD 10.00 as paid" in desk.get(path, {"preview": "1", "paid_out_of_band": "true"}).content.decode()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"amount": "ten"}, "is not an amount"),
            ({"amount": "1.505"}, "“1.505” could mean USD 1.505 or USD 1,505.00."),
            ({"amount": "9,50"}, "“9,50” could mean USD 9.50 or USD 950.00. Write 9.50 or 950.00."),
            ({"amount": "-1"}, "is not an amount"),
            ({"amount": "0"}, "more than zero"),
            ({"amount": ""}, "Amount is missing."),
            ({"amount": "9" * 30}, "larger than Stripe accepts"),
            ({"received_on": "2999-01-01"}, "lies in the future"),
            ({"received_on": "soon"}, "Enter a valid date."),
            ({"method": "Barter"}, "Select a valid choice."),
            ({"reason": "  "}, "Please say why"),
        ],
    )
    def test_an_error_stands_beside_its_field_and_the_input_stays(
        self, desk: Client, changes: dict[str, str], words: str
    ) -> None:
        invoice = stored(InvoiceObject())
        given = form_data(desk, invoice.pk, "attach_out_of_band_payment") | {
            "amount": "4.00",
            "method": "Check",
            "reference": "No. 1234",
            "received_on": "2026-01-31",
        }
        response = desk.post(action_url(invoice.pk, "attach_out_of_band_payment"), given | changes)
        found = response.content.decode()
        assert response.status_code == 400 and words in found
        name = next(iter(changes))
        field = found[found.index(f'name="{name}"') :]
        assert words in field.split('<div class="field')[0], "beside its field"
        assert 'value="No. 1234"' in found and given["operation"] in found
        assert not Operation.objects.exists()

    def test_the_grammar_stands_beside_the_field_in_the_browser_s_marks(self, desk: Client) -> None:
        path = action_url(stored(InvoiceObject(amount_remaining=123_450)).pk, "attach_out_of_band_payment")
        for language, value, words in (
            ("", "1,234.50", "Write it like 1234.50 or 1,234.50: a point for decimals"),
            ("xx,en-GB;q=0.8,de;q=0.5", "1,234.50", "a point for decimals"),
            ("de-AT,en;q=0.8", "1.234,50", "1234,50"),
            ("de-CH", "1’234.50", "1234.50"),
            ("fr", "1234,50", "Write it like 1234,50: a comma for decimals."),
            ("*, nonsense;;;q=x", "1,234.50", "a point for decimals"),
        ):
            found = desk.get(path, headers={"Accept-Language": language}).content.decode()
            assert f'value="{value}"' in found and words in found, language
            read_back = "1.234,50 US-Dollar" if language.startswith("de") else "1,234.50 US dollars"
            assert f"<b>{read_back}</b>" in found

    def test_what_is_typed_is_read_back_before_it_is_sent(self, desk: Client) -> None:
        path = action_url(stored(InvoiceObject(amount_remaining=100_000)).pk, "attach_out_of_band_payment")
        shown = desk.get(path, {"preview": "1", "amount": "950"}).content.decode()
        assert "Amount: <b>950.00 US dollars</b>" in shown and ">Record USD 950.00</span>" in shown
        shown = desk.get(path, {"preview": "1", "amount": "9,50"}).content.decode()
        assert "“9,50” could mean USD 9.50 or USD 950.00." in shown and "is recorded" not in shown
        german = {"Accept-Language": "de"}
        shown = desk.get(path, {"preview": "1", "amount": "9,50"}, headers=german).content.decode()
        assert "<b>9,50 US-Dollar</b>" in shown
        shown = desk.get(path, {"preview": "1", "amount": "9.50"}, headers=german).content.decode()
        assert "9,50" in shown and "950,00" in shown and "<b>9,50" not in shown  # both readings, and neither taken

    def test_all_errors_at_once(self, desk: Client) -> None:
        invoice = stored(InvoiceObject())
        found = desk.post(action_url(invoice.pk, "attach_out_of_band_payment"), {"amount": "x"}).content.decode()
        for words in ("is not an amount", "Received on is missing.", "Please say why", "This page was incomplete"):
            assert words in found, words

    def test_one_payment_or_the_other(self, desk: Client) -> None:
        invoice = stored(InvoiceObject())
        given = form_data(desk, invoice.pk, "attach_payment")
        response = desk.post(action_url(invoice.pk, "attach_payment"), given)
        assert response.status_code == 400 and b"Give either a PaymentIntent or a payment record." in response.content
        assert not Operation.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestDeeds:
    def test_pay(self, sandbox: SandboxProcess, desk: Client, invoice: Any, agent: User) -> None:
        response = desk.post(action_url(invoice.id, "pay"), form_data(desk, invoice.id, "pay") | {"ticket": "T-17"})
        found = page_after(desk, response)
        assert "Pay: done" in found and "was paid on" in found and "The customer asked on the phone" in found
        operation = Operation.objects.get()
        assert (operation.actor, operation.source, operation.ticket) == (agent, "admin", "T-17")
        assert operation.address == "127.0.0.1" and operation.expected["amount_remaining"] == 1000
        assert sandbox.stats()["charges"] == {invoice.id: 1}
        assert "req_" in desk.get(f"/admin/invoices/operation/{operation.pk}/").content.decode()

    def test_sent_twice_it_is_one_operation(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        given = form_data(desk, invoice.id, "pay")
        first, second = (desk.post(action_url(invoice.id, "pay"), given) for _ in range(2))
        assert first["Location"] == second["Location"]
        assert Operation.objects.count() == 1 and sandbox.stats()["charges"] == {invoice.id: 1}

    def test_sent_twice_with_other_input_is_a_conflict(
        self, sandbox: SandboxProcess, desk: Client, invoice: Any
    ) -> None:
        given = form_data(desk, invoice.id, "attach_out_of_band_payment") | {
            "method": "Cash",
            "received_on": "2026-01-31",
        }
        path = action_url(invoice.id, "attach_out_of_band_payment")
        desk.post(path, given | {"amount": "4.00"})
        response = desk.post(path, given | {"amount": "5.00"})
        assert response.status_code == 400 and b"This page was sent before, with other input" in response.content
        assert Operation.objects.count() == 1
        assert hidden(response.content.decode())["operation"] != given["operation"]

    def test_a_decline_in_words_with_advice(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        refetch.refetch("invoice", made.id)
        found = page_after(desk, desk.post(action_url(made.id, "pay"), form_data(desk, made.id, "pay")))
        operation = Operation.objects.get()
        assert "Pay: declined" in found and operation.message in found
        assert operation.advice and operation.advice.replace("'", "&#x27;") in found
        assert "result red" in found

    def test_a_manager_may_charge_again_within_the_hour(
        self, sandbox: SandboxProcess, client: Client, agent: User, manager: User
    ) -> None:
        made = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        refetch.refetch("invoice", made.id)
        client.force_login(agent)
        client.post(action_url(made.id, "pay"), form_data(client, made.id, "pay"))
        again = client.post(action_url(made.id, "pay"), form_data(client, made.id, "pay") | {"override": "on"})
        assert again.status_code == 400 and b"It can be tried again from" in again.content
        assert b'name="override"' not in again.content
        client.force_login(manager)
        again = client.post(action_url(made.id, "pay"), form_data(client, made.id, "pay"))
        assert b'name="override"' in again.content
        given = hidden(again.content.decode()) | {"reason": "the bank says it is free now", "override": "on"}
        assert "Pay: declined" in page_after(client, client.post(action_url(made.id, "pay"), given))

    def test_what_was_seen_must_still_be_so(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        given = form_data(desk, invoice.id, "void")
        sandbox.client().v1.invoices.pay(invoice.id)
        response = desk.post(action_url(invoice.id, "void"), given)
        found = page_after(desk, response) if response.status_code == 302 else response.content.decode()
        assert "othing was sent" in found
        assert "paid" in found and sandbox.client().v1.invoices.retrieve(invoice.id).status == "paid"

    def test_a_part_outside_stripe(self, sandbox: SandboxProcess, desk: Client, invoice: Any) -> None:
        given = form_data(desk, invoice.id, "attach_out_of_band_payment") | {
            "amount": "4.00",
            "method": "Bank transfer",
            "reference": "RF18",
            "received_on": "2026-01-31",
        }
        found = page_after(desk, desk.post(action_url(invoice.id, "attach_out_of_band_payment"), given))
        for words in ("USD 6.00", "partly paid", "Outside Stripe: Bank transfer, RF18", "is left to pay"):
            assert words in found, words
        assert Invoice.objects.get(pk=invoice.id).amount_remaining == 600

    def test_an_unknown_outcome_never_looks_like_an_error(
        self, sandbox: SandboxProcess, desk: Client, invoice: Any
    ) -> None:
        sandbox.faults(drop_reply=1, only=["POST /v1/invoices/*/pay"])
        in_another_tab = form_data(desk, invoice.id, "pay")
        found = page_after(desk, desk.post(action_url(invoice.id, "pay"), form_data(desk, invoice.id, "pay")))
        assert "Outcome unknown, checking with Stripe" in found and "result violet" in found
        assert "Please do not pay it yet" in found and "You can pay it here" not in found
        assert "result red" not in found and "hx-get" in found
        assert "Not possible now" in desk.get(action_url(invoice.id, "pay")).content.decode()
        again = desk.post(action_url(invoice.id, "pay"), in_another_tab)
        assert again.status_code == 409 and sandbox.stats()["charges"] == {invoice.id: 1}
        assert "Unknown outcomes" in desk.get("/admin/").content.decode()
        sandbox.clear_faults()
        Operation.objects.filter(state="unknown").update(settle_at=None)
        operations.settle_due()
        assert "was paid on" in desk.get(f"{LIST}{invoice.id}/").content.decode()

    def test_stripe_is_away(self, desk: Client, invoice: Any, settings: Any) -> None:
        given = form_data(desk, invoice.id, "pay")
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        found = page_after(desk, desk.post(action_url(invoice.id, "pay"), given))
        assert "Pay: not done, nothing was sent" in found and "result amber" in found
        found = page_after(desk, desk.post(f"{LIST}{invoice.id}/refresh/"))
        assert "What you see is what we last knew" in found
        assert b"Stripe does not answer" in desk.post(f"{LIST}{invoice.id}/complete/").content

    def test_refresh_brings_what_never_reached_us(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = invoice_at(sandbox, card="pm_card_chargeCustomerFail")
        with pytest.raises(Exception, match="declined"):
            sandbox.client().v1.invoices.pay(made.id)
        assert desk.get(f"{LIST}{made.id}/").status_code == 404
        found = page_after(desk, desk.post(f"{LIST}{made.id}/refresh/"))
        assert made.number in found and "declined" in found
        part = desk.post(f"{LIST}{made.id}/complete/").content.decode()
        assert "declined" in part and "hx-post" not in part and 'id="customer-words"' in part and "<html" not in part
        assert "Reading the missing" not in desk.get(f"{LIST}{made.id}/").content.decode()
        for wrong in ("..", "in_1?expand", "cus_1"):
            response = desk.post(f"{LIST}{quote(wrong, safe='')}/refresh/")
            assert response["Location"] == LIST, wrong
        assert "Stripe has no invoice in_no" in desk.post(f"{LIST}in_no/refresh/", follow=True).content.decode()

    def test_every_action_can_be_taken(self, sandbox: SandboxProcess, desk: Client) -> None:
        draft = invoice_at(sandbox, finalize=False, collection_method="send_invoice", days_until_due=7)
        refetch.refetch("invoice", draft.id)
        for action, words in (("finalize", "Finalize: done"), ("mark_uncollectible", "Write off: done")):
            assert words in page_after(desk, desk.post(action_url(draft.id, action), form_data(desk, draft.id, action)))


@pytest.mark.django_db(transaction=True)
class TestBulk:
    def start(self, client: Client, action: str, ids: list[str]) -> Any:
        return client.post(LIST, {"action": action, "_selected_action": ids}, follow=True)

    @pytest.fixture
    def three(self, sandbox: SandboxProcess) -> list[Any]:
        customer = customer_at(sandbox)
        made = [invoice_at(sandbox, amount, customer=customer.id) for amount in (1000, 2000, 3000)]
        sandbox.client().v1.invoices.pay(made[0].id)
        for invoice in made:
            refetch.refetch("invoice", invoice.id)
        return made

    @pytest.fixture(autouse=True)
    def wakes(self, monkeypatch: Any) -> list[str]:
        """The wake-ups that would go to the workers."""
        sent: list[str] = []
        monkeypatch.setattr(operations.batch, "wake", sent.append)
        return sent

    def test_the_list_offers_what_one_may_do(self, desk: Client, auditor: User, three: list[Any]) -> None:
        found = desk.get(LIST).content.decode()
        assert all(f'<option value="{name}">' in found for name in bulk.BULK_ACTIONS) and "delete_selected" not in found
        desk.force_login(auditor)
        found = desk.get(LIST).content.decode()
        assert not any(f'<option value="{name}">' in found for name in bulk.BULK_ACTIONS)
        assert self.start(desk, "pay", [three[1].id]).status_code == 200
        assert desk.post(f"{LIST}bulk/pay/", {"seen": three[1].id, "reason": "x"}).status_code == 403
        assert not Operation.objects.exists()

    def test_it_says_what_will_and_what_will_not_be_done(self, desk: Client, three: list[Any]) -> None:
        found = self.start(desk, "void", [invoice.id for invoice in three]).content.decode()
        found = found.split('class="plain-head"')[1]
        will, wont = found.split("Will not be done")
        assert three[1].number in will and three[2].number in will and three[0].number not in will
        assert three[0].number in wont and "Invoice is already paid" in wont
        assert "USD 50.00" in found and "Void: 2 invoices" in found
        assert not Operation.objects.exists()

    def sent(self, html: str) -> dict[str, Any]:
        """What the confirmation page would send, with a reason and the number that it asks for."""
        number = re.search(r"Type (\d+) to confirm", html)
        assert number
        return hidden(html) | {"number": number[1], "reason": "monthly run"}

    def test_one_operation_each_and_twice_is_once(
        self, sandbox: SandboxProcess, desk: Client, three: list[Any], wakes: list[str], agent: User
    ) -> None:
        given = self.sent(self.start(desk, "pay", [invoice.id for invoice in three]).content.decode())
        first = desk.post(f"{LIST}bulk/pay/", given)
        second = desk.post(f"{LIST}bulk/pay/", given)
        assert first["Location"] == second["Location"] and set(wakes) == {"run_batches"}
        batch = Batch.objects.get()
        assert (batch.actor, batch.reason, len(batch.items)) == (agent, "monthly run", 2)
        assert "0 of 2 finished" in page_after(desk, first) and not Operation.objects.exists()
        part = desk.get(first["Location"], headers={"HX-Request": "true"}).content.decode()
        assert "0 of 2 finished" in part and "hx-get" in part and "<html" not in part
        operations.batch.run_due()
        assert desk.get(first["Location"], headers={"HX-Request": "true"})["HX-Refresh"] == "true"
        assert "All finished" in page_after(desk, first) and "Cancel the rest" not in page_after(desk, first)
        assert sandbox.stats()["charges"] == {invoice.id: 1 for invoice in three}
        table = b"".join(desk.get(f"{first['Location']}table.csv")).decode()
        assert table.startswith("invoice,number,customer,amount,state,code") and table.count("succeeded") == 2
        assert f"{three[1].id},{three[1].number},Example Customer,USD 20.00,succeeded" in table
        assert "Pay" in desk.get("/admin/invoices/batch/").content.decode()

    def test_out_of_band_takes_the_whole_of_each(self, sandbox: SandboxProcess, desk: Client, three: list[Any]) -> None:
        action = "attach_out_of_band_payment"
        html = self.start(desk, action, [three[1].id, three[2].id]).content.decode()
        assert 'name="amount"' not in html
        wrong = desk.post(f"{LIST}bulk/{action}/", self.sent(html))
        assert wrong.status_code == 400 and b"Received on is missing." in wrong.content
        given = self.sent(html) | {"method": "Check", "received_on": "2026-01-31"}
        response = desk.post(f"{LIST}bulk/{action}/", given)
        operations.batch.run_due()
        assert "All finished" in page_after(desk, response)
        assert {invoice.status for invoice in Invoice.objects.filter(pk__in=[i.id for i in three])} == {"paid"}
        assert sorted(o.params["amount"] for o in Operation.objects.all()) == [2000, 3000]

    def test_it_says_that_the_whole_waits_for_a_second_person(self, desk: Client, three: list[Any]) -> None:
        large = stored(InvoiceObject(amount_remaining=500_000, amount_due=500_000))
        for action in ("void", "attach_out_of_band_payment"):
            found = self.start(desk, action, [large.pk, three[1].id]).content.decode()
            assert "Together they are USD 5,020.00, more than USD 1,000.00." in found, action
        assert "second person" not in self.start(desk, "pay", [large.pk]).content.decode()

    def test_what_has_changed_meanwhile_is_left_alone(
        self, sandbox: SandboxProcess, desk: Client, three: list[Any]
    ) -> None:
        html = self.start(desk, "void", [three[1].id, three[2].id]).content.decode()
        sandbox.client().v1.invoices.pay(three[1].id)
        response = desk.post(f"{LIST}bulk/void/", self.sent(html))
        operations.batch.run_due()
        assert "othing was sent" in page_after(desk, response)
        assert sandbox.client().v1.invoices.retrieve(three[1].id).status == "paid"
        assert sandbox.client().v1.invoices.retrieve(three[2].id).status == "void"

    def test_it_can_be_cancelled(self, desk: Client, three: list[Any], auditor: User) -> None:
        response = desk.post(f"{LIST}bulk/void/", self.sent(self.start(desk, "void", [three[1].id]).content.decode()))
        path = f"{response['Location']}cancel/"
        desk.force_login(auditor)
        assert desk.post(path).status_code == 403 and "Cancel the rest" not in page_after(desk, response)
        desk.force_login(User.objects.get(username="agent"))
        assert desk.get(path).status_code == 405
        assert "what has not begun is not begun" in page_after(desk, desk.post(path))
        operations.batch.run_due()
        assert not Operation.objects.exists()
        assert "It had ended already" in page_after(desk, desk.post(path))

    def test_the_table_holds_no_formula(self) -> None:
        assert [batch_csv.cell(value) for value in ("=1+1", "-5", "@x", "fine", None)] == [
            "'=1+1",
            "'-5",
            "'@x",
            "fine",
            "None",
        ]


@pytest.mark.django_db(transaction=True)
class TestFourEyes:
    @pytest.fixture
    def request_page(self, sandbox: SandboxProcess, desk: Client) -> str:
        """The page of a request that waits: voiding USD 5,000.00."""
        made = invoice_at(sandbox, 500_000)
        refetch.refetch("invoice", made.id)
        assert "waits until a second person approves" in desk.get(action_url(made.id, "void")).content.decode()
        found = page_after(desk, desk.post(action_url(made.id, "void"), form_data(desk, made.id, "void")))
        assert "Waits for a second person" in found and "result amber" in found
        return f"/admin/invoices/operation/{Operation.objects.get().pk}/"

    def test_another_approves(self, desk: Client, manager: User, request_page: str) -> None:
        own = desk.get(request_page).content.decode()
        assert "Withdraw my request" in own and ">Approve<" not in own
        desk.post(f"{request_page}decide/approve/")
        assert Operation.objects.get().state == "awaiting_approval"
        desk.force_login(manager)
        found = desk.get(request_page).content.decode()
        assert ">Approve<" in found and "no longer owes USD 5,000.00" in found
        assert desk.get(f"{request_page}decide/approve/").status_code == 405
        assert "My approvals" in desk.get("/admin/").content.decode()
        given = hidden(found) | {"reason": "agreed"}
        assert "Void: done" in page_after(desk, desk.post(f"{request_page}decide/approve/", given))
        operation = Operation.objects.get()
        assert (operation.approver, operation.decision_reason) == (manager, "agreed")
        assert operation.decision_address == "127.0.0.1" and operation.decision_request_id.startswith("req_")

    def test_another_rejects_with_a_reason(self, desk: Client, manager: User, request_page: str) -> None:
        desk.force_login(manager)
        assert "Please say why" in page_after(desk, desk.post(f"{request_page}decide/reject/"))
        found = page_after(desk, desk.post(f"{request_page}decide/reject/", {"reason": "the customer pays"}))
        assert "the customer pays" in found and Operation.objects.get().state == "cancelled"
        assert "no longer waits" in page_after(desk, desk.post(f"{request_page}decide/approve/"))

    def test_the_one_who_asked_withdraws(self, desk: Client, auditor: User, request_page: str) -> None:
        desk.force_login(auditor)
        assert "A billing manager decides" in desk.get(request_page).content.decode()
        desk.post(f"{request_page}decide/withdraw/")
        desk.post(f"{request_page}decide/approve/")
        assert Operation.objects.get().state == "awaiting_approval"
        desk.force_login(User.objects.get(username="agent"))
        assert "Withdrawn by agent" in page_after(desk, desk.post(f"{request_page}decide/withdraw/"))
        assert desk.post(f"{request_page}decide/explode/").status_code == 404


@pytest.mark.django_db
class TestBrake:
    NEW = "/admin/invoices/pause/add/"

    def test_a_manager_pauses_and_everyone_reads_why(self, client: Client, manager: User, agent: User) -> None:
        invoice = stored(InvoiceObject())
        client.force_login(manager)
        assert "Please say why" in client.post(self.NEW, {"action": ""}).content.decode()
        client.post(self.NEW, {"action": "pay", "reason": "The bank is down"})
        assert "paused already" in client.post(self.NEW, {"action": "pay", "reason": "x"}).content.decode()
        client.force_login(agent)
        for path in ("/admin/", LIST, f"{LIST}{invoice.pk}/", action_url(invoice.pk, "pay")):
            assert "The bank is down" in client.get(path).content.decode(), path
        found = client.get(f"{LIST}{invoice.pk}/").content.decode()
        assert action_url(invoice.pk, "pay") not in found and action_url(invoice.pk, "void") in found
        assert client.get(self.NEW).status_code == 403
        assert client.post(self.NEW, {"reason": "x"}).status_code == 403
        pause = f"/admin/invoices/pause/{Pause.objects.get().pk}/"
        assert (
            client.post(f"{pause}resume/").status_code == 403 and ">Resume<" not in client.get(pause).content.decode()
        )
        assert f'formaction="{pause}resume/"' not in client.get("/admin/invoices/pause/").content.decode()
        client.force_login(manager)
        assert ">Resume<" in client.get(pause).content.decode()
        assert f'formaction="{pause}resume/"' in client.get("/admin/invoices/pause/").content.decode()
        client.post(f"{pause}resume/")
        assert f'formaction="{pause}resume/"' not in client.get("/admin/invoices/pause/").content.decode()
        assert "The bank is down" not in client.get("/admin/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_heard_in_ones_language_and_kept_in_english(
    desk: Client, sandbox: SandboxProcess, invoice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    german = "Die Rechnung ist schon bezahlt"
    catalog = trans_real.translation("de")._catalog._catalogs[0]  # type: ignore[attr-defined]
    monkeypatch.setitem(catalog, "Invoice is already paid", german)
    recorded._shown.cache_clear()
    given = form_data(desk, invoice.id, "void")
    sandbox.client().v1.invoices.pay(invoice.id)
    refetch.refetch("invoice", invoice.id)
    found = desk.post(action_url(invoice.id, "void"), given, headers={"Accept-Language": "de"})
    assert found.status_code == 400 and german in found.content.decode()
    assert Operation.objects.get().message == "Invoice is already paid"
    recorded._shown.cache_clear()
