"""Assignments: an invoice is taken, handed over, taken over and released, by one person at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from invoices import assignments, erasure, journal, mentions, notes, promises, stored_data, tallies, tasks
from invoices.admin import days, queues
from invoices.admin.invoices import work
from invoices.models import Assignment, Code, Invoice, Promise
from invoices.models.immutable import ImmutableError
from invoices.models.work import assigned
from invoices.operations import Invalid, Refusal
from tests.factories import CustomerObject, InvoiceObject, stored, user_in_group
from tests.helpers.admin_pages import LIST, action_url, text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice() -> str:
    values = {"status": "open", "amount_due": 1000, "amount_remaining": 1000, "amount_paid": 0}
    return str(stored(InvoiceObject(id="in_work", customer="cus_work", **values)).pk)


def take(invoice: str, by: User, seen: int | None = None, **given: Any) -> Assignment:
    return assignments.give(invoice, by.username, by=by, seen=seen, **given)


def test_taken_handed_over_and_released(invoice: str, agent: User, manager: User) -> None:
    first = take(invoice, agent)
    second = assignments.give(invoice, "MANAGER", by=agent, seen=first.pk, note="They call on Friday")
    assert assignments.current(invoice) == second and second.given_by == agent and second.person == manager
    assert not Invoice.objects.filter(assigned(person=agent.pk)).exists()
    assert Invoice.objects.filter(assigned(person=manager.pk)).exists()
    assignments.release(invoice, by=manager, seen=second.pk)
    assert assignments.current(invoice) is None and not Invoice.objects.filter(assigned()).exists()
    kept = [(each.person, each.ended_by) for each in assignments.history(invoice, 10)]
    assert kept == [(manager, manager), (agent, agent)]


def test_the_second_hears_who_has_it(invoice: str, agent: User, manager: User) -> None:
    first = take(invoice, agent)
    with pytest.raises(Refusal, match=r"^agent has this invoice now"):
        take(invoice, manager)
    taken_over = take(invoice, manager, seen=first.pk)  # on purpose: the page said who had it
    with pytest.raises(Refusal, match=r"^manager has this invoice now"):
        assignments.release(invoice, by=agent, seen=first.pk)
    with pytest.raises(Refusal, match=r"^manager has this invoice now"):
        assignments.give(invoice, "agent", by=agent, seen=first.pk)
    assert assignments.current(invoice) == taken_over


def test_sent_twice_is_once(invoice: str, agent: User) -> None:
    assert take(invoice, agent) == take(invoice, agent) and Assignment.objects.count() == 1
    for _ in range(2):
        assignments.release(invoice, by=agent, seen=Assignment.objects.get().pk)
    assert assignments.current(invoice) is None


def test_two_at_the_same_moment(invoice: str, agent: User, manager: User) -> None:
    def attempt(by: User) -> str:
        try:
            take(invoice, by)
        except Refusal as refusal:
            return refusal.code
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(2) as pool:
        came = sorted(pool.map(attempt, [agent, manager]))
    assert came == ["invoice_changed", "taken"] and Assignment.objects.count() == 1


def test_to_whom_not(invoice: str, agent: User) -> None:
    user_in_group("nobody", None)
    for name in ("", "  ", "nobody", "nonesuch", "a\0b", "x" * 1000):
        with pytest.raises(Invalid) as refused:
            assignments.give(invoice, name, by=agent, seen=None)
        assert refused.value.param == "person"
    with pytest.raises(Invalid) as refused:
        take(invoice, agent, note="a\u202eb")
    assert refused.value.param == "note" and not Assignment.objects.exists()


def test_who_may(invoice: str, agent: User, auditor: User) -> None:
    with pytest.raises(Refusal) as refused:
        take(invoice, auditor)
    assert refused.value.code == Code.PERMISSION_DENIED
    first = take(invoice, agent)
    with pytest.raises(Refusal) as refused:
        assignments.release(invoice, by=auditor, seen=first.pk)
    assert refused.value.code == Code.PERMISSION_DENIED
    with pytest.raises(Refusal, match="No such invoice"):
        take("in_none", agent)


def test_a_paid_invoice_is_released_by_itself(invoice: str, agent: User) -> None:
    take(invoice, agent)
    assert tasks.settle_promises() == 0 and assignments.current(invoice)
    stored(InvoiceObject(id=invoice, customer="cus_work", status="paid"))
    assert tasks.settle_promises() == 1 and assignments.current(invoice) is None
    assert Assignment.objects.get().ended_by is None


def test_history_is_not_rewritten(invoice: str, agent: User, manager: User) -> None:
    made = take(invoice, agent)
    with pytest.raises(ImmutableError):
        Assignment.objects.filter(pk=made.pk).update(person=manager)
    assignments.release(invoice, by=agent, seen=made.pk)
    with pytest.raises(ImmutableError):
        Assignment.objects.filter(pk=made.pk).update(ended_at=None)
    with pytest.raises(ImmutableError):
        made.delete()


def test_erased_and_disclosed_with_the_customer(invoice: str, agent: User, manager: User) -> None:
    """All that people wrote goes, the rest stays, and the journal's proof holds."""
    stored(CustomerObject(id="cus_work"))
    take(invoice, agent, note="Jane is on holiday")
    tomorrow = str(timezone.localdate() + timedelta(days=1))
    promise = promises.record(invoice, amount="5", day=tomorrow, note="Jane said so", by=agent)
    promises.withdraw(promise, by=agent, because="Jane called again")
    notes.write(invoice, "@manager please", author=agent)
    counted = {each.table.name: each.count for each in stored_data.holdings("cus_work")}
    assert counted["promises"] == counted["assignments"] == counted["mentions"] == 1
    assert "Jane said so" in "".join(stored_data.document("cus_work", Path("/nonexistent")))
    journal.chain()
    begun = erasure.begin("cus_work", reason="asked", actor=manager, shell_user="")
    known = erasure.known_of("cus_work", erasure.Archives("cus_work", Path("/nonexistent")))
    for kind in ("promise", "assignment"):
        rows = erasure.JOURNAL[kind]("cus_work")
        assert erasure._erase_journal(begun, kind, rows, known, lambda what, rows: None) == 1
    promise.refresh_from_db()
    assert (promise.note, promise.ended_because, promise.amount) == ("[redacted]", "[redacted]", 500)
    assert Assignment.objects.get().note == "[redacted]" and mentions.count_for(manager) == 1
    assert Promise.objects.get().state == "withdrawn"


# --- on the invoice's page --------------------------------------------------------------------------------------------


def send(client: Client, invoice: str, **given: Any) -> Any:
    return client.post(f"{LIST}{invoice}/assignment/", given)


def shown(client: Client, invoice: str) -> str:
    return text(client.get(f"{LIST}{invoice}/"))


def test_taken_given_and_released_on_the_page(desk: Client, invoice: str, agent: User, manager: User) -> None:
    assert "Nobody has taken this invoice." in shown(desk, invoice)
    assert send(desk, invoice, what="take", seen="").status_code == 302
    assert "You have this invoice now." in shown(desk, invoice) and "Release it" in shown(desk, invoice)
    first = Assignment.objects.get()
    assert (
        send(desk, invoice, what="give", seen=first.pk, person="manager", note="Call <b>Friday</b>").status_code == 302
    )
    page = shown(desk, invoice)
    assert "manager has this invoice now." in page
    assert "manager has this invoice. Speak to manager before you act on it." in page
    assert "Call &lt;b&gt;Friday" in page and "Take it over" in page
    form = text(desk.get(action_url(invoice, "void")))
    assert "Speak to manager before you act on it." in form and 'name="reason"' in form  # a caution, no refusal
    last = assignments.current(invoice)
    assert last is not None and send(desk, invoice, what="release", seen=last.pk).status_code == 302
    assert "The invoice is released" in (page := shown(desk, invoice)) and "Nobody has taken this invoice." in page


def test_an_old_page_is_told_who_has_it(desk: Client, invoice: str, manager: User) -> None:
    take(invoice, manager)
    for what in ("take", "release"):
        answer = send(desk, invoice, what=what, seen="")
        assert answer.status_code == 409 and "manager has this invoice now" in text(answer)
    for seen in ("x", "9" * 50, "-1", "٣", "\x00"):
        assert send(desk, invoice, what="take", seen=seen).status_code == 409
    answer = send(desk, invoice, what="give", seen="", person="nonesuch", note="What I typed")
    assert answer.status_code == 400 and "What I typed" in text(answer) and 'id="work-person-error"' in text(answer)


def test_what_happened_in_words(desk: Client, invoice: str, agent: User, manager: User) -> None:
    first = take(invoice, agent)
    second = assignments.give(invoice, "manager", by=agent, seen=first.pk, note="call")
    assignments.release(invoice, by=manager, seen=second.pk)
    promise = promises.record(invoice, amount="5", day=str(timezone.localdate()), by=agent)
    promises.withdraw(promise, by=manager)
    request = RequestFactory().get("/")
    request.user = agent
    said = [(who, words) for _, who, words in work.work_history(request, Invoice.objects.get(pk=invoice))]
    today = days.in_words(timezone.localdate())
    assert said == [
        ("manager", f"withdrew the promise of USD 5.00 by {today}."),
        ("agent", f"recorded a promise to pay USD 5.00 by {today}"),
        ("manager", "released the invoice"),
        ("agent", "gave the invoice to manager: call"),
        ("agent", "took the invoice"),
    ]
    request.user = user_in_group("nobody", None)
    assert work.work_history(request, Invoice.objects.get(pk=invoice)) == []


# --- in the list ------------------------------------------------------------------------------------------------------


def listed(client: Client, query: str) -> set[str]:
    page = text(client.get(f"{LIST}?{query}"))
    return {name for name in ("in_mine", "in_theirs", "in_free") if f">{name}<" in page}


def test_filters_and_the_column(desk: Client, agent: User, manager: User) -> None:
    long_ago = {"status": "open", "due_date": 1_500_000_000, "collection_method": "send_invoice"}
    owed = {"amount_due": 1000, "amount_remaining": 1000, "amount_paid": 0, **long_ago}
    for id in ("in_mine", "in_theirs", "in_free"):
        stored(InvoiceObject(id=id, number=id, **owed))
    take("in_mine", agent)
    take("in_theirs", manager)
    assert listed(desk, "assigned=mine") == {"in_mine"} and listed(desk, "assigned=%40manager") == {"in_theirs"}
    assert listed(desk, "assigned=nobody") == {"in_free"} and listed(desk, "assigned=nonesuch") == set()
    assert "manager" in text(desk.get(f"{LIST}?assigned=@manager"))
    assert listed(desk, "state=overdue") == {"in_mine", "in_theirs", "in_free"}
    promise = promises.record("in_free", amount="5", day=str(timezone.localdate()), by=agent)
    assert listed(desk, "state=overdue") == {"in_mine", "in_theirs"}  # it has left the queue
    assert listed(desk, "promise=promised") == listed(desk, "promise=today") == {"in_free"}
    assert listed(desk, "promise=broken") == set() and "promised by" in text(desk.get(f"{LIST}?promise=promised"))
    promises._end(promise, "broken", "The day has passed.", None)
    assert listed(desk, "state=overdue") == {"in_mine", "in_theirs", "in_free"}  # and is back
    assert listed(desk, "promise=broken") == {"in_free"} and listed(desk, "promise=promised") == set()


def test_who_may_not_see_it_sees_no_names_in_the_list(client: Client, invoice: str, manager: User) -> None:
    take(invoice, manager)
    person = user_in_group("limited", None)
    person.user_permissions.set(Permission.objects.filter(codename="view_invoice"))
    client.force_login(person)
    page = text(client.get(LIST))
    assert invoice in page and "manager" not in page and "Who has it" not in page


# --- on the home page -------------------------------------------------------------------------------------------------


def test_the_queues_of_home_lead_to_their_rows(desk: Client, agent: User, manager: User) -> None:
    def shown() -> dict[str, tuple[str, list[str], set[str]]]:
        found = {}
        for entry in queues.entries(queues.Reading(User.objects.get(pk=agent.pk))):
            if entry.title in ("Overdue", "Mine", "Promised for today", "Promises broken"):
                found[entry.title] = entry.count, entry.sums, listed(desk, entry.link.partition("?")[2])
        return found

    owed = {"amount_due": 1000, "amount_remaining": 1000, "amount_paid": 0, "collection_method": "send_invoice"}
    for id in ("in_mine", "in_theirs", "in_free"):
        stored(InvoiceObject(id=id, number=id, status="open", due_date=1_500_000_000, **owed))
    tallies.run_due()
    take("in_mine", agent)
    take("in_theirs", manager)
    promise = promises.record("in_free", amount="5", day=str(timezone.localdate()), by=agent)
    assert shown() == {
        "Overdue": ("2", ["USD 20.00"], {"in_mine", "in_theirs"}),
        "Mine": ("1", ["USD 10.00"], {"in_mine"}),
        "Promised for today": ("1", ["USD 10.00"], {"in_free"}),
        "Promises broken": ("0", [], set()),
    }
    promises._end(promise, "broken", "The day has passed.", None)
    assert shown()["Overdue"] == ("3", ["USD 30.00"], {"in_mine", "in_theirs", "in_free"})
    assert shown()["Promises broken"] == ("1", ["USD 10.00"], {"in_free"})
    assert shown()["Promised for today"] == ("0", [], set())
    # Without the permission to see promises nothing of them shows, and the list is that of all that are overdue.
    agent.groups.clear()
    agent.user_permissions.set(Permission.objects.filter(codename="view_invoice"))
    assert shown() == {"Overdue": ("3", ["USD 30.00"], {"in_mine", "in_theirs", "in_free"})}


def test_mentions_on_the_home_page(desk: Client, agent: User, manager: User, invoice: str) -> None:
    notes.write(invoice, "@agent please", author=manager)
    found = {entry.title: entry for entry in queues.entries(queues.Reading(User.objects.get(pk=agent.pk)))}
    assert found["Mentions"].count == "1" and found["Mentions"].link == "/admin/invoices/mention/"


def test_the_same_person_twice_at_the_same_moment(invoice: str, agent: User) -> None:
    def attempt(_: int) -> int:
        try:
            return take(invoice, agent).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(attempt, range(2)))) == 1
    assert Assignment.objects.count() == 1
