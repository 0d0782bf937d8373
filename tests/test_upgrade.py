"""What an installation of the version before must keep: what it sent to Stripe, its rows while both versions run, its
permissions after a rollback, and the number of queries of its pages."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from invoices import clock, refetch, throttle
from invoices.models import MIRRORED, Invoice, Operation, RecordedCall, fields
from invoices.operations import ACTIONS, Refusal, bulk_preview, manual_resolution, pauses
from invoices.operations import batch as batches
from tests.crash.wire import Wire
from tests.factories import InvoiceObject, InvoicePaymentObject, invoice_at, stored
from tests.helpers.database import queries_of_page
from tests.helpers.operations import act, look, lost
from tests.sandbox_process import SandboxProcess

ROOT = Path(__file__).parent.parent
BEFORE = "0002_journal_is_evidence"  # the last migration of the version before


# --- what is sent to Stripe -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_note_of_an_out_of_band_payment_reaches_stripe(
    sandbox: SandboxProcess, open_invoice: Any, agent: User
) -> None:
    """The note is the payment record's description at Stripe."""
    params = {"amount": 1000, "method": "Check", "received_on": "2026-01-05", "note": "by courier"}
    operation = act("attach_out_of_band_payment", open_invoice.id, agent, params=params)
    assert operation.state == Operation.State.SUCCEEDED
    assert operation.calls[0].params.get("description") == "by courier"


@pytest.mark.django_db(transaction=True)
def test_every_read_of_a_batch_waits_for_a_slot(
    sandbox: SandboxProcess, agent: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch keeps the rate also where an invoice takes several reads: here it has three pages of lines."""
    invoice = invoice_at(sandbox, amount=250, lines=250)
    refetch.refetch("invoice", invoice.id)
    settings.STRIPE_REQUESTS_PER_SECOND = 1000
    slots: list[int] = []
    monkeypatch.setattr(throttle, "_wait_for_slot", slots.append)
    before = sum(sandbox.stats()["requests"].values())
    batches.start(
        "void", [Invoice.objects.get(pk=invoice.id)], actor=agent, reason="a wrong run", batch_id=uuid.uuid4()
    )
    batches.run_due()
    sent = sum(sandbox.stats()["requests"].values()) - before
    assert Operation.objects.get().state == Operation.State.SUCCEEDED
    assert sent > 2
    assert len(slots) >= sent


# --- both versions on one database ------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("model", MIRRORED.values(), ids=MIRRORED)
def test_a_process_of_the_version_before_can_still_write_the_mirror(model: Any) -> None:
    """While an installation is upgraded, the old processes insert rows without the new columns."""
    columns = [
        field
        for field in model._meta.concrete_fields
        if field.name != "provisional" and (field.primary_key or not field.null)
    ]
    values = ["of_the_old_process" if field.primary_key else field.get_default() for field in columns]
    names = ", ".join(f'"{field.column}"' for field in columns)
    places = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {model._meta.db_table} ({names}) VALUES ({places})", values)
    assert model.rows.filter(pk="of_the_old_process").exists()


@pytest.mark.django_db
def test_an_old_unknown_operation_waits_for_a_manager_at_once(manager: User) -> None:
    """An operation of the version before has no `last_call_first_sent_at`; its calls say when it was sent."""
    row = stored(InvoiceObject())
    sent_at = clock.now() - timedelta(hours=2)
    call = RecordedCall(
        name="void",
        path=f"/v1/invoices/{row.pk}/void",
        params={},
        key="key",
        not_before=int(sent_at.timestamp()),
        sendings=1,
        first_sent_at=sent_at,
        sent_at=sent_at,
    )
    operation = Operation.objects.create(
        action="void", invoice=row.pk, actor=manager, source="admin", state="unknown", created_at=sent_at, calls=[call]
    )
    assert manual_resolution.is_needed(operation)
    assert list(manual_resolution.queue()) == [operation]


# --- migrations -------------------------------------------------------------------------------------------------------


def manage(database: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATA_DIR": str(database.parent),
        "DATABASE_URL": f"sqlite:///{database}",
        "CELERY_BROKER_URL": "embedded://",
        "DJANGO_SECRET_KEY": "for migrations",
    }
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def migrate(database: Path, *arguments: str) -> None:
    process = manage(database, "migrate", *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-2000:]


@pytest.fixture
def of_the_version_before(tmp_path: Path) -> Path:
    """A SQLite database of the version before, as its own `migrate` left it, with a provisional invoice."""
    database = tmp_path / "invoices.sqlite3"
    migrate(database)
    migrate(database, "invoices", BEFORE)
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        # A rollback leaves the new permission behind. The version before never had it.
        of_pauses = "(SELECT id FROM auth_permission WHERE codename = 'pause_actions')"
        db.execute(f"DELETE FROM auth_group_permissions WHERE permission_id IN {of_pauses}")
        db.execute("DELETE FROM auth_permission WHERE codename = 'pause_actions'")
        db.execute(
            "INSERT INTO invoices_invoice (id, stored_at, seen_until) "
            "VALUES ('in_1', '2026-01-01 10:00:00', '2026-01-01 10:00:03')"
        )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


def test_the_migrations_go_backwards_and_forwards_again(tmp_path: Path) -> None:
    """A rollback and a second upgrade: `migrate` ends well, managers may still pause, and what waits to be read from
    Stripe waits on."""
    database = tmp_path / "invoices.sqlite3"
    migrate(database)
    due_at = "2026-01-01 10:00:02"
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("INSERT INTO invoices_customer (id, provisional) VALUES ('cus_1', FALSE)")
        db.execute(
            "INSERT INTO invoices_scheduledrefetch "
            "(object_type, object_id, asked_at, due_at, only_payments, attempts, error) VALUES "
            f"('customer', 'cus_1', '{due_at}', '{due_at}', FALSE, 0, ''), "
            f"('invoice', 'in_1', '{due_at}', '{due_at}', FALSE, 9, 'no')"
        )
    migrate(database, "invoices", BEFORE)
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        for table, id in (("customer", "cus_1"), ("invoice", "in_1")):
            rows = db.execute(f"SELECT id, read_due_at FROM invoices_{table}").fetchall()
            assert rows == [(id, due_at)]
        db.execute(f"INSERT INTO invoices_paymentintent (id, read_due_at) VALUES ('pi_1', '{due_at}'), ('pi_2', NULL)")
    migrate(database)
    with closing(sqlite3.connect(database)) as db:
        waiting = db.execute(
            "SELECT object_type, object_id, due_at, attempts FROM invoices_scheduledrefetch ORDER BY 1"
        )
        assert waiting.fetchall() == [
            ("customer", "cus_1", due_at, 0),
            ("invoice", "in_1", due_at, 0),
            ("payment_intent", "pi_1", due_at, 0),
        ]
        managers = db.execute(
            "SELECT p.codename FROM auth_permission p JOIN auth_group_permissions x ON x.permission_id = p.id "
            "JOIN auth_group g ON g.id = x.group_id WHERE g.name = 'Billing manager' AND p.codename LIKE '%e_actions'"
        ).fetchall()
        held = db.execute("SELECT codename FROM auth_permission WHERE codename LIKE '%e_actions'").fetchall()
    assert managers == [("pause_actions",)]
    assert held == [("pause_actions",)]


def test_after_a_rollback_managers_may_use_the_brake(tmp_path: Path) -> None:
    """The version before asks for `brake_actions`."""
    database = tmp_path / "invoices.sqlite3"
    migrate(database)
    migrate(database, "invoices", BEFORE)
    with closing(sqlite3.connect(database)) as db:
        groups = db.execute(
            "SELECT g.name FROM auth_permission p JOIN auth_group_permissions x ON x.permission_id = p.id "
            "JOIN auth_group g ON g.id = x.group_id WHERE p.codename = 'brake_actions'"
        ).fetchall()
    assert groups == [("Billing manager",)]


# --- eligibility ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_preview_of_a_bulk_payment_reads_no_invoice_by_itself(agent: User) -> None:
    """The invoice's own payment method is in its object, which the preview does not read whole: no query for each."""

    def queries(number: int) -> int:
        for _ in range(number):
            stored(InvoiceObject())
        with CaptureQueriesContext(connection) as captured:
            bulk_preview.preview_of(ACTIONS["pay"], Invoice.objects.all(), agent)
        return len(captured)

    few = queries(3)
    assert queries(40) == few


@pytest.mark.django_db
def test_a_pause_does_not_empty_the_bulk_preview(manager: User) -> None:
    """While an action is paused, the preview still says what it would do; the page says beside it that it is paused."""
    stored(InvoiceObject())
    pauses.begin("void", "an audit", manager)
    preview = bulk_preview.preview_of(ACTIONS["void"], Invoice.objects.all(), manager)
    assert (preview.acted_on, preview.left_alone) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_only_a_charge_begins_the_decline_cooldown(sandbox: SandboxProcess, agent: User) -> None:
    """A decline of another action than a charge says nothing of the payment method of the next charge."""
    invoice = invoice_at(sandbox, card=None)
    refetch.refetch("invoice", invoice.id)
    Operation.objects.create(
        action="attach_payment",
        invoice=invoice.id,
        actor=agent,
        source="admin",
        state="failed",
        code="card_declined",
        finished_at=clock.now(),
    )
    try:
        operation = act("pay", invoice.id, agent)
    except Refusal as refusal:
        raise AssertionError(f"refused: {refusal.code}") from refusal
    assert operation.calls


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_page_of_an_operation_says_when_stripe_answered(
    sandbox: SandboxProcess, open_invoice: Any, agent: User, client: Client
) -> None:
    """Each call is shown with the time of its sending and of its answer."""
    operation = act("pay", open_invoice.id, agent)
    assert operation.calls[0].answered_at is not None
    client.force_login(agent)
    page = client.get(f"/admin/invoices/operation/{operation.pk}/change/", follow=True)
    assert "· answered " in page.content.decode()


@pytest.mark.django_db
def test_the_invoice_page_asks_no_more_queries_than_before(client: Client, agent: User) -> None:
    """An open invoice with one payment. Six of the queries are what eligibility needs to know; two of them find the
    declines of the customer's other invoices, one query finds contradictions, and one a refetch that is scheduled; two
    find the last runs, as of which the page is, two its credit notes and refunds, and one its notes. The timeline reads
    each of its sources once, and two say who has the invoice and what was promised."""
    invoice = stored(InvoiceObject())
    stored(InvoicePaymentObject(invoice=invoice.pk))
    client.force_login(agent)
    address = client.get(f"/admin/invoices/invoice/{invoice.pk}/change/", follow=True).request["PATH_INFO"]
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    assert len(queries_of_page(captured)) <= 40


@pytest.mark.django_db
def test_an_old_unknown_operation_is_counted_on_the_home_page(manager: User, client: Client) -> None:
    """Home must not say that everything was settled while an operation of the version before waits for a manager."""
    row = stored(InvoiceObject())
    sent_at = clock.now() - timedelta(hours=2)
    call = RecordedCall(name="void", path="/v1", params={}, key="key", not_before=1, sendings=1, first_sent_at=sent_at)
    Operation.objects.create(
        action="void",
        invoice=row.pk,
        actor=manager,
        source="admin",
        state="unknown",
        created_at=sent_at,
        calls=[call],
        settle_at=clock.now() + timedelta(minutes=4),
    )
    client.force_login(manager)
    assert "Everything was settled by itself." not in client.get("/admin/").content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("reference", ["Ueberweisung", "Überweisung 4711", "\u2028", "\U0001f600"])
def test_an_operation_that_was_under_way_is_settled(
    reference: str,
    wire: Wire,
    open_invoice: Any,
    agent: User,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The triggers compare what was sent as text, so it is spelled as the version before spelled it."""
    held = {"amount": 1000, "method": "Cash", "received_on": "2026-11-02", "reference": reference}
    with monkeypatch.context() as before:
        written = lambda value: json.dumps(value, separators=(",", ":"), allow_nan=False)  # noqa: E731
        before.setattr(fields, "ascii_text_of", written)
        operation = lost(wire, "drop", "attach_out_of_band_payment", open_invoice.id, agent, "report_payment", **held)
    operation = look(operation, later)
    assert operation.state == Operation.State.SUCCEEDED, operation.message
