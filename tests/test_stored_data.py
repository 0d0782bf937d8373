"""What is stored about one customer: found as an erasure finds it, shown, downloaded, and every look recorded."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import clock, customer_rows, erasure, stored_data
from invoices.journal import archives
from invoices.models import (
    Batch,
    BatchItem,
    Contradiction,
    Disclosure,
    Drift,
    Email,
    Event,
    Invoice,
    Operation,
    ReconciliationRun,
    personal,
)
from tests.factories import (
    ChargeObject,
    CreditNoteObject,
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    RefundObject,
    stored,
)
from tests.helpers.events import stripe_event

pytestmark = pytest.mark.django_db

MINE, OTHER = "cus_1", "cus_12"  # one id begins as the other does
PAGE = f"/admin/invoices/customer/{MINE}/stored/"


@pytest.fixture(autouse=True)
def archive_dir(settings: Any, tmp_path: Path) -> Path:
    settings.ARCHIVE_DIR = tmp_path
    return tmp_path


@pytest.fixture
def everything(agent: User) -> Operation:
    """Something of two customers in each table."""
    run = ReconciliationRun.objects.create(kind="sweep")
    for customer, invoice, name in ((OTHER, "in_2", "Bo Other"), (MINE, "in_1", "Zoë Quistgaard")):
        stored(CustomerObject(id=customer, name=name))
        stored(InvoiceObject(id=invoice, customer=customer, customer_name=name))
        stored(
            InvoicePaymentObject(id=f"inpay_{invoice}", invoice=invoice, payment={"payment_intent": f"pi_{invoice}"})
        )
        stored(CreditNoteObject(id=f"cn_{invoice}", invoice=invoice, customer=None))
        stored(RefundObject(id=f"re_{invoice}", payment_intent=f"pi_{invoice}", customer=None))
        stored(PaymentIntentObject(id=f"pi_{invoice}", client_secret=f"pi_{invoice}_secret_abcdefgh"))
        stored(ChargeObject(id=f"ch_{invoice}", payment_intent=f"pi_{invoice}", customer=None))
        card = {"id": f"card_{invoice}", "object": "card", "customer": customer, "name": name}
        for id, found in ((f"evt_{invoice}", InvoiceObject(id=invoice)), (f"evt_card_{invoice}", card)):
            body = stripe_event(found, id=id)
            Event.objects.create(
                id=id, object_id=found["id"], object_type=found["object"], body=json.dumps(body), state="done"
            )
        batch = Batch.objects.create(
            action="void", items=[BatchItem("in_1", "open", 1), BatchItem("in_2", "open", 1)], actor=agent, reason="r"
        )
        operation = Operation.objects.create(
            action="void", invoice=invoice, source="admin", state="failed", batch=batch, actor=agent, customer=customer
        )
        Contradiction.objects.create(
            operation=operation, event=Event.objects.get(pk=f"evt_{invoice}"), message="otherwise"
        )
        Drift.objects.create(
            run=run, kind="differs", object_type="invoice", object_id=invoice, invoice=invoice, field="customer_name",
            ours=name, theirs="another", found_at=clock.now(),
        )  # fmt: skip
        Email.objects.create(
            kind="approval", about=str(operation.pk), recipient="a@x", subject=f"Void {invoice}",
            body=f"{name} asked.\nLook: https://desk/{operation.pk}",
        )  # fmt: skip
    return operation


@pytest.fixture
def boss(client: Client, manager: User) -> Client:
    client.force_login(manager)
    return client


def document() -> Any:
    return json.loads("".join(stored_data.document(MINE, Path(archives.settings.ARCHIVE_DIR))))


def test_every_table_that_erasure_knows_is_counted(everything: Operation) -> None:
    found = {each.table.name: each.count for each in stored_data.holdings(MINE)}
    assert found == {
        **dict.fromkeys(("customers", "invoices", "invoice_payments", "payment_intents", "events"), 1),
        **dict.fromkeys(("charges", "credit_notes", "refunds"), 1),
        **dict.fromkeys(("operations", "batches", "contradictions", "drift", "emails"), 1),
        **dict.fromkeys(
            (
                "notes",
                "note_versions",
                "mentions",
                "promises",
                "assignments",
                "desk_events",
                "refetches",
                "removals",
                "erasures",
                "disclosures",
                "bank_transactions",
                "bank_matches",
                "bank_decisions",
                "known_payers",
                "drift_explanations",
            ),
            0,
        ),
    }
    shown = [set(table.rows(MINE)) for table in stored_data.TABLES]
    for rows_of in (*erasure.JOURNAL.values(), *erasure.MIRROR.values(), customer_rows.drift, customer_rows.emails):
        assert set(rows_of(MINE)) in shown
    assert {each.count for each in stored_data.holdings("cus_unknown")} == {0}


def test_the_page_reads_the_ids_of_the_objects_once(everything: Operation, boss: Client) -> None:
    """A customer may have 20,000 invoices, and so 60,000 ids: they are one parameter of a statement."""
    with CaptureQueriesContext(connection) as captured:
        assert boss.get(f"/admin/invoices/customer/{MINE}/stored/").status_code == 200
    statements = [query["sql"] for query in captured]
    of_ids = [each for each in statements if re.match(r'SELECT "invoices_\w+"."id" AS "pk" FROM', each)]
    assert len(of_ids) > 8 and len(of_ids) == len(set(of_ids))
    assert len(statements) < 60
    if connection.vendor == "postgresql":
        assert len([each for each in statements if "= ANY('{" in each]) > 15


def test_what_was_read_once_is_forgotten(everything: Operation) -> None:
    with customer_rows.read_once():
        assert customer_rows.invoice_ids(MINE)
        Invoice.rows.filter(customer=MINE).update(customer=None)
        assert customer_rows.invoice_ids(MINE)
    assert not customer_rows.invoice_ids(MINE)


def test_the_document_has_all_of_this_customer_and_nothing_of_another(everything: Operation) -> None:
    found = document()
    assert found["customer"] == MINE and found["complete"] is True
    assert [event["id"] for event in found["events"]] == ["evt_in_1"]
    assert [event["id"] for event in found["other_events"]] == ["evt_card_in_1"]
    of_erasure = set(customer_rows.events(MINE).values_list("pk", flat=True))
    assert of_erasure == {"evt_in_1", "evt_card_in_1", "evt_card_in_2"}  # which looks for the letters of the id: more
    assert found["customers"][0]["data"]["name"] == "Zoë Quistgaard"
    assert [item[0] for item in found["batches"][0]["items"]] == ["in_1"]
    written = json.dumps(found)
    assert "Bo Other" not in written and "in_2" not in written and "_secret_abcdefgh" not in written


def test_archived_events_are_in_it_and_a_missing_file_is_said(everything: Operation, archive_dir: Path) -> None:
    from django.db import connection

    old = clock.now() - timedelta(days=100)
    body = json.dumps(stripe_event(InvoiceObject(id="in_1"), id="evt_old"))
    Event.objects.create(id="evt_old", object_id="in_1", object_type="invoice", body=body, state="done", created=old)
    by = archives.By("old")
    if connection.in_atomic_block:  # PostgreSQL drops a partition; SQLite deletes
        list(archives.archive(archives.month_before(2), archive_dir, by))
    customer_rows.customers(MINE).update(created=old - timedelta(days=40))
    assert not Event.objects.filter(pk="evt_old").exists()
    assert stored_data.archives(MINE, archive_dir)
    assert [event["id"] for event in document()["archived_events"]] == ["evt_old"]
    for file in archive_dir.iterdir():
        file.unlink()
    found = document()
    assert found["complete"] is False and "cannot be read" in found["errors"][0]


class TestThePage:
    def test_shows_and_records_each_look(self, everything: Operation, boss: Client, manager: User) -> None:
        page = boss.get(PAGE).content.decode()
        assert "Events from Stripe" in page and "Looks at this page" in page
        look = Disclosure.objects.get()
        assert (look.customer, look.what, look.by, look.address) == (MINE, "viewed", manager, "127.0.0.1")
        assert PAGE in boss.get(f"/admin/invoices/customer/{MINE}/").content.decode()

    def test_downloads_with_a_reason_that_is_recorded_first(self, everything: Operation, boss: Client) -> None:
        assert boss.post(f"{PAGE}download/", {"reason": " "}).status_code == 400
        assert not Disclosure.objects.exists()
        answer = boss.post(f"{PAGE}download/", {"reason": "ticket 7"})
        assert isinstance(answer, StreamingHttpResponse)
        assert Disclosure.objects.get().reason == "ticket 7"
        found = json.loads(answer.getvalue())
        assert found["disclosures"][0]["what"] == "downloaded" and found["invoices"][0]["id"] == "in_1"
        assert "attachment" in answer["Content-Disposition"] and "no-store" in answer["Cache-Control"]

    def test_an_auditor_may_and_an_agent_may_not(self, client: Client, agent: User, auditor: User) -> None:
        client.force_login(agent)
        assert client.get(PAGE).status_code == client.post(f"{PAGE}download/", {"reason": "x"}).status_code == 403
        assert not Disclosure.objects.exists()
        client.force_login(auditor)
        assert client.get(PAGE).status_code == 200
        assert client.get(f"{PAGE}download/").status_code == 405

    @pytest.mark.parametrize("id", ["..", "a b", "x" * 300, "%2e%2e", "a%0d%0aX: y", "%00"])
    def test_what_is_no_id(self, boss: Client, id: str) -> None:
        assert boss.get(f"/admin/invoices/customer/{id}/stored/").status_code in (301, 302, 404)
        assert not Disclosure.objects.exists()


def test_an_erasure_takes_the_name_out_of_e_mails(everything: Operation) -> None:
    known = personal.Known()
    known.learn({"object": "customer", "name": "Zoë Quistgaard"})
    assert erasure._erase_emails(MINE, known) == 1
    mine, other = (Email.objects.get(subject=f"Void {invoice}") for invoice in ("in_1", "in_2"))
    assert mine.body.startswith("[redacted]\nLook: https://desk/") and other.body.startswith("Bo Other")


class TestRetention:
    def test_nothing_leaves_by_itself_unless_it_is_switched_on(self, settings: Any, archive_dir: Path) -> None:
        old = clock.now() - timedelta(days=100)
        for id, created in (("evt_old", old), ("evt_new", clock.now())):
            Event.objects.create(id=id, body="{}", state="done", created=created)
        assert archives.archive_old() == 0
        settings.EVENTS_KEPT_MONTHS = 2
        assert archives.archive_old() == 1
        assert list(Event.objects.values_list("pk", flat=True)) == ["evt_new"]
        assert archives.current().get().reason == "Older than 2 months (EVENTS_KEPT_MONTHS)."

    def test_what_cannot_be_archived_is_logged_and_stays(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        settings.EVENTS_KEPT_MONTHS = 2
        Event.objects.create(id="evt_old", body="{}", state="failed", created=clock.now() - timedelta(days=100))
        assert archives.archive_old() == 0 and Event.objects.exists()
        assert "Replay those that failed" in caplog.text
        settings.EVENTS_KEPT_MONTHS = 1
        assert archives.archive_old() == 0
