"""Stored events → mirror: in batches, past poison, over killed workers; and the scheduled refetches."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.conf import settings as conf
from django.core.management import call_command
from django.db import DataError, OperationalError, connection

from invoices import clock, gateway, intake, mirror, refetch, scheduled_refetches, sync
from invoices.models import Event, Invoice, InvoicePayment, Mirrored, ScheduledRefetch
from tests.factories import CustomerObject, InvoiceObject, invoice_at, stored
from tests.helpers.database import plain_parameters
from tests.helpers.events import stripe_event
from tests.helpers.stripe_state import make_all_due
from tests.sandbox_process import ROOT, SandboxProcess

ON_POSTGRESQL = "postgres" in conf.DATABASES["default"]["ENGINE"]
STAMP = 1_790_000_000


def journalled(found: dict[str, Any], id: str, **changes: Any) -> Event:
    event = stripe_event(found, id=id, type=f"{found['object']}.updated", created=STAMP) | changes
    [row] = intake.journal([intake.event_row(event)])
    return row


def states() -> dict[str, str]:
    return dict(Event.objects.values_list("pk", "state"))


def now_due() -> None:
    """The pauses between two attempts are over."""
    Event.objects.filter(state="pending").update(next_attempt_at=clock.now())


@pytest.mark.django_db(transaction=True)
class TestBatches:
    def test_several_batches_in_one_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sync, "EVENTS_PER_BATCH", 7)
        for number in range(20):
            journalled(InvoiceObject(), f"evt_{number}")
        assert sync.process_events() == 20
        assert set(states().values()) == {"done"} and Invoice.objects.count() == 20
        assert Event.objects.filter(processed_at=None).count() == 0
        assert sync.process_events() == 0

    def test_no_more_than_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sync, "EVENTS_PER_BATCH", 5)
        for number in range(20):
            journalled(InvoiceObject(), f"evt_{number}")
        assert sync.process_events(limit=10) == 10
        assert list(states().values()).count("pending") == 10

    def test_events_of_one_object_are_folded_in_a_batch(self) -> None:
        found = InvoiceObject(status="draft")
        for number, status in enumerate(["open", "draft", "paid", "open"]):
            journalled(found | {"status": status}, f"evt_{number}")
        assert sync.process_events() == 4
        assert Invoice.objects.get().status == "paid"

    def test_what_is_ignored_is_left_alone(self) -> None:
        journalled(InvoiceObject(), "evt_1", livemode=True)
        assert sync.process_events() == 0

    def test_an_event_of_another_version_has_its_object_read(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox)
        old = {"object": "invoice", "id": invoice.id, "paid": False, "closed": True}
        journalled(old, "evt_1", api_version="2014-06-17")
        sync.process_events()
        assert Invoice.objects.get().data == old
        make_all_due()
        assert sync.perform_refetches() == 1
        assert Invoice.objects.get().data["status"] == "open" and not ScheduledRefetch.objects.exists()

    def test_a_deletion_of_another_version_is_believed(self) -> None:
        draft = InvoiceObject(status="draft")
        journalled(draft, "evt_1")
        journalled(draft, "evt_2", type="invoice.deleted", api_version="2014-06-17")
        sync.process_events()
        assert Invoice.objects.get().deleted_at


@pytest.mark.django_db(transaction=True)
class TestPoison:
    def test_an_event_that_cannot_be_read_fails_after_five_attempts(self) -> None:
        journalled(InvoiceObject(), "evt_bad", created="yesterday")
        pauses = []
        for attempt in range(1, 6):
            assert sync.process_events() == 1
            row = Event.objects.get()
            assert row.attempts == attempt and "TypeError" in row.error
            pauses.append(round((row.next_attempt_at - clock.now()).total_seconds()))
            assert sync.process_events() == 0  # not before its time
            now_due()
        assert pauses[:4] == [1, 4, 16, 64]
        assert states() == {"evt_bad": "failed"}
        assert sync.process_events() == 0

    def test_its_object_is_read_instead(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox)
        journalled({"object": "invoice", "id": invoice.id}, "evt_bad", created=None)
        sync.process_events()
        make_all_due()
        assert sync.perform_refetches() == 1
        assert Invoice.objects.get(pk=invoice.id).status == "open"

    def test_it_does_not_hold_up_the_others(self) -> None:
        for number in range(5):
            journalled(InvoiceObject(), f"evt_{number}")
            journalled(InvoiceObject(), f"evt_bad_{number}", created={"no": "stamp"})
        sync.process_events()
        assert sorted(id for id, state in states().items() if state == "done") == [f"evt_{n}" for n in range(5)]
        assert Invoice.objects.count() == 5

    @pytest.mark.parametrize("error", [DataError("no such number"), KeyError("status"), RecursionError("too deep")])
    def test_nor_one_that_the_mirror_cannot_store(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        apply = mirror.apply

        def picky(row: Mirrored, snapshot: Any, now: Any) -> Any:
            if snapshot.id == "in_bad":
                raise error
            return apply(row, snapshot, now)

        monkeypatch.setattr(mirror, "apply", picky)
        for number in range(3):
            journalled(InvoiceObject(), f"evt_{number}")
        journalled(InvoiceObject(id="in_bad"), "evt_bad")
        journalled(CustomerObject(), "evt_customer")
        assert sync.process_events() == 5
        assert states().pop("evt_bad") == "pending" and list(states().values()).count("done") == 4
        for _ in range(4):
            now_due()
            sync.process_events()
        row = Event.objects.get(pk="evt_bad")
        assert (row.state, row.attempts) == ("failed", 5) and type(error).__name__ in row.error

    def test_a_passing_fault_of_the_database_counts_against_no_event(self, monkeypatch: pytest.MonkeyPatch) -> None:
        journalled(InvoiceObject(), "evt_1")
        with monkeypatch.context() as broken:

            def locked(*given: Any) -> Any:
                raise OperationalError("deadlock detected")

            broken.setattr(mirror, "apply", locked)
            with pytest.raises(OperationalError):
                sync.process_events()
        assert Event.objects.get().attempts == 0
        assert sync.process_events() == 1 and states() == {"evt_1": "done"}

    def test_an_error_with_odd_letters_can_be_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def odd(*given: Any) -> Any:
            raise ValueError("a\x00b \ud800")

        monkeypatch.setattr(mirror, "apply", odd)
        journalled(InvoiceObject(), "evt_1")
        sync.process_events()
        assert "ValueError" in Event.objects.get().error


@pytest.mark.django_db(transaction=True)
class TestReplay:
    def failed(self, *ids: str) -> None:
        for id in ids:
            journalled(InvoiceObject(), id)
        Event.objects.update(state="failed", attempts=5, error="why", next_attempt_at=clock.now() + timedelta(hours=1))

    def test_all_or_these(self) -> None:
        self.failed("evt_1", "evt_2", "evt_3")
        assert sync.replay(["evt_2", "evt_9"]) == 1
        assert sync.process_events() == 1 and states()["evt_2"] == "done"
        assert Event.objects.get(pk="evt_2").error == ""
        assert sync.replay() == 2
        assert sync.process_events() == 2 and set(states().values()) == {"done"}

    def test_what_is_not_failed_is_not_replayed(self) -> None:
        journalled(InvoiceObject(), "evt_1")
        sync.process_events()
        assert sync.replay() == 0 and sync.replay(["evt_1"]) == 0

    def test_the_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.failed("evt_1", "evt_2")
        call_command("replay_events", "evt_1")
        assert "1 events are pending again; 1 processed" in capsys.readouterr().out
        call_command("replay_events")
        assert set(states().values()) == {"done"} and Invoice.objects.count() == 2


WORKER = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from invoices import mirror, sync
store = mirror.store
def slow(snapshots, **given):
    outcomes = store(snapshots, **given)
    print("in the middle", flush=True)
    time.sleep(float(sys.argv[1]))
    return outcomes
mirror.store = slow
sync.EVENTS_PER_BATCH = 50
sync.process_events()
print("done", flush=True)
"""


def worker(pause: float) -> subprocess.Popen[str]:
    """A process of its own on the tests' database, that stops for a moment in the middle of each batch."""
    name = str(connection.settings_dict["NAME"])
    url = f"sqlite:///{name}"
    if ON_POSTGRESQL:
        given = connection.settings_dict
        url = f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT'] or 5432}/{name}"
    env = {**os.environ, "DATABASE_URL": url}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(pause)], stdout=subprocess.PIPE, cwd=ROOT, env=env, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_in_the_middle_of_a_batch_loses_nothing() -> None:
    found = [InvoiceObject(status="draft") for _ in range(60)]
    for number, data in enumerate(found):
        journalled(data, f"evt_{number}")
        journalled(data | {"status": "open"}, f"evt_{number}_open")
    process = worker(60)
    try:
        assert said(process) == "in the middle"
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
    assert set(states().values()) == {"pending"} and not Invoice.objects.exists()
    assert sync.process_events() == 120
    assert set(states().values()) == {"done"}
    assert {row.pk: row.data for row in Invoice.objects.all()} == {
        data["id"]: data | {"status": "open"} for data in found
    }


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_workers_on_postgresql_pass_over_what_another_holds() -> None:
    for number in range(120):
        journalled(InvoiceObject(), f"evt_{number:03}")
    process = worker(5)
    try:
        assert said(process) == "in the middle"
        assert sync.process_events() == 70  # the fifty that the other holds are not waited for
        assert list(states().values()).count("pending") == 50
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
    end = time.monotonic() + 10
    while sync.process_events() == 0 and time.monotonic() < end:
        time.sleep(0.05)  # until the server has noticed that its client is dead
    assert set(states().values()) == {"done"} and Invoice.objects.count() == 120


@pytest.mark.django_db(transaction=True)
def test_four_workers_share_the_work_and_do_each_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "EVENTS_PER_BATCH", 10)
    found = [InvoiceObject() for _ in range(12)]
    for number in range(240):
        data = found[number % 12]
        journalled(data | {"total": number}, f"evt_{number}", created=STAMP + 10 * number)
    done: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while Event.objects.filter(state="pending").exists():
                done.append(sync.process_events())
        except BaseException as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and sum(done) == 240
    totals = {row.pk: row.total for row in Invoice.objects.all()}
    assert totals == {data["id"]: 228 + index for index, data in enumerate(found)}


@pytest.mark.django_db(transaction=True)
def test_one_of_the_last_second_of_all_holds_up_no_other() -> None:
    """Its span ends after what a moment can be: the object is read instead."""
    last = 253_402_300_799  # 9999-12-31 23:59:59
    journalled(InvoiceObject(id="in_last"), "evt_last", created=last)
    assert sync.process_events() == 1
    journalled(InvoiceObject(id="in_next"), "evt_next")
    assert sync.process_events() == 1
    assert states() == {"evt_last": "pending", "evt_next": "done"}
    assert ScheduledRefetch.objects.get().object_id == "in_last"


@pytest.mark.django_db(transaction=True)
class TestGathering:
    """Under load batches are few and large; what comes alone waits for nobody."""

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """While it would pause, seven more events come, three times."""
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) < 4:
                for number in range(7):
                    journalled(InvoiceObject(), f"evt_{len(pauses)}_{number}")

        seconds = itertools.count(step=0.01)  # between two looks at the clock, however busy the machine is
        monkeypatch.setattr(sync, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: next(seconds)))
        return pauses

    def test_what_comes_meanwhile_is_one_batch(self, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        batches: list[int] = []
        one_batch = sync._process_batch

        def process() -> int:
            batches.append(one_batch())
            if len(batches) < 5:
                journalled(InvoiceObject(), f"evt_during_{len(batches)}")
            return batches[-1]

        monkeypatch.setattr(sync, "_process_batch", process)
        journalled(InvoiceObject(), "evt_first")
        assert sync.process_events() == 26
        assert batches == [1, 8, 8, 8, 1]
        assert pauses == [pytest.approx(sync.GATHER_SECONDS - 0.01)] * 4

    def test_one_event_alone_waits_for_nobody(self, pauses: list[float]) -> None:
        journalled(InvoiceObject(), "evt_first")
        assert sync.process_events() == 1 and not pauses

    def test_a_full_batch_is_followed_at_once(self, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sync, "EVENTS_PER_BATCH", 5)
        for number in range(15):
            journalled(InvoiceObject(), f"evt_{number}")
        assert sync.process_events() == 15 and not pauses

    def test_one_thread_of_a_process_does_the_work_of_all_who_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second comes with its event when the first has looked for the last time, and is about to leave."""
        process, leaving, go_on = sync.process_events, threading.Event(), threading.Event()

        def process_slowly() -> int:
            done = process()
            leaving.set()
            assert go_on.wait(20)
            return done

        monkeypatch.setattr(sync, "process_events", process_slowly)
        counts: list[int] = []

        def first() -> None:
            try:
                counts.append(sync.process_events_together())
            finally:
                connection.close()

        thread = threading.Thread(target=first)
        journalled(InvoiceObject(), "evt_1")
        thread.start()
        assert leaving.wait(20)
        journalled(InvoiceObject(), "evt_2")
        assert sync.process_events_together() == 0 and states()["evt_2"] == "pending"
        go_on.set()
        thread.join(20)
        assert counts == [2] and set(states().values()) == {"done"}

    @pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no locks of rows")
    def test_one_locked_row_of_the_mirror_holds_up_no_other_invoice(self) -> None:
        """A person in psql may hold it, or a worker of another host that is frozen in the middle of its batch."""

        def work() -> None:
            try:
                sync.process_events_together()
            finally:
                connection.close()

        held = InvoiceObject()
        journalled(held, "evt_first")
        sync.process_events_together()
        thread = threading.Thread(target=work)
        with psycopg.connect(**plain_parameters()) as other:
            other.execute("SELECT 1 FROM invoices_invoice WHERE id = %s FOR UPDATE", [held["id"]])
            journalled(held | {"total": 1}, "evt_held")
            thread.start()
            time.sleep(0.5)
            try:
                journalled(InvoiceObject(), "evt_other")
                end = time.monotonic() + 20
                while states()["evt_other"] != "done" and time.monotonic() < end:
                    sync.process_events_together()  # beat has another thread of the same worker look
                    time.sleep(0.5)
                assert states() == {"evt_first": "done", "evt_held": "pending", "evt_other": "done"}
            finally:
                other.rollback()
                thread.join(20)
        assert states()["evt_held"] == "done"

    def test_a_failure_lets_the_next_one_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        journalled(InvoiceObject(), "evt_1")
        with monkeypatch.context() as patch:
            patch.setattr(sync, "_process_batch", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                sync.process_events_together()
        assert sync.process_events_together() == 1


@pytest.mark.django_db(transaction=True)
class TestScheduledRefetches:
    def schedule(self, *ids: str, object: str = "invoice") -> None:
        scheduled_refetches.schedule((object, id) for id in ids)
        make_all_due()

    def due(self, id: str) -> Any:
        return ScheduledRefetch.objects.filter(object_id=id).values_list("due_at", flat=True).first()

    def test_bring_the_object_and_its_payments_and_are_cleared(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox)
        self.schedule(invoice.id)
        assert sync.perform_refetches() == 1
        assert Invoice.objects.get().status == "open" and self.due(invoice.id) is None
        assert InvoicePayment.objects.get().invoice_id == invoice.id
        assert sync.perform_refetches() == 0

    def test_all_lines_are_read(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox, lines=23, amount=2300)
        self.schedule(invoice.id)
        sync.perform_refetches()
        held = Invoice.objects.get().data["lines"]
        assert len(held["data"]) == 23 and held["has_more"] is False

    def test_several_at_once_and_every_kind(self, sandbox: SandboxProcess) -> None:
        invoices = [invoice_at(sandbox) for _ in range(6)]
        self.schedule(*(invoice.id for invoice in invoices))
        self.schedule(*(invoice.customer for invoice in invoices), object="customer")
        assert sync.perform_refetches() == 12
        assert Invoice.objects.count() == 6 and mirror.MIRRORED["customer"].objects.count() == 6

    def test_what_goes_wrong_with_one_does_not_keep_the_others(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoices = [invoice_at(sandbox) for _ in range(3)]
        self.schedule(*(invoice.id for invoice in invoices))

        read = refetch.refetch

        def picky(object: str, id: str, **given: Any) -> Any:
            if id == invoices[0].id:
                raise KeyError("lines")
            return read(object, id, **given)

        monkeypatch.setattr(sync.refetch, "refetch", picky)
        assert sync.perform_refetches() == 3
        assert self.due(invoices[0].id) and Invoice.objects.count() == 2
        assert ScheduledRefetch.objects.get().error == "KeyError: 'lines'"

    def test_one_that_is_scheduled_while_it_is_under_way_is_made_again(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoice = invoice_at(sandbox)
        self.schedule(invoice.id)

        read = refetch.refetch

        def meanwhile(object: str, id: str, **given: Any) -> Any:
            outcomes = read(object, id, **given)
            scheduled_refetches.schedule([(object, id)])
            return outcomes

        monkeypatch.setattr(sync.refetch, "refetch", meanwhile)
        sync.perform_refetches()
        assert self.due(invoice.id) < clock.now() + timedelta(seconds=3)

    def test_nothing_at_stripe_and_nothing_here_is_settled(self, sandbox: SandboxProcess) -> None:
        self.schedule("in_nowhere")
        assert sync.perform_refetches() == 1
        assert self.due("in_nowhere") is None and not Invoice.objects.exists()

    def test_a_draft_that_is_gone(self, sandbox: SandboxProcess) -> None:
        stored(InvoiceObject(id="in_gone", status="draft"))
        stored(InvoiceObject(id="in_odd", status="open"))
        self.schedule("in_gone", "in_odd")
        sync.perform_refetches()
        assert Invoice.objects.get(pk="in_gone").deleted_at and not Invoice.objects.get(pk="in_odd").deleted_at

    @pytest.mark.parametrize("what", ["the draft", "the tenth line"])
    def test_what_is_deleted_while_its_lines_are_read(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        draft = invoice_at(sandbox, lines=13, amount=1300, finalize=False)
        stored(json.loads(str(draft)))
        read = gateway.read
        done: list[str] = []

        def meanwhile(path: str, **params: Any) -> Any:
            if path.endswith("/lines") and not done:
                done.append(path)
                if what == "the draft":
                    sandbox.client().v1.invoices.delete(draft.id)
                else:
                    item = draft.lines.data[-1].parent.invoice_item_details.invoice_item
                    sandbox.client().v1.invoice_items.delete(item)
            return read(path, **params)

        monkeypatch.setattr(gateway, "read", meanwhile)
        self.schedule(draft.id)
        sync.perform_refetches()
        assert done
        held = Invoice.rows.get(pk=draft.id)
        if what == "the draft":
            assert held.deleted_at and self.due(draft.id) is None
        else:
            assert self.due(draft.id) < clock.now() + timedelta(seconds=5)  # again, and soon
            self.schedule(draft.id)
            sync.perform_refetches()
            held.refresh_from_db()
            assert held.data and len(held.data["lines"]["data"]) == 12 and self.due(draft.id) is None

    def test_more_payments_than_come_with_an_invoice(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox, amount=10_000)
        stripe = sandbox.client()
        for _ in range(12):
            record = stripe.v1.payment_records.report_payment(
                {
                    "amount_requested": {"currency": "usd", "value": 100},
                    "initiated_at": int(time.time()),
                    "payment_method_details": {"type": "custom", "custom": {"display_name": "Cash", "type": "cash"}},
                    "outcome": "guaranteed",
                    "guaranteed": {"guaranteed_at": int(time.time())},
                }
            )
            stripe.v1.invoices.attach_payment(invoice.id, {"payment_record": record.id})
        refetch.refetch("invoice", invoice.id)
        theirs = {one.id for one in stripe.v1.invoice_payments.list({"invoice": invoice.id, "limit": 100}).data}
        assert set(InvoicePayment.objects.values_list("pk", flat=True)) == theirs and len(theirs) > 12

    def test_two_workers_do_not_read_the_same(self, sandbox: SandboxProcess) -> None:
        invoices = [invoice_at(sandbox) for _ in range(8)]
        self.schedule(*(invoice.id for invoice in invoices))
        before = sandbox.stats()["requests"].get("GET /v1/invoices/:id", 0)
        done: list[int] = []

        def work() -> None:
            try:
                done.append(sync.perform_refetches())
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(done) == 8
        assert sandbox.stats()["requests"]["GET /v1/invoices/:id"] - before == 8


@pytest.mark.django_db(transaction=True)
def test_a_burst_over_http_is_read_at_most_once(sandbox: SandboxProcess, live_server: Any) -> None:
    """Four events within a second, delivered by the sandbox: visible at once, and one read at most."""
    sandbox.webhook(f"{live_server.url}/webhooks/stripe")
    invoice = invoice_at(sandbox)
    sandbox.client().v1.invoices.pay(invoice.id)
    sandbox.settled()
    sync.process_events()
    assert Invoice.objects.get(pk=invoice.id).status == "paid"
    before = sandbox.stats()["requests"].get("GET /v1/invoices/:id", 0)
    for _ in range(3):
        make_all_due()
        sync.perform_refetches()
    assert sandbox.stats()["requests"].get("GET /v1/invoices/:id", 0) - before <= 1
    theirs = json.loads(sandbox.client().raw_request("get", f"/v1/invoices/{invoice.id}").body)
    assert mirror.content(Invoice.objects.get(pk=invoice.id).data) == mirror.content(theirs)
