"""Feeds under attack: what is owed to a service while others switch endpoints, tidy up, or are slow to commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from invoices import clock, sync
from invoices.fanout import endpoints, owed, worker
from invoices.fanout.endpoints import Actor, EndpointInvalid
from invoices.models import Delivery, DeliveryAttempt, WebhookEndpoint
from invoices.thresholds import DELIVERY_KEPT
from tests.factories import InvoiceObject
from tests.helpers.database import plain_parameters
from tests.helpers.endpoint_receiver import Service, made
from tests.helpers.events import stripe_event
from tests.helpers.web import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
    pytest.mark.usefixtures("services_here"),
]
State = Delivery.State
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def written_to(endpoint: WebhookEndpoint, event: str, **values: Any) -> Delivery:
    return Delivery.objects.create(endpoint=endpoint, event=event, type="invoice.paid", **values)


@contextmanager
def tidying_up_that_waits_for(table: str, id: int) -> Iterator[None]:
    """`owed.remove_old` in another thread stands still at this row meanwhile, and has ended afterwards."""

    def tidy_up() -> None:
        try:
            owed.remove_old()
        finally:
            connection.close()

    thread = threading.Thread(target=tidy_up)
    with psycopg.connect(**plain_parameters()) as holder:
        holder.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR UPDATE", [id])
        thread.start()
        wait_for(lambda: not thread.is_alive() or somebody_waits())
        yield
        holder.rollback()
    thread.join(20)
    assert not thread.is_alive()


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


def test_an_endpoint_that_is_enabled_while_old_ones_are_tidied_up_loses_nothing(receiver: Service) -> None:
    first, second = made(receiver, id="we_1"), made(receiver, id="we_2")
    for each in (first, second):
        endpoints.disable(each, Actor())
    left_over = written_to(first, "evt_1")  # by who did not see yet that it was disabled
    with tidying_up_that_waits_for("invoices_delivery", left_over.pk):
        assert endpoints.enable(second, Actor())
        owed.owe_to([second], [("evt_2", "invoice.paid", None)])
    left_over.refresh_from_db()
    assert left_over.state == State.ABANDONED
    assert Delivery.objects.get(event="evt_2").state == State.PENDING


def test_a_redelivery_that_meets_the_removal_is_made_or_refused(receiver: Service) -> None:
    long_ago = clock.now() - DELIVERY_KEPT - timedelta(days=1)
    old = written_to(made(receiver), "evt_1", state=State.DELIVERED, ended_at=long_ago)
    attempt = DeliveryAttempt.objects.create(delivery=old, at=long_ago, seconds=0.1, status=200)
    asked: list[bool] = []

    def ask() -> None:
        try:
            endpoints.redeliver(old, Actor())
        except EndpointInvalid:
            asked.append(False)
        else:
            asked.append(True)
        finally:
            connection.close()

    asking = threading.Thread(target=ask)
    with tidying_up_that_waits_for("invoices_deliveryattempt", attempt.pk):
        asking.start()
        asking.join(1)  # it may have to wait for the removal
    asking.join(20)
    assert asked == [Delivery.objects.filter(event="evt_1", state=State.PENDING).exists()]


def test_a_redelivery_waits_for_events_that_were_taken_before_the_endpoint_was_enabled(
    post_event: Any, receiver: Service
) -> None:
    endpoint = made(receiver)
    endpoints.disable(endpoint, Actor())
    since = clock.now()
    assert post_event(stripe_event(InvoiceObject(), id="evt_1")).status_code == 200
    stored, may_commit = threading.Event(), threading.Event()

    def process_slowly() -> None:
        try:
            with transaction.atomic():
                sync.process_events()
                stored.set()
                may_commit.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=process_slowly)
    thread.start()
    assert stored.wait(20)
    endpoints.enable(endpoint, Actor())
    endpoints.redeliver_since(endpoint, since, Actor())
    worker.deliver_due()
    may_commit.set()
    thread.join(20)
    worker.deliver_due()
    assert [event.id for event in receiver.events] == ["evt_1"]
