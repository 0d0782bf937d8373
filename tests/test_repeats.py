"""The same money once more by a second form: people are asked, and nothing is done before they answer."""

from __future__ import annotations

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import clock, operations, refetch
from invoices.models import Batch, Invoice, Operation
from invoices.operations import batch as batches
from invoices.operations import repeats
from tests.factories import customer_at, invoice_at, user_in_group
from tests.helpers.admin_pages import action_url, form_data, text
from tests.helpers.database import queries_of_page
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
RECORD, CHARGE = "attach_out_of_band_payment", "charge_part"
ASKED = "Is it the same once more?"


class Debtor:
    """A customer with a card and three open invoices of EUR 300, and what people do on them."""

    def __init__(self, sandbox: SandboxProcess, amounts: tuple[int, ...] = (30_000, 30_000, 30_000)) -> None:
        self.stripe = sandbox.client()
        made = customer_at(sandbox, "pm_card_visa", name="Ada Byron")
        self.id = made.id
        self.card = str(self.stripe.v1.customers.retrieve(made.id).invoice_settings.default_payment_method)
        self.invoices = [invoice_at(sandbox, customer=self.id, amount=amount, currency="eur").id for amount in amounts]
        refetch.refetch("customer", self.id)
        for each in self.invoices:
            refetch.refetch("invoice", each)
        self.page = f"/admin/invoices/customer/{self.id}/payment/"

    def record(self, desk: Client, place: int = 0, *, tick: str = "", **given: str) -> Any:
        """Opens the form of an invoice anew, and sends it."""
        form = form_data(desk, self.invoices[place], RECORD)
        typed = {"amount": "100.00", "method": "Bank transfer", "received_on": "2026-11-02", "seen_repeats": tick}
        return desk.post(action_url(self.invoices[place], RECORD), form | typed | given)

    def charge(self, desk: Client, *, amount: str = "50.00", tick: str = "") -> Any:
        form = form_data(desk, self.invoices[0], CHARGE)
        typed = {"amount": amount, "payment_method": self.card, "seen_repeats": tick}
        return desk.post(action_url(self.invoices[0], CHARGE), form | typed)

    def spread(self, desk: Client, *, tick: str = "", **given: str) -> Any:
        typed = {
            **hidden(text(desk.get(self.page))),
            **{"method": "Bank transfer", "received_on": "2026-11-02", "reason": "one transfer for all"},
            **{"spread": "oldest_first", "seen_repeats": tick},
            **given,
        }
        return desk.post(self.page, typed)

    def confirm(self, desk: Client, preview: Any) -> Any:
        return desk.post(self.page, hidden(text(preview)))

    def remaining(self) -> list[int]:
        """What Stripe has still to get for each invoice."""
        return [int(self.stripe.v1.invoices.retrieve(each).amount_remaining) for each in self.invoices]


def hidden(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', page)
    return {name: html.unescape(value) for name, value in found if "csrf" not in name}


def tick_of(answer: Any) -> str:
    """What the checkbox of a refused form sends when it is ticked."""
    assert answer.status_code == 400 and ASKED in text(answer), text(answer)
    (value,) = re.findall(r'type="checkbox" name="seen_repeats"[^>]* value="(\w+)"', text(answer))
    return str(value)


@pytest.fixture
def debtor(sandbox: SandboxProcess) -> Debtor:
    return Debtor(sandbox)


def is_done(answer: Any) -> bool:
    return bool(answer.status_code == 302)


class TestARecordedPayment:
    @pytest.mark.parametrize(
        ("first", "second", "is_asked"),
        [
            # the same reference, however it is written, with whatever amount and day
            ({"reference": "BANK-1"}, {"reference": "bank 1", "amount": "99", "received_on": "2026-11-03"}, True),
            ({"reference": "BANK-1"}, {"reference": "\uff22\uff21\uff2e\uff2b \uff11", "amount": "99"}, True),
            ({"reference": "M\u00fcller 1"}, {"reference": "Mu\u0308ller 1", "amount": "99"}, True),
            ({"reference": "BANK-1"}, {"reference": "BANK-2", "amount": "99"}, False),
            # no reference: the same amount, received on one day
            ({}, {}, True),
            ({}, {"amount": "99.99"}, False),
            ({"reference": "BANK-1"}, {"reference": "BANK-2"}, True),
            # words that stand on many payments tell nothing
            ({"reference": "cash"}, {"reference": "cash", "amount": "99", "received_on": "2026-11-03"}, False),
        ],
    )
    def test_on_one_invoice(
        self, desk: Client, debtor: Debtor, first: dict[str, Any], second: dict[str, Any], is_asked: bool
    ) -> None:
        assert is_done(debtor.record(desk, **first))
        again = debtor.record(desk, **second)
        assert (again.status_code == 400) is is_asked
        if is_asked:
            assert debtor.remaining()[0] == 20_000 and Operation.objects.count() == 1
            said = html.unescape(text(again))
            assert "EUR 100.00 on" in said and "by agent" in said and "Tick this only if" in said
            done = debtor.record(desk, tick=tick_of(again), **second)
            assert is_done(done)
            newest, oldest = Operation.objects.order_by("-created_at")
            assert newest.state == "succeeded" and str(oldest.pk) in newest.reason

    def test_within_the_hour_the_day_makes_no_difference(self, desk: Client, debtor: Debtor, monkeypatch: Any) -> None:
        debtor.record(desk)
        assert not is_done(debtor.record(desk, received_on="2026-11-03"))
        later = clock.now() + timedelta(hours=2)
        monkeypatch.setattr(clock, "now", lambda: later)
        assert is_done(debtor.record(desk, received_on="2026-11-03"))

    def test_after_ninety_days_nobody_is_asked(self, desk: Client, debtor: Debtor, monkeypatch: Any) -> None:
        debtor.record(desk, reference="BANK-1")
        later = clock.now() + timedelta(days=89)
        monkeypatch.setattr(clock, "now", lambda: later)
        assert not is_done(debtor.record(desk, reference="BANK-1"))
        later = clock.now() + timedelta(days=2)
        assert is_done(debtor.record(desk, reference="BANK-1"))

    @pytest.mark.parametrize(
        ("first", "second", "is_asked"),
        [
            ({}, {}, True),
            ({"reference": "BANK-1"}, {"reference": "BANK-1", "amount": "5"}, True),
            ({"reference": "BANK-1"}, {}, True),
            # two invoices of one amount, paid on one day by two transfers
            ({"reference": "BANK-1"}, {"reference": "BANK-2"}, False),
            ({}, {"received_on": "2026-11-03"}, False),
        ],
    )
    def test_on_another_invoice_of_the_customer(
        self, desk: Client, debtor: Debtor, first: dict[str, Any], second: dict[str, Any], is_asked: bool
    ) -> None:
        assert is_done(debtor.record(desk, 0, **first))
        assert (debtor.record(desk, 1, **second).status_code == 400) is is_asked

    def test_another_customers_payment_is_another(self, desk: Client, debtor: Debtor, sandbox: SandboxProcess) -> None:
        debtor.record(desk, reference="BANK-1")
        assert is_done(Debtor(sandbox).record(desk, reference="BANK-1"))

    def test_the_invoices_own_number_identifies_no_payment(self, desk: Client, debtor: Debtor) -> None:
        number = str(Invoice.objects.get(pk=debtor.invoices[0]).number)
        debtor.record(desk, reference=number)
        assert is_done(debtor.record(desk, reference=number, amount="7", received_on="2026-11-03"))

    def test_a_form_that_is_sent_twice_leads_to_what_it_made(self, desk: Client, debtor: Debtor) -> None:
        form = form_data(desk, debtor.invoices[0], RECORD)
        form |= {"amount": "100.00", "method": "Cash", "received_on": "2026-11-02"}
        first, second = (desk.post(action_url(debtor.invoices[0], RECORD), form) for _ in range(2))
        assert first["Location"] == second["Location"] and Operation.objects.count() == 1

    def test_a_tick_holds_only_for_what_was_shown(self, desk: Client, debtor: Debtor) -> None:
        debtor.record(desk)
        tick = tick_of(debtor.record(desk))
        assert is_done(debtor.record(desk, tick=tick))
        again = debtor.record(desk, tick=tick)  # by now there are two
        assert tick_of(again) != tick and text(again).partition(ASKED)[2].count("EUR 100.00 on") == 2
        assert debtor.remaining()[0] == 10_000

    def test_a_forged_tick_is_none(self, desk: Client, debtor: Debtor) -> None:
        debtor.record(desk)
        assert not is_done(debtor.record(desk, tick="yes"))

    def test_what_came_to_nothing_is_no_repeat(self, desk: Client, debtor: Debtor, agent: User) -> None:
        made = operations.request(
            RECORD,
            debtor.invoices[0],
            actor=agent,
            source="admin",
            reason="x",
            params={"amount": 10_000, "method": "Cash", "received_on": "2026-11-02"},
        )
        Operation.objects.filter(pk=made.pk).update(state="expired", finished_at=clock.now())
        assert is_done(debtor.record(desk))

    def test_one_that_waits_for_a_second_person_counts(self, desk: Client, debtor: Debtor, settings: Any) -> None:
        settings.APPROVAL_THRESHOLDS = {"default": 20}
        debtor.record(desk, 0)
        assert Operation.objects.get().state == "awaiting_approval"
        again = debtor.record(desk, 1)
        assert tick_of(again) and "not done yet" in text(again)

    def test_one_that_was_recorded_at_stripe_counts(self, desk: Client, debtor: Debtor) -> None:
        v1 = debtor.stripe.v1
        record = v1.payment_records.report_payment(
            {
                "amount_requested": {"currency": "eur", "value": 10_000},
                "initiated_at": int(clock.now().timestamp()),
                "outcome": "guaranteed",
                "guaranteed": {"guaranteed_at": int(clock.now().timestamp())},
                "payment_method_details": {"type": "custom", "custom": {"display_name": "Cash"}},
            }
        )
        v1.invoices.attach_payment(debtor.invoices[0], {"payment_record": record.id})
        refetch.refetch("invoice", debtor.invoices[0])
        again = debtor.record(desk, received_on="2026-11-09", reference="BANK-9")
        assert tick_of(again) and "recorded at Stripe" in text(again)

    def test_the_preview_says_it_while_one_types(self, desk: Client, debtor: Debtor) -> None:
        debtor.record(desk, reference="BANK-1")
        page = action_url(debtor.invoices[1], RECORD)
        typed = {"preview": "1", "amount": "3", "method": "Cash", "received_on": "2026-11-09"}
        assert "was done already" not in text(desk.get(page, typed))
        assert "was done already" in text(desk.get(page, typed | {"reference": "BANK-1"}))

    def test_who_may_not_see_operations_reads_no_name(self, client: Client, desk: Client, debtor: Debtor) -> None:
        debtor.record(desk)
        other = user_in_group("second", "Support agent")
        group = other.groups.get()
        group.permissions.remove(group.permissions.get(codename="view_operation"))
        client.force_login(other)
        shown = text(debtor.record(client))
        assert ASKED in shown and "by agent" not in shown and "/operation/" not in shown.partition(ASKED)[2][:900]

    def test_programs_are_not_asked(self, desk: Client, debtor: Debtor, agent: User) -> None:
        debtor.record(desk)
        params = {"amount": 10_000, "method": "Bank transfer", "received_on": "2026-11-02"}
        made = operations.execute(RECORD, debtor.invoices[0], actor=agent, source="api", params=params)
        assert made.state == "succeeded"


class TestOverSeveralInvoices:
    def test_the_whole_once_more(self, desk: Client, debtor: Debtor) -> None:
        debtor.confirm(desk, debtor.spread(desk, amount="400"))
        batches.run_due()
        assert debtor.remaining() == [0, 20_000, 30_000]
        again = debtor.spread(desk, amount="400")  # now over other invoices, of other amounts
        assert "EUR 400.00 on" in text(again)
        preview = debtor.spread(desk, amount="400", tick=tick_of(again))
        assert preview.status_code == 200
        debtor.confirm(desk, preview)
        batches.run_due()
        assert debtor.remaining() == [0, 0, 10_000]
        assert str(Operation.objects.order_by("created_at")[1].pk) in Batch.objects.latest("created_at").reason

    def test_a_part_of_it_by_itself(self, desk: Client, debtor: Debtor) -> None:
        debtor.confirm(desk, debtor.spread(desk, amount="400"))
        batches.run_due()
        assert tick_of(debtor.record(desk, 1, amount="100.00"))  # its share of the 400
        assert is_done(debtor.record(desk, 2, amount="40.00"))

    def test_by_itself_and_then_as_a_part(self, desk: Client, debtor: Debtor) -> None:
        debtor.record(desk, 1, amount="100.00")
        asked = {"spread": "as_typed", "share_0": "300", "share_1": "100", "amount": "400"}
        assert tick_of(debtor.spread(desk, **asked))

    def test_a_batch_that_has_not_begun_counts(self, desk: Client, debtor: Debtor) -> None:
        debtor.confirm(desk, debtor.spread(desk, amount="400", reference="BANK-1"))
        assert not Operation.objects.exists()
        again = debtor.record(desk, 2, reference="BANK-1", amount="4")
        assert tick_of(again) and "EUR 400.00 on" in text(again) and "not done yet" in text(again)

    def test_one_that_was_cancelled_does_not(self, desk: Client, debtor: Debtor) -> None:
        debtor.confirm(desk, debtor.spread(desk, amount="400"))
        Batch.objects.update(cancelled_at=clock.now(), finished_at=clock.now())
        assert debtor.spread(desk, amount="400").status_code == 200

    def test_confirmed_twice_it_is_one(self, desk: Client, debtor: Debtor) -> None:
        preview = debtor.spread(desk, amount="400")
        first = debtor.confirm(desk, preview)
        batches.run_due()
        assert debtor.confirm(desk, preview)["Location"] == first["Location"] and Batch.objects.count() == 1

    def test_what_came_between_preview_and_confirming_is_asked_about(self, desk: Client, debtor: Debtor) -> None:
        preview = debtor.spread(desk, amount="100", reference="BANK-1")
        debtor.record(desk, 2, reference="BANK-1")
        assert tick_of(debtor.confirm(desk, preview)) and not Batch.objects.exists()


class TestAtOnce:
    """Two people send their forms in the same moment, so neither form was shown the other's payment."""

    def sent_in_between(self, monkeypatch: pytest.MonkeyPatch, other: Any) -> list[Any]:
        """`other` happens between the look of the next form and what it writes."""
        answers: list[Any] = []
        original = repeats.look

        def look(*args: Any, **given: Any) -> repeats.Look:
            found = original(*args, **given)
            monkeypatch.setattr(repeats, "look", original)
            answers.append(other())
            return found

        monkeypatch.setattr(repeats, "look", look)
        return answers

    def test_two_payments_by_hand(self, desk: Client, debtor: Debtor, monkeypatch: pytest.MonkeyPatch) -> None:
        form, second = (form_data(desk, debtor.invoices[place], RECORD) for place in (0, 1))
        typed = {"amount": "100.00", "method": "Cash", "received_on": "2026-11-02"}
        others = self.sent_in_between(
            monkeypatch, lambda: desk.post(action_url(debtor.invoices[1], RECORD), second | typed)
        )
        late = desk.post(action_url(debtor.invoices[0], RECORD), form | typed)
        assert is_done(others[0]) and late.status_code == 409 and "In this very moment" in text(late)
        assert debtor.remaining() == [30_000, 20_000, 30_000]
        assert sorted(Operation.objects.values_list("state", flat=True)) == ["cancelled", "succeeded"]
        assert tick_of(debtor.record(desk, 0, method="Cash"))  # sent again, it asks

    def test_one_by_hand_and_one_over_several(
        self, desk: Client, debtor: Debtor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        preview = debtor.spread(desk, amount="100")
        others = self.sent_in_between(monkeypatch, lambda: debtor.record(desk, 2))
        late = debtor.confirm(desk, preview)
        assert is_done(others[0]) and late.status_code == 400 and "In this very moment" in text(late)
        assert not Batch.objects.exists() and debtor.remaining() == [30_000, 30_000, 20_000]

    def test_by_threads(self, desk: Client, debtor: Debtor, agent: User) -> None:
        """However they meet, at most one is recorded without a question."""
        forms = [form_data(desk, pk, RECORD) for pk in debtor.invoices]
        typed = {"amount": "100.00", "method": "Cash", "received_on": "2026-11-02"}
        clients = [Client() for _ in forms]
        for each in clients:
            each.force_login(agent)
        barrier = threading.Barrier(len(forms))

        def send(place: int) -> int:
            try:
                barrier.wait()
                answer = clients[place].post(action_url(debtor.invoices[place], RECORD), forms[place] | typed)
                return int(answer.status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(forms)) as pool:
            codes = list(pool.map(send, range(len(forms))))
        assert sum(30_000 - each for each in debtor.remaining()) <= 10_000, codes
        assert set(codes) <= {302, 400, 409}


class TestAChargedPart:
    def test_the_same_part_once_more(self, desk: Client, debtor: Debtor) -> None:
        assert is_done(debtor.charge(desk))
        refetch.refetch("invoice", debtor.invoices[0])
        again = debtor.charge(desk)
        assert debtor.remaining()[0] == 25_000
        assert is_done(debtor.charge(desk, tick=tick_of(again)))
        assert debtor.remaining()[0] == 20_000

    def test_another_amount_or_another_hour_is_another(self, desk: Client, debtor: Debtor, monkeypatch: Any) -> None:
        debtor.charge(desk)
        refetch.refetch("invoice", debtor.invoices[0])
        assert is_done(debtor.charge(desk, amount="51"))
        refetch.refetch("invoice", debtor.invoices[0])
        later = clock.now() + timedelta(minutes=61)
        monkeypatch.setattr(clock, "now", lambda: later)
        assert is_done(debtor.charge(desk))


def test_it_takes_a_bounded_number_of_queries(desk: Client, debtor: Debtor) -> None:
    for day in range(1, 9):
        answer = debtor.record(desk, received_on=f"2026-10-0{day}", amount=f"1.0{day}")
        assert is_done(answer)
    invoice = Invoice.objects.get(pk=debtor.invoices[0])
    action = operations.ACTIONS[RECORD]
    with CaptureQueriesContext(connection) as captured:
        look = repeats.look(action, [(invoice, {"amount": 101, "received_on": "2026-10-01"})])
    assert [each.params["amount"] for each in look.found] == [101] and len(queries_of_page(captured)) <= 5
