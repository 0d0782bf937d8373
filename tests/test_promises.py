"""Promises to pay: recorded within limits, kept or broken by what is paid and by the day, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format

from invoices import clock, promises, tasks
from invoices.models import Code, Invoice, Promise
from invoices.models.immutable import ImmutableError
from invoices.models.work import broken_promises, promised
from invoices.operations import Invalid, Refusal
from tests.factories import InvoiceObject, InvoicePaymentObject, PaymentIntentObject, stored
from tests.helpers.admin_pages import LIST, hidden, text

pytestmark = pytest.mark.django_db(transaction=True)
DAY = 86400.0


def owed(**given: Any) -> Invoice:
    values = {"status": "open", "amount_due": 10000, "amount_remaining": 10000, "amount_paid": 0, **given}
    invoice: Invoice = stored(InvoiceObject(id="in_owed", customer="cus_owing", **values))
    return invoice


def in_days(days: int) -> str:
    return str(timezone.localdate(clock.now()) + timedelta(days=days))


def record(by: User, amount: str = "100.00", days: int = 3, **given: Any) -> Promise:
    return promises.record("in_owed", amount=amount, day=in_days(days), by=by, **given)


def state() -> str:
    tasks.settle_promises()
    return str(Promise.objects.order_by("-recorded_at")[0].state)


def is_promised() -> bool:
    return Invoice.objects.filter(promised(clock.now())).exists()


# --- recording --------------------------------------------------------------------------------------------------------


def test_recorded_as_said(agent: User) -> None:
    owed()
    made = record(agent, "40", note=" On the phone \r\n", address="192.0.2.1")
    made.refresh_from_db()
    assert (made.amount, made.currency, made.paid_before, made.note) == (4000, "usd", 0, "On the phone")
    assert (str(made.day), made.recorded_by, made.state) == (in_days(3), agent, "open") and is_promised()


def test_the_day_ends_where_it_was_recorded(agent: User) -> None:
    owed()
    with timezone.override(ZoneInfo("Pacific/Auckland")):
        made = promises.record("in_owed", amount="1", day=in_days(1), by=agent)
        assert timezone.localtime(made.ends_at).date() == made.day + timedelta(days=1)
        assert timezone.localtime(made.ends_at).hour == 0


@pytest.mark.parametrize(
    ("param", "given", "says"),
    [
        ("amount", {"amount": ""}, "how much"),
        ("amount", {"amount": "abc"}, "not an amount"),
        ("amount", {"amount": "100.01"}, "USD 100.00 remain"),
        ("amount", {"amount": "0"}, ""),
        ("amount", {"amount": "-5"}, "not an amount"),
        ("amount", {"amount": "1e2"}, ""),
        ("amount", {"amount": "9" * 400}, ""),
        ("amount", {"amount": "5\x00"}, ""),
        ("amount", {"amount": "EUR 5"}, "EUR"),
        ("day", {"day": ""}, "by which day"),
        ("day", {"day": "21.11.2026"}, "year-month-day"),
        ("day", {"day": "2026-02-30"}, "year-month-day"),
        ("day", {"day": "2020-01-01"}, "has passed"),
        ("day", {"day": "9999-12-31"}, "90 days"),
        ("day", {"day": "2026\x00"}, "year-month-day"),
        ("note", {"note": "x" * 501}, "at most 500"),
        ("note", {"note": "a\u202eb"}, "printable"),
    ],
)
def test_what_cannot_be_promised(agent: User, param: str, given: dict[str, str], says: str) -> None:
    owed()
    with pytest.raises(Invalid) as refused:
        promises.record("in_owed", **{"amount": "1", "day": in_days(1), "by": agent, **given})  # type: ignore[arg-type]
    assert refused.value.param == param and says in refused.value.message and not Promise.objects.exists()


def test_today_and_the_ninetieth_day_are_allowed_and_the_next_is_not(agent: User) -> None:
    owed()
    promises.withdraw(record(agent, days=0), by=agent)
    promises.withdraw(record(agent, days=90), by=agent)
    with pytest.raises(Invalid):
        record(agent, days=91)


@pytest.mark.parametrize(("currency", "typed", "minor"), [("jpy", "10,000", 10000), ("kwd", "9.99", 9990)])
def test_currencies_without_and_with_three_decimals(agent: User, currency: str, typed: str, minor: int) -> None:
    owed(currency=currency)
    assert record(agent, typed).amount == minor


@pytest.mark.parametrize("status", ["draft", "paid", "void", "uncollectible"])
def test_nothing_is_promised_where_nothing_is_owed(agent: User, status: str) -> None:
    owed(status=status)
    with pytest.raises(Refusal) as refused:
        record(agent)
    assert refused.value.code == Code.INVOICE_NOT_OPEN


def test_who_may(agent: User, auditor: User) -> None:
    owed()
    with pytest.raises(Refusal) as refused:
        record(auditor)
    assert refused.value.code == Code.PERMISSION_DENIED
    with pytest.raises(Refusal):
        promises.withdraw(record(agent), by=auditor)
    assert state() == "open"


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_the_second_hears_what_the_first_recorded(agent: User, manager: User) -> None:
    owed()
    record(agent, "40")
    with pytest.raises(Refusal) as refused:
        record(manager)
    assert refused.value.message.startswith("agent has recorded a promise already: USD 40.00 by 2")
    assert refused.value.http_status == 409 and Promise.objects.count() == 1


def test_sent_twice_is_one(agent: User) -> None:
    owed()
    id = uuid4()
    assert record(agent, promise_id=id) == record(agent, promise_id=id) and Promise.objects.count() == 1


def test_two_at_the_same_moment(agent: User, manager: User) -> None:
    owed()

    def attempt(by: User) -> str:
        try:
            record(by)
        except Refusal as refusal:
            return refusal.code
        finally:
            connection.close()
        return "recorded"

    with ThreadPoolExecutor(2) as pool:
        came = sorted(pool.map(attempt, [agent, manager]))
    assert came == ["invoice_changed", "recorded"] and Promise.objects.count() == 1


# --- what came of it --------------------------------------------------------------------------------------------------


def test_kept_when_the_amount_is_paid_since(agent: User) -> None:
    owed(amount_paid=3000, amount_remaining=7000)
    record(agent, "40")
    owed(amount_paid=6999, amount_remaining=3001)
    assert state() == "open"
    owed(amount_paid=7000, amount_remaining=3000)
    assert state() == "kept" and not is_promised()
    assert record(agent, "30")  # the next one


def test_kept_when_the_invoice_is_paid_otherwise(agent: User) -> None:
    owed()
    record(agent)
    owed(status="paid", amount_remaining=0, amount_paid=0)
    assert state() == "kept"


@pytest.mark.parametrize("status", ["void", "uncollectible"])
def test_ended_with_the_invoice(agent: User, status: str) -> None:
    owed()
    record(agent)
    owed(status=status)
    assert state() == "withdrawn"
    made = Promise.objects.get()
    assert made.ended_by is None and made.ended_because.startswith("The invoice was")


def test_broken_when_the_day_has_passed(agent: User, later: Callable[[float], None]) -> None:
    owed()
    record(agent, days=1)
    assert state() == "open" and is_promised()
    assert not broken_promises(clock.now()).exists()
    later(3 * DAY)
    # Readers know at once, before the task has looked.
    assert not is_promised() and broken_promises(clock.now()).exists()
    made = Promise.objects.get()
    assert promises.state_of(made, Invoice.objects.get(), clock.now())[0] == "broken"
    assert state() == "broken"
    assert broken_promises(clock.now()).exists()
    owed(status="paid", amount_remaining=0, amount_paid=10000)
    assert state() == "broken"  # what came of it is never rewritten


def test_a_payment_of_the_day_that_is_told_late_keeps_it(agent: User, later: Callable[[float], None]) -> None:
    owed()
    made = record(agent, days=0)
    later((made.ends_at - clock.now()).total_seconds() + 60)
    assert state() == "open"
    owed(status="paid", amount_remaining=0, amount_paid=10000)
    assert state() == "kept"


def test_withdrawn_by_a_person(agent: User, manager: User) -> None:
    owed()
    made = promises.withdraw(record(agent), by=manager, because="Wrong invoice")
    assert (made.state, made.ended_by, made.ended_because) == ("withdrawn", manager, "Wrong invoice")
    assert promises.withdraw(made, by=manager)  # sent twice
    with pytest.raises(Refusal, match="was withdrawn"):
        promises.withdraw(made, by=agent)
    assert record(agent) and is_promised() is not False


def test_history_is_not_rewritten(agent: User) -> None:
    owed()
    made = record(agent)
    for change in ({"amount": 1}, {"day": "2027-01-01"}, {"note": "other"}, {"recorded_by": agent.pk + 1}):
        with pytest.raises(ImmutableError):
            Promise.objects.filter(pk=made.pk).update(**change)
    promises.withdraw(made, by=agent)
    with pytest.raises(ImmutableError):
        Promise.objects.filter(pk=made.pk).update(state="open")


def test_a_look_with_nothing_to_do_takes_few_queries(
    agent: User, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    owed()
    record(agent)
    with django_assert_max_num_queries(6):
        assert tasks.settle_promises() == 0


# --- on the invoice's page --------------------------------------------------------------------------------------------


def page(client: Client, path: str = "", **posted: Any) -> Any:
    address = f"{LIST}in_owed/{path}"
    return client.post(address, posted) if path else client.get(address)


def test_recorded_and_withdrawn_on_the_page(desk: Client) -> None:
    owed()
    shown = text(page(desk))
    assert "Nothing was promised." in shown and 'value="100.00"' in shown and "Record the promise" in shown
    answer = page(desk, "promise/", amount="40.00", day=in_days(2), note="Asked <b>Jane</b>", new=hidden(shown)["new"])
    assert answer.status_code == 302 and answer["Location"].endswith("/in_owed/#work")
    shown = text(page(desk))
    assert "The promise is recorded." in shown
    assert "USD 40.00" in shown and "Asked &lt;b&gt;Jane" in shown and "Record the promise" not in shown
    made = Promise.objects.get()
    assert page(desk, f"promise/{made.pk}/withdraw/", because="x").status_code == 302
    assert "The promise is withdrawn." in text(page(desk))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"amount": "1,5,0"}, "promise-amount-error"),
        ({"amount": "200"}, "USD 100.00 remain to be paid: it cannot be more."),
        ({"day": "21.13.2026"}, "There is no day “21.13.2026” in the calendar."),
        ({"day": "03/04/2027"}, "could mean"),
        ({"day": ""}, "Please say by which day."),
        ({"note": "a\u202eb"}, "please remove U+202E"),
    ],
)
def test_nothing_typed_is_lost(desk: Client, given: dict[str, str], says: str) -> None:
    owed()
    typed = {"amount": "40", "day": in_days(2), "note": "On the phone", **given}
    answer = page(desk, "promise/", **typed)
    shown = text(answer)
    assert answer.status_code == 400 and says in shown and not Promise.objects.exists()
    for value in typed.values():
        assert value in shown
    assert 'href="#promise-' in shown and "To the form" in shown  # above, because the form stands below the fold


def test_a_day_as_it_is_written_elsewhere(desk: Client) -> None:
    owed()
    day = timezone.localdate() + timedelta(days=2)
    assert page(desk, "promise/", amount="40", day=f"{day:%d.%m.%Y}").status_code == 302
    assert Promise.objects.get().day == day


def test_the_second_tab_hears_of_the_first(desk: Client) -> None:
    owed()
    page(desk, "promise/", amount="40", day=in_days(2))
    answer = page(desk, "promise/", amount="50", day=in_days(2))
    assert answer.status_code == 409 and "agent has recorded a promise already: USD 40.00" in text(answer)


def test_what_others_see_and_may(client: Client, auditor: User, agent: User) -> None:
    owed()
    record(agent, "40")
    made = Promise.objects.get()
    client.force_login(auditor)
    shown = text(page(client))
    assert "USD 40.00" in shown and "Withdraw it" not in shown and "Take it" not in shown
    assert page(client, f"promise/{made.pk}/withdraw/").status_code == 403
    auditor.user_permissions.set(Permission.objects.filter(codename="view_invoice"))
    auditor.groups.clear()
    shown = text(page(client))
    assert 'id="work"' not in shown and "USD 40.00" not in shown
    for path in ("promise/", f"promise/{made.pk}/withdraw/", "assignment/"):
        assert page(client, path).status_code == 403
        assert client.get(f"{LIST}in_owed/{path}").status_code == 405


def test_no_such_promise_or_invoice(desk: Client, agent: User) -> None:
    owed()
    assert page(desk, f"promise/{uuid4()}/withdraw/").status_code == 404
    assert desk.post(f"{LIST}in_none/promise/", {"amount": "1"}).status_code == 404
    made = record(agent)
    stored(InvoiceObject(id="in_other"))
    assert desk.post(f"{LIST}in_other/promise/{made.pk}/withdraw/").status_code == 404
    assert state() == "open"


def test_the_id_of_anothers_promise_is_not_taken_over(agent: User, manager: User) -> None:
    owed()
    first = promises.withdraw(record(agent), by=agent)
    second = record(manager, promise_id=first.pk)
    assert second.pk != first.pk and second.recorded_by == manager
    stored(InvoiceObject(id="in_other", amount_remaining=10000, status="open"))
    other = promises.record("in_other", amount="1", day=in_days(1), by=manager, promise_id=second.pk)
    assert other.invoice == "in_other" and Promise.objects.count() == 3


def test_a_broken_promise_does_not_stop_the_next_one(agent: User, later: Callable[[float], None]) -> None:
    """Also where the task has not looked yet."""
    owed()
    record(agent, days=1)
    later(3 * DAY)
    record(agent, "40", days=2)
    assert sorted(Promise.objects.values_list("state", flat=True)) == ["broken", "open"] and is_promised()


def test_names_and_notes_of_any_script(desk: Client) -> None:
    owed(customer_name="שלום " * 40)
    note = "أدفع غدا 👩‍👧 <i>" + "x" * 400
    assert page(desk, "promise/", amount="1", day=in_days(1), note=note).status_code == 302
    shown = text(page(desk))
    assert "أدفع غدا 👩‍👧 &lt;i&gt;" in shown and Promise.objects.get().note == note


# --- on the page, beside the state ------------------------------------------------------------------------------------


def told(client: Client) -> tuple[str, str]:
    """The state in words, and the text for the customer."""
    found = text(page(client))
    customer = found.split('id="customer-words"')[1].split("</p>")[0]
    return found.split('id="state-words"')[1].split("</div>")[0], customer


def test_nobody_is_reminded_while_the_promise_stands(
    client: Client, agent: User, later: Callable[[float], None]
) -> None:
    owed(due_date=1_500_000_000, collection_method="send_invoice")
    client.force_login(agent)
    assert "Remind the customer." in told(client)[0] and "was due" in told(client)[1]
    made = record(agent)
    day = date_format(made.day, "DATE_FORMAT")
    state, customer = told(client)
    assert (
        f"The customer promised USD 100.00 by {day}. " in state.replace("</p>", " ") and f"Wait until {day}." in state
    )
    assert "Remind" not in state and "was due" not in customer and "is open" in customer
    later(5 * DAY)
    state, customer = told(client)
    assert f"The customer promised USD 100.00 by {day}, and broke the promise." in state
    assert "Remind the customer." in state and "was due" in customer


def test_after_a_decline_the_promise_is_waited_for_too(client: Client, agent: User) -> None:
    invoice = owed(due_date=1_500_000_000)
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card was declined."}
    intent = stored(PaymentIntentObject(last_payment_error=error))
    stored(InvoicePaymentObject(invoice=invoice.pk, payment={"type": "payment_intent", "payment_intent": intent.pk}))
    client.force_login(agent)
    assert "Please use another payment method" in told(client)[1]
    day = date_format(record(agent).day, "DATE_FORMAT")
    state, customer = told(client)
    assert "was declined" in state and f"by {day}." in state and f"Wait until {day}." in state
    assert "another payment method" not in state + customer and "is open" in customer


def test_a_promise_is_named_to_those_who_may_see_it(client: Client, agent: User) -> None:
    owed(due_date=1_500_000_000, collection_method="send_invoice")
    record(agent)
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(reader)
    state, customer = told(client)
    assert "promised" not in state and "Remind" not in state and "was due" not in customer
