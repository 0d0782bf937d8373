"""The pages of reconciliation: what a run is, how far it is, its differences by invoice with money, the grand total."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.translation import gettext

from invoices import clock, money, reconcile, sync
from invoices.admin.reconciliation import healing, money_at_stake
from invoices.models import Drift, Invoice, ReconciliationRun
from invoices.reconcile import suspects
from invoices.reconcile.grand_total import grand_total, result
from tests.factories import CustomerObject, InvoiceObject, invoice_at, stored
from tests.helpers.admin_pages import text
from tests.helpers.commands import run_command
from tests.helpers.stripe_state import drain
from tests.sandbox_process import SandboxProcess

RUNS = "/admin/invoices/reconciliationrun/"


@pytest.fixture
def desk(client: Client, manager: User) -> Client:
    client.force_login(manager)
    return client


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof waits for events that no test sends meanwhile."""
    monkeypatch.setattr(suspects, "EVENT_ARRIVES", timedelta(0))


def run(**given: Any) -> ReconciliationRun:
    given = {"kind": "sweep", "state": "finished", "exit_code": 0, "finished_at": clock.now()} | given
    return ReconciliationRun.objects.create(**given)


def page(desk: Client, made: ReconciliationRun) -> str:
    return text(desk.get(f"{RUNS}{made.pk}/"))


def section(html: str, id: str) -> str:
    return html.partition(f'id="{id}"')[2].partition("</section>")[0]


@pytest.mark.django_db
class TestWhatARunIs:
    @pytest.mark.parametrize("kind", ReconciliationRun.Kind.values)
    def test_each_kind_is_explained(self, desk: Client, kind: str) -> None:
        made = run(kind=kind)
        words = {
            "sweep": "Runs every night",
            "full": "fills an empty desk",
            "part": "One of 28 parts",
            "invoice": "Compares one invoice",
            "catch_up": "whose webhook never reached us",
            "verify": "proof of how we stood",
        }[kind]
        assert words in page(desk, made) and words in text(desk.get(RUNS))

    def test_a_dry_run_says_that_it_healed_nothing(self, desk: Client) -> None:
        assert "This one was a dry run" in page(desk, run(kind="full", dry_run=True))


@pytest.mark.django_db
class TestInGerman:
    def test_numbers_amounts_and_days(self, client: Client, manager: User) -> None:
        client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
        client.force_login(manager)
        sides = {"ours": {"groups": {"usd open": [1234, 123_456, 0, 123_456]}}, "theirs": {"groups": {}}}
        report = {"kinds": {"invoice": {"here": 1234}}, "days": [{"object": "invoice", "day": "2026-01-31", **sides}]}
        found = page(client, run(kind="verify", exit_code=3, failed=1, seen=1234, report=report))
        assert "31.01.2026" in found and "1.234,56 USD" in found and "1.234" in found and "1,234" not in found
        progress = {"finished": ["a"] * 1000, "windows": [{}] * 2000}
        running = page(client, run(state="running", exit_code=None, finished_at=None, progress=progress))
        assert 'max="2000" value="1000"' in running

    def test_what_a_run_keeps_stays_english_and_is_shown_in_german(self, client: Client, manager: User) -> None:
        client.force_login(manager)
        made = run(state="failed", exit_code=1, error="Its process died.")
        made.progress.interruptions.append("2026-11-21 02:10 UTC: It was stopped.")
        made.save()
        found = text(client.get(f"{RUNS}{made.pk}/", headers={"accept-language": "de"}))
        with translation.override("de"):
            assert gettext("Its process died.") in found and gettext("It was stopped.") in found
        assert re.search(r"21\.11\.2026, \d\d:10: ", found)
        made.refresh_from_db()
        assert made.error == "Its process died." and "Its process died." in page(client, made)


@pytest.mark.django_db
class TestUnderWay:
    def going(self, **given: Any) -> ReconciliationRun:
        progress = {"finished": ["a", "b"], "windows": [{}, {}, {}]}
        return run(**({"state": "running", "exit_code": None, "finished_at": None, "progress": progress} | given))

    def test_the_list_follows_a_run_by_itself(self, desk: Client) -> None:
        assert "is running" not in text(desk.get(RUNS))
        made = self.going(seen=1234)
        found = text(desk.get(RUNS))
        assert "1,234 seen so far, 2 of 3 parts done" in found and 'max="3" value="2"' in found
        address = f"{RUNS}under-way/?known={made.pk}"
        assert f'hx-get="{address}"' in found
        part = text(desk.get(address))
        assert "<html" not in part and f'hx-get="{address}"' in part

    def test_one_that_began_meanwhile_appears(self, desk: Client) -> None:
        assert f'hx-get="{RUNS}under-way/?known="' in text(desk.get(RUNS))
        made = self.going()
        assert f"known={made.pk}" in text(desk.get(f"{RUNS}under-way/?known="))

    def test_when_one_ends_the_list_is_read_again(self, desk: Client) -> None:
        made = self.going()
        ReconciliationRun.objects.update(state="finished", exit_code=0)
        assert desk.get(f"{RUNS}under-way/?known={made.pk}")["HX-Refresh"] == "true"
        assert "HX-Refresh" not in desk.get(f"{RUNS}under-way/?known=")

    def test_a_silent_one_says_so(self, desk: Client) -> None:
        self.going(alive_at=clock.now() - timedelta(hours=1))
        assert "may have died" in text(desk.get(f"{RUNS}under-way/"))

    @pytest.mark.parametrize("known", ["x", "0", "1,,2", "%00", "9" * 200])
    def test_any_address(self, desk: Client, known: str) -> None:
        assert desk.get(f"{RUNS}under-way/?known={known}").status_code == 200

    def test_only_for_who_may_see_runs(self, client: Client) -> None:
        client.force_login(User.objects.create_user("nobody", is_staff=True))
        assert client.get(f"{RUNS}under-way/").status_code == 403

    def test_a_run_shows_its_progress(self, desk: Client) -> None:
        assert 'max="3" value="2"' in page(desk, self.going())


def difference(made: ReconciliationRun, invoice: Invoice, **given: Any) -> Drift:
    given = {"kind": "differs", "object_type": "invoice", "object_id": invoice.pk, "invoice": invoice.pk} | given
    return Drift.objects.create(run=made, **given)


@pytest.mark.django_db
class TestMoney:
    def test_amounts_are_added_up_by_kind_and_currency(self, desk: Client) -> None:
        made = run(exit_code=4, failed=3)
        one, other = stored(InvoiceObject(number="ONE")), stored(InvoiceObject(number="TWO"))
        yen = stored(InvoiceObject(number="YEN", currency="jpy"))
        difference(made, one, field="amount_remaining", ours=10_00, theirs=0)
        difference(made, other, field="amount_remaining", ours=5_00, theirs=1_00)
        difference(made, yen, field="amount_remaining", ours=500, theirs=700)
        difference(made, one, field="status", ours="open", theirs="paid")
        difference(made, one, field="lines.data.0.amount", ours=1, theirs=2)
        stakes, more = money_at_stake.of_run(made)
        assert not more
        assert [(each.currency, each.objects, each.ours, each.theirs) for each in stakes] == [
            ("jpy", 1, 500, 700),
            ("usd", 2, 15_00, 1_00),
        ]
        found = section(page(desk, made), "differences")
        assert "USD 15.00" in found and "JPY 500" in found and "JPY -200" in found
        assert "<b>USD 10.00</b> here, <b>USD 0.00</b> at Stripe" in found

    def test_what_a_side_lacks_counts_as_nothing(self) -> None:
        made = run(exit_code=4)
        gone = {"object_type": "invoice", "object_id": "in_gone", "invoice": "in_gone"}
        whole = {"currency": "eur", "total": 900, "amount_remaining": 400, "amount_paid": 500}
        Drift.objects.create(run=made, kind="missing_here", theirs=whole, **gone)
        stakes, _ = money_at_stake.of_run(made)
        assert {(each.amount, each.ours, each.theirs) for each in stakes} == {
            ("total", 0, 900),
            ("amount remaining", 0, 400),
            ("amount paid", 0, 500),
        }

    def test_the_currency_is_read_without_the_invoices(self) -> None:
        made, invoice = run(exit_code=4), stored(InvoiceObject(currency="eur"))
        stored(CustomerObject(id="cus_1", currency="gbp"))
        about = {"object_type": "customer", "object_id": "cus_1", "field": "balance"}
        Drift.objects.create(run=made, kind="differs", ours=100, theirs=0, **about)
        difference(made, invoice, field="total", ours=200, theirs=0)
        with CaptureQueriesContext(connection) as asked:
            stakes, _ = money_at_stake.of_run(made)
        assert [stake.too_much for stake in stakes] == ["GBP 1.00", "EUR 2.00"]
        assert not [query["sql"] for query in asked if '"invoices_invoice"."data"' in query["sql"]]

    def test_many_are_added_up_in_part_and_it_says_so(self, desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(money_at_stake, "MOST_ROWS", 1)
        made = run(exit_code=4)
        for number in range(2):
            difference(made, stored(InvoiceObject(number=str(number))), field="amount_paid", ours=1, theirs=0)
        stakes, more = money_at_stake.of_run(made)
        assert more and stakes[0].objects == 1
        assert "added up over the newest differences" in page(desk, made)

    def test_values_of_any_shape(self, desk: Client) -> None:
        made, invoice = run(exit_code=4), stored(InvoiceObject())
        for value in ("x", None, [1], {"a": 1}, True, 1.5, 10**30):
            difference(made, invoice, field="amount_paid", ours=value, theirs=3)
        for whole in (None, "x", {"currency": 7, "total": "y"}, {"currency": "usd", "total": None}):
            difference(made, invoice, kind="missing_here", theirs=whole)
        Drift.objects.create(run=made, kind="unreadable", object_type="martian", object_id="", reason="no object")
        assert desk.get(f"{RUNS}{made.pk}/").status_code == 200


@pytest.mark.django_db
def test_the_differences_stand_invoice_by_invoice(desk: Client) -> None:
    made = run(exit_code=4)
    one, other = stored(InvoiceObject(number="ONE")), stored(InvoiceObject(number="TWO"))
    for field in ("status", "amount_paid", "amount_remaining"):
        for invoice in (one, other):
            difference(made, invoice, field=field, ours=1, theirs=2)
    found = section(page(desk, made), "differences")
    assert found.count('<article class="difference"') == 2
    for article in found.split("<article")[1:]:
        assert article.count("/admin/invoices/drift/") == 3


@pytest.mark.django_db(transaction=True)
class TestWhatHealedIt:
    @pytest.fixture
    def proved(self, sandbox: SandboxProcess, no_wait: None) -> tuple[ReconciliationRun, str]:
        """A proof that found an invoice paid at Stripe and open here; no webhook has told of it."""
        made = invoice_at(sandbox, 1234)
        assert reconcile.sweep_lists("full").exit_code == 0
        drain()
        sandbox.client().v1.invoices.pay(made.id)
        return reconcile.verify(), made.id

    def test_open_until_something_heals_it(self, desk: Client, proved: tuple[ReconciliationRun, str]) -> None:
        made, invoice = proved
        found = section(page(desk, made), "differences")
        assert "<b>USD 12.34</b> here, <b>USD 0.00</b> at Stripe" in found and ">open<" in found
        healer = reconcile.compare_invoice(invoice)
        found = section(page(desk, made), "differences")
        assert f">run #{healer.pk}</a>" in found and f'href="{RUNS}{healer.pk}/"' in found
        row = made.drift.get(object_id=invoice, field="status")
        assert f"run #{healer.pk}" in text(desk.get(f"/admin/invoices/drift/{row.pk}/"))
        assert "this run" in section(page(desk, healer), "differences")

    def test_an_event_that_came_later(self, desk: Client, proved: tuple[ReconciliationRun, str]) -> None:
        made, invoice = proved
        reconcile.catch_up()
        sync.process_events()
        assert Invoice.objects.get(pk=invoice).status == "paid"
        found = section(page(desk, made), "differences")
        status = found.split('title="status"')[1].split("</tr>")[0]
        assert "healed" in status and "/admin/invoices/event/evt_" in status

    def test_what_moved_on_is_not_called_healed(self, proved: tuple[ReconciliationRun, str]) -> None:
        made, invoice = proved
        Invoice.objects.filter(pk=invoice).update(data={"id": invoice, "object": "invoice", "status": "void"})
        row = made.drift.get(object_id=invoice, field="status")
        held = {("invoice", invoice): Invoice.objects.get(pk=invoice)}
        assert healing.fates([row], held)[row.pk] == healing.CHANGED

    def test_what_was_missing_and_came(self, sandbox: SandboxProcess, no_wait: None, desk: Client) -> None:
        reconcile.sweep_lists("full")
        drain()
        made = invoice_at(sandbox, 700)
        proof = reconcile.verify()
        row = proof.drift.get(object_id=made.id)
        assert row.kind == "missing_here"
        assert healing.fates([row], {})[row.pk] == healing.OPEN
        reconcile.compare_invoice(made.id)
        held = {("invoice", made.id): Invoice.objects.get(pk=made.id)}
        assert healing.fates([row], held)[row.pk].words == "healed"
        found = section(page(desk, proof), "differences")
        assert "USD 7.00" in found


@pytest.mark.django_db(transaction=True)
class TestGrandTotal:
    def test_it_is_the_sum_of_everything(self, sandbox: SandboxProcess, desk: Client, no_wait: None) -> None:
        sandbox.reset(invoices=40, seed=5)
        reconcile.sweep_lists("full")
        drain()
        made = reconcile.verify()
        totals = grand_total(made.report)
        for total in totals:
            if total.object == "invoice":
                rows = Invoice.objects.filter(currency=total.currency, deleted_at=None)
                sums = rows.aggregate(Sum("total"), Sum("amount_paid"), Sum("amount_remaining"))
                assert total.ours == (rows.count(), *sums.values()) and total.equal
        assert sum(total.ours[0] for total in totals) == made.seen
        found = section(page(desk, made), "grand-total")
        dollars = next(total for total in totals if (total.object, total.currency) == ("invoice", "usd"))
        assert found.count(money.text(dollars.ours[1], "usd")) >= 2
        assert f"{made.seen:,} objects here, {made.seen:,} at Stripe: every number and every sum is the same." in found

    def test_the_command_ends_with_it(self, sandbox: SandboxProcess, no_wait: None) -> None:
        made = invoice_at(sandbox, 1234)
        reconcile.sweep_lists("full")
        drain()
        sandbox.client().v1.invoices.void_invoice(made.id)
        code, said = run_command("reconcile", "--verify")
        *_, last, result_line = said.splitlines()
        assert code == 3 and "totals are not the same" not in result_line
        assert last.startswith("  ") and "objects here" in last and "something else differs" in last
        assert "Grand total:" in said and "USD 12.34" in said.split("Grand total:")[1]

    def test_a_sum_that_differs(self, desk: Client) -> None:
        def day(ours: list[int], theirs: list[int]) -> dict[str, Any]:
            sides = {"ours": {"groups": {"usd open": ours}}, "theirs": {"groups": {"usd open": theirs}}}
            return {"object": "invoice", "day": "2026-01-31", "equal": ours == theirs, "found": {}} | sides

        report = {"kinds": {}, "days": [day([2, 500, 0, 500], [2, 500, 0, 500]), day([1, 100, 0, 100], [1, 90, 0, 90])]}
        made = run(kind="verify", exit_code=3, failed=1, report=report)
        found = section(page(desk, made), "grand-total")
        assert "USD 6.00" in found and "USD 5.90" in found and "USD 0.10" in found
        assert "1 of 1 totals are not the same" in found

    @pytest.mark.parametrize("report", [{}, [], {"days": [None, {}]}, {"days": [{"ours": None, "theirs": 7}]}, None])
    def test_a_report_of_any_shape(self, report: Any) -> None:
        assert grand_total(report) == [] and result([], True) == "Neither side has anything."
