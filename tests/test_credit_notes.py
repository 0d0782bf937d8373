"""Credit notes and refunds in the mirror: by event and by list, in the API, on the pages, and after an upgrade."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe
from django.contrib.auth.models import User
from django.test import Client

from invoices import clock, customer_rows, erasure, gateway, mirror, reconcile, refetch, stored_data, sync
from invoices.admin import search
from invoices.models import (
    MIRRORED,
    ApiToken,
    CreditNote,
    Drift,
    Event,
    Invoice,
    InvoicePayment,
    ReconciliationRun,
    Refund,
    ScheduledRefetch,
    personal,
)
from invoices.reconcile import importing, suspects, windows
from tests.factories import CreditNoteObject, RefundObject, customer_at, invoice_at, stored, user_in_group
from tests.helpers.commands import run_command
from tests.helpers.sdk import raised, refusal
from tests.helpers.snapshots import at, event
from tests.helpers.stripe_state import drain, unequal
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

NEW = ("credit_note", "refund")
LINE = {"type": "custom_line_item", "unit_amount": 10, "quantity": 2, "description": "one"}


def paid_at(sandbox: SandboxProcess, **given: Any) -> Any:
    """An invoice at Stripe that its card has paid."""
    return sandbox.client().v1.invoices.pay(invoice_at(sandbox, **given).id)


def credited_at(sandbox: SandboxProcess, invoice: Any, amount: int = 400) -> Any:
    """A credit note over a part of a paid invoice, with its refund."""
    given: Any = {"invoice": invoice.id, "amount": amount, "refund_amount": amount, "memo": "It came late"}
    return sandbox.client().v1.credit_notes.create(given)


def refund_of(note: Any) -> str:
    return str(note.refunds[0].refund)


def equal_everywhere(sandbox: SandboxProcess) -> bool:
    return not any(unequal(sandbox, object) for object in (*NEW, "invoice"))


def proved(*words: str) -> tuple[int, dict[str, Any]]:
    code, said = run_command("reconcile", "--verify", "--json", *words)
    return code, json.loads(said)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A proof waits for events that no test sends meanwhile."""
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))
    settings.STRIPE_REQUESTS_PER_SECOND = 0


class TestByEvent:
    def test_what_happens_at_stripe_is_here(self, sandbox: SandboxProcess, deliver: Callable[[], int]) -> None:
        invoice = paid_at(sandbox)
        note = credited_at(sandbox, invoice)
        deliver()
        row = CreditNote.objects.get()
        assert (row.pk, row.invoice_id, row.customer) == (note.id, invoice.id, invoice.customer)
        assert (row.number, row.status, row.type) == (f"{invoice.number}-CN-01", "issued", "post_payment")
        assert (row.currency, row.amount) == ("usd", 400)
        refund = Refund.objects.get()
        assert refund.pk == refund_of(note) and (refund.status, refund.amount) == ("succeeded", 400)
        assert refund.payment_intent == InvoicePayment.objects.get(status="paid").payment_intent
        assert refund.charge and refund.customer == invoice.customer
        drain()
        assert equal_everywhere(sandbox)

    def test_a_void_and_a_failure_arrive(self, sandbox: SandboxProcess, deliver: Callable[[], int]) -> None:
        opened, client = invoice_at(sandbox), sandbox.client().v1
        note = client.credit_notes.create({"invoice": opened.id, "amount": 100})
        refund = refund_of(credited_at(sandbox, paid_at(sandbox)))
        deliver()
        drain()
        client.credit_notes.void_credit_note(note.id)
        sandbox.post(f"refunds/{refund}/settle", outcome="failed")
        deliver()
        assert CreditNote.objects.get(pk=note.id).status == "void"
        assert Refund.objects.get(pk=refund).status == "failed"
        drain()
        assert equal_everywhere(sandbox)

    @pytest.mark.parametrize("seed", range(6))
    def test_delivered_twice_and_in_any_order(
        self, sandbox: SandboxProcess, post_event: Callable[..., Any], seed: int
    ) -> None:
        client, chance = sandbox.client().v1, random.Random(seed)
        opened = invoice_at(sandbox)
        note = client.credit_notes.create({"invoice": opened.id, "amount": 100})
        client.credit_notes.update(note.id, {"memo": "a"})
        client.credit_notes.update(note.id, {"memo": "b"})
        client.credit_notes.void_credit_note(note.id)
        refund = refund_of(credited_at(sandbox, paid_at(sandbox)))
        client.refunds.update(refund, {"metadata": {"order": "1"}})
        sandbox.post(f"refunds/{refund}/settle", outcome="failed")
        events = [each for each in gateway.walk("/v1/events") if each["data"]["object"]["object"] in NEW]
        assert len(events) == 4 + 1 + 4
        hostile = events * 2
        chance.shuffle(hostile)
        for each in hostile:
            assert post_event(each).status_code == 200
            if chance.random() < 0.4:
                sync.process_events()
        sync.process_events()
        # The furthest state holds whatever came last.
        assert CreditNote.objects.get(pk=note.id).status == "void" and Refund.objects.get(pk=refund).status == "failed"
        drain()
        assert not any(unequal(sandbox, object) for object in NEW)
        assert Event.objects.filter(object_type__in=NEW).count() == len(events)

    @pytest.mark.parametrize("order", list(itertools.permutations(("pending", "succeeded", "failed"))), ids="-".join)
    def test_a_refund_never_goes_back(self, order: tuple[str, ...]) -> None:
        """Also where the stamps tell nothing: all three are of one second."""
        for status in order:
            mirror.store([event(RefundObject(id="re_1", status=status))])
        assert Refund.objects.get().status == "failed"

    def test_a_void_credit_note_is_not_issued_again(self) -> None:
        mirror.store([event(CreditNoteObject(id="cn_1", status="void"), 5)])
        mirror.store([event(CreditNoteObject(id="cn_1", status="issued"), 60)])
        assert CreditNote.objects.get().status == "void"
        assert ScheduledRefetch.objects.filter(object_type="credit_note", object_id="cn_1").exists()  # Stripe is asked

    def test_the_older_of_two_states_is_dropped(self) -> None:
        mirror.store([event(RefundObject(id="re_1", metadata={"n": "2"}), 100)])
        mirror.store([event(RefundObject(id="re_1", metadata={"n": "1"}), 0)])
        row = Refund.objects.get()
        assert row.data["metadata"] == {"n": "2"} and row.seen_until and row.seen_until > at(100)

    def test_the_catch_up_brings_what_webhooks_lost(self, sandbox: SandboxProcess) -> None:
        note = credited_at(sandbox, paid_at(sandbox))
        reconcile.catch_up()
        sync.process_events()
        assert CreditNote.objects.get().pk == note.id and Refund.objects.get().pk == refund_of(note)

    @pytest.mark.parametrize(
        ("kind", "data"),
        [("credit_note", {"lines": [], "amount": "7"}), ("refund", {"charge": {"id": "ch_1"}, "created": "now"})],
    )
    def test_odd_shapes_are_stored_as_they_came(self, kind: str, data: dict[str, Any]) -> None:
        odd = {"object": kind, "id": "x_1", "status": ["issued"], "customer": 5, **data}
        mirror.store([event(odd)])
        row: Any = MIRRORED[kind].objects.get()
        assert row.data == odd and row.wrong_columns() == {} and (row.status, row.customer) == (None, None)


class TestMoreThanTenLines:
    def long_note(self, sandbox: SandboxProcess) -> Any:
        given: Any = {"invoice": invoice_at(sandbox).id, "lines": [LINE] * 12}
        return sandbox.client().v1.credit_notes.create(given)

    def test_all_are_here_after_one_read(self, sandbox: SandboxProcess, deliver: Callable[[], int]) -> None:
        note = self.long_note(sandbox)
        deliver()
        assert len(CreditNote.objects.get().data["lines"]["data"]) == 10
        drain()
        assert len(CreditNote.objects.get().data["lines"]["data"]) == 12
        assert unequal(sandbox, "credit_note") == []
        # What comes later with ten of them takes no line away, and asks for no read.
        sandbox.clock(now=int(time.time()) + 60)
        sandbox.client().v1.credit_notes.update(note.id, {"memo": "later"})
        deliver()
        row = CreditNote.objects.get()
        assert row.data["memo"] == "later" and len(row.data["lines"]["data"]) == 12
        assert not ScheduledRefetch.objects.filter(object_id=note.id).exists()

    def test_by_a_full_run_and_proved(self, sandbox: SandboxProcess) -> None:
        self.long_note(sandbox)
        assert reconcile.sweep_lists("full").exit_code == 0
        drain()
        assert len(CreditNote.objects.get().data["lines"]["data"]) == 12
        code, run = proved()
        assert code == 0 and run["report"]["kinds"]["credit_note"]["long_invoices"] == 1
        row = CreditNote.objects.get()
        row.data["lines"]["data"][11]["amount"] = 1
        CreditNote.objects.update(data=row.data)
        code, run = proved()
        assert code == 3 and [drift["field"] for drift in run["drift"]] == ["lines.data.11.amount"]


class TestReconciliation:
    def mirrored(self, sandbox: SandboxProcess) -> Any:
        """A credit note with its refund, at Stripe and here, and no event that would explain a difference."""
        note = credited_at(sandbox, paid_at(sandbox))
        assert reconcile.sweep_lists("full").exit_code == 0
        drain()
        assert equal_everywhere(sandbox)
        return note

    @pytest.mark.parametrize("kind", ["sweep", "full"])
    def test_what_no_event_told_is_healed_and_recorded(self, sandbox: SandboxProcess, kind: str) -> None:
        note = self.mirrored(sandbox)
        client = sandbox.client().v1
        client.credit_notes.update(note.id, {"memo": "It never came"})
        sandbox.post(f"refunds/{refund_of(note)}/settle", outcome="failed")
        missed = credited_at(sandbox, paid_at(sandbox))
        run = reconcile.sweep_lists(kind)
        assert run.exit_code == 3 and equal_everywhere(sandbox)
        found = {(drift.kind, drift.object_id, drift.field) for drift in Drift.objects.filter(object_type__in=NEW)}
        assert found >= {
            ("differs", note.id, "memo"),
            ("differs", refund_of(note), "status"),
            ("missing_here", missed.id, ""),
            ("missing_here", refund_of(missed), ""),
        }
        of_note = Drift.objects.get(object_id=missed.id)
        assert of_note.invoice == missed.invoice and of_note.theirs["amount"] == 400

    def test_what_stripe_has_no_more_is_left_and_named(self, sandbox: SandboxProcess) -> None:
        self.mirrored(sandbox)
        stored(CreditNoteObject(id="cn_gone")), stored(RefundObject(id="re_gone"))
        assert reconcile.sweep_lists("full").exit_code == 4
        left = Drift.objects.filter(kind="missing_at_stripe", healed_at=None).values_list("object_id", flat=True)
        assert set(left) == {"cn_gone", "re_gone"}
        assert CreditNote.objects.filter(pk="cn_gone").exists()  # nothing is thrown away

    def test_a_proof_names_each_difference(self, sandbox: SandboxProcess) -> None:
        note = self.mirrored(sandbox)
        code, run = proved()
        assert code == 0 and run["report"]["kinds"]["refund"]["here"] == 1
        sums = {day["object"]: day["ours"]["groups"] for day in run["report"]["days"]}
        assert sums["refund"] == {"usd succeeded": [1, 400]} and sums["credit_note"] == {"usd issued": [1, 400]}
        refund = Refund.objects.get()
        Refund.objects.update(data={**refund.data, "amount": 1}, amount=1)
        CreditNote.objects.update(number="WRONG")
        code, run = proved()
        assert code == 3
        assert {(drift["kind"], drift["id"], drift["field"]) for drift in run["drift"]} == {
            ("differs", refund.pk, "amount"),
            ("column", note.id, "number"),
        }

    def test_a_new_address_of_the_pdf_is_no_difference(self, sandbox: SandboxProcess) -> None:
        self.mirrored(sandbox)
        row = CreditNote.objects.get()
        CreditNote.objects.update(data={**row.data, "pdf": "https://pay.stripe.com/credit_notes/another"})
        assert reconcile.sweep_lists("full").exit_code == 0 and proved()[0] == 0


class TestUpgrade:
    """An installation that imported everything before these kinds were mirrored."""

    @pytest.fixture
    def upgraded(self, sandbox: SandboxProcess) -> SandboxProcess:
        sandbox.reset(invoices=60, seed=5)
        credited_at(sandbox, paid_at(sandbox))
        run = reconcile.sweep_lists("full")
        drain()
        CreditNote.rows.all().delete()
        Refund.rows.all().delete()
        as_before(run)
        return sandbox

    def test_the_nightly_imports_and_reports_no_drift(self, upgraded: SandboxProcess) -> None:
        for run in (reconcile.sweep_lists("sweep"), *(reconcile.sweep_lists("part", part=n) for n in (0, 3))):
            assert run.exit_code == 0, run.kind
        assert not Drift.objects.exists()
        assert Refund.objects.exists()

    def test_a_proof_says_that_they_are_not_imported_yet(self, upgraded: SandboxProcess) -> None:
        at_stripe = {object: len(list(gateway.walk(gateway.PATHS[object]))) for object in NEW}
        code, run = proved()
        assert code == 3 and run["failed"] == 0 and run["drift"] == []
        assert {object: run["report"]["kinds"][object]["found"] for object in NEW} == {
            object: {"not_imported": number} for object, number in at_stripe.items()
        }
        assert run["seen"] == run["same"] + run["in_flight"] and all(day["equal"] for day in run["report"]["days"])
        said = run_command("reconcile", "--verify")[1]
        assert "not imported yet" in said.splitlines()[-1]
        assert "Refunds: " in said and "`reconcile --full` imports them" in said
        assert ReconciliationRun.objects.filter(kind="verify", exit_code=3).count() == 2

    def test_a_full_run_imports_them_and_then_what_lacks_is_drift(self, upgraded: SandboxProcess) -> None:
        run = reconcile.sweep_lists("full")
        assert run.exit_code == 0 and run.imported == CreditNote.objects.count() + Refund.objects.count() > 0
        drain()
        assert proved()[0] == 0 and all(importing.is_over(object) for object in MIRRORED)
        lost = Refund.objects.order_by("pk").first()
        assert lost is not None
        Refund.rows.filter(pk=lost.pk).delete()
        assert reconcile.sweep_lists("full").exit_code == 3
        assert Drift.objects.get(kind="missing_here").object_id == lost.pk

    def test_the_parts_of_a_month_are_an_import_too(self, upgraded: SandboxProcess) -> None:
        for part in range(windows.FULL_RUN_PARTS):
            assert not importing.is_over("refund")
            assert reconcile.sweep_lists("part", part=part).exit_code == 0
        assert importing.is_over("refund") and importing.is_over("credit_note")
        drain()
        assert proved()[0] == 0 and equal_everywhere(upgraded)

    def test_a_run_of_the_version_before_goes_on_and_imports_nothing_of_them(self, upgraded: SandboxProcess) -> None:
        """It was planned without them, and interrupted by the upgrade."""
        run = ReconciliationRun.objects.get(kind="full")
        done = [name for name in run.progress.finished if name.startswith("invoice/")]
        run.progress = replace(run.progress, finished=done)
        run.state, run.finished_at, run.exit_code = "interrupted", None, None
        run.alive_at = clock.now()
        run.save()
        again = reconcile.sweep_lists("full")
        assert again.pk == run.pk and again.exit_code == 0 and not Refund.objects.exists()
        assert importing.is_awaited("refund") and importing.is_over("payment_intent")

    def test_a_proof_of_the_version_before_begins_anew(self, upgraded: SandboxProcess) -> None:
        proved()
        run = ReconciliationRun.objects.get(kind="verify")
        as_before(run)
        report = run.report
        report["version"] = 2
        report["kinds"] = {object: kind for object, kind in report["kinds"].items() if object not in NEW}
        run.state, run.finished_at, run.exit_code, run.alive_at = "interrupted", None, None, clock.now()
        run.save()
        again = reconcile.verify()
        assert again.pk == run.pk and set(again.report["kinds"]) == set(MIRRORED)

    def test_events_that_the_version_before_ignored_can_be_replayed(
        self, sandbox: SandboxProcess, deliver: Callable[[], int]
    ) -> None:
        note = credited_at(sandbox, paid_at(sandbox))
        deliver()
        Refund.rows.all().delete()
        ignored = Event.objects.filter(object_type="refund")
        ignored.update(state="ignored", error="of a kind of object that is not mirrored")
        assert sync.replay() == ignored.count() > 0
        sync.process_events()
        assert Refund.objects.get().pk == refund_of(note)


def as_before(run: ReconciliationRun) -> None:
    """The run's row as a version wrote it that mirrored neither."""
    progress = run.progress
    run.progress = replace(
        progress,
        windows=[window for window in progress.windows if window["object"] not in NEW],
        finished=[name for name in progress.finished if name.partition("/")[0] not in NEW],
        importing={object: value for object, value in progress.importing.items() if object not in NEW},
    )
    run.save()


@pytest.fixture
def api(live_server: Any, agent: User) -> stripe.StripeClient:
    """The official SDK with a token of ours."""
    return stripe.StripeClient(
        ApiToken.objects.create(agent, name="ledger")[1], base_addresses={"api": live_server.url}
    )


def body_of(client: stripe.StripeClient, path: str, **params: Any) -> Any:
    return json.loads(client.raw_request("get", path, **params).body)


class TestApi:
    @pytest.fixture
    def history(self, sandbox: SandboxProcess) -> Any:
        """Credit notes and refunds of several invoices, at Stripe and here; the first credit note."""
        client = sandbox.client().v1
        first = credited_at(sandbox, paid_at(sandbox))
        credited_at(sandbox, paid_at(sandbox), 100)
        opened = invoice_at(sandbox, customer=first.customer)
        given: Any = {"invoice": opened.id, "lines": [LINE] * 13}
        client.credit_notes.void_credit_note(client.credit_notes.create(given).id)
        client.credit_notes.create({"invoice": opened.id, "amount": 50})
        client.refunds.create({"charge": client.refunds.retrieve(refund_of(first)).charge, "amount": 10})
        reconcile.sweep_lists("full")
        drain()
        return first

    def test_every_list_page_and_object_is_as_stripe_answers(
        self, sandbox: SandboxProcess, api: stripe.StripeClient, history: Any
    ) -> None:
        refund = sandbox.client().v1.refunds.retrieve(refund_of(history))
        notes = [each["id"] for each in body_of(api, "/v1/credit_notes", limit=100)["data"]]
        refunds = [each["id"] for each in body_of(api, "/v1/refunds", limit=100)["data"]]
        assert (len(notes), len(refunds)) == (4, 3)
        asked: list[tuple[str, dict[str, Any]]] = [
            ("/v1/credit_notes", {"limit": 100}),
            ("/v1/credit_notes", {"limit": 2}),
            ("/v1/credit_notes", {"limit": 2, "starting_after": notes[1]}),
            ("/v1/credit_notes", {"limit": 2, "ending_before": notes[3]}),
            ("/v1/credit_notes", {"invoice": history.invoice}),
            ("/v1/credit_notes", {"customer": history.customer}),
            ("/v1/credit_notes", {"customer": history.customer, "created": {"gt": history.created}}),
            ("/v1/credit_notes", {"expand": ["data.customer"]}),
            ("/v1/refunds", {"limit": 100}),
            ("/v1/refunds", {"limit": 1, "starting_after": refunds[0]}),
            ("/v1/refunds", {"charge": refund.charge}),
            ("/v1/refunds", {"payment_intent": refund.payment_intent, "created": {"gte": 1}}),
            ("/v1/refunds", {"expand": ["data.payment_intent"]}),
            *((f"/v1/credit_notes/{id}", {}) for id in notes),
            *((f"/v1/credit_notes/{id}/lines", {"limit": 100}) for id in notes),
            *((f"/v1/credit_notes/{id}/lines", {"limit": 5}) for id in notes),
            *((f"/v1/refunds/{id}", {}) for id in refunds),
            (f"/v1/refunds/{refunds[0]}", {"expand": ["payment_intent.customer", "customer"]}),
            (f"/v1/credit_notes/{notes[0]}", {"expand": ["customer"]}),
        ]
        for path, params in asked:
            ours, theirs = (body_of(client, path, **params) for client in (api, sandbox.client()))
            assert ours == theirs, (path, params)

    def test_the_sdks_own_methods(self, sandbox: SandboxProcess, api: stripe.StripeClient, history: Any) -> None:
        note = api.v1.credit_notes.retrieve(history.id)
        assert note.to_dict() == sandbox.client().v1.credit_notes.retrieve(history.id).to_dict()
        assert [one.amount for one in api.v1.credit_notes.list({"invoice": history.invoice}).data] == [400]
        walked = list(api.v1.refunds.list({"limit": 1}).auto_paging_iter())
        assert [one.amount for one in walked] == [10, 100, 400]
        long = next(one for one in api.v1.credit_notes.list().data if one.lines.has_more)
        assert len(long.lines.data) == 10
        assert len(list(api.v1.credit_notes.line_items.list(long.id, {"limit": 5}).auto_paging_iter())) == 13
        expanded: Any = api.v1.credit_notes.retrieve(history.id, {"expand": ["invoice"]})
        assert expanded.invoice.id == history.invoice and expanded.invoice.post_payment_credit_notes_amount == 400

    @pytest.mark.parametrize(
        ("path", "params"),
        [
            ("/v1/credit_notes/cn_nope", {}),
            ("/v1/refunds/re_nope", {}),
            ("/v1/credit_notes/cn_nope/lines", {}),
            ("/v1/credit_notes", {"starting_after": "cn_nope"}),
            ("/v1/refunds", {"ending_before": "re_nope"}),
            ("/v1/refunds", {"customer": "cus_1"}),
            ("/v1/credit_notes", {"status": "issued"}),
            ("/v1/credit_notes", {"created": {"gte": "x"}}),
            ("/v1/refunds", {"limit": "many"}),
        ],
    )
    def test_refused_as_stripe_refuses(
        self, sandbox: SandboxProcess, api: stripe.StripeClient, path: str, params: dict[str, Any]
    ) -> None:
        assert refusal(sandbox.client(), path, params) == refusal(api, path, params)

    def test_a_preview_is_no_credit_note(self, api: stripe.StripeClient) -> None:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            api.raw_request("get", "/v1/credit_notes/preview", invoice="in_1")
        assert raised(caught).code == "not_served"

    @pytest.mark.parametrize("path", ["/v1/credit_notes", "/v1/refunds", "/v1/credit_notes/cn_1/lines"])
    def test_only_with_the_permission(self, live_server: Any, path: str) -> None:
        stranger = user_in_group("stranger", None)
        token = ApiToken.objects.create(stranger, name="stranger")[1]
        client = stripe.StripeClient(token, base_addresses={"api": live_server.url})
        with pytest.raises(stripe.PermissionError):
            client.raw_request("get", path)


class TestPages:
    def test_lists_pages_and_the_invoices_part(self, sandbox: SandboxProcess, desk: Client) -> None:
        invoice = paid_at(sandbox)
        note = credited_at(sandbox, invoice)
        reconcile.sweep_lists("full")
        refund = refund_of(note)
        for address, words in {
            "/admin/invoices/creditnote/": (note.id, note.number, invoice.id, "post payment"),
            f"/admin/invoices/creditnote/?q={note.number}": (note.id,),
            f"/admin/invoices/creditnote/{note.id}/": (note.number, invoice.id, "It came late", "USD 4.00"),
            "/admin/invoices/refund/": (refund, "USD 4.00", "succeeded"),
            f"/admin/invoices/refund/?q={Refund.objects.get().charge}": (refund,),
            f"/admin/invoices/refund/{refund}/": (refund, invoice.id, "USD 4.00"),
            f"/admin/invoices/invoice/{invoice.id}/": ("Credit notes and refunds", note.number, refund),
        }.items():
            page = desk.get(address).content.decode()
            assert all(word in page for word in words), (address, words)

    def test_a_person_who_may_not_see_them_sees_none(self, sandbox: SandboxProcess, client: Client) -> None:
        invoice = paid_at(sandbox)
        credited_at(sandbox, invoice)
        reconcile.sweep_lists("full")
        person = user_in_group("only_invoices", None)
        person.user_permissions.set(personal_permissions("view_invoice", "view_invoicepayment"))
        client.force_login(person)
        page = client.get(f"/admin/invoices/invoice/{invoice.id}/")
        assert page.status_code == 200 and "Credit notes and refunds" not in page.content.decode()
        assert client.get("/admin/invoices/creditnote/").status_code == 403
        assert client.get(f"/admin/invoices/refund/{Refund.objects.get().pk}/").status_code == 403

    def test_the_search_finds_the_invoice_by_their_ids(self, sandbox: SandboxProcess) -> None:
        invoice = paid_at(sandbox)
        note = credited_at(sandbox, invoice)
        reconcile.sweep_lists("full")
        for term in (note.id, refund_of(note)):
            assert search.exact(term) == invoice.id
        assert search.exact("re_nope") is None and search.exact("cn_nope") is None
        assert Invoice.objects.count() == 1


def personal_permissions(*codenames: str) -> Any:
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(codename__in=codenames)


class TestErasure:
    NAME = "Zoë Quistgaard"

    @pytest.fixture
    def customer(self, sandbox: SandboxProcess, deliver: Callable[[], int]) -> str:
        """A customer whose name stands in a credit note and a refund. The id."""
        id: str = customer_at(sandbox, name=self.NAME, email="zoe@example.org").id
        invoice, client = paid_at(sandbox, customer=id), sandbox.client().v1
        given: Any = {"invoice": invoice.id, "amount": 100, "refund_amount": 100, "memo": f"For {self.NAME}"}
        note = client.credit_notes.create(given)
        client.refunds.update(refund_of(note), {"metadata": {"called": self.NAME}})
        deliver()
        drain()
        return id

    def test_nothing_of_it_is_left(
        self, sandbox: SandboxProcess, customer: str, manager: User, tmp_path: Path, settings: Any
    ) -> None:
        settings.ARCHIVE_DIR = tmp_path / "none"
        other = credited_at(sandbox, paid_at(sandbox))
        reconcile.sweep_lists("full")
        drain()
        assert erasure.preview(customer).credit_notes == erasure.preview(customer).refunds == 1
        with pytest.raises(erasure.CannotErase):
            erasure.check(customer, tmp_path)
        sandbox.post(f"customers/{customer}/redact")
        erasure.check(customer, tmp_path)
        made = erasure.begin(customer, reason="asked for it", actor=manager, shell_user="")
        assert erasure.perform(made, tmp_path).left == []
        [note], [refund] = customer_rows.credit_notes(customer), customer_rows.refunds(customer)
        assert note.data["memo"] == personal.REDACTED and refund.data["metadata"] == {"called": personal.REDACTED}
        assert (note.amount, refund.amount) == (100, 100)
        bodies = "\n".join(Event.objects.values_list("body", flat=True))
        assert "Quistgaard" not in bodies
        assert CreditNote.objects.get(pk=other.id).data["memo"] == "It came late"

    def test_what_is_personal_of_each(self) -> None:
        note = CreditNoteObject(memo="For Zoë", pdf="https://pay.stripe.com/credit_notes/1", number="A-1-CN-01")
        refund = RefundObject(
            instructions_email="zoe@example.org",
            destination_details={"card": {"reference": "12345", "type": "refund"}, "type": "card"},
            next_action={"display_details": {"email_sent": {"email_sent_to": "zoe@example.org"}}, "type": "x"},
        )
        without: Any = personal.redacted(note)
        assert (without["memo"], without["pdf"]) == (personal.REDACTED, personal.REDACTED)
        assert (without["number"], without["amount"]) == ("A-1-CN-01", note["amount"])
        without = personal.redacted(refund)
        assert "zoe" not in json.dumps(without) and "12345" not in json.dumps(without)
        assert without["destination_details"]["card"]["type"] == "refund"
        printed = {"object": "invoice", "rendering": {"pdf": {"page_size": "letter"}}}
        assert personal.redacted(printed) == printed  # how an invoice is printed is nobody's

    def test_they_are_among_what_is_stored_about_the_customer(self, customer: str) -> None:
        held = {holding.table.name: holding.count for holding in stored_data.holdings(customer)}
        assert (held["credit_notes"], held["refunds"]) == (1, 1)
        assert held["events"] >= 4

    def test_a_refund_that_names_no_customer_is_found_by_its_payment(self) -> None:
        intent = {"type": "payment_intent", "payment_intent": "pi_1"}
        mirror.store(
            [
                event({"object": "invoice", "id": "in_1", "customer": "cus_1", "status": "paid"}),
                event({"object": "invoice_payment", "id": "inpay_1", "invoice": "in_1", "payment": intent}),
                event(RefundObject(id="re_1", payment_intent="pi_1", customer=None)),
                event(RefundObject(id="re_2", payment_intent="pi_2", customer=None)),
                event(CreditNoteObject(id="cn_1", invoice="in_1", customer=None)),
            ]
        )
        assert customer_rows.refund_ids("cus_1") == {"re_1"} and customer_rows.credit_note_ids("cus_1") == {"cn_1"}


def test_a_read_is_newer_than_the_event_before(sandbox: SandboxProcess, deliver: Callable[[], int]) -> None:
    refund = refund_of(credited_at(sandbox, paid_at(sandbox)))
    events = [each for each in gateway.walk("/v1/events") if each["data"]["object"]["id"] == refund]
    sandbox.client().v1.refunds.update(refund, {"metadata": {"order": "17"}})
    refetch.refetch("refund", refund)
    assert len(events) == 1 and Refund.objects.get().data["metadata"] == {"order": "17"}
    deliver()
    drain()
    assert Refund.objects.get().data["metadata"] == {"order": "17"}
