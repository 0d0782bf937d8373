"""What an invoice's page and its forms offer: nothing takes Pay's place, a declined card is not chosen for anybody, and
what a charge withdraws is said before it is confirmed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from invoices import clock, operations, refetch
from invoices.admin.formatting import local_times
from invoices.models import Operation
from invoices.operations import ACTIONS, eligibility, pauses
from tests.factories import InvoiceObject, customer_at, invoice_at, stored
from tests.helpers.admin_pages import LIST, action_url, form_data, page_after, text
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db


def buttons(html: str) -> str:
    return html.split('aria-label="Actions"')[1].split('class="impossibles"', maxsplit=1)[0]


def primary(html: str) -> list[tuple[bool, str]]:
    """Of each big button: whether it can be pressed, and its label."""
    found = re.findall(r'<(a|button)[^>]*class="button primary"[^>]*>([^<]*)<', buttons(html))
    return [(tag == "a", label) for tag, label in found]


class TestRank:
    def test_pay_is_the_big_button(self, desk: Client) -> None:
        assert primary(text(desk.get(f"{LIST}{stored(InvoiceObject()).pk}/"))) == [(True, "Pay")]

    @pytest.mark.parametrize("action", ["pay", ""])
    def test_nothing_is_promoted_into_its_place(self, desk: Client, action: str) -> None:
        invoice = stored(InvoiceObject())
        pauses.begin(action, "The bank is down", None)
        found = text(desk.get(f"{LIST}{invoice.pk}/"))
        assert primary(found) == [(False, "Pay")] and "The bank is down" in buttons(found)
        assert action_url(invoice.pk, "pay") not in found

    def test_a_draft_is_to_be_finalized_not_paid(self, desk: Client) -> None:
        found = text(desk.get(f"{LIST}{stored(InvoiceObject(status='draft')).pk}/"))
        assert primary(found) == [(True, "Finalize")]
        assert "Amount of the draft" in found and ">To pay<" not in found and "Remaining" not in found.split("raw")[0]

    def test_nor_for_a_person_who_may_not_pay(self, client: Client, agent: User) -> None:
        agent.groups.get().permissions.remove(Permission.objects.get(codename="pay_invoice"))
        client.force_login(User.objects.get(pk=agent.pk))
        found = text(client.get(f"{LIST}{stored(InvoiceObject()).pk}/"))
        assert primary(found) == [] and "Record a payment" in buttons(found)

    def test_the_others_keep_their_order(self, desk: Client) -> None:
        invoice = stored(InvoiceObject(collection_method="send_invoice"))
        labels = [re.findall(r">([^<>\n]+)</(?:a|button)>", buttons(text(desk.get(f"{LIST}{invoice.pk}/"))))]
        pauses.begin("attach_out_of_band_payment", "x", None)
        labels.append(re.findall(r">([^<>\n]+)</(?:a|button)>", buttons(text(desk.get(f"{LIST}{invoice.pk}/")))))
        assert (
            labels[0]
            == labels[1]
            == ["Pay", "Charge a part", "Record a payment", "Send", "Link a payment", "Void", "Write off"]
        )


class TestOver:
    @pytest.mark.parametrize("status", ["paid", "void"])
    def test_no_grey_buttons_on_what_has_ended(self, desk: Client, status: str) -> None:
        found = text(desk.get(f"{LIST}{stored(InvoiceObject(status=status)).pk}/"))
        assert f"This invoice is {status}: nothing more can be done to it here." in found
        assert "disabled" not in found.split('aria-label="Actions"')[1].split("</section>")[0]

    def test_what_is_past_is_said_once(self, desk: Client) -> None:
        found = text(desk.get(f"{LIST}{stored(InvoiceObject(status='uncollectible')).pk}/"))
        assert "No longer possible, because this invoice is uncollectible: Charge a part, Write off" in found
        assert primary(found) == [(True, "Pay")]

    @pytest.mark.parametrize("status", ["void", "uncollectible"])
    def test_there_is_no_way_back_and_what_there_is_instead(self, desk: Client, status: str) -> None:
        found = text(desk.get(f"{LIST}{stored(InvoiceObject(status=status)).pk}/"))
        assert "Stripe cannot reopen" in found and "duplicate it in Stripe&#x27;s dashboard" in found
        sentence = found.partition("Stripe cannot reopen")[2].partition("</p>")[0]
        assert 'href="https://dashboard.stripe.com/' in sentence

    def test_what_was_paid_in_part_is_not_advised_to_be_voided(self, desk: Client) -> None:
        """Stripe voids no invoice with a paid payment."""
        changes = {"amount_paid": 400, "amount_remaining": 600}
        found = text(desk.get(f"{LIST}{stored(InvoiceObject(status='uncollectible', **changes)).pk}/"))
        assert "Stripe cannot reopen" in found and "a new invoice over the rest" in found
        assert "void it, duplicate" not in found

    def test_a_draft_keeps_what_comes_later(self, desk: Client) -> None:
        found = text(desk.get(f"{LIST}{stored(InvoiceObject(status='draft')).pk}/"))
        assert "finalize it first" in found and "No longer possible" not in found and "reopen" not in found

    @pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
    def test_it_never_hides_what_is_possible(self, action: Any) -> None:
        for status in action.statuses:
            assert not eligibility.is_over(action, stored(InvoiceObject(status=status)))
        assert not eligibility.is_over(action, stored(InvoiceObject(status="a new one of Stripe's")))

    def test_an_auditor_is_told_nothing_of_actions(self, client: Client, auditor: User) -> None:
        client.force_login(auditor)
        assert 'aria-label="Actions"' not in text(client.get(f"{LIST}{stored(InvoiceObject(status='paid')).pk}/"))


@pytest.mark.django_db(transaction=True)
class TestDeclinedCards:
    @pytest.fixture
    def declined(self, sandbox: SandboxProcess, desk: Client) -> Any:
        """An invoice whose customer's default card was declined just now; another card is saved."""
        customer = customer_at(sandbox, "pm_card_chargeDeclinedExpiredCard", email="late@example.com")
        sandbox.client().v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
        made = invoice_at(sandbox, 2000, customer=customer.id)
        for kind, pk in (("invoice", made.id), ("customer", customer.id)):
            refetch.refetch(kind, pk)
        assert "declined" in page_after(desk, desk.post(action_url(made.id, "pay"), form_data(desk, made.id, "pay")))
        return made

    def options(self, client: Client, invoice: str, **query: str) -> list[str]:
        response = client.get(f"{LIST}{invoice}/methods/", query)
        assert response["HX-Trigger-After-Settle"] == "payment-methods-shown"
        return re.findall(r"<label.*?</label>", text(response), re.DOTALL)

    def test_another_one_is_chosen(self, desk: Client, declined: Any) -> None:
        default, mastercard, other = self.options(desk, declined.id)
        assert "declined; not charged again before" in default and " disabled" in default
        assert " checked" not in default and "Mastercard" in mastercard and " checked" in mastercard
        assert " checked" not in other

    def test_none_is_chosen_where_all_were_declined(self, sandbox: SandboxProcess, desk: Client, declined: Any) -> None:
        stripe = sandbox.client().v1
        cards = stripe.customers.payment_methods.list(declined.customer).data
        good = next(card.id for card in cards if card.card.last4 == "4444")
        stripe.payment_methods.detach(good)
        response = desk.get(f"{LIST}{declined.id}/methods/")
        assert " checked" not in text(response) and "so nothing is chosen" in text(response)

    def test_a_manager_can_choose_it_but_it_is_not_chosen_for_her(
        self, client: Client, manager: User, declined: Any
    ) -> None:
        client.force_login(manager)
        default, mastercard, _ = self.options(client, declined.id)
        assert "declined; not charged again before" in default and " disabled" not in default
        assert " checked" not in default and " checked" in mastercard

    def test_after_the_hour_it_is_chosen_again(self, desk: Client, declined: Any, monkeypatch: Any) -> None:
        in_an_hour = clock.now() + timedelta(minutes=61)
        monkeypatch.setattr(clock, "now", lambda: in_an_hour)
        default, *_ = self.options(desk, declined.id)
        assert "not charged again" not in default and " checked" in default


@pytest.mark.django_db(transaction=True)
class TestWhatIsCharged:
    def without_default(self, sandbox: SandboxProcess, *saved: str) -> Any:
        """An invoice of a customer of whom nothing is the default, with these saved."""
        customer = sandbox.client().v1.customers.create({"name": "Ada Byron"})
        for method in saved:
            sandbox.client().v1.payment_methods.attach(method, {"customer": customer.id})
        made = invoice_at(sandbox, 2000, customer=customer.id)
        for kind, pk in (("invoice", made.id), ("customer", customer.id)):
            refetch.refetch(kind, pk)
        return made

    def test_nothing_that_must_fail_is_promoted(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = self.without_default(sandbox)
        found = text(desk.get(f"{LIST}{made.id}/"))
        assert primary(found) == [] and action_url(made.id, "pay") in found  # a saved one may be chosen
        assert "No default payment method is known: send the customer the link" in found and "Charge it" not in found

    def test_without_a_default_nothing_is_ticked(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = self.without_default(sandbox, "pm_card_visa")
        found = text(desk.get(f"{LIST}{made.id}/methods/"))
        assert " checked" not in found and "we know of none" not in found and "Visa" in found
        assert "Nothing is the default, so nothing is chosen." in found
        nothing = text(desk.get(f"{LIST}{self.without_default(sandbox).id}/methods/"))
        assert "Stripe has no saved payment method" in nothing and "Nothing is the default" not in nothing

    def test_the_default_is_called_by_its_name_when_that_is_known(self, sandbox: SandboxProcess, desk: Client) -> None:
        customer = customer_at(sandbox, "pm_card_visa", name="Ada Byron")
        made = invoice_at(sandbox, 2000, customer=customer.id)
        for kind, pk in (("invoice", made.id), ("customer", customer.id)):
            refetch.refetch(kind, pk)
        page = action_url(made.id, "pay")
        assert "on the default payment method, now" in text(desk.get(page))
        desk.get(f"{LIST}{made.id}/methods/")  # as the open page asks for it
        assert "is charged to Ada Byron, on Visa •••• 4242, expires" in text(desk.get(page, {"preview": "1"}))
        outside = text(desk.get(page, {"preview": "1", "paid_out_of_band": "true"}))
        assert "Visa" not in outside and "default" not in outside

    def test_another_one_stays_ticked_when_its_id_was_forgotten(self, desk: Client) -> None:
        invoice = stored(InvoiceObject())
        given = form_data(desk, invoice.pk, "pay") | {"payment_method": "other", "payment_method_other": ""}
        found = text(desk.post(action_url(invoice.pk, "pay"), given))
        assert found.count("Give the id of the payment method, or choose another.") == 2  # beside it, and above
        assert 'name="payment_method" value="other"' in found and "on the default payment method" not in found
        assert not Operation.objects.exists()
        preview = text(desk.get(action_url(invoice.pk, "pay"), {"preview": "1", "payment_method": "other"}))
        assert "Give the id of the payment method" in preview and "on the default payment method" not in preview

    def test_paid_outside_stripe_charges_no_card(self, sandbox: SandboxProcess, desk: Client) -> None:
        made = self.without_default(sandbox, "pm_card_visa")
        page = action_url(made.id, "pay")
        typed = {"payment_method": "pm_card_visa", "paid_out_of_band": "true"}
        preview = text(desk.get(page, {"preview": "1", **typed}))
        assert "It cannot be undone: a paid invoice never becomes open again." in preview
        assert "can be refunded" not in preview and "is charged" not in preview
        desk.post(page, form_data(desk, made.id, "pay") | typed)
        done = Operation.objects.get()
        assert (done.state, done.params) == ("succeeded", {"paid_out_of_band": True})

    def test_the_preview_promises_no_part_that_is_refused(self, desk: Client) -> None:
        invoice = stored(InvoiceObject(subscription="sub_1", collection_method="charge_automatically"))
        page = action_url(invoice.pk, "attach_out_of_band_payment")
        found = text(desk.get(page, {"preview": "1", "amount": "4"}))
        assert "takes no part payments. Give the whole, USD 10.00." in found and "stays open with" not in found
        missing = text(desk.get(page, {"preview": "1", "amount": ""}))  # what is not typed yet is no fault
        assert 'role="alert"' not in missing


@pytest.mark.django_db(transaction=True)
class TestWithdrawing:
    @pytest.fixture
    def asked(self, sandbox: SandboxProcess, agent: User) -> Operation:
        """A colleague's request to void a large invoice, which waits for approval."""
        colleague = User.objects.create_user("colleague", first_name="Grace", last_name="Hopper", is_staff=True)
        colleague.groups.set(agent.groups.all())
        made = invoice_at(sandbox, 500_000)
        refetch.refetch("invoice", made.id)
        return operations.request("void", made.id, actor=colleague, source="admin", reason="Sent twice <b>")

    def test_pay_says_whose_request_it_withdraws(self, desk: Client, asked: Operation) -> None:
        found = text(desk.get(action_url(asked.invoice, "pay")))
        assert "This withdraws a request that waits for approval." in found and "Grace Hopper asked" in found
        assert "Sent twice &lt;b&gt;" in found and str(asked.pk) in found
        desk.post(action_url(asked.invoice, "pay"), form_data(desk, asked.invoice, "pay"))
        asked.refresh_from_db()
        assert asked.state == "cancelled"

    def test_what_withdraws_nothing_says_nothing(self, desk: Client, asked: Operation) -> None:
        for action, query in (
            ("mark_uncollectible", {}),
            ("pay", {"preview": "1", "paid_out_of_band": "true"}),
            ("attach_out_of_band_payment", {}),
        ):
            assert "This withdraws" not in text(desk.get(action_url(asked.invoice, action), query)), action

    def test_without_the_permission_no_name_is_told(self, client: Client, agent: User, asked: Operation) -> None:
        agent.groups.get().permissions.remove(Permission.objects.get(codename="view_operation"))
        client.force_login(User.objects.get(pk=agent.pk))
        found = text(client.get(action_url(asked.invoice, "pay")))
        assert "This withdraws a request" in found and "Hopper" not in found and "Sent twice" not in found

    def test_the_approver_reads_what_approving_withdraws(
        self, client: Client, agent: User, manager: User, asked: Operation
    ) -> None:
        forgive = operations.request(
            "pay", asked.invoice, actor=agent, source="admin", reason="all that he has", params={"forgive": True}
        )
        assert forgive.state == "awaiting_approval"
        client.force_login(manager)
        found = text(client.get(f"/admin/invoices/operation/{forgive.pk}/"))
        assert "This withdraws a request" in found and "Grace Hopper asked" in found
        assert "This withdraws" not in text(client.get(f"/admin/invoices/operation/{asked.pk}/"))


class TestLocalTimes:
    NEAR = datetime(2026, 11, 21, 23, 50, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("sentence", "near", "local"),
        [
            ("declined at 23:40 UTC: no", NEAR, "declined at 22 Nov 2026, 00:40: no"),
            ("again from 00:40 UTC; else", NEAR, "again from 22 Nov 2026, 01:40; else"),
            ("agreed on 2026-07-01 at 10:00 UTC.", None, "agreed on 1 Jul 2026, 12:00."),
            ("agreed on 2026-02-31 at 10:00 UTC.", None, "agreed on 2026-02-31 at 10:00 UTC."),
            ("at 25:61 UTC", NEAR, "at 25:61 UTC"),
            ("at 9999-12-31 23:59 UTC", NEAR, "at 9999-12-31 23:59 UTC"),
            ("nothing of it", NEAR, "nothing of it"),
            ("", NEAR, ""),
        ],
    )
    def test_a_sentence_of_the_journal_in_the_reader_s_zone(
        self, sentence: str, near: datetime | None, local: str
    ) -> None:
        with timezone.override("Europe/Berlin"):
            assert local_times(sentence, near) == local

    def test_today_is_the_time_alone(self) -> None:
        now = timezone.now()
        with timezone.override("Asia/Tokyo"):
            here = timezone.localtime(now)
            assert local_times(f"declined at {now:%H:%M} UTC") == f"declined at {here:%H:%M}"

    def test_the_form_shows_the_cooldown_in_the_reader_s_zone(self, desk: Client, agent: User) -> None:
        invoice = stored(InvoiceObject())
        given: dict[str, Any] = {"action": "pay", "actor": agent, "source": "admin", "reason": "x"}
        Operation.objects.create(
            invoice=invoice.pk, state="failed", code="card_declined", finished_at=clock.now(), message="No.", **given
        )
        desk.cookies["zone"] = "Asia/Kathmandu"
        for path in (action_url(invoice.pk, "pay"), f"{LIST}{invoice.pk}/"):
            found = text(desk.get(path))
            assert "It can be tried again from" in found and " UTC" not in found.split("tried again from")[1][:60]
