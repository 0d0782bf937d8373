"""A worker that is told to end: it begins nothing new, gives back what it holds, and ends whatever hangs."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User

from backoffice import celery
from invoices import deadline, gateway, interruption, journal, operations, refetch, scheduled_refetches, sync
from invoices.models import Batch, Event, Invoice, Operation, ReconciliationRun, ScheduledRefetch, UnchainedRow
from invoices.operations import batch as batches
from invoices.reconcile import runs
from tests.crash.wire import Wire
from tests.factories import invoice_at
from tests.helpers.events import stripe_event
from tests.helpers.operations import lost
from tests.helpers.raw_server import RawServer
from tests.helpers.stripe_state import make_all_due
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told_to_end(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """This process, once a test sets the event."""
    asked = threading.Event()
    monkeypatch.setattr(interruption, "_asked", asked)
    return asked


def test_events_wait_for_another_worker(told_to_end: threading.Event, post_event: Any) -> None:
    assert post_event(stripe_event()).status_code == 200
    told_to_end.set()
    assert sync.process_events() == 0
    assert Event.objects.get().state == "pending"


def test_refetches_that_were_taken_are_due_again_at_once(
    told_to_end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled_refetches.schedule([("invoice", f"in_{number}") for number in range(12)])
    make_all_due()
    read: list[str] = []

    def stop(object: str, id: str, *, throttled: bool) -> None:
        read.append(id)
        told_to_end.set()
        raise gateway.OutcomeUnknown("It does not answer.")

    monkeypatch.setattr(refetch, "refetch", stop)
    sync.perform_refetches()
    rows = ScheduledRefetch.objects.all()
    assert 1 <= len(read) <= sync.REFETCH_THREADS
    assert rows.filter(token=None).count() == 12 and rows.filter(attempts=0).count() == 12 - len(read)
    assert sync.perform_refetches() == 0


def test_a_batch_goes_back_after_the_items_that_have_begun(
    sandbox: SandboxProcess, agent: User, told_to_end: threading.Event
) -> None:
    invoice = invoice_at(sandbox)
    refetch.refetch("invoice", invoice.id)
    batch = batches.start("void", Invoice.objects.all(), actor=agent, reason="a wrong run", batch_id=uuid.uuid4())
    told_to_end.set()
    batches.run_due()
    batches._run(batch.pk)
    batch = Batch.objects.get(pk=batch.pk)
    assert (batch.claim_token, batch.finished_at, batches.progress(batch)) == (None, None, {"waiting": 1})


def test_settling_and_chaining_begin_nothing(
    sandbox: SandboxProcess, wire: Wire, agent: User, open_invoice: Any, told_to_end: threading.Event
) -> None:
    lost(wire, "drop", "void", open_invoice.id, agent)
    Operation.objects.update(settle_at=None)
    told_to_end.set()
    assert operations.settle_due() == 0
    waiting = UnchainedRow.objects.count()
    assert waiting and journal.chain() == 0 and UnchainedRow.objects.count() == waiting


def test_a_request_that_hangs_is_given_up_and_no_other_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_all_passed", threading.Event())
    with RawServer(b"", b"H", seconds=0.01) as server:
        session = deadline.DeadlineSession(600)
        failed: list[Exception] = []

        def ask() -> None:
            try:
                session.request("GET", server.url, timeout=600)
            except requests.RequestException as error:
                failed.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        deadline.pass_all()
        thread.join(60)
        assert failed and not thread.is_alive()
        ask()
        assert len(failed) == 2 and sum(map(bool, server.requests)) == 1


def test_what_hangs_all_the_same_ends_with_its_run_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock and the end of the process are not real here; their order is."""
    done: list[Any] = []
    monkeypatch.setattr(celery.time, "sleep", done.append)
    monkeypatch.setattr(celery.os, "_exit", lambda code: done.append(("ended", code)))
    monkeypatch.setattr(deadline, "pass_all", lambda: done.append("requests"))
    with pytest.raises(runs.RunLost), runs.running("full") as run:
        monkeypatch.setattr(celery.threading, "Thread", InThisThread)
        celery._end_in_time()
        row = ReconciliationRun.objects.get(pk=run.pk)
        assert (row.state, row.exit_code) == ("interrupted", 1) and "ended before its work did" in row.error
        runs.show_alive(run)  # the thread that hung wakes up: it finds out
    assert done == [17.0, "requests", 5.0, 4.0, ("ended", 1)]  # after 26 seconds


class InThisThread:
    def __init__(self, target: Any, **options: Any) -> None:
        self.start = target
