"""Explaining what no run healed: who may, what it changes, and that the same difference found again stays explained."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from invoices import clock, erasure, journal, month_end, reconcile
from invoices.models import Drift, DriftExplanation, ReconciliationRun
from invoices.month_end import Month
from invoices.operations import Invalid, Refusal
from invoices.reconcile import explaining, suspects
from tests.factories import CustomerObject, InvoiceObject, invoice_at, stored
from tests.helpers.admin_pages import text
from tests.helpers.commands import run_command
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/invoices/drift/"
WHY = "It was made by hand in a test account that is gone."


@pytest.fixture
def left(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> Drift:
    """Two invoices of ours that Stripe does not have, as a sweep found them."""
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))  # no event comes meanwhile
    invoice_at(sandbox)
    for id in ("in_of_nobody", "in_of_no_one"):
        stored(InvoiceObject(id=id, status="open", created=int(clock.now().timestamp())))
    assert reconcile.sweep_lists("sweep").exit_code == 4
    return Drift.objects.get(object_id="in_of_nobody")


def waiting() -> int:
    return Drift.objects.filter(explaining.left(clock.now())).count()


def differing(run: ReconciliationRun, **given: Any) -> Drift:
    given = {"kind": "differs", "object_type": "invoice", "object_id": "in_1", "invoice": "in_1", **given}
    return Drift.objects.create(run=run, found_at=clock.now(), **given)


class TestWhatItChanges:
    def test_an_explained_difference_waits_for_nobody_until_it_is_taken_back(self, left: Drift, manager: User) -> None:
        assert waiting() == 2
        explaining.explain(left.pk, WHY, by=manager)
        assert waiting() == 1
        explaining.take_back(left.pk, "It is there again.", by=manager)
        assert waiting() == 2
        assert list(DriftExplanation.objects.order_by("written_at").values_list("what", flat=True)) == [
            "explained",
            "taken_back",
        ]

    def test_a_later_run_that_finds_the_same_finds_it_explained(self, left: Drift, manager: User) -> None:
        explaining.explain(left.pk, WHY, by=manager)
        run = reconcile.sweep_lists("sweep")
        assert run.exit_code == 4  # it is drift all the same
        again = {row.object_id: row for row in run.drift.all()}
        assert again["in_of_nobody"].explanation and again["in_of_nobody"].explanation.text == WHY
        assert again["in_of_no_one"].explanation is None

    def test_with_another_value_it_is_another_difference(self, manager: User) -> None:
        run = ReconciliationRun.objects.create(kind="verify", state="finished")
        explaining.explain(differing(run, field="total", ours=1, theirs=2).pk, WHY, by=manager)
        about = {"run": run, "kind": "differs", "object_type": "invoice", "object_id": "in_1", "field": "total"}
        found = [Drift(**about, ours=1, theirs=theirs) for theirs in (2, 3)]
        explaining.carry_over(found)
        assert [row.explanation_id is not None for row in found] == [True, False]

    def test_what_was_taken_back_is_not_carried_over(self, left: Drift, manager: User) -> None:
        explaining.explain(left.pk, WHY, by=manager)
        reconcile.sweep_lists("sweep")
        explaining.take_back(left.pk, "No.", by=manager)  # on the first finding, it holds for the second too
        assert not Drift.objects.filter(explanation__isnull=False).exists()
        assert reconcile.sweep_lists("sweep").drift.filter(explanation__isnull=False).count() == 0

    def test_all_of_an_invoice_at_once(self, manager: User) -> None:
        run = ReconciliationRun.objects.create(kind="sweep", state="finished")
        rows = [differing(run, field=name) for name in ("total", "subtotal", "due_date")]
        healed = differing(run, field="memo", healed_at=clock.now())
        other = differing(run, object_id="in_2", invoice="in_2")
        assert explaining.others(rows[0]) == 2
        explaining.explain(rows[0].pk, WHY, by=manager, with_others=True)
        explained = set(Drift.objects.filter(explanation__isnull=False).values_list("pk", flat=True))
        assert explained == {row.pk for row in rows} and not {healed.pk, other.pk} & explained

    def test_it_stands_in_the_journal(self, left: Drift, manager: User) -> None:
        explaining.explain(left.pk, WHY, by=manager)
        journal.chain()
        assert journal.verify().finding is None
        with pytest.raises(Exception, match="journal"):
            DriftExplanation.objects.update(text="something else")


class TestRefusals:
    def test_without_permission(self, left: Drift, agent: User, auditor: User) -> None:
        for user in (agent, auditor):
            with pytest.raises(Refusal):
                explaining.explain(left.pk, WHY, by=user)
            with pytest.raises(Refusal):
                explaining.take_back(left.pk, WHY, by=user)
        assert not DriftExplanation.objects.exists()

    @pytest.mark.parametrize("words", ["", "  \n", "x" * 2_001, "a\x00b"])
    def test_words_that_cannot_be_stored(self, left: Drift, manager: User, words: str) -> None:
        with pytest.raises(Invalid) as refused:
            explaining.explain(left.pk, words, by=manager)
        assert refused.value.param == "text" and not DriftExplanation.objects.exists()

    def test_what_was_healed_and_what_nobody_explained(self, left: Drift, manager: User) -> None:
        with pytest.raises(Refusal, match="Nobody"):
            explaining.take_back(left.pk, WHY, by=manager)
        Drift.objects.filter(pk=left.pk).update(healed_at=clock.now())
        with pytest.raises(Refusal, match="healed"):
            explaining.explain(left.pk, WHY, by=manager)


class TestThePages:
    def test_finance_explains_and_takes_back(self, left: Drift, finance: User, client: Client) -> None:
        client.force_login(finance)
        page = f"{LIST}{left.pk}/"
        assert "Explain this difference" in text(client.get(page))
        answer = client.post(f"{page}explain/", {"text": ""})
        assert answer.status_code == 400 and "Please say why" in text(answer)
        shown = text(client.post(f"{page}explain/", {"text": f"{WHY} <script>"}, follow=True))
        assert f"{WHY} &lt;script&gt;" in shown and "Take the explanation back" in shown
        assert "explained" in text(client.get(f"{LIST}?left=explained"))
        assert "in_of_nobody" not in text(client.get(f"{LIST}?left=week"))
        assert "explained" in text(client.get(f"/admin/invoices/reconciliationrun/{left.run_id}/"))
        shown = text(client.post(f"{page}explain/", {"text": "Not so.", "take_back": "1"}, follow=True))
        assert "Explain this difference" in shown and "in_of_nobody" in text(client.get(f"{LIST}?left=week"))

    @pytest.mark.parametrize("who", ["agent", "auditor"])
    def test_others_read_and_write_nothing(
        self, left: Drift, manager: User, client: Client, who: str, request: pytest.FixtureRequest
    ) -> None:
        explaining.explain(left.pk, WHY, by=manager)
        client.force_login(request.getfixturevalue(who))
        shown = text(client.get(f"{LIST}{left.pk}/"))
        assert WHY in shown and "Take it back" not in shown
        assert client.post(f"{LIST}{left.pk}/explain/", {"text": "x"}).status_code == 403

    def test_addresses_that_lead_nowhere(self, manager: User, client: Client) -> None:
        client.force_login(manager)
        assert client.post(f"{LIST}999999/explain/", {"text": "x"}).status_code == 404
        assert client.post(f"{LIST}x/explain/", {"text": "x"}).status_code == 404
        assert client.get(f"{LIST}1/explain/").status_code == 405


class TestWhereItIsTold:
    def test_files_reports_the_api_and_the_command(
        self, left: Drift, manager: User, client: Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        explaining.explain(left.pk, WHY, by=manager)
        client.force_login(manager)
        file = b"".join(client.get(f"{LIST}download.csv?columns=all").streaming_content).decode()  # type: ignore[attr-defined]
        assert WHY in file and manager.username in file
        today = f"{clock.now():%Y-%m-%d}"
        call_command("report", "drift", "--from", today, "--to", today, "--format", "json")
        shown = capsys.readouterr().out
        assert WHY in shown and "missing_at_stripe.explained" in shown
        code, out = run_command("reconcile", "--json")
        rows = {each["id"]: each for each in json.loads(out)["drift"]}
        assert rows["in_of_nobody"]["explanation"] == WHY and rows["in_of_no_one"]["explanation"] is None
        assert code == 4 and "(left, explained)" in run_command("reconcile")[1]

    def test_a_month_can_be_closed_with_it(self, left: Drift, manager: User) -> None:
        month = Month.last("UTC")
        unmet = {check.name for check in month_end.checks(month) if check.blocks and not check.met}
        assert "drift" in unmet
        explaining.explain(left.pk, WHY, by=manager)
        explaining.explain(Drift.objects.get(object_id="in_of_no_one").pk, WHY, by=manager)
        checks = {check.name: check for check in month_end.checks(month)}
        assert checks["drift"].met and checks["explained"].count == 2 and not checks["explained"].blocks

    def test_a_proof_is_met_when_all_that_it_found_is_explained(self, left: Drift, manager: User) -> None:
        month = Month.last("UTC")

        def proved() -> month_end.Check:
            assert not reconcile.verify().report["equal"]
            return next(check for check in month_end.checks(month) if check.name == "proof")

        assert not proved().met
        explaining.explain(left.pk, WHY, by=manager)
        assert not proved().met
        explaining.explain(Drift.objects.get(object_id="in_of_no_one", run=left.run).pk, WHY, by=manager)
        check = proved()
        assert check.met and "explained" in check.in_words()

    def test_an_erasure_takes_the_words(self, left: Drift, manager: User) -> None:
        stored(CustomerObject(id="cus_gone", email="gone@example.com"))
        stored(InvoiceObject(id="in_of_nobody", status="open", customer="cus_gone", created=1_700_000_000))
        explaining.explain(left.pk, "Gone Person paid in cash", by=manager)
        assert "drift_explanation" in erasure.JOURNAL
        assert set(erasure.JOURNAL["drift_explanation"]("cus_gone")) == set(DriftExplanation.objects.all())
