"""An action on everything that a filter matches: the dry run in a bounded number of queries, the typed number, and a
batch's page and table for a thousand rows."""

from __future__ import annotations

import csv
import re
import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import assignments, clock, mirror, operations, typed
from invoices.admin.invoices import bulk
from invoices.admin.operations import batches
from invoices.models import Batch, Invoice, Operation
from invoices.operations import ACTIONS, bulk_preview
from invoices.snapshot import Snapshot
from tests.factories import InvoiceObject, InvoicePaymentObject, PaymentIntentObject, stored
from tests.helpers.admin_pages import LIST, hidden, page_after, text

pytestmark = pytest.mark.django_db
VOID = f"{LIST}bulk/void/"


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch: Any) -> None:
    monkeypatch.setattr(operations.batch, "wake", lambda task: None)


def many(number: int, **given: Any) -> list[Invoice]:
    """So many invoices, stored at once."""
    objects = [InvoiceObject(**given) for _ in range(number)]
    mirror.store([_snapshot(data) for data in objects])
    return list(Invoice.objects.filter(pk__in=[data["id"] for data in objects]))


def _snapshot(data: dict[str, Any]) -> Snapshot:
    now = clock.now().replace(microsecond=0)
    return Snapshot("invoice", data["id"], data, now - timedelta(seconds=3), now, begun_at=clock.now())


def sent(html: str, **given: Any) -> dict[str, Any]:
    number = re.search(r"Type (\d+) to confirm", html)
    assert number
    return hidden(html) | {"number": number[1], "reason": "monthly run"} | given


class TestBulkPreview:
    def test_the_list_offers_it_for_what_is_filtered(self, desk: Client, auditor: User) -> None:
        many(1)
        assert "bulk/void" not in text(desk.get(LIST))
        assert "bulk/void" not in text(desk.get(f"{LIST}?p=1"))
        assert f"{VOID}?state=open" in text(desk.get(f"{LIST}?state=open"))
        desk.force_login(auditor)
        assert "bulk/" not in text(desk.get(f"{LIST}?state=open"))
        assert desk.get(f"{VOID}?state=open").status_code == 403

    def test_nobody_means_every_invoice(self, desk: Client) -> None:
        many(1)
        for query in ("", "?p=2", "?before=", "?after=2024-01-01~in_1", "?state=&currency=", "?all="):
            assert desk.get(VOID + query)["Location"] == LIST, query
        assert desk.get(f"{VOID}?created__nonsense=1").status_code == 302
        assert desk.get(f"{LIST}bulk/finalize/?state=draft").status_code == 404

    def test_it_takes_what_the_filter_matches_and_nothing_else(self, desk: Client) -> None:
        many(60, currency="eur", amount_remaining=150)
        many(3, currency="jpy")
        many(2, status="paid")
        found = text(desk.get(f"{VOID}?state=open"))
        assert "Void: 63 invoices" in found and "EUR 90.00" in found and "JPY 3,000" in found
        found = text(desk.get(f"{VOID}?state=open&currency=jpy"))
        assert "Void: 3 invoices" in found and "EUR" not in found
        assert not Operation.objects.exists() and not Batch.objects.exists()

    def test_what_is_left_alone_is_grouped_with_the_first_few(self, desk: Client, agent: User) -> None:
        drafts = many(8, status="draft", currency="gbp")
        good, busy, asked, declined, processing = many(5, currency="gbp")
        given: dict[str, Any] = {"action": "pay", "actor": agent, "source": "admin", "reason": "x"}
        Operation.objects.create(invoice=busy.pk, state="running", **given)
        Operation.objects.create(
            invoice=declined.pk, state="failed", code="card_declined", finished_at=clock.now(), **given
        )
        Operation.objects.create(invoice=asked.pk, state="awaiting_approval", **(given | {"action": "void"}))
        Invoice.objects.filter(pk=asked.pk).update(amount_remaining=200_000)  # above the threshold
        stored(PaymentIntentObject(id="pi_on_its_way", status="processing"))
        stored(
            InvoicePaymentObject(
                invoice=processing.pk, payment={"type": "payment_intent", "payment_intent": "pi_on_its_way"}
            )
        )
        found = text(desk.get(f"{VOID}?currency=gbp"))
        assert "Void: 3 invoices" in found and "draft; finalize it first" in found
        assert "Another operation on this invoice is under way" in found and "already waits for approval" in found
        group = found.split("finalize it first")[1].split("</li>")[0]
        assert group.count("<a href") == bulk_preview.INVOICES_SHOWN_PER_REASON
        assert f"and {len(drafts) - bulk_preview.INVOICES_SHOWN_PER_REASON} more" in group
        found = text(desk.get(f"{LIST}bulk/pay/?currency=gbp&state=open"))
        assert "Pay: 2 invoices" in found and "declined within the last hour" in found
        assert "still being processed by the bank" in found and good.pk in hidden(found)["seen"]

    def test_a_thousand_take_no_more_queries_than_their_chunks(
        self, desk: Client, django_assert_max_num_queries: Any
    ) -> None:
        many(bulk_preview.CHUNK_SIZE + 100)
        with django_assert_max_num_queries(10 + 2 * 5 + 14) as queries:
            found = text(desk.get(f"{VOID}?state=open"))
        assert "Void: 600 invoices" in found and "And 580 more" in found
        assert not [query for query in queries.captured_queries if "COUNT(" in query["sql"]]

    @pytest.mark.parametrize("action", sorted(bulk.BULK_ACTIONS))
    def test_thirty_take_as_many_queries_as_three(self, agent: User, action: str) -> None:
        many(30)
        numbers = []
        for count in (3, 30):
            chosen = Invoice.objects.filter(pk__in=list(Invoice.objects.values_list("pk", flat=True)[:count]))
            with CaptureQueriesContext(connection) as queries:
                assert bulk_preview.preview_of(ACTIONS[action], chosen, agent).acted_on == count
            numbers.append(len(queries))
        assert numbers[0] == numbers[1] <= 10  # on PostgreSQL one asks the time, for the pauses

    def test_no_more_than_a_batch_may_hold(self, desk: Client, agent: User, monkeypatch: Any) -> None:
        monkeypatch.setattr(bulk_preview.batch, "MAX_INVOICES", 5)
        many(7)
        run = bulk_preview.preview_of(ACTIONS["void"], Invoice.objects.all(), agent)
        assert (run.matched, run.acted_on, run.exceeds_batch_limit) == (5, 5, True)
        assert "match" in text(desk.get(f"{VOID}?state=open"))

    def test_a_pause_is_said_before(self, desk: Client, manager: User) -> None:
        many(1)
        operations.pauses.begin("void", "The books are being closed", manager)
        found = text(desk.get(f"{VOID}?state=open"))
        assert "Paused" in found and "<textarea" not in found


class TestTypedNumber:
    @pytest.mark.parametrize("typed", ["", "2", "0", "three", "3.0", "-3"])
    def test_another_number_starts_nothing(self, desk: Client, typed: str) -> None:
        many(3)
        path = f"{VOID}?state=open"
        response = desk.post(path, sent(text(desk.get(path)), number=typed))
        found = text(response)
        field = found.split('name="number"')[1].split("</div>")[0]
        assert response.status_code == 400 and 'class="error"' in field
        assert "monthly run" in found and not Batch.objects.exists()

    def test_the_number_is_of_what_was_shown(self, desk: Client) -> None:
        """What matches only since the page was opened is not done; what no longer does is found out one by one."""
        many(3)
        path = f"{VOID}?state=open"
        given = sent(text(desk.get(path)))
        many(2)
        desk.post(path, given)
        assert len(Batch.objects.get().items) == 3
        wrong = desk.post(path, given | {"reason": "", "batch": "5f1f7d3e-0c5b-4d0f-9a59-0f5d7d3c2b11"})
        assert "Type 5 to confirm" in text(wrong)

    def test_it_may_be_written_with_a_comma(self, desk: Client) -> None:
        many(1100)
        path = f"{VOID}?state=open"
        response = desk.post(path, sent(text(desk.get(path)), number=" 1,100 "))
        assert response.status_code == 302
        batch = Batch.objects.get()
        assert len(batch.items) == 1100 and batch.request_id and batch.address == "127.0.0.1"

    def test_a_stranger_posts_in_vain(self, client: Client, auditor: User) -> None:
        many(1)
        client.force_login(auditor)
        assert client.post(f"{VOID}?state=open", {"seen": "in_1 open 1", "number": "1"}).status_code == 403
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("chief"))
        assert strict.post(f"{VOID}?state=open", {"seen": "in_1 open 1", "number": "1"}).status_code == 403
        assert not Batch.objects.exists()


class TestBatchPage:
    @pytest.fixture
    def batch(self, agent: User) -> Batch:
        """A hundred and twenty invoices: some done, some failed, the rest not begun."""
        invoices = many(120, customer_name='=HYPERLINK("http://evil")')
        batch = Batch.objects.create(
            action="void", actor=agent, reason="x", items=[[i.pk, i.status, i.amount_remaining] for i in invoices]
        )
        for number, invoice in enumerate(invoices[:70]):
            failed = number % 10 == 0
            Operation.objects.create(
                id=uuid.uuid5(batch.pk, invoice.pk),
                action="void",
                invoice=invoice.pk,
                actor=agent,
                source="admin",
                reason="x",
                batch=batch,
                state="failed" if failed else "succeeded",
                message="-1 is no reason" if failed else "",
                code="stripe_refused" if failed else "",
                outcome_by="us",
            )
        return batch

    def path(self, batch: Batch) -> str:
        return f"/admin/invoices/batch/{batch.pk}/"

    def test_it_is_paged_and_narrowed(self, desk: Client, batch: Batch, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(14):
            found = text(desk.get(self.path(batch)))
        assert "70 of 120 finished" in found and found.count("<tr>") == batches.INVOICES_PER_PAGE + 1
        assert "?p=2" in found and ">Previous</a>" not in found
        last = text(desk.get(f"{self.path(batch)}?p=99"))
        assert ">Next</a>" not in last and last.count("<tr>") == 120 - 2 * batches.INVOICES_PER_PAGE + 1
        failed = text(desk.get(f"{self.path(batch)}?state=failed"))
        assert failed.count("-1 is no reason") == 7 and "Waits for its turn" not in failed
        waiting = text(desk.get(f"{self.path(batch)}?state=waiting"))
        assert waiting.count("Waits for its turn") == 50 and "?state=waiting" in waiting
        assert "None in this state" in text(desk.get(f"{self.path(batch)}?state=nonsense"))

    def test_cancelled_it_asks_no_more(self, desk: Client, batch: Batch) -> None:
        found = page_after(desk, desk.post(f"{self.path(batch)}cancel/"))
        assert "not begun 50" in found and "hx-get" not in found.split('id="rows"')[1].split("</section>")[0]

    def test_the_table_has_every_row_and_no_formula(
        self, desk: Client, batch: Batch, django_assert_max_num_queries: Any
    ) -> None:
        response = desk.get(f"{self.path(batch)}table.csv")
        assert response.streaming and response["Content-Type"].startswith("text/csv")
        with django_assert_max_num_queries(6):  # two for each page of rows
            rows = list(csv.DictReader(StringIO(b"".join(response).decode())))
        assert len(rows) == 120
        assert {row["state"] for row in rows} == {"failed", "succeeded", "waiting"}
        failed = next(row for row in rows if row["state"] == "failed")
        assert failed["amount"] == "USD 10.00" and failed["code"] == "stripe_refused"
        assert failed["message"] == "'-1 is no reason" and failed["customer"].startswith("'=")
        assert Operation.objects.filter(pk=failed["operation"], invoice=failed["invoice"]).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("ticked", [["\x00"], ["in_1\x00"], ["\x00", "in_nowhere"]])
def test_what_is_no_key_breaks_no_list(desk: Client, ticked: list[str]) -> None:
    """PostgreSQL takes no text with NUL."""
    for list_of, action in (("invoice", "void"), ("event", "replay")):
        given: dict[str, Any] = {"action": action, "_selected_action": ticked, "select_across": "0"}
        assert desk.post(f"/admin/invoices/{list_of}/", given).status_code in (200, 302, 400), list_of
    for sent in ({"chosen": ",".join(ticked)}, {"chosen": "", "seen": f"{ticked[0]} open 100"}):
        assert desk.post(VOID, {"number": "1", "reason": "x", **sent}).status_code in (302, 400)
    assert not Batch.objects.exists()


class TestTicked:
    """What was ticked is kept under a name in the preview's address."""

    def tick(self, client: Client, ids: list[str], **given: Any) -> Any:
        return client.post(f"{LIST}?state=open", {"action": "void", "_selected_action": ids, "index": "0", **given})

    def marked(self, client: Client, page: str) -> str:
        """The mark of the forms of a page."""
        return hidden(text(client.get(page)))[typed.MARK]

    def test_the_preview_is_a_page_that_can_be_opened_again(self, desk: Client) -> None:
        two = many(2)
        many(1)
        address = self.tick(desk, [each.pk for each in two])["Location"]
        assert address.startswith(VOID)
        for _ in range(2):
            assert "Void: 2 invoices" in text(desk.get(address))
        response = desk.post(address, sent(text(desk.get(address))))
        assert response.status_code == 302 and len(Batch.objects.get().items) == 2

    def test_one_leaves_it_for_the_page_where_one_ticked(self, desk: Client) -> None:
        (one,) = many(1)
        page = f"{LIST}?state=open&q=ada"
        address = self.tick(desk, [one.pk], **{typed.MARK: self.marked(desk, page)})["Location"]
        back = page.replace("&", "&amp;")
        assert f'href="{back}">Cancel</a>' in text(desk.get(address))
        wrong = desk.post(address, sent(text(desk.get(address)), reason=""))
        assert wrong.status_code == 400 and f'href="{back}">Cancel</a>' in text(wrong)

    def test_with_nothing_ticked_one_stays_where_one_was(self, desk: Client) -> None:
        many(1)
        page = f"{LIST}?state=open&q=ada"
        given = {"action": "void", "index": "0", typed.MARK: self.marked(desk, page)}
        response = desk.post(LIST, given)
        assert response["Location"] == page
        assert "no invoice is ticked" in text(desk.get(page))

    def test_nobody_is_led_to_a_foreign_page(self, desk: Client) -> None:
        response = desk.post(LIST, {"action": "void", "index": "0", typed.MARK: "https://evil.example/"})
        assert response["Location"] == LIST

    def test_what_is_not_known_any_more_is_said(self, desk: Client) -> None:
        many(1)
        response = desk.get(f"{VOID}?ticked=gone&state=open")
        assert response["Location"] == f"{LIST}?state=open"
        assert "no longer known" in text(desk.get(response["Location"]))

    def test_after_a_lost_session_the_form_is_there_again(self, client: Client, agent: User) -> None:
        client.force_login(agent)
        address = self.tick(client, [each.pk for each in many(2)])["Location"]
        given = sent(text(client.get(address)), reason="words of mine")
        client.cookies.clear()
        sign_in = client.post(address, given)["Location"]
        assert "login" in sign_in and not Batch.objects.exists()
        kept = client.session["typed_text"]
        client.force_login(agent)
        session = client.session
        session["typed_text"] = kept  # as signing in carries it over
        session.save()
        page = text(client.get(address))
        assert "Void: 2 invoices" in page and "words of mine" in page

    def test_a_pause_that_begins_meanwhile_loses_nothing(self, desk: Client, manager: User) -> None:
        many(2)
        path = f"{VOID}?state=open"
        given = sent(text(desk.get(path)), reason="words of mine")
        operations.pauses.begin("void", "The books are being closed", manager)
        found = text(desk.post(path, given))
        assert "words of mine</textarea>" in found.replace("\n", "") and "The books are being closed" in found
        assert not Batch.objects.exists()


def test_the_preview_says_who_has_some_of_the_invoices(desk: Client, agent: User, manager: User) -> None:
    mine, *hers = many(3)
    assignments.give(mine.pk, agent.get_username(), by=manager, seen=None)
    for each in hers:
        assignments.give(each.pk, manager.get_username(), by=manager, seen=None)
    found = text(desk.get(f"{VOID}?state=open"))
    assert f"{manager} has 2 of these invoices. Speak to {manager} before you act on them." in found
    assert f"{agent} has" not in found
