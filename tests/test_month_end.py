"""The month's end: whether a month can be closed, closing it, and what changed in it afterwards."""

from __future__ import annotations

import html
import json
import re
import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client

from invoices import changes, clock, journal, month_end, thresholds
from invoices.models import (
    BankTransaction,
    Batch,
    Change,
    Contradiction,
    Drift,
    Event,
    InvoicePayment,
    MonthClose,
    Operation,
    PendingEvent,
    ReconciliationRun,
    ScheduledRefetch,
)
from invoices.month_end import BadMonth, Month
from invoices.operations import Invalid, Refusal
from invoices.statements import decisions
from tests.factories import CreditNoteObject, InvoiceObject, InvoicePaymentObject, stored
from tests.helpers import bank
from tests.helpers.admin_pages import hidden
from tests.helpers.admin_pages import text as content_of
from tests.helpers.database import without_triggers

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/invoices/monthclose/"


@pytest.fixture
def last() -> Month:
    return Month.last("UTC")


def proof(month: Month, *, equal: bool = True, **more: Any) -> ReconciliationRun:
    given = {"started_at": month.end + timedelta(hours=2), "state": "finished", **more}
    return ReconciliationRun.objects.create(
        kind="verify", report={"equal": equal, "kinds": {"invoice": {}, "customer": {}}}, **given
    )


def unmet(month: Month) -> list[str]:
    return [check.name for check in month_end.checks(month) if check.blocks and not check.met]


def paid(month: Month, id: str, amount: int = 1000, day: int = 5, currency: str = "usd") -> None:
    at = int((month.begin + timedelta(days=day)).timestamp())
    stored(
        InvoicePaymentObject(
            id=id,
            status="paid",
            amount_paid=amount,
            currency=currency,
            status_transitions={"paid_at": at, "canceled_at": None},
        )
    )


class TestMonths:
    @pytest.mark.parametrize(
        ("month", "zone", "begin", "end"),
        [
            ("2026-10", "UTC", "2026-10-01T00:00+00:00", "2026-11-01T00:00+00:00"),
            ("2026-10", "Europe/Berlin", "2026-09-30T22:00+00:00", "2026-10-31T23:00+00:00"),
            ("2026-03", "Europe/Berlin", "2026-02-28T23:00+00:00", "2026-03-31T22:00+00:00"),
            ("2026-12", "America/New_York", "2026-12-01T05:00+00:00", "2027-01-01T05:00+00:00"),
        ],
    )
    def test_it_begins_and_ends_at_midnight_there(self, month: str, zone: str, begin: str, end: str) -> None:
        found = Month.read(month, zone)
        assert (found.begin, found.end) == (datetime.fromisoformat(begin), datetime.fromisoformat(end))

    @pytest.mark.parametrize(
        ("month", "zone"),
        [("2026-13", "UTC"), ("x", "UTC"), ("", "UTC"), ("2026-10", "Mars/Base"), ("2026-10", "../x")],
    )
    def test_what_is_none_is_refused(self, month: str, zone: str) -> None:
        with pytest.raises(BadMonth):
            Month.read(month, zone)

    def test_a_payment_of_the_last_evening_is_of_the_next_month_further_east(self) -> None:
        moment = int(datetime(2026, 10, 31, 23, 30, tzinfo=UTC).timestamp())
        stored(
            InvoicePaymentObject(
                id="inpay_1",
                status="paid",
                amount_paid=500,
                status_transitions={"paid_at": moment, "canceled_at": None},
            )
        )
        collected = {
            zone: month_end.totals(Month.read("2026-10", zone))["collected"] for zone in ("UTC", "Europe/Berlin")
        }
        assert collected == {"UTC": {"usd": 500}, "Europe/Berlin": {}}


class TestChecks:
    def test_all_is_well_but_the_proof(self, last: Month) -> None:
        assert unmet(last) == ["proof"]
        proof(last)
        assert unmet(last) == []

    def test_a_proof_of_before_the_end_or_not_equal_is_none(self, last: Month) -> None:
        proof(last, started_at=last.end - timedelta(hours=1))
        assert unmet(last) == ["proof"]
        proof(last, equal=False)
        assert unmet(last) == ["proof"]

    def test_this_month_is_not_over(self) -> None:
        assert "over" in unmet(Month.last("UTC").after)

    def test_each_question(self, last: Month, agent: User) -> None:
        proof(last)
        at = last.begin + timedelta(days=3)
        operation = {"action": "void", "actor": agent, "source": "admin", "created_at": at}
        Operation.objects.create(invoice="in_1", state="unknown", **operation)
        Operation.objects.create(invoice="in_2", state="awaiting_approval", **operation)
        Operation.objects.create(invoice="in_3", state="processing", **operation)
        failed = Operation.objects.create(invoice="in_4", state="failed", **operation)
        event = Event.objects.create(id="evt_1", type="invoice.paid", body="{}", state="failed")
        PendingEvent.objects.create(event=event.pk, received_at=at, next_attempt_at=at)
        Contradiction.objects.create(operation=failed, event=event, message="otherwise")
        run = ReconciliationRun.objects.create(kind="sweep", state="finished")
        Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id="in_1", found_at=clock.now())
        ScheduledRefetch.objects.create(
            object_type="invoice", object_id="in_1", asked_at=at, due_at=at, given_up_at=clock.now(), failing_since=at
        )
        bank.credits_of(bank.line(500, booked_on=last.last_day), begins_on=last.first, ends_on=last.last_day)
        names = {"events", "failed_events", "unread", "unknown", "approvals", "contradictions", "drift", "credits"}
        assert set(unmet(last)) == names
        debits = next(check for check in month_end.checks(last) if check.name == "debits")
        assert debits.count == 1 and not debits.blocks

    def test_of_the_month_after_nothing_counts(self, last: Month, agent: User) -> None:
        proof(last)
        Operation.objects.create(action="void", invoice="in_1", actor=agent, source="admin", state="unknown")
        bank.credits_of(bank.line(500, booked_on=last.after.first), begins_on=last.first, ends_on=last.after.first)
        assert unmet(last) == []

    def test_a_statement_that_ends_before_the_month_does(self, last: Month) -> None:
        proof(last)
        day = last.first + timedelta(days=10)
        (credit,) = bank.credits_of(bank.line(500, booked_on=day), begins_on=last.first, ends_on=day)
        assert unmet(last) == ["credits", "statements"]
        decisions.decide(credit.pk, "ignored", by=User.objects.create_superuser("root"), reason="interest")
        assert unmet(last) == ["statements"]
        late = next(check for check in month_end.checks(last) if check.name == "statements")
        assert f"{bank.ACCOUNT} ({day + timedelta(days=1)})" in late.in_words()

    def test_statements_of_other_months_say_nothing_of_this_one(self, last: Month) -> None:
        proof(last)
        day = last.after.first
        bank.keep(bank.statement(bank.line(-500, booked_on=day), begins_on=day, ends_on=day))
        assert unmet(last) == ["statements"]

    @pytest.mark.parametrize(("opening", "is_gap"), [(100_500, False), (100_700, True), (None, True)])
    def test_between_two_statements_nothing_is_missing_if_the_balance_goes_on(
        self, last: Month, opening: int | None, is_gap: bool
    ) -> None:
        proof(last)
        first, second = last.first + timedelta(days=4), last.first + timedelta(days=20)
        bank.keep(bank.statement(bank.line(500, booked_on=first), begins_on=last.first, ends_on=first))
        days = {"begins_on": second, "ends_on": last.last_day}
        later = bank.statement(bank.line(-500, booked_on=second), opening=opening or 0, **days)
        bank.keep(later if opening else replace(later, opening=None, closing=None))
        BankTransaction.objects.update(state=BankTransaction.State.DONE)
        assert ("statements" in unmet(last)) is is_gap

    @pytest.mark.parametrize(("opening", "is_gap"), [(100_500, False), (100_700, True)])
    def test_nor_where_the_days_follow_and_the_afternoon_is_missing(
        self, last: Month, opening: int, is_gap: bool
    ) -> None:
        proof(last)
        first = last.first + timedelta(days=4)
        bank.keep(bank.statement(bank.line(500, booked_on=first), begins_on=last.first, ends_on=first))
        # Another statement of that same day, of which nobody knows whether it was the later one.
        bank.keep(bank.statement(bank.line(-500, booked_on=first), opening=900_000, begins_on=first, ends_on=first))
        next_day = {"begins_on": first + timedelta(days=1), "ends_on": last.last_day}
        bank.keep(bank.statement(bank.line(-500, booked_on=last.last_day), opening=opening, **next_day))
        BankTransaction.objects.update(state=BankTransaction.State.DONE)
        assert ("statements" in unmet(last)) is is_gap

    def test_each_currency_of_an_account_by_itself(self, last: Month) -> None:
        proof(last)
        middle = last.first + timedelta(days=9)
        for currency, ends_on in (("eur", last.last_day), ("usd", middle)):
            line = bank.line(-500, booked_on=middle, currency=currency)
            bank.keep(bank.statement(line, currency=currency, begins_on=last.first, ends_on=ends_on))
        BankTransaction.objects.update(state=BankTransaction.State.DONE)
        assert unmet(last) == ["statements"]


class TestClosing:
    def test_it_writes_down_who_when_what_and_the_journals_head(self, last: Month, finance: User) -> None:
        proof(last)
        paid(last, "inpay_1", 700)
        made = month_end.close(last, by=finance, seen=0)
        head = journal.head()
        assert made.head_position and made.head_hash and head is not None
        assert made.totals["collected"] == {"usd": 700} and made.closed_by == finance
        assert {check["name"] for check in made.checks} == {check.name for check in month_end.checks(last)}

    def test_what_is_open_needs_a_reason(self, last: Month, finance: User) -> None:
        with pytest.raises(Invalid) as refused:
            month_end.close(last, by=finance, seen=0)
        assert refused.value.param == "reason" and not MonthClose.objects.exists()
        assert month_end.close(last, by=finance, seen=0, reason="the proof runs tonight").number == 1

    def test_closed_again_it_needs_a_reason_and_is_another_row(self, last: Month, finance: User) -> None:
        proof(last)
        month_end.close(last, by=finance, seen=0)
        with pytest.raises(Refusal):
            month_end.close(last, by=finance, seen=0, reason="late statement")
        with pytest.raises(Invalid):
            month_end.close(last, by=finance, seen=1)
        month_end.close(last, by=finance, seen=1, reason="a late statement")
        assert list(MonthClose.objects.order_by("number").values_list("number", flat=True)) == [1, 2]

    def test_this_month_cannot_be_closed(self, finance: User) -> None:
        with pytest.raises(Refusal):
            month_end.close(Month.last("UTC").after, by=finance, seen=0, reason="early")

    @pytest.mark.parametrize("who", ["agent", "auditor"])
    def test_only_those_who_may(self, last: Month, who: str, request: pytest.FixtureRequest) -> None:
        with pytest.raises(Refusal):
            month_end.close(last, by=request.getfixturevalue(who), seen=0, reason="x")

    def test_the_same_form_twice_is_one_closing(self, last: Month, finance: User) -> None:
        id = uuid.uuid4()
        made = [month_end.close(last, by=finance, seen=0, reason="x", id=id) for _ in range(2)]
        assert made[0] == made[1] and MonthClose.objects.count() == 1

    def test_two_people_at_once_close_it_once(self, last: Month, finance: User, manager: User) -> None:
        refused: list[Exception] = []
        barrier = threading.Barrier(2)

        def person(user: User) -> None:
            try:
                barrier.wait(10)
                month_end.close(last, by=user, seen=0, reason="x")
            except Refusal as refusal:
                refused.append(refusal)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=person, args=[user]) for user in (finance, manager)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1 and MonthClose.objects.count() == 1

    def test_it_is_in_the_journal_and_never_changes(self, last: Month, finance: User) -> None:
        made = month_end.close(last, by=finance, seen=0, reason="x")
        journal.chain()
        assert journal.verify().finding is None
        with pytest.raises(Exception, match="journal"):
            MonthClose.objects.filter(pk=made.pk).update(totals={})

    def test_what_it_has_kept_cannot_be_forged(self, last: Month, finance: User) -> None:
        """Past the triggers, by the owner of the database: the chain tells."""
        paid(last, "inpay_1", 700)
        made = month_end.close(last, by=finance, seen=0, reason="x")
        journal.chain()
        with without_triggers(), connection.cursor() as cursor:
            cursor.execute("UPDATE invoices_monthclose SET figures = replace(figures, '700', '900')")
        finding = journal.verify().finding
        assert finding is not None and str(made.pk).replace("-", "") in str(finding).replace("-", "")


class TestLaterChanges:
    def test_what_changed_at_stripe_since(self, last: Month, finance: User) -> None:
        paid(last, "inpay_before")
        made = month_end.close(last, by=finance, seen=0, reason="x")
        paid(last, "inpay_late", 300)
        paid(last.after, "inpay_of_the_next_month")
        stored(InvoiceObject(id="in_late", status="void", status_transitions={
            "finalized_at": int(last.begin.timestamp()) + 60, "voided_at": int(clock.now().timestamp()),
            "paid_at": None, "marked_uncollectible_at": None}))  # fmt: skip
        found = {each.object_id: each for each in month_end.later_changes(made).changes}
        assert set(found) == {"inpay_late", "in_late"}
        assert (found["inpay_late"].amount, found["inpay_late"].currency) == (300, "usd")

    def test_what_people_and_banks_brought_since(self, last: Month, finance: User) -> None:
        made = month_end.close(last, by=finance, seen=0, reason="x")
        for day, invoice in ((last.last_day, "in_1"), (last.after.first, "in_2")):
            Operation.objects.create(
                action="attach_out_of_band_payment", invoice=invoice, actor=finance, source="admin", state="succeeded",
                params={"amount": 500, "received_on": day.isoformat()}, currency="usd", finished_at=clock.now(),
            )  # fmt: skip
        bank.credits_of(bank.line(700, booked_on=last.last_day))
        found = month_end.later_changes(made).changes
        assert sorted(each.object_type for each in found) == ["bank_transaction", "operation"]

    def test_nothing(self, last: Month, finance: User) -> None:
        made = month_end.close(last, by=finance, seen=0, reason="x")
        assert month_end.later_changes(made).changes == []

    def test_what_goes_on_as_it_does_is_no_change_of_the_month(self, last: Month, finance: User) -> None:
        """Invoices of the month that are paid or voided in the next one, and a credit note that is voided then."""
        issued = int(last.begin.timestamp()) + 60
        now = int(clock.now().timestamp())
        credit = CreditNoteObject(id="cn_1", invoice="in_2", created=issued + 60, amount=100, pre_payment_amount=100)
        stored(credit)
        for id in ("in_1", "in_3"):
            stored(InvoiceObject(id=id, status="open", status_transitions=moments(finalized_at=issued)))
        credited = InvoiceObject(id="in_2", status_transitions=moments(finalized_at=issued))
        stored(credited, amount_due=900, amount_remaining=900, pre_payment_credit_notes_amount=100)
        made = month_end.close(last, by=finance, seen=0, reason="x")
        stored(InvoiceObject(id="in_1", status="paid", status_transitions=moments(finalized_at=issued, paid_at=now)))
        stored(InvoiceObject(id="in_3", status="void", status_transitions=moments(finalized_at=issued, voided_at=now)))
        stored({**credit, "status": "void", "voided_at": now})
        stored(credited)
        changes.number_all()
        assert Change.objects.filter(sequence__gt=made.change_sequence).exists()
        assert month_end.later_changes(made).changes == []

    def test_what_it_was_and_what_it_is(self, last: Month, finance: User) -> None:
        paid(last, "inpay_less", 1000)
        paid(last, "inpay_gone", 700)
        made = month_end.close(last, by=finance, seen=0, reason="x")
        InvoicePayment.objects.filter(pk="inpay_less").update(amount_paid=900)
        InvoicePayment.objects.filter(pk="inpay_gone").update(deleted_at=clock.now())
        paid(last, "inpay_new", 50)
        found = {
            each.object_id: (each.what, each.before, each.amount) for each in month_end.later_changes(made).changes
        }
        assert found == {
            "inpay_less": ("changed", 1000, 900),
            "inpay_gone": ("does not count any more", 700, None),
            "inpay_new": ("came", None, 50),
        }

    def test_what_was_asked_for_before_and_done_afterwards(self, last: Month, finance: User) -> None:
        """It was requested while the month was open, and recorded after it was closed."""
        waiting = Operation.objects.create(
            action="attach_out_of_band_payment", invoice="in_1", actor=finance, source="admin", currency="usd",
            state="running", params={"amount": 500, "received_on": last.last_day.isoformat()},
        )  # fmt: skip
        made = month_end.close(last, by=finance, seen=0, reason="x")
        Operation.objects.filter(pk=waiting.pk).update(state="succeeded")
        assert [each.object_id for each in month_end.later_changes(made).changes] == [str(waiting.pk)]

    def test_what_comes_while_it_is_being_closed(
        self, last: Month, finance: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is in the totals of the closing, or it is listed; never neither."""
        read = month_end.read

        def read_and_then(month: Month) -> month_end.Reading:
            found = read(month)
            paid(last, "inpay_meanwhile", 300)
            bank.credits_of(bank.line(700, booked_on=last.last_day))
            return found

        monkeypatch.setattr(month_end, "read", read_and_then)
        made = month_end.close(last, by=finance, seen=0, reason="x")
        monkeypatch.undo()
        assert made.totals["collected"] == {}
        assert [each.amount for each in month_end.later_changes(made).changes] == [700, 300]

    def test_a_credit_note_that_is_learned_of_late_changes_what_was_outstanding(
        self, last: Month, finance: User
    ) -> None:
        """It was made the month before, and voided in the closed one; nobody knew when that was closed."""
        begun = int(last.before.begin.timestamp()) + 60
        note = CreditNoteObject(id="cn_1", invoice="in_1", created=begun + 60, amount=400, pre_payment_amount=400)
        stored(note)
        given = {"id": "in_1", "status_transitions": moments(finalized_at=begun), "created": begun}
        stored(InvoiceObject(amount_due=600, amount_remaining=600, pre_payment_credit_notes_amount=400, **given))
        made = month_end.close(last, by=finance, seen=0, reason="x")
        assert made.totals["outstanding"] == {"usd": 600}
        stored({**note, "status": "void", "voided_at": int(last.begin.timestamp()) + 60})
        stored(InvoiceObject(amount_due=1000, amount_remaining=1000, pre_payment_credit_notes_amount=0, **given))
        (found,) = month_end.later_changes(made).changes
        assert (found.object_id, found.before, found.amount) == ("in_1", 600, 1000)

    def test_years_later_it_is_listed_all_the_same(self, last: Month, finance: User) -> None:
        """However many changes of other months came between."""
        made = month_end.close(last, by=finance, seen=0, reason="x")
        for number in range(30):
            paid(last.after, f"inpay_{number}")
        paid(last, "inpay_late", 300)
        assert [each.object_id for each in month_end.later_changes(made).changes] == ["inpay_late"]

    def test_of_a_month_that_was_closed_before_rows_were_kept_it_is_not_known(self, last: Month, finance: User) -> None:
        made = MonthClose.objects.create(month=last.first, time_zone="UTC", number=1, closed_by=finance)
        assert month_end.later_changes(made) == month_end.Later([], is_known=False)


def moments(**given: int) -> dict[str, int | None]:
    names = ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
    return {name: given.get(name) for name in names}


def text(response: Any, status: int = 200) -> str:
    assert response.status_code == status, content_of(response)[:2000]
    return html.unescape(content_of(response))


class TestPages:
    @pytest.fixture
    def room(self, client: Client, finance: User) -> Client:
        client.force_login(finance)
        return client

    def test_what_changed_is_named_as_people_know_it(self, client: Client, last: Month, finance: User) -> None:
        made = month_end.close(last, by=finance, seen=0, reason="asked")
        line = bank.line(500, "thanks", payer_name="Ada Lovelace", booked_on=last.last_day)
        (credit,) = bank.credits_of(line, begins_on=last.first, ends_on=last.last_day)
        client.force_login(finance)
        page = content_of(client.get(f"/admin/invoices/monthclose/{made.pk}/"))
        assert f"{last.last_day} Ada Lovelace</a>" in page and f">{credit.pk}<" not in page

    def test_it_is_checked_and_closed(self, room: Client, last: Month) -> None:
        page = f"{PAGE}check/?month={last}&zone=UTC"
        found = text(room.get(page))
        assert "Not everything is as it should be" in found and "Proved equal" in found
        assert "optional" not in found  # the reason is needed now
        refused = text(room.post(page, hidden(found)), status=400)
        assert "Please say why" in refused and not MonthClose.objects.exists()
        answer = room.post(page, {**hidden(refused), "reason": "the proof runs tonight"})
        assert answer.status_code == 302
        closed = text(room.get(answer["Location"]))
        assert "the proof runs tonight" in closed and "Nothing of this month changed" in closed
        assert "Closed by finance" in text(room.get(page))

    @pytest.mark.parametrize(
        "query", ["month=2026-99", "month=x&zone=Mars", "zone=%00", "month=0000-00", "month=1999-12"]
    )
    def test_what_cannot_be_read_is_said(self, room: Client, query: str) -> None:
        assert room.get(f"{PAGE}check/?{query}").status_code == 400

    def test_each_link_leads_to_a_list(self, room: Client, last: Month) -> None:
        found = text(room.get(f"{PAGE}check/?month={last}&zone=UTC"))
        table = found.split("<tbody")[-1] if "<tbody" in found else found.split('class="main"')[1]
        links = re.findall(r'<td><a href="([^"]+)"', table)
        assert len(links) > 8
        for link in links:
            assert room.get(link).status_code == 200, link

    def test_each_number_leads_to_exactly_its_rows(self, room: Client, last: Month, agent: User) -> None:
        """Of the month after there are such rows too."""
        early, late = last.begin + timedelta(days=3), last.end + timedelta(minutes=1)
        for number, moment in enumerate((early, late)):
            for state in ("unknown", "awaiting_approval", "processing", "failed"):
                made = Operation.objects.create(
                    action="void", invoice=f"in_{state}{number}", actor=agent, source="admin", state=state,
                    created_at=moment,
                )  # fmt: skip
            event = Event.objects.create(id=f"evt_{number}", type="invoice.paid", body="{}", received_at=moment)
            failed = Event.objects.create(id=f"evt_failed{number}", type="invoice.paid", body="{}", state="failed")
            for of in (event, failed):
                Contradiction.objects.create(operation=made, event=of, message="otherwise")
            for finished_at in (None, moment):
                Batch.objects.create(action="void", actor=agent, items=[], created_at=moment, finished_at=finished_at)
            ScheduledRefetch.objects.create(
                object_type="invoice", object_id=f"in_{number}", asked_at=moment, due_at=moment,
                given_up_at=clock.now(), failing_since=moment,
            )  # fmt: skip
            run = ReconciliationRun.objects.create(kind="sweep", state="finished")
            for found_at in (clock.now(), clock.now() - timedelta(days=8)):
                Drift.objects.create(
                    run=run, kind="differs", object_type="invoice", object_id="in_1", found_at=found_at
                )
            bank.credits_of(bank.line(500, booked_on=moment.date()))
        client = room.get(f"{PAGE}check/?month={last}&zone=UTC")
        wrong, counted = [], set()
        for check, _label, _said, link, _count in client.context["checks"]:
            if check.count and link and check.name not in ("statements", "proof"):
                counted.add(check.name)
                rows = room.get(link).context["cl"].queryset.count()
                if rows != check.count:
                    wrong.append((check.name, check.count, rows, link))
        assert not wrong
        names = "events failed_events unread unknown approvals batches contradictions drift credits debits"
        assert counted == set(names.split())

    def test_it_links_to_nothing_that_this_person_may_not_see(self, client: Client, last: Month) -> None:
        looker = User.objects.create_user("looker", is_staff=True)
        looker.user_permissions.add(Permission.objects.get(codename="view_monthclose"))
        client.force_login(looker)
        paid(last, "inpay_1")
        made = month_end.close(last, by=User.objects.create_superuser("root"), seen=0, reason="x")
        paid(last, "inpay_2")
        for page in (f"{PAGE}check/?month={last}&zone=UTC", f"{PAGE}{made.pk}/"):
            found = text(client.get(page)).partition('class="columns"')[2].partition("</main>")[0]
            links = {each for each in re.findall(r'href="([^"#]+)"', found) if each.startswith("/")}
            assert not [each for each in links if client.get(each).status_code != 200], page

    def test_what_takes_too_long_is_not_waited_for(
        self, room: Client, last: Month, finance: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paid(last, "inpay_1")
        made = month_end.close(last, by=finance, seen=0, reason="x")
        monkeypatch.setattr(thresholds, "REPORT_LOOK", timedelta(0))
        for page in (f"{PAGE}check/?month={last}&zone=UTC", f"{PAGE}{made.pk}/"):
            assert "takes too long to add this up" in text(room.get(page)), page

    def test_what_is_not_known_is_counted_and_leads_to_its_rows(self, room: Client, last: Month) -> None:
        undated = InvoicePaymentObject(
            id="inpay_1", status="paid", amount_paid=100, created=int(last.begin.timestamp()),
            status_transitions={"paid_at": None, "canceled_at": None},
        )  # fmt: skip
        stored(undated)
        found = text(room.get(f"{PAGE}check/?month={last}&zone=UTC"))
        link = re.search(r'href="([^"]+)">Payments received: not known</a>', found)
        assert link and "not-known" in link[1] and "Stripe does not say when it was paid" in text(room.get(link[1]))

    def test_what_it_came_to_leads_to_the_reports(self, room: Client, last: Month) -> None:
        found = text(room.get(f"{PAGE}check/?month={last}&zone=Europe/Berlin"))
        links = [unescape(each) for each in re.findall(r'<dt><a href="([^"]+)"', found)]
        names = ["payments", "issued", "write_offs", "write_offs", "receivables"]
        assert [each.split("/")[3] for each in links] == names
        for each in links:
            days = f"as_of={last.last_day}" if "receivables" in each else f"from={last.first}&to={last.last_day}"
            assert f"{days}&tz=Europe%2FBerlin" in each
            assert room.get(each).status_code == 200

    def test_home_says_that_the_month_is_not_closed_where_months_are(
        self, room: Client, last: Month, finance: User
    ) -> None:
        said = f"{last} is not closed"
        assert said not in text(room.get("/admin/"))
        month_end.close(last.before, by=finance, seen=0, reason="x")
        assert said in text(room.get("/admin/"))
        month_end.close(last, by=finance, seen=0, reason="x")
        assert said not in text(room.get("/admin/"))

    def test_an_auditor_looks_and_does_not_close(self, client: Client, auditor: User, last: Month) -> None:
        client.force_login(auditor)
        page = f"{PAGE}check/?month={last}&zone=UTC"
        found = text(client.get(page))
        assert "You may look, and not close" in found
        text(client.post(page, {"closing": str(uuid.uuid4()), "seen": "0", "reason": "x"}), status=403)
        assert not MonthClose.objects.exists()

    def test_an_agent_sees_nothing_of_it(self, desk: Client) -> None:
        assert desk.get(PAGE).status_code == 403 and desk.get(f"{PAGE}check/").status_code == 403


class TestCommand:
    def test_it_says_closes_and_lists(self, last: Month, capsys: Any) -> None:
        User.objects.create_superuser("root")
        with pytest.raises(SystemExit) as status:
            call_command("month_end", str(last), "--json")
        said = json.loads(capsys.readouterr().out)
        assert status.value.code == 3 and said["can_be_closed"] is False
        with pytest.raises(CommandError):
            call_command("month_end", str(last), "--close")
        call_command("month_end", str(last), "--close", "--reason", "the proof runs tonight")
        assert "is closed" in capsys.readouterr().out
        paid(last, "inpay_1")
        call_command("month_end", str(last), "--changes")
        assert "inpay_1" in capsys.readouterr().out

    def test_what_is_no_month(self) -> None:
        with pytest.raises(CommandError):
            call_command("month_end", "2026-99")
