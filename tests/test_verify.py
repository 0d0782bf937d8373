"""The proof of equality: every object of every kind, on both sides, and each difference named."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from invoices import clock, emails, interruption, reconcile, scheduled_refetches, sync
from invoices.models import (
    MIRRORED,
    Customer,
    Drift,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    ReconciliationRun,
)
from invoices.reconcile import rows, suspects, windows
from tests.crash.wire import Wire, empty_list
from tests.factories import CustomerObject, InvoiceObject, customer_at, invoice_at, stored
from tests.helpers.commands import run_command
from tests.helpers.stripe_state import drain
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof waits for events that no test sends meanwhile."""
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))


def prove(*words: str) -> tuple[int, dict[str, Any]]:
    """(exit status, the run as --json prints it)."""
    code, said = run_command("reconcile", "--verify", "--json", *words)
    return code, json.loads(said)


def mirrored(sandbox: SandboxProcess) -> None:
    """Imports everything, and leaves no event that would explain a difference."""
    assert reconcile.sweep_lists("full").exit_code == 0
    drain()


def named(run: dict[str, Any]) -> set[tuple[str, str, str | None]]:
    """(kind of the difference, id, field) of each."""
    return {(drift["kind"], drift["id"], drift["field"]) for drift in run["drift"]}


def found(run: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What was found of each kind where anything was."""
    return {object: kind["found"] for object, kind in run["report"]["kinds"].items() if kind["found"]}


def charge_at(sandbox: SandboxProcess) -> str:
    """A charge at Stripe that belongs to no PaymentIntent, and to no customer. Its id."""
    given: Any = {"amount": 700, "currency": "usd", "source": "pm_card_visa"}
    return str(sandbox.client().v1.charges.create(given).id)


class TestEqual:
    def test_over_every_kind_status_and_currency(self, sandbox: SandboxProcess) -> None:
        sandbox.reset(invoices=120, seed=3)
        mirrored(sandbox)
        code, said = run_command("reconcile", "--verify")
        assert (code, said.splitlines()[-1]) == (0, "Equal."), said
        assert "Not shown by this proof:" in said and "test clocks" in said
        run = ReconciliationRun.objects.get(kind="verify")
        for object, model in MIRRORED.items():
            kind = run.report["kinds"][object]
            assert kind["here"] == kind["at_stripe"] == model.objects.filter(deleted_at=None).count() > 0, object
            assert kind["digest"]["ours"] == kind["digest"]["theirs"] and kind["oldest"] <= kind["newest"]
        assert run.report["equal"] and run.seen == run.same
        assert run.seen == sum(kind["here"] for kind in run.report["kinds"].values())
        days = [day for day in run.report["days"] if day["object"] == "invoice"]
        assert len({group.split()[0] for day in days for group in day["ours"]["groups"]}) > 2
        totals = [figures[1] for day in days for figures in day["ours"]["groups"].values()]
        assert sum(totals) == sum(row.total or 0 for row in Invoice.objects.filter(deleted_at=None))

    def test_nothing_on_both_sides(self, sandbox: SandboxProcess) -> None:
        code, run = prove()
        assert (code, run["seen"], run["report"]["days"]) == (0, 0, [])


class TestDifferences:
    def test_a_changed_invoice_with_its_sums_and_what_heals_it(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox, 1234)
        mirrored(sandbox)
        sandbox.client().v1.invoices.void_invoice(invoice.id)
        code, run = prove()
        assert code == 3 and ("differs", invoice.id, "status") in named(run)
        (day,) = (day for day in run["report"]["days"] if day["object"] == "invoice")
        assert day["ours"]["groups"] == {"usd open": [1, 1234, 0, 1234]}
        assert day["theirs"]["groups"] == {"usd void": [1, 1234, 0, 1234]}
        assert not Drift.objects.exclude(healed_at=None).exists() and Invoice.objects.get().status == "open"
        assert run_command("reconcile", "--full")[0] == 3
        assert run_command("reconcile", "--verify")[0] == 0

    def test_members_that_no_sum_shows_in_every_kind(self, sandbox: SandboxProcess) -> None:
        """Changed at Stripe while no event reached us."""
        invoice, client = invoice_at(sandbox), sandbox.client()
        intent = client.v1.payment_intents.create({"amount": 500, "currency": "eur"})
        charge = charge_at(sandbox)
        refund = client.v1.refunds.create({"charge": charge})
        note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 100})
        mirrored(sandbox)
        client.v1.invoices.update(invoice.id, {"metadata": {"order": "17"}})
        client.v1.customers.update(invoice.customer, {"name": "Another Name"})
        client.v1.payment_intents.update(intent.id, {"metadata": {"order": "17"}})
        client.v1.charges.update(charge, {"metadata": {"order": "17"}})
        client.v1.refunds.update(refund.id, {"metadata": {"order": "17"}})
        client.v1.credit_notes.update(note.id, {"metadata": {"order": "17"}})
        row = InvoicePayment.objects.get()
        InvoicePayment.objects.update(data={**row.data, "is_default": False}, is_default=False)
        code, run = prove()
        assert code == 3
        assert named(run) >= {
            ("differs", invoice.id, "metadata.order"),
            ("differs", invoice.customer, "name"),
            ("differs", intent.id, "metadata.order"),
            ("differs", row.pk, "is_default"),
            ("differs", charge, "metadata.order"),
            ("differs", refund.id, "metadata.order"),
            ("differs", note.id, "metadata.order"),
        }
        assert found(run) == {object: {"differs": 1} for object in MIRRORED}
        assert (run["seen"], run["same"], run["failed"]) == (8, 1, 7)
        code, said = run_command("reconcile", "--verify")
        assert "DIFFERS" in said and "Not equal: 7 objects differ" in said
        assert f"{invoice.customer} name: 'Example Customer' here, 'Another Name' at Stripe (left)" in said

    @pytest.mark.parametrize("looked_up", [200, 1])
    def test_everything_but_invoices_is_missing_here(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, looked_up: int
    ) -> None:
        """Judged singly, or by Stripe's lists where so much differs that not every object can be read."""
        monkeypatch.setattr(suspects, "LOOKED_UP_PER_WINDOW", looked_up)
        monkeypatch.setattr(suspects, "SUSPECTS_AT_ONCE", 3)
        sandbox.reset(invoices=20, seed=3)
        mirrored(sandbox)
        missing = {}
        for model in (Customer, InvoicePayment, PaymentIntent):
            missing[model.OBJECT] = {"missing_here": model.objects.count()}
            model.rows.all().delete()
        code, run = prove()
        assert code == 3 and found(run) == missing
        assert {drift["kind"] for drift in run["drift"]} == {"missing_here"}
        assert len(run["drift"]) == run["failed"] == sum(kind["missing_here"] for kind in missing.values())
        by_list = sum(kind["by_list"] for kind in run["report"]["kinds"].values())
        assert (by_list > 0) == (looked_up == 1)
        assert run_command("reconcile", "--full")[0] in (0, 3)
        assert prove()[0] == 0

    def test_rows_that_stripe_does_not_have(self, sandbox: SandboxProcess) -> None:
        kept = invoice_at(sandbox)
        mirrored(sandbox)
        sandbox.client().v1.customers.delete(kept.customer)
        extra = stored(InvoiceObject(lines=Invoice.objects.get().data["lines"]))
        undated = stored(CustomerObject(created=None))
        code, run = prove()
        assert code == 3
        assert named(run) >= {
            ("missing_at_stripe", kept.customer, None),
            ("missing_at_stripe", extra.pk, None),
            ("missing_at_stripe", undated.pk, None),
        }
        assert found(run)["customer"] == {"missing_at_stripe": 2}

    def test_a_column_that_differs_from_its_object(self, sandbox: SandboxProcess) -> None:
        """Such a row is shown as paid, and its object is open as at Stripe."""
        invoice = invoice_at(sandbox)
        mirrored(sandbox)
        Invoice.objects.update(status="paid", amount_paid=1000, created=datetime(2020, 2, 29, 12, tzinfo=UTC))
        PaymentIntent.objects.update(decline_code="lost_card")
        code, run = prove()
        assert code == 3
        assert named(run) == {
            ("column", invoice.id, "status"),
            ("column", invoice.id, "amount_paid"),
            ("column", invoice.id, "created"),
            ("column", PaymentIntent.objects.get().pk, "decline_code"),
        }
        status = next(drift for drift in run["drift"] if drift["field"] == "status")
        assert (status["ours"], status["theirs"]) == ("paid", "open")
        assert {day["day"] for day in run["report"]["days"] if not day["equal"]} >= {"2020-02-29"}
        assert "status: 'paid' in the column, 'open' in the object" in run_command("reconcile", "--verify")[1]
        reconcile.sweep_lists("full")
        assert Invoice.objects.get().status == "open"
        assert prove()[0] == 0

    def test_lines_after_the_tenth(self, sandbox: SandboxProcess) -> None:
        invoice = invoice_at(sandbox, lines=12, amount=12_000)
        invoice_at(sandbox)
        mirrored(sandbox)
        row = Invoice.objects.get(pk=invoice.id)
        assert len(row.data["lines"]["data"]) == 12
        row.data["lines"]["data"][11]["amount"] += 6_777
        Invoice.objects.filter(pk=row.pk).update(data=row.data)
        code, run = prove()
        assert (code, named(run)) == (3, {("differs", invoice.id, "lines.data.11.amount")})
        kind = run["report"]["kinds"]["invoice"]
        assert (kind["long_invoices"], kind["line_requests"]) == (1, 1)
        code, run = prove("--lines", "listed")  # that it does not see this one, it says
        assert code == 0 and run["report"]["kinds"]["invoice"]["line_requests"] == 0
        assert any("were counted, and not compared" in sentence for sentence in run["report"]["not_shown"])
        del row.data["lines"]["data"][11]
        Invoice.objects.filter(pk=row.pk).update(data=row.data)
        assert prove("--lines", "listed")[0] == prove()[0] == 3

    def test_what_a_list_leaves_out_is_retrieved(self, sandbox: SandboxProcess, wire: Wire) -> None:
        """As Stripe's list of customers leaves out those of test clocks; and nothing relies on what it lists."""
        customer = customer_at(sandbox)
        mirrored(sandbox)
        wire.replies_to_get["/v1/customers"] = empty_list("/v1/customers")
        code, run = prove()
        assert (code, found(run), run["same"]) == (0, {"customer": {"unlisted": 1}}, 1)
        sandbox.client().v1.customers.update(customer.id, {"name": "Another Name"})
        code, run = prove()
        assert (code, named(run)) == (3, {("differs", customer.id, "name")})

    def test_more_than_are_written_down(self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(suspects, "WRITTEN_PER_DAY", 2)
        made = [customer_at(sandbox, card=None) for _ in range(5)]
        code, run = prove()
        assert (code, len(run["drift"]), run["failed"]) == (3, 2, len(made))
        assert run["report"]["kinds"]["customer"]["unwritten"] == 3

    def test_finance_hears_of_drift_and_not_of_its_absence(self, sandbox: SandboxProcess, settings: Any) -> None:
        settings.FINANCE_EMAILS = ["finance@example.com"]
        invoice = invoice_at(sandbox)
        mirrored(sandbox)
        prove()
        assert emails.send_due() == 0
        sandbox.client().v1.invoices.void_invoice(invoice.id)
        prove()
        assert emails.send_due() == 1
        reconcile.sweep_lists()
        assert emails.send_due() == 1
        proof, sweep = mail.outbox
        assert proof.to == sweep.to == ["finance@example.com"]
        assert "not equal" in proof.subject
        assert f"{invoice.id} status: 'open' here, 'void' at Stripe (left)" in proof.body
        assert f"{invoice.id} status: 'open' here, 'void' at Stripe (healed)" in sweep.body


class TestUnderWay:
    def test_what_an_event_or_a_refetch_will_bring_is_counted_and_does_not_fail(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoice = invoice_at(sandbox)
        mirrored(sandbox)
        sandbox.client().v1.customers.update(invoice.customer, {"name": "Another Name"})
        reconcile.catch_up()  # journals the event, and leaves it pending
        sandbox.client().v1.invoices.update(invoice.id, {"metadata": {"order": "17"}})
        monkeypatch.setattr(sync, "process_events", lambda: 0)
        scheduled_refetches.schedule([("invoice", invoice.id)])  # it reads the payments too
        InvoicePayment.rows.all().delete()
        code, run = prove()
        assert code == 0 and run["report"]["equal"], run
        assert found(run) == {object: {"in_flight": 1} for object in ("customer", "invoice", "invoice_payment")}
        assert (run["seen"], run["same"], run["in_flight"], run["drift"]) == (4, 1, 3, [])
        assert "1 is in flight" in run_command("reconcile", "--verify")[1]

    def test_a_webhook_that_arrives_while_it_walks(
        self, sandbox: SandboxProcess, deliver: Callable[[], int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoice = invoice_at(sandbox)
        mirrored(sandbox)
        deliver()
        drain()
        sandbox.client().v1.invoices.pay(invoice.id)
        waited: list[float] = []

        def arrive(seconds: float) -> None:
            waited.append(seconds)
            deliver()
            drain()

        monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(hours=1))
        monkeypatch.setattr(interruption, "pause", arrive)
        code, run = prove()
        # Another window's thread may look between the webhook and what it brings: then that is in flight.
        assert waited and (code, run["drift"]) == (0, [])
        assert run["seen"] == run["same"] + run["in_flight"]

    def test_an_open_payment_that_no_event_tells_of(self, sandbox: SandboxProcess, deliver: Callable[[], int]) -> None:
        sandbox.post("clock", advance=-7200)
        old = invoice_at(sandbox)
        sandbox.post("clock", real=True)
        mirrored(sandbox)
        ReconciliationRun.objects.update(started_at=clock.now() - timedelta(hours=1))
        new = invoice_at(sandbox, customer=old.customer)
        deliver()
        drain()
        InvoicePayment.rows.filter(invoice_id=new.id).delete()
        code, run = prove()
        assert (found(run), named(run)) == ({"invoice_payment": {"next_sweep": 1}}, set()) and code == 0
        InvoicePayment.rows.filter(invoice_id=old.id).delete()  # this one the last sweep has brought
        code, run = prove()
        assert code == 3 and found(run)["invoice_payment"] == {"next_sweep": 1, "missing_here": 1}
        reconcile.sweep_lists()
        assert prove()[0] == 0


class TestInterrupted:
    def test_the_windows_that_are_finished_are_not_walked_again(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sandbox.reset(invoices=30, seed=3)
        mirrored(sandbox)
        lost = Customer.objects.order_by("created").first()
        assert lost
        Customer.objects.filter(pk=lost.pk).delete()
        whole = prove()[1]
        walk, walked = suspects.WindowProof.walk, []

        def die_at_the_payments(proof: suspects.WindowProof) -> suspects.WindowProof:
            if proof.window.object == "invoice_payment":
                raise KeyboardInterrupt
            walked.append(proof.window.name)
            return walk(proof)

        with monkeypatch.context() as patch:
            patch.setattr(import_module("invoices.reconcile.verify"), "THREADS", 1)  # one window after the other
            patch.setattr(suspects.WindowProof, "walk", die_at_the_payments)
            with pytest.raises(KeyboardInterrupt):
                reconcile.verify()
        half = ReconciliationRun.objects.latest("started_at")
        assert half.report["days"] and set(half.progress.finished) <= set(walked)
        silent = clock.now() - timedelta(hours=1)
        ReconciliationRun.objects.filter(pk=half.pk).update(state="running", finished_at=None, alive_at=silent)
        ReconciliationRun.objects.filter(pk=half.pk).update(error="", exit_code=None)
        done = list(half.progress.finished)

        def walk_once(proof: suspects.WindowProof) -> suspects.WindowProof:
            assert proof.window.name not in done
            return walk(proof)

        monkeypatch.setattr(suspects.WindowProof, "walk", walk_once)
        code, run = prove()
        assert (code, run["id"]) == (3, half.pk)
        assert run["report"] | {"kinds": None} == whole["report"] | {"kinds": None}
        assert (run["seen"], run["failed"], named(run)) == (whole["seen"], whole["failed"], named(whole))

    def test_what_is_equal_by_the_time_it_goes_on_is_not_shown_as_different(
        self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Differences were written down when the proof died in their window; one was healed before it went on."""
        healed, left = invoice_at(sandbox), invoice_at(sandbox)
        mirrored(sandbox)
        Invoice.objects.update(status="void")
        judge = suspects.WindowProof._judge_suspects

        def die(proof: suspects.WindowProof) -> None:
            judge(proof)
            if proof.window.object == "invoice":
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(suspects.WindowProof, "_judge_suspects", die)
            with pytest.raises(KeyboardInterrupt):
                reconcile.verify()
        assert set(Drift.objects.values_list("object_id", flat=True)) == {healed.id, left.id}
        Invoice.objects.filter(pk=healed.id).update(status="open")
        code, run = prove()
        assert (code, named(run), run["failed"]) == (3, {("column", left.id, "status")}, 1)


class TestWalking:
    def test_windows_hold_so_many_rows_and_leave_no_gap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(windows, "OBJECTS_PER_PROOF_WINDOW", 3)
        now = int(clock.now().timestamp())
        for number in range(20):
            stored(CustomerObject(created=now - number // 5 * 40))  # five in each second
        planned = [window for window in windows.windows_of_proof(None) if window.object == "customer"]
        assert planned[0].start is None and planned[-1].end is None
        assert all(a.end == b.start for a, b in pairwise(planned))
        assert sum(window.rows().count() for window in planned) == 20
        assert max(window.rows().count() for window in planned) == 5

    def test_a_day_over_many_windows_is_one_day(self, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        sandbox.reset(invoices=30, seed=3)
        mirrored(sandbox)
        Customer.objects.filter(pk__in=list(Customer.objects.values_list("pk", flat=True)[:2])).delete()
        whole = prove()[1]["report"]
        monkeypatch.setattr(windows, "OBJECTS_PER_PROOF_WINDOW", 2)
        parts = prove()[1]["report"]
        assert (parts["days"], parts["digest"]) == (whole["days"], whole["digest"])

    def test_rows_of_one_second_over_many_pages_by_the_index(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "IDS_PER_PAGE", 3)
        for number in range(20):
            stored(CustomerObject(created=1_700_000_000 - number // 8))
        stored(CustomerObject(created=None))
        dated = Customer.objects.filter(deleted_at=None)
        with CaptureQueriesContext(connection) as queries:
            walked = list(rows.ids_newest_first(ReconciliationRun(), dated))
        assert walked == list(dated.exclude(created=None).order_by("-created", "-id").values_list("pk", flat=True))
        assert len(walked) == 20 and len(queries) == 8
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
            cursor.execute("EXPLAIN " + ("QUERY PLAN " if connection.vendor == "sqlite" else "") + queries[1]["sql"])
            plan = " ".join(str(row) for row in cursor.fetchall())
        assert "customer_newest" in plan and ("created<?" in plan or "Index Cond" in plan), plan
        assert "TEMP B-TREE" not in plan and "Sort" not in plan, plan
