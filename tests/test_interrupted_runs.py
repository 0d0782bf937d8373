"""Reconciliation runs that are stopped, killed, cut off or overtaken: what is left goes on, and nothing counts twice.

And what one bad object does to a run: it is recorded, and the rest goes on.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from django.db import OperationalError, connection

from invoices import clock, gateway, intake, interruption, reconcile, scheduled_refetches, sync, tasks
from invoices.management.commands.reconcile import in_words
from invoices.models import Drift, Event, Invoice, InvoicePayment, ReconciliationRun
from invoices.reconcile import runs, suspects, sweep, threads
from invoices.thresholds import CATCH_UP_GOES_ON, FULL_GOES_ON, RUN_SILENT, SWEEP_GOES_ON
from tests.crash.wire import STRIPES, Answer, Wire
from tests.factories import invoice_at
from tests.helpers.commands import run_command, start_command
from tests.helpers.stripe_state import drain, unequal
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
Kind, State = ReconciliationRun.Kind, ReconciliationRun.State
verify: Any = import_module("invoices.reconcile.verify")  # the package has a function of this name
PATIENCE = 60  # seconds on a busy machine, for what would otherwise take for ever
HANGING = {"latency_ms": [600_000, 600_000]}  # longer than any test may last
PATIENT = {"STRIPE_TIMEOUT_SECONDS": "59", "RECONCILE_PATIENCE_SECONDS": "600"}  # of a process that meets it


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    """`manage.py reconcile --json …`: its exit code and what it printed. The counts add up, whatever happened."""
    code, output = run_command("reconcile", "--json", *arguments)
    said = json.loads(output)
    assert said["seen"] == sum(said[name] for name in ("same", "imported", "healed", "in_flight", "failed")), said
    return code, said


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came true")


def some_windows_finished(at_least: int = 3) -> list[str]:
    run = ReconciliationRun.objects.filter(state=State.RUNNING).first()
    finished = run.progress.finished if run else []
    return finished if len(finished) >= at_least else []


def silent(run: ReconciliationRun) -> None:
    ReconciliationRun.objects.filter(pk=run.pk).update(alive_at=clock.now() - RUN_SILENT - timedelta(minutes=1))


@pytest.fixture
def patient(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Runs wait for an hour, and the waiting takes no time."""
    settings.RECONCILE_PATIENCE_SECONDS = 3600
    pauses: list[float] = []
    monkeypatch.setattr(interruption, "pause", pauses.append)
    monkeypatch.setattr(gateway.time, "sleep", lambda seconds: None)
    return pauses


class TestStopped:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_command_ends_at_once_and_the_next_of_its_kind_goes_on(
        self, sandbox: SandboxProcess, number: signal.Signals, code: int
    ) -> None:
        sandbox.reset(invoices=12, seed=2)
        sandbox.faults(**HANGING, only=["GET /v1/payment_intents"])
        process = start_command(sandbox, "manage.py", "reconcile", "--full", **PATIENT)
        try:
            wait_for(some_windows_finished)
            process.send_signal(number)
            assert process.wait(timeout=PATIENCE) == code
        finally:
            process.kill()
            process.communicate()
        sandbox.clear_faults()
        stopped = ReconciliationRun.objects.get(kind=Kind.FULL)
        assert (stopped.state, stopped.error, stopped.exit_code) == (State.INTERRUPTED, "It was stopped.", 1)
        finished = stopped.progress.finished
        assert 3 <= len(finished) < len(stopped.progress.windows)
        assert command()[0] == 0  # another kind between, and its catch-up
        before = Counter(sandbox.stats()["requests"])
        code, said = command("--full")
        assert (code, said["id"], said["drift"]) == (0, stopped.pk, [])
        run = ReconciliationRun.objects.get(pk=stopped.pk)
        names = [sweep.Window(**window).name for window in run.progress.windows] + ["undated"]
        assert sorted(run.progress.finished) == sorted(names)  # each once
        asked = Counter(sandbox.stats()["requests"]) - before
        left = sum(name.startswith("invoice/") for name in names) - sum(
            name.startswith("invoice/") for name in finished
        )
        assert asked["GET /v1/invoices"] <= 1 + left  # and the probe
        assert len(run.progress.interruptions) == 1 and "It was stopped." in run.progress.interruptions[0]
        code, again = command("--full")
        assert again["id"] != said["id"] and again["seen"] == said["seen"]  # nothing was counted twice, or left out

    def test_a_worker_gives_its_run_back(self, sandbox: SandboxProcess) -> None:
        sandbox.reset(invoices=12, seed=2)
        sandbox.faults(**HANGING, only=["GET /v1/payment_intents"])
        tasks.start_reconciliation.delay("full")
        worker = ["-m", "celery", "--app", "backoffice", "worker", "--pool", "threads", "--concurrency", "2"]
        process = start_command(sandbox, *worker, **PATIENT)
        try:
            wait_for(lambda: some_windows_finished(1))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.communicate()
        run = ReconciliationRun.objects.get(kind=Kind.FULL)
        assert (run.state, run.error) == (State.INTERRUPTED, "The worker was stopped.")
        assert len(run.progress.finished) < len(run.progress.windows)
        sandbox.clear_faults()
        assert command("--full")[1]["id"] == run.pk

    def test_threads_that_are_left_behind_write_nothing(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C while three requests hang: nobody waits for them, and what they bring comes too late."""
        invoice_at(sandbox)
        hanging, released = threading.Semaphore(0), threading.Event()
        pages = gateway.list_page

        def hang(object: str, **params: Any) -> Any:
            found = pages(object, **params)
            hanging.release()
            released.wait(PATIENCE)
            return found

        def stop(results: Any) -> Any:
            for _ in range(sweep.SWEEP_THREADS):
                hanging.acquire()
            raise KeyboardInterrupt

        with monkeypatch.context() as cut:
            cut.setattr(gateway, "list_page", hang)
            cut.setattr(threads, "next_result", stop)
            cut.setattr(threads, "SECONDS_TO_LEAVE", 0.0)
            with pytest.raises(KeyboardInterrupt):
                reconcile.sweep_lists()
            left = [thread for thread in threading.enumerate() if thread.name.startswith("sweep-")]
            released.set()
            for thread in left:
                thread.join(PATIENCE)
        assert len(left) == sweep.SWEEP_THREADS
        assert not Invoice.objects.exists() and ReconciliationRun.objects.get().progress.finished == []

    def test_a_proof_ends_at_once_too(self, sandbox: SandboxProcess) -> None:
        """While each of its requests hangs for longer than this test may last."""
        sandbox.reset(invoices=3, seed=2)
        assert reconcile.sweep_lists("full").exit_code == 0
        sandbox.faults(**HANGING, only=["GET /v1/customers", "GET /v1/invoices"])
        process = start_command(sandbox, "manage.py", "reconcile", "--verify", **PATIENT)
        try:
            wait_for(lambda: some_windows_finished(2))
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=PATIENCE) == 130
        finally:
            process.kill()
            process.communicate()
        assert ReconciliationRun.objects.get(kind=Kind.VERIFY).state == State.INTERRUPTED


class TestGoingOn:
    def cut_short(self, kind: str, state: str, **columns: Any) -> ReconciliationRun:
        """A run that finished one window and then failed or was interrupted."""
        run = runs.begin(kind)
        window = sweep.Window("invoice", end=86400 * 365).stored()
        runs.write(run, progress=sweep.replace(run.progress, windows=[window]))
        runs.advance(run, {"seen": 7, "same": 7}, finished="invoice/all/-31536000")
        ReconciliationRun.objects.filter(pk=run.pk).update(
            state=state, exit_code=1, error="why", finished_at=clock.now(), **columns
        )
        return run

    @pytest.mark.parametrize("state", [State.FAILED, State.INTERRUPTED])
    def test_whatever_ran_between(self, db: None, state: str) -> None:
        left = self.cut_short(Kind.FULL, state)
        runs.finish(runs.begin(Kind.SWEEP))
        runs.finish(runs.begin(Kind.CATCH_UP))
        runs.fail(runs.begin(Kind.FULL, dry_run=True), "another one")
        found = runs.begin(Kind.FULL)
        assert found.pk == left.pk and found.seen == 7 and found.owner != left.owner
        assert (found.state, found.error, found.exit_code, found.finished_at) == (State.RUNNING, "", None, None)
        runs.finish(found)
        assert runs.begin(Kind.FULL).pk != left.pk  # what is finished is finished

    def test_only_with_the_same_options(self, db: None) -> None:
        left = self.cut_short(Kind.SWEEP, State.FAILED)
        since = runs.begin(Kind.SWEEP, params={"since": "2026-01-01T00:00:00+00:00"})
        assert since.pk != left.pk
        runs.fail(since, "no")
        assert runs.begin(Kind.SWEEP).pk == left.pk

    @pytest.mark.parametrize(
        ("kind", "kept"),
        [(Kind.SWEEP, SWEEP_GOES_ON), (Kind.FULL, FULL_GOES_ON), (Kind.CATCH_UP, CATCH_UP_GOES_ON)],
    )
    def test_what_was_compared_too_long_ago_is_compared_anew(self, db: None, kind: str, kept: timedelta) -> None:
        left = self.cut_short(kind, State.FAILED, started_at=clock.now() - kept + timedelta(hours=1))
        found = runs.begin(kind)
        assert found.pk == left.pk
        runs.fail(found, "again")
        ReconciliationRun.objects.filter(pk=left.pk).update(started_at=clock.now() - kept - timedelta(hours=1))
        found = runs.begin(kind)
        assert found.pk != left.pk and found.progress.finished == [] and found.seen == 0
        # A window that was finished yesterday is not compared tonight; one of tonight is.
        assert SWEEP_GOES_ON < timedelta(hours=24) < FULL_GOES_ON

    def test_one_that_was_taken_over_notices_and_writes_nothing(self, db: None) -> None:
        slept = self.cut_short(Kind.SWEEP, State.RUNNING)
        silent(slept)
        awake = runs.begin(Kind.SWEEP)
        assert awake.pk == slept.pk
        runs.advance(awake, {"seen": 5, "same": 5}, finished="another")
        for late in (
            lambda: runs.advance(slept, {"seen": 5, "same": 5}, finished="another"),
            lambda: runs.show_alive(slept),
            lambda: runs.write(slept, seen=0),
            lambda: runs.add_counts(slept, seen=1),
            lambda: runs.finish(slept),
            lambda: sweep._store_in_one_transaction(slept, [], importing=False),
        ):
            with pytest.raises(runs.RunLost):
                late()
        runs.fail(slept, "it was lost")
        runs.advance(awake, {"seen": 5, "same": 5}, finished="another")  # its answer was lost: once more
        run = ReconciliationRun.objects.get()
        assert (run.state, run.seen, run.same) == (State.RUNNING, 12, 12)
        assert runs.finish(awake).exit_code == runs.finish(awake).exit_code == 0


class TestSignsOfLife:
    @pytest.mark.parametrize("kind", ["catch_up", "verify", "invoice", "sweep", "full"])
    def test_a_run_of_any_kind_lives_while_a_single_request_hangs(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        monkeypatch.setattr(runs, "SECONDS_BETWEEN_LIFE_SIGNS", 0.05)
        invoice = invoice_at(wire.sandbox)
        asked, released = threading.Event(), threading.Event()

        def hang(path: str) -> None:
            asked.set()
            released.wait(PATIENCE)

        wire.on_get = hang
        errors: list[BaseException] = []

        def work() -> None:
            try:
                tasks.start_reconciliation(kind, invoice.id) if kind != "catch_up" else tasks.catch_up()
            except BaseException as error:
                errors.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert asked.wait(PATIENCE)
            run = ReconciliationRun.objects.get(kind=kind, state=State.RUNNING)
            silent(run)
            wait_for(lambda: ReconciliationRun.objects.get(pk=run.pk).alive_at > clock.now() - RUN_SILENT)
            if kind != "invoice":
                with pytest.raises(runs.AlreadyRunning):
                    runs.begin(kind)
        finally:
            released.set()
            thread.join(PATIENCE)
        assert errors == [] and ReconciliationRun.objects.get(pk=run.pk).state == State.FINISHED
        signs = f"run-{run.pk}-alive"
        wait_for(lambda: signs not in {thread.name for thread in threading.enumerate()})


class TestStripeOrTheDatabaseAway:
    def test_a_500_in_the_first_second_does_not_cost_the_night(
        self, sandbox: SandboxProcess, patient: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoice_at(sandbox)
        sandbox.faults(error_500=1.0)

        def wait(seconds: float) -> None:
            patient.append(seconds)
            sandbox.clear_faults()

        monkeypatch.setattr(interruption, "pause", wait)
        for run in (reconcile.sweep_lists, reconcile.catch_up):
            sandbox.faults(error_500=1.0)
            patient.clear()
            assert run().exit_code == 0 and patient

    def test_every_write_is_made_again_and_counts_once(
        self, sandbox: SandboxProcess, patient: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each step commits, and the database goes away before it says so."""
        sandbox.reset(invoices=8, seed=2)
        cuts: Counter[str] = Counter()
        lock = threading.Lock()

        def cut_after(module: Any, name: str) -> None:
            original = getattr(module, name)

            def once(*given: Any, **more: Any) -> Any:
                found = original(*given, **more)
                with lock:
                    cuts[name] += 1
                    first = cuts[name] in (1, 3)
                if first:
                    raise OperationalError("server closed the connection unexpectedly")
                return found

            monkeypatch.setattr(module, name, once)

        for module, name in (
            (sweep, "_plan"), (sweep, "_store_in_one_transaction"), (sweep, "_portion"), (runs, "advance"),
            (runs, "show_alive"), (runs, "finish"), (intake, "journal"),
        ):  # fmt: skip
            cut_after(module, name)
        run = reconcile.sweep_lists("full")
        assert (run.state, run.exit_code) == (State.FINISHED, 0), run.error
        assert len(run.progress.finished) == len(set(run.progress.finished)) == len(run.progress.windows) + 1
        monkeypatch.undo()
        drain()
        assert reconcile.sweep_lists("full").seen == run.seen
        assert unequal(sandbox) == []
        caught_up = ReconciliationRun.objects.filter(kind=Kind.CATCH_UP).earliest("pk")
        assert caught_up.state == State.FINISHED and caught_up.seen == caught_up.same == Event.objects.count()

    def test_a_proof_waits_for_the_database_too(
        self, sandbox: SandboxProcess, patient: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoice_at(sandbox)
        cuts: Counter[str] = Counter()

        def cut_after(where: Any, name: str) -> None:
            original = getattr(where, name)

            def once(*given: Any, **more: Any) -> Any:
                found = original(*given, **more)
                cuts[original.__qualname__] += 1
                if cuts[original.__qualname__] == 1:
                    raise OperationalError("server closed the connection unexpectedly")
                return found

            monkeypatch.setattr(where, name, once)

        for where, name in (
            (verify, "_plan"), (verify, "_swept_at"), (verify, "_close"), (verify._Ledger, "_write"),
            (suspects.WindowProof, "_rows"), (suspects.WindowProof, "_look_up"), (suspects.WindowProof, "_write"),
        ):  # fmt: skip
            cut_after(where, name)
        run = reconcile.verify()
        assert (run.state, run.exit_code) == (State.FINISHED, 3), run.error
        assert min(cuts.values()) > 1 and len(cuts) == 7
        assert run.seen == run.failed + run.in_flight == Drift.objects.filter(run=run).count() + run.in_flight

    def test_each_statement_of_a_proof_is_made_again(
        self, sandbox: SandboxProcess, patient: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each statement of the thread that leads the run meets a cut connection once, after the run has its row. While
        the others walk that thread is idle, so a restart of the database always cuts its connection."""
        invoice_at(sandbox)
        reconcile.sweep_lists("full")
        drain()
        begin, made = runs.begin, [0, 0]  # statements since the run has its row; the one that fails

        def begun(*given: Any, **more: Any) -> ReconciliationRun:
            run = begin(*given, **more)
            made[0] = 0
            return run

        def cut(execute: Any, *statement: Any) -> Any:
            made[0] += 1
            if made[0] == made[1]:
                raise OperationalError("server closed the connection unexpectedly")
            return execute(*statement)

        monkeypatch.setattr(runs, "begin", begun)
        with connection.execute_wrapper(cut):
            while made[0] >= made[1]:
                made[:] = [-100, made[1] + 1]
                run = reconcile.verify()
                assert (run.state, run.exit_code) == (State.FINISHED, 0), (made, run.error)
        assert made[1] > 10

    def test_a_run_that_is_finished_stays_so_when_the_catch_up_after_it_cannot_begin(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = runs.begin

        def cut(kind: str, **more: Any) -> ReconciliationRun:
            if kind == Kind.CATCH_UP:
                raise OperationalError("server closed the connection unexpectedly")
            return begin(kind, **more)

        monkeypatch.setattr(runs, "begin", cut)
        assert command("--full")[0] == 0

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="pg_terminate_backend")
    def test_connections_that_are_cut_again_and_again(self, sandbox: SandboxProcess) -> None:
        sandbox.reset(invoices=12, seed=2)
        sandbox.faults(latency_ms=[50, 50])
        with connection.cursor() as cursor:  # this process keeps its own connections
            cursor.execute("SELECT array_agg(pid) FROM pg_stat_activity")
            [ours] = cursor.fetchone()
        process = start_command(sandbox, "manage.py", "reconcile", "--full", "--json", RECONCILE_PATIENCE_SECONDS="600")
        try:
            wait_for(lambda: some_windows_finished(1))
            for _ in range(3):
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND NOT pid = ANY(%s)",
                        [[*ours, connection.connection.info.backend_pid]],
                    )
                time.sleep(0.3)
            output, errors = process.communicate(timeout=2 * PATIENCE)
        finally:
            process.kill()
            process.communicate()
        sandbox.clear_faults()
        assert process.returncode == 0, errors.decode()
        said = json.loads(output)
        run = ReconciliationRun.objects.get(pk=said["id"])
        assert len(run.progress.finished) == len(set(run.progress.finished)) == len(run.progress.windows) + 1
        assert "The database is away" in errors.decode()
        assert command("--full")[1]["seen"] == said["seen"]


class TestCatchUp:
    def test_one_that_was_cut_short_goes_on_below_its_last_page_and_misses_nothing(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 2)
        for _ in range(2):
            invoice_at(sandbox)
        read_page, asked = gateway.read_page, []

        def stopped(path: str, **params: Any) -> Any:
            asked.append(params.get("starting_after"))
            if len(asked) == 3:
                raise KeyboardInterrupt
            return read_page(path, **params)

        with monkeypatch.context() as cut:
            cut.setattr(gateway, "read_page", stopped)
            with pytest.raises(KeyboardInterrupt):
                reconcile.catch_up()
        left = ReconciliationRun.objects.get()
        assert left.state == State.INTERRUPTED and left.seen == left.events == Event.objects.count() == 4
        late = invoice_at(sandbox)  # newer than where it goes on
        with monkeypatch.context() as cut:
            asked = [None] * 10
            cut.setattr(gateway, "read_page", stopped)
            run = reconcile.catch_up()
        assert run.pk == left.pk and asked[10] == left.progress.cursors["invoice.*"]
        assert run.exit_code == 0 and run.events == Event.objects.count() == run.seen
        assert reconcile.catch_up().exit_code == 0
        ours = [
            event["id"]
            for event in gateway.walk("/v1/events")
            if event["type"].startswith(("invoice.", "invoice_payment.", "payment_intent.", "customer."))
        ]
        assert set(Event.objects.values_list("pk", flat=True)) == set(ours)
        drain()
        assert Invoice.objects.filter(pk=late.id).exists() and unequal(sandbox) == []


class TestImporting:
    def test_a_webhook_before_the_first_full_run_makes_no_drift(
        self, sandbox: SandboxProcess, deliver: Callable[[], int]
    ) -> None:
        invoice_at(sandbox)
        assert deliver() and Invoice.objects.exists()
        drain()
        sandbox.clock(now=int(time.time()) - 40 * 86400)
        invoice_at(sandbox)  # from before the webhook was set up
        sandbox.clock(real=True)
        code, said = command("--full")
        assert (code, said["drift"]) == (0, []) and said["imported"] > 0
        drain()
        new = invoice_at(sandbox)
        code, said = command()
        assert code == 3 and new.id in {row["id"] for row in said["drift"]}  # now it is

    def test_is_over_by_kind(self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        invoice_at(sandbox)
        pages = gateway.list_page

        def broken(object: str, **params: Any) -> Any:
            if object == "payment_intent":
                raise gateway.NotAllowed("This key may not read payment intents.")
            return pages(object, **params)

        with monkeypatch.context() as cut:
            cut.setattr(gateway, "list_page", broken)
            cut.setattr(sweep, "SWEEP_THREADS", 1)
            assert command("--full")[0] == 1
        drain()
        assert command()[0] == 0
        lost = invoice_at(sandbox)
        assert {row["id"] for row in command()[1]["drift"]} == {lost.id}
        ReconciliationRun.objects.filter(kind=Kind.FULL).update(params={"part": 3})  # a part of one is no import
        other = invoice_at(sandbox)
        assert command()[0] == 0 and Invoice.objects.filter(pk=other.id).exists()

    def test_what_stripe_does_not_list_is_found_during_an_import_too(self, sandbox: SandboxProcess) -> None:
        draft, kept = invoice_at(sandbox, finalize=False), invoice_at(sandbox)
        assert command()[0] == 0  # no full run yet
        drain()
        sandbox.client().v1.invoices.delete(draft.id)
        code, said = command("--full")
        assert code == 3 and [(row["id"], row["kind"]) for row in said["drift"]] == [(draft.id, "missing_at_stripe")]
        assert Invoice.objects.get(pk=draft.id).deleted_at and not Invoice.objects.get(pk=kept.id).deleted_at

    def test_an_open_payment_that_changed_without_an_event_is_drift(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox)
        assert command("--full")[0] == 0
        drain()
        payment = InvoicePayment.objects.get(invoice_id=invoice.id)
        data = {**payment.data, "amount_requested": 1}
        InvoicePayment.rows.filter(pk=payment.pk).update(data=data, amount_requested=1)
        code, said = command()
        assert code == 3 and [(row["id"], row["field"]) for row in said["drift"]] == [(payment.pk, "amount_requested")]
        # Here its invoice is to be read again, which reads its payments too: then nothing is unexplained.
        InvoicePayment.rows.filter(pk=payment.pk).update(data=data, amount_requested=1)
        scheduled_refetches.schedule([("invoice", invoice.id)])
        code, said = command()
        assert (code, said["drift"], said["in_flight"]) == (0, [], 1)


NO_OBJECTS = [
    "5", "null", '"invoice"', "[]", "{}", '{"object": "invoice"}', '{"object": "invoice", "id": {"a": 1}}',
    '{"object": "invoice", "id": "in_a\\u0000b"}', '{"object": "invoice", "id": "in_\\ud800"}',
    '{"object": 7, "id": "in_odd"}', '{"object": "unicorn", "id": "un_1"}',
    '{"object": "invoice", "id": "in_' + "x" * 300 + '"}',
]  # fmt: skip
ODD_OBJECTS = [
    '"me\\u0000ta": {"\\ud800": 1}, "metadata": {"\\u0000": "\\ud83d"}',
    '"total": "12", "lines": [1, 2], "status_transitions": []',
    '"total": 1e300, "amount_due": 100000000000000000000000, "created": 99999999999999999999',
    '"customer": 5, "number": "' + "9" * 5000 + '", "currency": "a currency of many letters"',
    '"status": {"a": 1}, "lines": {"data": {"0": 1}, "has_more": true}, "parent": {"subscription_details": 3}',
    '"lines": {"has_more": true, "data": [null, {"id": null}], "total_count": "x"}, "status": null',
]


class TestBadObjects:
    @pytest.fixture
    def hostile(self, wire: Wire) -> Iterator[Wire]:
        """Puts what stands in `wire.members` (JSON) before and after the members of the newest page of invoices."""

        def change(url: str, body: bytes) -> bytes:
            if not url.startswith("/v1/invoices?limit=100") or "lt" in url:
                return body
            page = body.decode()
            begin = page.index('"data"') + page[page.index('"data"') :].index("[") + 1
            given = ", ".join(wire.members)  # type: ignore[attr-defined]
            return (page[:begin] + given + (", " if json.loads(page)["data"] else "") + page[begin:]).encode()

        wire.members = []  # type: ignore[attr-defined]
        wire.change_reply = change
        yield wire

    def test_each_is_recorded_and_named_and_the_rest_goes_on(
        self, hostile: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = invoice_at(hostile.sandbox)
        created = good.created
        odd = [
            f'{{"object": "invoice", "id": "in_odd_{n}", "created": {created}, {members}}}'
            for n, members in enumerate(ODD_OBJECTS)
        ]
        cursed = f'{{"object": "invoice", "id": "in_cursed", "status": "paid", "created": {created}}}'
        hostile.members = [*NO_OBJECTS, *odd, cursed]  # type: ignore[attr-defined]
        columns = Invoice.columns

        def too_large(data: dict[str, Any]) -> dict[str, Any]:
            return {**columns(data), **({"total": 2**70} if data.get("id") == "in_cursed" else {})}

        monkeypatch.setattr(Invoice, "columns", staticmethod(too_large))
        code, said = command("--full")
        assert code == 4 and said["state"] == "finished"
        left = [row for row in said["drift"] if row["kind"] == "unreadable"]
        assert len(left) == len(NO_OBJECTS) + 1 and said["failed"] == len(said["drift"])
        assert all(row["reason"] and not row["healed"] for row in left)
        assert {"in_odd", "un_1", "in_cursed"} <= {row["id"] for row in left}
        # Only the one that does not say when it was created is asked for by itself, and Stripe does not know it.
        assert [row["id"] for row in said["drift"] if row not in left] == ["in_odd_2"]
        assert Invoice.objects.filter(pk=good.id).exists()
        # And the last has more lines: read whole, it is not there any more.
        stored = set(Invoice.objects.filter(pk__startswith="in_odd_").values_list("pk", flat=True))
        assert stored == {f"in_odd_{n}" for n in range(len(ODD_OBJECTS) - 1)}
        assert "in_cursed" in in_words(ReconciliationRun.objects.get(kind=Kind.FULL))

        # The proof names them too, and what it cannot compare is not equal.
        Invoice.rows.filter(pk="in_odd_0").update(data={"metadata": {"order": "17"}})
        monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))
        code, said = command("--verify")
        assert (code, said["state"]) == (3, "finished"), said["error"]
        unreadable = [row for row in said["drift"] if row["kind"] == "unreadable"]
        assert {"in_odd", "un_1", "in_odd_4"} <= {row["id"] for row in unreadable}
        found = said["report"]["kinds"]["invoice"]["found"]
        assert found["unreadable"] == len(unreadable) == len(NO_OBJECTS) + 1 and not said["report"]["equal"]
        assert "unreadable" in in_words(ReconciliationRun.objects.get(kind=Kind.VERIFY))

    @pytest.mark.parametrize("option", ["--full", "--verify"])
    @pytest.mark.parametrize(
        "value",
        ["9" * 5000, "[" * 3000 + "]" * 3000, '{"a": ' * 3000 + '"]"' + "}" * 3000],
        ids=["thousands of digits", "nested arrays", "nested objects"],
    )
    def test_one_that_pythons_json_cannot_parse(
        self, wire: Wire, value: str, option: str, request: pytest.FixtureRequest
    ) -> None:
        """The SDK reads no page with such a value, and the page stays as it is for ever."""
        request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
        sys.setrecursionlimit(1000)  # as Python has it; other tests' tools raise it
        odd, good = invoice_at(wire.sandbox), invoice_at(wire.sandbox)

        def change(url: str, body: bytes) -> bytes:
            cursed = f'"id": "{odd.id}", "odd": {value}'.encode()
            return re.sub(rb'"id": ?"%s"' % odd.id.encode(), lambda _: cursed, body)

        wire.change_reply = change
        code, said = command(option)
        assert said["state"] == "finished", said["error"]
        assert code in (3, 4) and {row["kind"] for row in said["drift"] if row["id"] == odd.id} == {"unreadable"}
        if option == "--full":
            assert set(Invoice.objects.values_list("pk", flat=True)) == {good.id}

    def test_a_long_invoice_that_stripe_does_not_give(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """Listed with ten lines, and refused whenever it is read whole: it is named, and the rest goes on."""
        monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))
        long, good = invoice_at(wire.sandbox, lines=11, amount=1100), invoice_at(wire.sandbox)
        for path in (f"/v1/invoices/{long.id}", f"/v1/invoices/{long.id}/lines"):
            wire.replies_to_get[path] = Answer.error(400, type="invalid_request_error", message="Not this one.")
        code, said = command("--full")
        assert (code, said["state"]) == (4, "finished"), said["error"]
        assert [(row["id"], row["kind"]) for row in said["drift"]] == [(long.id, "unreadable")]
        assert Invoice.objects.filter(pk=good.id).exists()
        Event.objects.update(state="done")  # nothing is in flight
        code, said = command("--verify")
        assert (code, said["state"]) == (3, "finished"), said["error"]
        assert [(row["id"], row["kind"]) for row in said["drift"] if row["object"] == "invoice"] == [
            (long.id, "unreadable")
        ]

    @pytest.mark.parametrize("payments", [5, "x", {"data": 5}, {"data": None, "has_more": True}])
    def test_payments_that_are_no_list(self, wire: Wire, payments: Any) -> None:
        """They are read from Stripe's list of the invoice's payments instead."""
        good = invoice_at(wire.sandbox)
        answer = json.loads(wire.sandbox.client().raw_request("get", f"/v1/invoices/{good.id}").body)
        body = json.dumps({**answer, "payments": payments}).encode()
        wire.replies_to_get[f"/v1/invoices/{good.id}"] = Answer(200, body, STRIPES)
        assert reconcile.compare_invoice(good.id).state == State.FINISHED
        assert InvoicePayment.objects.filter(invoice_id=good.id).count() == 1

    def test_a_page_that_ends_with_one_is_gone_on_from(self, hostile: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 2)
        made = [invoice_at(hostile.sandbox).id for _ in range(3)]
        hostile.change_reply = lambda url, body: (
            body
            if not url.startswith("/v1/invoices?") or b'"has_more": true' not in body.replace(b":true", b": true")
            else json.dumps({**json.loads(body), "data": [*json.loads(body)["data"], None, {"id": 4}]}).encode()
        )
        assert command("--full")[0] == 0 and set(Invoice.objects.values_list("pk", flat=True)) == set(made)

    def test_one_that_stripe_answers_with_another_is_recorded(self, wire: Wire) -> None:
        gone, good = invoice_at(wire.sandbox, finalize=False), invoice_at(wire.sandbox)
        assert command("--full")[0] == 0
        drain()
        wire.sandbox.client().v1.invoices.delete(gone.id)
        another = wire.sandbox.client().raw_request("get", f"/v1/invoices/{good.id}").body
        wire.replies_to_get[f"/v1/invoices/{gone.id}"] = Answer(200, another.encode(), STRIPES)
        code, said = command()
        assert code == 4 and [(row["id"], row["kind"]) for row in said["drift"]] == [(gone.id, "unreadable")]
        code, said = command("--invoice", gone.id)
        assert code == 1 and gone.id in said["error"]

    def test_a_bad_event_is_kept_and_the_rest_goes_on(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        invoice = invoice_at(wire.sandbox)
        bad = [
            None, 5, {}, {"object": "event"}, {"id": "evt_" + "x" * 300}, {"id": "evt_a\x00b"}, {"id": "evt_\ud800"},
            {"id": "evt_odd", "type": {"a": 1}, "created": 10**30, "data": [1], "request": "\ud800", "livemode": "no"},
        ]  # fmt: skip

        def change(url: str, body: bytes) -> bytes:
            if not url.startswith("/v1/events?") or "invoice.%2A" not in url.replace("*", "%2A"):
                return body
            page = json.loads(body)
            return json.dumps({**page, "data": [*bad, *page["data"]]}).encode()

        wire.change_reply = change
        run = reconcile.catch_up()
        assert (run.state, run.exit_code, run.failed) == (State.FINISHED, reconcile.DRIFT_LEFT, len(bad) - 1)
        assert run.seen == run.same + run.failed
        assert Drift.objects.filter(run=run, kind="unreadable", object_type="event").count() == len(bad) - 1
        assert Event.objects.filter(state="failed").count() == len(bad) - 1
        assert Event.objects.filter(pk="evt_odd").exists()
        sync.process_events()
        assert Invoice.objects.filter(pk=invoice.id).exists()
        again = reconcile.catch_up()
        assert (again.exit_code, again.failed) == (0, 0)  # they are known by now
