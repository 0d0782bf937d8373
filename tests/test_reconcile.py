"""Reconciliation against the sandbox: what it finds, what it heals, what it says, and what no fault makes it say."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection

from invoices import (
    clock,
    gateway,
    intake,
    interruption,
    mirror,
    reconcile,
    refetch,
    scheduled_refetches,
    sync,
    throttle,
)
from invoices.models import (
    Customer,
    Drift,
    Event,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    ReconciliationRun,
    ScheduledRefetch,
    ThrottleSlot,
)
from invoices.reconcile import ahead, retry, runs, sweep
from tests.factories import InvoiceObject, customer_at, invoice_at, stored
from tests.helpers.commands import database_url, run_command, start_command
from tests.helpers.stripe_state import drain, make_all_due, unequal
from tests.sandbox_process import ROOT, SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    """`manage.py reconcile --json …`: its exit code and what it printed. The counts add up, whatever happened."""
    code, output = run_command("reconcile", "--json", *arguments)
    said = json.loads(output)
    assert said["seen"] == sum(said[name] for name in ("same", "imported", "healed", "in_flight", "failed")), said
    assert code == said["exit_code"]
    return code, said


@pytest.fixture
def some(sandbox: SandboxProcess) -> dict[str, Any]:
    """One invoice of each status, all in the mirror."""
    stripe = sandbox.client()
    customer = customer_at(sandbox).id
    made = {name: invoice_at(sandbox, customer=customer) for name in ("open", "paid", "void", "uncollectible")}
    made["draft"] = invoice_at(sandbox, customer=customer, finalize=False)
    made["long"] = invoice_at(sandbox, customer=customer, lines=13, amount=1300)
    stripe.v1.invoices.pay(made["paid"].id)
    stripe.v1.invoices.void_invoice(made["void"].id)
    stripe.v1.invoices.mark_uncollectible(made["uncollectible"].id)
    assert command("--full")[0] == 0
    drain()
    return {name: invoice.id for name, invoice in made.items()}


class TestTheFirstRun:
    def test_imports_and_does_not_drift(self, sandbox: SandboxProcess) -> None:
        sandbox.reset(invoices=60, seed=3)
        code, said = command("--full")
        assert code == 0 and said["drift"] == []
        assert said["imported"] == said["seen"] > 60
        drain()
        assert unequal(sandbox) == [] and unequal(sandbox, "invoice_payment") == []
        assert Customer.objects.exists() and PaymentIntent.objects.exists()
        code, said = command("--full")
        assert (code, said["same"]) == (0, said["seen"])

    def test_an_empty_account_is_clean(self, sandbox: SandboxProcess) -> None:
        assert command()[0] == 0 and command("--full")[0] == 0

    def test_after_one_that_was_cut_short_the_rest_is_still_an_import(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sandbox.reset(invoices=60, seed=3)
        pages = gateway.list_page

        def broken(object: str, **params: Any) -> Any:
            if object == "invoice_payment":
                raise gateway.NotAllowed("This key may not read payments.")
            return pages(object, **params)

        with monkeypatch.context() as cut:
            cut.setattr(gateway, "list_page", broken)
            assert command("--full")[0] == 1
        assert Invoice.objects.exists()
        code, said = command("--full")
        assert code == 0 and said["drift"] == [] and said["imported"] > 0

    def test_a_dry_run_on_an_empty_mirror_does_not_say_that_all_is_well(self, sandbox: SandboxProcess) -> None:
        invoice_at(sandbox)
        assert command("--dry-run")[0] == 4
        assert not Invoice.objects.exists()
        assert command()[0] == 0  # the import is still to come


class TestDrift:
    def change_everything(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        """As if every webhook were lost."""
        stripe = sandbox.client()
        stripe.v1.invoices.pay(some["open"])
        stripe.v1.invoices.pay(some["uncollectible"])
        stripe.v1.invoices.delete(some["draft"])
        stripe.v1.invoices.update(some["paid"], {"metadata": {"told": "nobody"}})
        some["new"] = invoice_at(sandbox).id

    def test_is_found_healed_and_then_gone(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        self.change_everything(sandbox, some)
        code, said = command()
        assert code == 3
        by_invoice = {row["id"]: row["kind"] for row in said["drift"] if row["object"] == "invoice"}
        assert by_invoice == {
            some["open"]: "differs",
            some["uncollectible"]: "differs",
            some["draft"]: "missing_at_stripe",
            some["paid"]: "differs",
            some["new"]: "missing_here",
        }
        assert all(row["healed"] for row in said["drift"]) and said["healed"] >= 5 and said["failed"] == 0
        status = next(row for row in said["drift"] if row["id"] == some["open"] and row["field"] == "status")
        assert (status["ours"], status["theirs"]) == ("open", "paid")
        paid = next(row for row in said["drift"] if row["id"] == some["paid"])
        assert (paid["field"], paid["ours"], paid["theirs"]) == ("metadata.told", None, "nobody")
        assert unequal(sandbox) == [] and unequal(sandbox, "invoice_payment") == []
        assert Invoice.objects.get(pk=some["draft"]).deleted_at
        drain()
        code, said = command()
        assert code == 0 and said["drift"] == [] and said["same"] == said["seen"]

    def test_with_all_webhooks_dropped_on_their_way(self, sandbox: SandboxProcess, live_server: Any) -> None:
        sandbox.webhook(f"{live_server.url}/webhooks/stripe")
        invoice = invoice_at(sandbox)
        sandbox.settled()
        assert command("--full")[0] == 0
        drain()
        assert Invoice.objects.get().status == "open"
        sandbox.faults(drop=1.0)
        sandbox.client().v1.invoices.pay(invoice.id)
        sandbox.settled()
        assert sync.process_events() == 0 and Invoice.objects.get().status == "open"
        assert command()[0] == 3
        assert Invoice.objects.get().status == "paid" and unequal(sandbox) == []
        drain()
        assert command()[0] == 0

    def test_a_dry_run_heals_nothing_and_says_so(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        self.change_everything(sandbox, some)
        before = {row.pk: (row.data, row.stored_at, row.deleted_at) for row in Invoice.rows.all()}
        code, said = command("--dry-run")
        assert code == 4 and said["healed"] == 0 and said["failed"] >= 5
        assert said["drift"] and not any(row["healed"] for row in said["drift"])
        assert {row.pk: (row.data, row.stored_at, row.deleted_at) for row in Invoice.rows.all()} == before
        assert command()[0] == 3

    def test_what_stripe_does_not_have_is_left_and_shown(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        stored(InvoiceObject(id="in_unheard_of", status="open"))
        stored(InvoiceObject(id="in_draft", status="draft"))
        for _ in range(2):
            code, said = command()
            assert code == 4 and said["failed"] == 1
            left = [row for row in said["drift"] if not row["healed"]]
            assert [(row["id"], row["kind"]) for row in left] == [("in_unheard_of", "missing_at_stripe")]
            assert left[0]["ours"]["total"] == 1000
        assert not Invoice.objects.get(pk="in_unheard_of").deleted_at
        assert Invoice.objects.get(pk="in_draft").deleted_at

    def test_an_old_one_that_only_we_hold_as_open(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        """Created long ago and paid since: neither the recent windows nor Stripe's open ones list it."""
        sandbox.clock(now=int(time.time()) - 90 * 86400)
        old = invoice_at(sandbox)
        refetch.refetch("invoice", old.id)
        sandbox.client().v1.invoices.pay(old.id)
        sandbox.clock(real=True)
        code, said = command()
        assert code == 3 and {row["invoice"] for row in said["drift"]} == {old.id}
        assert Invoice.objects.get(pk=old.id).status == "paid" and unequal(sandbox) == []

    def test_rows_without_a_time_of_creation(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        stored(InvoiceObject(id=some["open"], status="open", created=None))
        stored(InvoiceObject(id="in_odd", status="open", created="yesterday"))
        code, said = command()
        assert code == 4 and {row["id"] for row in said["drift"]} == {some["open"], "in_odd"}

    def test_lines_beyond_ten(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        assert len(Invoice.objects.get(pk=some["long"]).data["lines"]["data"]) == 13
        assert command()[0] == 0  # a list shows ten of them: no difference
        assert not ScheduledRefetch.objects.filter(object_id=some["long"]).exists()
        draft = invoice_at(sandbox, lines=12, amount=1200, finalize=False)
        assert command()[0] == 3
        drain()
        assert len(Invoice.objects.get(pk=draft.id).data["lines"]["data"]) == 12 and unequal(sandbox) == []

    def test_payments_that_are_not_paid_are_no_drift(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        new = invoice_at(sandbox)
        refetch.refetch("invoice", new.id)
        InvoicePayment.rows.filter(invoice_id=new.id).delete()
        code, said = command()
        assert (code, said["imported"], said["drift"]) == (0, 1, [])
        assert InvoicePayment.objects.get(invoice_id=new.id).status == "open"

    def test_a_lost_payment_is_drift(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        InvoicePayment.rows.filter(status="paid").delete()
        code, said = command()
        assert code == 3
        assert [(row["object"], row["invoice"], row["kind"]) for row in said["drift"]] == [
            ("invoice_payment", some["paid"], "missing_here")
        ]

    def test_since(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        sandbox.clock(now=int(time.time()) - 60 * 86400)
        old = invoice_at(sandbox)
        sandbox.client().v1.invoices.pay(old.id)
        sandbox.clock(real=True)
        assert command()[0] == 0
        day = f"{clock.now() - timedelta(days=70):%Y-%m-%d}"
        code, said = command("--since", day)
        assert code == 3 and old.id in {row["id"] for row in said["drift"]}

    def test_full_takes_customers_and_intents_too(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        assert command("--full")[0] == 0  # they were never brought before
        customer = Invoice.objects.get(pk=some["open"]).customer_id
        sandbox.client().v1.customers.update(customer, {"email": "moved@example.com"})
        code, said = command("--full")
        assert code == 3 and ("customer", "email") in {(row["object"], row["field"]) for row in said["drift"]}
        assert Customer.objects.get(pk=customer).email == "moved@example.com"
        drain()  # the catch-up has brought the event: it would explain the next difference
        sandbox.client().v1.customers.delete(customer)
        code, said = command("--full")
        assert [row["kind"] for row in said["drift"] if row["object"] == "customer"] == ["missing_at_stripe"]
        assert Customer.objects.get(pk=customer).deleted_at
        assert command("--full")[0] == 0
        Invoice.objects.filter(pk=some["paid"]).update(deleted_at=clock.now())  # here, and not at Stripe
        code, said = command("--full")
        assert (code, said["healed"]) == (3, 1)
        assert [(row["kind"], row["id"]) for row in said["drift"]] == [("missing_here", some["paid"])]


class TestInFlight:
    def test_a_pending_event_explains_a_difference(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        sandbox.client().v1.invoices.update(some["paid"], {"metadata": {"told": "soon"}})
        reconcile.catch_up()  # it waits in the journal
        assert Event.objects.filter(state="pending", object_id=some["paid"]).exists()
        code, said = command()
        assert (code, said["drift"]) == (0, []) and said["in_flight"] >= 1
        assert unequal(sandbox) == []  # and is here already
        drain()
        code, said = command()
        assert (code, said["in_flight"]) == (0, 0)

    def test_what_overtook_the_page_is_not_drift(
        self, sandbox: SandboxProcess, some: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Webhooks arrive while the page is in flight: the newer state stays, and nothing is called drift."""
        pages, paid = gateway.list_page, threading.Event()

        def slow(object: str, **params: Any) -> Any:
            page = pages(object, **params)
            if some["open"] in {snapshot.id for snapshot in page[0]} and not paid.is_set():
                paid.set()
                sandbox.client().v1.invoices.pay(some["open"])
                refetch.refetch("invoice", some["open"])
                refetch.refetch("charge", sandbox.client().v1.charges.list({"limit": 1}).data[0].id)
            return page

        monkeypatch.setattr(gateway, "list_page", slow)
        code, said = command()
        assert (code, said["drift"]) == (0, [])
        assert Invoice.objects.get(pk=some["open"]).status == "paid"
        drain()
        assert unequal(sandbox) == []

    def test_a_row_in_another_versions_shape_waits_for_its_read(
        self, sandbox: SandboxProcess, some: dict[str, Any]
    ) -> None:
        new = invoice_at(sandbox)
        old = {"object": "invoice", "id": new.id, "created": new.created, "status": "open", "paid": False}
        event = {"id": "evt_old", "type": "invoice.created", "created": new.created, "api_version": "2014-06-17"}
        intake.journal([intake.event_row(event | {"data": {"object": old}})])
        sync.process_events()
        code, said = command()
        assert (code, said["drift"], said["in_flight"]) == (0, [], 1)
        assert unequal(sandbox) == []


class TestOneInvoice:
    def test_that_differs(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        sandbox.client().v1.invoices.pay(some["open"])
        code, _ = command("--invoice", some["open"], "--dry-run")
        assert code == 4 and Invoice.objects.get(pk=some["open"]).status == "open"
        code, said = command("--invoice", some["open"])
        assert code == 3 and {row["invoice"] for row in said["drift"]} - {None} == {some["open"]}
        assert {row["object"] for row in said["drift"]} == {"invoice", "invoice_payment", "payment_intent", "charge"}
        assert Invoice.objects.get(pk=some["open"]).status == "paid"
        assert command("--invoice", some["open"])[0] == 0

    def test_on_an_empty_mirror_it_is_missing_here(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox)
        code, said = command("--invoice", invoice.id)
        assert (code, said["drift"]) == (0, [])
        assert said["imported"] == 4  # itself, its payment, its intent and its customer: the import is still to come
        assert command("--full")[0] == 0
        drain()
        Invoice.rows.filter(pk=invoice.id).delete()
        code, said = command("--invoice", invoice.id)
        assert code == 3 and [(row["id"], row["kind"]) for row in said["drift"]] == [(invoice.id, "missing_here")]

    def test_that_nobody_has(self, sandbox: SandboxProcess) -> None:
        code, said = command("--invoice", "in_nowhere")
        assert code == 1 and "in_nowhere" in said["error"] and said["drift"] == []

    def test_that_only_we_have(self, sandbox: SandboxProcess) -> None:
        stored(InvoiceObject(id="in_ours", status="paid"))
        stored(InvoiceObject(id="in_draft", status="draft"))
        assert command("--invoice", "in_ours")[0] == 4
        assert command("--invoice", "in_draft")[0] == 3
        assert command("--invoice", "in_draft")[0] == 0

    def test_with_lines_beyond_ten_and_beside_a_running_sweep(
        self, sandbox: SandboxProcess, some: dict[str, Any]
    ) -> None:
        runs.begin(ReconciliationRun.Kind.SWEEP)
        assert command("--invoice", some["long"])[0] == 0


class TestRunsThatFail:
    def test_one_that_sees_nothing_where_we_hold_something(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        sandbox.reset()
        code, said = command()
        assert code == 1 and "no invoice at all" in said["error"] and said["seen"] == 0
        assert Invoice.objects.filter(deleted_at=None).count() == 6

    def test_a_wrong_key(self, sandbox: SandboxProcess, some: dict[str, Any], settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = "wrong"
        code, said = command()
        assert code == 1 and "Invalid API Key" in said["error"]

    def test_stripe_away(self, sandbox: SandboxProcess, some: dict[str, Any], settings: Any) -> None:
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        for arguments in ([], ["--invoice", some["open"]], ["--dry-run"]):
            code, said = command(*arguments)
            assert code == 1 and "could not be reached" in said["error"]
        assert ReconciliationRun.objects.filter(state="running").count() == 0

    def test_one_that_nobody_foresaw_is_closed_too(
        self, sandbox: SandboxProcess, some: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*given: Any, **more: Any) -> Any:
            raise ZeroDivisionError("nobody foresaw it")

        monkeypatch.setattr(mirror, "store", broken)
        with pytest.raises(ZeroDivisionError):
            call_command("reconcile")
        with pytest.raises(ZeroDivisionError):
            call_command("reconcile", "--invoice", some["open"])
        assert set(ReconciliationRun.objects.order_by("-pk").values_list("state", flat=True)[:2]) == {"failed"}

    def test_usage(self, sandbox: SandboxProcess) -> None:
        with pytest.raises(CommandError):
            call_command("reconcile", "--full", "--since", "2026-01-01")
        with pytest.raises(CommandError):
            call_command("reconcile", "--since", "yesterday")


class TestPatience:
    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[float]:
        """How long it would have slept."""
        pauses: list[float] = []
        settings.RECONCILE_PATIENCE_SECONDS = 3600
        monkeypatch.setattr(interruption, "pause", pauses.append)
        return pauses

    def failing(self, times: int, error: gateway.GatewayError) -> Any:
        left = [times]

        def call() -> str:
            if left[0]:
                left[0] -= 1
                raise error
            return "answer"

        return call

    def test_it_waits_and_goes_on_with_growing_pauses(self, pauses: list[float]) -> None:
        run = runs.begin(ReconciliationRun.Kind.SWEEP)
        assert retry.with_retries(run, self.failing(8, gateway.OutcomeUnknown("away"))) == "answer"
        assert len(pauses) >= 8 and all(0.5 * 2**n <= pauses[n] <= 1.5 * 2**n for n in range(5))
        assert max(pauses) <= 60

    def test_it_waits_as_long_as_stripe_says(self, pauses: list[float]) -> None:
        run = runs.begin(ReconciliationRun.Kind.SWEEP)
        retry.with_retries(run, self.failing(1, gateway.RateLimited("slow down", retry_after=200)))
        assert sum(pauses) == pytest.approx(200)

    def test_who_waits_is_not_taken_over(self, pauses: list[float]) -> None:
        run = runs.begin(ReconciliationRun.Kind.SWEEP)
        ReconciliationRun.objects.update(alive_at=clock.now() - timedelta(hours=1))
        retry.with_retries(run, self.failing(1, gateway.OutcomeUnknown("away")))
        with pytest.raises(reconcile.AlreadyRunning):
            runs.begin(ReconciliationRun.Kind.SWEEP)

    def test_other_answers_are_not_waited_for(self, pauses: list[float]) -> None:
        run = runs.begin(ReconciliationRun.Kind.SWEEP)
        with pytest.raises(gateway.NotAllowed):
            retry.with_retries(run, self.failing(1, gateway.NotAllowed("no")))
        assert pauses == []

    def test_429_with_retry_after_and_500s_on_the_way(
        self, sandbox: SandboxProcess, some: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.RECONCILE_PATIENCE_SECONDS = 60
        monkeypatch.setattr(gateway.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(interruption, "pause", lambda seconds: None)
        sandbox.client().v1.invoices.pay(some["open"])
        sandbox.faults(error_429=0.3, error_500=0.3, drop_reply=0.1, seed=5)
        assert command()[0] == 3  # the first request, too, is tried again
        sandbox.clear_faults()
        assert unequal(sandbox) == []


class TestTwoAtOnce:
    def test_the_second_says_so_and_ends(self, sandbox: SandboxProcess) -> None:
        running = runs.begin(ReconciliationRun.Kind.SWEEP)
        for arguments in ([], ["--full"], ["--dry-run"]):
            with pytest.raises(CommandError, match="is running since") as refused:
                call_command("reconcile", *arguments)
            assert refused.value.returncode == 1
        runs.finish(running)
        assert command()[0] == 0

    def test_a_real_race(self, sandbox: SandboxProcess) -> None:
        gate = threading.Barrier(4)
        began: list[Any] = []

        def work() -> None:
            gate.wait()
            try:
                began.append(runs.begin(ReconciliationRun.Kind.SWEEP))
            except reconcile.AlreadyRunning as refused:
                began.append(str(refused))
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(isinstance(one, ReconciliationRun) for one in began) == 1 and len(began) == 4

    def test_a_catch_up_has_a_lane_of_its_own(self, sandbox: SandboxProcess) -> None:
        runs.begin(ReconciliationRun.Kind.SWEEP)
        assert reconcile.catch_up().exit_code == 0
        runs.begin(ReconciliationRun.Kind.CATCH_UP)
        with pytest.raises(reconcile.AlreadyRunning):
            reconcile.catch_up()

    def test_a_silent_one_of_another_kind_makes_room(self, sandbox: SandboxProcess) -> None:
        dead = runs.begin(ReconciliationRun.Kind.FULL)
        ReconciliationRun.objects.update(alive_at=clock.now() - timedelta(minutes=4))
        assert command()[0] == 0
        dead.refresh_from_db()
        assert (dead.state, dead.exit_code) == ("failed", 1)


class TestKilled:
    def test_it_goes_on_from_the_last_finished_window(self, sandbox: SandboxProcess) -> None:
        sandbox.reset(invoices=40, seed=2)
        assert command("--full")[0] == 0
        drain()
        changed = []
        for invoice in sandbox.client().v1.invoices.list({"status": "open", "limit": 5}).data:
            sandbox.client().v1.invoices.update(invoice.id, {"metadata": {"told": "nobody"}})
            changed.append(invoice.id)
        sandbox.faults(latency_ms=[150, 150])
        process = start_command(sandbox, "manage.py", "reconcile")
        try:
            finished = self.wait_until_some_are_finished()
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
        sandbox.clear_faults()
        dead = ReconciliationRun.objects.get(state="running")
        with pytest.raises(CommandError, match="is running since"):
            call_command("reconcile")  # for three minutes nobody knows that it is dead
        ReconciliationRun.objects.filter(pk=dead.pk).update(alive_at=clock.now() - timedelta(minutes=4))
        finished = ReconciliationRun.objects.get(pk=dead.pk).progress.finished
        before = sandbox.stats()["requests"]["GET /v1/invoices"]
        code, said = command()
        assert said["id"] == dead.pk and code == 3
        assert {row["id"] for row in said["drift"]} == set(changed)
        assert len(said["drift"]) == len(changed) and said["healed"] == len(changed)
        run = ReconciliationRun.objects.get(pk=dead.pk)
        names = [sweep.Window(**window).name for window in run.progress.windows] + ["undated"]
        assert sorted(run.progress.finished) == sorted(names)  # each once
        asked = sandbox.stats()["requests"]["GET /v1/invoices"] - before
        done = sum(name.startswith("invoice/") for name in finished)
        assert asked <= 1 + sum(name.startswith("invoice/") for name in names) - done  # and the probe
        assert unequal(sandbox) == []
        drain()
        assert command()[0] == 0

    def wait_until_some_are_finished(self) -> list[str]:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            run = ReconciliationRun.objects.filter(state="running").first()
            finished = run.progress.finished if run else []
            if len(finished) >= 4:
                return list(finished)
            time.sleep(0.02)
        raise AssertionError("it finished no window")

    def test_what_a_window_that_was_cut_short_had_healed_counts_once(
        self, sandbox: SandboxProcess, some: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed between a page and the end of its window: the page's drift stands, and is not lost from the counts."""
        monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 1)
        monkeypatch.setattr(ahead, "PAGES_AHEAD", 1)
        sandbox.client().v1.invoices.pay(some["open"])

        class Killed(BaseException):
            pass

        not_listed = sweep._not_listed

        def killed(run: ReconciliationRun, part: sweep.Window, pages: list[Any]) -> Any:
            if Drift.objects.filter(object_id=some["open"]).exists():
                raise Killed
            return not_listed(run, part, pages)

        with monkeypatch.context() as cut:
            cut.setattr(sweep, "_not_listed", killed)
            cut.setattr(runs, "_close", lambda *given: None)  # who is killed writes nothing
            with pytest.raises(Killed):
                call_command("reconcile")
        assert Drift.objects.filter(object_id=some["open"]).exists()
        ReconciliationRun.objects.filter(state="running").update(alive_at=clock.now() - timedelta(minutes=4))
        code, said = command()
        assert code == 3 and some["open"] in {row["id"] for row in said["drift"]}
        assert said["healed"] == len({row["id"] for row in said["drift"]})
        fields = [(row["id"], row["field"]) for row in said["drift"]]
        assert len(fields) == len(set(fields))

    def test_nothing_is_healed_that_is_not_on_record(
        self, sandbox: SandboxProcess, some: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sandbox.client().v1.invoices.pay(some["open"])

        def killed(*given: Any, **more: Any) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as cut:
            cut.setattr(sweep.compare, "record", killed)
            with pytest.raises(KeyboardInterrupt):
                call_command("reconcile")
        assert Invoice.objects.get(pk=some["open"]).status == "open"
        assert command()[0] == 3


class TestCatchUp:
    def test_brings_lost_events(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox)
        sandbox.client().v1.invoices.pay(invoice.id)
        run = reconcile.catch_up()
        assert run.exit_code == 0 and run.events == Event.objects.count() > 5
        assert set(Event.objects.values_list("source", flat=True)) == {"catch_up"}
        drain()
        assert unequal(sandbox) == []
        again = reconcile.catch_up()
        assert again.events == 0 and again.seen == run.seen
        assert Event.objects.filter(state="pending").count() == 0

    def test_a_run_ends_with_one(self, sandbox: SandboxProcess, some: dict[str, Any]) -> None:
        last = ReconciliationRun.objects.order_by("-pk").first()
        assert last is not None and last.kind == "catch_up" and last.events > 0

    def test_one_that_was_overtaken_is_found(self, sandbox: SandboxProcess) -> None:
        """The newest event came by webhook, an older one was lost: going on from the newest would miss it for ever."""
        reconcile.catch_up()
        invoice = invoice_at(sandbox)
        events = sandbox.client().v1.events.list({"limit": 100}).data
        intake.journal([intake.event_row(json.loads(str(events[0])))])
        run = reconcile.catch_up()
        ours = [
            one for one in events if one.type.startswith(("invoice.", "invoice_payment.", "payment_intent.", "cust"))
        ]
        assert events[0] in ours and run.events == len(ours) - 1 > 3
        drain()
        assert Invoice.objects.filter(pk=invoice.id).exists()

    def test_only_what_is_newer_than_the_last_one_less_an_hour(self, sandbox: SandboxProcess) -> None:
        now = int(time.time())
        sandbox.clock(now=now - 4 * 3600)
        invoice_at(sandbox)
        sandbox.clock(now=now - 2 * 3600)
        invoice_at(sandbox)
        first = reconcile.catch_up()
        sandbox.clock(real=True)
        invoice_at(sandbox)
        second = reconcile.catch_up()
        assert first.events == first.seen and second.events == second.seen - first.events // 2

    def test_more_than_a_page(self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateway, "OBJECTS_PER_PAGE", 2)
        for _ in range(3):
            invoice_at(sandbox)
        assert reconcile.catch_up().events == Event.objects.count() >= 9

    def test_stripe_away(self, sandbox: SandboxProcess) -> None:
        sandbox.faults(error_500=1.0)
        with pytest.raises(gateway.GatewayError):
            reconcile.catch_up()
        assert ReconciliationRun.objects.get().state == "failed"
        sandbox.clear_faults()
        assert reconcile.catch_up().exit_code == 0


TURNS = """
import os, sys, threading, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from invoices import throttle
def work():
    for _ in range(5):
        throttle.wait()
        print(time.time(), flush=True)
threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


class TestThrottle:
    def moments(self, folder: Path) -> list[float]:
        """When twenty turns were taken, by two threads in each of two processes, at forty a second. Each process has a
        data folder of its own, as on hosts of their own."""
        env = {**os.environ, "DATABASE_URL": database_url(), "STRIPE_REQUESTS_PER_SECOND": "40"}
        started = [
            subprocess.Popen(
                [sys.executable, "-c", TURNS],
                cwd=ROOT,
                env={**env, "DATA_DIR": str(folder / host)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for host in ("a", "b")
        ]
        return sorted(float(line) for process in started for line in process.communicate(timeout=60)[0].split())

    def test_is_shared_by_threads_processes_and_hosts(self, tmp_path: Path) -> None:
        moments = self.moments(tmp_path)
        assert len(moments) == 20
        assert moments[-1] - moments[0] > 19 / 40 * 0.6

    @pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
    def test_a_slot_from_before_the_clock_was_set_holds_nobody_up(self, settings: Any, ahead: float) -> None:
        settings.STRIPE_REQUESTS_PER_SECOND = 10
        ThrottleSlot.objects.create(name=throttle.NAME, next_at=time.time() + ahead)
        assert throttle._take_slot(0.1) <= 0.001
        assert 0 < throttle._take_slot(60) < 0.2
        assert throttle._take_slot(60) > 50

    @pytest.mark.parametrize("minutes", [-10, 10])
    def test_on_a_server_the_clock_of_the_host_does_not_matter(self, settings: Any, minutes: int) -> None:
        if connection.vendor != "postgresql":
            pytest.skip("NOT CHECKED HERE: SQLite has the clock of this machine")
        throttle._take_slot(30)
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes)):
            assert 0 < throttle._take_slot(30) < 31

    def test_reconciliation_and_refetches_wait_for_it_and_single_reads_do_not(
        self, sandbox: SandboxProcess, some: dict[str, Any], settings: Any
    ) -> None:
        settings.STRIPE_REQUESTS_PER_SECOND = 1000
        refetch.refetch("invoice", some["open"])
        assert not ThrottleSlot.objects.exists()
        scheduled_refetches.schedule([("invoice", some["open"])])
        make_all_due()
        sync.perform_refetches()
        assert ThrottleSlot.objects.exists()
        ThrottleSlot.objects.all().delete()
        assert command()[0] == 0 and ThrottleSlot.objects.exists()


def test_in_words(sandbox: SandboxProcess, some: dict[str, Any]) -> None:
    sandbox.client().v1.invoices.pay(some["open"])
    stored(InvoiceObject(id="in_unheard_of", status="open"))
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("reconcile", stdout=out)
    said = out.getvalue()
    assert "seen =" in said and "status: 'open' here, 'paid' at Stripe (healed)" in said
    assert "in_unheard_of missing at Stripe (left)" in said


def test_a_difference_that_a_scheduled_refetch_explains_is_in_flight(sandbox: SandboxProcess) -> None:
    invoice = invoice_at(sandbox)
    assert reconcile.sweep_lists().exit_code == 0
    sync.process_events()
    sandbox.client().v1.invoices.void_invoice(invoice.id)
    scheduled_refetches.schedule([("invoice", invoice.id)])
    run = reconcile.sweep_lists()
    assert (run.exit_code, run.in_flight, run.healed) == (0, 2, 0)  # the refetch reads the invoice's payment too
    assert Invoice.objects.get(pk=invoice.id).status == "void"
