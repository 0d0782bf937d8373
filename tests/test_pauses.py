"""Pauses: nothing new is sent, nothing is forgotten, and everyone reads why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from invoices import clock, journal, operations, tasks
from invoices.models import ApiToken, Operation, Pause
from invoices.operations import pauses
from invoices.thresholds import PAUSE_AT_MOST
from tests.factories import InvoiceObject, stored
from tests.helpers.admin_pages import LIST, action_url, page_after, text
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
State = Operation.State


@pytest.mark.parametrize("action", ["", "pay"])
def test_nothing_new_is_taken(sandbox: SandboxProcess, open_invoice: Any, agent: User, action: str) -> None:
    pauses.begin(action, "the bank has an outage", None)
    with pytest.raises(operations.Refusal) as refusal:
        operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert refusal.value.code == "actions_paused" and "the bank has an outage" in refusal.value.message
    assert sandbox.stats()["charges"] == {}
    pauses.end(action, None)
    paid = operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert paid.state == State.SUCCEEDED


def test_who_pauses_charges_pauses_those_of_a_part(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    part = {"amount": 500, "payment_method": "pm_card_visa"}
    pauses.begin("pay", "the bank has an outage", None)
    with pytest.raises(operations.Refusal) as refusal:
        operations.execute(
            "charge_part", open_invoice.id, actor=agent, source="admin", reason="asked", params=dict(part)
        )
    assert refusal.value.code == "actions_paused" and sandbox.stats()["charges"] == {}
    pauses.end("pay", None)
    pauses.begin("charge_part", "too many parts", None)
    paid = operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert paid.state == State.SUCCEEDED


def test_other_actions_go_on(open_invoice: Any, agent: User) -> None:
    pauses.begin("pay", "the bank has an outage", None)
    done = operations.execute("void", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert done.state == State.SUCCEEDED


def test_what_was_ready_waits_and_then_goes_on(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    operation = operations.request("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    pauses.begin("", "an audit", None)
    assert operations.perform(operation.pk).state == State.READY
    assert sandbox.stats()["charges"] == {}
    pauses.end("", None)
    assert operations.perform(operation.pk).state == State.SUCCEEDED


def test_settling_looks_but_does_not_send(sandbox: SandboxProcess, open_invoice: Any, agent: User) -> None:
    sandbox.faults(error_500=1.0, only=["POST /v1/invoices/*/pay"])
    operation = operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
    assert operation.state == State.UNKNOWN
    sandbox.clear_faults()
    sent = sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"]
    pauses.begin("", "an audit", None)
    Operation.objects.filter(pk=operation.pk).update(settle_at=None)
    operations.settle_due()
    assert Operation.objects.get(pk=operation.pk).state == State.UNKNOWN
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"] == sent
    pauses.end("", None)
    Operation.objects.filter(pk=operation.pk).update(settle_at=None)
    operations.settle_due()
    assert Operation.objects.get(pk=operation.pk).state in Operation.FINAL
    assert sandbox.stats()["requests"]["POST /v1/invoices/:id/pay"] == sent + 1


def test_one_pause_of_a_kind_and_a_reason(db: None) -> None:
    pauses.begin("", "an audit", None)
    with pytest.raises(operations.Refusal):
        pauses.begin("", "again", None)
    with pytest.raises(operations.Invalid):
        pauses.begin("void", " ", None)


class TestPausesThatEnd:
    """The moment at which a pause ends is judged by the clock whenever something is asked for or sent."""

    @pytest.fixture
    def later(self, monkeypatch: Any) -> Any:
        """Moves the clock on."""
        real = clock.now

        def move(**by: float) -> None:
            monkeypatch.setattr(clock, "now", lambda: real() + timedelta(**by))

        return move

    def test_it_ends_by_itself(self, sandbox: SandboxProcess, open_invoice: Any, agent: User, later: Any) -> None:
        pauses.begin("pay", "an outage", None, clock.now() + timedelta(hours=1))
        with pytest.raises(operations.Refusal) as refusal:
            operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
        assert refusal.value.until and "Pay (and Charge a part) is paused until 20" in refusal.value.message
        assert "somebody resumes" not in refusal.value.message
        later(minutes=61)
        paid = operations.execute("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
        assert paid.state == State.SUCCEEDED and sandbox.stats()["charges"] == {open_invoice.id: 1}

    def test_what_was_ready_is_sent_once_it_has_ended(self, open_invoice: Any, agent: User, later: Any) -> None:
        operation = operations.request("pay", open_invoice.id, actor=agent, source="admin", reason="asked")
        pauses.begin("", "an outage", None, clock.now() + timedelta(minutes=10))
        assert operations.perform(operation.pk).state == State.READY
        later(minutes=11)
        assert operations.perform(operation.pk).state == State.SUCCEEDED

    def test_its_end_is_written_into_the_journal(self, manager: User, later: Any) -> None:
        ends_at = clock.now() + timedelta(minutes=10)
        pause = pauses.begin("void", "an audit", manager, ends_at)
        assert journal.chain() and pauses.close_ended() == 0
        later(minutes=11)
        assert not pauses.standing().exists() and pauses.end("void", manager) == 0
        tasks.tend_queues()
        pause.refresh_from_db()
        assert (pause.resumed_at, pause.resumed_by) == (ends_at, None) and pauses.ended_by_itself(pause)
        assert pauses.close_ended() == 0
        journal.chain()
        assert journal.verify().finding is None

    def test_after_its_end_it_can_be_paused_anew(self, manager: User, later: Any) -> None:
        first = pauses.begin("void", "an audit", manager, clock.now() + timedelta(minutes=10))
        later(minutes=11)
        second = pauses.begin("void", "another audit", manager)
        first.refresh_from_db()
        assert first.resumed_at == first.ends_at and list(pauses.standing()) == [second]

    def test_it_can_be_resumed_before(self, manager: User) -> None:
        pause = pauses.begin("void", "an audit", manager, clock.now() + timedelta(minutes=10))
        assert pauses.end("void", manager) == 1
        pause.refresh_from_db()
        assert pause.resumed_by == manager and not pauses.ended_by_itself(pause)

    @pytest.mark.parametrize("seconds", [-1, 0, PAUSE_AT_MOST.total_seconds() + 60, 10 * 365 * 86_400])
    def test_a_wrong_time_is_refused(self, seconds: float) -> None:
        with pytest.raises(operations.Invalid) as refusal:
            pauses.begin("void", "an audit", None, clock.now() + timedelta(seconds=seconds))
        assert refusal.value.param == "ends_at" and not Pause.objects.exists()

    def test_the_api_says_until_when(self, client: Client, agent: User, open_invoice: Any) -> None:
        pauses.begin("pay", "an outage", None, clock.now() + timedelta(hours=2))
        _, token = ApiToken.objects.create(agent, name="billing")
        answer = client.post(
            f"/v1/invoices/{open_invoice.id}/pay",
            {},
            "application/json",
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "once"},
        )
        error = answer.json()["error"]
        assert answer.status_code == 503 and error["code"] == "actions_paused"
        assert "paused until 20" in error["message"] and "UTC, by the command line: an outage." in error["message"]


class TestCommand:
    def test_until(self, manager: User, capsys: Any) -> None:
        call_command("pause", "void", "--reason", "an audit", "--as", manager.username, "--until", "4h")
        pause = Pause.objects.get()
        assert pause.ends_at and timedelta(hours=3.9) < pause.ends_at - clock.now() <= timedelta(hours=4)
        assert (
            f"Void is paused until {pause.ends_at:%Y-%m-%d %H:%M} UTC, by manager: an audit." in capsys.readouterr().out
        )

    @pytest.mark.parametrize(
        "until", ["soon", "0h", "4", "-4h", "99999d", "2027-13-01", "2020-01-01T00:00", "9999-12-31"]
    )
    def test_what_is_no_time(self, until: str) -> None:
        with pytest.raises((CommandError, SystemExit)):
            call_command("pause", "void", "--reason", "an audit", f"--until={until}")
        assert not Pause.objects.exists()


class TestForm:
    NEW = "/admin/invoices/pause/add/"

    def given(self, **changes: str) -> dict[str, str]:
        return {"action": "pay", "until": "", "ends_at": "", "reason": "an audit", "reason_choice": ""} | changes

    def test_for_four_hours_and_everyone_reads_it(self, client: Client, manager: User, agent: User) -> None:
        invoice = stored(InvoiceObject())
        client.force_login(manager)
        page_after(client, client.post(self.NEW, self.given(until="4h", reason_choice="An audit", reason="of March")))
        pause = Pause.objects.get()
        assert pause.reason == "An audit: of March" and pause.ends_at
        client.force_login(agent)
        client.cookies["zone"] = "Asia/Kathmandu"
        for path in ("/admin/", LIST, f"{LIST}{invoice.pk}/", action_url(invoice.pk, "pay")):
            found = text(client.get(path))
            bar = found.split('class="note pause"')[1].split("</div>")[0]
            assert "<b>Pay (and Charge a part) is paused until <time" in bar and "An audit: of March" in bar, path
            assert "Paused by manager" in bar
        found = found.split("Not possible now")[1].split("</section>")[0]
        local = pause.ends_at + timedelta(hours=5, minutes=45)
        assert f"{local:%H:%M}, by manager: An audit: of March." in found and "UTC" not in found

    def test_a_time_is_of_the_reader_s_zone(self, client: Client, manager: User) -> None:
        client.force_login(manager)
        client.cookies["zone"] = "Asia/Tokyo"
        at = (clock.now() + timedelta(hours=12)).replace(second=0, microsecond=0)
        local = at + timedelta(hours=9)
        page_after(client, client.post(self.NEW, self.given(until="at", ends_at=f"{local:%Y-%m-%dT%H:%M}")))
        assert Pause.objects.get().ends_at == at

    @pytest.mark.parametrize(
        ("changes", "name", "words"),
        [
            ({"until": "at"}, "ends_at", "Give the time at which the pause ends."),
            ({"until": "at", "ends_at": "soon"}, "ends_at", "Give a day and a time"),
            ({"until": "at", "ends_at": "2020-01-01T00:00"}, "ends_at", "This time is over."),
            ({"until": "at", "ends_at": "9999-12-31T23:59"}, "ends_at", "At most 7 days from now."),
            ({"until": "at", "ends_at": "\x00"}, "ends_at", "Give a day and a time"),
            ({"until": "1h", "ends_at": "2099-01-01T00:00"}, "ends_at", "not both"),
            ({"until": "for ever"}, "until", "Select a valid choice."),
            ({"reason": " "}, "reason", "Please say why: everyone who wants to act will read it."),
        ],
    )
    def test_an_error_stands_beside_its_field(
        self, client: Client, manager: User, changes: dict[str, str], name: str, words: str
    ) -> None:
        client.force_login(manager)
        found = text(client.post(self.NEW, self.given(**changes)))
        assert words in found.split(f'name="{name}"')[1].split('<div class="field')[0]
        assert not Pause.objects.exists()

    def test_the_list_says_how_it_ended(self, client: Client, manager: User, monkeypatch: Any) -> None:
        pauses.begin("void", "an audit", manager, clock.now() + timedelta(minutes=5))
        in_an_hour = clock.now() + timedelta(hours=1)
        client.force_login(manager)
        address = f"/admin/invoices/pause/{Pause.objects.get().pk}/"
        assert ">Resume<" in text(client.get(address))
        monkeypatch.setattr(clock, "now", lambda: in_an_hour)
        assert ">ended</span>" in text(client.get("/admin/invoices/pause/"))
        found = text(client.get(address))
        assert "by itself" in found and ">Resume<" not in found and 'class="note pause"' not in found
