"""The home page: each queue counts exactly the rows of its list, who sees which, and that it never scans."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from invoices import assignments, clock, notes, promises, tallies
from invoices.admin import queues
from invoices.models import (
    Batch,
    BatchItem,
    Contradiction,
    Drift,
    Event,
    Operation,
    Promise,
    ReconciliationRun,
    TallyProgress,
)
from tests.factories import (
    ChargeObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    stored,
    user_in_group,
)

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC).replace(microsecond=0)
MOST_QUERIES = 29
DECLINED = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}


def noon(days_ago: int) -> int:
    """Seconds since 1970: noon, UTC, of a day."""
    day = (NOW - timedelta(days=days_ago)).replace(hour=12, minute=0, second=0)
    return int(day.timestamp())


@pytest.fixture
def manager() -> User:
    return user_in_group("mara", "Billing manager")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def entry(user: User, title: str) -> queues.Entry | None:
    found = {each.title: each for each in queues.entries(queues.Reading(User.objects.get(pk=user.pk)))}
    return found.get(title)


def the(user: User, title: str) -> queues.Entry:
    found = entry(user, title)
    assert found is not None, f"no queue {title}"
    return found


def rows(client: Client, link: str) -> list[str]:
    """The ids of the rows that this list shows."""
    response = client.get(link)
    assert response.status_code == 200, link
    return sorted(str(row.pk) for row in response.context["cl"].result_list)


def links(html: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'href="([^"]+)"', html)]


def trying(invoice: dict[str, Any], status: str, **given: Any) -> dict[str, Any]:
    intent = PaymentIntentObject(status=status, customer=invoice["customer"], **given)
    stored(intent)
    stored(
        InvoicePaymentObject(invoice=invoice["id"], payment={"type": "payment_intent", "payment_intent": intent["id"]})
    )
    return intent


def operation(actor: User, state: str = "awaiting_approval", **given: Any) -> Operation:
    number = Operation.objects.count()
    values = {"action": "void", "invoice": f"in_{number}", "source": "admin", "reason": "Asked for", "currency": "usd"}
    return Operation.objects.create(**{**values, "actor": actor, "state": state, "approval_amount": 1000, **given})


class TestInvoices:
    def test_the_bands_of_what_is_overdue_lead_to_exactly_their_rows(self, manager: User) -> None:
        days = {"1-7": (1, 7), "8-30": (8, 30), "31-90": (31, 90), "over-90": (91, 400)}
        for band, of_band in days.items():
            for late in of_band:
                stored(InvoiceObject(id=f"in_{band}_{late}", due_date=noon(late), amount_remaining=100 * late))
        stored(InvoiceObject(id="in_today", due_date=noon(0)))
        stored(InvoiceObject(id="in_tomorrow", due_date=noon(-1)))
        stored(InvoiceObject(id="in_none"))
        stored(InvoiceObject(id="in_paid", status="paid", due_date=noon(5)))
        tallies.run_due()
        client, overdue = signed_in(manager), the(manager, "Overdue")
        assert (overdue.count, overdue.sums) == ("8", [f"USD {sum(sum(of) for of in days.values())}.00"])
        assert len(rows(client, overdue.link)) == 8
        assert overdue.oldest is not None and (NOW.date() - overdue.oldest.date()).days == 400
        for part, (band, of_band) in zip(overdue.parts, days.items(), strict=True):
            assert part.count == "2" and rows(client, part.link) == sorted(f"in_{band}_{late}" for late in of_band)
        not_due = queues.list_of("invoice", age=tallies.NOT_DUE)
        assert rows(client, not_due) == ["in_today", "in_tomorrow"]
        assert rows(client, queues.list_of("invoice", age=tallies.NO_DUE_DATE)) == ["in_none"]

    def test_what_waits_for_a_payment_leads_to_exactly_its_rows(self, manager: User) -> None:
        for number, (status, error) in enumerate(
            (("requires_payment_method", DECLINED), ("requires_action", None), ("processing", None))
        ):
            for currency in ("usd", "jpy"):
                invoice = InvoiceObject(id=f"in_{number}_{currency}", currency=currency, attempt_count=1)
                stored(invoice)
                trying(invoice, status, last_payment_error=error)
        tallies.run_due()
        client = signed_in(manager)
        for number, title in enumerate(("Payment failed", "Needs the customer", "Bank debits under way")):
            found = the(manager, title)
            assert (found.count, sorted(found.sums)) == ("2", ["JPY 1,000", "USD 10.00"])
            assert rows(client, found.link) == [f"in_{number}_jpy", f"in_{number}_usd"]
            assert rows(client, f"{found.link}&currency=jpy") == [f"in_{number}_jpy"]
        for_reason = queues.list_of("invoice", queue="payment_failed.insufficient_funds")
        assert len(rows(client, for_reason)) == 2
        assert rows(client, queues.list_of("invoice", queue="payment_failed.expired_card")) == []
        [part] = the(manager, "Payment failed").parts
        assert (part.title, part.count) == ("Insufficient funds", "2")
        assert rows(client, part.link) == rows(client, for_reason)

    def test_what_is_promised_leaves_the_overdue_until_its_day_has_passed(self, manager: User) -> None:
        for number, late in enumerate((3, 3, 20)):
            stored(InvoiceObject(id=f"in_{number}", due_date=noon(late), amount_remaining=1000))
        tallies.run_due()
        tomorrow = f"{NOW + timedelta(days=1):%Y-%m-%d}"
        made = promises.record("in_0", amount="4.00", day=tomorrow, by=manager)
        client, overdue = signed_in(manager), the(manager, "Overdue")
        assert (overdue.count, overdue.sums) == ("2", ["USD 20.00"])
        assert rows(client, overdue.link) == ["in_1", "in_2"]
        assert [part.count for part in overdue.parts] == ["1", "1", "0", "0"]
        assert [rows(client, part.link) for part in overdue.parts] == [["in_1"], ["in_2"], [], []]
        assert rows(client, queues.list_of("invoice", age="overdue")) == ["in_0", "in_1", "in_2"]
        blind = user_in_group("eve", None)
        blind.user_permissions.add(Permission.objects.get(codename="view_invoice"))
        found = the(blind, "Overdue")
        assert found.count == "3" and len(rows(signed_in(blind), found.link)) == 3 and len(found.parts) == 4
        promises.withdraw(made, by=manager, because="Sent anew")
        assert the(manager, "Overdue").count == "3" and len(rows(client, overdue.link)) == 3

    def test_each_promised_invoice_leaves_the_overdue_by_its_day_and_currency(self, manager: User) -> None:
        dues = [("usd", 3), ("usd", 3), ("eur", 3), ("usd", 20), (None, 3), ("usd", -2)]
        for number, (currency, late) in enumerate([*dues, *dues]):
            stored(InvoiceObject(id=f"in_{number}", currency=currency, due_date=noon(late), amount_remaining=1000))
        stored(InvoiceObject(id="in_without", due_date=None, amount_remaining=1000))
        tallies.run_due()
        tomorrow = (NOW + timedelta(days=1)).date()
        for invoice in (*(f"in_{number}" for number in range(len(dues))), "in_without"):
            given = {"day": tomorrow, "ends_at": NOW + timedelta(days=2), "recorded_by": manager}
            Promise.objects.create(invoice=invoice, amount=1000, currency="usd", paid_before=0, **given)
        client, overdue = signed_in(manager), the(manager, "Overdue")
        assert (overdue.count, overdue.sums) == ("5", ["USD 30.00", "EUR 10.00"])
        assert len(rows(client, overdue.link)) == 5
        assert [part.count for part in overdue.parts] == ["4", "1", "0", "0"]
        assert [len(rows(client, part.link)) for part in overdue.parts] == [4, 1, 0, 0]

    def test_a_queue_leaves_the_page_when_it_is_empty(self, manager: User) -> None:
        stored(InvoiceObject(id="in_1", due_date=noon(3)))
        tallies.run_due()
        client = signed_in(manager)
        assert [queue.title for queue in client.get("/admin/").context["queues"]] == ["Overdue"]
        stored(InvoiceObject(id="in_1", due_date=noon(3), status="paid", amount_remaining=0))
        tallies.run_due()
        response = client.get("/admin/")
        assert response.context["queues"] == [] and "Nothing waits." in response.content.decode()

    @pytest.mark.parametrize("value", ["garbage", "payment_failed.\x00", "recovered.2026-99-99", "a.b.c"])
    def test_what_cannot_be_read_selects_nothing(self, manager: User, value: str) -> None:
        stored(InvoiceObject(attempt_count=1, due_date=noon(3)))
        stored(ChargeObject())
        tallies.run_due()
        client = signed_in(manager)
        for model, name in (("invoice", "queue"), ("invoice", "age"), ("charge", "attempt"), ("operation", "turn")):
            response = client.get(queues.list_of(model, **{name: value}))
            assert response.status_code in (200, 302)
            assert response.status_code == 302 or len(response.context["cl"].result_list) == 0


class TestOperations:
    def test_my_approvals_are_those_on_which_i_may_decide(self, manager: User) -> None:
        other = user_in_group("otto", "Billing manager")
        theirs, mine = operation(other), operation(manager)
        client = signed_in(manager)
        approvals, requests = the(manager, "My approvals"), the(manager, "My waiting requests")
        assert (approvals.count, approvals.sums) == ("1", ["USD 10.00"])
        assert rows(client, approvals.link) == [str(theirs.pk)]
        assert requests.count == "1" and rows(client, requests.link) == [str(mine.pk)]

    def test_unknown_outcomes_and_contradictions_lead_to_their_rows(self, manager: User) -> None:
        unknown = operation(manager, "unknown", expected={"amount_remaining": 700}, approval_amount=None)
        done = operation(manager, "succeeded", finished_at=clock.now())
        event = Event.objects.create(id="evt_1", type="invoice.voided", created=NOW, body="{}")
        Contradiction.objects.create(operation=done, event=event, message="Stripe says otherwise.")
        client = signed_in(manager)
        found = the(manager, "Unknown outcomes")
        assert (found.count, found.sums) == ("1", ["USD 7.00"])
        assert rows(client, found.link) == [str(unknown.pk)]
        assert rows(client, the(manager, "Contradictions").link) == [str(done.pk)]
        assert "Stripe contradicts the journal" in client.get("/admin/").content.decode()

    def test_many_are_not_all_counted(self, manager: User) -> None:
        for _ in range(queues.MAX_COUNTED + 1):
            operation(manager)
        found = the(manager, "My waiting requests")
        assert (found.count, found.sums) == ("100+", ["over USD 1,000.00"])

    def test_drift_of_the_last_days_that_was_left(self, manager: User) -> None:
        run = ReconciliationRun.objects.create(kind="sweep")
        left = Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id="in_1")
        Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id="in_2", healed_at=NOW)
        long_ago = NOW - timedelta(days=30)
        Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id="in_3", found_at=long_ago)
        found = the(manager, "Drift")
        assert found.count == "1" and rows(signed_in(manager), found.link) == [str(left.pk)]


def shown(client: Client, link: str) -> int:
    """How many rows a queue's address shows."""
    context = client.get(link).context
    return len(context["waiting"] if "waiting" in context else context["cl"].result_list)


class TestEveryNumberIsItsRows:
    """For each queue of each reader: an agent, a manager, and one of finance who only reads."""

    @pytest.fixture
    def scene(self, manager: User) -> dict[str, User]:
        """Something of everything waits: for these people, for others, for nobody."""
        agent, auditor = user_in_group("ada", "Support agent"), user_in_group("udo", "Auditor")
        other = user_in_group("otto", "Billing manager")
        for number in range(9):
            made = InvoiceObject(id=f"in_{number}", due_date=noon(5 * number + 1), amount_remaining=1000)
            stored(made)
            if number < 3:
                status = ("processing", "requires_action", "requires_payment_method")[number]
                stored(trying(made, status, last_payment_error=DECLINED))
        tallies.run_due()
        for number, person in enumerate((agent, manager, agent, other, auditor)):
            assignments.give(f"in_{number}", person.username, by=other, seen=None)
        promises.record("in_7", amount="4.00", day=f"{timezone.localdate():%Y-%m-%d}", by=agent)
        passed = {"day": NOW.date() - timedelta(days=1), "ends_at": NOW - timedelta(days=1), "recorded_by": agent}
        Promise.objects.create(invoice="in_8", amount=400, currency="usd", paid_before=0, **passed)
        notes.write("in_1", "@ada @mara please look", author=other)
        notes.write("in_2", "@mara @udo and here", author=agent)
        for actor in (agent, agent, manager, other):
            operation(actor)
            operation(actor, "unknown", created_at=NOW - timedelta(hours=3))
            asked = {"items": [BatchItem("in_1", "open", 1)], "reason": "x", "awaiting_approval": True}
            Batch.objects.create(actor=actor, action="void", **asked)
        done = operation(other, "succeeded", finished_at=clock.now())
        event = Event.objects.create(id="evt_1", type="invoice.voided", created=NOW, body="{}")
        Contradiction.objects.create(operation=done, event=event, message="Stripe says otherwise.")
        run = ReconciliationRun.objects.create(kind="sweep")
        Drift.objects.create(run=run, kind="differs", object_type="invoice", object_id="in_1")
        return {"agent": agent, "manager": manager, "finance": auditor}

    @pytest.mark.parametrize("reader", ["agent", "manager", "finance"])
    def test_it(self, scene: dict[str, User], reader: str) -> None:
        user = User.objects.get(pk=scene[reader].pk)
        client, entries = signed_in(user), queues.entries(queues.Reading(user))
        assert len([each for each in entries if not each.is_empty]) >= 8
        for each in entries:
            assert (each.title, each.count) == (each.title, str(shown(client, each.link)))
            for part in each.parts:
                assert (part.title, part.count) == (part.title, str(shown(client, part.link)))


class TestWhoSeesWhat:
    def titles(self, user: User) -> set[str]:
        return {each.title for each in queues.entries(queues.Reading(User.objects.get(pk=user.pk)))}

    def test_by_group(self, manager: User) -> None:
        for_all = {
            *("Overdue", "Payment failed", "Needs the customer", "Bank debits under way", "Unknown outcomes"),
            *("Promised for today", "Promises broken", "Mentions"),
        }
        overseeing = {"Contradictions", "Drift"}
        assert self.titles(user_in_group("ada", "Support agent")) == for_all | {"My waiting requests", "Mine"}
        assert self.titles(user_in_group("udo", "Auditor")) == for_all | overseeing
        managing = {"Mine", "My approvals", "My waiting requests", "For you to decide", "Bank credits to match"}
        assert self.titles(manager) == for_all | overseeing | managing
        finance = {"Mine", "My waiting requests", "Bank credits to match"}
        assert self.titles(user_in_group("fay", "Finance")) == for_all | overseeing | finance
        assert self.titles(user_in_group("nobody", None)) == set()

    @pytest.mark.parametrize(
        ("permission", "hidden"),
        [
            ("view_invoice", {"Unknown outcomes", "Charges by decline reason"}),
            ("view_charge", {"Overdue", "Outstanding by age", "Recovered this week"}),
            ("view_operation", {"Overdue", "Outstanding by age", "Charges by decline reason"}),
        ],
    )
    def test_by_permission(self, permission: str, hidden: set[str]) -> None:
        stored(InvoiceObject(due_date=noon(3), amount_remaining=123_456))
        stored(ChargeObject(amount=654_321))
        user = user_in_group("eve", None)
        operation(user, "unknown", approval_amount=777_777)
        tallies.run_due()
        user.user_permissions.add(Permission.objects.get(codename=permission))
        page = signed_in(user).get("/admin/").content.decode()
        assert [title for title in hidden if title in page] == []
        amounts = {"view_invoice": "1,234.56", "view_operation": "7,777.77"}
        shown = [amount for amount in ("1,234.56", "6,543.21", "7,777.77") if amount in page]
        assert shown == ([amounts[permission]] if permission in amounts else [])

    def test_nobody_without_a_group_learns_anything(self) -> None:
        stored(InvoiceObject(due_date=noon(3), amount_remaining=123_456))
        tallies.run_due()
        client = signed_in(user_in_group("nobody", None))
        assert "1,234.56" not in client.get("/admin/").content.decode()
        assert "nothing here that you may see" in client.get("/admin/health/").content.decode()
        assert not client.get("/admin/health/line/").content.strip()


class TestCharts:
    def test_each_bar_leads_to_its_rows(self, manager: User) -> None:
        paid = {"status": "paid", "amount_remaining": 0, "amount_paid": 500, "attempt_count": 3}
        stored(InvoiceObject(id="in_today", **paid, status_transitions={"paid_at": int(NOW.timestamp())}))
        stored(InvoiceObject(id="in_day_3", **paid, status_transitions={"paid_at": noon(3)}, currency="jpy"))
        stored(InvoiceObject(id="in_day_7", **paid, status_transitions={"paid_at": noon(7)}))
        stored(InvoiceObject(id="in_open", due_date=noon(40)))
        intent = PaymentIntentObject(status="succeeded")
        stored(intent)
        outcome = {"reason": "insufficient_funds"}
        stored(ChargeObject(id="ch_paid", payment_intent=intent["id"], status="failed", outcome=outcome))
        stored(ChargeObject(id="ch_not", payment_intent="pi_none", status="failed", outcome=outcome))
        stored(ChargeObject(id="ch_ok", payment_intent=intent["id"]))
        stored(ChargeObject(id="ch_old", created=noon(34)))
        tallies.run_due()
        client = signed_in(manager)
        response = client.get("/admin/")
        charts = {chart.title: chart for chart in response.context["charts"]}
        bars = {
            (title, group.title.partition(" ")[0], bar.label): bar
            for title, chart in charts.items()
            for group in chart.groups
            for bar in group.bars
        }
        full = {key: rows(client, bar.link) for key, bar in bars.items() if bar.width}
        recovered = {key[1]: ids for key, ids in full.items() if key[0] == "Recovered this week"}
        assert recovered == {"USD": ["in_today"], "JPY": ["in_day_3"]}
        assert full["Outstanding by age", "USD", "31 to 90 days overdue"] == ["in_open"]
        declined = bars["Charges by decline reason", "Declined", "Insufficient funds"]
        assert (declined.value, declined.width, declined.part) == ("2, 1 paid later", 100, 50)
        assert rows(client, declined.link) == ["ch_not", "ch_paid"]
        assert rows(client, declined.link.replace("declined.", "paid_later.")) == ["ch_paid"]
        succeeded = bars["Charges by decline reason", "All", "Succeeded"]
        assert succeeded.value == "1 of 3, 33%" and rows(client, succeeded.link) == ["ch_ok"]
        empty = [bar.link for bar in bars.values() if not bar.width]
        assert len(empty) == 12 and all(rows(client, link) == [] for link in empty)  # the days of two currencies
        assert ["Insufficient funds", "2", "1", "50%"] in charts["Charges by decline reason"].rows
        page = response.content.decode()
        assert page.count("As a table") == 3 and "style=" not in page.partition('class="charts"')[2]

    def test_a_reason_that_is_no_plain_word(self, manager: User) -> None:
        hostile = '<script>alert("1")</script> & \u202eabc 😀'
        stored(ChargeObject(status="failed", failure_code=hostile))
        tallies.run_due()
        client = signed_in(manager)
        response = client.get("/admin/")
        assert "<script>alert(" not in response.content.decode()
        chart = next(chart for chart in response.context["charts"] if chart.title.startswith("Charges"))
        assert len(rows(client, chart.groups[1].bars[0].link)) == 1


class TestHealth:
    def test_it_is_one_line_and_its_cards_are_on_their_page(self, manager: User) -> None:
        client = signed_in(manager)
        assert 'hx-get="/admin/health/line/"' in client.get("/admin/").content.decode()
        line = client.get("/admin/health/line/").content.decode()
        assert "The desk works. Worth a look:" in line and "/admin/health/" in links(line)
        assert "Last catch-up" in client.get("/admin/health/").content.decode()

    def test_it_is_red_only_when_something_is_wrong(self, manager: User) -> None:
        client = signed_in(manager)
        assert client.get("/admin/health/line/").context["health"].tone == "amber"
        Event.objects.create(id="evt_1", type="invoice.paid", created=NOW, body="{}", state="failed", attempts=5)
        line = client.get("/admin/health/line/").context["health"]
        assert (line.tone, [card.title for card in line.cards]) == ("red", ["Failed events"])

    def test_it_says_when_nobody_counts(self, manager: User) -> None:
        client = signed_in(manager)
        assert "being counted for the first time" in client.get("/admin/").content.decode()
        tallies.run_due()
        page = client.get("/admin/").content.decode()
        assert "Counted <time" in page and "does a worker run?" not in page
        TallyProgress.objects.update(counted_at=NOW - timedelta(hours=1))
        assert "does a worker run?" in client.get("/admin/").content.decode()

    def test_signed_out_it_is_not_shown(self) -> None:
        assert Client().get("/admin/health/").status_code == 302
        assert Client().get("/admin/health/line/").status_code == 302


def test_amounts_and_days_follow_the_language_and_widths_do_not(manager: User) -> None:
    paid = {"status": "paid", "amount_remaining": 0, "amount_paid": 123_456, "attempt_count": 3}
    stored(InvoiceObject(due_date=noon(3), **paid, status_transitions={"paid_at": int(NOW.timestamp())}))
    for amount in (1_234_567, 3):
        stored(InvoiceObject(due_date=noon(3), amount_remaining=amount))
    stored(InvoiceObject(due_date=noon(40), amount_remaining=777_777))
    tallies.run_due()
    page = signed_in(manager).get("/admin/", headers={"accept-language": "de"}).content.decode()
    assert page.count("12.345,70 USD") >= 2 and "7.777,77 USD" in page and "1.234,56 USD" in page
    assert "USD 1" not in page and f"<td>{NOW:%d.%m.%Y}</td>" in page
    widths = re.findall(r'<rect class="[^"]*" width="([^"]*)"', page)
    assert len(widths) >= 6 and all(width.isdecimal() for width in widths)


def asked(client: Client) -> list[str]:
    """The statements with which the home page is read, but for those that ask for the time."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/admin/").status_code == 200
    return [query["sql"] for query in captured if query["sql"] != "SELECT clock_timestamp()"]


def test_home_asks_as_much_of_many_as_of_none(manager: User) -> None:
    client = signed_in(manager)
    tallies.run_due()
    client.get("/admin/")
    before = asked(client)
    other = user_in_group("otto", "Billing manager")
    for number in range(20):
        invoice = InvoiceObject(due_date=noon(number * 10), attempt_count=1, currency=("usd", "eur")[number % 2])
        stored(invoice)
        trying(invoice, "requires_payment_method", last_payment_error=DECLINED)
        stored(ChargeObject(status="failed"))
        operation(other)
        operation(manager, "unknown")
    tallies.run_due()
    after = asked(client)
    assert len(after) <= len(before) + 1 <= MOST_QUERIES  # the numbers of the invoices that this person worked on


def test_every_link_of_the_page_can_be_followed(manager: User) -> None:
    stored(InvoiceObject(due_date=noon(3), attempt_count=2))
    stored(ChargeObject(status="failed", failure_code="expired_card"))
    tallies.run_due()
    client = signed_in(manager)
    found = {link for link in links(client.get("/admin/").content.decode()) if link.startswith("/admin/invoices/")}
    assert len(found) > 20
    for link in found:
        response = client.get(link)
        assert response.status_code == 200, link


def test_empty_lists_of_what_waits_for_a_manager_lead_to_each_other(client: Client, manager: User) -> None:
    """One request may wait in another of the three: none of them says that nobody asked for anything."""
    client.force_login(manager)
    found = client.get("/admin/invoices/operation/?state=undecided").content.decode()
    assert "Outcomes that are not known stand here" in found and 'href="?turn=mine">My approvals</a>' in found
    assert "/batch/?turn=mine" in found and "Nobody asked" not in found
    found = client.get("/admin/invoices/operation/?turn=mine").content.decode()
    assert "Requests on which you decide" in found and 'href="?state=undecided">' in found
    assert "Nobody asked" in client.get("/admin/invoices/operation/").content.decode()
