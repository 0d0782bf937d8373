"""What reports know of the past, and what they say they do not know: nothing is guessed, and nothing is left out."""

from __future__ import annotations

import itertools
import threading
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from invoices import clock, operations, refetch, reports
from invoices.models import CreditNote, Invoice, Operation
from invoices.reports import NOT_KNOWN, REPORTS, Asked, Entry, Pass, history, payments, receivables
from tests.factories import CreditNoteObject, invoice_at, stored
from tests.helpers.month import at, invoice, payment
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db

SEPTEMBER, OCTOBER = (date(2026, 9, 1), date(2026, 9, 30)), (date(2026, 10, 1), date(2026, 10, 31))
_numbers = itertools.count(1)


def entries(name: str, first: date, last: date, zone: str = "UTC") -> list[Entry]:
    reading = Pass(REPORTS[name], Asked(first, last, reports.zone_of(zone)))
    return [entry for page in reading.entries() for entry in page]


def receivable(day: date) -> dict[str, tuple[str, int | None, str]]:
    """Group, amount, and why it is not known, by invoice."""
    return {each.invoice: (each.group, each.amount, each.unknown) for each in entries("receivables", day, day)}


def credit(of: Invoice, amount: int, created: int, **given: Any) -> CreditNote:
    number = next(_numbers)
    made: CreditNote = stored(
        CreditNoteObject(
            id=f"cn_{number}", invoice=of.pk, created=created, amount=amount, **{"pre_payment_amount": amount, **given}
        )
    )
    return made


def test_an_invoice_without_the_moment_of_its_end_is_not_known() -> None:
    for status in ("paid", "void", "uncollectible"):
        made = invoice(status)
        assert receivable(date(2026, 9, 15))[made.pk] == (NOT_KNOWN, None, receivables.NOT_ENDED), status
    assert receivable(date(2026, 8, 31)) == {}  # they were not there yet
    assert len(entries("write_offs", *OCTOBER)) == 2  # the void one and the uncollectible one
    assert all(each.group == NOT_KNOWN for each in entries("write_offs", *OCTOBER))
    (paid,) = entries("payments", *OCTOBER)
    assert (paid.group, paid.amount, paid.unknown, paid.at) == (NOT_KNOWN, None, payments.NO_DAY, None)


def test_today_is_known_whatever_moments_are_missing() -> None:
    made = invoice(finalized_at=None, amount=700)
    invoice("paid")
    today = reports.today(reports.zone_of("UTC"))
    assert receivable(today) == {made.pk: ("no-due-date", 700, "")}
    assert receivable(date(2026, 10, 1))[made.pk] == (NOT_KNOWN, None, receivables.NOT_FINALIZED)


def test_what_was_issued_at_an_unknown_moment_is_named() -> None:
    made = invoice(finalized_at=None)
    assert [(each.invoice, each.group) for each in entries("issued", *OCTOBER)] == [(made.pk, NOT_KNOWN)]
    assert entries("issued", date(2026, 8, 1), date(2026, 8, 31)) == []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda made: payment(made, 300, None), history.PAYMENT_UNDATED),  # without a moment
        (lambda made: payment(made, 100, at(9, 5)), history.PAYMENT_UNDATED),  # the other 200 have no payment
        (lambda made: payment(made, 900, at(9, 5)), history.CONTRADICTS),
        (lambda made: (payment(made, 300, at(9, 5)), credit(made, 50, at(10, 5))), history.CREDIT_UNDATED),
        (lambda made: (payment(made, 300, at(9, 5)), credit(made, 0, at(9, 5), status="void")), history.CREDIT_UNDATED),
    ],
)
def test_an_amount_that_does_not_add_up_is_not_known(spoil: Any, why: str) -> None:
    made = invoice(amount_paid=300)
    spoil(made)
    assert receivable(date(2026, 9, 20))[made.pk] == (NOT_KNOWN, None, why)


def test_part_payments_and_credits_are_taken_back() -> None:
    made = invoice(amount=800, amount_paid=500, pre_payment_credit_notes_amount=200)  # of 1000
    payment(made, 200, at(9, 10))
    payment(made, 300, at(9, 20))
    credit(made, 200, at(9, 15))
    credit(made, 70, at(9, 12), status="void", voided_at=at(9, 18))
    found = [receivable(date(2026, 9, day))[made.pk][1] for day in (5, 10, 12, 15, 18, 20)]
    assert found == [1000, 800, 730, 530, 600, 300]


def test_an_uncollectible_invoice_that_was_paid_later_was_open_before_and_written_off_then() -> None:
    made = invoice("paid", marked_uncollectible_at=at(9, 10), paid_at=at(10, 5))
    assert receivable(date(2026, 9, 9)) == {made.pk: ("no-due-date", 1000, "")}
    assert receivable(date(2026, 9, 10)) == {}
    (given_up,) = entries("write_offs", *SEPTEMBER)
    assert (given_up.group, given_up.amount) == ("uncollectible", 1000)
    assert [(each.group, each.amount) for each in entries("payments", *OCTOBER)] == [("marked", 1000)]


def test_what_is_voided_after_it_was_written_off_stands_apart() -> None:
    invoice("void", marked_uncollectible_at=at(9, 10), voided_at=at(9, 20))
    assert {(each.group, each.amount) for each in entries("write_offs", *SEPTEMBER)} == {
        ("uncollectible", 1000),
        ("void-after", 1000),
    }


def test_what_was_forgiven_is_given_up() -> None:
    made = invoice("paid", amount_paid=400, paid_at=at(9, 10))
    payment(made, 400, at(9, 10))
    assert [(each.group, each.amount) for each in entries("write_offs", *SEPTEMBER)] == [("forgiven", 600)]
    assert [(each.invoice, each.amount) for each in entries("payments", *SEPTEMBER)] == [(made.pk, 400)]
    assert receivable(date(2026, 9, 9))[made.pk][1] == 1000


def test_two_changes_of_the_same_second_are_not_put_in_an_order() -> None:
    made = invoice("uncollectible", marked_uncollectible_at=at(9, 10), amount_paid=300)
    payment(made, 300, at(9, 10))
    (given_up,) = entries("write_offs", *SEPTEMBER)
    assert (given_up.group, given_up.unknown) == (NOT_KNOWN, history.SAME_SECOND)


def test_ages_are_days_of_the_time_zone() -> None:
    """Due at 23:30 UTC, which is the next day in Berlin."""
    made = invoice(due_date=at(9, 10, 23, 30))
    groups = {
        zone: entries("receivables", date(2026, 9, 11), date(2026, 9, 11), zone)[0].group
        for zone in ("UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago")
    }
    assert groups == {
        "UTC": "1-7",
        "Europe/Berlin": "not-due",
        "Pacific/Kiritimati": "not-due",
        "Pacific/Pago_Pago": "1-7",
    }, made


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Santiago", date(2026, 9, 6), 23),  # at midnight, which that day does not have
        ("Asia/Kathmandu", date(2026, 10, 1), 24),
    ],
)
def test_each_moment_is_in_exactly_one_day(zone: str, day: date, hours: int) -> None:
    of = Asked(day, day, reports.zone_of(zone))
    after = Asked(date.fromordinal(day.toordinal() + 1), date.fromordinal(day.toordinal() + 1), of.zone)
    assert of.end == after.begin and (of.end - of.begin).total_seconds() == hours * 3600
    assert of.day_of(of.begin) == day and of.day_of(of.end) == after.first


# --- who did it -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_who_asked_and_who_approved_stand_beside_what_was_done(
    sandbox: SandboxProcess, deliver: Any, agent: User, manager: User, settings: Any
) -> None:
    card, outside, marked, void, off = (invoice_at(sandbox, 200_000) for _ in range(5))
    theirs = invoice_at(sandbox, 300)
    for each in (card, outside, marked, void, off, theirs):
        refetch.refetch("invoice", each.id)
    today = f"{clock.now():%Y-%m-%d}"
    transfer = {"amount": 200_000, "method": "Bank transfer", "reference": "RF-77", "received_on": today}
    asked: dict[str, Operation] = {}
    for action, of, params in (
        ("pay", card, {}),
        ("attach_out_of_band_payment", outside, transfer),
        ("pay", marked, {"paid_out_of_band": True}),
        ("void", void, {}),
        ("mark_uncollectible", off, {}),
    ):
        asked[of.id] = operations.execute(
            action, of.id, params=params, actor=agent, source="admin", reason=f"because of {action}"
        )
        if asked[of.id].state == Operation.State.AWAITING_APPROVAL:
            operations.decisions.approve(asked[of.id].pk, approver=manager)
    sandbox.client().v1.invoices.void_invoice(theirs.id)
    deliver()
    refetch.refetch("invoice", theirs.id)
    day = reports.today(reports.zone_of("UTC"))
    found = {}
    for name in ("payments", "write_offs"):
        report, of_days = REPORTS[name], Asked(day, day, reports.zone_of("UTC"))
        labels = [field.column.label for field in report.fields(of_days)]
        for row in Pass(report, of_days).rows():
            values = dict(zip(labels, row, strict=True))
            found[values["Invoice id"]] = values
    assert {pk: found[pk]["Operation id"] for pk in asked} == {pk: str(each.pk) for pk, each in asked.items()}
    assert {found[pk]["Asked by"] for pk in asked} == {"agent"}
    assert {pk for pk in asked if found[pk]["Approved by"] == "manager"} == {outside.id, marked.id, void.id, off.id}
    assert found[outside.id]["Reference"] == "RF-77" and found[outside.id]["Received on"] == day
    assert found[void.id]["Reason"] == "because of void"
    assert (found[theirs.id]["Asked by"], found[theirs.id]["Reason"]) == ("not by the desk", None)


@pytest.mark.django_db(transaction=True)
def test_what_a_second_person_decided_counts_for_that_person_on_its_day(
    sandbox: SandboxProcess, agent: User, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for on one day, decided on the next one; each total leads to exactly its rows."""
    asked_for = []
    for _ in range(2):
        made = invoice_at(sandbox, 200_000)
        refetch.refetch("invoice", made.id)
        asked_for.append(operations.request("void", made.id, actor=agent, source="admin", reason="x"))
    today, zone = reports.today(reports.zone_of("UTC")), reports.zone_of("UTC")
    later = clock.now() + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    operations.decisions.approve(asked_for[0].pk, approver=manager)
    operations.decisions.reject(asked_for[1].pk, approver=manager, reason="no")
    report = REPORTS["operations"]

    def groups(day: date) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for page in report.pages(Asked(day, day, zone)):
            for entry in page:
                assert entry.at is not None and entry.at.date() == day and entry.amount == 200_000
                found.setdefault(entry.group, []).append(entry.pk)
        return found

    approved, rejected = (str(each.pk) for each in asked_for)
    assert groups(today) == {"agent/void/succeeded": [approved], "agent/void/cancelled": [rejected]}
    tomorrow = today + timedelta(days=1)
    assert groups(tomorrow) == {"manager/void/approved": [approved], "manager/void/rejected": [rejected]}
    assert report.english("manager/void/rejected") == "manager · Void · rejected"
    for group, pks in groups(tomorrow).items():
        mine = Pass(report, Asked(tomorrow, tomorrow, zone).chosen(group, "usd"))
        assert [each.pk for page in mine.entries() for each in page] == pks


# --- one moment -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_changes_while_a_report_is_read_is_not_in_it() -> None:
    for _ in range(3):
        invoice(finalized_at=at(10, 5), created=at(10, 5))
    asked = Asked(*OCTOBER, reports.zone_of("UTC"))

    def change() -> None:
        invoice(finalized_at=at(10, 6), created=at(10, 6))
        connections.close_all()

    with reports.snapshot():
        before = len(entries("issued", *OCTOBER))
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
        reading = Pass(REPORTS["issued"], asked)
        assert before == sum(len(page) for page in reading.entries()) == 3
    assert len(entries("issued", *OCTOBER)) == 4


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_while_a_report_is_read() -> None:
    made = invoice()
    if connection.vendor != "postgresql":
        pytest.skip("SQLite refuses nothing; a report writes nothing there either")
    with pytest.raises(Exception, match="read-only"), reports.snapshot(), connection.cursor() as cursor:
        cursor.execute("UPDATE invoices_operation SET reason = '' WHERE invoice = %s", [made.pk])
