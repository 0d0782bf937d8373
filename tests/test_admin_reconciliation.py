"""Reconciliation and events in the admin: what a run found, the proof of equality, starting one, replaying an event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from kombu.exceptions import OperationalError

from invoices import clock, reconcile, sync, tasks
from invoices.admin.events import list as events_list
from invoices.admin.formatting import masked_text
from invoices.admin.reconciliation import drift, proof, starting
from invoices.models import Drift, Event, Invoice, InvoicePayment, ReconciliationRun
from invoices.reconcile import suspects
from tests.factories import InvoiceObject, invoice_at, stored
from tests.helpers.admin_pages import LIST, page_after, text
from tests.sandbox_process import SandboxProcess

RUNS = "/admin/invoices/reconciliationrun/"
EVENTS = "/admin/invoices/event/"


@pytest.fixture
def desk(client: Client, manager: User) -> Client:
    client.force_login(manager)
    return client


@pytest.fixture
def asked(monkeypatch: Any) -> list[tuple[str, str]]:
    """What was asked of the workers."""
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(
        starting.tasks.start_reconciliation, "delay", lambda kind, invoice, *given: sent.append((kind, invoice))
    )
    return sent


def run(**given: Any) -> ReconciliationRun:
    given = {"kind": "sweep", "state": "finished", "exit_code": 0, "finished_at": clock.now()} | given
    return ReconciliationRun.objects.create(**given)


@pytest.mark.django_db
class TestStarting:
    @pytest.mark.parametrize("kind", ["sweep", "full", "verify"])
    def test_a_manager_starts_one(self, desk: Client, asked: list[Any], kind: str) -> None:
        assert f"{RUNS}start/{kind}/" in text(desk.get(RUNS))
        assert desk.get(f"{RUNS}start/{kind}/").status_code == 405
        assert "Asked for" in page_after(desk, desk.post(f"{RUNS}start/{kind}/"))
        assert asked == [(kind, "")]

    def test_one_invoice(self, desk: Client, asked: list[Any], agent: User) -> None:
        invoice = stored(InvoiceObject())
        assert f"{RUNS}start/invoice/" in text(desk.get(f"{LIST}{invoice.pk}/"))
        assert "being compared" in page_after(desk, desk.post(f"{RUNS}start/invoice/", {"invoice": invoice.pk}))
        assert asked == [("invoice", invoice.pk)]
        assert desk.post(f"{RUNS}start/invoice/", {"invoice": "in_nowhere"}).status_code == 404
        desk.force_login(agent)
        assert f"{RUNS}start/" not in text(desk.get(f"{LIST}{invoice.pk}/"))

    def test_nobody_else(self, client: Client, agent: User, auditor: User, asked: list[Any]) -> None:
        for person in (agent, auditor):
            client.force_login(person)
            assert f"{RUNS}start/" not in text(client.get(RUNS))
            assert client.post(f"{RUNS}start/sweep/").status_code == 403
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("chief"))
        assert strict.post(f"{RUNS}start/sweep/").status_code == 403
        assert asked == []

    def test_one_at_a_time(self, desk: Client, asked: list[Any]) -> None:
        other = run(kind="full", state="running", finished_at=None, exit_code=None)
        response = desk.post(f"{RUNS}start/sweep/")
        assert response["Location"] == f"{RUNS}{other.pk}/" and "One is under way" in page_after(desk, response)
        assert asked == []
        ReconciliationRun.objects.update(alive_at=clock.now() - timedelta(hours=1))  # dead: the next takes it over
        desk.post(f"{RUNS}start/sweep/")
        assert asked == [("sweep", "")]

    def test_the_workers_are_away(self, desk: Client, monkeypatch: Any) -> None:
        def dead(*given: Any) -> None:
            raise OperationalError("no broker")

        monkeypatch.setattr(starting.tasks.start_reconciliation, "delay", dead)
        assert "nothing was started" in page_after(desk, desk.post(f"{RUNS}start/sweep/"))

    def test_other_kinds_are_not_started(self, desk: Client, asked: list[Any]) -> None:
        for kind in ("catch_up", "explode"):
            assert desk.post(f"{RUNS}start/{kind}/").status_code == 404
        assert asked == []

    @pytest.mark.django_db
    def test_what_the_worker_does(self, monkeypatch: Any, manager: User) -> None:
        called: list[Any] = []
        monkeypatch.setattr(reconcile, "sweep_lists", lambda kind, by: called.append((kind, by)))
        monkeypatch.setattr(reconcile, "verify", lambda by: called.append(("verify", by)))
        monkeypatch.setattr(reconcile, "compare_invoice", lambda id, by: called.append((id, by)))
        for kind, invoice in (("sweep", ""), ("full", ""), ("verify", ""), ("invoice", "in_1")):
            tasks.start_reconciliation(kind, invoice, manager.pk)
        assert called == [("sweep", manager), ("full", manager), ("verify", manager), ("in_1", manager)]


@pytest.mark.django_db
class TestRunPage:
    def test_its_counts_add_up_and_its_exit_is_said(self, desk: Client) -> None:
        made = run(kind="full", seen=15, same=5, imported=4, healed=3, in_flight=2, failed=1, exit_code=4)
        found = text(desk.get(f"{RUNS}{made.pk}/"))
        for words in ("15 seen", "Drift is left", "Differed, healed", "Imported", "an event explains it", "Together"):
            assert words in found, words
        table = found.split("rows sums")[1].split("</table>")[0]
        numbers = [int(cell.split("<")[0]) for cell in table.split('<td class="num">')[1:]]
        assert numbers == [5, 4, 3, 2, 1]

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({}, "Clean: what we showed was what Stripe had."),
            ({"exit_code": 3, "healed": 1}, "Drift was found, and healed."),
            ({"state": "failed", "exit_code": 1, "error": "Stripe said no"}, "Stripe said no"),
            ({"kind": "catch_up", "events": 7}, "7 events that had not reached us"),
        ],
    )
    def test_every_end_in_words(self, desk: Client, given: dict[str, Any], words: str) -> None:
        made = run(**given)
        assert words in text(desk.get(f"{RUNS}{made.pk}/")) and words in text(desk.get(RUNS))

    def test_its_drift_page_by_page(self, desk: Client, django_assert_max_num_queries: Any) -> None:
        made, invoice = run(healed=120, exit_code=3), stored(InvoiceObject(number="DRIFT-1"))
        at = clock.now() - timedelta(days=3)
        Drift.objects.bulk_create(
            Drift(
                run=made,
                kind="differs",
                object_type="invoice",
                object_id=invoice.pk,
                invoice=invoice.pk,
                field=f"lines.data.{number}.amount",
                ours=number,
                theirs={"status": "paid"} if number else "<b>bold</b>",
                ours_seen_until=at,
                healed_at=clock.now() if number else None,
            )
            for number in range(120)
        )
        with django_assert_max_num_queries(18):
            found = text(desk.get(f"{RUNS}{made.pk}/"))
        assert (
            found.count('title="lines.data.') == drift.DIFFERENCES_PER_PAGE
            and "DRIFT-1" in found
            and "status paid" in found
        )
        last = text(desk.get(f"{RUNS}{made.pk}/?before="))
        assert last.count('title="lines.data.') == drift.DIFFERENCES_PER_PAGE and ">Next</a>" not in last
        assert "&lt;b&gt;bold" in found and "neither value is the one of today" in found

    def test_while_it_runs_it_refreshes_itself(self, desk: Client) -> None:
        made = run(
            state="running",
            exit_code=None,
            finished_at=None,
            seen=1200,
            progress={"finished": ["a"], "windows": [{}, {}]},
        )
        path = f"{RUNS}{made.pk}/"
        assert "1,200 seen so far, 1 of 2 parts done" in text(desk.get(path))
        part = text(desk.get(path, headers={"HX-Request": "true"}))
        assert f'hx-get="{path}"' in part and "<html" not in part
        ReconciliationRun.objects.update(alive_at=clock.now() - timedelta(hours=1))
        assert "may have died" in text(desk.get(path))
        ReconciliationRun.objects.update(state="finished", exit_code=0)
        assert desk.get(path, headers={"HX-Request": "true"})["HX-Refresh"] == "true"

    def test_the_front_page_speaks_of_sweeps_not_of_catch_ups(self, desk: Client) -> None:
        swept = run(seen=3, same=3, started_at=clock.now() - timedelta(hours=3))
        run(kind="catch_up")
        card = text(desk.get("/admin/health/")).split("Last reconciliation")[0].rsplit("<a ", 1)[1]
        assert f'href="{RUNS}{swept.pk}/"' in card


@pytest.mark.django_db(transaction=True)
class TestProof:
    @pytest.fixture(autouse=True)
    def no_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))

    def test_equal_and_then_not(self, sandbox: SandboxProcess, desk: Client) -> None:
        assert "not proved yet" in text(desk.get("/admin/health/"))
        assert "Equality is not proved yet" in text(desk.get(RUNS))
        invoice = invoice_at(sandbox, 1234)
        reconcile.sweep_lists("full")
        sync.process_events()
        tasks.start_reconciliation("verify")
        made = ReconciliationRun.objects.get(kind="verify")
        assert "4 objects, the same on both sides" in text(desk.get("/admin/health/"))
        assert "Equal to Stripe as of" in text(desk.get(RUNS))
        found = text(desk.get(f"{RUNS}{made.pk}/"))
        assert "Equal: both sides have the same." in found and "4 days equal" in found and "USD 12.34" in found
        assert "What was compared" in found and "leave out deleted customers" in found
        assert found.count(f"<code>{made.report['digest']['ours']}</code>") == 2
        sandbox.client().v1.invoices.void_invoice(invoice.id)
        InvoicePayment.objects.update(status="paid")
        tasks.start_reconciliation("verify")
        made = ReconciliationRun.objects.filter(kind="verify").latest("started_at")
        found = text(desk.get(f"{RUNS}{made.pk}/"))
        assert "Not equal: something differs." in found and "days that differ" in found
        assert "USD open" in found and "USD void" in found and "Prove it again" in found
        assert "Column status, against its object" in found and ">Status</a>" in found
        assert "Not equal to Stripe" in text(desk.get("/admin/health/")) and "Not equal to Stripe" in text(
            desk.get(RUNS)
        )

    def test_a_difference_beyond_counts_and_sums(self, desk: Client) -> None:
        group = {"usd open": [1, 100, 0, 100]}
        day = {"day": "2026-01-31", "equal": False}
        sides = {"ours": {"digest": "a", "groups": group}, "theirs": {"digest": "b", "groups": group}}
        report = {"equal": False, "days": [day | sides], "digest": {"ours": "a", "theirs": "b"}}
        made = run(kind="verify", exit_code=3, seen=1, report=report)
        assert "something else differs" in text(desk.get(f"{RUNS}{made.pk}/"))

    def test_many_days_are_paged(self, desk: Client) -> None:
        side = {"digest": "a", "groups": {"jpy paid": [2, 100, 100, 0]}}
        days = [{"day": f"day-{n:03}", "equal": True, "ours": side, "theirs": side} for n in range(70)]
        made = run(kind="verify", seen=140, report={"equal": True, "days": days})
        found = text(desk.get(f"{RUNS}{made.pk}/"))
        assert "day-069" in found and found.count("day-0") == proof.EQUAL_DAYS_PER_PAGE and "?equal=2" in found
        assert "day-000" in text(desk.get(f"{RUNS}{made.pk}/?equal=3"))

    def test_a_report_of_any_shape_is_shown(self, desk: Client) -> None:
        reports: list[Any] = [{}, [], {"days": [None, {}]}, {"days": [{"day": 1, "ours": None, "theirs": 7}]}]
        for report in reports:
            made = run(kind="verify", exit_code=3, report=report)
            assert desk.get(f"{RUNS}{made.pk}/").status_code == 200, report


@pytest.mark.django_db
class TestEvents:
    @pytest.fixture(autouse=True)
    def wakes(self, monkeypatch: Any) -> list[str]:
        sent: list[str] = []
        monkeypatch.setattr(events_list.wakeups, "wake", sent.append)
        return sent

    @pytest.fixture
    def failed(self) -> list[Event]:
        return [
            Event.objects.create(
                id=f"evt_{n}", type="invoice.paid", body="{}", state="failed", error="KeyError: data", attempts=5
            )
            for n in range(3)
        ]

    @pytest.fixture
    def unreadable(self) -> Event:
        body = '{"id": oops, "client_secret": "pi_1_secret_abcdef", "key": "sk_live_abcdefgh"} 4242 4242 4242 4242'
        return Event.objects.create(id="unreadable_1", body=body, state="failed", error="Expecting value")

    def test_a_failed_one_says_why_and_is_replayed(self, desk: Client, failed: list[Event], wakes: list[str]) -> None:
        assert "KeyError: data" in text(desk.get(f"{EVENTS}?state=failed"))
        path = f"{EVENTS}evt_1/"
        found = text(desk.get(path))
        assert "KeyError: data" in found and "Tried 5 times" in found and ">Replay<" in found
        assert desk.get(f"{path}replay/").status_code == 405
        assert "1 event back in the queue" in page_after(desk, desk.post(f"{path}replay/"))
        assert set(Event.objects.values_list("pk", "state")) == {
            ("evt_0", "failed"),
            ("evt_1", "pending"),
            ("evt_2", "failed"),
        }
        assert wakes == ["process_events"]
        assert "nothing to replay" in page_after(desk, desk.post(f"{path}replay/"))

    def test_the_ticked_ones(self, desk: Client, failed: list[Event], unreadable: Event) -> None:
        done = Event.objects.create(id="evt_done", body="{}", state="done")
        ticked = {"action": "replay", "_selected_action": ["evt_0", "evt_2", done.pk, unreadable.pk]}
        assert "2 events back in the queue" in text(desk.post(f"{EVENTS}?state=failed", ticked, follow=True))
        assert set(Event.objects.filter(state="pending").values_list("pk", flat=True)) == {"evt_0", "evt_2"}
        assert Event.objects.get(pk="evt_done").state == "done"

    def test_all_that_failed(self, desk: Client, failed: list[Event], unreadable: Event) -> None:
        assert "Replay all that failed" in text(desk.get(f"{EVENTS}?state=failed"))
        assert "Replay all that failed" not in text(desk.get(EVENTS))
        assert "3 events back" in page_after(desk, desk.post(f"{EVENTS}replay/"))
        assert Event.objects.get(state="failed") == unreadable
        assert "nothing to replay" in page_after(desk, desk.post(f"{EVENTS}replay/"))

    def test_an_agent_sees_why_and_replays_nothing(self, client: Client, agent: User, failed: list[Event]) -> None:
        client.force_login(agent)
        assert ">Replay<" not in text(client.get(f"{EVENTS}evt_1/"))
        assert "Replay" not in text(client.get(f"{EVENTS}?state=failed")).split('id="changelist"')[1]
        client.post(EVENTS, {"action": "replay", "_selected_action": ["evt_1"]})
        assert client.post(f"{EVENTS}evt_1/replay/").status_code == 403
        assert client.post(f"{EVENTS}replay/").status_code == 403
        assert not Event.objects.filter(state="pending").exists()

    def test_what_cannot_be_read_is_masked(self, desk: Client, unreadable: Event) -> None:
        found = text(desk.get(f"{EVENTS}{unreadable.pk}/"))
        assert "It is signed, but no event" in found and ">Replay<" not in found
        for secret in ("pi_1_secret", "sk_live", "4242 4242"):
            assert secret not in found, secret
        assert "&quot;id&quot;: oops" in found

    @pytest.mark.parametrize(
        ("written", "hidden"),
        [
            ("key=sk_test_abcdefghijk", "abcdefghijk"),
            ("whsec_abcdefghijk", "abcdefghijk"),
            ('"client_secret":"anything at all"', "anything"),
            ("seti_1_secret_xyz", "xyz"),
            ("pan 4000-0000-0000-0002.", "0002"),
        ],
    )
    def test_the_mask(self, written: str, hidden: str) -> None:
        assert hidden not in masked_text(written) and "••••••" in masked_text(written)
        assert masked_text("in_123 is 1,234.00, made 1700000000") == "in_123 is 1,234.00, made 1700000000"
        assert len(masked_text("x" * 50_000)) < 21_000


@pytest.mark.django_db(transaction=True)
def test_a_person_reconciles_one_invoice(sandbox: SandboxProcess, desk: Client) -> None:
    made = invoice_at(sandbox)
    reconcile.sweep_lists("full")
    sync.process_events()
    sandbox.client().v1.invoices.pay(made.id)
    tasks.start_reconciliation("invoice", made.id)
    assert Invoice.objects.get(pk=made.id).status == "paid"
    found = text(desk.get(f"{RUNS}{ReconciliationRun.objects.get(kind='invoice').pk}/"))
    assert "Drift was found, and healed." in found and ">Status</a>" in found
