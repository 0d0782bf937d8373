"""The journal is evidence: final operations and the bodies of events are not rewritten, by no route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from invoices.models import Event, Operation
from invoices.models.sealed import Sealed

pytestmark = pytest.mark.django_db


@pytest.fixture
def final() -> Operation:
    return Operation.objects.create(action="pay", invoice="in_1", state="succeeded", source="admin", message="paid")


@pytest.fixture
def event() -> Event:
    return Event.objects.create(id="evt_1", type="invoice.paid", object_id="in_1", body='{"id": "evt_1"}')


def _save(row: Any, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()


def _bulk(row: Any, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(row, name, value)
    type(row).objects.bulk_update([row], list(changes))


def _update(row: Any, **changes: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**changes)


@pytest.mark.parametrize("write", [_save, _bulk, _update])
def test_a_final_operation_is_not_rewritten(final: Operation, write: Callable[..., None]) -> None:
    with pytest.raises(Sealed):
        write(final, message="not paid at all")
    assert Operation.objects.get(pk=final.pk).message == "paid"


@pytest.mark.parametrize("write", [_save, _bulk, _update])
def test_what_stripe_said_is_not_rewritten(event: Event, write: Callable[..., None]) -> None:
    with pytest.raises(Sealed):
        write(event, body="{}")
    assert Event.objects.get(pk="evt_1").body == '{"id": "evt_1"}'


def test_what_we_made_of_an_event_may_change(event: Event) -> None:
    _save(event, state=Event.State.DONE)
    _update(event, state=Event.State.PENDING, attempts=0)
    assert Event.objects.get(pk="evt_1").state == "pending"


def test_nothing_is_deleted(final: Operation, event: Event) -> None:
    for attempt in (final.delete, event.delete, Operation.objects.all().delete, Event.objects.all().delete):
        with pytest.raises(Sealed):
            attempt()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoices_operation SET message = 'x' WHERE invoice = 'in_1'",
        "UPDATE invoices_operation SET state = 'ready' WHERE invoice = 'in_1'",
        "UPDATE invoices_event SET body = '{}' WHERE id = 'evt_1'",
        "DELETE FROM invoices_operation WHERE invoice = 'in_1'",
        "DELETE FROM invoices_event WHERE id = 'evt_1'",
    ],
)
def test_not_even_by_sql(final: Operation, event: Event, statement: str) -> None:
    if statement.startswith("DELETE") and connection.vendor == "sqlite":
        pytest.skip("SQLite: deletion is refused in code only; PostgreSQL's trigger refuses it in SQL too")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("SELECT message, state FROM invoices_operation")
        assert cursor.fetchall() == [("paid", "succeeded")]
